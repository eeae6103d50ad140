#include "tools/groups.h"
#include "base/map.h"
#include "wire/gen/consumer_protocol.h"
#include "wire/gen/delete_groups.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_delete.h"
#include "wire/gen/offset_fetch.h"
#include <stdlib.h>

#define RETRY_MS  200
#define TRIES_MAX 50
#define EARLIEST  (-2)
#define LATEST    (-1)

enum err groups_open(struct groups_session *session, const char *bootstrap, int64_t timeout_ms,
                     int64_t connect_ms)
{
    struct cluster_options options = {
        .bootstrap = bootstrap, .client_id = "consumer-groups-command", .timeout_ms = connect_ms};

    session->timeout_ms = timeout_ms;
    enum err err = cluster_open(&options, &session->cluster, session->message);
    if (err != ERR_OK) return err;
    return cluster_metadata(session->cluster, NULL, -1, false, &session->metadata_request,
                            &session->metadata, session->message);
}

void groups_close(struct groups_session *session)
{
    if (session->metadata != NULL) cluster_request_fini(&session->metadata_request);
    cluster_close(&session->cluster);
}

static enum err refuse(struct groups_session *session, const char *what, int16_t code)
{
    buf_printf(session->message, "%s: %s", what, kafka_error_name(code));
    return ERR_DENIED;
}

/* What passes by itself: the coordinator moves, or reads its log. */
static bool is_passing(int16_t code)
{
    return code == KAFKA_COORDINATOR_LOAD_IN_PROGRESS || code == KAFKA_COORDINATOR_NOT_AVAILABLE ||
           code == KAFKA_NOT_COORDINATOR;
}

/* ---- the coordinator ---- */

static enum err find(struct groups_session *session, struct group_report *report)
{
    int16_t code = KAFKA_NONE;

    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct find_coordinator_request body;
        wire_default(&find_coordinator_request_wire, &body);
        body.key = report->id;
        body.coordinator_keys.at = &report->id;
        body.coordinator_keys.count = 1;
        struct cluster_request request = {.api = API_FIND_COORDINATOR, .body = &body};
        enum err err = cluster_ask(session->cluster, CLUSTER_ANY, true, &request, session->message);
        if (err != ERR_OK) return err;
        const struct find_coordinator_response *r = request.response;
        bool is_batch = request.version >= 4 && r->coordinators.count == 1;
        code = is_batch ? r->coordinators.at[0].error_code : r->error_code;
        report->coordinator = is_batch ? r->coordinators.at[0].node_id : r->node_id;
        report->coordinator_port = is_batch ? r->coordinators.at[0].port : r->port;
        report->coordinator_host =
            arena_copy(session->arena, is_batch ? r->coordinators.at[0].host : r->host);
        cluster_request_fini(&request);
        if (!is_passing(code)) break;
        cluster_wait(session->cluster, RETRY_MS);
    }
    return code == KAFKA_NONE ? ERR_OK : refuse(session, "the coordinator", code);
}

/* Asks the group's coordinator; while `code` says that another has it, or soon will, again. */
static enum err ask(struct groups_session *session, struct group_report *report, enum api_key api,
                    const void *body, int16_t version_max,
                    int16_t (*code)(const void *response, int version),
                    struct cluster_request *request)
{
    for (int tries = 0;; tries++) {
        enum err err = find(session, report);
        *request = (struct cluster_request){.api = api, .body = body, .version_max = version_max};
        if (err == ERR_OK)
            err =
                cluster_ask(session->cluster, report->coordinator, true, request, session->message);
        if (err != ERR_OK) return err;
        if (tries >= TRIES_MAX || !is_passing(code(request->response, request->version)))
            return ERR_OK;
        cluster_request_fini(request);
        cluster_wait(session->cluster, RETRY_MS);
    }
}

/* ---- list ---- */

static int by_id(const void *a, const void *b)
{
    return slice_compare(((const struct group_report *)a)->id,
                         ((const struct group_report *)b)->id);
}

static enum err list_of(struct groups_session *session, int32_t broker,
                        const struct list_groups_response **out, struct cluster_request *request)
{
    static const struct list_groups_request body;

    for (int tries = 0;; tries++) {
        *request = (struct cluster_request){.api = API_LIST_GROUPS, .body = &body};
        enum err err = cluster_ask(session->cluster, broker, true, request, session->message);
        if (err != ERR_OK) return err;
        *out = request->response;
        if ((*out)->error_code == KAFKA_NONE) return ERR_OK;
        int16_t code = (*out)->error_code;
        cluster_request_fini(request);
        if (tries >= TRIES_MAX || !is_passing(code)) return refuse(session, "the list", code);
        cluster_wait(session->cluster, RETRY_MS);
    }
}

