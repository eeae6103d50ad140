/* `ottla topics --zookeeper`: by reading and writing the znodes, as the admin path of brokers does
 * (zookeeper.md §6, §7, §9). The controller sees the change and does the rest. */
#include "tools/topics.h"
#include "tools/zookeeper_client.h"
#include "base/ensure.h"
#include "base/text.h"
#include "cluster/assign.h"
#include "cluster/options.h"
#include "runtime/env.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include "zk/recipes.h"
#include <stdlib.h>

struct session {
    const struct topics_job *job;
    struct arena *arena;
    struct buf *message;
    struct zookeeper_client client;
    bool is_recipe_done;
    enum err recipe_err;
};

static void recipe_ended(void *owner, enum err err)
{
    struct session *s = owner;

    s->is_recipe_done = true;
    s->recipe_err = err;
}

/* Creates a node with its parents. ERR_EXISTS is not told as a failure. */
static enum err create_node(struct session *s, struct slice path, struct slice data)
{
    s->is_recipe_done = false;
    zookeeper_client_wait(&s->client);
    struct recipe *recipe = recipe_create(s->client.zk, path, data, false, recipe_ended, s);
    while (!s->is_recipe_done && !s->client.is_late)
        shard_turn(&s->client.shard);
    if (!s->is_recipe_done) {
        recipe_cancel(&recipe);
        return zookeeper_client_fail(&s->client, path, ERR_TIMED_OUT);
    }
    if (s->recipe_err == ERR_OK || s->recipe_err == ERR_EXISTS) return s->recipe_err;
    return zookeeper_client_fail(&s->client, path, s->recipe_err);
}

/* ---- what is there ---- */

static struct zk_op get_of(struct slice path)
{
    return (struct zk_op){.kind = ZK_GET, .path = path};
}

/* The names of all topics, in order; none when the node is not there. */
static enum err read_topics(struct session *s, struct slice **names, int *count)
{
    struct zk_op op = {.kind = ZK_CHILDREN, .path = PATH_BROKERS_TOPICS};
    struct zookeeper_answer *answer;

    enum err err = zookeeper_client_do(&s->client, &op, ERR_NOT_FOUND, &answer);
    if (err != ERR_OK && err != ERR_NOT_FOUND) return err;
    *names = answer->children;
    *count = answer->child_count;
    return ERR_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct assign_broker *left = a, *right = b;

    return (left->id > right->id) - (left->id < right->id);
}

static enum err read_brokers(struct session *s, struct assign_broker **brokers, int *count)
{
    struct zk_op list = {.kind = ZK_CHILDREN, .path = PATH_BROKERS_IDS};
    struct zookeeper_answer *ids, *docs;

    *count = 0;
    enum err err = zookeeper_client_do(&s->client, &list, ERR_NOT_FOUND, &ids);
    if (err != ERR_OK && err != ERR_NOT_FOUND) return err;
    struct assign_broker *all =
        arena_zalloc(s->arena, (size_t)(ids->child_count + 1) * sizeof(*all));
    struct zk_op *ops = arena_zalloc(s->arena, (size_t)(ids->child_count + 1) * sizeof(*ops));
    for (int i = 0; i < ids->child_count; i++)
        ops[i] = get_of(path_child(s->arena, PATH_BROKERS_IDS, ids->children[i]));
    err = zookeeper_client_read_all(&s->client, ops, ids->child_count, &docs);
    if (err != ERR_OK) return err;
    for (int i = 0; i < ids->child_count; i++) {
        struct doc_broker doc;
        int32_t id;
        if (docs[i].err != ERR_OK || path_parse_id(ids->children[i], &id) != ERR_OK ||
            doc_broker_read(docs[i].data, s->arena, &doc) != ERR_OK)
            continue; /* it has just gone, or is not a broker */
        all[(*count)++] = (struct assign_broker){id, doc.rack};
    }
    qsort(all, (size_t)*count, sizeof(*all), by_id);
    *brokers = all;
    return ERR_OK;
}

/* ---- create, alter ---- */

