#include "base/ensure.h"
#include "tests/unit/unit.h"
#include "zk/doc_json.h"
#include "zk/docs.h"

/* The samples of the reference, byte for byte. */
#define BROKER                                                                                     \
    "{\"features\":{},\"listener_security_protocol_map\":{\"INTERNAL\":\"PLAINTEXT\",\"CLIENT\":"  \
    "\"SASL_SSL\"},\"endpoints\":[\"INTERNAL://b1.example:9092\",\"CLIENT://b1.example:9093\"],"   \
    "\"jmx_port\":-1,\"port\":9092,\"host\":\"b1.example\",\"version\":5,\"rack\":\"r1\","         \
    "\"timestamp\":\"1729800000000\"}"
#define CONTROLLER                                                                                 \
    "{\"version\":2,\"brokerid\":1,\"timestamp\":\"1729800000000\",\"kraftControllerEpoch\":-1}"
#define TOPIC                                                                                      \
    "{\"removing_replicas\":{},\"partitions\":{\"0\":[1,2,3],\"1\":[2,3,1]},\"topic_id\":"         \
    "\"Tn2ZSQvVQ8Wlt7a9CzoI0w\",\"adding_replicas\":{},\"version\":3}"
#define STATE                                                                                      \
    "{\"controller_epoch\":7,\"leader\":1,\"version\":1,\"leader_epoch\":4,\"isr\":[1,2,3]}"
#define REASSIGN                                                                                   \
    "{\"version\":1,\"partitions\":[{\"topic\":\"foo\",\"partition\":0,\"replicas\":[1,2]}]}"
#define PARTITIONS    "{\"version\":1,\"partitions\":[{\"topic\":\"foo\",\"partition\":0}]}"
#define LOG_DIR_EVENT "{\"version\":1,\"broker\":1,\"event\":1}"
#define CONFIG                                                                                     \
    "{\"version\":1,\"config\":{\"retention.ms\":\"60000\",\"cleanup.policy\":\"compact\"}}"
#define CONFIG_CHANGE "{\"version\":2,\"entity_path\":\"topics/foo\"}"
#define CLUSTER_ID    "{\"version\":\"1\",\"id\":\"rbZVGOXuRF6Qp0VGKT7v4w\"}"
#define FEATURES      "{\"features\":{},\"version\":2,\"status\":1}"
#define PRODUCER_IDS  "{\"version\":1,\"broker\":1,\"block_start\":\"0\",\"block_end\":\"999\"}"
#define ACLS                                                                                       \
    "{\"version\":1,\"acls\":[{\"principal\":\"User:alice\",\"permissionType\":\"Allow\","         \
    "\"operation\":\"Read\",\"host\":\"*\"}]}"
#define ACL_CHANGE                                                                                 \
    "{\"version\":1,\"resourceType\":\"TOPIC\",\"name\":\"foo-\",\"patternType\":\"PREFIXED\"}"
#define TOKEN                                                                                      \
    "{\"version\":3,\"owner\":\"User%3Aalice\",\"tokenRequester\":\"User%3Aalice\",\"renewers\":[" \
    "\"User%3Abob\"],\"issueTimestamp\":1729800000000,\"maxTimestamp\":1730404800000,"             \
    "\"expiryTimestamp\":1729886400000,\"tokenId\":\"x3kP0sV7S1mC4dQe5fUuJg\"}"

static struct arena arena = {.limit = 64 << 20};
static struct buf out;

static void check_out(const char *expected)
{
    ck_assert_msg(slice_is(buf_slice(&out), expected), "%.*s\n instead of\n%s",
                  SLICE_ARGS(buf_slice(&out)), expected);
    buf_clear(&out);
}

