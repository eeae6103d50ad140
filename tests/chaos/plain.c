#include "tests/chaos/plain.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/ensure.h"
#include "tests/chaos/ledger.h"
#include "tests/cluster/cluster.h"
#include "wire/batch.h"
#include "wire/codec.h"
#include "wire/gen/metadata.h"
#include "wire/gen/produce.h"
#include "wire/gen/protocol.h"
#include "wire/prim.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PRODUCE_VERSION  7
#define METADATA_VERSION 7
#define CLIENT_ID        "chaos-plain"
#define RING             4096 /* requests in flight on one connection */
#define SAY_WHERE_S      0.02 /* how soon after a refusal it is tried again */

struct part {
    int link; /* −1: none yet */
    int in_flight;
    int32_t generation;   /* how many connections it has had */
    struct ledger ledger; /* under the lock */
    double not_before, last_ack;
};

struct request {
    int partition;
    int64_t first; /* record of its partition */
    int32_t correlation;
    double sent_at;
};

struct link {
    int fd; /* −1: closed */
    bool is_open;
    double not_before, begun;
    struct buf out, in;
    size_t out_sent;
    struct request ring[RING];
    unsigned head, tail;
};

struct plain {
    struct plain_options options;
    struct part *parts;
    struct link links[PLAIN_BROKERS_MAX];
    struct buf batch;
    int32_t correlation;
    double begun;
    int next_part; /* whose turn it is */
    pthread_t thread, asker;
    pthread_mutex_t lock; /* of what follows */
    bool must_stop, must_end, wants_leaders, is_held;
    bool is_doubted; /* an answer was wrong: printed */
    int *leaders;    /* per partition a link, −1: not known */
    struct plain_counts counts;
};

static int connect_begin(const struct plain *plain, int broker, bool wait)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(plain->options.broker[broker].port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0), one = 1;
    struct timeval limit = {.tv_usec = 500000};

    inet_pton(AF_INET, plain->options.broker[broker].host, &address.sin_addr);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (wait) {
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) return fd;
    if (!wait && errno == EINPROGRESS) return fd;
    close(fd);
    return -1;
}

