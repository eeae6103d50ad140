#include "tests/sim/pool.h"
#include "base/ensure.h"
#include "base/fenced.h"
#include "runtime/disk.h"
#include "tests/sim/heap.h"
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES ((size_t)256 << 10)

/* Where something goes on. */
struct place {
    ucontext_t context;
    jmp_buf jump;  /* unless it has not begun */
    bool is_fresh; /* … which is when only `context` says how */
};

/* A stack, and the job that runs on it. */
struct fiber {
    struct list_node node; /* of the pool: busy or free */
    struct sim_pool *pool;
    struct sim_process *process;
    struct disk_job *job;
    void (*done)(struct disk_job *job);
    bool has_ended; /* and waits for another job */
    struct place own, back;
    uint8_t *stack;
    const void *back_stack; /* of who runs it, for the address sanitizer */
    size_t back_size;
};

struct sim_pool {
    struct world *world;
    struct list busy, free;
    struct fiber *running;
    int count;
};

/* ---- changing stacks ---- */

#ifdef __SANITIZE_ADDRESS__
static void leave(void **fake, const void *bottom, size_t size)
{
    __sanitizer_start_switch_fiber(fake, bottom, size);
}
static void arrive(void *fake, const void **bottom, size_t *size)
{
    __sanitizer_finish_switch_fiber(fake, bottom, size);
}
#else
static void leave(void **fake, const void *bottom, size_t size)
{
    (void)fake, (void)bottom, (void)size;
}
static void arrive(void *fake, const void **bottom, size_t *size)
{
    (void)fake, (void)bottom, (void)size;
}
#endif

#if MEMORY_FENCED
static void change(struct place *from, struct place *to)
{
    swapcontext(&from->context, &to->context);
}
#else
/* As swapcontext, but without asking the system for the mask of signals each time. */
static void change(struct place *from, struct place *to)
{
    if (_setjmp(from->jump) != 0) return;
    if (!to->is_fresh) _longjmp(to->jump, 1);
    to->is_fresh = false;
    setcontext(&to->context);
}
#endif

static void stop(struct fiber *fiber)
{
    void *fake = NULL;

    fiber->pool->running = NULL;
    leave(&fake, fiber->back_stack, fiber->back_size);
    change(&fiber->own, &fiber->back);
    arrive(fake, &fiber->back_stack, &fiber->back_size);
}

/* The pointer to the fiber goes through makecontext in two halves: its arguments are ints. */
static void fiber_main(unsigned high, unsigned low)
{
    struct fiber *fiber = (struct fiber *)(((uintptr_t)high << 32) | low);

    arrive(NULL, &fiber->back_stack, &fiber->back_size);
    for (;;) {
        fiber->job->run(fiber->job);
        fiber->has_ended = true;
        stop(fiber);
    }
}

static void enter(struct fiber *fiber)
{
    struct sim_pool *pool = fiber->pool;
    struct sim_heap *heap = sim_heap_use(fiber->process->heap);
    void *fake = NULL;

    ensure(pool->running == NULL);
    pool->running = fiber;
    leave(&fake, fiber->stack, STACK_BYTES);
    change(&fiber->back, &fiber->own);
    arrive(fake, NULL, NULL);
    sim_heap_use(heap);
}

/* ---- jobs ---- */

static struct fiber *take(struct sim_pool *pool)
{
    struct list_node *node = list_pop(&pool->free);
    struct fiber *fiber;

    if (node != NULL) {
        fiber = list_entry(node, struct fiber, node);
    } else {
        struct sim_heap *was = sim_heap_use(pool->world->heap);
        fiber = ensure_zalloc(sizeof(*fiber));
        fiber->stack = ensure_malloc(STACK_BYTES);
        fiber->pool = pool;
        sim_heap_use(was);
    }
    list_push(&pool->busy, &fiber->node);
    pool->count++;
    return fiber;
}

static void give_back(struct fiber *fiber)
{
    list_remove(&fiber->node);
    list_push(&fiber->pool->free, &fiber->node);
    fiber->pool->count--;
    fiber->process = NULL;
}

static void go_on(void *arg)
{
    struct fiber *fiber = arg;

    enter(fiber);
    if (!fiber->has_ended) return;
    struct disk_job *job = fiber->job;
    void (*done)(struct disk_job * job) = fiber->done;
    give_back(fiber);
    done(job);
}

/* By itself: what calls getcontext seems to return twice. */
__attribute__((noinline)) static void set_up(struct fiber *fiber)
{
    ucontext_t *context = &fiber->own.context;

    getcontext(context);
    context->uc_stack.ss_sp = fiber->stack;
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = NULL;
    makecontext(context, (void (*)(void))fiber_main, 2, (unsigned)((uintptr_t)fiber >> 32),
                (unsigned)(uintptr_t)fiber);
    fiber->own.is_fresh = true;
}

void sim_pool_run(struct sim_pool *pool, struct sim_process *process, struct disk_job *job,
                  void (*done)(struct disk_job *job))
{
    struct fiber *fiber = take(pool);

    fiber->process = process;
    fiber->job = job;
    fiber->done = done;
    if (!fiber->has_ended) set_up(fiber); /* new, or its last job was killed on the way */
    fiber->has_ended = false;
    go_on(fiber);
}

void sim_pool_pause(struct sim_pool *pool, struct sim_process *process, int64_t ns)
{
    struct fiber *fiber = pool->running;

    if (fiber == NULL || ns <= 0) return; /* a shard's own call: it takes no time */
    ensure(fiber->process == process);
    process_at(process, instant_add_ns(pool->world->now, ns), go_on, fiber);
    struct sim_heap *was = sim_heap_use(pool->world->heap);
    stop(fiber);
    sim_heap_use(was);
}

void sim_pool_killed(struct sim_pool *pool, struct sim_process *process)
{
    list_each (node, &pool->busy) {
        struct fiber *fiber = list_entry(node, struct fiber, node);
        if (fiber->process == process) give_back(fiber);
    }
}

int sim_pool_count(const struct sim_pool *pool)
{
    return pool->count;
}

/* ---- the pool ---- */

struct sim_pool *sim_pool_create(struct world *world)
{
    struct sim_pool *pool = ensure_zalloc(sizeof(*pool));

    pool->world = world;
    list_init(&pool->busy);
    list_init(&pool->free);
    return pool;
}

void sim_pool_destroy(struct sim_pool **pool)
{
    struct sim_pool *p = *pool;

    if (p == NULL) return;
    ensure(list_is_empty(&p->busy));
    for (struct list_node *node; (node = list_pop(&p->free)) != NULL;) {
        struct fiber *fiber = list_entry(node, struct fiber, node);
        free(fiber->stack);
        free(fiber);
    }
    free(p);
    *pool = NULL;
}
