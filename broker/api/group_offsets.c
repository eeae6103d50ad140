/* broker/api/group_offsets.c - OffsetCommit, OffsetFetch, OffsetDelete. Offsets of version 0 are in
 * ZooKeeper: offset_nodes.c. */
#include "broker/api/offset_nodes.h"
#include "base/ensure.h"
#include "broker/api/group_calls.h"
#include "broker/api/table.h"
#include "cluster/image.h"
#include "cluster/level.h"
#include "cluster/options.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_delete.h"
#include "wire/gen/offset_fetch.h"
#include "wire/protocol.h"

#define VERSION_IN_ZOOKEEPER  0
#define FETCH_VERSION_TOP     2 /* a code for the whole answer */
#define FETCH_VERSION_BATCHED 8 /* many groups */

static void *zalloc(struct request *request, int32_t count, size_t size)
{
    return arena_zalloc(&request->arena, (size_t)(count <= 0 ? 1 : count) * size);
}

static bool is_known(const struct request *request, struct slice topic, int32_t partition)
{
    const struct image_topic *known = image_topic(request->at->image, topic);
    struct image_partition unused;

    return known != NULL && image_topic_partition(known, partition, &unused);
}

static struct group_question *question_new(struct request *request, enum groups_call_kind kind,
                                           struct slice group, int parts,
                                           void (*finished)(struct group_question *question))
{
    struct group_question *question = zalloc(request, 1, sizeof(*question));

    question->request = request;
    question->call.kind = kind;
    question->call.group = group;
    question->call.parts = zalloc(request, parts, sizeof(*question->call.parts));
    question->finished = finished;
    return question;
}

/* ---- OffsetCommit ---- */

/* The same partitions in the same order as asked; codes by `parts`, or `code` for all. */
static const void *commit_response(struct request *request, const struct groups_part *parts,
                                   int16_t code)
{
    const struct offset_commit_request *in = request->body;
    struct offset_commit_response *out = zalloc(request, 1, sizeof(*out));
    int32_t topics = in->topics.count < 0 ? 0 : in->topics.count;
    int at = 0;

    wire_default(&offset_commit_response_wire, out);
    out->topics.at = zalloc(request, topics, sizeof(*out->topics.at));
    out->topics.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        const struct offset_commit_request_topic *topic = &in->topics.at[t];
        int32_t partitions = topic->partitions.count < 0 ? 0 : topic->partitions.count;
        struct offset_commit_response_topic *to = &out->topics.at[t];

        to->name = topic->name;
        to->partitions.at = zalloc(request, partitions, sizeof(*to->partitions.at));
        to->partitions.count = partitions;
        for (int32_t p = 0; p < partitions; p++, at++)
            to->partitions.at[p] = (struct offset_commit_response_topic_partition){
                .partition_index = topic->partitions.at[p].partition_index,
                .error_code = parts == NULL ? code : group_code(parts[at].err)};
    }
    return out;
}

static const void *commit_refuse(struct request *request, int16_t code)
{
    return commit_response(request, NULL, code);
}

static void commit_finished(struct group_question *question)
{
    struct request *request = question->request;

    request_reply(request, commit_response(request, question->call.parts, 0));
    group_end(question);
}

static int commit_count(const struct offset_commit_request *in)
{
    int count = 0;

    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partitions.count > 0) count += in->topics.at[t].partitions.count;
    return count;
}

/* Gives how many are known and so may be committed. */
static int commit_fill(struct request *request, struct groups_call *call)
{
    const struct offset_commit_request *in = request->body;
    int known = 0;

    for (int32_t t = 0; t < in->topics.count; t++) {
        const struct offset_commit_request_topic *topic = &in->topics.at[t];
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            const struct offset_commit_request_topic_partition *from = &topic->partitions.at[p];
            struct groups_part *part = &call->parts[call->part_count++];
            *part = (struct groups_part){
                .topic = topic->name,
                .partition = from->partition_index,
                .commit =
                    {
                        .offset = from->committed_offset,
                        .leader_epoch = from->committed_leader_epoch,
                        .metadata = slice_is_null(from->committed_metadata)
                                        ? SLICE("")
                                        : from->committed_metadata,
                        .commit_ms = from->commit_timestamp,
                        .expire_ms = -1,
                    },
                .err =
                    is_known(request, topic->name, from->partition_index) ? ERR_OK : ERR_NOT_FOUND,
            };
            known += part->err == ERR_OK;
        }
    }
    return known;
}

