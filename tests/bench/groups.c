#include "tests/bench/groups.h"
#include "base/arena.h"
#include "base/ensure.h"
#include "tests/bench/load.h"
#include "tests/cluster/cluster.h"
#include "wire/codec.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/join_group.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/protocol.h"
#include "wire/gen/sync_group.h"
#include "wire/prim.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The last that are not flexible: their frames have the plain header. */
#define FIND_VERSION    2
#define JOIN_VERSION    5
#define SYNC_VERSION    3
#define COMMIT_VERSION  7
#define FETCH_VERSION   5
#define SESSION_MS      1800000 /* nobody beats in between */
#define REBALANCE_MS    60000
#define PARTITIONS      100
#define OFFSETS_PARTS   50
#define COMMIT_GROUPS   1000
#define COMMIT_CONNS    COMMIT_GROUPS /* a member has one to its coordinator */
#define BATCHED_COMMITS 100

/* What all members read: version, topics, no user data. */
static const uint8_t subscription[] = {0, 1, 0, 0, 0, 1, 0, 5, 'b', 'e', 'n', 'c', 'h', 0, 0, 0, 0};

struct conn {
    int fd;
    struct buf in;
    size_t used; /* of `in`: frames that have been taken */
};

struct member {
    char group[32];
    char id[128];
    int32_t generation;
    struct conn *conn;
    bool leads;
};

struct rig {
    const struct groups_load *load;
    struct cluster cluster;
    struct load_target target;
    struct node *broker;
    struct conn *conns;
    int conn_count;
    int epoll;
    struct buf out;
};

static _Noreturn void die(const char *what, int code)
{
    fprintf(stderr, "bench: groups: %s (%d)\n", what, code);
    exit(1);
}

/* ---- connections ---- */

static void open_conns(struct rig *rig, int count)
{
    rig->conns = ensure_zalloc(sizeof(*rig->conns) * (size_t)count);
    rig->conn_count = count;
    rig->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &rig->conns[i]}};
        rig->conns[i].fd = load_connect(&rig->target);
        epoll_ctl(rig->epoll, EPOLL_CTL_ADD, rig->conns[i].fd, &event);
    }
}

static void close_conns(struct rig *rig)
{
    for (int i = 0; i < rig->conn_count; i++) {
        close(rig->conns[i].fd);
        buf_fini(&rig->conns[i].in);
    }
    free(rig->conns);
    close(rig->epoll);
    rig->conns = NULL;
    rig->conn_count = 0;
}

static void send_to(struct rig *rig, struct conn *conn, int api, int version,
                    const struct wire_struct *type, const void *body)
{
    buf_clear(&rig->out);
    load_add_request(&rig->out, api, version, 1, type, body);
    load_send_all(conn->fd, buf_slice(&rig->out));
}

/* Reads what is there. False: the other side has closed. */
static bool fill(struct conn *conn)
{
    if (conn->used > 0 && conn->used == conn->in.len) {
        buf_clear(&conn->in);
        conn->used = 0;
    }
    for (;;) {
        size_t len = conn->in.len;
        uint8_t *to = buf_extend(&conn->in, 16384);
        ssize_t n = recv(conn->fd, to, 16384, MSG_DONTWAIT);
        conn->in.len = len + (n > 0 ? (size_t)n : 0);
        if (n == 16384) continue;
        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
    }
}

/* The body of the next answer, until the next fill. */
static bool take_answer(struct conn *conn, struct slice *body)
{
    size_t left = conn->in.len - conn->used;
    const uint8_t *at = conn->in.ptr + conn->used;

    if (left < 8 || left - 4 < prim_load32(at)) return false;
    size_t len = prim_load32(at);
    *body = slice_of(at + 8, len - 4);
    conn->used += 4 + len;
    return true;
}

/* The next answer on this connection, however long it takes. */
static struct slice await_answer(struct conn *conn)
{
    struct slice body;

