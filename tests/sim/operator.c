/* Who creates, deletes, re-creates, expands, reassigns, elects and configures topics: through any
 * broker, with retries, one request at a time. */
#include "base/ensure.h"
#include "tests/sim/load_private.h"
#include "wire/gen/alter_partition_reassignments.h"
#include "wire/gen/alter_replica_log_dirs.h"
#include "wire/gen/create_partitions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/delete_records.h"
#include "wire/gen/delete_topics.h"
#include "wire/gen/elect_leaders.h"
#include "wire/prim.h"
#include "wire/protocol.h"
#include <stdio.h>

#define TICK_MS        1000
#define AGAIN_MS       15000
#define OPERATION_MS   20000
#define PARTITIONS_MAX 6
#define TRIM_VERSION   1

static void on_operated(struct peer_call *call, enum err err, struct slice answer,
                        struct block *block)
{
    struct client *client = list_entry(call, struct client, operation);

    (void)block;
    client->is_operating = false;
    client->load->counts.operations++;
    if (err != ERR_OK) client->load->counts.refused++;
    world_trace(client->load->world, "%s: %s bytes=%zu", client->operation_name, err_name(err),
                answer.len);
}

static void ask_broker(struct client *client, int32_t broker, int16_t api, int version,
                       const struct wire_struct *type, const void *request,
                       void (*done)(struct peer_call *call, enum err err, struct slice answer,
                                    struct block *block))
{
    client->operation = (struct peer_call){.api_key = api,
                                           .version_min = (int16_t)version,
                                           .version_max = (int16_t)version,
                                           .timeout_ms = OPERATION_MS,
                                           .done = done};
    buf_init(&client->operation.body);
    wire_write(&client->operation.body, version, type, request);
    client->is_operating = true;
    world_trace(client->load->world, "%s through %d", client->operation_name, broker);
    peer_send(client_peer(client, broker, PEER_ASK), &client->operation);
}

static void ask(struct client *client, int16_t api, int version, const struct wire_struct *type,
                const void *request)
{
    ask_broker(client, (int32_t)client_draw(client, 1, client->load->cluster->brokers), api,
               version, type, request, on_operated);
}

#define NAME(client, ...)                                                                          \
    snprintf((client)->operation_name, sizeof((client)->operation_name), __VA_ARGS__)

static void add_config(struct create_topics_request_topic *topic, struct slice name,
                       struct slice value)
{
    topic->configs.at[topic->configs.count++] =
        (struct create_topics_request_topic_config){name, value};
}

/* Segments are small: only what is in closed ones goes. */
static void add_cleanup(struct client *client, const struct load_topic *topic,
                        struct create_topics_request_topic *wanted)
{
    if (topic->is_compacted) {
        add_config(wanted, SLICE("cleanup.policy"), SLICE("compact"));
        add_config(wanted, SLICE("min.cleanable.dirty.ratio"), SLICE("0.01"));
    }
    if (topic->is_short_lived && client_draw(client, 0, 1) == 0)
        add_config(wanted, SLICE("retention.ms"),
                   client->load->world->is_slow ? SLICE("7200000") : SLICE("90000"));
    else if (topic->is_short_lived)
        add_config(wanted, SLICE("retention.bytes"), SLICE("40000"));
    if (topic->is_compacted || topic->is_short_lived || topic->is_trimmed)
        add_config(wanted, SLICE("segment.bytes"), SLICE("16384"));
}

static void create(struct client *client, struct load_topic *topic)
{
    struct create_topics_request request;
    struct create_topics_request_topic wanted;
    struct create_topics_request_topic_config configs[8];
    char min_insync[8];

    wire_default(&create_topics_request_wire, &request);
    wanted = (struct create_topics_request_topic){0};
    snprintf(min_insync, sizeof(min_insync), "%d", topic->min_insync);
    wanted.configs.at = configs;
    add_config(&wanted, SLICE("min.insync.replicas"), slice_text(min_insync));
    add_config(&wanted, SLICE("unclean.leader.election.enable"),
               topic->is_unclean ? SLICE("true") : SLICE("false"));
    add_cleanup(client, topic, &wanted);
    wanted.name = slice_text(topic->name);
    wanted.num_partitions = topic->partitions;
    wanted.replication_factor = (int16_t)topic->replicas;
    request.topics.at = &wanted;
    request.topics.count = 1;
    request.timeout_ms = OPERATION_MS;
    NAME(client, "create %s partitions=%d replicas=%d min-in-sync=%d unclean=%d cleanup=%s%s%s",
         topic->name, topic->partitions, topic->replicas, topic->min_insync, topic->is_unclean,
         topic->is_compacted ? "c" : "", topic->is_short_lived ? "s" : "",
         topic->is_trimmed ? "t" : "");
    if (topic->creations_asked++ > 0) topic->may_come_again = true;
    ask(client, API_CREATE_TOPICS, 5, &create_topics_request_wire, &request);
}