/* Reads a sample and writes it again: the same bytes. */
#define CHECK_SAMPLE(type, name, sample)                                                           \
    do {                                                                                           \
        struct doc_##type doc = {0};                                                               \
        ck_assert_int_eq(doc_##name##_read(slice_text(sample), &arena, &doc), ERR_OK);             \
        doc_##name##_write(&out, &doc);                                                            \
        check_out(sample);                                                                         \
    } while (0)

START_TEST(samples_are_read_and_written_byte_for_byte)
{
    CHECK_SAMPLE(broker, broker, BROKER);
    CHECK_SAMPLE(controller, controller, CONTROLLER);
    CHECK_SAMPLE(topic, topic, TOPIC);
    CHECK_SAMPLE(state, state, STATE);
    CHECK_SAMPLE(topic_partitions, reassign, REASSIGN);
    CHECK_SAMPLE(topic_partitions, partitions, PARTITIONS);
    CHECK_SAMPLE(log_dir_event, log_dir_event, LOG_DIR_EVENT);
    CHECK_SAMPLE(config, config, CONFIG);
    CHECK_SAMPLE(features, features, FEATURES);
    CHECK_SAMPLE(producer_ids, producer_ids, PRODUCER_IDS);
    CHECK_SAMPLE(acls, acls, ACLS);
    CHECK_SAMPLE(token, token, TOKEN);

    struct slice text = SLICE_NULL;
    ck_assert_int_eq(doc_config_change_read(SLICE(CONFIG_CHANGE), &arena, &text), ERR_OK);
    doc_config_change_write(&out, text);
    check_out(CONFIG_CHANGE);
    ck_assert_int_eq(doc_cluster_id_read(SLICE(CLUSTER_ID), &arena, &text), ERR_OK);
    doc_cluster_id_write(&out, text);
    check_out(CLUSTER_ID);

    struct doc_acl_change change = {0};
    ck_assert_int_eq(doc_acl_change_read(SLICE(ACL_CHANGE), true, &arena, &change), ERR_OK);
    ck_assert(change.is_prefixed && slice_is(change.type, "TOPIC") &&
              slice_is(change.name, "foo-"));
    doc_acl_change_write(&out, &change);
    check_out(ACL_CHANGE);
    /* A name may have colons: the first one ends the type. */
    ck_assert_int_eq(doc_acl_change_read(SLICE("GROUP:a:b"), false, &arena, &change), ERR_OK);
    ck_assert(!change.is_prefixed && slice_is(change.type, "GROUP") &&
              slice_is(change.name, "a:b"));
    doc_acl_change_write(&out, &change);
    check_out("GROUP:a:b");
}
END_TEST

START_TEST(a_broker_without_plaintext_has_no_host)
{
    struct doc_endpoint endpoint = {SLICE("TLS"), SLICE("SSL"), SLICE("::1"), 9093};
    struct doc_feature feature = {SLICE("f"), 1, 3};
    struct doc_broker broker = {.version = 5,
                                .endpoints = &endpoint,
                                .endpoint_count = 1,
                                .rack = SLICE_NULL,
                                .jmx_port = 9999,
                                .timestamp_ms = 5,
                                .features = &feature,
                                .feature_count = 1};

    doc_broker_write(&out, &broker);
    check_out(
        "{\"features\":{\"f\":{\"min_version\":1,\"max_version\":3}},"
        "\"listener_security_protocol_map\":{\"TLS\":\"SSL\"},\"endpoints\":[\"TLS://[::1]:9093\"],"
        "\"jmx_port\":9999,\"port\":-1,\"host\":null,\"version\":5,\"timestamp\":\"5\"}");
    broker.version = 4;
    doc_broker_write(&out, &broker);
    check_out("{\"listener_security_protocol_map\":{\"TLS\":\"SSL\"},\"endpoints\":[\"TLS://"
              "[::1]:9093\"],"
              "\"jmx_port\":9999,\"port\":-1,\"host\":null,\"version\":4,\"timestamp\":\"5\"}");
    broker.version = 2;
    broker.rack = SLICE("r");
    doc_broker_write(&out, &broker);
    check_out("{\"endpoints\":[\"TLS://[::1]:9093\"],\"jmx_port\":9999,\"port\":-1,\"host\":null,"
              "\"version\":2,\"timestamp\":\"5\"}");
    broker.version = 4; /* TLS is no protocol: versions without the map cannot be read back */
    broker.is_cache_lost = true;
    broker.cache_lost_since = INT64_MAX;
    doc_broker_write(&out, &broker);
    struct arena own;
    struct doc_broker read = {0};
    arena_init(&own, 1 << 20);
    ck_assert_int_eq(doc_broker_read(buf_slice(&out), &own, &read), ERR_OK);
    ck_assert(read.is_cache_lost && read.jmx_port == 9999);
    ck_assert_int_eq(read.cache_lost_since, INT64_MAX);
    arena_fini(&own);
    buf_clear(&out);
}
END_TEST

START_TEST(brokers_of_all_versions_are_read)
{
    struct doc_broker broker = {0};

    ck_assert_int_eq(doc_broker_read(SLICE("{\"version\":1,\"host\":\"h\",\"port\":9092,"
                                           "\"jmx_port\":-1,\"timestamp\":\"7\"}"),
                                     &arena, &broker),
                     ERR_OK);
    ck_assert_int_eq(broker.endpoint_count, 1);
    ck_assert(slice_is(broker.endpoints[0].listener, "PLAINTEXT") &&
              slice_is(broker.endpoints[0].host, "h") && broker.endpoints[0].port == 9092);
    ck_assert(slice_is_null(broker.rack) && broker.timestamp_ms == 7);

    /* Version 3 has no map: the listener is the protocol. Names are upper-cased. */
    ck_assert_int_eq(
        doc_broker_read(SLICE("{\"version\":3,\"host\":null,\"port\":-1,\"rack\":\"r\","
                              "\"jmx_port\":-1,\"later\":{\"x\":[1]},\"endpoints\":"
                              "[\"plaintext://[fe80::1%eth0]:1\",\"SSL://:2\"]}"),
                        &arena, &broker),
        ERR_OK);
    ck_assert_int_eq(broker.endpoint_count, 2);
    ck_assert(slice_is(broker.endpoints[0].listener, "PLAINTEXT") &&
              slice_is(broker.endpoints[0].protocol, "PLAINTEXT") &&
              slice_is(broker.endpoints[0].host, "fe80::1%eth0"));
    ck_assert(slice_is(broker.endpoints[1].host, "") && broker.endpoints[1].port == 2);
    ck_assert(slice_is(broker.rack, "r"));
}
END_TEST

START_TEST(brokers_that_make_no_sense_are_corrupt)
{
    static const char *const bad[] = {
        "{\"version\":0,\"endpoints\":[]}",
        "{\"endpoints\":[]}",
        "{\"version\":5}",
        "{\"version\":5,\"endpoints\":[\"PLAINTEXT://h\"]}",
        "{\"version\":5,\"endpoints\":[\"PLAINTEXT:h:1\"]}",
        "{\"version\":5,\"endpoints\":[\"://h:1\"]}",
        "{\"version\":5,\"endpoints\":[\"PLAINTEXT://h:99999\"]}",
        "{\"version\":5,\"endpoints\":[\"PLAINTEXT://h h:1\"]}",
        "{\"version\":5,\"endpoints\":[\"X://h:1\"]}",
        "{\"version\":5,\"endpoints\":[\"X://"
        "h:1\"],\"listener_security_protocol_map\":{\"Y\":\"SSL\"}}",
        "{\"version\":5,\"endpoints\":[\"X://"
        "h:1\"],\"listener_security_protocol_map\":{\"X\":\"TLS\"}}",
        "{\"version\":5,\"endpoints\":[\"SSL://h:1\",\"ssl://h:2\"]}",
        "{\"version\":5,\"endpoints\":[],\"features\":{\"f\":{\"min_version\":3,\"max_version\":1}}"
        "}",
        "{\"version\":5,\"endpoints\":[],\"features\":{\"f\":1}}",
        "{\"version\":1,\"host\":\"h\"}",
        "{\"version\":1,\"host\":\"=h\",\"port\":9092}",
    };
    struct doc_broker broker = {.version = 77};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(doc_broker_read(slice_text(bad[i]), &arena, &broker) == ERR_CORRUPT, "%s",
                      bad[i]);
    ck_assert_int_eq(broker.version, 77);
}
END_TEST

START_TEST(controller_processes_go_both_ways)
{
    struct doc_endpoint endpoints[] = {{SLICE("CONTROLLER"), SLICE("SSL"), SLICE("h"), 9094},
                                       {SLICE("INTERNAL"), SLICE("PLAINTEXT"), SLICE("::1"), 1}};
    struct doc_controller_process process = {endpoints, 2, 12}, back = {0};

    doc_controller_process_write(&out, &process);
    ck_assert_int_eq(doc_controller_process_read(buf_slice(&out), &arena, &back), ERR_OK);
    check_out("{\"version\":1,\"host\":\"h\",\"port\":9094,\"listeners\":[\"CONTROLLER://h:9094\","
              "\"INTERNAL://[::1]:1\"],\"listener_security_protocol_map\":{\"CONTROLLER\":\"SSL\","
              "\"INTERNAL\":\"PLAINTEXT\"},\"timestamp\":\"12\"}");
    ck_assert_int_eq(back.endpoint_count, 2);
    ck_assert(slice_is(back.endpoints[1].host, "::1") &&
              slice_is(back.endpoints[0].protocol, "SSL"));
    ck_assert_int_eq(back.timestamp_ms, 12);
}
END_TEST

START_TEST(old_controllers_have_no_kraft_epoch)
{
    struct doc_controller controller = {0};

    ck_assert_int_eq(
        doc_controller_read(SLICE("{\"brokerid\":3,\"version\":1}"), &arena, &controller), ERR_OK);
    ck_assert(controller.broker_id == 3 && controller.kraft_epoch == -1);
    ck_assert_int_eq(doc_controller_read(SLICE("{\"version\":1}"), &arena, &controller),
                     ERR_CORRUPT);
    ck_assert_int_eq(doc_controller_read(SLICE("3"), &arena, &controller), ERR_CORRUPT);
}
END_TEST

START_TEST(topics_keep_order_moves_and_what_is_unknown)
{
    struct doc_topic topic = {0};

    ck_assert_int_eq(
        doc_topic_read(
            SLICE("{\"version\":3,\"x\":{\"y\":[1,\"z\"]},\"adding_replicas\":{\"10\":[4]},"
                  "\"removing_replicas\":{\"10\":[1],\"77\":[5]},"
                  "\"partitions\":{\"10\":[4,2,1],\"2\":[]}}"),
            &arena, &topic),
        ERR_OK);
    ck_assert_int_eq(topic.partition_count, 2);
    ck_assert(topic.partitions[0].partition == 2 && topic.partitions[1].partition == 10);
    ck_assert_int_eq(topic.partitions[1].replicas.at[0], 4);
    ck_assert(topic.partitions[1].adding.count == 1 && topic.partitions[1].removing.at[0] == 1);
    ck_assert(uuid_is_zero(topic.id));
    doc_topic_write(&out, &topic);
    check_out("{\"removing_replicas\":{\"10\":[1]},\"partitions\":{\"2\":[],\"10\":[4,2,1]},"
              "\"adding_replicas\":{\"10\":[4]},\"version\":3,\"x\":{\"y\":[1,\"z\"]}}");

    ck_assert_int_eq(
        doc_topic_read(SLICE("{\"version\":1,\"partitions\":{\"0\":[1]}}"), &arena, &topic),
        ERR_OK);
    ck_assert(topic.version == 1 && slice_is_null(topic.extra));
}
END_TEST

START_TEST(topics_that_make_no_sense_are_corrupt)
{
    static const char *const bad[] = {
        "{}",
        "{\"partitions\":[]}",
        "{\"partitions\":{\"x\":[1]}}",
        "{\"partitions\":{\"-1\":[1]}}",
        "{\"partitions\":{\"1\":[1],\"01\":[1]}}",
        "{\"partitions\":{\"1\":[1],\"1\":[2]}}",
        "{\"partitions\":{\"1\":[2147483648]}}",
        "{\"partitions\":{\"1\":[-1]}}",
        "{\"partitions\":{\"1\":[\"1\"]}}",
        "{\"partitions\":{\"1\":[1.5]}}",
        "{\"partitions\":{\"1\":1}}",
        "{\"partitions\":{},\"topic_id\":\"short\"}",
        "{\"partitions\":{},\"topic_id\":7}",
        "{\"partitions\":{},\"adding_replicas\":[]}",
    };
    struct doc_topic topic = {.version = 77};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(doc_topic_read(slice_text(bad[i]), &arena, &topic) == ERR_CORRUPT, "%s",
                      bad[i]);
    ck_assert_int_eq(topic.version, 77);
}
END_TEST

START_TEST(recovery_state_is_written_only_when_it_is_one)
{
    int32_t isr[] = {2};
    struct doc_state state = {.leader = -1,
                              .leader_epoch = 5,
                              .isr = {isr, 1},
                              .controller_epoch = 9,
                              .leader_recovery_state = 1};
    struct doc_state back = {0};

    doc_state_write(&out, &state);
    ck_assert_int_eq(doc_state_read(buf_slice(&out), &arena, &back), ERR_OK);
    ck_assert(back.leader == -1 && back.leader_recovery_state == 1 && back.isr.at[0] == 2);
    check_out("{\"controller_epoch\":9,\"leader\":-1,\"version\":1,\"leader_epoch\":5,\"isr\":[2],"
              "\"leader_recovery_state\":1}");
    ck_assert_int_eq(doc_state_read(SLICE("{\"leader\":1,\"leader_epoch\":0,\"isr\":[1],"
                                          "\"controller_epoch\":1,\"leader_recovery_state\":2}"),
                                    &arena, &back),
                     ERR_CORRUPT);
    ck_assert_int_eq(
        doc_state_read(SLICE("{\"leader\":1,\"leader_epoch\":0,\"isr\":[1]}"), &arena, &back),
        ERR_CORRUPT);
}
END_TEST

START_TEST(who_left_is_written_only_where_somebody_has)
{
    int32_t isr[] = {2};
    const struct doc_left left[] = {{1, 661}, {33, 0}};
    struct doc_state state = {.leader = 2, .isr = {isr, 1}, .left = left, .left_count = 2};
    struct doc_state back = {0};

    doc_state_write(&out, &state);
    ck_assert_int_eq(doc_state_read(buf_slice(&out), &arena, &back), ERR_OK);
    ck_assert_int_eq(back.left_count, 2);
    ck_assert(back.left[0].broker == 1 && back.left[0].zxid == 661);
    ck_assert(back.left[1].broker == 33 && back.left[1].zxid == 0);
    check_out("{\"controller_epoch\":0,\"leader\":2,\"version\":1,\"leader_epoch\":0,\"isr\":[2],"
              "\"ottla_left\":{\"1\":661,\"33\":0}}");
}
END_TEST

START_TEST(a_state_means_the_same_however_it_is_written)
{
#define PLAIN(leader, epoch, isr)                                                                  \
    "{\"controller_epoch\":3,\"leader\":" leader ",\"version\":1,\"leader_epoch\":" epoch          \
    ",\"isr\":" isr "}"
    static const struct {
        const char *text;
        enum err err;
    } cases[] = {
        {PLAIN("1", "0", "[1,22,333]"), ERR_OK},
        {PLAIN("-1", "2147483647", "[]"), ERR_OK},
        {PLAIN("0", "7", "[0]"), ERR_OK},
        {PLAIN("-2", "7", "[0]"), ERR_CORRUPT},
        {PLAIN("1", "-1", "[0]"), ERR_CORRUPT},
        {PLAIN("1", "2147483648", "[0]"), ERR_CORRUPT},
        {PLAIN("1", "99999999999999999999", "[0]"), ERR_CORRUPT},
        {PLAIN("01", "7", "[0]"), ERR_CORRUPT},
        {PLAIN("1", "", "[0]"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0,]"), ERR_CORRUPT},
        {PLAIN("1", "7", "[,0]"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0"), ERR_CORRUPT},
        {PLAIN("1", "7", "[-1]"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0],\"isr\":[1]"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0]") "}", ERR_CORRUPT},
        {PLAIN("1", "7", "[0],\"leader_recovery_state\":1"), ERR_OK},
        {PLAIN("1", "7", "[0],\"leader_recovery_state\":2"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0],\"more\":{}"), ERR_OK},
        {PLAIN("1", "7", "[0],\"ottla_left\":{\"1\":9223372036854775807}"), ERR_OK},
        {PLAIN("1", "7", "[0],\"ottla_left\":{}"), ERR_OK},
        {PLAIN("1", "7", "[0],\"ottla_left\":{\"1\":-1}"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0],\"ottla_left\":{\"1\":\"2\"}"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0],\"ottla_left\":{\"-1\":2}"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0],\"ottla_left\":{\"one\":2}"), ERR_CORRUPT},
        {PLAIN("1", "7", "[0],\"ottla_left\":[1]"), ERR_CORRUPT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct doc_state plain = {0}, spaced = {0};
        struct slice text = slice_text(cases[i].text);
        /* Another way to write the same, which only a whole reader knows. */
        buf_clear(&out);
        buf_add_text(&out, "{ ");
        buf_add_slice(&out, slice_of(text.ptr + 1, text.len - 1));
        ck_assert_msg(doc_state_read(text, &arena, &plain) == cases[i].err, "%s", cases[i].text);
        ck_assert_msg(doc_state_read(buf_slice(&out), &arena, &spaced) == cases[i].err, "%s",
                      cases[i].text);
        ck_assert(plain.leader == spaced.leader && plain.leader_epoch == spaced.leader_epoch);
        ck_assert(plain.controller_epoch == spaced.controller_epoch);
        ck_assert(plain.leader_recovery_state == spaced.leader_recovery_state);
        ck_assert_int_eq(plain.isr.count, spaced.isr.count);
        for (int32_t n = 0; n < plain.isr.count; n++)
            ck_assert_int_eq(plain.isr.at[n], spaced.isr.at[n]);
    }
}
END_TEST

