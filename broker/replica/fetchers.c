#include "broker/replica/fetchers.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "broker/replica/fetcher.h"
#include "cluster/level.h"
#include "wire/gen/fetch.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/offset_for_leader_epoch.h"
#include "wire/protocol.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_MS       50
#define RECONNECT_MS_MAX   1000
#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_SPARE_BYTES ((size_t)128 << 20) /* a first batch comes whole, whatever its size */
#define DECODED_BYTES_MAX  ((size_t)256 << 20)
#define TIMEOUT_SPARE_MS   1000

/* One partition that this shard follows. */
struct followed {
    struct list_node node; /* of its link */
    struct link *link;
    struct fetcher machine;
    bool has_begun;
    bool is_asked; /* in the request under way, at … */
    int64_t asked_offset;
    /* What the leader's session has of it. */
    bool is_in_session;
    struct session_sent {
        int64_t offset, log_start;
        int32_t leader_epoch, last_epoch;
    } sent;
    struct follower_view view; /* as of the last look */
    int32_t partition;
    size_t topic_len;
    char topic[];
};

enum link_call { LINK_IDLE, LINK_EPOCHS, LINK_OFFSETS, LINK_FETCH };

/* The way to one leader broker. */
struct link {
    struct list_node node; /* of fetchers */
    struct fetchers *of;
    int32_t broker;
    struct peer *peer; /* NULL: its address is not known */
    struct net_address address;
    struct list followed;
    int count;
    enum link_call doing;
    struct peer_call call;
    struct conn_limits limits;
    struct post post;
    struct timer timer;
    struct arena arena; /* of a request, then of its answer */

    /* The session at the leader, as the asking side knows it. */
    int32_t session_id, session_epoch;
    bool has_ids;          /* the session is by topic ids */
    struct list forgotten; /* followed: gone, to be said in the next Fetch, then freed */
    int asked;             /* partitions in a full request */
    bool is_closing;
};

struct fetchers {
    struct shard *shard;
    struct fetchers_options options;
    struct map by_name; /* topic and partition → followed */
    struct list links;
    int closing;
    bool is_closing;
    void (*closed)(void *to);
    void *closed_to;
    struct fetchers_counts counts;
};

static struct slice topic_of(const struct followed *it)
{
    return slice_of(it->topic, it->topic_len);
}

/* ---- the table ---- */

struct key {
    uint8_t bytes[256 + 4];
    size_t len;
};

static struct slice key_of(struct key *key, struct slice topic, int32_t partition)
{
    ensure(topic.len <= 256);
    memcpy(key->bytes, &partition, sizeof(partition));
    memcpy(key->bytes + sizeof(partition), topic.ptr, topic.len);
    key->len = sizeof(partition) + topic.len;
    return slice_of(key->bytes, key->len);
}

static struct followed *find(struct fetchers *fetchers, struct slice topic, int32_t partition)
{
    struct key key;

    return topic.len > 256 ? NULL : map_get(&fetchers->by_name, key_of(&key, topic, partition));
}

/* ---- versions by inter.broker.protocol.version ---- */

