#include "broker/api/fetch.h"
#include "base/ensure.h"
#include "base/map.h"
#include "broker/api/codes.h"
#include "broker/api/leaders.h"
#include "broker/log/aborted.h"
#include "cluster/image.h"
#include "cluster/options.h"
#include "wire/downconvert.h"
#include "wire/gen/fetch.h"
#include "wire/protocol.h"
#include <stdlib.h>

#define ORPHAN_CHECK_MS                                                                            \
    5000 /* a fetch whose connection has gone, or whose memory others wait for, ends within this   \
          */
#define NAMED_FEW           16
#define NAME_LEN_MAX        249
#define PARTITION_KEY_BYTES (sizeof(int32_t) + sizeof(struct uuid) + NAME_LEN_MAX)
#define SESSION_PARTS_MAX   1000000 /* remembered by all sessions of a broker */

/* Of a reply, at most: of one partition and its topic besides the name; of one broker; the rest. */
#define REPLY_ITEM_MAX 256
#define REPLY_NODE_MAX (64 + 2 * 255)
#define REPLY_REST_MAX 1024

/* Where versions differ. */
static bool fetch_has_ids(int version)
{
    return version >= 13;
}
static bool fetch_reads_followers(int version)
{
    return version >= 11;
}
static bool fetch_knows_v1(int version)
{
    return version >= 2; /* and from 4 on all formats */
}
static bool fetch_names_leaders(int version)
{
    return version >= 16;
}

/* One partition, in the order in which it is answered. */
struct fetch_item {
    struct slice topic; /* empty: an id that the metadata does not know */
    struct uuid topic_id;
    int32_t partition;
    int16_t code; /* without asking the owner */
    struct session_ask ask;
    struct read *read; /* NULL with `code` */
    int shard;
    int64_t len;    /* of the records that are sent */
    struct buf old; /* what a reader of an old format gets in place of the slice */
    bool is_old;
    enum err old_err;
    int64_t known; /* the high watermark that the session's follower was told; −1 */
};

enum fetch_kind { FETCH_WITHOUT_SESSION, FETCH_NEW_SESSION, FETCH_INCREMENTAL };

struct fetch {
    struct reads reads;
    struct request *request;
    struct fetch_shard *home;
    enum fetch_kind kind;
    int32_t session_id,
        session_epoch; /* epoch of the next request, as it was when this one began */
    bool is_follower, is_last;
    struct fetch_item *items;
    int count, asked;
    int64_t bytes, bytes_min;
    struct instant deadline;
    struct timer timer;
    struct post post; /* to another shard */
    int better_shard;
    struct wire_splices splices;
    struct fetch_item **sent; /* in order of splices */
    struct disk_job conversion;
};

int16_t fetch_code(enum err err, bool is_known, int version)
{
    switch ((int)err) {
    case ERR_OFFLINE:
    case ERR_IO:
        return version < 6 ? KAFKA_NOT_LEADER_OR_FOLLOWER : KAFKA_KAFKA_STORAGE_ERROR;
    case ERR_RANGE:
        return KAFKA_OFFSET_OUT_OF_RANGE;
    case ERR_UNSUPPORTED:
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    case ERR_DENIED: /* it would have to be converted, and the topic does not want that */
        return KAFKA_UNSUPPORTED_VERSION;
    case ERR_CORRUPT:
    case ERR_INVALID_RECORD:
        return KAFKA_CORRUPT_MESSAGE;
    default:
        return codes_of_partition(err, is_known);
    }
}

/* ---- the reply ---- */

static bool is_special(const struct fetch_item *item)
{
    return item->read != NULL && item->read->err == ERR_OK &&
           (item->read->diverges || item->read->preferred >= 0);
}

static int16_t code_of(const struct fetch *fetch, const struct fetch_item *item)
{
    const struct read *read = item->read;

    if (read == NULL) return item->code;
    if (read->err == ERR_OK && read->is_zstd && fetch->request->version < 10)
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    return fetch_code(read->err, true, fetch->request->version);
}

/* Null for those who read everything. */
static void fill_aborted(struct fetch *fetch, const struct read *read,
                         struct fetch_response_topic_partition *out)
{
    const struct fetch_request *in = fetch->request->body;

