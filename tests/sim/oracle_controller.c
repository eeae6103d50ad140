#include "tests/sim/oracle_controller.h"
#include "base/ensure.h"
#include "tests/sim/heap.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

struct oracle_controller {
    struct world *world;
    struct ensemble *ensemble;
    struct ensemble_listener listener;
    struct oracle_controller_options options;
    struct arena arena;
    struct map topic_ids; /* id as text → name of its topic, for ever */
    struct map sequences; /* parent → int64_t *, the last number */
    struct map uncleans;  /* topics that an operator gave up */
    struct map formers;   /* path of a state → struct brokers: left_with_all */
    struct map removed;   /* path of a state → struct brokers: were replicas, and are not now */
    struct map topics;    /* path → struct known_topic, as it stands in the tree */
    int64_t winner;       /* session that wrote /controller_epoch last */
    int64_t ids_end;      /* of the last block of producer ids */
    uint64_t states;
    const struct ensemble_txn *txn; /* being looked at */
};

/* Remembered of a partition. */
struct brokers {
    int32_t at[16];
    int count;
};

/* A document that is asked for at each change of a state below it: read once for each version. */
struct known_topic {
    int64_t mzxid;
    struct arena arena;
    struct doc_topic document;
};

typedef void change_check(struct oracle_controller *oracle, const struct ensemble_change *change);