static void add_request(struct buf *out, int api, int version, int32_t correlation,
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

/* Who leads, by the broker that is asked; on the asker's thread. */
static bool ask_leaders(struct plain *plain, int broker, int *leaders)
{
    struct metadata_request_topic wanted = {.name = slice_text(plain->options.topic)};
    struct metadata_request body = {.topics = {&wanted, 1}};
    struct metadata_response *answer;
    struct buf bytes = {0};
    struct arena arena;
    uint8_t head[8];
    bool good = false;
    int fd = connect_begin(plain, broker, true);

    if (fd < 0) return false;
    add_request(&bytes, API_METADATA, METADATA_VERSION, 1, &metadata_request_wire, &body);
    arena_init(&arena, 64 << 20);
    answer = arena_zalloc(&arena, sizeof(*answer));
    if (send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len &&
        recv(fd, head, sizeof(head), MSG_WAITALL) == sizeof(head)) {
        size_t len = prim_load32(head) - 4;
        buf_clear(&bytes);
        if (len < (64 << 20))
            good = recv(fd, buf_extend(&bytes, len), len, MSG_WAITALL) == (ssize_t)len &&
                   wire_read(buf_slice(&bytes), METADATA_VERSION, &metadata_response_wire, &arena,
                             answer) == ERR_OK &&
                   answer->topics.count == 1;
    }
    for (int i = 0; good && i < answer->topics.at[0].partitions.count; i++) {
        const struct metadata_response_topic_partition *p = &answer->topics.at[0].partitions.at[i];
        if (p->partition_index >= 0 && p->partition_index < plain->options.partitions)
            leaders[p->partition_index] =
                p->leader_id >= 1 && p->leader_id <= plain->options.brokers ? p->leader_id - 1 : -1;
    }
    close(fd);
    arena_fini(&arena);
    buf_fini(&bytes);
    return good;
}

static void *run_asker(void *of)
{
    struct plain *plain = of;
    size_t size = (size_t)plain->options.partitions * sizeof(int);
    int *leaders = ensure_zalloc(size), broker = 0;
    double asked = 0;

    for (;;) {
        pthread_mutex_lock(&plain->lock);
        bool wants = plain->wants_leaders || seconds_now() > asked + 1, ends = plain->must_end;
        plain->wants_leaders = false;
        pthread_mutex_unlock(&plain->lock);
        if (ends) break;
        if (wants) {
            for (int p = 0; p < plain->options.partitions; p++)
                leaders[p] = -1;
            bool good = ask_leaders(plain, broker, leaders);
            asked = seconds_now();
            pthread_mutex_lock(&plain->lock);
            if (good) memcpy(plain->leaders, leaders, size);
            plain->wants_leaders |= !good;
            pthread_mutex_unlock(&plain->lock);
            /* Another each time: one of them may be cut off and believe old things. */
            broker = (broker + 1) % plain->options.brokers;
        }
        poll(NULL, 0, 20);
    }
    free(leaders);
    return NULL;
}

static void doubt(const struct plain *plain, int p, int64_t n, const char *what)
{
    const struct ledger_record *record = ledger_find(&plain->parts[p].ledger, n);

    printf("FAILED: topic %s partition %d record %ld (number %ld", plain->options.topic, p, (long)n,
           (long)(n * plain->options.partitions + p));
    if (record != NULL)
        printf(", outcome %ld, seen at %ld, connection %d", (long)record->outcome,
               (long)record->seen_at, record->generation);
    printf("): %s\n", what);
}

/* Caller has the lock. */
static void note_answer(struct plain *plain, const struct request *request, int64_t outcome)
{
    struct ledger *ledger = &plain->parts[request->partition].ledger;
    const char *what = ledger_answer(ledger, request->first, plain->options.batch_records, outcome);

    if (what == NULL || plain->is_doubted) return;
    doubt(plain, request->partition, request->first, what);
    plain->is_doubted = true;
}

static void close_link(struct plain *plain, int index)
{
    struct link *link = &plain->links[index];

    if (link->fd < 0) return;
    close(link->fd);
    link->fd = -1;
    link->is_open = false;
    link->not_before = seconds_now() + 0.1;
    buf_clear(&link->out);
    buf_clear(&link->in);
    link->out_sent = 0;
    pthread_mutex_lock(&plain->lock);
    plain->counts.lost_connections += link->head != link->tail;
    plain->wants_leaders = true;
    for (; link->head != link->tail; link->head++) {
        const struct request *request = &link->ring[link->head % RING];
        struct part *part = &plain->parts[request->partition];
        note_answer(plain, request, LEDGER_UNKNOWN);
        plain->counts.unknown += plain->options.batch_records;
        part->in_flight--;
    }
    pthread_mutex_unlock(&plain->lock);
    for (int p = 0; p < plain->options.partitions; p++)
        if (plain->parts[p].link == index) plain->parts[p].link = -1;
}

static void build_batch(struct plain *plain, int p, int64_t first)
{
    struct buf *out = &plain->batch;
    int count = plain->options.batch_records, bytes = plain->options.record_bytes;
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    buf_clear(out);
    buf_extend(out, BATCH_HEADER_SIZE);
    for (int i = 0; i < count; i++) {
        int64_t number = (first + i) * plain->options.partitions + p;
        struct buf head = {0};
        prim_add_int8(&head, 0);
        prim_add_varlong(&head, 0);
        prim_add_varint(&head, i);
        prim_add_varint(&head, -1);
        prim_add_varint(&head, bytes);
        prim_add_varint(out, (int32_t)head.len + bytes + 1);
        buf_add_slice(out, buf_slice(&head));
        uint8_t *value = buf_extend(out, (size_t)bytes);
        memset(value, 'a' + (int)(number % 26), (size_t)bytes);
        prim_store64(value, (uint64_t)number);
        prim_add_varint(out, 0);
        buf_fini(&head);
    }
    struct batch batch = {.leader_epoch = -1,
                          .last_offset_delta = count - 1,
                          .base_timestamp = ms,
                          .max_timestamp = ms,
                          .producer_id = -1,
                          .producer_epoch = -1,
                          .base_sequence = -1,
                          .record_count = count};
    batch_write_header(out->ptr, out->len, &batch);
}

static void send_batch(struct plain *plain, int p, double now)
{
    struct part *part = &plain->parts[p];
    struct link *link = &plain->links[part->link];
    int count = plain->options.batch_records;
    int64_t first = part->ledger.sent;

    build_batch(plain, p, first);
    struct produce_request_topic_partition partition = {.index = p,
                                                        .records = buf_slice(&plain->batch)};
    struct produce_request_topic topic = {.name = slice_text(plain->options.topic),
                                          .partition_data = {&partition, 1}};
    struct produce_request body = {
        .transactional_id = SLICE_NULL, .acks = -1, .timeout_ms = 30000, .topic_data = {&topic, 1}};
    if (link->out_sent == link->out.len) {
        buf_clear(&link->out);
        link->out_sent = 0;
    }
    add_request(&link->out, API_PRODUCE, PRODUCE_VERSION, ++plain->correlation,
                &produce_request_wire, &body);
    link->ring[link->tail++ % RING] = (struct request){p, first, plain->correlation, now};
    ledger_send(&part->ledger, count, part->generation);
    part->in_flight++;
    plain->counts.sent += count;
}

/* Its link, when it may send now. A partition goes to another leader only when nothing of it is in
 * flight any more: an answer from there would tell of another order. */
static bool has_link(struct plain *plain, struct part *part, int leader, double now)
{
    if (part->link >= 0 && part->link != leader && part->in_flight > 0) return false;
    if (leader < 0) return false;
    struct link *link = &plain->links[leader];
    if (link->fd < 0) {
        if (now < link->not_before) return false;
        link->fd = connect_begin(plain, leader, false);
        link->begun = now;
        if (link->fd < 0) link->not_before = now + 0.1;
        return false;
    }
    if (!link->is_open || link->tail - link->head >= RING - 1 ||
        link->out.len - link->out_sent > 4 << 20)
        return false;
    if (part->link != leader) {
        part->link = leader;
        part->generation++;
    }
    return true;
}

/* Fills the pipelines; caller has the lock. */
static void send_what_may(struct plain *plain, double now)
{
    int partitions = plain->options.partitions;
    int64_t ahead_max = plain->options.ahead_max;

    if (plain->is_held) return;
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < partitions; i++) {
            int p = (plain->next_part + i) % partitions;
            struct part *part = &plain->parts[p];
            if (plain->options.rate > 0 &&
                (double)plain->counts.sent >= plain->options.rate * (now - plain->begun))
                return;
            if (part->in_flight >= plain->options.pipeline || now < part->not_before) continue;
            if (ahead_max > 0 && ledger_ahead(&part->ledger) > ahead_max) continue;
            if (plain->leaders[p] < 0) plain->wants_leaders = true;
            if (!has_link(plain, part, plain->leaders[p], now)) continue;
            send_batch(plain, p, now);
            plain->next_part = (p + 1) % partitions; /* a rate is shared by all of them */
            more = true;
            break;
        }
    }
}

