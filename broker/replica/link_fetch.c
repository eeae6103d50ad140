/* broker/replica/link_fetch.c - Fetch for all partitions of a link, as the asking side of an
 * incremental session (KIP-227), and what its answers bring. */
#include "base/log.h"
#include "broker/replica/link.h"
#include "wire/gen/fetch.h"
#include "wire/protocol.h"
#include <stdlib.h>

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

void link_reset_session(struct link *link, bool keeps_id)
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
        enum err err = followed_look(it);
        if (err != ERR_OK) {
            if (!followed_is_overtaken(err)) followed_refused(it, err);
            continue;
        }
        if (it->view.end != it->machine.offset) { /* truncation and fetch out of step: ours */
            followed_refused(it, ERR_RANGE);
            continue;
        }
        if (followed_is_held_back(it)) continue;
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
        if (link_is_next_topic(last, it)) {
            struct fetch_request_topic *topic = &request->topics.at[request->topics.count++];
            topic->topic = version < 13 ? followed_topic(it) : SLICE("");
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

    to->topic = version < 13 ? arena_copy(&link->arena, followed_topic(it)) : SLICE("");
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
        struct followed *again = fetchers_find(link->of, followed_topic(gone), gone->partition);
        /* It is back already, and in the session under the same name: its new state says it all. */
        if (again == NULL || again->link != link || !again->is_asked ||
            !uuid_equal(again->view.topic_id, gone->view.topic_id))
            add_forgotten(link, request, gone, version);
        list_remove(node);
        free(gone);
    }
}

/* No longer than until a delayed partition wants something again. */
static int32_t wait_ms(const struct link *link)
{
    struct instant now = shard_now(link->of->shard);
    int64_t wait = link->of->options.settings.fetch_wait_ms_max;

    list_each (node, &link->followed) {
        struct instant at = fetcher_deadline(&list_entry(node, struct followed, node)->machine);
        if (!instant_before(now, at)) continue;
        int64_t left = instant_ms_between(now, at) + 1;
        if (left < wait) wait = left;
    }
    return (int32_t)wait;
}

/* Its log waits for the device: to ask for more, of any partition, would acknowledge what is not
 * there, or take the partition out of the session. Kafka's fetcher syncs in the same place. */
static bool is_held(const struct link *link)
{
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (it->has_begun && it->view.is_held && followed_look(it) == ERR_OK && it->view.is_held)
            return true;
    }
    return false;
}

bool link_ask_records(struct link *link)
{
    const struct fetchers_options *options = &link->of->options;
    const struct replica_settings *settings = &options->settings;
    int16_t version = fetch_version(fetchers_level(link->of));
    struct fetch_request request;
    bool have_ids = false;
    int count = is_held(link) ? 0 : mark_wanted(link, &have_ids);

    if (count == 0) return false;
    if (version > 12 && !have_ids) version = 12;
    if (link->session_epoch > 0 && link->has_ids != (version > 12)) link_reset_session(link, true);
    link->has_ids = version > 12;
    if (link->session_epoch == 0) forget_session(link);

    wire_default(&fetch_request_wire, &request);
    if (version < 15) {
        request.replica_id = options->broker_id;
    } else {
        request.replica_state.replica_id = options->broker_id;
        request.replica_state.replica_epoch = options->ops->broker_epoch(options->owner);
    }
    request.max_wait_ms = wait_ms(link);
    request.min_bytes = settings->fetch_min_bytes;
    request.max_bytes = settings->fetch_response_max_bytes;
    request.session_id = link->session_id;
    request.session_epoch = link->session_epoch;
    fill_wanted(link, &request, version);
    if (link->session_epoch > 0) fill_forgotten(link, &request, version);
    link->asked = count;
    link_send(link, LINK_FETCH, API_FETCH, version, &fetch_request_wire, &request);
    return true;
}

/* What has brought records is asked for last in the next full Fetch, as it stands last in a
 * session: a leader that gives none (its slots are used up) answers in the order of the request,
 * and where that has no room for all, those that are busy would leave nothing to the others. */
static void go_last(struct followed *it)
{
    list_remove(&it->node);
    list_push(&it->link->followed, &it->node);
}

static void take_partition(struct followed *it, const struct fetch_response_topic_partition *part)
{
    /* Changed while the answer was on its way: it belongs to another question. */
    if (it->machine.state != FETCHER_FETCHING || it->machine.offset != it->asked_offset) return;
    if (followed_step_for_code(it, part->error_code)) return;
    if (part->diverging_epoch.epoch >= 0 || part->diverging_epoch.end_offset >= 0) {
        followed_diverged(it, FETCHER_DIVERGES, part->diverging_epoch.epoch,
                          part->diverging_epoch.end_offset);
        return;
    }
    enum err err = partitions_replicate(it->link->of->options.partitions, followed_topic(it),
                                        it->partition, it->machine.leader_epoch, part->records,
                                        part->high_watermark, part->log_start_offset, &it->view);
    if (err == ERR_OK) {
        if (part->records.len > 0) go_last(it);
        it->lag = part->high_watermark > it->view.end ? part->high_watermark - it->view.end : 0;
        followed_step(
            it, (struct fetcher_event){.type = FETCHER_APPENDED, .log = followed_log(&it->view)});
    } else if (!followed_is_overtaken(err)) {
        followed_refused(it, err);
    }
}

/* By topic id there is no table: an answer names partitions in the order in which they were asked
 * for, or few of them, so that looking on from behind the last one found is soon done; that one may
 * go last meanwhile. */
static struct followed *find_answered(struct link *link, const struct fetch_response_topic *topic,
                                      int32_t partition, bool by_id, struct list_node **last)
{
    struct list_node *node = *last;

    if (!by_id) return fetchers_find(link->of, topic->topic, partition);
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
        link_reset_session(link, response->error_code != KAFKA_FETCH_SESSION_ID_NOT_FOUND);
        if (response->error_code != KAFKA_FETCH_SESSION_ID_NOT_FOUND &&
            response->error_code != KAFKA_INVALID_FETCH_SESSION_EPOCH)
            link_retry_all(link);
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
            link_reset_session(link, false);
            return false;
        }
        link->session_id = response->session_id;
        link->session_epoch = response->session_id == 0 ? 0 : 1;
        return true;
    }
    if (response->session_id == 0) {
        link_reset_session(link, false);
        return true;
    }
    link->session_epoch = link->session_epoch == INT32_MAX ? 1 : link->session_epoch + 1;
    return true;
}

void link_take_records(struct link *link, struct slice answer, int version)
{
    struct fetch_response response;

    if (wire_read(answer, version, &fetch_response_wire, &link->arena, &response) != ERR_OK) {
        log_warn("replica", "fetch_answer_corrupt", "leader=%d", link->broker);
        peer_disconnect(link->peer, ERR_CORRUPT);
        link_retry_all(link);
        link_reset_session(link, true);
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
