#include "zk/docs.h"
#include "base/text.h"
#include "zk/doc_json.h"
#include <stdlib.h>

/* Kafka has no bound; this one keeps the search for listeners named twice short. */
#define ENDPOINTS_MAX 256

/* ---- endpoints */

static bool is_plaintext(const struct doc_endpoint *endpoint)
{
    return slice_is(endpoint->protocol, "PLAINTEXT");
}

static void add_host_and_port(struct buf *out, const struct doc_endpoint *endpoint)
{
    bool is_numeric6 =
        endpoint->host.len > 0 && memchr(endpoint->host.ptr, ':', endpoint->host.len) != NULL;

    buf_printf(out, is_numeric6 ? "[%.*s]:%d" : "%.*s:%d", SLICE_ARGS(endpoint->host),
               endpoint->port);
}

static void add_endpoints(struct buf *out, const struct doc_endpoint *endpoints, int32_t count)
{
    struct buf text;

    buf_init(&text);
    buf_add_text(out, "[");
    for (int32_t i = 0; i < count; i++) {
        buf_clear(&text);
        buf_add_slice(&text, endpoints[i].listener);
        buf_add_text(&text, "://");
        add_host_and_port(&text, &endpoints[i]);
        if (i > 0) buf_add_text(out, ",");
        text_add_json(out, buf_slice(&text));
    }
    buf_add_text(out, "]");
    buf_fini(&text);
}

static void add_protocols(struct buf *out, const struct doc_endpoint *endpoints, int32_t count)
{
    buf_add_text(out, "{");
    for (int32_t i = 0; i < count; i++) {
        if (i > 0) buf_add_text(out, ",");
        text_add_json(out, endpoints[i].listener);
        buf_add_text(out, ":");
        text_add_json(out, endpoints[i].protocol);
    }
    buf_add_text(out, "}");
}

static struct slice upper_case(struct doc_reader *reader, struct slice text)
{
    struct slice copy = doc_copy(reader, text);
    uint8_t *at = (uint8_t *)copy.ptr;

    for (size_t i = 0; i < copy.len; i++)
        if (at[i] >= 'a' && at[i] <= 'z') at[i] = (uint8_t)(at[i] - 'a' + 'A');
    return copy;
}

static bool is_host_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '%' || c == '.' || c == '_' || c == ':';
}

/* Without brackets. What is neither a name nor a number is no host. */
static struct slice read_host(struct doc_reader *reader, struct slice host)
{
    if (host.len > 0 && host.ptr[0] == '[') host = slice_of(host.ptr + 1, host.len - 1);
    if (host.len > 0 && host.ptr[host.len - 1] == ']') host.len--;
    for (size_t i = 0; i < host.len; i++)
        if (!is_host_byte(host.ptr[i])) doc_fail(reader, ERR_CORRUPT);
    return doc_copy(reader, host);
}

/* LISTENER://host:port, LISTENER://[v6]:port */
static void read_endpoint(struct doc_reader *reader, struct slice text, struct doc_endpoint *out)
{
    size_t at = text.len, colon = text.len;
    int64_t port = 0;

    /* From the right: the last "://" ends the listener, the last colon begins the port. */
    while (at > 0 && !slice_starts_with(slice_of(text.ptr + at, text.len - at), SLICE("://")))
        at--;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (at == 0 || colon < at + 4 ||
        text_int(slice_of(text.ptr + colon, text.len - colon), -1, UINT16_MAX, &port) != ERR_OK) {
        doc_fail(reader, ERR_CORRUPT);
        return;
    }
    struct slice host = slice_of(text.ptr + at + 3, colon - 1 - (at + 3));
    out->listener = upper_case(reader, slice_of(text.ptr, at));
    out->host = read_host(reader, host);
    out->port = (int32_t)port;
}

