/* tests/unit/test_fetchers.c - a follower broker's partitions over real logs, and a leader over
 * loopback that the test plays: it knows its epochs and where its log begins and ends, and keeps a
 * Fetch waiting that it has nothing new for until the test lets it go. */
#include "broker/replica/fetchers.h"
#include "broker/log/epochs.h"
#include "broker/log/store.h"
#include "broker/replica/partitions.h"
#include "cluster/level.h"
#include "tests/unit/loop.h"
#include "wire/frame.h"
#include "wire/gen/fetch.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/offset_for_leader_epoch.h"
#include "wire/protocol.h"
#include "wire/record.h"
#include <ftw.h>
#include <string.h>

#define SELF       1
#define LEADER     2
#define PARTITIONS 3
#define TOPIC      SLICE("t")

/* What the leader has of one partition: one record to a batch. */
struct led {
    struct epochs epochs;
    int64_t start, end, watermark;
    int16_t code;   /* answered instead */
    int64_t lately; /* fetched offset, −1; as the session has it */
    int64_t told_watermark;
    bool is_in_session;
};

/* A Fetch of one of several connections. */
#define HELD_MAX 8
struct held {
    struct conn *conn; /* NULL: none */
    uint64_t ticket;
    struct frame_request_head head;
    int count;
    struct asked {
        int32_t partition, last_epoch;
        int64_t offset;
    } asked[PARTITIONS];
};

struct world {
    struct env *env;
    struct disk *disk;
    struct shard shard;
    struct store *store;
    struct partitions *partitions;
    struct fetchers *fetchers;
    struct log_config config;
    struct arena arena;
    struct buf batch;
    struct replica_settings settings;
    char path[64];
    const char *paths[1];
    bool is_done, is_closed;

    struct listener *listener;
    struct conn_limits limits;
    uint16_t port;
    int conns, conns_closed;
    struct conn *last;
    struct led led[PARTITIONS];
    int32_t session;
    int16_t session_code; /* once */
    int full, incremental, epoch_asks, offset_asks, refusals;
    int32_t first_epoch_asked;
    int32_t max_wait_ms;
    /* Several connections: no sessions, each is answered for itself when there is news. */
    bool is_many;
    int64_t room_max, room; /* records that one answer has room for; 0: no limit */
    struct conn *asked_by[PARTITIONS];
    struct held held[HELD_MAX];
    /* The Fetch that waits. */
    bool is_waiting;
    struct conn *waiting_conn;
    uint64_t waiting_ticket;
    struct frame_request_head waiting_head;
} w;

static const struct uuid topic_id = {{1}};

/* ---- the leader ---- */

struct sent {
    struct reply reply;
    struct reply_piece piece;
    struct buf bytes;
};

static void sent_done(struct reply *reply)
{
    struct sent *sent = list_entry(reply, struct sent, reply);

    buf_fini(&sent->bytes);
    free(sent);
}

static void answer(struct conn *conn, uint64_t ticket, const struct frame_request_head *head,
                   const struct wire_struct *type, const void *body)
{
    struct sent *sent = ensure_zalloc(sizeof(*sent));

    frame_write_response_head(&sent->bytes, head->api_key, head->api_version, head->correlation_id);
    wire_write(&sent->bytes, head->api_version, type, body);
    sent->piece.bytes = buf_slice(&sent->bytes);
    sent->reply = (struct reply){.pieces = &sent->piece, .count = 1, .done = sent_done};
    conn_reply(conn, ticket, &sent->reply);
}

static struct slice records_of(const struct led *led, int64_t from)
{
    struct buf bytes = {0};
    int64_t end = led->end;

    if (w.room_max > 0 && end - from > w.room) end = from + w.room;
    w.room -= end - from;
    for (int64_t at = from; at < end; at++) {
        struct record_builder builder;
        record_builder_begin(&builder, &bytes);
        builder.head.base_offset = at;
        builder.head.leader_epoch = epochs_at(&led->epochs, at);
        record_builder_add(&builder, 1000 + at, SLICE_NULL, SLICE("from the leader"), NULL, 0);
        record_builder_end(&builder);
    }
    struct slice copy = arena_copy(&w.arena, buf_slice(&bytes));
    buf_fini(&bytes);
    return copy;
}

/* False: it has nothing new to say of it. */
static bool answer_partition(int p, int32_t last_epoch, bool is_full,
                             struct fetch_response_topic_partition *out)
{
    struct led *led = &w.led[p];
    struct epoch_end ours = epochs_end_of(&led->epochs, last_epoch, led->end);

    *out = (struct fetch_response_topic_partition){
        .partition_index = p,
        .error_code = led->code,
        .high_watermark = -1,
        .last_stable_offset = -1,
        .log_start_offset = -1,
        .diverging_epoch = {-1, -1},
        .current_leader = {-1, -1},
        .snapshot_id = {-1, -1},
        .preferred_read_replica = -1,
        .records = SLICE(""),
    };
    if (led->code != KAFKA_NONE) {
        w.refusals++;
        return true;
    }
    if (w.settings.level >= LEVEL_2_7_IV1 && last_epoch >= 0 &&
        (ours.epoch < last_epoch || ours.end_offset < led->lately)) {
        out->diverging_epoch =
            (struct fetch_response_topic_partition_diverging_epoch){ours.epoch, ours.end_offset};
        return true;
    }
    if (led->lately < led->start || led->lately > led->end) {
        out->error_code = KAFKA_OFFSET_OUT_OF_RANGE;
        return true;
    }
    out->high_watermark = led->watermark;
    out->log_start_offset = led->start;
    out->records = records_of(led, led->lately);
    bool is_news = out->records.len > 0 || led->told_watermark != led->watermark;
    led->told_watermark = led->watermark;
    return is_news || is_full;
}