static void delete_topic(struct client *client, struct load_topic *topic)
{
    struct delete_topics_request request;
    struct slice name = slice_text(topic->name);

    wire_default(&delete_topics_request_wire, &request);
    request.topic_names.at = &name;
    request.topic_names.count = 1;
    request.timeout_ms = OPERATION_MS;
    NAME(client, "delete %s", topic->name);
    if (topic->deletions_asked++ > 0) topic->may_go_again = true;
    ask(client, API_DELETE_TOPICS, 4, &delete_topics_request_wire, &request);
}

static void expand(struct client *client, struct load_topic *topic)
{
    struct create_partitions_request request;
    struct create_partitions_request_topic wanted;

    if (topic->partitions >= PARTITIONS_MAX) return;
    topic->partitions += (int)client_draw(client, 1, PARTITIONS_MAX - topic->partitions);
    wire_default(&create_partitions_request_wire, &request);
    wanted = (struct create_partitions_request_topic){0};
    wanted.name = slice_text(topic->name);
    wanted.count = topic->partitions;
    wanted.assignments.count = -1;
    request.topics.at = &wanted;
    request.topics.count = 1;
    request.timeout_ms = OPERATION_MS;
    NAME(client, "expand %s to %d", topic->name, topic->partitions);
    ask(client, API_CREATE_PARTITIONS, 2, &create_partitions_request_wire, &request);
}

/* `count` -1: what is under way is taken back. */
static void ask_reassign(struct client *client, const struct load_topic *topic,
                         const int32_t *partitions, int partition_count, int32_t *replicas,
                         int count)
{
    struct alter_partition_reassignments_request request;
    struct alter_partition_reassignments_request_topic named;
    struct alter_partition_reassignments_request_topic_partition wanted[ORACLE_PARTITIONS_MAX];

    wire_default(&alter_partition_reassignments_request_wire, &request);
    for (int i = 0; i < partition_count; i++) {
        wanted[i] = (struct alter_partition_reassignments_request_topic_partition){0};
        wanted[i].partition_index = partitions[i];
        wanted[i].replicas.at = replicas;
        wanted[i].replicas.count = count;
    }
    named.name = slice_text(topic->name);
    named.partitions.at = wanted;
    named.partitions.count = partition_count;
    request.topics.at = &named;
    request.topics.count = 1;
    request.timeout_ms = OPERATION_MS;
    ask(client, API_ALTER_PARTITION_REASSIGNMENTS, 0, &alter_partition_reassignments_request_wire,
        &request);
}

static void reassign(struct client *client, struct load_topic *topic)
{
    int brokers = client->load->cluster->brokers;
    int32_t replicas[MEMBERS_MAX];

    topic->was_reassigned = true;
    int least = topic->min_insync,
        count = (int)client_draw(client, least, brokers < 3 ? brokers : 3);

    for (int i = 0; i < brokers; i++)
        replicas[i] = i + 1;
    for (int i = 0; i < count; i++) {
        int j = (int)client_draw(client, i, brokers - 1);
        int32_t swap = replicas[i];
        replicas[i] = replicas[j];
        replicas[j] = swap;
    }
    int32_t partition = (int32_t)client_draw(client, 0, topic->partitions - 1);
    if (client_draw(client, 0, 9) == 0) count = -1; /* or take it back */
    NAME(client, "reassign %s-%d to %d replicas, first %d", topic->name, partition, count,
         replicas[0]);
    ask_reassign(client, topic, &partition, 1, replicas, count);
}

/* A deletion waits for reassignments, as Kafka's does, and one of a partition whose leader has lost
 * records has no end: it is taken back. */
static void cancel_reassignments(struct client *client, const struct load_topic *topic)
{
    int32_t partitions[ORACLE_PARTITIONS_MAX];

    for (int32_t i = 0; i < topic->partitions; i++)
        partitions[i] = i;
    NAME(client, "cancel reassignments of %s", topic->name);
    ask_reassign(client, topic, partitions, topic->partitions, NULL, -1);
}