static struct slice protocol_of(struct doc_reader *reader, const json_t *protocols,
                                struct slice listener)
{
    static const char *const names[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
    struct slice protocol = listener;

    /* Listener names have NULs behind them: doc_copy puts one there. */
    if (protocols != NULL && listener.len > 0)
        protocol = doc_string(reader, protocols, (const char *)listener.ptr);
    protocol = upper_case(reader, protocol);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_is(protocol, names[i])) return protocol;
    doc_fail(reader, ERR_CORRUPT);
    return protocol;
}

static struct doc_endpoint *read_endpoints(struct doc_reader *reader, const json_t *array,
                                           const json_t *protocols, int32_t *count)
{
    size_t n = json_array_size(array);
    if (n > ENDPOINTS_MAX) doc_fail(reader, ERR_CORRUPT);
    struct doc_endpoint *endpoints = doc_room(reader, n, sizeof(*endpoints));

    for (size_t i = 0; i < n && reader->err == ERR_OK; i++) {
        struct slice text = doc_string_value(reader, json_array_get(array, i));
        read_endpoint(reader, text, &endpoints[i]);
        if (reader->err == ERR_OK)
            endpoints[i].protocol = protocol_of(reader, protocols, endpoints[i].listener);
        for (size_t j = 0; j < i && reader->err == ERR_OK; j++)
            if (slice_equal(endpoints[i].listener, endpoints[j].listener))
                doc_fail(reader, ERR_CORRUPT);
    }
    *count = (int32_t)n;
    return endpoints;
}

/* ---- features: {"f":{"min_version":1,"max_version":3}} */

static void add_features(struct buf *out, const struct doc_feature *features, int32_t count,
                         const char *min_key, const char *max_key)
{
    buf_add_text(out, "{");
    for (int32_t i = 0; i < count; i++) {
        if (i > 0) buf_add_text(out, ",");
        text_add_json(out, features[i].name);
        buf_add_text(out, ":{");
        if (min_key != NULL) buf_printf(out, "\"%s\":%d,", min_key, features[i].min);
        buf_printf(out, "\"%s\":%d}", max_key, features[i].max);
    }
    buf_add_text(out, "}");
}

static struct doc_feature *read_features(struct doc_reader *reader, json_t *object,
                                         const char *min_key, int32_t least, const char *max_key,
                                         int32_t *count)
{
    struct doc_feature *features = doc_room(reader, json_object_size(object), sizeof(*features));
    int32_t n = 0;

    for (void *at = json_object_iter(object); at != NULL && reader->err == ERR_OK;
         at = json_object_iter_next(object, at)) {
        const json_t *range = json_object_iter_value(at);
        struct doc_feature *feature = &features[n++];
        if (!json_is_object(range)) {
            doc_fail(reader, ERR_CORRUPT);
            break;
        }
        feature->name = doc_copy(reader, slice_text(json_object_iter_key(at)));
        feature->min =
            min_key == NULL ? 1 : (int32_t)doc_int(reader, range, min_key, least, INT16_MAX);
        feature->max = (int32_t)doc_int(reader, range, max_key, least, INT16_MAX);
        if (feature->max < feature->min) doc_fail(reader, ERR_CORRUPT);
    }
    *count = n;
    return features;
}

/* ---- brokers and controller processes */

