/* broker/group/groups_ask.c - calls: what each kind wants of a group. */
#include "base/ensure.h"
#include "broker/group/hosted_group.h"

static void all_parts(struct groups_call *call, enum err err)
{
    for (int i = 0; i < call->part_count; i++)
        call->parts[i].err = err;
}

static void refuse(struct groups *groups, struct groups_call *call, enum err err)
{
    call->err = err;
    if (call->kind == GROUPS_COMMIT) all_parts(call, err);
    groups_answered(groups, call);
}

/* ---- members ---- */

static void ask_join(struct coordinator *coordinator, struct hosted_group *hosted,
                     struct groups_call *call)
{
    struct groups *groups = coordinator->of;
    struct group_event event = {.type = GROUP_JOIN, .call = call, .join = call->join};

    if (call->join.session_ms < groups->settings->session_ms_min ||
        call->join.session_ms > groups->settings->session_ms_max) {
        refuse(groups, call, ERR_SESSION_TIMEOUT);
        return;
    }
    if (hosted == NULL && call->join.member_id.len > 0) {
        refuse(groups, call, ERR_UNKNOWN_MEMBER);
        return;
    }
    if (hosted == NULL) hosted = hosted_group_add(coordinator, call->group);
    hosted_group_feed(hosted, &event);
    hosted_group_tidy(hosted);
}

static void ask_sync(struct coordinator *coordinator, struct hosted_group *hosted,
                     struct groups_call *call)
{
    struct group_event event = {.type = GROUP_SYNC, .call = call, .sync = call->sync};

    if (hosted == NULL)
        refuse(coordinator->of, call, ERR_UNKNOWN_MEMBER);
    else
        hosted_group_feed(hosted, &event);
}

static void ask_heartbeat(struct coordinator *coordinator, struct hosted_group *hosted,
                          struct groups_call *call)
{
    struct group_event event = {.type = GROUP_HEARTBEAT, .call = call, .voice = call->voice};

    if (hosted == NULL)
        refuse(coordinator->of, call, ERR_UNKNOWN_MEMBER);
    else
        hosted_group_feed(hosted, &event);
}

static void ask_leave(struct coordinator *coordinator, struct hosted_group *hosted,
                      struct groups_call *call)
{
    struct group_event event = {.type = GROUP_LEAVE, .call = call};

    if (hosted != NULL) {
        event.leave.leavers = call->leave.leavers;
        event.leave.count = call->leave.count;
        hosted_group_feed(hosted, &event);
        hosted_group_tidy(hosted);
        return;
    }
    enum err *left = arena_zalloc(&call->out, sizeof(*left) * (size_t)(call->leave.count + 1));
    for (int i = 0; i < call->leave.count; i++)
        left[i] = ERR_UNKNOWN_MEMBER;
    call->answer.left = left;
    groups_answered(coordinator->of, call);
}

/* ---- offsets ---- */

/* The machine answers at once whether it may; what it says is not yet the call's answer. */
static enum err may_commit(struct hosted_group *hosted, const struct groups_call *call)
{
    struct groups_call question = {.kind = GROUPS_COMMIT, .is_asking = true};
    struct group_event event = {.type = GROUP_COMMIT, .call = &question, .voice = call->voice};

    arena_init(&question.out, SIZE_MAX);
    hosted_group_feed(hosted, &event);
    arena_fini(&question.out);
    ensure(question.is_answered);
    return question.err;
}

static void ask_commit(struct coordinator *coordinator, struct hosted_group *hosted,
                       struct groups_call *call)
{
    struct groups *groups = coordinator->of;
    int accepted = 0;

    if (hosted == NULL && call->voice.generation >= 0) {
        refuse(groups, call, ERR_ILLEGAL_GENERATION);
        return;
    }
    if (hosted == NULL) hosted = hosted_group_add(coordinator, call->group);
    enum err err = may_commit(hosted, call);
    if (err != ERR_OK) {
        refuse(groups, call, err);
        hosted_group_tidy(hosted);
        return;
    }
    for (int i = 0; i < call->part_count; i++) {
        struct groups_part *part = &call->parts[i];
        bool fits = offsets_metadata_len(part->commit.metadata) <= groups->settings->metadata_max;
        if (part->err == ERR_OK && !fits) part->err = ERR_METADATA_TOO_LARGE;
        accepted += part->err == ERR_OK;
    }
    if (accepted > 0)
        groups_log_commit(hosted, call);
    else
        groups_answered(groups, call);
    hosted_group_tidy(hosted);
}