static int32_t asked_epoch[PARTITIONS]; /* last_fetched_epoch, as the session has it */

static void answer_fetch(bool is_full, bool even_empty)
{
    struct fetch_response response;
    struct fetch_response_topic topic = {.topic = TOPIC, .topic_id = topic_id};
    struct fetch_response_topic_partition parts[PARTITIONS];

    wire_default(&fetch_response_wire, &response);
    arena_reset(&w.arena);
    for (int p = 0; p < PARTITIONS; p++)
        if (w.led[p].is_in_session &&
            answer_partition(p, asked_epoch[p], is_full, &parts[topic.partitions.count]))
            topic.partitions.count++;
    w.is_waiting = topic.partitions.count == 0 && !even_empty;
    if (w.is_waiting) return;
    topic.partitions.at = parts;
    response.session_id = w.session;
    response.responses.at = &topic;
    response.responses.count = topic.partitions.count > 0 ? 1 : 0;
    answer(w.waiting_conn, w.waiting_ticket, &w.waiting_head, &fetch_response_wire, &response);
}

/* The leader has news, or the wait is over. */
static void let_go(void)
{
    ck_assert(w.is_waiting);
    answer_fetch(false, true);
}

/* Answers it if there is news. */
static void look_at(struct held *held)
{
    struct fetch_response response;
    struct fetch_response_topic topic = {.topic = TOPIC, .topic_id = topic_id};
    struct fetch_response_topic_partition parts[PARTITIONS];
    bool is_news = false;

    if (held->conn == NULL) return;
    wire_default(&fetch_response_wire, &response);
    arena_reset(&w.arena);
    w.room = w.room_max;
    for (int i = 0; i < held->count; i++) {
        w.led[held->asked[i].partition].lately = held->asked[i].offset;
        is_news |=
            answer_partition(held->asked[i].partition, held->asked[i].last_epoch, false, &parts[i]);
    }
    if (!is_news) return;
    topic.partitions.at = parts;
    topic.partitions.count = held->count;
    response.responses.at = &topic;
    response.responses.count = 1;
    answer(held->conn, held->ticket, &held->head, &fetch_response_wire, &response);
    held->conn = NULL;
}

static void look_at_all(void)
{
    for (int i = 0; i < HELD_MAX; i++)
        look_at(&w.held[i]);
}

static void on_fetch_of_many(struct conn *conn, uint64_t ticket,
                             const struct frame_request_head *head,
                             const struct fetch_request *request)
{
    struct held *held = w.held;

    ck_assert_int_eq(request->topics.count, 1);
    while (held->conn != NULL)
        ck_assert_ptr_ne(++held, w.held + HELD_MAX);
    *held = (struct held){.conn = conn, .ticket = ticket, .head = *head};
    for (int32_t i = 0; i < request->topics.at[0].partitions.count; i++) {
        const struct fetch_request_topic_partition *part = &request->topics.at[0].partitions.at[i];
        held->asked[held->count++] =
            (struct asked){part->partition, part->last_fetched_epoch, part->fetch_offset};
        w.asked_by[part->partition] = conn;
    }
    look_at(held);
}

static void on_fetch(struct conn *conn, uint64_t ticket, const struct frame_request_head *head,
                     const struct fetch_request *request)
{
    bool is_full = request->session_epoch <= 0;

    if (w.is_many) {
        on_fetch_of_many(conn, ticket, head, request);
        return;
    }
    ck_assert(!w.is_waiting);
    w.waiting_conn = conn;
    w.waiting_ticket = ticket;
    w.waiting_head = *head;
    w.max_wait_ms = request->max_wait_ms;
    if (w.session_code != KAFKA_NONE) {
        struct fetch_response response;
        wire_default(&fetch_response_wire, &response);
        response.error_code = w.session_code;
        w.session_code = KAFKA_NONE;
        answer(conn, ticket, head, &fetch_response_wire, &response);
        return;
    }
    if (is_full) {
        w.full++;
        w.session++;
        for (int p = 0; p < PARTITIONS; p++)
            w.led[p].is_in_session = false;
    } else {
        w.incremental++;
        ck_assert_int_eq(request->session_id, w.session);
    }
    for (int32_t t = 0; t < request->forgotten_topics_data.count; t++)
        for (int32_t i = 0; i < request->forgotten_topics_data.at[t].partitions.count; i++)
            w.led[request->forgotten_topics_data.at[t].partitions.at[i]].is_in_session = false;
    for (int32_t t = 0; t < request->topics.count; t++)
        for (int32_t i = 0; i < request->topics.at[t].partitions.count; i++) {
            const struct fetch_request_topic_partition *part =
                &request->topics.at[t].partitions.at[i];
            struct led *led = &w.led[part->partition];
            if (!led->is_in_session) led->told_watermark = -1;
            led->is_in_session = true;
            led->lately = part->fetch_offset;
            asked_epoch[part->partition] = part->last_fetched_epoch;
        }
    answer_fetch(is_full, false);
}

