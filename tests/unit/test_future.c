/* A log moves to another directory: the copy, the swap, and what a start finds of either. */
#include "broker/log/future.h"
#include "broker/log/store.h"
#include "log_world.h"

static struct world *w;
static struct shard home;
static struct store *store;
static struct store_options options;
static struct log_config config;
static const char *paths[2];
static char dirs[2][600];
static enum err loaded_err;
static struct log *made;
static enum err made_err;
static struct log_files *files, *future_files;
static struct log *current, *future;

static void on_loaded(void *owner, enum err err, const char *text)
{
    (void)owner;
    (void)text;
    loaded_err = err;
}
static void on_failed(void *owner, struct log_dir *dir, enum err why, int left)
{
    (void)owner;
    (void)dir;
    (void)why;
    (void)left;
}
static void on_closed(void *owner)
{
    (void)owner;
}
static void give_config(void *owner, struct slice topic, struct log_config *out)
{
    (void)owner;
    (void)topic;
    *out = config;
}
static const struct store_events events = {on_loaded, on_failed, on_closed};

static void open_store(void)
{
    struct buf problem;

    for (int i = 0; i < 2; i++) {
        snprintf(dirs[i], sizeof(dirs[i]), "%s/d%d", w->dir, i);
        paths[i] = dirs[i];
    }
    home = (struct shard){.env = &w->env};
    options = (struct store_options){.env = &w->env,
                                     .home = &home,
                                     .paths = paths,
                                     .path_count = 2,
                                     .recovery_threads = 1,
                                     .keeps_topic_ids = true,
                                     .config = give_config,
                                     .events = &events};
    buf_init(&problem);
    ck_assert_int_eq(store_open(&options, &problem, &store), ERR_OK);
    ck_assert_int_eq(store_identify(store, 101, "cluster", &problem), ERR_OK);
    buf_fini(&problem);
    loaded_err = ERR_BUSY;
    store_load(store);
    world_run_jobs(w);
}

static void on_made(void *to, enum err err, struct log *log)
{
    (void)to;
    made_err = err;
    made = log;
}

static void attach(void)
{
    files = log_files_create(&w->env, 8);
    future_files = log_files_create(&w->env, 4);
    log_attach(current, files);
    if (future != NULL) log_attach(future, future_files);
}

static void let_go(void)
{
    if (current != NULL && current->files != NULL) log_detach(current);
    if (future != NULL && future->files != NULL) log_detach(future);
    log_files_destroy(&files);
    log_files_destroy(&future_files);
    current = future = NULL;
}

/* Topic t, partition 0, in d0; its future in d1. */
static void begin(void)
{
    struct uuid id = {{9}};

    w = world_create();
    log_config_default(&config);
    config.segment_bytes_max = 900;
    config.index_interval_bytes = 100;
    open_store();
    ck_assert_int_eq(loaded_err, ERR_OK);
    store_create(store, SLICE("t"), 0, id, &config, true, on_made, NULL);
    world_run_jobs(w);
    current = made;
    ck_assert_int_eq(log_directory(current)->index, 0);
}

static void make_future(void)
{
    store_create_future(store, current, store_dir(store, 1), on_made, NULL);
    world_run_jobs(w);
    ck_assert_int_eq(made_err, ERR_OK);
    future = made;
}

static void end(void)
{
    let_go();
    store_destroy(&store);
    world_destroy(w);
}

static void start_again(void)
{
    let_go();
    store_destroy(&store);
    w = world_restart(w);
    open_store();
    current = store_find(store, SLICE("t"), 0);
    future = store_find_future(store, SLICE("t"), 0);
}

static void append(int batches, int32_t epoch)
{
    struct one_log one = {.w = w, .log = current};

    for (int i = 0; i < batches; i++)
        append_at(&one, 3, 60, 1000 + i, epoch, NULL);
    log_set_high_watermark(current, log_end_offset(current));
}

/* As append, but the process may die on the way. Gives how far it came. */
static void try_append(int batches)
{
    struct log_appended appended;
    struct buf bytes;

    buf_init(&bytes);
    for (int i = 0; i < batches && !world_is_dead(w); i++) {
        make_batch(&bytes, 3, 60, 1000 + i);
        const struct checked checked = {.bytes = bytes.ptr,
                                        .len = bytes.len,
                                        .offset_count = 3,
                                        .max_timestamp = 1002 + i,
                                        .max_timestamp_offset = 2,
                                        .append_time_ms = -1};
        (void)!log_append_leader(current, &checked, 1, w->wall_ms, &appended);
    }
    buf_fini(&bytes);
}

