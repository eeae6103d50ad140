#include "tests/sim/world.h"
#include "base/ensure.h"
#include "runtime/disk.h"
#include "tests/sim/heap.h"
#include <stdio.h>
#include <stdlib.h>

#define SLOW_STEPS 100

struct call {
    struct world_event event;
    struct world *world;
    struct list_node node; /* of the process, or of the free ones */
    struct sim_process *process;
    void (*fn)(void *arg);
    void *arg;
};

struct option {
    int64_t value;
    bool is_asked;
};

static struct slice key_of(const char *name)
{
    return slice_of(name, strlen(name));
}

/* ---- the world ---- */

struct world *world_create(uint64_t seed)
{
    struct world *world = ensure_zalloc(sizeof(*world));

    world->heap = sim_heap_create("world");
    sim_heap_set_world(world->heap);
    sim_heap_use(world->heap);
    world->seed = seed;
    world->now = WORLD_BEGINS;
    world->wall_began_ms = INT64_C(1767225600000); /* 2026-01-01 */
    list_init(&world->hosts);
    list_init(&world->processes);
    list_init(&world->parts);
    list_init(&world->free_calls);
    heap_init(&world->events);
    map_init(&world->streams);
    map_init(&world->options);
    map_init(&world->faults);
    world->trace.hash = UINT64_C(0xcbf29ce484222325);
    world->trace.kept = ensure_zalloc(TRACE_KEPT * TRACE_LINE_MAX);
    return world;
}

static void free_values(struct map *map)
{
    map_each (entry, map)
        free(entry->value);
    map_fini(map);
}

void world_destroy(struct world **it)
{
    struct world *world = *it;

    if (world == NULL) return;
    while (!list_is_empty(&world->processes))
        process_kill(list_entry(list_first(&world->processes), struct sim_process, node));
    for (struct list_node *node; (node = list_pop(&world->hosts)) != NULL;)
        free(list_entry(node, struct sim_host, node));
    for (struct list_node *node; (node = list_pop(&world->free_calls)) != NULL;)
        free(list_entry(node, struct call, node));
    heap_fini(&world->events);
    free_values(&world->streams);
    free_values(&world->options);
    free_values(&world->faults);
    free(world->trace.kept);
    sim_heap_use(NULL);
    sim_heap_set_world(NULL);
    sim_heap_destroy(&world->heap);
    free(world);
    *it = NULL;
}

static void mix(struct world *world, uint64_t value)
{
    uint64_t hash = (world->trace.hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);

    world->trace.hash = hash ^ (hash >> 29);
}

bool world_step(struct world *world, struct instant until)
{
    struct heap_node *first = heap_first(&world->events);

    if (first == NULL || first->key > until.ns) {
        world->now = instant_max(world->now, until);
        return false;
    }
    struct world_event *event = heap_entry(first, struct world_event, node);
    heap_remove(&world->events, first);
    ensure(first->key >= world->now.ns);
    world->now = (struct instant){first->key};
    world->events_run++;
    mix(world, (uint64_t)first->key);
    event->fire(event);
    return true;
}

void world_run(struct world *world, struct instant until)
{
    while (world_step(world, until))
        ;
}

/* ---- time ---- */

void world_arm(struct world *world, struct world_event *event, struct instant at)
{
    ensure(event->fire != NULL);
    if (instant_is_never(at)) {
        heap_remove(&world->events, &event->node);
        return;
    }
    struct sim_heap *was = sim_heap_use(world->heap);
    heap_move(&world->events, &event->node, instant_max(at, world->now).ns);
    sim_heap_use(was);
}

void world_disarm(struct world *world, struct world_event *event)
{
    heap_remove(&world->events, &event->node);
}

static struct call *call_create(struct world *world, struct sim_process *process,
                                void (*fn)(void *arg), void *arg)
{
    struct list_node *node = list_pop(&world->free_calls);
    struct sim_heap *was = sim_heap_use(world->heap);
    struct call *call =
        node != NULL ? list_entry(node, struct call, node) : ensure_malloc(sizeof(*call));

    sim_heap_use(was);
    *call = (struct call){.world = world, .process = process, .fn = fn, .arg = arg};
    return call;
}

static void call_done(struct call *call)
{
    list_remove(&call->node);
    world_disarm(call->world, &call->event);
    list_push(&call->world->free_calls, &call->node);
}

static void on_call(struct world_event *event)
{
    struct call *call = heap_entry(event, struct call, event);
    void (*fn)(void *arg) = call->fn;
    void *arg = call->arg;

    call_done(call);
    fn(arg);
}

