/* What a bad client sends: it gets Kafka's error or loses its connection, and nobody else notices.
 */
#include "base/arena.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "tests/cluster/client.h"
#include "tests/cluster/cluster.h"
#include "tests/unit/unit.h"
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
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMORY_BOUND_MIB                                                                           \
    64 /* queued.max.request.bytes of this cluster, and what the process may add to it */

static struct cluster cluster;
static struct sender *bystander; /* a well-behaved client that must notice nothing */

static int connect_broker(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(cluster_node(&cluster, NODE_BROKER, 1)->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s",
                  strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return fd;
}

/* Sends what can be sent; a reset is fine. */
static void send_bytes(int fd, const void *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0) return;
        sent += (size_t)n;
    }
}

/* The broker ends the connection without a byte of answer. */
static void expect_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "recv gave %zd %s", n, strerror(errno));
    close(fd);
}

static bool receive_exactly(int fd, void *to, size_t len)
{
    for (size_t used = 0; used < len;) {
        ssize_t n = recv(fd, (char *)to + used, len - used, 0);
        if (n <= 0) return false;
        used += (size_t)n;
    }
    return true;
}

static void add_frame(struct buf *out, int api, int version, int32_t correlation,
                      const struct wire_struct *type, const void *body)
{
    size_t begin = out->len;

    prim_add_int32(out, 0);
    prim_add_int16(out, (int16_t)api);
    prim_add_int16(out, (int16_t)version);
    prim_add_int32(out, correlation);
    prim_add_string(out, SLICE("bad"));
    if (type != NULL) wire_write(out, version, type, body);
    prim_store32(out->ptr + begin, (uint32_t)(out->len - begin - 4));
}

/* The body of the answer (header v0), in `to`. */
static struct slice answer_to(int fd, const struct buf *frame, int32_t correlation, struct buf *to)
{
    uint8_t head[8];

    send_bytes(fd, frame->ptr, frame->len);
    ck_assert_msg(receive_exactly(fd, head, sizeof(head)), "no answer: %s", strerror(errno));
    ck_assert_int_eq((int32_t)prim_load32(head + 4), correlation);
    size_t len = prim_load32(head) - 4;
    buf_clear(to);
    ck_assert(receive_exactly(fd, buf_extend(to, len), len));
    return buf_slice(to);
}

/* One good batch of one record with `value_len` bytes. */
static void add_batch(struct buf *out, size_t value_len)
{
    struct buf record = {0};
    size_t begin = out->len;

    prim_add_int8(&record, 0);
    prim_add_varlong(&record, 0);
    prim_add_varint(&record, 0);
    prim_add_varint(&record, -1);
    prim_add_varint(&record, (int32_t)value_len);
    memset(buf_extend(&record, value_len), 'v', value_len);
    prim_add_varint(&record, 0);

    prim_add_int64(out, 0);
    prim_add_int32(out, 0);
    prim_add_int32(out, -1);
    prim_add_int8(out, 2);
    prim_add_int32(out, 0);
    prim_add_int16(out, 0);
    prim_add_int32(out, 0);
    prim_add_int64(out, 1700000000000);
    prim_add_int64(out, 1700000000000);
    prim_add_int64(out, -1);
    prim_add_int16(out, -1);
    prim_add_int32(out, -1);
    prim_add_int32(out, 1);
    prim_add_varint(out, (int32_t)record.len);
    buf_add_slice(out, buf_slice(&record));
    buf_fini(&record);
    uint8_t *head = out->ptr + begin;
    prim_store32(head + 8, (uint32_t)(out->len - begin - 12));
    prim_store32(head + 17, crc32c(slice_of(head + 21, out->len - begin - 21)));
}

static void add_produce(struct buf *out, const char *topic, int acks, int32_t correlation,
                        struct slice records)
{
    struct produce_request_topic_partition partition = {.index = 0, .records = records};
    struct produce_request_topic data = {.name = slice_text(topic),
                                         .partition_data = {&partition, 1}};
    struct produce_request request = {.transactional_id = SLICE_NULL,
                                      .acks = (int16_t)acks,
                                      .timeout_ms = 5000,
                                      .topic_data = {&data, 1}};

    add_frame(out, API_PRODUCE, 7, correlation, &produce_request_wire, &request);
}