static int16_t fetch_version(enum level level)
{
    static const struct {
        enum level from;
        int16_t version;
    } table[] = {
        {LEVEL_3_9_IV0, 17},   {LEVEL_3_7_IV4, 16},   {LEVEL_3_5_IV1, 15},   {LEVEL_3_5_IV0, 14},
        {LEVEL_3_1_IV0, 13},   {LEVEL_2_7_IV1, 12},   {LEVEL_2_3_IV1, 11},   {LEVEL_2_1_IV2, 10},
        {LEVEL_2_0_IV1, 8},    {LEVEL_1_1_IV0, 7},    {LEVEL_0_11_0_IV1, 5}, {LEVEL_0_11_0_IV0, 4},
        {LEVEL_0_10_1_IV1, 3}, {LEVEL_0_10_0_IV0, 2}, {LEVEL_0_9_0, 1},      {LEVEL_0_8_0, 0},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (level >= table[i].from) return table[i].version;
    return 0;
}

static int16_t epochs_version(enum level level)
{
    return level >= LEVEL_2_8_IV0   ? 4
           : level >= LEVEL_2_3_IV1 ? 3
           : level >= LEVEL_2_1_IV1 ? 2
           : level >= LEVEL_2_0_IV0 ? 1
                                    : 0;
}

static int16_t offsets_version(enum level level)
{
    return level >= LEVEL_3_9_IV0      ? 9
           : level >= LEVEL_3_5_IV0    ? 8
           : level >= LEVEL_3_0_IV1    ? 7
           : level >= LEVEL_2_8_IV0    ? 6
           : level >= LEVEL_2_2_IV1    ? 5
           : level >= LEVEL_2_1_IV1    ? 4
           : level >= LEVEL_2_0_IV1    ? 3
           : level >= LEVEL_0_11_0_IV0 ? 2
                                       : 1;
}

static enum level level_of(const struct fetchers *fetchers)
{
    return (enum level)fetchers->options.settings.level;
}

/* ---- events of a partition's machine ---- */

static struct fetcher_log log_of(const struct follower_view *view)
{
    return (struct fetcher_log){.start = view->start,
                                .end = view->end,
                                .high_watermark = view->high_watermark,
                                .latest_epoch = view->latest.epoch};
}

static void step(struct followed *it, struct fetcher_event event);

/* The log is no follower's at this epoch any more: LeaderAndIsr has said, or will say, what
 * follows. */
static bool is_overtaken(enum err err)
{
    return err == ERR_STALE || err == ERR_NOT_FOUND || err == ERR_OFFLINE;
}

static void refused(struct followed *it, enum err err)
{
    bool may_pass = err == ERR_CORRUPT || err == ERR_FULL || err == ERR_TOO_MANY;

    if (is_overtaken(err)) {
        step(it, (struct fetcher_event){.type = FETCHER_FENCED});
        return;
    }
    log_warn("replica", "follower_log_refused", "topic=%.*s partition=%d leader=%d err=%s",
             SLICE_ARGS(topic_of(it)), it->partition, it->link->broker, err_name(err));
    step(it, (struct fetcher_event){.type = may_pass ? FETCHER_RETRY : FETCHER_BROKEN,
                                    .log = log_of(&it->view)});
}

static void cut(struct followed *it, const struct fetcher_effects *effects)
{
    struct partitions *partitions = it->link->of->options.partitions;
    int32_t epoch = it->machine.leader_epoch;
    enum err err = ERR_OK;

    log_info("replica", effects->restart ? "log_restarted" : "log_truncated",
             "topic=%.*s partition=%d leader=%d epoch=%d from=%lld to=%lld watermark=%lld",
             SLICE_ARGS(topic_of(it)), it->partition, it->link->broker, epoch,
             (long long)it->view.end, (long long)effects->offset,
             (long long)it->view.high_watermark);
    if (effects->restart)
        err = partitions_restart_at(partitions, topic_of(it), it->partition, epoch, effects->offset,
                                    &it->view);
    else
        err = partitions_truncate(partitions, topic_of(it), it->partition, epoch, effects->offset,
                                  &it->view);
    if (err == ERR_OK)
        step(it, (struct fetcher_event){.type = FETCHER_CUT, .log = log_of(&it->view)});
    else
        refused(it, err);
}

/* A cut is done and answered at once; that answer has no effect of its own. */
static void step(struct followed *it, struct fetcher_event event)
{
    struct fetcher_effects effects;

    event.now = shard_now(it->link->of->shard);
    fetcher_step(&it->machine, &event, &effects);
    if (effects.failed) {
        gauge_add(&it->link->of->counts.failed, 1);
        /* An epoch that is over is the way of every leader change; a log that refuses is not. */
        if (event.type == FETCHER_FENCED)
            log_info("replica", "follower_fenced", "topic=%.*s partition=%d leader=%d epoch=%d",
                     SLICE_ARGS(topic_of(it)), it->partition, it->link->broker,
                     it->machine.leader_epoch);
        else
            log_error("replica", "follower_failed", "topic=%.*s partition=%d leader=%d epoch=%d",
                      SLICE_ARGS(topic_of(it)), it->partition, it->link->broker,
                      it->machine.leader_epoch);
    }
    if (effects.cut && effects.offset == it->view.end)
        step(it, (struct fetcher_event){.type = FETCHER_CUT, .log = log_of(&it->view)});
    else if (effects.cut || effects.restart)
        cut(it, &effects);
}

static enum err look(struct followed *it)
{
    return partitions_follower(it->link->of->options.partitions, topic_of(it), it->partition,
                               it->machine.leader_epoch, &it->view);
}

static void begin(struct followed *it)
{
    enum err err = look(it);

    it->has_begun = true;
    if (err != ERR_OK) {
        refused(it, err);
        return;
    }
    step(it, (struct fetcher_event){.type = FETCHER_BEGINS, .log = log_of(&it->view)});
}

static void retry_all(struct link *link)
{
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (it->is_asked) step(it, (struct fetcher_event){.type = FETCHER_RETRY});
        it->is_asked = false;
    }
}

