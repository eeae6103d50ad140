#include "tests/unit/broker_rig.h"
#include "broker/api/metadata.h"
#include "broker/replica/link.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/describe_cluster.h"
#include "wire/gen/describe_configs.h"
#include "wire/gen/describe_topic_partitions.h"
#include "wire/gen/metadata.h"
#include "wire/gen/update_features.h"
#include <stdio.h>

struct fixture {
    struct rig rig;
    struct arena arena;
    int client, internal;
};

static void open_all(struct fixture *f, const char *settings)
{
    rig_open(&f->rig, settings);
    arena_init(&f->arena, 4 * 1024 * 1024);
    f->client = rig_connect_to(&f->rig, 0);
    f->internal = rig_connect_to(&f->rig, 1);
}

static void close_all(struct fixture *f)
{
    close(f->client);
    close(f->internal);
    arena_fini(&f->arena);
    rig_close(&f->rig);
}

static struct metadata_response ask(struct fixture *f, int fd, int version,
                                    struct metadata_request_topic *topics, int count)
{
    struct metadata_request in = {.topics = {topics, count}};
    struct metadata_response out;

    rig_ask(&f->rig, fd, &metadata_api, version, &in, &f->arena, &out);
    return out;
}

START_TEST(before_the_controller_has_spoken_there_is_nobody)
{
    struct fixture f;

    open_all(&f, "auto.create.topics.enable=false\n");
    struct metadata_response out = ask(&f, f.client, 12, NULL, -1);
    ck_assert_int_eq(out.brokers.count, 0);
    ck_assert_int_eq(out.topics.count, 0);
    ck_assert_int_eq(out.controller_id, -1);
    ck_assert(slice_is(out.cluster_id, "rig-cluster"));
    /* That it knows no topic says nothing of the topic. */
    struct metadata_request_topic name = {.name = SLICE("led")};
    out = ask(&f, f.client, 12, &name, 1);
    ck_assert_int_eq(out.topics.at[0].error_code, KAFKA_LEADER_NOT_AVAILABLE);
    close_all(&f);
}
END_TEST

START_TEST(brokers_are_those_of_the_listener_asked_by)
{
    struct fixture f;

    open_all(&f, "");
    ck_assert_int_eq(rig_update(&f.rig, f.internal, -1, 1), 0);
    struct metadata_response out = ask(&f, f.client, 12, NULL, -1);
    ck_assert_int_eq(out.brokers.count, 1);
    ck_assert(slice_is(out.brokers.at[0].host, "one"));
    ck_assert_int_eq(out.brokers.at[0].port, 9092);
    ck_assert(slice_is(out.brokers.at[0].rack, "r1"));
    ck_assert_int_eq(out.controller_id, 1); /* itself, not the controller process */
    out = ask(&f, f.internal, 12, NULL, -1);
    ck_assert_int_eq(out.brokers.count, 2);
    ck_assert(slice_is(out.brokers.at[1].host, "two.internal"));
    ck_assert(slice_is_null(out.brokers.at[1].rack));
    close_all(&f);
}
END_TEST

