#include "broker/log/store.h"
#include "base/log.h"
#include "store_world.h"
#include <time.h>

static const char *paths[3];
static char extra[3][600];
static uint64_t reserve_bytes;

static void set_options(int dirs)
{
    for (int i = 0; i < dirs; i++) {
        snprintf(extra[i], sizeof(extra[i]), "%s/d%d", w->dir, i);
        paths[i] = extra[i];
    }
    one_store_options(paths, dirs);
    options.recovery_threads = 2;
    options.reserve_bytes = reserve_bytes;
}

static enum err try_open(struct buf *problem)
{
    return store_open(&options, problem, &store);
}

static void open_store(void)
{
    struct buf problem;
    buf_init(&problem);
    enum err err = one_store_enter(&problem);
    ck_assert_msg(err == ERR_OK, "%.*s", SLICE_ARGS(buf_slice(&problem)));
    buf_fini(&problem);
}

static void load(void)
{
    int before = told.loaded;
    store_load(store);
    ck_assert_int_eq(told.loaded, before); /* never inside the call */
    world_run_jobs(w);
    ck_assert_int_eq(told.loaded, before + 1);
}

static void begin(int dirs)
{
    w = world_create();
    log_config_default(&config);
    set_options(dirs);
    open_store();
    load();
    ck_assert_msg(told.loaded_err == ERR_OK, "%s", told.loaded_text);
}

static void close_store(void)
{
    store_close(store);
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, 1);
    store_destroy(&store);
}

/* kill -9, or, after close_store, just the next start. */
static void start_again(int dirs)
{
    store_destroy(&store);
    w = world_restart(w);
    set_options(dirs);
    open_store();
    load();
}

static void end(void)
{
    store_destroy(&store);
    world_destroy(w);
}

static struct log *created;
static enum err created_err;
static void on_created(void *to, enum err err, struct log *log)
{
    (void)to;
    created_err = err;
    created = log;
}
static struct log *create(const char *topic, int partition)
{
    struct uuid id = {{9, (uint8_t)partition}};
    created = NULL;
    store_create(store, slice_text(topic), partition, id, &config, true, on_created, NULL);
    world_run_jobs(w);
    return created;
}

static void append_some(struct log *log, int batches)
{
    struct one_log one = {.w = w, .log = log};
    one.files = log_files_create(&w->env, 4);
    log_attach(log, one.files);
    for (int i = 0; i < batches; i++)
        append_one(&one, 3);
    log_detach(log);
    log_files_destroy(&one.files);
}

static void expect_file(const char *name, const char *want)
{
    struct buf text;
    buf_init(&text);
    world_get(w, name, &text);
    ck_assert_msg(slice_is(buf_slice(&text), want), "%s: <%.*s>", name,
                  SLICE_ARGS(buf_slice(&text)));
    buf_fini(&text);
}

START_TEST(an_empty_directory_becomes_a_brokers)
{
    struct buf text;

    begin(1);
    ck_assert(world_has(w, "d0/.lock"));
    buf_init(&text);
    world_get(w, "d0/meta.properties", &text);
    buf_add(&text, "", 1);
    ck_assert_ptr_nonnull(strstr((char *)text.ptr, "\nversion=0\n"));
    ck_assert_ptr_nonnull(strstr((char *)text.ptr, "\nbroker.id=101\n"));
    ck_assert_ptr_nonnull(strstr((char *)text.ptr, "\ncluster.id=cluster-of-tests-------\n"));
    buf_fini(&text);
    ck_assert_int_eq(store_log_count(store), 0);
    close_store();
    ck_assert(!world_has(w, "d0/.lock"));
    expect_file("d0/.kafka_cleanshutdown", "{\"version\":0,\"brokerEpoch\":-1}");
    expect_file("d0/recovery-point-offset-checkpoint", "0\n0\n");
    end();
}
END_TEST

static void look_for_damage(void *to, enum log_level level, struct slice line)
{
    static const char words[] = "file_damaged path=";
    bool *is_told = to;

    (void)level;
    if (memmem(line.ptr, line.len, words, sizeof(words) - 1) != NULL &&
        memmem(line.ptr, line.len, "d1/meta.properties ", 19) != NULL)
        *is_told = true;
}

/* The directory goes offline for it: who is to mend it must be told which file it is. */
START_TEST(a_damaged_identity_is_named)
{
    bool is_told = false;
    struct buf problem;

    begin(2);
    close_store();
    set_options(2);
    buf_init(&problem);
    world_put(w, "d1/meta.properties", SLICE("version=0\nbroker.id=\\u1\n"));
    log_to(look_for_damage, &is_told);
    ck_assert_int_eq(try_open(&problem), ERR_OK);
    log_to(NULL, NULL);
    ck_assert(is_told);
    store_destroy(&store);
    buf_fini(&problem);
    end();
}
END_TEST

START_TEST(the_directories_know_whose_they_are)
{
    struct buf problem;

    begin(2);
    close_store();
    set_options(2);
    buf_init(&problem);
    ck_assert(world_has(w, "d0/.kafka_cleanshutdown"));
    ck_assert_int_eq(try_open(&problem), ERR_OK);
    ck_assert_int_eq(store_broker_id(store), 101);
    ck_assert_str_eq(store_cluster_id(store), "cluster-of-tests-------");
    ck_assert_int_eq(store_identify(store, 102, "cluster-of-tests-------", &problem), ERR_INVALID);
    ck_assert_int_eq(store_identify(store, 101, "another", &problem), ERR_INVALID);
    ck_assert_uint_gt(problem.len, 0);
    store_destroy(&store);
    ck_assert(world_has(w, "d0/.kafka_cleanshutdown")); /* whoever is refused has changed nothing */

    static const char *const bad[] = {"version=1\nnode.id=101\ncluster.id=c\n",
                                      "version=0\nbroker.id=102\n", "version=0\nbroker.id=x\n",
                                      "version=0\nbroker.id=101\ncluster.id=other\n",
                                      "broker.id=101\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        world_put(w, "d1/meta.properties", slice_text(bad[i]));
        buf_clear(&problem);
        ck_assert_msg(try_open(&problem) == ERR_INVALID, "%s", bad[i]);
        ck_assert_uint_gt(problem.len, 0);
        ck_assert_ptr_null(store);
        ck_assert(world_has(w, "d0/.kafka_cleanshutdown"));
    }
    /* A directory id stays, and so does what we do not know. */
    world_put(w, "d1/meta.properties",
              SLICE("#c\nversion=0\nbroker.id=101\ndirectory.id=ABEiM0RVZneImaq7zN3u_w\nx=y\n"));
    open_store();
    struct buf text;
    buf_init(&text);
    world_get(w, "d1/meta.properties", &text);
    buf_add(&text, "", 1);
    ck_assert_ptr_nonnull(strstr((char *)text.ptr, "\ndirectory.id=ABEiM0RVZneImaq7zN3u_w\n"));
    ck_assert_ptr_nonnull(strstr((char *)text.ptr, "\nx=y\n"));
    ck_assert_ptr_nonnull(strstr((char *)text.ptr, "\ncluster.id=cluster-of-tests-------\n"));
    buf_fini(&text);
    buf_fini(&problem);
    end();
}
END_TEST

START_TEST(a_directory_has_one_broker)
{
    struct store_options other = {0};
    struct store *second = NULL;
    struct buf problem;

    begin(1);
    buf_init(&problem);
    other = options;
    other.env = w->real; /* another process */
    ck_assert_int_eq(store_open(&other, &problem, &second), ERR_BUSY);
    ck_assert_ptr_null(second);
    ck_assert_ptr_nonnull(strstr((char *)problem.ptr, "/d0/.lock is locked"));
    buf_fini(&problem);
    end();
}
END_TEST

