/* tests/unit/test_partitions.c - partitions over real logs: one shard, turned by hand, in a
 * directory of its own. */
#include "broker/replica/partitions.h"
#include "broker/log/store.h"
#include "cluster/types.h"
#include "runtime/env_posix.h"
#include "unit.h"
#include "wire/record.h"
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SELF     1
#define FOLLOWER 2

struct world {
    struct env *env;
    struct disk *disk;
    struct shard shard;
    struct store *store;
    struct partitions *partitions;
    struct log_config config;
    struct arena arena;
    struct buf batch;
    char path[64];
    const char *paths[1];
    bool is_loaded, is_done;
    int proposals, led, followed, flushed;
    int32_t followed_leader;
    struct isr_change proposed;
    int32_t proposed_isr[8];
    bool is_dead; /* the other brokers */
    bool is_recovering;
    int saves;
};

static void idle(struct post *post)
{
    (void)post;
}

/* Turns that do not wait, until `*flag` is set or nothing can come any more. */
static void turn(struct world *world)
{
    struct post kick = {.run = idle};

    shard_post(&world->shard, &kick);
    shard_turn(&world->shard);
    ck_assert(!list_has(&kick.node));
}

static void until(struct world *world, const bool *flag)
{
    for (int i = 0; i < 600000 && !*flag; i++) {
        turn(world);
        if (!*flag) usleep(100);
    }
    ck_assert(*flag);
}

static void on_loaded(void *owner, enum err err, const char *text)
{
    (void)text;
    ck_assert_int_eq(err, ERR_OK);
    ((struct world *)owner)->is_loaded = true;
}
static void on_dir_failed(void *owner, struct log_dir *dir, enum err why, int left)
{
    (void)owner;
    (void)dir;
    (void)why;
    (void)left;
}
static void on_done(void *owner)
{
    ((struct world *)owner)->is_done = true;
}
static const struct store_events store_events = {on_loaded, on_dir_failed, on_done};

static void config_of(void *owner, struct slice topic, struct log_config *out)
{
    (void)topic;
    *out = ((struct world *)owner)->config;
}

static void propose(void *owner, const struct isr_change *change)
{
    struct world *world = owner;

    world->proposals++;
    world->proposed = *change;
    memcpy(world->proposed_isr, change->isr, sizeof(int32_t) * (size_t)change->isr_count);
}
static bool is_alive(void *owner, int32_t broker)
{
    (void)broker;
    return !((struct world *)owner)->is_dead;
}
static void led(void *owner, struct slice topic, int32_t partition, bool is_leader, int32_t epoch)
{
    (void)topic;
    (void)partition;
    (void)epoch;
    ((struct world *)owner)->led += is_leader ? 1 : -1;
}
static void follow(void *owner, struct slice topic, int32_t partition, int32_t leader,
                   int32_t epoch)
{
    struct world *world = owner;

    (void)topic;
    (void)partition;
    (void)epoch;
    world->followed++;
    world->followed_leader = leader;
}
static void flushed(void *owner, struct slice topic, int32_t partition)
{
    (void)topic;
    (void)partition;
    ((struct world *)owner)->flushed++;
}
static void note_save(void *owner);
static bool rack_of(void *owner, int32_t broker, int listener, struct slice *out)
{
    if (((struct world *)owner)->is_dead && broker != SELF) return false;
    ck_assert_int_eq(listener, 7);
    *out = broker == SELF ? SLICE("a") : SLICE("b");
    return true;
}
static const struct partitions_ops ops = {.rack = rack_of,
                                          .propose = propose,
                                          .is_alive = is_alive,
                                          .led = led,
                                          .follow = follow,
                                          .flushed = flushed,
                                          .save = note_save};

static void open_store(struct world *world)
{
    struct buf problem = {0};
    struct store_options options = {
        .env = world->env,
        .home = &world->shard,
        .disk = world->disk,
        .paths = world->paths,
        .path_count = 1,
        .recovery_threads = 1,
        .keeps_topic_ids = true,
        .config = config_of,
        .events = &store_events,
        .owner = world,
    };

    ck_assert_int_eq(store_open(&options, &problem, &world->store), ERR_OK);
    ck_assert_int_eq(store_identify(world->store, SELF, "cluster", &problem), ERR_OK);
    world->is_loaded = false;
    store_load(world->store);
    until(world, &world->is_loaded);
    buf_fini(&problem);

    struct partitions_options partitions = {
        .shard = &world->shard,
        .broker_id = SELF,
        .files_open_max = 16,
        .ops = &ops,
        .owner = world,
    };
    replica_settings_init(&partitions.settings);
    world->partitions = partitions_create(&partitions);
}

static void close_store(struct world *world)
{
    world->is_done = false;
    partitions_close(world->partitions, on_done, world);
    until(world, &world->is_done);
    partitions_destroy(&world->partitions);
    world->is_done = false;
    store_close(world->store);
    until(world, &world->is_done);
    store_destroy(&world->store);
}