    while (!take_answer(conn, &body)) {
        struct pollfd fd = {.fd = conn->fd, .events = POLLIN};
        poll(&fd, 1, 60000);
        if (!fill(conn)) die("the broker ended a connection", 0);
    }
    return body;
}

static void read_answer(struct slice body, int version, const struct wire_struct *type,
                        struct arena *arena, void *out)
{
    enum err err = wire_read(body, version, type, arena, out);

    if (err != ERR_OK) die("an answer cannot be read", (int)err);
}

/* ---- members ---- */

static void send_join(struct rig *rig, struct member *member)
{
    struct join_group_request_protocol range = {
        .name = SLICE("range"), .metadata = slice_of(subscription, sizeof(subscription))};
    struct join_group_request body;

    wire_default(&join_group_request_wire, &body);
    body.group_id = slice_text(member->group);
    body.session_timeout_ms = SESSION_MS;
    body.rebalance_timeout_ms = REBALANCE_MS;
    body.member_id = slice_text(member->id);
    body.protocol_type = SLICE("consumer");
    body.protocols.at = &range;
    body.protocols.count = 1;
    send_to(rig, member->conn, API_JOIN_GROUP, JOIN_VERSION, &join_group_request_wire, &body);
}

/* A leader gives each member one partition. */
static void send_sync(struct rig *rig, struct member *member,
                      const struct join_group_response *joined)
{
    size_t count = member->leads ? (size_t)joined->members.count : 0;
    struct sync_group_request_assignment *assignments =
        ensure_zalloc(sizeof(*assignments) * (count + 1));
    uint8_t(*bytes)[25] = ensure_zalloc(25 * (count + 1));
    struct sync_group_request body;

    for (size_t i = 0; i < count; i++) {
        const uint8_t assignment[25] = {0,   1,   0, 0, 0, 1, 0, 5, 'b', 'e', 'n',
                                        'c', 'h', 0, 0, 0, 1, 0, 0, 0,   0,   0};
        memcpy(bytes[i], assignment, 25);
        prim_store32(bytes[i] + 17, (uint32_t)i);
        assignments[i].member_id = joined->members.at[i].member_id;
        assignments[i].assignment = slice_of(bytes[i], 25);
    }
    wire_default(&sync_group_request_wire, &body);
    body.group_id = slice_text(member->group);
    body.generation_id = member->generation;
    body.member_id = slice_text(member->id);
    body.assignments.at = assignments;
    body.assignments.count = (int32_t)count;
    send_to(rig, member->conn, API_SYNC_GROUP, SYNC_VERSION, &sync_group_request_wire, &body);
    free(assignments);
    free(bytes);
}

/* KAFKA_NONE: it has been sent on. */
static int take_joined(struct rig *rig, struct member *member, struct arena *arena,
                       struct slice answer)
{
    struct join_group_response joined;

    arena_reset(arena);
    read_answer(answer, JOIN_VERSION, &join_group_response_wire, arena, &joined);
    snprintf(member->id, sizeof(member->id), "%.*s", SLICE_ARGS(joined.member_id));
    member->generation = joined.generation_id;
    member->leads = slice_equal(joined.leader, joined.member_id);
    if (joined.error_code == KAFKA_NONE) send_sync(rig, member, &joined);
    return joined.error_code;
}

static int take_synced(struct arena *arena, struct slice answer)
{
    struct sync_group_response synced;

    arena_reset(arena);
    read_answer(answer, SYNC_VERSION, &sync_group_response_wire, arena, &synced);
    return synced.error_code;
}

/* ---- commits ---- */

static void send_commit(struct rig *rig, const struct member *member, int first, int count,
                        int64_t offset)
{
    struct offset_commit_request_topic_partition at[BATCHED_COMMITS];
    struct offset_commit_request_topic topic = {.name = SLICE("bench"), .partitions = {at, count}};
    struct offset_commit_request body;

    for (int i = 0; i < count; i++)
        at[i] = (struct offset_commit_request_topic_partition){.partition_index =
                                                                   (first + i) % PARTITIONS,
                                                               .committed_offset = offset,
                                                               .committed_leader_epoch = -1,
                                                               .committed_metadata = SLICE("")};
    wire_default(&offset_commit_request_wire, &body);
    body.group_id = slice_text(member->group);
    body.generation_id_or_member_epoch = member->generation;
    body.member_id = slice_text(member->id);
    body.topics.at = &topic;
    body.topics.count = 1;
    send_to(rig, member->conn, API_OFFSET_COMMIT, COMMIT_VERSION, &offset_commit_request_wire,
            &body);
}

