#include "tests/cluster/client.h"
#include "tests/cluster/cluster.h"
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_SENT -3
#define FAILED   -2
#define PENDING  -1

struct sender {
    struct sender_options options;
    char topic[256], bootstrap[512];
    rd_kafka_t *producer;
    int64_t sent, answered, acknowledged;
    int64_t *offsets; /* per number: where, or one of the above */
    char failure[256];
};

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char error[256];

    if (rd_kafka_conf_set(conf, key, value, error, sizeof(error)) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "librdkafka: %s\n", error);
        exit(1);
    }
}

static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    struct sender *sender = opaque;
    int64_t number = (int64_t)(intptr_t)message->_private;

    (void)producer;
    sender->answered++;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        sender->offsets[number] = message->offset;
        sender->acknowledged++;
    } else {
        sender->offsets[number] = FAILED;
        snprintf(sender->failure, sizeof(sender->failure), "%s", rd_kafka_err2str(message->err));
    }
}

static void quiet(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    if (getenv("OTTLA_VERBOSE") != NULL)
        fprintf(stderr, "librdkafka %d %s %s\n", level, facility, text);
}

static rd_kafka_t *client_open(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *bootstrap)
{
    char error[256];

    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "reconnect.backoff.ms", "10");
    set(conf, "reconnect.backoff.max.ms", "200");
    rd_kafka_conf_set_log_cb(conf, quiet);
    rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof(error));
    if (client == NULL) {
        fprintf(stderr, "librdkafka: %s\n", error);
        exit(1);
    }
    return client;
}

struct sender *sender_open(const struct sender_options *options)
{
    struct sender *sender = calloc(1, sizeof(*sender));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    sender->options = *options;
    snprintf(sender->topic, sizeof(sender->topic), "%s", options->topic);
    snprintf(sender->bootstrap, sizeof(sender->bootstrap), "%s", options->bootstrap);
    sender->offsets = malloc((size_t)options->numbers_max * sizeof(int64_t));
    for (int64_t i = 0; i < options->numbers_max; i++)
        sender->offsets[i] = NOT_SENT;
    set(conf, "acks", options->acks);
    if (options->idempotent) set(conf, "enable.idempotence", "true");
    set(conf, "retries", options->retries ? "1000000" : "0");
    set(conf, "retry.backoff.ms", "20");
    set(conf, "linger.ms", "5");
    /* A retry must not overtake: order is what is verified. */
    if (options->retries && !options->idempotent) set(conf, "max.in.flight", "1");
    set(conf, "message.timeout.ms", "60000");
    if (options->request_timeout_ms > 0) {
        char text[16];
        snprintf(text, sizeof(text), "%d", options->request_timeout_ms);
        set(conf, "request.timeout.ms", text);
        set(conf, "socket.timeout.ms", text);
    }
    set(conf, "topic.metadata.refresh.interval.ms", "5000");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, sender);
    sender->producer = client_open(RD_KAFKA_PRODUCER, conf, options->bootstrap);
    return sender;
}

void sender_close(struct sender **sender)
{
    if (*sender == NULL) return;
    rd_kafka_destroy((*sender)->producer);
    free((*sender)->offsets);
    free(*sender);
    *sender = NULL;
}

static void put_number(uint8_t *at, int64_t number)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)((uint64_t)number >> (56 - 8 * i));
}

