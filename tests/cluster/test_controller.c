/* Controllers on a real ZooKeeper: who acts, who takes over, what zkCli shows. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include "base/arena.h"
#include "wire/frame.h"
#include "wire/gen/describe_configs.h"
#include "wire/gen/elect_leaders.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/init_producer_id.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/update_features.h"
#include "wire/prim.h"
#include "wire/protocol.h"
#include <arpa/inet.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETENTION_MS "86400123" /* of the brokers alone */

static struct cluster cluster;

/* The data of a znode as text, by the ZooKeeper package's own client; "" if it is absent. */
static void znode(const char *path, char *out, int size)
{
    char all[16384];

    out[0] = '\0';
    run_command(all, sizeof(all),
                "java -Xmx64m -XX:TieredStopAtLevel=1 -cp %s:/usr/share/java/zookeeper.jar "
                "org.apache.zookeeper.ZooKeeperMain -server 127.0.0.1:%d get %s 2> /dev/null | "
                "grep -E '^[{[0-9]'",
                cluster_node(&cluster, NODE_ZOOKEEPER, 1)->folder,
                cluster_node(&cluster, NODE_ZOOKEEPER, 1)->port, path);
    snprintf(out, (size_t)size, "%.*s", size - 1, all);
    out[strcspn(out, "\n")] = '\0';
}

static void zk_cli(const char *command)
{
    int code =
        run_command(NULL, 0,
                    "java -Xmx64m -XX:TieredStopAtLevel=1 -cp %s:/usr/share/java/zookeeper.jar "
                    "org.apache.zookeeper.ZooKeeperMain -server 127.0.0.1:%d %s > /dev/null 2>&1",
                    cluster_node(&cluster, NODE_ZOOKEEPER, 1)->folder,
                    cluster_node(&cluster, NODE_ZOOKEEPER, 1)->port, command);
    ck_assert_int_eq(code, 0);
}

/* The number in `key` of a JSON object; −9 if there is none. */
static long long json_number(const char *text, const char *key)
{
    json_t *object = json_loads(text, 0, NULL);
    json_t *value = json_object_get(object, key);
    long long number = json_is_integer(value) ? json_integer_value(value) : -9;

    json_decref(object);
    return number;
}

static struct node *active_controller(void)
{
    char text[512];

    znode("/controller", text, sizeof(text));
    long long id = json_number(text, "brokerid");
    ck_assert_msg(id > 100, "/controller holds %s", text);
    return cluster_node(&cluster, NODE_CONTROLLER, (int)id - 100);
}

START_TEST(znodes_are_as_kafka_writes_them)
{
    char text[1024], expected[1024];
    int port = cluster_node(&cluster, NODE_BROKER, 1)->port;

    znode("/brokers/ids/1", text, sizeof(text));
    json_t *object = json_loads(text, 0, NULL);
    ck_assert_msg(object != NULL, "%s", text);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "version")), 5);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "port")), port);
    ck_assert_str_eq(json_string_value(json_object_get(object, "host")), "127.0.0.1");
    ck_assert(json_is_string(json_object_get(object, "timestamp")));
    ck_assert(json_is_integer(json_object_get(object, "jmx_port")));
    snprintf(expected, sizeof(expected), "PLAINTEXT://127.0.0.1:%d", port);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(object, "endpoints"), 0)),
                     expected);
    ck_assert_str_eq(json_string_value(json_object_get(
                         json_object_get(object, "listener_security_protocol_map"), "PLAINTEXT")),
                     "PLAINTEXT");
    json_decref(object);

    znode("/controller", text, sizeof(text));
    ck_assert_int_eq(json_number(text, "version"), 2);
    ck_assert_int_eq(json_number(text, "kraftControllerEpoch"), -1);
    znode("/controller_epoch", text, sizeof(text));
    ck_assert_int_ge(atoi(text), 1);
    znode("/controllers/ids/101", text, sizeof(text));
    ck_assert_int_eq(json_number(text, "port"), cluster_node(&cluster, NODE_CONTROLLER, 1)->port);

    ck_assert(client_create_topic(cluster.bootstrap, "shown", 2, 1, 60));
    znode("/brokers/topics/shown", text, sizeof(text));
    object = json_loads(text, 0, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "version")), 3);
    ck_assert_uint_eq(json_string_length(json_object_get(object, "topic_id")), 22);
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(object, "partitions"), "1")),
                      1);
    json_decref(object);
    znode("/brokers/topics/shown/partitions/0/state", text, sizeof(text));
    ck_assert_int_eq(json_number(text, "leader_epoch"), 0);
    ck_assert_int_eq(json_number(text, "version"), 1);
    ck_assert_int_ge(json_number(text, "leader"), 1);
    ck_assert_int_ge(json_number(text, "controller_epoch"), 1);
}
END_TEST

