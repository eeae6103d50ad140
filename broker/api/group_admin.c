/* broker/api/group_admin.c - DescribeGroups, ListGroups, DeleteGroups. */
#include "base/ensure.h"
#include "base/map.h"
#include "broker/api/group_calls.h"
#include "broker/api/table.h"
#include "wire/gen/delete_groups.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/list_groups.h"
#include "wire/protocol.h"
#include <strings.h>

/* Bits of operations, when there is no authorizer: all that a group knows. */
#define OPERATIONS_GROUP 328 /* read, delete, describe */

static void *zalloc(struct request *request, int32_t count, size_t size)
{
    return arena_zalloc(&request->arena, (size_t)(count <= 0 ? 1 : count) * size);
}

/* The same question about many groups. */
struct many {
    struct request *request;
    struct group_question *questions;
    int count, open;
    void (*finished)(struct many *many);
};

static void many_let_go(struct many *many)
{
    ensure(many->open > 0);
    if (--many->open > 0) return;
    many->finished(many);
    for (int i = 0; i < many->count; i++)
        group_end(&many->questions[i]);
}

static void many_one_finished(struct group_question *question)
{
    many_let_go(question->to);
}

static void many_ask(struct request *request, enum groups_call_kind kind,
                     const struct slice *groups, int32_t count, void (*finished)(struct many *many))
{
    struct many *many = zalloc(request, 1, sizeof(*many));

    many->request = request;
    many->count = count;
    many->open = count + 1;
    many->finished = finished;
    many->questions = zalloc(request, count, sizeof(*many->questions));
    for (int32_t i = 0; i < count; i++) {
        struct group_question *question = &many->questions[i];
        question->request = request;
        question->call.kind = kind;
        question->call.group = groups[i];
        question->finished = many_one_finished;
        question->to = many;
        group_ask(question);
    }
    many_let_go(many);
}

/* ---- DescribeGroups ---- */

static void describe_fill(struct request *request, const struct groups_call *call,
                          struct describe_groups_response_group *out)
{
    const struct describe_groups_request *in = request->body;
    const struct groups_description *from = &call->described;
    int count = call->err == ERR_OK ? from->member_count : 0;

    out->error_code = group_code(call->err);
    out->group_id = call->group;
    out->authorized_operations =
        in->include_authorized_operations && call->err == ERR_OK ? OPERATIONS_GROUP : INT32_MIN;
    out->group_state = out->protocol_type = out->protocol_data = SLICE("");
    if (call->err != ERR_OK) return;
    out->group_state = slice_text(group_state_name(from->state));
    out->protocol_type = from->protocol_type;
    out->protocol_data = from->protocol;
    out->members.at = zalloc(request, count, sizeof(*out->members.at));
    out->members.count = count;
    for (int i = 0; i < count; i++)
        out->members.at[i] = (struct describe_groups_response_group_member){
            .member_id = from->members[i].id,
            .group_instance_id = from->members[i].instance_id,
            .client_id = from->members[i].client_id,
            .client_host = from->members[i].client_host,
            .member_metadata = from->members[i].metadata,
            .member_assignment = from->members[i].assignment};
}

static void describe_finished(struct many *many)
{
    struct request *request = many->request;
    struct describe_groups_response out;

    wire_default(&describe_groups_response_wire, &out);
    out.groups.at = zalloc(request, many->count, sizeof(*out.groups.at));
    out.groups.count = many->count;
    for (int i = 0; i < many->count; i++)
        describe_fill(request, &many->questions[i].call, &out.groups.at[i]);
    request_reply(request, &out);
}

static void describe_handle(struct request *request)
{
    const struct describe_groups_request *in = request->body;

    many_ask(request, GROUPS_DESCRIBE, in->groups.at, in->groups.count < 0 ? 0 : in->groups.count,
             describe_finished);
}

static const void *describe_refuse(struct request *request, int16_t code)
{
    const struct describe_groups_request *in = request->body;
    struct describe_groups_response *out = zalloc(request, 1, sizeof(*out));
    int32_t count = in->groups.count < 0 ? 0 : in->groups.count;

    wire_default(&describe_groups_response_wire, out);
    out->groups.at = zalloc(request, count, sizeof(*out->groups.at));
    out->groups.count = count;
    for (int32_t i = 0; i < count; i++) {
        out->groups.at[i].group_id = in->groups.at[i];
        out->groups.at[i].error_code = code;
        out->groups.at[i].authorized_operations = INT32_MIN;
    }
    return out;
}

const struct api describe_groups_api = {
    .key = API_DESCRIBE_GROUPS,
    .version_min = 0,
    .version_max = 5,
    .request_wire = &describe_groups_request_wire,
    .response_wire = &describe_groups_response_wire,
    .request_size = sizeof(struct describe_groups_request),
    .place = API_HERE,
    .handle = describe_handle,
    .refuse = describe_refuse,
};

