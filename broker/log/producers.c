#include "broker/log/producers.h"
#include "base/crc32c.h"
#include "base/ensure.h"
#include "wire/prim.h"
#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_HEAD    10 /* version, checksum, count */
#define SNAPSHOT_ENTRY   46
#define CRC_FROM         6

struct producer {
    struct list_node by_age, by_txn; /* by_txn: on a list while a transaction is open */
    int64_t id;
    int64_t txn_first; /* -1: no transaction is open */
    int64_t last_timestamp;
    int32_t coordinator_epoch; /* -1: no marker so far */
    int16_t epoch;
    int16_t batch_count;
    struct {
        int64_t last_offset, timestamp;
        int32_t last_sequence, offset_delta;
    } batches[PRODUCERS_BATCHES]; /* oldest first */
};

void producers_init(struct producers *producers)
{
    *producers = (struct producers){0};
    list_init(&producers->by_age);
    list_init(&producers->open);
}

/* After its head has moved from `before`. */
static void list_moved(struct list *list, const struct list *before)
{
    if (list->head.next == &before->head) {
        list_init(list);
        return;
    }
    list->head.next->prev = &list->head;
    list->head.prev->next = &list->head;
}

void producers_swap(struct producers *a, struct producers *b)
{
    struct producers other = *a;

    *a = *b;
    list_moved(&a->by_age, &b->by_age);
    list_moved(&a->open, &b->open);
    *b = other;
    list_moved(&b->by_age, &a->by_age);
    list_moved(&b->open, &a->open);
}

void producers_clear(struct producers *producers)
{
    producers_fini(producers);
    producers_init(producers);
}

void producers_fini(struct producers *producers)
{
    for (int32_t i = 0; i < producers->count; i++)
        free(producers->slots[i].producer);
    free(producers->slots);
    free(producers->unreplicated);
}

/* ---- the table ---- */

