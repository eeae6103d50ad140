/* tests/script/run.c - transcripts of the controller's machines (transcript.h says how they read).
 * Commands: the table below. */
#include "base/ensure.h"
#include "script/transcript.h"
#include "script/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        world_broker(world, words_at(words, i), NULL, -1);
}

/* They lost power since they were last registered; 1=7: earlier, and 7 is the czxid of the first
 * registration after that. */
static void brokers_lost(struct world *world, struct words *words)
{
    for (int i = 1; i < words->count; i++) {
        const char *since = strchr(words->at[i], '=');
        world_broker(world, words_at(words, i), NULL, since == NULL ? 0 : atoll(since + 1));
    }
}

static void broker_up(struct world *world, struct words *words)
{
    brokers(world, words);
    world_happens(world, EVENT_BROKERS_CHANGED);
}

static void broker_down(struct world *world, struct words *words)
{
    for (int i = 1; i < words->count; i++)
        world_broker_gone(world, words_at(words, i));
    world_happens(world, EVENT_BROKERS_CHANGED);
}

/* Nobody has heard of it yet. */
static void broker_vanished(struct world *world, struct words *words)
{
    world_broker_gone(world, words_at(words, 1));
}

static void topic(struct world *world, struct words *words)
{
    char text[1000];

    words_join(words, 2, text, sizeof(text));
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
                words_number(words, "leader", -1), words_number(words, "epoch", 0),
                words_value(words, "isr", ""));
    arena_fini(&arena);
}

static void take_over(struct world *world, struct words *words)
{
    world_take_over(world, words_number(words, "epoch", 1));
}

static void resign(struct world *world, struct words *words)
{
    (void)words;
    context_resign(&world->context);
}

static void suspect(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_BROKER_SUSPECT);

    event->broker = words_at(words, 1);
    event->broker_epoch = epoch_of(world, event->broker);
    world_post(world, &event);
}

static void back(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_BROKER_BACK);

    event->broker = words_at(words, 1);
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

    event->broker = words_at(words, 1);
    event->broker_epoch = words_number(words, "epoch", (int32_t)epoch_of(world, event->broker));
    world_post(world, &event);
}

static const int64_t *epochs_of(struct event *event, const char *text)
{
    int64_t *epochs;
    char *end;

    if (*text == '\0') return NULL;
    epochs = arena_zalloc(&event->arena, strlen(text) * sizeof(*epochs));
    for (int32_t i = 0; *text != '\0'; i++, text = *end == ',' ? end + 1 : end)
        epochs[i] = strtoll(text, &end, 10);
    return epochs;
}

/* alter 1 orders-0 isr=1,2 epoch=3 version=4; "epochs=-1,7": the broker epochs of that isr */
static void alter(struct world *world, struct words *words)
{
    struct event *event = asked(world, EVENT_ALTER_PARTITION);

    event->broker = words_at(words, 1);
    event->broker_epoch =
        words_number(words, "broker-epoch", (int32_t)epoch_of(world, event->broker));
    items_of(event, words, 2);
    for (int32_t i = 0; i < event->count; i++) {
        struct leadership *wanted = &event->items[i].state;

        wanted->leader_epoch = words_number(words, "epoch", 0);
        wanted->partition_epoch = words_number(words, "version", 0);
        wanted->is_recovering = words_number(words, "recovering", 0) == 1;
        world_ids(words_value(words, "isr", ""), &wanted->isr);
        event->items[i].broker_epochs = epochs_of(event, words_value(words, "epochs", ""));
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
        const char *target = words_value(words, "to", NULL);

        event->items[i].is_cancel = target == NULL;
        if (target != NULL) world_ids(target, &event->items[i].replicas);
    }
    world_post(world, &event);
}

/* stopped 2 orders-0 …; "failed=1": with an error each; "before=1": to the order before the last */
static void stopped(struct world *world, struct words *words)
{
    struct event *event = event_create(EVENT_STOP_ANSWERED);

    event->broker = words_at(words, 1);
    event->broker_epoch = words_number(words, "epoch", (int32_t)epoch_of(world, event->broker));
    items_of(event, words, 2);
    for (int32_t i = 0; i < event->count; i++) {
        struct event_item *item = &event->items[i];
        struct partition *p = context_find_item(&world->context, item);

        item->is_error = words_number(words, "failed", 0) == 1;
        if (p != NULL) item->deletion = partition_hosted(p, event->broker)->deletion;
        item->deletion -= (uint64_t)words_number(words, "before", 0);
    }
    world_post(world, &event);
}

static void dir_answered(struct world *world, struct words *words, bool is_storage_error)
{
    struct event *event = event_create(EVENT_LEADER_AND_ISR_ANSWERED);

    event->broker = words_at(words, 1);
    event->broker_epoch = words_number(words, "epoch", (int32_t)epoch_of(world, event->broker));
    event->order = world->context.orders - (uint64_t)words_number(words, "before", 0);
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

    snprintf(json, sizeof(json), "{\"version\":1,\"broker\":%d,\"event\":1}", words_at(words, 1));
    world_node(world, "/log_dir_event_notification/log_dir_event_0000000000", slice_text(json));
    world_happens(world, EVENT_LOG_DIRS_NOTIFIED);
}

static void node(struct world *world, struct words *words)
{
    char json[1000];

    words_join(words, 2, json, sizeof(json));
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

    event->broker = words_at(words, 1);
    event->broker_epoch = words_number(words, "epoch", (int32_t)epoch_of(world, event->broker));
    world_post(world, &event);
}

static void conflict(struct world *world, struct words *words)
{
    world->conflicts = words_at(words, 1);
}

static void lose_answers(struct world *world, struct words *words)
{
    world->lost_answers = words_at(words, 1);
}

static void broker_vanishes_at_write(struct world *world, struct words *words)
{
    world->vanishing = words_at(words, 1);
}

static void broker_loses_at_write(struct world *world, struct words *words)
{
    world->losing = words_at(words, 1);
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
    {"broker-vanished", broker_vanished},
    {"broker-loses-at-write", broker_loses_at_write},
    {"broker-vanishes-at-write", broker_vanishes_at_write},
    {"brokers", brokers},
    {"brokers-lost", brokers_lost},
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

static bool run_command(void *machine, struct words *words)
{
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(words->at[0], commands[i].name) == 0) {
            commands[i].run(machine, words);
            return true;
        }
    return false;
}

static void begin(void *machine)
{
    world_init(machine);
}

static void end(void *machine)
{
    world_fini(machine);
}

static struct buf *out_of(void *machine)
{
    return &((struct world *)machine)->out;
}

int main(int argc, char **argv)
{
    struct world world;
    const struct transcripts its = {.machine = &world,
                                    .begin = begin,
                                    .end = end,
                                    .run = run_command,
                                    .out = out_of,
                                    .files = "tests/script/*.txt"};

    return transcripts_main(&its, argc, argv);
}
