/* broker/api/topic_configs.h - what each topic's logs are told: /config/topics over the broker's
 * own configuration. On the control shard.
 *
 * Overrides are read at the start, when a log is created, and when /config/changes says so; a
 * change goes to the topic's partitions on their shards. Of a topic whose configuration cannot be
 * read the last known one stays; where none is known, or a value is bad, its logs delete nothing
 * of their own accord, with an error line.
 *
 * A configuration is a topic's, not a name's: what was known of a topic says nothing of a later one
 * of its name. Kafka asks ZooKeeper when it makes a log, and waits for the answer. Here nobody
 * waits, since other topics would wait behind it; but while ZooKeeper cannot be asked about a topic
 * that is new here, its configuration is awaited: its logs delete nothing and its leaders take no
 * records (log_config.is_awaited). Source: zookeeper.md §8, §9, §15. */
#pragma once
#include "broker/api/dispatch.h"
#include "broker/log/config.h"
#include "cluster/options.h"
#include "cluster/throttled.h"

struct store;
struct topic_configs;
struct zk;
struct zk_event;

struct topic_configs *topic_configs_create(struct api_shard *control);
/* Sets to NULL; NULL is fine. */
void topic_configs_destroy(struct topic_configs **configs);

/* A session begins: arms the watch of /config/changes, then reads every topic's configuration;
 * `loaded` (may be NULL) follows once, never inside the call: with an error when they could not be
 * read as a whole, which is tried again while the session lasts. NULL: there is no session any
 * more. */
void topic_configs_set_zk(struct topic_configs *configs, struct zk *zk,
                          void (*loaded)(void *to, enum err err), void *to);
/* Who is told when /config/changes names a broker; null: the default of all. */
void topic_configs_on_broker(struct topic_configs *configs,
                             void (*notified)(void *to, struct slice name), void *to);
/* Of the session: those of /config/changes matter, and that the connection is lost: nobody waits
 * for it. */
void topic_configs_event(struct topic_configs *configs, const struct zk_event *event);

/* Reads the configuration of `topic` again, then calls `done` (never inside the call), also when
 * there is no connection: then what was known before stays. */
void topic_configs_read(struct topic_configs *configs, struct slice topic, void (*done)(void *to),
                        void *to);
/* The same of a topic that this broker has no log of yet, before it makes the first: then what is
 * known under the name does not stay, it is awaited. */
void topic_configs_read_new(struct topic_configs *configs, struct slice topic,
                            void (*done)(void *to), void *to);

/* The topic is no more, and its logs go, or have gone: what was known of it goes too. */
void topic_configs_forget(struct topic_configs *configs, struct slice topic);

/* As last read; the broker's own configuration for a topic without overrides. */
void topic_configs_get(const struct topic_configs *configs, struct slice topic,
                       struct log_config *log, int32_t *min_insync);
/* Which replicas here count for replication quotas; for topic_throttles_fini. */
void topic_configs_throttles(const struct topic_configs *configs, struct slice topic,
                             struct topic_throttles *out);
/* The broker's own configuration is another: tells the partitions of these logs' topics. */
void topic_configs_reapply(struct topic_configs *configs, struct store *store);
/* False: topic_configs_get gives the broker's own configuration. */
bool topic_configs_has_own(const struct topic_configs *configs, struct slice topic);
/* The overrides. Borrowed until the next turn. */
int topic_configs_pairs(const struct topic_configs *configs, struct slice topic,
                        const struct option_pair **pairs);

/* A topic's resolved options as its log takes them. Pure. */
void log_config_from_topic(const struct topic_options *topic, const struct options *options,
                           struct log_config *out);
