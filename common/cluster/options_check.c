/* What must hold between keys before a process may start. */
#include "cluster/options_private.h"
#include "cluster/listeners.h"
#include "base/text.h"
#include <strings.h>

/* One round of checks: the first bad thing decides the result, all are told. */
struct checking {
    const struct options *options;
    const struct options_report *report;
    enum err result;
};

/* "key=value: message", unless `is_good`. */
static void expect(struct checking *c, bool is_good, enum option option, const char *message)
{
    const char *text = option_current(c->options, option);

    if (is_good) return;
    if (option_rows[option].type == OPTION_TYPE_PASSWORD) text = "***";
    report_problem(c->report, true, "%s=%s: %s", option_rows[option].key, text == NULL ? "" : text,
                   message);
    if (c->result == ERR_OK) c->result = ERR_INVALID;
}

static void unsupported(struct checking *c, bool is_wanted, enum option option)
{
    if (!is_wanted) return;
    report_problem(c->report, true, "%s=%s: Ottla does not support this yet",
                   option_rows[option].key, option_current(c->options, option));
    if (c->result == ERR_OK) c->result = ERR_UNSUPPORTED;
}

static int64_t number(const struct checking *c, enum option option)
{
    return options_long(c->options, option);
}

static bool is_filled(const struct checking *c, enum option option)
{
    const char *text = option_current(c->options, option);

    return text != NULL && text[0] != '\0';
}

static void check_identity(struct checking *c, enum options_process process)
{
    const struct options *o = c->options;
    int64_t broker_id = number(c, OPTION_BROKER_ID);

    expect(c, is_filled(c, OPTION_ZOOKEEPER_CONNECT), OPTION_ZOOKEEPER_CONNECT,
           "must be set: host:port,… with an optional /chroot at the end");
    expect(c, !is_filled(c, OPTION_PROCESS_ROLES), OPTION_PROCESS_ROLES,
           "must not be set: it selects KRaft, this is a cluster on ZooKeeper");
    expect(c, !is_filled(c, OPTION_CONTROLLER_LISTENER_NAMES), OPTION_CONTROLLER_LISTENER_NAMES,
           "must not be set: it selects KRaft, this is a cluster on ZooKeeper");
    if (process == OPTIONS_CONTROLLER) {
        expect(c, options_has(o, OPTION_CONTROLLER_ID), OPTION_CONTROLLER_ID,
               "must be set: an id at least 0 that no broker has");
        return;
    }
    if (options_bool(o, OPTION_BROKER_ID_GENERATION_ENABLE)) {
        expect(c, broker_id >= -1, OPTION_BROKER_ID, "must be at least -1");
        expect(c, broker_id <= number(c, OPTION_RESERVED_BROKER_MAX_ID), OPTION_BROKER_ID,
               "must be at most reserved.broker.max.id: ids above it are given automatically");
    } else {
        expect(c, broker_id >= 0, OPTION_BROKER_ID,
               "must be at least 0 because broker.id.generation.enable=false");
    }
    int64_t node_id = number(c, OPTION_NODE_ID);
    expect(c, node_id == -1 || node_id == broker_id, OPTION_NODE_ID, "must equal broker.id");
    bool is_taken = options_has(o, OPTION_CONTROLLER_ID) && broker_id >= 0 &&
                    number(c, OPTION_CONTROLLER_ID) == broker_id;
    expect(c, !is_taken, OPTION_CONTROLLER_ID, "must differ from broker.id");
}

