#include "tests/bench/load.h"
#include "base/arena.h"
#include "base/crc32c.h"
#include "base/ensure.h"
#include "tests/bench/awake.h"
#include "wire/codec.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/fetch.h"
#include "wire/gen/metadata.h"
#include "wire/gen/produce.h"
#include "wire/gen/protocol.h"
#include "wire/prim.h"
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Old enough for every broker in the field, new enough for what is measured; not flexible, so that
 * the same bytes go to all. */
#define PRODUCE_VERSION       7
#define FETCH_VERSION         11
#define METADATA_VERSION      5
#define CREATE_TOPICS_VERSION 4
#define FRAME_HEAD            8 /* length, correlation id */
#define CLIENT_ID             "ottla-bench"

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

int load_try_connect(const struct load_target *target)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(target->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (inet_pton(AF_INET, target->host, &address.sin_addr) != 1)
        die("the address is not a number");
    if (fd < 0) die("no socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

int load_connect(const struct load_target *target)
{
    int fd = load_try_connect(target);

    if (fd < 0) die("cannot connect");
    return fd;
}

void load_add_request(struct buf *out, int api, int version, int32_t correlation,
                      const struct wire_struct *type, const void *body)
{
    size_t begin = out->len;

    buf_extend(out, 4);
    uint8_t *head = buf_extend(out, 10 + sizeof(CLIENT_ID) - 1);
    prim_store16(head, (uint16_t)api);
    prim_store16(head + 2, (uint16_t)version);
    prim_store32(head + 4, (uint32_t)correlation);
    prim_store16(head + 8, sizeof(CLIENT_ID) - 1);
    memcpy(head + 10, CLIENT_ID, sizeof(CLIENT_ID) - 1);
    wire_write(out, version, type, body);
    prim_store32(out->ptr + begin, (uint32_t)(out->len - begin - 4));
}

void load_send_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) die("send");
        bytes = slice_of(bytes.ptr + n, bytes.len - (size_t)n);
    }
}

static void receive_all(int fd, void *to, size_t len)
{
    for (size_t used = 0; used < len;) {
        ssize_t n = recv(fd, (char *)to + used, len - used, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) {
            fprintf(stderr, "bench: the broker closed the connection\n");
            exit(1);
        }
        if (n < 0) die("receive");
        used += (size_t)n;
    }
}

void load_receive(int fd, struct buf *answer)
{
    uint8_t head[FRAME_HEAD];

    receive_all(fd, head, sizeof(head));
    buf_clear(answer);
    size_t len = prim_load32(head) - 4;
    receive_all(fd, buf_extend(answer, len), len);
}

/* One request and its answer, waiting. `answer` (without frame and header) is valid until `frame`
 * goes. */
static void ask(int fd, int api, int version, const struct wire_struct *type, const void *body,
                struct buf *frame, struct slice *answer)
{
    struct buf request = {0};

    load_add_request(&request, api, version, 1, type, body);
    load_send_all(fd, buf_slice(&request));
    buf_fini(&request);
    load_receive(fd, frame);
    *answer = buf_slice(frame);
}

static bool all_led(int fd, const char *topic, int partitions)
{
    struct slice name = slice_text(topic), answer;
    struct metadata_request_topic wanted = {.name = name};
    struct metadata_request body = {.topics = {&wanted, 1}};
    struct metadata_response *metadata;
    struct buf frame = {0};
    struct arena arena;
    int led = 0;

    arena_init(&arena, 256 << 20);
    metadata = arena_zalloc(&arena, sizeof(*metadata));
    ask(fd, API_METADATA, METADATA_VERSION, &metadata_request_wire, &body, &frame, &answer);
    if (wire_read(answer, METADATA_VERSION, &metadata_response_wire, &arena, metadata) != ERR_OK) {
        fprintf(stderr, "bench: cannot read the Metadata response\n");
        exit(1);
    }
    for (int i = 0; i < metadata->topics.count; i++)
        for (int p = 0; p < metadata->topics.at[i].partitions.count; p++)
            led += metadata->topics.at[i].partitions.at[p].leader_id >= 0 &&
                   metadata->topics.at[i].partitions.at[p].error_code == 0;
    arena_fini(&arena);
    buf_fini(&frame);
    return led == partitions;
}

