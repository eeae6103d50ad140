/* broker/api/connections.h - how many connections there may be: max.connections, the same per
 * listener, and max.connections.per.ip with its overrides.
 *
 * The broker-wide numbers are atomic and shared by the shards. Over max.connections a connection is
 * held unread until another one ends (Kafka's acceptor waits likewise); over the number of its
 * address it is closed. Addresses are counted by the control shard, and only when there is a limit:
 * then a connection is not read before the control shard has agreed. */
#pragma once
#include "base/map.h"
#include "cluster/listeners.h"
#include <stdatomic.h>

struct connections {
    _Atomic int64_t total;
    _Atomic int64_t max; /* changes at run time */
    struct connections_listener {
        _Atomic int64_t count;
        int64_t max;
        bool is_exempt; /* the inter-broker listener ignores the broker-wide limit if it is not
                           alone */
    } listeners[LISTENERS_MAX];

    bool counts_addresses;
    int64_t per_address_max;
    struct map overrides; /* address → int64_t * */
    struct map addresses; /* control shard only: address → int64_t * */
};

void connections_init(struct connections *connections, const struct options *options,
                      const struct listeners *listeners);
void connections_fini(struct connections *connections);

/* max.connections is another one now. Who waits is looked at again soon; nobody is sent away. */
void connections_set_max(struct connections *connections, const struct options *options);

/* Counts one more on the listener, if there is room. */
bool connections_enter(struct connections *connections, int listener);
void connections_leave(struct connections *connections, int listener);

/* On the control shard. False, and nothing changes, when the address has as many as it may. */
bool connections_address_enter(struct connections *connections, struct slice address);
void connections_address_leave(struct connections *connections, struct slice address);
