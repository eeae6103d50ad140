#include "tests/sim/faults.h"
#include "base/ensure.h"
#include "tests/sim/heap.h"
#include "tests/sim/zookeeper.h"
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 2000

enum deed {
    DEED_KILL,
    DEED_PAUSE,
    DEED_STOP,
    DEED_ROLL,
    DEED_POWER,
    DEED_CUT,
    DEED_CUT_ONE_WAY,
    DEED_ISOLATE,
    DEED_RESET,
    DEED_CLOCK,
    DEED_DISK_FULL,
    DEED_DISK_FAILS,
    DEEDS,
};

static const char *const deed_names[DEEDS] = {"process.kill",     "process.pause", "process.stop",
                                              "process.roll",     "power.loss",    "link.cut",
                                              "link.cut-one-way", "link.isolate",  "link.reset",
                                              "clock.step",       "disk.full",     "disk.fails"};

/* Something that was begun and ends by itself. */
struct trouble {
    struct world_event end;
    struct nemesis *nemesis;
    struct list_node node;
    enum deed deed;
    struct member *member;
    int device; /* of the member: see sim_disks_path */
    struct sim_host *from, *to;
};

struct nemesis {
    struct world *world;
    struct cluster *cluster;
    struct load *load;
    struct sim_fault *deeds[DEEDS];
    struct world_event next, look;
    struct list troubles;
    struct member *damaged; /* the one broker that may lack what it had */
    bool is_strict;
    int64_t pause_ms;
    struct prng *luck;
    int rolling; /* index of the broker that is restarted in turn; −1: none */
    struct world_event roll;
};

static int64_t draw(struct nemesis *nemesis, int64_t low, int64_t high)
{
    return low + (int64_t)prng_below(nemesis->luck, (uint64_t)(high - low) + 1);
}

/* Short or long, by orders of magnitude. */
static int64_t draw_ms(struct nemesis *nemesis, int64_t high)
{
    int64_t ms = draw(nemesis, 1, high);

    return (ms >> draw(nemesis, 0, 10)) + 1;
}

static struct member *any_member(struct nemesis *nemesis)
{
    return &nemesis->cluster->members[draw(nemesis, 0, nemesis->cluster->count - 1)];
}

static struct sim_host *any_host(struct nemesis *nemesis)
{
    int count = 0;

    list_each (node, &nemesis->world->hosts)
        count++;
    int64_t wanted = draw(nemesis, 0, count - 1);
    list_each (other, &nemesis->world->hosts)
        if (wanted-- == 0) return list_entry(other, struct sim_host, node);
    return NULL;
}

static int any_device(struct nemesis *nemesis)
{
    int devices = nemesis->cluster->log_dirs;

    return devices == 1 ? 0 : (int)draw(nemesis, 0, devices - 1);
}

/* Others take what is free now; what the broker frees is its own. */
static void fill(struct sim_device *device)
{
    sim_device_fill(device, sim_device_usable(device));
}

/* ---- what ends by itself ---- */

/* A log directory that is offline while others are not comes back by a restart only, and somebody
 * sees to that. */
static void bring_back(struct trouble *trouble)
{
    if (trouble->nemesis->cluster->log_dirs > 1 && member_is_up(trouble->member) &&
        !trouble->member->is_ending)
        member_stop(trouble->member);
}

static void heal_link(struct trouble *trouble)
{
    struct sim_net *net = trouble->nemesis->world->net;
    struct ensemble *ensemble = sim_zookeeper_ensemble(trouble->nemesis->world->zookeeper);

    if (trouble->deed != DEED_ISOLATE) {
        sim_net_heal(net, trouble->from, trouble->to);
        if (trouble->deed == DEED_CUT) sim_net_heal(net, trouble->to, trouble->from);
        return;
    }
    list_each (node, &trouble->nemesis->world->hosts) {
        struct sim_host *other = list_entry(node, struct sim_host, node);
        if (other == trouble->from) continue;
        sim_net_heal(net, trouble->from, other);
        sim_net_heal(net, other, trouble->from);
    }
    if (trouble->to != NULL) ensemble_cut_host(ensemble, trouble->from, false);
}