static void fetch_part(const struct groups_call *call, const struct hosted_group *hosted,
                       struct arena *out, struct groups_part *part)
{
    struct offset_commit commit = {.offset = -1, .leader_epoch = -1, .metadata = SLICE("")};

    part->err = ERR_OK;
    if (hosted != NULL && call->must_be_stable &&
        offsets_is_unstable(hosted->offsets, part->topic, part->partition))
        part->err = ERR_UNSTABLE_OFFSET;
    else if (hosted != NULL)
        (void)offsets_find(hosted->offsets, part->topic, part->partition, &commit);
    commit.metadata = arena_copy(out, commit.metadata);
    part->commit = commit;
}

struct fetch_all {
    struct groups_call *call;
    const struct hosted_group *hosted;
    struct slice topic; /* the last: its partitions come together */
};

static void fetch_each(void *to, struct slice topic, int32_t partition,
                       const struct offset_commit *commit)
{
    struct fetch_all *all = to;
    struct groups_call *call = all->call;
    struct groups_part *part = &call->parts[call->part_count++];

    (void)commit;
    if (!slice_equal(all->topic, topic)) all->topic = arena_copy(&call->out, topic);
    *part = (struct groups_part){.topic = all->topic, .partition = partition};
    fetch_part(call, all->hosted, &call->out, part);
}

static void ask_fetch(struct coordinator *coordinator, struct hosted_group *hosted,
                      struct groups_call *call)
{
    struct fetch_all all = {.call = call, .hosted = hosted};

    for (int i = 0; i < call->part_count && !call->fetches_all; i++)
        fetch_part(call, hosted, &call->out, &call->parts[i]);
    if (call->fetches_all) {
        size_t count = hosted == NULL ? 0 : offsets_count(hosted->offsets);
        call->parts = arena_zalloc(&call->out, sizeof(*call->parts) * (count + 1));
        call->part_count = 0;
        if (hosted != NULL) offsets_each(hosted->offsets, fetch_each, &all);
    }
    groups_answered(coordinator->of, call);
}

static void ask_delete_offsets(struct coordinator *coordinator, struct hosted_group *hosted,
                               struct groups_call *call)
{
    struct groups *groups = coordinator->of;
    struct record_builder builder;
    struct tombstones tombstones;

    if (hosted == NULL) {
        refuse(groups, call, ERR_GROUP_NOT_FOUND);
        return;
    }
    bool is_empty = group_state(hosted->machine) == GROUP_EMPTY;
    struct slice type = group_protocol_type(hosted->machine);
    if (!is_empty && slice_compare(type, SLICE("consumer")) != 0) {
        refuse(groups, call, ERR_GROUP_NOT_EMPTY);
        return;
    }
    tombstones_begin(&tombstones, hosted, &builder);
    for (int i = 0; i < call->part_count; i++) {
        struct groups_part *part = &call->parts[i];
        if (part->err != ERR_OK) continue;
        if (!is_empty && group_is_subscribed(hosted->machine, part->topic))
            part->err = ERR_SUBSCRIBED;
        else if (offsets_remove(hosted->offsets, part->topic, part->partition))
            tombstones_add_offset(&tombstones, part->topic, part->partition);
    }
    tombstones_end(&tombstones);
    groups_answered(groups, call);
}

/* ---- administration ---- */

static void ask_describe(struct coordinator *coordinator, struct hosted_group *hosted,
                         struct groups_call *call)
{
    struct groups_description *to = &call->described;
    struct arena *out = &call->out;