void world_at(struct world *world, struct instant at, void (*fn)(void *arg), void *arg)
{
    struct call *call = call_create(world, NULL, fn, arg);

    call->event.fire = on_call;
    world_arm(world, &call->event, at);
}

/* ---- luck ---- */

struct prng *world_stream(struct world *world, const char *name)
{
    struct prng *stream = map_get(&world->streams, key_of(name));

    if (stream != NULL) return stream;
    struct sim_heap *was = sim_heap_use(world->heap);
    stream = ensure_malloc(sizeof(*stream));
    prng_init_named(stream, world->seed, name);
    map_set(&world->streams, key_of(name), stream);
    sim_heap_use(was);
    return stream;
}

uint64_t world_draw(struct world *world, const char *name)
{
    return prng_next(world_stream(world, name));
}

static int64_t between(struct prng *prng, int64_t low, int64_t high)
{
    ensure(low <= high);
    return low + (int64_t)prng_below(prng, (uint64_t)(high - low) + 1);
}

int64_t world_between(struct world *world, const char *name, int64_t low, int64_t high)
{
    return between(world_stream(world, name), low, high);
}

bool world_chance(struct world *world, const char *name, int64_t per_million)
{
    return between(world_stream(world, name), 0, 999999) < per_million;
}

static struct option *option_of(struct world *world, const char *name)
{
    struct option *option = map_get(&world->options, key_of(name));

    if (option != NULL) return option;
    struct sim_heap *was = sim_heap_use(world->heap);
    option = ensure_zalloc(sizeof(*option));
    map_set(&world->options, key_of(name), option);
    sim_heap_use(was);
    return option;
}

void world_set_option(struct world *world, const char *name, int64_t value)
{
    *option_of(world, name) = (struct option){.value = value, .is_asked = true};
}

int64_t world_option(struct world *world, const char *name, int64_t low, int64_t high)
{
    struct option *option = option_of(world, name);

    if (!option->is_asked) {
        char stream[100];
        struct prng prng;
        snprintf(stream, sizeof(stream), "option.%s", name);
        prng_init_named(&prng, world->seed, stream);
        *option = (struct option){.value = between(&prng, low, high), .is_asked = true};
        world_trace(world, "option %s=%lld", name, (long long)option->value);
    }
    return option->value;
}

int64_t world_option_paced(struct world *world, const char *name, int64_t low, int64_t high,
                           int64_t slow_low, int64_t slow_high)
{
    return world->is_slow ? world_option(world, name, slow_low, slow_high)
                          : world_option(world, name, low, high);
}

int64_t world_option_of(struct world *world, const char *name, const int64_t *values, int count)
{
    struct option *option = option_of(world, name);

    if (!option->is_asked) {
        char stream[100];
        struct prng prng;
        snprintf(stream, sizeof(stream), "option.%s", name);
        prng_init_named(&prng, world->seed, stream);
        *option = (struct option){.value = values[between(&prng, 0, count - 1)], .is_asked = true};
        world_trace(world, "option %s=%lld", name, (long long)option->value);
    }
    return option->value;
}

/* ---- faults ---- */

/* "disk" is without "disk.write-error" and all its relatives. */
static bool is_without(struct world *world, const char *name)
{
    char stem[100];

    for (size_t len = 0; len <= strlen(name); len++) {
        if (name[len] != '.' && name[len] != '\0') continue;
        snprintf(stem, sizeof(stem), "without %.*s", (int)len, name);
        if (map_get(&world->options, key_of(stem)) != NULL) return true;
    }
    return false;
}

void world_without(struct world *world, const char *name)
{
    char text[100];

    snprintf(text, sizeof(text), "without %s", name);
    option_of(world, text)->is_asked = true;
}

struct sim_fault *world_fault(struct world *world, const char *name, int64_t per_million_max)
{
    struct sim_fault *fault = map_get(&world->faults, key_of(name));
    char stream[100];

    if (fault != NULL) return fault;
    struct sim_heap *was = sim_heap_use(world->heap);
    fault = ensure_zalloc(sizeof(*fault));
    fault->name = name;
    snprintf(stream, sizeof(stream), "fault.%s", name);
    prng_init_named(&fault->luck, world->seed, stream);
    bool is_on = between(&fault->luck, 0, 1) == 1;
    int64_t scale = per_million_max >> between(&fault->luck, 0, 5);
    if (is_on && !is_without(world, name)) {
        fault->per_million = scale < 1 ? 1 : scale;
        world_trace(world, "fault %s per-million=%lld", name, (long long)fault->per_million);
    }
    map_set(&world->faults, key_of(name), fault);
    sim_heap_use(was);
    return fault;
}