/* What a Kafka code of one partition means to its machine; false: it is no error. */
static bool step_for_code(struct followed *it, int16_t code)
{
    switch (code) {
    case KAFKA_NONE:
        return false;
    case KAFKA_OFFSET_OUT_OF_RANGE:
        step(it, (struct fetcher_event){.type = FETCHER_RANGE});
        return true;
    case KAFKA_FENCED_LEADER_EPOCH:
        step(it, (struct fetcher_event){.type = FETCHER_FENCED});
        return true;
    default:
        log_debug("replica", "fetch_refused", "topic=%.*s partition=%d leader=%d code=%d",
                  SLICE_ARGS(topic_of(it)), it->partition, it->link->broker, code);
        step(it, (struct fetcher_event){.type = FETCHER_RETRY});
        return true;
    }
}

static void diverged(struct followed *it, int type, int32_t epoch, int64_t end_offset)
{
    struct fetcher_event event = {.type = type, .epoch = epoch, .end_offset = end_offset};
    struct epoch_end own = {-1, -1};
    enum err err = look(it);

    if (err == ERR_OK && epoch >= 0)
        err = partitions_own_epoch_end(it->link->of->options.partitions, topic_of(it),
                                       it->partition, epoch, &own);
    if (err != ERR_OK) {
        refused(it, err);
        return;
    }
    event.log = log_of(&it->view);
    event.own_epoch = own.epoch;
    event.own_end = own.end_offset;
    step(it, event);
}

/* ---- a link's requests ---- */

static void run_link(struct post *post);
static void link_done(struct peer_call *call, enum err err, struct slice answer,
                      struct block *block);

static void wake(struct link *link)
{
    shard_post(link->of->shard, &link->post);
}

static void send_call(struct link *link, enum link_call doing, int16_t key, int16_t version,
                      const struct wire_struct *type, const void *body)
{
    const struct replica_settings *settings = &link->of->options.settings;

    memset(&link->call, 0, sizeof(link->call));
    link->doing = doing;
    link->call.api_key = key;
    link->call.version_min = link->call.version_max = version;
    link->call.timeout_ms = settings->fetch_socket_timeout_ms;
    link->call.done = link_done;
    wire_write(&link->call.body, version, type, body);
    counter_add(&link->of->counts.requests, 1);
    peer_send(link->peer, &link->call);
}

/* Partitions of a request stand in the link's order; neighbours of one topic share an entry. */
static bool is_next_topic(const struct followed *last, const struct followed *it)
{
    return last == NULL || !slice_equal(topic_of(last), topic_of(it));
}

static bool ask_epochs(struct link *link)
{
    struct instant now = shard_now(link->of->shard);
    struct offset_for_leader_epoch_request request;
    struct followed *last = NULL;
    int n = 0;

    wire_default(&offset_for_leader_epoch_request_wire, &request);
    request.replica_id = link->of->options.broker_id;
    request.topics.at =
        arena_zalloc(&link->arena, sizeof(*request.topics.at) * (size_t)link->count);
    request.topics.count = 0;
    struct offset_for_leader_epoch_request_topic_partition *parts =
        arena_zalloc(&link->arena, sizeof(*parts) * (size_t)link->count);
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (fetcher_wants(&it->machine, now) != FETCHER_WANTS_EPOCH_END) continue;
        if (is_next_topic(last, it)) {
            request.topics.at[request.topics.count].topic = topic_of(it);
            request.topics.at[request.topics.count++].partitions.at = &parts[n];
        }
        request.topics.at[request.topics.count - 1].partitions.count++;
        parts[n++] = (struct offset_for_leader_epoch_request_topic_partition){
            .partition = it->partition,
            .current_leader_epoch = it->machine.leader_epoch,
            .leader_epoch = it->machine.last_epoch,
        };
        it->is_asked = true;
        last = it;
    }
    if (n == 0) return false;
    send_call(link, LINK_EPOCHS, API_OFFSET_FOR_LEADER_EPOCH, epochs_version(level_of(link->of)),
              &offset_for_leader_epoch_request_wire, &request);
    return true;
}

