/* tests/sim/heap.h - who owns which memory: the world, or one of the processes in it.
 *
 * The simulator's programs are linked with --wrap for malloc and its relatives (SIM_LDFLAGS in
 * local.mk): each block belongs to the heap that is in force when it is allocated, whoever frees
 * it. So a process can be killed at any call: its heap is dropped as a whole, as a kernel does it,
 * and what is left over is found as a leak of the world. Fresh memory that nobody has set is filled
 * with a pattern, the same in every run. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct sim_heap;

struct sim_heap *sim_heap_create(const char *name);
/* Frees all that it holds. */
void sim_heap_destroy(struct sim_heap **heap);
size_t sim_heap_bytes(const struct sim_heap *heap); /* live */

/* Its blocks to stderr; with AddressSanitizer where each was allocated. */
void sim_heap_describe(const struct sim_heap *heap);

/* From now on allocations are from this one; NULL: from none (never dropped). Gives the one before.
 */
struct sim_heap *sim_heap_use(struct sim_heap *heap);
/* The same, of the heap that was said to be the world's. */
void sim_heap_set_world(struct sim_heap *heap);
struct sim_heap *sim_heap_use_world(void);
