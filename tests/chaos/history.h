/* tests/chaos/history.h - what a consumer has seen of a topic: per partition the number of the
 * record at each offset.
 *
 * A record that was once seen must never be absent later, nor be another: the history of a consumer
 * that reads along while faults happen is held against one that reads all of it in the end. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct history {
    int partitions;
    struct history_part {
        int64_t *numbers; /* by offset */
        int64_t count, capacity;
    } * parts;
};

/* Reads along on a thread of its own, or once to the end. Offsets must be dense from 0 and values
 * be what tests/cluster/client.h or plain.h made of their number; the first that is not is printed,
 * and reading ends. */
struct reader;
struct reader *reader_start(const char *bootstrap, const char *topic, int partitions,
                            int value_bytes);
/* How many records; false in `good` when something was wrong with them. */
int64_t reader_count(struct reader *reader, bool *good);
void reader_stop(struct reader *reader);
const struct history *reader_history(const struct reader *reader);
void reader_destroy(struct reader **reader);

/* A reader that has been started and goes on until the end of each partition is reached, or
 * `seconds` have passed: false then, or when something was wrong. */
bool reader_to_end(struct reader *reader, double seconds);

/* Everything of `some` is in `all`, at the same offsets. Prints the first difference. */
bool history_is_within(const struct history *some, const struct history *all, const char *topic);
