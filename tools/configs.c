#include "tools/configs.h"
#include "tools/configs_text.h"
#include "tools/usage.h"
#include "base/ensure.h"
#include <stdio.h>
#include <stdlib.h>

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", ARGS_REQUIRED, "brokers to ask first"},
    {"describe", NULL, 0, "print what is configured at run time"},
    {"alter", NULL, 0, "change it"},
    {"all", NULL, 0, "--describe: every key, also those from server.properties and defaults"},
    {"entity-type", "TYPE", 0, "topics, brokers or broker-loggers"},
    {"entity-name", "NAME", 0, "the topic's name, the broker's id"},
    {"entity-default", NULL, 0, "brokers: what holds for all of them"},
    {"topic", "NAME", 0, "for --entity-type topics --entity-name"},
    {"broker", "ID", 0, "for --entity-type brokers --entity-name"},
    {"broker-defaults", NULL, 0, "for --entity-type brokers --entity-default"},
    {"broker-logger", "ID", 0, "for --entity-type broker-loggers --entity-name"},
    {"client", "ID", 0, "refused, as the five that follow: there are no quotas yet"},
    {"client-defaults", NULL, 0, "refused"},
    {"user", "NAME", 0, "refused"},
    {"user-defaults", NULL, 0, "refused"},
    {"ip", "ADDRESS", 0, "refused"},
    {"ip-defaults", NULL, 0, "refused"},
    {"add-config", "K=V,K2=[A,B]", 0, "--alter: keys to set; brackets hold a value with commas"},
    {"add-config-file", "FILE", 0, "--alter: the same from a properties file"},
    {"delete-config", "K,K2", 0, "--alter: keys to take away"},
    {"force", NULL, 0, "for old scripts: has no effect, nothing is asked"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command configs_command = {
    .name = "ottla configs",
    .summary = "what topics and brokers are configured with at run time",
    .more = "--describe or --alter, and one entity. Without a name --describe prints all of a "
            "type.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct session {
    const struct args *args;
    struct arena *arena;
    struct cluster *cluster;
    enum config_type type;
    struct slice name; /* "": the default of all brokers; null: every one of the type */
    struct config_change *changes;
    int count;
    struct buf *out, *message;
};

/* ---- the command line ---- */

static enum err wrong(struct session *s, const char *text)
{
    buf_add_text(s->message, text);
    return ERR_INVALID;
}

/* Kafka's entities that are not here. They may come together, and --entity-type twice. */
static enum err check_foreign(struct session *s)
{
    static const struct {
        const char *option, *defaults, *type, *what;
    } foreign[] = {
        {"client", "client-defaults", "clients", "no quotas of clients yet"},
        {"user", "user-defaults", "users", "no quotas and no passwords of users yet"},
        {"ip", "ip-defaults", "ips", "no quotas of addresses yet"},
        {NULL, NULL, "client-metrics", "no metrics of clients yet"},
    };
    const char *type;

    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        const char *const names[] = {foreign[i].option, foreign[i].defaults};

        for (int k = 0; k < 2 && names[k] != NULL; k++) {
            if (!args_has(s->args, names[k])) continue;
            buf_printf(s->message, "--%s: Ottla has %s", names[k], foreign[i].what);
            return ERR_UNSUPPORTED;
        }
        for (int at = 0; (type = args_at(s->args, "entity-type", at)) != NULL; at++) {
            if (strcmp(type, foreign[i].type) != 0) continue;
            buf_printf(s->message, "--entity-type %s: Ottla has %s", type, foreign[i].what);
            return ERR_UNSUPPORTED;
        }
    }
    return ERR_OK;
}