/* What the broker says of one partition. */
static int produce_error(const char *topic, int acks, struct slice records)
{
    struct buf frame = {0}, to = {0};
    struct produce_response response;
    struct arena arena;
    int fd = connect_broker();

    arena_init(&arena, 1 << 20);
    add_produce(&frame, topic, acks, 77, records);
    struct slice body = answer_to(fd, &frame, 77, &to);
    ck_assert_int_eq(wire_read(body, 7, &produce_response_wire, &arena, &response), ERR_OK);
    ck_assert_int_eq(response.responses.count, 1);
    int error = response.responses.at[0].partition_responses.at[0].error_code;
    arena_fini(&arena);
    buf_fini(&frame);
    buf_fini(&to);
    close(fd);
    return error;
}

static double rss_mib(void)
{
    struct process_use use = {0};

    ck_assert(process_use(cluster_node(&cluster, NODE_BROKER, 1)->pid, &use));
    return (double)use.rss_bytes / (1 << 20);
}

/* After each test: the process lives, the bystander is served, at the first try and in order. */
static void others_notice_nothing(void)
{
    int64_t before = sender_acknowledged(bystander);

    ck_assert(sender_send(bystander, 500));
    ck_assert(sender_flush(bystander, 60));
    ck_assert_int_eq(sender_acknowledged(bystander), before + 500);
    ck_assert_msg(
        !node_has_logged(cluster_node(&cluster, NODE_BROKER, 1), "ERROR: AddressSanitizer") &&
            !node_has_logged(cluster_node(&cluster, NODE_BROKER, 1), "runtime error"),
        "a sanitizer has spoken");
    ck_assert_int_eq(kill(cluster_node(&cluster, NODE_BROKER, 1)->pid, 0), 0);
}

START_TEST(garbage_closes_the_connection)
{
    struct prng prng;
    const char *http = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = connect_broker();

    send_bytes(fd, http, strlen(http));
    expect_closed(fd);
    prng_init(&prng, 11);
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[600];
        for (size_t b = 0; b < sizeof(bytes); b++)
            bytes[b] = (uint8_t)prng_next(&prng);
        prim_store32(bytes, (uint32_t)sizeof(bytes) - 4); /* a whole frame of it */
        bytes[4] = 0;
        bytes[5] = (uint8_t)(i % 70); /* a known api, mostly */
        bytes[6] = 0;
        bytes[7] = (uint8_t)(i % 5);
        fd = connect_broker();
        send_bytes(fd, bytes, sizeof(bytes));
        shutdown(fd, SHUT_WR);
        char answer[4096];
        while (recv(fd, answer, sizeof(answer), 0) >
               0) /* an error answer, or nothing; then the end */
            continue;
        close(fd);
    }
    others_notice_nothing();
}
END_TEST

START_TEST(lengths_that_nobody_may_send_close_the_connection)
{
    static const uint32_t lengths[] = {0x7fffffff, 0x80000000, 0xffffffff, 104857601};
    double before = rss_mib();

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t head[4];
        int fd = connect_broker();
        prim_store32(head, lengths[i]);
        send_bytes(fd, head, sizeof(head));
        expect_closed(fd);
    }
    /* Allowed, but only claimed: memory grows with what comes. */
    int fds[50];
    for (int i = 0; i < 50; i++) {
        uint8_t head[4];
        fds[i] = connect_broker();
        prim_store32(head, 104857600);
        send_bytes(fds[i], head, sizeof(head));
    }
    others_notice_nothing();
    ck_assert_double_lt(rss_mib(), before + MEMORY_BOUND_MIB);
    for (int i = 0; i < 50; i++)
        close(fds[i]);
}
END_TEST

START_TEST(a_request_cut_anywhere_costs_only_its_connection)
{
    struct buf batch = {0}, frame = {0};

    add_batch(&batch, 20);
    add_produce(&frame, "bad", 1, 5, buf_slice(&batch));
    for (size_t cut = 0; cut < frame.len; cut++) {
        int fd = connect_broker();
        send_bytes(fd, frame.ptr, cut);
        close(fd); /* the stream ends inside */

        if (cut < 8) continue;
        fd = connect_broker(); /* the frame is whole, its body is not */
        uint8_t head[4];
        prim_store32(head, (uint32_t)cut - 4);
        send_bytes(fd, head, 4);
        send_bytes(fd, frame.ptr + 4, cut - 4);
        expect_closed(fd);
    }
    buf_fini(&batch);
    buf_fini(&frame);
    others_notice_nothing();
}
END_TEST