/* The error code of the topic. */
static int create_once(int fd, const char *topic, int partitions,
                       const struct load_replicas *replicas)
{
    struct create_topics_request_topic wanted = {
        .name = slice_text(topic), .num_partitions = partitions, .replication_factor = 1};
    struct create_topics_request_topic_assignment *assignments =
        calloc((size_t)partitions, sizeof(*assignments));

    if (assignments == NULL) abort();
    for (int i = 0; i < partitions && replicas != NULL; i++) {
        assignments[i].partition_index = i;
        assignments[i].broker_ids.at = (int32_t *)(uintptr_t)replicas->ids;
        assignments[i].broker_ids.count = replicas->count;
    }
    if (replicas != NULL) {
        wanted.num_partitions = -1;
        wanted.replication_factor = -1;
        wanted.assignments.at = assignments;
        wanted.assignments.count = partitions;
    }
    struct create_topics_request body = {.topics = {&wanted, 1}, .timeout_ms = 30000};
    struct create_topics_response *created;
    struct buf frame = {0};
    struct arena arena;
    struct slice answer;

    arena_init(&arena, 1 << 20);
    created = arena_zalloc(&arena, sizeof(*created));
    ask(fd, API_CREATE_TOPICS, CREATE_TOPICS_VERSION, &create_topics_request_wire, &body, &frame,
        &answer);
    int code = -1;
    if (wire_read(answer, CREATE_TOPICS_VERSION, &create_topics_response_wire, &arena, created) ==
            ERR_OK &&
        created->topics.count == 1)
        code = created->topics.at[0].error_code;
    arena_fini(&arena);
    buf_fini(&frame);
    free(assignments);
    return code;
}

/* A broker that has just started may not be known to the controller yet: tries again. */
void load_create_topic(const struct load_target *target, const char *topic, int partitions,
                       const struct load_replicas *replicas)
{
    int fd = load_connect(target), code;
    double until = now() + 120;

    while ((code = create_once(fd, topic, partitions, replicas)) != KAFKA_NONE &&
           code != KAFKA_TOPIC_ALREADY_EXISTS && now() < until)
        poll(NULL, 0, 20);
    while (!all_led(fd, topic, partitions)) {
        if (now() > until) {
            fprintf(stderr, "bench: topic %s: creation gave code %d, not all partitions are led\n",
                    topic, code);
            exit(1);
        }
        poll(NULL, 0, 20);
    }
    close(fd);
}

size_t load_add_record(struct buf *out, int number, int key_bytes, int record_bytes)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz 012345";
    struct buf record = {0};

    prim_add_int8(&record, 0);
    prim_add_varlong(&record, 0);
    prim_add_varint(&record, number);
    prim_add_varint(&record, key_bytes);
    size_t key_at = record.len;
    if (key_bytes > 0) memset(buf_extend(&record, (size_t)key_bytes), '0', (size_t)key_bytes);
    prim_add_varint(&record, record_bytes);
    uint8_t *value = buf_extend(&record, (size_t)record_bytes);
    for (int b = 0; b < record_bytes; b++)
        value[b] = (uint8_t)text[(number * 31 + b * 7 + (b >> 5)) & 31];
    prim_add_varint(&record, 0);
    prim_add_varint(out, (int32_t)record.len);
    key_at += out->len;
    buf_add_slice(out, buf_slice(&record));
    buf_fini(&record);
    return key_at;
}

/* A record batch (magic 2) of `count` records with `record_bytes` of text as value. */
static void add_batch(struct buf *out, int count, int record_bytes)
{
    size_t begin = out->len;
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
    uint8_t *head = buf_extend(out, 61);
    memset(head, 0, 61);
    head[16] = 2;
    prim_store32(head + 23, (uint32_t)count - 1);
    prim_store64(head + 27, ms);
    prim_store64(head + 35, ms);
    memset(head + 43, 0xff, 14); /* no producer id, epoch, sequence */
    prim_store32(head + 57, (uint32_t)count);

    for (int i = 0; i < count; i++)
        (void)load_add_record(out, i, -1, record_bytes);
    head = out->ptr + begin;
    prim_store32(head + 8, (uint32_t)(out->len - begin - 12));
    prim_store32(head + 17, crc32c(slice_of(head + 21, out->len - begin - 21)));
}

struct connection {
    int fd;
    int in_flight;
    int next_partition;
    uint64_t to_send; /* closed loop: requests left */
    size_t sent;      /* of the current request; its frame is templates[template] */
    int template;
    double *due; /* ring of due instants of what is in flight (open loop) */
    size_t due_head, due_tail;
    uint8_t head[FRAME_HEAD];
    size_t head_used;
    size_t body_left;
    struct buf body;
    size_t body_size;
    int64_t *offsets; /* fetch: per partition of this connection */
    int first, count; /* fetch: its partitions */
};

