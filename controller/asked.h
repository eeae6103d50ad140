/* controller/asked.h - one request at the controller's listener, from its frame to its reply. */
#pragma once
#include "controller/controller.h"
#include "wire/frame.h"

struct client {
    struct list_node node; /* of its admin */
    struct conn *conn;
    struct admin *admin;
    int listener;      /* index */
    struct list asked; /* unanswered */
};

struct asked {
    struct list_node node; /* of its client */
    struct controller *controller;
    struct client *client; /* NULL: its connection has gone, the answer is dropped */
    uint64_t ticket;
    struct block *block;
    struct arena arena; /* of the decoded request and of the answer */
    struct frame_request_head head;
    struct slice body;
    /* of a request that came in an Envelope: what goes around the answer */
    bool is_enveloped;
    struct frame_request_head envelope;
    void *work; /* of the handler, while it waits */
};

/* Both free `asked`. The response is written at the version of the request. */
void asked_reply(struct asked *asked, const struct wire_struct *type, const void *response);
/* The request cannot be answered: its connection is closed, as Kafka does. */
void asked_close(struct asked *asked, const char *why);
/* An Envelope that cannot be opened. */
void asked_refuse_envelope(struct asked *asked, int16_t error);

/* Reads the body. False: the connection was closed, `asked` is gone. */
MUST_CHECK bool asked_read(struct asked *asked, const struct wire_struct *type, void *out);
void *asked_alloc(struct asked *asked, size_t size); /* zeroed, in its arena */
/* The name of the listener that was asked: brokers are told by their address there. Lives as long
 * as `asked`. */
const char *asked_listener(struct asked *asked);

/* An event for the context whose answer comes to `admin_answered`. */
struct event *asked_event(struct asked *asked, enum event_type type);
int16_t kafka_code(enum answer answer);

/* Handlers of one request each; all end with one of the three above, at once or later. */
void ask_api_versions(struct asked *asked);
void ask_describe_cluster(struct asked *asked);
void ask_metadata(struct asked *asked);
void ask_create_topics(struct asked *asked);
void ask_delete_topics(struct asked *asked);
void ask_create_partitions(struct asked *asked);
void ask_controlled_shutdown(struct asked *asked);
void ask_alter_partition(struct asked *asked);
void ask_elect_leaders(struct asked *asked);
void ask_reassign(struct asked *asked);
void ask_list_reassignments(struct asked *asked);
void ask_producer_ids(struct asked *asked);
void ask_alter_configs(struct asked *asked);
void ask_incremental_alter_configs(struct asked *asked);
void ask_find_coordinator(struct asked *asked);
void ask_list_groups(struct asked *asked);
void ask_init_producer_id(struct asked *asked);
void ask_update_features(struct asked *asked);
void ask_describe_configs(struct asked *asked);
/* What their events answered: take nothing, end `asked`. */
void tell_controlled_shutdown(struct asked *asked, struct event *event);
void tell_alter_partition(struct asked *asked, struct event *event);
void tell_elect_leaders(struct asked *asked, struct event *event);
void tell_reassign(struct asked *asked, struct event *event);
void tell_producer_ids(struct asked *asked, struct event *event);
void tell_init_producer_id(struct asked *asked, struct event *event);

/* Requests that work on topics, or wait: what admin_check and admin_close need. Borrowed by
 * connections to their end. */
struct admin {
    struct controller *controller;
    struct listener *listeners[LISTENERS_MAX];
    struct listener_owner {
        struct admin *admin;
        int index;
    } owners[LISTENERS_MAX];
    struct list all; /* clients */
    struct conn_limits limits;
    struct list works; /* of admin_topics.c: topic works under way */
    struct producer_block {
        int64_t next, end;
    } block; /* of admin_clients.c: ids that are left */
    struct list describes; /* of admin_describe.c: parts are with a broker */
    int32_t passed;        /* how many those are */
    int32_t clients;
};
void works_check(struct admin *admin);
void works_drop(struct admin *admin);
void describes_close(struct admin *admin);