static void check_log(struct checking *c)
{
    const struct options *o = c->options;

    expect(c, !slice_is_null(options_log_dir(o, 0)),
           options_has(o, OPTION_LOG_DIRS) ? OPTION_LOG_DIRS : OPTION_LOG_DIR,
           "must name at least one directory");
    expect(c, !options_has(o, OPTION_LOG_ROLL_MS) || number(c, OPTION_LOG_ROLL_MS) >= 1,
           OPTION_LOG_ROLL_MS, "must be at least 1");
    expect(c,
           !options_has(o, OPTION_LOG_ROLL_JITTER_MS) || number(c, OPTION_LOG_ROLL_JITTER_MS) >= 0,
           OPTION_LOG_ROLL_JITTER_MS, "must be at least 0");
    const enum option *retention = option_synonyms(OPTION_LOG_RETENTION_MS);
    while (!options_has(o, *retention) && retention[1] != OPTION_NONE)
        retention++;
    expect(c, number(c, *retention) != 0, *retention,
           "must not be 0: at least 1, or negative to keep everything");
    int64_t cleaners = number(c, OPTION_LOG_CLEANER_THREADS);
    expect(c,
           cleaners == 0 ||
               number(c, OPTION_LOG_CLEANER_DEDUPE_BUFFER_SIZE) / cleaners > 1024 * 1024,
           OPTION_LOG_CLEANER_DEDUPE_BUFFER_SIZE,
           "must be more than 1048576 for each of log.cleaner.threads");
    const char *codec = options_text(o, OPTION_COMPRESSION_TYPE);
    expect(c, !slice_is(slice_text(codec), "zstd") || options_level(o) >= LEVEL_2_1_IV0,
           OPTION_COMPRESSION_TYPE, "needs inter.broker.protocol.version 2.1 or later");
}

static void check_replication(struct checking *c)
{
    int64_t wait = number(c, OPTION_REPLICA_FETCH_WAIT_MAX_MS);
    int64_t acks = number(c, OPTION_OFFSETS_COMMIT_REQUIRED_ACKS);

    expect(c, wait <= number(c, OPTION_REPLICA_SOCKET_TIMEOUT_MS), OPTION_REPLICA_FETCH_WAIT_MAX_MS,
           "must be at most replica.socket.timeout.ms");
    expect(c, wait <= number(c, OPTION_REPLICA_LAG_TIME_MAX_MS), OPTION_REPLICA_FETCH_WAIT_MAX_MS,
           "must be at most replica.lag.time.max.ms, or followers would leave the ISR while they "
           "wait");
    expect(c, acks >= -1 && acks <= number(c, OPTION_OFFSETS_TOPIC_REPLICATION_FACTOR),
           OPTION_OFFSETS_COMMIT_REQUIRED_ACKS,
           "must be -1, or at most offsets.topic.replication.factor");
}

/* host:count,… */
static bool are_overrides(struct slice list)
{
    struct slice item;
    int64_t count;

    for (int i = 0; !slice_is_null(item = list_item(list, i)); i++) {
        size_t colon = item.len;
        while (colon > 0 && item.ptr[colon - 1] != ':')
            colon--;
        if (colon < 2 ||
            text_int(slice_of(item.ptr + colon, item.len - colon), 0, INT32_MAX, &count) != ERR_OK)
            return false;
    }
    return true;
}

/* host:port, [host]:port or :port; nothing is fine. */
static bool is_listen_address(struct slice text)
{
    int64_t port;
    size_t colon = text.len;

    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    return text.len == 0 || (colon > 0 && text_int(slice_of(text.ptr + colon, text.len - colon), 0,
                                                   UINT16_MAX, &port) == ERR_OK);
}

static void check_network(struct checking *c)
{
    const struct options *o = c->options;
    const char *pages = options_text(o, OPTION_METRICS_LISTEN);
    const char *overrides = options_text(o, OPTION_MAX_CONNECTIONS_PER_IP_OVERRIDES);
    int64_t queued = number(c, OPTION_QUEUED_MAX_REQUEST_BYTES);
    int64_t idle = number(c, OPTION_CONNECTIONS_MAX_IDLE_MS);
    static const enum option buffers[] = {OPTION_SOCKET_SEND_BUFFER_BYTES,
                                          OPTION_SOCKET_RECEIVE_BUFFER_BYTES};

    expect(c, pages == NULL || is_listen_address(slice_text(pages)), OPTION_METRICS_LISTEN,
           "must be host:port, or :port for all addresses");
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        expect(c, number(c, buffers[i]) >= 1 || number(c, buffers[i]) == -1, buffers[i],
               "must be at least 1, or -1 for the system's own size");
    expect(c, queued <= 0 || queued >= number(c, OPTION_SOCKET_REQUEST_MAX_BYTES),
           OPTION_QUEUED_MAX_REQUEST_BYTES,
           "must be at least socket.request.max.bytes, or negative");
    expect(c,
           number(c, OPTION_MAX_CONNECTIONS_PER_IP) > 0 ||
               is_filled(c, OPTION_MAX_CONNECTIONS_PER_IP_OVERRIDES),
           OPTION_MAX_CONNECTIONS_PER_IP,
           "is 0, so max.connections.per.ip.overrides must say who may connect");
    expect(c, are_overrides(slice_text(overrides)), OPTION_MAX_CONNECTIONS_PER_IP_OVERRIDES,
           "must be host:count pairs with commas");
    expect(c, idle < 0 || number(c, OPTION_CONNECTION_FAILED_AUTHENTICATION_DELAY_MS) < idle,
           OPTION_CONNECTION_FAILED_AUTHENTICATION_DELAY_MS,
           "must be less than connections.max.idle.ms");
}