static void wrong(struct oracle_controller *oracle, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void wrong(struct oracle_controller *oracle, const char *rule, const char *format, ...)
{
    char text[600];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (oracle->options.wrong != NULL)
        oracle->options.wrong(oracle->options.owner, rule, text);
    else
        world_wrong(oracle->world, "znodes: %s: %s", rule, text);
}

static struct slice data_of(const struct oracle_controller *oracle, struct slice path)
{
    const struct tree_node *node = tree_find(ensemble_tree(oracle->ensemble), path);

    return node == NULL ? SLICE_NULL : node->data;
}

static bool exists(const struct oracle_controller *oracle, struct slice path)
{
    return tree_find(ensemble_tree(oracle->ensemble), path) != NULL;
}

static struct brokers *brokers_of(struct map *map, struct slice path)
{
    struct brokers *brokers = map_get(map, path);

    if (brokers != NULL) return brokers;
    brokers = ensure_zalloc(sizeof(*brokers));
    map_set(map, path, brokers);
    return brokers;
}

static bool is_among(const struct map *map, struct slice path, int32_t id)
{
    const struct brokers *brokers = map_get(map, path);

    for (int i = 0; brokers != NULL && i < brokers->count; i++)
        if (brokers->at[i] == id) return true;
    return false;
}

static void add_broker(struct map *map, struct slice path, int32_t id)
{
    if (is_among(map, path, id)) return;
    struct brokers *brokers = brokers_of(map, path);
    ensure(brokers->count < (int)(sizeof(brokers->at) / sizeof(brokers->at[0])));
    brokers->at[brokers->count++] = id;
}

static bool is_operator(const struct oracle_controller *oracle)
{
    return oracle->txn->session == 0;
}

static const struct ensemble_change *change_of(const struct ensemble_txn *txn, struct slice path,
                                               int kind)
{
    for (int i = 0; i < txn->change_count; i++)
        if ((int)txn->changes[i].kind == kind && slice_equal(txn->changes[i].path, path))
            return &txn->changes[i];
    return NULL;
}

/* ---- the fence */

static bool is_fenced(const struct oracle_controller *oracle)
{
    const struct ensemble_txn *txn = oracle->txn;
    const struct tree_node *epoch =
        tree_find(ensemble_tree(oracle->ensemble), PATH_CONTROLLER_EPOCH);

    return txn->ops != NULL && txn->op_count > 1 && txn->ops[0].kind == ZK_CHECK &&
           slice_equal(txn->ops[0].path, PATH_CONTROLLER_EPOCH) && epoch != NULL &&
           txn->ops[0].version == epoch->stat.version;
}

static void need_fence(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (is_operator(oracle)) return;
    if (!is_fenced(oracle))
        wrong(oracle, "fence", "%.*s is written without a check of the controller epoch",
              SLICE_ARGS(change->path));
    else if (oracle->txn->session != oracle->winner)
        wrong(oracle, "fence", "%.*s is written by session %llx, the controller's is %llx",
              SLICE_ARGS(change->path), (unsigned long long)oracle->txn->session,
              (unsigned long long)oracle->winner);
}

/* The version with which the transaction writes `path`. */
static int32_t asked_version(const struct oracle_controller *oracle, struct slice path)
{
    for (int i = 0; i < oracle->txn->op_count; i++) {
        const struct zk_op *op = &oracle->txn->ops[i];
        if (op->kind == ZK_SET && slice_equal(op->path, path)) return op->version;
    }
    return ZK_ANY_VERSION;
}

/* ---- documents: read, and written again as they were */

typedef enum err document_check(struct oracle_controller *oracle, struct slice data,
                                struct buf *again);

static void check_document(struct oracle_controller *oracle, const struct ensemble_change *change,
                           document_check *check)
{
    struct buf again;

    buf_init(&again);
    enum err err = check(oracle, change->data, &again);
    if (err != ERR_OK)
        wrong(oracle, "document", "%.*s %s: %.*s", SLICE_ARGS(change->path), err_text(err),
              SLICE_ARGS(change->data));
    else if (!is_operator(oracle) && slice_compare(buf_slice(&again), change->data) != 0)
        wrong(oracle, "document", "%.*s is not as Kafka writes it: %.*s, not %.*s",
              SLICE_ARGS(change->path), SLICE_ARGS(change->data), SLICE_ARGS(buf_slice(&again)));
    buf_fini(&again);
}

#define DOCUMENT(name, type, read, write)                                                          \
    static enum err name(struct oracle_controller *oracle, struct slice data, struct buf *again)   \
    {                                                                                              \
        type document = {0};                                                                       \
        enum err err = read(data, &oracle->arena, &document);                                      \
        if (err == ERR_OK) write(again, &document);                                                \
        return err;                                                                                \
    }

DOCUMENT(doc_of_broker, struct doc_broker, doc_broker_read, doc_broker_write)
DOCUMENT(doc_of_process, struct doc_controller_process, doc_controller_process_read,
         doc_controller_process_write)
DOCUMENT(doc_of_controller, struct doc_controller, doc_controller_read, doc_controller_write)
DOCUMENT(doc_of_topic, struct doc_topic, doc_topic_read, doc_topic_write)
DOCUMENT(doc_of_state, struct doc_state, doc_state_read, doc_state_write)
DOCUMENT(doc_of_reassign, struct doc_topic_partitions, doc_reassign_read, doc_reassign_write)
DOCUMENT(doc_of_partitions, struct doc_topic_partitions, doc_partitions_read, doc_partitions_write)
DOCUMENT(doc_of_log_dir, struct doc_log_dir_event, doc_log_dir_event_read, doc_log_dir_event_write)
DOCUMENT(doc_of_config, struct doc_config, doc_config_read, doc_config_write)
DOCUMENT(doc_of_features, struct doc_features, doc_features_read, doc_features_write)
DOCUMENT(doc_of_ids, struct doc_producer_ids, doc_producer_ids_read, doc_producer_ids_write)
DOCUMENT(doc_of_acls, struct doc_acls, doc_acls_read, doc_acls_write)
DOCUMENT(doc_of_token, struct doc_token, doc_token_read, doc_token_write)

static enum err doc_of_cluster_id(struct oracle_controller *oracle, struct slice data,
                                  struct buf *again)
{
    struct slice id = SLICE_NULL;
    enum err err = doc_cluster_id_read(data, &oracle->arena, &id);

    if (err == ERR_OK) doc_cluster_id_write(again, id);
    return err;
}

static enum err doc_of_config_change(struct oracle_controller *oracle, struct slice data,
                                     struct buf *again)
{
    struct slice path = SLICE_NULL;
    struct path_entity entity;
    enum err err = doc_config_change_read(data, &oracle->arena, &path);

    if (err == ERR_OK) err = path_parse_entity(&oracle->arena, path, &entity);
    if (err == ERR_OK) doc_config_change_write(again, path);
    return err;
}

/* ---- sets of replicas */

static bool has(const struct doc_ints *list, int32_t id)
{
    for (int32_t i = 0; i < list->count; i++)
        if (list->at[i] == id) return true;
    return false;
}

static bool has_duplicates(const struct doc_ints *list)
{
    for (int32_t i = 0; i < list->count; i++)
        for (int32_t j = 0; j < i; j++)
            if (list->at[i] == list->at[j]) return true;
    return false;
}

static bool is_subset(const struct doc_ints *part, const struct doc_ints *whole)
{
    for (int32_t i = 0; i < part->count; i++)
        if (!has(whole, part->at[i])) return false;
    return true;
}

static bool is_same_set(const struct doc_ints *a, const struct doc_ints *b)
{
    return is_subset(a, b) && is_subset(b, a);
}

static bool is_same_list(const struct doc_ints *a, const struct doc_ints *b)
{
    if (a->count != b->count) return false;
    for (int32_t i = 0; i < a->count; i++)
        if (a->at[i] != b->at[i]) return false;
    return true;
}

/* In the order of `from`. */
static struct doc_ints without(struct arena *arena, const struct doc_ints *from,
                               const struct doc_ints *what)
{
    struct doc_ints left = {.at = arena_zalloc(arena, (size_t)from->count * sizeof(int32_t) + 1)};

    for (int32_t i = 0; i < from->count; i++)
        if (!has(what, from->at[i])) left.at[left.count++] = from->at[i];
    return left;
}

/* ---- topics */

/* The topic's marker stands, or goes in the same transaction. */
static bool is_marked(struct oracle_controller *oracle, struct slice topic)
{
    struct slice marker = path_delete_topic(&oracle->arena, topic);

    return exists(oracle, marker) || change_of(oracle->txn, marker, CHANGE_REMOVE) != NULL;
}

static const struct doc_partition *partition_of(const struct doc_topic *topic, int32_t number)
{
    for (int32_t i = 0; i < topic->partition_count; i++)
        if (topic->partitions[i].partition == number) return &topic->partitions[i];
    return NULL;
}

static bool read_topic(struct oracle_controller *oracle, struct slice data, struct doc_topic *out)
{
    *out = (struct doc_topic){0};
    return doc_topic_read(data, &oracle->arena, out) == ERR_OK;
}

/* As it is in the tree; NULL: it is not, or does not parse. */
static const struct doc_topic *topic_now(struct oracle_controller *oracle, struct slice path)
{
    const struct tree_node *node = tree_find(ensemble_tree(oracle->ensemble), path);
    struct known_topic *known = map_get(&oracle->topics, path);

    if (node == NULL) return NULL;
    if (known == NULL) {
        known = ensure_zalloc(sizeof(*known));
        arena_init(&known->arena, SIZE_MAX);
        map_set(&oracle->topics, path, known);
    }
    if (known->mzxid == node->stat.mzxid) return &known->document;
    known->mzxid = 0;
    arena_reset(&known->arena);
    if (doc_topic_read(node->data, &known->arena, &known->document) != ERR_OK) return NULL;
    known->mzxid = node->stat.mzxid;
    return &known->document;
}

static void check_replicas(struct oracle_controller *oracle, struct slice topic,
                           const struct doc_partition *p)
{
    if (p->replicas.count == 0 || has_duplicates(&p->replicas))
        wrong(oracle, "assignment", "%.*s-%d: replicas are none, or twice there", SLICE_ARGS(topic),
              p->partition);
    if (!is_subset(&p->adding, &p->replicas) || !is_subset(&p->removing, &p->replicas))
        wrong(oracle, "assignment", "%.*s-%d: what is added or removed is not a replica",
              SLICE_ARGS(topic), p->partition);
    for (int32_t i = 0; i < p->adding.count; i++)
        if (has(&p->removing, p->adding.at[i]))
            wrong(oracle, "assignment", "%.*s-%d: %d is added and removed", SLICE_ARGS(topic),
                  p->partition, p->adding.at[i]);
}

static bool adds_of_isr(struct oracle_controller *oracle, const struct doc_ints *before,
                        const struct doc_ints *removing, const struct doc_ints *isr)
{
    struct doc_ints added = without(&oracle->arena, removing, before);

    return added.count > 0 && is_subset(before, removing) && is_subset(&added, isr);
}

/* Who was removed, but is what the ISR has, is a replica again, to be removed later. */
static bool keeps_isr(struct oracle_controller *oracle, struct slice topic,
                      const struct doc_partition *before, const struct doc_partition *p)
{
    struct doc_ints stays = without(&oracle->arena, &p->replicas, &p->removing);
    struct doc_ints stayed = without(&oracle->arena, &before->replicas, &before->removing);
    struct slice text = data_of(oracle, path_state(&oracle->arena, topic, p->partition));
    struct doc_state state = {0};

    if (!is_same_set(&stays, &stayed) || !is_same_set(&p->adding, &before->adding) ||
        doc_state_read(text, &oracle->arena, &state) != ERR_OK)
        return false;
    return adds_of_isr(oracle, &before->removing, &p->removing, &state.isr);
}

/* Of an existing partition. Origin: what was there before a reassignment; target: what it will be.
 */
static void check_reassigned(struct oracle_controller *oracle, struct slice topic,
                             const struct doc_partition *before, const struct doc_partition *p)
{
    struct arena *arena = &oracle->arena;
    struct doc_ints origin = without(arena, &before->replicas, &before->adding);
    struct doc_ints target = without(arena, &before->replicas, &before->removing);
    struct doc_ints new_origin = without(arena, &p->replicas, &p->adding);
    bool is_same = is_same_list(&before->replicas, &p->replicas) &&
                   is_same_set(&before->adding, &p->adding) &&
                   is_same_set(&before->removing, &p->removing);

    if (is_same) return;
    if (!is_operator(oracle) && !is_fenced(oracle)) {
        wrong(oracle, "assignment", "%.*s-%d: replicas changed without a fence", SLICE_ARGS(topic),
              p->partition);
        return;
    }
    bool is_settled = p->adding.count == 0 && p->removing.count == 0;
    bool ends = is_settled && is_same_list(&p->replicas, &target);
    /* A new order of the same replicas is a reassignment that is over at once. */
    bool goes_back = is_settled && is_same_set(&p->replicas, &origin);
    bool begins = !is_settled && is_same_set(&new_origin, &origin);
    if (!is_operator(oracle) && !ends && !goes_back && !begins &&
        !keeps_isr(oracle, topic, before, p))
        wrong(oracle, "assignment", "%.*s-%d: neither begins, ends nor goes back",
              SLICE_ARGS(topic), p->partition);
}

static void note_removed(struct oracle_controller *oracle, struct slice topic,
                         const struct doc_partition *before, const struct doc_partition *p)
{
    struct slice path = path_state(&oracle->arena, topic, p->partition);

    for (int32_t i = 0; i < before->replicas.count; i++)
        if (!has(&p->replicas, before->replicas.at[i]))
            add_broker(&oracle->removed, path, before->replicas.at[i]);
}

static void check_topic_id(struct oracle_controller *oracle, struct slice name, struct uuid id)
{
    char text[UUID_TEXT_LEN + 1];

    if (uuid_is_zero(id)) {
        if (oracle->options.no_topic_ids) return;
        wrong(oracle, "topic-id", "%.*s has none", SLICE_ARGS(name));
        return;
    }
    uuid_text(id, text);
    const char *known = map_get(&oracle->topic_ids, slice_text(text));
    if (known == NULL)
        map_set(&oracle->topic_ids, slice_text(text), ensure_strndup(name.ptr, name.len));
    else if (!slice_is(name, known))
        wrong(oracle, "topic-id", "%s is of %s and of %.*s", text, known, SLICE_ARGS(name));
}

static void check_topic(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    struct slice name = SLICE_NULL;
    struct doc_topic now, before;

    ensure(path_parse_topic(change->path, &name) == ERR_OK);
    if (change->kind == CHANGE_REMOVE) {
        need_fence(oracle, change);
        if (!is_operator(oracle) && !is_marked(oracle, name))
            wrong(oracle, "deletion", "%.*s goes without a marker", SLICE_ARGS(name));
        return;
    }
    check_document(oracle, change, doc_of_topic);
    if (!read_topic(oracle, change->data, &now)) return;
    for (int32_t i = 0; i < now.partition_count; i++)
        check_replicas(oracle, name, &now.partitions[i]);
    if (change->kind == CHANGE_ADD) {
        char text[UUID_TEXT_LEN + 1];
        uuid_text(now.id, text);
        if (!uuid_is_zero(now.id) && map_get(&oracle->topic_ids, slice_text(text)) != NULL)
            wrong(oracle, "topic-id", "%s was a topic's before", text);
        check_topic_id(oracle, name, now.id);
        return;
    }
    if (!read_topic(oracle, change->before, &before)) return;
    if (!uuid_is_zero(before.id) && !uuid_equal(before.id, now.id))
        wrong(oracle, "topic-id", "%.*s changes its id", SLICE_ARGS(name));
    check_topic_id(oracle, name, now.id);
    for (int32_t i = 0; i < before.partition_count; i++) {
        const struct doc_partition *was = &before.partitions[i];
        const struct doc_partition *is = partition_of(&now, was->partition);
        if (is == NULL && !is_fenced(oracle)) /* the controller takes back what comes too late */
            wrong(oracle, "assignment", "%.*s-%d is gone", SLICE_ARGS(name), was->partition);
        if (is == NULL) continue;
        check_reassigned(oracle, name, was, is);
        note_removed(oracle, name, was, is);
    }
}

/* ---- states */

static bool is_unclean_allowed(struct oracle_controller *oracle, struct slice topic)
{
    struct doc_config config = {0};

    if (oracle->options.allow_unclean || map_get(&oracle->uncleans, topic) != NULL) return true;
    struct slice data = data_of(oracle, path_config_topic(&oracle->arena, topic));
    if (slice_is_null(data) || doc_config_read(data, &oracle->arena, &config) != ERR_OK)
        return false;
    for (int32_t i = 0; i < config.count; i++)
        if (slice_is(config.entries[i].name, "unclean.leader.election.enable"))
            return slice_is(config.entries[i].value, "true");
    return false;
}

static int64_t min_insync(struct oracle_controller *oracle, struct slice topic)
{
    struct doc_config config = {0};
    struct slice data = data_of(oracle, path_config_topic(&oracle->arena, topic));
    int64_t number = 1;

    if (slice_is_null(data) || doc_config_read(data, &oracle->arena, &config) != ERR_OK) return 1;
    for (int32_t i = 0; i < config.count; i++)
        if (slice_is(config.entries[i].name, "min.insync.replicas") &&
            doc_number_read(config.entries[i].value, 1, INT32_MAX, &number) != ERR_OK)
            number = 1;
    return number;
}

/* Who has left the ISR with all that was acknowledged: what was left of it was too little for the
 * watermark to go on. Until somebody joins. */
static bool left_with_all(const struct oracle_controller *oracle, struct slice path, int32_t id)
{
    return is_among(&oracle->formers, path, id);
}

static void note_formers(struct oracle_controller *oracle, struct slice path, struct slice topic,
                         const struct doc_state *now, const struct doc_state *before)
{
    if (!is_subset(&now->isr, &before->isr)) brokers_of(&oracle->formers, path)->count = 0;
    for (int32_t i = 0; i < before->isr.count; i++)
        if (!has(&now->isr, before->isr.at[i]) && now->isr.count < min_insync(oracle, topic))
            add_broker(&oracle->formers, path, before->isr.at[i]);
}

/* Its partition as the topic has it; NULL: not, which is wrong while the topic is there. */
static const struct doc_partition *partition_of_state(struct oracle_controller *oracle,
                                                      struct slice path)
{
    struct slice name = SLICE_NULL;
    int32_t number = -1;

    ensure(path_parse_state(path, &name, &number) == ERR_OK);
    const struct doc_topic *topic = topic_now(oracle, path_topic(&oracle->arena, name));
    if (topic == NULL) return NULL;
    const struct doc_partition *p = partition_of(topic, number);
    if (p == NULL)
        wrong(oracle, "state", "%.*s is of a partition that the topic has not", SLICE_ARGS(path));
    return p;
}

/* An ISR is of replicas. Who was in it before may go later than its replica; and a leader that
 * writes by itself may not have heard yet who is no replica any more. */
static void check_isr_written(struct oracle_controller *oracle, struct slice path,
                              const struct doc_state *now, const struct doc_state *before)
{
    const struct doc_partition *p = partition_of_state(oracle, path);
    bool is_leader =
        oracle->options.leaders_write && before != NULL && oracle->txn->session != oracle->winner;

    for (int32_t i = 0; p != NULL && i < now->isr.count; i++) {
        int32_t id = now->isr.at[i];
        bool is_left_over = (before != NULL && has(&before->isr, id)) ||
                            (is_leader && is_among(&oracle->removed, path, id));
        if (!has(&p->replicas, id) && !is_left_over)
            wrong(oracle, "state", "%.*s: %d is in the ISR and no replica", SLICE_ARGS(path), id);
    }
}

/* What holds for a state whoever looks at it. */
static void check_state_itself(struct oracle_controller *oracle, struct slice path,
                               const struct doc_state *now)
{
    if (now->isr.count == 0 || has_duplicates(&now->isr))
        wrong(oracle, "state", "%.*s: the ISR is empty, or somebody is in it twice",
              SLICE_ARGS(path));
    if (now->leader != -1 && !has(&now->isr, now->leader))
        wrong(oracle, "state", "%.*s: the leader %d is not in the ISR", SLICE_ARGS(path),
              now->leader);
    for (int32_t i = 0; i < now->left_count; i++)
        if (now->isr.count != 1 || has(&now->isr, now->left[i].broker))
            wrong(oracle, "state", "%.*s: %d has not left one behind", SLICE_ARGS(path),
                  now->left[i].broker);
    if (now->leader_recovery_state != 0 && now->isr.count > 1)
        wrong(oracle, "state", "%.*s: recovers, and others are in the ISR", SLICE_ARGS(path));
}

static void check_epochs(struct oracle_controller *oracle, struct slice path,
                         const struct doc_state *now, const struct doc_state *before)
{
    int32_t grown = now->leader_epoch - before->leader_epoch;

    if (grown != 0 && grown != 1)
        wrong(oracle, "leader-epoch", "%.*s: %d after %d", SLICE_ARGS(path), now->leader_epoch,
              before->leader_epoch);
    if (grown == 0 && now->leader != before->leader)
        wrong(oracle, "leader-epoch", "%.*s: leader %d after %d with the same epoch",
              SLICE_ARGS(path), now->leader, before->leader);
    if (now->controller_epoch < before->controller_epoch)
        wrong(oracle, "controller-epoch", "%.*s: %d after %d", SLICE_ARGS(path),
              now->controller_epoch, before->controller_epoch);
    if (grown == 0) return;

    struct slice name = SLICE_NULL;
    int32_t number = -1;
    ensure(path_parse_state(path, &name, &number) == ERR_OK);
    bool is_unclean = now->leader != -1 && !has(&before->isr, now->leader);
    /* Ottla's own: one that left the ISR with all that was acknowledged (docs/last-replica.md). */
    bool is_former = is_unclean && left_with_all(oracle, path, now->leader);
    if (is_unclean && !is_former && !is_unclean_allowed(oracle, name))
        wrong(oracle, "unclean", "%.*s: %d leads and was not in the ISR", SLICE_ARGS(path),
              now->leader);
    bool recovers =
        now->leader_recovery_state != 0 || oracle->options.no_recovery_state || is_former;
    if (is_unclean && (now->isr.count != 1 || !recovers))
        wrong(oracle, "unclean", "%.*s: an unclean leader is alone and recovers", SLICE_ARGS(path));
    if (!is_unclean && !is_subset(&now->isr, &before->isr))
        wrong(oracle, "leader-epoch", "%.*s: the controller does not add to an ISR",
              SLICE_ARGS(path));
    /* Who came back with less than it had promised leads when an operator says so: the same
     * election as of one from outside, and the same words for it (docs/last-replica.md). */
    bool is_given_up = now->isr.count == 1 && is_unclean_allowed(oracle, name);
    if (!is_unclean && !is_given_up && now->leader_recovery_state > before->leader_recovery_state)
        wrong(oracle, "state", "%.*s: recovers after a clean election", SLICE_ARGS(path));
}

/* A leader that writes its ISR itself names the controller that it heard last, who may be deposed.
 */
static bool is_current_epoch(const struct oracle_controller *oracle, const struct doc_state *now,
                             const struct doc_state *before)
{
    int64_t current = -1;
    struct slice text = data_of(oracle, PATH_CONTROLLER_EPOCH);

    if (doc_number_read(text, 0, INT32_MAX, &current) != ERR_OK) return false;
    if (current == now->controller_epoch) return true;
    return oracle->options.leaders_write && before != NULL && now->leader == before->leader &&
           now->leader_epoch == before->leader_epoch && now->controller_epoch < current &&
           now->controller_epoch >= before->controller_epoch;
}

static void check_state(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    struct doc_state now = {0}, before = {0};

    if (!oracle->options.leaders_write || change->kind != CHANGE_SET) need_fence(oracle, change);
    if (change->kind == CHANGE_REMOVE) {
        struct slice name = SLICE_NULL;
        int32_t number = -1;
        ensure(path_parse_state(change->path, &name, &number) == ERR_OK);
        free(map_remove(&oracle->formers, change->path));
        free(map_remove(&oracle->removed, change->path));
        if (!is_operator(oracle) && !is_marked(oracle, name))
            wrong(oracle, "deletion", "%.*s goes without a marker", SLICE_ARGS(change->path));
        return;
    }
    oracle->states++;
    check_document(oracle, change, doc_of_state);
    if (doc_state_read(change->data, &oracle->arena, &now) != ERR_OK) return;
    bool has_before = change->kind == CHANGE_SET &&
                      doc_state_read(change->before, &oracle->arena, &before) == ERR_OK;
    check_state_itself(oracle, change->path, &now);
    check_isr_written(oracle, change->path, &now, has_before ? &before : NULL);
    if (!is_operator(oracle) && !is_current_epoch(oracle, &now, has_before ? &before : NULL))
        wrong(oracle, "controller-epoch", "%.*s carries %d, which is not current",
              SLICE_ARGS(change->path), now.controller_epoch);
    if (has_before) {
        struct slice name = SLICE_NULL;
        int32_t number = -1;
        check_epochs(oracle, change->path, &now, &before);
        ensure(path_parse_state(change->path, &name, &number) == ERR_OK);
        note_formers(oracle, change->path, name, &now, &before);
    }
    if (change->kind == CHANGE_ADD && now.leader_epoch != 0)
        wrong(oracle, "leader-epoch", "%.*s begins at %d", SLICE_ARGS(change->path),
              now.leader_epoch);
    if (change->kind == CHANGE_SET && !is_operator(oracle) &&
        asked_version(oracle, change->path) == ZK_ANY_VERSION)
        wrong(oracle, "state", "%.*s is written whatever its version", SLICE_ARGS(change->path));
}

static void check_inner(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    need_fence(oracle, change);
    if (change->kind == CHANGE_ADD && change->data.len > 0)
        wrong(oracle, "document", "%.*s holds data", SLICE_ARGS(change->path));
}

/* ---- the controller, brokers */

static void check_controller(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (change->kind == CHANGE_SET) wrong(oracle, "epoch", "/controller is written over");
    if (change->kind != CHANGE_ADD) return;
    check_document(oracle, change, doc_of_controller);
    if (change_of(oracle->txn, PATH_CONTROLLER_EPOCH, CHANGE_SET) == NULL && !is_operator(oracle))
        wrong(oracle, "epoch", "a new /controller without a new epoch");
}

static void check_controller_epoch(struct oracle_controller *oracle,
                                   const struct ensemble_change *change)
{
    int64_t now = -1, before = -1;

    if (change->kind == CHANGE_REMOVE) {
        wrong(oracle, "epoch", "/controller_epoch is deleted");
        return;
    }
    enum err err = doc_number_read(change->data, 0, INT32_MAX, &now);
    if (err == ERR_OK && change->kind == CHANGE_SET)
        err = doc_number_read(change->before, 0, INT32_MAX, &before);
    if (err != ERR_OK) wrong(oracle, "document", "/controller_epoch is not a number");
    if (change->kind == CHANGE_ADD && now != 0)
        wrong(oracle, "epoch", "begins at %lld", (long long)now);
    if (change->kind == CHANGE_ADD) return;
    if (now != before + 1)
        wrong(oracle, "epoch", "%lld after %lld", (long long)now, (long long)before);
    if (change_of(oracle->txn, PATH_CONTROLLER, CHANGE_ADD) == NULL)
        wrong(oracle, "epoch", "a new epoch without a new /controller");
    oracle->winner = oracle->txn->session;
}

static void check_registered(struct oracle_controller *oracle, const struct ensemble_change *change,
                             document_check *check)
{
    if (change->kind == CHANGE_REMOVE) return;
    const struct tree_node *node = tree_find(ensemble_tree(oracle->ensemble), change->path);
    if (change->kind == CHANGE_ADD && change_of(oracle->txn, change->path, CHANGE_SET) == NULL &&
        change->data.len == 0)
        wrong(oracle, "document", "%.*s is left empty", SLICE_ARGS(change->path));
    if (node == NULL || is_operator(oracle)) return;
    if (node->stat.ephemeral_owner != oracle->txn->session)
        wrong(oracle, "registration", "%.*s is another session's", SLICE_ARGS(change->path));
    if (change->data.len > 0) check_document(oracle, change, check);
}

static void check_broker(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    check_registered(oracle, change, doc_of_broker);
}

static void check_process(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    check_registered(oracle, change, doc_of_process);
}

/* ---- requests and notifications */

static void check_marker(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (change->kind != CHANGE_REMOVE) return;
    need_fence(oracle, change);
    struct slice topic = path_last(change->path);
    if (is_operator(oracle)) return;
    /* With delete.topic.enable=false it goes too: then the topic has not been touched. */
    bool stands = exists(oracle, path_topic(&oracle->arena, topic));
    if (stands && !exists(oracle, path_partitions(&oracle->arena, topic)))
        wrong(oracle, "deletion", "the marker of %.*s goes before the topic", SLICE_ARGS(topic));
}

static void check_numbered(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    struct slice parent = path_parent(change->path), name = path_last(change->path);
    int64_t number = 0;

    if (change->kind != CHANGE_ADD) return;
    if (name.len < 10) {
        wrong(oracle, "path", "%.*s has no number", SLICE_ARGS(change->path));
        return;
    }
    for (size_t i = name.len - 10; i < name.len; i++) {
        if (name.ptr[i] < '0' || name.ptr[i] > '9')
            wrong(oracle, "path", "%.*s has no number", SLICE_ARGS(change->path));
        number = number * 10 + (name.ptr[i] - '0');
    }
    int64_t *last = map_get(&oracle->sequences, parent);
    if (last == NULL) {
        last = ensure_malloc(sizeof(*last));
        *last = -1;
        map_set(&oracle->sequences, parent, last);
    }
    if (number <= *last)
        wrong(oracle, "sequence", "%.*s comes after %lld", SLICE_ARGS(change->path),
              (long long)*last);
    *last = number;
}

static void check_queue(struct oracle_controller *oracle, const struct ensemble_change *change,
                        document_check *check)
{
    check_numbered(oracle, change);
    if (change->kind == CHANGE_ADD) check_document(oracle, change, check);
}

static void check_config_change(struct oracle_controller *oracle,
                                const struct ensemble_change *change)
{
    check_queue(oracle, change, doc_of_config_change);
}

static void check_isr_change(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    check_queue(oracle, change, doc_of_partitions);
    if (change->kind == CHANGE_REMOVE) need_fence(oracle, change);
}

static void check_log_dir(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    check_queue(oracle, change, doc_of_log_dir);
    if (change->kind == CHANGE_REMOVE) need_fence(oracle, change);
}

static void check_request(struct oracle_controller *oracle, const struct ensemble_change *change,
                          document_check *check)
{
    if (change->kind != CHANGE_ADD) need_fence(oracle, change);
    if (change->kind != CHANGE_REMOVE && change->data.len > 0)
        check_document(oracle, change, check);
}

static void check_reassign(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    check_request(oracle, change, doc_of_reassign);
}

static void check_preferred(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    check_request(oracle, change, doc_of_partitions);
}

/* ---- the rest */

static void check_config(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (change->kind != CHANGE_REMOVE && change->data.len > 0)
        check_document(oracle, change, doc_of_config);
}

static void check_cluster_id(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (change->kind == CHANGE_ADD)
        check_document(oracle, change, doc_of_cluster_id);
    else
        wrong(oracle, "document", "/cluster/id changes");
}

static void check_feature(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (change->kind != CHANGE_REMOVE) check_document(oracle, change, doc_of_features);
}

static void check_producer_ids(struct oracle_controller *oracle,
                               const struct ensemble_change *change)
{
    struct doc_producer_ids block = {0};

    if (change->kind == CHANGE_REMOVE) wrong(oracle, "producer-ids", "the block is deleted");
    if (change->data.len == 0) {
        if (change->kind == CHANGE_SET || !slice_is_null(change->data))
            wrong(oracle, "producer-ids", "the block is written empty");
        return;
    }
    check_document(oracle, change, doc_of_ids);
    if (doc_producer_ids_read(change->data, &oracle->arena, &block) != ERR_OK) return;
    if (block.first != oracle->ids_end + 1 || block.last != block.first + DOC_PRODUCER_IDS_SIZE - 1)
        wrong(oracle, "producer-ids", "%lld to %lld after %lld", (long long)block.first,
              (long long)block.last, (long long)oracle->ids_end);
    if (!is_operator(oracle) && asked_version(oracle, change->path) == ZK_ANY_VERSION)
        wrong(oracle, "producer-ids", "written whatever its version");
    oracle->ids_end = block.last;
}

static void check_acls(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (change->kind != CHANGE_REMOVE && change->data.len > 0)
        check_document(oracle, change, doc_of_acls);
}

static void check_token(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    if (change->kind != CHANGE_REMOVE && change->data.len > 0)
        check_document(oracle, change, doc_of_token);
}

static void check_nothing(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    (void)oracle, (void)change;
}

/* ---- which rules hold for which path: "*" is one name, "#" a number, "**" whatever follows */

static const struct {
    const char *path;
    change_check *check;
    bool is_ephemeral;
} table[] = {
    {"/controller", check_controller, true},
    {"/controller_epoch", check_controller_epoch, false},
    {"/controllers", check_nothing, false},
    {"/controllers/ids", check_nothing, false},
    {"/controllers/ids/#", check_process, true},
    {"/brokers", check_nothing, false},
    {"/brokers/ids", check_nothing, false},
    {"/brokers/ids/#", check_broker, true},
    {"/brokers/seqid", check_nothing, false},
    {"/brokers/topics", check_nothing, false},
    {"/brokers/topics/*", check_topic, false},
    {"/brokers/topics/*/partitions", check_inner, false},
    {"/brokers/topics/*/partitions/#", check_inner, false},
    {"/brokers/topics/*/partitions/#/state", check_state, false},
    {"/admin", check_nothing, false},
    {"/admin/delete_topics", check_nothing, false},
    {"/admin/delete_topics/*", check_marker, false},
    {"/admin/reassign_partitions", check_reassign, false},
    {"/admin/preferred_replica_election", check_preferred, false},
    {"/isr_change_notification", check_nothing, false},
    {"/isr_change_notification/*", check_isr_change, false},
    {"/log_dir_event_notification", check_nothing, false},
    {"/log_dir_event_notification/*", check_log_dir, false},
    {"/config", check_nothing, false},
    {"/config/changes", check_nothing, false},
    {"/config/changes/*", check_config_change, false},
    {"/config/topics", check_nothing, false},
    {"/config/topics/*", check_config, false},
    {"/config/brokers", check_nothing, false},
    {"/config/brokers/*", check_config, false},
    {"/config/clients", check_nothing, false},
    {"/config/clients/*", check_config, false},
    {"/config/ips", check_nothing, false},
    {"/config/ips/*", check_config, false},
    {"/config/users", check_nothing, false},
    {"/config/users/*", check_config, false},
    {"/config/users/*/clients", check_nothing, false},
    {"/config/users/*/clients/*", check_config, false},
    {"/cluster", check_nothing, false},
    {"/cluster/id", check_cluster_id, false},
    {"/feature", check_feature, false},
    {"/latest_producer_id_block", check_producer_ids, false},
    {"/kafka-acl", check_nothing, false},
    {"/kafka-acl/*", check_nothing, false},
    {"/kafka-acl/*/*", check_acls, false},
    {"/kafka-acl-extended", check_nothing, false},
    {"/kafka-acl-extended/prefixed", check_nothing, false},
    {"/kafka-acl-extended/prefixed/*", check_nothing, false},
    {"/kafka-acl-extended/prefixed/*/*", check_acls, false},
    {"/kafka-acl-changes", check_nothing, false},
    {"/kafka-acl-changes/*", check_numbered, false},
    {"/kafka-acl-extended-changes", check_nothing, false},
    {"/kafka-acl-extended-changes/*", check_numbered, false},
    {"/delegation_token", check_nothing, false},
    {"/delegation_token/tokens", check_nothing, false},
    {"/delegation_token/tokens/*", check_token, false},
    {"/delegation_token/token_changes", check_nothing, false},
    {"/delegation_token/token_changes/*", check_numbered, false},
    {"/consumers", check_nothing, false},
    {"/consumers/**", check_nothing, false},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static bool fits(const char *pattern, struct slice path)
{
    struct slice left = slice_text(pattern), want, is;
    bool more_wanted = true, more = true;
    int32_t number = -1;

    while (more_wanted && more) {
        more_wanted = slice_cut(&left, '/', &want);
        if (!more_wanted) want = left;
        if (slice_is(want, "**")) return true;
        more = slice_cut(&path, '/', &is);
        if (!more) is = path;
        if (slice_is(want, "#") && path_parse_id(is, &number) != ERR_OK) return false;
        if (!slice_is(want, "*") && !slice_is(want, "#") && !slice_equal(want, is)) return false;
    }
    return more_wanted == more;
}

static void check_change(struct oracle_controller *oracle, const struct ensemble_change *change)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (!fits(table[i].path, change->path)) continue;
        bool is_ephemeral = change->kind == CHANGE_ADD ? change->owner != 0
                                                       : change->stat_before.ephemeral_owner != 0;
        if (is_ephemeral != table[i].is_ephemeral && !is_operator(oracle))
            wrong(oracle, "path", "%.*s is%s ephemeral", SLICE_ARGS(change->path),
                  is_ephemeral ? "" : " not");
        table[i].check(oracle, change);
        return;
    }
    wrong(oracle, "path", "%.*s is not Kafka's", SLICE_ARGS(change->path));
}

