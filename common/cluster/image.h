/* cluster/image.h - the cluster as one process last heard of it: an immutable picture.
 *
 * Images follow one another: image_next makes the next from the newest and a change, and shares with
 * it every topic that did not change. Whoever holds an image may read it from any shard. What makes,
 * holds and releases images is the control shard alone: nothing here is atomic. What an image no longer
 * shares with its successor is freed when it and all before it have been released, so that an image
 * that is held forever keeps the past alive.
 *
 * Size: 32 bytes a partition and 4 for each id in its lists (an isr that equals the replicas is
 * free), about 80 a topic and its name.
 * Pure: no I/O, no clock. */
#pragma once
#include "cluster/types.h"

struct image;
struct image_topic;

/* A broker that lives. */
struct image_broker {
    int32_t id;
    int64_t epoch;      /* czxid of its registration, −1 where it is not known */
    struct slice rack;  /* null: it has none */
    const struct endpoint *endpoints;
    int endpoint_count;
};

/* One partition. As a result it borrows from the image, as an input from the caller. */
struct image_partition {
    int32_t partition;
    int32_t leader; /* or LEADER_NONE; as an input LEADER_DURING_DELETE: the partition goes */
    int32_t leader_epoch;
    int32_t partition_epoch;
    int32_t controller_epoch;
    struct broker_ids replicas;
    struct broker_ids isr;
    struct broker_ids offline; /* replicas that cannot serve */
};

/* What is new about a topic. Partitions that are not named stay as they were, unless `is_whole`. A topic
 * whose id is new (both known and different) is another topic: nothing of the old one stays. A topic
 * without partitions left is gone. */
struct image_topic_change {
    struct slice name;
    struct uuid id; /* zero: not known; a known one stays */
    bool is_gone;
    bool is_whole; /* partitions that are not named go */
    const struct image_partition *partitions;
    int partition_count;
};

struct image_change {
    bool is_whole; /* topics that are not named go */
    const struct image_topic_change *topics; /* any order; a name at most once */
    int topic_count;
    bool has_brokers;                        /* else they stay */
    const struct image_broker *brokers;      /* all that live; any order; an id at most once */
    int broker_count;
    bool has_controller;
    int32_t controller_id; /* or BROKER_NONE */
};

/* Knows nothing: no broker, no topic, controller BROKER_NONE. Gives one hold. */
struct image *image_create(void);
/* Gives the image after `newest`, with one hold; `newest` keeps its own holds and has no successor yet.
 * `change` is borrowed. */
struct image *image_next(struct image *newest, const struct image_change *change);
struct image *image_hold(struct image *image);
void image_release(struct image **image); /* sets it to NULL; NULL is fine */

/* 0 for the first, then one more each: which of two is newer. */
uint64_t image_version(const struct image *image);
int32_t image_controller(const struct image *image);

/* Brokers in order of their ids. NULL when there is none such. Borrowed from the image, as all below. */
int image_broker_count(const struct image *image);
const struct image_broker *image_broker_at(const struct image *image, int index);
const struct image_broker *image_broker(const struct image *image, int32_t id);
/* The broker's address at the listener of that name, or NULL. */
const struct endpoint *image_endpoint(const struct image_broker *broker, struct slice listener);

/* Topics in byte order of their names. */
int image_topic_count(const struct image *image);
int64_t image_partition_total(const struct image *image);
const struct image_topic *image_topic_at(const struct image *image, int index);
const struct image_topic *image_topic(const struct image *image, struct slice name);
const struct image_topic *image_topic_by_id(const struct image *image, struct uuid id);
/* A topic that exists and whose name would collide with `name` in "." and "_", or NULL. */
const struct image_topic *image_topic_colliding(const struct image *image, struct slice name);
/* The index of the first topic whose name is not below `name`; the count when there is none. */
int image_topic_from(const struct image *image, struct slice name);

struct slice image_topic_name(const struct image_topic *topic);
struct uuid image_topic_id(const struct image_topic *topic); /* zero: it has none */
/* Partitions in order of their numbers; usually 0 … count − 1, but one may be missing for a while. */
int image_topic_partition_count(const struct image_topic *topic);
struct image_partition image_topic_partition_at(const struct image_topic *topic, int index);
/* False when the topic has no such partition (that is known). */
bool image_topic_partition(const struct image_topic *topic, int32_t partition,
                           struct image_partition *out);