static void end_trouble(struct trouble *trouble)
{
    struct world *world = trouble->nemesis->world;
    struct sim_disk *disk = trouble->member == NULL ? NULL : trouble->member->host->disk;

    world_disarm(world, &trouble->end);
    list_remove(&trouble->node);
    switch (trouble->deed) {
    case DEED_PAUSE:
        if (trouble->member->process != NULL) process_resume(trouble->member->process);
        break;
    case DEED_KILL:
    case DEED_POWER:
        member_start(trouble->member);
        break;
    case DEED_CUT:
    case DEED_CUT_ONE_WAY:
    case DEED_ISOLATE:
        heal_link(trouble);
        break;
    case DEED_DISK_FULL:
        sim_device_fill(sim_disk_device(disk, sim_disks_path(trouble->device)), 0);
        world_trace(world, "%s has room", trouble->member->host->name);
        break;
    case DEED_DISK_FAILS:
        world->disks_victim = NULL;
        world_trace(world, "the disk of %s works", trouble->member->host->name);
        bring_back(trouble);
        break;
    default:
        break;
    }
    free(trouble);
}

static void on_end(struct world_event *event)
{
    end_trouble(heap_entry(event, struct trouble, end));
}

static struct trouble *begin_trouble(struct nemesis *nemesis, enum deed deed, int64_t ms)
{
    struct trouble *trouble = ensure_zalloc(sizeof(*trouble));

    trouble->nemesis = nemesis;
    trouble->deed = deed;
    trouble->end.fire = on_end;
    list_push(&nemesis->troubles, &trouble->node);
    world_arm(nemesis->world, &trouble->end, instant_add_ms(nemesis->world->now, ms));
    return trouble;
}

static bool has_trouble(struct nemesis *nemesis, const struct member *member)
{
    list_each (node, &nemesis->troubles)
        if (list_entry(node, struct trouble, node)->member == member) return true;
    return false;
}

/* ---- the budget ---- */

static bool is_whole(struct nemesis *nemesis)
{
    char why[300];

    return load_is_whole(nemesis->load, why, sizeof(why));
}

/* Since it registered. */
static bool is_in_sync_of(struct nemesis *nemesis, const struct member *member,
                          int64_t registered_at, const char *topic)
{
    struct load_partition at;

    for (int p = 0; load_partition(nemesis->load, topic, p, &at); p++) {
        bool is_replica = false, is_in = false;
        for (int i = 0; i < at.replica_count; i++)
            if (at.replicas[i] == member->id) is_replica = true;
        for (int i = 0; i < at.isr_count; i++)
            if (at.isr[i] == member->id) is_in = at.written_at > registered_at;
        if (is_replica && !is_in) return false;
    }
    return true;
}

/* In all partitions that are its own it is in sync. An ISR that was written before its broker
 * registered in this life is of what it had in an earlier one: while ZooKeeper is away that may
 * stand for long, with the broker back and nobody told of it. */
static bool is_in_sync(struct nemesis *nemesis, const struct member *member)
{
    int64_t registered_at = load_registered_at(nemesis->load, member);
    int count;
    struct load_topic *topics = load_topics(nemesis->load, &count);

    if (registered_at == 0) return false;
    for (int t = 0; t < count; t++)
        if (!is_in_sync_of(nemesis, member, registered_at, topics[t].name)) return false;
    return is_in_sync_of(nemesis, member, registered_at, LOAD_OFFSETS_TOPIC);
}

static bool all_brokers_are_well(struct nemesis *nemesis)
{
    for (int i = 0; i < nemesis->cluster->brokers; i++)
        if (!member_is_up(&nemesis->cluster->members[i])) return false;
    list_each (node, &nemesis->troubles) {
        struct trouble *trouble = list_entry(node, struct trouble, node);
        if (trouble->from != NULL || (trouble->member != NULL && !trouble->member->is_controller))
            return false;
    }
    return true;
}

/* A topic that promises less than two replicas promises nothing when one may be lost. */
static void lift_weak(struct nemesis *nemesis)
{
    int count;
    struct load_topic *topics = load_topics(nemesis->load, &count);

    for (int t = 0; t < count; t++)
        for (int p = 0; topics[t].min_insync < 2 && p < ORACLE_PARTITIONS_MAX; p++)
            oracle_log_lift(&topics[t].oracle->partitions[p], "a disk may have lost the only copy");
}

static void on_look(struct world_event *event)
{
    struct nemesis *nemesis = heap_entry(event, struct nemesis, look);
    struct member *member = nemesis->damaged;

    if (member == NULL) return;
    if (!has_trouble(nemesis, member) && member_is_up(member) && is_whole(nemesis) &&
        is_in_sync(nemesis, member)) {
        world_trace(nemesis->world, "%s is whole again", member->host->name);
        nemesis->damaged = NULL;
        return;
    }
    world_arm(nemesis->world, &nemesis->look, instant_add_ms(nemesis->world->now, LOOK_MS));
}