    out->aborted_transactions.count = -1;
    if (in->isolation_level != 1 || out->error_code != KAFKA_NONE) return;
    int count = read == NULL ? 0 : read->aborted_count;
    out->aborted_transactions.count = count;
    out->aborted_transactions.at =
        arena_zalloc(&fetch->request->arena, sizeof(*out->aborted_transactions.at) * (size_t)count);
    for (int i = 0; i < count; i++) {
        out->aborted_transactions.at[i].producer_id = read->aborted[i].producer_id;
        out->aborted_transactions.at[i].first_offset = read->aborted[i].first_offset;
    }
}

static void fill_partition(struct fetch *fetch, struct leaders *leaders, struct fetch_item *item,
                           struct fetch_response_topic_partition *out)
{
    const struct read *read = item->read;
    int16_t code = code_of(fetch, item);
    bool is_ok = code == KAFKA_NONE;

    out->partition_index = item->partition;
    out->error_code = code;
    out->high_watermark = is_ok ? read->high_watermark : -1;
    out->last_stable_offset = is_ok ? read->last_stable : -1;
    out->log_start_offset = is_ok ? read->log_start_here : -1;
    out->diverging_epoch.epoch = -1;
    out->diverging_epoch.end_offset = -1;
    out->current_leader.leader_id = out->current_leader.leader_epoch = -1;
    out->snapshot_id.epoch = -1;
    out->snapshot_id.end_offset = -1;
    out->preferred_read_replica = is_ok ? read->preferred : -1;
    fill_aborted(fetch, read, out);
    out->records = slice_of("", 0);
    if (is_ok && read->diverges) {
        out->diverging_epoch.epoch = read->diverging.epoch;
        out->diverging_epoch.end_offset = read->diverging.end_offset;
    }
    if (is_ok && item->len > 0) /* the pointer is only a mark: what is sent is told by `sent` */
        out->records = slice_of(item, (size_t)item->len);
    if (fetch_names_leaders(fetch->request->version) &&
        (code == KAFKA_NOT_LEADER_OR_FOLLOWER || code == KAFKA_FENCED_LEADER_EPOCH)) {
        struct leader_hint hint;
        leaders_hint(leaders, fetch->request, item->topic, item->partition,
                     read == NULL ? -1 : read->leader, read == NULL ? -1 : read->leader_epoch_here,
                     &hint);
        out->current_leader.leader_id = hint.leader;
        out->current_leader.leader_epoch = hint.leader_epoch;
    }
}

static void fill_nodes(struct arena *arena, const struct leaders *leaders,
                       struct fetch_response *out)
{
    if (leaders->count == 0) return;
    out->node_endpoints.count = leaders->count;
    out->node_endpoints.at =
        arena_zalloc(arena, sizeof(*out->node_endpoints.at) * (size_t)leaders->count);
    for (int i = 0; i < leaders->count; i++) {
        out->node_endpoints.at[i].node_id = leaders->at[i].id;
        out->node_endpoints.at[i].host = leaders->at[i].host;
        out->node_endpoints.at[i].port = leaders->at[i].port;
        out->node_endpoints.at[i].rack = leaders->at[i].rack;
    }
}

static bool is_same_topic(const struct fetch_item *a, const struct fetch_item *b)
{
    return uuid_equal(a->topic_id, b->topic_id) && slice_equal(a->topic, b->topic);
}

/* In the order of processing; neighbours of one topic share an entry, so that a topic may come
 * twice. */
static void fill_topics(struct fetch *fetch, struct fetch_item **named, int count,
                        struct fetch_response *out)
{
    struct arena *arena = &fetch->request->arena;
    struct fetch_response_topic_partition *parts =
        arena_zalloc(arena, sizeof(*parts) * (size_t)count);
    struct leaders leaders;

    leaders_init(&leaders, arena);
    fetch->sent = arena_zalloc(arena, sizeof(*fetch->sent) * (size_t)count);
    out->responses.at = arena_zalloc(arena, sizeof(*out->responses.at) * (size_t)count);
    out->responses.count = 0;
    int sent = 0;
    for (int i = 0; i < count; i++) {
        struct fetch_item *item = named[i];
        struct fetch_response_topic *topic = NULL;

        if (i == 0 || !is_same_topic(named[i - 1], item)) {
            topic = &out->responses.at[out->responses.count++];
            topic->topic = item->topic;
            topic->topic_id = item->topic_id;
            topic->partitions.at = &parts[i];
            topic->partitions.count = 0;
        } else {
            topic = &out->responses.at[out->responses.count - 1];
        }
        fill_partition(fetch, &leaders, item, &topic->partitions.at[topic->partitions.count++]);
        if (parts[i].records.len > 0) fetch->sent[sent++] = item;
    }
    fill_nodes(arena, &leaders, out);
}