static bool ask_offsets(struct link *link)
{
    struct instant now = shard_now(link->of->shard);
    struct list_offsets_request request;
    struct followed *last = NULL;
    int n = 0;

    wire_default(&list_offsets_request_wire, &request);
    request.replica_id = link->of->options.broker_id;
    request.topics.at =
        arena_zalloc(&link->arena, sizeof(*request.topics.at) * (size_t)link->count);
    request.topics.count = 0;
    struct list_offsets_request_topic_partition *parts =
        arena_zalloc(&link->arena, sizeof(*parts) * (size_t)link->count);
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        enum fetcher_want want = fetcher_wants(&it->machine, now);
        if (want != FETCHER_WANTS_END && want != FETCHER_WANTS_START) continue;
        if (is_next_topic(last, it)) {
            request.topics.at[request.topics.count].name = topic_of(it);
            request.topics.at[request.topics.count++].partitions.at = &parts[n];
        }
        request.topics.at[request.topics.count - 1].partitions.count++;
        parts[n++] = (struct list_offsets_request_topic_partition){
            .partition_index = it->partition,
            .current_leader_epoch = it->machine.leader_epoch,
            .timestamp = want == FETCHER_WANTS_END ? OFFSETS_LATEST : OFFSETS_EARLIEST,
        };
        it->is_asked = true;
        last = it;
    }
    if (n == 0) return false;
    send_call(link, LINK_OFFSETS, API_LIST_OFFSETS, offsets_version(level_of(link->of)),
              &list_offsets_request_wire, &request);
    return true;
}

/* ---- Fetch, as a session's asking side ---- */

static void forget_session(struct link *link)
{
    list_each (node, &link->followed)
        list_entry(node, struct followed, node)->is_in_session = false;
    list_each (node, &link->forgotten) {
        list_remove(node);
        free(list_entry(node, struct followed, node));
    }
    link->session_epoch = 0;
}

/* A new one next, the old one (if any) closed with it; `keeps_id`: it may still be there. */
static void reset_session(struct link *link, bool keeps_id)
{
    forget_session(link);
    if (!keeps_id) link->session_id = 0;
}

static struct session_sent sent_of(const struct followed *it)
{
    return (struct session_sent){
        .offset = it->machine.offset,
        .log_start = it->view.start,
        .leader_epoch = it->machine.leader_epoch,
        .last_epoch = it->machine.last_epoch,
    };
}

static bool is_same_sent(const struct session_sent *a, const struct session_sent *b)
{
    return a->offset == b->offset && a->log_start == b->log_start &&
           a->leader_epoch == b->leader_epoch && a->last_epoch == b->last_epoch;
}

/* Marks what is to be fetched. Counts it, and whether all of it has a topic id. */
static int mark_wanted(struct link *link, bool *have_ids)
{
    struct instant now = shard_now(link->of->shard);
    int count = 0;

    *have_ids = true;
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        it->is_asked = false;
        if (fetcher_wants(&it->machine, now) != FETCHER_WANTS_RECORDS) continue;
        enum err err = look(it);
        if (err != ERR_OK) {
            if (!is_overtaken(err)) refused(it, err);
            continue;
        }
        if (it->view.end != it->machine.offset) { /* truncation and fetch out of step: ours */
            refused(it, ERR_RANGE);
            continue;
        }
        it->is_asked = true;
        it->asked_offset = it->machine.offset;
        *have_ids = *have_ids && !uuid_is_zero(it->view.topic_id);
        count++;
    }
    return count;
}

static void fill_wanted(struct link *link, struct fetch_request *request, int16_t version)
{
    const struct replica_settings *settings = &link->of->options.settings;
    struct followed *last = NULL;
    int n = 0;

    request->topics.at =
        arena_zalloc(&link->arena, sizeof(*request->topics.at) * (size_t)link->count);
    request->topics.count = 0;
    struct fetch_request_topic_partition *parts =
        arena_zalloc(&link->arena, sizeof(*parts) * (size_t)link->count);
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        struct session_sent sent = sent_of(it);
        if (!it->is_asked || (it->is_in_session && is_same_sent(&it->sent, &sent))) continue;
        if (is_next_topic(last, it)) {
            struct fetch_request_topic *topic = &request->topics.at[request->topics.count++];
            topic->topic = version < 13 ? topic_of(it) : SLICE("");
            topic->topic_id = version < 13 ? UUID_ZERO : it->view.topic_id;
            topic->partitions.at = &parts[n];
        }
        request->topics.at[request->topics.count - 1].partitions.count++;
        parts[n++] = (struct fetch_request_topic_partition){
            .partition = it->partition,
            .current_leader_epoch = sent.leader_epoch,
            .fetch_offset = sent.offset,
            .last_fetched_epoch = sent.last_epoch,
            .log_start_offset = sent.log_start,
            .partition_max_bytes = settings->fetch_max_bytes,
        };
        it->sent = sent;
        it->is_in_session = true;
        last = it;
    }
}