bool sender_send(struct sender *sender, int64_t count)
{
    int size = sender->options.value_bytes;
    uint8_t *value = malloc((size_t)size);

    for (int64_t i = 0; i < count; i++) {
        int64_t number = sender->sent;
        if (number >= sender->options.numbers_max) {
            fprintf(stderr, "more numbers than numbers_max\n");
            free(value);
            return false;
        }
        memset(value, 'a' + (int)(number % 26), (size_t)size);
        put_number(value, number);
        sender->offsets[number] = PENDING;
        sender->sent++;
        for (;;) {
            rd_kafka_resp_err_t err = rd_kafka_producev(
                sender->producer, RD_KAFKA_V_TOPIC(sender->topic),
                RD_KAFKA_V_PARTITION((int32_t)(number % sender->options.partitions)),
                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, (size_t)size),
                RD_KAFKA_V_OPAQUE((void *)(intptr_t)number), RD_KAFKA_V_END);
            if (err == RD_KAFKA_RESP_ERR_NO_ERROR) break;
            if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                char why[512] = "";
                if (err == RD_KAFKA_RESP_ERR__FATAL)
                    (void)!rd_kafka_fatal_error(sender->producer, why, sizeof(why));
                fprintf(stderr, "produce: %s %s\n", rd_kafka_err2str(err), why);
                sender->offsets[number] = FAILED;
                sender->answered++;
                free(value);
                return false;
            }
            rd_kafka_poll(sender->producer, 10);
        }
        if (number % 64 == 0) rd_kafka_poll(sender->producer, 0);
    }
    free(value);
    return true;
}

bool sender_flush(struct sender *sender, double seconds)
{
    double until = seconds_now() + seconds;

    while (sender->answered < sender->sent && seconds_now() < until)
        rd_kafka_flush(sender->producer, 50);
    if (sender->answered < sender->sent)
        fprintf(stderr, "%ld of %ld records have no answer after %.0f s\n",
                (long)(sender->sent - sender->answered), (long)sender->sent, seconds);
    return sender->answered == sender->sent;
}

int64_t sender_sent(const struct sender *sender)
{
    return sender->sent;
}

int64_t sender_acknowledged(const struct sender *sender)
{
    return sender->acknowledged;
}

const char *sender_last_failure(const struct sender *sender)
{
    return sender->failure;
}

struct verify {
    const struct sender *sender;
    int64_t *found;       /* per number: the offset at which it was read last, or −1 */
    int64_t *last_number; /* per partition */
    int64_t *next_offset; /* per partition */
    bool once;
    bool good;
};

static void wrong(struct verify *v, const char *what, int partition, int64_t offset, int64_t number)
{
    if (v->good)
        fprintf(stderr, "%s: partition %d offset %ld number %ld\n", what, partition, (long)offset,
                (long)number);
    v->good = false;
}

static void check_record(struct verify *v, const rd_kafka_message_t *message)
{
    const struct sender *sender = v->sender;
    const uint8_t *value = message->payload;
    int partition = message->partition;
    int64_t number = 0;

    if (message->len != (size_t)sender->options.value_bytes) {
        wrong(v, "a value has another length", partition, message->offset, -1);
        return;
    }
    for (int i = 0; i < 8; i++)
        number = number << 8 | value[i];
    if (number < 0 || number >= sender->sent || number % sender->options.partitions != partition) {
        wrong(v, "a record that nobody sent", partition, message->offset, number);
        return;
    }
    for (size_t i = 8; i < message->len; i++)
        if (value[i] != 'a' + number % 26)
            wrong(v, "a value differs", partition, message->offset, number);
    if (message->offset != v->next_offset[partition])
        wrong(v, "offsets are not dense", partition, message->offset, number);
    v->next_offset[partition] = message->offset + 1;
    if (!sender->options.any_order && (!sender->options.may_repeat || v->found[number] < 0)) {
        if (number < v->last_number[partition] + (v->once ? 1 : 0))
            wrong(v, v->once ? "twice or out of order" : "out of order", partition, message->offset,
                  number);
        v->last_number[partition] = number;
    }
    if (sender->offsets[number] == message->offset || v->found[number] < 0)
        v->found[number] = message->offset;
}