static int take_committed(struct arena *arena, struct slice answer)
{
    struct offset_commit_response out;

    arena_reset(arena);
    read_answer(answer, COMMIT_VERSION, &offset_commit_response_wire, arena, &out);
    for (int t = 0; t < out.topics.count; t++)
        for (int p = 0; p < out.topics.at[t].partitions.count; p++)
            if (out.topics.at[t].partitions.at[p].error_code != KAFKA_NONE)
                return out.topics.at[t].partitions.at[p].error_code;
    return KAFKA_NONE;
}

static void send_fetch(struct rig *rig, const struct member *member)
{
    int32_t partition = 0;
    struct offset_fetch_request_topic topic = {.name = SLICE("bench"),
                                               .partition_indexes = {&partition, 1}};
    struct offset_fetch_request body;

    wire_default(&offset_fetch_request_wire, &body);
    body.group_id = slice_text(member->group);
    body.topics.at = &topic;
    body.topics.count = 1;
    send_to(rig, member->conn, API_OFFSET_FETCH, FETCH_VERSION, &offset_fetch_request_wire, &body);
}

static int take_fetched(struct arena *arena, struct slice answer, int64_t *offset)
{
    struct offset_fetch_response out;

    arena_reset(arena);
    read_answer(answer, FETCH_VERSION, &offset_fetch_response_wire, arena, &out);
    if (out.error_code != KAFKA_NONE) return out.error_code;
    *offset = out.topics.at[0].partitions.at[0].committed_offset;
    return KAFKA_NONE;
}

/* The coordinator's broker id; −1: not known now. */
static int find_coordinator(struct rig *rig, struct conn *conn, const char *group)
{
    struct find_coordinator_request body;
    struct find_coordinator_response out;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    wire_default(&find_coordinator_request_wire, &body);
    body.key = slice_text(group);
    send_to(rig, conn, API_FIND_COORDINATOR, FIND_VERSION, &find_coordinator_request_wire, &body);
    read_answer(await_answer(conn), FIND_VERSION, &find_coordinator_response_wire, &arena, &out);
    int node = out.error_code == KAFKA_NONE ? out.node_id : -1;
    arena_fini(&arena);
    return node;
}

/* ---- the rig ---- */

static void point_at(struct rig *rig, int broker)
{
    rig->broker = cluster_node(&rig->cluster, NODE_BROKER, broker);
    rig->target.port = rig->broker->port;
    snprintf(rig->target.host, sizeof(rig->target.host), "127.0.0.1");
}

static void begin(struct rig *rig, const struct groups_load *load, int brokers, const char *lines)
{
    static char properties[2048];
    struct rlimit files;

    *rig = (struct rig){.load = load};
    snprintf(properties, sizeof(properties), "%s%s\n", lines,
             load->broker_properties == NULL ? "" : load->broker_properties);
    cluster_start(&rig->cluster, &(struct cluster_options){.zookeepers = 1,
                                                           .controllers = 1,
                                                           .brokers = brokers,
                                                           .broker_properties = properties,
                                                           .binaries = load->binaries});
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    point_at(rig, 1);
    load_create_topic(&rig->target, "bench", PARTITIONS, NULL);
    struct conn conn = {.fd = load_connect(&rig->target)};
    while (find_coordinator(rig, &conn, "first") < 0)
        poll(NULL, 0, 20);
    close(conn.fd);
    buf_fini(&conn.in);
}

static void end(struct rig *rig)
{
    cluster_stop(&rig->cluster);
    buf_fini(&rig->out);
}