static struct session_told told_of(const struct fetch *fetch, const struct fetch_item *item)
{
    bool is_ok = code_of(fetch, item) == KAFKA_NONE;

    return (struct session_told){
        .high_watermark = is_ok ? item->read->high_watermark : -1,
        .log_start = is_ok ? item->read->log_start_here : -1,
        .has_records = is_ok && item->len > 0,
        .has_error = !is_ok,
        .is_special = is_special(item),
    };
}

static struct session_part *part_of(const struct session *session, const struct fetch_item *item)
{
    return session_part_of(session, item->ask.topic, item->ask.topic_id, item->ask.partition);
}

/* What an incremental reply names. The session may have moved on, or gone, while this one waited.
 */
static int name_news(struct fetch *fetch, struct fetch_item **named, struct fetch_response *out)
{
    struct session *session = sessions_find(&fetch->home->sessions, fetch->session_id);
    int count = 0;

    out->session_id = fetch->session_id;
    if (session == NULL) {
        out->session_id = 0;
        out->error_code = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
        return 0;
    }
    if (session->epoch != fetch->session_epoch) {
        out->error_code = KAFKA_INVALID_FETCH_SESSION_EPOCH;
        return 0;
    }
    for (int i = 0; i < fetch->count; i++) {
        struct session_told told = told_of(fetch, &fetch->items[i]);
        if (session_tell(session, part_of(session, &fetch->items[i]), &told))
            named[count++] = &fetch->items[i];
    }
    return count;
}

static int32_t make_session(struct fetch *fetch)
{
    struct sessions *sessions = &fetch->home->sessions;
    struct api_shard *api = fetch->request->at;
    struct session *session = sessions_create(
        sessions, fetch->is_follower, fetch_has_ids(fetch->request->version), (size_t)fetch->count,
        shard_now(api->shard), env_random(api->shard->env, "fetch session"));

    if (session == NULL) return 0;
    for (int i = 0; i < fetch->count; i++) {
        struct session_told told = told_of(fetch, &fetch->items[i]);
        if (session_ask(sessions, session, &fetch->items[i].ask) != ERR_OK) {
            sessions_close(sessions, session->id);
            return 0;
        }
        session_tell(session, part_of(session, &fetch->items[i]), &told);
    }
    return session->id;
}

static void fetch_sent(struct request *request)
{
    struct fetch *fetch = request->state;

    for (int i = 0; i < fetch->count; i++)
        buf_fini(&fetch->items[i].old);
    reads_release(&fetch->reads);
    wire_splices_fini(&fetch->splices);
}

static struct reply_piece piece_of(const struct fetch_item *item)
{
    if (item->is_old) return (struct reply_piece){.bytes = buf_slice(&item->old)};
    return (struct reply_piece){
        .file = log_slice_file(&item->read->slice),
        .position = (uint64_t)item->read->slice.position,
        .len = (size_t)item->len,
    };
}

static void send_reply(struct fetch *fetch, const struct fetch_response *out)
{
    struct request *request = fetch->request;
    struct buf *buf = &request->out;

    wire_splices_init(&fetch->splices);
    buf_clear(buf);
    request_write_head(request, buf);
    wire_write_spliced(buf, request->version, &fetch_response_wire, out, &fetch->splices);

    size_t splices = fetch->splices.count;
    struct reply_piece *pieces = arena_zalloc(&request->arena, sizeof(*pieces) * (2 * splices + 1));
    struct slice rest = buf_slice(buf);
    size_t begin = 0;
    int count = 0;
    for (size_t i = 0; i < splices; i++) {
        size_t at = fetch->splices.list[i].at;
        if (at > begin) pieces[count++].bytes = slice_of(rest.ptr + begin, at - begin);
        pieces[count++] = piece_of(fetch->sent[i]);
        begin = at;
    }
    if (rest.len > begin) pieces[count++].bytes = slice_of(rest.ptr + begin, rest.len - begin);
    request_send(request, pieces, count, fetch_sent);
}

/* Of followers in sync too: they are not held back, but they use the quota. */
static void count_throttled(const struct fetch *fetch)
{
    uint64_t bytes = 0;

    for (int i = 0; i < fetch->count; i++)
        if (fetch->items[i].read != NULL && fetch->items[i].read->is_throttled)
            bytes += (uint64_t)fetch->items[i].len;
    if (bytes > 0) partitions_sent(fetch->request->at->partitions, bytes);
}

