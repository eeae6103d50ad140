#include "tests/sim/load.h"
#include "base/ensure.h"
#include "tests/sim/heap.h"
#include "tests/sim/load_private.h"
#include "tests/sim/zookeeper.h"
#include "wire/gen/metadata.h"
#include "wire/protocol.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

#define BROKER_PORT      9092
#define ARENA_MAX        (64u << 20)
#define REFRESH_MS       120000
#define ASK_TIMEOUT_MS   10000
#define ASK_PAUSE_MS     300
#define METADATA_VERSION 12

int64_t client_draw(struct client *client, int64_t low, int64_t high)
{
    return low + (int64_t)prng_below(&client->luck, (uint64_t)(high - low) + 1);
}

struct instant client_after_ms(struct client *client, int64_t ms)
{
    return instant_add_ms(client->load->world->now, ms);
}

struct peer *client_peer_open(struct client *client, int32_t broker, int in_flight,
                              int64_t timeout_ms)
{
    struct member *member = cluster_broker(client->load->cluster, broker);
    struct peer_options options = {
        .address = {.port = BROKER_PORT},
        .socket = {.receive_buffer_bytes = -1, .send_buffer_bytes = -1},
        .client_id = "load",
        .limits = &client->limits,
        .in_flight_max = in_flight,
        .waiting_max = 1000,
        .request_timeout_ms = timeout_ms,
        .connect_timeout_ms = 10000,
        .backoff_ms = 200,
        .backoff_ms_max = 5000,
        .owner = client,
    };

    if (member == NULL) return NULL;
    snprintf(options.address.host, sizeof(options.address.host), "%s", member->host->name);
    return peer_open(&client->shard, &options);
}

struct peer *client_peer(struct client *client, int32_t broker, enum peer_use use)
{
    struct load *load = client->load;

    if (cluster_broker(load->cluster, broker) == NULL) return NULL;
    struct client_broker *it = &client->brokers[broker - 1];
    if (it->peers[use] == NULL)
        it->peers[use] =
            client_peer_open(client, broker, use == PEER_PRODUCE ? (int)load->in_flight : 1,
                             use == PEER_FETCH ? load->fetch_wait_ms + 30000 : 30000);
    return it->peers[use];
}

/* ---- metadata ---- */

static void note_topic(struct client *client, const struct metadata_response_topic *told)
{
    struct load *load = client->load;

    for (int t = 0; t < LOAD_TOPICS_MAX; t++) {
        struct client_topic *topic = &client->topics[t];
        if (!slice_is(told->name, load->topics[t].name)) continue;
        if (told->error_code != KAFKA_NONE) {
            topic->partitions = 0;
            return;
        }
        bool is_same = uuid_equal(topic->id, told->topic_id) && !uuid_is_zero(told->topic_id);
        topic->id = told->topic_id;
        topic->partitions = 0;
        /* Also of partitions that it has not now, but had under this name: they may come again. */
        for (int p = 0; !is_same && p < ORACLE_PARTITIONS_MAX; p++)
            topic->at[p].leader = topic->at[p].leader_epoch = -1;
        for (int32_t i = 0; i < told->partitions.count; i++) {
            const struct metadata_response_topic_partition *from = &told->partitions.at[i];
            if (from->partition_index < 0 || from->partition_index >= ORACLE_PARTITIONS_MAX)
                continue;
            struct client_partition *to = &topic->at[from->partition_index];
            if (from->partition_index >= topic->partitions)
                topic->partitions = from->partition_index + 1;
            if (is_same && from->leader_epoch < to->leader_epoch) continue; /* old news */
            to->leader = from->leader_id;
            to->leader_epoch = from->leader_epoch;
        }
        return;
    }
}

static void ask_metadata(struct client *client);

static void on_metadata(struct peer_call *call, enum err err, struct slice answer,
                        struct block *block)
{
    struct client *client = list_entry(call, struct client, metadata);
    struct metadata_response in;

    (void)block;
    client->is_asking = false;
    arena_reset(&client->arena);
    if (err == ERR_OK)
        err = wire_read(answer, METADATA_VERSION, &metadata_response_wire, &client->arena, &in);
    if (err == ERR_OK) {
        client->wants_metadata = false;
        for (int32_t i = 0; i < in.topics.count; i++)
            note_topic(client, &in.topics.at[i]);
        traffic_kick(client);
    }
    timer_arm(&client->shard, &client->metadata_timer,
              client_after_ms(client, client->wants_metadata ? ASK_PAUSE_MS : REFRESH_MS));
}

