#include "tools/member.h"
#include "base/ensure.h"
#include "wire/gen/consumer_protocol.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/heartbeat.h"
#include "wire/gen/join_group.h"
#include "wire/gen/leave_group.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/sync_group.h"
#include <stdio.h>
#include <stdlib.h>

#define PROTOCOL_TYPE     SLICE("consumer")
#define PROTOCOL_VERSION  1
#define JOIN_EXTRA_MS     5000 /* a join is answered after the rebalance timeout at the latest */
#define SYNC_TIMEOUT_MS   30000
#define FETCH_VERSION_MAX 7 /* one group a request */
#define NO_GENERATION     (-1)
#define LEAVE_TIMEOUT_MS  5000
#define VERSION_INSTANCES 5 /* JoinGroup's that knows static members */
#define ARENA_BYTES_MAX   (256 << 20)
#define COORDINATOR_NONE  (-1)
#define NO_COMMIT         INT64_MIN

struct member {
    struct cluster *cluster;
    struct consumer *consumer;
    struct member_options options;
    int32_t coordinator;
    char *id; /* "": none yet */
    int32_t generation;
    bool is_joined, is_leader;
    enum assignor assignor;
    struct arena arena; /* of one joining */

    /* What all read, as the leader saw it; what we read, as we saw it. */
    struct buf topics_seen;
    struct instant look_at, commit_at;

    struct timer beat;
    struct cluster_request heartbeat;
    struct heartbeat_request heartbeat_body;
    bool is_beating;
    int16_t verdict; /* of the last heartbeat, until it has been acted upon */
    bool has_lost_coordinator;
};

static struct shard *shard_of(const struct member *m)
{
    return cluster_shard(m->cluster);
}

static struct instant now(const struct member *m)
{
    return env_now(shard_of(m)->env);
}

static bool is_over(const struct member *m)
{
    return m->options.is_over(m->options.owner);
}

/* False when the user has lost patience. */
static bool back_off(struct member *m)
{
    if (!is_over(m)) cluster_wait(m->cluster, m->options.retry_backoff_ms);
    return !is_over(m);
}

static enum err refuse(struct buf *message, const struct member *m, const char *what, int16_t code)
{
    buf_printf(message, "group %s: %s: %s", m->options.group, what, kafka_error_name(code));
    return ERR_DENIED;
}

static bool is_about_coordinator(int16_t code)
{
    return code == KAFKA_COORDINATOR_NOT_AVAILABLE || code == KAFKA_NOT_COORDINATOR ||
           code == KAFKA_COORDINATOR_LOAD_IN_PROGRESS || code == KAFKA_REQUEST_TIMED_OUT;
}

/* The group goes on without us, or without the id that we had. */
static bool is_about_membership(int16_t code)
{
    return code == KAFKA_UNKNOWN_MEMBER_ID || code == KAFKA_ILLEGAL_GENERATION ||
           code == KAFKA_REBALANCE_IN_PROGRESS;
}

static void set_id(struct member *m, struct slice id)
{
    free(m->id);
    m->id = ensure_strndup(id.ptr, id.len);
}

static struct slice instance_of(const struct member *m)
{
    return m->options.instance_id == NULL ? SLICE_NULL : slice_text(m->options.instance_id);
}

/* ---- questions that are waited for ---- */

static void note_done(struct cluster_request *request)
{
    *(bool *)request->owner = true;
}

/* Gives up when the user does: then ERR_CANCELLED. */
static enum err ask(struct member *m, int32_t node, struct cluster_request *request)
{
    bool is_done = false, is_cancelled = false;

    request->done = note_done;
    request->owner = &is_done;
    cluster_send(m->cluster, node, request);
    while (!is_done) {
        cluster_turn(m->cluster);
        if (is_done || is_cancelled || !is_over(m)) continue;
        is_cancelled = true;
        peer_cancel(&request->call);
    }
    return request->err;
}

/* Who coordinates the group; COORDINATOR_NONE when the user has lost patience. */
static enum err find_coordinator(struct member *m, struct buf *message)
{
    struct find_coordinator_request body;
    struct slice key = slice_text(m->options.group);