static void add_forgotten(struct link *link, struct fetch_request *request,
                          const struct followed *it, int16_t version)
{
    struct fetch_request_forgotten_topic *to =
        &request->forgotten_topics_data.at[request->forgotten_topics_data.count++];

    to->topic = version < 13 ? arena_copy(&link->arena, topic_of(it)) : SLICE("");
    to->topic_id = version < 13 ? UUID_ZERO : it->view.topic_id;
    to->partitions.at = arena_zalloc(&link->arena, sizeof(int32_t));
    to->partitions.at[0] = it->partition;
    to->partitions.count = 1;
}

/* What the session has and this request does not want: delayed, truncating, or followed no more. */
static void fill_forgotten(struct link *link, struct fetch_request *request, int16_t version)
{
    size_t count = (size_t)link->count;

    list_each (node, &link->forgotten)
        count++;
    request->forgotten_topics_data.at =
        arena_zalloc(&link->arena, sizeof(*request->forgotten_topics_data.at) * count);
    request->forgotten_topics_data.count = 0;
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (!it->is_in_session || it->is_asked) continue;
        add_forgotten(link, request, it, version);
        it->is_in_session = false;
    }
    list_each (node, &link->forgotten) {
        struct followed *gone = list_entry(node, struct followed, node);
        struct followed *again = find(link->of, topic_of(gone), gone->partition);
        /* It is back already, and in the session under the same name: its new state says it all. */
        if (again == NULL || again->link != link || !again->is_asked ||
            !uuid_equal(again->view.topic_id, gone->view.topic_id))
            add_forgotten(link, request, gone, version);
        list_remove(node);
        free(gone);
    }
}

static bool ask_records(struct link *link)
{
    const struct fetchers_options *options = &link->of->options;
    const struct replica_settings *settings = &options->settings;
    int16_t version = fetch_version(level_of(link->of));
    struct fetch_request request;
    bool have_ids = false;
    int count = mark_wanted(link, &have_ids);

    if (count == 0) return false;
    if (version > 12 && !have_ids) version = 12;
    if (link->session_epoch > 0 && link->has_ids != (version > 12)) reset_session(link, true);
    link->has_ids = version > 12;
    if (link->session_epoch == 0) forget_session(link);

    wire_default(&fetch_request_wire, &request);
    if (version < 15) {
        request.replica_id = options->broker_id;
    } else {
        request.replica_state.replica_id = options->broker_id;
        request.replica_state.replica_epoch = options->ops->broker_epoch(options->owner);
    }
    request.max_wait_ms = settings->fetch_wait_ms_max;
    request.min_bytes = settings->fetch_min_bytes;
    request.max_bytes = settings->fetch_response_max_bytes;
    request.session_id = link->session_id;
    request.session_epoch = link->session_epoch;
    fill_wanted(link, &request, version);
    if (link->session_epoch > 0) fill_forgotten(link, &request, version);
    link->asked = count;
    send_call(link, LINK_FETCH, API_FETCH, version, &fetch_request_wire, &request);
    return true;
}

/* ---- answers ---- */

static void take_epochs(struct link *link, struct slice answer, int version)
{
    struct offset_for_leader_epoch_response response;

    if (wire_read(answer, version, &offset_for_leader_epoch_response_wire, &link->arena,
                  &response) != ERR_OK) {
        peer_disconnect(link->peer, ERR_CORRUPT);
        retry_all(link);
        return;
    }
    for (int32_t t = 0; t < response.topics.count; t++)
        for (int32_t p = 0; p < response.topics.at[t].partitions.count; p++) {
            const struct offset_for_leader_epoch_response_topic_partition *part =
                &response.topics.at[t].partitions.at[p];
            struct followed *it = find(link->of, response.topics.at[t].topic, part->partition);
            if (it == NULL || it->link != link || !it->is_asked) continue;
            it->is_asked = false;
            if (!step_for_code(it, part->error_code))
                diverged(it, FETCHER_EPOCH_END, part->leader_epoch, part->end_offset);
        }
    retry_all(link); /* those that the answer left out */
}

