#include "runtime/shard.h"
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/disk.h"
#include <stdlib.h>

/* Bounds of one turn, so that one greedy user of the shard does not own it. What is left over makes
 * the next turn come without a wait. */
#define TIMERS_MAX      512
#define COMPLETIONS_MAX 512
#define POSTS_MAX       4096
#define OWN_ROUNDS_MAX  8

#define TURN_LONG_NS    10000000

enum err shard_open(struct shard *shard, struct env *env, int id, struct mesh *mesh,
                    const struct mailbox_handlers *handlers, void *owner, struct disk *disk)
{
    struct net *net = NULL;

    enum err err = net_open(env, &net);
    if (err != ERR_OK) return err;
    ensure(id >= 0 && id < SHARDS_MAX);
    ensure(mesh == NULL || handlers != NULL);
    *shard = (struct shard){.env = env, .id = id, .net = net, .disk = disk, .owner = owner};
    shard->scratch = ensure_malloc(SHARD_SCRATCH_BYTES);
    shard->sleeper.env = env;
    shard->sleeper.net = net;
    shard->mailbox = mailbox_open(mesh, (uint8_t)id, &shard->sleeper, handlers, owner);
    shard->now = shard->clock = env_now(env);
    heap_init(&shard->timers);
    list_init(&shard->posts);
    list_init(&shard->last_posts);
    return ERR_OK;
}

void shard_close(struct shard *shard)
{
    mailbox_close(&shard->mailbox);
    net_close(shard->env, &shard->net);
    heap_fini(&shard->timers);
    free(shard->scratch);
    shard->scratch = NULL;
}

void shard_complete(struct shard *shard, struct disk_job *job)
{
    struct disk_job *latest = atomic_load_explicit(&shard->disk_done, memory_order_relaxed);

    do {
        job->next = latest;
    } while (!atomic_compare_exchange_weak_explicit(&shard->disk_done, &latest, job,
                                                    memory_order_release, memory_order_relaxed));
    sleeper_wake(&shard->sleeper);
}

/* Takes what the pool has left, in the order in which it was left. */
static void take_completions(struct shard *shard)
{
    if (atomic_load_explicit(&shard->disk_done, memory_order_relaxed) == NULL) return;
    struct disk_job *latest =
        atomic_exchange_explicit(&shard->disk_done, NULL, memory_order_acquire);
    struct disk_job *in_order = NULL, **end = &shard->disk_left;

    while (latest != NULL) {
        struct disk_job *before = latest->next;
        latest->next = in_order;
        in_order = latest;
        latest = before;
    }
    while (*end != NULL)
        end = &(*end)->next;
    *end = in_order;
}

static void run_completions(struct shard *shard)
{
    take_completions(shard);
    for (int i = 0; shard->disk_left != NULL; i++) {
        if (i == COMPLETIONS_MAX) {
            shard->is_busy = true;
            return;
        }
        struct disk_job *job = shard->disk_left;
        shard->disk_left = job->next;
        job->next = NULL;
        job->done(job);
    }
}

static void fire_timers(struct shard *shard)
{
    for (int i = 0;; i++) {
        struct heap_node *first = heap_first(&shard->timers);
        if (first == NULL || first->key > shard->now.ns) return;
        if (i == TIMERS_MAX) {
            shard->is_busy = true;
            return;
        }
        heap_remove(&shard->timers, first);
        struct timer *timer = heap_entry(first, struct timer, node);
        timer->fire(timer);
    }
}

/* What is posted meanwhile is run as well, within the bound. */
static void run_posts(struct shard *shard)
{
    for (int i = 0; i < POSTS_MAX; i++) {
        struct list_node *node = list_pop(&shard->posts);
        if (node == NULL) return;
        struct post *post = list_entry(node, struct post, node);
        post->run(post);
    }
    shard->is_busy = true;
}

