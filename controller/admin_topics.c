/* controller/admin_topics.c - CreateTopics, DeleteTopics, CreatePartitions: znodes are written as
 * any tool would write them, the machines see them by their watches, and the answer waits until
 * they have acted (or for its time). */
#include "base/ensure.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/assign.h"
#include "controller/asked.h"
#include "wire/gen/create_partitions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/delete_topics.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PARTITIONS_MAX                                                                             \
    100000 /* of one topic: its znode must stay below ZooKeeper's packet limit                     \
            */
#define REPLICAS_MAX   1000
#define TIMEOUT_MS_MAX (30 * 60 * 1000)
#define DOC_ARENA_MAX  (64u << 20)

enum work_kind { WORK_CREATE, WORK_DELETE, WORK_EXPAND };

/* One topic of a request. */
struct topic_work {
    struct works *works;
    struct zk_call call;
    int step;
    int16_t error;
    struct slice message; /* of a refusal: in the request's arena, or static */
    struct slice name;
    struct uuid id;
    int32_t partition_count, replication_factor;
    struct buf config, document;
    int32_t *replicas; /* expand: of the new ones, one list behind another */
    bool is_repeated;
    bool was_resent; /* create: a write of ours, so that "exists" may be our own success */
};

/* One request. */
struct works {
    struct list_node node; /* of the admin */
    struct asked *asked;
    enum work_kind kind;
    struct topic_work *at;
    int32_t count, pending; /* pending: topics whose znodes are being written */
    bool is_validate_only, is_waiting;
    struct timer deadline;
    const void *request;
};

static void reply(struct works *works);

static struct works *works_create(struct asked *asked, enum work_kind kind, int32_t count,
                                  const void *request)
{
    struct works *works = ensure_zalloc(sizeof(*works));

    works->asked = asked;
    works->kind = kind;
    works->count = count;
    works->request = request;
    works->at = ensure_zalloc((size_t)(count + 1) * sizeof(*works->at));
    for (int32_t i = 0; i < count; i++)
        works->at[i].works = works;
    list_push(&asked->controller->admin->works, &works->node);
    return works;
}

static void works_free(struct works *works)
{
    list_remove(&works->node);
    for (int32_t i = 0; i < works->count; i++) {
        buf_fini(&works->at[i].config);
        buf_fini(&works->at[i].document);
    }
    free(works->at);
    free(works);
}

static void refuse(struct topic_work *work, int16_t error, const char *message)
{
    work->error = error;
    work->message = slice_text(message);
}

static struct context *context_of(const struct works *works)
{
    return &works->asked->controller->context;
}

/* ---- waiting ---- */

static bool is_there(const struct context *context, const struct topic_work *work)
{
    const struct topic *topic = context_topic(context, work->name);

    if (topic == NULL || topic->count < work->partition_count) return false;
    for (int32_t i = 0; i < topic->count; i++)
        if (!topic->partitions[i]->has_leadership || topic->partitions[i]->now.leader < 0)
            return false;
    return true;
}

static bool is_over(const struct works *works, const struct topic_work *work)
{
    if (work->error != KAFKA_NONE) return true;
    if (works->kind == WORK_DELETE) return context_topic(context_of(works), work->name) == NULL;
    return is_there(context_of(works), work);
}

static bool is_all_over(const struct works *works)
{
    for (int32_t i = 0; i < works->count; i++)
        if (!is_over(works, &works->at[i])) return false;
    return true;
}

/* The first partition that cannot be led while its brokers are away. Null: there is none. */
static struct slice name_unled(struct works *works, const struct topic *topic)
{
    const struct context *context = context_of(works);

    for (int32_t i = 0; topic != NULL && i < topic->count; i++) {
        const struct partition *p = topic->partitions[i];
        bool can_lead = p->has_leadership && p->now.leader >= 0;

        for (int32_t r = 0; !can_lead && r < p->replicas.count; r++)
            can_lead = replica_is_alive(context, p, p->replicas.at[r]);
        if (can_lead) continue;
        struct buf ids = {0};
        ids_print(&ids, &p->replicas);
        struct slice message =
            arena_printf(&works->asked->arena,
                         "partition %d has no leader: none of its replicas (%.*s) is alive", i,
                         SLICE_ARGS(buf_slice(&ids)));
        buf_fini(&ids);
        return message;
    }
    return SLICE_NULL;
}