    while (m->coordinator == COORDINATOR_NONE && !is_over(m)) {
        wire_default(&find_coordinator_request_wire, &body);
        body.key = key;
        body.coordinator_keys.at = &key;
        body.coordinator_keys.count = 1;
        struct cluster_request request = {.api = API_FIND_COORDINATOR, .body = &body};
        enum err err = cluster_ask(m->cluster, CLUSTER_ANY, true, &request, message);
        if (err != ERR_OK) return err;
        const struct find_coordinator_response *r = request.response;
        bool is_batch = request.version >= 4 && r->coordinators.count == 1;
        int16_t code = is_batch ? r->coordinators.at[0].error_code : r->error_code;
        int32_t node = is_batch ? r->coordinators.at[0].node_id : r->node_id;
        cluster_request_fini(&request);
        if (code == KAFKA_NONE)
            m->coordinator = node;
        else if (!is_about_coordinator(code))
            return refuse(message, m, "its coordinator", code);
        else if (!back_off(m))
            break;
    }
    return ERR_OK;
}

/* The coordinator did not answer, or is none: it is looked for again. */
static void lose_coordinator(struct member *m)
{
    m->coordinator = COORDINATOR_NONE;
    (void)back_off(m);
}

/* ---- topics ---- */

/* All topics there are; borrowed from `request`. */
static enum err take_topics(struct member *m, struct cluster_request *request,
                            const struct metadata_response **out, struct buf *message)
{
    return cluster_metadata(m->cluster, NULL, -1, false, request, out, message);
}

static bool is_usable(const struct metadata_response_topic *topic)
{
    return topic->error_code == KAFKA_NONE && !slice_is_null(topic->name);
}

static bool is_wanted(const struct member *m, const struct metadata_response_topic *topic)
{
    return is_usable(topic) && m->options.wants(m->options.owner, topic->name, topic->is_internal);
}

/* What a rebalance depends on: of a leader all topics with their partitions, else which topics we
 * want. */
static void describe_topics(const struct member *m, const struct metadata_response *metadata,
                            struct buf *out)
{
    buf_clear(out);
    for (int32_t i = 0; i < metadata->topics.count; i++) {
        const struct metadata_response_topic *topic = &metadata->topics.at[i];
        if (!is_wanted(m, topic)) continue;
        buf_printf(out, "%.*s %d\n", SLICE_ARGS(topic->name),
                   m->is_leader ? topic->partitions.count : 0);
    }
}

static struct buf subscription_of(struct member *m, const struct metadata_response *metadata)
{
    struct consumer_protocol_subscription body;
    struct buf out = {0};
    struct slice *names =
        arena_zalloc(&m->arena, sizeof(*names) * (size_t)(metadata->topics.count + 1));

    wire_default(&consumer_protocol_subscription_wire, &body);
    body.topics.at = names;
    for (int32_t i = 0; i < metadata->topics.count; i++)
        if (is_wanted(m, &metadata->topics.at[i]))
            names[body.topics.count++] = metadata->topics.at[i].name;
    wire_write_versioned(&out, PROTOCOL_VERSION, &consumer_protocol_subscription_wire, &body);
    return out;
}

/* ---- as leader ---- */

static void read_subscription(struct member *m, const struct join_group_response_member *from,
                              struct assignor_member *to)
{
    struct consumer_protocol_subscription body;
    int version;

    *to = (struct assignor_member){.id = from->member_id, .instance_id = from->group_instance_id};
    if (wire_read_versioned(from->metadata, &consumer_protocol_subscription_wire, &m->arena,
                            &version, &body) != ERR_OK)
        return; /* it reads nothing */
    to->topics = body.topics.at;
    to->topic_count = body.topics.count < 0 ? 0 : body.topics.count;
}

static struct slice assignment_of(struct arena *arena, const struct assignor_member *member)
{
    size_t most = (size_t)member->part_count + 1;
    struct consumer_protocol_assignment_assigned_partition *topics =
        arena_zalloc(arena, sizeof(*topics) * most);
    int32_t *partitions = arena_zalloc(arena, sizeof(*partitions) * most);
    struct consumer_protocol_assignment body;
    struct buf out = {0};
    int count = 0;

    for (int i = 0; i < member->part_count; i++) {
        partitions[i] = member->parts[i].partition;
        if (count == 0 || !slice_equal(topics[count - 1].topic, member->parts[i].topic)) {
            topics[count].topic = member->parts[i].topic;
            topics[count++].partitions.at = &partitions[i];
        }
        topics[count - 1].partitions.count++;
    }
    wire_default(&consumer_protocol_assignment_wire, &body);
    body.assigned_partitions.at = topics;
    body.assigned_partitions.count = count;
    wire_write_versioned(&out, PROTOCOL_VERSION, &consumer_protocol_assignment_wire, &body);
    struct slice bytes = arena_copy(arena, buf_slice(&out));
    buf_fini(&out);
    return bytes;
}

