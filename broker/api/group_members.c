/* broker/api/group_members.c - JoinGroup, SyncGroup, Heartbeat, LeaveGroup. */
#include "broker/api/group_calls.h"
#include "broker/api/table.h"
#include "cluster/level.h"
#include "cluster/options.h"
#include "wire/gen/heartbeat.h"
#include "wire/gen/join_group.h"
#include "wire/gen/leave_group.h"
#include "wire/gen/sync_group.h"
#include "wire/protocol.h"
#include <stdio.h>

#define JOIN_VERSION_ID_FIRST   4 /* a new dynamic member gets its id before it joins */
#define JOIN_VERSION_NULL_NAMES 7 /* "no protocol" is null, not "" */
#define JOIN_VERSION_SKIPS      9
#define SYNC_VERSION_PROTOCOLS  5
#define LEAVE_VERSION_BATCHED   3
#define UNIQUE_LEN              36

static struct group_question *question_new(struct request *request, enum groups_call_kind kind,
                                           struct slice group,
                                           void (*finished)(struct group_question *question))
{
    struct group_question *question = arena_zalloc(&request->arena, sizeof(*question));

    question->request = request;
    question->call.kind = kind;
    question->call.group = group;
    question->finished = finished;
    return question;
}

/* Static members came with 2.3: brokers of an older protocol version could not read their records.
 */
static bool may_be_static(const struct request *request, struct slice instance_id)
{
    return slice_is_null(instance_id) ||
           options_level(request->at->process->options) >= LEVEL_2_3_IV0;
}

/* ---- JoinGroup ---- */

static void join_finished(struct group_question *question)
{
    struct request *request = question->request;
    const struct group_answer *answer = &question->call.answer;
    const struct group_joined *joined = &answer->joined;
    struct join_group_response out;

    wire_default(&join_group_response_wire, &out);
    out.error_code = group_code(question->call.err);
    out.generation_id = joined->generation;
    out.protocol_type = answer->protocol_type;
    out.protocol_name = answer->protocol_name;
    if (request->version < JOIN_VERSION_NULL_NAMES && slice_is_null(out.protocol_name))
        out.protocol_name = SLICE("");
    else if (request->version >= JOIN_VERSION_NULL_NAMES && out.protocol_name.len == 0)
        out.protocol_name = SLICE_NULL;
    out.leader = joined->leader;
    out.skip_assignment = joined->skips_assignment;
    out.member_id = joined->member_id;
    out.members.at =
        arena_zalloc(&request->arena, sizeof(*out.members.at) * (size_t)(joined->member_count + 1));
    out.members.count = joined->member_count;
    for (int i = 0; i < joined->member_count; i++)
        out.members.at[i] =
            (struct join_group_response_member){.member_id = joined->members[i].id,
                                                .group_instance_id = joined->members[i].instance_id,
                                                .metadata = joined->members[i].metadata};
    request_reply(request, &out);
    group_end(question);
}

static const void *join_refuse(struct request *request, int16_t code)
{
    const struct join_group_request *in = request->body;
    struct join_group_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&join_group_response_wire, out);
    out->error_code = code;
    out->member_id = in->member_id;
    out->protocol_name = request->version < JOIN_VERSION_NULL_NAMES ? SLICE("") : SLICE_NULL;
    return out;
}

/* What makes an id of its own: a random uuid, in the form that Java writes. */
static struct slice unique_text(struct request *request)
{
    const struct env *env = request->at->shard->env;
    uint64_t high = env_random(env, "member-id");
    uint64_t low = env_random(env, "member-id");
    struct uuid id = uuid_from_random(high, low);
    char *text = arena_zalloc(&request->arena, UNIQUE_LEN + 1);
    int at = 0;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text[at++] = '-';
        at += snprintf(text + at, 3, "%02x", id.bytes[i]);
    }
    return slice_of(text, UNIQUE_LEN);
}