static enum err read_type(struct session *s, const char *type)
{
    if (strcmp(type, "topics") == 0)
        s->type = CONFIG_TOPIC;
    else if (strcmp(type, "brokers") == 0)
        s->type = CONFIG_BROKER;
    else if (strcmp(type, "broker-loggers") == 0)
        s->type = CONFIG_BROKER_LOGGER;
    else {
        buf_printf(s->message, "--entity-type %s: must be topics, brokers or broker-loggers", type);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err read_entity(struct session *s)
{
    static const char *const ways[] = {"entity-type",     "topic",         "broker",
                                       "broker-defaults", "broker-logger", NULL};
    enum err err = check_foreign(s);

    if (err != ERR_OK) return err;
    const char *way = args_one_of(s->args, ways, s->message);
    if (way == NULL) return ERR_INVALID;
    s->name = SLICE_NULL;
    if (strcmp(way, "entity-type") == 0) {
        err = read_type(s, args_text(s->args, "entity-type", ""));
        if (err != ERR_OK) return err;
        if (args_has(s->args, "entity-name") && args_has(s->args, "entity-default"))
            return wrong(s, "--entity-name and --entity-default exclude each other");
        if (args_has(s->args, "entity-name"))
            s->name = slice_text(args_text(s->args, "entity-name", ""));
        if (args_has(s->args, "entity-default")) {
            if (s->type != CONFIG_BROKER)
                return wrong(s, "--entity-default goes with --entity-type brokers only");
            s->name = SLICE("");
        }
        if (args_has(s->args, "entity-name") && s->name.len == 0)
            return wrong(s, "--entity-name: must not be empty");
        return ERR_OK;
    }
    if (args_has(s->args, "entity-name") || args_has(s->args, "entity-default"))
        return wrong(s, "--entity-name and --entity-default go with --entity-type only");
    s->type = strcmp(way, "topic") == 0           ? CONFIG_TOPIC
              : strcmp(way, "broker-logger") == 0 ? CONFIG_BROKER_LOGGER
                                                  : CONFIG_BROKER;
    s->name =
        strcmp(way, "broker-defaults") == 0 ? SLICE("") : slice_text(args_text(s->args, way, ""));
    return ERR_OK;
}

static enum err read_file(struct session *s, const char *path)
{
    struct conf conf;

    conf_init(&conf);
    enum err err = usage_read_file(path, &conf, s->message);
    struct config_change *all =
        arena_zalloc(s->arena, (conf.entries.count + (size_t)s->count + 1) * sizeof(*all));
    if (s->count > 0) memcpy(all, s->changes, (size_t)s->count * sizeof(*all));
    s->changes = all;
    map_each (entry, &conf.entries) {
        const struct conf_entry *from = entry->value;
        s->changes[s->count++] =
            (struct config_change){arena_copy(s->arena, slice_text(from->key)),
                                   arena_copy(s->arena, slice_text(from->value))};
    }
    conf_fini(&conf);
    return err;
}

static enum err read_changes(struct session *s)
{
    const char *added = args_text(s->args, "add-config", NULL);
    const char *file = args_text(s->args, "add-config-file", NULL);
    const char *deleted = args_text(s->args, "delete-config", NULL);
    enum err err = ERR_OK;

    if (added == NULL && file == NULL && deleted == NULL)
        return wrong(s, "--alter needs --add-config, --add-config-file or --delete-config");
    if (added != NULL && file != NULL)
        return wrong(s, "--add-config and --add-config-file exclude each other");
    if (added != NULL)
        err = configs_read_changes(slice_text(added), s->arena, &s->changes, &s->count, s->message);
    if (err == ERR_OK && file != NULL) err = read_file(s, file);
    if (err == ERR_OK && deleted != NULL)
        configs_read_keys(slice_text(deleted), s->arena, &s->changes, &s->count);
    return err;
}

static enum err read_job(struct session *s, const char *action)
{
    enum err err = read_entity(s);

    if (err != ERR_OK) return err;
    if (strcmp(action, "describe") == 0)
        return args_has(s->args, "add-config") || args_has(s->args, "delete-config") ||
                       args_has(s->args, "add-config-file")
                   ? wrong(s, "what is changed goes with --alter only")
                   : ERR_OK;
    if (slice_is_null(s->name))
        return wrong(s, s->type == CONFIG_BROKER ? "--alter needs --entity-name or --entity-default"
                                                 : "--alter needs --entity-name");
    return read_changes(s);
}

/* ---- asking ---- */

static const char *type_name(enum config_type type)
{
    return type == CONFIG_TOPIC ? "topic" : type == CONFIG_BROKER ? "broker" : "broker-logger";
}

static int source_of(enum config_type type, struct slice name)
{
    if (type == CONFIG_TOPIC) return CONFIG_OF_TOPIC;
    if (type == CONFIG_BROKER_LOGGER) return CONFIG_OF_LOGGER;
    return name.len == 0 ? CONFIG_OF_ALL_BROKERS : CONFIG_OF_BROKER;
}

static enum err describe_one(struct session *s, struct slice name)
{
    const struct describe_configs_response_result *result = NULL;
    struct cluster_request request;
    bool is_all = args_has(s->args, "all") || s->type == CONFIG_BROKER_LOGGER;

    enum err err = config_describe(s->cluster, s->type, name, &request, &result, s->message);
    if (err != ERR_OK) return err;
    if (s->type != CONFIG_TOPIC && name.len == 0)
        buf_add_text(s->out, "Default configs for brokers in the cluster are:\n");
    else
        buf_printf(s->out, "%s configs for %s %.*s are:\n", is_all ? "All" : "Dynamic",
                   type_name(s->type), SLICE_ARGS(name));
    configs_write(s->out, result, is_all ? -1 : source_of(s->type, name));
    cluster_request_fini(&request);
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Every topic, or every broker and what holds for all. */
static enum err describe_all(struct session *s, const struct metadata_response *metadata)
{
    int32_t most = metadata->topics.count > metadata->brokers.count ? metadata->topics.count
                                                                    : metadata->brokers.count;
    struct slice *names = arena_zalloc(s->arena, (size_t)(most + 1) * sizeof(*names));
    int count = 0;
    enum err err = ERR_OK;

    if (s->type == CONFIG_TOPIC) {
        for (int32_t i = 0; i < metadata->topics.count; i++)
            names[count++] = arena_copy(s->arena, metadata->topics.at[i].name);
        if (count > 1) qsort(names, (size_t)count, sizeof(*names), by_name);
    } else {
        for (int32_t i = 0; i < metadata->brokers.count; i++)
            names[count++] = arena_printf(s->arena, "%d", metadata->brokers.at[i].node_id);
    }
    for (int i = 0; err == ERR_OK && i < count; i++)
        err = describe_one(s, names[i]);
    if (err == ERR_OK && s->type == CONFIG_BROKER) err = describe_one(s, SLICE(""));
    return err;
}

/* What is to be taken away must be there: a misspelt key would seem to be gone. */
static enum err check_deleted(struct session *s)
{
    const struct describe_configs_response_result *result = NULL;
    struct cluster_request request;
    struct buf unset = {0};

    if (!args_has(s->args, "delete-config") || s->type == CONFIG_BROKER_LOGGER) return ERR_OK;
    enum err err = config_describe(s->cluster, s->type, s->name, &request, &result, s->message);
    if (err != ERR_OK) return err;
    configs_write_unset(&unset, result, source_of(s->type, s->name), s->changes, s->count);
    if (unset.len > 0) {
        buf_printf(s->message, "Invalid config(s): %.*s", SLICE_ARGS(buf_slice(&unset)));
        err = ERR_INVALID;
    }
    buf_fini(&unset);
    cluster_request_fini(&request);
    return err;
}

static enum err alter(struct session *s)
{
    enum err err = check_deleted(s);

    if (err == ERR_OK)
        err = config_alter(s->cluster, s->type, s->name, s->changes, s->count, s->message);
    if (err != ERR_OK) return err;
    if (s->type == CONFIG_BROKER && s->name.len == 0)
        buf_add_text(s->out, "Completed updating default config for brokers in the cluster.\n");
    else
        buf_printf(s->out, "Completed updating config for %s %.*s.\n", type_name(s->type),
                   SLICE_ARGS(s->name));
    return ERR_OK;
}

static enum err run(struct session *s, const char *action)
{
    struct cluster_request request = {0};
    const struct metadata_response *metadata = NULL;
    struct conf settings;

    conf_init(&settings);
    enum err err = usage_read_settings(s->args, "command-config", NULL, &settings, s->message);
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(s->args, "bootstrap-server", ""),
                                      .client_id = "config-command",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &s->cluster, s->message);
    bool is_every = slice_is_null(s->name);
    if (err == ERR_OK) /* also for the brokers' addresses */
        err = cluster_metadata(s->cluster, NULL, is_every && s->type == CONFIG_TOPIC ? -1 : 0,
                               false, &request, &metadata, s->message);
    if (err == ERR_OK) {
        if (strcmp(action, "alter") == 0)
            err = alter(s);
        else
            err = is_every ? describe_all(s, metadata) : describe_one(s, s->name);
        cluster_request_fini(&request);
    }
    cluster_close(&s->cluster);
    conf_fini(&settings);
    return err;
}

int configs_main(int argc, char **argv)
{
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0};
    struct session s = {.args = &args, .arena = &arena, .out = &out, .message = &message};
    static const char *const actions[] = {"describe", "alter", NULL};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&configs_command, argc, argv, &args, &status)) {
        status = 1;
        const char *action = args_one_of(&args, actions, &message);
        if (action == NULL) {
            usage_wrong(&configs_command, &message);
        } else if (read_job(&s, action) != ERR_OK) {
            fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_slice(&message)));
        } else {
            enum err err = run(&s, action);
            fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
            fflush(stdout);
            if (err != ERR_OK)
                fprintf(stderr, "Error while executing config command%s%.*s: %.*s\n",
                        s.name.len > 0 ? " on " : "", SLICE_ARGS(s.name),
                        SLICE_ARGS(buf_slice(&message)));
            status = err == ERR_OK ? 0 : 1;
        }
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
