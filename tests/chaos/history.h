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
        int64_t *numbers;   /* of offsets first … end */
        int64_t first, end; /* what was kept */
        int64_t capacity;
    } * parts;
};

struct reader_options {
    const char *bootstrap;
    const char *topic;
    int partitions;
    int value_bytes;
    const int64_t *from; /* the first offset of each partition; NULL: 0 */
    int64_t keep;        /* at least so many of the last records of a partition; 0: all */
    /* Called for each record, on the reader's thread, by offset; gives what is wrong with it, or
     * NULL. May be NULL. */
    const char *(*see)(void *of, int partition, int64_t offset, int64_t number);
    void *see_of;
};

/* Reads along on a thread of its own, or once to the end. Offsets must be dense and values be what
 * tests/cluster/client.h or plain.h made of their number; the first that is not is printed, and
 * reading ends. Keeps nothing of the options but what their pointers point to: `see_of`. */
struct reader;
struct reader *reader_start(const struct reader_options *options);
/* How many records it has read; false in `good` when something was wrong with them. */
int64_t reader_count(struct reader *reader, bool *good);
void reader_stop(struct reader *reader);
const struct history *reader_history(const struct reader *reader);
void reader_destroy(struct reader **reader);

/* A reader that has been started and goes on until the end of each partition is reached, or
 * `seconds` have passed: false then, or when something was wrong. */
bool reader_to_end(struct reader *reader, double seconds);

/* Everything of `some` is in `all`, at the same offsets, as far back as both go. Prints the first
 * difference. */
bool history_is_within(const struct history *some, const struct history *all, const char *topic);