static void ask_metadata(struct client *client)
{
    struct metadata_request request;
    struct buf body;

    if (client->is_asking) return;
    wire_default(&metadata_request_wire, &request);
    request.topics.count = -1;
    request.allow_auto_topic_creation = false;
    buf_init(&body);
    wire_write(&body, METADATA_VERSION, &metadata_request_wire, &request);
    client->metadata = (struct peer_call){.api_key = API_METADATA,
                                          .version_min = METADATA_VERSION,
                                          .version_max = METADATA_VERSION,
                                          .timeout_ms = ASK_TIMEOUT_MS,
                                          .body = body,
                                          .done = on_metadata};
    client->is_asking = true;
    peer_send(client_peer(client, (int32_t)client_draw(client, 1, client->load->cluster->brokers),
                          PEER_ASK),
              &client->metadata);
}

static void on_metadata_timer(struct timer *timer)
{
    ask_metadata(list_entry(timer, struct client, metadata_timer));
}

void client_want_metadata(struct client *client)
{
    if (client->wants_metadata || client->is_asking) return;
    client->wants_metadata = true;
    timer_arm(&client->shard, &client->metadata_timer, client_after_ms(client, ASK_PAUSE_MS));
}

/* ---- what ZooKeeper says ---- */

static const struct tree_node *znode(struct load *load, struct slice path)
{
    return tree_find(ensemble_tree(sim_zookeeper_ensemble(load->world->zookeeper)), path);
}

bool load_topic_exists(struct load *load, const char *name)
{
    struct sim_heap *was = sim_heap_use_world();

    arena_reset(&load->arena);
    bool exists = znode(load, path_topic(&load->arena, slice_text(name))) != NULL ||
                  znode(load, path_delete_topic(&load->arena, slice_text(name))) != NULL;
    sim_heap_use(was);
    return exists;
}

bool load_topic_stays(struct load *load, const char *name)
{
    struct sim_heap *was = sim_heap_use_world();

    arena_reset(&load->arena);
    bool stays = znode(load, path_topic(&load->arena, slice_text(name))) != NULL &&
                 znode(load, path_delete_topic(&load->arena, slice_text(name))) == NULL;
    sim_heap_use(was);
    return stays;
}

static struct slice configured(const struct doc_config *config, const char *key)
{
    for (int32_t i = 0; i < config->count; i++)
        if (slice_is(config->entries[i].name, key)) return config->entries[i].value;
    return SLICE_NULL;
}

static bool is_planned(struct load *load, const struct load_topic *topic)
{
    struct slice name = slice_text(topic->name);
    const struct tree_node *node = znode(load, path_topic(&load->arena, name));
    const struct tree_node *settings = znode(load, path_config_topic(&load->arena, name));
    struct doc_topic doc = {0};
    struct doc_config config = {0};
    char min_insync[8];

    if (node == NULL || settings == NULL ||
        doc_topic_read(node->data, &load->arena, &doc) != ERR_OK ||
        doc_config_read(settings->data, &load->arena, &config) != ERR_OK)
        return false;
    for (int32_t i = 0; i < doc.partition_count; i++)
        if (doc.partitions[i].replicas.count != topic->replicas) return false;
    snprintf(min_insync, sizeof(min_insync), "%d", topic->min_insync);
    bool is_short_lived = !slice_is_null(configured(&config, "retention.ms")) ||
                          !slice_is_null(configured(&config, "retention.bytes"));
    return doc.partition_count == topic->partitions && is_short_lived == topic->is_short_lived &&
           slice_is(configured(&config, "min.insync.replicas"), min_insync) &&
           slice_is(configured(&config, "unclean.leader.election.enable"), "true") ==
               topic->is_unclean &&
           slice_is(configured(&config, "cleanup.policy"), "compact") == topic->is_compacted;
}

bool load_topic_is_planned(struct load *load, const struct load_topic *topic)
{
    struct sim_heap *was = sim_heap_use_world();

    arena_reset(&load->arena);
    bool is = is_planned(load, topic);
    sim_heap_use(was);
    return is;
}

