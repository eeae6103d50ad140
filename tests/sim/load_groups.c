/* tests/sim/load_groups.c - members of groups: join, assign, beat, commit, ask, leave, vanish.
 *
 * Off unless `--set load.groups=N`. Each client has a member in each group; a member has one
 * request under way. What is judged:
 *   - in a generation in which somebody was told an assignment a partition has one owner, and such
 *     generations do not go back;
 *   - what was acknowledged as committed, or a later commit, is what is told.
 * Only of coordinators that lead: one that was deposed and is cut off from the news answers from
 * what it has, here as in Kafka, but can store nothing.
 *
 * A commit whose fate is not known ends the member: its next life commits in a later generation
 * only, or as a static member (group.instance.id; in half of the seeds every other one is) under
 * another id, so that a late copy of the old request is fenced. Commits are of the partitions of
 * __consumer_offsets itself: that topic stays. */
#include "base/ensure.h"
#include "cluster/types.h"
#include "tests/sim/load_private.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/heartbeat.h"
#include "wire/gen/join_group.h"
#include "wire/gen/leave_group.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/sync_group.h"
#include "wire/protocol.h"
#include <stdio.h>
#include <stdlib.h>

#define SESSION_MS     6000
#define REBALANCE_MS   10000
#define BEAT_MS        1000
#define PAUSE_MS       200
#define ASK_MS         20000
#define FIND_VERSION   2
#define JOIN_VERSION   5
#define SYNC_VERSION   3
#define BEAT_VERSION   3
#define COMMIT_VERSION 7
#define FETCH_VERSION  5
#define LEAVE_VERSION  3

enum question { ASK_FIND, ASK_JOIN, ASK_SYNC, ASK_BEAT, ASK_COMMIT, ASK_FETCH, ASK_LEAVE };

/* What all members of one group know together: the judge. */
struct load_group {
    char name[16];
    int32_t partition;  /* of the topic that holds it */
    int32_t generation; /* the latest in which somebody was told an assignment; −1: none */
    int owner[GROUP_PARTITIONS]; /* in it: member + 1 */
    int64_t sent, acked[GROUP_PARTITIONS];
    struct instant told_at; /* when offsets were last told */
};

struct load_member {
    struct client *client;
    struct load_group *group;
    int number;
    char instance[8]; /* group.instance.id; "": a dynamic member */
    struct peer *peers[MEMBERS_MAX];
    struct peer_call call;
    struct timer timer;
    enum question asked;
    int32_t coordinator; /* −1: to be found */
    char id[80];
    int32_t generation; /* −1: in none */
    bool has_joined, has_synced, leads;
    char members[CLIENTS_MAX][80]; /* as leader: all of this generation */
    int member_count;
    bool owns[GROUP_PARTITIONS];
    /* Of the request under way. */
    int64_t offset, floor[GROUP_PARTITIONS];
    int partition;
    int32_t generation_floor;
    int32_t epoch; /* of the coordinator's leadership; −1: it leads no more */
};

static struct world *world_of(const struct load_member *m)
{
    return m->client->load->world;
}

/* Of the coordinator that is asked, as ZooKeeper has it. */
static int32_t epoch_of(const struct load_member *m)
{
    struct load_partition at;

    if (!load_partition(m->client->load, LOAD_OFFSETS_TOPIC, m->group->partition, &at) ||
        at.leader != m->coordinator)
        return -1;
    return at.leader_epoch;
}

/* It has led from the question to the answer: all that was promised before is known to it. */
static bool is_judged(const struct load_member *m)
{
    return m->epoch >= 0 && m->epoch == epoch_of(m);
}

static struct slice instance_of(const struct load_member *m)
{
    return m->instance[0] == '\0' ? SLICE_NULL : slice_text(m->instance);
}

static void forget(struct load_member *m)
{
    m->id[0] = '\0';
    m->generation = -1;
    m->has_joined = m->has_synced = m->leads = false;
    memset(m->owns, 0, sizeof(m->owns));
}

static void rejoin(struct load_member *m)
{
    m->has_joined = m->has_synced = false;
    memset(m->owns, 0, sizeof(m->owns));
}

static void later(struct load_member *m, int64_t ms)
{
    timer_arm(&m->client->shard, &m->timer,
              client_after_ms(m->client, ms + client_draw(m->client, 0, ms)));
}

/* ---- answers ---- */

