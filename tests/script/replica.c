/* tests/script/replica.c - transcripts of one partition (with the ISR that it leads) and of one
 * follower's fetcher (transcript.h says how they read).
 *
 *     open end=25 watermark=20 [start=0] [min-insync=2] [lag-ms=30000]     broker 1 has a partition
 *     at MS; alive 2,3                                          the clock, who is in the metadata
 *     lead epoch=3 version=7 isr=1,2 [replicas=1,2,3] [recovering=1]
 *     follow 2 epoch=3 version=7 [isr=…] [replicas=…] [dead=1]
 *     append 30; replicated end=30 watermark=25 [start=0]; truncated 20 [start=0]; log-start 5
 *     fetch 2 offset=10 [end=30] [start=0]; tick; synced [failed=1]
 *     decided committed|refused|unknown|retry [epoch=3] [version=8] [isr=1,2]
 *     configure min-insync=2 [lag-ms=30000]; stopped; failed; check epoch=3 [leader=1]
 *
 *     log 0-30 watermark=20 epochs=1:0,3:10,5:25                the follower's own log
 *     begin epoch=6 [by=fetch|request] [backoff-ms=1000]
 *     epoch-end 3 end=15; diverges 3 end=15; range; leader-end 40; leader-start 10
 *     append 40 epoch=6 watermark=30; cut [failed=1]; retry; fenced; broken
 *
 * What comes out: each effect, then the state if it is another than before. */
#include "broker/log/epochs.h"
#include "broker/replica/fetcher.h"
#include "broker/replica/partition.h"
#include "script/transcript.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELF 1

struct scene {
    struct buf out, state; /* what came out; the state as it was last told */
    struct instant now;
    uint64_t alive; /* bit per broker */

    struct partition partition;
    bool is_open;

    struct fetcher fetcher;
    struct fetcher_log log;
    struct epochs epochs;
    int64_t cut_offset;
    bool is_restart;
};