static void assign(struct member *m, const struct join_group_response *joined,
                   const struct metadata_response *metadata,
                   struct sync_group_request_assignment **out)
{
    size_t count = (size_t)joined->members.count;
    struct assignor_member *members = arena_zalloc(&m->arena, sizeof(*members) * (count + 1));
    struct assignor_topic *topics =
        arena_zalloc(&m->arena, sizeof(*topics) * (size_t)(metadata->topics.count + 1));
    int topic_count = 0;

    for (int32_t i = 0; i < metadata->topics.count; i++)
        if (is_usable(&metadata->topics.at[i]))
            topics[topic_count++] = (struct assignor_topic){
                metadata->topics.at[i].name, metadata->topics.at[i].partitions.count};
    for (size_t i = 0; i < count; i++)
        read_subscription(m, &joined->members.at[i], &members[i]);
    assignor_assign(m->assignor, &m->arena, members, (int)count, topics, topic_count);
    *out = arena_zalloc(&m->arena, sizeof(**out) * (count + 1));
    for (size_t i = 0; i < count; i++)
        (*out)[i] = (struct sync_group_request_assignment){
            .member_id = members[i].id, .assignment = assignment_of(&m->arena, &members[i])};
}

/* ---- commits ---- */

static void fill_commit(struct member *m, struct consumer_part *parts, int count,
                        struct offset_commit_request *body)
{
    struct offset_commit_request_topic *topics =
        arena_zalloc(&m->arena, sizeof(*topics) * (size_t)(count + 1));
    struct offset_commit_request_topic_partition *at =
        arena_zalloc(&m->arena, sizeof(*at) * (size_t)(count + 1));
    int known = 0;

    for (int i = 0; i < count; i++) {
        if (parts[i].offset < 0) continue; /* nothing has been read of it */
        at[known] =
            (struct offset_commit_request_topic_partition){.partition_index = parts[i].partition,
                                                           .committed_offset = parts[i].offset,
                                                           .committed_leader_epoch = -1,
                                                           .commit_timestamp = -1,
                                                           .committed_metadata = SLICE("")};
        topics[known].name = parts[i].topic;
        topics[known].partitions.at = &at[known];
        topics[known].partitions.count = 1;
        known++;
    }
    wire_default(&offset_commit_request_wire, body);
    body->group_id = slice_text(m->options.group);
    body->generation_id_or_member_epoch = m->generation;
    body->member_id = slice_text(m->id);
    body->group_instance_id = instance_of(m);
    body->topics.at = topics;
    body->topics.count = known;
}

/* The worst of its partitions. */
static int16_t code_of_commit(const struct offset_commit_response *response)
{
    int16_t code = KAFKA_NONE;

    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.at[t].partitions.count; p++)
            if (response->topics.at[t].partitions.at[p].error_code != KAFKA_NONE)
                code = response->topics.at[t].partitions.at[p].error_code;
    return code;
}

/* What has been handed over. One that does not come through is made good by the next. */
static void commit(struct member *m)
{
    int count = consumer_count(m->consumer);
    struct offset_commit_request body;

    m->commit_at =
        m->options.commit_ms < 0 ? INSTANT_NEVER : instant_add_ms(now(m), m->options.commit_ms);
    if (!m->is_joined || m->coordinator == COORDINATOR_NONE || count == 0) return;
    arena_reset(&m->arena);
    struct consumer_part *parts = arena_zalloc(&m->arena, sizeof(*parts) * (size_t)count);
    consumer_positions(m->consumer, parts);
    fill_commit(m, parts, count, &body);
    if (body.topics.count == 0) return;
    struct cluster_request request = {
        .api = API_OFFSET_COMMIT, .body = &body, .timeout_ms = LEAVE_TIMEOUT_MS};
    bool is_done = false;
    request.done = note_done;
    request.owner = &is_done;
    cluster_send(m->cluster, m->coordinator, &request);
    while (!is_done) /* also when the user has lost patience: it has its time-out */
        cluster_turn(m->cluster);
    int16_t code = request.err == ERR_OK ? code_of_commit(request.response) : KAFKA_NONE;
    if (request.err != ERR_OK || is_about_coordinator(code)) m->has_lost_coordinator = true;
    if (is_about_membership(code) || code == KAFKA_FENCED_INSTANCE_ID) m->verdict = code;
    if (code != KAFKA_NONE && !is_about_membership(code) && !is_about_coordinator(code))
        fprintf(stderr, "group %s: a commit was refused: %s\n", m->options.group,
                kafka_error_name(code));
    cluster_request_fini(&request);
}

