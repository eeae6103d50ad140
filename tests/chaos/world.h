/* tests/chaos/world.h - the cluster under test, the load on it, and what must hold in the end.
 *
 * Three ZooKeepers, controllers and brokers, each in a network namespace of its own (net.h); each
 * broker's data on a small file system of its own. Three topics with replication factor 3 and
 * min.insync.replicas 2, one per kind of producer: `plain` (plain.h: never sends twice), `once`
 * (librdkafka with retries=0) and `again` (librdkafka with retries); a consumer reads along on
 * each. Order and repetition are judged by `plain` alone: with retries=0 too librdkafka sends anew
 * what a leader that is none any more refused. What goes wrong is printed with the topic, partition
 * and offset in doubt.
 *
 * With rate 0 its records are of 1,000 bytes, else of 100 as all others.
 *
 * With `bounded` the disk is, at any speed and for any time: partitions keep a few segments, and
 * `plain` waits for its consumer before retention could take what that has not read. */
#pragma once
#include "tests/chaos/history.h"
#include "tests/chaos/plain.h"
#include "tests/cluster/client.h"
#include "tests/cluster/cluster.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WORLD_TOPICS 3
/* Of all brokers together, when bounded: beyond it `plain` is held until retention has worked. */
#define WORLD_BYTES_MAX (10LL << 30)

struct world_options {
    int controllers, brokers, partitions;
    double rate;         /* records a second of the plain producer; 0: as many as go */
    double sender_rate;  /* of each of librdkafka's */
    double seconds_most; /* how long the load runs at most: bounds what senders remember */
    int64_t disk_bytes;  /* of a broker's file system; 0: none of its own */
    int session_ms;      /* zookeeper.session.timeout.ms */
    bool bounded;
};

struct world_sender {
    struct sender *sender;
    pthread_t thread;
    double rate;
    bool must_stop; /* by __atomic */
};

struct world {
    struct world_options options;
    struct cluster cluster;
    struct plain *plain;
    struct world_sender once, again;
    struct reader *readers[WORLD_TOPICS];
    struct rd_kafka_s *client; /* for metadata */
    double begun;
    double measured; /* when the folder was looked at last */
    int64_t bytes_most;
    int places; /* addresses given */
    int shift;  /* how far replicas have been moved */
    int turn;   /* which of them is the first */
    bool is_good;
};

/* One line of the timeline: what happens when. */
void world_say(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A failure: remembered, and one line of the timeline. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

void world_start(struct world *world, const struct world_options *options);
/* True when every partition has a leader and all its replicas in sync, within `seconds`. */
bool world_is_whole(struct world *world, double seconds);
/* No process has ended that was not ended by us; no reader has seen something wrong; the disk is
 * bounded. */
void world_watch(struct world *world);
/* The load ends, everything is read again and compared; brokers end; replicas' files are compared,
 * logs searched for what sanitizers say. */
void world_finish(struct world *world);

/* `ottla` with these arguments and --bootstrap-server; its output (256 KiB at most) is in
 * world_text. Gives the exit code. */
extern char world_text[1 << 18];
int world_ottla(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The controller that acts, the ZooKeeper that leads; NULL if there is none. */
struct node *world_active_controller(struct world *world);
struct node *world_zookeeper_leader(struct world *world);