static void time_out(struct works *works)
{
    for (int32_t i = 0; i < works->count; i++) {
        struct topic_work *work = &works->at[i];

        if (is_over(works, work)) continue;
        refuse(work, KAFKA_REQUEST_TIMED_OUT, NULL);
        if (works->kind != WORK_DELETE)
            work->message = name_unled(works, context_topic(context_of(works), work->name));
    }
    reply(works);
}

static void deadline_fired(struct timer *timer)
{
    time_out(list_entry(timer, struct works, deadline));
}

static void finish_writing(struct works *works, int32_t timeout_ms)
{
    struct shard *shard = works->asked->controller->shard;

    if (works->is_validate_only || is_all_over(works)) {
        reply(works);
        return;
    }
    if (timeout_ms <= 0) {
        time_out(works);
        return;
    }
    works->is_waiting = true;
    works->deadline.fire = deadline_fired;
    timer_arm(shard, &works->deadline,
              instant_add_ms(shard_now(shard),
                             timeout_ms > TIMEOUT_MS_MAX ? TIMEOUT_MS_MAX : timeout_ms));
}

static int32_t timeout_of(const struct works *works)
{
    switch (works->kind) {
    case WORK_CREATE:
        return ((const struct create_topics_request *)works->request)->timeout_ms;
    case WORK_DELETE:
        return ((const struct delete_topics_request *)works->request)->timeout_ms;
    case WORK_EXPAND:
        return ((const struct create_partitions_request *)works->request)->timeout_ms;
    }
    return 0;
}

void works_check(struct admin *admin)
{
    list_each (node, &admin->works) {
        struct works *works = list_entry(node, struct works, node);

        /* A deposed one knows of no topics: whoever waits hears it at the end of its time. */
        if (works->is_waiting && controller_is_active(admin->controller) &&
            !admin->controller->is_taking_over && is_all_over(works))
            reply(works);
    }
}

void works_drop(struct admin *admin)
{
    list_each (node, &admin->works) {
        struct works *works = list_entry(node, struct works, node);

        if (works->is_waiting) time_out(works);
    }
}

/* ---- znodes ---- */

static void written(struct topic_work *work)
{
    struct works *works = work->works;

    if (--works->pending == 0) finish_writing(works, timeout_of(works));
}

static void submit(struct topic_work *work, enum zk_kind kind, struct slice path, struct slice data,
                   int32_t version)
{
    const struct zk_op op = {.kind = kind, .path = path, .data = data, .version = version};

    zk_submit(work->works->asked->controller->zk, &work->call, &op, 1);
}

static void fail(struct topic_work *work, enum err err)
{
    log_warn("controller", "topic-not-written", "topic=%.*s error=%s", SLICE_ARGS(work->name),
             err_name(err));
    refuse(work,
           err == ERR_ZK_EXPIRED || err == ERR_CANCELLED ? KAFKA_NOT_CONTROLLER
                                                         : KAFKA_UNKNOWN_SERVER_ERROR,
           err_text(err));
    written(work);
}

enum { MARKER = 0, CREATE, CREATE_OVER_CONFIG, WHOSE };

/* Both nodes or none: who comes second with a name must not change the configuration of the topic
 * that there is. A configuration without its topic, from an earlier one, is replaced. */
static void submit_topic(struct topic_work *work, enum zk_kind config)
{
    struct arena *arena = &work->works->asked->arena;
    const struct zk_op ops[] = {
        {.kind = config,
         .path = path_config_topic(arena, work->name),
         .data = buf_slice(&work->config),
         .version = ZK_ANY_VERSION},
        {.kind = ZK_CREATE,
         .path = path_topic(arena, work->name),
         .data = buf_slice(&work->document)},
    };

    zk_submit(work->works->asked->controller->zk, &work->call, ops, 2);
}

static void create_step(struct topic_work *work)
{
    struct arena *arena = &work->works->asked->arena;

    switch (work->step) {
    case MARKER:
        submit(work, ZK_EXISTS, path_delete_topic(arena, work->name), SLICE_NULL, -1);
        break;
    case CREATE:
        submit_topic(work, ZK_CREATE);
        break;
    case CREATE_OVER_CONFIG:
        submit_topic(work, ZK_SET);
        break;
    case WHOSE:
        submit(work, ZK_GET, path_topic(arena, work->name), SLICE_NULL, -1);
        break;
    }
}