static void copy_ints(const struct doc_ints *from, int32_t *to, int32_t *count)
{
    *count = 0;
    for (int32_t i = 0; i < from->count && i < MEMBERS_MAX; i++)
        to[(*count)++] = from->at[i];
}

/* Where its partitions are remembered; NULL: not one of the load's. */
static struct load_known *known_of(struct load *load, const char *name, int32_t partition)
{
    int t = 0;

    if (partition >= ORACLE_PARTITIONS_MAX) return NULL;
    while (t < LOAD_TOPICS_MAX && strcmp(load->topics[t].name, name) != 0)
        t++;
    if (t == LOAD_TOPICS_MAX && strcmp(name, LOAD_OFFSETS_TOPIC) != 0) return NULL;
    return &load->known[t][partition];
}

static bool parse_partition(struct load *load, const struct tree_node *node,
                            const struct tree_node *state_node, int32_t partition,
                            struct load_partition *out)
{
    struct doc_topic topic;
    struct doc_state state;

    if (doc_topic_read(node->data, &load->arena, &topic) != ERR_OK) return false;
    if (partition >= topic.partition_count) return false;
    *out = (struct load_partition){.leader = -1, .leader_epoch = -1};
    copy_ints(&topic.partitions[partition].replicas, out->replicas, &out->replica_count);
    if (state_node == NULL || doc_state_read(state_node->data, &load->arena, &state) != ERR_OK)
        return true;
    out->written_at = state_node->stat.mzxid;
    out->leader = state.leader;
    out->leader_epoch = state.leader_epoch;
    copy_ints(&state.isr, out->isr, &out->isr_count);
    return true;
}

static bool read_partition(struct load *load, const char *name, int32_t partition,
                           struct load_partition *out)
{
    struct load_known *known = known_of(load, name, partition);

    arena_reset(&load->arena);
    const struct tree_node *node = znode(load, path_topic(&load->arena, slice_text(name)));
    if (node == NULL) return false;
    const struct tree_node *state =
        znode(load, path_state(&load->arena, slice_text(name), partition));
    int64_t state_zxid = state == NULL ? 0 : state->stat.mzxid;
    if (known == NULL) return parse_partition(load, node, state, partition, out);
    if (known->topic_zxid != node->stat.mzxid || known->state_zxid != state_zxid) {
        known->topic_zxid = node->stat.mzxid;
        known->state_zxid = state_zxid;
        known->is_there = parse_partition(load, node, state, partition, &known->is);
    }
    if (known->is_there) *out = known->is;
    return known->is_there;
}

bool load_partition(struct load *load, const char *topic, int32_t partition,
                    struct load_partition *out)
{
    struct sim_heap *was = sim_heap_use_world();
    bool is_there = read_partition(load, topic, partition, out);

    sim_heap_use(was);
    return is_there;
}

int64_t load_registered_at(struct load *load, const struct member *member)
{
    struct sim_heap *was = sim_heap_use_world();
    int64_t session = member->process == NULL
                          ? 0
                          : sim_zookeeper_session(load->world->zookeeper, member->process);

    arena_reset(&load->arena);
    const struct tree_node *node = znode(load, path_broker(&load->arena, member->id));
    sim_heap_use(was);
    if (node == NULL || session == 0 || node->stat.ephemeral_owner != session) return 0;
    return node->stat.czxid;
}

static bool write_config(struct load *load, const char *topic, const char *key, const char *value)
{
    struct ensemble *ensemble = sim_zookeeper_ensemble(load->world->zookeeper);
    struct doc_config config = {0};
    struct buf json, change;
    int32_t i = 0;

    arena_reset(&load->arena);
    struct slice path = path_config_topic(&load->arena, slice_text(topic));
    const struct tree_node *node = znode(load, path);
    if (node == NULL || doc_config_read(node->data, &load->arena, &config) != ERR_OK) return false;
    struct doc_config_entry *entries =
        arena_zalloc(&load->arena, sizeof(*entries) * (size_t)(config.count + 1));
    for (; i < config.count; i++)
        entries[i] = config.entries[i];
    for (i = 0; i < config.count && !slice_is(entries[i].name, key); i++)
        ;
    entries[i] = (struct doc_config_entry){slice_text(key), slice_text(value)};
    config.entries = entries;
    if (i == config.count) config.count++;
    buf_init(&json);
    buf_init(&change);
    doc_config_write(&json, &config);
    doc_config_change_write(&change, arena_printf(&load->arena, "topics/%s", topic));
    const struct zk_op ops[] = {
        {.kind = ZK_SET, .path = path, .data = buf_slice(&json), .version = ZK_ANY_VERSION}};
    const struct zk_op tell = {.kind = ZK_CREATE,
                               .path = PATH_CONFIG_CHANGE_NEW,
                               .data = buf_slice(&change),
                               .is_sequential = true,
                               .acl = ZK_ACL_OPEN};
    bool is_written = ensemble_write(ensemble, ops, 1, NULL) == ERR_OK &&
                      ensemble_write(ensemble, &tell, 1, NULL) == ERR_OK;
    buf_fini(&json);
    buf_fini(&change);
    return is_written;
}

