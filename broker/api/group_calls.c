#include "broker/api/group_calls.h"
#include "base/ensure.h"
#include "cluster/image.h"
#include "cluster/types.h"
#include "wire/protocol.h"
#include <stdlib.h>

/* Calls in a row of one connection to one other shard. Few, for the hop costs as much as the call;
 * more than one client that comes with many groups would send by chance. */
#define ASKS_BEFORE_MOVE 4

int16_t group_code(enum err err)
{
    switch ((int)err) {
    case ERR_OK:
        return KAFKA_NONE;
    case ERR_NOT_COORDINATOR:
        return KAFKA_NOT_COORDINATOR;
    case ERR_COORDINATOR_LOADING:
        return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    case ERR_NO_COORDINATOR:
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    case ERR_UNKNOWN_MEMBER:
        return KAFKA_UNKNOWN_MEMBER_ID;
    case ERR_ILLEGAL_GENERATION:
        return KAFKA_ILLEGAL_GENERATION;
    case ERR_FENCED_INSTANCE:
        return KAFKA_FENCED_INSTANCE_ID;
    case ERR_REBALANCING:
        return KAFKA_REBALANCE_IN_PROGRESS;
    case ERR_MEMBER_ID_REQUIRED:
        return KAFKA_MEMBER_ID_REQUIRED;
    case ERR_PROTOCOL:
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    case ERR_GROUP_FULL:
        return KAFKA_GROUP_MAX_SIZE_REACHED;
    case ERR_GROUP_NAME:
        return KAFKA_INVALID_GROUP_ID;
    case ERR_GROUP_NOT_FOUND:
        return KAFKA_GROUP_ID_NOT_FOUND;
    case ERR_GROUP_NOT_EMPTY:
        return KAFKA_NON_EMPTY_GROUP;
    case ERR_SUBSCRIBED:
        return KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
    case ERR_SESSION_TIMEOUT:
        return KAFKA_INVALID_SESSION_TIMEOUT;
    case ERR_UNSTABLE_OFFSET:
        return KAFKA_UNSTABLE_OFFSET_COMMIT;
    case ERR_METADATA_TOO_LARGE:
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    case ERR_COMMIT_TOO_LARGE:
        return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
    case ERR_TIMED_OUT:
        return KAFKA_REQUEST_TIMED_OUT;
    case ERR_NOT_FOUND: /* a topic or a partition */
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case ERR_UNSUPPORTED:
        return KAFKA_UNSUPPORTED_VERSION;
    default:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
}

int32_t group_partition_of(const struct image *image, struct slice topic, struct slice key)
{
    const struct image_topic *known = image_topic(image, topic);

    if (known == NULL || image_topic_partition_count(known) == 0) return -1;
    return coordinator_partition(key, image_topic_partition_count(known));
}

/* ---- one group ---- */

struct msg_group {
    struct msg msg;
    struct group_question *question; /* not to be touched at home unless it is answered */
    bool is_answered;
};

static struct group_question *question_of(struct groups_call *call)
{
    return (struct group_question *)(void *)((char *)call - offsetof(struct group_question, call));
}

static struct msg_group *say(struct api_shard *api, enum msg_type type, int to,
                             struct group_question *question)
{
    struct msg_group *msg = ensure_zalloc(sizeof(*msg));

    msg->msg.type = (uint16_t)type;
    msg->question = question;
    mailbox_call(api->shard->mailbox, (uint8_t)to, &msg->msg);
    return msg;
}

static void done_here(struct groups_call *call)
{
    question_of(call)->finished(question_of(call));
}

static void done_there(struct groups_call *call)
{
    struct group_question *question = question_of(call);

    say(question->owner, MSG_GROUP_DONE, question->home, question);
}

static void hear_group(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_group *call = (struct msg_group *)(void *)msg;

    call->question->owner = api;
    call->question->call.done = done_there;
    call->is_answered = groups_ask(api->groups, &call->question->call);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_group_answer(void *owner, struct msg *msg)
{
    struct msg_group *call = (struct msg_group *)(void *)msg;
    struct group_question *question = call->is_answered ? call->question : NULL;

    (void)owner;
    free(call);
    if (question != NULL) question->finished(question);
}

static void hear_done(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct group_question *question = ((struct msg_group *)(void *)msg)->question;

    mailbox_reply(api->shard->mailbox, msg);
    question->finished(question);
}

static void hear_free(void *owner, struct msg *msg)
{
    (void)owner;
    free(msg);
}

static void refuse(struct group_question *question, enum err err)
{
    struct groups_call *call = &question->call;

    call->err = err;
    call->answer.joined.generation = -1;
    call->answer.joined.leader = SLICE("");
    call->answer.joined.member_id = call->kind == GROUPS_JOIN ? call->join.member_id : SLICE("");
    for (int i = 0; i < call->part_count; i++)
        if (call->parts[i].err == ERR_OK) call->parts[i].err = err;
    question->finished(question);
}

/* False: nobody can be asked, and that has been said. */
static bool find_shard(struct group_question *question)
{
    const struct api_shard *api = question->request->at;
    struct groups_call *call = &question->call;

    arena_init(&call->out, SIZE_MAX);
    call->partition = group_partition_of(api->image, SLICE(TOPIC_NAME_OFFSETS), call->group);
    if (call->partition < 0) {
        refuse(question, ERR_NOT_COORDINATOR);
        return false;
    }
    question->home = api->shard->id;
    question->shard =
        partition_shard(SLICE(TOPIC_NAME_OFFSETS), call->partition, api->process->shards);
    return true;
}

static void ask(struct group_question *question)
{
    struct api_shard *api = question->request->at;

    if (question->shard != api->shard->id) {
        enum groups_call_kind kind = question->call.kind;
        /* From here it cannot be seen whether it waits there: these do, as a rule. */
        if (kind == GROUPS_JOIN || kind == GROUPS_SYNC || kind == GROUPS_COMMIT)
            request_waits(question->request);
        say(api, MSG_GROUP, question->shard, question);
        return;
    }
    question->owner = api;
    question->call.done = done_here;
    if (groups_ask(api->groups, &question->call))
        question->finished(question);
    else
        request_waits(question->request);
}

void group_ask(struct group_question *question)
{
    if (find_shard(question)) ask(question);
}

/* Not one that fetches, too: its session stays where it was made. */
static bool is_better_there(struct group_question *question)
{
    struct client *client = question->request->client;

    if (client->asks_shard != question->shard) client->asks_in_row = 0;
    client->asks_shard = (int8_t)question->shard;
    if (question->shard == question->home || client->is_working ||
        ++client->asks_in_row < ASKS_BEFORE_MOVE)
        return false;
    client->asks_in_row = 0; /* if it cannot move now: again after as many */
    return true;
}

static void move(struct post *post)
{
    struct group_question *question = list_entry(post, struct group_question, post);

    if (!request_move(question->request, question->shard)) ask(question);
}

void group_ask_alone(struct group_question *question)
{
    if (!find_shard(question)) return;
    if (!is_better_there(question)) {
        ask(question);
        return;
    }
    question->post.run = move; /* not in the handler's call */
    shard_post(question->request->at->shard, &question->post);
}

void group_end(struct group_question *question)
{
    arena_fini(&question->call.out);
}

/* ---- all groups ---- */

struct msg_groups_list {
    struct msg msg;
    struct group_list_part *part;
    bool is_loading;
};

static void list_let_go(struct group_lists *lists)
{
    ensure(lists->open > 0);
    if (--lists->open == 0) lists->finished(lists);
}

static void hear_list(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_groups_list *call = (struct msg_groups_list *)(void *)msg;

    call->is_loading =
        groups_list(api->groups, &call->part->arena, &call->part->groups, &call->part->count);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_list_answer(void *owner, struct msg *msg)
{
    struct msg_groups_list *call = (struct msg_groups_list *)(void *)msg;
    struct group_lists *lists = call->part->of;

    (void)owner;
    lists->is_loading = lists->is_loading || call->is_loading;
    free(call);
    list_let_go(lists);
}

void group_lists_ask(struct group_lists *lists)
{
    struct api_shard *api = lists->request->at;

    lists->part_count = api->process->shards;
    lists->open = lists->part_count;
    lists->parts =
        arena_zalloc(&lists->request->arena, sizeof(*lists->parts) * (size_t)lists->part_count);
    for (int i = 0; i < lists->part_count; i++) {
        struct msg_groups_list *call = ensure_zalloc(sizeof(*call));
        lists->parts[i].of = lists;
        arena_init(&lists->parts[i].arena, SIZE_MAX);
        call->msg.type = MSG_GROUPS_LIST;
        call->part = &lists->parts[i];
        mailbox_call(api->shard->mailbox, (uint8_t)i, &call->msg);
    }
}

void group_lists_end(struct group_lists *lists)
{
    for (int i = 0; i < lists->part_count; i++)
        arena_fini(&lists->parts[i].arena);
}

void group_calls_open(struct api_shard *api, struct msg_routes *routes)
{
    messages_on_call(routes, MSG_GROUP, hear_group, api);
    messages_on_answer(routes, MSG_GROUP, hear_group_answer, api);
    messages_on_call(routes, MSG_GROUP_DONE, hear_done, api);
    messages_on_answer(routes, MSG_GROUP_DONE, hear_free, api);
    messages_on_call(routes, MSG_GROUPS_LIST, hear_list, api);
    messages_on_answer(routes, MSG_GROUPS_LIST, hear_list_answer, api);
}
