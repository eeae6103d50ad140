/* Recipes by which a process takes its place: registration, election, ids. */
#include "base/ensure.h"
#include "base/planted.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include "zk/recipe.h"
#include "zk/recipes.h"

#define ROUNDS_MAX 20  /* of those that begin again when others interfere */
#define ASK_MS     100 /* between looks at a node that is in the way */
#define WRITES_MAX 30  /* of one registration */

/* ---- registration */

struct registration {
    struct recipe base;
    struct slice path, json;
    int64_t session_registered;
    struct instant deadline;
    int rounds;
    bool is_told_apart;
    void (*done)(void *owner, enum err err, int64_t czxid, int64_t session_id);
};

static void register_try(struct registration *registration);

static void register_end(struct registration *registration, enum err err, int64_t czxid)
{
    registration->done(registration->base.owner, err, czxid, zk_session_id(registration->base.zk));
    recipe_destroy(&registration->base);
}

static void register_look_again(struct recipe *recipe);

static void register_removed(struct recipe *recipe, int index, enum err err,
                             const struct zk_result *results, int count)
{
    struct registration *registration = (struct registration *)recipe;

    (void)index, (void)results, (void)count;
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        register_try(registration);
    else
        register_end(registration, err, 0);
}

/* There is a node: whose? */
static void register_looked(struct recipe *recipe, int index, enum err err,
                            const struct zk_result *results, int count)
{
    struct registration *registration = (struct registration *)recipe;
    int64_t session = zk_session_id(recipe->zk);
    int64_t owner = err == ERR_OK && count == 1 ? results->stat.ephemeral_owner : 0;

    (void)index;
    if (err == ERR_NOT_FOUND && ++registration->rounds < ROUNDS_MAX) {
        register_try(registration);
    } else if (err != ERR_OK) {
        register_end(registration, err, 0);
    } else if (owner == session) {
        /* Our own try, whose answer was lost. */
        register_end(registration, ERR_OK, results->stat.czxid);
    } else if (owner == registration->session_registered && owner != 0) {
        struct zk_op op = {
            .kind = ZK_DELETE, .path = registration->path, .version = ZK_ANY_VERSION};
        recipe_ask_one(recipe, &op, 1, register_removed);
    } else if (instant_reached(shard_now(zk_shard(recipe->zk)), registration->deadline)) {
        register_end(registration, ERR_EXISTS, 0);
    } else {
        recipe_pause(recipe, ASK_MS, register_look_again);
    }
}

static void register_look_again(struct recipe *recipe)
{
    struct registration *registration = (struct registration *)recipe;
    struct zk_op op = {.kind = ZK_GET, .path = registration->path};

    recipe_ask_one(recipe, &op, 1, register_looked);
}

static void register_tried(struct recipe *recipe, int index, enum err err,
                           const struct zk_result *results, int count)
{
    struct registration *registration = (struct registration *)recipe;

    (void)index;
    if (err == ERR_EXISTS)
        register_look_again(recipe);
    else
        register_end(registration, err,
                     err == ERR_OK && count >= 2 ? results[count - 1].stat.czxid : 0);
}

/* ZooKeeper cannot check whose a node is, nor when it was made; its data version is what can. */
static int writes_of(const struct registration *registration)
{
    uint64_t session = (uint64_t)zk_session_id(registration->base.zk);

    return registration->is_told_apart ? 2 + (int)(session % (WRITES_MAX - 1)) : 1;
}

static void register_try(struct registration *registration)
{
    struct zk_op ops[1 + WRITES_MAX] = {
        {.kind = ZK_CREATE, .path = registration->path, .is_ephemeral = true}};
    int writes = writes_of(registration);

    for (int i = 0; i < writes; i++)
        ops[1 + i] = (struct zk_op){
            .kind = ZK_SET, .path = registration->path, .data = registration->json, .version = i};
    recipe_ask_one(&registration->base, ops, 1 + writes, register_tried);
}

struct recipe *recipe_register(struct zk *zk, struct slice path, struct slice json,
                               int64_t session_registered, int64_t wait_ms, bool is_told_apart,
                               void (*done)(void *owner, enum err err, int64_t czxid,
                                            int64_t session_id),
                               void *owner)
{
    struct registration *registration = recipe_create_of(sizeof(*registration), zk, owner);

    registration->path = arena_copy(&registration->base.arena, path);
    registration->json = arena_copy(&registration->base.arena, json);
    registration->session_registered = session_registered;
    registration->is_told_apart = is_told_apart;
    registration->deadline = instant_add_ms(shard_now(zk_shard(zk)), wait_ms);
    registration->done = done;
    register_try(registration);
    return &registration->base;
}