START_TEST(configs_of_nothing_are_empty)
{
    struct doc_config config = {.count = 9};
    struct slice path = SLICE_NULL;

    ck_assert_int_eq(doc_config_read(SLICE_NULL, &arena, &config), ERR_OK);
    ck_assert_int_eq(config.count, 0);
    doc_config_write(&out, &config);
    check_out("{\"version\":1,\"config\":{}}");
    ck_assert_int_eq(doc_config_read(SLICE("{\"config\":{\"a\":1}}"), &arena, &config),
                     ERR_CORRUPT);
    ck_assert_int_eq(
        doc_config_read(SLICE("{\"version\":4,\"k\":2,\"config\":{\"a\":\"1\"}}"), &arena, &config),
        ERR_OK);
    doc_config_write(&out, &config);
    check_out("{\"version\":1,\"config\":{\"a\":\"1\"},\"k\":2}");

    ck_assert_int_eq(doc_config_change_read(SLICE("{\"version\":1,\"entity_type\":\"clients\","
                                                  "\"entity_name\":\"c%2A\"}"),
                                            &arena, &path),
                     ERR_OK);
    ck_assert(slice_is(path, "clients/c%2A"));
    ck_assert_int_eq(
        doc_config_change_read(SLICE("{\"version\":3,\"entity_path\":\"x/y\"}"), &arena, &path),
        ERR_UNSUPPORTED);
    ck_assert_int_eq(doc_config_change_read(SLICE("hello"), &arena, &path), ERR_CORRUPT);
}
END_TEST