/* What every kind of answer may say; true: go on with what it has. */
static bool take_code(struct load_member *m, int16_t code)
{
    switch (code) {
    case KAFKA_NONE:
        return true;
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_REQUEST_TIMED_OUT:
        break;
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
    case KAFKA_NOT_COORDINATOR:
        m->coordinator = -1;
        break;
    case KAFKA_UNKNOWN_MEMBER_ID:
        forget(m);
        break;
    case KAFKA_ILLEGAL_GENERATION:
    case KAFKA_REBALANCE_IN_PROGRESS:
        rejoin(m);
        break;
    case KAFKA_FENCED_INSTANCE_ID: /* a late join of an earlier life has taken its place */
        if (m->instance[0] == '\0')
            world_wrong(world_of(m), "%s: a dynamic member is told that its instance is fenced",
                        m->group->name);
        forget(m);
        break;
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION: /* a broker that does not know the topic yet */
        m->coordinator = -1;
        break;
    default:
        world_wrong(world_of(m), "%s: question %d is answered %d", m->group->name, (int)m->asked,
                    code);
    }
    return false;
}

static void joined(struct load_member *m, const struct join_group_response *in)
{
    if (in->error_code == KAFKA_MEMBER_ID_REQUIRED) {
        snprintf(m->id, sizeof(m->id), "%.*s", SLICE_ARGS(in->member_id));
        return;
    }
    if (!take_code(m, in->error_code)) return;
    if (in->generation_id < m->generation_floor && is_judged(m))
        world_wrong(world_of(m), "%s: generation %d is told after %d", m->group->name,
                    in->generation_id, m->generation_floor);
    snprintf(m->id, sizeof(m->id), "%.*s", SLICE_ARGS(in->member_id));
    m->generation = in->generation_id;
    m->has_joined = true;
    m->leads = slice_equal(in->leader, in->member_id);
    m->member_count = 0;
    for (int i = 0; i < in->members.count && m->member_count < CLIENTS_MAX; i++)
        snprintf(m->members[m->member_count++], sizeof(m->members[0]), "%.*s",
                 SLICE_ARGS(in->members.at[i].member_id));
}

static void note_owner(struct load_member *m, int partition)
{
    struct load_group *group = m->group;
    int *owner = &group->owner[partition];

    if (*owner != 0 && *owner != m->number + 1)
        world_wrong(world_of(m), "%s: partition %d of generation %d is given to %d and to %d",
                    group->name, partition, m->generation, *owner - 1, m->number);
    *owner = m->number + 1;
}

/* An assignment is a bit per partition. */
static void synced(struct load_member *m, const struct sync_group_response *in)
{
    struct load_group *group = m->group;

    if (!take_code(m, in->error_code)) return;
    m->has_synced = true;
    if (m->generation > group->generation) {
        group->generation = m->generation;
        m->client->load->counts.generations++;
        memset(group->owner, 0, sizeof(group->owner));
    }
    for (int p = 0; p < GROUP_PARTITIONS && in->assignment.len == 1; p++) {
        m->owns[p] = (in->assignment.ptr[0] >> p & 1) != 0;
        if (m->owns[p] && m->generation == group->generation) note_owner(m, p);
    }
}

static void committed(struct load_member *m, const struct offset_commit_response *in)
{
    int16_t code = in->topics.count == 1 && in->topics.at[0].partitions.count == 1
                       ? in->topics.at[0].partitions.at[0].error_code
                       : KAFKA_UNKNOWN_SERVER_ERROR;

    world_trace(world_of(m), "client%d: %s commits %lld of %d in %d at %d: %d", m->number,
                m->group->name, (long long)m->offset, m->partition, m->generation, m->coordinator,
                code);
    if (take_code(m, code)) {
        m->client->load->counts.commits++;
        if (m->offset > m->group->acked[m->partition]) m->group->acked[m->partition] = m->offset;
        return;
    }
    /* It may have been written, and its answer is all that was lost. */
    if (code != KAFKA_ILLEGAL_GENERATION && code != KAFKA_REBALANCE_IN_PROGRESS) forget(m);
}