bool load_configure(struct load *load, const char *topic, const char *key, const char *value)
{
    struct sim_heap *was = sim_heap_use_world();

    bool is_written = write_config(load, topic, key, value);
    sim_heap_use(was);
    return is_written;
}

void load_make_topic(struct load *load, const char *name, int partitions)
{
    struct ensemble *ensemble = sim_zookeeper_ensemble(load->world->zookeeper);
    struct sim_heap *was = sim_heap_use_world();
    int32_t replicas[MEMBERS_MAX];
    struct doc_partition at[ORACLE_PARTITIONS_MAX] = {0};
    struct doc_topic topic = {.partitions = at, .partition_count = partitions};
    struct buf json;

    ensure(partitions <= ORACLE_PARTITIONS_MAX);
    for (int i = 0; i < load->cluster->brokers; i++)
        replicas[i] = i + 1;
    for (int p = 0; p < partitions; p++) {
        at[p].partition = p;
        at[p].replicas = (struct doc_ints){.at = replicas, .count = load->cluster->brokers};
    }
    if (strcmp(cluster_setting(load->cluster, "inter.broker.protocol.version"), "2.8") >= 0)
        for (size_t i = 0; i < sizeof(topic.id.bytes); i++)
            topic.id.bytes[i] = (uint8_t)world_draw(load->world, "load.topic-id");
    arena_reset(&load->arena);
    buf_init(&json);
    doc_topic_write(&json, &topic);
    const struct zk_op op = {.kind = ZK_CREATE,
                             .path = path_topic(&load->arena, slice_text(name)),
                             .data = buf_slice(&json),
                             .acl = ZK_ACL_OPEN};
    enum err err = ensemble_write(ensemble, &op, 1, NULL);
    if (err != ERR_OK) world_trace(load->world, "%s is not made: %s", name, err_name(err));
    buf_fini(&json);
    sim_heap_use(was);
}

void load_reassign(struct load *load, const char *topic, int partitions, int32_t *replicas,
                   int count)
{
    struct ensemble *ensemble = sim_zookeeper_ensemble(load->world->zookeeper);
    struct sim_heap *was = sim_heap_use_world();
    struct doc_topic_partition at[ORACLE_PARTITIONS_MAX] = {0};
    struct doc_topic_partitions list = {.at = at, .count = partitions};
    struct buf json;

    ensure(partitions <= ORACLE_PARTITIONS_MAX);
    for (int p = 0; p < partitions; p++) {
        at[p].topic = slice_text(topic);
        at[p].partition = p;
        at[p].replicas = (struct doc_ints){.at = replicas, .count = count};
    }
    buf_init(&json);
    doc_reassign_write(&json, &list);
    const struct zk_op op = {
        .kind = ZK_CREATE, .path = PATH_REASSIGN, .data = buf_slice(&json), .acl = ZK_ACL_OPEN};
    enum err err = ensemble_write(ensemble, &op, 1, NULL);
    if (err != ERR_OK) world_trace(load->world, "%s is not moved: %s", topic, err_name(err));
    buf_fini(&json);
    sim_heap_use(was);
}

/* ---- the end of a run ---- */

static bool topic_is_whole(struct load *load, const char *name, char *why, size_t size)
{
    struct load_partition at;

    for (int p = 0; load_partition(load, name, p, &at); p++) {
        if (at.leader >= 0 && at.isr_count == at.replica_count) continue;
        snprintf(why, size, "%s-%d leader=%d epoch=%d replicas=%d in-sync=%d", name, p, at.leader,
                 at.leader_epoch, at.replica_count, at.isr_count);
        return false;
    }
    return true;
}