static enum err assign(struct session *s, const struct assign_request *request,
                       struct doc_partition *partitions)
{
    int32_t factor = request->replication_factor, count = request->partition_count;
    size_t ids = factor > 0 && count > 0 ? (size_t)factor * (size_t)count : 1;
    int32_t *out = arena_zalloc(s->arena, ids * sizeof(*out));

    switch (assign_replicas(request, out)) {
    case ASSIGN_OK:
        break;
    case ASSIGN_PARTITIONS:
        buf_add_text(s->message, "the number of partitions must be larger than 0");
        return ERR_INVALID;
    case ASSIGN_REPLICATION:
        buf_printf(s->message, "replication factor %d is larger than the %d brokers that live",
                   factor, request->broker_count);
        return ERR_INVALID;
    case ASSIGN_RACKS:
        buf_add_text(s->message, "some brokers have a rack and some have none");
        return ERR_INVALID;
    }
    for (int32_t i = 0; i < count; i++)
        partitions[i] = (struct doc_partition){.partition = request->first_partition + i,
                                               .replicas = {out + i * factor, factor}};
    return ERR_OK;
}

static void take_given(const struct topics_job *job, int32_t first, int32_t count,
                       struct doc_partition *partitions)
{
    for (int32_t i = 0; i < count; i++)
        partitions[i] = (struct doc_partition){
            .partition = first + i,
            .replicas = {job->assigned + (first + i) * job->assigned_factor, job->assigned_factor}};
}

static enum err check_name(struct session *s, struct slice name)
{
    struct slice *topics;
    struct zookeeper_answer *marker;
    int count;

    if (!text_is_topic_name(name) || slice_is(name, TOPIC_NAME_METADATA)) {
        buf_printf(s->message, "Topic name \"%.*s\" is not valid: 1 to 249 of a-z A-Z 0-9 . _ -",
                   SLICE_ARGS(name));
        return ERR_INVALID;
    }
    enum err err = read_topics(s, &topics, &count);
    if (err != ERR_OK) return err;
    for (int i = 0; i < count; i++) {
        if (slice_equal(topics[i], name)) {
            buf_printf(s->message, "Topic '%.*s' already exists.", SLICE_ARGS(name));
            return ERR_EXISTS;
        }
        if (topic_names_collide(topics[i], name)) {
            buf_printf(s->message, "Topic '%.*s' collides with existing topics: %.*s",
                       SLICE_ARGS(name), SLICE_ARGS(topics[i]));
            return ERR_INVALID;
        }
    }
    struct zk_op op = {.kind = ZK_EXISTS, .path = path_delete_topic(s->arena, name)};
    err = zookeeper_client_do(&s->client, &op, ERR_NOT_FOUND, &marker);
    if (err == ERR_NOT_FOUND) return ERR_OK;
    if (err == ERR_OK) {
        buf_printf(s->message, "Topic '%.*s' is marked for deletion.", SLICE_ARGS(name));
        return ERR_BUSY;
    }
    return err;
}

static enum err check_configs(struct session *s)
{
    const struct topics_job *job = s->job;
    struct options *defaults = options_create();
    struct option_pair *pairs =
        arena_zalloc(s->arena, (size_t)(job->config_count + 1) * sizeof(*pairs));

    for (int i = 0; i < job->config_count; i++)
        pairs[i] = (struct option_pair){job->configs[i].name, job->configs[i].value};
    enum err err = topic_options_check(defaults, pairs, job->config_count, s->message);
    options_destroy(&defaults);
    return err;
}

/* Set, or created: the last one who says it counts. */
static enum err write_configs(struct session *s, struct slice name)
{
    const struct topics_job *job = s->job;
    struct doc_config doc = {.count = job->config_count};
    struct buf json = {0};
    struct zookeeper_answer *answer;

    doc.entries = arena_zalloc(s->arena, (size_t)(job->config_count + 1) * sizeof(*doc.entries));
    for (int i = 0; i < job->config_count; i++)
        doc.entries[i] = (struct doc_config_entry){job->configs[i].name, job->configs[i].value};
    doc_config_write(&json, &doc);
    struct zk_op op = {.kind = ZK_SET,
                       .path = path_config_topic(s->arena, name),
                       .data = buf_slice(&json),
                       .version = ZK_ANY_VERSION};
    enum err err = zookeeper_client_do(&s->client, &op, ERR_NOT_FOUND, &answer);
    if (err == ERR_NOT_FOUND) err = create_node(s, op.path, op.data);
    buf_fini(&json);
    return err == ERR_EXISTS ? ERR_OK : err;
}