static void refuse_existing(struct topic_work *work)
{
    refuse(work, KAFKA_TOPIC_ALREADY_EXISTS, "the topic already exists");
    written(work);
}

static void create_done(struct zk_call *call, enum err err, const struct zk_result *results,
                        int count)
{
    struct topic_work *work = list_entry(call, struct topic_work, call);

    work->was_resent |= call->resent;
    switch (work->step) {
    case MARKER:
        if (err == ERR_OK) {
            refuse(work, KAFKA_TOPIC_ALREADY_EXISTS, "the topic is marked for deletion");
            written(work);
            return;
        }
        work->was_resent = false; /* a look changes nothing */
        work->step = CREATE;
        err = err == ERR_NOT_FOUND ? ERR_OK : err;
        break;
    case CREATE:
    case CREATE_OVER_CONFIG:
        if (err == ERR_OK) {
            written(work);
            return;
        }
        if (count == 2 && results[1].err == ERR_EXISTS) {
            if (!work->was_resent) {
                refuse_existing(work);
                return;
            }
            work->step = WHOSE; /* ours, perhaps: an answer that was lost */
            err = ERR_OK;
        } else if (count == 2 && results[0].err == ERR_EXISTS) {
            work->step = CREATE_OVER_CONFIG;
            err = ERR_OK;
        } else if (count == 2 && results[0].err == ERR_NOT_FOUND) {
            work->step = CREATE;
            err = ERR_OK;
        }
        break;
    case WHOSE:
        if (err == ERR_OK && count == 1 && slice_equal(results[0].data, buf_slice(&work->document)))
            written(work);
        else if (err == ERR_OK || err == ERR_NOT_FOUND)
            refuse_existing(work);
        else
            fail(work, err);
        return;
    }
    if (err != ERR_OK)
        fail(work, err);
    else
        create_step(work);
}

static void mark_done(struct zk_call *call, enum err err, const struct zk_result *results,
                      int count)
{
    struct topic_work *work = list_entry(call, struct topic_work, call);

    (void)results;
    (void)count;
    if (err != ERR_OK && err != ERR_EXISTS) {
        fail(work, err);
        return;
    }
    written(work);
}

/* The document as it is, with the new partitions behind. */
static enum err expand_document(struct topic_work *work, struct slice json)
{
    struct doc_partition *partitions;
    struct doc_topic doc;
    struct arena arena;
    int32_t *next = work->replicas;

    arena_init(&arena, DOC_ARENA_MAX);
    enum err err = doc_topic_read(json, &arena, &doc);
    if (err == ERR_OK && doc.partition_count >= work->partition_count) err = ERR_STALE;
    if (err == ERR_OK) {
        partitions = arena_zalloc(&arena, (size_t)work->partition_count * sizeof(*partitions));
        memcpy(partitions, doc.partitions, (size_t)doc.partition_count * sizeof(*partitions));
        int32_t first = doc.partition_count;
        for (int32_t i = first; i < work->partition_count; i++) {
            partitions[i] = (struct doc_partition){
                .partition = i, .replicas = {.at = next, .count = work->replication_factor}};
            next += work->replication_factor;
        }
        doc.partitions = partitions;
        doc.partition_count = work->partition_count;
        buf_clear(&work->document);
        doc_topic_write(&work->document, &doc);
    }
    arena_fini(&arena);
    return err;
}

static void expand_done(struct zk_call *call, enum err err, const struct zk_result *results,
                        int count)
{
    struct topic_work *work = list_entry(call, struct topic_work, call);
    struct arena *arena = &work->works->asked->arena;

    if (err == ERR_OK && work->step == 0 && count == 1) {
        int32_t version = results[0].stat.version;

        err = expand_document(work, results[0].data);
        if (err == ERR_OK) {
            work->step = 1;
            submit(work, ZK_SET, path_topic(arena, work->name), buf_slice(&work->document),
                   version);
            return;
        }
    }
    if (err != ERR_OK && !(err == ERR_ZK_VERSION && call->resent)) {
        fail(work, err);
        return;
    }
    written(work);
}

