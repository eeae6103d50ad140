/* controller/encode.c - see encode.h. */
#include "controller/encode.h"
#include "wire/gen/leader_and_isr.h"
#include "wire/gen/stop_replica.h"
#include "wire/gen/update_metadata.h"
#include "wire/protocol.h"

#define ANSWER_ARENA_MAX (64u << 20)

struct control_versions encode_versions(enum level level)
{
    static const struct {
        enum level from;
        struct control_versions versions;
    } table[] = {
        {LEVEL_3_4_IV0, {7, 8, 4}},    {LEVEL_3_2_IV0, {6, 7, 3}}, {LEVEL_2_8_IV1, {5, 7, 3}},
        {LEVEL_2_6_IV0, {4, 6, 3}},    {LEVEL_2_4_IV1, {4, 6, 2}}, {LEVEL_2_4_IV0, {3, 5, 1}},
        {LEVEL_2_2_IV0, {2, 5, 1}},    {LEVEL_1_0_IV0, {1, 4, 0}}, {LEVEL_0_10_2_IV0, {0, 3, 0}},
        {LEVEL_0_10_0_IV1, {0, 2, 0}}, {LEVEL_0_9_0, {0, 1, 0}},
    };

    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (level >= table[i].from) return table[i].versions;
    return (struct control_versions){0, 0, 0};
}

int16_t encode_api(enum control_kind kind)
{
    static const int16_t apis[] = {API_LEADER_AND_ISR, API_UPDATE_METADATA, API_STOP_REPLICA};

    return apis[kind];
}

int encode_version(const struct control_versions *versions, enum control_kind kind)
{
    switch (kind) {
    case CONTROL_LEADER_AND_ISR:
        return versions->leader_and_isr;
    case CONTROL_UPDATE_METADATA:
        return versions->update_metadata;
    case CONTROL_STOP_REPLICA:
        return versions->stop_replica;
    }
    return 0;
}

/* Items are in order of topics: how many from `from` on are of one topic. */
static int32_t run_length(const struct control *control, int32_t from)
{
    int32_t n = 1;

    while (from + n < control->count && slice_equal(control->items[from + n].partition->topic,
                                                    control->items[from].partition->topic))
        n++;
    return n;
}

#define SET_IDS(to, from) ((to).at = (from).at, (to).count = (from).count)

/* ---- leader and isr ---- */

static void fill_leader(struct leader_and_isr_request_partition_state *out,
                        const struct control_item *item)
{
    const struct control_partition *p = item->partition;

    out->topic_name = p->topic;
    out->partition_index = p->partition;
    out->controller_epoch = p->controller_epoch;
    out->leader = p->leader;
    out->leader_epoch = p->leader_epoch;
    out->partition_epoch = p->partition_epoch;
    SET_IDS(out->isr, p->isr);
    SET_IDS(out->replicas, p->replicas);
    SET_IDS(out->adding_replicas, p->adding);
    SET_IDS(out->removing_replicas, p->removing);
    out->is_new = item->is_new;
    out->leader_recovery_state = p->is_recovering ? 1 : 0;
}

static void write_leader_and_isr(struct buf *out, const struct control *control, int version,
                                 int32_t controller_id, struct arena *arena)
{
    struct leader_and_isr_request request;
    size_t count = (size_t)control->count;

    wire_default(&leader_and_isr_request_wire, &request);
    request.controller_id = controller_id;
    request.controller_epoch = control->controller_epoch;
    request.broker_epoch = control->broker_epoch;

    struct leader_and_isr_request_partition_state *states =
        arena_zalloc(arena, (count + 1) * sizeof(*states));
    struct leader_and_isr_request_topic_state *topics =
        arena_zalloc(arena, (count + 1) * sizeof(*topics));
    for (int32_t i = 0; i < control->count; i++)
        fill_leader(&states[i], &control->items[i]);
    request.ungrouped_partition_states.at = states;
    request.ungrouped_partition_states.count = control->count;
    request.topic_states.at = topics;
    request.topic_states.count = 0;
    for (int32_t i = 0; i < control->count;) {
        struct leader_and_isr_request_topic_state *topic = &topics[request.topic_states.count++];

        topic->topic_name = control->items[i].partition->topic;
        topic->topic_id = control->items[i].partition->topic_id;
        topic->partition_states.at = &states[i];
        topic->partition_states.count = run_length(control, i);
        i += topic->partition_states.count;
    }

    struct leader_and_isr_request_live_leader *leaders =
        arena_zalloc(arena, (size_t)(control->live_count + 1) * sizeof(*leaders));
    request.live_leaders.at = leaders;
    request.live_leaders.count = 0;
    for (int32_t i = 0; i < control->live_count; i++) {
        if (control->live[i].endpoint_count == 0) continue;
        leaders[request.live_leaders.count++] = (struct leader_and_isr_request_live_leader){
            .broker_id = control->live[i].id,
            .host_name = slice_text(control->live[i].endpoints[0].host),
            .port = control->live[i].endpoints[0].port,
        };
    }
    wire_write(out, version, &leader_and_isr_request_wire, &request);
}