START_TEST(strings_are_escaped_as_kafkas_json_writer_does)
{
    struct doc_config_entry entry = {SLICE("k\"\\/"),
                                     slice_of("\b\t\n\v\f\r\x01\x1f\x7f é\xff", 13)};
    struct doc_config config = {&entry, 1, SLICE_NULL}, back = {0};

    doc_config_write(&out, &config);
    ck_assert_int_eq(doc_config_read(buf_slice(&out), &arena, &back), ERR_OK);
    ck_assert(slice_is(back.entries[0].name, "k\"\\/"));
    check_out("{\"version\":1,\"config\":{\"k\\\"\\\\/\":"
              "\"\\b\\t\\n\\u000B\\f\\r\\u0001\\u001F\x7f é\xef\xbf\xbd\"}}");
}
END_TEST

START_TEST(producer_ids_follow_each_other_until_they_end)
{
    struct doc_producer_ids block = {0};

    ck_assert_int_eq(doc_producer_ids_next(SLICE_NULL, &arena, 4, &block), ERR_OK);
    ck_assert(block.broker == 4 && block.first == 0 && block.last == 999);
    ck_assert_int_eq(doc_producer_ids_next(SLICE(PRODUCER_IDS), &arena, 4, &block), ERR_OK);
    ck_assert(block.first == 1000 && block.last == 1999);
    /* 2^63 − 1 − 1000 is the last end from which a block can be taken. */
    ck_assert_int_eq(
        doc_producer_ids_next(SLICE("{\"broker\":1,\"block_start\":\"0\",\"block_end\":"
                                    "\"9223372036854774807\"}"),
                              &arena, 4, &block),
        ERR_OK);
    ck_assert_int_eq(block.last, INT64_MAX);
    ck_assert_int_eq(
        doc_producer_ids_next(SLICE("{\"broker\":1,\"block_start\":\"0\",\"block_end\":"
                                    "\"9223372036854774808\"}"),
                              &arena, 4, &block),
        ERR_RANGE);
    ck_assert_int_eq(doc_producer_ids_read(
                         SLICE("{\"broker\":1,\"block_start\":0,\"block_end\":9}"), &arena, &block),
                     ERR_CORRUPT); /* they are quoted */
}
END_TEST