#define DUE_RING (1 << 16)

struct run {
    const struct load_target *target;
    const struct load_options *options;
    struct load_result *result;
    struct buf *templates; /* one produce request per partition */
    int records_per_batch;
    size_t batch_bytes;
    struct connection *connections;
    int epoll;
};

static void check_produce_answer(struct run *run, struct connection *c)
{
    struct arena arena;
    struct produce_response answer;

    arena_init(&arena, 1 << 20);
    if (wire_read(slice_of(c->body.ptr, c->body.len), PRODUCE_VERSION, &produce_response_wire,
                  &arena, &answer) != ERR_OK) {
        run->result->errors++;
    } else {
        for (int t = 0; t < answer.responses.count; t++)
            for (int p = 0; p < answer.responses.at[t].partition_responses.count; p++)
                if (answer.responses.at[t].partition_responses.at[p].error_code != 0) {
                    if (run->result->errors++ == 0)
                        fprintf(stderr, "bench: first error code %d\n",
                                answer.responses.at[t].partition_responses.at[p].error_code);
                }
    }
    arena_fini(&arena);
}

/* True when a whole answer has come; its body is in c->body. */
static bool receive_answer(struct connection *c)
{
    while (c->head_used < FRAME_HEAD) {
        ssize_t n = recv(c->fd, c->head + c->head_used, FRAME_HEAD - c->head_used, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (n <= 0) die("the broker ended the connection");
        c->head_used += (size_t)n;
        if (c->head_used == FRAME_HEAD) {
            c->body_size = c->body_left = prim_load32(c->head) - 4;
            buf_clear(&c->body);
            buf_extend(&c->body, c->body_size);
        }
    }
    while (c->body_left > 0) {
        ssize_t n =
            recv(c->fd, c->body.ptr + (c->body_size - c->body_left), c->body_left, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (n <= 0) die("the broker ended the connection");
        c->body_left -= (size_t)n;
    }
    c->head_used = 0;
    return true;
}

/* Goes on sending the request that is begun; true when it is out. */
static bool send_rest(struct run *run, struct connection *c)
{
    struct buf *request = &run->templates[c->template];

    while (c->sent < request->len) {
        ssize_t n = send(c->fd, request->ptr + c->sent, request->len - c->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (n <= 0) die("send");
        c->sent += (size_t)n;
    }
    return true;
}

static void open_connections(struct run *run)
{
    run->connections = ensure_zalloc((size_t)run->options->connections * sizeof(struct connection));
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < run->options->connections; i++) {
        struct connection *c = &run->connections[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = c}};
        c->fd = load_connect(run->target);
        c->template = -1;
        c->next_partition = i % run->target->partitions;
        c->due = ensure_malloc(DUE_RING * sizeof(double));
        epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->fd, &event);
    }
}

static void close_connections(struct run *run)
{
    for (int i = 0; i < run->options->connections; i++) {
        close(run->connections[i].fd);
        buf_fini(&run->connections[i].body);
        free(run->connections[i].due);
        free(run->connections[i].offsets);
    }
    free(run->connections);
    close(run->epoll);
}

static void make_templates(struct run *run)
{
    int count = run->options->batch_bytes / (run->options->record_bytes + 8);
    struct buf batch = {0};

    run->records_per_batch = count < 1 ? 1 : count;
    add_batch(&batch, run->records_per_batch, run->options->record_bytes);
    run->batch_bytes = batch.len;
    run->templates = ensure_zalloc((size_t)run->target->partitions * sizeof(struct buf));
    for (int p = 0; p < run->target->partitions; p++) {
        struct produce_request_topic_partition partition = {.index = p,
                                                            .records = buf_slice(&batch)};
        struct produce_request_topic topic = {.name = slice_text(run->target->topic),
                                              .partition_data = {&partition, 1}};
        struct produce_request body = {.transactional_id = SLICE_NULL,
                                       .acks = (int16_t)run->options->acks,
                                       .timeout_ms = 30000,
                                       .topic_data = {&topic, 1}};
        load_add_request(&run->templates[p], API_PRODUCE, PRODUCE_VERSION, p, &produce_request_wire,
                         &body);
    }
    buf_fini(&batch);
}

static void drop_templates(struct run *run)
{
    for (int p = 0; p < run->target->partitions; p++)
        buf_fini(&run->templates[p]);
    free(run->templates);
}