START_TEST(a_load_that_is_abandoned_ends_without_a_word)
{
    begin(2);
    create("orders", 0);
    create("orders", 1);
    close_store();
    w = world_restart(w);
    set_options(2);
    open_store();
    store_load(store);
    store_abandon(store); /* a signal during the start */
    ck_assert_int_eq(told.closed, 0);
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, 1);
    ck_assert_int_eq(told.loaded, 0);
    store_destroy(&store);

    w = world_restart(w);
    set_options(2);
    open_store();
    store_abandon(store); /* before it was asked to load */
    ck_assert_int_eq(told.closed, 1);
    ck_assert_int_eq(told.loaded, 0);
    ck_assert(!world_has(w, "d0/" CHECKPOINT_CLEAN_SHUTDOWN));
    end();
}
END_TEST

START_TEST(logs_come_back_after_a_clean_stop)
{
    begin(2);
    struct log *a = create("orders", 0), *b = create("orders", 1), *c = create("x", 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_int_eq(log_directory(a)->index, 0); /* the directory with the fewest */
    ck_assert_int_eq(log_directory(b)->index, 1);
    ck_assert_int_eq(log_directory(c)->index, 0);
    ck_assert_ptr_eq(store_find(store, SLICE("orders"), 1), b);
    ck_assert_ptr_null(store_find(store, SLICE("orders"), 2));
    expect_file("d0/orders-0/partition.metadata", "version: 0\ntopic_id: CQAAAAAAAAAAAAAAAAAAAA");
    append_some(a, 5);
    log_set_high_watermark(a, 12);
    close_store();
    expect_file("d0/recovery-point-offset-checkpoint", "0\n2\norders 0 15\nx 0 0\n");
    expect_file("d0/replication-offset-checkpoint", "0\n2\norders 0 12\nx 0 0\n");
    expect_file("d0/log-start-offset-checkpoint", "0\n0\n");
    expect_file("d0/orders-0/leader-epoch-checkpoint", "0\n1\n1 0\n");

    start_again(2);
    ck_assert_int_eq(told.loaded_err, ERR_OK);
    ck_assert(!world_has(w, "d0/.kafka_cleanshutdown")); /* gone before anything is loaded */
    ck_assert_int_eq(store_log_count(store), 3);
    a = store_find(store, SLICE("orders"), 0);
    ck_assert_int_eq(log_end_offset(a), 15);
    ck_assert_int_eq(log_recovery_point(a), 15);
    ck_assert_int_eq(log_high_watermark(a), 12);
    ck_assert_int_eq(log_topic_id(a).bytes[0], 9);
    end();
}
END_TEST

START_TEST(a_crash_recovers_from_the_recovery_point)
{
    begin(1);
    struct log *a = create("a", 0);
    append_some(a, 5);
    struct log_files *files = log_files_create(&w->env, 4);
    struct log_sync *sync = NULL;
    log_attach(a, files);
    ck_assert_int_eq(log_sync_plan(a, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(a, &sync), ERR_OK);
    log_detach(a);
    log_files_destroy(&files);
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    expect_file("d0/recovery-point-offset-checkpoint", "0\n1\na 0 15\n");
    append_some(a, 2);
    start_again(1); /* no close */
    ck_assert_int_eq(told.loaded_err, ERR_OK);
    a = store_find(store, SLICE("a"), 0);
    ck_assert_int_eq(log_end_offset(a), 21);
    ck_assert_int_eq(log_recovery_point(a), 15);
    end();
}
END_TEST

/* As if it had been created so long before now. */
static void age(const char *name, int seconds)
{
    char path[FILES_PATH_MAX];

    world_path(w, path, name);
    sim_disk_set_time(w->machine, path, w->wall_ms - (int64_t)seconds * 1000);
}

static void expect_line(const char *name, const char *line)
{
    struct buf text;
    char wanted[64];
    int len = snprintf(wanted, sizeof(wanted), "\n%s\n", line);

    buf_init(&text);
    world_get(w, name, &text);
    ck_assert_msg(memmem(text.ptr, text.len, wanted, (size_t)len) != NULL, "%.*s",
                  SLICE_ARGS(buf_slice(&text)));
    buf_fini(&text);
}

static void save_watermark(struct log *log, int64_t watermark)
{
    log_set_high_watermark(log, watermark);
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
}

/* The page cache is gone, and with it what consumers had seen. It is known for as long as nobody
 * has said that it is accepted: over every later checkpoint and start, clean or not. */
START_TEST(a_log_shorter_than_its_watermark_says_what_was_promised)
{
    begin(1);
    append_some(create("a", 0), 5);
    append_some(create("b", 0), 5);
    struct log *a = store_find(store, SLICE("a"), 0);
    save_watermark(a, 15);
    save_watermark(store_find(store, SLICE("b"), 0), 12);
    age("d0/a-0/partition.metadata", 60);
    age("d0/b-0/partition.metadata", 60);
    world_cut(w, "d0/a-0/00000000000000000000.log",
              world_size(w, "d0/a-0/00000000000000000000.log") - 1);
    start_again(1);
    a = store_find(store, SLICE("a"), 0);
    ck_assert_int_eq(log_end_offset(a), 12);
    ck_assert_int_eq(log_high_watermark(a), 12);
    ck_assert_int_eq(log_promised(a), 15);
    ck_assert_int_eq(log_promised(store_find(store, SLICE("b"), 0)), 0);

    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    expect_file("d0/replication-offset-checkpoint", "0\n2\na 0 15\nb 0 12\n");
    start_again(1);
    a = store_find(store, SLICE("a"), 0);
    ck_assert_int_eq(log_promised(a), 15);
    close_store();
    start_again(1);
    a = store_find(store, SLICE("a"), 0);
    ck_assert_int_eq(log_promised(a), 15);

    log_forget_promise(a);
    close_store();
    expect_file("d0/replication-offset-checkpoint", "0\n2\na 0 12\nb 0 12\n");
    start_again(1);
    ck_assert_int_eq(log_promised(store_find(store, SLICE("a"), 0)), 0);
    end();
}
END_TEST

/* What was synced by order of the ISR was in the recovery point: a device that lost it is found
 * out too. */
START_TEST(a_log_shorter_than_its_recovery_point_says_so)
{
    begin(1);
    struct log *a = create("a", 0);
    append_some(a, 5);
    age("d0/a-0/partition.metadata", 60);
    world_put(w, "d0/recovery-point-offset-checkpoint", SLICE("0\n1\na 0 18\n"));
    start_again(1);
    a = store_find(store, SLICE("a"), 0);
    ck_assert_int_eq(log_promised(a), 18);
    ck_assert_int_eq(log_recovery_point(a), 15);
    end();
}
END_TEST

/* The checkpoint is of a topic that was deleted; the one that has its name now is younger. */
START_TEST(a_topic_that_was_made_again_has_promised_nothing)
{
    begin(1);
    struct log *a = create("a", 0);
    append_some(a, 2);
    world_put(w, "d0/replication-offset-checkpoint", SLICE("0\n2\na 0 1000\nc 0 50\n"));
    age("d0/replication-offset-checkpoint", 5);
    start_again(1);
    ck_assert_int_eq(log_promised(store_find(store, SLICE("a"), 0)), 0);
    /* Nothing is there of c: if the controller says that it is new, so it is … */
    create("c", 0);
    ck_assert_int_eq(log_promised(created), 0);
    end();
}
END_TEST

START_TEST(a_partition_whose_directory_is_gone_is_not_taken_for_a_new_one)
{
    begin(1);
    create("a", 0);
    world_put(w, "d0/replication-offset-checkpoint", SLICE("0\n2\na 0 0\nc 0 50\n"));
    start_again(1);
    store_create(store, SLICE("c"), 0, UUID_ZERO, &config, false, on_created, NULL);
    world_run_jobs(w);
    ck_assert_int_eq(created_err, ERR_OK);
    ck_assert_int_eq(log_end_offset(created), 0);
    ck_assert_int_eq(log_promised(created), 50);
    end();
}
END_TEST

/* Cut, crash, start: nothing was lost. So the checkpoint on disk goes down before the log does. */
START_TEST(a_truncation_waits_until_the_checkpoints_say_less)
{
    begin(1);
    struct log *a = create("a", 0);
    append_some(a, 5);
    ck_assert(log_may_cut(a, 9)); /* no checkpoint has ever said anything of it */
    log_uncut(a);
    save_watermark(a, 12);
    ck_assert(log_may_cut(a, 12));
    ck_assert(!log_may_cut(a, 9));
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_HIGH_WATERMARKS);
    ck_assert(!log_may_cut(a, 9)); /* not yet written */
    world_run_jobs(w);
    expect_file("d0/replication-offset-checkpoint", "0\n1\na 0 9\n");
    ck_assert(log_may_cut(a, 9));
    log_uncut(a);
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    expect_file("d0/replication-offset-checkpoint", "0\n1\na 0 12\n");

    /* A write that fails has lowered nothing. */
    ck_assert(!log_may_cut(a, 6));
    world_fault(w, FAULT_FAIL, ERR_FULL, 0);
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    ck_assert(!log_may_cut(a, 6));
    end();
}
END_TEST

START_TEST(damaged_checkpoints_cost_what_kafka_says)
{
    begin(1);
    append_some(create("a", 0), 5);
    close_store();
    /* A field that is no number: nothing is known, everything is recovered, the directory stays. */
    world_put(w, "d0/recovery-point-offset-checkpoint", SLICE("0\n1\na 0 x\n"));
    world_put(w, "d0/log-start-offset-checkpoint", SLICE("0\n1\na y 1\n"));
    world_delete(w, "d0/.kafka_cleanshutdown");
    start_again(1);
    ck_assert_int_eq(told.loaded_err, ERR_OK);
    ck_assert_int_eq(told.failed, 0);
    ck_assert_int_eq(log_end_offset(store_find(store, SLICE("a"), 0)), 15);
    ck_assert_int_eq(log_recovery_point(store_find(store, SLICE("a"), 0)), 0);
    close_store();
    /* Another shape: the disk is not to be trusted. */
    world_put(w, "d0/recovery-point-offset-checkpoint", SLICE("0\n2\na 0 1\n"));
    start_again(1);
    ck_assert_int_eq(told.loaded_err, ERR_OFFLINE);
    ck_assert_int_eq(told.failed, 1);
    end();
}
END_TEST

START_TEST(strange_directories_stop_the_start)
{
    begin(2);
    create("a", 0);
    close_store();
    world_mkdir(w, "d0/lost+found");
    start_again(2);
    ck_assert_int_eq(told.loaded_err, ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(told.loaded_text, "lost+found"));
    store_destroy(&store);
    char path[FILES_PATH_MAX];
    world_path(w, path, "d0/lost+found");
    ck_assert_int_eq(files_remove_directory(w->real, path), ERR_OK);
    end();
}
END_TEST

static void rename_in_world(const char *from, const char *to)
{
    char a[FILES_PATH_MAX], b[FILES_PATH_MAX];

    world_path(w, a, from);
    world_path(w, b, to);
    ck_assert_int_eq(files_rename(w->real, a, b), ERR_OK);
}

static void expect_a_in(int dir)
{
    ck_assert_msg(told.loaded_err == ERR_OK, "%s", told.loaded_text);
    struct log *a = store_find(store, SLICE("a"), 0);
    ck_assert_str_eq(log_directory(a)->path, paths[dir]);
    ck_assert_int_eq(log_end_offset(a), 15);
    ck_assert_int_eq(store_log_count(store), 1);
}

START_TEST(of_a_partition_that_is_there_twice_what_holds_nothing_goes)
{
    begin(2);
    create("a", 0);
    append_some(create("b", 0), 5);
    close_store();
    ck_assert(world_has(w, "d0/a-0"));
    rename_in_world("d1/b-0", "d1/a-0");
    start_again(2);
    expect_a_in(1);
    ck_assert(!world_has(w, "d0/a-0"));
    end();

    begin(2);
    append_some(create("a", 0), 5);
    close_store();
    world_mkdir(w, "d1/a-0");
    start_again(2);
    expect_a_in(0);
    ck_assert(!world_has(w, "d1/a-0"));
    create("c", 0);
    close_store();
    world_mkdir(w, "d0/c-0");
    start_again(2); /* of two that hold nothing one stays */
    ck_assert_msg(told.loaded_err == ERR_OK, "%s", told.loaded_text);
    ck_assert_ptr_nonnull(store_find(store, SLICE("c"), 0));
    ck_assert_int_ne(world_has(w, "d0/c-0"), world_has(w, "d1/c-0"));
    end();
}
END_TEST

START_TEST(an_empty_log_that_once_was_not_is_no_leftover)
{
    begin(2);
    create("a", 0);
    append_some(create("b", 0), 5);
    close_store();
    rename_in_world("d1/b-0", "d1/a-0");
    start_again(2);
    close_store(); /* the checkpoints of d1 name it */
    rename_in_world("d1/a-0", "d0/a-0");
    world_mkdir(w, "d1/a-0");
    start_again(2);
    ck_assert_int_eq(told.loaded_err, ERR_INVALID);
    end();
}
END_TEST

START_TEST(of_a_partition_that_is_there_twice_with_records_nobody_says_which_is_right)
{
    begin(2);
    append_some(create("a", 0), 5);
    append_some(create("b", 0), 5);
    close_store();
    rename_in_world("d1/b-0", "d1/a-0");
    start_again(2);
    ck_assert_int_eq(told.loaded_err, ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(told.loaded_text, "a-0"));
    ck_assert(world_has(w, "d0/a-0") && world_has(w, "d1/a-0"));
    end();
}
END_TEST

START_TEST(creation_answers_once_for_each)
{
    begin(1);
    struct log *a = create("a", 0);
    ck_assert_int_eq(created_err, ERR_OK);
    ck_assert_ptr_eq(create("a", 0), a);
    ck_assert_int_eq(created_err, ERR_EXISTS);

    /* Two at a time of the same name: the second is told to wait. */
    struct uuid none = UUID_ZERO;
    struct store_new_log two[2] = {
        {.topic = SLICE("b"), .topic_id = none, .config = &config, .is_new = true},
        {.topic = SLICE("b"), .topic_id = none, .config = &config, .is_new = true}};
    int calls = 0;
    store_create_many(store, two, 2, on_closed, &calls);
    told.closed = 0;
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, 1);
    ck_assert_int_eq(two[0].err, ERR_OK);
    ck_assert_int_eq(two[1].err, ERR_BUSY);
    ck_assert_ptr_null(two[1].log);
    ck_assert(!world_has(w, "d0/b-0/partition.metadata")); /* no id, no file */

    end();
}
END_TEST