/* ---- heartbeats ---- */

static void beat_came(struct cluster_request *request)
{
    struct member *m = request->owner;
    const struct heartbeat_response *response = request->response;

    m->is_beating = false;
    if (request->err != ERR_OK) {
        m->has_lost_coordinator = true;
    } else if (is_about_coordinator(response->error_code)) {
        m->has_lost_coordinator = true;
    } else if (response->error_code != KAFKA_NONE && m->verdict == KAFKA_NONE) {
        m->verdict = response->error_code;
    }
    cluster_request_fini(request);
}

static void beat(struct timer *timer)
{
    struct member *m = (struct member *)(void *)((char *)timer - offsetof(struct member, beat));

    timer_arm(shard_of(m), &m->beat, instant_add_ms(now(m), m->options.heartbeat_ms));
    if (!m->is_joined || m->is_beating || m->coordinator == COORDINATOR_NONE) return;
    wire_default(&heartbeat_request_wire, &m->heartbeat_body);
    m->heartbeat_body.group_id = slice_text(m->options.group);
    m->heartbeat_body.generation_id = m->generation;
    m->heartbeat_body.member_id = slice_text(m->id);
    m->heartbeat_body.group_instance_id = instance_of(m);
    m->is_beating = true;
    m->heartbeat = (struct cluster_request){.api = API_HEARTBEAT,
                                            .body = &m->heartbeat_body,
                                            .timeout_ms = m->options.session_ms,
                                            .done = beat_came,
                                            .owner = m};
    cluster_send(m->cluster, m->coordinator, &m->heartbeat);
}

/* The body is borrowed while it is under way: the id must not change. */
static void end_beating(struct member *m)
{
    if (m->is_beating) peer_cancel(&m->heartbeat.call);
    while (m->is_beating)
        cluster_turn(m->cluster);
}

/* ---- joining ---- */

/* What a code of Join or Sync means. ERR_OK: once more. */
static enum err take_code(struct member *m, const char *what, int16_t code, struct slice id,
                          struct buf *message)
{
    if (code == KAFKA_MEMBER_ID_REQUIRED) {
        set_id(m, id);
    } else if (code == KAFKA_UNKNOWN_MEMBER_ID) {
        set_id(m, SLICE(""));
    } else if (is_about_coordinator(code)) {
        lose_coordinator(m);
    } else if (!is_about_membership(code)) {
        return refuse(message, m, what, code);
    }
    return ERR_OK;
}

static enum err join(struct member *m, struct slice subscription, struct cluster_request *request)
{
    struct join_group_request body;
    struct join_group_request_protocol protocols[ASSIGNOR_COUNT];

    for (int i = 0; i < m->options.assignor_count; i++)
        protocols[i] = (struct join_group_request_protocol){
            .name = slice_text(assignor_name(m->options.assignors[i])), .metadata = subscription};
    wire_default(&join_group_request_wire, &body);
    body.group_id = slice_text(m->options.group);
    body.session_timeout_ms = m->options.session_ms;
    body.rebalance_timeout_ms = m->options.rebalance_ms;
    body.member_id = slice_text(m->id);
    body.group_instance_id = instance_of(m);
    body.protocol_type = PROTOCOL_TYPE;
    body.protocols.at = protocols;
    body.protocols.count = m->options.assignor_count;
    *request = (struct cluster_request){
        .api = API_JOIN_GROUP,
        .body = &body,
        .version_min = (int16_t)(m->options.instance_id == NULL ? 0 : VERSION_INSTANCES),
        .timeout_ms = (int64_t)m->options.rebalance_ms + JOIN_EXTRA_MS};
    enum err err = ask(m, m->coordinator, request);
    request->body = NULL;
    return err;
}