static bool may_damage(struct nemesis *nemesis, const struct member *member)
{
    if (member->is_controller) return true;
    if (nemesis->damaged != NULL || !is_whole(nemesis) || nemesis->rolling >= 0) return false;
    return all_brokers_are_well(nemesis);
}

static void damage(struct nemesis *nemesis, struct member *member)
{
    if (member->is_controller) return;
    nemesis->damaged = member;
    lift_weak(nemesis);
    /* Long enough that everybody has noticed. */
    world_arm(nemesis->world, &nemesis->look, instant_add_ms(nemesis->world->now, 30000));
}

/* While a broker is damaged the others are left alone. */
static bool may_touch(const struct nemesis *nemesis, const struct member *member)
{
    return member->is_controller || nemesis->damaged == NULL || !nemesis->is_strict;
}

/* ---- deeds ---- */

static bool do_to_member(struct nemesis *nemesis, enum deed deed)
{
    struct member *member = any_member(nemesis);
    struct trouble *trouble;

    if (!member_is_up(member) || member->is_ending || has_trouble(nemesis, member)) return false;
    if (!may_touch(nemesis, member)) return false;
    switch (deed) {
    case DEED_KILL:
        trouble = begin_trouble(nemesis, deed, draw_ms(nemesis, 60000));
        trouble->member = member;
        member->is_wanted = false;
        member_kill(member);
        return true;
    case DEED_PAUSE:
        trouble = begin_trouble(nemesis, deed, draw_ms(nemesis, 90000));
        trouble->member = member;
        process_pause(member->process);
        return true;
    case DEED_STOP:
        member_stop(member);
        return true;
    case DEED_POWER:
        if (!may_damage(nemesis, member)) return false;
        damage(nemesis, member);
        trouble = begin_trouble(nemesis, deed, draw_ms(nemesis, 60000));
        trouble->member = member;
        member->is_wanted = false;
        member_power_loss(member);
        return true;
    case DEED_DISK_FULL:
        if (member->is_controller) return false;
        trouble = begin_trouble(nemesis, deed, draw_ms(nemesis, 120000));
        trouble->member = member;
        trouble->device = any_device(nemesis);
        fill(sim_disk_device(member->host->disk, sim_disks_path(trouble->device)));
        world_trace(nemesis->world, "%s has a full disk", member->host->name);
        return true;
    case DEED_DISK_FAILS:
        if (member->is_controller || !may_damage(nemesis, member)) return false;
        damage(nemesis, member);
        trouble = begin_trouble(nemesis, deed, 5000 + draw_ms(nemesis, 60000));
        trouble->member = member;
        trouble->device = any_device(nemesis);
        nemesis->world->disks_victim = member->host;
        nemesis->world->disks_victim_device = trouble->device;
        world_trace(nemesis->world, "the disk of %s fails", member->host->name);
        return true;
    default:
        return false;
    }
}

static void on_roll(struct world_event *event)
{
    struct nemesis *nemesis = heap_entry(event, struct nemesis, roll);
    struct world *world = nemesis->world;

    if (nemesis->rolling < 0) return;
    struct member *member = &nemesis->cluster->members[nemesis->rolling];
    if (member_is_up(member) && !member->is_ending && !has_trouble(nemesis, member) &&
        nemesis->damaged == NULL)
        member_stop(member);
    nemesis->rolling++;
    if (nemesis->rolling >= nemesis->cluster->brokers) nemesis->rolling = -1;
    world_arm(world, &nemesis->roll, instant_add_ms(world->now, draw(nemesis, 5000, 40000)));
}

static bool do_to_link(struct nemesis *nemesis, enum deed deed)
{
    struct sim_host *from = any_host(nemesis), *to = any_host(nemesis);
    struct sim_net *net = nemesis->world->net;
    struct trouble *trouble;

    if (from == to) return false;
    if (deed == DEED_RESET) {
        sim_net_reset(net, from, to);
        return true;
    }
    if (nemesis->damaged != NULL && nemesis->is_strict) return false;
    trouble = begin_trouble(nemesis, deed, draw_ms(nemesis, 120000));
    trouble->from = from;
    trouble->to = to;
    if (deed != DEED_ISOLATE) {
        sim_net_cut(net, from, to);
        if (deed == DEED_CUT) sim_net_cut(net, to, from);
        return true;
    }
    list_each (node, &nemesis->world->hosts) {
        struct sim_host *other = list_entry(node, struct sim_host, node);
        if (other == from) continue;
        sim_net_cut(net, from, other);
        sim_net_cut(net, other, from);
    }
    /* With or without its way to ZooKeeper: the second is the worse one. */
    if (draw(nemesis, 0, 1) == 0) {
        trouble->to = NULL;
        return true;
    }
    ensemble_cut_host(sim_zookeeper_ensemble(nemesis->world->zookeeper), from, true);
    return true;
}

