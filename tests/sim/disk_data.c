/* tests/sim/disk_data.c - the content of one file: as it was last written, and what of that is not
 * on the device. The image is the present one; each operation keeps what it has replaced, so that
 * an append costs its bytes once and a sync nothing. Going back is for power loss only. */
#include "base/ensure.h"
#include "tests/sim/disk_parts.h"
#include <stdlib.h>
#include <string.h>

static struct prng *fate_of(const struct inode *inode)
{
    return &inode->device->disk->fate;
}

uint64_t data_blocks(size_t held, uint64_t allocated)
{
    uint64_t bytes = held > allocated ? held : allocated;

    return (bytes + SIM_BLOCK - 1) / SIM_BLOCK * SIM_BLOCK;
}

/* ---- the image ---- */

/* Bytes up to `end` are held; new ones are zero. */
static void hold(struct inode *inode, size_t end)
{
    if (end <= inode->held) return;
    if (end > inode->capacity) {
        size_t capacity = inode->capacity == 0 ? 256 : inode->capacity;
        while (capacity < end)
            capacity *= 2;
        inode->bytes = ensure_realloc(inode->bytes, capacity);
        inode->capacity = capacity;
    }
    memset(inode->bytes + inode->held, 0, end - inode->held);
    inode->held = end;
}

static void image_write(struct inode *inode, uint64_t position, const void *bytes, size_t len)
{
    if (len == 0) return;
    hold(inode, (size_t)(position + len));
    memcpy(inode->bytes + position, bytes, len);
    if (position + len > inode->size) inode->size = position + len;
}

static void image_resize(struct inode *inode, uint64_t size)
{
    if (inode->held > size) inode->held = (size_t)size;
    inode->size = size;
}

void data_read(const struct inode *inode, uint64_t position, void *to, size_t len)
{
    size_t n = 0;

    if (position < inode->held) {
        n = inode->held - (size_t)position;
        if (n > len) n = len;
        memcpy(to, inode->bytes + position, n);
    }
    memset((uint8_t *)to + n, 0, len - n);
}

void data_flip(struct inode *inode, uint64_t position, uint8_t bits)
{
    ensure(position < inode->size);
    hold(inode, (size_t)position + 1);
    inode->bytes[position] ^= bits;
}

/* ---- operations ---- */

static struct data_op *add_op(struct inode *inode)
{
    if (inode->op_count == inode->op_capacity) {
        inode->op_capacity = inode->op_capacity == 0 ? 2 : inode->op_capacity * 2;
        inode->ops = ensure_realloc(inode->ops, (size_t)inode->op_capacity * sizeof(inode->ops[0]));
    }
    if (!list_has(&inode->dirty)) list_push(&inode->device->dirty, &inode->dirty);
    struct data_op *op = &inode->ops[inode->op_count++];
    *op = (struct data_op){.sequence = ++inode->device->disk->sequence,
                           .size_before = inode->size,
                           .held_before = inode->held};
    return op;
}

static void save_undo(struct data_op *op, const struct inode *inode, uint64_t from, uint64_t to)
{
    if (to > inode->held) to = inode->held;
    if (from >= to) return;
    op->undo_len = (size_t)(to - from);
    op->undo = ensure_malloc(op->undo_len);
    memcpy(op->undo, inode->bytes + from, op->undo_len);
}

static bool goes_on(const struct inode *inode, uint64_t position, size_t len)
{
    if (inode->op_count == 0) return false;
    const struct data_op *last = &inode->ops[inode->op_count - 1];
    return last->kind == OP_WRITE && last->state == OP_PENDING && last->undo_len == 0 &&
           last->position + last->len == position && position >= inode->held &&
           last->len + len <= SIM_MERGE_BYTES && last->sequence > inode->barrier;
}

void data_write(struct inode *inode, uint64_t position, const void *bytes, size_t len)
{
    if (len == 0) return;
    if (goes_on(inode, position, len)) {
        inode->ops[inode->op_count - 1].len += len;
    } else {
        struct data_op *op = add_op(inode);
        op->kind = OP_WRITE;
        op->position = position;
        op->len = len;
        save_undo(op, inode, position, position + len);
    }
    image_write(inode, position, bytes, len);
    inode->ops[inode->op_count - 1].size_after = inode->size;
}

void data_resize(struct inode *inode, uint64_t size)
{
    if (size == inode->size) return;
    struct data_op *op = add_op(inode);
    op->kind = OP_RESIZE;
    save_undo(op, inode, size, inode->size);
    image_resize(inode, size);
    op->size_after = size;
}