struct sim_fault *world_fault_of_steps(struct world *world, const char *name,
                                       int64_t per_million_max)
{
    return world_fault(world, name,
                       world->is_slow ? per_million_max / SLOW_STEPS : per_million_max);
}

bool fault_strikes(struct world *world, struct sim_fault *fault)
{
    fault->asked++;
    if (fault->per_million == 0 || world->phase != PHASE_SAFETY) return false;
    if (between(&fault->luck, 0, 999999) >= fault->per_million) return false;
    fault_struck(world, fault);
    return true;
}

void fault_struck(struct world *world, struct sim_fault *fault)
{
    fault->struck++;
    world_trace(world, "strikes %s", fault->name);
}

/* ---- the trace ---- */

static const char *write_line(struct world *world, const char *format, va_list args)
{
    char *line = world->trace.kept[world->trace.lines++ % TRACE_KEPT];
    int64_t us = world->now.ns / 1000;

    int len =
        snprintf(line, TRACE_LINE_MAX, "%lld.%06lld %s ", (long long)(us / 1000000),
                 (long long)(us % 1000000), world->running == NULL ? "-" : world->running->name);
    vsnprintf(line + len, (size_t)(TRACE_LINE_MAX - len), format, args);
    if (world->trace.prints) printf("%s\n", line);
    return line;
}