static void open_world(struct world *world)
{
    *world = (struct world){0};
    log_config_default(&world->config);
    strcpy(world->path, "/tmp/ottla-partitions-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(world->path));
    world->paths[0] = world->path;
    world->env = env_posix_create(NULL);
    ck_assert_int_eq(disk_open(world->env, (const int[DISK_CLASSES]){1, 1, 1}, &world->disk),
                     ERR_OK);
    ck_assert_int_eq(shard_open(&world->shard, world->env, 0, NULL, NULL, world, world->disk),
                     ERR_OK);
    arena_init(&world->arena, 1 << 20);
    open_store(world);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void close_world(struct world *world)
{
    close_store(world);
    for (int i = 0; i < 20; i++) { /* jobs of their own (unlink) come home */
        turn(world);
        usleep(1000);
    }
    disk_close(world->env, &world->disk);
    shard_close(&world->shard);
    env_posix_destroy(&world->env);
    arena_fini(&world->arena);
    buf_fini(&world->batch);
    nftw(world->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what the control shard does ---- */

struct control {
    struct replica_call call;
    struct world *world;
};

static void control_done(struct replica_call *call)
{
    ((struct control *)(void *)call)->world->is_done = true;
}

static void created(void *to)
{
    ((struct world *)to)->is_done = true;
}

static struct log *log_of(struct world *world, const char *topic)
{
    struct log *log = store_find(world->store, slice_text(topic), 0);
    struct store_new_log new = {
        .topic = slice_text(topic),
        .config = &world->config,
        .is_new = true,
        .topic_id = {{1}},
    };

    if (log != NULL) return log;
    world->is_done = false;
    store_create_many(world->store, &new, 1, created, world);
    until(world, &world->is_done);
    ck_assert_int_eq(new.err, ERR_OK);
    return new.log;
}

static const int32_t replicas[] = {SELF, FOLLOWER, 3};

static enum err apply_change(struct world *world, const char *topic, int32_t leader, int32_t epoch,
                             int replica_count, const int32_t *isr, int isr_count,
                             int32_t min_insync)
{
    struct replica_change change = {
        .topic = slice_text(topic),
        .topic_id = {{1}},
        .leader = leader,
        .leader_epoch = epoch,
        .partition_epoch = epoch * 10,
        .replicas = replicas,
        .replica_count = replica_count,
        .isr = isr,
        .isr_count = isr_count,
        .is_leader_alive = leader >= 0,
        .is_recovering = world->is_recovering,
        .log = log_of(world, topic),
        .min_insync = min_insync,
        .err = ERR_CANCELLED,
    };
    struct control control = {.call = {.changes = &change, .change_count = 1, .done = control_done},
                              .world = world};

    world->is_done = false;
    partitions_control(world->partitions, &control.call);
    ck_assert(!world->is_done); /* never inside the call */
    until(world, &world->is_done);
    return change.err;
}

static enum err apply(struct world *world, const char *topic, int32_t leader, int32_t epoch,
                      int replica_count, int isr_count, int32_t min_insync)
{
    return apply_change(world, topic, leader, epoch, replica_count, replicas, isr_count,
                        min_insync);
}

static enum err apply_isr(struct world *world, const char *topic, int32_t leader, int32_t epoch,
                          const int32_t *isr, int isr_count)
{
    return apply_change(world, topic, leader, epoch, 3, isr, isr_count, 1);
}

static enum err stop(struct world *world, const char *topic, int32_t epoch, bool is_delete,
                     struct log **log)
{
    struct replica_stop one = {
        .topic = slice_text(topic), .leader_epoch = epoch, .is_delete = is_delete};
    struct control control = {.call = {.stops = &one, .stop_count = 1, .done = control_done},
                              .world = world};

    world->is_done = false;
    partitions_control(world->partitions, &control.call);
    until(world, &world->is_done);
    *log = one.log;
    return one.err;
}

/* ---- what clients do ---- */

static struct slice batch_of(struct world *world, int records, const char *value)
{
    struct record_builder builder;

    buf_clear(&world->batch);
    record_builder_begin(&builder, &world->batch);
    for (int i = 0; i < records; i++)
        record_builder_add(&builder, 1000 + i, SLICE_NULL, slice_text(value), NULL, 0);
    record_builder_end(&builder);
    return buf_slice(&world->batch);
}

struct produced {
    struct commit_wait wait;
    struct append append;
    bool is_decided;
    enum err err;
};

static void decided(struct commit_wait *wait, enum err err)
{
    struct produced *it = (struct produced *)(void *)wait;

    ck_assert(!it->is_decided);
    it->is_decided = true;
    it->err = err;
}

static void produce(struct world *world, const char *topic, bool acks_all, int records,
                    struct produced *out)
{
    struct slice batch = batch_of(world, records, "a value");

    *out = (struct produced){.wait.done = decided};
    out->append = (struct append){
        .topic = slice_text(topic),
        .records = world->batch.ptr,
        .len = batch.len,
        .acks_all = acks_all,
        .deadline = instant_add_ms(shard_now(&world->shard), 600000),
        .wait = &out->wait,
        .arena = &world->arena,
    };
    partitions_append(world->partitions, &out->append);
}

/* With acks=1. */
static void produce_one(struct world *world, const char *topic, struct produced *out)
{
    struct slice batch = batch_of(world, 1, "a value");

    *out = (struct produced){.wait.done = decided};
    out->append = (struct append){
        .topic = slice_text(topic),
        .records = world->batch.ptr,
        .len = batch.len,
        .acks_leader = true,
        .deadline = instant_add_ms(shard_now(&world->shard), 600000),
        .wait = &out->wait,
        .arena = &world->arena,
    };
    partitions_append(world->partitions, &out->append);
}

static struct read read_as(struct world *world, const char *topic, int32_t replica, int64_t offset,
                           bool is_first)
{
    struct read_by reader = {
        .replica = replica, .needs_leader = true, .is_first = is_first, .broker_epoch = -1};
    struct read read = {
        .topic = slice_text(topic),
        .leader_epoch = -1,
        .offset = offset,
        .last_epoch = -1,
        .log_start = 0,
        .bytes_max = 1 << 20,
        .at_least_one = true,
    };

    partitions_read(world->partitions, &reader, &read);
    return read;
}

START_TEST(what_is_produced_is_read_back_byte_for_byte)
{
    struct world world;
    struct produced produced;
    uint8_t got[4096];
    size_t n = 0;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 1, 1, 1), ERR_OK);
    ck_assert_int_eq(world.led, 1);
    produce(&world, "t", false, 3, &produced);
    ck_assert_int_eq(produced.append.err, ERR_OK);
    ck_assert_int_eq(produced.append.base_offset, 0);
    produce(&world, "t", true, 2, &produced); /* acks=all, alone: committed at once */
    ck_assert_int_eq(produced.append.err, ERR_OK);
    ck_assert(!produced.append.waits);
    ck_assert_int_eq(produced.append.base_offset, 3);

    struct read read = read_as(&world, "t", -1, 3, true);
    ck_assert_int_eq(read.err, ERR_OK);
    ck_assert_int_eq(read.high_watermark, 5);
    ck_assert_int_eq(read.slice.len, (int64_t)world.batch.len);
    ck_assert_int_eq(file_read_at(world.env, log_slice_file(&read.slice),
                                  (uint64_t)read.slice.position, got, sizeof(got), &n),
                     ERR_OK);
    ck_assert_int_eq(memcmp(got, world.batch.ptr, world.batch.len), 0); /* as it was patched */
    log_slice_release(&read.slice);

    read = read_as(&world, "t", -1, 6, true);
    ck_assert_int_eq(read.err, ERR_RANGE);
    ck_assert_int_eq(read.high_watermark, -1);
    read = read_as(&world, "t", -1, 5, true);
    ck_assert_int_eq(read.err, ERR_OK);
    ck_assert_int_eq(read.slice.len, 0);
    close_world(&world);
}
END_TEST

START_TEST(acks_all_waits_for_the_fetch_that_follows)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 2), ERR_OK);
    struct read read = read_as(&world, "t", FOLLOWER, 0, true);
    ck_assert_int_eq(read.err, ERR_OK);
    produce(&world, "t", true, 3, &produced);
    ck_assert(produced.append.waits);
    ck_assert_int_eq(read_as(&world, "t", -1, 0, true).slice.len, 0); /* not visible yet */

    read = read_as(&world, "t", FOLLOWER, 0, true); /* takes the data */
    ck_assert_int_gt(read.slice.len, 0);
    log_slice_release(&read.slice);
    turn(&world);
    ck_assert(!produced.is_decided);
    read_as(&world, "t", FOLLOWER, 3, false); /* a second pass acknowledges nothing */
    turn(&world);
    ck_assert(!produced.is_decided);
    read = read_as(&world, "t", FOLLOWER, 3, true); /* has it */
    ck_assert_int_eq(read.high_watermark, 3);
    until(&world, &produced.is_decided);
    ck_assert_int_eq(produced.err, ERR_OK);
    close_world(&world);
}
END_TEST

START_TEST(lost_leadership_and_time_end_a_wait)
{
    struct world world;
    struct produced first, second;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 1), ERR_OK);
    produce(&world, "t", true, 1, &first);
    ck_assert(first.append.waits);
    partitions_forget_wait(world.partitions, &first.wait);

    produce(&world, "t", true, 1, &first);
    struct slice batch = batch_of(&world, 1, "late");
    second = (struct produced){.wait.done = decided};
    second.append = (struct append){
        .topic = SLICE("t"),
        .records = world.batch.ptr,
        .len = batch.len,
        .acks_all = true,
        .deadline = shard_now(&world.shard),
        .wait = &second.wait,
        .arena = &world.arena,
    };
    partitions_append(world.partitions, &second.append);
    until(&world, &second.is_decided);
    ck_assert_int_eq(second.err, ERR_TIMED_OUT);
    ck_assert(!first.is_decided);

    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 2, 2, 2, 1), ERR_OK);
    until(&world, &first.is_decided);
    ck_assert_int_eq(first.err, ERR_NOT_LEADER);
    ck_assert_int_eq(world.led, 0);
    ck_assert_int_eq(world.followed_leader, FOLLOWER);
    produce(&world, "t", false, 1, &first);
    ck_assert_int_eq(first.append.err, ERR_NOT_LEADER);
    ck_assert_int_eq(first.append.leader, FOLLOWER);
    ck_assert_int_eq(first.append.log_start, -1);
    close_world(&world);
}
END_TEST

START_TEST(too_small_an_isr_refuses_acks_all_only)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 1, 2), ERR_OK);
    produce(&world, "t", true, 1, &produced);
    ck_assert_int_eq(produced.append.err, ERR_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(produced.append.log_start, 0);
    produce(&world, "t", false, 1, &produced);
    ck_assert_int_eq(produced.append.err, ERR_OK);
    ck_assert_int_eq(produced.append.base_offset, 0); /* the refused one left nothing */
    struct read read = read_as(&world, "t", -1, 0, true);
    ck_assert_int_eq(read.high_watermark, 0); /* frozen */
    close_world(&world);
}
END_TEST

START_TEST(a_follower_that_has_it_all_is_proposed_and_counts_when_decided)
{
    struct world world;
    struct produced produced;
    static const int32_t both[] = {SELF, FOLLOWER};

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 1, 1), ERR_OK);
    produce(&world, "t", false, 2, &produced);
    read_as(&world, "t", FOLLOWER, 2, true);
    ck_assert_int_eq(world.proposals, 1);
    ck_assert_int_eq(world.proposed.isr_count, 2);
    ck_assert_int_eq(world.proposed_isr[1], FOLLOWER);
    ck_assert_int_eq(world.proposed.partition_epoch, 10);
    struct isr_decision decision = {
        .topic = SLICE("t"),
        .verdict = ISR_COMMITTED,
        .leader_epoch = 1,
        .partition_epoch = 11,
        .isr = both,
        .isr_count = 2,
    };
    partitions_isr_decided(world.partitions, &decision);
    ck_assert_uint_eq(counter_value(&partitions_counts(world.partitions)->isr_expands), 1);
    ck_assert_int_eq(gauge_value(&partitions_counts(world.partitions)->under_replicated), 0);
    decision.topic = SLICE("unknown"); /* an answer for what has gone meanwhile */
    partitions_isr_decided(world.partitions, &decision);
    close_world(&world);
}
END_TEST

struct watching {
    struct watch watch;
    struct watch_part part;
    bool is_ready;
};

static void ready(struct watch *watch)
{
    ((struct watching *)(void *)watch)->is_ready = true;
}

static void watch(struct world *world, struct watching *it, const struct read *read,
                  int32_t replica, int64_t bytes)
{
    struct read_by reader = {.replica = replica, .needs_leader = true};

    *it = (struct watching){.watch = {.parts = &it->part, .bytes_wanted = bytes, .ready = ready}};
    partitions_watch(world->partitions, &it->watch, &reader, read, 1);
}

