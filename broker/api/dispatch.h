/* broker/api/dispatch.h - requests: from the frame to the reply.
 *
 * A frame becomes a `struct request`: header read, body decoded by the tables of its API into the
 * request's arena, then given to the API's handler. The handler ends it with exactly one of
 * request_reply, request_send, request_fail, request_no_reply, request_close: now, or in a later
 * turn. Replies of a connection leave in the order of its requests whatever the order of these
 * calls. When the connection goes first, the calls are still owed and their bytes go nowhere.
 *
 * A file of an API family exports one `const struct api` per API, listed in dispatch.c's table.
 * What ApiVersions answers is that table.
 *
 * Errors (reference: Kafka's own): an unknown key or version, a header or a body that cannot be
 * parsed close the connection; only ApiVersions answers an unsupported version. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/uuid.h"
#include "broker/api/phases.h"
#include "broker/messages.h"
#include "runtime/conn.h"

struct image;       /* cluster/image.h */
struct options;     /* cluster/options.h */
struct partitions;  /* broker/replica/partitions.h */
struct wire_struct; /* wire/codec.h */
struct request;
struct forward; /* broker/api/forward.h: the way to the active controller */
struct control; /* broker/api/control.h: what the control shard knows */
struct broker_configs;

/* Where the handler runs. On the control shard nothing but metadata is touched. */
enum api_place { API_HERE, API_ON_CONTROL };

struct api {
    int16_t key;
    int16_t version_min, version_max; /* that we serve */
    const struct wire_struct *request_wire, *response_wire;
    size_t request_size;    /* of the decoded struct */
    bool is_cluster_action; /* needs CLUSTER_ACTION on the cluster */
    enum api_place place;
    void (*handle)(struct request *request); /* takes */
    /* The response that carries `code` (Kafka's) for everything that the request asked, made in
     * request->arena. NULL: there is none to this request (acks=0), the connection is closed. */
    const void *(*refuse)(struct request *request, int16_t code);
};

/* Kafka's name of what writes a line for each request at level DEBUG. */
#define REQUEST_LOGGER "kafka.request.logger"

/* The process as all shards see it: set before the shards run, never changed. */
struct api_process {
    const struct options *options; /* server.properties with defaults */
    int32_t broker_id;
    struct slice rack;                 /* null: none */
    bool reads_by_rack;                /* replica.selector.class */
    int shards;                        /* data shards; shard number `shards` is the control shard */
    struct net *nets[SHARDS_MAX];      /* of the data shards; NULL: nothing moves there */
    const struct listeners *listeners; /* cluster/listeners.h */
    _Atomic bool *logs_requests;       /* a line for each request; set by REQUEST_LOGGER, changed
                                          by alter_configs.c; NULL: never */
    struct connections *connections;   /* broker/api/connections.h */
    /* LeaderAndIsr has named leaders that the image does not: until this instant (ns; 0: no) the
     * image that does is waited for. Of control.c; NULL: it is not. */
    _Atomic int64_t *image_awaited_ns;
};

/* What handlers on one shard work on. */
#define API_VERSIONS_TOLD 5

struct api_shard {
    struct shard *shard;
    const struct api_process *process;
    /* The process's; on the control shard with what was changed at run time (broker_configs.h).
     * Borrowed for the turn. */
    const struct options *options;
    struct partitions *partitions; /* NULL on the control shard, as the next */
    struct fetch_shard *fetches;   /* broker/api/fetch.h */
    struct fetchers *fetchers;     /* broker/replica/fetchers.h; NULL: nothing is followed */
    struct groups *groups;         /* broker/group/groups.h; NULL: no groups are coordinated */
    /* Never NULL. Borrowed for the turn: what is needed later is looked up again. */
    const struct image *image;
    struct image *held_image;          /* the same, as this shard's hold of it (orders.c) */
    struct forward *forward;           /* control shard only */
    struct control *control;           /* control shard only */
    struct producer_ids *producer_ids; /* broker/api/producer_ids.h; control shard only */
    struct broker_configs *configs;    /* control shard only: broker/api/broker_configs.h */
    struct slice cluster_id;           /* set once, before the first connection */
    int64_t broker_epoch;              /* −1: not registered yet */
    int64_t feature_epoch;             /* data version of /feature; −1: not seen */

    /* of metadata.c: what waits for the word of the controller, and when that ends */
    struct list held, looked_at;
    struct timer release;

    /* of versions.c: what it answers, for each of its versions, as of versions_epoch */
    struct buf versions[API_VERSIONS_TOLD];
    int64_t versions_epoch;

    /* of dispatch.c */
    struct list spare; /* requests to use again */
    int spare_count;
    struct list clients;         /* all */
    struct list clients_waiting; /* for max.connections */
    int clients_waiting_count;
    struct timer admit;
    struct conn_limits limits;
    /* Set by broker.c: connections are taken and not read until this process is registered
     * (api_registered). */
    bool awaits_registration;
    bool is_leaving;
    struct instant leave_began;
    struct timer leave;      /* who has not gone by then is not asked any more */
    struct msg *leave_order; /* of orders.c */
    void (*left)(struct api_shard *api);
    struct counter requests, requests_refused;
    struct phases phases;
};