bool load_is_whole(struct load *load, char *why, size_t size)
{
    for (int t = 0; t < LOAD_TOPICS_MAX; t++) {
        struct load_topic *topic = &load->topics[t];
        if (topic->state != TOPIC_ABSENT && topic->state != TOPIC_LIVE) {
            snprintf(why, size, "%s is in state %d users=%d", topic->name, topic->state,
                     topic->users);
            return false;
        }
        if (topic->state == TOPIC_LIVE && !topic_is_whole(load, topic->name, why, size))
            return false;
    }
    if (!topic_is_whole(load, LOAD_OFFSETS_TOPIC, why, size)) return false;
    if (znode(load, PATH_REASSIGN) != NULL) {
        snprintf(why, size, "%s is there", "/admin/reassign_partitions");
        return false;
    }
    return true;
}

bool load_is_drained(struct load *load, char *why, size_t size)
{
    if (!load_groups_are_drained(load, why, size)) return false;
    for (int c = 0; c < load->client_count; c++) {
        struct client *client = &load->clients[c];
        if (client->sends > 0) {
            snprintf(why, size, "client %d has %d sends under way", c, client->sends);
            return false;
        }
        for (int t = 0; t < LOAD_TOPICS_MAX; t++) {
            struct load_topic *topic = &load->topics[t];
            struct load_partition there;
            for (int p = 0;
                 topic->state == TOPIC_LIVE && load_partition(load, topic->name, p, &there); p++) {
                struct client_partition *at = &client->topics[t].at[p];
                const struct oracle_partition *oracle = &topic->oracle->partitions[p];
                bool has_all = oracle->is_lifted || at->position >= oracle->known_end;
                bool is_at_end = instant_before(load->calm_since, at->told_at) &&
                                 at->position == at->high_watermark && has_all;
                if (is_at_end && !oracle->is_lifted && oracle_log_owed(&at->pass) >= 0)
                    world_wrong(load->world,
                                "%s-%d: the record at offset %lld is gone, and no later one of its "
                                "key is there",
                                topic->name, p, (long long)oracle_log_owed(&at->pass));
                if (is_at_end) continue;
                snprintf(why, size,
                         "client %d has read %s-%d up to %lld of %lld, known=%lld leader=%d "
                         "in-zookeeper=%d",
                         c, topic->name, p, (long long)at->position, (long long)at->high_watermark,
                         (long long)oracle->known_end, at->leader, there.leader);
                return false;
            }
        }
    }
    return true;
}

int64_t load_read_to(const struct load *load)
{
    int64_t sum = 0;

    for (int c = 0; c < load->client_count; c++)
        for (int t = 0; t < LOAD_TOPICS_MAX; t++)
            for (int p = 0; p < ORACLE_PARTITIONS_MAX; p++)
                sum += load->clients[c].topics[t].at[p].position;
    return sum;
}

static void wake_client(void *arg)
{
    traffic_kick(arg);
    client_want_metadata(arg);
}

static void wake_operator(void *arg)
{
    operator_start(arg);
}

void load_wake_operator(struct load *load)
{
    struct client *client = &load->clients[0];

    process_at(client->process, load->world->now, wake_operator, client);
}

void load_calm(struct load *load)
{
    if (load->is_calm) { /* everything once more, from the beginning */
        for (int c = 0; c < load->client_count; c++)
            for (int t = 0; t < LOAD_TOPICS_MAX; t++)
                for (int p = 0; p < ORACLE_PARTITIONS_MAX; p++)
                    client_seek(&load->clients[c].topics[t].at[p], 0);
    }
    load->is_calm = true;
    load->calm_since = load->world->now;
    for (int c = 0; c < load->client_count; c++)
        process_at(load->clients[c].process, load->world->now, wake_client, &load->clients[c]);
    load_wake_operator(load); /* who gives up what is lost: its next change may be hours away */
}

void load_give_up(struct load *load)
{
    load->is_given_up = true;
    load_wake_operator(load);
}

struct load_topic *load_topics(struct load *load, int *count)
{
    *count = LOAD_TOPICS_MAX;
    return load->topics;
}