static void join_handle(struct request *request)
{
    const struct join_group_request *in = request->body;
    int32_t count = in->protocols.count < 0 ? 0 : in->protocols.count;

    if (in->group_id.len == 0 || !may_be_static(request, in->group_instance_id)) {
        request_fail(request,
                     in->group_id.len == 0 ? KAFKA_INVALID_GROUP_ID : KAFKA_UNSUPPORTED_VERSION);
        return;
    }
    struct group_question *question =
        question_new(request, GROUPS_JOIN, in->group_id, join_finished);
    struct group_offer *offers =
        arena_zalloc(&request->arena, sizeof(*offers) * (size_t)(count + 1));
    for (int32_t i = 0; i < count; i++)
        offers[i] = (struct group_offer){in->protocols.at[i].name, in->protocols.at[i].metadata};
    bool is_static = !slice_is_null(in->group_instance_id);
    question->call.join = (struct group_join){
        .member_id = in->member_id,
        .instance_id = in->group_instance_id,
        .client_id = request->client_id,
        .client_host = arena_printf(&request->arena, "/%s", request->host),
        .protocol_type = in->protocol_type,
        .protocols = offers,
        .protocol_count = count,
        .session_ms = in->session_timeout_ms,
        .rebalance_ms = request->version == 0 ? in->session_timeout_ms : in->rebalance_timeout_ms,
        .must_know_id = request->version >= JOIN_VERSION_ID_FIRST && !is_static,
        .may_skip = request->version >= JOIN_VERSION_SKIPS,
        .unique = unique_text(request),
    };
    group_ask(question);
}

const struct api join_group_api = {
    .key = API_JOIN_GROUP,
    .version_min = 0,
    .version_max = 9,
    .request_wire = &join_group_request_wire,
    .response_wire = &join_group_response_wire,
    .request_size = sizeof(struct join_group_request),
    .place = API_HERE,
    .handle = join_handle,
    .refuse = join_refuse,
};

/* ---- SyncGroup ---- */

static void sync_finished(struct group_question *question)
{
    const struct group_answer *answer = &question->call.answer;
    struct sync_group_response out;

    wire_default(&sync_group_response_wire, &out);
    out.error_code = group_code(question->call.err);
    if (question->call.err == ERR_OK) {
        out.protocol_type = answer->protocol_type;
        out.protocol_name = answer->protocol_name;
        out.assignment = answer->assignment;
    }
    request_reply(question->request, &out);
    group_end(question);
}

static const void *sync_refuse(struct request *request, int16_t code)
{
    struct sync_group_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&sync_group_response_wire, out);
    out->error_code = code;
    return out;
}

static int16_t sync_check(const struct request *request, const struct sync_group_request *in)
{
    if (request->version >= SYNC_VERSION_PROTOCOLS &&
        (slice_is_null(in->protocol_type) || slice_is_null(in->protocol_name)))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (in->group_id.len == 0) return KAFKA_INVALID_GROUP_ID;
    return may_be_static(request, in->group_instance_id) ? KAFKA_NONE : KAFKA_UNSUPPORTED_VERSION;
}

static void sync_handle(struct request *request)
{
    const struct sync_group_request *in = request->body;
    int32_t count = in->assignments.count < 0 ? 0 : in->assignments.count;
    int16_t code = sync_check(request, in);

    if (code != KAFKA_NONE) {
        request_fail(request, code);
        return;
    }
    struct group_question *question =
        question_new(request, GROUPS_SYNC, in->group_id, sync_finished);
    struct group_assignment *assignments =
        arena_zalloc(&request->arena, sizeof(*assignments) * (size_t)(count + 1));
    for (int32_t i = 0; i < count; i++)
        assignments[i] = (struct group_assignment){in->assignments.at[i].member_id,
                                                   in->assignments.at[i].assignment};
    question->call.sync = (struct group_sync){
        .member_id = in->member_id,
        .instance_id = in->group_instance_id,
        .generation = in->generation_id,
        .protocol_type = in->protocol_type,
        .protocol_name = in->protocol_name,
        .assignments = assignments,
        .assignment_count = count,
    };
    group_ask(question);
}

const struct api sync_group_api = {
    .key = API_SYNC_GROUP,
    .version_min = 0,
    .version_max = 5,
    .request_wire = &sync_group_request_wire,
    .response_wire = &sync_group_response_wire,
    .request_size = sizeof(struct sync_group_request),
    .place = API_HERE,
    .handle = sync_handle,
    .refuse = sync_refuse,
};