static void start_writing(struct works *works)
{
    struct arena *arena = &works->asked->arena;

    works->pending = 1; /* ours, so that nothing ends while we begin */
    for (int32_t i = 0; i < works->count && !works->is_validate_only; i++) {
        struct topic_work *work = &works->at[i];

        if (work->error != KAFKA_NONE) continue;
        works->pending++;
        work->call = (struct zk_call){.retry_loss = true};
        switch (works->kind) {
        case WORK_CREATE:
            work->call.done = create_done;
            create_step(work);
            break;
        case WORK_DELETE:
            work->call.done = mark_done;
            submit(work, ZK_CREATE, path_delete_topic(arena, work->name), SLICE_NULL, -1);
            break;
        case WORK_EXPAND:
            work->call.done = expand_done;
            submit(work, ZK_GET, path_topic(arena, work->name), SLICE_NULL, -1);
            break;
        }
    }
    if (--works->pending == 0) finish_writing(works, timeout_of(works));
}

/* ---- brokers to assign to ---- */

static int list_brokers(struct works *works, struct assign_broker **out)
{
    const struct context *context = context_of(works);
    struct ids alive = {0};
    int count = 0;

    context_alive(context, &alive);
    *out = asked_alloc(works->asked, (size_t)(alive.count + 1) * sizeof(**out));
    for (int32_t i = 0; i < alive.count; i++)
        (*out)[count++] = (struct assign_broker){
            alive.at[i], slice_text(context_broker(context, alive.at[i])->rack)};
    ids_fini(&alive);
    return count;
}

static void refuse_assignment(struct topic_work *work, enum assign_refusal refusal)
{
    switch (refusal) {
    case ASSIGN_OK:
        break;
    case ASSIGN_PARTITIONS:
        refuse(work, KAFKA_INVALID_PARTITIONS, "the number of partitions must be at least 1");
        break;
    case ASSIGN_REPLICATION:
        refuse(work, KAFKA_INVALID_REPLICATION_FACTOR,
               "the replication factor must be at least 1 and at most the number of brokers");
        break;
    case ASSIGN_RACKS:
        refuse(work, KAFKA_UNKNOWN_SERVER_ERROR, "some brokers have a rack and some have none");
        break;
    }
}

static int32_t *assign(struct topic_work *work, struct assign_request *request)
{
    struct assign_broker *brokers;
    struct env *env = work->works->asked->controller->shard->env;

    request->broker_count = list_brokers(work->works, &brokers);
    request->brokers = brokers;
    if (request->partition_count > PARTITIONS_MAX) {
        refuse_assignment(work, ASSIGN_PARTITIONS);
        return NULL;
    }
    if (request->replication_factor > request->broker_count) {
        refuse_assignment(work, ASSIGN_REPLICATION);
        return NULL;
    }
    if (request->first_partition == 0 && request->broker_count > 0) {
        request->start = (int32_t)(env_random(env, "assign") % (uint64_t)request->broker_count);
        request->shift = (int32_t)(env_random(env, "assign") % (uint64_t)request->broker_count);
    }
    size_t n = request->partition_count <= 0 || request->replication_factor <= 0
                   ? 0
                   : (size_t)request->partition_count * (size_t)request->replication_factor;
    int32_t *out = asked_alloc(work->works->asked, (n + 1) * sizeof(*out));
    enum assign_refusal refusal = assign_replicas(request, out);
    refuse_assignment(work, refusal);
    return refusal == ASSIGN_OK ? out : NULL;
}

/* ---- CreateTopics ---- */

static bool check_name(struct topic_work *work)
{
    const struct context *context = context_of(work->works);
    const struct topic *there = context_topic(context, work->name);

    if (slice_is(work->name, TOPIC_NAME_METADATA)) {
        refuse(work, KAFKA_INVALID_REQUEST, "this name is reserved");
        return false;
    }
    if (there != NULL) {
        refuse(work, KAFKA_TOPIC_ALREADY_EXISTS,
               there->is_deleting ? "the topic is marked for deletion"
                                  : "the topic already exists");
        return false;
    }
    return true;
}

static bool check_collision(struct topic_work *work)
{
    const struct context *context = context_of(work->works);

    if (!text_is_topic_name(work->name)) {
        refuse(work, KAFKA_INVALID_TOPIC_EXCEPTION,
               "a topic's name is 1 to 249 of [a-zA-Z0-9._-], and not . or ..");
        return false;
    }
    context_each_topic(entry, topic,
                       context) if (topic_names_collide(work->name, slice_text(topic->name)))
    {
        refuse(work, KAFKA_INVALID_TOPIC_EXCEPTION,
               "the name differs from an existing one only in . and _");
        return false;
    }
    return true;
}