/* ---- what an earlier process registered */

struct removal {
    struct recipe base;
    struct slice path;
    int64_t session;
    recipe_done *done;
};

static void removal_end(struct removal *removal, enum err err)
{
    removal->done(removal->base.owner, err == ERR_NOT_FOUND ? ERR_OK : err);
    recipe_destroy(&removal->base);
}

static void removal_done(struct recipe *recipe, int index, enum err err,
                         const struct zk_result *results, int count)
{
    (void)index, (void)results, (void)count;
    removal_end((struct removal *)recipe, err);
}

/* Nobody but its session can have made the node anew in between, and that has no process. */
static void removal_looked(struct recipe *recipe, int index, enum err err,
                           const struct zk_result *results, int count)
{
    struct removal *removal = (struct removal *)recipe;
    struct zk_op op = {.kind = ZK_DELETE, .path = removal->path, .version = ZK_ANY_VERSION};

    (void)index;
    if (err == ERR_OK && count == 1 && results->stat.ephemeral_owner == removal->session)
        recipe_ask_one(recipe, &op, 1, removal_done);
    else
        removal_end(removal, err);
}

struct recipe *recipe_unregister(struct zk *zk, struct slice path, int64_t session,
                                 recipe_done *done, void *owner)
{
    struct removal *removal = recipe_create_of(sizeof(*removal), zk, owner);
    struct zk_op op = {.kind = ZK_GET};

    removal->path = arena_copy(&removal->base.arena, path);
    removal->session = session;
    removal->done = done;
    op.path = removal->path;
    recipe_ask_one(&removal->base, &op, 1, removal_looked);
    return &removal->base;
}

/* ---- election */

struct elect {
    struct recipe base;
    int32_t id;
    struct slice json;
    int rounds;
    enum err err;
    bool is_present;    /* there is a /controller */
    bool is_rechecking; /* our try was refused: perhaps by an earlier try of our own */
    enum err epoch_err; /* of the reading of /controller_epoch */
    int64_t epoch;      /* as read; the next is ours if we win */
    int32_t epoch_version;
    int64_t tried_epoch; /* what our last try would have made it */
    struct recipe_election election;
    void (*done)(void *owner, enum err err, const struct recipe_election *election);
};

static void elect_look(struct elect *elect);
static void elect_try(struct elect *elect);

static void elect_end(struct elect *elect, enum err err)
{
    elect->done(elect->base.owner, err, &elect->election);
    recipe_destroy(&elect->base);
}

static void elect_won(struct elect *elect, int64_t epoch, int32_t version, int64_t czxid)
{
    elect->election = (struct recipe_election){
        .is_won = true,
        .epoch = (int32_t)epoch,
        .epoch_version = version,
        .controller_id = elect->id,
        .controller_owner = zk_session_id(elect->base.zk),
        .czxid = czxid,
    };
    elect_end(elect, ERR_OK);
}

static void elect_read_controller(struct elect *elect, const struct zk_result *result)
{
    struct doc_controller doc = {.broker_id = -1};

    /* What cannot be read is nobody, but the node is in the way. */
    if (doc_controller_read(result->data, &elect->base.arena, &doc) != ERR_OK) doc.broker_id = -1;
    elect->is_present = true;
    elect->election = (struct recipe_election){
        .controller_id = doc.broker_id,
        .controller_owner = result->stat.ephemeral_owner,
        .czxid = result->stat.czxid,
        .is_kraft = doc.kraft_epoch > 0,
    };
}

static void elect_read_epoch(struct elect *elect, enum err err, const struct zk_result *results,
                             int count)
{
    elect->epoch_err = err;
    if (err != ERR_OK || count != 1) return;
    elect->epoch_version = results->stat.version;
    elect->epoch_err = doc_number_read(results->data, 0, INT32_MAX - 1, &elect->epoch);
}

/* Items: exists /controller (arms the watch where there is none), get /controller (where there is
 * one), get /controller_epoch. */
