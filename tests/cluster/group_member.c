/* tests/cluster/group_member.c - one member of a group, as a process of its own, so that it can be
 * killed: reads with librdkafka and writes down what it owns and what it has read.
 *
 *     group_member BOOTSTRAP GROUP TOPIC LOG STRATEGY INSTANCE|- SESSION_MS
 *
 * Lines of LOG: `a GENERATION PARTITION …` (owns these from now on), `u GENERATION PARTITION …`
 * (has given up others, and these are left), `r NUMBER`. A record's offset is stored for commit
 * after its line was written; what is stored is committed every tenth of a second. SIGTERM: leaves
 * the group and ends. */
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t must_stop;

#define PARTITIONS_MAX 1024
#define COMMIT_MS      100

struct member {
    rd_kafka_t *consumer;
    int log;
    bool is_cooperative; /* librdkafka, asked while it closes, may not know */
    bool owns[PARTITIONS_MAX];
    int64_t commit_at_ms; /* monotonic */
};

static void on_term(int number)
{
    (void)number;
    must_stop = 1;
}

static void line(struct member *member, const char *text, size_t len)
{
    if (write(member->log, text, len) != (ssize_t)len) _exit(4);
}

/* It stands in the metadata behind a magic of seven bytes, as the machine has it. */
static int32_t generation_of(rd_kafka_t *consumer)
{
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata(consumer);
    void *bytes = NULL;
    size_t size = 0;
    int32_t generation = -1;

    if (metadata == NULL) return -1;
    rd_kafka_error_t *error = rd_kafka_consumer_group_metadata_write(metadata, &bytes, &size);
    if (error == NULL && size > 11) memcpy(&generation, (const char *)bytes + 7, 4);
    if (error != NULL) rd_kafka_error_destroy(error);
    free(bytes);
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return generation;
}

static void write_owned(struct member *member, char what)
{
    char text[8192];
    int at = snprintf(text, sizeof(text), "%c %d", what, generation_of(member->consumer));

    for (int p = 0; p < PARTITIONS_MAX && at < (int)sizeof(text) - 16; p++)
        if (member->owns[p]) at += snprintf(text + at, sizeof(text) - (size_t)at, " %d", p);
    text[at++] = '\n';
    line(member, text, (size_t)at);
}

/* Kept here: librdkafka is not asked what it has assigned, for while it closes it does not always
 * answer. */
static void note_owned(struct member *member, const rd_kafka_topic_partition_list_t *list,
                       bool is_ours)
{
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].partition < PARTITIONS_MAX)
            member->owns[list->elems[i].partition] = is_ours;
}

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct member *member = opaque;
    rd_kafka_error_t *error = NULL;

    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        note_owned(member, partitions, true);
        if (member->is_cooperative)
            error = rd_kafka_incremental_assign(consumer, partitions);
        else
            rd_kafka_assign(consumer, partitions);
        write_owned(member, 'a');
    } else {
        note_owned(member, partitions, false);
        write_owned(member, 'u');
        /* What was read is committed before another may have the partition. */
        rd_kafka_commit(consumer, NULL, 0);
        if (member->is_cooperative)
            error = rd_kafka_incremental_unassign(consumer, partitions);
        else
            rd_kafka_assign(consumer, NULL);
    }
    if (error != NULL) rd_kafka_error_destroy(error);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];

    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK) return;
    fprintf(stderr, "%s\n", why);
    exit(2);
}

/* Connections that break are what the test is about. */
static void on_error(rd_kafka_t *consumer, int err, const char *why, void *opaque)
{
    (void)consumer;
    (void)err;
    (void)why;
    (void)opaque;
}

static void note_record(struct member *member, const rd_kafka_message_t *message)
{
    const unsigned char *value = message->payload;
    char text[32];
    uint64_t number = 0;

    for (int i = 0; i < 8 && message->len >= 8; i++)
        number = number << 8 | value[i];
    line(member, text,
         (size_t)snprintf(text, sizeof(text), "r %llu\n", (unsigned long long)number));
    rd_kafka_offset_store(message->rkt, message->partition, message->offset);
}

static void debug_to(rd_kafka_conf_t *conf, const char *log, const char *what)
{
    char path[512];

    snprintf(path, sizeof(path), "%s.debug", log);
    if (freopen(path, "a", stderr) == NULL) return;
    set(conf, "debug", what);
}

/* One commit at a time. */
static void commit_now_and_then(struct member *member)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms < member->commit_at_ms) return;
    rd_kafka_commit(member->consumer, NULL, 0);
    member->commit_at_ms = ms + COMMIT_MS;
}

int main(int argc, char **argv)
{
    struct member member = {0};
    char why[256];

    if (argc != 8) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, on_term);
    member.is_cooperative = strstr(argv[5], "cooperative") != NULL;
    member.log = open(argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "group.id", argv[2]);
    set(conf, "partition.assignment.strategy", argv[5]);
    if (strcmp(argv[6], "-") != 0) set(conf, "group.instance.id", argv[6]);
    if (getenv("OTTLA_MEMBER_DEBUG") != NULL) /* librdkafka's "debug", to LOG.debug */
        debug_to(conf, argv[4], getenv("OTTLA_MEMBER_DEBUG"));
    else
        set(conf, "log_level", "0");
    set(conf, "session.timeout.ms", argv[7]);
    set(conf, "heartbeat.interval.ms", "300");
    set(conf, "auto.offset.reset", "earliest");
    /* librdkafka's own commits overlap: one that finds no coordinator is sent again later, behind a
     * newer one, and takes the group back. */
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.auto.offset.store", "false");
    set(conf, "topic.metadata.refresh.interval.ms", "2000");
    set(conf, "reconnect.backoff.max.ms", "500");
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, &member);
    member.consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (member.consumer == NULL || member.log < 0) return 3;
    rd_kafka_poll_set_consumer(member.consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, argv[3], RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(member.consumer, topics) != RD_KAFKA_RESP_ERR_NO_ERROR) return 3;
    rd_kafka_topic_partition_list_destroy(topics);
    while (!must_stop) {
        commit_now_and_then(&member);
        /* Polls last before it closes: an assignment that comes while librdkafka 2.0 closes aborts
         * it. */
        rd_kafka_message_t *message = rd_kafka_consumer_poll(member.consumer, COMMIT_MS);
        if (message == NULL) continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) note_record(&member, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(member.consumer);
    _exit(0); /* librdkafka 2.0 may wait for ever in rd_kafka_destroy when brokers have died */
}