/* A connection, as its requests see it. Lives while the connection or a request of it does. */
struct client {
    struct list_node node;
    struct conn *conn; /* NULL when it has gone */
    struct api_shard *home;
    struct list_node waiting;        /* for max.connections */
    struct msg_connection *counting; /* the control shard has been asked */
    bool is_counted;                 /* by the control shard, under its address */
    bool is_admitted;                /* counted in connections.h: it is read */
    bool is_working;                 /* has produced or fetched */
    bool is_let_go;                  /* its connection is being closed for our end */
    int8_t asks_shard;               /* of group_calls.c: where its last calls went, … */
    uint8_t asks_in_row;             /* … and how many of them there in a row */
    int listener;                    /* index into api_process.listeners */
    struct slice principal;          /* "User:ANONYMOUS" on PLAINTEXT */
    char host[64];                   /* the peer's address */
    int requests;                    /* unanswered */
};

enum request_end { REQUEST_REPLIES, REQUEST_IS_SILENT, REQUEST_CLOSES };

struct request {
    struct list_node node; /* the handler's while it has the request */
    void *state;           /* the handler's, likewise */
    struct api_shard *at;  /* the shard that handles it */
    const struct api *api;
    void *body;         /* decoded, of the API's request struct; slices borrow from the frame */
    struct arena arena; /* ends with the request; has no limit once the body is decoded */
    int16_t version;
    int32_t correlation_id;
    struct slice client_id; /* "" for null */
    size_t bytes;           /* of its frame */
    struct instant arrived;
    bool is_of_follower;    /* a fetch of one; the handler says so */
    int listener;           /* index into api_process.listeners */
    struct slice principal; /* lives as long as the request */
    char host[64];          /* the peer's address */

    /* of dispatch.c */
    struct instant begun, waits_since, replied; /* zero: not yet, or never */
    struct client *client;                      /* touched on its home shard only */
    uint64_t ticket;
    struct block *block;
    void (*handle)(struct request *request);
    enum request_end end;
    struct buf out;
    struct reply reply;
    struct reply_piece piece;
    struct post post;
    void (*sent)(struct request *request);
};

/* Replies with `body`, of the API's response struct; borrows it until return. Takes the request.
 * From the shard that handles it. */
void request_reply(struct request *request, const void *body);
/* The same with a body that is encoded already. Copied. */
void request_reply_bytes(struct request *request, struct slice body);

/* Appends to `out` the response header, which comes before the body. */
void request_write_head(const struct request *request, struct buf *out);
/* Replies with pieces: head (above) and body. What they point to lives until `sent` (may be NULL),
 * which is called once, then the request ends. `pieces` may be in the request's arena. Takes the
 * request. On the connection's own shard only. */
void request_send(struct request *request, struct reply_piece *pieces, int count,
                  void (*sent)(struct request *request));

/* Kafka's error `code` for everything that was asked; closes the connection if the API has no
 * answer. */
void request_fail(struct request *request, int16_t code);
/* There is no reply (acks=0). */
void request_no_reply(struct request *request);
/* Closes the connection (acks=0 with an error). */
void request_close(struct request *request);
/* From now on it waits for others than this process's shards, to be measured as such. Saying it
 * again changes nothing. From the shard that handles it. */
void request_waits(struct request *request);
/* Goes on with the request on the control shard, where `handle` takes it. */
void request_to_control(struct request *request, void (*handle)(struct request *request));
/* Goes on at data shard `to`, with its connection, as if it had come there: takes the request. But
 * false, and nothing changes, where that cannot be: something else is under way on the connection,
 * or places are counted by address. On the connection's own shard, not in the handler's call. */
bool request_move(struct request *request, int to);
/* The peer has gone: what waits for it may as well end. On the connection's own shard only. */
bool request_is_orphan(const struct request *request);

/* The request as it came, header and body. */
struct slice request_frame(const struct request *request);
/* The frame's bytes, for a message that points into them: see block_hold. NULL on the control
 * shard. */
struct block *request_block(struct request *request);

/* The table, in order of keys, NULL at the end. */
const struct api *const *api_table(void);
/* NULL when it is not served. */
const struct api *table_find(int16_t key);

/* For broker.c. Enters the routes of dispatch.c. */
void api_shard_init(struct api_shard *api, struct shard *shard, const struct api_process *process,
                    struct msg_routes *routes);
void api_shard_fini(struct api_shard *api);
/* A new connection on listener number `listener`; conn's user becomes its client. */
void api_accepted(struct api_shard *api, struct conn *conn, int listener);
/* The process is registered: what has connected is read. Again is fine. */
void api_registered(struct api_shard *api);
/* Closes all connections, each when it has been quiet for a moment (at most half a second is waited
 * for that), after the replies that are given, and those to come at once; then `left`, perhaps
 * inside this call. Until it is closed, what comes over it is served. */
void api_leave(struct api_shard *api, void (*left)(struct api_shard *api));
extern const struct conn_handlers api_conn_handlers;

/* Reads the frame's header and finds its API; pure. ERR_TRUNCATED, ERR_CORRUPT: no header;
 * ERR_UNSUPPORTED: an API or a version that is not served (`*header` is then filled so far as key,
 * version and correlation id go). */
struct request_head {
    const struct api *api;
    int16_t key, version;
    int32_t correlation_id;
    struct slice client_id;
    struct slice body;
};
MUST_CHECK enum err request_read_head(struct slice frame, struct request_head *header);
