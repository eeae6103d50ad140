/* tests/sim/heap.c - see heap.h. Small blocks are cut from chunks of their heap and are used again
 * by it, size by size: allocation costs little, and the end of a process gives its chunks to the
 * next one. Large ones, and all where a sanitizer is to see their ends, come from malloc. */
#include "tests/sim/heap.h"
#include "base/fenced.h"
#include "base/list.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT    16
#define REGION_BYTES ((size_t)32 << 20) /* address space that chunks are made from */
#define CHUNK_BYTES  ((size_t)256 << 10)
#define SMALL_MAX    (MEMORY_FENCED ? 0 : 65536)
#define CLASSES      44
#define CLASS_LARGE  0xff

#define MAGIC        0x771a
#define FILL         0xa5
#define FILL_MAX     512 /* enough for structs; large buffers would cost too much */

/* Stands before each block; its size keeps the alignment of malloc. */
struct block {
    struct sim_heap *heap; /* NULL: of none */
    uint32_t size;
    uint16_t magic; /* 0: it is free */
    uint8_t class;
    uint8_t spare;
};

/* Stands before that of a large one. */
struct large {
    struct list_node node; /* of its heap */
    size_t before;         /* bytes that were left free in front, for alignment */
    size_t spare;
};

/* Blocks from its beginning up to `used`, one behind the other. */
struct chunk {
    struct chunk *next;
    size_t used;
    _Alignas(ALIGNMENT) char bytes[];
};

struct free_block {
    struct free_block *next;
};

struct sim_heap {
    struct chunk *chunks; /* the first is being cut */
    struct free_block *free[CLASSES];
    struct list large;
    size_t bytes;
    const char *name;
};

_Static_assert(sizeof(struct block) == ALIGNMENT, "blocks stay aligned");
_Static_assert(sizeof(struct large) % ALIGNMENT == 0, "blocks stay aligned");

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *ptr);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *ptr);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

static struct sim_heap *in_force, *of_world;
static struct chunk *spare_chunks; /* of heaps that are no more */
static char *region;               /* what is left of it, for new ones */
static size_t region_left;

/* ---- heaps ---- */

struct sim_heap *sim_heap_create(const char *name)
{
    struct sim_heap *heap = __real_calloc(1, sizeof(*heap));

    if (heap == NULL) abort();
    list_init(&heap->large);
    heap->name = name;
    return heap;
}

static struct block *block_of_large(struct large *large)
{
    return (struct block *)(large + 1);
}

static struct large *large_of(struct block *block)
{
    return (struct large *)(void *)block - 1;
}

static void free_large(struct large *large)
{
    __real_free((char *)large - large->before);
}

void sim_heap_destroy(struct sim_heap **it)
{
    struct sim_heap *heap = *it;

    if (heap == NULL) return;
    if (in_force == heap) in_force = NULL;
    for (struct list_node *node; (node = list_pop(&heap->large)) != NULL;)
        free_large(list_entry(node, struct large, node));
    while (heap->chunks != NULL) {
        struct chunk *chunk = heap->chunks;
        heap->chunks = chunk->next;
        chunk->next = spare_chunks;
        spare_chunks = chunk;
    }
    __real_free(heap);
    *it = NULL;
}

size_t sim_heap_bytes(const struct sim_heap *heap)
{
    return heap->bytes;
}

#ifdef __SANITIZE_ADDRESS__
void __asan_describe_address(void *addr);
#endif

static void describe(struct block *block)
{
    fprintf(stderr, "%u bytes\n", (unsigned)block->size);
#ifdef __SANITIZE_ADDRESS__
    __asan_describe_address(block);
#endif
}

static size_t class_bytes(int class);

void sim_heap_describe(const struct sim_heap *heap)
{
    list_each (node, &heap->large)
        describe(block_of_large(list_entry(node, struct large, node)));
    for (struct chunk *chunk = heap->chunks; chunk != NULL; chunk = chunk->next) {
        for (size_t at = 0; at < chunk->used;) {
            struct block *block = (struct block *)(void *)(chunk->bytes + at);
            if (block->magic == MAGIC) describe(block);
            at += sizeof(*block) + class_bytes(block->class);
        }
    }
}

struct sim_heap *sim_heap_use(struct sim_heap *heap)
{
    struct sim_heap *was = in_force;

    in_force = heap;
    return was;
}

void sim_heap_set_world(struct sim_heap *heap)
{
    of_world = heap;
}

struct sim_heap *sim_heap_use_world(void)
{
    return sim_heap_use(of_world);
}

/* ---- small blocks: sixteen bytes more from class to class up to 128, then four classes for each
 * doubling ---- */

static int class_of(size_t size)
{
    if (size <= 128) return size == 0 ? 0 : (int)((size - 1) / ALIGNMENT);
    int log = 63 - __builtin_clzll(size - 1); /* 7 for 129 … 256 */
    return 8 + (log - 7) * 4 + (int)((size - 1) >> (log - 2) & 3);
}

static size_t class_bytes(int class)
{
    if (class < 8) return (size_t)(class + 1) * ALIGNMENT;
    return (size_t)(5 + (class & 3)) << ((class - 8) / 4 + 5);
}