/* ---- update metadata ---- */

static void fill_update(struct update_metadata_request_partition_state *out,
                        const struct control_partition *p)
{
    out->topic_name = p->topic;
    out->partition_index = p->partition;
    out->controller_epoch = p->controller_epoch;
    out->leader = p->leader;
    out->leader_epoch = p->leader_epoch;
    out->zk_version = p->partition_epoch;
    SET_IDS(out->isr, p->isr);
    SET_IDS(out->replicas, p->replicas);
    SET_IDS(out->offline_replicas, p->offline);
}

static void fill_broker(struct update_metadata_request_live_broker *out,
                        const struct control_broker *broker, struct arena *arena)
{
    out->id = broker->id;
    out->rack = slice_text(broker->rack);
    out->v0_host = SLICE("");
    out->v0_port = -1;
    out->endpoints.at =
        arena_zalloc(arena, (size_t)(broker->endpoint_count + 1) * sizeof(*out->endpoints.at));
    out->endpoints.count = broker->endpoint_count;
    for (int32_t i = 0; i < broker->endpoint_count; i++) {
        const struct control_endpoint *e = &broker->endpoints[i];

        out->endpoints.at[i] = (struct update_metadata_request_live_broker_endpoint){
            .port = e->port,
            .host = slice_text(e->host),
            .listener = slice_text(e->listener),
            .security_protocol = (int16_t)e->protocol,
        };
        if (e->protocol == SECURITY_PLAINTEXT && out->v0_port < 0) {
            out->v0_host = slice_text(e->host);
            out->v0_port = e->port;
        }
    }
}

static void write_update(struct buf *out, const struct control *control, int version,
                         int32_t controller_id, struct arena *arena)
{
    struct update_metadata_request request;
    size_t count = (size_t)control->count;

    wire_default(&update_metadata_request_wire, &request);
    request.controller_id = controller_id;
    request.controller_epoch = control->controller_epoch;
    request.broker_epoch = control->broker_epoch;

    struct update_metadata_request_partition_state *states =
        arena_zalloc(arena, (count + 1) * sizeof(*states));
    struct update_metadata_request_topic_state *topics =
        arena_zalloc(arena, (count + 1) * sizeof(*topics));
    for (int32_t i = 0; i < control->count; i++)
        fill_update(&states[i], control->items[i].partition);
    request.ungrouped_partition_states.at = states;
    request.ungrouped_partition_states.count = control->count;
    request.topic_states.at = topics;
    request.topic_states.count = 0;
    for (int32_t i = 0; i < control->count;) {
        struct update_metadata_request_topic_state *topic = &topics[request.topic_states.count++];

        topic->topic_name = control->items[i].partition->topic;
        topic->topic_id = control->items[i].partition->topic_id;
        topic->partition_states.at = &states[i];
        topic->partition_states.count = run_length(control, i);
        i += topic->partition_states.count;
    }

    request.live_brokers.at =
        arena_zalloc(arena, (size_t)(control->live_count + 1) * sizeof(*request.live_brokers.at));
    request.live_brokers.count = control->live_count;
    for (int32_t i = 0; i < control->live_count; i++)
        fill_broker(&request.live_brokers.at[i], &control->live[i], arena);
    wire_write(out, version, &update_metadata_request_wire, &request);
}

/* ---- stop replica ---- */