/* By hand: one list per partition 0 … n − 1, all of one size, nothing twice in a list. */
static bool take_manual(struct topic_work *work, const struct create_topics_request_topic *topic,
                        struct doc_partition *partitions)
{
    int32_t count = topic->assignments.count;
    int32_t size = topic->assignments.at[0].broker_ids.count;

    for (int32_t i = 0; i < count; i++)
        partitions[i].partition = -1;
    for (int32_t i = 0; i < count; i++) {
        const struct create_topics_request_topic_assignment *a = &topic->assignments.at[i];
        struct broker_ids ids = {a->broker_ids.at, a->broker_ids.count};

        if (a->partition_index < 0 || a->partition_index >= count ||
            partitions[a->partition_index].partition >= 0 || a->broker_ids.count != size ||
            size <= 0 || size > REPLICAS_MAX || broker_ids_repeat(ids)) {
            refuse(
                work, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                "replica lists must be of one size, without repetition, for partitions 0 to n-1");
            return false;
        }
        partitions[a->partition_index] = (struct doc_partition){
            .partition = a->partition_index, .replicas = {a->broker_ids.at, size}};
    }
    work->partition_count = count;
    work->replication_factor = size;
    return true;
}

static bool take_automatic(struct topic_work *work, const struct create_topics_request_topic *topic,
                           struct doc_partition **partitions)
{
    const struct options *options = work->works->asked->controller->options;
    struct assign_request request = {
        .partition_count = topic->num_partitions == -1 ? options_int(options, OPTION_NUM_PARTITIONS)
                                                       : topic->num_partitions,
        .replication_factor = topic->replication_factor == -1
                                  ? options_int(options, OPTION_DEFAULT_REPLICATION_FACTOR)
                                  : topic->replication_factor,
    };
    int32_t *replicas = assign(work, &request);

    if (replicas == NULL) return false;
    *partitions =
        asked_alloc(work->works->asked, (size_t)request.partition_count * sizeof(**partitions));
    for (int32_t i = 0; i < request.partition_count; i++)
        (*partitions)[i] = (struct doc_partition){
            .partition = i,
            .replicas = {&replicas[(size_t)i * (size_t)request.replication_factor],
                         request.replication_factor}};
    work->partition_count = request.partition_count;
    work->replication_factor = request.replication_factor;
    return true;
}

static bool take_assignment(struct topic_work *work,
                            const struct create_topics_request_topic *topic,
                            struct doc_partition **partitions)
{
    if (topic->assignments.count <= 0) return take_automatic(work, topic, partitions);
    if (topic->assignments.count > PARTITIONS_MAX) {
        refuse_assignment(work, ASSIGN_PARTITIONS);
        return false;
    }
    *partitions =
        asked_alloc(work->works->asked, (size_t)topic->assignments.count * sizeof(**partitions));
    return take_manual(work, topic, *partitions);
}

static bool take_config(struct topic_work *work, const struct create_topics_request_topic *topic)
{
    struct asked *asked = work->works->asked;
    size_t count = (size_t)(topic->configs.count > 0 ? topic->configs.count : 0);
    struct option_pair *pairs = asked_alloc(asked, (count + 1) * sizeof(*pairs));
    struct doc_config_entry *entries = asked_alloc(asked, (count + 1) * sizeof(*entries));
    struct doc_config doc = {.entries = entries, .count = (int32_t)count};
    struct buf message = {0};
    bool is_valid = true;

    for (size_t i = 0; i < count; i++) {
        pairs[i] = (struct option_pair){topic->configs.at[i].name, topic->configs.at[i].value};
        entries[i] =
            (struct doc_config_entry){topic->configs.at[i].name, topic->configs.at[i].value};
    }
    if (topic_options_check(asked->controller->options, pairs, (int)count, &message) != ERR_OK) {
        refuse(work, KAFKA_INVALID_CONFIG, NULL);
        work->message = arena_copy(&asked->arena, buf_slice(&message));
        is_valid = false;
    } else {
        doc_config_write(&work->config, &doc);
    }
    buf_fini(&message);
    return is_valid;
}

