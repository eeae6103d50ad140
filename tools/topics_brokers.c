/* `ottla topics --bootstrap-server`: by asking the brokers. */
#include "tools/topics.h"
#include "tools/cluster_client.h"
#include "tools/usage.h"
#include "base/ensure.h"
#include "wire/gen/create_partitions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/delete_topics.h"
#include "wire/gen/describe_configs.h"
#include "wire/gen/describe_topic_partitions.h"
#include "wire/gen/list_partition_reassignments.h"
#include <stdlib.h>

#define ANSWER_MS      30000 /* beyond the time that the controller has, for its answer to come */
#define RESOURCE_TOPIC 2
#define SOURCE_TOPIC   1
#define SOURCE_DEFAULT 5

struct session {
    const struct topics_job *job;
    struct cluster *cluster;
    struct cluster_request metadata_request;
    const struct metadata_response *metadata;
    const struct metadata_response_topic **topics; /* that the job selects, by name */
    int count;
    int32_t timeout_ms; /* of the controller, for what it is asked for */
    struct buf *message;
};

static int by_name(const void *a, const void *b)
{
    const struct metadata_response_topic *left = *(struct metadata_response_topic *const *)a;
    const struct metadata_response_topic *right = *(struct metadata_response_topic *const *)b;

    return slice_compare(left->name, right->name);
}

static enum err read_metadata(struct session *s)
{
    const char *id_text = args_text(s->job->args, "topic-id", NULL);
    struct uuid id = UUID_ZERO;

    if (id_text != NULL && uuid_parse(slice_text(id_text), &id) != ERR_OK) {
        buf_printf(s->message, "--topic-id %s: is no topic id", id_text);
        return ERR_INVALID;
    }
    enum err err = cluster_metadata(s->cluster, NULL, -1, false, &s->metadata_request, &s->metadata,
                                    s->message);
    if (err != ERR_OK) return err;
    const struct metadata_response *metadata = s->metadata;
    int32_t most = metadata->topics.count > 0 ? metadata->topics.count : 0;
    s->topics = arena_zalloc(s->job->arena, (size_t)(most + 1) * sizeof(*s->topics));
    for (int32_t i = 0; i < most; i++) {
        const struct metadata_response_topic *topic = &metadata->topics.at[i];
        bool is_named = id_text == NULL || uuid_equal(topic->topic_id, id);
        if (is_named && topics_job_selects(s->job, topic->name, topic->is_internal))
            s->topics[s->count++] = topic;
    }
    qsort(s->topics, (size_t)s->count, sizeof(*s->topics), by_name);

    bool must_exist = (s->job->topic != NULL || id_text != NULL) && !s->job->if_exists &&
                      strcmp(s->job->action, "list") != 0;
    if (s->count > 0 || !must_exist) return ERR_OK;
    if (id_text != NULL)
        buf_printf(s->message, "TopicId '%s' does not exist as expected", id_text);
    else
        buf_printf(s->message, "Topic '%s' does not exist as expected", s->job->topic);
    return ERR_NOT_FOUND;
}

/* What a broker says about a failure. */
static enum err refuse(struct buf *message, int16_t code, struct slice text)
{
    bool is_bare = slice_is_null(text) || text.len == 0;

    if (code == KAFKA_REQUEST_TIMED_OUT)
        buf_printf(message, "not done in time, it may be done later%s%.*s (%s)",
                   is_bare ? "" : ": ", SLICE_ARGS(text), kafka_error_name(code));
    else if (is_bare)
        buf_add_text(message, kafka_error_name(code));
    else
        buf_printf(message, "%.*s (%s)", SLICE_ARGS(text), kafka_error_name(code));
    return code == KAFKA_TOPIC_ALREADY_EXISTS ? ERR_EXISTS : ERR_DENIED;
}

/* ---- create ---- */