START_TEST(a_partition_says_why_it_cannot_be_used)
{
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    struct metadata_response out = ask(&f, f.client, 12, NULL, -1);
    ck_assert_int_eq(out.topics.count, 1);
    const struct metadata_response_topic *topic = &out.topics.at[0];
    ck_assert(slice_is(topic->name, "led"));
    ck_assert(uuid_equal(topic->topic_id, uuid_from_random(1, 2)));
    ck_assert_int_eq(topic->partitions.count, 3);
    ck_assert_int_eq(topic->partitions.at[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(topic->partitions.at[0].leader_id, 1);
    ck_assert_int_eq(topic->partitions.at[0].leader_epoch, 4);
    ck_assert_int_eq(topic->partitions.at[0].replica_nodes.count, 2);
    ck_assert_int_eq(topic->partitions.at[1].error_code, KAFKA_LISTENER_NOT_FOUND);
    ck_assert_int_eq(topic->partitions.at[1].leader_id, -1);
    ck_assert_int_eq(topic->partitions.at[2].error_code, KAFKA_LEADER_NOT_AVAILABLE);
    ck_assert_int_eq(topic->partitions.at[2].offline_replicas.count, 1);
    /* Before v6 there was no word for a missing listener. */
    out = ask(&f, f.client, 5, NULL, -1);
    ck_assert_int_eq(out.topics.at[0].partitions.at[1].error_code, KAFKA_LEADER_NOT_AVAILABLE);
    out = ask(&f, f.internal, 5, NULL, -1);
    ck_assert_int_eq(out.topics.at[0].partitions.at[1].error_code, KAFKA_NONE);
    close_all(&f);
}
END_TEST

START_TEST(the_first_version_hides_replicas_that_cannot_be_reached)
{
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    struct metadata_response out = ask(&f, f.client, 0, NULL, 0); /* empty: all */
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert_int_eq(out.topics.at[0].partitions.at[0].error_code, KAFKA_REPLICA_NOT_AVAILABLE);
    ck_assert_int_eq(out.topics.at[0].partitions.at[0].replica_nodes.count, 1);
    ck_assert_int_eq(out.topics.at[0].partitions.at[0].leader_id, 1);
    ck_assert_int_eq(ask(&f, f.client, 1, NULL, 0).topics.count, 0); /* empty: none */
    close_all(&f);
}
END_TEST

START_TEST(topics_are_found_by_name_or_by_id)
{
    struct fixture f;

    open_all(&f, "auto.create.topics.enable=false\n");
    rig_update(&f.rig, f.internal, -1, 1);
    struct metadata_request_topic names[] = {
        {.name = SLICE("led")}, {.name = SLICE("none")}, {.name = SLICE("not/a/name")}};
    struct metadata_response out = ask(&f, f.client, 12, names, 3);
    ck_assert_int_eq(out.topics.count, 3);
    ck_assert_int_eq(out.topics.at[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(out.topics.at[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(out.topics.at[2].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);

    struct metadata_request_topic ids[] = {{.topic_id = uuid_from_random(1, 2), .name = SLICE_NULL},
                                           {.topic_id = uuid_from_random(8, 9), .name = SLICE_NULL},
                                           {.name = SLICE("led")}};
    out = ask(&f, f.client, 12, ids, 3);
    ck_assert_int_eq(out.topics.count, 2); /* if any id is given, only ids count */
    ck_assert(slice_is(out.topics.at[0].name, "led"));
    ck_assert_int_eq(out.topics.at[1].error_code, KAFKA_UNKNOWN_TOPIC_ID);
    ck_assert(slice_is_null(out.topics.at[1].name));
    /* v10 and v11 have the fields, and nobody may use them. */
    out = ask(&f, f.client, 10, ids, 2);
    ck_assert_int_eq(out.topics.count, 2);
    ck_assert_int_eq(out.topics.at[0].error_code, KAFKA_INVALID_REQUEST);
    close_all(&f);
}
END_TEST

START_TEST(operations_are_told_when_asked)
{
    struct fixture f;
    struct metadata_response out;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    struct metadata_request in = {.topics = {NULL, -1},
                                  .include_cluster_authorized_operations = true,
                                  .include_topic_authorized_operations = true};
    rig_ask(&f.rig, f.client, &metadata_api, 10, &in, &f.arena, &out);
    ck_assert_int_eq(out.cluster_authorized_operations, 8096);
    ck_assert_int_eq(out.topics.at[0].topic_authorized_operations, 3576);
    ck_assert_int_eq(ask(&f, f.client, 10, NULL, -1).cluster_authorized_operations, INT32_MIN);
    close_all(&f);
}
END_TEST

START_TEST(a_missing_topic_that_cannot_be_created_now_is_asked_for_again)
{
    struct fixture f;
    struct metadata_response out;

    /* More replicas than brokers is known at once; that ZooKeeper is away is a matter of time. */
    open_all(&f, "default.replication.factor=3\n");
    rig_update(&f.rig, f.internal, -1, 1);
    struct metadata_request_topic names[] = {{.name = SLICE("fresh")}, {.name = SLICE("led")}};
    struct metadata_request in = {.topics = {names, 2}, .allow_auto_topic_creation = true};
    rig_ask(&f.rig, f.client, &metadata_api, 12, &in, &f.arena, &out);
    ck_assert_int_eq(out.topics.count, 2);
    ck_assert_int_eq(out.topics.at[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(out.topics.at[1].error_code, KAFKA_NONE);
    close_all(&f);
}
END_TEST

START_TEST(describe_cluster_tells_brokers_only)
{
    struct fixture f;
    struct describe_cluster_response out;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    struct describe_cluster_request in = {.endpoint_type = 1,
                                          .include_cluster_authorized_operations = true};
    rig_ask(&f.rig, f.internal, &describe_cluster_api, 1, &in, &f.arena, &out);
    ck_assert_int_eq(out.error_code, 0);
    ck_assert_int_eq(out.brokers.count, 2);
    ck_assert_int_eq(out.controller_id, 1);
    ck_assert_int_eq(out.cluster_authorized_operations, 8096);
    in.endpoint_type = 2;
    rig_ask(&f.rig, f.client, &describe_cluster_api, 1, &in, &f.arena, &out);
    ck_assert_int_eq(out.error_code, KAFKA_MISMATCHED_ENDPOINT_TYPE);
    in.endpoint_type = 3;
    rig_ask(&f.rig, f.client, &describe_cluster_api, 1, &in, &f.arena, &out);
    ck_assert_int_eq(out.error_code, KAFKA_UNSUPPORTED_ENDPOINT_TYPE);
    close_all(&f);
}
END_TEST

/* ---- DescribeTopicPartitions ---- */

static struct describe_topic_partitions_response
ask_partitions(struct fixture *f, struct describe_topic_partitions_request in)
{
    struct describe_topic_partitions_response out;

    rig_ask(&f->rig, f->client, &describe_topic_partitions_api, 0, &in, &f->arena, &out);
    return out;
}

START_TEST(topics_come_piece_by_piece)
{
    struct describe_topic_partitions_request in = {.response_partition_limit = 2000};
    struct describe_topic_partitions_response out;
    struct fixture f;

    open_all(&f, "max.request.partition.size.limit=2\n");
    out = ask_partitions(&f, in);
    ck_assert_int_eq(out.topics.count, 0);
    ck_assert_ptr_null(out.next_cursor);

    rig_update(&f.rig, f.internal, -1, 1);
    out = ask_partitions(&f, in); /* two of three: what is asked for is more than may be */
    ck_assert_int_eq(out.topics.count, 1);
    const struct describe_topic_partitions_response_topic *topic = &out.topics.at[0];
    ck_assert(slice_is(topic->name, "led"));
    ck_assert_int_eq(topic->error_code, KAFKA_NONE);
    ck_assert(uuid_equal(topic->topic_id, uuid_from_random(1, 2)));
    ck_assert_int_eq(topic->topic_authorized_operations, 3576);
    ck_assert_int_eq(topic->partitions.count, 2);
    ck_assert_int_eq(topic->partitions.at[0].leader_id, 1);
    ck_assert_int_eq(topic->partitions.at[0].leader_epoch, 4);
    ck_assert_int_eq(topic->partitions.at[0].replica_nodes.count, 2);
    ck_assert_int_eq(topic->partitions.at[0].eligible_leader_replicas.count, 0); /* not null */
    ck_assert_int_eq(topic->partitions.at[1].leader_id, -1); /* not at this listener */
    ck_assert_int_eq(topic->partitions.at[1].isr_nodes.count, 1);
    ck_assert(slice_is(out.next_cursor->topic_name, "led"));
    ck_assert_int_eq(out.next_cursor->partition_index, 2);

    struct describe_topic_partitions_request_cursor cursor = {SLICE("led"), 2};
    in.cursor = &cursor;
    out = ask_partitions(&f, in);
    ck_assert_int_eq(out.topics.at[0].partitions.count, 1);
    ck_assert_int_eq(out.topics.at[0].partitions.at[0].partition_index, 2);
    ck_assert_int_eq(out.topics.at[0].partitions.at[0].offline_replicas.count, 1);
    ck_assert_ptr_null(out.next_cursor);

    cursor = (struct describe_topic_partitions_request_cursor){SLICE("lee"), 0};
    ck_assert_int_eq(ask_partitions(&f, in).topics.count, 0); /* behind the last */
    cursor = (struct describe_topic_partitions_request_cursor){SLICE("lea"), 2};
    out = ask_partitions(&f, in); /* its topic has gone: from the beginning of the next */
    ck_assert_int_eq(out.topics.at[0].partitions.at[0].partition_index, 0);
    cursor = (struct describe_topic_partitions_request_cursor){SLICE("led"), 9};
    out = ask_partitions(&f, in);
    ck_assert_int_eq(out.topics.at[0].partitions.count, 0);
    ck_assert_ptr_null(out.next_cursor);
    close_all(&f);
}
END_TEST

START_TEST(topics_that_are_named_are_told_once_in_order_of_their_names)
{
    struct describe_topic_partitions_request_topic names[] = {
        {SLICE("none")}, {SLICE("no/name")}, {SLICE("led")}, {SLICE("absent")}, {SLICE("led")}};
    struct describe_topic_partitions_request in = {.topics = {names, 5},
                                                   .response_partition_limit = 4};
    struct describe_topic_partitions_response out;
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    out = ask_partitions(&f, in);
    ck_assert_int_eq(out.topics.count, 4);
    ck_assert(slice_is(out.topics.at[0].name, "absent"));
    ck_assert_int_eq(out.topics.at[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert(uuid_is_zero(out.topics.at[0].topic_id));
    ck_assert_int_eq(out.topics.at[1].partitions.count, 3);
    ck_assert_int_eq(out.topics.at[2].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
    ck_assert_ptr_null(out.next_cursor);

    in.response_partition_limit =
        3; /* nothing is left for the next, not even that it is not there */
    out = ask_partitions(&f, in);
    ck_assert_int_eq(out.topics.count, 2);
    ck_assert(slice_is(out.next_cursor->topic_name, "no/name"));
    ck_assert_int_eq(out.next_cursor->partition_index, 0);
    in.response_partition_limit = -5; /* one at least, or nobody would get on */
    ck_assert_int_eq(ask_partitions(&f, in).topics.at[1].partitions.count, 1);

    struct describe_topic_partitions_request_cursor cursor = {SLICE("other"), 0};
    in.cursor = &cursor; /* not among those that are asked for */
    out = ask_partitions(&f, in);
    ck_assert_int_eq(out.topics.count, 5);
    ck_assert_int_eq(out.topics.at[0].error_code, KAFKA_INVALID_REQUEST);
    cursor = (struct describe_topic_partitions_request_cursor){SLICE("led"), -1};
    ck_assert_int_eq(ask_partitions(&f, in).topics.at[0].error_code, KAFKA_INVALID_REQUEST);
    close_all(&f);
}
END_TEST

START_TEST(no_feature_can_be_updated)
{
    struct update_features_request_feature_update updates[] = {
        {.feature = SLICE("metadata.version"), .max_version_level = 3, .upgrade_type = 1},
        {.feature = SLICE("metadata.version"), .max_version_level = 0, .upgrade_type = 1},
        {.feature = SLICE(""), .max_version_level = 3, .upgrade_type = 1},
        {.feature = SLICE("other"), .max_version_level = 3, .upgrade_type = 1},
    };
    struct update_features_request in = {.feature_updates = {updates, 4}, .validate_only = true};
    struct update_features_response out;
    struct fixture f;

    open_all(&f, "");
    for (int version = 0; version <= 1; version++) {
        in.validate_only = version == 1;
        updates[1].upgrade_type = version == 1 ? 2 : 1;
        updates[1].allow_downgrade = version == 0;
        updates[3].upgrade_type = version == 1 ? 9 : 1;
        rig_ask(&f.rig, f.client, &update_features_api, version, &in, &f.arena, &out);
        ck_assert_int_eq(out.error_code, KAFKA_NONE);
        ck_assert_int_eq(out.results.count, 4);
        for (int i = 0; i < 4; i++) {
            ck_assert(slice_equal(out.results.at[i].feature, updates[i].feature));
            ck_assert_int_eq(out.results.at[i].error_code, KAFKA_INVALID_REQUEST);
            ck_assert_uint_gt(out.results.at[i].error_message.len, 0);
        }
    }
    close_all(&f);
}
END_TEST

static const struct describe_configs_response_result_config *
find_config(const struct describe_configs_response_result *result, const char *name)
{
    for (int32_t i = 0; i < result->configs.count; i++)
        if (slice_is(result->configs.at[i].name, name)) return &result->configs.at[i];
    return NULL;
}

START_TEST(configs_come_with_their_sources)
{
    struct fixture f;
    struct describe_configs_response out;
    struct slice key[] = {SLICE("retention.bytes")};

    open_all(&f, "log.retention.bytes=12345\n");
    rig_update(&f.rig, f.internal, -1, 1);
    struct describe_configs_request_resource resources[] = {
        {.resource_type = 2, .resource_name = SLICE("led"), .configuration_keys = {NULL, -1}},
        {.resource_type = 2, .resource_name = SLICE("gone"), .configuration_keys = {NULL, -1}},
        {.resource_type = 2, .resource_name = SLICE("a/b"), .configuration_keys = {NULL, -1}},
        {.resource_type = 4, .resource_name = SLICE("1"), .configuration_keys = {NULL, -1}},
        {.resource_type = 4, .resource_name = SLICE("2"), .configuration_keys = {NULL, -1}},
        {.resource_type = 4, .resource_name = SLICE(""), .configuration_keys = {NULL, -1}},
        {.resource_type = 8, .resource_name = SLICE("1"), .configuration_keys = {NULL, -1}},
        {.resource_type = 16, .resource_name = SLICE("x"), .configuration_keys = {NULL, -1}}};
    struct describe_configs_request in = {
        .resources = {resources, 8}, .include_synonyms = true, .include_documentation = true};
    rig_ask(&f.rig, f.client, &describe_configs_api, 4, &in, &f.arena, &out);
    ck_assert_int_eq(out.results.count, 8);
    const struct describe_configs_response_result *topic = &out.results.at[0];
    ck_assert_int_eq(topic->error_code, 0);
    const struct describe_configs_response_result_config *config =
        find_config(topic, "retention.bytes");
    ck_assert(config != NULL && slice_is(config->value, "12345"));
    ck_assert_int_eq(config->config_source, 4); /* static broker config */
    ck_assert(!config->read_only);
    ck_assert_int_ge(config->synonyms.count, 1);
    ck_assert(slice_is(config->synonyms.at[0].name, "log.retention.bytes"));
    ck_assert_int_gt((int)config->documentation.len, 0);
    ck_assert_int_eq(out.results.at[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(out.results.at[2].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
    config = find_config(&out.results.at[3], "log.retention.bytes");
    ck_assert(config != NULL && slice_is(config->value, "12345"));
    config = find_config(&out.results.at[3], "broker.id");
    ck_assert(config != NULL && config->read_only);
    ck_assert_int_eq(out.results.at[4].error_code, KAFKA_INVALID_REQUEST);
    ck_assert_int_eq(out.results.at[5].error_code, 0);
    ck_assert_int_eq(out.results.at[5].configs.count, 0); /* no cluster-wide dynamic value */
    ck_assert(find_config(&out.results.at[6], "root") != NULL);
    ck_assert_int_eq(out.results.at[7].error_code, KAFKA_INVALID_REQUEST);

    resources[0].configuration_keys.at = key;
    resources[0].configuration_keys.count = in.resources.count = 1;
    rig_ask(&f.rig, f.client, &describe_configs_api, 4, &in, &f.arena, &out);
    ck_assert_int_eq(out.results.count, 1);
    ck_assert_int_eq(out.results.at[0].configs.count, 1);
    close_all(&f);
}
END_TEST

START_TEST(without_a_controller_an_admin_request_times_out)
{
    struct fixture f;
    struct create_topics_response out;

    open_all(&f, "");
    struct create_topics_request_topic topics[] = {{.name = SLICE("a"),
                                                    .num_partitions = 1,
                                                    .replication_factor = 1,
                                                    .assignments = {NULL, 0},
                                                    .configs = {NULL, 0}}};
    struct create_topics_request in = {.topics = {topics, 1}, .timeout_ms = 1};
    rig_ask(&f.rig, f.client, &create_topics_api, 7, &in, &f.arena, &out);
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert(slice_is(out.topics.at[0].name, "a"));
    ck_assert_int_eq(out.topics.at[0].error_code, KAFKA_REQUEST_TIMED_OUT);
    close_all(&f);
}
END_TEST

/* What is asked for a million times in a small request must not become a large answer. */
START_TEST(what_is_asked_for_again_is_not_told_again)
{
    struct fixture f;
    struct describe_configs_response described;
    struct slice key[] = {SLICE("broker.id")};

    open_all(&f, "auto.create.topics.enable=false\n");
    rig_update(&f.rig, f.internal, -1, 1);
    struct metadata_request_topic names[] = {{.name = SLICE("led")},
                                             {.name = SLICE("none")},
                                             {.name = SLICE("led")},
                                             {.name = SLICE("none")}};
    struct metadata_response out = ask(&f, f.client, 12, names, 4);
    ck_assert_int_eq(out.topics.count, 2);
    struct metadata_request_topic ids[] = {
        {.topic_id = uuid_from_random(1, 2), .name = SLICE_NULL},
        {.topic_id = uuid_from_random(1, 2), .name = SLICE_NULL}};
    ck_assert_int_eq(ask(&f, f.client, 12, ids, 2).topics.count, 1);

    struct describe_configs_request_resource resources[] = {
        {.resource_type = 4, .resource_name = SLICE("1"), .configuration_keys = {NULL, -1}},
        {.resource_type = 4, .resource_name = SLICE("1"), .configuration_keys = {NULL, -1}},
        {.resource_type = 4, .resource_name = SLICE("1"), .configuration_keys = {key, 1}}};
    struct describe_configs_request in = {.resources = {resources, 3}};
    rig_ask(&f.rig, f.client, &describe_configs_api, 4, &in, &f.arena, &described);
    ck_assert_int_eq(described.results.at[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(described.results.at[1].error_code, KAFKA_INVALID_REQUEST);
    ck_assert_int_eq(described.results.at[1].configs.count, 0);
    ck_assert_int_eq(described.results.at[2].error_code, KAFKA_INVALID_REQUEST);
    close_all(&f);
}
END_TEST

/* "__cluster_metadata" is refused as soon as its creation is looked at: so it shows whether it was.
 */
START_TEST(one_request_begins_500_topics_at_most)
{
    enum { MAX = 500 };
    struct metadata_request_topic names[MAX + 1];
    char texts[MAX][24];
    struct metadata_response out;
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    for (int i = 0; i < MAX; i++) {
        snprintf(texts[i], sizeof(texts[i]), "missing-%d", i);
        names[i] = (struct metadata_request_topic){.name = slice_text(texts[i])};
    }
    names[MAX] = (struct metadata_request_topic){.name = SLICE("__cluster_metadata")};
    struct metadata_request in = {.topics = {names, MAX + 1}, .allow_auto_topic_creation = true};
    rig_ask(&f.rig, f.client, &metadata_api, 9, &in, &f.arena, &out);
    ck_assert_int_eq(out.topics.count, MAX + 1);
    ck_assert_int_eq(out.topics.at[MAX].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    in.topics.at++; /* one less, and it is the 500th */
    in.topics.count--;
    rig_ask(&f.rig, f.client, &metadata_api, 9, &in, &f.arena, &out);
    ck_assert_int_eq(out.topics.count, MAX);
    ck_assert_int_eq(out.topics.at[MAX - 1].error_code, KAFKA_INVALID_REQUEST);
    close_all(&f);
}
END_TEST

/* ---- what waits for the controller ---- */

/* Fetchers that follow nobody, and have lost `broker` for `ms`. */
static void lose(struct fixture *f, struct fetchers *fetchers, int32_t broker, int64_t ms)
{
    *fetchers = (struct fetchers){.shard = &f->rig.data.shard};
    list_init(&fetchers->links);
    fetchers->lost[0] = (struct lost){broker, instant_add_ms(shard_now(&f->rig.data.shard), ms)};
    f->rig.data.api.fetchers = fetchers;
}

static void send_question(int fd)
{
    struct metadata_request_topic name = {.name = SLICE("led")};
    struct metadata_request in = {.topics = {&name, 1}};
    struct buf bytes;

    buf_init(&bytes);
    rig_write(&bytes, API_METADATA, 12, &metadata_request_wire, &in);
    rig_send_frame(fd, buf_slice(&bytes));
    buf_fini(&bytes);
}

static bool is_answered(struct fixture *f, int fd)
{
    uint8_t byte;

    for (int i = 0; i < 20; i++)
        rig_turn(&f->rig);
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

/* The code of led-0. */
static int16_t answer_of(struct fixture *f, int fd)
{
    struct metadata_response out;
    struct buf bytes;
    struct slice in;
    int32_t id;

    buf_init(&bytes);
    ck_assert(rig_reply(&f->rig, fd, &bytes));
    ck_assert_int_eq(frame_read_response_head(buf_slice(&bytes), API_METADATA, 12, &id, &in),
                     ERR_OK);
    ck_assert_int_eq(
        wire_read(arena_copy(&f->arena, in), 12, &metadata_response_wire, &f->arena, &out), ERR_OK);
    buf_fini(&bytes);
    return out.topics.at[0].partitions.at[0].error_code;
}

/* The controller says that only broker 2 is alive. */
static void bury(struct fixture *f)
{
    struct update_metadata_request_live_broker_endpoint at = {
        .port = 9093, .host = SLICE("two.internal"), .listener = SLICE("INTERNAL")};
    struct update_metadata_request_live_broker two = {.id = 2, .endpoints = {&at, 1}};
    struct update_metadata_request in;
    struct update_metadata_response out;

    wire_default(&update_metadata_request_wire, &in);
    in.controller_id = 101;
    in.controller_epoch = 1;
    in.broker_epoch = -1;
    in.live_brokers.at = &two;
    in.live_brokers.count = 1;
    rig_ask(&f->rig, f->internal, &update_metadata_api, 8, &in, &f->arena, &out);
    ck_assert_int_eq(out.error_code, KAFKA_NONE);
}

START_TEST(what_is_asked_about_a_leader_just_lost_waits_for_the_controllers_word)
{
    struct fetchers fetchers;
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    lose(&f, &fetchers, 1, 3600000);
    send_question(f.client);
    ck_assert(!is_answered(&f, f.client));
    /* Neither what is no question about it waits, nor the controller. */
    ck_assert_int_eq(ask(&f, f.internal, 12, NULL, 0).topics.count, 0);
    rig_update(&f.rig, f.internal, -1, 1); /* nothing new of it */
    ck_assert(!is_answered(&f, f.client));
    bury(&f);
    ck_assert_int_eq(answer_of(&f, f.client), KAFKA_LEADER_NOT_AVAILABLE);
    /* Once it is known to be dead nobody waits. */
    send_question(f.client);
    ck_assert_int_eq(answer_of(&f, f.client), KAFKA_LEADER_NOT_AVAILABLE);
    f.rig.data.api.fetchers = NULL;
    close_all(&f);
}
END_TEST

START_TEST(nobody_waits_longer_than_a_leader_counts_as_lost)
{
    struct fetchers fetchers;
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    lose(&f, &fetchers, 1, 100);
    for (int i = 0; i < 20; i++) /* more than are answered in a turn */
        send_question(f.client);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(answer_of(&f, f.client), KAFKA_NONE);
    /* Nor longer than the broker serves. */
    lose(&f, &fetchers, 1, 3600000);
    send_question(f.client);
    ck_assert(!is_answered(&f, f.client));
    metadata_release(&f.rig.data.api);
    ck_assert_int_eq(answer_of(&f, f.client), KAFKA_LEADER_NOT_AVAILABLE);
    f.rig.data.api.fetchers = NULL;
    close_all(&f);
}
END_TEST

START_TEST(who_waits_may_go)
{
    struct fetchers fetchers;
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    lose(&f, &fetchers, 1, 3600000);
    int other = rig_connect_to(&f.rig, 0);
    send_question(other);
    send_question(f.client);
    ck_assert(!is_answered(&f, other));
    close(other);
    ck_assert(!is_answered(&f, f.client));
    bury(&f);
    ck_assert_int_eq(answer_of(&f, f.client), KAFKA_LEADER_NOT_AVAILABLE);
    f.rig.data.api.fetchers = NULL;
    close_all(&f);
}
END_TEST

START_TEST(between_new_leaders_and_the_image_that_names_them_all_wait)
{
    _Atomic int64_t awaited_ns = 0;
    struct fixture f;

    open_all(&f, "");
    f.rig.process.image_awaited_ns = &awaited_ns;
    rig_update(&f.rig, f.internal, -1, 1);
    awaited_ns = instant_add_ms(env_now(f.rig.env), 3600000).ns;
    send_question(f.client);
    ck_assert(!is_answered(&f, f.client));
    rig_update(&f.rig, f.internal, -1, 1);
    ck_assert_int_eq(awaited_ns, 0);
    ck_assert_int_eq(answer_of(&f, f.client), KAFKA_NONE);
    /* If it does not come they are answered all the same. */
    awaited_ns = instant_add_ms(env_now(f.rig.env), 50).ns;
    send_question(f.client);
    ck_assert_int_eq(answer_of(&f, f.client), KAFKA_NONE);
    close_all(&f);
}
END_TEST

START_TEST(who_has_worked_here_and_asks_may_know_of_a_loss_before_us)
{
    struct fetchers fetchers;
    struct fixture f;

    open_all(&f, "");
    rig_update(&f.rig, f.internal, -1, 1);
    lose(&f, &fetchers, 3, 3600000); /* who leads nothing */
    list_each (node, &f.rig.data.api.clients)
        list_entry(node, struct client, node)->is_working = true;
    struct instant begin = env_now(f.rig.env);
    send_question(f.client);
    ck_assert_int_eq(answer_of(&f, f.client), KAFKA_NONE);
    ck_assert_int_ge(instant_ms_between(begin, env_now(f.rig.env)), 5);
    f.rig.data.api.fetchers = NULL;
    close_all(&f);
}
END_TEST

UNIT(what_is_asked_about_a_leader_just_lost_waits_for_the_controllers_word,
     nobody_waits_longer_than_a_leader_counts_as_lost,
     between_new_leaders_and_the_image_that_names_them_all_wait, who_waits_may_go,
     who_has_worked_here_and_asks_may_know_of_a_loss_before_us,
     what_is_asked_for_again_is_not_told_again, before_the_controller_has_spoken_there_is_nobody,
     brokers_are_those_of_the_listener_asked_by, a_partition_says_why_it_cannot_be_used,
     the_first_version_hides_replicas_that_cannot_be_reached, topics_are_found_by_name_or_by_id,
     operations_are_told_when_asked, a_missing_topic_that_cannot_be_created_now_is_asked_for_again,
     describe_cluster_tells_brokers_only, topics_come_piece_by_piece,
     topics_that_are_named_are_told_once_in_order_of_their_names, no_feature_can_be_updated,
     configs_come_with_their_sources, without_a_controller_an_admin_request_times_out,
     one_request_begins_500_topics_at_most)