static void on_epochs(struct conn *conn, uint64_t ticket, const struct frame_request_head *head,
                      const struct offset_for_leader_epoch_request *request)
{
    struct offset_for_leader_epoch_response response;
    struct offset_for_leader_epoch_response_topic topic = {.topic = TOPIC};
    struct offset_for_leader_epoch_response_topic_partition parts[PARTITIONS];

    wire_default(&offset_for_leader_epoch_response_wire, &response);
    if (w.epoch_asks++ == 0)
        w.first_epoch_asked = request->topics.at[0].partitions.at[0].leader_epoch;
    for (int32_t i = 0; i < request->topics.at[0].partitions.count; i++) {
        const struct offset_for_leader_epoch_request_topic_partition *part =
            &request->topics.at[0].partitions.at[i];
        const struct led *led = &w.led[part->partition];
        struct epoch_end end = epochs_end_of(&led->epochs, part->leader_epoch, led->end);
        parts[i] = (struct offset_for_leader_epoch_response_topic_partition){
            .partition = part->partition, .leader_epoch = end.epoch, .end_offset = end.end_offset};
    }
    topic.partitions.at = parts;
    topic.partitions.count = request->topics.at[0].partitions.count;
    response.topics.at = &topic;
    response.topics.count = 1;
    answer(conn, ticket, head, &offset_for_leader_epoch_response_wire, &response);
}

static void on_offsets(struct conn *conn, uint64_t ticket, const struct frame_request_head *head,
                       const struct list_offsets_request *request)
{
    struct list_offsets_response response;
    struct list_offsets_response_topic topic = {.name = TOPIC};
    struct list_offsets_response_topic_partition parts[PARTITIONS];

    w.offset_asks++;
    wire_default(&list_offsets_response_wire, &response);
    for (int32_t i = 0; i < request->topics.at[0].partitions.count; i++) {
        const struct list_offsets_request_topic_partition *part =
            &request->topics.at[0].partitions.at[i];
        const struct led *led = &w.led[part->partition_index];
        parts[i] = (struct list_offsets_response_topic_partition){
            .partition_index = part->partition_index,
            .timestamp = -1,
            .offset = part->timestamp == OFFSETS_LATEST ? led->end : led->start,
            .leader_epoch = -1,
        };
    }
    topic.partitions.at = parts;
    topic.partitions.count = request->topics.at[0].partitions.count;
    response.topics.at = &topic;
    response.topics.count = 1;
    answer(conn, ticket, head, &list_offsets_response_wire, &response);
}

static void on_frame(struct conn *conn, struct block *block, uint64_t ticket)
{
    struct frame_request_head head;
    struct arena arena;
    struct slice body;
    union {
        struct fetch_request fetch;
        struct offset_for_leader_epoch_request epochs;
        struct list_offsets_request offsets;
    } request;

    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(frame_read_request_head(block_slice(block), &head, &body), ERR_OK);
    switch (head.api_key) {
    case API_FETCH:
        ck_assert_int_eq(
            wire_read(body, head.api_version, &fetch_request_wire, &arena, &request.fetch), ERR_OK);
        on_fetch(conn, ticket, &head, &request.fetch);
        break;
    case API_OFFSET_FOR_LEADER_EPOCH:
        ck_assert_int_eq(wire_read(body, head.api_version, &offset_for_leader_epoch_request_wire,
                                   &arena, &request.epochs),
                         ERR_OK);
        on_epochs(conn, ticket, &head, &request.epochs);
        break;
    case API_LIST_OFFSETS:
        ck_assert_int_eq(
            wire_read(body, head.api_version, &list_offsets_request_wire, &arena, &request.offsets),
            ERR_OK);
        on_offsets(conn, ticket, &head, &request.offsets);
        break;
    default:
        ck_abort_msg("api %d", head.api_key);
    }
    arena_fini(&arena);
    block_drop(&block);
}

static void on_closed(struct conn *conn, enum err why)
{
    (void)why;
    w.conns_closed++;
    if (w.last == conn) w.last = NULL;
    for (int i = 0; i < HELD_MAX; i++)
        if (w.held[i].conn == conn) w.held[i].conn = NULL;
    if (w.is_waiting && w.waiting_conn == conn) w.is_waiting = false;
}

static void on_accepted(void *owner, struct conn *conn)
{
    (void)owner;
    w.conns++;
    w.last = conn;
}

static const struct conn_handlers handlers = {.frame = on_frame, .closed = on_closed};

static void leader_comes(void)
{
    struct listener_options options = {
        .address = loop_address(w.port),
        .socket = LOOP_OPTIONS,
        .handlers = &handlers,
        .limits = &w.limits,
        .accepted = on_accepted,
    };
    ck_assert_int_eq(listener_open(&w.shard, &options, &w.listener), ERR_OK);
    w.port = listener_port(w.listener);
}