static enum err sync_with(struct member *m, const struct join_group_response *joined,
                          const struct metadata_response *metadata, struct cluster_request *request)
{
    struct sync_group_request_assignment *assignments = NULL;
    struct sync_group_request body;

    wire_default(&sync_group_request_wire, &body);
    body.group_id = slice_text(m->options.group);
    body.generation_id = m->generation;
    body.member_id = slice_text(m->id);
    body.group_instance_id = instance_of(m);
    body.protocol_type = PROTOCOL_TYPE;
    body.protocol_name = slice_text(assignor_name(m->assignor));
    if (m->is_leader && !joined->skip_assignment) {
        assign(m, joined, metadata, &assignments);
        body.assignments.at = assignments;
        body.assignments.count = joined->members.count;
    }
    *request =
        (struct cluster_request){.api = API_SYNC_GROUP,
                                 .body = &body,
                                 .timeout_ms = (int64_t)m->options.rebalance_ms + SYNC_TIMEOUT_MS};
    enum err err = ask(m, m->coordinator, request);
    request->body = NULL;
    return err;
}

/* Which partitions are ours: in the arena. */
static enum err read_assignment(struct member *m, struct slice bytes, struct consumer_part **out,
                                int *count, struct buf *message)
{
    struct consumer_protocol_assignment body;
    size_t total = 0;
    int version;

    *count = 0;
    *out = NULL;
    if (bytes.len == 0) return ERR_OK; /* whoever leads has forgotten us: we read nothing */
    enum err err =
        wire_read_versioned(bytes, &consumer_protocol_assignment_wire, &m->arena, &version, &body);
    if (err != ERR_OK) {
        buf_printf(message, "group %s: the assignment cannot be read", m->options.group);
        return err;
    }
    for (int32_t t = 0; t < body.assigned_partitions.count; t++)
        if (body.assigned_partitions.at[t].partitions.count > 0)
            total += (size_t)body.assigned_partitions.at[t].partitions.count;
    *out = arena_zalloc(&m->arena, sizeof(**out) * (total + 1));
    for (int32_t t = 0; t < body.assigned_partitions.count; t++)
        for (int32_t p = 0; p < body.assigned_partitions.at[t].partitions.count; p++)
            (*out)[(*count)++] = (struct consumer_part){
                .topic = arena_copy(&m->arena, body.assigned_partitions.at[t].topic),
                .partition = body.assigned_partitions.at[t].partitions.at[p],
                .offset = m->options.start == 0 ? NO_COMMIT : m->options.start};
    return ERR_OK;
}

static struct consumer_part *part_of(struct consumer_part *parts, int count, struct slice topic,
                                     int32_t partition)
{
    for (int i = 0; i < count; i++)
        if (parts[i].partition == partition && slice_equal(parts[i].topic, topic)) return &parts[i];
    return NULL;
}

/* Where each begins. `*code` is the worst; KAFKA_NONE: all is known. */
static void take_offsets(struct consumer_part *parts, int count,
                         const struct offset_fetch_response *response, int16_t *code)
{
    *code = response->error_code;
    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.at[t].partitions.count; p++) {
            const struct offset_fetch_response_topic_partition *from =
                &response->topics.at[t].partitions.at[p];
            struct consumer_part *to =
                part_of(parts, count, response->topics.at[t].name, from->partition_index);
            if (from->error_code != KAFKA_NONE) *code = from->error_code;
            if (to != NULL && from->committed_offset >= 0) to->offset = from->committed_offset;
        }
}

static enum err fetch_offsets(struct member *m, struct consumer_part *parts, int count,
                              struct buf *message)
{
    struct offset_fetch_request_topic *topics =
        arena_zalloc(&m->arena, sizeof(*topics) * (size_t)(count + 1));
    struct offset_fetch_request body;

    wire_default(&offset_fetch_request_wire, &body);
    body.group_id = slice_text(m->options.group);
    body.require_stable = m->options.read_committed;
    body.topics.at = topics;
    body.topics.count = count;
    for (int i = 0; i < count; i++) {
        topics[i].name = parts[i].topic;
        topics[i].partition_indexes.at = &parts[i].partition;
        topics[i].partition_indexes.count = 1;
    }
    while (count > 0 && !is_over(m)) {
        enum err err = find_coordinator(m, message);
        if (err != ERR_OK) return err;
        struct cluster_request request = {.api = API_OFFSET_FETCH,
                                          .body = &body,
                                          .version_min = 1,
                                          .version_max = FETCH_VERSION_MAX};
        if (m->coordinator == COORDINATOR_NONE) return ERR_OK;
        err = ask(m, m->coordinator, &request);
        int16_t code = KAFKA_COORDINATOR_NOT_AVAILABLE;
        if (err == ERR_OK) take_offsets(parts, count, request.response, &code);
        cluster_request_fini(&request);
        if (code == KAFKA_NONE) return ERR_OK;
        if (code == KAFKA_UNSTABLE_OFFSET_COMMIT)
            (void)back_off(m);
        else if (is_about_coordinator(code))
            lose_coordinator(m);
        else
            return refuse(message, m, "its offsets", code);
    }
    return ERR_OK;
}

