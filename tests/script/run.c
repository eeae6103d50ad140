/* tests/script/run.c - transcripts of the controller's machines.
 *
 * A file has comments (#), and blocks: lines of commands, "----", the lines that must come out, an
 * empty line. `run` checks all files of tests/script; `run FILE…` checks those; with --rewrite what
 * comes out replaces what is expected, to be reviewed as a diff. Commands: the table below. */
#include "base/ensure.h"
#include "script/world.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16

struct words {
    char *at[WORDS_MAX];
    int count;
};

static const char *value_of(const struct words *words, const char *key, const char *otherwise)
{
    size_t len = strlen(key);

    for (int i = 0; i < words->count; i++)
        if (strncmp(words->at[i], key, len) == 0 && words->at[i][len] == '=')
            return words->at[i] + len + 1;
    return otherwise;
}

static int32_t number_of(const struct words *words, const char *key, int32_t otherwise)
{
    const char *value = value_of(words, key, NULL);

    return value == NULL ? otherwise : (int32_t)strtol(value, NULL, 10);
}

static int32_t number_at(const struct words *words, int place)
{
    return place < words->count ? (int32_t)strtol(words->at[place], NULL, 10) : -1;
}

/* "orders-0" in place. */
static void split(char *name, struct event_item *item, struct arena *arena)
{
    char *dash = strrchr(name, '-');

    ensure(dash != NULL);
    item->topic = arena_copy(arena, slice_of(name, (size_t)(dash - name)));
    item->partition = (int32_t)strtol(dash + 1, NULL, 10);
}

static int64_t epoch_of(struct world *world, int32_t broker)
{
    const struct broker *b = context_broker(&world->context, broker);

    return b == NULL ? -1 : b->epoch;
}

static struct event *asked(struct world *world, enum event_type type)
{
    struct event *event = event_create(type);

    event->caller = world;
    return event;
}

/* The names behind the first word become items. */
static void items_of(struct event *event, const struct words *words, int first)
{
    event_make_items(event, words->count > first ? words->count - first : 0);
    event->count = 0;
    for (int i = first; i < words->count; i++)
        if (strchr(words->at[i], '=') == NULL)
            split(words->at[i], &event->items[event->count++], &event->arena);
}

static void brokers(struct world *world, struct words *words)
{
    for (int i = 1; i < words->count; i++)
        world_broker(world, number_at(words, i), NULL);
}

static void broker_up(struct world *world, struct words *words)
{
    brokers(world, words);
    world_happens(world, EVENT_BROKERS_CHANGED);
}

static void broker_down(struct world *world, struct words *words)
{
    for (int i = 1; i < words->count; i++)
        world_broker_gone(world, number_at(words, i));
    world_happens(world, EVENT_BROKERS_CHANGED);
}

static void join(const struct words *words, int from, char *out, size_t size)
{
    out[0] = '\0';
    for (int i = from; i < words->count; i++) {
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%s%s", i == from ? "" : " ", words->at[i]);
    }
}

static void topic(struct world *world, struct words *words)
{
    char text[1000];

    join(words, 2, text, sizeof(text));
    world_topic(world, words->at[1], text);
}

static void create_topic(struct world *world, struct words *words)
{
    topic(world, words);
    world_happens(world, EVENT_TOPICS_CHANGED);
}

static void expand_topic(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_TOPIC_CHANGED);

    topic(world, words);
    event->topic = arena_copy(&event->arena, slice_text(words->at[1]));
    world_post(world, &event);
}

static void delete_topic(struct world *world, struct words *words)
{
    char path[300];

    snprintf(path, sizeof(path), "/admin/delete_topics/%s", words->at[1]);
    world_node(world, path, SLICE_NULL);
    world_happens(world, EVENT_DELETIONS_CHANGED);
}

static void state(struct world *world, struct words *words)
{
    struct event_item item = {0};
    struct arena arena;

    arena_init(&arena, 1 << 20);
    split(words->at[1], &item, &arena);
    world_state(world, (const char *)arena_text(&arena, item.topic), item.partition,
                number_of(words, "leader", -1), number_of(words, "epoch", 0),
                value_of(words, "isr", ""));
    arena_fini(&arena);
}

static void take_over(struct world *world, struct words *words)
{
    world_take_over(world, number_of(words, "epoch", 1));
}

static void resign(struct world *world, struct words *words)
{
    (void)words;
    context_resign(&world->context);
}

static void suspect(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_BROKER_SUSPECT);

    event->broker = number_at(words, 1);
    event->broker_epoch = epoch_of(world, event->broker);
    world_post(world, &event);
}

static void back(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_BROKER_BACK);

    event->broker = number_at(words, 1);
    event->broker_epoch = epoch_of(world, event->broker);
    world_post(world, &event);
}