static bool read_all(struct verify *v, double seconds)
{
    const struct sender *sender = v->sender;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(8);
    int ends = 0, partitions = sender->options.partitions;
    double until = seconds_now() + seconds;

    set(conf, "group.id", "not-used");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "check.crcs", "true");
    set(conf, "auto.offset.reset", "error");
    rd_kafka_t *consumer = client_open(RD_KAFKA_CONSUMER, conf, sender->bootstrap);
    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(parts, sender->topic, p)->offset = 0;
    rd_kafka_assign(consumer, parts);
    while (ends < partitions && v->good && seconds_now() < until) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 200);
        if (message == NULL) continue;
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ends++;
        else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            fprintf(stderr, "consume: %s\n", rd_kafka_message_errstr(message));
        else
            check_record(v, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_topic_partition_list_destroy(parts);
    rd_kafka_destroy(consumer);
    if (ends < partitions && v->good)
        fprintf(stderr, "only %d of %d partitions were read to their end\n", ends, partitions);
    return ends == partitions;
}

bool sender_verify(const struct sender *sender, bool once, double seconds)
{
    int partitions = sender->options.partitions;
    struct verify v = {.sender = sender, .once = once, .good = true};

    v.found = malloc((size_t)(sender->sent + 1) * sizeof(int64_t));
    v.last_number = malloc((size_t)partitions * sizeof(int64_t));
    v.next_offset = calloc((size_t)partitions, sizeof(int64_t));
    for (int64_t i = 0; i < sender->sent; i++)
        v.found[i] = -1;
    for (int p = 0; p < partitions; p++)
        v.last_number[p] = -1;
    bool complete = read_all(&v, seconds);
    for (int64_t i = 0; complete && i < sender->sent; i++)
        if (sender->offsets[i] >= 0 && v.found[i] != sender->offsets[i])
            wrong(&v,
                  v.found[i] < 0 ? "an acknowledged record is lost"
                                 : "not where it was acknowledged",
                  (int)(i % partitions), sender->offsets[i], i);
    free(v.found);
    free(v.last_number);
    free(v.next_offset);
    return complete && v.good;
}

struct sender *sender_to_new_topic(const char *bootstrap, const char *topic, int partitions,
                                   int replicas, int64_t numbers_max, int value_bytes)
{
    struct sender_options options = {.bootstrap = bootstrap,
                                     .topic = topic,
                                     .partitions = partitions,
                                     .numbers_max = numbers_max,
                                     .value_bytes = value_bytes,
                                     .acks = "all",
                                     .retries = true,
                                     .idempotent = true};

    if (!client_create_topic(bootstrap, topic, partitions, replicas, 60)) return NULL;
    return sender_open(&options);
}

bool sender_finish(struct sender **sender, bool once, double seconds)
{
    bool is_good = sender_flush(*sender, seconds);

    if (!once) (*sender)->options.may_repeat = true; /* a whole batch, whose answer was lost */
    if (is_good && (*sender)->acknowledged != (*sender)->sent) {
        fprintf(stderr, "%ld of %ld records were refused, the last: %s\n",
                (long)((*sender)->sent - (*sender)->acknowledged), (long)(*sender)->sent,
                (*sender)->failure);
        is_good = false;
    }
    is_good = is_good && sender_verify(*sender, once, seconds);
    sender_close(sender);
    return is_good;
}