/* ---- Heartbeat ---- */

static const void *heartbeat_refuse(struct request *request, int16_t code)
{
    struct heartbeat_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&heartbeat_response_wire, out);
    out->error_code = code;
    return out;
}

static void heartbeat_finished(struct group_question *question)
{
    request_reply(question->request,
                  heartbeat_refuse(question->request, group_code(question->call.err)));
    group_end(question);
}

static void heartbeat_handle(struct request *request)
{
    const struct heartbeat_request *in = request->body;

    if (in->group_id.len == 0 || !may_be_static(request, in->group_instance_id)) {
        request_fail(request,
                     in->group_id.len == 0 ? KAFKA_INVALID_GROUP_ID : KAFKA_UNSUPPORTED_VERSION);
        return;
    }
    struct group_question *question =
        question_new(request, GROUPS_HEARTBEAT, in->group_id, heartbeat_finished);
    question->call.voice = (struct group_voice){.member_id = in->member_id,
                                                .instance_id = in->group_instance_id,
                                                .generation = in->generation_id};
    group_ask_alone(question);
}

const struct api heartbeat_api = {
    .key = API_HEARTBEAT,
    .version_min = 0,
    .version_max = 4,
    .request_wire = &heartbeat_request_wire,
    .response_wire = &heartbeat_response_wire,
    .request_size = sizeof(struct heartbeat_request),
    .place = API_HERE,
    .handle = heartbeat_handle,
    .refuse = heartbeat_refuse,
};

/* ---- LeaveGroup ---- */

static void leave_finished(struct group_question *question)
{
    struct request *request = question->request;
    const struct leave_group_request *in = request->body;
    const struct groups_call *call = &question->call;
    bool is_single = request->version < LEAVE_VERSION_BATCHED;
    struct leave_group_response out;

    wire_default(&leave_group_response_wire, &out);
    out.error_code = group_code(call->err);
    if (call->err == ERR_OK && is_single) out.error_code = group_code(call->answer.left[0]);
    if (call->err == ERR_OK && !is_single) {
        out.members.at = arena_zalloc(&request->arena,
                                      sizeof(*out.members.at) * (size_t)(call->leave.count + 1));
        out.members.count = call->leave.count;
        for (int i = 0; i < call->leave.count; i++)
            out.members.at[i] = (struct leave_group_response_member){
                .member_id = in->members.at[i].member_id,
                .group_instance_id = in->members.at[i].group_instance_id,
                .error_code = group_code(call->answer.left[i])};
    }
    request_reply(request, &out);
    group_end(question);
}

static const void *leave_refuse(struct request *request, int16_t code)
{
    struct leave_group_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&leave_group_response_wire, out);
    out->error_code = code;
    return out;
}

static void leave_handle(struct request *request)
{
    const struct leave_group_request *in = request->body;
    bool is_single = request->version < LEAVE_VERSION_BATCHED;
    int32_t count = is_single ? 1 : in->members.count < 0 ? 0 : in->members.count;

    if (in->group_id.len == 0) {
        request_fail(request, KAFKA_INVALID_GROUP_ID);
        return;
    }
    struct group_question *question =
        question_new(request, GROUPS_LEAVE, in->group_id, leave_finished);
    struct group_leaver *leavers =
        arena_zalloc(&request->arena, sizeof(*leavers) * (size_t)(count + 1));
    if (is_single) leavers[0] = (struct group_leaver){.member_id = in->member_id};
    for (int32_t i = 0; i < count && !is_single; i++)
        leavers[i] =
            (struct group_leaver){in->members.at[i].member_id, in->members.at[i].group_instance_id};
    question->call.leave.leavers = leavers;
    question->call.leave.count = count;
    group_ask(question);
}

const struct api leave_group_api = {
    .key = API_LEAVE_GROUP,
    .version_min = 0,
    .version_max = 5,
    .request_wire = &leave_group_request_wire,
    .response_wire = &leave_group_response_wire,
    .request_size = sizeof(struct leave_group_request),
    .place = API_HERE,
    .handle = leave_handle,
    .refuse = leave_refuse,
};