static void finish(struct fetch *fetch)
{
    struct request *request = fetch->request;
    struct fetch_item **named =
        arena_zalloc(&request->arena, sizeof(struct fetch_item *) * (size_t)fetch->count);
    struct fetch_response out;
    int count = 0;

    timer_cancel(request->at->shard, &fetch->timer);
    if (fetch->is_follower) count_throttled(fetch);
    wire_default(&fetch_response_wire, &out);
    switch (fetch->kind) {
    case FETCH_INCREMENTAL:
        count = name_news(fetch, named, &out);
        break;
    case FETCH_NEW_SESSION:
        out.session_id = make_session(fetch);
        __attribute__((fallthrough));
    case FETCH_WITHOUT_SESSION:
        for (; count < fetch->count; count++)
            named[count] = &fetch->items[count];
        break;
    }
    fill_topics(fetch, named, count, &out);
    send_reply(fetch, &out);
}

/* ---- for readers of old formats ---- */

#define OPENED_BYTES_MAX ((size_t)256 << 20)

static void convert_item(struct fetch *fetch, struct fetch_item *item)
{
    struct downconvert how = {
        .magic = fetch_knows_v1(fetch->request->version) ? 1 : 0,
        .offset = item->ask.offset,
        .bytes_max = item->ask.bytes_max < 0 ? 0 : (size_t)item->ask.bytes_max,
        .opened_max = OPENED_BYTES_MAX,
    };
    uint8_t *bytes = ensure_malloc((size_t)item->len);
    size_t n = 0;

    item->old_err =
        file_read_at(fetch->conversion.home->env, log_slice_file(&item->read->slice),
                     (uint64_t)item->read->slice.position, bytes, (size_t)item->len, &n);
    struct slice set = slice_of(bytes, n);
    if (item->old_err == ERR_OK && downconvert_is_needed(set, how.magic)) {
        /* A follower gets it in any case. */
        item->old_err = fetch->is_follower || item->read->downconverts
                            ? downconvert(set, &how, &item->old)
                            : ERR_DENIED;
        item->is_old = true;
    }
    free(bytes);
}

static void convert_run(struct disk_job *job)
{
    struct fetch *fetch = list_entry(job, struct fetch, conversion);

    for (int i = 0; i < fetch->count; i++)
        if (fetch->items[i].len > 0) convert_item(fetch, &fetch->items[i]);
}

static void convert_done(struct disk_job *job)
{
    struct fetch *fetch = list_entry(job, struct fetch, conversion);
    size_t bytes = 0;

    for (int i = 0; i < fetch->count; i++) {
        struct fetch_item *item = &fetch->items[i];
        if (item->len == 0) continue;
        item->read->err = item->old_err;
        if (item->is_old) item->len = (int64_t)item->old.len;
        if (item->old_err != ERR_OK) item->len = 0;
        bytes += item->old.len;
    }
    block_charge(request_block(fetch->request), bytes);
    finish(fetch);
}

/* What the log has is read, opened and written anew where a job may take its time. */
static void convert_and_finish(struct fetch *fetch)
{
    struct shard *shard = fetch->request->at->shard;

    timer_cancel(shard, &fetch->timer);
    if (fetch->request->version >= 4 || fetch->bytes == 0) {
        finish(fetch);
        return;
    }
    fetch->conversion = (struct disk_job){.home = shard, .run = convert_run, .done = convert_done};
    disk_submit(shard->env, shard->disk, DISK_SOON, shard, &fetch->conversion);
}

/* ---- passes ---- */

/* A follower that consumers read from hears of the watermark at once: they wait for it. */
static bool is_awaited(const struct fetch *fetch, const struct fetch_item *item)
{
    return fetch->is_follower && fetch->request->at->process->reads_by_rack && item->known >= 0 &&
           item->read->high_watermark > item->known;
}

/* What goes into the reply, in order, of what the owners found: together no more than was asked,
 * but the first batch whole. Owners read side by side, each as if it were alone. */