START_TEST(features_have_two_encodings)
{
    struct doc_features features = {0};

    ck_assert_int_eq(doc_features_read(SLICE("{\"version\":1,\"status\":1,\"features\":{\"f\":"
                                             "{\"min_version_level\":1,\"max_version_level\":3}}}"),
                                       &arena, &features),
                     ERR_OK);
    doc_features_write(&out, &features);
    check_out(
        "{\"features\":{\"f\":{\"min_version_level\":1,\"max_version_level\":3}},\"version\":1,"
        "\"status\":1}");
    ck_assert_int_eq(doc_features_read(SLICE("{\"version\":1,\"status\":0,\"features\":{\"f\":"
                                             "{\"max_version_level\":3}}}"),
                                       &arena, &features),
                     ERR_CORRUPT);
    ck_assert_int_eq(
        doc_features_read(SLICE("{\"version\":2,\"status\":2,\"features\":{}}"), &arena, &features),
        ERR_CORRUPT);
    ck_assert_int_eq(
        doc_features_read(SLICE("{\"version\":3,\"status\":1,\"features\":{}}"), &arena, &features),
        ERR_UNSUPPORTED);
}
END_TEST

START_TEST(acls_and_tokens_refuse_what_they_do_not_know)
{
    struct doc_acls acls = {.count = 5};
    struct doc_token token = {0};
    struct doc_acl_change change = {0};

    ck_assert_int_eq(doc_acls_read(SLICE(""), &arena, &acls), ERR_OK);
    ck_assert_int_eq(acls.count, 0);
    ck_assert_int_eq(doc_acls_read(SLICE("{\"version\":2,\"acls\":[]}"), &arena, &acls),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(
        doc_acls_read(SLICE("{\"version\":1,\"acls\":[{\"principal\":\"p\",\"host\":\"*\","
                            "\"operation\":\"Read\",\"permissionType\":\"Perhaps\"}]}"),
                      &arena, &acls),
        ERR_CORRUPT);
    ck_assert_int_eq(
        doc_acls_read(SLICE("{\"version\":1,\"acls\":[{\"principal\":\"p\",\"host\":\"*\","
                            "\"operation\":\"READ\",\"permissionType\":\"DENY\"}]}"),
                      &arena, &acls),
        ERR_OK);
    ck_assert(acls.count == 1 && !acls.at[0].is_allow);
    ck_assert_int_eq(doc_acl_change_read(SLICE("nothing"), false, &arena, &change), ERR_CORRUPT);
    ck_assert_int_eq(doc_acl_change_read(SLICE("{\"version\":2}"), true, &arena, &change),
                     ERR_UNSUPPORTED);

    /* Before version 3 the owner asked for it. */
    ck_assert_int_eq(doc_token_read(SLICE("{\"version\":1,\"owner\":\"User%3Aa+b\",\"renewers\":[],"
                                          "\"issueTimestamp\":1,\"maxTimestamp\":2,"
                                          "\"expiryTimestamp\":3,\"tokenId\":\"t\"}"),
                                    &arena, &token),
                     ERR_OK);
    ck_assert(slice_is(token.owner, "User:a b") && slice_is(token.requester, "User:a b"));
    ck_assert_int_eq(doc_token_read(SLICE("{\"version\":4}"), &arena, &token), ERR_UNSUPPORTED);
}
END_TEST

START_TEST(hostile_json_is_refused)
{
    struct doc_topic topic = {0};
    struct buf deep;

    buf_init(&deep);
    buf_add_text(&deep, "{\"partitions\":{},\"x\":");
    for (int i = 0; i < 100000; i++)
        buf_add_text(&deep, "[");
    ck_assert_int_eq(doc_topic_read(buf_slice(&deep), &arena, &topic), ERR_CORRUPT);
    buf_clear(&deep);
    for (int i = 0; i < DOC_BYTES_MAX + 1; i++)
        buf_add(&deep, " ", 1);
    ck_assert_int_eq(doc_topic_read(buf_slice(&deep), &arena, &topic), ERR_LIMIT);
    buf_fini(&deep);

    static const char *const bad[] = {
        "",
        " ",
        "null",
        "[]",
        "{\"partitions\":{}} x",
        "{\"partitions\":{}",
        "{\"partitions\":{},\"version\":99999999999999999999}",
        "{\"partitions\":{},\"version\":1e999}",
        "{\"partitions\":{},\"version\":3000000000}",
        "{\"partitions\":{},\"x\":\"\xff\"}",
        "{\"partitions\":{},\"x\":\"\\u0000\"}",
        "{\"partitions\":{},\"partitions\":{}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(doc_topic_read(slice_text(bad[i]), &arena, &topic) == ERR_CORRUPT, "%s",
                      bad[i]);
    ck_assert_int_eq(doc_topic_read(slice_of("{\"partitions\":{}\0}", 18), &arena, &topic),
                     ERR_CORRUPT);
}
END_TEST

START_TEST(a_full_arena_ends_a_read)
{
    struct doc_topic topic = {.version = 77};

    for (size_t limit = 0; limit < 96; limit += 8) {
        struct arena small = {.limit = limit};
        ck_assert_int_eq(doc_topic_read(SLICE(TOPIC), &small, &topic), ERR_LIMIT);
        arena_fini(&small);
    }
    ck_assert_int_eq(topic.version, 77);
}
END_TEST

UNIT(samples_are_read_and_written_byte_for_byte, a_broker_without_plaintext_has_no_host,
     brokers_of_all_versions_are_read, brokers_that_make_no_sense_are_corrupt,
     controller_processes_go_both_ways, old_controllers_have_no_kraft_epoch,
     topics_keep_order_moves_and_what_is_unknown, topics_that_make_no_sense_are_corrupt,
     recovery_state_is_written_only_when_it_is_one, who_left_is_written_only_where_somebody_has,
     a_state_means_the_same_however_it_is_written, configs_of_nothing_are_empty,
     strings_are_escaped_as_kafkas_json_writer_does, producer_ids_follow_each_other_until_they_end,
     features_have_two_encodings, acls_and_tokens_refuse_what_they_do_not_know,
     hostile_json_is_refused, a_full_arena_ends_a_read)
