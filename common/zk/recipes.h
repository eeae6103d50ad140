/* zk/recipes.h - what broker and controller do in ZooKeeper in several steps, each as one call.
 *
 * A recipe starts with its call and ends with one `done`, never inside that call. Everything given
 * is copied. All its operations are resent after a lost connection (zk.h, "Maybe"), and where Kafka
 * re-checks what may have been its own success the recipe does so. Expiry ends it with
 * ERR_ZK_EXPIRED, zk_close with ERR_CANCELLED. The handle serves only to cancel, and is dead once
 * `done` was called. Source: reference/zookeeper.md §1, §4, §5, §12. */
#pragma once
#include "zk/zk.h"

struct recipe;

/* `done` will not be called; steps already sent are not taken back. Sets *recipe to NULL; NULL is
 * fine. To be called for a recipe that is under way before what it tells is gone. */
void recipe_cancel(struct recipe **recipe);

/* The fence of every write of the controller: [check /controller_epoch @version, op …]. */
struct zk_op recipe_fence(int32_t epoch_version);
/* What a fenced multi came to: ERR_NOT_CONTROLLER when op 0 was ERR_ZK_VERSION; ERR_OK; or the
 * error of the op that failed. Takes what `done` of the call got. */
enum err recipe_fenced_err(enum err err, const struct zk_result *results, int count);

typedef void recipe_done(void *owner, enum err err);

/* Creates a persistent node; where its parents are missing, those first (null data). ERR_EXISTS
 * when it is there, unless `exists_ok`. */
struct recipe *recipe_create(struct zk *zk, struct slice path, struct slice data, bool exists_ok,
                             recipe_done *done, void *owner);
/* Creates those of `paths` that are absent, in this order, parents implied. */
struct recipe *recipe_ensure(struct zk *zk, const struct slice *paths, int count, recipe_done *done,
                             void *owner);
/* Deletes the node and all below it, children first, in single requests. Nodes that are gone are
 * fine. Each delete is fenced when `fence` is not NULL: then ERR_NOT_CONTROLLER ends it. */
struct recipe *recipe_delete(struct zk *zk, struct slice path, const int32_t *fence,
                             recipe_done *done, void *owner);

struct recipe_child {
    struct slice name;
    struct slice data;
    struct zk_stat stat;
};
/* Lists the children (with a watch on the list, and on each child's data, if asked), then reads all
 * of them, pipelined; those that vanished in between are left out. Names in byte order. What `done`
 * gets is borrowed until it returns. ERR_NOT_FOUND when the parent is absent. */
struct recipe *
recipe_read_children(struct zk *zk, struct slice path, bool watch_list, bool watch_data,
                     void (*done)(void *owner, enum err err, const struct recipe_child *children,
                                  int count, const struct zk_stat *stat),
                     void *owner);

/* Registers an ephemeral node (/brokers/ids/<id>, /controllers/ids/<id>; the parent is there).
 * `session_registered`: the session of the last success of this process, or of its predecessor if
 * that is known to have ended (0: none); a node that is left of it is replaced. A node of another
 * session: while less than `wait_ms` has passed it is asked for again, for it may be of our earlier
 * process, whose session has not ended; then ERR_EXISTS. `is_told_apart`: its data version is hardly
 * ever that of a registration of another session (2 to 30; else 1, as Kafka's), so that a check of
 * the version that was read fails when this one has taken its place. `done` gets the node's czxid
 * (the broker epoch) and the session for the next time. */
struct recipe *recipe_register(struct zk *zk, struct slice path, struct slice json,
                               int64_t session_registered, int64_t wait_ms, bool is_told_apart,
                               void (*done)(void *owner, enum err err, int64_t czxid,
                                            int64_t session_id),
                               void *owner);

/* Removes what `session` registered there; a node of another session stays. For a process that
 * knows that the one before it has ended: nobody is to take that one's registration for its own,
 * nor wait for the session's end. */
struct recipe *recipe_unregister(struct zk *zk, struct slice path, int64_t session,
                                 recipe_done *done, void *owner);

struct recipe_election {
    bool is_won;
    int32_t epoch;            /* won: ours */
    int32_t epoch_version;    /* won: of /controller_epoch, for recipe_fence */
    int32_t controller_id;    /* who it is; −1: the node cannot be read */
    int64_t controller_owner; /* session that owns /controller; 0: a persistent node */
    int64_t czxid;            /* of /controller */
    bool is_kraft;            /* a migration controller owns it */
};
/* The election of §4: arms the watch on /controller, and if there is none creates it together with
 * the next /controller_epoch. `json` is our document for /controller, `id` the id in it. Whoever
 * did not win waits for the event of /controller, and begins again. */
struct recipe *recipe_elect(struct zk *zk, int32_t id, struct slice json,
                            void (*done)(void *owner, enum err err,
                                         const struct recipe_election *election),
                            void *owner);

/* The next generated broker id: above `reserved_max` (reserved.broker.max.id). */
struct recipe *recipe_broker_id(struct zk *zk, int32_t reserved_max,
                                void (*done)(void *owner, enum err err, int32_t id), void *owner);
/* The cluster's id: read, or written as `fresh_id` when there is none. */
struct recipe *recipe_cluster_id(struct zk *zk, struct slice fresh_id,
                                 void (*done)(void *owner, enum err err, struct slice id),
                                 void *owner);
/* The next block of producer ids, for `broker`: `first` … `last`. Not fenced, its own
 * compare-and-set. ERR_RANGE when ids are used up. */
struct recipe *recipe_producer_ids(struct zk *zk, int32_t broker,
                                   void (*done)(void *owner, enum err err, int64_t first,
                                                int64_t last),
                                   void *owner);