static struct process_use use_of(const struct rig *rig)
{
    struct process_use use = {0};

    if (!process_use(rig->broker->pid, &use)) die("the broker has ended", 0);
    return use;
}

/* Groups of one member each, `conn_count` at a time. */
static struct member *join_singles(struct rig *rig, const char *name, int count)
{
    struct member *members = ensure_zalloc(sizeof(*members) * (size_t)count);
    struct arena arena;

    arena_init(&arena, 64 << 20);
    for (int first = 0; first < count; first += rig->conn_count) {
        int n = count - first < rig->conn_count ? count - first : rig->conn_count;
        for (int i = 0; i < n; i++) {
            struct member *member = &members[first + i];
            snprintf(member->group, sizeof(member->group), "%s-%d", name, first + i);
            member->conn = &rig->conns[i];
            send_join(rig, member);
        }
        for (int i = 0; i < n; i++) {
            struct member *member = &members[first + i];
            int code;
            while ((code = take_joined(rig, member, &arena, await_answer(member->conn))) !=
                   KAFKA_NONE) {
                if (code != KAFKA_MEMBER_ID_REQUIRED) poll(NULL, 0, 5);
                send_join(rig, member);
            }
        }
        for (int i = 0; i < n; i++) {
            int code = take_synced(&arena, await_answer(members[first + i].conn));
            if (code != KAFKA_NONE) die("a sync", code);
        }
    }
    arena_fini(&arena);
    return members;
}

#define AT_ONCE                                                                                    \
    "group.initial.rebalance.delay.ms=0\ngroup.max.session.timeout.ms=1800000\n"                   \
    "offsets.topic.replication.factor=1\n"

/* ---- commits ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* One commit each 1/rate s, each of another group, whatever the answers do. */
static void run_commits(const struct groups_load *load)
{
    struct epoll_event events[64];
    struct arena arena;
    struct rig rig;

    begin(&rig, load, 1, AT_ONCE);
    open_conns(&rig, COMMIT_CONNS);
    struct member *members = join_singles(&rig, "c", COMMIT_GROUPS);
    arena_init(&arena, 1 << 20);
    uint64_t total = (uint64_t)(load->commits_rate * load->seconds), sent = 0, done = 0, failed = 0;
    double *due = ensure_malloc(sizeof(double) * (size_t)(total + 1));
    double *latencies = ensure_malloc(sizeof(double) * (size_t)(total + 1));
    uint64_t *answered = ensure_zalloc(sizeof(*answered) * COMMIT_CONNS);
    prctl(PR_SET_TIMERSLACK, 1);
    double cpu = use_of(&rig).cpu_seconds, begun = seconds_now();
    while (done < total) {
        double at = seconds_now();
        for (; sent < total && begun + (double)sent / load->commits_rate <= at; sent++) {
            due[sent] = begun + (double)sent / load->commits_rate;
            send_commit(&rig, &members[sent % COMMIT_GROUPS], (int)(sent / COMMIT_GROUPS), 1,
                        (int64_t)sent);
        }
        int n = epoll_wait(rig.epoll, events, 64, 0);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            struct slice answer;
            if (!fill(conn)) die("the broker ended a connection", 0);
            while (take_answer(conn, &answer)) {
                /* Of a connection every COMMIT_CONNS-th, in order. */
                uint64_t which =
                    (uint64_t)(conn - rig.conns) + answered[conn - rig.conns]++ * COMMIT_CONNS;
                failed += take_committed(&arena, answer) != KAFKA_NONE;
                latencies[done++] = seconds_now() - due[which];
            }
        }
    }
    double seconds = seconds_now() - begun;
    cpu = use_of(&rig).cpu_seconds - cpu;
    qsort(latencies, (size_t)total, sizeof(double), by_size);
    printf("commits          %.0f/s of %d groups on %d connections: broker %.2f cores, %.1f us CPU "
           "each, p50 %.0f us  p99 %.0f us, failed %lu\n",
           (double)total / seconds, COMMIT_GROUPS, COMMIT_CONNS, cpu / seconds,
           cpu * 1e6 / (double)total, latencies[total / 2] * 1e6, latencies[total / 100 * 99] * 1e6,
           (unsigned long)failed);
    free(due);
    free(latencies);
    free(answered);
    free(members);
    arena_fini(&arena);
    close_conns(&rig);
    end(&rig);
}