static void count_answer(struct run *run)
{
    run->result->requests++;
    run->result->bytes += run->batch_bytes;
    run->result->records += (uint64_t)run->records_per_batch;
}

/* Sends and receives what can be; true if there may be more at once. */
static void pump_closed(struct run *run, struct connection *c)
{
    while (receive_answer(c)) {
        check_produce_answer(run, c);
        c->in_flight--;
        count_answer(run);
    }
    for (;;) {
        if (c->template <0) {
            if (c->to_send == 0 || c->in_flight >= run->options->pipeline) return;
            c->template = c->next_partition;
            c->next_partition =
                (c->next_partition + run->options->connections) % run->target->partitions;
            c->sent = 0;
        }
        if (!send_rest(run, c)) return;
        c->template = -1;
        c->to_send--;
        if (run->options->acks == 0)
            count_answer(run);
        else
            c->in_flight++;
    }
}

void load_produce(const struct load_target *target, const struct load_options *options,
                  struct load_result *result)
{
    struct run run = {.target = target, .options = options, .result = result};
    struct epoll_event events[64];

    *result = (struct load_result){0};
    make_templates(&run);
    open_connections(&run);
    uint64_t total = options->total_bytes / run.batch_bytes + 1;
    for (int i = 0; i < options->connections; i++)
        run.connections[i].to_send = total / (uint64_t)options->connections + 1;
    total = (total / (uint64_t)options->connections + 1) * (uint64_t)options->connections;
    double begin = now();
    while (result->requests < total) {
        int n = epoll_wait(run.epoll, events, 64, 1000);
        for (int i = 0; i < n; i++)
            pump_closed(&run, events[i].data.ptr);
    }
    result->seconds = now() - begin;
    close_connections(&run);
    drop_templates(&run);
}