START_TEST(a_watch_ends_with_data_that_its_reader_may_see)
{
    struct world world;
    struct watching consumer, follower;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 1), ERR_OK);
    struct read by_consumer = read_as(&world, "t", -1, 0, true);
    struct read by_follower = read_as(&world, "t", FOLLOWER, 0, true);
    watch(&world, &consumer, &by_consumer, -1, 1);
    watch(&world, &follower, &by_follower, FOLLOWER, 1);
    turn(&world);
    ck_assert(!consumer.is_ready && !follower.is_ready);

    produce(&world, "t", false, 1, &produced);
    ck_assert(!follower.is_ready); /* not inside the append */
    until(&world, &follower.is_ready);
    ck_assert(!consumer.is_ready); /* not committed */
    read_as(&world, "t", FOLLOWER, 1, true);
    until(&world, &consumer.is_ready);
    close_world(&world);
}
END_TEST

/* Read for another shard, whose word to watch it comes when it is gone: nothing would end that. */
START_TEST(a_watch_of_what_has_gone_since_it_was_read_ends)
{
    struct read gone = {.topic = SLICE("gone"), .preferred = -1};
    struct world world;
    struct watching it;

    open_world(&world);
    watch(&world, &it, &gone, -1, 1);
    ck_assert(!it.is_ready); /* not inside */
    turn(&world);
    ck_assert(it.is_ready);
    close_world(&world);
}
END_TEST

START_TEST(a_watch_counts_bytes_and_ends_with_leadership)
{
    struct world world;
    struct watching many, lost;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 1, 1, 1), ERR_OK);
    struct read read = read_as(&world, "t", -1, 0, true);
    produce(&world, "t", false, 1, &produced);
    watch(&world, &many, &read, -1, (int64_t)world.batch.len * 2);
    turn(&world);
    turn(&world);
    ck_assert(!many.is_ready); /* half of it */
    produce(&world, "t", false, 1, &produced);
    until(&world, &many.is_ready);

    read = read_as(&world, "t", -1, 2, true);
    watch(&world, &lost, &read, -1, 1000);
    ck_assert_int_eq(apply(&world, "t", SELF, 2, 1, 1, 1), ERR_OK); /* a new epoch is news too */
    until(&world, &lost.is_ready);

    watch(&world, &lost, &read, -1, 1000);
    partitions_unwatch(world.partitions, &lost.watch);
    produce(&world, "t", false, 10, &produced);
    turn(&world);
    turn(&world);
    ck_assert(!lost.is_ready);
    close_world(&world);
}
END_TEST

START_TEST(control_answers_each_partition)
{
    struct world world;
    struct produced produced;
    struct log *log = NULL;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 5, 1, 1, 1), ERR_OK);
    ck_assert_int_eq(apply(&world, "t", SELF, 5, 1, 1, 1), ERR_STALE_CONTROLLER_EPOCH);
    ck_assert_int_eq(apply(&world, "t", SELF, 4, 1, 1, 1), ERR_STALE_CONTROLLER_EPOCH);
    ck_assert_int_eq(apply(&world, "other", 3, 1, 0, 0, 1), ERR_NOT_FOUND); /* no replica here */

    ck_assert_int_eq(stop(&world, "t", 4, false, &log), ERR_FENCED_EPOCH);
    ck_assert_int_eq(stop(&world, "unknown", 1, true, &log), ERR_OK);
    ck_assert_ptr_null(log);
    ck_assert_int_eq(stop(&world, "t", 5, false, &log), ERR_OK);
    produce(&world, "t", false, 1, &produced);
    ck_assert_int_eq(produced.append.err, ERR_NOT_LEADER);
    ck_assert_int_eq(apply(&world, "t", SELF, 6, 1, 1, 1), ERR_OK);
    ck_assert_int_eq(stop(&world, "t", EPOCH_DURING_DELETE, true, &log), ERR_OK);
    ck_assert_ptr_nonnull(log);
    produce(&world, "t", false, 1, &produced);
    ck_assert_int_eq(produced.append.err, ERR_NOT_FOUND);
    close_world(&world);
}
END_TEST

START_TEST(bad_batches_leave_nothing)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    world.config.message_bytes_max = 200;
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 1, 1, 1), ERR_OK);

    batch_of(&world, 1, "x");
    world.batch.ptr[world.batch.len - 1] ^= 1; /* checksum */
    struct append append = {.topic = SLICE("t"),
                            .records = world.batch.ptr,
                            .len = world.batch.len,
                            .arena = &world.arena};
    partitions_append(world.partitions, &append);
    ck_assert_int_eq(append.err, ERR_CORRUPT);
    ck_assert_int_eq(append.log_start, -1);
    produce(&world, "t", false, 100, &produced);
    ck_assert_int_eq(produced.append.err, ERR_TOO_LARGE);
    produce(&world, "t", false, 1, &produced);
    ck_assert_int_eq(produced.append.base_offset, 0);
    close_world(&world);
}
END_TEST

static enum err replicate(struct world *world, int64_t base, int records, int64_t start,
                          struct follower_view *view)
{
    struct slice batch = batch_of(world, records, "from the leader");

    batch_set_base_offset(world->batch.ptr, base);
    batch_set_leader_epoch(world->batch.ptr, 7);
    return partitions_replicate(world->partitions, SLICE("t"), 0, 7, batch, base + records, start,
                                view);
}

/* The leader's log begins there by DeleteRecords; what it sends begins where its batch does. */
START_TEST(a_follower_that_ends_in_a_batch_goes_on_with_it)
{
    struct world world;
    struct follower_view view;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 7, 2, 2, 1), ERR_OK);
    ck_assert_int_eq(replicate(&world, 0, 4, 0, &view), ERR_OK);
    ck_assert_int_eq(replicate(&world, 4, 4, 0, &view), ERR_OK);
    ck_assert_int_eq(partitions_truncate(world.partitions, SLICE("t"), 0, 7, 6, &view), ERR_OK);
    ck_assert_int_eq(view.end, 6);
    ck_assert_int_eq(replicate(&world, 0, 4, 6, &view), ERR_RANGE); /* that is long past */
    ck_assert_int_eq(replicate(&world, 4, 4, 6, &view), ERR_OK);
    ck_assert_int_eq(view.end, 8);
    ck_assert_int_eq(view.start, 6);
    ck_assert_int_eq(view.high_watermark, 8);
    /* Empty, it began where the leader's log does. */
    ck_assert_int_eq(partitions_restart_at(world.partitions, SLICE("t"), 0, 7, 10, &view), ERR_OK);
    ck_assert_int_eq(replicate(&world, 8, 4, 10, &view), ERR_OK);
    ck_assert_int_eq(view.end, 12);
    ck_assert_int_eq(view.start, 10);
    close_world(&world);
}
END_TEST

START_TEST(a_follower_writes_what_the_leader_sent)
{
    struct world world;
    struct follower_view view;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 7, 2, 2, 1), ERR_OK);
    ck_assert_int_eq(partitions_follower(world.partitions, SLICE("t"), 0, 6, &view), ERR_STALE);
    ck_assert_int_eq(partitions_follower(world.partitions, SLICE("t"), 0, 7, &view), ERR_OK);
    ck_assert_int_eq(view.end, 0);

    struct slice batch = batch_of(&world, 4, "from the leader");
    batch_set_base_offset(world.batch.ptr, 0);
    batch_set_leader_epoch(world.batch.ptr, 7);
    ck_assert_int_eq(partitions_replicate(world.partitions, SLICE("t"), 0, 7, batch, 2, 0, &view),
                     ERR_OK);
    ck_assert_int_eq(view.end, 4);
    ck_assert_int_eq(view.high_watermark, 2);
    ck_assert_int_eq(view.latest.epoch, 7);
    /* The same again does not begin at the end. */
    ck_assert_int_eq(partitions_replicate(world.partitions, SLICE("t"), 0, 7, batch, 2, 0, &view),
                     ERR_RANGE);

    /* A consumer of v11+ reads here, up to our watermark. */
    struct read_by reader = {.replica = -1};
    struct read read = {.topic = SLICE("t"),
                        .leader_epoch = 7,
                        .offset = 3,
                        .last_epoch = -1,
                        .bytes_max = 1000,
                        .at_least_one = true};
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_OK);
    ck_assert_int_eq(read.slice.len, 0);

    ck_assert_int_eq(partitions_truncate(world.partitions, SLICE("t"), 0, 7, 0, &view), ERR_OK);
    ck_assert_int_eq(view.end, 0);
    ck_assert_int_eq(view.high_watermark, 0);
    ck_assert_int_eq(partitions_restart_at(world.partitions, SLICE("t"), 0, 7, 40, &view), ERR_OK);
    ck_assert_int_eq(view.start, 40);
    ck_assert_int_eq(view.end, 40);
    close_world(&world);
}
END_TEST