START_TEST(unknown_apis_and_versions)
{
    static const int apis[] = {-1, 52, 59, 71, 87, 1000, 32767};
    struct buf frame = {0}, to = {0};

    for (size_t i = 0; i < sizeof(apis) / sizeof(apis[0]); i++) {
        int fd = connect_broker();
        buf_clear(&frame);
        add_frame(&frame, apis[i], 0, 1, NULL, NULL);
        send_bytes(fd, frame.ptr, frame.len);
        expect_closed(fd);
    }
    int fd = connect_broker();
    buf_clear(&frame);
    add_frame(&frame, API_METADATA, 99, 1, NULL, NULL);
    send_bytes(fd, frame.ptr, frame.len);
    expect_closed(fd);

    /* ApiVersions alone answers, in its oldest form. */
    fd = connect_broker();
    buf_clear(&frame);
    add_frame(&frame, API_API_VERSIONS, 99, 7, NULL, NULL);
    struct slice body = answer_to(fd, &frame, 7, &to);
    static const uint8_t expected[] = {0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4};
    ck_assert(slice_equal(body, slice_of(expected, sizeof(expected))));
    close(fd);
    buf_fini(&frame);
    buf_fini(&to);
    others_notice_nothing();
}
END_TEST

START_TEST(a_wrong_checksum_is_corrupt_and_a_large_batch_too_large)
{
    struct buf batch = {0};

    add_batch(&batch, 100);
    ck_assert_int_eq(produce_error("bad", 1, buf_slice(&batch)), KAFKA_NONE);
    batch.ptr[batch.len - 5] ^= 1;
    ck_assert_int_eq(produce_error("bad", 1, buf_slice(&batch)), KAFKA_CORRUPT_MESSAGE);
    batch.ptr[batch.len - 5] ^= 1;
    ck_assert_int_eq(produce_error("no-such-topic", 1, buf_slice(&batch)),
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(produce_error("bad", 3, buf_slice(&batch)), KAFKA_INVALID_REQUIRED_ACKS);
    ck_assert_int_eq(produce_error("bad", 1, SLICE("")), KAFKA_INVALID_RECORD);
    batch.ptr[16] = 1; /* magic */
    ck_assert_int_ne(produce_error("bad", 1, buf_slice(&batch)), KAFKA_NONE);
    buf_clear(&batch);
    add_batch(&batch, 2 << 20);
    ck_assert_int_eq(produce_error("bad", 1, buf_slice(&batch)), KAFKA_MESSAGE_TOO_LARGE);
    buf_fini(&batch);
    others_notice_nothing();
}
END_TEST

START_TEST(with_acks_0_an_error_closes_the_connection)
{
    struct buf batch = {0}, frame = {0};
    int fd = connect_broker();

    add_batch(&batch, 100);
    batch.ptr[batch.len - 5] ^= 1;
    add_produce(&frame, "bad", 0, 5, buf_slice(&batch));
    send_bytes(fd, frame.ptr, frame.len);
    expect_closed(fd);
    buf_fini(&batch);
    buf_fini(&frame);
    others_notice_nothing();
}
END_TEST

START_TEST(a_wrong_topic_name_is_refused)
{
    struct buf frame = {0}, to = {0};
    struct arena arena;
    struct metadata_response metadata;
    struct create_topics_response created;
    int fd = connect_broker();

    arena_init(&arena, 1 << 20);
    struct metadata_request_topic wanted = {.name = SLICE("no/such name")};
    struct metadata_request request = {.topics = {&wanted, 1}, .allow_auto_topic_creation = true};
    add_frame(&frame, API_METADATA, 5, 1, &metadata_request_wire, &request);
    struct slice body = answer_to(fd, &frame, 1, &to);
    ck_assert_int_eq(wire_read(body, 5, &metadata_response_wire, &arena, &metadata), ERR_OK);
    ck_assert_int_eq(metadata.topics.at[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);

    struct create_topics_request_topic topic = {
        .name = SLICE(".."), .num_partitions = 1, .replication_factor = 1};
    struct create_topics_request create = {.topics = {&topic, 1}, .timeout_ms = 5000};
    buf_clear(&frame);
    add_frame(&frame, API_CREATE_TOPICS, 4, 2, &create_topics_request_wire, &create);
    body = answer_to(fd, &frame, 2, &to);
    ck_assert_int_eq(wire_read(body, 4, &create_topics_response_wire, &arena, &created), ERR_OK);
    ck_assert_int_eq(created.topics.at[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
    close(fd);
    arena_fini(&arena);
    buf_fini(&frame);
    buf_fini(&to);
    others_notice_nothing();
}
END_TEST

START_TEST(ten_thousand_idle_connections_disturb_nobody)
{
    enum { COUNT = 10000 };
    static int fds[COUNT];
    double before = rss_mib();
    int open = 0;

    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_broker();
        open++;
    }
    others_notice_nothing();
    /* The sanitizers pad every allocation: the real figure is the bench's. */
    ck_assert_double_lt(rss_mib(), before + 10000.0 * 32 / 1024);
    for (int i = 0; i < open; i++)
        close(fds[i]);
    others_notice_nothing();
}
END_TEST

START_TEST(a_client_that_never_reads_is_held_back)
{
    struct buf batch = {0}, frame = {0};
    double before = rss_mib();
    int fds[20];

    /* Something large to ask for. */
    add_batch(&batch, 900000);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(produce_error("large", 1, buf_slice(&batch)), KAFKA_NONE);
    struct fetch_request_topic_partition partition = {.partition = 0,
                                                      .current_leader_epoch = -1,
                                                      .fetch_offset = 0,
                                                      .log_start_offset = -1,
                                                      .partition_max_bytes = 8 << 20};
    struct fetch_request_topic topic = {.topic = SLICE("large"), .partitions = {&partition, 1}};
    struct fetch_request request = {.replica_id = -1,
                                    .max_wait_ms = 100,
                                    .min_bytes = 1,
                                    .max_bytes = 50 << 20,
                                    .session_epoch = -1,
                                    .rack_id = SLICE(""),
                                    .topics = {&topic, 1}};
    add_frame(&frame, API_FETCH, 11, 1, &fetch_request_wire, &request);
    for (int i = 0; i < 20; i++) {
        fds[i] = connect_broker();
        int sent = 0;
        /* Until the broker stops reading, which it must. */
        for (; sent < 1000000; sent++)
            if (send(fds[i], frame.ptr, frame.len, MSG_DONTWAIT | MSG_NOSIGNAL) <= 0) {
                poll(NULL, 0, 1);
                if (send(fds[i], frame.ptr, frame.len, MSG_DONTWAIT | MSG_NOSIGNAL) <= 0) break;
            }
        ck_assert_int_lt(sent, 1000000);
        uint8_t length[4];
        ck_assert_int_eq(recv(fds[i], length, sizeof(length), MSG_PEEK | MSG_WAITALL), 4);
        ck_assert_uint_gt(prim_load32(length), 7000000); /* what it does not read is large */
    }
    others_notice_nothing();
    ck_assert_double_lt(rss_mib(), before + MEMORY_BOUND_MIB);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    buf_fini(&batch);
    buf_fini(&frame);
    others_notice_nothing();
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 1,
        .brokers = 1,
        /* The batches' timestamps are old: they are not to be deleted meanwhile. */
        .broker_properties = "queued.max.request.bytes=134217728\nauto.create.topics.enable=false\n"
                             "log.retention.ms=-1"};
    const TTest *const tests[] = {garbage_closes_the_connection,
                                  lengths_that_nobody_may_send_close_the_connection,
                                  a_request_cut_anywhere_costs_only_its_connection,
                                  unknown_apis_and_versions,
                                  a_wrong_checksum_is_corrupt_and_a_large_batch_too_large,
                                  with_acks_0_an_error_closes_the_connection,
                                  a_wrong_topic_name_is_refused,
                                  ten_thousand_idle_connections_disturb_nobody,
                                  a_client_that_never_reads_is_held_back};
    struct sender_options well_behaved = {.topic = "bystander",
                                          .partitions = 2,
                                          .numbers_max = 100000,
                                          .value_bytes = 100,
                                          .acks = "all",
                                          .retries = false};
    struct rlimit files;

    if (cluster_missing() != NULL) {
        printf("%s\n", cluster_missing());
        return 77;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    /* The address sanitizer keeps 256 MiB of what was freed, unless told otherwise: the broker's
     * memory is to be seen. */
    setenv("ASAN_OPTIONS", "quarantine_size_mb=8", 0);
    cluster_start(&cluster, &options);
    well_behaved.bootstrap = cluster.bootstrap;
    if (!client_create_topic(cluster.bootstrap, "bystander", 2, 1, 60) ||
        !client_create_topic(cluster.bootstrap, "bad", 1, 1, 60) ||
        !client_create_topic(cluster.bootstrap, "large", 1, 1, 60))
        return EXIT_FAILURE;
    bystander = sender_open(&well_behaved);
    int failed = unit_run_no_fork(__FILE__, tests, sizeof(tests) / sizeof(tests[0]), 300);
    if (!sender_verify(bystander, true, 60)) failed++;
    sender_close(&bystander);
    cluster_stop(&cluster);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
