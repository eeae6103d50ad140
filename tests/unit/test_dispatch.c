#include "tests/unit/broker_rig.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/metadata.h"
#include <stdio.h>

static struct slice hex(struct arena *arena, const char *text)
{
    struct buf out;

    buf_init(&out);
    for (int high = -1; *text != '\0'; text++) {
        if (*text == ' ') continue;
        int digit = *text <= '9' ? *text - '0' : *text - 'a' + 10;
        if (high < 0) {
            high = digit;
        } else {
            buf_add(&out, &(uint8_t){(uint8_t)(high * 16 + digit)}, 1);
            high = -1;
        }
    }
    struct slice copy = arena_copy(arena, buf_slice(&out));
    buf_fini(&out);
    return copy;
}

START_TEST(api_versions_answers_what_the_table_serves)
{
    struct rig rig;
    struct arena arena;
    struct buf reply;
    struct api_versions_response out;
    struct slice body;
    int32_t correlation_id;

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    buf_init(&reply);
    int fd = rig_connect(&rig);
    rig_send_frame(fd, hex(&arena, "0012 0003 00000007 0003636964 00 046c6962 04312e30 00"));
    ck_assert(rig_reply(&rig, fd, &reply));
    /* Header 0 whatever the version, then no error. */
    ck_assert(slice_starts_with(buf_slice(&reply), hex(&arena, "00000007 0000")));
    /* No throttling, one tag: the features' epoch, 0. */
    struct slice tail = hex(&arena, "00000000 01 01 08 0000000000000000");
    ck_assert_mem_eq(reply.ptr + reply.len - tail.len, tail.ptr, tail.len);
    ck_assert_int_eq(
        frame_read_response_head(buf_slice(&reply), API_API_VERSIONS, 3, &correlation_id, &body),
        ERR_OK);
    ck_assert_int_eq(wire_read(body, 3, &api_versions_response_wire, &arena, &out), ERR_OK);
    int served = 0;
    for (; api_table()[served] != NULL; served++) {
        ck_assert_int_eq(out.api_keys.at[served].api_key, api_table()[served]->key);
        ck_assert_int_eq(out.api_keys.at[served].max_version, api_table()[served]->version_max);
        if (served > 0) ck_assert_int_lt(api_table()[served - 1]->key, api_table()[served]->key);
    }
    ck_assert_int_eq(out.api_keys.count, served);
    close(fd);
    buf_fini(&reply);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(api_versions_tells_of_features_as_they_change)
{
    struct rig rig;
    struct arena arena;
    struct api_versions_response out;
    struct api_versions_request in = {SLICE("lib"), SLICE("1.0")};

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    int fd = rig_connect(&rig);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        rig.data.api.feature_epoch = epoch;
        for (int ask = 0; ask < 2; ask++) {
            rig_ask(&rig, fd, &versions_api, 3, &in, &arena, &out);
            ck_assert_int_eq(out.error_code, 0);
            ck_assert_int_eq(out.finalized_features_epoch, epoch);
            int32_t count = out.api_keys.count;
            rig_ask(&rig, fd, &versions_api, 0, &in, &arena, &out);
            ck_assert_int_eq(out.finalized_features_epoch, -1); /* not of that version */
            ck_assert_int_eq(out.api_keys.count, count);
        }
    }
    close(fd);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(an_unknown_version_of_api_versions_is_told_what_there_is)
{
    struct rig rig;
    struct arena arena;
    struct buf reply;

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    buf_init(&reply);
    int fd = rig_connect(&rig);
    rig_send_frame(fd, hex(&arena, "0012 0063 00000007 ffff"));
    ck_assert(rig_reply(&rig, fd, &reply));
    ck_assert(slice_equal(buf_slice(&reply), hex(&arena, "00000007 0023 00000001 0012 0000 0004")));
    /* The connection goes on. */
    rig_send_frame(fd, hex(&arena, "0012 0000 00000008 ffff"));
    ck_assert(rig_reply(&rig, fd, &reply));
    ck_assert(slice_starts_with(buf_slice(&reply), hex(&arena, "00000008 0000")));
    close(fd);
    buf_fini(&reply);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(client_software_has_the_form_of_a_name)
{
    struct rig rig;
    struct arena arena;
    struct api_versions_response out;
    static const struct {
        const char *name;
        int code;
    } cases[] = {{"a", 0}, {"a-b.c9", 0}, {"", 42}, {"-a", 42}, {"a.", 42}, {"a b", 42}};

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    int fd = rig_connect(&rig);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct api_versions_request in = {slice_text(cases[i].name), SLICE("1.0")};
        rig_ask(&rig, fd, &versions_api, 3, &in, &arena, &out);
        ck_assert_msg(out.error_code == cases[i].code, "%s", cases[i].name);
        ck_assert_int_eq(out.api_keys.count == 0, cases[i].code != 0);
    }
    close(fd);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(what_is_not_served_costs_its_sender_the_connection)
{
    struct rig rig;
    struct arena arena;
    static const char *const frames[] = {
        "",                             /* empty */
        "00",                           /* cut in the key */
        "0012 0000 000000",             /* cut in the correlation id */
        "7fff 0000 00000007 ffff",      /* no such api */
        "0047 0000 00000007 ffff",      /* one that Kafka has and we have not */
        "0003 0063 00000007 ffff",      /* no such version */
        "0003 ffff 00000007 ffff",      /* nor a negative one */
        "0003 0001 00000007 0010 6162", /* the client id is longer than the frame */
    };

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    int other = rig_connect(&rig);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        int fd = rig_connect(&rig);
        rig_send_frame(fd, hex(&arena, frames[i]));
        ck_assert_msg(rig_is_closed(&rig, fd), "%s", frames[i]);
        close(fd);
    }
    /* Others notice nothing. */
    struct buf reply;
    buf_init(&reply);
    rig_send_frame(other, hex(&arena, "0012 0000 00000007 ffff"));
    ck_assert(rig_reply(&rig, other, &reply));
    buf_fini(&reply);
    close(other);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(lengths_of_garbage_close_the_connection)
{
    struct rig rig;
    struct arena arena;
    static const char *const words[] = {"7fffffff", "80000000", "ffffffff", "47455420 2f204854"};

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        int fd = rig_connect(&rig);
        rig_send(fd, hex(&arena, words[i]));
        ck_assert_msg(rig_is_closed(&rig, fd), "%s", words[i]);
        close(fd);
    }
    ck_assert_uint_eq(rig.data.api.limits.memory_bytes, 0);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(a_body_cut_anywhere_closes_the_connection)
{
    struct rig rig;
    struct buf frame;

    rig_open(&rig, "auto.create.topics.enable=false\n");
    buf_init(&frame);
    struct metadata_request_topic topics[] = {{.name = SLICE("orders")}, {.name = SLICE("b")}};
    struct metadata_request in = {.topics = {topics, 2}};
    for (int version = 0; version <= 12; version++) {
        rig_write(&frame, API_METADATA, version, &metadata_request_wire, &in);
        struct slice whole = buf_slice(&frame);
        for (size_t len = 0; len < whole.len; len++) {
            int fd = rig_connect(&rig);
            rig_send_frame(fd, slice_of(whole.ptr, len));
            ck_assert_msg(rig_is_closed(&rig, fd), "version %d cut at %zu", version, len);
            close(fd);
        }
    }
    ck_assert_uint_eq(rig.data.api.limits.memory_bytes, 0);
    buf_fini(&frame);
    rig_close(&rig);
}
END_TEST

START_TEST(a_count_that_the_frame_cannot_hold_takes_no_memory)
{
    struct rig rig;
    struct arena arena;

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    int fd = rig_connect(&rig);
    rig_send_frame(fd, hex(&arena, "0003 0001 00000007 ffff 7fffffff 0001 61"));
    ck_assert(rig_is_closed(&rig, fd));
    close(fd);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(replies_keep_the_order_of_requests_across_shards)
{
    struct rig rig;
    struct arena arena;
    struct buf reply;

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    buf_init(&reply);
    int fd = rig_connect(&rig);
    /* DescribeConfigs of nothing runs on the control shard, ApiVersions here, at once. */
    rig_send_frame(fd, hex(&arena, "0020 0000 00000001 ffff 00000000"));
    rig_send_frame(fd, hex(&arena, "0012 0000 00000002 ffff"));
    rig_send_frame(fd, hex(&arena, "0020 0000 00000003 ffff 00000000"));
    for (uint8_t i = 1; i <= 3; i++) {
        ck_assert(rig_reply(&rig, fd, &reply));
        ck_assert_uint_eq(prim_load32(reply.ptr), i);
    }
    close(fd);
    buf_fini(&reply);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(a_client_that_goes_while_it_is_served_harms_nobody)
{
    struct rig rig;
    struct arena arena;

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    for (int i = 0; i < 20; i++) {
        int fd = rig_connect(&rig);
        rig_send_frame(fd, hex(&arena, "0020 0000 00000001 ffff 00000000"));
        for (int turn = 0; turn < i % 4; turn++)
            rig_turn(&rig);
        close(fd);
    }
    for (int i = 0; i < 20 || !list_is_empty(&rig.data.api.clients); i++)
        rig_turn(&rig);
    ck_assert_uint_eq(rig.data.api.limits.memory_bytes, 0);
    ck_assert_int_eq((int)atomic_load(&rig.connections.total), 0);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(over_max_connections_one_waits_until_another_ends)
{
    struct rig rig;
    struct arena arena;
    struct buf reply;

    rig_open(&rig, "max.connections=2\n");
    arena_init(&arena, 65536);
    buf_init(&reply);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = rig_connect(&rig);
        rig_send_frame(fds[i], hex(&arena, "0012 0000 00000007 ffff"));
        if (i < 2) ck_assert(rig_reply(&rig, fds[i], &reply));
    }
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    uint8_t byte;
    ck_assert_int_eq(recv(fds[2], &byte, 1, MSG_DONTWAIT), -1); /* held, neither read nor closed */
    /* The inter-broker listener is not bound by it. */
    int internal = rig_connect_to(&rig, 1);
    rig_send_frame(internal, hex(&arena, "0012 0000 00000007 ffff"));
    ck_assert(rig_reply(&rig, internal, &reply));
    close(internal);
    close(fds[0]);
    ck_assert(rig_reply(&rig, fds[2], &reply));
    /* … or until there may be more. */
    fds[0] = rig_connect(&rig);
    rig_send_frame(fds[0], hex(&arena, "0012 0000 00000007 ffff"));
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    ck_assert_int_eq(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1);
    struct options *changed = options_copy(rig.options);
    ck_assert_int_eq(options_set_dynamic(changed, OPTION_SOURCE_DYNAMIC_BROKER, "max.connections",
                                         "3", NULL),
                     ERR_OK);
    connections_set_max(&rig.connections, changed);
    options_destroy(&changed);
    ck_assert(rig_reply(&rig, fds[0], &reply));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    buf_fini(&reply);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(over_the_number_of_its_address_a_connection_is_closed)
{
    struct rig rig;
    struct arena arena;
    struct buf reply;

    rig_open(&rig, "max.connections.per.ip=1\n");
    arena_init(&arena, 65536);
    buf_init(&reply);
    int first = rig_connect(&rig);
    rig_send_frame(first, hex(&arena, "0012 0000 00000007 ffff"));
    ck_assert(rig_reply(&rig, first, &reply));
    int second = rig_connect(&rig);
    ck_assert(rig_is_closed(&rig, second));
    close(second);
    close(first);
    for (int i = 0; i < 20 || rig.connections.addresses.count > 0; i++)
        rig_turn(&rig);
    int third = rig_connect(&rig);
    rig_send_frame(third, hex(&arena, "0012 0000 00000007 ffff"));
    ck_assert(rig_reply(&rig, third, &reply));
    close(third);
    buf_fini(&reply);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

static const struct phases_of *phases_of(const struct rig *rig, int16_t key)
{
    return &rig->data.api.phases.at[rig->data.api.phases.place[key]];
}

START_TEST(requests_are_counted_by_kind_and_version_with_where_their_time_went)
{
    struct rig rig;
    struct arena arena;
    struct buf reply, page;
    struct metrics *metrics = metrics_create();

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    buf_init(&reply);
    buf_init(&page);
    phases_register(&rig.data.api.phases, metrics);
    metrics_print(metrics, &page);
    ck_assert_uint_eq(page.len, 0); /* what never came has no lines */
    int fd = rig_connect(&rig);
    for (int i = 0; i < 3; i++) {
        rig_send_frame(fd, hex(&arena, "0012 0000 00000002 ffff"));
        ck_assert(rig_reply(&rig, fd, &reply));
    }
    rig_send_frame(fd, hex(&arena, "0012 0063 00000007 ffff")); /* has no handler */
    ck_assert(rig_reply(&rig, fd, &reply));
    rig_send_frame(fd, hex(&arena, "0020 0001 00000001 ffff 00000000 00")); /* another shard */
    ck_assert(rig_reply(&rig, fd, &reply));
    rig_turn(&rig);

    const struct phases_of *versions = phases_of(&rig, API_API_VERSIONS);
    const struct phases_of *configs = phases_of(&rig, API_DESCRIBE_CONFIGS);
    ck_assert_uint_eq(histogram_count(&versions->total), 3);
    ck_assert_uint_eq(counter_value(&versions->versions[0]), 3);
    ck_assert_uint_eq(histogram_count(&versions->bytes), 3);
    ck_assert_uint_eq(atomic_load(&versions->bytes.sum), 3 * 10);
    ck_assert_uint_eq(histogram_count(&versions->remote), 0);
    ck_assert_uint_gt(atomic_load(&versions->local.sum), 0);
    ck_assert_uint_eq(histogram_count(&configs->total), 1);
    ck_assert_uint_eq(histogram_count(&configs->queue), 1); /* the way to the control shard */
    ck_assert_uint_eq(counter_value(&configs->versions[1]), 1);
    /* The phases are all of it. */
    uint64_t sum = atomic_load(&configs->queue.sum) + atomic_load(&configs->local.sum) +
                   atomic_load(&configs->remote.sum) + atomic_load(&configs->response_queue.sum) +
                   atomic_load(&configs->send.sum);
    ck_assert_uint_eq(sum, atomic_load(&configs->total.sum));

    metrics_print(metrics, &page);
    buf_add(&page, "", 1);
    const char *text = (const char *)page.ptr;
    ck_assert_ptr_nonnull(strstr(
        text, "\nkafka_network_requestmetrics_totaltimems_count{request=\"ApiVersions\"} 3\n"));
    /* None waited: three times nothing. */
    ck_assert_ptr_nonnull(strstr(
        text, "\nkafka_network_requestmetrics_remotetimems_count{request=\"ApiVersions\"} 3\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nkafka_network_requestmetrics_requests_total{request="
                                       "\"DescribeConfigs\",version=\"1\"} 1\n"));
    ck_assert_ptr_null(strstr(text, "request=\"ApiVersions\",version=\"1\""));
    ck_assert_ptr_null(strstr(text, "request=\"Metadata\""));
    close(fd);
    buf_fini(&page);
    buf_fini(&reply);
    arena_fini(&arena);
    rig_close(&rig);
    metrics_destroy(&metrics);
}
END_TEST

struct lines {
    int requests;
    char last[1024];
};

static void take_line(void *to, enum log_level level, struct slice line)
{
    struct lines *lines = to;

    (void)level;
    if (!slice_starts_with(line, SLICE("debug broker request "))) return;
    lines->requests++;
    snprintf(lines->last, sizeof(lines->last), "%.*s", SLICE_ARGS(line));
}

START_TEST(a_request_has_a_line_only_while_that_is_asked_for)
{
    struct rig rig;
    struct arena arena;
    struct buf reply;
    struct lines lines = {0};
    _Atomic bool logs = false;

    rig_open(&rig, "");
    rig.process.logs_requests = &logs;
    log_to(take_line, &lines);
    arena_init(&arena, 65536);
    buf_init(&reply);
    int fd = rig_connect(&rig);
    for (int i = 0; i < 60; i++) { /* more than a site may log in a second */
        if (i == 10) atomic_store(&logs, true);
        rig_send_frame(fd, hex(&arena, "0012 0000 00000002 0003 61220a"));
        ck_assert(rig_reply(&rig, fd, &reply));
        rig_turn(&rig);
        if (i < 10) ck_assert_int_eq(lines.requests, 0);
    }
    ck_assert_int_eq(lines.requests, 50);
    ck_assert_msg(strstr(lines.last, "api=api_versions version=0 correlation=2 client_id=\"a\"?\" "
                                     "peer=127.0.0.1 bytes=13 total_us=") != NULL,
                  "%s", lines.last);
    close(fd);
    buf_fini(&reply);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

UNIT(api_versions_answers_what_the_table_serves, api_versions_tells_of_features_as_they_change,
     requests_are_counted_by_kind_and_version_with_where_their_time_went,
     a_request_has_a_line_only_while_that_is_asked_for,
     an_unknown_version_of_api_versions_is_told_what_there_is,
     client_software_has_the_form_of_a_name, what_is_not_served_costs_its_sender_the_connection,
     lengths_of_garbage_close_the_connection, a_body_cut_anywhere_closes_the_connection,
     a_count_that_the_frame_cannot_hold_takes_no_memory,
     replies_keep_the_order_of_requests_across_shards,
     a_client_that_goes_while_it_is_served_harms_nobody,
     over_max_connections_one_waits_until_another_ends,
     over_the_number_of_its_address_a_connection_is_closed)