static void leader_goes(void)
{
    listener_close(&w.listener);
    if (w.last != NULL) conn_close(w.last, false);
    loop_until(&w.shard, w.conns_closed == w.conns);
}

/* Epochs as pairs of epoch and start, −1 at the end. */
static void leader_has(int p, const int *pairs, int64_t start, int64_t end, int64_t watermark)
{
    struct led *led = &w.led[p];
    bool changed = false;

    for (; pairs[0] >= 0; pairs += 2)
        ck_assert_int_eq(epochs_start(&led->epochs, pairs[0], pairs[1], &changed), ERR_OK);
    led->start = start;
    led->end = end;
    led->watermark = watermark;
}

/* ---- the follower ---- */

static bool address_of(void *owner, int32_t broker, struct net_address *out)
{
    (void)owner;
    ck_assert_int_eq(broker, LEADER);
    *out = loop_address(w.port);
    return true;
}
static int64_t broker_epoch(void *owner)
{
    (void)owner;
    return 77;
}
static const struct fetchers_ops fetchers_ops = {address_of, broker_epoch};

static void follow(void *owner, struct slice topic, int32_t partition, int32_t leader,
                   int32_t epoch)
{
    (void)owner;
    fetchers_follow(w.fetchers, topic, partition, leader, epoch);
}
static bool is_alive(void *owner, int32_t broker)
{
    (void)owner;
    (void)broker;
    return true;
}
static const struct partitions_ops ops = {.is_alive = is_alive, .follow = follow};

static void on_loaded(void *owner, enum err err, const char *text)
{
    (void)owner;
    (void)text;
    ck_assert_int_eq(err, ERR_OK);
    w.is_done = true;
}
static void on_dir_failed(void *owner, struct log_dir *dir, enum err why, int left)
{
    (void)owner;
    (void)dir;
    (void)left;
    ck_abort_msg("directory failed: %s", err_name(why));
}
static void on_done(void *owner)
{
    (void)owner;
    w.is_done = true;
}
static const struct store_events store_events = {on_loaded, on_dir_failed, on_done};

static void config_of(void *owner, struct slice topic, struct log_config *out)
{
    (void)owner;
    (void)topic;
    *out = w.config;
}