static void commit_handle(struct request *request)
{
    const struct offset_commit_request *in = request->body;

    if (request->version == VERSION_IN_ZOOKEEPER) {
        request_to_control(request, offset_nodes_commit);
        return;
    }
    if (!slice_is_null(in->group_instance_id) &&
        options_level(request->at->process->options) < LEVEL_2_3_IV0) {
        request_fail(request, KAFKA_UNSUPPORTED_VERSION);
        return;
    }
    struct group_question *question =
        question_new(request, GROUPS_COMMIT, in->group_id, commit_count(in), commit_finished);
    struct groups_call *call = &question->call;
    call->voice = (struct group_voice){.member_id = in->member_id,
                                       .instance_id = in->group_instance_id,
                                       .generation = in->generation_id_or_member_epoch};
    call->retention_ms = in->retention_time_ms;
    if (commit_fill(request, call) > 0)
        group_ask_alone(question);
    else
        request_reply(request, commit_response(request, call->parts, 0));
}

const struct api offset_commit_api = {
    .key = API_OFFSET_COMMIT,
    .version_min = 0,
    .version_max = 9,
    .request_wire = &offset_commit_request_wire,
    .response_wire = &offset_commit_response_wire,
    .request_size = sizeof(struct offset_commit_request),
    .place = API_HERE,
    .handle = commit_handle,
    .refuse = commit_refuse,
};

/* ---- OffsetFetch ---- */

/* One group of the request: its own question. */
struct fetch {
    struct request *request;
    struct group_question **questions;
    int count, open;
};

/* Topics of a request are two structs of one shape; so are those of a response. */
static int fetch_fill(struct groups_call *call, struct slice topic, const int32_t *partitions,
                      int32_t count, bool counts_only)
{
    for (int32_t p = 0; p < count && !counts_only; p++)
        call->parts[call->part_count++] =
            (struct groups_part){.topic = topic, .partition = partitions[p]};
    return count < 0 ? 0 : count;
}

/* Parts of one topic stand together: how many of them do from `at` on. */
static int run_of(const struct groups_call *call, int at)
{
    int n = 1;

    while (at + n < call->part_count &&
           slice_equal(call->parts[at + n].topic, call->parts[at].topic))
        n++;
    return n;
}

static int runs_of(const struct groups_call *call)
{
    int runs = 0;

    for (int at = 0; at < call->part_count; at += run_of(call, at))
        runs++;
    return runs;
}

static void fetch_fill_group(struct request *request, const struct groups_call *call,
                             struct offset_fetch_response_group *out)
{
    int topics = call->err == ERR_OK ? runs_of(call) : 0, at = 0;

    out->group_id = call->group;
    out->error_code = group_code(call->err);
    out->topics.at = zalloc(request, topics, sizeof(*out->topics.at));
    out->topics.count = topics;
    for (int t = 0; t < topics; t++) {
        struct offset_fetch_response_group_topic *to = &out->topics.at[t];
        int count = run_of(call, at);

        to->name = call->parts[at].topic;
        to->partitions.at = zalloc(request, count, sizeof(*to->partitions.at));
        to->partitions.count = count;
        for (int p = 0; p < count; p++, at++)
            to->partitions.at[p] = (struct offset_fetch_response_group_topic_partition){
                .partition_index = call->parts[at].partition,
                .committed_offset = call->parts[at].commit.offset,
                .committed_leader_epoch = call->parts[at].commit.leader_epoch,
                .metadata = call->parts[at].commit.metadata,
                .error_code = group_code(call->parts[at].err)};
    }
}

static void fetch_fill_single(struct request *request, const struct groups_call *call,
                              struct offset_fetch_response *out)
{
    int topics = call->err == ERR_OK ? runs_of(call) : 0, at = 0;