/* ---- many members ---- */

/* All join; the time from the first answer of a join to the last of a sync. */
static double rebalance(struct rig *rig, struct member *members, int count, double *begun)
{
    struct epoll_event events[64];
    bool *has_joined = ensure_zalloc(sizeof(bool) * (size_t)count);
    struct arena arena;
    double first = 0;
    int synced = 0;

    arena_init(&arena, 64 << 20);
    /* Where there is a generation its leader begins the next: for the others' joins would be
     * answered at once. They hear of it by their heartbeats. */
    for (int i = 0; i < count; i++)
        if (members[i].leads) send_join(rig, &members[i]);
    poll(NULL, 0, 200);
    *begun = seconds_now();
    for (int i = 0; i < count; i++)
        if (!members[i].leads) send_join(rig, &members[i]);
    while (synced < count) {
        int n = epoll_wait(rig->epoll, events, 64, 60000);
        if (n <= 0) die("the group stands still", synced);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            struct member *member = &members[conn - rig->conns];
            struct slice answer;
            if (!fill(conn)) die("the broker ended a connection", 0);
            while (take_answer(conn, &answer)) {
                if (has_joined[conn - rig->conns]) {
                    int code = take_synced(&arena, answer);
                    if (code != KAFKA_NONE) die("a sync", code);
                    synced++;
                    continue;
                }
                int code = take_joined(rig, member, &arena, answer);
                if (code == KAFKA_MEMBER_ID_REQUIRED) {
                    send_join(rig, member);
                    continue;
                }
                if (code != KAFKA_NONE) die("a join", code);
                if (first == 0) first = seconds_now();
                has_joined[conn - rig->conns] = true;
            }
        }
    }
    arena_fini(&arena);
    free(has_joined);
    return seconds_now() - first;
}

static void run_members(const struct groups_load *load)
{
    int count = load->members;
    struct rig rig;

    begin(&rig, load, 1,
          "group.max.session.timeout.ms=1800000\noffsets.topic.replication.factor=1\n");
    open_conns(&rig, count);
    struct member *members = ensure_zalloc(sizeof(*members) * (size_t)count);
    for (int i = 0; i < count; i++) {
        snprintf(members[i].group, sizeof(members[i].group), "many");
        members[i].conn = &rig.conns[i];
    }
    double cpu = use_of(&rig).cpu_seconds;
    double begun;
    double first = rebalance(&rig, members, count, &begun);
    double second = rebalance(&rig, members, count, &begun);
    printf("%d members     first generation %.0f ms after the delay; again in %.0f ms from the "
           "first rejoin, %.0f ms from its end; broker %.0f ms CPU in all\n",
           count, first * 1e3, (seconds_now() - begun) * 1e3, second * 1e3,
           (use_of(&rig).cpu_seconds - cpu) * 1e3);
    free(members);
    close_conns(&rig);
    end(&rig);
}

/* ---- idle groups ---- */

static void run_idle(const struct groups_load *load)
{
    struct arena arena;
    struct rig rig;

    begin(&rig, load, 1, AT_ONCE);
    open_conns(&rig, 100);
    arena_init(&arena, 1 << 20);
    free(join_singles(&rig, "warm", 100));
    uint64_t before = use_of(&rig).rss_bytes;
    struct member *members = join_singles(&rig, "idle", load->idle);
    for (int i = 0; i < load->idle; i++) {
        send_commit(&rig, &members[i], i, 1, i);
        int code = take_committed(&arena, await_answer(members[i].conn));
        if (code != KAFKA_NONE) die("a commit", code);
    }
    uint64_t after = use_of(&rig).rss_bytes;
    printf("%d idle groups of one member and one commit: %.1f MiB more, %.0f bytes each, rss %.1f "
           "MiB\n",
           load->idle, (double)(after - before) / (1 << 20), (double)(after - before) / load->idle,
           (double)after / (1 << 20));
    arena_fini(&arena);
    free(members);
    close_conns(&rig);
    end(&rig);
}