START_TEST(divergence_is_told_and_not_noted)
{
    struct world world;
    struct produced produced;
    struct read_by reader = {.replica = FOLLOWER, .needs_leader = true, .is_first = true};

    /* Example B of replication.md 4.4, from the new leader's side: epochs 1 and 3. */
    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 1), ERR_OK);
    produce(&world, "t", false, 20, &produced);
    ck_assert_int_eq(apply(&world, "t", SELF, 3, 2, 2, 1), ERR_OK);
    produce(&world, "t", false, 5, &produced);

    struct read read = {
        .topic = SLICE("t"), .leader_epoch = 3, .offset = 21, .last_epoch = 2, .bytes_max = 1000};
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_OK);
    ck_assert(read.diverges);
    ck_assert_int_eq(read.diverging.epoch, 1);
    ck_assert_int_eq(read.diverging.end_offset, 20);
    ck_assert_int_eq(read.slice.len, 0);

    read.last_epoch = 9; /* nobody knows it */
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_RANGE);
    read.last_epoch = 3;
    read.leader_epoch = 1;
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_FENCED_EPOCH);
    read.leader_epoch = 4;
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_UNKNOWN_EPOCH);
    read.leader_epoch = 3;
    reader.replica = 77; /* not in the assignment */
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_UNKNOWN_EPOCH);
    read.leader_epoch = -1;
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_NOT_LEADER);
    read.topic_id = (struct uuid){{9}};
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_TOPIC_ID);

    struct epoch_end end;
    ck_assert_int_eq(partitions_epoch_end(world.partitions, SLICE("t"), 0, 3, 1, &end), ERR_OK);
    ck_assert_int_eq(end.end_offset, 20);
    ck_assert_int_eq(partitions_epoch_end(world.partitions, SLICE("t"), 0, 3, 9, &end), ERR_OK);
    ck_assert_int_eq(end.epoch, -1);
    close_world(&world);
}
END_TEST

struct asked {
    struct offset_query query;
    bool is_done;
};

static void answered(struct offset_query *query)
{
    ((struct asked *)(void *)query)->is_done = true;
}

static void ask(struct world *world, struct asked *it, int64_t timestamp, int32_t replica)
{
    *it = (struct asked){.query = {.topic = SLICE("t"),
                                   .leader_epoch = -1,
                                   .timestamp = timestamp,
                                   .replica = replica,
                                   .done = answered}};
    if (!partitions_list_offsets(world->partitions, &it->query)) until(world, &it->is_done);
}

START_TEST(offsets_are_found_up_to_what_is_committed)
{
    struct world world;
    struct produced produced;
    struct asked asked;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 1), ERR_OK);
    produce(&world, "t", false, 5, &produced);                  /* timestamps 1000 … 1004 */
    struct read read = read_as(&world, "t", FOLLOWER, 3, true); /* the batch has 3 in it */
    ck_assert_int_gt(read.slice.len, 0);
    log_slice_release(&read.slice);

    ask(&world, &asked, OFFSETS_LATEST, -1);
    ck_assert_int_eq(asked.query.offset, 3);
    ck_assert_int_eq(asked.query.found_epoch, 1);
    ask(&world, &asked, OFFSETS_LATEST, FOLLOWER);
    ck_assert_int_eq(asked.query.offset, 5);
    ask(&world, &asked, OFFSETS_EARLIEST, -1);
    ck_assert_int_eq(asked.query.offset, 0);
    ask(&world, &asked, 1002, -1);
    ck_assert_int_eq(asked.query.err, ERR_OK);
    ck_assert_int_eq(asked.query.offset, 2);
    ck_assert_int_eq(asked.query.found_timestamp, 1002);
    ask(&world, &asked, 1003, -1); /* there, but not committed */
    ck_assert_int_eq(asked.query.offset, -1);
    ask(&world, &asked, OFFSETS_MAX_TIMESTAMP, FOLLOWER);
    ck_assert_int_eq(asked.query.offset, 4);
    ask(&world, &asked, 99999, -1);
    ck_assert_int_eq(asked.query.offset, -1);

    /* A new epoch above the watermark: nothing latest may be named (KIP-207). */
    ck_assert_int_eq(apply(&world, "t", SELF, 2, 2, 2, 1), ERR_OK);
    ask(&world, &asked, OFFSETS_LATEST, -1);
    ck_assert_int_eq(asked.query.err, ERR_BUSY);
    ask(&world, &asked, 1003, -1);
    ck_assert_int_eq(asked.query.err, ERR_BUSY);
    close_world(&world);
}
END_TEST

START_TEST(a_restart_remembers_records_epochs_and_watermark)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 4, 1, 1, 1), ERR_OK);
    produce(&world, "t", false, 5, &produced);
    close_store(&world);
    open_store(&world);
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 5, 2, 2, 1), ERR_OK);
    struct follower_view view;
    ck_assert_int_eq(partitions_follower(world.partitions, SLICE("t"), 0, 5, &view), ERR_OK);
    ck_assert_int_eq(view.end, 5);
    ck_assert_int_eq(view.high_watermark, 5);
    ck_assert_int_eq(view.latest.epoch, 4);
    close_world(&world);
}
END_TEST

/* A broker lost its page cache: the log ends at 5, and `promised` was the watermark. */
static void come_back_short(struct world *world, int promised)
{
    char name[128], text[64];
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};

    close_store(world);
    snprintf(name, sizeof(name), "%s/t-0/partition.metadata", world->path);
    clock_gettime(CLOCK_REALTIME, &times[1]);
    times[1].tv_sec -= 60;
    ck_assert_int_eq(utimensat(AT_FDCWD, name, times, 0), 0);
    snprintf(name, sizeof(name), "%s/.kafka_cleanshutdown", world->path);
    ck_assert_int_eq(unlink(name), 0);
    snprintf(name, sizeof(name), "%s/replication-offset-checkpoint", world->path);
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    snprintf(text, sizeof(text), "0\n1\nt 0 %d\n", promised);
    fputs(text, file);
    fclose(file);
    open_store(world);
}

START_TEST(a_replica_that_lost_what_it_promised_does_not_lead)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 4, 3, 1, 1), ERR_OK);
    produce(&world, "t", false, 5, &produced);
    come_back_short(&world, 9);
    struct partitions_counts *counts = partitions_counts(world.partitions);

    /* Alone in the ISR, or with others: they may have what is missing. */
    ck_assert_int_eq(apply(&world, "t", SELF, 5, 3, 1, 1), ERR_OFFLINE);
    ck_assert_int_eq(apply(&world, "t", SELF, 5, 3, 2, 1), ERR_OFFLINE);
    /* Nobody leads, and it is in the ISR: if it said yes it would be elected. */
    ck_assert_int_eq(apply(&world, "t", -1, 6, 3, 1, 1), ERR_OFFLINE);
    ck_assert_int_eq(counter_value(&counts->guard_stood_back), 3);
    produce(&world, "t", false, 1, &produced);
    ck_assert_int_eq(produced.append.err, ERR_NOT_FOUND);

    /* The topic gives leave: the same order is taken now, and what it cost is counted. */
    world.config.leads_unclean = true;
    log_set_config(store_find(world.store, SLICE("t"), 0), &world.config);
    ck_assert_int_eq(apply(&world, "t", SELF, 7, 3, 1, 1), ERR_OK);
    ck_assert_int_eq(counter_value(&counts->guard_records_lost), 4);
    produce(&world, "t", false, 1, &produced);
    ck_assert_int_eq(produced.append.err, ERR_OK);
    ck_assert_int_eq(produced.append.base_offset, 5);
    /* It is settled: leave taken back does not matter any more. */
    world.config.leads_unclean = false;
    log_set_config(store_find(world.store, SLICE("t"), 0), &world.config);
    ck_assert_int_eq(apply(&world, "t", SELF, 8, 3, 1, 1), ERR_OK);
    close_world(&world);
}
END_TEST

START_TEST(a_replica_that_lost_what_it_promised_follows_another)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 4, 3, 1, 1), ERR_OK);
    produce(&world, "t", false, 5, &produced);
    come_back_short(&world, 9);
    ck_assert_int_eq(apply(&world, "t", SELF, 5, 3, 1, 1), ERR_OFFLINE);
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 6, 3, 1, 1), ERR_OK);
    ck_assert_int_eq(world.followed_leader, FOLLOWER);
    ck_assert_int_eq(log_promised(store_find(world.store, SLICE("t"), 0)), 0);
    ck_assert_int_eq(apply(&world, "t", SELF, 7, 3, 2, 1), ERR_OK);
    close_world(&world);
}
END_TEST

/* An unclean election by order of the operator comes with the recovery state. */
START_TEST(an_unclean_election_makes_a_short_log_lead)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 4, 3, 1, 1), ERR_OK);
    produce(&world, "t", false, 5, &produced);
    come_back_short(&world, 9);
    world.is_recovering = true;
    ck_assert_int_eq(apply(&world, "t", SELF, 5, 3, 1, 1), ERR_OK);
    ck_assert_int_eq(log_promised(store_find(world.store, SLICE("t"), 0)), 0);
    close_world(&world);
}
END_TEST

