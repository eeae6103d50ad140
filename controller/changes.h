/* controller/changes.h - listens to /config/changes for what concerns elections: a topic, or the
 * brokers' default, for which unclean leader election was enabled.
 *
 * Only what comes after the start is read; what stood before an election reads by itself. */
#pragma once
#include "zk/zk.h"

struct changes;

/* `enabled` tells of a topic, or with the null slice of the default; `is_enabled` false only for
 * the default. Never inside a call of yours. */
struct changes *changes_create(struct zk *zk,
                               void (*enabled)(void *owner, struct slice topic, bool is_enabled),
                               void *owner);
/* Its calls must have ended (zk_close). Sets it to NULL; NULL is fine. */
void changes_destroy(struct changes **changes);

/* Reads the default and begins to listen; `otherwise`: what the configuration file says. */
void changes_start(struct changes *changes, bool otherwise);
void changes_stop(struct changes *changes);
/* The children of /config/changes changed. */
void changes_look(struct changes *changes);