static struct uuid fresh_id(struct session *s)
{
    struct uuid id;

    do {
        uint64_t high = env_random(s->client.env, "topic id"),
                 low = env_random(s->client.env, "topic id");
        id = uuid_from_random(high, low);
    } while (!uuid_is_topic_id(id));
    return id;
}

static enum err plan_partitions(struct session *s, struct doc_topic *doc)
{
    const struct topics_job *job = s->job;
    struct assign_broker *brokers;
    int count;

    if (job->assigned != NULL) {
        doc->partition_count = job->assigned_count;
        doc->partitions =
            arena_zalloc(s->arena, (size_t)doc->partition_count * sizeof(*doc->partitions));
        take_given(job, 0, doc->partition_count, doc->partitions);
        return ERR_OK;
    }
    if (job->partitions < 0 || job->factor < 0) {
        buf_add_text(s->message,
                     "with --zookeeper --partitions and --replication-factor are needed: "
                     "no broker is asked for its defaults");
        return ERR_INVALID;
    }
    enum err err = read_brokers(s, &brokers, &count);
    if (err != ERR_OK) return err;
    uint64_t places = count > 0 ? (uint64_t)count : 1;
    struct assign_request request = {
        .brokers = brokers,
        .broker_count = count,
        .partition_count = (int32_t)job->partitions,
        .replication_factor = (int32_t)job->factor,
        .start = (int32_t)(env_random(s->client.env, "assignment") % places),
        .shift = (int32_t)(env_random(s->client.env, "assignment") % places),
    };
    doc->partition_count = request.partition_count;
    doc->partitions =
        arena_zalloc(s->arena, (size_t)doc->partition_count * sizeof(*doc->partitions));
    return assign(s, &request, doc->partitions);
}

static enum err create(struct session *s, struct buf *out)
{
    struct slice name = slice_text(s->job->topic);
    struct doc_topic doc = {.version = 3, .id = fresh_id(s)};
    struct buf json = {0};

    enum err err = check_name(s, name);
    if (err == ERR_EXISTS && s->job->if_not_exists) return ERR_OK;
    if (err == ERR_OK) err = plan_partitions(s, &doc);
    if (err == ERR_OK) err = check_configs(s);
    if (err == ERR_OK) err = write_configs(s, name);
    if (err != ERR_OK) return err;
    doc_topic_write(&json, &doc);
    err = create_node(s, path_topic(s->arena, name), buf_slice(&json));
    buf_fini(&json);
    if (err == ERR_OK)
        buf_printf(out, "Created topic %s.\n", s->job->topic);
    else if (err == ERR_EXISTS && s->job->if_not_exists)
        err = ERR_OK;
    else if (err == ERR_EXISTS)
        buf_printf(s->message, "Topic '%s' already exists.", s->job->topic);
    return err;
}

/* The new partitions of `doc`, behind those that it has. */
static enum err plan_more(struct session *s, struct doc_topic *doc)
{
    const struct topics_job *job = s->job;
    int32_t now = doc->partition_count, more = (int32_t)job->partitions - now;
    struct doc_partition *all =
        arena_zalloc(s->arena, (size_t)(now + (more > 0 ? more : 0) + 1) * sizeof(*all));
    struct assign_broker *brokers;
    int count;