static bool share_out(struct fetch *fetch)
{
    int64_t left = fetch->reads.bytes_max;
    bool is_urgent = false;
    bool is_first = fetch->reads.at_least_one;

    fetch->bytes = 0;
    for (int i = 0; i < fetch->count; i++) {
        struct fetch_item *item = &fetch->items[i];
        struct read *read = item->read;

        item->len = 0;
        if (read == NULL) continue;
        if (read->err != ERR_OK || is_special(item)) {
            is_urgent = true;
            continue;
        }
        is_urgent = is_urgent || is_awaited(fetch, item);
        if (read->slice.len == 0 || (read->slice.len > left && !is_first)) continue;
        item->len = read->slice.len;
        fetch->bytes += item->len;
        left = item->len >= left ? 0 : left - item->len;
        is_first = false;
    }
    return is_urgent;
}

static void arm(struct fetch *fetch)
{
    struct shard *shard = fetch->request->at->shard;

    timer_arm(shard, &fetch->timer,
              instant_min(fetch->deadline, instant_add_ms(shard_now(shard), ORPHAN_CHECK_MS)));
}

static void passed(struct reads *reads)
{
    struct fetch *fetch = list_entry(reads, struct fetch, reads);
    bool is_urgent = share_out(fetch);
    /* Nobody waits on memory that others need to be read at all. */
    bool is_late = instant_reached(shard_now(fetch->request->at->shard), fetch->deadline) ||
                   conn_limits_are_reached(&fetch->request->at->limits);

    if (fetch->is_last || is_urgent || is_late || fetch->asked == 0 ||
        fetch->bytes >= fetch->bytes_min) {
        convert_and_finish(fetch);
        return;
    }
    request_waits(fetch->request);
    reads_watch(reads, fetch->bytes_min - fetch->bytes);
    arm(fetch);
}

static void more(struct reads *reads)
{
    struct fetch *fetch = list_entry(reads, struct fetch, reads);

    timer_cancel(fetch->request->at->shard, &fetch->timer);
    reads_pass(reads, false);
}

static void timed_out(struct timer *timer)
{
    struct fetch *fetch = list_entry(timer, struct fetch, timer);

    if (instant_reached(shard_now(fetch->request->at->shard), fetch->deadline) ||
        request_is_orphan(fetch->request) || conn_limits_are_reached(&fetch->request->at->limits)) {
        fetch->is_last = true;
        reads_hurry(&fetch->reads);
    } else {
        arm(fetch);
    }
}

/* ---- the request ---- */

static void refuse_session(struct request *request, int16_t code)
{
    struct fetch_response out;

    wire_default(&fetch_response_wire, &out);
    out.error_code = code;
    request_reply(request, &out);
}

/* Name by id, or id by name, from the metadata; what can be said without the owner. */
static void resolve(struct fetch *fetch, struct fetch_item *item)
{
    const struct image *image = fetch->request->at->image;
    const struct image_topic *topic = NULL;
    struct image_partition unused;
    bool by_id = fetch_has_ids(fetch->request->version);

    topic = by_id ? image_topic_by_id(image, item->topic_id) : image_topic(image, item->topic);
    if (topic == NULL) {
        item->code = by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    /* The image is borrowed for the turn; the name has to live as long as the fetch. */
    if (by_id) item->topic = arena_copy(&fetch->request->arena, image_topic_name(topic));
    if (!image_topic_partition(topic, item->partition, &unused))
        item->code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static void add_item(struct fetch *fetch, const struct session_ask *ask)
{
    struct fetch_item *item = &fetch->items[fetch->count++];

    *item = (struct fetch_item){
        .topic = ask->topic,
        .topic_id = ask->topic_id,
        .partition = ask->partition,
        .ask = *ask,
        .shard = -1,
        .known = -1,
    };
    resolve(fetch, item);
}

static int asked_count(const struct fetch_request *in)
{
    int count = 0;

    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partitions.count > 0) count += in->topics.at[t].partitions.count;
    return count;
}

static struct session_ask ask_of(const struct fetch_request_topic *topic,
                                 const struct fetch_request_topic_partition *part)
{
    return (struct session_ask){
        .topic = topic->topic,
        .topic_id = topic->topic_id,
        .partition = part->partition,
        .leader_epoch = part->current_leader_epoch,
        .offset = part->fetch_offset,
        .last_epoch = part->last_fetched_epoch,
        .log_start = part->log_start_offset,
        .bytes_max = part->partition_max_bytes,
    };
}

/* Which partition it is: its number, the id, the name. Of names that no topic has, the beginning.
 */
static struct slice key_of(const struct session_ask *ask, uint8_t key[PARTITION_KEY_BYTES])
{
    size_t len = ask->topic.len < NAME_LEN_MAX ? ask->topic.len : NAME_LEN_MAX;

    memcpy(key, &ask->partition, sizeof(ask->partition));
    memcpy(key + sizeof(ask->partition), ask->topic_id.bytes, sizeof(ask->topic_id.bytes));
    if (len > 0) memcpy(key + PARTITION_KEY_BYTES - NAME_LEN_MAX, ask->topic.ptr, len);
    return slice_of(key, PARTITION_KEY_BYTES - NAME_LEN_MAX + len);
}

/* Few are looked through; of many there is a table. */
static struct fetch_item *named_before(struct fetch *fetch, const struct map *many,
                                       const struct session_ask *ask)
{
    uint8_t key[PARTITION_KEY_BYTES], other[PARTITION_KEY_BYTES];
    struct slice wanted = key_of(ask, key);

    if (many != NULL) return map_get(many, wanted);
    for (int i = 0; i < fetch->count; i++)
        if (slice_equal(key_of(&fetch->items[i].ask, other), wanted)) return &fetch->items[i];
    return NULL;
}

/* A partition that is named twice is fetched once, as it was named last. */
static void take_full(struct fetch *fetch)
{
    const struct fetch_request *in = fetch->request->body;
    int count = asked_count(in);
    bool is_many = count > NAMED_FEW;
    uint8_t key[PARTITION_KEY_BYTES];
    struct map many;

    map_init(&many);
    fetch->items = arena_zalloc(&fetch->request->arena, sizeof(*fetch->items) * (size_t)count);
    for (int32_t t = 0; t < in->topics.count; t++) {
        const struct fetch_request_topic *topic = &in->topics.at[t];
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            struct session_ask ask = ask_of(topic, &topic->partitions.at[p]);
            struct fetch_item *before = named_before(fetch, is_many ? &many : NULL, &ask);
            if (before != NULL) {
                before->ask = ask;
                continue;
            }
            if (is_many) map_set(&many, key_of(&ask, key), &fetch->items[fetch->count]);
            add_item(fetch, &ask);
        }
    }
    map_fini(&many);
}