static void note_save(void *owner)
{
    ((struct world *)owner)->saves++;
}

static void await_checkpoint(struct world *world, const char *line)
{
    char path[256], text[256] = "";

    snprintf(path, sizeof(path), "%s/replication-offset-checkpoint", world->path);
    store_checkpoint(world->store, STORE_HIGH_WATERMARKS);
    for (int i = 0; i < 60000 && strstr(text, line) == NULL; i++) {
        turn(world);
        usleep(1000);
        FILE *file = fopen(path, "r");
        if (file == NULL) continue;
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
    }
    ck_assert_msg(strstr(text, line) != NULL, "%s", text);
}

START_TEST(a_cut_in_a_batch_below_what_the_checkpoints_say_waits_for_them)
{
    struct world world;
    struct follower_view view;
    enum err err = ERR_BUSY;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 7, 2, 2, 1), ERR_OK);
    ck_assert_int_eq(replicate(&world, 0, 4, 0, &view), ERR_OK);
    ck_assert_int_eq(replicate(&world, 4, 4, 0, &view), ERR_OK);
    ck_assert_int_eq(partitions_truncate(world.partitions, SLICE("t"), 0, 7, 6, &view), ERR_OK);
    await_checkpoint(&world, "t 0 6\n");
    ck_assert_int_eq(replicate(&world, 4, 4, 6, &view), ERR_BUSY);
    ck_assert_int_eq(world.saves, 1);
    ck_assert_int_eq(log_end_offset(log_of(&world, "t")), 6); /* nothing was cut yet */
    store_checkpoint(world.store, STORE_HIGH_WATERMARKS | STORE_RECOVERY_POINTS);
    for (int i = 0; i < 60000 && err == ERR_BUSY; i++) {
        turn(&world);
        usleep(1000);
        err = replicate(&world, 4, 4, 6, &view);
    }
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_int_eq(view.end, 8);
    close_world(&world);
}
END_TEST

START_TEST(a_cut_below_what_the_checkpoints_say_waits_for_them)
{
    struct world world;
    struct follower_view view;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 7, 2, 2, 1), ERR_OK);
    struct slice batch = batch_of(&world, 4, "from the leader");
    batch_set_base_offset(world.batch.ptr, 0);
    batch_set_leader_epoch(world.batch.ptr, 7);
    ck_assert_int_eq(partitions_replicate(world.partitions, SLICE("t"), 0, 7, batch, 4, 0, &view),
                     ERR_OK);
    await_checkpoint(&world, "t 0 4\n");
    ck_assert_int_eq(partitions_truncate(world.partitions, SLICE("t"), 0, 7, 0, &view), ERR_BUSY);
    ck_assert_int_eq(world.saves, 1);
    ck_assert_int_eq(log_end_offset(log_of(&world, "t")), 4);
    store_checkpoint(world.store, STORE_HIGH_WATERMARKS | STORE_RECOVERY_POINTS);
    enum err err = ERR_BUSY;
    for (int i = 0; i < 60000 && err == ERR_BUSY; i++) {
        turn(&world);
        usleep(1000);
        err = partitions_truncate(world.partitions, SLICE("t"), 0, 7, 0, &view);
    }
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_int_eq(view.end, 0);
    ck_assert_int_eq(counter_value(&partitions_counts(world.partitions)->guard_records_lost), 4);
    close_world(&world);
}
END_TEST

START_TEST(a_topic_lives_where_its_hash_says)
{
    int counts[4] = {0};

    for (int32_t i = 0; i < 400; i++)
        counts[partition_shard(SLICE("orders"), i, 4)]++;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(counts[i], 100);
    ck_assert_int_eq(partition_shard(SLICE("orders"), 7, 1), 0);
}
END_TEST

/* The store's logs know what their topics were at the start: what has changed until a shard takes
 * them comes with the order; what changes while the order waits is newer than it. */
START_TEST(a_log_has_its_topics_latest_configuration)
{
    struct world world;

    open_world(&world);
    struct log_config first = world.config, second = world.config;
    first.retention_ms = 1000;
    second.retention_ms = 2000;
    for (int is_late = 0; is_late < 2; is_late++) {
        const char *topic = is_late ? "late" : "t";
        struct replica_change change = {
            .topic = slice_text(topic),
            .topic_id = {{1}},
            .leader = SELF,
            .leader_epoch = 1,
            .partition_epoch = 1,
            .replicas = replicas,
            .replica_count = 2,
            .isr = replicas,
            .isr_count = 2,
            .is_leader_alive = true,
            .log = log_of(&world, topic),
            .min_insync = 1,
            .config = &first,
        };
        struct control control = {
            .call = {.changes = &change, .change_count = 1, .done = control_done}, .world = &world};
        world.is_done = false;
        partitions_control(world.partitions, &control.call);
        if (is_late)
            partitions_configure(world.partitions, slice_text(topic), &second, 2,
                                 &(struct topic_throttles){0});
        until(&world, &world.is_done);
        ck_assert_int_eq(change.err, ERR_OK);
        ck_assert_int_eq(log_config(change.log)->retention_ms, is_late ? 2000 : 1000);
    }
    ck_assert_int_eq(gauge_value(&partitions_counts(world.partitions)->at_min_isr), 1);
    close_world(&world);
}
END_TEST

/* Without descriptors the log cannot be synced before the ISR shrinks; that passes. */
START_TEST(nothing_is_taken_before_it_is_known_what_the_topic_asks_for)
{
    struct records_deletion deletion = {.topic = SLICE("t"), .offset = -1};
    struct produced produced;
    struct world world;

    open_world(&world);
    world.config.is_awaited = true;
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 1, 1, 1), ERR_OK);
    produce(&world, "t", false, 3, &produced);
    ck_assert_int_eq(produced.append.err, ERR_NOT_LEADER);
    ck_assert(partitions_delete_records(world.partitions, &deletion));
    ck_assert_int_eq(deletion.err, ERR_NOT_LEADER);
    ck_assert_int_eq(log_end_offset(log_of(&world, "t")), 0);

    world.config.is_awaited = false;
    partitions_configure(world.partitions, SLICE("t"), &world.config, 1,
                         &(struct topic_throttles){0});
    produce(&world, "t", false, 3, &produced);
    ck_assert_int_eq(produced.append.err, ERR_OK);
    ck_assert(partitions_delete_records(world.partitions, &deletion));
    ck_assert_int_eq(deletion.err, ERR_OK);
    close_world(&world);
}
END_TEST

START_TEST(a_sync_that_could_not_begin_is_asked_for_again)
{
    struct replica_settings settings;
    struct produced produced;
    struct rlimit limit, none;
    struct world world;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 2), ERR_OK);
    for (int i = 0; i < 20; i++) {
        char other[16];
        snprintf(other, sizeof(other), "o%d", i);
        ck_assert_int_eq(apply(&world, other, SELF, 1, 1, 1, 1), ERR_OK);
    }
    for (int i = 0; i < 3000; i++) { /* upkeep, which syncs new epochs, has had two turns */
        turn(&world);
        usleep(1000);
    }
    produce(&world, "t", false, 1, &produced);
    for (int i = 0; i < 20; i++) { /* so that the file of "t" is closed */
        char other[16];
        snprintf(other, sizeof(other), "o%d", i);
        produce(&world, other, false, 1, &produced);
    }
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    replica_settings_init(&settings);
    settings.replica_lag_time_ms_max = 20;
    partitions_set_settings(world.partitions, &settings);
    for (int i = 0; i < 1000; i++) {
        turn(&world);
        usleep(1000);
    }
    ck_assert_int_eq(world.proposals, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < 60000 && world.proposals == 0; i++) {
        turn(&world);
        usleep(1000);
    }
    ck_assert_int_eq(world.proposals, 1);
    ck_assert_int_eq(world.proposed.isr_count, 1);
    close_world(&world);
}
END_TEST

/* Keeps the pool's only thread until it is told to go on. */
struct keeper {
    struct disk_job job;
    _Atomic bool may_go;
    bool is_done;
};

static void keeper_run(struct disk_job *job)
{
    while (!atomic_load(&((struct keeper *)(void *)job)->may_go))
        usleep(1000);
}

static void keeper_done(struct disk_job *job)
{
    ((struct keeper *)(void *)job)->is_done = true;
}