static void take_offsets(struct link *link, struct slice answer, int version)
{
    struct list_offsets_response response;

    if (wire_read(answer, version, &list_offsets_response_wire, &link->arena, &response) !=
        ERR_OK) {
        peer_disconnect(link->peer, ERR_CORRUPT);
        retry_all(link);
        return;
    }
    for (int32_t t = 0; t < response.topics.count; t++)
        for (int32_t p = 0; p < response.topics.at[t].partitions.count; p++) {
            const struct list_offsets_response_topic_partition *part =
                &response.topics.at[t].partitions.at[p];
            struct followed *it = find(link->of, response.topics.at[t].name, part->partition_index);
            if (it == NULL || it->link != link || !it->is_asked) continue;
            it->is_asked = false;
            if (step_for_code(it, part->error_code)) continue;
            enum err err = look(it);
            if (err != ERR_OK || part->offset < 0) {
                step(it, (struct fetcher_event){.type = FETCHER_RETRY});
                continue;
            }
            step(it, (struct fetcher_event){.type = it->machine.state == FETCHER_ASKING_END
                                                        ? FETCHER_END
                                                        : FETCHER_START,
                                            .end_offset = part->offset,
                                            .log = log_of(&it->view)});
        }
    retry_all(link);
}

static void take_partition(struct followed *it, const struct fetch_response_topic_partition *part)
{
    /* Changed while the answer was on its way: it belongs to another question. */
    if (it->machine.state != FETCHER_FETCHING || it->machine.offset != it->asked_offset) return;
    if (step_for_code(it, part->error_code)) return;
    if (part->diverging_epoch.epoch >= 0 || part->diverging_epoch.end_offset >= 0) {
        diverged(it, FETCHER_DIVERGES, part->diverging_epoch.epoch,
                 part->diverging_epoch.end_offset);
        return;
    }
    enum err err = partitions_replicate(it->link->of->options.partitions, topic_of(it),
                                        it->partition, it->machine.leader_epoch, part->records,
                                        part->high_watermark, part->log_start_offset, &it->view);
    if (err == ERR_OK)
        step(it, (struct fetcher_event){.type = FETCHER_APPENDED, .log = log_of(&it->view)});
    else if (!is_overtaken(err))
        refused(it, err);
}

/* By topic id there is no table: an answer names partitions in the order in which they were asked
 * for, or few of them, so that looking on from the last one found is soon done. */
static struct followed *find_answered(struct link *link, const struct fetch_response_topic *topic,
                                      int32_t partition, bool by_id, struct list_node **last)
{
    struct list_node *node = *last;

    if (!by_id) return find(link->of, topic->topic, partition);
    for (int i = 0; i <= link->count; i++, node = node->next) {
        struct followed *it = list_entry(node, struct followed, node);
        if (node == &link->followed.head || it->partition != partition ||
            !uuid_equal(it->view.topic_id, topic->topic_id))
            continue;
        *last = node->next;
        return it;
    }
    return NULL;
}

static bool note_session(struct link *link, const struct fetch_response *response)
{
    int answered = 0;

    if (response->error_code != KAFKA_NONE) {
        log_info("replica", "fetch_session_ended", "leader=%d code=%d", link->broker,
                 response->error_code);
        reset_session(link, response->error_code != KAFKA_FETCH_SESSION_ID_NOT_FOUND);
        if (response->error_code != KAFKA_FETCH_SESSION_ID_NOT_FOUND &&
            response->error_code != KAFKA_INVALID_FETCH_SESSION_EPOCH)
            retry_all(link);
        return false;
    }
    for (int32_t t = 0; t < response->responses.count; t++)
        answered += response->responses.at[t].partitions.count;
    if (link->session_epoch == 0) {
        if (answered != link->asked) {
            bool is_throttled = answered == 0 && response->throttle_time_ms > 0;
            if (!is_throttled)
                log_warn("replica", "fetch_answer_not_whole", "leader=%d asked=%d answered=%d",
                         link->broker, link->asked, answered);
            reset_session(link, false);
            return false;
        }
        link->session_id = response->session_id;
        link->session_epoch = response->session_id == 0 ? 0 : 1;
        return true;
    }
    if (response->session_id == 0) {
        reset_session(link, false);
        return true;
    }
    link->session_epoch = link->session_epoch == INT32_MAX ? 1 : link->session_epoch + 1;
    return true;
}

static void take_records(struct link *link, struct slice answer, int version)
{
    struct fetch_response response;

    if (wire_read(answer, version, &fetch_response_wire, &link->arena, &response) != ERR_OK) {
        log_warn("replica", "fetch_answer_corrupt", "leader=%d", link->broker);
        peer_disconnect(link->peer, ERR_CORRUPT);
        retry_all(link);
        reset_session(link, true);
        return;
    }
    if (!note_session(link, &response)) return;
    struct list_node *last = link->followed.head.next;
    for (int32_t t = 0; t < response.responses.count; t++) {
        const struct fetch_response_topic *topic = &response.responses.at[t];
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            struct followed *it = find_answered(
                link, topic, topic->partitions.at[p].partition_index, version > 12, &last);
            if (it != NULL && it->link == link && it->is_asked)
                take_partition(it, &topic->partitions.at[p]);
        }
    }
}