static void elect_answer(struct recipe *recipe, int index, enum err err,
                         const struct zk_result *results, int count)
{
    struct elect *elect = (struct elect *)recipe;

    if (index == 2)
        elect_read_epoch(elect, err, results, count);
    else if (index == 1 && err == ERR_OK)
        elect_read_controller(elect, results);
    if (index < 2 && err != ERR_OK && err != ERR_NOT_FOUND && elect->err == ERR_OK)
        elect->err = err;
}

static void elect_epoch_made(struct recipe *recipe, int index, enum err err,
                             const struct zk_result *results, int count)
{
    struct elect *elect = (struct elect *)recipe;

    (void)index, (void)results, (void)count;
    if (err == ERR_OK) {
        elect->epoch = 0;
        elect->epoch_version = 0;
        elect_try(elect);
    } else if (err == ERR_EXISTS && ++elect->rounds < ROUNDS_MAX) {
        elect_look(elect);
    } else {
        elect_end(elect, err);
    }
}

static bool is_mine(const struct elect *elect)
{
    return elect->is_present && elect->election.controller_id == elect->id &&
           elect->election.controller_owner == zk_session_id(elect->base.zk);
}

static void elect_looked(struct recipe *recipe)
{
    struct elect *elect = (struct elect *)recipe;
    bool was_rechecking = elect->is_rechecking;

    elect->is_rechecking = false;
    if (elect->err != ERR_OK) {
        elect_end(elect, elect->err);
    } else if (elect->is_present) {
        if (was_rechecking && is_mine(elect) && elect->epoch_err == ERR_OK &&
            elect->epoch == elect->tried_epoch)
            elect_won(elect, elect->epoch, elect->epoch_version, elect->election.czxid);
        else
            elect_end(elect, ERR_OK);
    } else if (elect->epoch_err == ERR_NOT_FOUND) {
        struct zk_op op = {.kind = ZK_CREATE, .path = PATH_CONTROLLER_EPOCH, .data = SLICE("0")};
        recipe_ask_one(recipe, &op, 1, elect_epoch_made);
    } else if (elect->epoch_err != ERR_OK) {
        elect_end(elect, elect->epoch_err);
    } else {
        elect_try(elect);
    }
}

static void elect_look(struct elect *elect)
{
    struct zk_op ops[] = {
        {.kind = ZK_EXISTS, .path = PATH_CONTROLLER, .watch = true},
        {.kind = ZK_GET, .path = PATH_CONTROLLER, .watch = true},
        {.kind = ZK_GET, .path = PATH_CONTROLLER_EPOCH},
    };

    elect->is_present = false;
    elect->election = (struct recipe_election){.controller_id = -1};
    recipe_batch(&elect->base, 3, elect_answer, elect_looked);
    for (int i = 0; i < 3; i++)
        recipe_ask(&elect->base, i, &ops[i], 1);
}

static void elect_tried(struct recipe *recipe, int index, enum err err,
                        const struct zk_result *results, int count)
{
    struct elect *elect = (struct elect *)recipe;

    (void)index;
    if (err == ERR_OK && count == 2) {
        /* One transaction: the zxid that changed the epoch is the one that created the node. */
        elect_won(elect, elect->tried_epoch, results[1].stat.version, results[1].stat.mzxid);
    } else if ((err == ERR_EXISTS || err == ERR_ZK_VERSION) && ++elect->rounds < ROUNDS_MAX) {
        elect->is_rechecking = true;
        elect_look(elect);
    } else {
        elect_end(elect, err);
    }
}

static void elect_try(struct elect *elect)
{
    struct buf epoch;

    buf_init(&epoch);
    elect->tried_epoch = elect->epoch + (planted(equal_controller_epoch) ? 0 : 1);
    doc_number_write(&epoch, elect->tried_epoch);
    struct zk_op ops[] = {
        {.kind = ZK_CREATE, .path = PATH_CONTROLLER, .data = elect->json, .is_ephemeral = true},
        {.kind = ZK_SET,
         .path = PATH_CONTROLLER_EPOCH,
         .data = buf_slice(&epoch),
         .version = elect->epoch_version},
    };
    recipe_ask_one(&elect->base, ops, 2, elect_tried);
    buf_fini(&epoch);
}

struct recipe *recipe_elect(struct zk *zk, int32_t id, struct slice json,
                            void (*done)(void *owner, enum err err,
                                         const struct recipe_election *election),
                            void *owner)
{
    struct elect *elect = recipe_create_of(sizeof(*elect), zk, owner);

    elect->id = id;
    elect->json = arena_copy(&elect->base.arena, json);
    elect->done = done;
    elect_look(elect);
    return &elect->base;
}

