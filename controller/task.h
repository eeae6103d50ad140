/* controller/task.h - how a machine does work in several steps around ZooKeeper.
 *
 * A task is a struct whose first member is `struct task`. `run` is called when it is on top of the
 * stack and not waiting: it does one phase and then has either asked (task_ask), pushed others on
 * top (they run to their end first), or ended (task_end). `phase` is its own. Partitions and topics
 * that it points to stay: only one event at a time changes them, and resigning drops all tasks. */
#pragma once
#include "controller/context.h"

struct task {
    struct list_node node;
    void (*run)(struct context *context, struct task *task);
    void (*fini)(struct task *task); /* may be NULL */
    int phase;
    struct requests requests; /* the last ones, with their answers */
    bool is_waiting;
};

/* A zeroed task of `size` bytes, on top of the stack. */
void *task_push(struct context *context, size_t size,
                void (*run)(struct context *context, struct task *task),
                void (*fini)(struct task *task));
/* Pops and frees. It must be on top. */
void task_end(struct context *context, struct task *task);

/* Builds the next requests: forget the old ones, add, ask. Paths and data are copied. */
void task_clear_requests(struct task *task);
struct request *task_get(struct task *task, struct slice path, bool watch);
struct request *task_exists(struct task *task, struct slice path, bool watch);
struct request *task_children(struct task *task, struct slice path, bool watch);
struct request *task_create(struct task *task, struct slice path, struct slice data);
struct request *task_set(struct task *task, struct slice path, struct slice data, int32_t version);
struct request *task_delete(struct task *task, struct slice path);
/* Of a write of a state with the ISR `next`: it is done only while the registrations stand that we
 * know of those in it whom we know as live. What we know may be old, above all when the connection
 * has just come back: a broker that lost power, and with it what it had not synced, has registered
 * anew since, and must not lead, nor be in an ISR that is younger than that, which says to a later
 * controller that its loss was known. For the same reason it is done now or never: ERR_ZK_LOSS says
 * that it has to be decided anew, and that it may have been done. */
void request_guard_isr(const struct context *context, struct request *request,
                       const struct ids *next);
/* They leave; `run` comes again when all have answers. Without requests it comes again at once. */
void task_ask(struct context *context, struct task *task);

/* For drivers and tests: fills in an answer. Copies. */
void request_answer(struct request *request, enum err err, const struct zk_stat *stat,
                    struct slice data, const struct slice *children, int32_t child_count);
