/* base/arena.h - bump memory for one request or one step.
 *
 * Allocations live until arena_reset, never freed piecewise. The limit is what bounds the memory
 * that a decoded request can take, whatever its counts claim. Built with the address sanitizer each
 * allocation is fenced, so that overruns are found. */
#pragma once
#include "base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes given out since the last reset */
    size_t limit;               /* of `used` */
};

/* Holds nothing until the first allocation. */
void arena_init(struct arena *arena, size_t limit);
void arena_fini(struct arena *arena);

/* Forgets all allocations; keeps one block of moderate size, so that the next request is cheap. */
void arena_reset(struct arena *arena);

/* `size` bytes, aligned for anything, not zeroed. NULL when the limit would be passed. */
void *arena_try(struct arena *arena, size_t size);

/* The same, zeroed, for sizes that our own code decides: passing the limit is a bug. */
void *arena_zalloc(struct arena *arena, size_t size);

/* A copy in the arena; null stays null. */
struct slice arena_copy(struct arena *arena, struct slice from);
char *arena_text(struct arena *arena, struct slice from);
/* printf into the arena: the slice is followed by a NUL that it does not count. */
struct slice arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
