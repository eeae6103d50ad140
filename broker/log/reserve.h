/* broker/log/reserve.h - room kept on a log directory's file system for a day on which it is full.
 *
 * A file of nothing, as long as the reserve. A start after a crash has to write (indexes,
 * checkpoints), and so has an orderly end: where the file system is full then, the file goes, and
 * the directory works in what it leaves; a start for which that is not enough waits for room.
 * While it is away nothing is appended: producers get an error that passes, followers wait, reads
 * and deletes go on. As soon as there is room for it the file is back, and appending goes on. Kafka
 * ignores it: it is no directory. */
#pragma once
#include "base/err.h"
#include "runtime/env.h"
#include <stdbool.h>
#include <stdint.h>

#define RESERVE_NAME ".ottla-reserve"
/* Of a small file system it is this part at most. */
#define RESERVE_SHARE 64

/* What the reserve of the directory is to be, for `bytes` configured; 0: none, also where the file
 * system does not say how large it is. */
uint64_t reserve_size(const struct env *env, const char *directory, uint64_t bytes);

/* At a start: true if the reserve is there, or was made. Else it is not there, and what it held, or
 * what there is, is free for the start. Blocks. */
bool reserve_open(const struct env *env, const char *directory, uint64_t size);
/* Before an end: gives up the reserve if there is less room than it holds. Blocks. */
void reserve_give_up(const struct env *env, const char *directory, uint64_t size);
/* Makes it anew: false while there is no room. Blocks. */
bool reserve_make(const struct env *env, const char *directory, uint64_t size);
