#include "tests/sim/tree.h"
#include "base/ensure.h"
#include <stdlib.h>

static struct slice copy_of(struct slice from)
{
    if (slice_is_null(from)) return SLICE_NULL;
    uint8_t *bytes = ensure_malloc(from.len + 1);
    if (from.len > 0) memcpy(bytes, from.ptr, from.len);
    return slice_of(bytes, from.len);
}

static void free_slice(struct slice s)
{
    free((void *)(uintptr_t)s.ptr);
}

struct slice tree_parent_path(struct slice path)
{
    size_t len = path.len;

    while (len > 0 && path.ptr[len - 1] != '/')
        len--;
    return len <= 1 ? SLICE("/") : slice_of(path.ptr, len - 1);
}

struct slice tree_name(const struct tree_node *node)
{
    return slice_text(strrchr(node->path, '/') + 1);
}

struct tree_node *tree_find(const struct tree *tree, struct slice path)
{
    return map_get(&tree->nodes, path);
}

struct zk_stat tree_stat(const struct tree_node *node)
{
    struct zk_stat stat = node->stat;

    stat.cversion = (int32_t)((uint32_t)node->created * 2 - (uint32_t)stat.child_count);
    return stat;
}

static struct tree_node *make_node(struct tree *tree, struct tree_node *parent, struct slice path)
{
    struct tree_node *node = ensure_zalloc(sizeof(*node));

    node->path = ensure_strndup(path.ptr, path.len);
    node->parent = parent;
    list_init(&node->children);
    void *before = map_set(&tree->nodes, path, node);
    ensure(before == NULL);
    if (parent != NULL) list_push(&parent->children, &node->among_children);
    return node;
}

struct tree_node *tree_add(struct tree *tree, struct slice path, struct slice data, int64_t owner,
                           struct tree_acl acl, int64_t zxid, int64_t time_ms)
{
    struct tree_node *parent = tree_find(tree, tree_parent_path(path));

    ensure(parent != NULL);
    struct tree_node *node = make_node(tree, parent, path);
    node->data = copy_of(data);
    node->acl = acl;
    node->stat = (struct zk_stat){
        .czxid = zxid,
        .mzxid = zxid,
        .pzxid = zxid,
        .ctime = time_ms,
        .mtime = time_ms,
        .ephemeral_owner = owner,
        .data_len = (int32_t)data.len,
    };
    parent->created = (int32_t)((uint32_t)parent->created + 1);
    parent->stat.child_count++;
    parent->stat.pzxid = zxid;
    return node;
}

void tree_set(struct tree_node *node, struct slice data, int64_t zxid, int64_t time_ms)
{
    struct slice before = node->data;

    node->data = copy_of(data);
    free_slice(before);
    node->stat.mzxid = zxid;
    node->stat.mtime = time_ms;
    node->stat.version = (int32_t)((uint32_t)node->stat.version + 1);
    node->stat.data_len = (int32_t)data.len;
}

static void free_node(struct tree_node *node)
{
    free_slice(node->data);
    free(node->path);
    free(node);
}

void tree_remove(struct tree *tree, struct tree_node *node, int64_t zxid)
{
    ensure(list_is_empty(&node->children) && node->parent != NULL);
    node->parent->stat.child_count--;
    node->parent->stat.pzxid = zxid;
    list_remove(&node->among_children);
    map_remove(&tree->nodes, slice_text(node->path));
    free_node(node);
}

struct tree *tree_create(void)
{
    static const char *const own[] = {"/zookeeper", "/zookeeper/config", "/zookeeper/quota"};
    struct tree *tree = ensure_zalloc(sizeof(*tree));

    map_init(&tree->nodes);
    tree->root = make_node(tree, NULL, SLICE("/"));
    tree->root->acl.acl = ZK_ACL_OPEN;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        tree_add(tree, slice_text(own[i]), SLICE(""), 0, (struct tree_acl){.acl = ZK_ACL_OPEN}, 0,
                 0);
    return tree;
}

void tree_destroy(struct tree **tree_at)
{
    struct tree *tree = *tree_at;

    *tree_at = NULL;
    if (tree == NULL) return;
    map_each (entry, &tree->nodes)
        free_node(entry->value);
    map_fini(&tree->nodes);
    free(tree);
}

struct tree_node *tree_restore(struct tree *tree, struct slice path, struct slice data,
                               struct tree_acl acl, const struct zk_stat *stat, int32_t created)
{
    bool is_root = path.len == 1;
    struct tree_node *parent = is_root ? NULL : tree_find(tree, tree_parent_path(path));

    ensure(is_root || parent != NULL);
    struct tree_node *node = make_node(tree, parent, path);
    node->data = copy_of(data);
    node->acl = acl;
    node->stat = *stat;
    node->stat.child_count = 0; /* they come behind it */
    node->created = created;
    if (parent != NULL) parent->stat.child_count++;
    return node;
}

struct tree *tree_clone(const struct tree *tree)
{
    struct tree *copy = ensure_zalloc(sizeof(*copy));

    map_init(&copy->nodes);
    map_each (entry, &tree->nodes) { /* in order of creation: parents first */
        const struct tree_node *from = entry->value;
        tree_restore(copy, slice_text(from->path), from->data, from->acl, &from->stat,
                     from->created);
    }
    copy->root = tree_find(copy, SLICE("/"));
    return copy;
}

/* ---- comparing and checking */

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t mix_number(uint64_t hash, int64_t number)
{
    return mix(hash, &number, sizeof(number));
}

static uint64_t hash_node(const struct tree_node *node)
{
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), node->path, strlen(node->path));
    const struct zk_stat *stat = &node->stat;

    hash = mix_number(hash, slice_is_null(node->data));
    hash = mix(hash, node->data.ptr, node->data.len);
    hash = mix_number(hash, stat->czxid);
    hash = mix_number(hash, stat->mzxid);
    hash = mix_number(hash, stat->pzxid);
    hash = mix_number(hash, stat->ctime);
    hash = mix_number(hash, stat->mtime);
    hash = mix_number(hash, stat->version);
    hash = mix_number(hash, stat->ephemeral_owner);
    hash = mix_number(hash, node->created);
    hash = mix_number(hash, (int64_t)node->acl.acl);
    return mix_number(hash, (int64_t)node->acl.creator);
}

/* A sum: so that the order of the map, which is that of creation, does not matter. */
uint64_t tree_hash(const struct tree *tree)
{
    uint64_t sum = 0;

    map_each (entry, &tree->nodes)
        sum += hash_node(entry->value);
    return sum;
}

static void audit_node(const struct tree *tree, const struct tree_node *node)
{
    const struct zk_stat *stat = &node->stat;
    int32_t children = 0;

    list_each (at, &node->children) {
        const struct tree_node *child = list_entry(at, struct tree_node, among_children);
        ensure(child->parent == node);
        ensure(child->stat.czxid <= stat->pzxid);
        children++;
    }
    ensure(children == stat->child_count && children <= node->created);
    ensure(stat->data_len == (int32_t)node->data.len);
    ensure(stat->czxid <= stat->mzxid && stat->czxid <= stat->pzxid);
    ensure((stat->version == 0) == (stat->czxid == stat->mzxid) || stat->version >= 1);
    ensure(stat->ephemeral_owner == 0 || children == 0);
    ensure(node->parent == NULL ||
           node->parent == tree_find(tree, tree_parent_path(slice_text(node->path))));
}

void tree_audit(const struct tree *tree)
{
    map_each (entry, &tree->nodes)
        audit_node(tree, entry->value);
}