static void note_ack(struct plain *plain, int p, double now)
{
    struct part *part = &plain->parts[p];

    if (now - part->last_ack > plain->counts.silence) {
        plain->counts.silence = now - part->last_ack;
        plain->counts.silent_partition = p;
    }
    part->last_ack = now;
}

/* One answer. False: it is not one to the request that is first. */
static bool take_answer(struct plain *plain, struct link *link, struct slice frame)
{
    struct arena arena;
    struct produce_response answer;
    const struct request *request = &link->ring[link->head % RING];
    struct part *part = &plain->parts[request->partition];
    int count = plain->options.batch_records;

    if (link->head == link->tail || frame.len < 4 ||
        prim_load32(frame.ptr) != (uint32_t)request->correlation)
        return false;
    arena_init(&arena, 1 << 20);
    bool good = wire_read(slice_of(frame.ptr + 4, frame.len - 4), PRODUCE_VERSION,
                          &produce_response_wire, &arena, &answer) == ERR_OK &&
                answer.responses.count == 1 &&
                answer.responses.at[0].partition_responses.count == 1;
    if (good) {
        const struct produce_response_topic_partition *it =
            &answer.responses.at[0].partition_responses.at[0];
        double now = seconds_now();
        pthread_mutex_lock(&plain->lock);
        bool refused = it->error_code == KAFKA_NOT_ENOUGH_REPLICAS;
        note_answer(plain, request,
                    it->error_code == 0 ? it->base_offset
                    : refused           ? LEDGER_REFUSED
                                        : LEDGER_UNKNOWN);
        if (it->error_code == 0) {
            plain->counts.acknowledged += count;
            note_ack(plain, request->partition, now);
        } else {
            if (it->error_code >= -1 && it->error_code < 127)
                plain->counts.codes[it->error_code + 1]++;
            *(refused ? &plain->counts.refused : &plain->counts.unknown) += count;
            part->not_before = now + SAY_WHERE_S;
            plain->wants_leaders = true;
        }
        pthread_mutex_unlock(&plain->lock);
        part->in_flight--;
        link->head++;
    }
    arena_fini(&arena);
    return good;
}