/* ---- a coordinator's log is read ---- */

/* Commits of COMMIT_GROUPS groups, a hundred partitions a request. */
static void write_commits(struct rig *rig, int64_t count)
{
    struct member *groups = ensure_zalloc(sizeof(*groups) * COMMIT_GROUPS);
    struct arena arena;
    int64_t sent = 0;

    arena_init(&arena, 1 << 20);
    open_conns(rig, 20);
    for (int i = 0; i < COMMIT_GROUPS; i++) {
        snprintf(groups[i].group, sizeof(groups[i].group), "load-%d", i);
        groups[i].generation = -1;
        groups[i].conn = &rig->conns[i % rig->conn_count];
    }
    for (int at = 0; sent < count; at = (at + rig->conn_count) % COMMIT_GROUPS) {
        for (int i = 0; i < rig->conn_count; i++)
            send_commit(rig, &groups[at + i], 0, BATCHED_COMMITS, sent);
        for (int i = 0; i < rig->conn_count; i++) {
            int code = take_committed(&arena, await_answer(groups[at + i].conn));
            if (code == KAFKA_NONE) sent += BATCHED_COMMITS;
            if (code != KAFKA_NONE && code != KAFKA_COORDINATOR_LOAD_IN_PROGRESS)
                die("a commit", code);
        }
    }
    close_conns(rig);
    arena_fini(&arena);
    free(groups);
}

/* Until each of the groups tells an offset: seconds. */
static double await_groups(struct rig *rig)
{
    double begun = seconds_now();
    struct arena arena;
    int64_t offset = -1;

    arena_init(&arena, 1 << 20);
    open_conns(rig, 1);
    for (int i = 0; i < COMMIT_GROUPS; i++) {
        struct member group = {.generation = -1, .conn = rig->conns};
        snprintf(group.group, sizeof(group.group), "load-%d", i);
        for (int code = -1; code != KAFKA_NONE;) {
            send_fetch(rig, &group);
            code = take_fetched(&arena, await_answer(rig->conns), &offset);
            if (code != KAFKA_NONE) poll(NULL, 0, 2);
        }
        if (offset < 0) die("a group has lost its commits", i);
    }
    close_conns(rig);
    arena_fini(&arena);
    return seconds_now() - begun;
}

static uint64_t bytes_of_log(const struct rig *rig)
{
    char out[64];

    run_command(out, sizeof(out), "du -cb %s/data/__consumer_offsets-*/*.log | tail -n 1 | cut -f1",
                rig->broker->folder);
    return strtoull(out, NULL, 10);
}

static void run_load(const struct groups_load *load)
{
    struct rig rig;

    begin(&rig, load, 1,
          AT_ONCE "offsets.topic.segment.bytes=1048576\nlog.cleaner.backoff.ms=1000\n");
    write_commits(&rig, load->load_commits);
    for (int compacted = 0; compacted <= 1; compacted++) {
        uint64_t bytes = bytes_of_log(&rig);
        if (compacted) {
            /* Until the cleaner finds nothing more: the log has been the same for some seconds. */
            for (uint64_t was = 0; bytes != was;) {
                was = bytes;
                poll(NULL, 0, 5000);
                bytes = bytes_of_log(&rig);
            }
        }
        node_signal(&rig.cluster, rig.broker, SIGKILL);
        node_start(&rig.cluster, rig.broker);
        node_wait_ready(&rig.cluster, rig.broker, 120);
        double seconds = await_groups(&rig);
        char longest[64];
        run_command(longest, sizeof(longest),
                    "sed -n 's/.*coordinator-began.*ms=\\([0-9]*\\).*/\\1/p' %s/log | sort -n | "
                    "tail -n 1",
                    rig.broker->folder);
        printf(
            "load             %lld commits of %d groups, %s (%.1f MiB): all groups known %.0f ms "
            "after the start; the longest load %d ms, broker %.2f CPU s\n",
            (long long)load->load_commits, COMMIT_GROUPS, compacted ? "compacted" : "as written",
            (double)bytes / (1 << 20), seconds * 1e3, atoi(longest), use_of(&rig).cpu_seconds);
    }
    end(&rig);
}