void doc_broker_write(struct buf *out, const struct doc_broker *broker)
{
    const struct doc_endpoint *old = NULL; /* what readers of version 1 see */

    for (int32_t i = 0; i < broker->endpoint_count && old == NULL; i++)
        if (is_plaintext(&broker->endpoints[i])) old = &broker->endpoints[i];

    buf_add_text(out, "{");
    if (broker->version >= 5) {
        buf_add_text(out, "\"features\":");
        add_features(out, broker->features, broker->feature_count, "min_version", "max_version");
        buf_add_text(out, ",");
    }
    if (broker->version >= 4) {
        buf_add_text(out, "\"listener_security_protocol_map\":");
        add_protocols(out, broker->endpoints, broker->endpoint_count);
        buf_add_text(out, ",");
    }
    buf_add_text(out, "\"endpoints\":");
    add_endpoints(out, broker->endpoints, broker->endpoint_count);
    buf_printf(out, ",\"jmx_port\":%d,\"port\":%d,\"host\":", broker->jmx_port,
               old == NULL ? -1 : old->port);
    text_add_json(out, old == NULL ? SLICE_NULL : old->host);
    buf_printf(out, ",\"version\":%d", broker->version);
    if (broker->version >= 3 && !slice_is_null(broker->rack)) {
        buf_add_text(out, ",\"rack\":");
        text_add_json(out, broker->rack);
    }
    if (broker->is_cache_lost) buf_add_text(out, ",\"ottla_cache_lost\":true");
    if (broker->is_cache_lost && broker->cache_lost_since > 0)
        buf_printf(out, ",\"ottla_cache_lost_since\":%lld", (long long)broker->cache_lost_since);
    buf_printf(out, ",\"timestamp\":\"%lld\"}", (long long)broker->timestamp_ms);
}

static struct doc_endpoint *read_version_1(struct doc_reader *reader, const json_t *root)
{
    struct doc_endpoint *endpoint = doc_room(reader, 1, sizeof(*endpoint));

    if (endpoint == NULL) return NULL;
    endpoint->listener = endpoint->protocol = doc_copy(reader, SLICE("PLAINTEXT"));
    endpoint->host = read_host(reader, doc_string(reader, root, "host"));
    endpoint->port = (int32_t)doc_int(reader, root, "port", -1, UINT16_MAX);
    return endpoint;
}

enum err doc_broker_read(struct slice json, struct arena *arena, struct doc_broker *out)
{
    struct doc_reader reader;
    struct doc_broker broker = {.rack = SLICE_NULL};
    const json_t *root = doc_open(&reader, json, arena);

    broker.version = doc_int32(&reader, root, "version", 1);
    broker.jmx_port = (int32_t)doc_int_or(&reader, root, "jmx_port", INT32_MIN, INT32_MAX, -1);
    broker.timestamp_ms = doc_timestamp(root, "timestamp");
    broker.rack = doc_string_or_null(&reader, root, "rack");
    broker.is_cache_lost = json_is_true(json_object_get(root, "ottla_cache_lost"));
    broker.cache_lost_since = doc_int_or(&reader, root, "ottla_cache_lost_since", 0, INT64_MAX, 0);
    if (broker.version == 1) {
        broker.endpoints = read_version_1(&reader, root);
        broker.endpoint_count = 1;
    } else {
        const json_t *protocols = doc_object(&reader, root, "listener_security_protocol_map", true);
        broker.endpoints = read_endpoints(&reader, doc_array(&reader, root, "endpoints", false),
                                          protocols, &broker.endpoint_count);
    }
    broker.features = read_features(&reader, doc_object(&reader, root, "features", true),
                                    "min_version", 0, "max_version", &broker.feature_count);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = broker;
    return err;
}

void doc_controller_process_write(struct buf *out, const struct doc_controller_process *process)
{
    const struct doc_endpoint *first = process->endpoint_count > 0 ? process->endpoints : NULL;

    buf_add_text(out, "{\"version\":1,\"host\":");
    text_add_json(out, first == NULL ? SLICE_NULL : first->host);
    buf_printf(out, ",\"port\":%d,\"listeners\":", first == NULL ? -1 : first->port);
    add_endpoints(out, process->endpoints, process->endpoint_count);
    buf_add_text(out, ",\"listener_security_protocol_map\":");
    add_protocols(out, process->endpoints, process->endpoint_count);
    buf_printf(out, ",\"timestamp\":\"%lld\"}", (long long)process->timestamp_ms);
}

enum err doc_controller_process_read(struct slice json, struct arena *arena,
                                     struct doc_controller_process *out)
{
    struct doc_reader reader;
    struct doc_controller_process process = {0};
    const json_t *root = doc_open(&reader, json, arena);