/* Posted work and calls to ourselves make each other: an append, its answer, the reply. */
static void settle(struct shard *shard)
{
    for (int round = 0; round < OWN_ROUNDS_MAX; round++) {
        run_posts(shard);
        if (!mailbox_drain_own(shard->mailbox)) return;
    }
    shard->is_busy = true;
}

static void run_last_posts(struct shard *shard)
{
    struct list now;

    if (list_is_empty(&shard->last_posts)) return;
    /* Only those that stand there now: what they post is for the next turn. */
    now.head = shard->last_posts.head;
    now.head.next->prev = now.head.prev->next = &now.head;
    list_init(&shard->last_posts);
    for (struct list_node *node; (node = list_pop(&now)) != NULL;) {
        struct post *post = list_entry(node, struct post, node);
        post->run(post);
    }
}

static bool has_work(struct shard *shard)
{
    return shard->is_busy || !list_is_empty(&shard->posts) || !list_is_empty(&shard->last_posts) ||
           shard->disk_left != NULL || atomic_load(&shard->is_stopping);
}

struct instant shard_rest(struct shard *shard)
{
    struct heap_node *first = heap_first(&shard->timers);

    if (has_work(shard)) return INSTANT_ZERO;
    sleeper_sleeps(&shard->sleeper);
    if (mailbox_has_mail(shard->mailbox) || atomic_load(&shard->is_stopping) ||
        atomic_load_explicit(&shard->disk_done, memory_order_relaxed) != NULL)
        return INSTANT_ZERO;
    return first == NULL ? INSTANT_NEVER : (struct instant){first->key};
}

static void note_length(struct shard *shard)
{
    int64_t took_ns = instant_ns_between(shard->now, env_now(shard->env));

    counter_add(&shard->turns, 1);
    counter_add(&shard->busy_ns, (uint64_t)(took_ns > 0 ? took_ns : 0));
    if (took_ns <= TURN_LONG_NS) return;
    counter_add(&shard->turns_long, 1);
    log_debug("runtime", "long-turn", "shard=%d took_ms=%lld turn=%llu", shard->id,
              (long long)(took_ns / 1000000), (unsigned long long)counter_value(&shard->turns));
}

struct instant shard_look(struct shard *shard)
{
    return shard->clock = env_now(shard->env);
}

void shard_work(struct shard *shard)
{
    sleeper_wakes(&shard->sleeper);
    shard->is_busy = false;
    shard->now = shard_look(shard); /* a turn is one instant */
    if (mailbox_drain(shard->mailbox)) shard->is_busy = true;
    run_completions(shard);
    fire_timers(shard);
    net_dispatch(shard->env, shard->net);
    settle(shard);
    run_last_posts(shard); /* one chain of writes per connection */
    mailbox_flush(shard->mailbox);
    note_length(shard);
}

void shard_turn(struct shard *shard)
{
    /* At most until the next timer, not at all while there is work. */
    net_wait(shard->env, shard->net, shard_rest(shard));
    shard_work(shard);
}

void shard_run(struct shard *shard)
{
    while (!atomic_load(&shard->is_stopping))
        shard_turn(shard);
}

void shard_stop(struct shard *shard)
{
    atomic_store(&shard->is_stopping, true);
    sleeper_wake(&shard->sleeper);
}

void timer_arm(struct shard *shard, struct timer *timer, struct instant at)
{
    ensure(timer->fire != NULL);
    if (heap_has(&timer->node) && timer->node.key == at.ns) return;
    if (instant_is_never(at))
        heap_remove(&shard->timers, &timer->node);
    else
        heap_move(&shard->timers, &timer->node, at.ns);
}

void timer_cancel(struct shard *shard, struct timer *timer)
{
    heap_remove(&shard->timers, &timer->node);
}

void shard_post(struct shard *shard, struct post *post)
{
    if (!list_has(&post->node)) list_push(&shard->posts, &post->node);
}

void shard_post_last(struct shard *shard, struct post *post)
{
    if (!list_has(&post->node)) list_push(&shard->last_posts, &post->node);
}

void shard_unpost(struct post *post)
{
    list_remove(&post->node);
}