static void write_stop_old(struct stop_replica_request *request, const struct control *control,
                           bool is_delete, struct arena *arena)
{
    size_t count = (size_t)control->count;
    struct stop_replica_request_ungrouped_partition *flat =
        arena_zalloc(arena, (count + 1) * sizeof(*flat));
    struct stop_replica_request_topic *topics = arena_zalloc(arena, (count + 1) * sizeof(*topics));
    int32_t *indexes = arena_zalloc(arena, (count + 1) * sizeof(*indexes));
    int32_t n = 0;
    int32_t topic_count = 0;

    for (int32_t i = 0; i < control->count; i++) {
        const struct control_partition *p = control->items[i].partition;

        if (control->items[i].is_delete != is_delete) continue;
        flat[n] = (struct stop_replica_request_ungrouped_partition){p->topic, p->partition};
        indexes[n] = p->partition;
        if (topic_count == 0 || !slice_equal(topics[topic_count - 1].name, p->topic)) {
            topics[topic_count].name = p->topic;
            topics[topic_count++].partition_indexes.at = &indexes[n];
        }
        topics[topic_count - 1].partition_indexes.count++;
        n++;
    }
    request->delete_partitions = is_delete;
    request->ungrouped_partitions.at = flat;
    request->ungrouped_partitions.count = n;
    request->topics.at = topics;
    request->topics.count = topic_count;
}

static void write_stop(struct buf *out, const struct control *control, int version,
                       int32_t controller_id, bool is_delete, struct arena *arena)
{
    struct stop_replica_request request;
    size_t count = (size_t)control->count;

    wire_default(&stop_replica_request_wire, &request);
    request.controller_id = controller_id;
    request.controller_epoch = control->controller_epoch;
    request.broker_epoch = control->broker_epoch;
    if (version < 3) write_stop_old(&request, control, is_delete, arena);

    struct stop_replica_request_topic_state_partition_state *states =
        arena_zalloc(arena, (count + 1) * sizeof(*states));
    struct stop_replica_request_topic_state *topics =
        arena_zalloc(arena, (count + 1) * sizeof(*topics));
    request.topic_states.at = topics;
    request.topic_states.count = 0;
    for (int32_t i = 0; i < control->count; i++)
        states[i] = (struct stop_replica_request_topic_state_partition_state){
            .partition_index = control->items[i].partition->partition,
            .leader_epoch = control->items[i].leader_epoch,
            .delete_partition = control->items[i].is_delete,
        };
    for (int32_t i = 0; i < control->count;) {
        struct stop_replica_request_topic_state *topic = &topics[request.topic_states.count++];

        topic->topic_name = control->items[i].partition->topic;
        topic->partition_states.at = &states[i];
        topic->partition_states.count = run_length(control, i);
        i += topic->partition_states.count;
    }
    wire_write(out, version, &stop_replica_request_wire, &request);
}

bool encode_is_split(const struct control *control, int version)
{
    return control->kind == CONTROL_STOP_REPLICA && version < 3;
}

void encode_request(struct buf *out, const struct control *control, int version,
                    int32_t controller_id, bool is_delete)
{
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    switch (control->kind) {
    case CONTROL_LEADER_AND_ISR:
        write_leader_and_isr(out, control, version, controller_id, &arena);
        break;
    case CONTROL_UPDATE_METADATA:
        write_update(out, control, version, controller_id, &arena);
        break;
    case CONTROL_STOP_REPLICA:
        write_stop(out, control, version, controller_id, is_delete, &arena);
        break;
    }
    arena_fini(&arena);
}

/* ---- answers ---- */

/* NONE takes a replica's log directory for online again and KAFKA_STORAGE_ERROR for offline; all
 * other codes mean nothing: a broker says STALE_CONTROLLER_EPOCH for each leader epoch it knows. */
static bool is_telling(int16_t code)
{
    return code == KAFKA_NONE || code == KAFKA_KAFKA_STORAGE_ERROR;
}

static void add_leader_answer(struct event *event, struct slice topic, const struct uuid *id,
                              int32_t partition, int16_t code)
{
    if (!is_telling(code)) return;
    struct event_item *item = &event->items[event->count++];
    item->partition = partition;
    item->is_storage_error = code != KAFKA_NONE;
    if (id != NULL) {
        item->has_id = true;
        item->topic_id = *id;
    } else {
        item->topic = arena_copy(&event->arena, topic);
    }
}