enum err groups_all(struct groups_session *session, struct group_report **out, int *count)
{
    struct group_report *all = NULL;
    int n = 0, capacity = 0;

    for (int32_t b = 0; b < session->metadata->brokers.count; b++) {
        struct cluster_request request;
        const struct list_groups_response *list = NULL;
        enum err err = list_of(session, session->metadata->brokers.at[b].node_id, &list, &request);
        if (err != ERR_OK) return err;
        if (n + list->groups.count > capacity) {
            capacity = 2 * (n + list->groups.count);
            struct group_report *more =
                arena_zalloc(session->arena, sizeof(*more) * (size_t)capacity);
            if (n > 0) memcpy(more, all, sizeof(*more) * (size_t)n);
            all = more;
        }
        for (int32_t i = 0; i < list->groups.count; i++)
            all[n++] = (struct group_report){
                .id = arena_copy(session->arena, list->groups.at[i].group_id),
                .protocol_type = arena_copy(session->arena, list->groups.at[i].protocol_type),
                .state = arena_copy(session->arena, list->groups.at[i].group_state),
                .type = arena_copy(session->arena, list->groups.at[i].group_type)};
        cluster_request_fini(&request);
    }
    if (n > 0) qsort(all, (size_t)n, sizeof(*all), by_id);
    *out = all;
    *count = n;
    return ERR_OK;
}

/* ---- describe ---- */