static bool receive(struct plain *plain, struct link *link)
{
    ssize_t n;

    do {
        uint8_t *at = buf_extend(&link->in, 65536);
        n = recv(link->fd, at, 65536, MSG_DONTWAIT);
        link->in.len -= 65536 - (size_t)(n > 0 ? n : 0);
    } while (n == 65536);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
    size_t used = 0;
    while (link->in.len - used >= 4) {
        size_t len = prim_load32(link->in.ptr + used);
        if (link->in.len - used - 4 < len) break;
        if (!take_answer(plain, link, slice_of(link->in.ptr + used + 4, len))) return false;
        used += 4 + len;
    }
    memmove(link->in.ptr, link->in.ptr + used, link->in.len - used);
    link->in.len -= used;
    return true;
}

static bool transmit(struct link *link)
{
    while (link->out_sent < link->out.len) {
        ssize_t n = send(link->fd, link->out.ptr + link->out_sent, link->out.len - link->out_sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (n <= 0) return false;
        link->out_sent += (size_t)n;
    }
    return true;
}

static void pump(struct plain *plain)
{
    struct pollfd polls[PLAIN_BROKERS_MAX];
    int of[PLAIN_BROKERS_MAX];
    nfds_t count = 0;

    for (int i = 0; i < plain->options.brokers; i++) {
        struct link *link = &plain->links[i];
        if (link->fd < 0) continue;
        bool wants_out = !link->is_open || link->out_sent < link->out.len;
        polls[count] = (struct pollfd){link->fd, (short)(POLLIN | (wants_out ? POLLOUT : 0)), 0};
        of[count++] = i;
    }
    poll(polls, count, 5);
    double now = seconds_now();
    for (nfds_t k = 0; k < count; k++) {
        struct link *link = &plain->links[of[k]];
        bool good = true;
        if (!link->is_open && (polls[k].revents & (POLLOUT | POLLERR | POLLHUP)) != 0) {
            int error = 0;
            socklen_t size = sizeof(error);
            getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
            good = error == 0;
            link->is_open = good;
        }
        if (good && link->is_open && polls[k].revents != 0) good = receive(plain, link);
        if (good && link->is_open) good = transmit(link);
        if (!link->is_open && now > link->begun + 1) good = false;
        if (link->head != link->tail &&
            now > link->ring[link->head % RING].sent_at + plain->options.limit_s)
            good = false;
        if (!good) close_link(plain, of[k]);
    }
}

static bool is_idle(const struct plain *plain)
{
    for (int i = 0; i < plain->options.brokers; i++)
        if (plain->links[i].head != plain->links[i].tail) return false;
    return true;
}

static void *run(void *of)
{
    struct plain *plain = of;

    for (;;) {
        pthread_mutex_lock(&plain->lock);
        bool stops = plain->must_stop;
        if (!stops) send_what_may(plain, seconds_now());
        pthread_mutex_unlock(&plain->lock);
        if (stops && is_idle(plain)) return NULL;
        pump(plain);
    }
}

struct plain *plain_start(const struct plain_options *options)
{
    struct plain *plain = ensure_zalloc(sizeof(*plain));
    double now = seconds_now();

    plain->options = *options;
    plain->parts = ensure_zalloc((size_t)options->partitions * sizeof(struct part));
    plain->leaders = ensure_zalloc((size_t)options->partitions * sizeof(int));
    for (int p = 0; p < options->partitions; p++) {
        plain->parts[p] = (struct part){.link = -1, .generation = -1, .last_ack = now};
        ledger_init(&plain->parts[p].ledger);
        plain->leaders[p] = -1;
    }
    for (int i = 0; i < PLAIN_BROKERS_MAX; i++)
        plain->links[i].fd = -1;
    plain->wants_leaders = true;
    plain->begun = now;
    pthread_mutex_init(&plain->lock, NULL);
    ensure(pthread_create(&plain->asker, NULL, run_asker, plain) == 0);
    ensure(pthread_create(&plain->thread, NULL, run, plain) == 0);
    return plain;
}

void plain_stop(struct plain *plain)
{
    if (plain->must_end) return;
    pthread_mutex_lock(&plain->lock);
    plain->must_stop = true;
    pthread_mutex_unlock(&plain->lock);
    pthread_join(plain->thread, NULL);
    pthread_mutex_lock(&plain->lock);
    plain->must_end = true;
    pthread_mutex_unlock(&plain->lock);
    pthread_join(plain->asker, NULL);
}

void plain_destroy(struct plain **of)
{
    struct plain *plain = *of;

    if (plain == NULL) return;
    plain_stop(plain);
    for (int i = 0; i < PLAIN_BROKERS_MAX; i++) {
        if (plain->links[i].fd >= 0) close(plain->links[i].fd);
        buf_fini(&plain->links[i].out);
        buf_fini(&plain->links[i].in);
    }
    for (int p = 0; p < plain->options.partitions; p++)
        ledger_fini(&plain->parts[p].ledger);
    free(plain->parts);
    free(plain->leaders);
    buf_fini(&plain->batch);
    free(plain);
    *of = NULL;
}

void plain_count(struct plain *plain, struct plain_counts *out)
{
    double now = seconds_now();

    pthread_mutex_lock(&plain->lock);
    *out = plain->counts;
    for (int p = 0; p < plain->options.partitions; p++)
        if (now - plain->parts[p].last_ack > out->silence) {
            out->silence = now - plain->parts[p].last_ack;
            out->silent_partition = p;
        }
    pthread_mutex_unlock(&plain->lock);
}

void plain_mark(struct plain *plain)
{
    double now = seconds_now();

    pthread_mutex_lock(&plain->lock);
    plain->counts.silence = 0;
    for (int p = 0; p < plain->options.partitions; p++)
        plain->parts[p].last_ack = now;
    pthread_mutex_unlock(&plain->lock);
}

void plain_hold(struct plain *plain, bool is_held)
{
    pthread_mutex_lock(&plain->lock);
    plain->is_held = is_held;
    pthread_mutex_unlock(&plain->lock);
}

const char *plain_see(void *of, int partition, int64_t offset, int64_t number)
{
    struct plain *plain = of;
    int64_t n = number / plain->options.partitions;

    pthread_mutex_lock(&plain->lock);
    const char *what = ledger_see(&plain->parts[partition].ledger, n, offset);
    if (what != NULL) doubt(plain, partition, n, what);
    pthread_mutex_unlock(&plain->lock);
    return what;
}

bool plain_verify(const struct plain *plain, int64_t *late)
{
    bool good = !plain->is_doubted;

    *late = 0;
    for (int p = 0; p < plain->options.partitions; p++) {
        const struct ledger *ledger = &plain->parts[p].ledger;
        int64_t n = -1;
        const char *what = ledger_end(ledger, &n);
        if (what != NULL) doubt(plain, p, n, what);
        good &= what == NULL;
        *late += ledger->late;
    }
    return good;
}