static void start(enum level level)
{
    struct buf problem = {0};

    w = (struct world){.env = env_posix_create(NULL)};
    log_config_default(&w.config);
    w.config.retention_ms = -1;
    strcpy(w.path, "/tmp/ottla-fetchers-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w.path));
    w.paths[0] = w.path;
    ck_assert_int_eq(disk_open(w.env, (const int[DISK_CLASSES]){1, 1, 1}, &w.disk), ERR_OK);
    loop_open(&w.shard, w.env, w.disk, &w);
    arena_init(&w.arena, 1 << 20);
    conn_limits_init(&w.limits);
    leader_comes();
    struct store_options options = {
        .env = w.env,
        .home = &w.shard,
        .disk = w.disk,
        .paths = w.paths,
        .path_count = 1,
        .recovery_threads = 1,
        .keeps_topic_ids = true,
        .config = config_of,
        .events = &store_events,
        .owner = &w,
    };
    ck_assert_int_eq(store_open(&options, &problem, &w.store), ERR_OK);
    ck_assert_int_eq(store_identify(w.store, SELF, "cluster", &problem), ERR_OK);
    store_load(w.store);
    loop_until(&w.shard, w.is_done);
    buf_fini(&problem);

    replica_settings_init(&w.settings);
    w.settings.level = level;
    w.settings.fetch_wait_ms_max = 600000; /* the test lets it go */
    struct partitions_options partitions = {
        .shard = &w.shard,
        .broker_id = SELF,
        .settings = w.settings,
        .files_open_max = 16,
        .ops = &ops,
        .owner = &w,
    };
    w.partitions = partitions_create(&partitions);
    struct fetchers_options fetchers = {
        .shard = &w.shard,
        .partitions = w.partitions,
        .broker_id = SELF,
        .shards = 1,
        .settings = w.settings,
        .ops = &fetchers_ops,
        .owner = &w,
    };
    w.fetchers = fetchers_create(&fetchers);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void stop(void)
{
    w.is_done = false;
    fetchers_close(w.fetchers, on_done, &w);
    loop_until(&w.shard, w.is_done);
    if (w.listener != NULL) leader_goes();
    w.is_done = false;
    partitions_close(w.partitions, on_done, &w);
    loop_until(&w.shard, w.is_done);
    partitions_destroy(&w.partitions);
    fetchers_destroy(&w.fetchers);
    w.is_done = false;
    store_close(w.store);
    loop_until(&w.shard, w.is_done);
    store_destroy(&w.store);
    for (int i = 0; i < 3; i++)
        loop_turn(&w.shard);
    disk_close(w.env, &w.disk);
    for (int p = 0; p < PARTITIONS; p++)
        epochs_fini(&w.led[p].epochs);
    conn_limits_fini(&w.limits);
    shard_close(&w.shard);
    env_posix_destroy(&w.env);
    arena_fini(&w.arena);
    buf_fini(&w.batch);
    nftw(w.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void control_done(struct replica_call *call)
{
    (void)call;
    w.is_done = true;
}
static void created(void *to)
{
    (void)to;
    w.is_done = true;
}

static const int32_t replicas[] = {SELF, LEADER, 3};

/* LeaderAndIsr. All three are in sync: alone, this broker's watermark stays. */
static void lead(int p, int32_t leader, int32_t epoch)
{
    struct store_new_log new = {
        .topic = TOPIC, .partition = p, .config = &w.config, .is_new = true, .topic_id = topic_id};
    struct replica_change change = {
        .topic = TOPIC,
        .topic_id = topic_id,
        .partition = p,
        .leader = leader,
        .leader_epoch = epoch,
        .partition_epoch = epoch * 10,
        .replicas = replicas,
        .replica_count = 3,
        .isr = replicas,
        .isr_count = 3,
        .is_leader_alive = true,
        .log = store_find(w.store, TOPIC, p),
        .min_insync = 1,
    };
    struct replica_call call = {.changes = &change, .change_count = 1, .done = control_done};

    if (change.log == NULL) {
        w.is_done = false;
        store_create_many(w.store, &new, 1, created, &w);
        loop_until(&w.shard, w.is_done);
        ck_assert_int_eq(new.err, ERR_OK);
        change.log = new.log;
    }
    w.is_done = false;
    partitions_control(w.partitions, &call);
    loop_until(&w.shard, w.is_done);
    ck_assert_int_eq(change.err, ERR_OK);
}

/* Leads the epoch itself and writes `records` batches. */
static void wrote(int p, int32_t epoch, int records)
{
    lead(p, SELF, epoch);
    for (int i = 0; i < records; i++) {
        struct record_builder builder;
        buf_clear(&w.batch);
        record_builder_begin(&builder, &w.batch);
        record_builder_add(&builder, 1000 + i, SLICE_NULL, SLICE("our own"), NULL, 0);
        record_builder_end(&builder);
        struct append append = {
            .topic = TOPIC,
            .partition = p,
            .records = w.batch.ptr,
            .len = buf_slice(&w.batch).len,
            .arena = &w.arena,
        };
        partitions_append(w.partitions, &append);
        ck_assert_int_eq(append.err, ERR_OK);
    }
}

static struct follower_view view_of(int p, int32_t epoch)
{
    struct follower_view view;

    ck_assert_int_eq(partitions_follower(w.partitions, TOPIC, p, epoch, &view), ERR_OK);
    return view;
}

static struct epoch_end own_end(int p, int32_t epoch)
{
    struct epoch_end end;

    ck_assert_int_eq(partitions_own_epoch_end(w.partitions, TOPIC, p, epoch, &end), ERR_OK);
    return end;
}

/* Example A: acknowledged up to 10, the watermark here is known up to 0 only. */
START_TEST(what_is_above_the_watermark_stays_where_the_leader_has_it)
{
    start(LEVEL_3_9_IV0);
    wrote(0, 1, 10);
    leader_has(0, (int[]){1, 0, -1}, 0, 10, 10);
    lead(0, LEADER, 2);
    ck_assert_int_eq(view_of(0, 2).high_watermark, 0);
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(w.led[0].lately, 10); /* the first it asked for, and the last */
    ck_assert_int_eq(view_of(0, 2).end, 10);
    ck_assert_int_eq(view_of(0, 2).high_watermark, 10); /* and the watermark came */
    ck_assert_int_eq(w.epoch_asks + w.offset_asks, 0);
    stop();
}
END_TEST

/* Example B: ours 0:0 2:15 up to 20, the leader's 0:0 1:10 3:20 up to 25. */
static void undo_fast_elections(enum level level)
{
    start(level);
    wrote(0, 0, 15);
    wrote(0, 2, 5);
    leader_has(0, (int[]){0, 0, 1, 10, 3, 20, -1}, 0, 25, 25);
    lead(0, LEADER, 3);
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(view_of(0, 3).end, 25);
    ck_assert_int_eq(view_of(0, 3).latest.epoch, 3);
    ck_assert_int_eq(view_of(0, 3).latest.start, 20);
    ck_assert_int_eq(own_end(0, 0).end_offset, 10);
    ck_assert_int_eq(own_end(0, 1).end_offset, 20);
    ck_assert_int_eq(own_end(0, 2).epoch, 1); /* what epoch 2 wrote here is gone */
}

START_TEST(fast_elections_are_undone_through_fetch)
{
    undo_fast_elections(LEVEL_3_9_IV0);
    ck_assert_int_eq(w.epoch_asks, 0);
    stop();
}
END_TEST

START_TEST(fast_elections_are_undone_by_asking_for_epochs)
{
    undo_fast_elections(LEVEL_2_6_IV0);
    ck_assert_int_eq(w.first_epoch_asked, 2);
    ck_assert_int_eq(w.epoch_asks, 2); /* 2, then 0 */
    stop();
}
END_TEST

/* We led epoch 2 and wrote nothing in it: there is nothing to cut but what we know of the epoch. */
static void forget_empty_epoch(enum level level)
{
    start(level);
    wrote(0, 1, 10);
    wrote(0, 2, 0);
    leader_has(0, (int[]){1, 0, 3, 10, -1}, 0, 12, 12);
    lead(0, LEADER, 3);
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(view_of(0, 3).end, 12);
    ck_assert_int_eq(own_end(0, 2).epoch, 1);
    stop();
}

START_TEST(an_epoch_in_which_we_wrote_nothing_is_forgotten)
{
    forget_empty_epoch(LEVEL_3_9_IV0);
    forget_empty_epoch(LEVEL_2_6_IV0);
}
END_TEST

START_TEST(a_follower_behind_the_leaders_start_begins_anew_there)
{
    start(LEVEL_3_9_IV0);
    wrote(0, 1, 5);
    leader_has(0, (int[]){1, 0, -1}, 50, 60, 60);
    lead(0, LEADER, 2);
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(w.offset_asks, 2); /* its end, then its start */
    ck_assert_int_eq(view_of(0, 2).start, 50);
    ck_assert_int_eq(view_of(0, 2).end, 60);
    ck_assert_int_eq(view_of(0, 2).high_watermark, 60);
    stop();
}
END_TEST

/* An unclean leader that lost its tail, and whose version does not tell divergence. */
START_TEST(a_follower_ahead_of_the_leaders_end_is_cut_to_it)
{
    start(LEVEL_3_9_IV0);
    wrote(0, 1, 8);
    leader_has(0, (int[]){1, 0, -1}, 0, 8, 0);
    lead(0, LEADER, 2);
    loop_until(&w.shard, w.is_waiting);
    /* It says of an offset that it has told before that it is out of range. */
    w.led[0].end = 6;
    w.led[0].code = KAFKA_OFFSET_OUT_OF_RANGE;
    let_go();
    w.led[0].code = KAFKA_NONE;
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(w.offset_asks, 1);
    ck_assert_int_eq(view_of(0, 2).end, 6);
    ck_assert_int_eq(w.led[0].lately, 6);
    stop();
}
END_TEST

START_TEST(a_lost_session_is_made_anew_and_nothing_is_missed)
{
    static const int16_t codes[] = {KAFKA_FETCH_SESSION_ID_NOT_FOUND,
                                    KAFKA_INVALID_FETCH_SESSION_EPOCH};

    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 3, 0);
    lead(0, LEADER, 1);
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(w.full, 1);
    ck_assert_int_ge(w.incremental, 1); /* an answer to a full one is not held back */
    for (int i = 0; i < 2; i++) {
        w.session_code = codes[i];
        w.led[0].end++;
        let_go();
        loop_until(&w.shard, w.full == 2 + i && w.is_waiting);
        ck_assert_int_eq(view_of(0, 1).end, 4 + i);
    }
    ck_assert_int_eq(w.conns, 1);
    ck_assert_int_eq(fetchers_counts(w.fetchers)->request_errors.value, 0);
    stop();
}
END_TEST

START_TEST(the_watermark_comes_with_the_next_answer_and_not_beyond_our_end)
{
    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 4, 0);
    lead(0, LEADER, 1);
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(view_of(0, 1).high_watermark, 0);
    w.led[0].watermark = 3;
    let_go();
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(view_of(0, 1).high_watermark, 3);
    w.led[0].watermark = 9; /* above what we have */
    let_go();
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(view_of(0, 1).high_watermark, 4);
    stop();
}
END_TEST

START_TEST(a_leader_that_was_gone_is_followed_on)
{
    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 4, 4);
    lead(0, LEADER, 1);
    loop_until(&w.shard, w.is_waiting);
    ck_assert(!fetchers_has_lost(w.fetchers, LEADER));
    leader_goes();
    loop_until(&w.shard, fetchers_counts(w.fetchers)->request_errors.value == 1);
    loop_until(&w.shard, fetchers_has_lost(w.fetchers, LEADER));
    ck_assert(!fetchers_has_lost(w.fetchers, SELF));
    for (int i = 0; i < 3; i++)
        loop_turn(&w.shard);
    w.led[0].end = 6;
    w.is_waiting = false;
    leader_comes();
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(view_of(0, 1).end, 6);
    ck_assert(!fetchers_has_lost(w.fetchers, LEADER));
    ck_assert_int_eq(w.full, 2); /* another connection, another session */
    stop();
}
END_TEST

START_TEST(one_that_errs_is_delayed_and_keeps_no_other_waiting)
{
    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 4, 4);
    leader_has(1, (int[]){1, 0, -1}, 0, 4, 4);
    w.led[1].code = KAFKA_NOT_LEADER_OR_FOLLOWER; /* has not heard yet that it leads */
    lead(0, LEADER, 1);
    lead(1, LEADER, 1);
    loop_until(&w.shard, w.refusals > 0 && w.is_waiting && !w.led[1].is_in_session);
    ck_assert_int_eq(view_of(0, 1).end, 4);
    /* The others' Fetch waits only until the delayed one asks again. */
    ck_assert_int_lt(w.max_wait_ms, 1001);
    w.led[1].code = KAFKA_NONE;
    let_go();
    loop_until(&w.shard, view_of(1, 1).end == 4 || (w.is_waiting && (let_go(), false)));
    ck_assert_int_eq(w.conns - (int)fetchers_counts(w.fetchers)->hurries.value, 1);
    stop();
}
END_TEST