static void link_done(struct peer_call *call, enum err err, struct slice answer,
                      struct block *block)
{
    struct link *link = list_entry(call, struct link, call);
    enum link_call doing = link->doing;

    (void)block;
    link->doing = LINK_IDLE;
    arena_reset(&link->arena);
    if (err != ERR_OK) {
        counter_add(&link->of->counts.request_errors, 1);
        if (err != ERR_CANCELLED)
            log_info("replica", "fetch_failed", "leader=%d why=%s", link->broker, err_name(err));
        if (!link->is_closing) {
            retry_all(link);
            reset_session(link, true);
        }
        wake(link);
        return;
    }
    switch (doing) {
    case LINK_IDLE:
        break;
    case LINK_EPOCHS:
        take_epochs(link, answer, call->version);
        break;
    case LINK_OFFSETS:
        take_offsets(link, answer, call->version);
        break;
    case LINK_FETCH:
        take_records(link, answer, call->version);
        break;
    }
    arena_reset(&link->arena);
    wake(link);
}

/* ---- links ---- */

static void timer_fired(struct timer *timer)
{
    wake(list_entry(timer, struct link, timer));
}

static struct link *find_link(struct fetchers *fetchers, int32_t broker)
{
    list_each (node, &fetchers->links) {
        struct link *link = list_entry(node, struct link, node);
        if (link->broker == broker && !link->is_closing) return link;
    }
    return NULL;
}

static struct link *make_link(struct fetchers *fetchers, int32_t broker)
{
    struct link *link = ensure_zalloc(sizeof(*link));

    link->of = fetchers;
    link->broker = broker;
    link->post.run = run_link;
    link->timer.fire = timer_fired;
    list_init(&link->followed);
    list_init(&link->forgotten);
    arena_init(&link->arena, DECODED_BYTES_MAX);
    conn_limits_init(&link->limits);
    link->limits.frame_bytes_max =
        (size_t)fetchers->options.settings.fetch_response_max_bytes + ANSWER_SPARE_BYTES;
    link->limits.memory_bytes_max = link->limits.frame_bytes_max;
    list_push(&fetchers->links, &link->node);
    gauge_add(&fetchers->counts.links, 1);
    return link;
}

static void free_link(struct link *link)
{
    struct fetchers *fetchers = link->of;

    reset_session(link, false);
    shard_unpost(&link->post);
    timer_cancel(fetchers->shard, &link->timer);
    list_remove(&link->node);
    arena_fini(&link->arena);
    conn_limits_fini(&link->limits);
    free(link);
    gauge_add(&fetchers->counts.links, -1);
    if (fetchers->is_closing && list_is_empty(&fetchers->links))
        fetchers->closed(fetchers->closed_to);
}

static void link_closed(void *owner)
{
    free_link(owner);
}

static void close_link(struct link *link)
{
    link->is_closing = true;
    timer_cancel(link->of->shard, &link->timer);
    if (link->peer == NULL)
        free_link(link);
    else
        peer_close(&link->peer, link_closed);
}

static void news(void *owner, struct peer *peer, enum peer_state state, enum err why)
{
    struct link *link = owner;

    (void)peer;
    if (state == PEER_WAITING)
        log_debug("replica", "leader_away", "leader=%d why=%s", link->broker, err_name(why));
    wake(link);
}

static void open_peer(struct link *link)
{
    const struct replica_settings *settings = &link->of->options.settings;
    char client_id[64];

    snprintf(client_id, sizeof(client_id), "broker-%d-fetcher-%d", link->of->options.broker_id,
             link->of->shard->id);
    struct peer_options options = {
        .address = link->address,
        .socket = {settings->fetch_socket_buffer_bytes, -1, 0},
        .client_id = client_id,
        .limits = &link->limits,
        .in_flight_max = 1,
        .waiting_max = 4,
        .request_timeout_ms = settings->fetch_socket_timeout_ms,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .backoff_ms = RECONNECT_MS,
        .backoff_ms_max = RECONNECT_MS_MAX,
        .news = news,
        .owner = link,
    };
    link->peer = peer_open(link->of->shard, &options);
}

/* The leader's address may have changed with a restart. False: it is not known now. */
static bool has_way(struct link *link)
{
    const struct fetchers_options *options = &link->of->options;
    struct net_address address = {0};

    if (!options->ops->address(options->owner, link->broker, &address)) return link->peer != NULL;
    bool is_other =
        strcmp(address.host, link->address.host) != 0 || address.port != link->address.port;
    link->address = address;
    if (link->peer == NULL)
        open_peer(link);
    else if (is_other)
        peer_set_address(link->peer, &address);
    return true;
}