    if (request->version >= FETCH_VERSION_TOP) out->error_code = group_code(call->err);
    out->topics.at = zalloc(request, topics, sizeof(*out->topics.at));
    out->topics.count = topics;
    for (int t = 0; t < topics; t++) {
        struct offset_fetch_response_topic *to = &out->topics.at[t];
        int count = run_of(call, at);

        to->name = call->parts[at].topic;
        to->partitions.at = zalloc(request, count, sizeof(*to->partitions.at));
        to->partitions.count = count;
        for (int p = 0; p < count; p++, at++)
            to->partitions.at[p] = (struct offset_fetch_response_topic_partition){
                .partition_index = call->parts[at].partition,
                .committed_offset = call->parts[at].commit.offset,
                .committed_leader_epoch = call->parts[at].commit.leader_epoch,
                .metadata = call->parts[at].commit.metadata,
                .error_code = group_code(call->parts[at].err)};
    }
}

static void fetch_let_go(struct fetch *fetch)
{
    struct request *request = fetch->request;
    struct offset_fetch_response out;

    ensure(fetch->open > 0);
    if (--fetch->open > 0) return;
    wire_default(&offset_fetch_response_wire, &out);
    if (request->version < FETCH_VERSION_BATCHED) {
        fetch_fill_single(request, &fetch->questions[0]->call, &out);
    } else {
        out.groups.at = zalloc(request, fetch->count, sizeof(*out.groups.at));
        out.groups.count = fetch->count;
        for (int i = 0; i < fetch->count; i++)
            fetch_fill_group(request, &fetch->questions[i]->call, &out.groups.at[i]);
    }
    request_reply(request, &out);
    for (int i = 0; i < fetch->count; i++)
        group_end(fetch->questions[i]);
}

static void fetch_finished(struct group_question *question)
{
    fetch_let_go(question->to);
}

static struct group_question *fetch_single(struct request *request)
{
    const struct offset_fetch_request *in = request->body;
    int parts = 0;

    for (int32_t t = 0; t < in->topics.count; t++)
        parts += fetch_fill(NULL, SLICE(""), NULL, in->topics.at[t].partition_indexes.count, true);
    struct group_question *question =
        question_new(request, GROUPS_FETCH, in->group_id, parts, fetch_finished);
    question->call.fetches_all = in->topics.count < 0;
    for (int32_t t = 0; t < in->topics.count; t++)
        fetch_fill(&question->call, in->topics.at[t].name, in->topics.at[t].partition_indexes.at,
                   in->topics.at[t].partition_indexes.count, false);
    return question;
}

static struct group_question *fetch_one(struct request *request,
                                        const struct offset_fetch_request_group *in)
{
    int parts = 0;

    for (int32_t t = 0; t < in->topics.count; t++)
        parts += fetch_fill(NULL, SLICE(""), NULL, in->topics.at[t].partition_indexes.count, true);
    struct group_question *question =
        question_new(request, GROUPS_FETCH, in->group_id, parts, fetch_finished);
    question->call.fetches_all = in->topics.count < 0;
    for (int32_t t = 0; t < in->topics.count; t++)
        fetch_fill(&question->call, in->topics.at[t].name, in->topics.at[t].partition_indexes.at,
                   in->topics.at[t].partition_indexes.count, false);
    return question;
}

static void fetch_handle(struct request *request)
{
    const struct offset_fetch_request *in = request->body;
    bool is_batched = request->version >= FETCH_VERSION_BATCHED;
    struct fetch *fetch = zalloc(request, 1, sizeof(*fetch));

    if (request->version == VERSION_IN_ZOOKEEPER) {
        request_to_control(request, offset_nodes_fetch);
        return;
    }
    fetch->request = request;
    fetch->count = !is_batched ? 1 : in->groups.count < 0 ? 0 : in->groups.count;
    fetch->questions = zalloc(request, fetch->count, sizeof(struct group_question *));
    fetch->open = fetch->count + 1;
    for (int i = 0; i < fetch->count; i++) {
        fetch->questions[i] =
            is_batched ? fetch_one(request, &in->groups.at[i]) : fetch_single(request);
        fetch->questions[i]->to = fetch;
        fetch->questions[i]->call.must_be_stable = in->require_stable;
    }
    for (int i = 0; i < fetch->count; i++)
        group_ask(fetch->questions[i]);
    fetch_let_go(fetch);
}