START_TEST(what_is_newly_followed_does_not_wait_for_the_wait_of_others)
{
    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 4, 4);
    leader_has(1, (int[]){1, 0, -1}, 0, 7, 7);
    leader_has(2, (int[]){1, 0, -1}, 0, 9, 9);
    lead(0, LEADER, 1);
    loop_until(&w.shard, w.is_waiting);
    lead(1, LEADER, 1); /* the test never lets go */
    loop_until(&w.shard, view_of(1, 1).end == 7);
    ck_assert_int_eq(fetchers_counts(w.fetchers)->hurries.value, 1);
    ck_assert(!fetchers_has_lost(w.fetchers, LEADER)); /* it was ourselves */
    lead(2, LEADER, 1);
    loop_until(&w.shard, view_of(2, 1).end == 9);
    ck_assert_int_eq(view_of(0, 1).end, 4);
    ck_assert_int_eq(fetchers_counts(w.fetchers)->request_errors.value, 0);
    /* Nothing is delayed by it, and once all are in the session it waits. */
    loop_until(&w.shard, w.is_waiting);
    ck_assert_int_eq(w.max_wait_ms, 600000);
    stop();
}
END_TEST

START_TEST(an_epoch_that_is_over_is_followed_again_only_by_leader_and_isr)
{
    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 4, 4);
    w.led[0].code = KAFKA_FENCED_LEADER_EPOCH;
    lead(0, LEADER, 1);
    loop_until(&w.shard, fetchers_counts(w.fetchers)->failed.value == 1);
    w.led[0].code = KAFKA_NONE;
    for (int i = 0; i < 20; i++)
        loop_turn(&w.shard);
    ck_assert_int_eq(view_of(0, 1).end, 0);
    lead(0, LEADER, 2);
    loop_until(&w.shard, view_of(0, 2).end == 4);
    ck_assert_int_eq(fetchers_counts(w.fetchers)->failed.value, 0);
    lead(0, SELF, 3); /* and one that leads follows nobody */
    ck_assert_int_eq(fetchers_counts(w.fetchers)->partitions.value, 0);
    loop_until(&w.shard, fetchers_counts(w.fetchers)->links.value == 0);
    stop();
}
END_TEST

