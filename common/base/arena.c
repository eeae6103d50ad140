#include "base/arena.h"
#include "base/ensure.h"
#include "base/fenced.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_SIZE_MIN 4096
#define BLOCK_KEEP_MAX (64 * 1024)
#define ALIGNMENT      16

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(ALIGNMENT) uint8_t data[];
};

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

static void drop_blocks(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_fini(struct arena *arena)
{
    drop_blocks(arena->blocks);
    arena->blocks = NULL;
    arena->used = 0;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *keep = arena->blocks;

#if MEMORY_FENCED
    keep = NULL; /* a fresh malloc per request makes use after reset visible */
    drop_blocks(arena->blocks);
#else
    if (keep != NULL && keep->size <= BLOCK_KEEP_MAX) {
        drop_blocks(keep->next);
        keep->next = NULL;
        keep->used = 0;
    } else {
        drop_blocks(keep);
        keep = NULL;
    }
#endif
    arena->blocks = keep;
    arena->used = 0;
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    size_t want = arena->blocks == NULL ? BLOCK_SIZE_MIN : arena->blocks->size * 2;

    if (want > BLOCK_KEEP_MAX) want = BLOCK_KEEP_MAX;
    if (want < size) want = size;
#if MEMORY_FENCED
    want = size; /* one allocation each: its ends are red zones */
#endif
    struct arena_block *block = ensure_malloc(sizeof(*block) + want);
    block->next = arena->blocks;
    block->size = want;
    block->used = 0;
    arena->blocks = block;
    return block;
}

void *arena_try(struct arena *arena, size_t size)
{
    size_t take = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);

    if (take < size || take > arena->limit - arena->used) return NULL;
#if MEMORY_FENCED
    struct arena_block *block = add_block(arena, size);
    arena->used += take;
    block->used = block->size;
    return block->data;
#else
    struct arena_block *block = arena->blocks;
    if (block == NULL || take > block->size - block->used) block = add_block(arena, take);
    void *at = block->data + block->used;
    block->used += take;
    arena->used += take;
    return at;
#endif
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *at = arena_try(arena, size);

    ensure(at != NULL);
    memset(at, 0, size);
    return at;
}

struct slice arena_copy(struct arena *arena, struct slice from)
{
    if (slice_is_null(from)) return SLICE_NULL;
    return slice_of(arena_text(arena, from), from.len);
}

char *arena_text(struct arena *arena, struct slice from)
{
    char *copy = arena_zalloc(arena, from.len + 1);

    if (from.len > 0) memcpy(copy, from.ptr, from.len);
    return copy;
}

struct slice arena_printf(struct arena *arena, const char *format, ...)
{
    char short_one[128];
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(short_one, sizeof(short_one), format, args);
    va_end(args);
    ensure(len >= 0);
    char *text = arena_zalloc(arena, (size_t)len + 1);
    if ((size_t)len < sizeof(short_one))
        memcpy(text, short_one, (size_t)len);
    else
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return slice_of(text, (size_t)len);
}