static int read_ids(const char *text, int32_t *out)
{
    int count = 0;

    while (text != NULL && *text != '\0' && count < ISR_SLOTS_MAX) {
        char *end;
        out[count++] = (int32_t)strtol(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    return count;
}

static void tell_state(struct scene *scene, struct buf *now)
{
    if (!slice_equal(buf_slice(now), buf_slice(&scene->state))) {
        buf_add_slice(&scene->out, buf_slice(now));
        buf_clear(&scene->state);
        buf_add_slice(&scene->state, buf_slice(now));
    }
    buf_fini(now);
}

/* ---- the partition ---- */

static void print_set(struct buf *to, const struct isr *isr, uint64_t set)
{
    const char *between = "";

    for (int slot = 0; slot < isr->count; slot++) {
        if ((set >> slot & 1) == 0) continue;
        buf_printf(to, "%s%d", between, isr->slots[slot].broker);
        between = ",";
    }
}

static void print_partition(struct scene *scene)
{
    static const char *const roles[] = {"none", "leader", "follower", "offline"};
    static const char *const pendings[] = {"settled", "syncing", "proposed", "frozen"};
    const struct partition *it = &scene->partition;
    struct buf now;

    buf_init(&now);
    buf_printf(&now, "  %s epoch=%d version=%d log=%lld-%lld watermark=%lld", roles[it->role],
               it->leader_epoch, it->partition_epoch, (long long)it->log_start,
               (long long)it->end_offset, (long long)partition_high_watermark(it));
    if (it->role == PARTITION_FOLLOWER) buf_printf(&now, " of=%d", it->leader);
    if (it->role == PARTITION_LEADER) {
        buf_printf(&now, " isr=");
        print_set(&now, &it->isr, it->isr.committed);
        if (it->isr.pending != ISR_SETTLED) {
            buf_printf(&now, " %s=", pendings[it->isr.pending]);
            print_set(&now, &it->isr, it->isr.proposed);
        }
        if (!isr_may_append_all(&it->isr)) buf_printf(&now, " too-few");
        if (partition_is_lagging(it)) buf_printf(&now, " lagging");
    }
    buf_printf(&now, "\n");
    tell_state(scene, &now);
}

static void print_effects(struct scene *scene, const struct partition_effects *out)
{
    struct buf *to = &scene->out;

    if (out->refused != ERR_OK) buf_printf(to, "refused %s\n", err_name(out->refused));
    if (out->unfollow) buf_printf(to, "unfollow\n");
    if (out->resign) buf_printf(to, "resign\n");
    if (out->lead) buf_printf(to, "lead\n");
    if (out->follow)
        buf_printf(to, "follow %d%s\n", scene->partition.leader, out->is_in_sync ? " in-sync" : "");
    if (out->wake) buf_printf(to, "wake all\n");
    if (out->end_moved) buf_printf(to, "wake followers\n");
    if (out->watermark_moved) buf_printf(to, "watermark moved\n");
    if (out->raise_log_start)
        buf_printf(to, "raise log-start to %lld\n", (long long)out->log_start);
    if (out->isr.is_shrunk) buf_printf(to, "isr shrunk\n");
    if (out->isr.is_grown) buf_printf(to, "isr grown\n");
    if (out->isr.sync) buf_printf(to, "sync\n");
    if (out->isr.propose) {
        buf_printf(to, "alter-partition isr=");
        print_set(to, &scene->partition.isr, out->isr.set);
        buf_printf(to, " epoch=%d version=%d%s\n", out->isr.leader_epoch, out->isr.partition_epoch,
                   out->isr.is_recovered ? " recovered" : "");
    }
    print_partition(scene);
}

static void step(struct scene *scene, struct partition_event *event)
{
    const struct partition *it = &scene->partition;
    struct partition_effects out;

    event->now = scene->now;
    for (int slot = 1; slot < it->isr.count; slot++)
        if ((scene->alive >> it->isr.slots[slot].broker & 1) != 0)
            event->alive |= UINT64_C(1) << slot;
    partition_step(&scene->partition, event, &out);
    print_effects(scene, &out);
}

static void open_partition(struct scene *scene, struct words *words)
{
    if (scene->is_open) partition_fini(&scene->partition);
    scene->is_open = true;
    partition_init(&scene->partition, words_number(words, "min-insync", 2),
                   INT64_C(1000000) * words_number(words, "lag-ms", 30000));
    partition_opened(&scene->partition, words_number(words, "start", 0),
                     words_number(words, "end", 0), words_number(words, "watermark", 0));
    print_partition(scene);
}

static void change(struct scene *scene, struct words *words, int32_t leader)
{
    int32_t replicas[ISR_SLOTS_MAX], isr[ISR_SLOTS_MAX];
    struct partition_change change = {
        .self = SELF,
        .leader = leader,
        .leader_epoch = words_number(words, "epoch", 0),
        .partition_epoch = words_number(words, "version", 0),
        .replicas = replicas,
        .isr = isr,
        .is_leader_alive = words_number(words, "dead", 0) == 0,
        .is_recovering = words_number(words, "recovering", 0) == 1,
    };

    change.replica_count = read_ids(words_value(words, "replicas", "1,2,3"), replicas);
    change.isr_count = read_ids(words_value(words, "isr", "1,2,3"), isr);
    step(scene, &(struct partition_event){.type = PARTITION_CHANGED, .changed = &change});
}

static void lead(struct scene *scene, struct words *words)
{
    change(scene, words, SELF);
}

static void follow(struct scene *scene, struct words *words)
{
    change(scene, words, words_at(words, 1));
}

static void replicated(struct scene *scene, struct words *words)
{
    step(scene, &(struct partition_event){
                    .type = PARTITION_REPLICATED,
                    .replicated = {.end_offset = words_number(words, "end", 0),
                                   .leader_watermark = words_number(words, "watermark", 0),
                                   .leader_log_start = words_number(words, "start", -1)}});
}

static void truncated(struct scene *scene, struct words *words)
{
    step(scene,
         &(struct partition_event){.type = PARTITION_TRUNCATED,
                                   .truncated = {.end_offset = words_at(words, 1),
                                                 .log_start = words_number(words, "start", 0)}});
}

static void log_start(struct scene *scene, struct words *words)
{
    step(scene, &(struct partition_event){.type = PARTITION_LOG_START,
                                          .started = {.log_start = words_at(words, 1)}});
}

static void fetch(struct scene *scene, struct words *words)
{
    const struct partition *it = &scene->partition;

    step(scene, &(struct partition_event){
                    .type = PARTITION_FETCHED,
                    .fetched = {.slot = isr_slot_of(&it->isr, words_at(words, 1)),
                                .fetch_offset = words_number(words, "offset", 0),
                                .log_start = words_number(words, "start", 0),
                                .leader_end = words_number(words, "end", (int32_t)it->end_offset),
                                .broker_epoch = 1}});
}

static void tick(struct scene *scene, struct words *words)
{
    (void)words;
    step(scene, &(struct partition_event){.type = PARTITION_TICK});
}

static void synced(struct scene *scene, struct words *words)
{
    step(scene, &(struct partition_event){.type = PARTITION_SYNCED,
                                          .synced = {.end_offset = scene->partition.end_offset,
                                                     .failed = words_number(words, "failed", 0)}});
}

static void decided(struct scene *scene, struct words *words)
{
    static const char *const says[] = {"committed", "refused", "unknown", "retry"};
    const struct partition *it = &scene->partition;
    int32_t brokers[ISR_SLOTS_MAX];
    struct partition_event event = {.type = PARTITION_DECIDED};

    for (int i = 0; i < 4; i++)
        if (strcmp(words->at[1], says[i]) == 0) event.decided.isr.says = i;
    event.decided.isr.leader_epoch = words_number(words, "epoch", it->leader_epoch);
    event.decided.isr.partition_epoch = words_number(words, "version", it->partition_epoch + 1);
    event.decided.brokers = brokers;
    event.decided.broker_count = read_ids(words_value(words, "isr", ""), brokers);
    step(scene, &event);
}

static void configure(struct scene *scene, struct words *words)
{
    step(scene, &(struct partition_event){
                    .type = PARTITION_CONFIGURED,
                    .configured = {.min_insync = words_number(words, "min-insync", 2),
                                   .lag_ns_max =
                                       INT64_C(1000000) * words_number(words, "lag-ms", 30000)}});
}

static void stopped(struct scene *scene, struct words *words)
{
    (void)words;
    step(scene, &(struct partition_event){.type = PARTITION_STOPPED});
}

static void failed(struct scene *scene, struct words *words)
{
    (void)words;
    step(scene, &(struct partition_event){.type = PARTITION_FAILED});
}

static void check(struct scene *scene, struct words *words)
{
    enum err err = partition_check(&scene->partition, words_number(words, "epoch", -1),
                                   words_number(words, "leader", 0) == 1);

    buf_printf(&scene->out, "%s\n", err_name(err));
}

/* ---- the fetcher ---- */

static void print_fetcher(struct scene *scene)
{
    const struct fetcher *it = &scene->fetcher;
    struct buf now;

    buf_init(&now);
    switch (fetcher_wants(it, scene->now)) {
    case FETCHER_WANTS_NOTHING:
        if (it->state == FETCHER_FAILED)
            buf_printf(&now, "  out until the next epoch\n");
        else if (it->is_cutting)
            buf_printf(&now, "  waits for the log\n");
        else
            buf_printf(&now, "  waits until %lld\n", (long long)(it->delayed_until.ns / 1000000));
        break;
    case FETCHER_WANTS_EPOCH_END:
        buf_printf(&now, "  wants the end of epoch %d\n", it->last_epoch);
        break;
    case FETCHER_WANTS_RECORDS:
        buf_printf(&now, "  wants records from %lld after epoch %d\n", (long long)it->offset,
                   it->last_epoch);
        break;
    case FETCHER_WANTS_END:
        buf_printf(&now, "  wants the leader's end\n");
        break;
    case FETCHER_WANTS_START:
        buf_printf(&now, "  wants the leader's start\n");
        break;
    }
    tell_state(scene, &now);
}

static void feed(struct scene *scene, struct fetcher_event *event)
{
    struct fetcher_effects out;

    event->now = scene->now;
    scene->log.latest_epoch = epochs_latest(&scene->epochs).epoch;
    event->log = scene->log;
    fetcher_step(&scene->fetcher, event, &out);
    if (out.cut) buf_printf(&scene->out, "cut to %lld\n", (long long)out.offset);
    if (out.restart) buf_printf(&scene->out, "begin anew at %lld\n", (long long)out.offset);
    if (out.failed) buf_printf(&scene->out, "failed\n");
    if (out.cut || out.restart) {
        scene->cut_offset = out.offset;
        scene->is_restart = out.restart;
    }
    print_fetcher(scene);
}

static void own_log(struct scene *scene, struct words *words)
{
    bool changed;
    char *end;

    (void)epochs_clear(&scene->epochs);
    scene->log.start = strtoll(words->at[1], &end, 10);
    scene->log.end = strtoll(end + 1, NULL, 10);
    scene->log.high_watermark = words_number(words, "watermark", 0);
    for (const char *at = words_value(words, "epochs", ""); *at != '\0';) {
        int32_t epoch = (int32_t)strtol(at, &end, 10);
        (void)!epochs_start(&scene->epochs, epoch, strtoll(end + 1, &end, 10), &changed);
        at = *end == ',' ? end + 1 : end;
    }
}

static void begins(struct scene *scene, struct words *words)
{
    bool by_fetch = strcmp(words_value(words, "by", "fetch"), "fetch") == 0;

    fetcher_init(&scene->fetcher, words_number(words, "epoch", 0), by_fetch,
                 words_number(words, "backoff-ms", 1000));
    feed(scene, &(struct fetcher_event){.type = FETCHER_BEGINS});
}

static void divergence(struct scene *scene, struct words *words, int type)
{
    struct fetcher_event event = {
        .type = type, .epoch = words_at(words, 1), .end_offset = words_number(words, "end", -1)};
    struct epoch_end own = epochs_end_of(&scene->epochs, event.epoch, scene->log.end);

    event.own_epoch = own.epoch;
    event.own_end = own.end_offset;
    feed(scene, &event);
}

static void epoch_end(struct scene *scene, struct words *words)
{
    divergence(scene, words, FETCHER_EPOCH_END);
}

static void diverges(struct scene *scene, struct words *words)
{
    divergence(scene, words, FETCHER_DIVERGES);
}

static void range(struct scene *scene, struct words *words)
{
    (void)words;
    feed(scene, &(struct fetcher_event){.type = FETCHER_RANGE});
}

static void leader_end(struct scene *scene, struct words *words)
{
    feed(scene, &(struct fetcher_event){.type = FETCHER_END, .end_offset = words_at(words, 1)});
}

static void leader_start(struct scene *scene, struct words *words)
{
    feed(scene, &(struct fetcher_event){.type = FETCHER_START, .end_offset = words_at(words, 1)});
}

/* Of the fetcher's log, or of the leader's. */
static void append(struct scene *scene, struct words *words)
{
    bool changed;

    if (scene->is_open) {
        step(scene, &(struct partition_event){.type = PARTITION_APPENDED,
                                              .appended = {.end_offset = words_at(words, 1)}});
        return;
    }
    (void)!epochs_start(&scene->epochs, words_number(words, "epoch", 0), scene->log.end, &changed);
    scene->log.end = words_at(words, 1);
    scene->log.high_watermark =
        words_number(words, "watermark", (int32_t)scene->log.high_watermark);
    feed(scene, &(struct fetcher_event){.type = FETCHER_APPENDED});
}

static void cut(struct scene *scene, struct words *words)
{
    struct fetcher_log *log = &scene->log;

    if (words_number(words, "failed", 0) == 1) {
        feed(scene, &(struct fetcher_event){.type = FETCHER_RETRY});
        return;
    }
    log->end = scene->cut_offset;
    if (scene->is_restart) log->start = scene->cut_offset;
    if (scene->is_restart)
        (void)epochs_clear(&scene->epochs);
    else
        (void)epochs_truncate_end(&scene->epochs, log->end);
    if (log->high_watermark > log->end || scene->is_restart) log->high_watermark = log->end;
    feed(scene, &(struct fetcher_event){.type = FETCHER_CUT});
}

static void retry(struct scene *scene, struct words *words)
{
    (void)words;
    feed(scene, &(struct fetcher_event){.type = FETCHER_RETRY});
}

static void fenced(struct scene *scene, struct words *words)
{
    (void)words;
    feed(scene, &(struct fetcher_event){.type = FETCHER_FENCED});
}

static void broken(struct scene *scene, struct words *words)
{
    (void)words;
    feed(scene, &(struct fetcher_event){.type = FETCHER_BROKEN});
}

/* ---- both ---- */

static void at(struct scene *scene, struct words *words)
{
    scene->now = instant_add_ms(INSTANT_ZERO, words_at(words, 1));
    if (!scene->is_open && scene->fetcher.delayed_until.ns != 0) print_fetcher(scene);
}

static void alive(struct scene *scene, struct words *words)
{
    int32_t ids[ISR_SLOTS_MAX];
    int count = words->count > 1 ? read_ids(words->at[1], ids) : 0;

    scene->alive = 0;
    for (int i = 0; i < count; i++)
        scene->alive |= UINT64_C(1) << ids[i];
}

static const struct {
    const char *name;
    void (*run)(struct scene *scene, struct words *words);
} commands[] = {
    {"alive", alive},
    {"append", append},
    {"at", at},
    {"begin", begins},
    {"broken", broken},
    {"check", check},
    {"configure", configure},
    {"cut", cut},
    {"decided", decided},
    {"diverges", diverges},
    {"epoch-end", epoch_end},
    {"failed", failed},
    {"fenced", fenced},
    {"fetch", fetch},
    {"follow", follow},
    {"leader-end", leader_end},
    {"leader-start", leader_start},
    {"lead", lead},
    {"log", own_log},
    {"log-start", log_start},
    {"open", open_partition},
    {"range", range},
    {"replicated", replicated},
    {"retry", retry},
    {"stopped", stopped},
    {"synced", synced},
    {"tick", tick},
    {"truncated", truncated},
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
    struct scene *scene = machine;

    *scene = (struct scene){.alive = ~UINT64_C(0)};
    buf_init(&scene->out);
    buf_init(&scene->state);
    epochs_init(&scene->epochs);
}

static void end(void *machine)
{
    struct scene *scene = machine;

    if (scene->is_open) partition_fini(&scene->partition);
    epochs_fini(&scene->epochs);
    buf_fini(&scene->out);
    buf_fini(&scene->state);
}

static struct buf *out_of(void *machine)
{
    return &((struct scene *)machine)->out;
}

int main(int argc, char **argv)
{
    struct scene scene;
    const struct transcripts its = {.machine = &scene,
                                    .begin = begin,
                                    .end = end,
                                    .run = run_command,
                                    .out = out_of,
                                    .files = "tests/script/replica/*.txt"};

    return transcripts_main(&its, argc, argv);
}