static bool is_led(const rd_kafka_metadata_partition_t *partition, int replicas)
{
    (void)replicas;
    return partition->leader >= 0 && partition->err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool is_in_sync(const rd_kafka_metadata_partition_t *partition, int replicas)
{
    return is_led(partition, replicas) && partition->isr_cnt == replicas;
}

/* Asks until `good` says so of all partitions, and of at least one. */
static bool wait_for_partitions(const char *bootstrap, const char *topic,
                                bool (*good)(const rd_kafka_metadata_partition_t *, int),
                                int replicas, int partitions, const char *what, double seconds)
{
    rd_kafka_t *client = client_open(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), bootstrap);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    double until = seconds_now() + seconds;
    int count = -1, all = partitions;

    do {
        const struct rd_kafka_metadata *metadata;
        count = 0;
        if (rd_kafka_metadata(client, 0, handle, &metadata, 2000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            if (metadata->topic_cnt == 1 && partitions < 0) all = metadata->topics[0].partition_cnt;
            for (int p = 0; metadata->topic_cnt == 1 && p < metadata->topics[0].partition_cnt; p++)
                count += good(&metadata->topics[0].partitions[p], replicas);
            rd_kafka_metadata_destroy(metadata);
        }
    } while ((count != all || all < 1) && seconds_now() < until);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
    if (count != all || all < 1)
        fprintf(stderr, "%d of %d partitions of %s are %s\n", count, all, topic, what);
    return count == all && all >= 1;
}

bool client_topic_is_led(const char *bootstrap, const char *topic, int partitions, double seconds)
{
    return wait_for_partitions(bootstrap, topic, is_led, 0, partitions, "led", seconds);
}

bool client_topic_is_in_sync(const char *bootstrap, const char *topic, int replicas, double seconds)
{
    return wait_for_partitions(bootstrap, topic, is_in_sync, replicas, -1, "in sync", seconds);
}

/* One admin request; its outcome as text, "" if good. */
static void admin_result(rd_kafka_queue_t *queue, double seconds, bool is_delete, char *out,
                         size_t size)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, (int)(seconds * 1000));
    const rd_kafka_topic_result_t **results = NULL;
    size_t count = 0;

    if (event == NULL) {
        snprintf(out, size, "no answer");
        return;
    }
    snprintf(out, size, "%s",
             rd_kafka_event_error(event) ? rd_kafka_event_error_string(event) : "");
    if (is_delete)
        results =
            rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    else if (rd_kafka_event_CreateTopics_result(event) != NULL)
        results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            snprintf(out, size, "%s: %s",
                     rd_kafka_err2name(rd_kafka_topic_result_error(results[i])),
                     rd_kafka_topic_result_error_string(results[i]));
    rd_kafka_event_destroy(event);
}

static rd_kafka_AdminOptions_t *admin_options(rd_kafka_t *client, rd_kafka_admin_op_t op,
                                              double seconds)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, op);
    char error[128];

    rd_kafka_AdminOptions_set_operation_timeout(options, (int)(seconds * 1000), error,
                                                sizeof(error));
    rd_kafka_AdminOptions_set_request_timeout(options, (int)(seconds * 1000) + 1000, error,
                                              sizeof(error));
    return options;
}

bool client_create_topic(const char *bootstrap, const char *topic, int partitions, int replicas,
                         double seconds)
{
    char error[512];
    double begin = seconds_now();
    rd_kafka_t *client = client_open(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), bootstrap);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    bool is_early;
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(topic, partitions, replicas, error, sizeof(error));
    rd_kafka_AdminOptions_t *options =
        admin_options(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, seconds);

    do { /* a broker is ready when it is registered: the controller may hear of it a little later */
        rd_kafka_CreateTopics(client, &wanted, 1, options, queue);
        admin_result(queue, seconds + 2, false, error, sizeof(error));
        is_early = strncmp(error, "INVALID_REPLICATION_FACTOR", 26) == 0 &&
                   seconds_now() - begin < seconds;
        if (is_early) rd_kafka_poll(client, 50);
    } while (is_early);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    if (error[0] != '\0') fprintf(stderr, "create %s: %s\n", topic, error);
    double left = seconds - (seconds_now() - begin);
    return error[0] == '\0' &&
           client_topic_is_led(bootstrap, topic, partitions, left > 0 ? left : 0);
}

bool client_delete_topic(const char *bootstrap, const char *topic, double seconds)
{
    char error[512];
    rd_kafka_t *client = client_open(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), bootstrap);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteTopic_t *wanted = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_AdminOptions_t *options =
        admin_options(client, RD_KAFKA_ADMIN_OP_DELETETOPICS, seconds);

    rd_kafka_DeleteTopics(client, &wanted, 1, options, queue);
    admin_result(queue, seconds + 2, true, error, sizeof(error));
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_DeleteTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    if (error[0] != '\0') fprintf(stderr, "delete %s: %s\n", topic, error);
    return error[0] == '\0';
}