START_TEST(a_topic_made_by_hand_in_zookeeper_works)
{
    char command[256];

    snprintf(command, sizeof(command),
             "create /brokers/topics/by-hand "
             "'{\"version\":1,\"partitions\":{\"0\":[1],\"1\":[2]}}'");
    zk_cli(command);
    ck_assert(client_topic_is_led(cluster.bootstrap, "by-hand", 2, 60));
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "by-hand",
                                     .partitions = 2,
                                     .numbers_max = 1000,
                                     .value_bytes = 20,
                                     .acks = "all",
                                     .retries = true};
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 1000) && sender_flush(sender, 60));
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
}
END_TEST

/* Does not wait for the answer. */
static void ask_creation(rd_kafka_t *client, rd_kafka_queue_t *queue, const char *topic,
                         const char *retention)
{
    char error[256];
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, 1, 1, error, sizeof(error));

    rd_kafka_NewTopic_set_config(wanted, "retention.ms", retention);
    rd_kafka_CreateTopics(client, &wanted, 1, NULL, queue);
    rd_kafka_NewTopic_destroy(wanted);
}

static rd_kafka_resp_err_t creation_answer(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    size_t count = 0;

    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    ck_assert_uint_eq(count, 1);
    rd_kafka_resp_err_t err = rd_kafka_topic_result_error(results[0]);
    rd_kafka_event_destroy(event);
    return err;
}

#define CONTESTED 10

static rd_kafka_t *client_of(int broker, rd_kafka_queue_t **queues)
{
    char bootstrap[32], error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    snprintf(bootstrap, sizeof(bootstrap), "127.0.0.1:%d",
             cluster_node(&cluster, NODE_BROKER, broker)->port);
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, NULL, 0);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    ck_assert_ptr_nonnull(client);
    for (int i = 0; i < CONTESTED; i++)
        queues[i] = rd_kafka_queue_new(client);
    return client;
}

static void close_client(rd_kafka_t *client, rd_kafka_queue_t **queues)
{
    for (int i = 0; i < CONTESTED; i++)
        rd_kafka_queue_destroy(queues[i]);
    rd_kafka_destroy(client);
}

/* Two want the same names at the same time: who is told that a topic exists has not changed it. */
START_TEST(who_comes_second_does_not_change_the_topic_that_there_is)
{
    char text[1024], path[128], topic[32];
    rd_kafka_queue_t *queues[2][CONTESTED];
    rd_kafka_t *clients[] = {client_of(1, queues[0]), client_of(2, queues[1])};

    for (int i = 0; i < CONTESTED; i++) {
        snprintf(topic, sizeof(topic), "contested-%d", i);
        ask_creation(clients[0], queues[0][i], topic, "11111111");
        ask_creation(clients[1], queues[1][i], topic, "22222222");
    }
    for (int i = 0; i < CONTESTED; i++) {
        rd_kafka_resp_err_t first = creation_answer(queues[0][i]);
        rd_kafka_resp_err_t second = creation_answer(queues[1][i]);
        bool is_first = first == RD_KAFKA_RESP_ERR_NO_ERROR;
        ck_assert_int_eq(is_first ? second : first, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS);
        ck_assert(is_first || second == RD_KAFKA_RESP_ERR_NO_ERROR);
        snprintf(path, sizeof(path), "/config/topics/contested-%d", i);
        znode(path, text, sizeof(text));
        ck_assert_msg(strstr(text, is_first ? "11111111" : "22222222") != NULL, "%s: %s", path,
                      text);
    }
    close_client(clients[0], queues[0]);
    close_client(clients[1], queues[1]);
}
END_TEST