static struct future_result step(enum future_do what, int64_t offset, int64_t bytes_max)
{
    struct future_step *step = NULL;
    struct future_result result = {.err = ERR_OK};

    result.err = future_plan(current, future, what, offset, bytes_max, &step);
    if (result.err != ERR_OK) return result;
    future_run(step);
    return future_done(&step);
}

static void copy_all(void)
{
    while (log_end_offset(future) < log_end_offset(current)) {
        int64_t before = log_end_offset(future);
        ck_assert_int_eq(step(FUTURE_COPY, 0, 500).err, ERR_OK);
        ck_assert_int_gt(log_end_offset(future), before);
    }
}

static enum err sync_log(struct log *log)
{
    struct log_sync *sync = NULL;

    enum err err = log_sync_plan(log, 0, &sync);
    if (err != ERR_OK || sync == NULL) return err;
    log_sync_run(sync);
    return log_sync_done(log, &sync);
}

static int64_t whole(struct log *log)
{
    struct one_log one = {.w = w, .log = log};

    return read_all(&one, log_start_offset(log), 700);
}

/* Segments end where they like: the batches are what counts. */
static void expect_same_records(void)
{
    ck_assert_int_eq(log_end_offset(future), log_end_offset(current));
    ck_assert_int_eq(whole(future), whole(current));
    ck_assert_int_eq(log_size_bytes(future), log_size_bytes(current));
}

START_TEST(a_future_log_is_filled_and_takes_the_place)
{
    char was[FILES_PATH_MAX];

    begin();
    make_future();
    attach();
    append(20, 1);
    append(5, 4);
    ck_assert_int_eq(log_start_epoch(current, 7, log_end_offset(current)), ERR_OK);
    copy_all();
    ck_assert_int_gt(log_segment_count(future), 3);
    ck_assert_int_ge(log_recovery_point(future), log_active(future)->base); /* as it went */
    ck_assert_int_eq(log_high_watermark(future), 75);
    expect_same_records();

    snprintf(was, sizeof(was), "%s", future->path);
    ck_assert_int_eq(future_set_aside(current, future), ERR_OK);
    ck_assert(!world_has(w, "d0/t-0"));
    append(1, 7); /* it goes on under that name */
    copy_all();
    future_take_over(current, future);
    ck_assert_int_eq(sync_log(future), ERR_OK);
    ck_assert_int_eq(future_take_place(current, future), ERR_OK);
    ck_assert(world_has(w, "d1/t-0"));
    ck_assert(!log_is_future(future));
    ck_assert(epochs_equal(log_epochs(future), log_epochs(current)));
    ck_assert_int_eq(epochs_latest(log_epochs(future)).epoch, 7);
    ck_assert_int_eq(log_high_watermark(future), 78);
    ck_assert(future->is_renamed);
    ck_assert_int_eq(sync_log(future), ERR_OK); /* the name, too */
    ck_assert(!future->is_renamed);

    log_detach(current);
    current = NULL;
    store_moved(store, SLICE("t"), 0, NULL, NULL);
    ck_assert_ptr_eq(store_find(store, SLICE("t"), 0), future);
    ck_assert_ptr_null(store_find_future(store, SLICE("t"), 0));
    world_run_jobs(w);
    w->wall_ms += 120000;
    store_tick(store);
    world_run_jobs(w);
    struct buf text;
    buf_init(&text);
    world_get(w, "d0/recovery-point-offset-checkpoint", &text);
    ck_assert(slice_is(buf_slice(&text), "0\n0\n"));
    world_get(w, "d1/recovery-point-offset-checkpoint", &text);
    ck_assert(slice_is(buf_slice(&text), "0\n1\nt 0 78\n"));
    buf_fini(&text);
    start_again();
    ck_assert_int_eq(loaded_err, ERR_OK);
    ck_assert_ptr_null(future);
    ck_assert_int_eq(log_directory(current)->index, 1);
    ck_assert_int_eq(log_end_offset(current), 78);
    attach();
    ck_assert_int_eq(whole(current), 78);
    end();
}
END_TEST

START_TEST(a_start_finds_a_future_log_and_goes_on)
{
    begin();
    make_future();
    attach();
    append(20, 1);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(step(FUTURE_COPY, 0, 500).err, ERR_OK);
    int64_t before = log_end_offset(future);
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    start_again();
    ck_assert_int_eq(loaded_err, ERR_OK);
    ck_assert_ptr_nonnull(future);
    ck_assert(log_is_future(future));
    ck_assert_int_eq(log_directory(future)->index, 1);
    ck_assert_int_eq(log_end_offset(future), before);
    ck_assert_int_eq(log_promised(future), 0);
    attach();
    copy_all();
    expect_same_records();
    end();
}
END_TEST

