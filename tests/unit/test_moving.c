/* tests/unit/test_moving.c - replicas between two log directories, over real logs: one shard,
 * turned by hand. */
#include "broker/log/store.h"
#include "broker/replica/partitions.h"
#include "runtime/env_posix.h"
#include "unit.h"
#include "wire/record.h"
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SELF   1
#define LEADER 2
/* A hundred batches of three are more than may be copied at once. */
#define VALUE_BYTES 2000

struct world {
    struct env *env;
    struct disk *disk;
    struct shard shard;
    struct store *store;
    struct partitions *partitions;
    struct replica_settings settings;
    struct log_config config;
    struct arena arena;
    struct buf batch;
    char path[64], dirs[2][80];
    const char *paths[2];
    bool is_done, tells_late;
    int told, dirs_failed, acked;
    struct slice moved;
};

static struct world world;

/* ---- the rig ---- */

static void idle(struct post *post)
{
    (void)post;
}

static void turn(void)
{
    struct post kick = {.run = idle};

    shard_post(&world.shard, &kick);
    shard_turn(&world.shard);
}

static void until(bool (*is_so)(void))
{
    for (int i = 0; i < 600000 && !is_so(); i++) {
        turn();
        if (!is_so()) usleep(100);
    }
    ck_assert(is_so());
}

static bool is_done(void)
{
    return world.is_done;
}

static void on_loaded(void *owner, enum err err, const char *text)
{
    (void)owner;
    (void)text;
    ck_assert_int_eq(err, ERR_OK);
    world.is_done = true;
}
static void on_store_dir_failed(void *owner, struct log_dir *dir, enum err why, int left)
{
    (void)owner;
    (void)dir;
    (void)why;
    (void)left;
}
static void on_done(void *owner)
{
    (void)owner;
    world.is_done = true;
}
static const struct store_events store_events = {on_loaded, on_store_dir_failed, on_done};

static void config_of(void *owner, struct slice topic, struct log_config *out)
{
    (void)owner;
    (void)topic;
    *out = world.config;
}

static bool is_alive(void *owner, int32_t broker)
{
    (void)owner;
    (void)broker;
    return false;
}
static void heard(void *owner)
{
    (void)owner;
    world.told++;
    partitions_moved_heard(world.partitions, SLICE("t"), 0);
}
static void moved(void *owner, struct slice topic, int32_t partition)
{
    (void)owner;
    ck_assert(slice_is(topic, "t"));
    if (!world.tells_late) store_moved(world.store, topic, partition, heard, NULL);
}
static void dir_failed(void *owner, struct log_dir *dir)
{
    (void)owner;
    world.dirs_failed++;
    partitions_dir_failed(world.partitions, dir);
}
static void save(void *owner)
{
    (void)owner;
    store_checkpoint(world.store, STORE_RECOVERY_POINTS | STORE_HIGH_WATERMARKS);
}
static const struct partitions_ops ops = {
    .is_alive = is_alive, .moved = moved, .dir_failed = dir_failed, .save = save};

static void open_store(void)
{
    struct buf problem = {0};
    struct store_options options = {
        .env = world.env,
        .home = &world.shard,
        .disk = world.disk,
        .paths = world.paths,
        .path_count = 2,
        .recovery_threads = 1,
        .keeps_topic_ids = true,
        .config = config_of,
        .events = &store_events,
    };

    ck_assert_int_eq(store_open(&options, &problem, &world.store), ERR_OK);
    ck_assert_int_eq(store_identify(world.store, SELF, "cluster", &problem), ERR_OK);
    world.is_done = false;
    store_load(world.store);
    until(is_done);
    buf_fini(&problem);
    struct partitions_options partitions = {.shard = &world.shard,
                                            .broker_id = SELF,
                                            .settings = world.settings,
                                            .files_open_max = 16,
                                            .ops = &ops};
    world.partitions = partitions_create(&partitions);
}

static void close_store(void)
{
    world.is_done = false;
    partitions_close(world.partitions, on_done, NULL);
    until(is_done);
    partitions_destroy(&world.partitions);
    world.is_done = false;
    store_close(world.store);
    until(is_done);
    store_destroy(&world.store);
}