/* The first `n` have no more to say. */
static void forget_ops(struct inode *inode, int n)
{
    for (int i = 0; i < n; i++)
        free(inode->ops[i].undo);
    memmove(inode->ops, inode->ops + n, (size_t)(inode->op_count - n) * sizeof(inode->ops[0]));
    inode->op_count -= n;
    if (inode->op_count > 0) return;
    list_remove(&inode->dirty);
    free(inode->ops);
    inode->ops = NULL;
    inode->op_capacity = 0;
}

void data_sync(struct inode *inode, uint64_t up_to)
{
    int durable = 0;

    if (inode->op_count == 0) return;
    for (int i = 0; i < inode->op_count && inode->ops[i].sequence <= up_to; i++)
        if (inode->ops[i].state == OP_PENDING) inode->ops[i].state = OP_DURABLE;
    while (durable < inode->op_count && inode->ops[durable].state == OP_DURABLE)
        durable++;
    if (durable > 0) forget_ops(inode, durable);
}

void data_fini(struct inode *inode)
{
    if (inode->op_count > 0) forget_ops(inode, inode->op_count);
    free(inode->bytes);
    free(inode->bad);
}

/* ---- going back, and forth again ---- */

/* Undoes all operations; `redo[i]` gets the bytes of the writes. */
static void go_back(struct inode *inode, uint8_t **redo)
{
    for (int i = inode->op_count - 1; i >= 0; i--) {
        struct data_op *op = &inode->ops[i];
        uint64_t at = op->kind == OP_WRITE ? op->position : op->size_after;
        redo[i] = NULL;
        if (op->kind == OP_WRITE) {
            redo[i] = ensure_malloc(op->len);
            data_read(inode, op->position, redo[i], op->len);
        }
        if (op->undo_len > 0) {
            hold(inode, (size_t)at + op->undo_len);
            memcpy(inode->bytes + at, op->undo, op->undo_len);
        }
        hold(inode, op->held_before);
        inode->held = op->held_before;
        inode->size = op->size_before;
    }
}

static void fill_garbage(struct inode *inode, uint64_t from, uint64_t to)
{
    struct prng *luck = fate_of(inode);

    if (to > inode->size) to = inode->size;
    if (from >= to) return;
    hold(inode, (size_t)to);
    for (uint64_t i = from; i < to; i++)
        inode->bytes[i] = (uint8_t)(prng_next(luck) >> 13);
}

/* The front of it was written, then the power went. */
static void tear_behind(struct inode *inode, const struct data_op *op, const uint8_t *bytes,
                        uint64_t unit, bool has_garbage)
{
    struct prng *luck = fate_of(inode);
    uint64_t cut = (op->position + prng_below(luck, op->len)) / unit * unit;

    if (cut < op->position) cut = op->position;
    image_write(inode, op->position, bytes, (size_t)(cut - op->position));
    /* The size may have been ahead of the bytes. */
    if (prng_below(luck, 2) == 0 && inode->size < op->size_after)
        image_resize(inode, op->size_after);
    if (has_garbage) {
        uint64_t end = (cut / unit + 1) * unit;
        if (end > op->position + op->len) end = op->position + op->len;
        fill_garbage(inode, cut, end);
    }
}

/* Some sectors of it were written. */
static void tear_apart(struct inode *inode, const struct data_op *op, const uint8_t *bytes,
                       uint64_t unit, bool has_garbage)
{
    struct prng *luck = fate_of(inode);
    uint64_t end = op->position + op->len;

    for (uint64_t from = op->position; from < end;) {
        uint64_t to = (from / unit + 1) * unit;
        if (to > end) to = end;
        uint64_t draw = prng_below(luck, 8);
        if (draw < 5)
            image_write(inode, from, bytes + (from - op->position), (size_t)(to - from));
        else if (draw == 7 && has_garbage)
            fill_garbage(inode, from, to);
        from = to;
    }
}

static void tear(struct inode *inode, const struct data_op *op, const uint8_t *bytes)
{
    struct prng *luck = fate_of(inode);
    uint64_t unit = prng_below(luck, 2) == 0 ? SIM_SECTOR_BYTES : SIM_BLOCK;
    bool has_garbage = inode->device->faults.has_garbage && prng_below(luck, 2) == 0;

    if (prng_below(luck, 2) == 0)
        tear_behind(inode, op, bytes, unit, has_garbage);
    else
        tear_apart(inode, op, bytes, unit, has_garbage);
    inode->device->disk->counts.torn++;
}

