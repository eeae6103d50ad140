/* tools/get_offsets.h - `ottla get-offsets`: where partitions begin, end, or have a time. */
#pragma once
#include "base/arena.h"
#include "tools/args.h"
#include "tools/by_leader.h"

extern const struct args_command get_offsets_command;
int get_offsets_main(int argc, char **argv);

/* "latest", "earliest", "max-timestamp", "earliest-local", "latest-tiered" or a number (−1 … −5 are
 * the same five, others a time in ms). ERR_INVALID with a message. */
MUST_CHECK enum err get_offsets_time(const char *text, int64_t *out, struct buf *message);

/* Which partitions are meant. */
struct offsets_wanted;
/* One of `rules` (--topic-partitions: "TOPIC:PARTITIONS,…", each side may be left out; partitions
 * are N, N-M with M not among them, N- or -M) or `topic` with `partitions` ("0,1,4-"); NULL: not
 * given. Topics are regular expressions for whole names. ERR_INVALID with a message. */
MUST_CHECK enum err offsets_wanted_create(const char *rules, const char *topic,
                                          const char *partitions, struct offsets_wanted **out,
                                          struct buf *message);
void offsets_wanted_destroy(struct offsets_wanted **wanted); /* NULL is fine */
bool offsets_wanted_has(const struct offsets_wanted *wanted, struct slice topic, int32_t partition);

/* "t:0:42" for each that has an offset; `errors` gets a line for each that failed. */
void get_offsets_print(const struct led_part *parts, int count, struct buf *out,
                       struct buf *errors);
