#include "broker/api/connections.h"
#include "base/ensure.h"
#include "base/text.h"
#include "cluster/options.h"
#include <stdlib.h>

/* "host:count,host:count"; a bad item has been refused by options_check. */
static void read_overrides(struct connections *connections, const char *text)
{
    struct slice left = slice_text(text), item;
    bool more = text != NULL && text[0] != '\0';

    while (more) {
        more = slice_cut(&left, ',', &item);
        if (!more) item = left;
        item = text_trim(item);
        size_t colon = item.len;
        while (colon > 0 && item.ptr[colon - 1] != ':')
            colon--;
        int64_t count;
        if (colon < 2 ||
            text_int(slice_of(item.ptr + colon, item.len - colon), 0, INT32_MAX, &count) != ERR_OK)
            continue;
        int64_t *value = ensure_malloc(sizeof(*value));
        *value = count;
        free(map_set(&connections->overrides, slice_of(item.ptr, colon - 1), value));
    }
}

void connections_init(struct connections *connections, const struct options *options,
                      const struct listeners *listeners)
{
    *connections = (struct connections){0};
    connections->max = options_int(options, OPTION_MAX_CONNECTIONS);
    for (int i = 0; i < listeners->count; i++) {
        struct connections_listener *listener = &connections->listeners[i];
        listener->max = INT64_MAX;
        int64_t own = options_listener_long(options, listeners->at[i].name, OPTION_MAX_CONNECTIONS);
        if (own != connections->max) listener->max = own;
        listener->is_exempt = i == listeners->inter_broker && listeners->count > 1;
    }
    map_init(&connections->overrides);
    map_init(&connections->addresses);
    connections->per_address_max = options_int(options, OPTION_MAX_CONNECTIONS_PER_IP);
    read_overrides(connections, options_text(options, OPTION_MAX_CONNECTIONS_PER_IP_OVERRIDES));
    connections->counts_addresses =
        connections->per_address_max < INT32_MAX || connections->overrides.count > 0;
}

void connections_fini(struct connections *connections)
{
    map_each (entry, &connections->overrides)
        free(entry->value);
    map_each (entry, &connections->addresses)
        free(entry->value);
    map_fini(&connections->overrides);
    map_fini(&connections->addresses);
}

void connections_set_max(struct connections *connections, const struct options *options)
{
    atomic_store(&connections->max, options_int(options, OPTION_MAX_CONNECTIONS));
}

static bool enter(_Atomic int64_t *count, int64_t max)
{
    if (atomic_fetch_add(count, 1) < max) return true;
    atomic_fetch_sub(count, 1);
    return false;
}

bool connections_enter(struct connections *connections, int listener)
{
    struct connections_listener *own = &connections->listeners[listener];

    if (!enter(&own->count, own->max)) return false;
    if (enter(&connections->total, own->is_exempt ? INT64_MAX : connections->max)) return true;
    atomic_fetch_sub(&own->count, 1);
    return false;
}

void connections_leave(struct connections *connections, int listener)
{
    atomic_fetch_sub(&connections->listeners[listener].count, 1);
    atomic_fetch_sub(&connections->total, 1);
}

bool connections_address_enter(struct connections *connections, struct slice address)
{
    const int64_t *own = map_get(&connections->overrides, address);
    int64_t max = own == NULL ? connections->per_address_max : *own;
    int64_t *count = map_get(&connections->addresses, address);

    if ((count == NULL ? 0 : *count) >= max) return false;
    if (count == NULL) {
        count = ensure_zalloc(sizeof(*count));
        map_set(&connections->addresses, address, count);
    }
    *count += 1;
    return true;
}

void connections_address_leave(struct connections *connections, struct slice address)
{
    int64_t *count = map_get(&connections->addresses, address);

    ensure(count != NULL && *count > 0);
    *count -= 1;
    if (*count == 0) free(map_remove(&connections->addresses, address));
}