START_TEST(what_the_current_log_lost_the_future_one_loses)
{
    begin();
    make_future();
    attach();
    append(10, 1);
    append(4, 2);
    copy_all();
    ck_assert_int_eq(future_common(current, future), 42);

    /* Another leader's history from 33 on. */
    ck_assert_int_eq(log_truncate_to(current, 33), ERR_OK);
    append(2, 3);
    append(6, 5);
    ck_assert_int_gt(log_end_offset(current), 42);
    int64_t common = future_common(current, future);
    ck_assert_int_eq(common, 33);
    ck_assert_int_eq(step(FUTURE_CUT, common, 0).err, ERR_OK);
    ck_assert_int_eq(future_common(current, future), log_end_offset(future));
    copy_all();
    expect_same_records();
    ck_assert(epochs_equal(log_epochs(current), log_epochs(future)));

    /* Everything went, and something else came. */
    ck_assert_int_eq(log_truncate_fully(current, 100, -1), ERR_OK);
    append(2, 6);
    ck_assert_int_eq(step(FUTURE_RESTART, 100, 0).err, ERR_OK);
    copy_all();
    expect_same_records();
    ck_assert_int_eq(log_start_offset(future), 100);
    end();
}
END_TEST

START_TEST(a_cut_waits_until_no_checkpoint_says_more)
{
    struct future_step *step = NULL;

    begin();
    make_future();
    attach();
    append(10, 1);
    copy_all();
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    ck_assert_int_eq(log_truncate_to(current, 12), ERR_OK);
    ck_assert_int_eq(future_plan(current, future, FUTURE_CUT, 12, 0, &step), ERR_BUSY);
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    ck_assert_int_eq(future_plan(current, future, FUTURE_CUT, 12, 0, &step), ERR_OK);
    future_run(step);
    ck_assert_int_eq(future_done(&step).err, ERR_OK);
    ck_assert_int_eq(log_end_offset(future), 12);
    end();
}
END_TEST

START_TEST(the_start_of_the_log_is_followed)
{
    begin();
    make_future();
    attach();
    append(10, 1);
    copy_all();
    append(10, 1);
    ck_assert_int_eq(log_advance_start(current, 20), ERR_OK); /* in the middle of a batch */
    copy_all();
    ck_assert_int_eq(log_start_offset(future), 20);
    ck_assert_int_gt(future->segments[0]->base, 0); /* and what is below goes */

    /* Further than the copy has come: it begins anew, at the batch that has the offset. */
    append(10, 1);
    ck_assert_int_eq(log_advance_start(current, 70), ERR_OK);
    ck_assert_int_eq(step(FUTURE_RESTART, 70, 0).err, ERR_OK);
    copy_all();
    ck_assert_int_eq(log_end_offset(future), 90);
    ck_assert_int_eq(log_start_offset(future), 70);
    ck_assert_int_eq(whole(future), 90);
    end();
}
END_TEST

START_TEST(a_log_whose_last_records_were_compacted_away_ends_where_it_ends)
{
    begin();
    make_future();
    attach();
    append(3, 1);
    ck_assert_int_eq(log_roll_at(current, 20, 0), ERR_OK);
    current->end = 20;
    copy_all();
    ck_assert_int_eq(log_end_offset(future), 20);
    append(1, 1);
    copy_all();
    ck_assert_int_eq(log_end_offset(future), 23);
    ck_assert_int_eq(log_size_bytes(future), log_size_bytes(current));
    end();
}
END_TEST

START_TEST(who_wrote_is_known_after_the_move)
{
    const struct producers_batch batch = {.producer_id = 5,
                                          .first_sequence = 0,
                                          .last_sequence = 2,
                                          .first_offset = 3,
                                          .last_offset = 5,
                                          .timestamp = 1700000000000,
                                          .coordinator_epoch = -1};
    struct producers_known known;
    struct producers_ended ended;

    begin();
    make_future();
    attach();
    append(3, 1);
    copy_all();
    /* Of records that are not there any more. */
    ck_assert(!producers_note(&current->producers, &batch, &ended));
    ck_assert_int_eq(future_set_aside(current, future), ERR_OK);
    ck_assert_int_eq(sync_log(future), ERR_OK);
    ck_assert_int_eq(future_take_place(current, future), ERR_OK);
    ck_assert_int_eq(producers_check(log_producers(future), true, &batch, &known), ERR_EXISTS);
    ck_assert_int_eq(known.first_offset, 3);
    producers_audit(log_producers(future));
    producers_audit(log_producers(current));
    end();
}
END_TEST