static struct uuid fresh_topic_id(struct env *env)
{
    struct uuid id;

    do {
        uint64_t high = env_random(env, "topic-id");
        uint64_t low = env_random(env, "topic-id");

        id = uuid_from_random(high, low);
    } while (!uuid_is_topic_id(id));
    return id;
}

static bool has_null_value(const struct create_topics_request_topic *topic)
{
    for (int32_t i = 0; i < topic->configs.count; i++)
        if (slice_is_null(topic->configs.at[i].value)) return true;
    return false;
}

static void prepare_create(struct topic_work *work, const struct create_topics_request_topic *topic)
{
    struct controller *c = work->works->asked->controller;
    struct doc_partition *partitions = NULL;

    if (!check_name(work)) return;
    if (has_null_value(topic)) {
        refuse(work, KAFKA_INVALID_CONFIG, "a config has no value");
        return;
    }
    if (topic->assignments.count > 0 &&
        (topic->num_partitions != -1 || topic->replication_factor != -1)) {
        refuse(work, KAFKA_INVALID_REQUEST,
               "replica lists go without number of partitions and replication factor");
        return;
    }
    if (!take_assignment(work, topic, &partitions) || !check_collision(work) ||
        !take_config(work, topic))
        return;
    struct doc_topic doc = {
        .version = 3,
        .partitions = partitions,
        .partition_count = work->partition_count,
    };
    if (c->context.config.has_topic_ids && !work->works->is_validate_only)
        doc.id = work->id = fresh_topic_id(c->shard->env);
    doc_topic_write(&work->document, &doc);
}

/* All occurrences of a name that comes more than once. */
static void refuse_repeated(struct works *works)
{
    struct map first;

    map_init(&first);
    for (int32_t i = 0; i < works->count; i++) {
        struct topic_work *work = &works->at[i];

        if (slice_is_null(work->name)) continue;
        struct topic_work *before = map_get(&first, work->name);
        if (before == NULL)
            (void)map_set(&first, work->name, work);
        else
            before->is_repeated = work->is_repeated = true;
    }
    map_fini(&first);
    for (int32_t i = 0; i < works->count; i++)
        if (works->at[i].is_repeated)
            refuse(&works->at[i], KAFKA_INVALID_REQUEST, "the name comes twice in the request");
}

static bool refuse_all(struct works *works)
{
    if (controller_is_active(works->asked->controller) && !works->asked->controller->is_taking_over)
        return false;
    for (int32_t i = 0; i < works->count; i++)
        refuse(&works->at[i], KAFKA_NOT_CONTROLLER, NULL);
    reply(works);
    return true;
}

void ask_create_topics(struct asked *asked)
{
    struct create_topics_request *request = asked_alloc(asked, sizeof(*request));

    if (!asked_read(asked, &create_topics_request_wire, request)) return;
    struct works *works = works_create(asked, WORK_CREATE, request->topics.count, request);
    works->is_validate_only = request->validate_only;
    for (int32_t i = 0; i < works->count; i++)
        works->at[i].name = request->topics.at[i].name;
    if (refuse_all(works)) return;
    refuse_repeated(works);
    for (int32_t i = 0; i < works->count; i++)
        if (!works->at[i].is_repeated) prepare_create(&works->at[i], &request->topics.at[i]);
    start_writing(works);
}

static void reply_create(struct works *works)
{
    const struct create_topics_request *request = works->request;
    struct create_topics_response response;

    wire_default(&create_topics_response_wire, &response);
    response.topics.count = works->count;
    response.topics.at =
        asked_alloc(works->asked, (size_t)(works->count + 1) * sizeof(*response.topics.at));
    for (int32_t i = 0; i < works->count; i++) {
        const struct topic_work *work = &works->at[i];
        struct create_topics_response_topic *topic = &response.topics.at[i];

        topic->name = work->name;
        topic->error_code = work->error;
        topic->error_message = work->message;
        topic->num_partitions = -1;
        topic->replication_factor = -1;
        if (work->error == KAFKA_NONE || work->error == KAFKA_REQUEST_TIMED_OUT)
            topic->topic_id = work->id;
        if (work->error != KAFKA_NONE) continue;
        topic->num_partitions = work->partition_count;
        topic->replication_factor = (int16_t)work->replication_factor;
        size_t configs =
            (size_t)(request->topics.at[i].configs.count > 0 ? request->topics.at[i].configs.count
                                                             : 0);
        topic->configs.at = asked_alloc(works->asked, (configs + 1) * sizeof(*topic->configs.at));
        topic->configs.count = (int32_t)configs;
        for (size_t k = 0; k < configs; k++)
            topic->configs.at[k] = (struct create_topics_response_topic_config){
                .name = request->topics.at[i].configs.at[k].name,
                .value = request->topics.at[i].configs.at[k].value,
                .config_source = OPTION_SOURCE_TOPIC,
            };
    }
    asked_reply(works->asked, &create_topics_response_wire, &response);
}