static void committed(void *owner, const struct ensemble_txn *txn)
{
    struct oracle_controller *oracle = owner;

    oracle->txn = txn;
    for (int i = 0; i < txn->change_count; i++)
        check_change(oracle, &txn->changes[i]);
    oracle->txn = NULL;
    arena_reset(&oracle->arena);
}

/* ---- the whole tree */

static void audit_topic(struct oracle_controller *oracle, const struct tree_node *node)
{
    struct slice path = slice_text(node->path), name = SLICE_NULL;
    struct doc_topic topic;

    if (path_parse_topic(path, &name) != ERR_OK || !read_topic(oracle, node->data, &topic)) return;
    if (!uuid_is_zero(topic.id)) check_topic_id(oracle, name, topic.id);
    for (int32_t i = 0; i < topic.partition_count; i++)
        check_replicas(oracle, name, &topic.partitions[i]);
}

static void audit_state(struct oracle_controller *oracle, const struct tree_node *node,
                        bool is_at_rest)
{
    struct slice path = slice_text(node->path), name = SLICE_NULL;
    struct doc_state state = {0};
    int32_t number = -1;

    if (path_parse_state(path, &name, &number) != ERR_OK) return;
    if (doc_state_read(node->data, &oracle->arena, &state) != ERR_OK) {
        wrong(oracle, "document", "%s does not parse", node->path);
        return;
    }
    check_state_itself(oracle, path, &state);
    const struct doc_partition *p = partition_of_state(oracle, path);
    for (int32_t i = 0; is_at_rest && p != NULL && i < state.isr.count; i++)
        if (!has(&p->replicas, state.isr.at[i]))
            wrong(oracle, "state", "%s: %d is in the ISR for good, and no replica", node->path,
                  state.isr.at[i]);
    int64_t current = 0;
    struct slice text = data_of(oracle, PATH_CONTROLLER_EPOCH);
    if (doc_number_read(text, 0, INT32_MAX, &current) == ERR_OK && state.controller_epoch > current)
        wrong(oracle, "controller-epoch", "%s carries %d, to come", node->path,
              state.controller_epoch);
}

