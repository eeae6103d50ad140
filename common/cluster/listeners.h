/* cluster/listeners.h - where a process listens, and what it tells others: `listeners`,
 * `advertised.listeners` and the keys that go with them (apis.md §2). Pure. */
#pragma once
#include "cluster/options.h"
#include "cluster/types.h"

#define LISTENERS_MAX 16

struct listener_setting {
    struct slice name; /* upper case */
    enum security_protocol protocol;
    struct slice bind_host; /* empty: all interfaces */
    int32_t bind_port;
    bool is_advertised;
    struct slice host; /* advertised; empty: the host's own name is to be filled in */
    int32_t port;      /* advertised; 0 where bind_port is: the port that the OS gave */
};

struct listeners {
    struct listener_setting at[LISTENERS_MAX]; /* in the order of `listeners` */
    int count;
    int inter_broker;  /* index */
    int control_plane; /* index, or −1: the inter-broker one serves */
    char *text;        /* of listeners.c: what the slices point into */
};

/* All rules of apis.md §2; what is wrong is reported with its key. `*out` is to be given to
 * listeners_fini. ERR_INVALID; ERR_UNSUPPORTED for a security protocol that Ottla does not speak. */
MUST_CHECK enum err listeners_read(const struct options *options, const struct options_report *report,
                                   struct listeners *out);
void listeners_fini(struct listeners *listeners);

/* −1 when there is none of that name. */
int listeners_find(const struct listeners *listeners, struct slice name);