    for (int32_t i = 0; i < now; i++) {
        all[i] = doc->partitions[i];
        if (all[i].adding.count > 0 || all[i].removing.count > 0) {
            buf_add_text(s->message, "the topic is being reassigned; wait until that is done");
            return ERR_BUSY;
        }
    }
    if (more <= 0) {
        buf_printf(s->message, "the topic has %d partitions: their number can only grow", now);
        return ERR_INVALID;
    }
    doc->partitions = all;
    doc->partition_count = now + more;
    if (job->assigned != NULL) {
        if (job->assigned_count != now + more) {
            buf_printf(s->message, "--replica-assignment has %d partitions, not %d",
                       job->assigned_count, now + more);
            return ERR_INVALID;
        }
        take_given(job, now, more, all + now);
        return ERR_OK;
    }
    enum err err = read_brokers(s, &brokers, &count);
    if (err != ERR_OK) return err;
    struct doc_ints first = now > 0 ? all[0].replicas : (struct doc_ints){0};
    int32_t start = first.count > 0 ? assign_start_after(brokers, count, first.at[0]) : 0;
    struct assign_request request = {.brokers = brokers,
                                     .broker_count = count,
                                     .partition_count = more,
                                     .replication_factor = first.count,
                                     .start = start,
                                     .shift = start,
                                     .first_partition = now};
    return assign(s, &request, all + now);
}

static enum err alter_one(struct session *s, struct slice name)
{
    struct slice path = path_topic(s->arena, name);
    struct zk_op get = get_of(path);
    struct zookeeper_answer *answer;
    struct doc_topic doc;
    struct buf json = {0};

    enum err err = zookeeper_client_do(&s->client, &get, ERR_OK, &answer);
    if (err != ERR_OK) return err;
    err = doc_topic_read(answer->data, s->arena, &doc);
    if (err != ERR_OK) return zookeeper_client_fail(&s->client, path, err);
    err = plan_more(s, &doc);
    if (err != ERR_OK) return err;
    doc_topic_write(&json, &doc);
    struct zk_op set = {
        .kind = ZK_SET, .path = path, .data = buf_slice(&json), .version = ZK_ANY_VERSION};
    err = zookeeper_client_do(&s->client, &set, ERR_OK, &answer);
    buf_fini(&json);
    return err;
}

static enum err delete_one(struct session *s, struct slice name)
{
    if (topic_is_internal(name)) {
        buf_printf(s->message, "Topic '%.*s' is internal: it may not be deleted", SLICE_ARGS(name));
        return ERR_DENIED;
    }
    enum err err = create_node(s, path_delete_topic(s->arena, name), SLICE_NULL);
    return err == ERR_EXISTS ? ERR_OK : err; /* it is marked already */
}

/* ---- describe ---- */

static bool is_live(const struct assign_broker *brokers, int count, int32_t id)
{
    for (int i = 0; i < count; i++)
        if (brokers[i].id == id) return true;
    return false;
}

static struct broker_ids ids_of(struct doc_ints ints)
{
    return (struct broker_ids){ints.at, ints.count};
}

static enum err read_partitions(struct session *s, struct slice name, const struct doc_topic *doc,
                                struct partition_view *views)
{
    struct zk_op *ops = arena_zalloc(s->arena, (size_t)(doc->partition_count + 1) * sizeof(*ops));
    struct assign_broker *brokers;
    struct zookeeper_answer *states;
    struct doc_state state;
    int count;

    enum err err = read_brokers(s, &brokers, &count);
    for (int32_t i = 0; i < doc->partition_count; i++)
        ops[i] = get_of(path_state(s->arena, name, doc->partitions[i].partition));
    if (err == ERR_OK)
        err = zookeeper_client_read_all(&s->client, ops, doc->partition_count, &states);
    if (err != ERR_OK) return err;
    for (int32_t i = 0; i < doc->partition_count; i++) {
        const struct doc_partition *p = &doc->partitions[i];
        views[i] = (struct partition_view){.partition = p->partition,
                                           .leader = LEADER_NONE,
                                           .replicas = ids_of(p->replicas),
                                           .adding = ids_of(p->adding),
                                           .removing = ids_of(p->removing)};
        if (states[i].err != ERR_OK || doc_state_read(states[i].data, s->arena, &state) != ERR_OK)
            continue; /* no controller has begun with it */
        views[i].leader = state.leader;
        views[i].isr = ids_of(state.isr);
        views[i].is_available = state.leader >= 0 && is_live(brokers, count, state.leader);
    }
    return ERR_OK;
}

static void view_configs(struct session *s, const struct zookeeper_answer *answer,
                         struct topic_view *view)
{
    struct doc_config doc;
    int64_t number;

