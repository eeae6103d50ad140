#include "runtime/mailbox.h"
#include "base/ensure.h"
#include "runtime/net.h"
#include <assert.h>
#include <stdlib.h>

#define DRAIN_MAX 512 /* messages of one turn from all lanes together */

static_assert((LANE_SLOTS & (LANE_SLOTS - 1)) == 0, "indices wrap by mask");

/* One direction between two shards: one writer, one reader, no locks. Calls and answers have lanes
 * of their own, so that an answer never waits behind calls. */
struct lane {
    _Alignas(64) _Atomic uint32_t head; /* next slot to fill: the sender's */
    _Alignas(64) _Atomic uint32_t tail; /* next slot to take: the receiver's */
    _Alignas(64) struct msg *slot[LANE_SLOTS];
};

struct mesh {
    int shards;
    struct lane *calls; /* shards × shards: from × to */
    struct lane *answers;
    _Atomic(struct sleeper *) sleepers[SHARDS_MAX];
};

struct queue {
    struct msg *first, **last;
};

struct mailbox {
    struct mesh *mesh;
    uint8_t self;
    struct sleeper *sleeper;
    const struct mailbox_handlers *handlers;
    void *owner;
    uint64_t owes_wake; /* bit per shard to which something was pushed in this turn */
    uint64_t has_waiting;
    struct queue own; /* from ourselves to ourselves, calls and answers */
    struct to {
        struct queue waiting;
        int waiting_count;
        int in_flight; /* calls pushed and not answered: at most LANE_SLOTS, so no lane overflows */
    } to[];
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_push(struct queue *queue, struct msg *msg)
{
    msg->next = NULL;
    *queue->last = msg;
    queue->last = &msg->next;
}

static struct msg *queue_pop(struct queue *queue)
{
    struct msg *msg = queue->first;

    if (msg == NULL) return NULL;
    queue->first = msg->next;
    if (queue->first == NULL) queue->last = &queue->first;
    msg->next = NULL;
    return msg;
}

struct mesh *mesh_create(int shards)
{
    size_t lanes = (size_t)shards * (size_t)shards;
    struct mesh *mesh = ensure_zalloc(sizeof(*mesh));

    ensure(shards >= 1 && shards <= SHARDS_MAX);
    mesh->shards = shards;
    mesh->calls = aligned_alloc(64, lanes * sizeof(struct lane));
    mesh->answers = aligned_alloc(64, lanes * sizeof(struct lane));
    ensure(mesh->calls != NULL && mesh->answers != NULL);
    for (size_t i = 0; i < lanes; i++) {
        atomic_init(&mesh->calls[i].head, 0);
        atomic_init(&mesh->calls[i].tail, 0);
        atomic_init(&mesh->answers[i].head, 0);
        atomic_init(&mesh->answers[i].tail, 0);
    }
    return mesh;
}

void mesh_destroy(struct mesh **mesh)
{
    if (*mesh == NULL) return;
    free((*mesh)->calls);
    free((*mesh)->answers);
    free(*mesh);
    *mesh = NULL;
}

static struct lane *lane_between(const struct mesh *mesh, struct lane *lanes, int from, int to)
{
    return &lanes[from * mesh->shards + to];
}

static bool lane_push(struct lane *lane, struct msg *msg)
{
    uint32_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&lane->tail, memory_order_acquire);

    if (head - tail == LANE_SLOTS) return false;
    lane->slot[head % LANE_SLOTS] = msg;
    atomic_store_explicit(&lane->head, head + 1, memory_order_release);
    return true;
}

static struct msg *lane_take(struct lane *lane)
{
    uint32_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&lane->head, memory_order_acquire);

    if (head == tail) return NULL;
    struct msg *msg = lane->slot[tail % LANE_SLOTS];
    atomic_store_explicit(&lane->tail, tail + 1, memory_order_release);
    return msg;
}

static bool lane_is_empty(struct lane *lane)
{
    return atomic_load_explicit(&lane->head, memory_order_acquire) ==
           atomic_load_explicit(&lane->tail, memory_order_relaxed);
}

void sleeper_sleeps(struct sleeper *sleeper)
{
    atomic_store_explicit(&sleeper->is_asleep, true, memory_order_relaxed);
    /* Pairs with sleeper_wake: either the waker sees the flag, or we see what it left. */
    atomic_thread_fence(memory_order_seq_cst);
}

void sleeper_wakes(struct sleeper *sleeper)
{
    atomic_store_explicit(&sleeper->is_asleep, false, memory_order_relaxed);
}

static void wake_if_asleep(struct sleeper *sleeper)
{
    if (sleeper != NULL && atomic_load_explicit(&sleeper->is_asleep, memory_order_relaxed) &&
        atomic_exchange_explicit(&sleeper->is_asleep, false, memory_order_relaxed))
        net_wake(sleeper->env, sleeper->net);
}

void sleeper_wake(struct sleeper *sleeper)
{
    atomic_thread_fence(memory_order_seq_cst);
    wake_if_asleep(sleeper);
}

