#include "tests/sim/heap.h"
#include "base/list.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stands before each block; its size keeps the alignment of malloc. */
struct block {
    struct list_node node; /* in its heap; on none without a heap */
    struct sim_heap *heap;
    uint32_t before; /* bytes that were left free in front, for alignment */
    uint32_t magic;
    size_t size;
    size_t spare;
};

#define MAGIC     0x0771a51du
#define FILL      0xa5
#define FILL_MAX  512 /* enough for structs; large buffers would cost too much */
#define ALIGNMENT 16

_Static_assert(sizeof(struct block) % ALIGNMENT == 0, "blocks stay aligned");

struct sim_heap {
    struct list blocks;
    size_t bytes;
    const char *name;
};

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
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

struct sim_heap *sim_heap_create(const char *name)
{
    struct sim_heap *heap = __real_calloc(1, sizeof(*heap));

    if (heap == NULL) abort();
    list_init(&heap->blocks);
    heap->name = name;
    return heap;
}

void sim_heap_destroy(struct sim_heap **heap)
{
    if (*heap == NULL) return;
    if (in_force == *heap) in_force = NULL;
    for (struct list_node *node; (node = list_pop(&(*heap)->blocks)) != NULL;) {
        struct block *block = list_entry(node, struct block, node);
        __real_free((char *)block - block->before);
    }
    __real_free(*heap);
    *heap = NULL;
}

size_t sim_heap_bytes(const struct sim_heap *heap)
{
    return heap->bytes;
}

#ifdef __SANITIZE_ADDRESS__
void __asan_describe_address(void *addr);
#endif

void sim_heap_describe(const struct sim_heap *heap)
{
    list_each (node, &heap->blocks) {
        struct block *block = list_entry(node, struct block, node);
        fprintf(stderr, "%zu bytes\n", block->size);
#ifdef __SANITIZE_ADDRESS__
        __asan_describe_address(block);
#endif
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

static void *begin(void *raw, size_t before, size_t size)
{
    struct block *block = (struct block *)(void *)((char *)raw + before);

    if (raw == NULL) return NULL;
    *block =
        (struct block){.heap = in_force, .before = (uint32_t)before, .magic = MAGIC, .size = size};
    if (in_force != NULL) {
        list_push(&in_force->blocks, &block->node);
        in_force->bytes += size;
    }
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

static void leave(struct block *block)
{
    list_remove(&block->node);
    if (block->heap != NULL) block->heap->bytes -= block->size;
    block->magic = 0;
}

void *__wrap_malloc(size_t size)
{
    void *ptr = begin(__real_malloc(sizeof(struct block) + size), 0, size);

    if (ptr != NULL) memset(ptr, FILL, size < FILL_MAX ? size : FILL_MAX);
    return ptr;
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / 2 / size) {
        errno = ENOMEM;
        return NULL;
    }
    return begin(__real_calloc(1, sizeof(struct block) + count * size), 0, count * size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    size_t before = (alignment - sizeof(struct block) % alignment) % alignment;
    size_t whole = before + sizeof(struct block) + size;

    whole += (alignment - whole % alignment) % alignment;
    return begin(__real_aligned_alloc(alignment, whole), before, size);
}

/* It stays in the heap it was in. */
void *__wrap_realloc(void *ptr, size_t size)
{
    if (ptr == NULL) return __wrap_malloc(size);
    struct block *block = block_of(ptr);
    struct sim_heap *heap = block->heap, *was = in_force;

    if (block->before != 0) abort();
    leave(block);
    void *raw = __real_realloc(block, sizeof(struct block) + size);
    in_force = heap;
    ptr = begin(raw, 0, size);
    in_force = was;
    return ptr;
}

void __wrap_free(void *ptr)
{
    if (ptr == NULL) return;
    struct block *block = block_of(ptr);
    leave(block);
    __real_free((char *)block - block->before);
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