    (void)doc_int32(&reader, root, "version", 1);
    process.timestamp_ms = doc_timestamp(root, "timestamp");
    const json_t *protocols = doc_object(&reader, root, "listener_security_protocol_map", true);
    process.endpoints = read_endpoints(&reader, doc_array(&reader, root, "listeners", false),
                                       protocols, &process.endpoint_count);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = process;
    return err;
}

/* ---- /controller, numbers */

void doc_controller_write(struct buf *out, const struct doc_controller *controller)
{
    buf_printf(out,
               "{\"version\":2,\"brokerid\":%d,\"timestamp\":\"%lld\",\"kraftControllerEpoch\":%d}",
               controller->broker_id, (long long)controller->timestamp_ms, controller->kraft_epoch);
}

enum err doc_controller_read(struct slice json, struct arena *arena, struct doc_controller *out)
{
    struct doc_reader reader;
    struct doc_controller controller = {0};
    const json_t *root = doc_open(&reader, json, arena);

    controller.broker_id = doc_int32(&reader, root, "brokerid", 0);
    controller.timestamp_ms = doc_timestamp(root, "timestamp");
    controller.kraft_epoch =
        (int32_t)doc_int_or(&reader, root, "kraftControllerEpoch", -1, INT32_MAX, -1);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = controller;
    return err;
}

void doc_number_write(struct buf *out, int64_t number)
{
    buf_printf(out, "%lld", (long long)number);
}

enum err doc_number_read(struct slice text, int64_t min, int64_t max, int64_t *out)
{
    int64_t number = 0;

    if (text_int(text, min, max, &number) != ERR_OK) return ERR_CORRUPT;
    *out = number;
    return ERR_OK;
}

/* ---- topics */

/* {"0":[1,2],"1":[2,3]} of one of the three lists of each partition. */
static void add_assignment(struct buf *out, const struct doc_topic *topic, size_t list)
{
    bool is_first = true;

    buf_add_text(out, "{");
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct doc_partition *partition = &topic->partitions[i];
        const struct doc_ints *ints = (const void *)((const char *)partition + list);
        if (ints->count == 0 && list != offsetof(struct doc_partition, replicas)) continue;
        buf_printf(out, is_first ? "\"%d\":" : ",\"%d\":", partition->partition);
        doc_add_ints(out, ints);
        is_first = false;
    }
    buf_add_text(out, "}");
}

void doc_topic_write(struct buf *out, const struct doc_topic *topic)
{
    buf_add_text(out, "{\"removing_replicas\":");
    add_assignment(out, topic, offsetof(struct doc_partition, removing));
    buf_add_text(out, ",\"partitions\":");
    add_assignment(out, topic, offsetof(struct doc_partition, replicas));
    if (!uuid_is_zero(topic->id)) {
        char id[UUID_TEXT_LEN + 1];
        uuid_text(topic->id, id);
        buf_printf(out, ",\"topic_id\":\"%s\"", id);
    }
    buf_add_text(out, ",\"adding_replicas\":");
    add_assignment(out, topic, offsetof(struct doc_partition, adding));
    buf_add_text(out, ",\"version\":3");
    doc_add_extra(out, topic->extra);
    buf_add_text(out, "}");
}

static int by_partition(const void *a, const void *b)
{
    const struct doc_partition *one = a, *other = b;

    return (one->partition > other->partition) - (one->partition < other->partition);
}

static int32_t read_id_key(struct doc_reader *reader, const char *key)
{
    int64_t number = 0;

    if (text_int(slice_text(key), 0, INT32_MAX, &number) != ERR_OK) doc_fail(reader, ERR_CORRUPT);
    return (int32_t)number;
}

