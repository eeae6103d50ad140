/* broker/replica/fetchers.h - this shard's followers: one connection to each leader broker, one
 * Fetch for all partitions that this shard follows there; or several, each for its share of them,
 * where num.replica.fetchers wants more connections than there are shards.
 *
 * The partitions' machines (fetcher.h) say what they want; a link gathers that into one request at
 * a time: OffsetForLeaderEpoch, ListOffsets, or an incremental Fetch (KIP-227). What a Fetch brings
 * is written from the buffer that it came in. Versions follow inter.broker.protocol.version,
 * without negotiation, as Kafka's own followers do. */
#pragma once
#include "broker/replica/partitions.h"
#include "client/peer.h"

struct fetchers;

struct fetchers_ops {
    /* Where the broker can be reached by other brokers; false: not known now. */
    bool (*address)(void *owner, int32_t broker, struct net_address *out);
    /* This broker's own epoch, −1 before it is registered. */
    int64_t (*broker_epoch)(void *owner);
};

struct fetchers_options {
    struct shard *shard;
    struct partitions *partitions;
    int32_t broker_id;
    int shards;                       /* data shards of this broker */
    struct replica_settings settings; /* copied */
    const struct fetchers_ops *ops;
    void *owner;
};
struct fetchers *fetchers_create(const struct fetchers_options *options);
/* With another number of connections what is followed is spread over them anew. */
void fetchers_set_settings(struct fetchers *fetchers, const struct replica_settings *settings);

/* Which of its shard's `links` to a leader a partition is fetched over. Pure. Where shards ×
 * links connections follow consecutive partitions of a topic, each has as many of them. */
int fetchers_link_of(struct slice topic, int32_t partition, int shards, int links);
/* Connections of one shard to one leader, for num.replica.fetchers of all of them; pure. */
int fetchers_links(int32_t fetchers, int shards);

/* For partitions_ops.follow: fetch from `leader` at this epoch; −1: no more. Touches no partition
 * now. */
void fetchers_follow(struct fetchers *fetchers, struct slice topic, int32_t partition,
                     int32_t leader, int32_t leader_epoch);

/* For partitions_ops.flushed: it may be asked for again. */
void fetchers_flushed(struct fetchers *fetchers, struct slice topic, int32_t partition);

/* Addresses may have changed, or become known. */
void fetchers_image_changed(struct fetchers *fetchers);

/* The connection to that leader broke less than a second ago and did not come again: it has
 * probably gone, and the controller is about to say who leads now. A client that asks for metadata
 * at that moment had better ask again soon than wait for one who is no more. */
bool fetchers_has_lost(const struct fetchers *fetchers, int32_t broker);
/* Until when it counts as lost; INSTANT_ZERO: it does not. */
struct instant fetchers_lost_until(const struct fetchers *fetchers, int32_t broker);
/* Any at all. */
bool fetchers_has_lost_any(const struct fetchers *fetchers);

/* Ends all connections; `closed` (perhaps inside the call), then fetchers_destroy. Nothing is
 * followed afterwards. */
void fetchers_close(struct fetchers *fetchers, void (*closed)(void *to), void *to);
void fetchers_destroy(struct fetchers **fetchers); /* sets to NULL; NULL is fine */

struct fetchers_counts {
    struct gauge links, partitions, failed;
    struct counter requests, request_errors;
    struct counter hurries; /* waiting Fetches ended for what was newly followed */
};
struct fetchers_counts *fetchers_counts(struct fetchers *fetchers);