static int16_t describe_code(const void *response, int version)
{
    const struct describe_groups_response *r = response;

    (void)version;
    return r->groups.count > 0 ? r->groups.at[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
}

static void read_assignment(struct groups_session *session, struct slice bytes,
                            struct group_reader *reader)
{
    struct consumer_protocol_assignment assignment;
    int version, count = 0;
    enum err err = wire_read_versioned(bytes, &consumer_protocol_assignment_wire, session->arena,
                                       &version, &assignment);

    if (err != ERR_OK) return; /* another sort of group, or one that is newer */
    for (int32_t t = 0; t < assignment.assigned_partitions.count; t++)
        count += assignment.assigned_partitions.at[t].partitions.count;
    reader->parts = arena_zalloc(session->arena, sizeof(*reader->parts) * (size_t)(count + 1));
    for (int32_t t = 0; t < assignment.assigned_partitions.count; t++) {
        struct slice topic = arena_copy(session->arena, assignment.assigned_partitions.at[t].topic);
        for (int32_t p = 0; p < assignment.assigned_partitions.at[t].partitions.count; p++)
            reader->parts[reader->count++] = (struct group_part){
                .topic = topic, .partition = assignment.assigned_partitions.at[t].partitions.at[p]};
    }
    groups_sort(reader->parts, reader->count);
}

enum err groups_describe(struct groups_session *session, struct group_report *report)
{
    struct describe_groups_request body = {.groups = {&report->id, 1}};
    struct cluster_request request;
    struct arena *arena = session->arena;
    enum err err = ask(session, report, API_DESCRIBE_GROUPS, &body, 0, describe_code, &request);

    if (err != ERR_OK) return err;
    const struct describe_groups_response *response = request.response;
    report->code = describe_code(response, request.version);
    if (report->code == KAFKA_NONE) {
        const struct describe_groups_response_group *from = &response->groups.at[0];
        report->state = arena_copy(arena, from->group_state);
        report->protocol_type = arena_copy(arena, from->protocol_type);
        report->protocol = arena_copy(arena, from->protocol_data);
        report->reader_count = from->members.count < 0 ? 0 : from->members.count;
        report->readers =
            arena_zalloc(arena, sizeof(*report->readers) * (size_t)(report->reader_count + 1));
        for (int i = 0; i < report->reader_count; i++) {
            struct group_reader *reader = &report->readers[i];
            *reader = (struct group_reader){
                .id = arena_copy(arena, from->members.at[i].member_id),
                .instance_id = arena_copy(arena, from->members.at[i].group_instance_id),
                .client_id = arena_copy(arena, from->members.at[i].client_id),
                .host = arena_copy(arena, from->members.at[i].client_host)};
            read_assignment(session, arena_copy(arena, from->members.at[i].member_assignment),
                            reader);
        }
    }
    cluster_request_fini(&request);
    return report->code == KAFKA_NONE ? ERR_OK : refuse(session, "describe", report->code);
}

/* ---- offsets ---- */

static int16_t fetch_code(const void *response, int version)
{
    const struct offset_fetch_response *r = response;

    if (version < 8) return r->error_code;
    return r->groups.count > 0 ? r->groups.at[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
}

static int32_t leader_of(const struct groups_session *session, struct slice topic,
                         int32_t partition)
{
    const struct metadata_response *metadata = session->metadata;

    for (int32_t t = 0; t < metadata->topics.count; t++) {
        const struct metadata_response_topic *at = &metadata->topics.at[t];
        if (!slice_equal(at->name, topic)) continue;
        for (int32_t p = 0; p < at->partitions.count; p++)
            if (at->partitions.at[p].partition_index == partition)
                return at->partitions.at[p].leader_id;
    }
    return -1;
}

static struct group_part part_of(const struct groups_session *session, struct slice topic,
                                 int32_t partition, int64_t committed)
{
    return (struct group_part){.topic = topic,
                               .partition = partition,
                               .committed = committed,
                               .start = GROUPS_NO_OFFSET,
                               .end = GROUPS_NO_OFFSET,
                               .found = GROUPS_NO_OFFSET,
                               .wanted = GROUPS_NO_OFFSET,
                               .leader = leader_of(session, topic, partition),
                               .member = -1};
}

static struct group_part *part_find(struct group_report *report, struct slice topic,
                                    int32_t partition)
{
    for (int i = 0; i < report->part_count; i++)
        if (report->parts[i].partition == partition && slice_equal(report->parts[i].topic, topic))
            return &report->parts[i];
    return NULL;
}

/* Version 8 and later have the topics in the group. */
static void take_offsets(struct groups_session *session, const struct offset_fetch_response *r,
                         int version, struct group_report *report)
{
    int topics = version < 8 ? r->topics.count : r->groups.at[0].topics.count;

    for (int t = 0; t < topics; t++) {
        int count = version < 8 ? r->topics.at[t].partitions.count
                                : r->groups.at[0].topics.at[t].partitions.count;
        struct slice topic = arena_copy(
            session->arena, version < 8 ? r->topics.at[t].name : r->groups.at[0].topics.at[t].name);
        for (int p = 0; p < count; p++) {
            int32_t partition = version < 8
                                    ? r->topics.at[t].partitions.at[p].partition_index
                                    : r->groups.at[0].topics.at[t].partitions.at[p].partition_index;
            int64_t offset = version < 8
                                 ? r->topics.at[t].partitions.at[p].committed_offset
                                 : r->groups.at[0].topics.at[t].partitions.at[p].committed_offset;
            if (offset >= 0)
                report->parts[report->part_count++] = part_of(session, topic, partition, offset);
        }
    }
}

static int fetched_count(const struct offset_fetch_response *r, int version)
{
    int count = 0;

    for (int32_t t = 0; version < 8 && t < r->topics.count; t++)
        count += r->topics.at[t].partitions.count;
    for (int32_t t = 0; version >= 8 && t < r->groups.at[0].topics.count; t++)
        count += r->groups.at[0].topics.at[t].partitions.count;
    return count;
}

enum err groups_offsets(struct groups_session *session, struct group_report *report)
{
    struct offset_fetch_request_group group = {.group_id = report->id, .member_epoch = -1};
    struct offset_fetch_request body;
    struct cluster_request request;
    int count = 0;

    group.topics.count = -1;
    wire_default(&offset_fetch_request_wire, &body);
    body.group_id = report->id;
    body.topics.count = -1;
    body.groups.at = &group;
    body.groups.count = 1;
    enum err err = ask(session, report, API_OFFSET_FETCH, &body, 0, fetch_code, &request);
    if (err != ERR_OK) return err;
    int16_t code = fetch_code(request.response, request.version);
    if (code != KAFKA_NONE) {
        cluster_request_fini(&request);
        return refuse(session, "offsets", code);
    }
    count = fetched_count(request.response, request.version);
    for (int i = 0; i < report->reader_count; i++)
        count += report->readers[i].count;
    report->parts = arena_zalloc(session->arena, sizeof(*report->parts) * (size_t)(count + 1));
    report->part_count = 0;
    take_offsets(session, request.response, request.version, report);
    cluster_request_fini(&request);
    for (int i = 0; i < report->reader_count; i++) {
        for (int p = 0; p < report->readers[i].count; p++) {
            const struct group_part *from = &report->readers[i].parts[p];
            struct group_part *part = part_find(report, from->topic, from->partition);
            if (part == NULL) {
                part = &report->parts[report->part_count++];
                *part = part_of(session, from->topic, from->partition, GROUPS_NO_OFFSET);
            }
            part->member = i;
        }
    }
    groups_sort(report->parts, report->part_count);
    report->has_offsets = true;
    return groups_ends(session, report->parts, report->part_count, -1);
}

/* ---- where logs begin and end ---- */

static void note_end(struct group_part *parts, int count, struct slice topic,
                     const struct list_offsets_response_topic_partition *from, int64_t timestamp)
{
    int64_t offset = from->error_code == KAFKA_NONE ? from->offset : GROUPS_NO_OFFSET;

    if (offset < 0 && from->old_style_offsets.count > 0) offset = from->old_style_offsets.at[0];
    for (int i = 0; i < count; i++) {
        struct group_part *part = &parts[i];
        if (part->partition != from->partition_index || !slice_equal(part->topic, topic)) continue;
        if (timestamp == EARLIEST)
            part->start = offset;
        else if (timestamp == LATEST)
            part->end = offset;
        else
            part->found = offset;
    }
}

static enum err ends_at(struct groups_session *session, int32_t leader, struct group_part *parts,
                        int count, int64_t timestamp)
{
    struct arena *arena = session->arena;
    struct list_offsets_request_topic_partition *at =
        arena_zalloc(arena, sizeof(*at) * (size_t)(count + 1));
    struct list_offsets_request_topic *topics =
        arena_zalloc(arena, sizeof(*topics) * (size_t)(count + 1));
    struct list_offsets_request body;

    wire_default(&list_offsets_request_wire, &body);
    body.replica_id = -1;
    body.topics.at = topics;
    body.topics.count = 0;
    for (int i = 0, n = 0; i < count; i++) {
        if (parts[i].leader != leader) continue;
        struct list_offsets_request_topic *topic = &topics[body.topics.count - 1];
        if (body.topics.count == 0 || !slice_equal(topic->name, parts[i].topic)) {
            topic = &topics[body.topics.count++];
            topic->name = parts[i].topic;
            topic->partitions.at = &at[n];
        }
        at[n++] =
            (struct list_offsets_request_topic_partition){.partition_index = parts[i].partition,
                                                          .current_leader_epoch = -1,
                                                          .timestamp = timestamp,
                                                          .max_num_offsets = 1};
        topic->partitions.count++;
    }
    struct cluster_request request = {.api = API_LIST_OFFSETS, .body = &body, .version_max = 7};
    enum err err = cluster_ask(session->cluster, leader, true, &request, session->message);
    if (err != ERR_OK) return err;
    const struct list_offsets_response *response = request.response;
    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.at[t].partitions.count; p++)
            note_end(parts, count, response->topics.at[t].name,
                     &response->topics.at[t].partitions.at[p], timestamp);
    cluster_request_fini(&request);
    return ERR_OK;
}

enum err groups_ends(struct groups_session *session, struct group_part *parts, int count,
                     int64_t timestamp)
{
    enum err err = ERR_OK;

    for (int32_t b = 0; b < session->metadata->brokers.count && err == ERR_OK; b++) {
        int32_t broker = session->metadata->brokers.at[b].node_id;
        bool leads = false;
        for (int i = 0; i < count; i++)
            leads = leads || parts[i].leader == broker;
        if (!leads) continue;
        if (timestamp >= 0) {
            err = ends_at(session, broker, parts, count, timestamp);
            continue;
        }
        err = ends_at(session, broker, parts, count, LATEST);
        if (err == ERR_OK) err = ends_at(session, broker, parts, count, EARLIEST);
    }
    return err;
}

bool groups_topic(const struct groups_session *session, struct slice topic,
                  struct group_part **parts, int *count)
{
    const struct metadata_response *metadata = session->metadata;

    for (int32_t t = 0; t < metadata->topics.count; t++) {
        const struct metadata_response_topic *at = &metadata->topics.at[t];
        if (!slice_equal(at->name, topic) || at->partitions.count <= 0) continue;
        *count = at->partitions.count;
        *parts = arena_zalloc(session->arena, sizeof(**parts) * (size_t)*count);
        for (int32_t p = 0; p < at->partitions.count; p++)
            (*parts)[p] =
                part_of(session, topic, at->partitions.at[p].partition_index, GROUPS_NO_OFFSET);
        groups_sort(*parts, *count);
        return true;
    }
    return false;
}

/* ---- changes ---- */

static int16_t commit_code(const void *response, int version)
{
    const struct offset_commit_response *r = response;

    (void)version;
    return r->topics.count > 0 && r->topics.at[0].partitions.count > 0
               ? r->topics.at[0].partitions.at[0].error_code
               : KAFKA_NONE;
}

/* Answers come in the broker's order: Apache's puts the partitions of a topic together. */
static void no_codes(struct group_part *parts, int count)
{
    for (int i = 0; i < count; i++)
        parts[i].code = KAFKA_UNKNOWN_SERVER_ERROR;
}

static void note_code(struct group_part *parts, int count, struct slice topic, int32_t partition,
                      int16_t code)
{
    for (int i = 0; i < count; i++)
        if (parts[i].partition == partition && slice_equal(parts[i].topic, topic))
            parts[i].code = code;
}

enum err groups_commit(struct groups_session *session, const struct group_report *report,
                       struct group_part *parts, int count)
{
    struct group_report copy = *report;
    struct arena *arena = session->arena;
    struct offset_commit_request_topic_partition *at =
        arena_zalloc(arena, sizeof(*at) * (size_t)(count + 1));
    struct offset_commit_request_topic *topics =
        arena_zalloc(arena, sizeof(*topics) * (size_t)(count + 1));
    struct offset_commit_request body;
    struct cluster_request request;

    wire_default(&offset_commit_request_wire, &body);
    body.group_id = report->id;
    body.member_id = SLICE("");
    body.topics.at = topics;
    body.topics.count = 0;
    for (int i = 0; i < count; i++) { /* each partition as a topic of its own */
        at[i] =
            (struct offset_commit_request_topic_partition){.partition_index = parts[i].partition,
                                                           .committed_offset = parts[i].wanted,
                                                           .committed_leader_epoch = -1,
                                                           .commit_timestamp = -1,
                                                           .committed_metadata = SLICE("")};
        topics[i].name = parts[i].topic;
        topics[i].partitions.at = &at[i];
        topics[i].partitions.count = 1;
    }
    body.topics.count = count;
    enum err err = ask(session, &copy, API_OFFSET_COMMIT, &body, 0, commit_code, &request);
    if (err != ERR_OK) return err;
    const struct offset_commit_response *response = request.response;
    no_codes(parts, count);
    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.at[t].partitions.count; p++)
            note_code(parts, count, response->topics.at[t].name,
                      response->topics.at[t].partitions.at[p].partition_index,
                      response->topics.at[t].partitions.at[p].error_code);
    cluster_request_fini(&request);
    return ERR_OK;
}