static void read_partitions(struct doc_reader *reader, json_t *object, struct doc_topic *topic)
{
    int32_t n = 0;

    topic->partitions = doc_room(reader, json_object_size(object), sizeof(*topic->partitions));
    for (void *at = json_object_iter(object); at != NULL && reader->err == ERR_OK;
         at = json_object_iter_next(object, at)) {
        struct doc_partition *partition = &topic->partitions[n++];
        partition->partition = read_id_key(reader, json_object_iter_key(at));
        partition->replicas = doc_int_array(reader, json_object_iter_value(at));
    }
    topic->partition_count = n;
    if (reader->err != ERR_OK) return;
    if (n > 0) qsort(topic->partitions, (size_t)n, sizeof(*topic->partitions), by_partition);
    for (int32_t i = 1; i < n; i++) /* "1" and "01" */
        if (topic->partitions[i].partition == topic->partitions[i - 1].partition)
            doc_fail(reader, ERR_CORRUPT);
}

/* Those of partitions that the topic does not have are passed over, as Kafka does. */
static void read_moves(struct doc_reader *reader, json_t *object, struct doc_topic *topic,
                       size_t list)
{
    for (void *at = json_object_iter(object); at != NULL && reader->err == ERR_OK;
         at = json_object_iter_next(object, at)) {
        struct doc_partition key = {.partition = read_id_key(reader, json_object_iter_key(at))};
        struct doc_ints ints = doc_int_array(reader, json_object_iter_value(at));
        char *found = topic->partition_count == 0
                          ? NULL
                          : bsearch(&key, topic->partitions, (size_t)topic->partition_count,
                                    sizeof(key), by_partition);
        if (found != NULL) *(struct doc_ints *)(void *)(found + list) = ints;
    }
}

enum err doc_topic_read(struct slice json, struct arena *arena, struct doc_topic *out)
{
    static const char *const known[] = {"version",           "partitions", "adding_replicas",
                                        "removing_replicas", "topic_id",   NULL};
    struct doc_reader reader;
    struct doc_topic topic = {.id = UUID_ZERO};
    const json_t *root = doc_open(&reader, json, arena);

    topic.version = (int32_t)doc_int_or(&reader, root, "version", INT32_MIN, INT32_MAX, 1);
    read_partitions(&reader, doc_object(&reader, root, "partitions", false), &topic);
    read_moves(&reader, doc_object(&reader, root, "adding_replicas", true), &topic,
               offsetof(struct doc_partition, adding));
    read_moves(&reader, doc_object(&reader, root, "removing_replicas", true), &topic,
               offsetof(struct doc_partition, removing));
    struct slice id = doc_string_or_null(&reader, root, "topic_id");
    if (!slice_is_null(id) && uuid_parse(id, &topic.id) != ERR_OK) doc_fail(&reader, ERR_CORRUPT);
    topic.extra = doc_extra(&reader, root, known);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = topic;
    return err;
}

/* ---- partition states */

void doc_state_write(struct buf *out, const struct doc_state *state)
{
    buf_printf(out, "{\"controller_epoch\":%d,\"leader\":%d,\"version\":1,\"leader_epoch\":%d",
               state->controller_epoch, state->leader, state->leader_epoch);
    buf_add_text(out, ",\"isr\":");
    doc_add_ints(out, &state->isr);
    if (state->leader_recovery_state != 0)
        buf_printf(out, ",\"leader_recovery_state\":%d", state->leader_recovery_state);
    for (int32_t i = 0; i < state->left_count; i++)
        buf_printf(out, "%s\"%d\":%lld", i == 0 ? ",\"ottla_left\":{" : ",", state->left[i].broker,
                   (long long)state->left[i].zxid);
    if (state->left_count > 0) buf_add_text(out, "}");
    buf_add_text(out, "}");
}

static bool take_text(struct slice *from, const char *text)
{
    struct slice wanted = slice_text(text);

    if (!slice_starts_with(*from, wanted)) return false;
    *from = slice_of(from->ptr + wanted.len, from->len - wanted.len);
    return true;
}