static void begin(void)
{
    world = (struct world){0};
    log_config_default(&world.config);
    world.config.segment_bytes_max = 50000;
    replica_settings_init(&world.settings);
    world.settings.fetch_max_bytes = 8000; /* of a step */
    strcpy(world.path, "/tmp/ottla-moving-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(world.path));
    for (int i = 0; i < 2; i++) {
        snprintf(world.dirs[i], sizeof(world.dirs[i]), "%s/d%d", world.path, i);
        world.paths[i] = world.dirs[i];
    }
    world.env = env_posix_create(NULL);
    ck_assert_int_eq(disk_open(world.env, (const int[DISK_CLASSES]){1, 1, 1}, &world.disk), ERR_OK);
    ck_assert_int_eq(shard_open(&world.shard, world.env, 0, NULL, NULL, NULL, world.disk), ERR_OK);
    arena_init(&world.arena, 1 << 20);
    open_store();
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void end(void)
{
    close_store();
    for (int i = 0; i < 20; i++) {
        turn();
        usleep(1000);
    }
    disk_close(world.env, &world.disk);
    shard_close(&world.shard);
    env_posix_destroy(&world.env);
    arena_fini(&world.arena);
    buf_fini(&world.batch);
    nftw(world.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what the control shard does ---- */

static void on_created(void *to, enum err err, struct log *log)
{
    ck_assert_int_eq(err, ERR_OK);
    *(struct log **)to = log;
    world.is_done = true;
}

static void control_done(struct replica_call *call)
{
    (void)call;
    world.is_done = true;
}

/* LeaderAndIsr: self and another; `log` as the store has it. */
static void apply(int32_t leader, int32_t epoch)
{
    static const int32_t replicas[] = {SELF, LEADER};
    struct log *log = store_find(world.store, SLICE("t"), 0);

    if (log == NULL) {
        world.is_done = false;
        store_create(world.store, SLICE("t"), 0, (struct uuid){{1}}, &world.config, true,
                     on_created, &log);
        until(is_done);
    }
    struct replica_change change = {
        .topic = SLICE("t"),
        .topic_id = {{1}},
        .leader = leader,
        .leader_epoch = epoch,
        .partition_epoch = epoch * 10,
        .replicas = replicas,
        .replica_count = 2,
        .isr = leader == SELF ? replicas : replicas + 1,
        .isr_count = 1,
        .is_leader_alive = true,
        .log = log,
        .future = store_find_future(world.store, SLICE("t"), 0),
        .config = &world.config,
        .min_insync = 1,
        .err = ERR_CANCELLED,
    };
    struct replica_call call = {.changes = &change, .change_count = 1, .done = control_done};
    world.is_done = false;
    partitions_control(world.partitions, &call);
    until(is_done);
    ck_assert_int_eq(change.err, ERR_OK);
}

static void move_done(struct replica_move *move)
{
    (void)move;
    world.is_done = true;
}

static enum err try_order(struct log *future, struct log **left)
{
    struct replica_move move = {.topic = SLICE("t"), .future = future, .done = move_done};

    world.is_done = false;
    partitions_move(world.partitions, &move);
    until(is_done);
    if (left != NULL) *left = move.left;
    return move.err;
}

static struct log *current(void)
{
    return store_find(world.store, SLICE("t"), 0);
}

static struct log *new_future(void)
{
    struct log *future = NULL;

    world.is_done = false;
    store_create_future(world.store, current(),
                        store_dir(world.store, 1 - log_directory(current())->index), on_created,
                        &future);
    until(is_done);
    return future;
}

static struct log *start_move(void)
{
    struct log *future = new_future();

    ck_assert_int_eq(try_order(future, NULL), ERR_OK);
    return future;
}

static bool is_moved(void)
{
    return world.told == 1;
}

static int count_names(int dir, const char *pattern)
{
    char command[256];
    int count = 0;

    snprintf(command, sizeof(command), "ls -d %s/%s 2>/dev/null | wc -l", world.dirs[dir], pattern);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

static void limit(int64_t rate)
{
    world.settings.move_rate = rate;
    partitions_set_settings(world.partitions, &world.settings);
}

static void run_ms(int ms)
{
    struct instant till = instant_add_ms(env_now(world.env), ms);

    while (!instant_reached(env_now(world.env), till)) {
        turn();
        usleep(200);
    }
}

/* ---- what clients do ---- */

struct produced {
    struct commit_wait wait;
    struct append append;
};

static void decided(struct commit_wait *wait, enum err err)
{
    ck_assert_int_eq(err, ERR_OK);
    world.acked++;
    free(wait);
}

static struct slice batch_of(int records)
{
    struct record_builder builder;
    char value[VALUE_BYTES];

    memset(value, 'v', sizeof(value));
    buf_clear(&world.batch);
    record_builder_begin(&builder, &world.batch);
    for (int i = 0; i < records; i++) {
        snprintf(value, sizeof(value), "record %d of %d", i, records);
        record_builder_add(&builder, 1000 + i,
                           world.config.is_compacted ? SLICE("key") : SLICE_NULL,
                           slice_of(value, sizeof(value)), NULL, 0);
    }
    record_builder_end(&builder);
    return buf_slice(&world.batch);
}

/* acks=1. */
static void produce(int records)
{
    struct produced *out = calloc(1, sizeof(*out));
    struct slice batch = batch_of(records);

    out->wait.done = decided;
    out->append = (struct append){
        .topic = SLICE("t"),
        .records = world.batch.ptr,
        .len = batch.len,
        .acks_leader = true,
        .deadline = instant_add_ms(shard_now(&world.shard), 600000),
        .wait = &out->wait,
        .arena = &world.arena,
    };
    partitions_append(world.partitions, &out->append);
    ck_assert_int_eq(out->append.err, ERR_OK);
    if (out->append.waits) return;
    world.acked++;
    free(out);
}

static struct read read_at(int64_t offset)
{
    struct read_by reader = {.replica = -2, .needs_leader = false, .broker_epoch = -1};
    struct read read = {.topic = SLICE("t"),
                        .leader_epoch = -1,
                        .offset = offset,
                        .last_epoch = -1,
                        .bytes_max = 1 << 20,
                        .at_least_one = true};

    partitions_read(world.partitions, &reader, &read);
    return read;
}

/* All that a reader gets from the start on, whole and without gaps, with a sum over its bytes. */
static int64_t read_whole(uint32_t *sum)
{
    int64_t offset = log_start_offset(current()), end = log_end_offset(current());

    *sum = 0;
    while (offset < end) {
        struct read read = read_at(offset);
        ck_assert_int_eq(read.err, ERR_OK);
        ck_assert_int_gt(read.slice.len, 0);
        uint8_t *bytes = malloc((size_t)read.slice.len);
        size_t n = 0;
        ck_assert_int_eq(file_read_at(world.env, log_slice_file(&read.slice),
                                      (uint64_t)read.slice.position, bytes, (size_t)read.slice.len,
                                      &n),
                         ERR_OK);
        struct slice rest = slice_of(bytes, n);
        struct batch batch;
        while (batch_take(&rest, &batch) == ERR_OK) {
            ck_assert_int_eq(batch.base_offset, offset);
            offset = batch_last_offset(&batch) + 1;
        }
        for (size_t i = 0; i < n - rest.len; i++)
            *sum = *sum * 31 + bytes[i];
        free(bytes);
        log_slice_release(&read.slice);
    }
    return offset;
}

static struct partitions_counts *counts(void)
{
    return partitions_counts(world.partitions);
}

/* ---- tests ---- */

START_TEST(a_led_replica_moves_while_it_is_written)
{
    uint32_t sum;

    begin();
    world.settings.fetch_max_bytes = 100000;
    limit(INT64_MAX);
    apply(SELF, 1);
    for (int i = 0; i < 200; i++)
        produce(3);
    int sent = 200;
    const struct log *future = start_move();
    ck_assert_int_eq(gauge_value(&counts()->moves), 1);
    for (int i = 0; world.told == 0 && i < 100000; i++) {
        /* Not faster than the disk of whoever runs this. */
        if (log_facts(current()).end_offset - log_facts(future).end_offset < 50) {
            produce(1 + i % 3);
            sent++;
        }
        turn();
        usleep(200);
    }
    ck_assert_int_eq(world.told, 1);
    ck_assert_int_eq(world.acked, sent);
    ck_assert_int_eq(log_directory(current())->index, 1);
    ck_assert_int_eq(count_names(1, "t-0"), 1);
    ck_assert_int_eq(count_names(0, "t-0"), 0);
    ck_assert_int_eq(count_names(1, "*-future"), 0);
    ck_assert_uint_eq(counter_value(&counts()->moves_done), 1);
    ck_assert_int_eq(gauge_value(&counts()->moves), 0);
    int64_t end_offset = log_end_offset(current());
    ck_assert_int_eq(read_whole(&sum), end_offset);
    produce(2);
    ck_assert_int_eq(log_end_offset(current()), end_offset + 2);
    end();
}
END_TEST

START_TEST(what_waits_for_the_device_has_it_in_either_place)
{
    begin();
    world.config.flush_messages = 1;
    apply(SELF, 1);
    for (int i = 0; i < 50; i++)
        produce(3);
    (void)start_move();
    int sent = 50;
    /* Whenever something is answered, more is sent: there is always a sync under way. */
    for (int i = 0; world.told == 0 && i < 200000; i++) {
        if (world.acked == sent) {
            ck_assert_int_ge(log_recovery_point(current()), 0);
            produce(2);
            sent++;
        }
        turn();
        usleep(50);
    }
    ck_assert_int_eq(world.told, 1);
    for (int i = 0; world.acked < sent && i < 100000; i++) {
        turn();
        usleep(50);
    }
    ck_assert_int_eq(world.acked, sent);
    ck_assert_int_eq(log_recovery_point(current()), log_end_offset(current()));
    ck_assert_int_eq(log_directory(current())->index, 1);
    end();
}
END_TEST

static bool was_woken;
static void on_ready(struct watch *watch)
{
    (void)watch;
    was_woken = true;
}

START_TEST(who_waits_for_more_reads_again_after_the_move)
{
    struct watch_part part = {0};
    struct watch watch = {.parts = &part, .count = 1, .bytes_wanted = 1 << 20, .ready = on_ready};
    struct read_by reader = {.replica = -1, .needs_leader = true, .broker_epoch = -1};
    struct read read;

    begin();
    apply(SELF, 1);
    for (int i = 0; i < 30; i++)
        produce(3);
    read = (struct read){.topic = SLICE("t"),
                         .leader_epoch = -1,
                         .offset = log_end_offset(current()),
                         .last_epoch = -1,
                         .bytes_max = 1 << 20};
    partitions_read(world.partitions, &reader, &read);
    ck_assert_int_eq(read.err, ERR_OK);
    partitions_watch(world.partitions, &watch, &reader, &read, 1);
    was_woken = false;
    (void)start_move();
    until(is_moved);
    turn();
    ck_assert(was_woken);
    end();
}
END_TEST

/* As follower: what the leader sent, at our end. */
static void replicate(int32_t epoch, int records)
{
    struct follower_view view;
    struct slice batch = batch_of(records);

    ck_assert_int_eq(partitions_follower(world.partitions, SLICE("t"), 0, epoch, &view), ERR_OK);
    /* Base offset and leader epoch, as the leader has stamped them. */
    for (int i = 0; i < 8; i++)
        world.batch.ptr[i] = (uint8_t)((uint64_t)view.end >> (56 - 8 * i));
    for (int i = 0; i < 4; i++)
        world.batch.ptr[12 + i] = (uint8_t)((uint32_t)epoch >> (24 - 8 * i));
    ck_assert_int_eq(partitions_replicate(world.partitions, SLICE("t"), 0, epoch, batch,
                                          view.end + records, 0, &view),
                     ERR_OK);
}

static void truncate_to(int32_t epoch, int64_t offset)
{
    struct follower_view view;
    enum err err = ERR_BUSY;

    for (int i = 0; i < 600000 && err == ERR_BUSY; i++) {
        err = partitions_truncate(world.partitions, SLICE("t"), 0, epoch, offset, &view);
        turn();
        usleep(100);
    }
    ck_assert_int_eq(err, ERR_OK);
}

START_TEST(a_follower_is_cut_on_the_way)
{
    uint32_t before, after;

    begin();
    apply(LEADER, 1);
    for (int i = 0; i < 100; i++)
        replicate(1, 3);
    struct log *future = start_move();
    run_ms(20);
    limit(1); /* it stands still, somewhere */
    run_ms(20);
    apply(LEADER, 2);
    truncate_to(2, 30);
    for (int i = 0; i < 150; i++) {
        replicate(2, 2);
        if (i % 50 == 10) run_ms(5);
    }
    if (world.told == 0) ck_assert_int_eq(log_directory(future)->index, 1);
    int64_t size = log_size_bytes(current());
    (void)read_whole(&before);
    limit(INT64_MAX);
    until(is_moved);
    ck_assert_int_eq(log_directory(current())->index, 1);
    ck_assert_int_eq(log_end_offset(current()), 330);
    ck_assert_int_eq(log_size_bytes(current()), size);
    ck_assert_int_eq(read_whole(&after), 330);
    ck_assert_uint_eq(before, after);
    ck_assert_int_eq(epochs_latest(log_epochs(current())).epoch, 2);
    end();
}
END_TEST

START_TEST(deleted_records_are_deleted_when_the_copy_has_none_of_them)
{
    struct records_deletion deletion = {.topic = SLICE("t"), .offset = 250};

    begin();
    apply(SELF, 1);
    for (int i = 0; i < 100; i++)
        produce(3);
    limit(1);
    struct log *future = start_move();
    run_ms(20);
    ck_assert_int_lt(log_facts(future).end_offset, 250);
    deletion.deadline = instant_add_ms(shard_now(&world.shard), 600000);
    deletion.done = NULL;
    bool is_answered = partitions_delete_records(world.partitions, &deletion);
    ck_assert(!is_answered || deletion.low_watermark >= 250);
    deletion.done = (void (*)(struct records_deletion *))on_done;
    world.is_done = is_answered;
    limit(INT64_MAX);
    until(is_done);
    ck_assert_int_eq(deletion.err, ERR_OK);
    until(is_moved);
    ck_assert_int_eq(log_start_offset(current()), 250);
    ck_assert_int_eq(log_end_offset(current()), 300);
    end();
}
END_TEST

static void on_deleted(void *to, enum err err)
{
    (void)to;
    ck_assert_int_eq(err, ERR_OK);
    world.is_done = true;
}

START_TEST(a_move_is_called_off)
{
    struct log *left = NULL;
    uint32_t sum;

    begin();
    ck_assert_int_eq(try_order(NULL, &left), ERR_NOT_FOUND);
    apply(SELF, 1);
    for (int i = 0; i < 100; i++)
        produce(3);
    limit(1);
    struct log *future = start_move();
    run_ms(10);
    ck_assert_int_eq(try_order(NULL, &left), ERR_OK);
    ck_assert_ptr_eq(left, future);
    ck_assert_int_eq(gauge_value(&counts()->moves), 0);
    world.is_done = false;
    store_delete_future(world.store, &left, on_deleted, NULL);
    until(is_done);
    ck_assert_int_eq(try_order(NULL, &left), ERR_OK);
    ck_assert_ptr_null(left);
    ck_assert_int_eq(count_names(0, "t-0"), 1);
    ck_assert_int_eq(count_names(1, "*-future"), 0);
    produce(1);
    ck_assert_int_eq(read_whole(&sum), 301);

    limit(INT64_MAX); /* and begun anew */
    (void)start_move();
    until(is_moved);
    ck_assert_int_eq(read_whole(&sum), 301);
    end();
}
END_TEST

START_TEST(a_move_goes_on_after_a_restart)
{
    uint32_t sum;

    begin();
    apply(SELF, 1);
    for (int i = 0; i < 100; i++)
        produce(3);
    limit(1);
    (void)start_move();
    run_ms(20);
    close_store();
    ck_assert_int_eq(count_names(0, "t-0"), 1);
    ck_assert_int_eq(count_names(1, "t-0.*-future"), 1);
    open_store();
    limit(INT64_MAX);
    ck_assert_ptr_nonnull(store_find_future(world.store, SLICE("t"), 0));
    apply(SELF, 2);
    until(is_moved);
    ck_assert_int_eq(log_directory(current())->index, 1);
    ck_assert_int_eq(read_whole(&sum), 300);
    end();
}
END_TEST

START_TEST(a_stopped_replica_gives_both_logs_back)
{
    struct replica_stop stop = {.topic = SLICE("t"), .leader_epoch = -2, .is_delete = true};
    struct replica_call call = {.stops = &stop, .stop_count = 1, .done = control_done};

    begin();
    apply(SELF, 1);
    for (int i = 0; i < 100; i++)
        produce(3);
    struct log *future = start_move(); /* somewhere on its way */
    for (int i = 0; i < 5; i++)
        turn();
    world.is_done = false;
    partitions_control(world.partitions, &call);
    until(is_done);
    ck_assert_int_eq(stop.err, ERR_OK);
    ck_assert_ptr_nonnull(stop.log);
    struct log *left = store_find_future(world.store, SLICE("t"), 0);
    if (left != NULL) {
        ck_assert_ptr_eq(left, future);
        world.is_done = false;
        store_delete_future(world.store, &left, on_deleted, NULL);
        until(is_done);
    }
    struct log *log = current();
    ck_assert_ptr_eq(log, stop.log);
    world.is_done = false;
    store_delete(world.store, &log, on_deleted, NULL);
    until(is_done);
    ck_assert_int_eq(count_names(0, "t-0") + count_names(1, "t-0"), 0);
    ck_assert_int_eq(count_names(1, "*-future"), 0);
    end();
}
END_TEST

START_TEST(a_lost_target_ends_the_move_only)
{
    uint32_t sum;

    begin();
    apply(SELF, 1);
    for (int i = 0; i < 100; i++)
        produce(3);
    limit(1);
    struct log *future = start_move();
    run_ms(10);
    store_fail_dir(world.store, log_directory(future), ERR_IO);
    partitions_dir_failed(world.partitions, log_directory(future));
    run_ms(20);
    ck_assert_int_eq(gauge_value(&counts()->moves), 0);
    ck_assert_int_eq(count_names(0, "t-0"), 1);
    produce(1);
    ck_assert_int_eq(read_whole(&sum), 301);
    end();
}
END_TEST

static bool is_compacted(void)
{
    return counter_value(&counts()->cleanings) > 0;
}

START_TEST(what_moves_is_compacted_when_it_is_there)
{
    begin();
    world.config.is_compacted = true;
    world.config.is_deleted = false;
    world.config.cleanable_ratio_min = 0;
    world.settings.cleaner_backoff_ms = 5;
    limit(1);
    apply(SELF, 1);
    for (int i = 0; i < 2; i++) /* nothing to compact yet */
        produce(3);
    (void)start_move();
    run_ms(20);
    if (world.told == 0) ck_assert_int_eq(gauge_value(&counts()->moves), 1);
    for (int i = 0; world.told == 0 && i < 150; i++)
        produce(3);
    run_ms(50);
    if (world.told == 0) ck_assert(!is_compacted());
    limit(INT64_MAX);
    until(is_moved);
    for (int i = 0; i < 50; i++)
        produce(3);
    until(is_compacted);
    ck_assert_int_lt(log_size_bytes(current()), log_end_offset(current()) * VALUE_BYTES);
    end();
}
END_TEST

START_TEST(a_full_target_is_waited_for)
{
    begin();
    apply(SELF, 1);
    for (int i = 0; i < 100; i++)
        produce(3);
    atomic_store(&store_dir(world.store, 1)->is_full, true);
    (void)start_move();
    run_ms(50);
    ck_assert_int_eq(world.told, 0);
    ck_assert_int_eq(gauge_value(&counts()->moves), 1);
    ck_assert_int_eq(gauge_value(&counts()->moves_failed), 0);
    ck_assert_int_eq(count_names(0, "t-0"), 1);
    atomic_store(&store_dir(world.store, 1)->is_full, false);
    until(is_moved);
    end();
}
END_TEST

UNIT(a_led_replica_moves_while_it_is_written, what_waits_for_the_device_has_it_in_either_place,
     who_waits_for_more_reads_again_after_the_move, a_follower_is_cut_on_the_way,
     deleted_records_are_deleted_when_the_copy_has_none_of_them, a_move_is_called_off,
     a_move_goes_on_after_a_restart, a_stopped_replica_gives_both_logs_back,
     a_lost_target_ends_the_move_only, a_full_target_is_waited_for,
     what_moves_is_compacted_when_it_is_there)