/* ---- DeleteTopics ---- */

static void prepare_delete(struct topic_work *work, const struct delete_topics_request_topic *by)
{
    const struct context *context = context_of(work->works);
    const struct topic *topic = NULL;

    if (by != NULL && slice_is_null(by->name)) {
        topic = context_topic_by_id(context, by->topic_id);
        work->id = by->topic_id;
        if (topic == NULL)
            refuse(work, KAFKA_UNKNOWN_TOPIC_ID, NULL);
        else
            work->name = arena_copy(&work->works->asked->arena, slice_text(topic->name));
        return;
    }
    if (by != NULL && !uuid_is_zero(by->topic_id)) {
        refuse(work, KAFKA_INVALID_REQUEST, "name and id exclude each other");
        return;
    }
    topic = context_topic(context, work->name);
    if (topic == NULL)
        refuse(work, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL);
    else
        work->id = topic->id;
}

void ask_delete_topics(struct asked *asked)
{
    struct delete_topics_request *request = asked_alloc(asked, sizeof(*request));

    if (!asked_read(asked, &delete_topics_request_wire, request)) return;
    bool is_by_topic = asked->head.api_version >= 6;
    int32_t count = is_by_topic ? request->topics.count : request->topic_names.count;
    struct works *works = works_create(asked, WORK_DELETE, count > 0 ? count : 0, request);
    for (int32_t i = 0; i < works->count; i++) {
        works->at[i].name = is_by_topic ? request->topics.at[i].name : request->topic_names.at[i];
        if (is_by_topic) works->at[i].id = request->topics.at[i].topic_id;
    }
    if (refuse_all(works)) return;
    bool is_enabled = context_of(works)->config.is_delete_enabled;
    refuse_repeated(works);
    for (int32_t i = 0; i < works->count; i++)
        if (!is_enabled)
            refuse(&works->at[i],
                   asked->head.api_version < 3 ? KAFKA_INVALID_REQUEST
                                               : KAFKA_TOPIC_DELETION_DISABLED,
                   "delete.topic.enable is false");
        else if (!works->at[i].is_repeated)
            prepare_delete(&works->at[i], is_by_topic ? &request->topics.at[i] : NULL);
    start_writing(works);
}

static void reply_delete(struct works *works)
{
    struct delete_topics_response response;

    wire_default(&delete_topics_response_wire, &response);
    response.responses.count = works->count;
    response.responses.at =
        asked_alloc(works->asked, (size_t)(works->count + 1) * sizeof(*response.responses.at));
    for (int32_t i = 0; i < works->count; i++)
        response.responses.at[i] = (struct delete_topics_response_response){
            .name = works->at[i].name,
            .topic_id = works->at[i].id,
            .error_code = works->at[i].error,
            .error_message = works->at[i].message,
        };
    asked_reply(works->asked, &delete_topics_response_wire, &response);
}

/* ---- CreatePartitions ---- */