/* As it is written, and no other way: no zeros before it, no exponent. */
static bool take_number(struct slice *from, int32_t min, int32_t *out)
{
    bool is_negative = from->len > 0 && from->ptr[0] == '-';
    size_t i = is_negative ? 1 : 0, first = i;
    int64_t number = 0;

    for (; i < from->len && i < first + 10 && from->ptr[i] >= '0' && from->ptr[i] <= '9'; i++)
        number = number * 10 + (from->ptr[i] - '0');
    if (i == first || (from->ptr[first] == '0' && (i > first + 1 || is_negative))) return false;
    if (is_negative) number = -number;
    if (number < min || number > INT32_MAX) return false;
    *from = slice_of(from->ptr + i, from->len - i);
    *out = (int32_t)number;
    return true;
}

/* The array ends before the text does, or it is not read. */
static bool take_ids(struct slice *from, struct arena *arena, struct doc_ints *out)
{
    const uint8_t *end = from->len == 0 ? NULL : memchr(from->ptr, ']', from->len);
    size_t count = 1;

    if (end == NULL) return false;
    for (const uint8_t *at = from->ptr; at < end; at++)
        if (*at == ',') count++;
    out->at = arena_try(arena, count * sizeof(*out->at));
    out->count = 0;
    if (out->at == NULL) return false;
    if (take_text(from, "]")) return true;
    for (;;) {
        if (!take_number(from, 0, &out->at[out->count++])) return false;
        if (take_text(from, "]")) return true;
        if (!take_text(from, ",")) return false;
    }
}

/* One that stands as doc_state_write, and Kafka, write it: there are as many as partitions, and
 * they are read whenever a controller begins. False says nothing: then it is read as any document.
 */
static bool read_state_as_written(struct slice json, struct arena *arena, struct doc_state *out)
{
    struct doc_state state = {0};

    if (json.len > DOC_BYTES_MAX || !take_text(&json, "{\"controller_epoch\":") ||
        !take_number(&json, 0, &state.controller_epoch) || !take_text(&json, ",\"leader\":") ||
        !take_number(&json, -1, &state.leader) ||
        !take_text(&json, ",\"version\":1,\"leader_epoch\":") ||
        !take_number(&json, 0, &state.leader_epoch) || !take_text(&json, ",\"isr\":[") ||
        !take_ids(&json, arena, &state.isr))
        return false;
    if (take_text(&json, ",\"leader_recovery_state\":1")) state.leader_recovery_state = 1;
    if (!take_text(&json, "}") || json.len > 0) return false;
    *out = state;
    return true;
}

static void read_left(struct doc_reader *reader, json_t *object, struct doc_state *state)
{
    struct doc_left *left = doc_room(reader, json_object_size(object), sizeof(*left));

    state->left = left;
    for (void *at = json_object_iter(object); at != NULL && reader->err == ERR_OK;
         at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);

        left[state->left_count++] = (struct doc_left){
            .broker = read_id_key(reader, key), .zxid = doc_int(reader, object, key, 0, INT64_MAX)};
    }
}

enum err doc_state_read(struct slice json, struct arena *arena, struct doc_state *out)
{
    struct doc_reader reader;
    struct doc_state state = {0};

    if (read_state_as_written(json, arena, out)) return ERR_OK;
    const json_t *root = doc_open(&reader, json, arena);
    state.leader = doc_int32(&reader, root, "leader", -1);
    state.leader_epoch = doc_int32(&reader, root, "leader_epoch", 0);
    state.isr = doc_int_array(&reader, doc_array(&reader, root, "isr", false));
    state.controller_epoch = doc_int32(&reader, root, "controller_epoch", 0);
    state.leader_recovery_state =
        (int32_t)doc_int_or(&reader, root, "leader_recovery_state", 0, 1, 0);
    read_left(&reader, doc_object(&reader, root, "ottla_left", true), &state);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = state;
    return err;
}

/* ---- lists of partitions */