/* ---- a coordinator dies ---- */

#define KILL_GROUPS 200
#define KILL_ROUNDS 3
#define KILL_GAP    0.002 /* between two tries of a group */

/* A group that commits without end, at whichever broker coordinates it. */
struct patient {
    struct member as;
    int broker;       /* 0: to be looked for */
    bool is_asked;    /* an answer is waited for */
    bool was_at_dead; /* its coordinator was the one that died */
    double next;      /* not before */
    int64_t sent, acknowledged;
    double last_good, silence; /* since the kill */
};

struct ward {
    struct rig *rig;
    struct conn brokers[4][KILL_GROUPS]; /* a connection each: answers come in order */
    struct patient patients[KILL_GROUPS];
    int dead; /* broker; 0: none */
};

static void drop(struct ward *ward, int i)
{
    struct patient *it = &ward->patients[i];
    struct conn *conn = &ward->brokers[it->broker][i];

    if (it->broker > 0 && conn->fd > 0) {
        close(conn->fd);
        buf_fini(&conn->in);
        *conn = (struct conn){0};
    }
    it->broker = 0;
    it->is_asked = false;
    it->next = seconds_now() + KILL_GAP;
}

static bool reach(struct ward *ward, int i, int broker)
{
    struct conn *conn = &ward->brokers[broker][i];

    if (conn->fd > 0) return true;
    point_at(ward->rig, broker);
    int fd = load_try_connect(&ward->rig->target);
    if (fd < 0) return false;
    *conn = (struct conn){.fd = fd};
    return true;
}

static void look_for(struct ward *ward, struct conn *guide, int i)
{
    struct patient *it = &ward->patients[i];
    int broker = find_coordinator(ward->rig, guide, it->as.group);

    it->next = seconds_now() + KILL_GAP;
    if (broker <= 0 || broker == ward->dead || !reach(ward, i, broker)) return;
    it->broker = broker;
    it->as.conn = &ward->brokers[broker][i];
}

static void step(struct ward *ward, struct conn *guide, struct arena *arena, int i)
{
    struct patient *it = &ward->patients[i];
    struct slice answer;

    if (it->broker == 0 && seconds_now() >= it->next) look_for(ward, guide, i);
    if (it->broker == 0) return;
    if (!it->is_asked && seconds_now() >= it->next) {
        send_commit(ward->rig, &it->as, 0, 1, ++it->sent);
        it->is_asked = true;
        return;
    }
    if (!it->is_asked) return;
    if (!fill(it->as.conn)) {
        drop(ward, i);
        return;
    }
    if (!take_answer(it->as.conn, &answer)) return;
    it->is_asked = false;
    it->next = seconds_now() + 10 * KILL_GAP;
    int code = take_committed(arena, answer);
    if (code == KAFKA_NONE) {
        double at = seconds_now();
        if (at - it->last_good > it->silence) it->silence = at - it->last_good;
        it->last_good = at;
        it->acknowledged = it->sent;
    } else if (code == KAFKA_COORDINATOR_LOAD_IN_PROGRESS) {
        it->next = seconds_now() + KILL_GAP;
    } else {
        drop(ward, i);
    }
}

static void tend(struct ward *ward, struct conn *guide, struct arena *arena, double seconds)
{
    double until = seconds_now() + seconds;

    while (seconds_now() < until) {
        for (int i = 0; i < KILL_GROUPS; i++)
            step(ward, guide, arena, i);
        poll(NULL, 0, 1);
    }
}