enum op_fate { FATE_KEEP, FATE_DROP, FATE_TEAR };

static enum op_fate draw_fate(struct inode *inode, const struct data_op *op, enum sim_fate fate,
                              uint64_t up_to)
{
    struct prng *luck = fate_of(inode);

    if (op->state == OP_DURABLE) return FATE_KEEP;
    if (op->state == OP_LOST) return FATE_DROP;
    switch (fate) {
    case SIM_FATE_KEPT:
        return FATE_KEEP;
    case SIM_FATE_DROPPED:
        return FATE_DROP;
    case SIM_FATE_ORDERED:
        if (op->sequence < up_to) return FATE_KEEP;
        /* One that was made of many appends may be cut anywhere. */
        return op->sequence == up_to ? FATE_TEAR : FATE_DROP;
    case SIM_FATE_MIXED:
    case SIM_FATE_DRAWN:
    case SIM_FATES:
        break;
    }
    uint64_t draw = prng_below(luck, 8);
    return draw < 3 ? FATE_KEEP : draw < 5 ? FATE_DROP : FATE_TEAR;
}

static void meet(struct inode *inode, const struct data_op *op, const uint8_t *bytes,
                 enum op_fate fate)
{
    struct sim_disk_counts *counts = &inode->device->disk->counts;

    if (fate == FATE_DROP) {
        counts->dropped++;
        return;
    }
    if (op->kind == OP_RESIZE) {
        image_resize(inode, op->size_after);
        counts->kept++;
    } else if (fate == FATE_TEAR) {
        tear(inode, op, bytes);
    } else {
        image_write(inode, op->position, bytes, (size_t)op->len);
        counts->kept++;
    }
}

void data_power_loss(struct inode *inode, enum sim_fate fate, uint64_t up_to)
{
    bool is_cut = false; /* a truncation was dropped: what was written after it is too */

    inode->is_cold = true;
    if (inode->op_count == 0) return;
    uint8_t **redo = ensure_zalloc((size_t)inode->op_count * sizeof(redo[0]));
    go_back(inode, redo);
    for (int i = 0; i < inode->op_count; i++) {
        const struct data_op *op = &inode->ops[i];
        enum op_fate drawn = draw_fate(inode, op, fate, up_to);
        if (is_cut && op->state != OP_DURABLE) drawn = FATE_DROP;
        if (op->kind == OP_RESIZE && drawn == FATE_DROP) is_cut = true;
        meet(inode, op, redo[i], drawn);
        free(redo[i]);
    }
    free(redo);
    forget_ops(inode, inode->op_count);
    if (inode->allocated > inode->size) inode->allocated = inode->size;
}

void data_drop_lost(struct inode *inode)
{
    if (inode->op_count == 0) return;
    uint8_t **redo = ensure_zalloc((size_t)inode->op_count * sizeof(redo[0]));
    struct data_op *ops = inode->ops;
    int count = inode->op_count;

    go_back(inode, redo);
    inode->ops = NULL;
    inode->op_count = inode->op_capacity = 0;
    list_remove(&inode->dirty);
    for (int i = 0; i < count; i++) {
        const struct data_op *op = &ops[i];
        if (op->state == OP_PENDING && op->kind == OP_RESIZE)
            data_resize(inode, op->size_after);
        else if (op->state == OP_PENDING)
            data_write(inode, op->position, redo[i], (size_t)op->len);
        else
            meet(inode, op, redo[i], op->state == OP_LOST ? FATE_DROP : FATE_KEEP);
        free(redo[i]);
        free(op->undo);
    }
    free(redo);
    free(ops);
}

void data_lose(struct inode *inode, uint64_t up_to)
{
    struct prng *luck = fate_of(inode);
    bool has_lost = false;

    for (int i = 0; i < inode->op_count && inode->ops[i].sequence <= up_to; i++) {
        struct data_op *op = &inode->ops[i];
        if (op->state != OP_PENDING) continue;
        bool is_lost = op->kind == OP_WRITE && prng_below(luck, 4) > 0;
        op->state = is_lost ? OP_LOST : OP_DURABLE;
        has_lost |= is_lost;
    }
    /* Some file systems show the loss at once, others when the page is read anew. */
    if (has_lost && prng_below(luck, 2) == 0) data_drop_lost(inode);
    data_sync(inode, 0);
}