static void elect(struct client *client, struct load_topic *topic, int32_t partition,
                  bool is_unclean)
{
    struct elect_leaders_request request;
    struct elect_leaders_request_topic_partition wanted;

    wire_default(&elect_leaders_request_wire, &request);
    request.election_type = is_unclean ? 1 : 0;
    wanted.topic = slice_text(topic->name);
    wanted.partitions.at = &partition;
    wanted.partitions.count = 1;
    request.topic_partitions.at = &wanted;
    request.topic_partitions.count = 1;
    request.timeout_ms = OPERATION_MS;
    NAME(client, "elect %s leader of %s-%d", is_unclean ? "unclean" : "preferred", topic->name,
         partition);
    if (is_unclean) oracle_controller_unclean(client->load->znodes, slice_text(topic->name));
    ask(client, API_ELECT_LEADERS, 2, &elect_leaders_request_wire, &request);
}

static void on_records_deleted(struct peer_call *call, enum err err, struct slice answer,
                               struct block *block)
{
    struct client *client = list_entry(call, struct client, operation);
    struct delete_records_response in;

    if (err == ERR_OK) {
        arena_reset(&client->arena);
        err = wire_read(answer, TRIM_VERSION, &delete_records_response_wire, &client->arena, &in);
        if (err != ERR_OK || in.topics.count != 1 || in.topics.at[0].partitions.count != 1)
            world_wrong(client->load->world, "the answer to DeleteRecords cannot be read: %s",
                        err_name(err));
        const struct delete_records_response_topic_partition *told =
            &in.topics.at[0].partitions.at[0];
        if (told->error_code == KAFKA_NONE && told->low_watermark < client->trimmed_to)
            world_wrong(client->load->world, "records below %lld are deleted, those from %lld stay",
                        (long long)client->trimmed_to, (long long)told->low_watermark);
    }
    on_operated(call, err, answer, block);
}

static void trim(struct client *client, struct load_topic *topic)
{
    struct delete_records_request_topic_partition wanted = {0};
    struct delete_records_request_topic named = {.name = slice_text(topic->name),
                                                 .partitions = {&wanted, 1}};
    struct delete_records_request request;
    struct load_partition at;
    int p = (int)client_draw(client, 0, topic->partitions - 1);
    struct oracle_partition *oracle = &topic->oracle->partitions[p];

    if (!load_partition(client->load, topic->name, p, &at) || at.leader < 0) return;
    wanted.partition_index = p;
    wanted.offset = client->trimmed_to = client_draw(client, 0, oracle->known_end);
    if (wanted.offset > oracle->trimmed_to) oracle->trimmed_to = wanted.offset;
    wire_default(&delete_records_request_wire, &request);
    request.topics.at = &named;
    request.topics.count = 1;
    request.timeout_ms = OPERATION_MS;
    NAME(client, "delete records of %s-%d below %lld", topic->name, p, (long long)wanted.offset);
    ask_broker(client, at.leader, API_DELETE_RECORDS, TRIM_VERSION, &delete_records_request_wire,
               &request, on_records_deleted);
}

/* A replica moves to another log directory of its broker. */
static void move(struct client *client, struct load_topic *topic)
{
    struct alter_replica_log_dirs_request_dir dir = {0};
    struct alter_replica_log_dirs_request_dir_topic named = {.name = slice_text(topic->name)};
    struct alter_replica_log_dirs_request request;
    struct load_partition at;
    int32_t p = (int32_t)client_draw(client, 0, topic->partitions - 1);

    if (!load_partition(client->load, topic->name, p, &at) || at.replica_count == 0) return;
    int32_t broker = at.replicas[client_draw(client, 0, at.replica_count - 1)];
    dir.path = slice_text(
        cluster_log_dir((int)client_draw(client, 0, client->load->cluster->log_dirs - 1)));
    named.partitions.at = &p;
    named.partitions.count = 1;
    dir.topics.at = &named;
    dir.topics.count = 1;
    wire_default(&alter_replica_log_dirs_request_wire, &request);
    request.dirs.at = &dir;
    request.dirs.count = 1;
    NAME(client, "move %s-%d of %d to %.*s", topic->name, p, broker, SLICE_ARGS(dir.path));
    ask_broker(client, broker, API_ALTER_REPLICA_LOG_DIRS, 2, &alter_replica_log_dirs_request_wire,
               &request, on_operated);
}