static bool take_lists(struct topic_work *work, const struct topic *topic,
                       const struct create_partitions_request_topic *asked)
{
    const struct context *context = context_of(work->works);
    int32_t factor = topic->partitions[0]->replicas.count;
    struct ids flat = {0};
    bool is_valid = asked->assignments.count == asked->count - topic->count, is_known = true;

    for (int32_t i = 0; is_valid && i < asked->assignments.count; i++) {
        struct broker_ids ids = {asked->assignments.at[i].broker_ids.at,
                                 asked->assignments.at[i].broker_ids.count};

        is_valid = ids.count == factor && !broker_ids_repeat(ids);
        for (int32_t k = 0; is_valid && k < ids.count; k++) {
            is_known = is_valid = broker_is_alive(context, ids.at[k]);
            ids_add(&flat, ids.at[k]);
        }
    }
    if (!is_known) {
        refuse(work, KAFKA_INVALID_REPLICA_ASSIGNMENT, NULL);
        work->message =
            arena_printf(&work->works->asked->arena, "Unknown broker(s) in replica assignment: %d",
                         flat.at[flat.count - 1]);
    } else if (is_valid) {
        size_t bytes = (size_t)flat.count * sizeof(int32_t);
        int32_t *replicas = asked_alloc(work->works->asked, bytes + sizeof(int32_t));
        memcpy(replicas, flat.at, bytes);
        work->replicas = replicas;
    } else {
        refuse(work, KAFKA_INVALID_REPLICA_ASSIGNMENT,
               "one list per new partition, as long as those that there are, without repetition");
    }
    ids_fini(&flat);
    return is_valid;
}

static void prepare_expand(struct topic_work *work,
                           const struct create_partitions_request_topic *asked)
{
    const struct topic *topic = context_topic(context_of(work->works), work->name);

    if (topic != NULL && topic->is_deleting) {
        refuse(work, KAFKA_INVALID_TOPIC_EXCEPTION, "the topic is marked for deletion");
        return;
    }
    for (int32_t i = 0; topic != NULL && i < topic->count; i++)
        if (topic->partitions[i]->adding.count > 0 || topic->partitions[i]->removing.count > 0) {
            refuse(work, KAFKA_REASSIGNMENT_IN_PROGRESS, "a reassignment is in progress");
            return;
        }
    if (topic == NULL || topic->count == 0) {
        refuse(work, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        return;
    }
    if (asked->count <= topic->count || asked->count > PARTITIONS_MAX) {
        refuse(work, KAFKA_INVALID_PARTITIONS,
               "the number of partitions must be larger than it is");
        return;
    }
    work->partition_count = asked->count;
    work->replication_factor = topic->partitions[0]->replicas.count;
    if (asked->assignments.count >= 0) {
        (void)take_lists(work, topic, asked);
        return;
    }
    struct assign_broker *brokers;
    int count = list_brokers(work->works, &brokers);
    int32_t first = work->replication_factor == 0 ? -1 : topic->partitions[0]->replicas.at[0];
    int32_t start = assign_start_after(brokers, count, first);
    struct assign_request request = {
        .partition_count = asked->count - topic->count,
        .replication_factor = work->replication_factor,
        .start = start,
        .shift = start,
        .first_partition = topic->count,
    };
    work->replicas = assign(work, &request);
}

void ask_create_partitions(struct asked *asked)
{
    struct create_partitions_request *request = asked_alloc(asked, sizeof(*request));

    if (!asked_read(asked, &create_partitions_request_wire, request)) return;
    struct works *works = works_create(asked, WORK_EXPAND, request->topics.count, request);
    works->is_validate_only = request->validate_only;
    for (int32_t i = 0; i < works->count; i++)
        works->at[i].name = request->topics.at[i].name;
    if (refuse_all(works)) return;
    refuse_repeated(works);
    for (int32_t i = 0; i < works->count; i++)
        if (!works->at[i].is_repeated) prepare_expand(&works->at[i], &request->topics.at[i]);
    start_writing(works);
}

static void reply_expand(struct works *works)
{
    struct create_partitions_response response;

    wire_default(&create_partitions_response_wire, &response);
    response.results.count = works->count;
    response.results.at =
        asked_alloc(works->asked, (size_t)(works->count + 1) * sizeof(*response.results.at));
    for (int32_t i = 0; i < works->count; i++)
        response.results.at[i] = (struct create_partitions_response_result){
            .name = works->at[i].name,
            .error_code = works->at[i].error,
            .error_message = works->at[i].message,
        };
    asked_reply(works->asked, &create_partitions_response_wire, &response);
}

static void reply(struct works *works)
{
    timer_cancel(works->asked->controller->shard, &works->deadline);
    switch (works->kind) {
    case WORK_CREATE:
        reply_create(works);
        break;
    case WORK_DELETE:
        reply_delete(works);
        break;
    case WORK_EXPAND:
        reply_expand(works);
        break;
    }
    works_free(works);
}