static struct event *read_leader_and_isr(const struct control *control, int version,
                                         struct slice answer, struct arena *arena, enum err *err,
                                         int16_t *error)
{
    struct leader_and_isr_response response;

    *err = wire_read(answer, version, &leader_and_isr_response_wire, arena, &response);
    if (*err != ERR_OK) return NULL;
    *error = response.error_code;
    if (response.error_code != KAFKA_NONE) return NULL;

    int32_t count = response.partition_errors.count > 0 ? response.partition_errors.count : 0;
    for (int32_t i = 0; i < response.topics.count; i++)
        count += response.topics.at[i].partition_errors.count;
    struct event *event = event_create(EVENT_LEADER_AND_ISR_ANSWERED);
    event->broker = control->broker;
    event->broker_epoch = control->broker_epoch;
    event->order = control->number;
    event_make_items(event, count);
    event->count = 0;
    for (int32_t i = 0; i < response.partition_errors.count; i++)
        add_leader_answer(event, response.partition_errors.at[i].topic_name, NULL,
                          response.partition_errors.at[i].partition_index,
                          response.partition_errors.at[i].error_code);
    for (int32_t t = 0; t < response.topics.count; t++)
        for (int32_t i = 0; i < response.topics.at[t].partition_errors.count; i++)
            add_leader_answer(event, SLICE_NULL, &response.topics.at[t].topic_id,
                              response.topics.at[t].partition_errors.at[i].partition_index,
                              response.topics.at[t].partition_errors.at[i].error_code);
    if (event->count == 0) event_destroy(&event);
    return event;
}

/* NULL: it was not to be deleted. */
static const struct control_item *deleted_in(const struct control *control, struct slice topic,
                                             int32_t partition)
{
    for (int32_t i = 0; i < control->count; i++)
        if (control->items[i].partition->partition == partition &&
            slice_equal(control->items[i].partition->topic, topic))
            return control->items[i].is_delete ? &control->items[i] : NULL;
    return NULL;
}

/* Only what was to be deleted: the rest nobody waits for. A broker that refuses the whole names no
 * partition; its replicas stay as they are until it bounces. */
static struct event *read_stop(const struct control *control, int version, struct slice answer,
                               struct arena *arena, enum err *err, int16_t *error)
{
    struct stop_replica_response response;

    *err = wire_read(answer, version, &stop_replica_response_wire, arena, &response);
    if (*err != ERR_OK) return NULL;
    *error = response.error_code;

    struct event *event = event_create(EVENT_STOP_ANSWERED);
    event->broker = control->broker;
    event->broker_epoch = control->broker_epoch;
    event->is_refused = response.error_code != KAFKA_NONE;
    event_make_items(event, response.partition_errors.count);
    event->count = 0;
    for (int32_t i = 0; i < response.partition_errors.count; i++) {
        const struct stop_replica_response_partition_error *e = &response.partition_errors.at[i];

        const struct control_item *asked = deleted_in(control, e->topic_name, e->partition_index);
        if (asked == NULL) continue;
        struct event_item *item = &event->items[event->count++];
        item->topic = arena_copy(&event->arena, e->topic_name);
        item->partition = e->partition_index;
        item->is_error = e->error_code != KAFKA_NONE;
        item->deletion = asked->deletion;
    }
    if (event->count == 0) event_destroy(&event);
    return event;
}

struct event *encode_read_answer(const struct control *control, int version, struct slice answer,
                                 enum err *err, int16_t *error)
{
    struct update_metadata_response update;
    struct event *event = NULL;
    struct arena arena;

    *err = ERR_OK;
    *error = KAFKA_NONE;
    arena_init(&arena, ANSWER_ARENA_MAX);
    switch (control->kind) {
    case CONTROL_LEADER_AND_ISR:
        event = read_leader_and_isr(control, version, answer, &arena, err, error);
        break;
    case CONTROL_UPDATE_METADATA:
        *err = wire_read(answer, version, &update_metadata_response_wire, &arena, &update);
        if (*err == ERR_OK) *error = update.error_code;
        break;
    case CONTROL_STOP_REPLICA:
        event = read_stop(control, version, answer, &arena, err, error);
        break;
    }
    arena_fini(&arena);
    return event;
}
