/* broker/api/autocreate.h - topics that come to be because a client asked for them.
 *
 * Kafka's rule: any broker writes the topic's znodes itself, the controller finds them. On the
 * control shard. Sources: zookeeper.md §6, apis.md §8.4. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

struct autocreate;
struct api_shard;
struct zk;

struct autocreate *autocreate_create(struct api_shard *control);
/* Creations under way end without their `done`. Sets to NULL; NULL is fine. */
void autocreate_destroy(struct autocreate **autocreate);
/* The session to write with; NULL: none (any more). */
void autocreate_set_zk(struct autocreate *autocreate, struct zk *zk);
struct zk *autocreate_zk(const struct autocreate *autocreate);

/* Creates `topic` with the broker's defaults. `done` gets the code for the Metadata answer:
 * LEADER_NOT_AVAILABLE when it was created (or exists by now), else what prevents it; never inside
 * the call. */
void autocreate_topic(struct autocreate *autocreate, struct slice topic,
                      void (*done)(void *to, int index, int16_t code), void *to, int index);