static void pump_open(struct run *run, struct connection *c)
{
    while (receive_answer(c)) {
        check_produce_answer(run, c);
        c->in_flight--;
        run->result->latencies[run->result->latency_count++] =
            now() - c->due[c->due_head++ % DUE_RING];
        count_answer(run);
    }
    for (;;) {
        if (c->template <0) {
            /* `to_send` is what is due and not begun. */
            if (c->to_send == 0) return;
            c->template = c->next_partition;
            c->next_partition =
                (c->next_partition + run->options->connections) % run->target->partitions;
            c->sent = 0;
        }
        if (!send_rest(run, c)) return;
        c->template = -1;
        c->to_send--;
        c->in_flight++;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void load_produce_at_rate(const struct load_target *target, const struct load_options *options,
                          struct load_result *result)
{
    struct run run = {.target = target, .options = options, .result = result};
    struct epoll_event events[64];
    struct awake awake;
    uint64_t total = (uint64_t)(options->rate * options->seconds), due = 0;

    *result = (struct load_result){0};
    result->latencies = ensure_malloc((total + 1) * sizeof(double));
    make_templates(&run);
    open_connections(&run);
    /* The wait for what is next due ends when it should, not up to 50 us later. */
    prctl(PR_SET_TIMERSLACK, 1);
    awake_begin(&awake);
    double begin = now();
    while (result->latency_count < total) {
        double at = now();
        while (due < total && begin + (double)due / options->rate <= at) {
            struct connection *c = &run.connections[due % (uint64_t)options->connections];
            if (c->due_tail - c->due_head >= DUE_RING) {
                fprintf(stderr, "bench: the broker is %d requests behind the rate\n", DUE_RING);
                exit(1);
            }
            c->due[c->due_tail++ % DUE_RING] = begin + (double)due / options->rate;
            c->to_send++;
            due++;
            pump_open(&run, c);
        }
        double next = due < total ? begin + (double)due / options->rate - now() : 0.1;
        struct timespec wait = {0, next > 0 ? (long)(fmin(next, 0.1) * 1e9) : 0};
        int n = epoll_pwait2(run.epoll, events, 64, &wait, NULL);
        for (int i = 0; i < n; i++)
            pump_open(&run, events[i].data.ptr);
    }
    result->seconds = now() - begin;
    awake_end(&awake);
    qsort(result->latencies, result->latency_count, sizeof(double), compare_doubles);
    close_connections(&run);
    drop_templates(&run);
}

static void send_fetch(struct run *run, struct connection *c)
{
    struct fetch_request_topic_partition *partitions =
        ensure_zalloc((size_t)c->count * sizeof(struct fetch_request_topic_partition));
    struct buf request = {0};

    for (int i = 0; i < c->count; i++)
        partitions[i] = (struct fetch_request_topic_partition){
            .partition = c->first + i * run->options->connections,
            .current_leader_epoch = -1,
            .fetch_offset = c->offsets[i],
            .log_start_offset = -1,
            .partition_max_bytes = run->options->fetch_max_bytes};
    struct fetch_request_topic topic = {.topic = slice_text(run->target->topic),
                                        .partitions = {partitions, c->count}};
    struct fetch_request body = {.replica_id = -1,
                                 .max_wait_ms = 500,
                                 .min_bytes = 1,
                                 .max_bytes = 50 << 20,
                                 .session_epoch = -1,
                                 .rack_id = SLICE(""),
                                 .topics = {&topic, 1}};
    load_add_request(&request, API_FETCH, FETCH_VERSION, 1, &fetch_request_wire, &body);
    load_send_all(c->fd, buf_slice(&request));
    buf_fini(&request);
    free(partitions);
}

/* Batch by batch, without looking inside. */
static void take_records(struct run *run, struct connection *c, int slot, struct slice records)
{
    while (records.len >= 61) {
        size_t size = 12 + (size_t)prim_load32(records.ptr + 8);
        if (size > records.len) break;
        int64_t last = (int64_t)prim_load64(records.ptr) + (int32_t)prim_load32(records.ptr + 23);
        if (last >= c->offsets[slot]) c->offsets[slot] = last + 1;
        run->result->records += prim_load32(records.ptr + 57);
        run->result->bytes += size;
        records = slice_of(records.ptr + size, records.len - size);
    }
}

static void pump_fetch(struct run *run, struct connection *c)
{
    while (receive_answer(c)) {
        struct arena arena;
        struct fetch_response answer;
        arena_init(&arena, 1 << 20);
        if (wire_read(slice_of(c->body.ptr, c->body.len), FETCH_VERSION, &fetch_response_wire,
                      &arena, &answer) != ERR_OK) {
            fprintf(stderr, "bench: cannot read the Fetch response\n");
            exit(1);
        }
        for (int t = 0; t < answer.responses.count; t++)
            for (int p = 0; p < answer.responses.at[t].partitions.count; p++) {
                struct fetch_response_topic_partition *part =
                    &answer.responses.at[t].partitions.at[p];
                run->result->errors += part->error_code != 0;
                take_records(run, c, (part->partition_index - c->first) / run->options->connections,
                             part->records);
            }
        arena_fini(&arena);
        run->result->requests++;
        send_fetch(run, c);
    }
}

void load_fetch(const struct load_target *target, const struct load_options *options,
                struct load_result *result)
{
    struct run run = {.target = target, .options = options, .result = result};
    struct epoll_event events[64];

    *result = (struct load_result){0};
    open_connections(&run);
    double begin = now();
    for (int i = 0; i < options->connections; i++) {
        struct connection *c = &run.connections[i];
        c->first = i;
        c->count = (target->partitions - i + options->connections - 1) / options->connections;
        c->offsets = ensure_zalloc((size_t)(c->count + 1) * sizeof(int64_t));
        if (c->count > 0) send_fetch(&run, c);
    }
    while (result->bytes < options->total_bytes && now() - begin < 300) {
        int n = epoll_wait(run.epoll, events, 64, 1000);
        for (int i = 0; i < n; i++)
            pump_fetch(&run, events[i].data.ptr);
    }
    result->seconds = now() - begin;
    close_connections(&run);
}

int *load_idle_begin(const struct load_target *target, int count)
{
    int *fds = ensure_malloc((size_t)count * sizeof(int));
    struct api_versions_request body = {0};
    struct buf frame = {0};
    struct slice answer;

    /* Each has asked once, as clients do: what a request leaves behind is counted. */
    for (int i = 0; i < count; i++) {
        fds[i] = load_connect(target);
        ask(fds[i], API_API_VERSIONS, 0, &api_versions_request_wire, &body, &frame, &answer);
    }
    buf_fini(&frame);
    return fds;
}

void load_idle_end(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        close(fds[i]);
    free(fds);
}

void load_result_fini(struct load_result *result)
{
    free(result->latencies);
    *result = (struct load_result){0};
}

double load_percentile(const struct load_result *result, double share)
{
    if (result->latency_count == 0) return 0;
    size_t i = (size_t)(share * (double)(result->latency_count - 1) + 0.5);
    return result->latencies[i];
}