START_TEST(a_full_disk_leaves_nothing_that_stands_in_the_way_of_the_next_try)
{
    int at = 0;

    begin(1);
    for (;; at++) {
        char topic[16];
        snprintf(topic, sizeof(topic), "c%d", at);
        world_fault(w, FAULT_FAIL, ERR_FULL, at);
        struct log *log = create(topic, 0);
        if (log != NULL) break;
        ck_assert_int_eq(created_err, ERR_FULL);
        ck_assert_int_eq(told.failed, 0);
        world_fault(w, FAULT_NONE, ERR_OK, 0);
        ck_assert_ptr_nonnull(create(topic, 0)); /* when there is room again */
        ck_assert_int_eq(told.failed, 0);
    }
    ck_assert_int_gt(at, 6); /* directory, three files, the topic id's */
    end();
}
END_TEST

static enum err try_append(struct log *log)
{
    struct log_files *files = log_files_create(&w->env, 4);
    struct log_appended appended;
    struct buf bytes = {0};

    make_batch(&bytes, 1, 100, 1000);
    const struct checked checked = {.bytes = bytes.ptr, .len = bytes.len, .offset_count = 1};
    log_attach(log, files);
    enum err err = log_append_leader(log, &checked, 0, 0, &appended);
    log_detach(log);
    log_files_destroy(&files);
    buf_fini(&bytes);
    return err;
}