    view->min_insync_replicas = 1;
    if (answer->err != ERR_OK || doc_config_read(answer->data, s->arena, &doc) != ERR_OK) return;
    struct topic_config_view *configs =
        arena_zalloc(s->arena, (size_t)(doc.count + 1) * sizeof(*configs));
    for (int32_t i = 0; i < doc.count; i++) {
        configs[i] = (struct topic_config_view){doc.entries[i].name, doc.entries[i].value};
        if (slice_is(doc.entries[i].name, "min.insync.replicas") &&
            text_int(doc.entries[i].value, 1, INT32_MAX, &number) == ERR_OK)
            view->min_insync_replicas = (int32_t)number;
    }
    view->configs = configs;
    view->config_count = doc.count;
    view->has_overrides = doc.count > 0;
}

static enum err describe_one(struct session *s, struct slice name, struct buf *out)
{
    struct zk_op ops[] = {get_of(path_topic(s->arena, name)),
                          get_of(path_config_topic(s->arena, name)),
                          {.kind = ZK_EXISTS, .path = path_delete_topic(s->arena, name)}};
    struct topic_view view = {.name = name};
    struct zookeeper_answer *answers;
    struct doc_topic doc;

    enum err err = zookeeper_client_read_all(&s->client, ops, 3, &answers);
    if (err != ERR_OK) return err;
    if (answers[0].err == ERR_NOT_FOUND) return ERR_OK; /* it has just gone */
    err =
        answers[0].err != ERR_OK ? answers[0].err : doc_topic_read(answers[0].data, s->arena, &doc);
    if (err != ERR_OK) return zookeeper_client_fail(&s->client, ops[0].path, err);
    struct partition_view *partitions =
        arena_zalloc(s->arena, (size_t)(doc.partition_count + 1) * sizeof(*partitions));
    err = read_partitions(s, name, &doc, partitions);
    if (err != ERR_OK) return err;
    view_configs(s, &answers[1], &view);
    view.id = doc.id;
    view.is_marked = answers[2].err == ERR_OK;
    view.partitions = partitions;
    view.partition_count = doc.partition_count;
    topic_view_print(&view, &s->job->wanted, out);
    return ERR_OK;
}

/* ---- one after another ---- */

static enum err act(struct session *s, struct slice name, struct buf *out)
{
    const char *action = s->job->action;

    if (strcmp(action, "alter") == 0) return alter_one(s, name);
    if (strcmp(action, "delete") == 0) return delete_one(s, name);
    if (strcmp(action, "describe") == 0) return describe_one(s, name, out);
    buf_printf(out, "%.*s\n", SLICE_ARGS(name));
    return ERR_OK;
}

static enum err run(struct session *s, struct buf *out)
{
    const struct topics_job *job = s->job;
    struct slice *names;
    int count, selected = 0;

    if (strcmp(job->action, "create") == 0) return create(s, out);
    if (args_has(job->args, "topic-id")) {
        buf_add_text(s->message, "--topic-id goes with --bootstrap-server only");
        return ERR_INVALID;
    }
    enum err err = read_topics(s, &names, &count);
    for (int i = 0; err == ERR_OK && i < count; i++) {
        if (!topics_job_selects(job, names[i], topic_is_internal(names[i]))) continue;
        selected++;
        err = act(s, names[i], out);
    }
    bool must_exist = job->topic != NULL && !job->if_exists && strcmp(job->action, "list") != 0;
    if (err == ERR_OK && selected == 0 && must_exist) {
        buf_printf(s->message, "Topic '%s' does not exist as expected", job->topic);
        err = ERR_NOT_FOUND;
    }
    return err;
}

enum err topics_by_zookeeper(const struct topics_job *job, struct buf *out, struct buf *message)
{
    struct session s = {.job = job, .arena = job->arena, .message = message};

    enum err err = zookeeper_client_open(&s.client, args_text(job->args, "zookeeper", ""),
                                         job->arena, message);
    if (err != ERR_OK) return err;
    err = run(&s, out);
    zookeeper_client_close(&s.client);
    return err;
}