static void fetched(struct load_member *m, const struct offset_fetch_response *in)
{
    if (!take_code(m, in->error_code)) return;
    for (int t = 0; t < in->topics.count; t++)
        for (int p = 0; p < in->topics.at[t].partitions.count; p++) {
            const struct offset_fetch_response_topic_partition *at =
                &in->topics.at[t].partitions.at[p];
            if (at->partition_index < 0 || at->partition_index >= GROUP_PARTITIONS ||
                at->error_code != KAFKA_NONE)
                world_wrong(world_of(m), "%s: the offset of %d is answered %d", m->group->name,
                            at->partition_index, at->error_code);
            int64_t floor = m->floor[at->partition_index];
            world_trace(world_of(m), "client%d: %s is told %lld of %d by %d", m->number,
                        m->group->name, (long long)at->committed_offset, at->partition_index,
                        m->coordinator);
            bool is_old = at->committed_offset < floor && is_judged(m);
            if (is_old || at->committed_offset > m->group->sent)
                world_wrong(world_of(m), "%s: offset %lld of %d is told, %lld was committed",
                            m->group->name, (long long)at->committed_offset, at->partition_index,
                            (long long)floor);
        }
    m->client->load->counts.offsets_told++;
    m->group->told_at = world_of(m)->now;
}

static void found(struct load_member *m, const struct find_coordinator_response *in)
{
    if (in->error_code == KAFKA_NONE) m->coordinator = in->node_id;
}

/* ---- questions ---- */

static const struct {
    enum api_key api;
    int16_t version;
    const struct wire_struct *request, *response;
} questions[] = {
    [ASK_FIND] = {API_FIND_COORDINATOR, FIND_VERSION, &find_coordinator_request_wire,
                  &find_coordinator_response_wire},
    [ASK_JOIN] = {API_JOIN_GROUP, JOIN_VERSION, &join_group_request_wire,
                  &join_group_response_wire},
    [ASK_SYNC] = {API_SYNC_GROUP, SYNC_VERSION, &sync_group_request_wire,
                  &sync_group_response_wire},
    [ASK_BEAT] = {API_HEARTBEAT, BEAT_VERSION, &heartbeat_request_wire, &heartbeat_response_wire},
    [ASK_COMMIT] = {API_OFFSET_COMMIT, COMMIT_VERSION, &offset_commit_request_wire,
                    &offset_commit_response_wire},
    [ASK_FETCH] = {API_OFFSET_FETCH, FETCH_VERSION, &offset_fetch_request_wire,
                   &offset_fetch_response_wire},
    [ASK_LEAVE] = {API_LEAVE_GROUP, LEAVE_VERSION, &leave_group_request_wire,
                   &leave_group_response_wire},
};

union answer {
    struct find_coordinator_response find;
    struct join_group_response join;
    struct sync_group_response sync;
    struct heartbeat_response beat;
    struct offset_commit_response commit;
    struct offset_fetch_response fetch;
    struct leave_group_response leave;
};

static void take_answer(struct load_member *m, const union answer *in)
{
    switch (m->asked) {
    case ASK_FIND:
        found(m, &in->find);
        return;
    case ASK_JOIN:
        joined(m, &in->join);
        return;
    case ASK_SYNC:
        synced(m, &in->sync);
        return;
    case ASK_BEAT:
        (void)take_code(m, in->beat.error_code);
        return;
    case ASK_COMMIT:
        committed(m, &in->commit);
        return;
    case ASK_FETCH:
        fetched(m, &in->fetch);
        return;
    case ASK_LEAVE:
        forget(m);
        return;
    }
}

static void on_answer(struct peer_call *call, enum err err, struct slice body, struct block *block)
{
    struct load_member *m = list_entry(call, struct load_member, call);
    union answer in;

    (void)block;
    if (err == ERR_OK) {
        arena_reset(&m->client->arena);
        err = wire_read(body, questions[m->asked].version, questions[m->asked].response,
                        &m->client->arena, &in);
        if (err != ERR_OK)
            world_wrong(world_of(m), "the answer to question %d cannot be read: %s", (int)m->asked,
                        err_name(err));
        take_answer(m, &in);
    } else {
        m->coordinator = -1;
        if (m->asked == ASK_COMMIT || m->asked == ASK_LEAVE) forget(m);
    }
    bool has_next = m->coordinator >= 0 && !m->has_synced;
    later(m, has_next ? 1 : m->coordinator < 0 ? PAUSE_MS : BEAT_MS / 2);
}

static struct peer *peer_to(struct load_member *m, int32_t broker)
{
    if (broker < 1 || broker > m->client->load->cluster->brokers) return NULL;
    if (m->peers[broker - 1] == NULL)
        m->peers[broker - 1] = client_peer_open(m->client, broker, 1, ASK_MS);
    return m->peers[broker - 1];
}