START_TEST(a_broker_that_was_killed_starts_on_a_full_disk_and_waits_for_room)
{
    reserve_bytes = 1 << 20;
    begin(1);
    append_some(create("t", 0), 200);
    struct sim_device *device = sim_disk_device(w->machine, w->dir);
    sim_device_fill(device, sim_device_usable(device));
    ck_assert_uint_eq(sim_device_usable(device), 0);

    start_again(1);
    ck_assert_int_eq(told.loaded_err, ERR_OK);
    ck_assert_int_eq(told.failed, 0);
    struct log *log = store_find(store, SLICE("t"), 0);
    ck_assert_int_eq(log_end_offset(log), 600);
    /* What the reserve gave is for the start and the end: not for records. */
    ck_assert_int_eq(try_append(log), ERR_FULL);
    store_renew_reserves(store);
    world_run_jobs(w);
    device = sim_disk_device(w->machine, w->dir);
    if (sim_device_usable(device) < reserve_bytes) ck_assert_int_eq(try_append(log), ERR_FULL);
    sim_device_fill(device, 0);
    store_renew_reserves(store);
    world_run_jobs(w);
    ck_assert_int_eq(try_append(log), ERR_OK);

    /* And its end is clean though it is full again. */
    sim_device_fill(device, sim_device_usable(device));
    close_store();
    ck_assert(world_has(w, "d0/.kafka_cleanshutdown"));
    reserve_bytes = 0;
    world_destroy(w);
}
END_TEST

static int deletions;
/* It filled, had room, and filled again during the start; or there was no reserve. */
START_TEST(a_start_without_room_and_reserve_waits_for_room)
{
    begin(2);
    for (int i = 0; i < 6; i++)
        append_some(create("t", i), 200);
    store_destroy(&store);
    w = world_restart(w);
    set_options(2);
    open_store();
    struct sim_device *device = sim_disk_device(w->machine, w->dir);
    sim_device_fill(device, sim_device_usable(device) - 3 * 4096); /* enough for one of them */
    int before = told.loaded;

    store_load(store);
    world_run_jobs(w);
    store_load_again(store);
    world_run_jobs(w);
    ck_assert_int_eq(told.loaded, before);
    ck_assert_int_eq(told.failed, 0);
    sim_device_fill(device, 0);
    store_load_again(store);
    world_run_jobs(w);
    ck_assert_int_eq(told.loaded, before + 1);
    ck_assert_int_eq(told.loaded_err, ERR_OK);
    ck_assert_int_eq(store_log_count(store), 6);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(log_end_offset(store_find(store, SLICE("t"), i)), 600);
    store_load_again(store); /* a timer that comes late */
    end();
}
END_TEST

START_TEST(a_start_that_waits_for_room_ends_when_it_is_told_to)
{
    begin(1);
    append_some(create("t", 0), 200);
    store_destroy(&store);
    w = world_restart(w);
    set_options(1);
    open_store();
    struct sim_device *device = sim_disk_device(w->machine, w->dir);
    sim_device_fill(device, sim_device_usable(device));
    int before = told.loaded, closed = told.closed;

    store_load(store);
    world_run_jobs(w);
    store_abandon(store);
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, closed + 1);
    ck_assert_int_eq(told.loaded, before);
    ck_assert(!world_has(w, "d0/.kafka_cleanshutdown"));
    end();
}
END_TEST

static int refusals;

static void on_refused(void *to, enum err err)
{
    (void)to;
    ck_assert_int_eq(err, ERR_CANCELLED);
    refusals++;
}

static void on_not_made(void *to, enum err err, struct log *log)
{
    ck_assert_ptr_null(log);
    on_refused(to, err);
}

/* A step of the end that took too long is left behind, and goes on beside the close. */
START_TEST(what_comes_during_the_close_is_refused)
{
    begin(1);
    struct log *log = create("t", 0);
    append_some(log, 10);
    int closed = told.closed;
    refusals = 0;

    store_close(store);
    store_delete(store, &log, on_refused, NULL);
    store_create(store, SLICE("late"), 0, (struct uuid){{0}}, &config, true, on_not_made, NULL);
    store_create_future(store, store_find(store, SLICE("t"), 0),
                        log_directory(store_find(store, SLICE("t"), 0)), on_not_made, NULL);
    ck_assert_int_eq(refusals, 3);
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, closed + 1);
    ck_assert(world_has(w, "d0/.kafka_cleanshutdown"));
    ck_assert(world_has(w, "d0/t-0"));
    ck_assert(!world_has(w, "d0/late-0"));
    end();
}
END_TEST

START_TEST(a_disk_that_fills_during_a_start_has_the_reserve_for_it)
{
    reserve_bytes = 1 << 20;
    begin(1);
    append_some(create("t", 0), 200);
    store_destroy(&store);
    w = world_restart(w);
    set_options(1);
    open_store(); /* there is room */
    struct sim_device *device = sim_disk_device(w->machine, w->dir);
    sim_device_fill(device, sim_device_usable(device));

    load();
    ck_assert_int_eq(told.loaded_err, ERR_OK);
    ck_assert_int_eq(told.failed, 0);
    struct log *log = store_find(store, SLICE("t"), 0);
    ck_assert_int_eq(log_end_offset(log), 600);
    ck_assert_int_eq(try_append(log), ERR_FULL);
    sim_device_fill(device, 0);
    store_renew_reserves(store);
    world_run_jobs(w);
    ck_assert_int_eq(try_append(log), ERR_OK);
    reserve_bytes = 0;
    end();
}
END_TEST

static void on_deleted(void *to, enum err err)
{
    (void)to;
    ck_assert_int_eq(err, ERR_OK);
    deletions++;
}
static int count_matching(const char *dir, const char *part);
struct matching {
    const char *part;
    int count;
};
static void match_one(void *to, const char *name, bool is_directory)
{
    struct matching *m = to;
    (void)is_directory;
    m->count += strstr(name, m->part) != NULL;
}
static int count_matching(const char *dir, const char *part)
{
    char path[FILES_PATH_MAX];
    struct matching m = {part, 0};
    world_path(w, path, dir);
    ck_assert_int_eq(files_list(w->real, path, match_one, &m), ERR_OK);
    return m.count;
}

