/* The command line of `ottla groups`, and its actions. */
#include "tools/groups.h"
#include "base/text.h"
#include <stdio.h>
#include <strings.h>

#define TIMEOUT_MS 5000

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", ARGS_REQUIRED, "brokers to ask first"},
    {"list", NULL, 0, "print the names of groups"},
    {"describe", NULL, 0, "print groups: what they have committed and how far behind that is"},
    {"delete", NULL, 0, "delete groups that have no members"},
    {"reset-offsets", NULL, 0, "set what groups without members have committed"},
    {"delete-offsets", NULL, 0, "forget what a group has committed of topics"},
    {"group", "NAME", 0, "the group; may be repeated"},
    {"all-groups", NULL, 0, "all of them"},
    {"topic", "NAME[:0,1,...]", 0, "a topic, or some of its partitions; may be repeated"},
    {"all-topics", NULL, 0, "--reset-offsets: all that the group has committed"},
    {"offsets", NULL, 0, "--describe: partitions and offsets (what it shows anyway)"},
    {"members", NULL, 0, "--describe: the members"},
    {"state", "STATES", ARGS_OPTIONAL_VALUE,
     "--describe: state and coordinator; --list: states, only those if some are named"},
    {"type", "TYPES", ARGS_OPTIONAL_VALUE, "--list: types, only those if some are named"},
    {"verbose", NULL, 0, "--members: partitions too"},
    {"dry-run", NULL, 0, "--reset-offsets: only say what would be (the default)"},
    {"execute", NULL, 0, "--reset-offsets: do it"},
    {"export", NULL, 0, "--reset-offsets: print it as CSV, for --from-file"},
    {"to-earliest", NULL, 0, "reset to the beginning of the log"},
    {"to-latest", NULL, 0, "reset to its end"},
    {"to-current", NULL, 0, "reset to what is committed; where nothing is, to the end"},
    {"to-offset", "N", 0, "reset to this offset"},
    {"shift-by", "N", 0, "reset to so many after (before, if negative) what is committed"},
    {"to-datetime", "YYYY-MM-DDThh:mm:ss.sss[±hh:mm]", 0, "reset to the first record since then"},
    {"by-duration", "PnDTnHnMnS", 0, "reset to the first record since so long ago"},
    {"from-file", "FILE", 0, "reset to what the CSV says"},
    {"timeout", "MS", 0, "for old scripts: has no effect"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command groups_command = {
    .name = "ottla groups",
    .summary = "list, describe, delete groups; reset their offsets",
    .more = "One action; --reset-offsets needs one way to reset and --topic or --all-topics.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct job {
    const struct args *args;
    const char *action, *way; /* way: of a reset */
    struct groups_session session;
    struct buf *out;
    struct group_report *groups;
    int count;
    int64_t number; /* of to-offset, shift-by; a time in ms */
    struct buf file;
};

static bool is_action(const struct job *job, const char *action)
{
    return strcmp(job->action, action) == 0;
}

/* What goes wrong with one group is said where its answer would be. */
static void say_error(struct job *job)
{
    printf("\nError: %.*s\n", SLICE_ARGS(buf_slice(job->session.message)));
    buf_clear(job->session.message);
}

/* ---- which groups ---- */

static enum err select_groups(struct job *job)
{
    int count = 0;

    if (args_has(job->args, "all-groups")) {
        return groups_all(&job->session, &job->groups, &job->count);
    }
    while (args_at(job->args, "group", count) != NULL)
        count++;
    job->groups = arena_zalloc(job->session.arena, sizeof(*job->groups) * (size_t)(count + 1));
    job->count = count;
    for (int i = 0; i < count; i++)
        job->groups[i].id = slice_text(args_at(job->args, "group", i));
    return ERR_OK;
}

/* ---- list ---- */

static bool is_same_word(struct slice a, struct slice b)
{
    return a.len == b.len && strncasecmp((const char *)a.ptr, (const char *)b.ptr, a.len) == 0;
}

/* One of the names, which stand with commas; none named: all. */
static bool is_named(const char *names, struct slice name)
{
    struct slice rest = slice_text(names), one;

    if (names == NULL) return true;
    for (bool is_more = true; is_more;) {
        is_more = slice_cut(&rest, ',', &one);
        if (is_same_word(text_trim(is_more ? one : rest), name)) return true;
    }
    return false;
}

/* Each of the names is one of `known`, which ends with NULL. */
static enum err check_names(const char *option, const char *names, const char *const *known,
                            struct buf *message)
{
    struct slice rest = slice_text(names), one;

    if (names == NULL) return ERR_OK;
    for (bool is_more = true; is_more;) {
        is_more = slice_cut(&rest, ',', &one);
        struct slice name = text_trim(is_more ? one : rest);
        int i = 0;
        while (known[i] != NULL && !is_same_word(name, slice_text(known[i])))
            i++;
        if (known[i] != NULL) continue;
        buf_printf(message, "--%s %.*s: must be some of", option, SLICE_ARGS(name));
        for (i = 0; known[i] != NULL; i++)
            buf_printf(message, "%s %s", i == 0 ? "" : ",", known[i]);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err list(struct job *job)
{
    static const char *const known_states[] = {
        "PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty",
        "Assigning",          "Reconciling",         NULL};
    static const char *const known_types[] = {"Classic", "Consumer", NULL};
    bool with_state = args_has(job->args, "state"), with_type = args_has(job->args, "type");
    const char *states = args_text(job->args, "state", NULL);
    const char *types = args_text(job->args, "type", NULL);
    int width = 15;

    enum err err = check_names("state", states, known_states, job->session.message);
    if (err == ERR_OK) err = check_names("type", types, known_types, job->session.message);
    if (err == ERR_OK) err = groups_all(&job->session, &job->groups, &job->count);
    if (err != ERR_OK) return err;
    for (int i = 0; i < job->count; i++)
        if ((int)job->groups[i].id.len > width) width = (int)job->groups[i].id.len;
    if (with_state || with_type) {
        printf("%-*s", width, "GROUP");
        if (with_type) printf(" %-20s", "TYPE");
        if (with_state) printf(" %-20s", "STATE");
        printf("\n");
    }
    for (int i = 0; i < job->count; i++) {
        const struct group_report *group = &job->groups[i];
        if (!is_named(states, group->state) || !is_named(types, group->type)) continue;
        if (!with_state && !with_type) {
            printf("%.*s\n", SLICE_ARGS(group->id));
            continue;
        }
        printf("%-*.*s", width, SLICE_ARGS(group->id));
        if (with_type) printf(" %-20.*s", SLICE_ARGS(group->type));
        if (with_state) printf(" %-20.*s", SLICE_ARGS(group->state));
        printf("\n");
    }
    return ERR_OK;
}

/* ---- describe ---- */

static void describe_one(struct job *job, struct group_report *group)
{
    enum err err = groups_describe(&job->session, group);
    bool wants_state = args_has(job->args, "state"), wants_members = args_has(job->args, "members");

    if (err == ERR_OK && !wants_state && !wants_members) err = groups_offsets(&job->session, group);
    if (err != ERR_OK) {
        say_error(job);
        return;
    }
    if (slice_is(group->state, "Dead") && group->part_count == 0) {
        printf("\nError: Consumer group '%.*s' does not exist.\n", SLICE_ARGS(group->id));
        return;
    }
    fflush(stdout);
    if (slice_is(group->state, "Empty") && !wants_state)
        fprintf(stderr, "\nConsumer group '%.*s' has no active members.\n", SLICE_ARGS(group->id));
    if (slice_is(group->state, "PreparingRebalance") ||
        slice_is(group->state, "CompletingRebalance"))
        fprintf(stderr, "\nWarning: Consumer group '%.*s' is rebalancing.\n",
                SLICE_ARGS(group->id));
    if (wants_state)
        groups_print_state(group, job->out);
    else if (wants_members && group->reader_count > 0)
        groups_print_members(group, args_has(job->args, "verbose"), job->out);
    else if (!wants_members && group->part_count > 0)
        groups_print_offsets(group, job->out);
    fwrite(buf_slice(job->out).ptr, 1, job->out->len, stdout);
    buf_clear(job->out);
}

static enum err describe(struct job *job)
{
    enum err err = select_groups(job);

    for (int i = 0; i < job->count && err == ERR_OK; i++)
        describe_one(job, &job->groups[i]);
    return err;
}

/* ---- delete ---- */

static void print_names(const struct job *job, bool that_went_well, const char *separator)
{
    int printed = 0;

    for (int i = 0; i < job->count; i++) {
        if ((job->groups[i].code == KAFKA_NONE) != that_went_well) continue;
        printf("%s'%.*s'", printed++ > 0 ? separator : "", SLICE_ARGS(job->groups[i].id));
    }
}

static enum err delete (struct job *job) {
    int failed = 0; enum err err = select_groups(job);

    for (int i = 0; i < job->count && err == ERR_OK;
         i++){err = groups_delete(&job->session, &job->groups[i]);
              failed += job->groups[i].code != KAFKA_NONE;}
if (err != ERR_OK) return err;
if (failed == 0) {
    printf("Deletion of requested consumer groups (");
    print_names(job, true, ", ");
    printf(") was successful.\n");
    return ERR_OK;
}
printf("\nError: Deletion of some consumer groups failed:\n");
for (int i = 0; i < job->count; i++)
    if (job->groups[i].code != KAFKA_NONE)
        printf("* Group '%.*s' could not be deleted due to: %s\n", SLICE_ARGS(job->groups[i].id),
               kafka_error_name(job->groups[i].code));
if (failed < job->count) {
    printf("\nThese consumer groups were deleted successfully: ");
    print_names(job, true, ", ");
    printf("\n");
}
return ERR_OK;
}

/* ---- which partitions ---- */

static struct group_part *find_part(struct group_part *parts, int count, struct slice topic,
                                    int32_t partition)
{
    for (int i = 0; i < count; i++)
        if (parts[i].partition == partition && slice_equal(parts[i].topic, topic)) return &parts[i];
    return NULL;
}

/* Those of --topic, with what the group has committed of them. */
static enum err select_parts(struct job *job, struct group_report *group)
{
    struct buf *message = job->session.message;
    struct group_part *parts = NULL;
    int count = 0, capacity = 0;

    for (int i = 0; args_at(job->args, "topic", i) != NULL; i++) {
        struct group_part *all = NULL;
        struct slice topic;
        int32_t *wanted;
        int wanted_count, all_count = 0;
        const char *text = args_at(job->args, "topic", i);
        if (groups_topic_parse(slice_text(text), job->session.arena, &topic, &wanted,
                               &wanted_count) != ERR_OK) {
            buf_printf(message, "--topic %s: must be NAME or NAME:0,1,...", text);
            return ERR_INVALID;
        }
        if (!groups_topic(&job->session, topic, &all, &all_count)) {
            buf_printf(message, "topic '%.*s' does not exist", SLICE_ARGS(topic));
            return ERR_NOT_FOUND;
        }
        if (count + all_count > capacity) {
            capacity = 2 * (count + all_count);
            struct group_part *more =
                arena_zalloc(job->session.arena, sizeof(*more) * (size_t)capacity);
            if (count > 0) memcpy(more, parts, sizeof(*more) * (size_t)count);
            parts = more;
        }
        for (int w = 0; w < wanted_count; w++) {
            if (find_part(all, all_count, topic, wanted[w]) != NULL) continue;
            buf_printf(message, "partition %.*s-%d does not exist", SLICE_ARGS(topic), wanted[w]);
            return ERR_NOT_FOUND;
        }
        for (int p = 0; p < all_count; p++) {
            bool is_wanted = wanted_count == 0;
            for (int w = 0; w < wanted_count; w++)
                is_wanted = is_wanted || wanted[w] == all[p].partition;
            struct group_part *known =
                find_part(group->parts, group->part_count, topic, all[p].partition);
            if (is_wanted) parts[count++] = known == NULL ? all[p] : *known;
        }
    }
    group->parts = parts;
    group->part_count = count;
    groups_sort(parts, count);
    return ERR_OK;
}

/* ---- delete-offsets ---- */

static enum err delete_offsets(struct job *job)
{
    enum err err = select_groups(job);
    struct group_report *group = job->groups;

    if (err == ERR_OK) err = groups_offsets(&job->session, group);
    if (err == ERR_OK) err = select_parts(job, group);
    if (err != ERR_OK) return err;
    err = groups_delete_offsets(&job->session, group, group->parts, group->part_count);
    if (err != ERR_OK) return err;
    printf("\n%-30s %-15s %-15s\n", "TOPIC", "PARTITION", "STATUS");
    for (int i = 0; i < group->part_count; i++) {
        const struct group_part *part = &group->parts[i];
        printf("%-30.*s %-15d %s%s\n", SLICE_ARGS(part->topic), part->partition,
               part->code == KAFKA_NONE ? "Successful" : "Error: :",
               part->code == KAFKA_NONE ? "" : kafka_error_name(part->code));
    }
    return ERR_OK;
}

/* ---- reset-offsets ---- */

static int64_t within(const struct group_part *part, int64_t offset)
{
    int64_t to = offset < part->start ? part->start : offset > part->end ? part->end : offset;

    if (to != offset)
        fprintf(stderr,
                "WARN New offset (%lld) is %s than %s offset for topic partition %.*s-%d. Value "
                "will be set to %lld\n",
                (long long)offset, to > offset ? "lower" : "higher",
                to > offset ? "earliest" : "latest", SLICE_ARGS(part->topic), part->partition,
                (long long)to);
    return to;
}

static int64_t target(const struct job *job, const struct group_part *part)
{
    bool has_commit = part->committed != GROUPS_NO_OFFSET;

    if (strcmp(job->way, "to-earliest") == 0) return part->start;
    if (strcmp(job->way, "to-latest") == 0) return part->end;
    if (strcmp(job->way, "to-current") == 0) return has_commit ? part->committed : part->end;
    if (strcmp(job->way, "to-offset") == 0) return within(part, job->number);
    if (strcmp(job->way, "shift-by") == 0)
        return within(part, (has_commit ? part->committed : part->end) + job->number);
    return part->found == GROUPS_NO_OFFSET ? part->end : part->found; /* by time */
}

/* `group,topic,partition,offset`, or without the group where there is only one. */
static enum err take_line(struct job *job, struct group_report *group, struct slice line)
{
    struct slice fields[4], rest = line;
    int64_t partition, offset;
    int n = 0;

    while (n < 3 && slice_cut(&rest, ',', &fields[n]))
        n++;
    fields[n++] = rest;
    if (n == 4 && !slice_equal(fields[0], group->id)) return ERR_OK;
    if (n < 3 || text_int(text_trim(fields[n - 2]), 0, INT32_MAX, &partition) != ERR_OK ||
        text_int(text_trim(fields[n - 1]), 0, INT64_MAX, &offset) != ERR_OK) {
        buf_printf(job->session.message, "--from-file: \"%.*s\" is not topic,partition,offset",
                   SLICE_ARGS(line));
        return ERR_INVALID;
    }
    struct group_part *all = NULL, *part = NULL;
    int count = 0;
    if (groups_topic(&job->session, fields[n - 3], &all, &count))
        part = find_part(all, count, fields[n - 3], (int32_t)partition);
    if (part == NULL) {
        buf_printf(job->session.message, "--from-file: there is no partition %.*s-%lld",
                   SLICE_ARGS(fields[n - 3]), (long long)partition);
        return ERR_NOT_FOUND;
    }
    group->parts[group->part_count] = *part;
    group->parts[group->part_count++].wanted = offset;
    return ERR_OK;
}

static enum err read_plan(struct job *job, struct group_report *group)
{
    struct slice rest = buf_slice(&job->file), line;
    enum err err = ERR_OK;

    group->parts = arena_zalloc(job->session.arena, sizeof(*group->parts) * (rest.len / 4 + 2));
    group->part_count = 0;
    for (bool is_more = true; is_more && err == ERR_OK;) {
        is_more = slice_cut(&rest, '\n', &line);
        if (!is_more) line = rest;
        line = text_trim(line);
        if (line.len > 0) err = take_line(job, group, line);
    }
    if (err == ERR_OK) err = groups_ends(&job->session, group->parts, group->part_count, -1);
    for (int i = 0; i < group->part_count && err == ERR_OK; i++)
        group->parts[i].wanted = within(&group->parts[i], group->parts[i].wanted);
    return err;
}

static enum err plan(struct job *job, struct group_report *group)
{
    bool by_time = strcmp(job->way, "to-datetime") == 0 || strcmp(job->way, "by-duration") == 0;

    if (strcmp(job->way, "from-file") == 0) return read_plan(job, group);
    enum err err = groups_offsets(&job->session, group);
    if (err == ERR_OK && !args_has(job->args, "all-topics")) err = select_parts(job, group);
    if (err == ERR_OK) err = groups_ends(&job->session, group->parts, group->part_count, -1);
    if (err == ERR_OK && by_time)
        err = groups_ends(&job->session, group->parts, group->part_count, job->number);
    if (err != ERR_OK) return err;
    int kept = 0;
    for (int i = 0; i < group->part_count; i++) {
        struct group_part part = group->parts[i];
        if (part.end == GROUPS_NO_OFFSET) { /* nobody leads it, or it has gone */
            fprintf(stderr, "WARN Partition %.*s-%d has no end offset: left as it is\n",
                    SLICE_ARGS(part.topic), part.partition);
            continue;
        }
        part.wanted = target(job, &part);
        group->parts[kept++] = part;
    }
    group->part_count = kept;
    return ERR_OK;
}

static enum err reset_one(struct job *job, struct group_report *group, bool is_first)
{
    enum err err = groups_describe(&job->session, group);

    if (err != ERR_OK) return err;
    if (!slice_is(group->state, "Empty") && !slice_is(group->state, "Dead")) {
        printf("\nError: Assignments can only be reset if the group '%.*s' is inactive, but the "
               "current state is %.*s.\n",
               SLICE_ARGS(group->id), SLICE_ARGS(group->state));
        return ERR_OK;
    }
    group->reader_count = 0;
    err = plan(job, group);
    if (err == ERR_OK && args_has(job->args, "execute") && group->part_count > 0)
        err = groups_commit(&job->session, group, group->parts, group->part_count);
    if (err != ERR_OK) return err;
    for (int i = 0; i < group->part_count; i++) {
        if (group->parts[i].code == KAFKA_NONE) continue;
        buf_printf(job->session.message, "%.*s-%d was not reset: %s",
                   SLICE_ARGS(group->parts[i].topic), group->parts[i].partition,
                   kafka_error_name(group->parts[i].code));
        return ERR_DENIED;
    }
    if (args_has(job->args, "export"))
        groups_print_csv(group, job->count > 1, job->out);
    else
        groups_print_reset(group, is_first, job->out);
    fwrite(buf_slice(job->out).ptr, 1, job->out->len, stdout);
    buf_clear(job->out);
    return ERR_OK;
}

static enum err reset(struct job *job)
{
    enum err err = select_groups(job);

    if (!args_has(job->args, "dry-run") && !args_has(job->args, "execute") &&
        !args_has(job->args, "export"))
        fprintf(stderr, "WARN: No action will be performed as the --execute option is missing.\n");
    for (int i = 0; i < job->count && err == ERR_OK; i++)
        err = reset_one(job, &job->groups[i], i == 0);
    return err;
}

/* ---- the command line ---- */

static enum err read_way(struct job *job, struct buf *message)
{
    static const char *const ways[] = {"to-earliest", "to-latest", "to-current",
                                       "to-offset",   "shift-by",  "to-datetime",
                                       "by-duration", "from-file", NULL};
    const struct args *args = job->args;
    enum err err = ERR_OK;

    job->way = args_one_of(args, ways, message);
    if (job->way == NULL) return ERR_INVALID;
    const char *value = args_text(args, job->way, "");
    if (strcmp(job->way, "to-offset") == 0)
        err = args_number(args, "to-offset", INT64_MIN, INT64_MAX, &job->number, message);
    else if (strcmp(job->way, "shift-by") == 0)
        err = args_number(args, "shift-by", -(INT64_MAX / 2), INT64_MAX / 2, &job->number, message);
    else if (strcmp(job->way, "to-datetime") == 0)
        err = groups_time_parse(slice_text(value), &job->number);
    else if (strcmp(job->way, "by-duration") == 0)
        err = groups_duration_parse(slice_text(value), &job->number);
    else if (strcmp(job->way, "from-file") == 0)
        return usage_read_text(value, &job->file, message);
    if (err != ERR_OK && message->len == 0)
        buf_printf(message, "--%s %s: cannot be read", job->way, value);
    if (err == ERR_OK && strcmp(job->way, "from-file") != 0 && !args_has(args, "all-topics") &&
        !args_has(args, "topic")) {
        buf_add_text(message, "--reset-offsets needs --topic or --all-topics");
        err = ERR_INVALID;
    }
    return err;
}

static enum err read_job(struct job *job, struct buf *message)
{
    static const char *const actions[] = {"list",          "describe",       "delete",
                                          "reset-offsets", "delete-offsets", NULL};
    const struct args *args = job->args;

    job->action = args_one_of(args, actions, message);
    if (job->action == NULL) return ERR_INVALID;
    bool is_list = is_action(job, "list");
    if (!is_list && !args_has(args, "group") && !args_has(args, "all-groups")) {
        buf_printf(message, "--%s needs --group or --all-groups", job->action);
        return ERR_INVALID;
    }
    if (is_action(job, "delete-offsets") &&
        (args_has(args, "all-groups") || args_at(args, "group", 1) != NULL ||
         !args_has(args, "topic"))) {
        buf_add_text(message, "--delete-offsets needs one --group, and --topic");
        return ERR_INVALID;
    }
    return is_action(job, "reset-offsets") ? read_way(job, message) : ERR_OK;
}

static enum err run(struct job *job)
{
    const struct env *env = cluster_shard(job->session.cluster)->env;

    if (job->way != NULL && strcmp(job->way, "by-duration") == 0)
        job->number = env_wall_ms(env) - job->number;
    if (is_action(job, "list")) return list(job);
    if (is_action(job, "describe")) return describe(job);
    if (is_action(job, "delete")) return delete (job);
    if (is_action(job, "reset-offsets")) return reset(job);
    return delete_offsets(job);
}

int groups_main(int argc, char **argv)
{
    struct args args;
    struct arena arena;
    struct conf settings;
    struct buf message = {0}, out = {0};
    struct job job = {.args = &args, .out = &out};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    conf_init(&settings);
    job.session.arena = &arena;
    job.session.message = &message;
    if (usage_read(&groups_command, argc, argv, &args, &status)) {
        status = 1;
        if (read_job(&job, &message) != ERR_OK) {
            usage_wrong(&groups_command, &message);
        } else {
            enum err err = usage_read_settings(&args, "command-config", NULL, &settings, &message);
            if (err == ERR_OK)
                err = groups_open(&job.session, args_text(&args, "bootstrap-server", ""),
                                  TIMEOUT_MS, usage_timeout_ms(&settings));
            if (err == ERR_OK) err = run(&job);
            if (err != ERR_OK) say_error(&job);
            status = err == ERR_OK ? 0 : 1;
            groups_close(&job.session);
        }
    }
    args_fini(&args);
    conf_fini(&settings);
    buf_fini(&job.file);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