static int16_t created_code(const void *response)
{
    const struct create_topics_response *r = response;

    return r->topics.count > 0 ? r->topics.at[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
}

static void fill_create(const struct topics_job *job, int32_t timeout_ms,
                        struct create_topics_request *request,
                        struct create_topics_request_topic *topic)
{
    struct arena *arena = job->arena;

    wire_default(&create_topics_request_wire, request);
    *topic = (struct create_topics_request_topic){
        .name = slice_text(job->topic),
        .num_partitions = (int32_t)job->partitions,
        .replication_factor = (int16_t)job->factor,
    };
    topic->assignments.count = job->assigned_count;
    topic->assignments.at =
        arena_zalloc(arena, (size_t)(job->assigned_count + 1) * sizeof(*topic->assignments.at));
    for (int32_t i = 0; i < job->assigned_count; i++) {
        topic->assignments.at[i].partition_index = i;
        topic->assignments.at[i].broker_ids.at = job->assigned + i * job->assigned_factor;
        topic->assignments.at[i].broker_ids.count = job->assigned_factor;
    }
    topic->configs.count = job->config_count;
    topic->configs.at =
        arena_zalloc(arena, (size_t)(job->config_count + 1) * sizeof(*topic->configs.at));
    for (int i = 0; i < job->config_count; i++)
        topic->configs.at[i] = (struct create_topics_request_topic_config){job->configs[i].name,
                                                                           job->configs[i].value};
    request->topics.at = topic;
    request->topics.count = 1;
    request->timeout_ms = timeout_ms;
}

static enum err create(struct session *s, struct buf *out)
{
    struct create_topics_request body;
    struct create_topics_request_topic topic;
    struct cluster_request request = {
        .api = API_CREATE_TOPICS, .body = &body, .timeout_ms = s->timeout_ms + ANSWER_MS};

    fill_create(s->job, s->timeout_ms, &body, &topic);
    enum err err = cluster_ask_controller(s->cluster, &request, created_code, s->message);
    if (err != ERR_OK) return err;
    const struct create_topics_response *response = request.response;
    int16_t code = created_code(response);
    if (code == KAFKA_TOPIC_ALREADY_EXISTS && s->job->if_not_exists)
        err = ERR_OK;
    else if (code != KAFKA_NONE)
        err =
            refuse(s->message, code,
                   response->topics.count > 0 ? response->topics.at[0].error_message : SLICE_NULL);
    else
        buf_printf(out, "Created topic %s.\n", s->job->topic);
    cluster_request_fini(&request);
    return err;
}

/* ---- alter, delete ---- */

static int16_t altered_code(const void *response)
{
    const struct create_partitions_response *r = response;

    return r->results.count > 0 ? r->results.at[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
}

static enum err alter_one(struct session *s, const struct metadata_response_topic *topic)
{
    const struct topics_job *job = s->job;
    int32_t now = topic->partitions.count, added = job->assigned_count - now;
    struct create_partitions_request_topic change = {.name = topic->name,
                                                     .count = (int32_t)job->partitions};
    struct create_partitions_request body;
    struct cluster_request request = {
        .api = API_CREATE_PARTITIONS, .body = &body, .timeout_ms = s->timeout_ms + ANSWER_MS};

    /* The list is of all partitions; those that are there already are passed over. */
    change.assignments.count = -1;
    if (job->assigned != NULL) {
        change.assignments.count = added > 0 ? added : 0;
        change.assignments.at = arena_zalloc(job->arena, (size_t)(change.assignments.count + 1) *
                                                             sizeof(*change.assignments.at));
        for (int32_t i = 0; i < change.assignments.count; i++) {
            change.assignments.at[i].broker_ids.at =
                job->assigned + (now + i) * job->assigned_factor;
            change.assignments.at[i].broker_ids.count = job->assigned_factor;
        }
    }
    wire_default(&create_partitions_request_wire, &body);
    body.topics.at = &change;
    body.topics.count = 1;
    body.timeout_ms = s->timeout_ms;
    enum err err = cluster_ask_controller(s->cluster, &request, altered_code, s->message);
    if (err != ERR_OK) return err;
    const struct create_partitions_response *response = request.response;
    int16_t code = altered_code(response);
    if (code != KAFKA_NONE)
        err = refuse(s->message, code,
                     response->results.count > 0 ? response->results.at[0].error_message
                                                 : SLICE_NULL);
    cluster_request_fini(&request);
    return err;
}

static int16_t deleted_code(const void *response)
{
    const struct delete_topics_response *r = response;

    return r->responses.count > 0 ? r->responses.at[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
}

static enum err delete_one(struct session *s, const struct metadata_response_topic *topic)
{
    struct slice name = arena_copy(s->job->arena, topic->name);
    struct delete_topics_request_topic by_name_too = {.name = name};
    struct delete_topics_request body;
    struct cluster_request request = {
        .api = API_DELETE_TOPICS, .body = &body, .timeout_ms = s->timeout_ms + ANSWER_MS};

    wire_default(&delete_topics_request_wire, &body);
    body.topics.at = &by_name_too;
    body.topics.count = 1;
    body.topic_names.at = &name;
    body.topic_names.count = 1;
    body.timeout_ms = s->timeout_ms;
    enum err err = cluster_ask_controller(s->cluster, &request, deleted_code, s->message);
    if (err != ERR_OK) return err;
    const struct delete_topics_response *response = request.response;
    int16_t code = deleted_code(response);
    if (code != KAFKA_NONE)
        err = refuse(s->message, code,
                     response->responses.count > 0 ? response->responses.at[0].error_message
                                                   : SLICE_NULL);
    cluster_request_fini(&request);
    return err;
}

/* Each selected topic: their names are copied first, since asking may read the metadata anew. */
static enum err for_each(struct session *s,
                         enum err (*act)(struct session *s,
                                         const struct metadata_response_topic *topic))
{
    struct metadata_response_topic *copies =
        arena_zalloc(s->job->arena, (size_t)(s->count + 1) * sizeof(*copies));
    enum err err = ERR_OK;

    for (int i = 0; i < s->count; i++) {
        copies[i] = *s->topics[i];
        copies[i].name = arena_copy(s->job->arena, copies[i].name);
    }
    for (int i = 0; err == ERR_OK && i < s->count; i++)
        err = act(s, &copies[i]);
    return err;
}

/* ---- describe ---- */

static enum err read_configs(struct session *s, struct cluster_request *request)
{
    struct describe_configs_request body;
    struct describe_configs_request_resource *resources =
        arena_zalloc(s->job->arena, (size_t)(s->count + 1) * sizeof(*resources));

    for (int i = 0; i < s->count; i++) {
        resources[i] = (struct describe_configs_request_resource){
            .resource_type = RESOURCE_TOPIC, .resource_name = s->topics[i]->name};
        resources[i].configuration_keys.count = -1;
    }
    wire_default(&describe_configs_request_wire, &body);
    body.resources.at = resources;
    body.resources.count = s->count;
    *request = (struct cluster_request){.api = API_DESCRIBE_CONFIGS, .body = &body};
    return cluster_ask(s->cluster, CLUSTER_ANY, true, request, s->message);
}

/* What moves. A broker or controller that does not tell is taken to have nothing moving. */
static const struct list_partition_reassignments_response *
read_moves(struct session *s, struct cluster_request *request)
{
    struct list_partition_reassignments_request body;
    struct buf ignored = {0};
    int32_t node = s->metadata->controller_id >= 0 ? s->metadata->controller_id : CLUSTER_ANY;

    wire_default(&list_partition_reassignments_request_wire, &body);
    body.topics.count = -1;
    *request = (struct cluster_request){.api = API_LIST_PARTITION_REASSIGNMENTS, .body = &body};
    enum err err = cluster_ask(s->cluster, node, true, request, &ignored);
    buf_fini(&ignored);
    return err == ERR_OK ? request->response : NULL;
}

static void add_moves(const struct list_partition_reassignments_response *moves, struct slice topic,
                      struct partition_view *view)
{
    for (int32_t i = 0; moves != NULL && i < moves->topics.count; i++) {
        const struct list_partition_reassignments_response_topic *t = &moves->topics.at[i];
        for (int32_t j = 0; slice_equal(t->name, topic) && j < t->partitions.count; j++) {
            if (t->partitions.at[j].partition_index != view->partition) continue;
            view->adding = (struct broker_ids){t->partitions.at[j].adding_replicas.at,
                                               t->partitions.at[j].adding_replicas.count};
            view->removing = (struct broker_ids){t->partitions.at[j].removing_replicas.at,
                                                 t->partitions.at[j].removing_replicas.count};
        }
    }
}

/* Eligible leader replicas, from brokers that have DescribeTopicPartitions: a list of all
 * partitions, in the order of topics and partitions. They are KRaft's, and empty elsewhere. */
struct elr {
    struct slice topic;
    int32_t partition;
    struct broker_ids eligible, last_known;
};

struct elr_list {
    struct elr *at; /* in the job's arena */
    int count, capacity;
    bool is_told;
};

static struct broker_ids copy_ids(struct arena *arena, const int32_t *at, int32_t count)
{
    size_t bytes = sizeof(*at) * (size_t)(count < 0 ? 0 : count);
    struct slice copy = arena_copy(arena, slice_of((const uint8_t *)at, bytes));

    return (struct broker_ids){(const int32_t *)(const void *)copy.ptr, count < 0 ? 0 : count};
}

static void add_elr(struct session *s, struct elr_list *list,
                    const struct describe_topic_partitions_response_topic *topic)
{
    struct slice name = arena_copy(s->job->arena, topic->name);

    for (int32_t i = 0; i < topic->partitions.count && list->count < list->capacity; i++) {
        const struct describe_topic_partitions_response_topic_partition *p =
            &topic->partitions.at[i];

        list->at[list->count++] = (struct elr){
            .topic = name,
            .partition = p->partition_index,
            .eligible = copy_ids(s->job->arena, p->eligible_leader_replicas.at,
                                 p->eligible_leader_replicas.count),
            .last_known = copy_ids(s->job->arena, p->last_known_elr.at, p->last_known_elr.count),
        };
    }
}

/* Piece by piece. A broker that fails at it, or a cursor that does not move, ends the list. */
static void read_elr(struct session *s, struct elr_list *list)
{
    struct arena *arena = s->job->arena;
    struct describe_topic_partitions_request body;
    struct describe_topic_partitions_request_cursor cursor;
    struct buf ignored = {0};

    *list = (struct elr_list){0};
    wire_default(&describe_topic_partitions_request_wire, &body);
    body.topics.at = arena_zalloc(arena, (size_t)(s->count + 1) * sizeof(*body.topics.at));
    body.topics.count = s->count;
    for (int i = 0; i < s->count; i++) {
        body.topics.at[i].name = s->topics[i]->name;
        if (s->topics[i]->partitions.count > 0) list->capacity += s->topics[i]->partitions.count;
    }
    list->at = arena_zalloc(arena, (size_t)(list->capacity + 1) * sizeof(*list->at));
    for (int before = -1; list->count > before;) {
        struct cluster_request request = {.api = API_DESCRIBE_TOPIC_PARTITIONS, .body = &body};

        before = list->count;
        if (cluster_ask(s->cluster, CLUSTER_ANY, true, &request, &ignored) != ERR_OK) break;
        const struct describe_topic_partitions_response *told = request.response;
        list->is_told = true;
        for (int32_t i = 0; i < told->topics.count; i++)
            if (!slice_is_null(told->topics.at[i].name)) add_elr(s, list, &told->topics.at[i]);
        bool is_last = told->next_cursor == NULL;
        if (!is_last)
            cursor = (struct describe_topic_partitions_request_cursor){
                arena_copy(arena, told->next_cursor->topic_name),
                told->next_cursor->partition_index};
        body.cursor = &cursor;
        cluster_request_fini(&request);
        if (is_last) break;
    }
    buf_fini(&ignored);
}

static int compare_elr(const void *a, const void *b)
{
    const struct elr *left = a, *right = b;
    int order = slice_compare(left->topic, right->topic);

    return order != 0 ? order
                      : (left->partition > right->partition) - (left->partition < right->partition);
}

static void find_elr(const struct elr_list *list, struct slice topic, struct partition_view *view)
{
    struct elr key = {.topic = topic, .partition = view->partition};
    const struct elr *found =
        list->count == 0 ? NULL
                         : bsearch(&key, list->at, (size_t)list->count, sizeof(key), compare_elr);

    view->tells_elr = list->is_told;
    if (found == NULL) return;
    view->elr = found->eligible;
    view->last_elr = found->last_known;
}

static bool is_live(const struct metadata_response *metadata, int32_t broker)
{
    for (int32_t i = 0; i < metadata->brokers.count; i++)
        if (metadata->brokers.at[i].node_id == broker) return true;
    return false;
}

static int by_number(const void *a, const void *b)
{
    const struct partition_view *left = a, *right = b;

    return (left->partition > right->partition) - (left->partition < right->partition);
}

static void add_configs(struct session *s, const struct describe_configs_response *configs,
                        struct topic_view *view)
{
    for (int32_t i = 0; i < configs->results.count; i++) {
        const struct describe_configs_response_result *result = &configs->results.at[i];
        if (!slice_equal(result->resource_name, view->name) || result->configs.count <= 0) continue;
        struct topic_config_view *list =
            arena_zalloc(s->job->arena, (size_t)result->configs.count * sizeof(*list));
        for (int32_t j = 0; j < result->configs.count; j++) {
            const struct describe_configs_response_result_config *config = &result->configs.at[j];
            bool is_default = config->is_default || config->config_source == SOURCE_DEFAULT;
            if (slice_is(config->name, "min.insync.replicas") && !slice_is_null(config->value)) {
                char *text = arena_text(s->job->arena, config->value);
                view->min_insync_replicas = (int32_t)strtol(text, NULL, 10);
            }
            view->has_overrides = view->has_overrides || config->config_source == SOURCE_TOPIC;
            if (!is_default)
                list[view->config_count++] =
                    (struct topic_config_view){config->name, config->value};
        }
        view->configs = list;
    }
}

static void describe_one(struct session *s, const struct metadata_response_topic *topic,
                         const struct describe_configs_response *configs,
                         const struct list_partition_reassignments_response *moves,
                         const struct elr_list *elr, struct buf *out)
{
    int32_t count = topic->partitions.count > 0 ? topic->partitions.count : 0;
    struct partition_view *partitions =
        arena_zalloc(s->job->arena, (size_t)(count + 1) * sizeof(*partitions));
    struct topic_view view = {.name = topic->name,
                              .id = topic->topic_id,
                              .min_insync_replicas = 1,
                              .partitions = partitions,
                              .partition_count = count};

    for (int32_t i = 0; i < count; i++) {
        const struct metadata_response_topic_partition *p = &topic->partitions.at[i];
        partitions[i] = (struct partition_view){
            .partition = p->partition_index,
            .leader = p->leader_id,
            .is_available = p->leader_id >= 0 && is_live(s->metadata, p->leader_id),
            .replicas = {p->replica_nodes.at, p->replica_nodes.count},
            .isr = {p->isr_nodes.at, p->isr_nodes.count}};
        add_moves(moves, topic->name, &partitions[i]);
        find_elr(elr, topic->name, &partitions[i]);
    }
    qsort(partitions, (size_t)count, sizeof(*partitions), by_number);
    add_configs(s, configs, &view);
    topic_view_print(&view, &s->job->wanted, out);
}

static enum err describe(struct session *s, struct buf *out)
{
    struct cluster_request configs, moves;
    struct elr_list elr;

    if (s->count == 0) return ERR_OK;
    enum err err = read_configs(s, &configs);
    if (err != ERR_OK) return err;
    const struct list_partition_reassignments_response *moving = read_moves(s, &moves);
    read_elr(s, &elr);
    for (int i = 0; i < s->count; i++)
        describe_one(s, s->topics[i], configs.response, moving, &elr, out);
    cluster_request_fini(&configs);
    cluster_request_fini(&moves);
    return ERR_OK;
}

static enum err run(struct session *s, struct buf *out)
{
    const char *action = s->job->action;

    if (strcmp(action, "create") == 0) return create(s, out);
    enum err err = read_metadata(s);
    if (err != ERR_OK) return err;
    if (strcmp(action, "alter") == 0) return for_each(s, alter_one);
    if (strcmp(action, "delete") == 0) return for_each(s, delete_one);
    if (strcmp(action, "describe") == 0) return describe(s, out);
    for (int i = 0; i < s->count; i++)
        buf_printf(out, "%.*s\n", SLICE_ARGS(s->topics[i]->name));
    return ERR_OK;
}

enum err topics_by_brokers(const struct topics_job *job, struct buf *out, struct buf *message)
{
    struct session session = {.job = job, .message = message};
    struct conf settings;

    conf_init(&settings);
    enum err err = usage_read_settings(job->args, "command-config", NULL, &settings, message);
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(job->args, "bootstrap-server", ""),
                                      .client_id = "adminclient-1",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &session.cluster, message);
    session.timeout_ms = usage_request_timeout_ms(&settings);
    if (err == ERR_OK) err = run(&session, out);
    cluster_request_fini(&session.metadata_request);
    cluster_close(&session.cluster);
    conf_fini(&settings);
    return err;
}