static void ask(struct load_member *m, enum question question, int32_t broker, const void *body)
{
    struct peer *peer = peer_to(m, broker);

    if (peer == NULL) {
        m->coordinator = -1;
        later(m, PAUSE_MS);
        return;
    }
    m->asked = question;
    m->epoch = epoch_of(m);
    m->call = (struct peer_call){.api_key = (int16_t)questions[question].api,
                                 .version_min = questions[question].version,
                                 .version_max = questions[question].version,
                                 .timeout_ms = ASK_MS,
                                 .done = on_answer};
    buf_init(&m->call.body);
    wire_write(&m->call.body, questions[question].version, questions[question].request, body);
    peer_send(peer, &m->call);
}

static void ask_find(struct load_member *m)
{
    struct find_coordinator_request body;

    wire_default(&find_coordinator_request_wire, &body);
    body.key = slice_text(m->group->name);
    ask(m, ASK_FIND, (int32_t)client_draw(m->client, 1, m->client->load->cluster->brokers), &body);
}

static void ask_join(struct load_member *m)
{
    struct join_group_request_protocol protocol = {.name = SLICE("bits"), .metadata = SLICE("")};
    struct join_group_request body;

    wire_default(&join_group_request_wire, &body);
    body.group_id = slice_text(m->group->name);
    body.session_timeout_ms = SESSION_MS;
    body.rebalance_timeout_ms = REBALANCE_MS;
    body.member_id = slice_text(m->id);
    body.group_instance_id = instance_of(m);
    body.protocol_type = SLICE("sim");
    body.protocols.at = &protocol;
    body.protocols.count = 1;
    m->generation_floor = m->group->generation;
    ask(m, ASK_JOIN, m->coordinator, &body);
}

static void ask_sync(struct load_member *m)
{
    struct sync_group_request_assignment assignments[CLIENTS_MAX];
    uint8_t bits[CLIENTS_MAX] = {0};
    struct sync_group_request body;

    wire_default(&sync_group_request_wire, &body);
    body.group_id = slice_text(m->group->name);
    body.generation_id = m->generation;
    body.member_id = slice_text(m->id);
    body.group_instance_id = instance_of(m);
    for (int p = 0; p < GROUP_PARTITIONS && m->leads && m->member_count > 0; p++)
        bits[client_draw(m->client, 0, m->member_count - 1)] |= (uint8_t)(1 << p);
    for (int i = 0; i < m->member_count; i++)
        assignments[i] = (struct sync_group_request_assignment){
            .member_id = slice_text(m->members[i]), .assignment = slice_of(&bits[i], 1)};
    body.assignments.at = assignments;
    body.assignments.count = m->leads ? m->member_count : 0;
    ask(m, ASK_SYNC, m->coordinator, &body);
}

static void ask_beat(struct load_member *m)
{
    struct heartbeat_request body;

    wire_default(&heartbeat_request_wire, &body);
    body.group_id = slice_text(m->group->name);
    body.generation_id = m->generation;
    body.member_id = slice_text(m->id);
    body.group_instance_id = instance_of(m);
    ask(m, ASK_BEAT, m->coordinator, &body);
}

static void ask_commit(struct load_member *m)
{
    m->partition = (int)client_draw(m->client, 0, GROUP_PARTITIONS - 1);
    if (!m->owns[m->partition]) {
        ask_beat(m);
        return;
    }
    struct offset_commit_request_topic_partition partition = {.partition_index = m->partition,
                                                              .committed_offset = m->offset =
                                                                  ++m->group->sent,
                                                              .committed_leader_epoch = -1,
                                                              .committed_metadata = SLICE("")};
    struct offset_commit_request_topic topic = {.name = SLICE(LOAD_OFFSETS_TOPIC),
                                                .partitions = {&partition, 1}};
    struct offset_commit_request body;

    wire_default(&offset_commit_request_wire, &body);
    body.group_id = slice_text(m->group->name);
    body.generation_id_or_member_epoch = m->generation;
    body.member_id = slice_text(m->id);
    body.group_instance_id = instance_of(m);
    body.topics.at = &topic;
    body.topics.count = 1;
    ask(m, ASK_COMMIT, m->coordinator, &body);
}

static void ask_fetch(struct load_member *m)
{
    int32_t partitions[GROUP_PARTITIONS];
    struct offset_fetch_request_topic topic = {.name = SLICE(LOAD_OFFSETS_TOPIC),
                                               .partition_indexes = {partitions, GROUP_PARTITIONS}};
    struct offset_fetch_request body;

    for (int p = 0; p < GROUP_PARTITIONS; p++) {
        partitions[p] = p;
        m->floor[p] = m->group->acked[p] > 0 ? m->group->acked[p] : -1;
    }
    wire_default(&offset_fetch_request_wire, &body);
    body.group_id = slice_text(m->group->name);
    body.topics.at = &topic;
    body.topics.count = 1;
    ask(m, ASK_FETCH, m->coordinator, &body);
}

