/* broker/api/broker_configs.h - what was changed at run time: /config/brokers/<default> and
 * /config/brokers/<id> over server.properties. On the control shard.
 *
 * Read at the start, in each new session, and when /config/changes says so. A stored value that is
 * bad is logged and does not count. The result is a set of options of its own, which replaces the
 * shard's (api_shard.options); data shards are told what concerns them. Source: apis.md §12,
 * zookeeper.md §9. */
#pragma once
#include "broker/api/dispatch.h"

struct broker_configs;
struct zk;

/* `changed` (may be NULL): the shard's options are others than before, which are still readable
 * during the call. */
struct broker_configs *
broker_configs_create(struct api_shard *control,
                      void (*changed)(void *to, const struct options *before), void *to);
void broker_configs_destroy(struct broker_configs **configs); /* sets to NULL; NULL is fine */

/* A session begins, and our id is known: reads both, then `loaded` (may be NULL), never inside the
 * call, unless the session ends before. NULL: there is no session any more. */
void broker_configs_set_zk(struct broker_configs *configs, struct zk *zk,
                           void (*loaded)(void *to, enum err err), void *to);

/* Reads both again, then `done` (may be NULL), never inside the call; also when there is no
 * connection: then what was known before stays. */
void broker_configs_read(struct broker_configs *configs, void (*done)(void *to), void *to);

/* /config/changes names the broker `name`; null: the default of all. */
void broker_configs_notified(struct broker_configs *configs, struct slice name);