/* Thousands of them could wait, each for the device; the end of the store takes them together. */
START_TEST(an_end_does_not_wait_for_syncs_that_have_not_begun)
{
    struct keeper keeper = {.job = {.run = keeper_run, .done = keeper_done}};
    struct produced produced;
    struct world world;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 3, 2, 2), ERR_OK);
    struct log *log = log_of(&world, "t");
    produce(&world, "t", false, 1, &produced);
    keeper.job.home = &world.shard;
    disk_submit(world.env, world.disk, DISK_SOON, &world.shard, &keeper.job);
    /* Alone in the ISR, of which two are the least: what it has is to be synced. */
    ck_assert_int_eq(apply(&world, "t", SELF, 2, 3, 1, 2), ERR_OK);
    world.is_done = false;
    partitions_close(world.partitions, on_done, &world);
    turn(&world);
    ck_assert(!world.is_done); /* the sync is on the pool */
    atomic_store(&keeper.may_go, true);
    until(&world, &world.is_done);
    until(&world, &keeper.is_done);
    ck_assert_int_eq(log_recovery_point(log), 0); /* nothing was waited for */
    partitions_destroy(&world.partitions);
    world.is_done = false;
    store_close(world.store);
    until(&world, &world.is_done);
    ck_assert_int_eq(log_recovery_point(log), 1);
    store_destroy(&world.store);

    open_store(&world);
    log = log_of(&world, "t");
    ck_assert_int_eq(log_recovery_point(log), 1);
    ck_assert_int_eq(log_epochs(log)->count, 1);
    ck_assert_uint_eq(log_topic_id(log).bytes[0], 1);
    close_world(&world);
}
END_TEST

/* The others are of rack "b"; who reads is of `rack`. */
static int32_t preferred(struct world *world, const char *rack, int32_t replica, int64_t offset)
{
    struct read_by reader = {.replica = replica,
                             .needs_leader = replica >= 0,
                             .broker_epoch = -1,
                             .rack = slice_text(rack),
                             .listener = 7};
    struct read read = {.topic = SLICE("t"),
                        .leader_epoch = -1,
                        .offset = offset,
                        .last_epoch = -1,
                        .bytes_max = 1 << 20,
                        .at_least_one = true};

    partitions_read(world->partitions, &reader, &read);
    ck_assert(read.preferred < 0 || (read.err == ERR_OK && read.slice.len == 0));
    log_slice_release(&read.slice);
    return read.preferred;
}

START_TEST(a_consumer_is_sent_to_the_replica_of_its_rack)
{
    struct replica_settings settings;
    struct produced produced;
    struct world world;

    open_world(&world);
    replica_settings_init(&settings);
    settings.reads_by_rack = true;
    partitions_set_settings(world.partitions, &settings);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 3, 2, 1), ERR_OK); /* 3 is not in sync */
    produce(&world, "t", false, 4, &produced);
    ck_assert_int_eq(preferred(&world, "b", -1, 0), -1); /* the follower has never asked */
    struct read taken = read_as(&world, "t", FOLLOWER, 0, true);
    log_slice_release(&taken.slice);
    read_as(&world, "t", FOLLOWER, 4, true);
    produce(&world, "t", false, 2, &produced);
    ck_assert_int_eq(preferred(&world, "b", -1, 0), FOLLOWER);
    ck_assert_int_eq(preferred(&world, "b", -1, 4), FOLLOWER);
    ck_assert_int_eq(preferred(&world, "b", -1, 5), -1);       /* it does not have that */
    ck_assert_int_eq(preferred(&world, "a", -1, 0), -1);       /* the leader's own rack */
    ck_assert_int_eq(preferred(&world, "c", -1, 0), -1);       /* nobody's */
    ck_assert_int_eq(preferred(&world, "", -1, 0), -1);        /* says nothing */
    ck_assert_int_eq(preferred(&world, "b", FOLLOWER, 4), -1); /* is a replica */
    world.is_dead = true;
    ck_assert_int_eq(preferred(&world, "b", -1, 0), -1);
    world.is_dead = false;
    settings.reads_by_rack = false;
    partitions_set_settings(world.partitions, &settings);
    ck_assert_int_eq(preferred(&world, "b", -1, 0), -1);
    close_world(&world);
}
END_TEST

/* Consumers that read there would wait for the next record otherwise. */
START_TEST(a_follower_hears_of_the_watermark_at_once_where_consumers_read_there)
{
    struct replica_settings settings;
    struct watching waits;
    struct produced produced;
    struct world world;

    open_world(&world);
    replica_settings_init(&settings);
    for (int by_rack = 0; by_rack < 2; by_rack++) {
        settings.reads_by_rack = by_rack == 1;
        partitions_set_settings(world.partitions, &settings);
        ck_assert_int_eq(apply(&world, "t", SELF, 1 + by_rack, 3, 3, 1), ERR_OK);
        produce(&world, "t", false, 1, &produced);
        struct read read = read_as(&world, "t", FOLLOWER, produced.append.base_offset + 1, true);
        watch(&world, &waits, &read, FOLLOWER, 1000000);
        read_as(&world, "t", 3, produced.append.base_offset + 1, true); /* moves the watermark */
        turn(&world);
        turn(&world);
        ck_assert_int_eq(waits.is_ready, by_rack);
        partitions_unwatch(world.partitions, &waits.watch);
    }
    close_world(&world);
}
END_TEST

/* A quota that is used up for as long as the test runs; the partition counts for it. */
static void throttle(struct world *world, bool is_leader_throttled)
{
    struct replica_settings settings;
    struct topic_throttles throttles = {.leader.is_all = is_leader_throttled};

    replica_settings_init(&settings);
    settings.leader_throttle_rate = 1;
    partitions_set_settings(world->partitions, &settings);
    partitions_configure(world->partitions, SLICE("t"), &world->config, 1, &throttles);
}

START_TEST(a_throttled_follower_gets_nothing_while_the_quota_is_used_up)
{
    struct world world;
    struct watching waits;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 3, 2, 1), ERR_OK); /* 3 is not in sync */
    throttle(&world, true);
    produce(&world, "t", false, 3, &produced);
    struct read read = read_as(&world, "t", 3, 0, true);
    ck_assert_int_gt(read.slice.len, 0); /* nothing was sent so far */
    ck_assert(read.is_throttled);
    partitions_sent(world.partitions, 1000000);
    log_slice_release(&read.slice);

    read = read_as(&world, "t", 3, 0, true);
    ck_assert_int_eq(read.err, ERR_OK); /* no error, the watermark, and no records */
    ck_assert_int_eq(read.slice.len, 0);
    ck_assert_int_eq(read.high_watermark, 0);
    watch(&world, &waits, &read, 3, 1); /* what it is not given does not end its wait */
    produce(&world, "t", false, 3, &produced);
    turn(&world);
    turn(&world);
    ck_assert(!waits.is_ready);
    ck_assert_int_eq(apply(&world, "t", SELF, 2, 3, 2, 1), ERR_OK);
    until(&world, &waits.is_ready); /* a new epoch does */
    close_world(&world);
}
END_TEST

START_TEST(who_is_in_sync_or_not_listed_is_never_held_back)
{
    struct world world;
    struct produced produced;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 3, 2, 1), ERR_OK);
    throttle(&world, true);
    produce(&world, "t", false, 3, &produced);
    partitions_sent(world.partitions, 1000000);
    struct read read = read_as(&world, "t", FOLLOWER, 0, true);
    ck_assert_int_gt(read.slice.len, 0);
    ck_assert(read.is_throttled); /* it uses the quota nevertheless */
    log_slice_release(&read.slice);
    read = read_as(&world, "t", 3, 0, true);
    ck_assert_int_eq(read.slice.len, 0);

    throttle(&world, false);
    read = read_as(&world, "t", 3, 0, true);
    ck_assert_int_gt(read.slice.len, 0);
    ck_assert(!read.is_throttled);
    log_slice_release(&read.slice);
    close_world(&world);
}
END_TEST

/* Cut off, it does not know that another leads and that this offset is there. */
START_TEST(a_client_beyond_the_end_of_a_leader_that_nobody_follows_is_sent_on)
{
    struct world world;
    struct replica_settings settings;

    open_world(&world);
    replica_settings_init(&settings);
    settings.fetch_wait_ms_max = 10;
    partitions_set_settings(world.partitions, &settings);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 1), ERR_OK);
    ck_assert_int_eq(read_as(&world, "t", -1, 5, true).err, ERR_NOT_LEADER);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(read_as(&world, "t", FOLLOWER, 0, true).err, ERR_OK);
    ck_assert_int_eq(read_as(&world, "t", -1, 5, true).err,
                     ERR_RANGE); /* it leads: there is none */
    usleep(45000);
    turn(&world);
    ck_assert_int_eq(read_as(&world, "t", -1, 5, true).err, ERR_NOT_LEADER);
    ck_assert_int_eq(read_as(&world, "t", -1, 0, true).err, ERR_OK);
    /* Nor does one that follows, and has not all yet, know what there is. */
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 2, 2, 2, 1), ERR_OK);
    struct read_by nearest = {.replica = -1, .is_first = true, .broker_epoch = -1};
    struct read read = {
        .topic = SLICE("t"), .leader_epoch = -1, .offset = 5, .last_epoch = -1, .bytes_max = 100};
    partitions_read(world.partitions, &nearest, &read);
    ck_assert_int_eq(read.err, ERR_NOT_LEADER);
    read.offset = 0;
    partitions_read(world.partitions, &nearest, &read);
    ck_assert_int_eq(read.err, ERR_OK);
    close_world(&world);
}
END_TEST