/* What was acknowledged is known. */
static int lost_commits(struct ward *ward, struct arena *arena)
{
    int lost = 0;

    for (int i = 0; i < KILL_GROUPS; i++) {
        struct patient *it = &ward->patients[i];
        int64_t offset = -1;
        if (it->broker == 0) die("a group has no coordinator", i);
        if (it->is_asked) (void)await_answer(it->as.conn);
        it->is_asked = false;
        send_fetch(ward->rig, &it->as);
        if (take_fetched(arena, await_answer(it->as.conn), &offset) != KAFKA_NONE ||
            offset < it->acknowledged)
            lost++;
    }
    return lost;
}

static void run_kill(const struct groups_load *load)
{
    static struct ward ward;
    struct arena arena;
    struct rig rig;

    begin(&rig, load, 3,
          "offsets.topic.replication.factor=3\ngroup.initial.rebalance.delay.ms=0\n");
    arena_init(&arena, 1 << 20);
    ward = (struct ward){.rig = &rig};
    for (int i = 0; i < KILL_GROUPS; i++) {
        snprintf(ward.patients[i].as.group, sizeof(ward.patients[i].as.group), "kill-%d", i);
        ward.patients[i].as.generation = -1;
    }
    for (int round = 0; round < KILL_ROUNDS; round++) {
        int dead = 1 + round % 3, hit = 0;
        double silences[KILL_GROUPS];
        point_at(&rig, 1 + (round + 1) % 3);
        struct conn guide = {.fd = load_connect(&rig.target)};
        tend(&ward, &guide, &arena, 3);
        for (int i = 0; i < KILL_GROUPS; i++) {
            ward.patients[i].was_at_dead = ward.patients[i].broker == dead;
            ward.patients[i].silence = 0;
        }
        struct node *node = cluster_node(&rig.cluster, NODE_BROKER, dead);
        node_signal(&rig.cluster, node, SIGKILL);
        ward.dead = dead;
        for (int i = 0; i < KILL_GROUPS; i++)
            if (ward.patients[i].was_at_dead) drop(&ward, i);
        tend(&ward, &guide, &arena, 5);
        for (int i = 0; i < KILL_GROUPS; i++) {
            double since = seconds_now() - ward.patients[i].last_good;
            double silence = ward.patients[i].silence;
            if (ward.patients[i].was_at_dead) silences[hit++] = since > silence ? since : silence;
        }
        qsort(silences, (size_t)hit, sizeof(double), by_size);
        int lost = lost_commits(&ward, &arena);
        printf("kill -9          coordinator of %d of %d groups that commit: silence median %.0f "
               "ms, worst %.0f ms; commits lost %d\n",
               hit, KILL_GROUPS, hit == 0 ? 0 : silences[hit / 2] * 1e3,
               hit == 0 ? 0 : silences[hit - 1] * 1e3, lost);
        if (lost > 0) die("commits that were acknowledged are lost", lost);
        close(guide.fd);
        buf_fini(&guide.in);
        node_start(&rig.cluster, node);
        node_wait_ready(&rig.cluster, node, 60);
        ward.dead = 0;
    }
    arena_fini(&arena);
    end(&rig);
}

void groups_run(const struct groups_load *load, const char *what)
{
    static const struct {
        const char *name;
        void (*run)(const struct groups_load *load);
    } runs[] = {{"commits", run_commits},
                {"members", run_members},
                {"idle", run_idle},
                {"load", run_load},
                {"kill", run_kill}};
    const char *missing = cluster_missing();
    bool is_known = false;

    if (missing != NULL) {
        fprintf(stderr, "ottla-bench: %s\n", missing);
        exit(77);
    }
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        if (what != NULL && strcmp(what, runs[i].name) != 0) continue;
        is_known = true;
        runs[i].run(load);
    }
    if (is_known) return;
    fprintf(stderr, "ottla-bench: groups has no part '%s'\n", what);
    exit(2);
}