static void add_list(struct buf *out, const struct doc_topic_partitions *list, bool with_replicas)
{
    buf_add_text(out, "{\"version\":1,\"partitions\":[");
    for (int32_t i = 0; i < list->count; i++) {
        buf_add_text(out, i == 0 ? "{\"topic\":" : ",{\"topic\":");
        text_add_json(out, list->at[i].topic);
        buf_printf(out, ",\"partition\":%d", list->at[i].partition);
        if (with_replicas) {
            buf_add_text(out, ",\"replicas\":");
            doc_add_ints(out, &list->at[i].replicas);
        }
        buf_add_text(out, "}");
    }
    buf_add_text(out, "]}");
}

static enum err read_list(struct slice json, struct arena *arena, bool with_replicas,
                          struct doc_topic_partitions *out)
{
    struct doc_reader reader;
    struct doc_topic_partitions list = {0};
    const json_t *root = doc_open(&reader, json, arena);
    const json_t *array = doc_array(&reader, root, "partitions", false);
    size_t n = json_array_size(array);

    list.at = doc_room(&reader, n, sizeof(*list.at));
    for (size_t i = 0; i < n && reader.err == ERR_OK; i++) {
        const json_t *each = json_array_get(array, i);
        if (!json_is_object(each)) {
            doc_fail(&reader, ERR_CORRUPT);
            break;
        }
        list.at[i].topic = doc_string(&reader, each, "topic");
        list.at[i].partition = doc_int32(&reader, each, "partition", 0);
        if (with_replicas)
            list.at[i].replicas =
                doc_int_array(&reader, doc_array(&reader, each, "replicas", false));
    }
    list.count = (int32_t)n;

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = list;
    return err;
}

void doc_reassign_write(struct buf *out, const struct doc_topic_partitions *list)
{
    add_list(out, list, true);
}

enum err doc_reassign_read(struct slice json, struct arena *arena, struct doc_topic_partitions *out)
{
    return read_list(json, arena, true, out);
}

void doc_partitions_write(struct buf *out, const struct doc_topic_partitions *list)
{
    add_list(out, list, false);
}

enum err doc_partitions_read(struct slice json, struct arena *arena,
                             struct doc_topic_partitions *out)
{
    return read_list(json, arena, false, out);
}

void doc_log_dir_event_write(struct buf *out, const struct doc_log_dir_event *event)
{
    buf_printf(out, "{\"version\":1,\"broker\":%d,\"event\":%d}", event->broker, event->event);
}

enum err doc_log_dir_event_read(struct slice json, struct arena *arena,
                                struct doc_log_dir_event *out)
{
    struct doc_reader reader;
    struct doc_log_dir_event event = {0};
    const json_t *root = doc_open(&reader, json, arena);

    event.broker = doc_int32(&reader, root, "broker", 0);
    event.event = (int32_t)doc_int_or(&reader, root, "event", INT32_MIN, INT32_MAX, 1);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = event;
    return err;
}

/* ---- /feature: here because it shares the features of a broker */

void doc_features_write(struct buf *out, const struct doc_features *features)
{
    buf_add_text(out, "{\"features\":");
    add_features(out, features->features, features->feature_count,
                 features->version == 1 ? "min_version_level" : NULL, "max_version_level");
    buf_printf(out, ",\"version\":%d,\"status\":%d}", features->version, features->is_enabled);
}

enum err doc_features_read(struct slice json, struct arena *arena, struct doc_features *out)
{
    struct doc_reader reader;
    struct doc_features features = {0};
    const json_t *root = doc_open(&reader, json, arena);

    features.version = (int32_t)doc_int(&reader, root, "version", INT32_MIN, INT32_MAX);
    if (features.version != 1 && features.version != 2) doc_fail(&reader, ERR_UNSUPPORTED);
    features.is_enabled = doc_int(&reader, root, "status", 0, 1) == 1;
    features.features = read_features(&reader, doc_object(&reader, root, "features", false),
                                      features.version == 1 ? "min_version_level" : NULL, 1,
                                      "max_version_level", &features.feature_count);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = features;
    return err;
}