void oracle_controller_audit(struct oracle_controller *oracle, bool is_at_rest)
{
    map_each (entry, &ensemble_tree(oracle->ensemble)->nodes) {
        const struct tree_node *node = entry->value;
        int64_t owner = node->stat.ephemeral_owner;
        if (owner != 0 && !ensemble_has_session(oracle->ensemble, owner))
            wrong(oracle, "registration", "%s is owned by a session that is over", node->path);
        audit_topic(oracle, node);
        audit_state(oracle, node, is_at_rest);
        arena_reset(&oracle->arena);
    }
}

/* ---- made and ended */

struct oracle_controller *oracle_controller_create(struct world *world, struct ensemble *ensemble,
                                                   const struct oracle_controller_options *options)
{
    struct oracle_controller *oracle = ensure_zalloc(sizeof(*oracle));

    oracle->world = world;
    oracle->ensemble = ensemble;
    if (options != NULL) oracle->options = *options;
    oracle->ids_end = -1;
    arena_init(&oracle->arena, SIZE_MAX);
    map_init(&oracle->topic_ids);
    map_init(&oracle->sequences);
    map_init(&oracle->uncleans);
    map_init(&oracle->formers);
    map_init(&oracle->removed);
    map_init(&oracle->topics);
    oracle->listener.committed = committed;
    oracle->listener.owner = oracle;
    ensemble_hear(ensemble, &oracle->listener);
    return oracle;
}