static void ask_leave(struct load_member *m)
{
    struct leave_group_request_member who = {
        .member_id = slice_text(m->id), .group_instance_id = instance_of(m), .reason = SLICE_NULL};
    struct leave_group_request body;

    wire_default(&leave_group_request_wire, &body);
    body.group_id = slice_text(m->group->name);
    body.members.at = &who;
    body.members.count = 1;
    ask(m, ASK_LEAVE, m->coordinator, &body);
}

/* In a group, with an assignment. */
static void ask_anything(struct load_member *m)
{
    int64_t luck = client_draw(m->client, 0, 99);

    if (luck < 60) {
        ask_commit(m);
    } else if (luck < 75) {
        ask_fetch(m);
    } else if (luck < 97) {
        ask_beat(m);
    } else if (luck < 98) {
        ask_leave(m);
    } else { /* vanishes, or is away for longer than its session */
        if (luck == 98) forget(m);
        later(m, 2 * SESSION_MS);
    }
}

static void on_timer(struct timer *timer)
{
    struct load_member *m = list_entry(timer, struct load_member, timer);
    struct load *load = m->client->load;

    if (m->coordinator < 0)
        ask_find(m);
    else if (load->is_calm && instant_before(m->group->told_at, load->calm_since))
        ask_fetch(m);
    else if (load->is_calm)
        later(m, BEAT_MS);
    else if (!m->has_joined)
        ask_join(m);
    else if (!m->has_synced)
        ask_sync(m);
    else
        ask_anything(m);
}

/* ---- life ---- */

/* A promise that two replicas keep: without it the death of a disk may take what was acknowledged.
 */
static void on_settled(struct timer *timer)
{
    struct client *client = list_entry(timer, struct client, groups_timer);
    struct load *load = client->load;

    if (!load_topic_exists(load, LOAD_OFFSETS_TOPIC)) {
        timer_arm(&client->shard, timer, client_after_ms(client, PAUSE_MS));
        return;
    }
    (void)load_configure(load, LOAD_OFFSETS_TOPIC, "min.insync.replicas", "2");
}

void load_groups_start(struct client *client)
{
    struct load *load = client->load;

    if (load->group_count == 0) return;
    client->members = ensure_zalloc(sizeof(*client->members) * (size_t)load->group_count);
    for (int g = 0; g < load->group_count; g++) {
        struct load_member *m = &client->members[g];
        m->client = client;
        m->group = &load->groups[g];
        m->number = client->index;
        m->timer.fire = on_timer;
        m->coordinator = -1;
        if (load->has_static_members && m->number % 2 == 0)
            snprintf(m->instance, sizeof(m->instance), "i%d", m->number);
        forget(m);
        /* The first look makes the topic; commits begin when it has its promise. */
        timer_arm(&client->shard, &m->timer,
                  client_after_ms(client, g == 0 && client->index == 0 ? 1 : 10000));
    }
    if (client->index > 0) return;
    client->groups_timer.fire = on_settled;
    timer_arm(&client->shard, &client->groups_timer, client_after_ms(client, PAUSE_MS));
}

void load_groups_create(struct load *load)
{
    load->group_count = (int)world_option(load->world, "load.groups", 0, 0);
    if (load->group_count == 0) return;
    load->has_static_members = world_option(load->world, "load.static-members", 0, 1) != 0;
    load->groups = ensure_zalloc(sizeof(*load->groups) * (size_t)load->group_count);
    for (int g = 0; g < load->group_count; g++) {
        snprintf(load->groups[g].name, sizeof(load->groups[g].name), "g%d", g);
        load->groups[g].generation = -1;
        load->groups[g].partition =
            coordinator_partition(slice_text(load->groups[g].name), GROUP_PARTITIONS);
    }
    cluster_set_number(load->cluster, "offsets.topic.replication.factor",
                       load->cluster->brokers < 3 ? load->cluster->brokers : 3);
}

bool load_groups_are_drained(const struct load *load, char *why, size_t size)
{
    for (int g = 0; g < load->group_count; g++) {
        if (!instant_before(load->groups[g].told_at, load->calm_since)) continue;
        snprintf(why, size, "nobody knows the offsets of %s", load->groups[g].name);
        return false;
    }
    return true;
}