const struct load_counts *load_counts(const struct load *load)
{
    return &load->counts;
}

/* ---- life ---- */

static const struct mailbox_handlers no_handlers;

static void start_client(void *arg)
{
    struct client *client = arg;

    ensure(shard_open(&client->shard, &client->process->env, 0, NULL, &no_handlers, client, NULL) ==
           ERR_OK);
    conn_limits_init(&client->limits);
    arena_init(&client->arena, ARENA_MAX);
    client->metadata_timer.fire = on_metadata_timer;
    ask_metadata(client);
    traffic_start(client);
    load_groups_start(client);
    if (client->index == 0) operator_start(client);
    sim_shard_start(&client->shard);
}

struct load *load_create(struct world *world, struct cluster *cluster, struct oracle_log *oracle,
                         struct oracle_controller *znodes)
{
    struct sim_heap *was = sim_heap_use_world();
    struct load *load = ensure_zalloc(sizeof(*load));
    static const int64_t waits[] = {500, 2000, 10000, 30000};
    static const int64_t slow_waits[] = {500, 10000, 30000, 30000};
    static const int64_t bytes[] = {16, 100, 300, 1000};
    static const int64_t shares[] = {0, 0, 40};
    char name[32];

    load->world = world;
    load->cluster = cluster;
    load->oracle = oracle;
    load->znodes = znodes;
    arena_init(&load->arena, ARENA_MAX);
    load->client_count = (int)world_option_paced(world, "load.clients", 1, CLIENTS_MAX, 1, 2);
    load->fetch_wait_ms =
        world_option_of(world, "load.fetch-wait-ms", world->is_slow ? slow_waits : waits, 4);
    load->fetch_pause_ms = world->is_slow ? 20000 : 1000;
    load->burst_pause_ms =
        world_option_paced(world, "load.burst-pause-ms", 1000, 200000, 60000, 7200000);
    load->burst_length = world_option(world, "load.burst-length", 1, 60);
    load->send_pause_ms = world_option(world, "load.send-pause-ms", 1, 500);
    load->record_bytes = world_option_of(world, "load.record-bytes", bytes, 4);
    load->in_flight = world_option(world, "load.in-flight", 1, 5);
    load->idempotent = world_option(world, "load.idempotent", 0, 2);
    load->compacted = world_option_of(world, "load.compacted", shares, 3);
    load->short_lived = world_option_of(world, "load.short-lived", shares, 3);
    load->trimmed = world_option_of(world, "load.trimmed", shares, 3);
    load->operation_pause_ms =
        world_option_paced(world, "load.operation-pause-ms", 5000, 300000, 600000, 7200000);
    load_groups_create(load);
    for (int t = 0; t < LOAD_TOPICS_MAX; t++) {
        snprintf(load->topics[t].name, sizeof(load->topics[t].name), "t%d", t);
        load->topics[t].oracle = oracle_log_topic(oracle, load->topics[t].name);
        /* One after another: some with dots and dashes, as people name them. */
    }
    for (int c = 0; c < load->client_count; c++) {
        struct client *client = &load->clients[c];
        client->load = load;
        client->index = c;
        client->producer_id = -1;
        snprintf(name, sizeof(name), "client%d", c);
        client->host = host_create(world, name);
        prng_init_named(&client->luck, world->seed, name);
        for (int b = 0; b < cluster->brokers; b++) {
            client->brokers[b].client = client;
            client->brokers[b].id = b + 1;
        }
        for (int t = 0; t < LOAD_TOPICS_MAX; t++)
            for (int p = 0; p < ORACLE_PARTITIONS_MAX; p++)
                client->topics[t].at[p] =
                    (struct client_partition){.leader = -1, .leader_epoch = -1};
    }
    sim_heap_use(was);
    return load;
}

void load_start(struct load *load)
{
    for (int c = 0; c < load->client_count; c++) {
        struct client *client = &load->clients[c];
        client->process = sim_process_create(client->host, client->host->name);
        process_run(client->process, start_client, client);
    }
}

void load_destroy(struct load **it)
{
    struct load *load = *it;

    if (load == NULL) return;
    for (int c = 0; c < load->client_count; c++)
        if (load->clients[c].process != NULL) process_kill(load->clients[c].process);
    arena_fini(&load->arena);
    free(load->groups);
    free(load);
    *it = NULL;
}