static enum err begin_reading(struct member *m, struct slice assignment, struct buf *message)
{
    struct consumer_part *parts;
    int count;

    enum err err = read_assignment(m, assignment, &parts, &count, message);
    if (err == ERR_OK) err = fetch_offsets(m, parts, count, message);
    for (int i = 0; i < count && err == ERR_OK; i++) {
        if (parts[i].offset != NO_COMMIT) continue;
        buf_printf(message, "group %s: %.*s-%d has no committed offset", m->options.group,
                   SLICE_ARGS(parts[i].topic), parts[i].partition);
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK && !is_over(m)) consumer_assign(m->consumer, parts, count);
    return err;
}

/* After a good join. `*is_in`: the group is stable, and we read. */
static enum err go_on(struct member *m, const struct join_group_response *joined,
                      const struct metadata_response *metadata, bool *is_in, struct buf *message)
{
    struct cluster_request request;

    set_id(m, joined->member_id);
    m->generation = joined->generation_id;
    m->is_leader = slice_equal(joined->leader, joined->member_id);
    if (!slice_is_null(joined->protocol_name) &&
        assignor_find(joined->protocol_name, &m->assignor) != ERR_OK) {
        buf_printf(message, "group %s: its strategy %.*s is none of ours", m->options.group,
                   SLICE_ARGS(joined->protocol_name));
        return ERR_UNSUPPORTED;
    }
    describe_topics(m, metadata, &m->topics_seen);
    m->is_joined = true; /* beats from here on: the others may take their time */
    enum err err = sync_with(m, joined, metadata, &request);
    if (err != ERR_OK) {
        lose_coordinator(m);
        return ERR_OK;
    }
    const struct sync_group_response *synced = request.response;
    int16_t code = synced->error_code;
    if (code == KAFKA_NONE) {
        err = begin_reading(m, synced->assignment, message);
        *is_in = err == ERR_OK;
    } else {
        end_beating(m);
        m->is_joined = false;
        err = take_code(m, "to take part in it", code, SLICE(""), message);
    }
    cluster_request_fini(&request);
    return err;
}

/* One try. */
static enum err try_to_join(struct member *m, bool *is_in, struct buf *message)
{
    const struct metadata_response *metadata;
    struct cluster_request about, request;

    end_beating(m);
    m->is_joined = false;
    arena_reset(&m->arena);
    enum err err = find_coordinator(m, message);
    if (err != ERR_OK || m->coordinator == COORDINATOR_NONE) return err;
    err = take_topics(m, &about, &metadata, message);
    if (err != ERR_OK) return err;
    struct buf subscription = subscription_of(m, metadata);
    err = join(m, buf_slice(&subscription), &request);
    buf_fini(&subscription);
    if (err != ERR_OK) {
        lose_coordinator(m);
        err = err == ERR_UNSUPPORTED ? err : ERR_OK;
        if (err != ERR_OK) buf_add_text(message, "the broker speaks no version that we do");
        cluster_request_fini(&about);
        return err;
    }
    const struct join_group_response *joined = request.response;
    if (joined->error_code == KAFKA_NONE)
        err = go_on(m, joined, metadata, is_in, message);
    else
        err = take_code(m, "to join it", joined->error_code, joined->member_id, message);
    cluster_request_fini(&request);
    cluster_request_fini(&about);
    return err;
}

/* Until it is in, or the user has lost patience. What it has is given up first. */
static enum err rejoin(struct member *m, struct buf *message)
{
    bool is_in = false, is_known = m->verdict == KAFKA_REBALANCE_IN_PROGRESS;
    enum err err = ERR_OK;