static int16_t delete_offsets_code(const void *response, int version)
{
    (void)version;
    return ((const struct offset_delete_response *)response)->error_code;
}

enum err groups_delete_offsets(struct groups_session *session, const struct group_report *report,
                               struct group_part *parts, int count)
{
    struct group_report copy = *report;
    struct arena *arena = session->arena;
    struct offset_delete_request_topic_partition *at =
        arena_zalloc(arena, sizeof(*at) * (size_t)(count + 1));
    struct offset_delete_request_topic *topics =
        arena_zalloc(arena, sizeof(*topics) * (size_t)(count + 1));
    struct offset_delete_request body = {.group_id = report->id, .topics = {topics, count}};
    struct cluster_request request;

    for (int i = 0; i < count; i++) {
        at[i].partition_index = parts[i].partition;
        topics[i].name = parts[i].topic;
        topics[i].partitions.at = &at[i];
        topics[i].partitions.count = 1;
    }
    enum err err = ask(session, &copy, API_OFFSET_DELETE, &body, 0, delete_offsets_code, &request);
    if (err != ERR_OK) return err;
    const struct offset_delete_response *response = request.response;
    int16_t code = response->error_code;
    no_codes(parts, count);
    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.at[t].partitions.count; p++)
            note_code(parts, count, response->topics.at[t].name,
                      response->topics.at[t].partitions.at[p].partition_index,
                      response->topics.at[t].partitions.at[p].error_code);
    cluster_request_fini(&request);
    return code == KAFKA_NONE ? ERR_OK : refuse(session, "delete-offsets", code);
}

static int16_t delete_code(const void *response, int version)
{
    const struct delete_groups_response *r = response;

    (void)version;
    return r->results.count > 0 ? r->results.at[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
}

enum err groups_delete(struct groups_session *session, struct group_report *report)
{
    struct delete_groups_request body = {.groups_names = {&report->id, 1}};
    struct cluster_request request;
    enum err err = ask(session, report, API_DELETE_GROUPS, &body, 0, delete_code, &request);

    if (err != ERR_OK) return err;
    report->code = delete_code(request.response, request.version);
    cluster_request_fini(&request);
    return ERR_OK;
}