START_TEST(a_log_that_was_set_aside_comes_back)
{
    begin();
    make_future();
    attach();
    append(6, 1);
    copy_all();
    ck_assert_int_eq(future_set_aside(current, future), ERR_OK);
    append(2, 1); /* what the future one does not have */
    start_again();
    ck_assert_int_eq(loaded_err, ERR_OK);
    ck_assert_ptr_nonnull(current);
    ck_assert_ptr_nonnull(future);
    ck_assert_int_eq(log_end_offset(current), 24);
    ck_assert_int_eq(log_end_offset(future), 18);
    ck_assert(world_has(w, "d0/t-0"));

    attach();
    ck_assert_int_eq(future_set_aside(current, future), ERR_OK);
    ck_assert_int_eq(future_set_back(current), ERR_OK); /* the move is called off */
    ck_assert(world_has(w, "d0/t-0"));
    end();
}
END_TEST

START_TEST(what_was_set_aside_is_kept_while_a_directory_is_away)
{
    char path[FILES_PATH_MAX];
    struct file_status status;

    begin();
    make_future();
    attach();
    append(6, 1);
    copy_all();
    ck_assert_int_eq(future_set_aside(current, future), ERR_OK);
    snprintf(path, sizeof(path), "%s", current->path);
    let_go();
    store_destroy(&store);
    w = world_restart(w);
    /* d1 cannot be locked: it is as if its disk were gone. */
    struct file *lock = NULL;
    char d1[FILES_PATH_MAX], away[FILES_PATH_MAX];
    world_path(w, d1, "d1");
    world_path(w, away, "away");
    ck_assert_int_eq(files_rename(w->real, d1, away), ERR_OK);
    ck_assert_int_eq(files_open(w->real, d1, FILE_WRITE | FILE_CREATE, &lock), ERR_OK);
    file_close(w->real, &lock);
    open_store();
    ck_assert_int_eq(store_dirs_offline(store), 1);
    w->wall_ms += 120000;
    store_tick(store);
    world_run_jobs(w);
    ck_assert_int_eq(files_status(w->real, path, &status), ERR_OK);

    store_destroy(&store);
    w = world_restart(w);
    world_delete(w, "d1");
    ck_assert_int_eq(files_rename(w->real, away, d1), ERR_OK);
    open_store();
    current = store_find(store, SLICE("t"), 0);
    ck_assert_ptr_nonnull(current);
    ck_assert_int_eq(log_end_offset(current), 18);
    end();
}
END_TEST

START_TEST(a_log_that_is_not_here_yet_comes_where_it_is_wanted)
{
    begin();
    store_prefer(store, SLICE("u"), 3, store_dir(store, 0)); /* d1 has fewer */
    store_create(store, SLICE("u"), 3, (struct uuid){{8}}, &config, true, on_made, NULL);
    world_run_jobs(w);
    ck_assert_int_eq(log_directory(made)->index, 0);
    store_create(store, SLICE("u"), 4, (struct uuid){{8}}, &config, true, on_made, NULL);
    world_run_jobs(w);
    ck_assert_int_eq(log_directory(made)->index, 1);
    ck_assert_ptr_eq(store_find_dir(store, slice_text(paths[1])), store_dir(store, 1));
    ck_assert_ptr_null(store_find_dir(store, SLICE("d1")));
    end();
}
END_TEST

static bool ended;
static void on_ended(void *to, enum err err)
{
    (void)to;
    ck_assert_int_eq(err, ERR_OK);
    ended = true;
}

START_TEST(a_future_log_is_deleted)
{
    begin();
    make_future();
    ended = false;
    store_delete_future(store, &future, on_ended, NULL);
    ck_assert_ptr_null(future);
    world_run_jobs(w);
    ck_assert(ended);
    ck_assert_ptr_null(store_find_future(store, SLICE("t"), 0));
    ck_assert_ptr_nonnull(store_find(store, SLICE("t"), 0));
    start_again();
    ck_assert_ptr_null(future);
    ck_assert_ptr_nonnull(current);
    end();
}
END_TEST

/* ---- death ---- */

/* A move, as a shard does it. `*synced`: what must survive a loss of power. `is_quiet`: nobody
 * syncs the log in its new place before the old one is removed. */