/* Where `id` is, or belongs. */
static int32_t place_of(const struct producers *producers, int64_t id)
{
    int32_t low = 0, high = producers->count;

    /* Ids are given out ascending: the newest is the commonest. */
    if (high > 0 && producers->slots[high - 1].id < id) return high;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (producers->slots[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct producer *find(const struct producers *producers, int64_t id)
{
    int32_t at = place_of(producers, id);

    return at < producers->count && producers->slots[at].id == id ? producers->slots[at].producer
                                                                  : NULL;
}

static void forget(struct producers *producers, struct producer *producer)
{
    int32_t at = place_of(producers, producer->id);

    list_remove(&producer->by_age);
    list_remove(&producer->by_txn);
    memmove(producers->slots + at, producers->slots + at + 1,
            (size_t)(producers->count - at - 1) * sizeof(*producers->slots));
    producers->count--;
    free(producer);
}

static void forget_most_silent(struct producers *producers)
{
    list_each (node, &producers->by_age) {
        struct producer *producer = list_entry(node, struct producer, by_age);
        if (producer->txn_first >= 0) continue;
        forget(producers, producer);
        return;
    }
}

static struct producer *add(struct producers *producers, int64_t id)
{
    struct producer *producer = ensure_zalloc(sizeof(*producer));

    if (producers->count >= PRODUCERS_MAX) forget_most_silent(producers);
    if (producers->count == producers->capacity) {
        producers->capacity = producers->capacity == 0 ? 4 : producers->capacity * 2;
        producers->slots = ensure_realloc(producers->slots,
                                          (size_t)producers->capacity * sizeof(*producers->slots));
    }
    int32_t at = place_of(producers, id);
    memmove(producers->slots + at + 1, producers->slots + at,
            (size_t)(producers->count - at) * sizeof(*producers->slots));
    producers->slots[at].id = id;
    producers->slots[at].producer = producer;
    producers->count++;

    *producer = (struct producer){
        .id = id, .epoch = -1, .txn_first = -1, .coordinator_epoch = -1, .last_timestamp = -1};
    list_push(&producers->by_age, &producer->by_age);
    return producer;
}

/* ---- check ---- */

static bool find_duplicate(const struct producer *producer, const struct producers_batch *batch,
                           struct producers_known *known)
{
    if (producer->epoch != batch->epoch) return false;
    for (int i = 0; i < producer->batch_count; i++) {
        int32_t last = producer->batches[i].last_sequence;
        int64_t first = (int64_t)last - producer->batches[i].offset_delta;
        if (first < 0) first += (int64_t)INT32_MAX + 1; /* 2147483647 is followed by 0 */
        if (last != batch->last_sequence || first != batch->first_sequence) continue;
        *known = (struct producers_known){
            producer->batches[i].last_offset - producer->batches[i].offset_delta,
            producer->batches[i].last_offset,
            producer->batches[i].timestamp,
        };
        return true;
    }
    return false;
}

static enum err check_sequence(const struct producer *producer, const struct producers_batch *batch)
{
    if (producer->epoch < 0) return ERR_OK; /* nothing is known of it */
    if (batch->epoch != producer->epoch) return batch->first_sequence == 0 ? ERR_OK : ERR_SEQUENCE;
    int32_t last = producer->batch_count == 0
                       ? -1
                       : producer->batches[producer->batch_count - 1].last_sequence;
    int32_t next = last == INT32_MAX ? 0 : last + 1;
    return batch->first_sequence == next ? ERR_OK : ERR_SEQUENCE;
}

enum err producers_check(const struct producers *producers, bool is_client,
                         const struct producers_batch *batch, struct producers_known *known)
{
    const struct producer *producer = find(producers, batch->producer_id);

    if (producer == NULL) return ERR_OK;
    bool is_data = batch->marker == PRODUCERS_DATA;
    if (is_client && is_data && find_duplicate(producer, batch, known)) return ERR_EXISTS;
    if (batch->epoch < producer->epoch) return ERR_PRODUCER_EPOCH;
    if (!is_data)
        return batch->coordinator_epoch < producer->coordinator_epoch ? ERR_COORDINATOR_FENCED
                                                                      : ERR_OK;
    enum err err = is_client ? check_sequence(producer, batch) : ERR_OK;
    if (err != ERR_OK) return err;
    return producer->txn_first >= 0 && !batch->is_transactional ? ERR_TXN_STATE : ERR_OK;
}

/* ---- note ---- */

static void set_epoch(struct producer *producer, int16_t epoch)
{
    if (producer->epoch == epoch) return;
    producer->epoch = epoch;
    producer->batch_count = 0;
}

static void note_batch(struct producer *producer, const struct producers_batch *batch)
{
    if (producer->batch_count == PRODUCERS_BATCHES) {
        memmove(producer->batches, producer->batches + 1,
                (PRODUCERS_BATCHES - 1) * sizeof(producer->batches[0]));
        producer->batch_count--;
    }
    int at = producer->batch_count++;
    producer->batches[at].last_sequence = batch->last_sequence;
    producer->batches[at].last_offset = batch->last_offset;
    producer->batches[at].offset_delta = (int32_t)(batch->last_offset - batch->first_offset);
    producer->batches[at].timestamp = batch->timestamp;
}

static void open_txn(struct producers *producers, struct producer *producer, int64_t first)
{
    struct list_node *before = &producers->open.head;

    /* From the end: the log only grows, a snapshot's come in any order. */
    while (before->prev != &producers->open.head &&
           list_entry(before->prev, struct producer, by_txn)->txn_first > first)
        before = before->prev;
    producer->txn_first = first;
    list_insert_before(before, &producer->by_txn);
}

static bool end_txn(struct producers *producers, struct producer *producer,
                    const struct producers_batch *batch, struct producers_ended *ended)
{
    if (producer->txn_first < 0) return false;
    *ended = (struct producers_ended){
        .producer_id = producer->id,
        .first_offset = producer->txn_first,
        .last_offset = batch->last_offset,
        .is_aborted = batch->marker == PRODUCERS_ABORT,
    };
    list_remove(&producer->by_txn);
    producer->txn_first = -1;
    const struct list_node *oldest = list_first(&producers->open);
    ended->last_stable = oldest == NULL ? batch->last_offset + 1
                                        : list_entry(oldest, struct producer, by_txn)->txn_first;

    if (producers->unreplicated_count == producers->unreplicated_capacity) {
        producers->unreplicated_capacity =
            producers->unreplicated_capacity == 0 ? 4 : producers->unreplicated_capacity * 2;
        producers->unreplicated =
            ensure_realloc(producers->unreplicated, (size_t)producers->unreplicated_capacity *
                                                        sizeof(*producers->unreplicated));
    }
    producers->unreplicated[producers->unreplicated_count++] =
        (struct producers_txn){ended->first_offset, ended->last_offset};
    return true;
}

bool producers_note(struct producers *producers, const struct producers_batch *batch,
                    struct producers_ended *ended)
{
    struct producer *producer = find(producers, batch->producer_id);
    bool has_ended = false;

    if (producer == NULL) producer = add(producers, batch->producer_id);
    set_epoch(producer, batch->epoch);
    producer->last_timestamp = batch->timestamp;
    list_remove(&producer->by_age);
    list_push(&producers->by_age, &producer->by_age);
    if (batch->marker == PRODUCERS_DATA) {
        note_batch(producer, batch);
        if (batch->is_transactional && producer->txn_first < 0)
            open_txn(producers, producer, batch->first_offset);
    } else {
        producer->coordinator_epoch = batch->coordinator_epoch;
        has_ended = end_txn(producers, producer, batch, ended);
    }
    return has_ended;
}

/* ---- what is decided ---- */

void producers_replicated(struct producers *producers, int64_t high_watermark)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < producers->unreplicated_count; i++)
        if (producers->unreplicated[i].last_offset >= high_watermark)
            producers->unreplicated[kept++] = producers->unreplicated[i];
    producers->unreplicated_count = kept;
}

int64_t producers_first_unstable(const struct producers *producers)
{
    const struct list_node *oldest = list_first(&producers->open);
    int64_t first = oldest == NULL ? -1 : list_entry(oldest, struct producer, by_txn)->txn_first;

    for (int32_t i = 0; i < producers->unreplicated_count; i++)
        if (first < 0 || producers->unreplicated[i].first_offset < first)
            first = producers->unreplicated[i].first_offset;
    return first;
}

static bool has_expired(int64_t txn_first, int64_t last_timestamp, int64_t now_ms,
                        int64_t expiration_ms)
{
    /* Without overflow, whatever time the client's clock has told. */
    return txn_first < 0 && last_timestamp < now_ms &&
           (last_timestamp < 0 || now_ms - last_timestamp >= expiration_ms);
}

int producers_expire(struct producers *producers, int64_t now_ms, int64_t expiration_ms)
{
    int32_t before = producers->count, kept = 0;

    for (int32_t i = 0; i < before; i++) {
        struct producer *producer = producers->slots[i].producer;
        if (has_expired(producer->txn_first, producer->last_timestamp, now_ms, expiration_ms)) {
            list_remove(&producer->by_age);
            free(producer);
        } else {
            producers->slots[kept++] = producers->slots[i];
        }
    }
    producers->count = kept;
    return before - kept;
}

/* ---- the file ---- */

static void write_entry(const struct producer *producer, uint8_t *to)
{
    int last = producer->batch_count - 1;

    prim_store64(to, (uint64_t)producer->id);
    prim_store16(to + 8, (uint16_t)producer->epoch);
    prim_store32(to + 10, last < 0 ? UINT32_MAX : (uint32_t)producer->batches[last].last_sequence);
    prim_store64(to + 14, last < 0 ? UINT64_MAX : (uint64_t)producer->batches[last].last_offset);
    prim_store32(to + 22, last < 0 ? 0 : (uint32_t)producer->batches[last].offset_delta);
    prim_store64(to + 26, (uint64_t)producer->last_timestamp);
    prim_store32(to + 34, (uint32_t)producer->coordinator_epoch);
    prim_store64(to + 38, (uint64_t)producer->txn_first);
}

void producers_write(const struct producers *producers, struct buf *out)
{
    size_t len = SNAPSHOT_HEAD + (size_t)producers->count * SNAPSHOT_ENTRY;
    uint8_t *to = buf_extend(out, len);

    prim_store16(to, SNAPSHOT_VERSION);
    prim_store32(to + CRC_FROM, (uint32_t)producers->count);
    for (int32_t i = 0; i < producers->count; i++)
        write_entry(producers->slots[i].producer, to + SNAPSHOT_HEAD + (size_t)i * SNAPSHOT_ENTRY);
    prim_store32(to + 2, crc32c(slice_of(to + CRC_FROM, len - CRC_FROM)));
}

static enum err read_entry(struct producers *producers, const uint8_t *from, int64_t now_ms,
                           int64_t expiration_ms)
{
    int64_t id = (int64_t)prim_load64(from);
    int64_t last_offset = (int64_t)prim_load64(from + 14);
    int64_t txn_first = (int64_t)prim_load64(from + 38);
    int64_t timestamp = (int64_t)prim_load64(from + 26);
    int32_t delta = (int32_t)prim_load32(from + 22);

    if (id < 0 || find(producers, id) != NULL) return ERR_CORRUPT;
    if (has_expired(txn_first, timestamp, now_ms, expiration_ms)) return ERR_OK;
    struct producer *producer = add(producers, id);
    producer->epoch = (int16_t)prim_load16(from + 8);
    producer->coordinator_epoch = (int32_t)prim_load32(from + 34);
    producer->last_timestamp = timestamp;
    if (last_offset >= 0) {
        if (delta < 0 || delta > last_offset) return ERR_CORRUPT;
        producer->batch_count = 1;
        producer->batches[0].last_sequence = (int32_t)prim_load32(from + 10);
        producer->batches[0].last_offset = last_offset;
        producer->batches[0].offset_delta = delta;
        producer->batches[0].timestamp = timestamp;
    }
    if (txn_first >= 0) open_txn(producers, producer, txn_first);
    return ERR_OK;
}

enum err producers_read(struct producers *producers, struct slice bytes, int64_t now_ms,
                        int64_t expiration_ms)
{
    enum err err = ERR_OK;

    ensure(producers->count == 0);
    if (bytes.len < SNAPSHOT_HEAD || prim_load16(bytes.ptr) != SNAPSHOT_VERSION) return ERR_CORRUPT;
    uint32_t count = prim_load32(bytes.ptr + CRC_FROM);
    if (bytes.len != SNAPSHOT_HEAD + (size_t)count * SNAPSHOT_ENTRY) return ERR_CORRUPT;
    if (prim_load32(bytes.ptr + 2) != crc32c(slice_of(bytes.ptr + CRC_FROM, bytes.len - CRC_FROM)))
        return ERR_CORRUPT;
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        err = read_entry(producers, bytes.ptr + SNAPSHOT_HEAD + (size_t)i * SNAPSHOT_ENTRY, now_ms,
                         expiration_ms);
    if (err != ERR_OK) producers_clear(producers);
    return err;
}

/* ---- to be looked at ---- */

struct producers_view producers_at(const struct producers *producers, int32_t index)
{
    const struct producer *producer = producers->slots[index].producer;
    int last = producer->batch_count - 1;

    return (struct producers_view){
        .producer_id = producer->id,
        .epoch = producer->epoch,
        .last_sequence = last < 0 ? -1 : producer->batches[last].last_sequence,
        .last_offset = last < 0 ? -1 : producer->batches[last].last_offset,
        .last_timestamp = producer->last_timestamp,
        .coordinator_epoch = producer->coordinator_epoch,
        .txn_first_offset = producer->txn_first,
    };
}

void producers_audit(const struct producers *producers)
{
    int32_t aged = 0, open = 0, with_txn = 0;
    int64_t before = -1;

    for (int32_t i = 0; i < producers->count; i++) {
        const struct producer *producer = producers->slots[i].producer;
        ensure(producers->slots[i].id == producer->id);
        ensure(i == 0 || producers->slots[i - 1].id < producer->id);
        ensure(producer->batch_count >= 0 && producer->batch_count <= PRODUCERS_BATCHES);
        for (int k = 1; k < producer->batch_count; k++)
            ensure(producer->batches[k - 1].last_offset < producer->batches[k].last_offset);
        ensure((producer->txn_first >= 0) == list_has(&producer->by_txn));
        with_txn += producer->txn_first >= 0;
    }
    list_each (node, &producers->by_age)
        aged++;
    list_each (node, &producers->open) {
        const struct producer *producer = list_entry(node, struct producer, by_txn);
        ensure(producer->txn_first >= before);
        before = producer->txn_first;
        open++;
    }
    ensure(aged == producers->count && open == with_txn);
}