/* zookeeper away; zookeeper back */
static void zookeeper(struct world *world, struct words *words)
{
    world_zookeeper(world, strcmp(words->at[1], "away") == 0);
}

static void shut_down(struct world *world, struct words *words)
{
    struct event *event = asked(world, EVENT_CONTROLLED_SHUTDOWN);

    event->broker = number_at(words, 1);
    event->broker_epoch = number_of(words, "epoch", (int32_t)epoch_of(world, event->broker));
    world_post(world, &event);
}

/* alter 1 orders-0 isr=1,2 epoch=3 version=4 */
static void alter(struct world *world, struct words *words)
{
    struct event *event = asked(world, EVENT_ALTER_PARTITION);

    event->broker = number_at(words, 1);
    event->broker_epoch = number_of(words, "broker-epoch", (int32_t)epoch_of(world, event->broker));
    items_of(event, words, 2);
    for (int32_t i = 0; i < event->count; i++) {
        struct leadership *wanted = &event->items[i].state;

        wanted->leader_epoch = number_of(words, "epoch", 0);
        wanted->partition_epoch = number_of(words, "version", 0);
        wanted->is_recovering = number_of(words, "recovering", 0) == 1;
        world_ids(value_of(words, "isr", ""), &wanted->isr);
    }
    world_post(world, &event);
}

static void elect(struct world *world, struct words *words)
{
    struct event *event = asked(world, EVENT_ELECT);

    event->is_unclean = strcmp(words->at[1], "unclean") == 0;
    event->is_all = words->count == 2;
    items_of(event, words, 2);
    world_post(world, &event);
}

/* reassign orders-0 to=4,5,6; without to: cancel */
static void reassign(struct world *world, struct words *words)
{
    struct event *event = asked(world, EVENT_REASSIGN);

    items_of(event, words, 1);
    for (int32_t i = 0; i < event->count; i++) {
        const char *target = value_of(words, "to", NULL);

        event->items[i].is_cancel = target == NULL;
        if (target != NULL) world_ids(target, &event->items[i].replicas);
    }
    world_post(world, &event);
}

/* stopped 2 orders-0 …; "failed=1": with an error each */
static void stopped(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_STOP_ANSWERED);

    event->broker = number_at(words, 1);
    event->broker_epoch = number_of(words, "epoch", (int32_t)epoch_of(world, event->broker));
    items_of(event, words, 2);
    for (int32_t i = 0; i < event->count; i++)
        event->items[i].is_error = number_of(words, "failed", 0) == 1;
    world_post(world, &event);
}

static void dir_answered(struct world *world, struct words *words, bool is_storage_error)
{
    struct event *event = event_create(EVENT_LEADER_AND_ISR_ANSWERED);

    event->broker = number_at(words, 1);
    event->broker_epoch = number_of(words, "epoch", (int32_t)epoch_of(world, event->broker));
    items_of(event, words, 2);
    for (int32_t i = 0; i < event->count; i++)
        event->items[i].is_storage_error = is_storage_error;
    world_post(world, &event);
}

static void dir_failed(struct world *world, struct words *words)
{
    dir_answered(world, words, true);
}

static void dir_back(struct world *world, struct words *words)
{
    dir_answered(world, words, false);
}

static void log_dir_event(struct world *world, struct words *words)
{
    char json[100];

    snprintf(json, sizeof(json), "{\"version\":1,\"broker\":%d,\"event\":1}", number_at(words, 1));
    world_node(world, "/log_dir_event_notification/log_dir_event_0000000000", slice_text(json));
    world_happens(world, EVENT_LOG_DIRS_NOTIFIED);
}

static void node(struct world *world, struct words *words)
{
    char json[1000];

    join(words, 2, json, sizeof(json));
    world_node(world, words->at[1], words->count > 2 ? slice_text(json) : SLICE_NULL);
}

static void look(struct world *world, struct words *words)
{
    static const struct {
        const char *name;
        enum event_type type;
    } table[] = {
        {"brokers", EVENT_BROKERS_CHANGED},     {"topics", EVENT_TOPICS_CHANGED},
        {"deletions", EVENT_DELETIONS_CHANGED}, {"isr", EVENT_ISR_NOTIFIED},
        {"reassign", EVENT_REASSIGN_NODE},      {"preferred", EVENT_PREFERRED_NODE},
        {"rebalance", EVENT_REBALANCE},
    };

    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].name, words->at[1]) == 0) world_happens(world, table[i].type);
}

static void producer_ids(struct world *world, struct words *words)
{
    struct event *event = asked(world, EVENT_PRODUCER_IDS);

    event->broker = number_at(words, 1);
    event->broker_epoch = number_of(words, "epoch", (int32_t)epoch_of(world, event->broker));
    world_post(world, &event);
}

static void conflict(struct world *world, struct words *words)
{
    world->conflicts = number_at(words, 1);
}

static void lose_answers(struct world *world, struct words *words)
{
    world->lost_answers = number_at(words, 1);
}