/* ---- broker ids */

struct broker_id {
    struct recipe base;
    int32_t reserved_max;
    int rounds;
    enum err err;
    void (*done)(void *owner, enum err err, int32_t id);
};

static void broker_id_try(struct broker_id *ask);

static void broker_id_end(struct broker_id *ask, enum err err, int32_t id)
{
    ask->done(ask->base.owner, err, id);
    recipe_destroy(&ask->base);
}

static void broker_id_parent(struct recipe *recipe, int index, enum err err,
                             const struct zk_result *results, int count)
{
    struct broker_id *ask = (struct broker_id *)recipe;

    (void)index, (void)results, (void)count;
    if (err != ERR_OK && err != ERR_EXISTS && ask->err == ERR_OK) ask->err = err;
}

static void broker_id_made(struct recipe *recipe)
{
    struct broker_id *ask = (struct broker_id *)recipe;

    if (ask->err == ERR_OK)
        broker_id_try(ask);
    else
        broker_id_end(ask, ask->err, 0);
}

/* The version of the node is the counter. */
static void broker_id_answer(struct recipe *recipe, int index, enum err err,
                             const struct zk_result *results, int count)
{
    struct broker_id *ask = (struct broker_id *)recipe;
    struct zk_op op = {.kind = ZK_CREATE, .path = PATH_BROKERS_SEQID};

    (void)index;
    if (err == ERR_NOT_FOUND && ++ask->rounds < ROUNDS_MAX) {
        recipe_batch(recipe, recipe_ask_parents(NULL, 0, op.path) + 1, broker_id_parent,
                     broker_id_made);
        recipe_ask(recipe, recipe_ask_parents(recipe, 0, op.path), &op, 1);
    } else if (err != ERR_OK || count != 1) {
        broker_id_end(ask, err, 0);
    } else if (results->stat.version > INT32_MAX - ask->reserved_max) {
        broker_id_end(ask, ERR_RANGE, 0);
    } else {
        broker_id_end(ask, ERR_OK, ask->reserved_max + results->stat.version);
    }
}

static void broker_id_try(struct broker_id *ask)
{
    struct zk_op op = {
        .kind = ZK_SET, .path = PATH_BROKERS_SEQID, .data = SLICE(""), .version = ZK_ANY_VERSION};

    recipe_ask_one(&ask->base, &op, 1, broker_id_answer);
}

struct recipe *recipe_broker_id(struct zk *zk, int32_t reserved_max,
                                void (*done)(void *owner, enum err err, int32_t id), void *owner)
{
    struct broker_id *ask = recipe_create_of(sizeof(*ask), zk, owner);

    ask->reserved_max = reserved_max;
    ask->done = done;
    broker_id_try(ask);
    return &ask->base;
}

/* ---- the cluster's id */

struct cluster_id {
    struct recipe base;
    struct slice json;
    int rounds;
    enum err err;
    void (*done)(void *owner, enum err err, struct slice id);
};

static void cluster_id_read(struct cluster_id *ask);

static void cluster_id_end(struct cluster_id *ask, enum err err, struct slice id)
{
    ask->done(ask->base.owner, err, id);
    recipe_destroy(&ask->base);
}

/* Items: the parents, then the node. */
static void cluster_id_made(struct recipe *recipe, int index, enum err err,
                            const struct zk_result *results, int count)
{
    struct cluster_id *ask = (struct cluster_id *)recipe;

    (void)index, (void)results, (void)count;
    if (err != ERR_OK && err != ERR_EXISTS && ask->err == ERR_OK) ask->err = err;
}

/* Ours or another's: what is there counts. */
static void cluster_id_all_made(struct recipe *recipe)
{
    struct cluster_id *ask = (struct cluster_id *)recipe;

    if (ask->err == ERR_OK && ++ask->rounds < ROUNDS_MAX)
        cluster_id_read(ask);
    else
        cluster_id_end(ask, ask->err == ERR_OK ? ERR_NOT_FOUND : ask->err, SLICE_NULL);
}