bool options_reads_by_rack(const struct options *options)
{
    const char *text = options_text(options, OPTION_REPLICA_SELECTOR_CLASS);
    struct slice name = text == NULL ? SLICE("") : text_trim(slice_text(text));

    return slice_is(name, "org.apache.kafka.common.replica.RackAwareReplicaSelector") ||
           slice_is(name, "RackAwareReplicaSelector");
}

/* A plug-in of the operator's that would be silently absent. */
static void check_supported(struct checking *c)
{
    const struct options *o = c->options;
    static const enum option plugins[] = {
        OPTION_AUTHORIZER_CLASS_NAME,          OPTION_CREATE_TOPIC_POLICY_CLASS_NAME,
        OPTION_ALTER_CONFIG_POLICY_CLASS_NAME, OPTION_CLIENT_QUOTA_CALLBACK_CLASS,
        OPTION_DELEGATION_TOKEN_SECRET_KEY,    OPTION_DELEGATION_TOKEN_MASTER_KEY};
    static const enum option switches[] = {OPTION_REMOTE_LOG_STORAGE_SYSTEM_ENABLE,
                                           OPTION_ZOOKEEPER_METADATA_MIGRATION_ENABLE,
                                           OPTION_ZOOKEEPER_SSL_CLIENT_ENABLE,
                                           OPTION_GROUP_COORDINATOR_NEW_ENABLE,
                                           OPTION_GROUP_SHARE_ENABLE,
                                           OPTION_ELIGIBLE_LEADER_REPLICAS_ENABLE};
    static const enum option reporters[] = {OPTION_METRIC_REPORTERS,
                                            OPTION_KAFKA_METRICS_REPORTERS};

    for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++) {
        if (option_rows[plugins[i]].type == OPTION_TYPE_PASSWORD)
            expect(c, !is_filled(c, plugins[i]), plugins[i],
                   "delegation tokens: Ottla does not support this yet");
        else
            unsupported(c, is_filled(c, plugins[i]), plugins[i]);
    }
    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
        unsupported(c, options_bool(o, switches[i]), switches[i]);
    unsupported(c, is_filled(c, OPTION_REPLICA_SELECTOR_CLASS) && !options_reads_by_rack(o),
                OPTION_REPLICA_SELECTOR_CLASS);
    unsupported(c, options_is_set(o, OPTION_PRINCIPAL_BUILDER_CLASS),
                OPTION_PRINCIPAL_BUILDER_CLASS);
    for (size_t i = 0; i < sizeof(reporters) / sizeof(reporters[0]); i++)
        if (is_filled(c, reporters[i]))
            report_problem(c->report, false, "%s is ignored: Ottla loads no Java classes",
                           option_rows[reporters[i]].key);
    if (conf_get(&o->unknown, "config.providers") != NULL) {
        report_problem(c->report, true, "config.providers: Ottla does not support this yet");
        if (c->result == ERR_OK) c->result = ERR_UNSUPPORTED;
    }
}

enum err options_check(const struct options *options, enum options_process process,
                       const struct options_report *report)
{
    struct checking c = {.options = options, .report = report};
    struct listeners listeners;

    check_identity(&c, process);
    if (process == OPTIONS_BROKER) check_log(&c);
    check_replication(&c);
    check_network(&c);
    check_supported(&c);
    enum err err = listeners_read(options, report, &listeners);
    if (err == ERR_OK) listeners_fini(&listeners);
    return c.result != ERR_OK ? c.result : err;
}