START_TEST(one_that_is_about_to_end_follows_only_where_it_counts)
{
    struct world world;

    open_world(&world);
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 2, 2, 1), ERR_OK);
    partitions_hand_over(world.partitions);
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 2, 3, 3, 1), ERR_OK);
    ck_assert_int_eq(world.followed_leader, FOLLOWER);
    ck_assert_int_eq(apply_isr(&world, "t", FOLLOWER, 3, (int32_t[]){FOLLOWER, 3}, 2), ERR_OK);
    ck_assert_int_eq(world.followed_leader, -1);
    close_world(&world);
}
END_TEST

static int64_t log_start_of(struct world *world, const char *topic)
{
    struct read read = read_as(world, topic, -1, 1, true); /* its end: in range in any case */

    return read.log_start_here;
}

static struct instant hand_now;

static struct instant by_hand(void *of)
{
    (void)of;
    return hand_now;
}

static bool has_saved_epochs(const struct world *world, const char *topic)
{
    struct stat status;
    char path[160];

    snprintf(path, sizeof(path), "%s/%s-0/leader-epoch-checkpoint", world->path, topic);
    return stat(path, &status) == 0 && status.st_size > 4; /* "0\n0\n": it has none */
}

START_TEST(epochs_are_saved_when_leaders_rest_or_have_not_for_long)
{
    struct env_ops ops;
    struct world world;
    int64_t waited_ms = 0;

    open_world(&world);
    hand_now = env_now(world.env);
    ops = *world.env->ops;
    ops.now = by_hand;
    world.env->ops = &ops;
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 1, 1, 1), ERR_OK);
    for (int32_t epoch = 1; !has_saved_epochs(&world, "t"); epoch++) {
        ck_assert_int_lt(epoch, 10000);
        hand_now = instant_add_ms(hand_now, 500);
        waited_ms += 500;
        turn(&world);
        ck_assert_int_eq(apply(&world, "u", SELF, epoch, 1, 1, 1), ERR_OK);
        usleep(5000); /* the pool is not moved by hand */
    }
    ck_assert_int_gt(waited_ms, 5000);

    ck_assert_int_eq(apply(&world, "v", SELF, 1, 1, 1, 1), ERR_OK);
    for (int i = 0; !has_saved_epochs(&world, "v"); i++) {
        ck_assert_int_lt(i, 10000);
        hand_now = instant_add_ms(hand_now, 500);
        turn(&world);
        usleep(5000);
    }
    close_world(&world);
}
END_TEST

/* Records older than their topic keeps go when the interval says so, not with each turn of upkeep:
 * who has just sent them may read them. */
START_TEST(retention_keeps_to_its_interval)
{
    struct replica_settings settings;
    struct produced produced;
    struct world world;

    open_world(&world);
    world.config.retention_ms = 1000; /* the records are of 1970 */
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 1, 1, 1), ERR_OK);
    produce(&world, "t", false, 1, &produced);
    int64_t upkeep_ms = 1000, turns = 3; /* the first look is after 30 s at the earliest */
    struct instant end = instant_add_ms(env_now(world.env), upkeep_ms * turns + upkeep_ms / 2);
    while (instant_before(env_now(world.env), end)) {
        turn(&world);
        usleep(1000);
    }
    ck_assert_int_eq(log_start_of(&world, "t"), 0);

    replica_settings_init(&settings);
    settings.retention_check_ms = 1;
    partitions_set_settings(world.partitions, &settings);
    ck_assert_int_eq(apply(&world, "u", SELF, 1, 1, 1, 1), ERR_OK);
    produce(&world, "u", false, 1, &produced);
    for (int i = 0; i < 60000 && log_start_of(&world, "u") < 1; i++) {
        turn(&world);
        usleep(1000);
    }
    ck_assert_int_eq(log_start_of(&world, "u"), 1);
    close_world(&world);
}
END_TEST

static void produce_keyed(struct world *world, const char *topic, const char *key, size_t len)
{
    struct record_builder builder;
    struct produced produced = {.wait.done = decided};
    char *value = calloc(len + 1, 1);

    memset(value, 'v', len);
    buf_clear(&world->batch);
    record_builder_begin(&builder, &world->batch);
    record_builder_add(&builder, 1000, slice_text(key), slice_of(value, len), NULL, 0);
    record_builder_end(&builder);
    free(value);
    produced.append = (struct append){.topic = slice_text(topic),
                                      .records = world->batch.ptr,
                                      .len = world->batch.len,
                                      .arena = &world->arena};
    partitions_append(world->partitions, &produced.append);
    ck_assert_int_eq(produced.append.err, ERR_OK);
}

/* The dirtiest first, none that is not compacted, and a log may leave at any moment of it. */
START_TEST(compacted_logs_are_cleaned_and_may_leave_meanwhile)
{
    struct world world;
    struct log *log = NULL;

    open_world(&world);
    world.config.is_compacted = true;
    world.config.segment_bytes_max = 2000;
    ck_assert_int_eq(apply(&world, "compacted", SELF, 1, 1, 1, 1), ERR_OK);
    world.config.is_compacted = false;
    ck_assert_int_eq(apply(&world, "kept", SELF, 1, 1, 1, 1), ERR_OK);
    for (int i = 0; i < 50; i++) {
        produce_keyed(&world, "compacted", i % 2 == 0 ? "a" : "b", 300);
        produce_keyed(&world, "kept", "a", 300);
    }
    int64_t kept = log_size_bytes(store_find(world.store, SLICE("kept"), 0));
    struct replica_settings settings;
    replica_settings_init(&settings);
    settings.cleaner_backoff_ms = 1;
    settings.cleaner_enable = false;
    partitions_set_settings(world.partitions, &settings);
    log = store_find(world.store, SLICE("compacted"), 0);
    for (int i = 0; i < 20; i++) {
        turn(&world);
        usleep(1000);
    }
    ck_assert_int_gt(log_size_bytes(log), 10000); /* disabled: nothing happens */
    settings.cleaner_enable = true;
    partitions_set_settings(world.partitions, &settings);
    for (int i = 0; i < 60000 && log_size_bytes(log) > 4000; i++) {
        turn(&world);
        usleep(1000);
    }
    ck_assert_int_le(log_size_bytes(log), 4000);
    ck_assert_int_eq(log_size_bytes(store_find(world.store, SLICE("kept"), 0)), kept);

    /* A slow one, in the middle of its pauses. */
    settings.cleaner_io_bytes_per_second = 1000;
    partitions_set_settings(world.partitions, &settings);
    for (int i = 0; i < 50; i++)
        produce_keyed(&world, "compacted", i % 2 == 0 ? "a" : "b", 300);
    for (int i = 0; i < 30; i++) {
        turn(&world);
        usleep(1000);
    }
    struct log *gone = NULL;
    ck_assert_int_eq(stop(&world, "compacted", 2, true, &gone), ERR_OK);
    ck_assert_ptr_nonnull(gone);
    store_delete(world.store, &gone, NULL, NULL);
    close_world(&world);
}
END_TEST

/* Time that passes only while the pool has nothing to do, and what its threads read and write. */
static _Atomic int64_t virtual_ms, pool_bytes;
static const struct files_ops *real_files;
static pthread_t shard_thread;

static struct instant virtual_now(void *of)
{
    (void)of;
    return (struct instant){virtual_ms * 1000000};
}
static enum err read_counted(struct file *file, uint64_t position, void *to, size_t len, size_t *n)
{
    enum err err = real_files->read_at(file, position, to, len, n);

    if (err == ERR_OK && !pthread_equal(pthread_self(), shard_thread)) pool_bytes += (int64_t)*n;
    return err;
}
static enum err write_counted(struct file *file, uint64_t position, const struct iovec *parts,
                              int count)
{
    for (int i = 0; i < count && !pthread_equal(pthread_self(), shard_thread); i++)
        pool_bytes += (int64_t)parts[i].iov_len;
    return real_files->write_at(file, position, parts, count);
}

/* log.cleaner.io.max.bytes.per.second: at no moment more than that has been read and written, but
 * for one step, and it is not much slower than it may be. */