START_TEST(a_standby_acts_after_the_active_controller_was_killed)
{
    char before[64], after[64];
    struct node *active = active_controller();

    znode("/controller_epoch", before, sizeof(before));
    double killed = seconds_now();
    node_signal(&cluster, active, SIGKILL);
    /* Not a measure, a bound: ZooKeeper's session timeout is above it. */
    ck_assert(client_create_topic(cluster.bootstrap, "after-kill", 3, 1, 30));
    printf("a topic could be created %.0f ms after the active controller was killed\n",
           (seconds_now() - killed) * 1000);
    znode("/controller_epoch", after, sizeof(after));
    ck_assert_int_eq(atoi(after), atoi(before) + 1);
    ck_assert_ptr_ne(active_controller(), active);
    node_start(&cluster, active);
    node_wait_ready(&cluster, active, 120);
    ck_assert_ptr_ne(active_controller(), active); /* back as a standby */
}
END_TEST

/* One request to the process at `port`, and what it answers. */
static void ask_version(uint16_t port, int16_t api, int version, const struct wire_struct *request,
                        const void *in, const struct wire_struct *response, void *out,
                        struct arena *arena)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct frame_request_head head = {.api_key = api,
                                      .api_version = (int16_t)version,
                                      .correlation_id = 7,
                                      .client_id = SLICE("test")};
    int32_t correlation_id;
    struct buf frame = {0};
    struct slice body;
    uint8_t word[4];

    frame_write_request_head(&frame, &head);
    wire_write(&frame, version, request, in);
    prim_store32(word, (uint32_t)frame.len);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    ck_assert_int_eq(send(fd, word, 4, MSG_NOSIGNAL), 4);
    ck_assert_int_eq(send(fd, frame.ptr, frame.len, MSG_NOSIGNAL), (ssize_t)frame.len);
    ck_assert_int_eq(recv(fd, word, 4, MSG_WAITALL), 4);
    size_t len = prim_load32(word);
    buf_clear(&frame);
    ck_assert_int_eq(recv(fd, buf_extend(&frame, len), len, MSG_WAITALL), (ssize_t)len);
    close(fd);
    ck_assert_int_eq(frame_read_response_head(arena_copy(arena, buf_slice(&frame)), api, version,
                                              &correlation_id, &body),
                     ERR_OK);
    ck_assert_int_eq(wire_read(body, version, response, arena, out), ERR_OK);
    buf_fini(&frame);
}

static void ask_election(uint16_t port, struct slice topic, struct arena *arena,
                         struct elect_leaders_response *out)
{
    int32_t partitions[] = {0, 1};
    struct elect_leaders_request_topic_partition topics[] = {
        {.topic = topic, .partitions = {partitions, 2}}};
    struct elect_leaders_request in = {.topic_partitions = {topics, 1}, .timeout_ms = 10000};

    ask_version(port, API_ELECT_LEADERS, 0, &elect_leaders_request_wire, &in,
                &elect_leaders_response_wire, out, arena);
}