    if (m->verdict == KAFKA_FENCED_INSTANCE_ID)
        return refuse(message, m, "its place", KAFKA_FENCED_INSTANCE_ID);
    if (m->options.commit_ms >= 0 && (is_known || m->verdict == KAFKA_NONE)) commit(m);
    end_beating(m);
    if (m->verdict == KAFKA_UNKNOWN_MEMBER_ID) set_id(m, SLICE(""));
    m->is_joined = false;
    m->verdict = KAFKA_NONE;
    consumer_assign(m->consumer, NULL, 0);
    while (!is_in && err == ERR_OK && !is_over(m)) {
        err = try_to_join(m, &is_in, message);
        /* What a heartbeat said meanwhile is about the generation that has just begun. */
        if (!is_in && m->verdict == KAFKA_UNKNOWN_MEMBER_ID) set_id(m, SLICE(""));
    }
    m->look_at = instant_add_ms(now(m), m->options.metadata_max_age_ms);
    m->commit_at =
        m->options.commit_ms < 0 ? INSTANT_NEVER : instant_add_ms(now(m), m->options.commit_ms);
    return err;
}

/* ---- what is due ---- */

/* True: topics came, went or grew. */
static bool has_changed(struct member *m, const struct metadata_response *metadata)
{
    struct buf seen = {0};

    describe_topics(m, metadata, &seen);
    bool is_same = slice_compare(buf_slice(&seen), buf_slice(&m->topics_seen)) == 0;
    buf_fini(&seen);
    return !is_same;
}

static enum err look_at_topics(struct member *m, bool *changed, struct buf *message)
{
    const struct metadata_response *metadata;
    struct cluster_request request;

    m->look_at = instant_add_ms(now(m), m->options.metadata_max_age_ms);
    enum err err = take_topics(m, &request, &metadata, message);
    if (err != ERR_OK) return err;
    *changed = has_changed(m, metadata);
    cluster_request_fini(&request);
    return ERR_OK;
}

enum err member_poll(struct member *m, struct buf *message)
{
    bool changed = false;
    enum err err = ERR_OK;

    if (is_over(m)) return ERR_OK;
    if (m->has_lost_coordinator) {
        m->has_lost_coordinator = false;
        m->coordinator = COORDINATOR_NONE;
        err = find_coordinator(m, message);
    }
    if (err == ERR_OK && m->is_joined && instant_reached(now(m), m->look_at))
        err = look_at_topics(m, &changed, message);
    if (err == ERR_OK && (!m->is_joined || m->verdict != KAFKA_NONE || changed))
        err = rejoin(m, message);
    if (err == ERR_OK && m->is_joined && instant_reached(now(m), m->commit_at)) commit(m);
    return err;
}

/* ---- life ---- */

struct member *member_open(struct cluster *cluster, struct consumer *consumer,
                           const struct member_options *options)
{
    struct member *m = ensure_zalloc(sizeof(*m));

    m->cluster = cluster;
    m->consumer = consumer;
    m->options = *options;
    m->coordinator = COORDINATOR_NONE;
    m->generation = NO_GENERATION;
    m->commit_at = m->look_at = INSTANT_NEVER;
    m->beat.fire = beat;
    arena_init(&m->arena, ARENA_BYTES_MAX);
    set_id(m, SLICE(""));
    timer_arm(shard_of(m), &m->beat, instant_add_ms(now(m), options->heartbeat_ms));
    return m;
}

static void leave(struct member *m)
{
    struct leave_group_request_member who = {
        .member_id = slice_text(m->id), .group_instance_id = SLICE_NULL, .reason = SLICE_NULL};
    struct leave_group_request body;
    bool is_done = false;

    wire_default(&leave_group_request_wire, &body);
    body.group_id = slice_text(m->options.group);
    body.member_id = who.member_id;
    body.members.at = &who;
    body.members.count = 1;
    struct cluster_request request = {.api = API_LEAVE_GROUP,
                                      .body = &body,
                                      .timeout_ms = LEAVE_TIMEOUT_MS,
                                      .done = note_done,
                                      .owner = &is_done};
    cluster_send(m->cluster, m->coordinator, &request);
    while (!is_done)
        cluster_turn(m->cluster);
    cluster_request_fini(&request);
}

void member_close(struct member **member, bool commits)
{
    struct member *m = *member;

    if (m == NULL) return;
    if (commits && m->options.commit_ms >= 0) commit(m);
    end_beating(m);
    timer_cancel(shard_of(m), &m->beat);
    if (m->coordinator != COORDINATOR_NONE && m->id[0] != '\0' && m->options.instance_id == NULL)
        leave(m);
    arena_fini(&m->arena);
    buf_fini(&m->topics_seen);
    free(m->id);
    free(m);
    *member = NULL;
}