static void configure(struct client *client, struct load_topic *topic)
{
    static const char *const settings[][2] = {
        {"segment.bytes", "16384"},   {"segment.bytes", "200000"},     {"flush.messages", "1"},
        {"flush.messages", "100000"}, {"index.interval.bytes", "100"}, {"segment.ms", "60000"},
        {"segment.ms", "604800000"},  {"max.message.bytes", "900000"}};
    int64_t i = client_draw(client, 0, (int64_t)(sizeof(settings) / sizeof(settings[0])) - 1);

    world_trace(client->load->world, "configure %s %s=%s", topic->name, settings[i][0],
                settings[i][1]);
    (void)load_configure(client->load, topic->name, settings[i][0], settings[i][1]);
}

/* A new topic: mostly one whose records are promised to survive. */
static void plan(struct client *client, struct load_topic *topic)
{
    int brokers = client->load->cluster->brokers;
    int most = brokers < 3 ? brokers : 3;

    topic->partitions = (int)client_draw(client, 1, 3);
    topic->replicas = client_draw(client, 0, 5) == 0 ? (int)client_draw(client, 1, most) : most;
    topic->min_insync = topic->replicas >= 2 && client_draw(client, 0, 4) != 0 ? 2 : 1;
    topic->is_unclean = client_draw(client, 0, 9) == 0;
    topic->is_compacted = client_draw(client, 0, 99) < client->load->compacted;
    topic->is_short_lived =
        !topic->is_compacted && client_draw(client, 0, 99) < client->load->short_lived;
    topic->is_trimmed = !topic->is_compacted && client_draw(client, 0, 99) < client->load->trimmed;
    topic->was_reassigned = false;
    topic->deletions_asked = topic->creations_asked = 0;
    topic->asks_to_cancel = false;
    topic->state = TOPIC_CREATING;
}

static bool is_complete(struct load *load, struct load_topic *topic)
{
    struct load_partition at;

    for (int p = 0; p < topic->partitions; p++)
        if (!load_partition(load, topic->name, p, &at) || at.leader < 0) return false;
    return true;
}

/* Changes are driven to their end; true while there is one. */
static bool drive(struct client *client, int t)
{
    struct load *load = client->load;
    struct load_topic *topic = &load->topics[t];
    struct instant now = load->world->now;
    bool is_due = !instant_before(now, instant_add_ms(client->asked[t], AGAIN_MS));

    switch (topic->state) {
    case TOPIC_ABSENT:
        return false;
    case TOPIC_LIVE:
        if (!topic->may_go_again || load_topic_stays(load, topic->name)) return false;
        topic->state = TOPIC_DRAINING;
        return true;
    case TOPIC_CREATING:
        if (topic->may_come_again && load_topic_stays(load, topic->name) &&
            !load_topic_is_planned(load, topic)) {
            topic->state = TOPIC_DELETING;
            client->asked[t] = INSTANT_ZERO;
            return true;
        }
        if (is_complete(load, topic)) {
            topic->state = TOPIC_LIVE;
            for (int p = 0; topic->is_unclean && p < ORACLE_PARTITIONS_MAX; p++)
                oracle_log_lift(&topic->oracle->partitions[p], "unclean elections");
            for (int c = 0; c < load->client_count; c++)
                load->clients[c].wants_metadata = false; /* they ask when they need it */
            return false;
        }
        if (is_due && !client->is_operating && !load_topic_exists(load, topic->name)) {
            client->asked[t] = now;
            create(client, topic);
        }
        return true;
    case TOPIC_DRAINING:
        if (topic->users > 0) return true;
        topic->state = TOPIC_DELETING;
        client->asked[t] = INSTANT_ZERO;
        is_due = true;
        break;
    case TOPIC_DELETING:
        if (!client->is_operating && !load_topic_exists(load, topic->name)) {
            topic->state = TOPIC_ABSENT;
            oracle_log_forget(topic->oracle);
            traffic_forget(load, t);
            return false;
        }
        break;
    }
    if (is_due && !client->is_operating && load_topic_exists(load, topic->name)) {
        client->asked[t] = now;
        if (topic->was_reassigned && topic->asks_to_cancel)
            cancel_reassignments(client, topic);
        else
            delete_topic(client, topic);
        topic->asks_to_cancel = !topic->asks_to_cancel;
    }
    return true;
}