    *to = (struct groups_description){
        .state = GROUP_DEAD, .protocol_type = SLICE(""), .protocol = SLICE("")};
    if (hosted != NULL) {
        const struct group *machine = hosted->machine;
        struct slice type = group_protocol_type(machine);
        bool is_stable = group_state(machine) == GROUP_STABLE;
        const struct group_member_view *from = group_members(machine, out);
        struct group_member_view *members =
            arena_zalloc(out, sizeof(*members) * (size_t)(group_size(machine) + 1));
        to->state = group_state(machine);
        if (!slice_is_null(type)) to->protocol_type = arena_copy(out, type);
        if (is_stable) to->protocol = arena_copy(out, group_protocol_name(machine));
        to->member_count = group_size(machine);
        for (int i = 0; i < to->member_count; i++)
            members[i] = (struct group_member_view){
                .id = arena_copy(out, from[i].id),
                .instance_id = arena_copy(out, from[i].instance_id),
                .client_id = arena_copy(out, from[i].client_id),
                .client_host = arena_copy(out, from[i].client_host),
                .metadata = is_stable ? arena_copy(out, from[i].metadata) : SLICE(""),
                .assignment = is_stable ? arena_copy(out, from[i].assignment) : SLICE("")};
        to->members = members;
    }
    groups_answered(coordinator->of, call);
}

static void delete_each(void *to, struct slice topic, int32_t partition,
                        const struct offset_commit *commit)
{
    (void)commit;
    tombstones_add_offset(to, topic, partition);
}

static void ask_delete(struct coordinator *coordinator, struct hosted_group *hosted,
                       struct groups_call *call)
{
    struct groups *groups = coordinator->of;
    struct group_event event = {.type = GROUP_KILL};
    struct record_builder builder;
    struct tombstones tombstones;

    if (hosted == NULL || group_state(hosted->machine) != GROUP_EMPTY) {
        refuse(groups, call, hosted == NULL ? ERR_GROUP_NOT_FOUND : ERR_GROUP_NOT_EMPTY);
        return;
    }
    tombstones_begin(&tombstones, hosted, &builder);
    offsets_each(hosted->offsets, delete_each, &tombstones);
    if (group_generation(hosted->machine) > 0) tombstones_add_group(&tombstones);
    tombstones_end(&tombstones);
    hosted_group_feed(hosted, &event);
    hosted_group_remove(hosted);
    groups_answered(groups, call);
}

/* ---- which ---- */

/* While its log is read: a heartbeat is taken as it is, and who syncs is to begin again. */
static void answer_while_loading(struct groups *groups, struct groups_call *call)
{
    refuse(groups, call,
           call->kind == GROUPS_HEARTBEAT ? ERR_OK
           : call->kind == GROUPS_SYNC    ? ERR_REBALANCING
                                          : ERR_COORDINATOR_LOADING);
}

static void ask(struct coordinator *coordinator, struct groups_call *call)
{
    struct hosted_group *hosted = hosted_group_find(coordinator, call->group);

    switch (call->kind) {
    case GROUPS_JOIN:
        ask_join(coordinator, hosted, call);
        return;
    case GROUPS_SYNC:
        ask_sync(coordinator, hosted, call);
        return;
    case GROUPS_HEARTBEAT:
        ask_heartbeat(coordinator, hosted, call);
        return;
    case GROUPS_LEAVE:
        ask_leave(coordinator, hosted, call);
        return;
    case GROUPS_COMMIT:
        ask_commit(coordinator, hosted, call);
        return;
    case GROUPS_FETCH:
        ask_fetch(coordinator, hosted, call);
        return;
    case GROUPS_DELETE_OFFSETS:
        ask_delete_offsets(coordinator, hosted, call);
        return;
    case GROUPS_DESCRIBE:
        ask_describe(coordinator, hosted, call);
        return;
    case GROUPS_DELETE:
        ask_delete(coordinator, hosted, call);
        return;
    }
}

bool groups_ask(struct groups *groups, struct groups_call *call)
{
    struct coordinator *coordinator = coordinator_find(groups, call->partition);

    call->is_asking = true;
    call->is_answered = false;
    call->err = ERR_OK;
    call->answer = (struct group_answer){.err = ERR_OK};
    if (call->kind == GROUPS_JOIN) { /* what a refusal says */
        call->answer.joined.member_id = call->join.member_id;
        call->answer.joined.leader = SLICE("");
        call->answer.joined.generation = -1;
    }
    if (groups->is_stopped)
        refuse(groups, call, ERR_NO_COORDINATOR);
    else if (coordinator == NULL || coordinator->is_broken)
        refuse(groups, call, ERR_NOT_COORDINATOR);
    else if (coordinator->is_loading)
        answer_while_loading(groups, call);
    else
        ask(coordinator, call);
    call->is_asking = false;
    return call->is_answered;
}