void world_trace(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const char *line = write_line(world, format, args);
    va_end(args);
    for (const char *at = line; *at != '\0'; at++)
        world->trace.hash = (world->trace.hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
}

void world_note(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(world, format, args);
    va_end(args);
}

void world_trace_dump(const struct world *world, int lines)
{
    uint64_t end = world->trace.lines, kept = end < TRACE_KEPT ? end : TRACE_KEPT;

    if ((uint64_t)lines > kept) lines = (int)kept;
    for (uint64_t i = end - (uint64_t)lines; i < end; i++)
        fprintf(stderr, "  %s\n", world->trace.kept[i % TRACE_KEPT]);
}

static _Noreturn void fail(struct world *world, int exit_code, const char *what, const char *format,
                           va_list args)
{
    char text[1000];

    vsnprintf(text, sizeof(text), format, args);
    world_trace(world, "%s: %s", what, text);
    fflush(stdout);
    world_trace_dump(world, 100);
    fprintf(stderr, "%s: %s\n", what, text);
    if (world->failed != NULL) world->failed(world->failed_owner, exit_code);
    fflush(stderr);
    _Exit(exit_code);
}

void world_wrong(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fail(world, SIM_EXIT_WRONG, "wrong", format, args);
}

void world_stuck(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fail(world, SIM_EXIT_STUCK, "stuck", format, args);
}

/* ---- hosts and processes ---- */

struct sim_host *host_create(struct world *world, const char *name)
{
    struct sim_heap *was = sim_heap_use(world->heap);
    struct sim_host *host = ensure_zalloc(sizeof(*host));
    char stream[64];

    host->world = world;
    host->has_power = true;
    snprintf(host->name, sizeof(host->name), "%s", name);
    list_each (node, &world->hosts)
        host->id++;
    snprintf(stream, sizeof(stream), "host.%s", name);
    prng_init_named(&host->luck, world->seed, stream);
    list_push(&world->hosts, &host->node);
    sim_heap_use(was);
    return host;
}

struct sim_process *process_create(struct sim_host *host, const char *name,
                                   const struct env_ops *env_ops)
{
    struct world *world = host->world;
    struct sim_heap *was = sim_heap_use(world->heap);
    struct sim_process *process = ensure_zalloc(sizeof(*process));

    process->world = world;
    process->host = host;
    process->generation = ++world->next_generation;
    snprintf(process->name, sizeof(process->name), "%s", name);
    process->env = (struct env){.ops = env_ops, .world = process};
    process->heap = sim_heap_create(process->name);
    list_init(&process->calls);
    list_init(&process->waiting);
    list_init(&process->shards);
    list_push(&world->processes, &process->node);
    world_trace(world, "process %s begins host=%s generation=%d", name, host->name,
                process->generation);
    sim_heap_use(was);
    return process;
}

static void drop_calls(struct list *calls)
{
    while (!list_is_empty(calls))
        call_done(list_entry(list_first(calls), struct call, node));
}

static void bury(struct sim_process *process)
{
    struct world *world = process->world;
    struct sim_heap *was = sim_heap_use(world->heap);

    process->state = PROCESS_DEAD;
    world_trace(world, "process %s ends generation=%d", process->name, process->generation);
    list_each (node, &world->parts) {
        struct world_part *part = list_entry(node, struct world_part, node);
        if (part->killed != NULL) part->killed(part->owner, process);
    }
    drop_calls(&process->calls);
    drop_calls(&process->waiting);
    list_remove(&process->node);
    sim_heap_destroy(&process->heap);
    free(process);
    sim_heap_use(was);
}

static void tell_power_loss(struct sim_host *host)
{
    world_trace(host->world, "power-loss host=%s", host->name);
    list_each (node, &host->world->parts) {
        struct world_part *part = list_entry(node, struct world_part, node);
        if (part->power_lost != NULL) part->power_lost(part->owner, host);
    }
}

enum { DIED = 1, DIED_OF_POWER_LOSS = 2 };

bool process_run(struct sim_process *process, void (*fn)(void *arg), void *arg)
{
    struct world *const world = process->world;
    struct sim_host *const host = process->host;
    struct sim_process *const it = process;
    jmp_buf out;

    ensure(world->running == NULL && process->state == PROCESS_RUNNING);
    int how = setjmp(out);
    if (how == 0) {
        it->out = &out;
        world->running = it;
        sim_heap_use(it->heap);
        fn(arg);
        sim_heap_use(world->heap);
        world->running = NULL;
        it->out = NULL;
        return true;
    }
    sim_heap_use(world->heap);
    world->running = NULL;
    bury(it);
    if (how == DIED_OF_POWER_LOSS) tell_power_loss(host);
    return false;
}

static void on_process_call(struct world_event *event)
{
    struct call *call = heap_entry(event, struct call, event);
    struct sim_process *process = call->process;

    if (process->state == PROCESS_PAUSED) {
        list_remove(&call->node);
        list_push(&process->waiting, &call->node);
        return;
    }
    void (*fn)(void *arg) = call->fn;
    void *arg = call->arg;
    call_done(call);
    process_run(process, fn, arg);
}

void process_at(struct sim_process *process, struct instant at, void (*fn)(void *arg), void *arg)
{
    struct call *call = call_create(process->world, process, fn, arg);

    ensure(process->state != PROCESS_DEAD);
    call->event.fire = on_process_call;
    list_push(&process->calls, &call->node);
    world_arm(process->world, &call->event, at);
}

void process_kill(struct sim_process *process)
{
    if (process->world->running == process) longjmp(*process->out, DIED);
    bury(process);
}

void process_pause(struct sim_process *process)
{
    ensure(process->world->running == NULL);
    if (process->state != PROCESS_RUNNING) return;
    process->state = PROCESS_PAUSED;
    world_trace(process->world, "process %s pauses", process->name);
}

void process_resume(struct sim_process *process)
{
    struct world *world = process->world;

    if (process->state != PROCESS_PAUSED) return;
    process->state = PROCESS_RUNNING;
    world_trace(world, "process %s goes on", process->name);
    for (struct list_node *node; (node = list_pop(&process->waiting)) != NULL;) {
        struct call *call = list_entry(node, struct call, node);
        list_push(&process->calls, &call->node);
        world_arm(world, &call->event, world->now);
    }
    list_each (node, &world->parts) {
        struct world_part *part = list_entry(node, struct world_part, node);
        if (part->resumed != NULL) part->resumed(part->owner, process);
    }
}

void host_power_loss(struct sim_host *host)
{
    struct world *world = host->world;
    struct sim_process *running = world->running;

    host->has_power = false;
    host->boots++;
    list_each (node, &world->processes) {
        struct sim_process *process = list_entry(node, struct sim_process, node);
        if (process->host == host && process != running) process_kill(process);
    }
    if (running != NULL && running->host == host) longjmp(*running->out, DIED_OF_POWER_LOSS);
    tell_power_loss(host);
}

void host_power_on(struct sim_host *host)
{
    if (host->has_power) return;
    host->has_power = true;
    world_trace(host->world, "power-on host=%s", host->name);
    list_each (node, &host->world->parts) {
        struct world_part *part = list_entry(node, struct world_part, node);
        if (part->power_came != NULL) part->power_came(part->owner, host);
    }
}

void world_add_part(struct world *world, struct world_part *part)
{
    list_push(&world->parts, &part->node);
}

void world_remove_part(struct world_part *part)
{
    list_remove(&part->node);
}
