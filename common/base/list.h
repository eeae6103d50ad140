/* base/list.h - doubly linked list through a member of its elements.
 *
 *     struct waiter { struct list_node by_time; int64_t offset; };
 *     struct list waiters;
 *
 *     list_init(&waiters);
 *     list_push(&waiters, &w->by_time);
 *     list_each (node, &waiters) {                 // the current element may be removed
 *         struct waiter *w = list_entry(node, struct waiter, by_time);
 *         ...
 *     }
 *
 * A node is on one list at most; one that is on none has next == NULL. Neither list nor element is
 * moved while elements are on it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *prev;
};

struct list {
    struct list_node head; /* head.next is the first; an empty list points to itself */
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#define list_each(node, list)                                                                      \
    for (struct list_node *node = (list)->head.next, *node##_next = node->next;                    \
         node != &(list)->head; node = node##_next, node##_next = node->next)

static inline void list_init(struct list *list)
{
    list->head.next = list->head.prev = &list->head;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

static inline bool list_has(const struct list_node *node)
{
    return node->next != NULL;
}

static inline void list_insert_before(struct list_node *at, struct list_node *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

/* At the end. */
static inline void list_push(struct list *list, struct list_node *node)
{
    list_insert_before(&list->head, node);
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
    list_insert_before(list->head.next, node);
}

/* One that is on no list is fine. */
static inline void list_remove(struct list_node *node)
{
    if (node->next == NULL) return;
    node->next->prev = node->prev;
    node->prev->next = node->next;
    node->next = node->prev = NULL;
}

/* NULL when empty. */
static inline struct list_node *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_last(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.prev;
}

static inline struct list_node *list_pop(struct list *list)
{
    struct list_node *first = list_first(list);

    if (first != NULL) list_remove(first);
    return first;
}