void oracle_controller_destroy(struct oracle_controller **oracle_at)
{
    struct oracle_controller *oracle = *oracle_at;

    *oracle_at = NULL;
    if (oracle == NULL) return;
    list_remove(&oracle->listener.node);
    map_each (entry, &oracle->topic_ids)
        free(entry->value);
    map_each (entry, &oracle->sequences)
        free(entry->value);
    map_each (entry, &oracle->topics) {
        struct known_topic *known = entry->value;
        arena_fini(&known->arena);
        free(known);
    }
    map_fini(&oracle->topic_ids);
    map_fini(&oracle->sequences);
    map_fini(&oracle->uncleans);
    map_each (entry, &oracle->formers)
        free(entry->value);
    map_each (entry, &oracle->removed)
        free(entry->value);
    map_fini(&oracle->formers);
    map_fini(&oracle->removed);
    map_fini(&oracle->topics);
    arena_fini(&oracle->arena);
    free(oracle);
}

void oracle_controller_unclean(struct oracle_controller *oracle, struct slice topic)
{
    struct sim_heap *was = sim_heap_use_world(); /* a client's process may be asking */

    map_set(&oracle->uncleans, topic, oracle);
    sim_heap_use(was);
}

uint64_t oracle_controller_states(const struct oracle_controller *oracle)
{
    return oracle->states;
}