/* Without topic ids (below 2.8) nobody can tell the log of a topic from that of the next one of its
 * name: a broker that was away while its replica was taken from it would keep what it has. */
static bool is_safe_to_delete(const struct load *load, const struct load_topic *topic)
{
    return !topic->was_reassigned ||
           strcmp(cluster_setting(load->cluster, "inter.broker.protocol.version"), "2.8") >= 0;
}

static void change_something(struct client *client)
{
    struct load *load = client->load;
    int t = (int)client_draw(client, 0, LOAD_TOPICS_MAX - 1);
    struct load_topic *topic = &load->topics[t];

    if (topic->state == TOPIC_ABSENT) {
        plan(client, topic);
        client->asked[t] = INSTANT_ZERO;
        return;
    }
    if (topic->state != TOPIC_LIVE) return;
    if (topic->is_trimmed && client_draw(client, 0, 2) == 0) {
        trim(client, topic);
        return;
    }
    if (load->cluster->log_dirs > 1 && client_draw(client, 0, 2) == 0) {
        move(client, topic);
        return;
    }
    switch (client_draw(client, 0, 9)) {
    case 0:
        if (is_safe_to_delete(load, topic)) topic->state = TOPIC_DRAINING;
        return;
    case 1:
        expand(client, topic);
        return;
    case 2:
    case 3:
    case 4:
        reassign(client, topic);
        return;
    case 5:
    case 6: {
        bool is_unclean = topic->is_unclean && client_draw(client, 0, 1) == 0;
        elect(client, topic, (int32_t)client_draw(client, 0, topic->partitions - 1), is_unclean);
        return;
    }
    default:
        configure(client, topic);
    }
}

/* Below 3.2 LeaderAndIsr cannot say that an election was unclean: there only the configuration
 * tells a replica that stands back (docs/last-replica.md). */
static void give_up(struct client *client, struct load_topic *topic, int partition)
{
    if (!topic->is_unclean &&
        strcmp(cluster_setting(client->load->cluster, "inter.broker.protocol.version"), "3.2") <
            0) {
        topic->is_unclean =
            load_configure(client->load, topic->name, "unclean.leader.election.enable", "true");
        if (!topic->is_unclean) return; /* ZooKeeper is away: tried again */
    }
    elect(client, topic, partition, true);
}

/* A partition without a leader whose records are lost, and were not promised, or that nobody else
 * will help: an operator decides that what is left is enough. */
static void give_up_lost(struct client *client)
{
    struct load *load = client->load;
    struct load_partition at;

    for (int t = 0; t < LOAD_TOPICS_MAX; t++) {
        struct load_topic *topic = &load->topics[t];
        for (int p = 0; topic->state == TOPIC_LIVE && p < ORACLE_PARTITIONS_MAX; p++) {
            if (!topic->oracle->partitions[p].is_lifted && !load->is_given_up) continue;
            if (!load_partition(load, topic->name, p, &at) || at.leader >= 0) continue;
            if (instant_before(load->world->now, instant_add_ms(client->asked[t], AGAIN_MS)))
                continue;
            client->asked[t] = load->world->now;
            give_up(client, topic, p);
            return;
        }
    }
}

static void on_tick(struct timer *timer)
{
    struct client *client = list_entry(timer, struct client, operator_timer);
    struct load *load = client->load;
    struct instant now = load->world->now;
    bool is_busy = client->is_operating;

    for (int t = 0; t < LOAD_TOPICS_MAX; t++)
        if (drive(client, t)) is_busy = true;
    if (!load->is_calm && !client->is_operating && !instant_before(now, client->next_change)) {
        int live = 0;
        for (int t = 0; t < LOAD_TOPICS_MAX; t++)
            if (load->topics[t].state == TOPIC_LIVE) live++;
        change_something(client);
        client->next_change = instant_add_ms(
            now, client_draw(client, 0, live == 0 ? 2000 : load->operation_pause_ms));
        is_busy = true;
    }
    if ((load->is_calm || load->is_given_up) && !client->is_operating) give_up_lost(client);
    struct instant next = instant_add_ms(now, TICK_MS);
    if (!is_busy && !load->is_calm && !load->is_given_up)
        next = instant_max(next, client->next_change);
    timer_arm(&client->shard, &client->operator_timer, next);
}

void operator_start(struct client *client)
{
    client->operator_timer.fire = on_tick;
    timer_arm(&client->shard, &client->operator_timer, client_after_ms(client, 2000));
}