static void quiet(struct world *world, struct words *words)
{
    world->is_quiet = strcmp(words->at[1], "on") == 0;
}

static void unclean(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_UNCLEAN_ENABLED);

    if (words->count > 1) event->topic = arena_copy(&event->arena, slice_text(words->at[1]));
    world_post(world, &event);
}

static void forget(struct world *world, struct words *words)
{
    (void)words;
    buf_clear(&world->out);
}

static const struct {
    const char *name;
    void (*run)(struct world *world, struct words *words);
} commands[] = {
    {"alter", alter},
    {"back", back},
    {"broker-down", broker_down},
    {"broker-up", broker_up},
    {"brokers", brokers},
    {"conflict", conflict},
    {"lose-answers", lose_answers},
    {"create", create_topic},
    {"delete", delete_topic},
    {"dir-back", dir_back},
    {"dir-failed", dir_failed},
    {"elect", elect},
    {"expand", expand_topic},
    {"forget", forget},
    {"log-dir-event", log_dir_event},
    {"look", look},
    {"node", node},
    {"producer-ids", producer_ids},
    {"quiet", quiet},
    {"reassign", reassign},
    {"resign", resign},
    {"shut-down", shut_down},
    {"state", state},
    {"stopped", stopped},
    {"suspect", suspect},
    {"take-over", take_over},
    {"topic", topic},
    {"unclean", unclean},
    {"zookeeper", zookeeper},
};

static bool run_command(struct world *world, char *line)
{
    struct words words = {0};

    for (char *word = strtok(line, " "); word != NULL && words.count < WORDS_MAX;
         word = strtok(NULL, " "))
        words.at[words.count++] = word;
    for (unsigned i = 0; words.count > 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(words.at[0], commands[i].name) == 0) {
            commands[i].run(world, &words);
            return true;
        }
    return words.count == 0;
}

/* ---- files ---- */

struct transcript {
    struct world world;
    struct buf expected, made;
    bool is_expecting;
    int failures;
};

static void end_block(struct transcript *t, const char *name, int line)
{
    if (!t->is_expecting) return;
    buf_add_slice(&t->made, buf_slice(&t->world.out));
    if (!slice_equal(buf_slice(&t->expected), buf_slice(&t->world.out))) {
        fprintf(stderr, "%s: block that ends at line %d\n--- expected\n%.*s--- came\n%.*s", name,
                line, SLICE_ARGS(buf_slice(&t->expected)), SLICE_ARGS(buf_slice(&t->world.out)));
        t->failures++;
    }
    buf_clear(&t->expected);
    buf_clear(&t->world.out);
    t->is_expecting = false;
}

static void take_line(struct transcript *t, const char *name, int number, char *line)
{
    if (t->is_expecting && line[0] != '\0') {
        buf_printf(&t->expected, "%s\n", line);
        return;
    }
    end_block(t, name, number);
    buf_printf(&t->made, "%s\n", line);
    if (strcmp(line, "----") == 0) {
        t->is_expecting = true;
    } else if (line[0] != '#' && line[0] != '\0' && !run_command(&t->world, line)) {
        fprintf(stderr, "%s:%d: no such command\n", name, number);
        t->failures++;
    }
}

static int run_file(const char *name, bool is_rewriting)
{
    struct transcript t = {0};
    char line[4096];
    int number = 0;
    FILE *file = fopen(name, "r");

    if (file == NULL) {
        perror(name);
        return 1;
    }
    world_init(&t.world);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        take_line(&t, name, ++number, line);
    }
    fclose(file);
    end_block(&t, name, number);
    if (is_rewriting && (file = fopen(name, "w")) != NULL) {
        fwrite(t.made.ptr, 1, t.made.len, file);
        fclose(file);
        t.failures = 0;
    }
    world_fini(&t.world);
    buf_fini(&t.expected);
    buf_fini(&t.made);
    return t.failures;
}

int main(int argc, char **argv)
{
    bool is_rewriting = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    int first = is_rewriting ? 2 : 1;
    int failures = 0;
    glob_t found = {0};
    char pattern[1000];

    for (int i = first; i < argc; i++)
        failures += run_file(argv[i], is_rewriting);
    if (first >= argc) {
        const char *source = getenv("OTTLA_SOURCE");

        snprintf(pattern, sizeof(pattern), "%s/tests/script/*.txt", source == NULL ? "." : source);
        if (glob(pattern, 0, NULL, &found) != 0) {
            fprintf(stderr, "no transcripts at %s\n", pattern);
            return EXIT_FAILURE;
        }
        for (size_t i = 0; i < found.gl_pathc; i++)
            failures += run_file(found.gl_pathv[i], is_rewriting);
        printf("%zu transcripts, %d failures\n", found.gl_pathc, failures);
        globfree(&found);
    }
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