struct mailbox *mailbox_open(struct mesh *mesh, uint8_t self, struct sleeper *sleeper,
                             const struct mailbox_handlers *handlers, void *owner)
{
    int shards = mesh == NULL ? 0 : mesh->shards;
    struct mailbox *box = ensure_zalloc(sizeof(*box) + (size_t)shards * sizeof(box->to[0]));

    ensure(mesh == NULL || self < shards);
    *box = (struct mailbox){.mesh = mesh, .self = self, .sleeper = sleeper, .handlers = handlers};
    box->owner = owner;
    queue_init(&box->own);
    for (int i = 0; i < shards; i++)
        queue_init(&box->to[i].waiting);
    if (mesh != NULL) atomic_store(&mesh->sleepers[self], sleeper);
    return box;
}

void mailbox_close(struct mailbox **box)
{
    if (*box == NULL) return;
    if ((*box)->mesh != NULL) atomic_store(&(*box)->mesh->sleepers[(*box)->self], NULL);
    free(*box);
    *box = NULL;
}

void mailbox_call(struct mailbox *box, uint8_t to, struct msg *msg)
{
    msg->home = box->self;
    msg->to = to;
    msg->is_answer = 0;
    if (to == box->self) {
        queue_push(&box->own, msg);
        return;
    }
    ensure(box->mesh != NULL && to < box->mesh->shards);
    queue_push(&box->to[to].waiting, msg);
    box->to[to].waiting_count++;
    box->has_waiting |= UINT64_C(1) << to;
}

void mailbox_reply(struct mailbox *box, struct msg *msg)
{
    uint8_t home = msg->home; /* once pushed it is no longer ours to read */

    ensure(msg->to == box->self && !msg->is_answer);
    msg->is_answer = 1;
    if (home == box->self) {
        queue_push(&box->own, msg);
        return;
    }
    bool sent = lane_push(lane_between(box->mesh, box->mesh->answers, box->self, home), msg);

    ensure(sent);
    box->owes_wake |= UINT64_C(1) << home;
}

int mailbox_backlog(const struct mailbox *box, uint8_t to)
{
    return to == box->self ? 0 : box->to[to].waiting_count;
}

static int first_bit(uint64_t bits)
{
    return __builtin_ctzll(bits);
}

static void send_waiting(struct mailbox *box, int to)
{
    struct to *there = &box->to[to];
    struct lane *lane = lane_between(box->mesh, box->mesh->calls, box->self, to);

    while (there->waiting_count > 0 && there->in_flight < LANE_SLOTS) {
        bool sent = lane_push(lane, queue_pop(&there->waiting));
        ensure(sent);
        there->waiting_count--;
        there->in_flight++;
        box->owes_wake |= UINT64_C(1) << to;
    }
    if (there->waiting_count == 0) box->has_waiting &= ~(UINT64_C(1) << to);
}

void mailbox_flush(struct mailbox *box)
{
    for (uint64_t left = box->has_waiting; left != 0; left &= left - 1)
        send_waiting(box, first_bit(left));
    if (box->owes_wake == 0) return;

    atomic_thread_fence(memory_order_seq_cst); /* as in sleeper_wake, once for all */
    for (; box->owes_wake != 0; box->owes_wake &= box->owes_wake - 1)
        wake_if_asleep(atomic_load_explicit(&box->mesh->sleepers[first_bit(box->owes_wake)],
                                            memory_order_acquire));
}

/* Up to `max` from each lane in turn; how many that were. */
static int drain_from(struct mailbox *box, int from, int max)
{
    struct lane *calls = lane_between(box->mesh, box->mesh->calls, from, box->self);
    struct lane *answers = lane_between(box->mesh, box->mesh->answers, from, box->self);
    struct msg *msg;
    int n = 0;

    while (n < max && (msg = lane_take(answers)) != NULL) {
        ensure(msg->home == box->self);
        box->to[from].in_flight--;
        n++;
        box->handlers->answer(box->owner, msg);
    }
    while (n < max && (msg = lane_take(calls)) != NULL) {
        n++;
        box->handlers->call(box->owner, msg);
    }
    return n;
}

bool mailbox_drain(struct mailbox *box)
{
    if (box->mesh == NULL || box->mesh->shards == 1) return false;
    /* A share each, so that one busy sender does not shut out the others. */
    int share = DRAIN_MAX / (box->mesh->shards - 1);
    bool may_be_left = false;

    if (share < 16) share = 16;
    for (int from = 0; from < box->mesh->shards; from++)
        if (from != box->self && drain_from(box, from, share) == share) may_be_left = true;
    return may_be_left;
}

bool mailbox_drain_own(struct mailbox *box)
{
    struct queue now = box->own;

    if (now.first == NULL) return false;
    queue_init(&box->own);
    while (now.first != NULL) {
        struct msg *msg = now.first;
        now.first = msg->next;
        msg->next = NULL;
        if (msg->is_answer)
            box->handlers->answer(box->owner, msg);
        else
            box->handlers->call(box->owner, msg);
    }
    return true;
}

bool mailbox_has_mail(const struct mailbox *box)
{
    if (box->own.first != NULL) return true;
    if (box->mesh == NULL) return false;
    for (int from = 0; from < box->mesh->shards; from++) {
        if (from == box->self) continue;
        if (!lane_is_empty(lane_between(box->mesh, box->mesh->calls, from, box->self)) ||
            !lane_is_empty(lane_between(box->mesh, box->mesh->answers, from, box->self)))
            return true;
    }
    return false;
}