START_TEST(deletion_renames_and_removes_later)
{
    begin(1);
    struct log *a = create("a", 0);
    create("b", 0);
    append_some(a, 2);
    store_checkpoint(store, STORE_RECOVERY_POINTS);
    world_run_jobs(w);
    deletions = 0;
    store_delete(store, &a, on_deleted, NULL);
    ck_assert_ptr_null(a);
    ck_assert_ptr_null(store_find(store, SLICE("a"), 0));
    ck_assert_ptr_null(create("a", 0)); /* its directory is still there while it is renamed … */
    world_run_jobs(w);
    ck_assert_int_eq(deletions, 1);
    ck_assert_int_eq(count_matching("d0", "-delete"), 1);
    expect_file("d0/recovery-point-offset-checkpoint", "0\n1\nb 0 0\n");
    ck_assert_ptr_nonnull(create("a", 0)); /* … and then the name is free */
    ck_assert_int_eq(log_end_offset(created), 0);

    store_tick(store);
    world_run_jobs(w);
    ck_assert_int_eq(count_matching("d0", "-delete"), 1);
    w->wall_ms += 60000;
    store_tick(store);
    world_run_jobs(w);
    ck_assert_int_eq(count_matching("d0", "-delete"), 0);

    /* What is due when the process ends is found by the next one. */
    a = created;
    store_delete(store, &a, on_deleted, NULL);
    world_run_jobs(w);
    start_again(1);
    ck_assert_int_eq(store_log_count(store), 1);
    ck_assert_int_eq(count_matching("d0", "-delete"), 1);
    w->wall_ms += 60000;
    store_tick(store);
    world_run_jobs(w);
    ck_assert_int_eq(count_matching("d0", "-delete"), 0);
    end();
}
END_TEST

/* What a checkpoint says of a name must not be of the log before. */
static bool is_spoken_of(const char *checkpoint)
{
    struct buf text;
    char path[64];

    snprintf(path, sizeof(path), "d0/%s", checkpoint);
    if (!world_has(w, path)) return false;
    buf_init(&text);
    world_get(w, path, &text);
    buf_add(&text, "", 1);
    bool is = strstr((const char *)text.ptr, "\na 0 ") != NULL;
    buf_fini(&text);
    return is;
}

static const char *const checkpoints[] = {CHECKPOINT_RECOVERY_POINT, CHECKPOINT_LOG_START,
                                          CHECKPOINT_CLEANER, CHECKPOINT_REPLICATION};
static void say_much_of_a(struct log *a)
{
    append_some(a, 2);
    log_set_cleaned_offset(a, 3);
    log_set_high_watermark(a, 3);
    struct log_files *files = log_files_create(&w->env, 4);
    log_attach(a, files);
    ck_assert_int_eq(log_advance_start(a, 3), ERR_OK);
    log_detach(a);
    log_files_destroy(&files);
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_LOG_STARTS | STORE_HIGH_WATERMARKS |
                                STORE_CLEANED);
    world_run_jobs(w);
    for (int i = 0; i < 4; i++)
        ck_assert(is_spoken_of(checkpoints[i]));
}
static void create_a_step_by_step(int files)
{
    struct uuid id = {{9, 1}};

    created = NULL;
    store_create(store, SLICE("a"), 0, id, &config, true, on_created, NULL);
    do {
        for (int i = 0; i < files && world_has(w, "d0/a-0"); i++)
            ck_assert_msg(!is_spoken_of(checkpoints[i]), "%s", checkpoints[i]);
    } while (world_run_job(w));
    ck_assert_ptr_nonnull(created);
}

/* After a crash the cleaner's line would have said of the next log of that name that its holes mean
 * nothing, the recovery point's that it was synced. */
START_TEST(a_name_is_made_again_when_no_checkpoint_speaks_of_the_one_before)
{
    begin(1);
    struct log *a = create("a", 0);
    say_much_of_a(a);
    deletions = 0;
    store_delete(store, &a, on_deleted, NULL);
    store_checkpoint(store, STORE_RECOVERY_POINTS); /* a write that knows of nothing is no answer */
    while (deletions == 0)
        ck_assert(world_run_job(w));
    create_a_step_by_step(4);

    /* The process ended between the rename and the checkpoints. What the watermark's says is
     * compared with the time at which the log was made (find_loss). */
    a = created;
    say_much_of_a(a);
    deletions = 0;
    store_delete(store, &a, on_deleted, NULL);
    while (deletions == 0)
        ck_assert(world_run_job(w));
    while (w->first_job != NULL) { /* they are not run */
        struct disk_job *job = w->first_job;
        w->first_job = job->next;
        job->done(job);
    }
    w->last_job = &w->first_job;
    for (int i = 0; i < 4; i++)
        ck_assert(is_spoken_of(checkpoints[i]));
    start_again(1);
    create_a_step_by_step(3);
    end();
}
END_TEST

START_TEST(no_log_is_made_where_checkpoints_cannot_be_written)
{
    begin(1);
    struct log *a = create("a", 0);
    say_much_of_a(a);
    struct sim_device *device = sim_disk_device(w->machine, w->dir);
    sim_device_fill(device, sim_device_usable(device));
    deletions = 0;
    store_delete(store, &a, on_deleted, NULL);
    world_run_jobs(w);
    ck_assert_int_eq(deletions, 1);
    ck_assert_ptr_null(create("a", 0));
    ck_assert_int_eq(created_err, ERR_FULL);
    ck_assert(!world_has(w, "d0/a-0"));
    ck_assert_int_eq(told.failed, 0);
    sim_device_fill(device, 0);
    create_a_step_by_step(4);
    end();
}
END_TEST

START_TEST(what_is_put_aside_stays_until_people_remove_it)
{
    begin(1);
    struct log *a = create("a", 0);
    append_some(a, 2);
    deletions = 0;
    store_put_aside(store, &a, on_deleted, NULL);
    ck_assert_ptr_null(a);
    ck_assert_ptr_null(store_find(store, SLICE("a"), 0));
    world_run_jobs(w);
    ck_assert_int_eq(deletions, 1);
    ck_assert_int_eq(count_matching("d0", "-stray"), 1);
    ck_assert_ptr_nonnull(create("a", 0)); /* the name is free */
    ck_assert_int_eq(log_end_offset(created), 0);
    w->wall_ms += 3600000;
    store_tick(store);
    world_run_jobs(w);
    ck_assert_int_eq(count_matching("d0", "-stray"), 1);
    start_again(1);
    ck_assert_int_eq(store_log_count(store), 1);
    ck_assert_int_eq(count_matching("d0", "-stray"), 1);
    ck_assert_int_eq(log_end_offset(store_find(store, SLICE("a"), 0)), 0);
    end();
}
END_TEST

START_TEST(a_broken_disk_takes_one_directory)
{
    begin(2);
    struct log *a = create("a", 0);
    create("b", 0);
    store_fail_dir(store, log_directory(a), ERR_IO);
    store_fail_dir(store, log_directory(a), ERR_IO);
    ck_assert_int_eq(told.failed, 1);
    ck_assert_int_eq(told.left, 1);
    ck_assert_ptr_eq(told.failed_dir, log_directory(a));
    ck_assert(world_has(w, "d0/.lock")); /* for what is noted there */
    struct log_slice slice;
    struct log_read read = {.bytes_max = 1};
    struct log_files *files = log_files_create(&w->env, 2);
    log_attach(a, files);
    ck_assert_int_eq(log_read(a, &read, &slice), ERR_OFFLINE);
    log_detach(a);
    log_files_destroy(&files);
    /* It may be there: nothing is made anew unless the controller says that it is new. */
    struct uuid id = UUID_ZERO;
    store_create(store, SLICE("n"), 0, id, &config, false, on_created, NULL);
    world_run_jobs(w);
    ck_assert_int_eq(created_err, ERR_OFFLINE);
    ck_assert_ptr_nonnull(create("n", 0));
    ck_assert_int_eq(log_directory(created)->index, 1);
    /* The other one is closed cleanly. */
    store_close(store);
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, 1);
    ck_assert(!world_has(w, "d0/.kafka_cleanshutdown"));
    ck_assert(world_has(w, "d1/.kafka_cleanshutdown"));
    end();
}
END_TEST