/* On huge pages where there are any: a run goes to and fro between a few megabytes. */
static struct chunk *make_chunk(void)
{
    if (region_left < CHUNK_BYTES) {
        region =
            mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (region == MAP_FAILED) abort();
        (void)madvise(region, REGION_BYTES, MADV_HUGEPAGE);
        region_left = REGION_BYTES;
    }
    struct chunk *chunk = (struct chunk *)(void *)region;
    region += CHUNK_BYTES;
    region_left -= CHUNK_BYTES;
    return chunk;
}

static struct chunk *add_chunk(struct sim_heap *heap)
{
    struct chunk *chunk = spare_chunks;

    if (chunk != NULL)
        spare_chunks = chunk->next;
    else
        chunk = make_chunk();
    chunk->used = 0;
    chunk->next = heap->chunks;
    heap->chunks = chunk;
    return chunk;
}

static struct block *take_small(struct sim_heap *heap, size_t size)
{
    int class = class_of(size);
    struct free_block *free = heap->free[class];

    if (free != NULL) {
        heap->free[class] = free->next;
        return (struct block *)(void *)free - 1;
    }
    size_t whole = sizeof(struct block) + class_bytes(class);
    struct chunk *chunk = heap->chunks;
    if (chunk == NULL || chunk->used + whole > CHUNK_BYTES - sizeof(*chunk))
        chunk = add_chunk(heap);
    struct block *block = (struct block *)(void *)(chunk->bytes + chunk->used);
    chunk->used += whole;
    block->class = (uint8_t) class;
    return block;
}

static struct block *take_large(struct sim_heap *heap, size_t size, size_t alignment)
{
    size_t head = sizeof(struct large) + sizeof(struct block);
    size_t before = (alignment - head % alignment) % alignment;
    size_t whole = (before + head + size + alignment - 1) / alignment * alignment;

    if (size > UINT32_MAX) return NULL;
    char *raw = alignment > ALIGNMENT ? __real_aligned_alloc(alignment, whole)
                                      : __real_malloc(before + head + size);
    if (raw == NULL) return NULL;
    struct large *large = (struct large *)(void *)(raw + before);
    *large = (struct large){.before = before};
    if (heap != NULL) list_push(&heap->large, &large->node);
    struct block *block = block_of_large(large);
    block->class = CLASS_LARGE;
    return block;
}

static void *take(struct sim_heap *heap, size_t size, size_t alignment)
{
    struct block *block = heap != NULL && size <= SMALL_MAX && alignment <= ALIGNMENT
                              ? take_small(heap, size)
                              : take_large(heap, size, alignment);

    if (block == NULL) return NULL;
    block->heap = heap;
    block->size = (uint32_t)size;
    block->magic = MAGIC;
    if (heap != NULL) heap->bytes += size;
    return block + 1;
}

static struct block *block_of(void *ptr)
{
    struct block *block = (struct block *)ptr - 1;

    if (block->magic != MAGIC) {
        fprintf(stderr, "sim: memory is freed that was not allocated, or twice\n");
        abort();
    }
    return block;
}

static void give(struct block *block)
{
    struct sim_heap *heap = block->heap;

    if (heap != NULL) heap->bytes -= block->size;
    block->magic = 0;
    if (block->class == CLASS_LARGE) {
        struct large *large = large_of(block);
        list_remove(&large->node);
        free_large(large);
        return;
    }
    struct free_block *free = (struct free_block *)(void *)(block + 1);
    free->next = heap->free[block->class];
    heap->free[block->class] = free;
}

/* ---- instead of the library's ---- */

static void *fill(void *ptr, size_t size)
{
    return ptr == NULL ? NULL : memset(ptr, FILL, size < FILL_MAX ? size : FILL_MAX);
}

void *__wrap_malloc(size_t size)
{
    return fill(take(in_force, size, ALIGNMENT), size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / 2 / size) {
        errno = ENOMEM;
        return NULL;
    }
    void *ptr = take(in_force, count * size, ALIGNMENT);
    return ptr == NULL ? NULL : memset(ptr, 0, count * size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return take(in_force, size, alignment);
}

/* It stays in the heap it was in. */
void *__wrap_realloc(void *ptr, size_t size)
{
    if (ptr == NULL) return __wrap_malloc(size);
    struct block *block = block_of(ptr);
    struct sim_heap *heap = block->heap;

    if (block->class != CLASS_LARGE && size <= class_bytes(block->class)) {
        heap->bytes = heap->bytes - block->size + size;
        block->size = (uint32_t)size;
        return ptr;
    }
    void *moved = take(heap, size, ALIGNMENT);
    if (moved == NULL) return NULL;
    memcpy(moved, ptr, block->size < size ? block->size : size);
    give(block);
    return moved;
}

void __wrap_free(void *ptr)
{
    if (ptr != NULL) give(block_of(ptr));
}

char *__wrap_strndup(const char *text, size_t len)
{
    len = strnlen(text, len);
    char *copy = __wrap_malloc(len + 1);

    if (copy == NULL) return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}