/* The topic's list names partition 0 here; the quota lets through what it is. */
static void throttle(int64_t rate)
{
    int32_t zero = 0;
    struct topic_throttles throttles = {.follower = {.partitions = &zero, .count = 1}};

    w.settings.follower_throttle_rate = rate;
    w.settings.fetch_backoff_ms = 20;
    partitions_set_settings(w.partitions, &w.settings);
    fetchers_set_settings(w.fetchers, &w.settings);
    partitions_configure(w.partitions, TOPIC, &w.config, 1, &throttles);
}

START_TEST(a_follower_that_lags_does_not_ask_above_its_quota)
{
    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 3, 50); /* of 50 it gives three: it lags on */
    leader_has(1, (int[]){1, 0, -1}, 0, 3, 3);
    lead(0, LEADER, 1);
    lead(1, LEADER, 1);
    loop_until(&w.shard, w.is_waiting && view_of(0, 1).end == 3 && view_of(1, 1).end == 3);
    throttle(1);
    w.led[0].end = 6; /* some bytes that count: the quota is used up by them */
    w.led[1].end = 6;
    let_go();
    loop_until(&w.shard, w.is_waiting && view_of(0, 1).end == 6 && view_of(1, 1).end == 6);
    w.led[1].end = 9;
    let_go(); /* for one of them */
    loop_until(&w.shard, w.is_waiting && view_of(1, 1).end == 9);
    ck_assert(!w.led[0].is_in_session); /* the throttled one is not asked for, the other is */
    ck_assert(w.led[1].is_in_session);
    ck_assert_int_eq(view_of(0, 1).end, 6);

    throttle(INT64_MAX);
    w.led[0].end = 50;
    w.led[1].end = 12;
    let_go();
    loop_until(&w.shard, view_of(0, 1).end == 50);
    stop();
}
END_TEST

/* Its quota is used up, but it has all that is committed: acks=all must not wait for it. */
START_TEST(a_follower_that_keeps_up_asks_on_whatever_its_quota)
{
    start(LEVEL_3_9_IV0);
    leader_has(0, (int[]){1, 0, -1}, 0, 3, 0);
    lead(0, LEADER, 1);
    loop_until(&w.shard, w.is_waiting && view_of(0, 1).end == 3);
    throttle(1);
    for (int end = 6; end < 20; end += 3) {
        w.led[0].watermark = w.led[0].end;
        w.led[0].end = end;
        let_go();
        loop_until(&w.shard, w.is_waiting && view_of(0, 1).end == end);
        ck_assert(w.led[0].is_in_session);
    }
    stop();
}
END_TEST

