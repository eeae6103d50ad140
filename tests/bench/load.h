/* tests/bench/load.h - a light load generator for any broker that speaks Kafka's protocol.
 *
 * One thread, epoll, plain sockets. Requests are encoded once and patched, records are checksummed
 * once: what is measured is the broker. Latency is taken from the instant at which a request was
 * due, not from when it could be sent, so that a stalled broker is charged for the requests that it
 * kept waiting (no coordinated omission). */
#pragma once
#include "base/buf.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

struct load_target {
    char host[64];
    uint16_t port;
    const char *topic;
    int partitions;
};

struct load_options {
    int connections;
    int pipeline;         /* produce requests in flight per connection */
    int batch_bytes;      /* record bytes per batch, about */
    int record_bytes;     /* value bytes of a record */
    int acks;             /* −1, 0 or 1 */
    uint64_t total_bytes; /* stop after this many record-batch bytes; 0: see seconds */
    double seconds;       /* of an open-loop run */
    double rate;          /* requests a second of an open-loop run, over all connections */
    int fetch_max_bytes;  /* per partition and fetch */
};

struct load_result {
    double seconds;
    uint64_t requests;
    uint64_t bytes; /* of record batches */
    uint64_t records;
    uint64_t errors;   /* partitions answered with an error */
    double *latencies; /* open loop: seconds each, sorted; load_result_fini frees */
    size_t latency_count;
};
void load_result_fini(struct load_result *result);

/* For loads of other kinds. They end the program, with a message, when the broker goes away, but
 * load_try_connect, which gives −1. */
struct wire_struct;
int load_connect(const struct load_target *target);
int load_try_connect(const struct load_target *target);
/* A whole frame: length, header (of a version that is not flexible), body. */
void load_add_request(struct buf *out, int api, int version, int32_t correlation,
                      const struct wire_struct *type, const void *body);
void load_send_all(int fd, struct slice bytes);
/* One answer, without frame and header (of a version that is not flexible). Waits. */
void load_receive(int fd, struct buf *answer);
/* Record `number` of a batch: `key_bytes` (−1: no key) of '0', `record_bytes` of text. Gives where
 * the key begins in `out`. */
size_t load_add_record(struct buf *out, int number, int key_bytes, int record_bytes);
/* The latency below which `share` (0 … 1) of the requests stayed, in seconds. */
double load_percentile(const struct load_result *result, double share);

/* Of every partition, the first one leads. */
struct load_replicas {
    int32_t ids[8];
    int count;
};
/* Creates the topic (`replicas` NULL: one replica somewhere) and waits until each partition has a
 * leader; ends the program with a message if that fails. */
void load_create_topic(const struct load_target *target, const char *topic, int partitions,
                       const struct load_replicas *replicas);

/* As fast as it goes: every connection keeps `pipeline` requests in flight. */
void load_produce(const struct load_target *target, const struct load_options *options,
                  struct load_result *result);
/* One request each 1/rate s, whatever the answers do. */
void load_produce_at_rate(const struct load_target *target, const struct load_options *options,
                          struct load_result *result);
/* Every connection reads its share of the partitions from the beginning, until `total_bytes`. */
void load_fetch(const struct load_target *target, const struct load_options *options,
                struct load_result *result);
/* Opens `count` connections that say nothing; `*fds` is the caller's (load_idle_end). */
int *load_idle_begin(const struct load_target *target, int count);
void load_idle_end(int *fds, int count);
