/* The command line of `ottla topics`. What it does is in topics_brokers.c and topics_zookeeper.c.
 */
#include "tools/topics.h"
#include "tools/usage.h"
#include "base/text.h"
#include <stdio.h>

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", 0, "brokers to ask first"},
    {"zookeeper", "HOST:PORT,...[/CHROOT]", 0,
     "work on the znodes instead: for when no broker runs"},
    {"create", NULL, 0, "make a topic"},
    {"list", NULL, 0, "print the names of topics"},
    {"describe", NULL, 0, "print topics and their partitions"},
    {"alter", NULL, 0, "give a topic more partitions"},
    {"delete", NULL, 0, "delete topics"},
    {"topic", "NAME", 0,
     "the topic; but for --create also a regular expression, or several with commas"},
    {"topic-id", "ID", 0, "the topic to describe, by its id"},
    {"partitions", "N", 0, "how many partitions it gets; the broker's default if left out"},
    {"replication-factor", "N", 0, "replicas of each partition; the broker's default if left out"},
    {"replica-assignment", "0:1,1:2", 0,
     "brokers of each partition: replicas with \":\", partitions with \",\""},
    {"config", "KEY=VALUE", 0, "a configuration of the new topic; may be repeated"},
    {"delete-config", "KEY", 0, "for old scripts: has no effect"},
    {"if-exists", NULL, 0, "--alter, --delete, --describe: a topic that is not there is fine"},
    {"if-not-exists", NULL, 0, "--create: a topic that is there already is fine"},
    {"exclude-internal", NULL, 0, "--list, --describe: without internal topics"},
    {"under-replicated-partitions", NULL, 0, "--describe: only partitions that miss a replica"},
    {"unavailable-partitions", NULL, 0, "--describe: only partitions without a living leader"},
    {"under-min-isr-partitions", NULL, 0,
     "--describe: only partitions with fewer in-sync replicas than min.insync.replicas"},
    {"at-min-isr-partitions", NULL, 0,
     "--describe: only partitions with just min.insync.replicas in sync"},
    {"topics-with-overrides", NULL, 0, "--describe: only topics with configurations of their own"},
    {"partition-size-limit-per-response", "N", 0, "for old scripts: has no effect"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command topics_command = {
    .name = "ottla topics",
    .summary = "create, list, describe, alter and delete topics",
    .more = "One of --bootstrap-server and --zookeeper, and one action.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

static enum err read_config(struct topics_job *job, struct buf *message)
{
    int count = 0;

    while (args_at(job->args, "config", count) != NULL)
        count++;
    struct topic_config_view *configs =
        arena_zalloc(job->arena, (size_t)(count + 1) * sizeof(*configs));
    for (int i = 0; i < count; i++) {
        struct slice value = slice_text(args_at(job->args, "config", i)), name;
        if (!slice_cut(&value, '=', &name)) {
            buf_printf(message, "--config %.*s: must be KEY=VALUE", SLICE_ARGS(value));
            return ERR_INVALID;
        }
        configs[i] = (struct topic_config_view){text_trim(name), text_trim(value)};
    }
    job->configs = configs;
    job->config_count = count;
    return ERR_OK;
}

static bool is_action(const struct topics_job *job, const char *action)
{
    return strcmp(job->action, action) == 0;
}

/* What goes with which action. */
static const char *misuse(const struct topics_job *job)
{
    const struct args *args = job->args;
    bool by_id = args_has(args, "topic-id");
    bool is_new = is_action(job, "create");

    if (is_new && (job->topic == NULL || job->topic[0] == '\0')) return "--create needs --topic";
    if (is_action(job, "delete") && job->topic == NULL) return "--delete needs --topic";
    if (is_action(job, "alter") && (job->topic == NULL || job->partitions < 0))
        return "--alter needs --topic and --partitions";
    if (by_id && (!is_action(job, "describe") || job->topic != NULL))
        return "--topic-id goes with --describe, and without --topic";
    if (!is_new && (args_has(args, "config") || job->factor >= 0))
        return "--config and --replication-factor go with --create only";
    if (job->assigned != NULL && !is_new && !is_action(job, "alter"))
        return "--replica-assignment goes with --create and --alter only";
    if (is_new && job->assigned != NULL && (job->partitions >= 0 || job->factor >= 0))
        return "--replica-assignment replaces --partitions and --replication-factor";
    if (job->if_not_exists && !is_new) return "--if-not-exists goes with --create only";
    if (job->if_exists && (is_new || is_action(job, "list")))
        return "--if-exists goes with --alter, --delete and --describe only";
    return NULL;
}

static enum err read_job(struct topics_job *job, struct buf *message)
{
    static const char *const actions[] = {"create", "list", "describe", "alter", "delete", NULL};
    static const char *const places[] = {"bootstrap-server", "zookeeper", NULL};
    const struct args *args = job->args;
    const char *assignment = args_text(args, "replica-assignment", NULL);

    job->action = args_one_of(args, actions, message);
    if (job->action == NULL || args_one_of(args, places, message) == NULL) return ERR_INVALID;
    job->topic = args_text(args, "topic", NULL);
    job->exclude_internal = args_has(args, "exclude-internal");
    job->if_exists = args_has(args, "if-exists");
    job->if_not_exists = args_has(args, "if-not-exists");
    job->wanted = (struct topics_wanted){
        .under_replicated = args_has(args, "under-replicated-partitions"),
        .unavailable = args_has(args, "unavailable-partitions"),
        .under_min_isr = args_has(args, "under-min-isr-partitions"),
        .at_min_isr = args_has(args, "at-min-isr-partitions"),
        .overrides = args_has(args, "topics-with-overrides"),
    };
    enum err err = args_number(args, "partitions", 1, INT32_MAX, &job->partitions, message);
    if (err == ERR_OK)
        err = args_number(args, "replication-factor", 1, INT16_MAX, &job->factor, message);
    if (err == ERR_OK && assignment != NULL)
        err = topics_assignment_parse(slice_text(assignment), job->arena, &job->assigned,
                                      &job->assigned_count, &job->assigned_factor, message);
    if (err == ERR_OK) err = read_config(job, message);
    if (err != ERR_OK) return err;
    const char *wrong = misuse(job);
    if (wrong != NULL) {
        buf_add_text(message, wrong);
        return ERR_INVALID;
    }
    if (job->topic == NULL || is_action(job, "create")) return ERR_OK;
    err = topics_pattern_create(job->topic, &job->pattern);
    if (err != ERR_OK) buf_printf(message, "--topic %s: is no regular expression", job->topic);
    return err;
}

int topics_main(int argc, char **argv)
{
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0};
    struct topics_job job = {.args = &args, .arena = &arena, .partitions = -1, .factor = -1};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&topics_command, argc, argv, &args, &status)) {
        status = 1;
        if (read_job(&job, &message) != ERR_OK) {
            usage_wrong(&topics_command, &message);
        } else {
            if (is_action(&job, "create") && topics_name_is_risky(job.topic))
                printf(
                    "WARNING: metrics write \".\" and \"_\" alike: topics whose names differ only "
                    "there would collide. Use one of the two.\n");
            enum err err = args_has(&args, "zookeeper") ? topics_by_zookeeper(&job, &out, &message)
                                                        : topics_by_brokers(&job, &out, &message);
            fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
            if (err == ERR_OK)
                status = 0;
            else
                printf("Error while executing topic command : %.*s\n",
                       SLICE_ARGS(buf_slice(&message)));
        }
    }
    topics_pattern_destroy(&job.pattern);
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