/* A partition that stays with a directory which is offline and leads there would never be led
 * again. */
START_TEST(a_directory_whose_failure_nobody_told_is_found_offline)
{
    begin(2);
    struct log *a = create("a", 0);
    atomic_store(&log_directory(a)->is_offline, true);
    store_tick(store);
    store_tick(store);
    ck_assert_int_eq(told.failed, 1);
    ck_assert_ptr_eq(told.failed_dir, log_directory(a));
    end();
}
END_TEST

START_TEST(a_checkpoint_that_did_not_change_is_not_written)
{
    begin(1);
    create("a", 0);
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    int syncs = world_counts(w).syncs;
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    ck_assert_int_eq(world_counts(w).syncs, syncs);
    log_set_high_watermark(created, 5);
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    log_set_high_watermark(created, 6);
    store_checkpoint(store, STORE_HIGH_WATERMARKS); /* while the first is on its way */
    world_run_jobs(w);
    expect_file("d0/replication-offset-checkpoint", "0\n1\na 0 6\n");
    /* A full disk: no harm, and it is tried again. */
    log_set_high_watermark(created, 7);
    world_fault(w, FAULT_FAIL, ERR_FULL, 0);
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    ck_assert_int_eq(told.failed, 0);
    store_checkpoint(store, STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
    expect_file("d0/replication-offset-checkpoint", "0\n1\na 0 7\n");
    end();
}
END_TEST

/* A crash soon after a roll scans the active segment, not what was synced before it. */
START_TEST(a_synced_roll_moves_the_recovery_point_on_disk)
{
    struct log_sync *sync = NULL;

    begin(1);
    struct log *log = create("a", 0);
    append_some(log, 2);
    store_checkpoint_sealed(store);
    world_run_jobs(w);
    expect_file("d0/recovery-point-offset-checkpoint", "0\n0\n"); /* of the creation */

    struct log_files *files = log_files_create(&w->env, 4);
    log_attach(log, files);
    ck_assert_int_eq(log_roll(log, 0), ERR_OK);
    ck_assert_int_eq(log_sync_plan_sealed(log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(log, &sync), ERR_OK);
    log_detach(log);
    log_files_destroy(&files);
    store_checkpoint_sealed(store);
    world_run_jobs(w);
    expect_file("d0/recovery-point-offset-checkpoint", "0\n1\na 0 6\n");
    int before = world_counts(w).syncs;
    store_checkpoint_sealed(store); /* once for each */
    world_run_jobs(w);
    ck_assert_int_eq(world_counts(w).syncs, before);
    end();
}
END_TEST

START_TEST(no_marker_when_a_log_could_not_be_closed)
{
    begin(1);
    append_some(create("a", 0), 2);
    world_fault(w, FAULT_FAIL, ERR_IO, 2);
    store_close(store);
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, 1);
    ck_assert(!world_has(w, "d0/.kafka_cleanshutdown"));
    end();
}
END_TEST

static void create_many(struct store_new_log *many, int count)
{
    for (int i = 0; i < count; i++)
        many[i] = (struct store_new_log){.topic = SLICE("many"),
                                         .partition = i,
                                         .topic_id = {{7}},
                                         .config = &config,
                                         .is_new = true};
    store_create_many(store, many, count, on_closed, NULL);
    world_run_jobs(w);
    told.closed = 0;
}

/* A log without a file of its id counts as one that never was: until the file is on the device no
 * checkpoint may say more. */
START_TEST(a_checkpoint_says_nothing_of_a_log_whose_id_is_not_on_the_device)
{
    enum { MANY = 100 };
    static struct store_new_log many[MANY];
    struct log_sync *sync = NULL;
    struct log_files *files;

    begin(1);
    create_many(many, MANY);
    struct log *log = many[MANY - 1].log;
    append_some(log, 2);
    save_watermark(log, 6);
    expect_line("d0/replication-offset-checkpoint", "many 99 0");
    files = log_files_create(&w->env, 4);
    log_attach(log, files);
    ck_assert_int_eq(log_sync_plan_sealed(log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(log, &sync), ERR_OK);
    log_detach(log);
    log_files_destroy(&files);
    save_watermark(log, 6);
    expect_line("d0/replication-offset-checkpoint", "many 99 6");
    end();
}
END_TEST

/* Each file alone would be waited for six times over: minutes for what must take a second. */
START_TEST(many_logs_that_end_share_the_waits_for_the_device)
{
    enum { MANY = 200 };
    static struct store_new_log many[MANY];

    begin(1);
    create_many(many, MANY);
    for (int i = 0; i < MANY; i++)
        append_some(many[i].log, i % 3);
    int before = world_counts(w).syncs;
    close_store();
    ck_assert_int_lt(world_counts(w).syncs - before, 20);
    ck_assert(world_has(w, "d0/.kafka_cleanshutdown"));
    expect_file("d0/many-199/partition.metadata", "version: 0\ntopic_id: BwAAAAAAAAAAAAAAAAAAAA");
    expect_file("d0/many-199/leader-epoch-checkpoint", "0\n1\n1 0\n");
    ck_assert(!world_has(w, "d0/many-199/partition.metadata.tmp"));
    start_again(1);
    for (int i = 0; i < MANY; i++) {
        struct log *log = store_find(store, SLICE("many"), i);
        ck_assert_int_eq(log_end_offset(log), i % 3 * 3);
        ck_assert_int_eq(log_recovery_point(log), i % 3 * 3);
        ck_assert_int_eq(log_topic_id(log).bytes[0], 7);
    }
    end();
}
END_TEST

static void start_after_power_loss(void)
{
    store_destroy(&store);
    w = world_restart_after_power_loss(w, SIM_FATE_DROPPED);
    set_options(1);
    open_store();
    ck_assert(world_has(w, "d0/many-0"));
    load();
}

/* What the marker says has to hold without the page cache: once with new epochs and topic ids,
 * which are renamed, once with records only. */
START_TEST(many_logs_that_have_ended_survive_a_power_loss)
{
    enum { MANY = 70 };
    static struct store_new_log many[MANY];
    struct log *log;

    begin(1);
    create_many(many, MANY);
    for (int i = 0; i < MANY; i++)
        append_some(many[i].log, 1);
    for (int batches = 1; batches <= 3; batches++) {
        close_store();
        ck_assert(world_has(w, "d0/.kafka_cleanshutdown"));
        start_after_power_loss();
        for (int i = 0; i < MANY; i++) {
            log = store_find(store, SLICE("many"), i);
            ck_assert_ptr_nonnull(log);
            ck_assert_int_eq(log_end_offset(log), batches * 3);
            ck_assert_int_eq(log_recovery_point(log), batches * 3);
            ck_assert_int_eq(log_epochs(log)->count, 1);
            ck_assert_uint_eq(log_topic_id(log).bytes[0], 7);
            append_some(log, 1);
        }
        told.closed = 0;
    }
    end();
}
END_TEST

/* ---- syncs of many logs ---- */

enum { TOGETHER = 5 };

static struct one_log together[TOGETHER];
static struct log_sync *syncs[TOGETHER];

/* Each log has a topic id, an epoch and a batch that the device does not have. */
static void plan_together(void)
{
    static struct store_new_log many[TOGETHER];

    begin(1);
    create_many(many, TOGETHER);
    for (int i = 0; i < TOGETHER; i++) {
        together[i] = (struct one_log){.w = w, .log = many[i].log};
        together[i].files = log_files_create(&w->env, 4);
        log_attach(together[i].log, together[i].files);
        append_one(&together[i], 3);
        ck_assert_int_eq(log_sync_plan(together[i].log, 0, &syncs[i]), ERR_OK);
        ck_assert_ptr_nonnull(syncs[i]);
    }
}

static void detach_together(void)
{
    for (int i = 0; i < TOGETHER; i++) {
        log_detach(together[i].log);
        log_files_destroy(&together[i].files);
    }
}

START_TEST(logs_that_are_synced_together_are_all_on_the_device)
{
    plan_together();
    log_syncs_run(syncs, TOGETHER);
    for (int i = 0; i < TOGETHER; i++) {
        ck_assert_int_eq(log_sync_done(together[i].log, &syncs[i]), ERR_OK);
        ck_assert_int_eq(log_recovery_point(together[i].log), 3);
    }
    detach_together();
    store_checkpoint(store, STORE_RECOVERY_POINTS);
    world_run_jobs(w);
    start_after_power_loss();
    for (int i = 0; i < TOGETHER; i++) {
        struct log *log = store_find(store, SLICE("many"), i);
        ck_assert_int_eq(log_end_offset(log), 3);
        ck_assert_int_eq(log_recovery_point(log), 3);
        ck_assert_int_eq(log_epochs(log)->count, 1);
        ck_assert_uint_eq(log_topic_id(log).bytes[0], 7);
    }
    end();
}
END_TEST

/* Whatever fails is one log's trouble, and nothing is believed of that one: where there was no room
 * it is tried again, and where the device failed its directory has gone. */
START_TEST(of_logs_that_are_synced_together_one_may_fail)
{
    int offline = 0;

    for (int at = 0;; at++) {
        int failed_logs = 0;
        bool is_synced[TOGETHER];

        plan_together();
        world_fault(w, FAULT_FAIL, ERR_FULL, at);
        log_syncs_run(syncs, TOGETHER);
        bool was_reached = w->nth.seen > at;
        world_fault(w, FAULT_NONE, ERR_OK, 0);
        for (int i = 0; i < TOGETHER; i++) {
            struct log *log = together[i].log;
            enum err err = log_sync_done(log, &syncs[i]);
            is_synced[i] = err == ERR_OK;
            ck_assert_int_eq(log_recovery_point(log), is_synced[i] ? 3 : 0);
            failed_logs += !is_synced[i];
            offline += err == ERR_IO;
            if (err != ERR_FULL) continue;
            ck_assert_int_eq(log_sync_plan(log, 0, &syncs[i]), ERR_OK);
            log_sync_run(syncs[i]);
            ck_assert_int_eq(log_sync_done(log, &syncs[i]), ERR_OK);
            is_synced[i] = true;
        }
        ck_assert_int_eq(failed_logs, was_reached);
        detach_together();
        start_after_power_loss();
        for (int i = 0; i < TOGETHER; i++) {
            struct log *log = store_find(store, SLICE("many"), i);
            if (!is_synced[i]) continue;
            ck_assert_int_eq(log_end_offset(log), 3);
            ck_assert_uint_eq(log_topic_id(log).bytes[0], 7);
        }
        end();
        if (!was_reached) break;
    }
    ck_assert_int_eq(offline, TOGETHER); /* of each the records themselves */
}
END_TEST

START_TEST(a_sync_that_is_left_is_still_to_be_done)
{
    plan_together();
    for (int i = 0; i < TOGETHER; i++) {
        log_sync_leave(syncs[i]);
        ck_assert_int_eq(log_sync_done(together[i].log, &syncs[i]), ERR_OK);
        ck_assert_int_eq(log_recovery_point(together[i].log), 0);
        ck_assert(log_wants_save(together[i].log));
        ck_assert(log_needs_finish(together[i].log));
    }
    detach_together();
    close_store();
    start_after_power_loss();
    for (int i = 0; i < TOGETHER; i++) {
        struct log *log = store_find(store, SLICE("many"), i);
        ck_assert_int_eq(log_recovery_point(log), 3);
        ck_assert_uint_eq(log_topic_id(log).bytes[0], 7);
    }
    end();
}
END_TEST

/* A change that fails anywhere on the way: never a marker that promises too much. */
START_TEST(many_logs_that_end_on_a_failing_disk_leave_no_marker)
{
    enum { MANY = 70 };
    static struct store_new_log many[MANY];

    for (int at = 0;; at += 13) {
        begin(1);
        create_many(many, MANY);
        append_some(many[3].log, 2);
        world_fault(w, FAULT_FAIL, ERR_IO, at);
        told.closed = 0;
        store_close(store);
        world_run_jobs(w);
        ck_assert_int_eq(told.closed, 1);
        bool was_reached = w->nth.seen > at;
        ck_assert_msg(world_has(w, "d0/.kafka_cleanshutdown") == !was_reached, "change %d", at);
        end();
        told.closed = 0;
        if (!was_reached) break;
    }
}
END_TEST

/* Also where the power went, with all that was not synced: nobody waits for that session's end. */
START_TEST(the_session_of_a_broker_is_known_after_a_power_loss)
{
    begin(1);
    store_note_session(store, 0x10000abc, 1);
    store_destroy(&store); /* removes its lock file, and that is not synced */
    w = world_restart_after_power_loss(w, SIM_FATE_DROPPED);
    set_options(1);
    open_store();
    load();
    ck_assert_int_eq(store_last_session(store), 0x10000abc);
    end();
}
END_TEST

/* What an earlier boot of the machine had in its page cache is gone. */
static uint64_t boot;

static uint64_t world_boot(void *world)
{
    (void)world;
    return boot;
}

static void start_after_crash(bool is_new_boot)
{
    store_destroy(&store);
    w = world_restart_after_power_loss(w, SIM_FATE_DROPPED);
    w->ops.boot = world_boot;
    boot += is_new_boot;
    set_options(1);
    open_store();
    load();
}

START_TEST(a_new_boot_is_known_until_an_orderly_end)
{
    boot = 0xfedcba9876543210;
    begin(1);
    w->ops.boot = world_boot;
    store_note_session(store, 1, 11);
    start_after_crash(false);
    ck_assert(!store_lost_cache(store)); /* killed: the page cache is as it was */
    store_note_session(store, 2, 12);
    start_after_crash(true);
    ck_assert(store_lost_cache(store));
    ck_assert_int_eq(store_lost_cache_since(store), 0); /* it is not registered yet */
    ck_assert_int_eq(store_last_session(store), 2);
    store_note_session(store, 3, 13);
    ck_assert_int_eq(store_lost_cache_since(store), 13);
    store_note_session(store, 4, 14); /* another session of the same life */
    start_after_crash(false);         /* what was lost is still lost, since then */
    ck_assert(store_lost_cache(store));
    ck_assert_int_eq(store_lost_cache_since(store), 13);
    ck_assert_int_eq(store_last_session(store), 4);
    store_note_session(store, 5, 15);
    start_after_crash(true); /* once more */
    ck_assert(store_lost_cache(store));
    ck_assert_int_eq(store_lost_cache_since(store), 0);
    store_note_session(store, 6, 0x7ffffffffffffffe);
    ck_assert_int_eq(store_lost_cache_since(store), 0x7ffffffffffffffe);
    close_store();
    start_again(1);
    ck_assert(!store_lost_cache(store));
    ck_assert_int_eq(store_lost_cache_since(store), 0);
    told.closed = 0;
    end();
}
END_TEST

/* The page cache is the same, but what a sync could not write is not in it for certain. */
START_TEST(what_failed_has_lost_its_cache_though_the_machine_runs_on)
{
    boot = 0xfedcba9876543210;
    begin(2);
    w->ops.boot = world_boot;
    store_note_session(store, 1, 11);
    store_fail_dir(store, log_directory(create("a", 0)), ERR_IO);
    ck_assert(store_lost_cache(store)); /* for a registration of this life, too */
    close_store();                      /* in order, but for what failed */
    told.closed = 0;
    start_again(2);
    w->ops.boot = world_boot;
    ck_assert(store_lost_cache(store));
    ck_assert_int_eq(store_last_session(store), 1);
    ck_assert_int_eq(store_lost_cache_since(store), 0);
    store_note_session(store, 2, 12);
    ck_assert_int_eq(store_lost_cache_since(store), 12);
    close_store();
    told.closed = 0;
    start_again(2);
    ck_assert(!store_lost_cache(store));
    end();
}
END_TEST

/* One that could be noted only in part. */
START_TEST(a_torn_note_of_a_loss_is_one)
{
    boot = 7;
    begin(1);
    store_destroy(&store);
    world_put(w, "d0/.lock", SLICE("1\n7\n7ff"));
    w = world_restart(w);
    w->ops.boot = world_boot;
    set_options(1);
    open_store();
    load();
    ck_assert(store_lost_cache(store));
    ck_assert_int_eq(store_lost_cache_since(store), 0);
    end();
}
END_TEST

/* One that was put back into use, or whose note could not be written, knows of an earlier life. */
START_TEST(directories_that_disagree_have_lost_what_the_worst_of_them_has)
{
    static const char *const notes[][2] = {
        {"1\n7\n20\n", "1\n6\n"}, {"1\n6\n30\n", "1\n7\n20\n"}, {"1\n7\n20\n", "1\n7\n10\n"}};
    static const int64_t since[] = {0, 0, 0x20};

    boot = 7;
    begin(2);
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
        store_destroy(&store);
        world_put(w, "d0/.lock", slice_text(notes[i][0]));
        world_put(w, "d1/.lock", slice_text(notes[i][1]));
        w = world_restart(w);
        w->ops.boot = world_boot;
        set_options(2);
        open_store();
        load();
        ck_assert(store_lost_cache(store));
        ck_assert_int_eq(store_lost_cache_since(store), since[i]);
    }
    end();
}
END_TEST

/* What a broker that was killed leaves says whose registration is in the way; an orderly end
 * leaves nothing. */
START_TEST(the_session_of_a_broker_that_was_killed_is_known)
{
    begin(2);
    ck_assert_int_eq(store_last_session(store), 0);
    store_note_session(store, 0x100006213abcdef1, 1);
    store_note_session(store, -2,
                       2); /* a negative one is as good; shorter or longer, it is whole */
    start_again(2);
    ck_assert_int_eq(store_last_session(store), 0); /* store_destroy is an orderly end */
    store_note_session(store, 0x7fffffffffffffff, 3);
    store_note_session(store, 0x10000abc, 1);
    struct buf text;
    buf_init(&text);
    world_get(w, "d0/.lock", &text);
    store_destroy(&store);
    world_put(w, "d0/.lock", buf_slice(&text));
    world_put(w, "d1/.lock", SLICE("")); /* Kafka's is empty */
    start_again(2);
    ck_assert_int_eq(store_last_session(store), 0x10000abc);
    store_destroy(&store);
    world_put(w, "d0/.lock", SLICE("10000a")); /* torn */
    start_again(2);
    ck_assert_int_eq(store_last_session(store), 0);
    buf_fini(&text);
    end();
}
END_TEST

/* Counts, not times: what a thousand empty partitions cost to load. */
START_TEST(a_thousand_empty_partitions_open_almost_nothing)
{
    enum { MANY = 1000 };
    static struct store_new_log many[MANY];

    begin(1);
    for (int i = 0; i < MANY; i++)
        many[i] = (struct store_new_log){
            .topic = SLICE("many"), .partition = i, .config = &config, .is_new = true};
    store_create_many(store, many, MANY, on_closed, NULL);
    world_run_jobs(w);
    ck_assert_int_eq(store_log_count(store), MANY);
    told.closed = 0;
    close_store();
    struct instant before = env_now(&w->env);
    start_again(1);
    ck_assert_int_eq(store_log_count(store), MANY);
    ck_assert_int_le(world_counts(w).opens, 2 * MANY + 10);
    log_info("test", "loaded", "logs=%d us=%lld", MANY,
             (long long)(instant_ns_between(before, env_now(&w->env)) / 1000));
    end();
}
END_TEST

UNIT(an_empty_directory_becomes_a_brokers, a_damaged_identity_is_named,
     the_directories_know_whose_they_are, a_directory_has_one_broker,
     a_load_that_is_abandoned_ends_without_a_word, logs_come_back_after_a_clean_stop,
     a_crash_recovers_from_the_recovery_point,
     a_log_shorter_than_its_watermark_says_what_was_promised,
     a_log_shorter_than_its_recovery_point_says_so,
     a_topic_that_was_made_again_has_promised_nothing,
     a_partition_whose_directory_is_gone_is_not_taken_for_a_new_one,
     a_truncation_waits_until_the_checkpoints_say_less, damaged_checkpoints_cost_what_kafka_says,
     strange_directories_stop_the_start, of_a_partition_that_is_there_twice_what_holds_nothing_goes,
     of_a_partition_that_is_there_twice_with_records_nobody_says_which_is_right,
     an_empty_log_that_once_was_not_is_no_leftover, creation_answers_once_for_each,
     a_full_disk_leaves_nothing_that_stands_in_the_way_of_the_next_try,
     deletion_renames_and_removes_later,
     a_name_is_made_again_when_no_checkpoint_speaks_of_the_one_before,
     no_log_is_made_where_checkpoints_cannot_be_written,
     what_is_put_aside_stays_until_people_remove_it, a_broken_disk_takes_one_directory,
     a_directory_whose_failure_nobody_told_is_found_offline,
     a_checkpoint_that_did_not_change_is_not_written, no_marker_when_a_log_could_not_be_closed,
     a_synced_roll_moves_the_recovery_point_on_disk,
     a_checkpoint_says_nothing_of_a_log_whose_id_is_not_on_the_device,
     many_logs_that_end_share_the_waits_for_the_device,
     many_logs_that_have_ended_survive_a_power_loss,
     logs_that_are_synced_together_are_all_on_the_device,
     of_logs_that_are_synced_together_one_may_fail, a_sync_that_is_left_is_still_to_be_done,
     many_logs_that_end_on_a_failing_disk_leave_no_marker,
     the_session_of_a_broker_that_was_killed_is_known,
     the_session_of_a_broker_is_known_after_a_power_loss, a_new_boot_is_known_until_an_orderly_end,
     directories_that_disagree_have_lost_what_the_worst_of_them_has,
     what_failed_has_lost_its_cache_though_the_machine_runs_on, a_torn_note_of_a_loss_is_one,
     a_thousand_empty_partitions_open_almost_nothing,
     a_broker_that_was_killed_starts_on_a_full_disk_and_waits_for_room,
     a_start_without_room_and_reserve_waits_for_room,
     a_start_that_waits_for_room_ends_when_it_is_told_to, what_comes_during_the_close_is_refused,
     a_disk_that_fills_during_a_start_has_the_reserve_for_it)