static void move(bool is_quiet, int64_t *synced)
{
    store_create_future(store, current, store_dir(store, 1), on_made, NULL);
    world_run_jobs(w);
    if (made_err != ERR_OK) return;
    future = made;
    log_attach(future, future_files);
    try_append(3);
    for (int i = 0; i < 50 && log_end_offset(future) < log_end_offset(current); i++)
        (void)step(FUTURE_COPY, 0, 500);
    if (future_set_aside(current, future) != ERR_OK) return;
    try_append(2);
    if (sync_log(current) == ERR_OK) *synced = log_recovery_point(current);
    for (int i = 0; i < 50 && log_end_offset(future) < log_end_offset(current); i++)
        (void)step(FUTURE_COPY, 0, 500);
    if (log_end_offset(future) < log_end_offset(current)) return;
    future_take_over(current, future);
    if (files_sync_directory(&w->env, log_directory(current)->path) != ERR_OK) return;
    if (sync_log(future) != ERR_OK || future_take_place(current, future) != ERR_OK) return;
    log_detach(current);
    current = future;
    future = NULL;
    store_moved(store, SLICE("t"), 0, NULL, NULL);
    if (!is_quiet) {
        try_append(2);
        if (sync_log(current) == ERR_OK) *synced = log_recovery_point(current);
        try_append(1); /* the store has not heard of it */
    }
    world_run_jobs(w);
    w->wall_ms += 120000;
    store_tick(store);
    world_run_jobs(w);
    try_append(1);
}

static void count_live(void *to, const char *name, bool is_directory)
{
    (void)is_directory;
    *(int *)to += strcmp(name, "t-0") == 0;
}

static int live_names(void)
{
    int count = 0;

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(files_list(w->real, paths[i], count_live, &count), ERR_OK);
    return count;
}

static void die_everywhere(bool is_quiet, bool loses_power, enum sim_fate fate)
{
    bool died = true;

    for (int at = 0; died; at++) {
        int64_t synced = 0;
        begin();
        files = log_files_create(&w->env, 8);
        future_files = log_files_create(&w->env, 4);
        log_attach(current, files);
        try_append(12);
        ck_assert_int_eq(sync_log(current), ERR_OK);
        synced = log_end_offset(current);
        world_fault(w, FAULT_DIE, ERR_IO, at);
        move(is_quiet, &synced);
        died = world_is_dead(w);
        int64_t had = log_end_offset(current);
        let_go();
        store_destroy(&store);
        w = loses_power ? world_restart_after_power_loss(w, fate) : world_restart(w);
        ck_assert_int_le(live_names(), 1);
        open_store();
        ck_assert_msg(loaded_err == ERR_OK, "at %d", at);
        ck_assert_int_eq(live_names(), 1);
        current = store_find(store, SLICE("t"), 0);
        future = store_find_future(store, SLICE("t"), 0);
        ck_assert_msg(current != NULL, "at %d", at);
        /* What the last write before the death came to is open: it was not answered. */
        int64_t least = loses_power ? synced : had;
        ck_assert_msg(log_end_offset(current) >= least, "at %d: %lld of %lld", at,
                      (long long)log_end_offset(current), (long long)least);
        ck_assert_int_eq(log_promised(current), 0);
        attach();
        ck_assert_int_eq(whole(current), log_end_offset(current));
        end();
        ck_assert_int_lt(at, 500);
    }
}

START_TEST(death_at_any_change_of_a_move_loses_nothing)
{
    die_everywhere(false, false, SIM_FATE_KEPT);
    die_everywhere(true, false, SIM_FATE_KEPT);
}
END_TEST

START_TEST(power_lost_at_any_change_of_a_move_loses_nothing_synced)
{
    for (int i = 0; i < 2; i++) {
        die_everywhere(i == 0, true, SIM_FATE_DROPPED);
        die_everywhere(i == 0, true, SIM_FATE_ORDERED);
        die_everywhere(i == 0, true, SIM_FATE_MIXED);
    }
}
END_TEST

UNIT(a_future_log_is_filled_and_takes_the_place, a_start_finds_a_future_log_and_goes_on,
     what_the_current_log_lost_the_future_one_loses, a_cut_waits_until_no_checkpoint_says_more,
     the_start_of_the_log_is_followed,
     a_log_whose_last_records_were_compacted_away_ends_where_it_ends,
     who_wrote_is_known_after_the_move, a_log_that_was_set_aside_comes_back,
     what_was_set_aside_is_kept_while_a_directory_is_away,
     a_log_that_is_not_here_yet_comes_where_it_is_wanted, a_future_log_is_deleted,
     death_at_any_change_of_a_move_loses_nothing,
     power_lost_at_any_change_of_a_move_loses_nothing_synced)