START_TEST(partitions_of_a_shard_are_spread_evenly_over_its_links)
{
    for (int shards = 1; shards <= 4; shards++)
        for (int links = 1; links <= 4; links++) {
            int count[4][4] = {{0}};
            for (int32_t p = 0; p < 48; p++)
                count[partition_shard(TOPIC, p, shards)]
                     [fetchers_link_of(TOPIC, p, shards, links)]++;
            int total = 0, least = 48;
            for (int s = 0; s < shards; s++)
                for (int l = 0; l < links; l++) {
                    total += count[s][l];
                    least = count[s][l] < least ? count[s][l] : least;
                }
            ck_assert_int_eq(total, 48);
            ck_assert_int_ge(least, 48 / (shards * links));
        }
    /* As many as make the number together; one at least, not without end. */
    ck_assert_int_eq(fetchers_links(1, 1), 1);
    ck_assert_int_eq(fetchers_links(1, 4), 1);
    ck_assert_int_eq(fetchers_links(4, 4), 1);
    ck_assert_int_eq(fetchers_links(5, 4), 2);
    ck_assert_int_eq(fetchers_links(8, 4), 2);
    ck_assert_int_eq(fetchers_links(-1, 2), 1);
    ck_assert_int_eq(fetchers_links(INT32_MIN, 1), 1);
    ck_assert_int_eq(fetchers_links(INT32_MAX, 1), 16);
}
END_TEST

/* All that are fetched, each over its link's connection. */
static bool are_asked_over(int links)
{
    for (int p = 0; p < PARTITIONS; p++)
        for (int q = 0; q < PARTITIONS; q++)
            if (w.asked_by[p] == NULL ||
                (w.asked_by[p] == w.asked_by[q]) !=
                    (fetchers_link_of(TOPIC, p, 1, links) == fetchers_link_of(TOPIC, q, 1, links)))
                return false;
    return fetchers_counts(w.fetchers)->links.value == links;
}

START_TEST(several_fetchers_share_the_partitions_and_their_number_may_change)
{
    start(LEVEL_3_9_IV0);
    w.is_many = true;
    w.settings.fetchers = 2;
    fetchers_set_settings(w.fetchers, &w.settings);
    for (int p = 0; p < PARTITIONS; p++) {
        leader_has(p, (int[]){1, 0, -1}, 0, 4 + p, 4 + p);
        lead(p, LEADER, 1);
    }
    loop_until(&w.shard, are_asked_over(2));
    loop_until(&w.shard,
               view_of(0, 1).end == 4 && view_of(1, 1).end == 5 && view_of(2, 1).end == 6);
    ck_assert_int_eq(fetchers_counts(w.fetchers)->partitions.value, PARTITIONS);

    /* Fewer, while all wait; more again. Nothing is lost and nothing comes twice. */
    static const int32_t numbers[] = {1, 3, 2};
    for (int i = 0; i < 3; i++) {
        memset(w.asked_by, 0, sizeof(w.asked_by));
        for (int p = 0; p < PARTITIONS; p++)
            w.led[p].watermark = w.led[p].end += 1;
        w.settings.fetchers = numbers[i];
        fetchers_set_settings(w.fetchers, &w.settings);
        for (int p = 0; p < PARTITIONS; p++)
            loop_until(&w.shard, view_of(p, 1).end == 5 + p + i || (look_at_all(), false));
        loop_until(&w.shard, fetchers_counts(w.fetchers)->links.value == numbers[i]);
        ck_assert_int_eq(fetchers_counts(w.fetchers)->partitions.value, PARTITIONS);
    }
    ck_assert_int_eq(fetchers_counts(w.fetchers)->failed.value, 0);
    stop();
}
END_TEST

/* The leader has no slot for a session and gives one record to an answer, in the order of the
 * request. */
START_TEST(without_a_session_busy_partitions_leave_room_for_the_others)
{
    start(LEVEL_3_9_IV0);
    w.is_many = true;
    w.room_max = 1;
    for (int p = 0; p < PARTITIONS; p++) {
        leader_has(p, (int[]){1, 0, -1}, 0, 5, 5);
        lead(p, LEADER, 1);
    }
    while (view_of(2, 1).end < 5) {
        for (int p = 0; p < 2; p++) /* there is always more of them */
            w.led[p].end = view_of(p, 1).end + 5;
        look_at_all();
        loop_turn(&w.shard);
        ck_assert_int_lt(view_of(0, 1).end, 50);
    }
    ck_assert_int_ge(view_of(1, 1).end, 4);
    stop();
}
END_TEST

UNIT(partitions_of_a_shard_are_spread_evenly_over_its_links,
     several_fetchers_share_the_partitions_and_their_number_may_change,
     without_a_session_busy_partitions_leave_room_for_the_others,
     a_follower_that_lags_does_not_ask_above_its_quota,
     a_follower_that_keeps_up_asks_on_whatever_its_quota,
     what_is_above_the_watermark_stays_where_the_leader_has_it,
     fast_elections_are_undone_through_fetch, fast_elections_are_undone_by_asking_for_epochs,
     an_epoch_in_which_we_wrote_nothing_is_forgotten,
     a_follower_behind_the_leaders_start_begins_anew_there,
     a_follower_ahead_of_the_leaders_end_is_cut_to_it,
     a_lost_session_is_made_anew_and_nothing_is_missed,
     the_watermark_comes_with_the_next_answer_and_not_beyond_our_end,
     a_leader_that_was_gone_is_followed_on, one_that_errs_is_delayed_and_keeps_no_other_waiting,
     what_is_newly_followed_does_not_wait_for_the_wait_of_others,
     an_epoch_that_is_over_is_followed_again_only_by_leader_and_isr)