/* When a delayed partition wants something again; at the latest after a backoff. */
static void rest(struct link *link)
{
    struct instant now = shard_now(link->of->shard);
    struct instant until = instant_add_ms(now, link->of->options.settings.fetch_backoff_ms);

    list_each (node, &link->followed) {
        struct instant at = fetcher_deadline(&list_entry(node, struct followed, node)->machine);
        if (instant_before(now, at)) until = instant_min(until, at);
    }
    timer_arm(link->of->shard, &link->timer, until);
}

/* The next request, if something is wanted and none is under way. */
static void run_link(struct post *post)
{
    struct link *link = list_entry(post, struct link, post);

    if (link->is_closing || link->doing != LINK_IDLE) return;
    if (link->count == 0) {
        close_link(link);
        return;
    }
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (!it->has_begun) begin(it);
    }
    if (!has_way(link)) {
        rest(link);
        return;
    }
    if (peer_state(link->peer) != PEER_UP) /* its news wake us */
        return;
    arena_reset(&link->arena);
    if (!ask_epochs(link) && !ask_offsets(link) && !ask_records(link)) rest(link);
    arena_reset(&link->arena);
}

/* ---- who is followed ---- */

static void unfollow(struct followed *it)
{
    struct fetchers *fetchers = it->link->of;
    struct link *link = it->link;
    struct key key;

    ensure(map_remove(&fetchers->by_name, key_of(&key, topic_of(it), it->partition)) == it);
    list_remove(&it->node);
    link->count--;
    gauge_add(&fetchers->counts.partitions, -1);
    if (it->machine.state == FETCHER_FAILED) gauge_add(&fetchers->counts.failed, -1);
    if (it->is_in_session && !link->is_closing)
        list_push(&link->forgotten, &it->node);
    else
        free(it);
    wake(link);
}

void fetchers_follow(struct fetchers *fetchers, struct slice topic, int32_t partition,
                     int32_t leader, int32_t leader_epoch)
{
    struct followed *it = find(fetchers, topic, partition);
    struct key key;

    if (it != NULL) unfollow(it);
    if (leader < 0 || fetchers->is_closing) return;
    struct link *link = find_link(fetchers, leader);
    if (link == NULL) link = make_link(fetchers, leader);
    it = ensure_zalloc(sizeof(*it) + topic.len);
    it->link = link;
    it->partition = partition;
    it->topic_len = topic.len;
    memcpy(it->topic, topic.ptr, topic.len);
    fetcher_init(&it->machine, leader_epoch, level_of(fetchers) >= LEVEL_2_7_IV1,
                 fetchers->options.settings.fetch_backoff_ms);
    map_set(&fetchers->by_name, key_of(&key, topic, partition), it);
    list_push(&link->followed, &it->node);
    link->count++;
    gauge_add(&fetchers->counts.partitions, 1);
    wake(link);
}

void fetchers_image_changed(struct fetchers *fetchers)
{
    list_each (node, &fetchers->links)
        wake(list_entry(node, struct link, node));
}

/* ---- life ---- */

struct fetchers *fetchers_create(const struct fetchers_options *options)
{
    struct fetchers *fetchers = ensure_zalloc(sizeof(*fetchers));

    fetchers->shard = options->shard;
    fetchers->options = *options;
    map_init(&fetchers->by_name);
    list_init(&fetchers->links);
    return fetchers;
}

void fetchers_set_settings(struct fetchers *fetchers, const struct replica_settings *settings)
{
    fetchers->options.settings = *settings;
}

void fetchers_close(struct fetchers *fetchers, void (*closed)(void *to), void *to)
{
    fetchers->is_closing = true;
    fetchers->closed = closed;
    fetchers->closed_to = to;
    map_each (entry, &fetchers->by_name)
        unfollow(entry->value);
    if (list_is_empty(&fetchers->links)) {
        closed(to);
        return;
    }
    list_each (node, &fetchers->links) {
        struct link *link = list_entry(node, struct link, node);
        if (!link->is_closing) close_link(link);
    }
}

void fetchers_destroy(struct fetchers **fetchers)
{
    struct fetchers *it = *fetchers;

    if (it == NULL) return;
    ensure(list_is_empty(&it->links));
    map_fini(&it->by_name);
    free(it);
    *fetchers = NULL;
}

struct fetchers_counts *fetchers_counts(struct fetchers *fetchers)
{
    return &fetchers->counts;
}