static enum err update_session(struct fetch *fetch, struct session *session)
{
    const struct fetch_request *in = fetch->request->body;
    struct sessions *sessions = &fetch->home->sessions;
    enum err err = ERR_OK;

    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partitions.count && err == ERR_OK; p++) {
            struct session_ask ask = ask_of(&in->topics.at[t], &in->topics.at[t].partitions.at[p]);
            err = session_ask(sessions, session, &ask);
        }
    for (int32_t t = 0; t < in->forgotten_topics_data.count; t++) {
        const struct fetch_request_forgotten_topic *topic = &in->forgotten_topics_data.at[t];
        for (int32_t p = 0; p < topic->partitions.count; p++)
            session_forget(sessions, session, topic->topic, topic->topic_id,
                           topic->partitions.at[p]);
    }
    return err;
}

static void take_session(struct fetch *fetch, struct session *session)
{
    struct arena *arena = &fetch->request->arena;

    fetch->items = arena_zalloc(arena, sizeof(*fetch->items) * session->parts.count);
    list_each (node, &session->order) {
        const struct session_part *part = list_entry(node, struct session_part, order);
        struct session_ask ask = part->ask;
        /* The session may end before this fetch does. */
        ask.topic = arena_copy(arena, ask.topic);
        add_item(fetch, &ask);
        fetch->items[fetch->count - 1].known = part->high_watermark;
    }
}

/* What is to be fetched, by the session's rules. A code other than KAFKA_NONE is the whole reply.
 */