static void cluster_id_answer(struct recipe *recipe, int index, enum err err,
                              const struct zk_result *results, int count)
{
    struct cluster_id *ask = (struct cluster_id *)recipe;
    struct zk_op op = {.kind = ZK_CREATE, .path = PATH_CLUSTER_ID, .data = ask->json};
    struct slice id = SLICE_NULL;

    (void)index;
    if (err == ERR_NOT_FOUND) {
        recipe_batch(recipe, recipe_ask_parents(NULL, 0, op.path) + 1, cluster_id_made,
                     cluster_id_all_made);
        recipe_ask(recipe, recipe_ask_parents(recipe, 0, op.path), &op, 1);
        return;
    }
    if (err == ERR_OK && count == 1) err = doc_cluster_id_read(results->data, &recipe->arena, &id);
    cluster_id_end(ask, err, id);
}

static void cluster_id_read(struct cluster_id *ask)
{
    recipe_ask_one(&ask->base, &(struct zk_op){.kind = ZK_GET, .path = PATH_CLUSTER_ID}, 1,
                   cluster_id_answer);
}

struct recipe *recipe_cluster_id(struct zk *zk, struct slice fresh_id,
                                 void (*done)(void *owner, enum err err, struct slice id),
                                 void *owner)
{
    struct cluster_id *ask = recipe_create_of(sizeof(*ask), zk, owner);
    struct buf json;

    buf_init(&json);
    doc_cluster_id_write(&json, fresh_id);
    ask->json = arena_copy(&ask->base.arena, buf_slice(&json));
    buf_fini(&json);
    ask->done = done;
    cluster_id_read(ask);
    return &ask->base;
}

/* ---- producer ids */

struct producer_ids {
    struct recipe base;
    int32_t broker;
    int rounds;
    struct doc_producer_ids block;
    void (*done)(void *owner, enum err err, int64_t first, int64_t last);
};

static void producer_ids_read(struct producer_ids *ask);

static void producer_ids_end(struct producer_ids *ask, enum err err)
{
    ask->done(ask->base.owner, err, ask->block.first, ask->block.last);
    recipe_destroy(&ask->base);
}

/* A lost answer shows as a version that differs: then the block of that try is skipped, never given
 * out twice. */
static void producer_ids_written(struct recipe *recipe, int index, enum err err,
                                 const struct zk_result *results, int count)
{
    struct producer_ids *ask = (struct producer_ids *)recipe;
    bool again = err == ERR_ZK_VERSION || err == ERR_EXISTS || err == ERR_NOT_FOUND;

    (void)index, (void)results, (void)count;
    if (again && ++ask->rounds < ROUNDS_MAX)
        producer_ids_read(ask);
    else
        producer_ids_end(ask, err);
}

static void producer_ids_made(struct recipe *recipe, int index, enum err err,
                              const struct zk_result *results, int count)
{
    producer_ids_written(recipe, index, err == ERR_OK ? ERR_EXISTS : err, results, count);
}

static void producer_ids_answer(struct recipe *recipe, int index, enum err err,
                                const struct zk_result *results, int count)
{
    struct producer_ids *ask = (struct producer_ids *)recipe;
    struct buf json;

    (void)index;
    if (err == ERR_NOT_FOUND) { /* null data, for Kafka's readers take no empty text */
        recipe_ask_one(recipe, &(struct zk_op){.kind = ZK_CREATE, .path = PATH_PRODUCER_IDS}, 1,
                       producer_ids_made);
        return;
    }
    if (err == ERR_OK && count == 1)
        err = doc_producer_ids_next(results->data, &recipe->arena, ask->broker, &ask->block);
    if (err != ERR_OK) {
        producer_ids_end(ask, err);
        return;
    }
    buf_init(&json);
    doc_producer_ids_write(&json, &ask->block);
    struct zk_op op = {.kind = ZK_SET,
                       .path = PATH_PRODUCER_IDS,
                       .data = buf_slice(&json),
                       .version = results->stat.version};
    recipe_ask_one(recipe, &op, 1, producer_ids_written);
    buf_fini(&json);
}

static void producer_ids_read(struct producer_ids *ask)
{
    recipe_ask_one(&ask->base, &(struct zk_op){.kind = ZK_GET, .path = PATH_PRODUCER_IDS}, 1,
                   producer_ids_answer);
}

struct recipe *recipe_producer_ids(struct zk *zk, int32_t broker,
                                   void (*done)(void *owner, enum err err, int64_t first,
                                                int64_t last),
                                   void *owner)
{
    struct producer_ids *ask = recipe_create_of(sizeof(*ask), zk, owner);

    ask->broker = broker;
    ask->done = done;
    producer_ids_read(ask);
    return &ask->base;
}