/* ---- DeleteGroups ---- */

static void delete_finished(struct many *many)
{
    struct request *request = many->request;
    struct delete_groups_response out;

    wire_default(&delete_groups_response_wire, &out);
    out.results.at = zalloc(request, many->count, sizeof(*out.results.at));
    out.results.count = many->count;
    for (int i = 0; i < many->count; i++)
        out.results.at[i] = (struct delete_groups_response_result){
            .group_id = many->questions[i].call.group,
            .error_code = group_code(many->questions[i].call.err)};
    request_reply(request, &out);
}

static void delete_handle(struct request *request)
{
    const struct delete_groups_request *in = request->body;
    int32_t count = in->groups_names.count < 0 ? 0 : in->groups_names.count, kept = 0;
    struct slice *groups = zalloc(request, count, sizeof(*groups));
    struct map seen;

    /* A name that comes twice is one. */
    map_init(&seen);
    for (int32_t i = 0; i < count; i++)
        if (map_set(&seen, in->groups_names.at[i], &seen) == NULL)
            groups[kept++] = in->groups_names.at[i];
    map_fini(&seen);
    many_ask(request, GROUPS_DELETE, groups, kept, delete_finished);
}

static const void *delete_refuse(struct request *request, int16_t code)
{
    const struct delete_groups_request *in = request->body;
    struct delete_groups_response *out = zalloc(request, 1, sizeof(*out));
    int32_t count = in->groups_names.count < 0 ? 0 : in->groups_names.count;

    wire_default(&delete_groups_response_wire, out);
    out->results.at = zalloc(request, count, sizeof(*out->results.at));
    out->results.count = count;
    for (int32_t i = 0; i < count; i++)
        out->results.at[i] = (struct delete_groups_response_result){
            .group_id = in->groups_names.at[i], .error_code = code};
    return out;
}

const struct api delete_groups_api = {
    .key = API_DELETE_GROUPS,
    .version_min = 0,
    .version_max = 2,
    .request_wire = &delete_groups_request_wire,
    .response_wire = &delete_groups_response_wire,
    .request_size = sizeof(struct delete_groups_request),
    .place = API_HERE,
    .handle = delete_handle,
    .refuse = delete_refuse,
};

/* ---- ListGroups ---- */

/* No filter lets all pass; names are compared without regard to case. */
static bool passes(const struct slice *filter, int32_t count, const char *name)
{
    size_t len = strlen(name);

    for (int32_t i = 0; i < count; i++)
        if (filter[i].len == len && strncasecmp((const char *)filter[i].ptr, name, len) == 0)
            return true;
    return count <= 0;
}

static void list_finished(struct group_lists *lists)
{
    struct request *request = lists->request;
    const struct list_groups_request *in = request->body;
    struct list_groups_response out;
    int total = 0;

    for (int i = 0; i < lists->part_count; i++)
        total += lists->parts[i].count;
    wire_default(&list_groups_response_wire, &out);
    out.groups.at = zalloc(request, total, sizeof(*out.groups.at));
    out.groups.count = 0;
    for (int i = 0; i < lists->part_count; i++) {
        for (int g = 0; g < lists->parts[i].count; g++) {
            const struct groups_listed *from = &lists->parts[i].groups[g];
            const char *state = group_state_name(from->state);
            const char *type = group_type_name(from->type);
            if (!passes(in->states_filter.at, in->states_filter.count, state) ||
                !passes(in->types_filter.at, in->types_filter.count, type))
                continue;
            out.groups.at[out.groups.count++] =
                (struct list_groups_response_group){.group_id = from->id,
                                                    .protocol_type = from->protocol_type,
                                                    .group_state = slice_text(state),
                                                    .group_type = slice_text(type)};
        }
    }
    if (lists->is_loading) out.error_code = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    request_reply(request, &out);
    group_lists_end(lists);
}

static void list_handle(struct request *request)
{
    struct group_lists *lists = zalloc(request, 1, sizeof(*lists));

    lists->request = request;
    lists->finished = list_finished;
    group_lists_ask(lists);
}

static const void *list_refuse(struct request *request, int16_t code)
{
    struct list_groups_response *out = zalloc(request, 1, sizeof(*out));

    wire_default(&list_groups_response_wire, out);
    out->error_code = code;
    return out;
}

const struct api list_groups_api = {
    .key = API_LIST_GROUPS,
    .version_min = 0,
    .version_max = 5,
    .request_wire = &list_groups_request_wire,
    .response_wire = &list_groups_response_wire,
    .request_size = sizeof(struct list_groups_request),
    .place = API_HERE,
    .handle = list_handle,
    .refuse = list_refuse,
};