/* Version 0 has no code for all: without one for each partition it would look like success. */
START_TEST(a_standby_tells_who_asks_for_an_election_that_it_is_none)
{
    struct node *active = active_controller();
    struct node *standby = cluster_node(&cluster, NODE_CONTROLLER, 3 - active->number);
    struct elect_leaders_response out;
    struct arena arena;

    arena_init(&arena, 1 << 16);
    ask_election(standby->port, SLICE("any"), &arena, &out);
    ck_assert_int_eq(out.replica_election_results.count, 1);
    ck_assert_int_eq(out.replica_election_results.at[0].partition_result.count, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(out.replica_election_results.at[0].partition_result.at[i].error_code,
                         KAFKA_NOT_CONTROLLER);
    ask_election(active->port, SLICE("nowhere"), &arena, &out);
    ck_assert_int_eq(out.replica_election_results.at[0].partition_result.at[0].error_code,
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    arena_fini(&arena);
}
END_TEST

static int64_t producer_id_from(uint16_t port, int16_t code)
{
    struct init_producer_id_request in;
    struct init_producer_id_response out;
    struct arena arena;

    arena_init(&arena, 1 << 16);
    wire_default(&init_producer_id_request_wire, &in);
    in.transactional_id = SLICE_NULL;
    ask_version(port, API_INIT_PRODUCER_ID, 4, &init_producer_id_request_wire, &in,
                &init_producer_id_response_wire, &out, &arena);
    ck_assert_int_eq(out.error_code, code);
    arena_fini(&arena);
    return out.producer_id;
}

/* Of "a group", whose partition is the 24th. */
static struct find_coordinator_response coordinator_from(uint16_t port, int version,
                                                         struct arena *arena)
{
    struct slice keys[] = {SLICE("a group")};
    struct find_coordinator_request in = {.key = keys[0], .coordinator_keys = {keys, 1}};
    struct find_coordinator_response out;

    ask_version(port, API_FIND_COORDINATOR, version, &find_coordinator_request_wire, &in,
                &find_coordinator_response_wire, &out, arena);
    return out;
}

static struct update_features_response features_from(uint16_t port, int version,
                                                     struct arena *arena)
{
    struct update_features_request_feature_update one = {
        .feature = SLICE("metadata.version"), .max_version_level = 20, .upgrade_type = 1};
    struct update_features_request in = {.feature_updates = {&one, 1}};
    struct update_features_response out;

    ask_version(port, API_UPDATE_FEATURES, version, &update_features_request_wire, &in,
                &update_features_response_wire, &out, arena);
    return out;
}

/* It hears of the topic a moment after that is made. */
static bool broker_names_a_coordinator(void *of)
{
    struct arena arena;

    (void)of;
    arena_init(&arena, 1 << 16);
    struct find_coordinator_response told =
        coordinator_from(cluster_node(&cluster, NODE_BROKER, 1)->port, 3, &arena);
    arena_fini(&arena);
    return told.error_code == KAFKA_NONE;
}

/* Where the active controller stands among the live brokers it is asked what any broker can be. */
START_TEST(a_controller_answers_what_clients_ask_of_any_broker)
{
    struct node *active = active_controller();
    struct node *standby = cluster_node(&cluster, NODE_CONTROLLER, 3 - active->number);
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    struct list_groups_request all = {0};
    struct list_groups_response groups;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    int64_t first = producer_id_from(active->port, KAFKA_NONE);
    ck_assert_int_eq(producer_id_from(active->port, KAFKA_NONE), first + 1);
    int64_t theirs = producer_id_from(broker->port, KAFKA_NONE);
    ck_assert(theirs < first || theirs >= first + 1000);
    producer_id_from(standby->port, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);

    ck_assert_int_eq(coordinator_from(active->port, 3, &arena).error_code,
                     KAFKA_COORDINATOR_NOT_AVAILABLE);
    ck_assert(client_create_topic(cluster.bootstrap, "__consumer_offsets", 50, 2, 60));
    ck_assert(wait_for(broker_names_a_coordinator, NULL, 60));
    struct find_coordinator_response right = coordinator_from(broker->port, 3, &arena);
    struct find_coordinator_response told = coordinator_from(active->port, 3, &arena);
    ck_assert_int_eq(right.error_code, KAFKA_NONE);
    ck_assert_int_eq(told.error_code, KAFKA_NONE);
    ck_assert_int_eq(told.node_id, right.node_id);
    ck_assert_int_eq(told.port, right.port);
    told = coordinator_from(active->port, 4, &arena);
    ck_assert_int_eq(told.coordinators.count, 1);
    ck_assert_int_eq(told.coordinators.at[0].node_id, right.node_id);
    ck_assert_int_eq(coordinator_from(standby->port, 3, &arena).error_code,
                     KAFKA_COORDINATOR_NOT_AVAILABLE);

    ask_version(active->port, API_LIST_GROUPS, 4, &list_groups_request_wire, &all,
                &list_groups_response_wire, &groups, &arena);
    ck_assert_int_eq(groups.error_code, KAFKA_NONE);
    ck_assert_int_eq(groups.groups.count, 0);

    /* There are no features: whoever is asked refuses with the same reason. */
    for (int version = 0; version <= 1; version++) {
        struct update_features_response of_broker = features_from(broker->port, version, &arena);
        struct update_features_response of_active = features_from(active->port, version, &arena);
        ck_assert_int_eq(of_active.error_code, KAFKA_NONE);
        ck_assert_int_eq(of_active.results.count, 1);
        ck_assert_int_eq(of_active.results.at[0].error_code, KAFKA_INVALID_REQUEST);
        ck_assert_int_eq(of_broker.results.at[0].error_code, KAFKA_INVALID_REQUEST);
        ck_assert(slice_equal(of_active.results.at[0].error_message,
                              of_broker.results.at[0].error_message));
    }
    arena_fini(&arena);
}
END_TEST

static struct describe_configs_response configs_from(uint16_t port, struct arena *arena)
{
    static char self[8];
    struct slice key[] = {SLICE("retention.ms")};
    snprintf(self, sizeof(self), "%d",
             port == cluster_node(&cluster, NODE_CONTROLLER, 1)->port ? 101 : 102);
    struct describe_configs_request_resource resources[] = {
        {.resource_type = 4, .resource_name = slice_text(self), .configuration_keys.count = -1},
        {.resource_type = 2, .resource_name = SLICE("described"), .configuration_keys = {key, 1}},
        {.resource_type = 4, .resource_name = SLICE("77"), .configuration_keys.count = -1},
        {.resource_type = 2,
         .resource_name = SLICE("not-described"),
         .configuration_keys = {key, 1}},
        {.resource_type = 4, .resource_name = SLICE(""), .configuration_keys.count = -1},
    };
    struct describe_configs_request in = {
        .resources = {resources, sizeof(resources) / sizeof(resources[0])},
        .include_synonyms = true};
    struct describe_configs_response out;

    ask_version(port, API_DESCRIBE_CONFIGS, 4, &describe_configs_request_wire, &in,
                &describe_configs_response_wire, &out, arena);
    ck_assert_int_eq(out.results.count, in.resources.count);
    for (int i = 0; i < out.results.count; i++) {
        ck_assert_int_eq(out.results.at[i].resource_type, resources[i].resource_type);
        ck_assert(slice_equal(out.results.at[i].resource_name, resources[i].resource_name));
    }
    ck_assert_int_eq(out.results.at[2].error_code, KAFKA_INVALID_REQUEST);
    return out;
}

/* What the brokers were configured with, which the controller was not, is in the answer. */
START_TEST(a_controller_tells_configurations_as_a_broker_would)
{
    struct node *active = active_controller();
    struct node *standby = cluster_node(&cluster, NODE_CONTROLLER, 3 - active->number);
    struct arena arena;

    arena_init(&arena, 16 << 20);
    ck_assert(client_create_topic(cluster.bootstrap, "described", 1, 1, 60));
    struct describe_configs_response told = configs_from(active->port, &arena);
    bool is_itself = false;
    ck_assert_int_eq(told.results.at[0].error_code, KAFKA_NONE);
    for (int i = 0; i < told.results.at[0].configs.count; i++) {
        const struct describe_configs_response_result_config *at =
            &told.results.at[0].configs.at[i];
        is_itself = is_itself || (slice_is(at->name, "controller.id") &&
                                  slice_equal(at->value, told.results.at[0].resource_name));
    }
    ck_assert(is_itself);
    ck_assert_int_eq(told.results.at[1].error_code, KAFKA_NONE);
    ck_assert_int_eq(told.results.at[1].configs.count, 1);
    ck_assert(slice_is(told.results.at[1].configs.at[0].value, RETENTION_MS));
    ck_assert_int_ge(told.results.at[1].configs.at[0].synonyms.count, 1);
    ck_assert_int_eq(told.results.at[3].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(told.results.at[4].error_code, KAFKA_NONE);

    /* Of brokers a standby knows nothing. */
    told = configs_from(standby->port, &arena);
    ck_assert_int_eq(told.results.at[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(told.results.at[1].error_code, KAFKA_BROKER_NOT_AVAILABLE);
    arena_fini(&arena);
}
END_TEST

static bool epoch_has_grown(void *of)
{
    char text[64];

    znode("/controller_epoch", text, sizeof(text));
    return atoi(text) > *(int *)of;
}

/* Kafka's way to force an election: several times, because the active one may win again. */
START_TEST(an_operator_may_delete_the_controller_node)
{
    char text[64], topic[32];

    for (int round = 0; round < 4; round++) {
        znode("/controller_epoch", text, sizeof(text));
        int before = atoi(text);
        zk_cli("delete /controller");
        ck_assert(wait_for(epoch_has_grown, &before, 60));
        snprintf(topic, sizeof(topic), "after-delete-%d", round);
        ck_assert(client_create_topic(cluster.bootstrap, topic, 1, 1, 60));
        active_controller();
    }
}
END_TEST

START_TEST(a_stopped_controller_hands_over)
{
    struct node *active = active_controller();

    ck_assert_int_eq(node_signal(&cluster, active, SIGTERM), 0);
    ck_assert(client_create_topic(cluster.bootstrap, "after-stop", 3, 1, 30));
    node_start(&cluster, active);
    node_wait_ready(&cluster, active, 120);
}
END_TEST

/* SIGSTOP: nothing resets, nothing refuses; only the heartbeat tells. When it wakes it must not
 * act. */
START_TEST(a_paused_controller_is_deposed_and_changes_nothing_when_it_wakes)
{
    char epoch[64], later[64];
    struct node *active = active_controller();

    node_signal(&cluster, active, SIGSTOP);
    ck_assert(client_create_topic(cluster.bootstrap, "after-pause", 3, 1, 30));
    znode("/controller_epoch", epoch, sizeof(epoch));
    node_signal(&cluster, active, SIGCONT);
    ck_assert(client_create_topic(cluster.bootstrap, "after-wake", 3, 1, 60));
    znode("/controller_epoch", later, sizeof(later));
    ck_assert_str_eq(epoch, later);
    ck_assert_ptr_ne(active_controller(), active);
}
END_TEST

START_TEST(every_controller_may_die_and_brokers_go_on)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "orphans",
                                     .partitions = 3,
                                     .numbers_max = 20000,
                                     .value_bytes = 20,
                                     .acks = "all",
                                     .retries = true};

    ck_assert(client_create_topic(cluster.bootstrap, "orphans", 3, 1, 60));
    struct sender *sender = sender_open(&options);
    /* Metadata names leaders before each of them has heard of it itself. */
    ck_assert(sender_send(sender, 300) && sender_flush(sender, 60));
    for (int i = 1; i <= 2; i++)
        node_signal(&cluster, cluster_node(&cluster, NODE_CONTROLLER, i), SIGKILL);
    ck_assert(sender_send(sender, 19700) && sender_flush(sender, 60));
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
    for (int i = 1; i <= 2; i++) {
        node_start(&cluster, cluster_node(&cluster, NODE_CONTROLLER, i));
        node_wait_ready(&cluster, cluster_node(&cluster, NODE_CONTROLLER, i), 120);
    }
    /* The session of the killed one still holds /controller until it expires or a standby removes
     * it. */
    ck_assert(client_create_topic(cluster.bootstrap, "after-all", 3, 1, 90));
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 2,
                                      .brokers = 2,
                                      .broker_properties = "log.retention.ms=" RETENTION_MS "\n",
                                      .controller_properties =
                                          "zookeeper.session.timeout.ms=45000"};

    return CLUSTER_SUITE(&cluster, &options, 300, znodes_are_as_kafka_writes_them,
                         a_standby_tells_who_asks_for_an_election_that_it_is_none,
                         a_controller_answers_what_clients_ask_of_any_broker,
                         a_controller_tells_configurations_as_a_broker_would,
                         a_topic_made_by_hand_in_zookeeper_works,
                         who_comes_second_does_not_change_the_topic_that_there_is,
                         a_standby_acts_after_the_active_controller_was_killed,
                         an_operator_may_delete_the_controller_node,
                         a_stopped_controller_hands_over,
                         a_paused_controller_is_deposed_and_changes_nothing_when_it_wakes,
                         every_controller_may_die_and_brokers_go_on);
}