static int16_t begin_session(struct fetch *fetch)
{
    struct request *request = fetch->request;
    const struct fetch_request *in = request->body;
    struct sessions *sessions = &fetch->home->sessions;
    struct session *session = NULL;

    fetch->kind = FETCH_WITHOUT_SESSION;
    if (request->version < 7 || in->session_epoch <= 0) {
        if (in->session_id != 0) sessions_close(sessions, in->session_id);
        if (request->version >= 7 && in->session_epoch == 0) fetch->kind = FETCH_NEW_SESSION;
        take_full(fetch);
        return KAFKA_NONE;
    }
    enum err err =
        sessions_continue(sessions, in->session_id, in->session_epoch,
                          fetch_has_ids(request->version), shard_now(request->at->shard), &session);
    if (err == ERR_OK && update_session(fetch, session) != ERR_OK) {
        sessions_close(sessions, in->session_id);
        err = ERR_NOT_FOUND; /* as if it had been evicted: its client starts anew */
    }
    switch ((int)err) {
    case ERR_OK:
        break;
    case ERR_STALE:
        return KAFKA_INVALID_FETCH_SESSION_EPOCH;
    case ERR_INVALID:
        return KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    default:
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (session->parts.count == 0) {
        sessions_close(sessions, session->id);
        return KAFKA_NONE; /* nothing is left of it: an empty reply without a session */
    }
    fetch->kind = FETCH_INCREMENTAL;
    fetch->session_id = session->id;
    fetch->session_epoch = session->epoch;
    take_session(fetch, session);
    return KAFKA_NONE;
}

static void make_parts(struct fetch *fetch)
{
    struct request *request = fetch->request;
    struct arena *arena = &request->arena;
    struct reads *reads = &fetch->reads;
    int per_shard[SHARDS_MAX] = {0};

    for (int i = 0; i < fetch->count; i++) {
        struct fetch_item *item = &fetch->items[i];
        if (item->code != KAFKA_NONE) continue;
        item->shard = partition_shard(item->topic, item->partition, reads->shards);
        per_shard[item->shard]++;
        fetch->asked++;
    }
    reads->parts = arena_zalloc(arena, sizeof(*reads->parts) * (size_t)reads->shards);
    for (int shard = 0; shard < reads->shards; shard++)
        reads->parts[shard].at =
            arena_zalloc(arena, sizeof(struct read) * (size_t)per_shard[shard]);
    reads->watch.parts = arena_zalloc(arena, sizeof(*reads->watch.parts) *
                                                 (size_t)per_shard[request->at->shard->id]);

    for (int i = 0; i < fetch->count; i++) {
        struct fetch_item *item = &fetch->items[i];
        if (item->shard < 0) continue;
        struct reads_part *part = &reads->parts[item->shard];
        item->read = &part->at[part->count++];
        *item->read = (struct read){
            .topic = item->topic,
            .topic_id = item->topic_id,
            .partition = item->partition,
            .leader_epoch = item->ask.leader_epoch,
            .offset = item->ask.offset,
            .last_epoch = item->ask.last_epoch,
            .log_start = item->ask.log_start,
            .bytes_max = item->ask.bytes_max < 0 ? 0 : item->ask.bytes_max,
        };
    }
}

/* What a reply may take besides records, by what it names. */
static int64_t reply_overhead(const struct fetch *fetch)
{
    int64_t bytes = REPLY_REST_MAX;

    bytes += (int64_t)image_broker_count(fetch->request->at->image) * REPLY_NODE_MAX;
    for (int i = 0; i < fetch->count; i++)
        bytes += REPLY_ITEM_MAX + (int64_t)fetch->items[i].topic.len;
    return bytes;
}

static int32_t replica_of(const struct fetch_request *in)
{
    return in->replica_state.replica_id >= 0 ? in->replica_state.replica_id : in->replica_id;
}

static void set_limits(struct fetch *fetch)
{
    struct request *request = fetch->request;
    const struct fetch_request *in = request->body;
    struct reads *reads = &fetch->reads;
    int32_t replica = replica_of(in);
    int64_t most = options_int(request->at->process->options, OPTION_FETCH_MAX_BYTES);

    fetch->is_follower = replica >= 0;
    reads->reader = (struct read_by){
        .replica = replica,
        .broker_epoch = in->replica_state.replica_epoch,
        .is_committed = in->isolation_level == 1,
        .needs_leader = fetch->is_follower || !fetch_reads_followers(request->version),
        .takes_cut = request->version < 3,
        .rack = in->rack_id,
        .listener = request->listener,
    };
    /* All of it has to fit into a frame, whatever was configured. */
    int64_t room = INT32_MAX - reply_overhead(fetch);
    if (most > room) most = room;
    reads->bytes_max = in->max_bytes < most ? in->max_bytes : most;
    if (reads->bytes_max < 0) reads->bytes_max = 0;
    reads->at_least_one = request->version >= 3;
    fetch->bytes_min = in->min_bytes < reads->bytes_max ? in->min_bytes : reads->bytes_max;
    fetch->deadline = in->max_wait_ms <= 0
                          ? shard_now(request->at->shard)
                          : instant_add_ms(shard_now(request->at->shard), in->max_wait_ms);
}

/* Where most of what a follower will fetch lives. Its fetchers ask, each on a connection of its
 * own, for what one of its shards follows, and as many shards here spread partitions in the same
 * way: at the right one a Fetch needs no other shard. */
static int shard_of_most(const struct request *request)
{
    const struct fetch_request *in = request->body;
    const struct image *image = request->at->image;
    int shards = request->at->process->shards, best = request->at->shard->id;
    int count[SHARDS_MAX] = {0};

    for (int32_t t = 0; t < in->topics.count; t++) {
        const struct fetch_request_topic *asked = &in->topics.at[t];
        struct slice name = asked->topic;
        if (fetch_has_ids(request->version)) {
            const struct image_topic *topic = image_topic_by_id(image, asked->topic_id);
            if (topic == NULL) continue;
            name = image_topic_name(topic);
        }
        for (int32_t p = 0; p < asked->partitions.count; p++)
            count[partition_shard(name, asked->partitions.at[p].partition, shards)]++;
    }
    for (int i = 0; i < shards; i++)
        if (count[i] > count[best]) best = i;
    return best;
}

static void begin(struct fetch *fetch)
{
    struct request *request = fetch->request;
    size_t before = request->arena.used;

    counter_add(&partitions_counts(request->at->partitions)->fetch_requests, 1);
    int16_t code = begin_session(fetch);

    if (code != KAFKA_NONE) {
        refuse_session(request, code);
        return;
    }
    set_limits(fetch);
    make_parts(fetch);
    block_charge(request_block(request), request->arena.used - before);
    reads_pass(&fetch->reads, true);
}

static void move(struct post *post)
{
    struct fetch *fetch = list_entry(post, struct fetch, post);

    if (!request_move(fetch->request, fetch->better_shard)) begin(fetch);
}

static void handle(struct request *request)
{
    struct fetch *fetch = arena_zalloc(&request->arena, sizeof(*fetch));
    const struct fetch_request *in = request->body;

    fetch->request = request;
    request->state = fetch;
    fetch->home = request->at->fetches;
    fetch->timer.fire = timed_out;
    fetch->reads.home = &fetch->home->reads;
    fetch->reads.shards = request->at->process->shards;
    fetch->reads.passed = passed;
    fetch->reads.more = more;
    fetch->better_shard = request->at->shard->id;
    request->is_of_follower = replica_of(in) >= 0;
    /* Only where a session begins: it stays where it was made. */
    if (replica_of(in) >= 0 && request->version >= 7 && in->session_epoch == 0)
        fetch->better_shard = shard_of_most(request);
    if (fetch->better_shard == request->at->shard->id) {
        begin(fetch);
        return;
    }
    fetch->post.run = move;
    shard_post(request->at->shard, &fetch->post);
}

static const void *refuse(struct request *request, int16_t code)
{
    const struct fetch_request *in = request->body;
    struct fetch_response *out = arena_zalloc(&request->arena, sizeof(*out));
    struct fetch fetch = {.request = request, .home = request->at->fetches};
    int count = asked_count(in);
    struct fetch_item **named =
        arena_zalloc(&request->arena, sizeof(struct fetch_item *) * (size_t)count);

    wire_default(&fetch_response_wire, out);
    out->error_code = code;
    take_full(&fetch);
    for (int i = 0; i < fetch.count; i++) {
        fetch.items[i].code = code;
        named[i] = &fetch.items[i];
    }
    fill_topics(&fetch, named, fetch.count, out);
    return out;
}

const struct api fetch_api = {
    .key = API_FETCH,
    .version_min = 0,
    .version_max = 17,
    .request_wire = &fetch_request_wire,
    .response_wire = &fetch_response_wire,
    .request_size = sizeof(struct fetch_request),
    .place = API_HERE,
    .handle = handle,
    .refuse = refuse,
};

struct fetch_shard *fetch_open(struct api_shard *api, struct msg_routes *routes, int session_slots)
{
    struct fetch_shard *fetches = ensure_zalloc(sizeof(*fetches));
    int shards = api->process->shards;

    reads_open(&fetches->reads, api, routes);
    sessions_init(&fetches->sessions, session_slots, (size_t)(SESSION_PARTS_MAX / shards),
                  api->shard->id, shards);
    api->fetches = fetches;
    return fetches;
}

void fetch_close(struct fetch_shard **fetches)
{
    struct fetch_shard *it = *fetches;

    if (it == NULL) return;
    it->reads.api->fetches = NULL;
    sessions_fini(&it->sessions);
    reads_close(&it->reads);
    free(it);
    *fetches = NULL;
}