START_TEST(the_cleaner_keeps_to_its_rate)
{
    enum { RATE = 50000, STEP = 6000 };
    struct replica_settings settings;
    struct env_ops slow_ops;
    struct files_ops counting;
    struct world world;

    open_world(&world);
    const struct env_ops *real = world.env->ops;
    real_files = real->files;
    slow_ops = *real;
    counting = *real->files;
    counting.read_at = read_counted;
    counting.write_at = write_counted;
    slow_ops.files = &counting;
    slow_ops.now = virtual_now;
    shard_thread = pthread_self();
    virtual_ms = env_now(world.env).ns / 1000000 + 1;
    world.env->ops = &slow_ops;

    world.config.is_compacted = true;
    world.config.segment_bytes_max = 2000;
    ck_assert_int_eq(apply(&world, "compacted", SELF, 1, 1, 1, 1), ERR_OK);
    replica_settings_init(&settings);
    settings.cleaner_backoff_ms = 1000000;
    settings.cleaner_io_bytes_per_second = RATE;
    partitions_set_settings(world.partitions, &settings);
    for (int i = 0; i < 100; i++)
        produce_keyed(&world, "compacted", i % 2 == 0 ? "a" : "b", 300);
    const struct log *log = store_find(world.store, SLICE("compacted"), 0);
    for (; disk_backlog(world.env, world.disk) > 0; usleep(100))
        turn(&world); /* syncs of the segments that were rolled */
    turn(&world);
    settings.cleaner_backoff_ms = 1;
    partitions_set_settings(world.partitions, &settings);
    int64_t began_ms = virtual_ms;
    pool_bytes = 0;
    for (int i = 0; i < 10000000 && log_size_bytes(log) > 4000; i++) {
        turn(&world);
        if (disk_backlog(world.env, world.disk) > 0) {
            usleep(50); /* its thread is nicer than this one */
            continue;
        }
        virtual_ms++;
        ck_assert_int_le(pool_bytes, (virtual_ms - began_ms) * RATE / 1000 + STEP);
    }
    ck_assert_int_le(log_size_bytes(log), 4000);
    ck_assert_int_gt(pool_bytes, 60000); /* read twice */
    ck_assert_int_le(virtual_ms - began_ms, pool_bytes * 1000 / RATE * 3 / 2);
    world.env->ops = real;
    close_world(&world);
}
END_TEST

/* flush.messages: nobody is told of a record, nor given it, before it is on the device. */
START_TEST(what_is_to_be_flushed_is_acknowledged_when_it_is_on_the_device)
{
    struct follower_view view = {0};
    struct produced one, all, third;
    struct world world;

    open_world(&world);
    world.config.flush_messages = 1;
    ck_assert_int_eq(apply(&world, "t", SELF, 1, 1, 1, 1), ERR_OK);
    struct log *log = log_of(&world, "t");
    ck_assert(partitions_may_hold(world.partitions));
    produce_one(&world, "t", &one);
    produce(&world, "t", true, 1, &all);
    ck_assert(one.append.waits && all.append.waits);
    ck_assert_int_eq(read_as(&world, "t", -1, 0, true).high_watermark, 0);
    until(&world, &one.is_decided);
    until(&world, &all.is_decided);
    ck_assert_int_eq(one.err, ERR_OK);
    ck_assert_int_eq(all.err, ERR_OK);
    ck_assert_int_eq(log_recovery_point(log), 2);
    struct read read = read_as(&world, "t", -1, 0, true);
    ck_assert_int_eq(read.high_watermark, 2);
    log_slice_release(&read.slice);

    /* Two may be lost, a third may not; and when nothing is held any more nobody waits. */
    world.config.flush_messages = 3;
    partitions_configure(world.partitions, SLICE("t"), &world.config, 1,
                         &(struct topic_throttles){0});
    produce_one(&world, "t", &one);
    produce(&world, "t", true, 1, &all);
    ck_assert(!one.append.waits && !all.append.waits);
    produce_one(&world, "t", &third);
    ck_assert(third.append.waits);
    world.config.flush_messages = INT64_MAX;
    partitions_configure(world.partitions, SLICE("t"), &world.config, 1,
                         &(struct topic_throttles){0});
    until(&world, &third.is_decided);
    ck_assert_int_eq(third.err, ERR_OK);

    /* A follower says that it has something, by asking for more, when that is on its device. */
    world.config.flush_messages = 1;
    partitions_configure(world.partitions, SLICE("t"), &world.config, 1,
                         &(struct topic_throttles){0});
    ck_assert_int_eq(apply(&world, "t", FOLLOWER, 2, 2, 2, 1), ERR_OK);
    for (int i = 0; i < 60000 && log_recovery_point(log) < log_end_offset(log); i++) {
        turn(&world);
        usleep(1000);
    }
    world.flushed = 0;
    struct slice batch = batch_of(&world, 2, "another");
    batch_set_base_offset(world.batch.ptr, log_end_offset(log));
    batch_set_leader_epoch(world.batch.ptr, 2);
    ck_assert_int_eq(partitions_replicate(world.partitions, SLICE("t"), 0, 2, batch, 5, 0, &view),
                     ERR_OK);
    ck_assert(view.is_held);
    ck_assert_int_eq(view.end, 7);
    bool was_told = false;
    for (int i = 0; i < 60000 && !was_told; i++) {
        turn(&world);
        usleep(1000);
        was_told = world.flushed > 0;
    }
    ck_assert(was_told);
    ck_assert_int_eq(partitions_follower(world.partitions, SLICE("t"), 0, 2, &view), ERR_OK);
    ck_assert(!view.is_held);
    close_world(&world);
}
END_TEST

/* ---- the walk for the pages ---- */

struct walked {
    int topics, partitions, led;
};

static int32_t walked_topic(void *to, const struct topic_fact *fact)
{
    ck_assert_int_eq(fact->hosted, 1);
    return ((struct walked *)to)->topics++;
}

static void walked_partition(void *to, const struct partition_fact *fact)
{
    struct walked *walked = to;

    ck_assert_int_lt(fact->topic_index, walked->topics);
    walked->partitions++;
    walked->led += fact->is_leader;
}

/* What a turn does for who watches has a bound, and what comes between two turns may change all. */
START_TEST(a_walk_is_in_pieces_between_which_partitions_may_go_and_come)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct world world;
    struct walked walked = {0};
    const struct partitions_watcher watcher = {walked_topic, walked_partition, &walked};

    open_world(&world);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(apply(&world, names[i], i == 4 ? FOLLOWER : SELF, 1, 3, 3, 1), ERR_OK);
    partitions_walk_begin(world.partitions);
    for (int told = 1; partitions_walk(world.partitions, 1, &watcher); told++)
        ck_assert_int_eq(walked.topics + walked.partitions, told);
    ck_assert(walked.topics == 5 && walked.partitions == 5 && walked.led == 4);

    walked = (struct walked){0};
    partitions_walk_begin(world.partitions);
    ck_assert(partitions_walk(world.partitions, 6, &watcher));
    ck_assert(walked.topics == 5 && walked.partitions == 1);
    struct log *log = NULL;
    ck_assert_int_eq(stop(&world, "b", 2, true, &log), ERR_OK); /* the next one */
    ck_assert_int_eq(stop(&world, "e", 2, true, &log), ERR_OK); /* the last one */
    ck_assert_int_eq(apply(&world, "f", SELF, 1, 3, 3, 1), ERR_OK);
    while (partitions_walk(world.partitions, 1, &watcher))
        ;
    ck_assert(walked.topics == 5 && walked.partitions == 3);
    close_world(&world);
}
END_TEST

UNIT(a_walk_is_in_pieces_between_which_partitions_may_go_and_come,
     what_is_to_be_flushed_is_acknowledged_when_it_is_on_the_device,
     a_consumer_is_sent_to_the_replica_of_its_rack,
     a_follower_hears_of_the_watermark_at_once_where_consumers_read_there,
     a_client_beyond_the_end_of_a_leader_that_nobody_follows_is_sent_on,
     one_that_is_about_to_end_follows_only_where_it_counts,
     a_throttled_follower_gets_nothing_while_the_quota_is_used_up,
     who_is_in_sync_or_not_listed_is_never_held_back,
     a_sync_that_could_not_begin_is_asked_for_again,
     an_end_does_not_wait_for_syncs_that_have_not_begun, a_log_has_its_topics_latest_configuration,
     nothing_is_taken_before_it_is_known_what_the_topic_asks_for,
     what_is_produced_is_read_back_byte_for_byte, acks_all_waits_for_the_fetch_that_follows,
     lost_leadership_and_time_end_a_wait, too_small_an_isr_refuses_acks_all_only,
     a_follower_that_has_it_all_is_proposed_and_counts_when_decided,
     a_watch_ends_with_data_that_its_reader_may_see,
     a_watch_of_what_has_gone_since_it_was_read_ends, a_watch_counts_bytes_and_ends_with_leadership,
     control_answers_each_partition, bad_batches_leave_nothing,
     a_follower_writes_what_the_leader_sent, a_follower_that_ends_in_a_batch_goes_on_with_it,
     divergence_is_told_and_not_noted, offsets_are_found_up_to_what_is_committed,
     a_restart_remembers_records_epochs_and_watermark,
     a_replica_that_lost_what_it_promised_does_not_lead,
     a_replica_that_lost_what_it_promised_follows_another,
     an_unclean_election_makes_a_short_log_lead,
     a_cut_below_what_the_checkpoints_say_waits_for_them,
     a_cut_in_a_batch_below_what_the_checkpoints_say_waits_for_them,
     a_topic_lives_where_its_hash_says, retention_keeps_to_its_interval,
     epochs_are_saved_when_leaders_rest_or_have_not_for_long,
     compacted_logs_are_cleaned_and_may_leave_meanwhile, the_cleaner_keeps_to_its_rate)
