/* sim/tree.h - the znodes as one server of the simulated ensemble has them.
 *
 * Exactly ZooKeeper's bookkeeping: versions, creation counts (from which sequence numbers and the
 * visible cversion come), pzxid of the last change among the children, owners of ephemerals. No
 * decisions: ensemble.c has checked what it applies. All servers that have applied the same
 * transactions have equal trees (tree_hash). */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "runtime/zk_ops.h"

/* Who owns a node with an ACL of its creator: who has given the same digest. */
struct tree_acl {
    enum zk_acl acl;
    uint64_t creator; /* hash of its digest; 0: nobody was named */
};

struct tree_node {
    char *path; /* absolute, with a NUL */
    struct tree_node *parent;
    struct list_node among_children;
    struct list children; /* in order of creation */
    struct slice data;    /* owned; null and empty differ */
    struct tree_acl acl;
    struct zk_stat stat; /* data_len, child_count as they are; cversion: see tree_stat */
    int32_t created;     /* children ever: the next sequence number */
};

struct tree {
    struct map nodes; /* by path */
    struct tree_node *root;
};

/* With "/", "/zookeeper" and what a server has below that. */
struct tree *tree_create(void);
void tree_destroy(struct tree **tree);

/* NULL: absent. */
struct tree_node *tree_find(const struct tree *tree, struct slice path);
/* Of "/a/b" it is "/a", of "/a" it is "/". */
struct slice tree_parent_path(struct slice path);
/* What stands behind the last slash. */
struct slice tree_name(const struct tree_node *node);
/* As a client is told it: cversion counts creations and deletions. */
struct zk_stat tree_stat(const struct tree_node *node);

/* The parent is there and the node is not. `owner`: the session of an ephemeral, or 0. */
struct tree_node *tree_add(struct tree *tree, struct slice path, struct slice data, int64_t owner,
                           struct tree_acl acl, int64_t zxid, int64_t time_ms);
void tree_set(struct tree_node *node, struct slice data, int64_t zxid, int64_t time_ms);
/* Without children. `node` is gone behind it. */
void tree_remove(struct tree *tree, struct tree_node *node, int64_t zxid);

/* An equal tree. */
struct tree *tree_clone(const struct tree *tree);
/* A node as it was, below its parent, whose creation count it leaves alone. */
struct tree_node *tree_restore(struct tree *tree, struct slice path, struct slice data,
                               struct tree_acl acl, const struct zk_stat *stat, int32_t created);

/* Over all nodes, in order of their paths: equal for equal trees. */
uint64_t tree_hash(const struct tree *tree);
/* Structure: parents, counts, versions. Ends the process where it does not hold. */
void tree_audit(const struct tree *tree);