static const void *fetch_refuse(struct request *request, int16_t code)
{
    const struct offset_fetch_request *in = request->body;
    struct offset_fetch_response *out = zalloc(request, 1, sizeof(*out));
    int32_t groups = in->groups.count < 0 ? 0 : in->groups.count;

    wire_default(&offset_fetch_response_wire, out);
    out->error_code = code;
    out->groups.at = zalloc(request, groups, sizeof(*out->groups.at));
    out->groups.count = groups;
    for (int32_t i = 0; i < groups; i++) {
        out->groups.at[i].group_id = in->groups.at[i].group_id;
        out->groups.at[i].error_code = code;
    }
    return out;
}

const struct api offset_fetch_api = {
    .key = API_OFFSET_FETCH,
    .version_min = 0,
    .version_max = 9,
    .request_wire = &offset_fetch_request_wire,
    .response_wire = &offset_fetch_response_wire,
    .request_size = sizeof(struct offset_fetch_request),
    .place = API_HERE,
    .handle = fetch_handle,
    .refuse = fetch_refuse,
};

/* ---- OffsetDelete ---- */

static const void *delete_refuse(struct request *request, int16_t code)
{
    struct offset_delete_response *out = zalloc(request, 1, sizeof(*out));

    wire_default(&offset_delete_response_wire, out);
    out->error_code = code;
    return out;
}

static void delete_finished(struct group_question *question)
{
    struct request *request = question->request;
    const struct offset_delete_request *in = request->body;
    const struct groups_call *call = &question->call;
    struct offset_delete_response out;
    int32_t topics = in->topics.count < 0 ? 0 : in->topics.count;
    int at = 0;

    wire_default(&offset_delete_response_wire, &out);
    out.error_code = group_code(call->err);
    out.topics.at = zalloc(request, topics, sizeof(*out.topics.at));
    out.topics.count = call->err == ERR_OK ? topics : 0;
    for (int32_t t = 0; t < out.topics.count; t++) {
        const struct offset_delete_request_topic *topic = &in->topics.at[t];
        int32_t count = topic->partitions.count < 0 ? 0 : topic->partitions.count;
        struct offset_delete_response_topic *to = &out.topics.at[t];

        to->name = topic->name;
        to->partitions.at = zalloc(request, count, sizeof(*to->partitions.at));
        to->partitions.count = count;
        for (int32_t p = 0; p < count; p++, at++)
            to->partitions.at[p] = (struct offset_delete_response_topic_partition){
                .partition_index = topic->partitions.at[p].partition_index,
                .error_code = group_code(call->parts[at].err)};
    }
    request_reply(request, &out);
    group_end(question);
}

static void delete_handle(struct request *request)
{
    const struct offset_delete_request *in = request->body;
    int count = 0;

    if (in->group_id.len == 0) {
        request_fail(request, KAFKA_INVALID_GROUP_ID);
        return;
    }
    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partitions.count > 0) count += in->topics.at[t].partitions.count;
    struct group_question *question =
        question_new(request, GROUPS_DELETE_OFFSETS, in->group_id, count, delete_finished);
    struct groups_call *call = &question->call;
    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partitions.count; p++) {
            int32_t partition = in->topics.at[t].partitions.at[p].partition_index;
            bool is_there = is_known(request, in->topics.at[t].name, partition);
            call->parts[call->part_count++] =
                (struct groups_part){.topic = in->topics.at[t].name,
                                     .partition = partition,
                                     .err = is_there ? ERR_OK : ERR_NOT_FOUND};
        }
    group_ask(question);
}

const struct api offset_delete_api = {
    .key = API_OFFSET_DELETE,
    .version_min = 0,
    .version_max = 0,
    .request_wire = &offset_delete_request_wire,
    .response_wire = &offset_delete_response_wire,
    .request_size = sizeof(struct offset_delete_request),
    .place = API_HERE,
    .handle = delete_handle,
    .refuse = delete_refuse,
};