static bool perform(struct nemesis *nemesis, enum deed deed)
{
    switch (deed) {
    case DEED_ROLL:
        if (nemesis->rolling >= 0 || nemesis->damaged != NULL) return false;
        nemesis->rolling = 0;
        world_arm(nemesis->world, &nemesis->roll, nemesis->world->now);
        return true;
    case DEED_CUT:
    case DEED_CUT_ONE_WAY:
    case DEED_ISOLATE:
    case DEED_RESET:
        return do_to_link(nemesis, deed);
    case DEED_CLOCK: {
        struct sim_host *host = any_host(nemesis);
        /* One draw after the other: C does not say which of two operands comes first. */
        int64_t shift = draw(nemesis, 0, 12);
        host->wall_offset_ms += draw(nemesis, -600000, 600000) >> shift;
        world_trace(nemesis->world, "the clock of %s is off by %lld ms", host->name,
                    (long long)host->wall_offset_ms);
        return true;
    }
    default:
        return do_to_member(nemesis, deed);
    }
}

static void on_next(struct world_event *event)
{
    struct nemesis *nemesis = heap_entry(event, struct nemesis, next);
    struct world *world = nemesis->world;
    enum deed deed = (enum deed)draw(nemesis, 0, DEEDS - 1);

    if (nemesis->deeds[deed]->per_million > 0) {
        nemesis->deeds[deed]->asked++;
        world_trace(world, "nemesis: %s", deed_names[deed]);
        if (perform(nemesis, deed)) nemesis->deeds[deed]->struck++;
    }
    world_arm(world, &nemesis->next,
              instant_add_ms(world->now, draw_ms(nemesis, nemesis->pause_ms)));
}

/* ---- life ---- */

struct nemesis *nemesis_create(struct world *world, struct cluster *cluster, struct load *load)
{
    struct sim_heap *was = sim_heap_use_world();
    struct nemesis *nemesis = ensure_zalloc(sizeof(*nemesis));

    nemesis->world = world;
    nemesis->cluster = cluster;
    nemesis->load = load;
    nemesis->luck = world_stream(world, "nemesis");
    nemesis->pause_ms =
        world_option_paced(world, "nemesis.pause-ms", 5000, 240000, 600000, 14400000);
    nemesis->is_strict = world_option(world, "nemesis.strict", 1, 1) != 0;
    nemesis->rolling = -1;
    nemesis->next.fire = on_next;
    nemesis->look.fire = on_look;
    nemesis->roll.fire = on_roll;
    list_init(&nemesis->troubles);
    for (int i = 0; i < DEEDS; i++)
        nemesis->deeds[i] = world_fault(world, deed_names[i], 1000000);
    sim_heap_use(was);
    return nemesis;
}

static void stop(struct nemesis *nemesis)
{
    world_disarm(nemesis->world, &nemesis->next);
    world_disarm(nemesis->world, &nemesis->look);
    world_disarm(nemesis->world, &nemesis->roll);
    nemesis->rolling = -1;
    while (!list_is_empty(&nemesis->troubles))
        end_trouble(list_entry(list_first(&nemesis->troubles), struct trouble, node));
}

void nemesis_start(struct nemesis *nemesis)
{
    world_arm(nemesis->world, &nemesis->next,
              instant_add_ms(nemesis->world->now, draw_ms(nemesis, nemesis->pause_ms)));
}

void nemesis_heal(struct nemesis *nemesis)
{
    stop(nemesis);
    ensemble_heal(sim_zookeeper_ensemble(nemesis->world->zookeeper));
    for (int i = 0; i < nemesis->cluster->count; i++)
        member_start(&nemesis->cluster->members[i]);
}

void nemesis_destroy(struct nemesis **nemesis)
{
    if (*nemesis == NULL) return;
    world_disarm((*nemesis)->world, &(*nemesis)->next);
    world_disarm((*nemesis)->world, &(*nemesis)->look);
    world_disarm((*nemesis)->world, &(*nemesis)->roll);
    while (!list_is_empty(&(*nemesis)->troubles)) {
        struct trouble *trouble =
            list_entry(list_first(&(*nemesis)->troubles), struct trouble, node);
        world_disarm(trouble->nemesis->world, &trouble->end);
        list_remove(&trouble->node);
        free(trouble);
    }
    free(*nemesis);
    *nemesis = NULL;
}
