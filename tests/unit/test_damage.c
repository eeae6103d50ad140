/* Every kind of file of a log directory, damaged in every way, after a clean stop and after a kill:
 * what the next start makes of it, on real files in a temporary folder. One row of the table is one
 * file and one damage. What is not as if nothing had happened is named by a line of the log, with
 * the file; a record is lost only where it was damaged itself, or stood behind one that was and had
 * not been synced.
 *
 * The life before: partition a-0 with three segments, 0 … 11 (epoch 1, synced), 12 … 23 (epoch 2),
 * 24 … 35 (epoch 3, active); in each an aborted transaction of producer 9 besides producer 7;
 * records below 2 deleted; watermark 33. Partition b-0 has two batches and no damage of its own. */
#include "base/log.h"
#include "broker/log/aborted.h"
#include "broker/log/compact.h"
#include "broker/log/snapshots.h"
#include "runtime/env_posix.h"
#include "store_world.h"
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the world: real files; nobody cuts the power here, so nothing need be synced ---- */

static struct env *posix;
static struct files_ops unsynced;
static char folder[200];
static struct buf lines; /* of the log, warnings and errors */

static void keep_line(void *to, enum log_level level, struct slice line)
{
    (void)to;
    if (level > LOG_WARN) return;
    buf_add_slice(&lines, line);
    buf_add(&lines, "\n", 1);
}

/* So that no line is left out for coming too often. */
static int64_t log_time(void *from)
{
    int64_t *seconds = from;

    return (*seconds)++ * 1000;
}

static enum err no_sync(struct file *file)
{
    (void)file;
    return ERR_OK;
}
static enum err no_sync_of(void *world, const char *path)
{
    (void)world, (void)path;
    return ERR_OK;
}

static void world_begin(void)
{
    static const struct disk_ops disk_ops = {.submit = world_submit};

    posix = env_posix_create(NULL);
    unsynced = *posix->ops->files;
    unsynced.sync = no_sync;
    unsynced.sync_directory = no_sync_of;
    unsynced.sync_system = no_sync_of;
    w = ensure_zalloc(sizeof(*w));
    w->ops = *posix->ops;
    w->ops.wall_ms = world_wall_ms;
    w->ops.files = &unsynced;
    w->ops.disk = &disk_ops;
    w->env = (struct env){&w->ops, posix->world};
    w->real = &w->env;
    w->wall_ms = env_wall_ms(posix);
    w->last_job = &w->first_job;
    the_world = w;
    snprintf(folder, sizeof(folder), "%s/ottla-damage-XXXXXX",
             getenv("TMPDIR") != NULL        ? getenv("TMPDIR")
             : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                             : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(w->dir, sizeof(w->dir), "%s/d0", folder);
    log_config_default(&config);
    config.index_interval_bytes = 150;
    config.retention_ms = 3600000;
    config.file_delete_delay_ms = 0;
    config.producer_expiration_ms = INT64_MAX;
    static int64_t seconds;
    log_to(keep_line, NULL);
    log_clock(log_time, &seconds);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status, (void)kind, (void)at;
    return remove(path);
}

static void empty_folder(void)
{
    ck_assert(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || access(folder, F_OK) != 0);
}

static void world_finish(void)
{
    empty_folder();
    env_posix_destroy(&posix);
    buf_fini(&lines);
    free(w);
}

static enum err start(void)
{
    static const char *paths[1];
    struct buf problem;

    paths[0] = w->dir;
    one_store_options(paths, 1);
    buf_init(&problem);
    enum err err = one_store_start(&problem);
    ck_assert_int_ne(err, ERR_COUNT);
    buf_add_slice(&lines, buf_slice(&problem)); /* what the process says as it ends */
    buf_fini(&problem);
    return err;
}

static void stop(void)
{
    if (store != NULL) world_run_jobs(w);
    store_destroy(&store);
}

/* ---- the life before ---- */

static struct log *created;
static void on_created(void *to, enum err err, struct log *log)
{
    (void)to;
    ck_assert_int_eq(err, ERR_OK);
    created = log;
}
static struct uuid topic_id(const char *topic)
{
    return (struct uuid){{9, (uint8_t)topic[0]}};
}
static struct log *create(const char *topic)
{
    store_create(store, slice_text(topic), 0, topic_id(topic), &config, true, on_created, NULL);
    world_run_jobs(w);
    return created;
}

static int64_t value_at; /* the offset that the next record will have is its value */
static int64_t began_ms;

static void add(struct log *log, struct buf *bytes, int n, int32_t epoch)
{
    struct log_appended appended;
    struct batch batch;

    ck_assert_int_eq(batch_view(buf_slice(bytes), &batch), ERR_OK);
    const struct checked checked = {.bytes = bytes->ptr,
                                    .len = bytes->len,
                                    .offset_count = n,
                                    .record_count = n,
                                    .max_timestamp = batch.max_timestamp,
                                    .max_timestamp_offset = n - 1,
                                    .append_time_ms = -1};
    enum err err = log_append_leader(log, &checked, epoch, w->wall_ms, &appended);
    ck_assert_msg(err == ERR_OK, "%s", err_name(err));
    value_at += n;
}

static int32_t sequences[10];

/* `n` records of producer 7 or, in a transaction, of 9. */
static void produce(struct log *log, int id, int n, int32_t epoch)
{
    struct record_builder builder;
    struct buf bytes;
    char value[80];

    buf_init(&bytes);
    record_builder_begin(&builder, &bytes);
    builder.head.producer_id = id;
    builder.head.producer_epoch = 0;
    builder.head.base_sequence = sequences[id];
    if (id == 9) builder.head.attributes |= BATCH_TRANSACTIONAL;
    for (int i = 0; i < n; i++) {
        snprintf(value, sizeof(value), "%lld, and something that makes it longer",
                 (long long)value_at + i);
        record_builder_add(&builder, began_ms + value_at + i, SLICE("key"), slice_text(value), NULL,
                           0);
    }
    record_builder_end(&builder);
    sequences[id] += n;
    add(log, &bytes, n, epoch);
    buf_fini(&bytes);
}

static void abort_it(struct log *log, int32_t epoch)
{
    struct buf bytes;

    buf_init(&bytes);
    record_write_marker(&bytes, RECORD_MARKER_ABORT, 9, 0, 0, began_ms + value_at);
    add(log, &bytes, 1, epoch);
    buf_fini(&bytes);
}

/* Twelve offsets. */
static void fill_segment(struct log *log, int32_t epoch)
{
    produce(log, 7, 3, epoch);
    produce(log, 9, 3, epoch);
    produce(log, 7, 3, epoch);
    abort_it(log, epoch);
    produce(log, 7, 2, epoch);
}

static void live(void)
{
    struct log_files *files = log_files_create(&w->env, 8);
    struct log_sync *sync = NULL;

    memset(sequences, 0, sizeof(sequences));
    began_ms = w->wall_ms - 60000;
    ck_assert_int_eq(start(), ERR_OK);
    struct log *a = create("a"), *b = create("b");
    log_attach(a, files);
    log_attach(b, files);
    value_at = 0;
    fill_segment(a, 1);
    ck_assert_int_eq(log_roll(a, w->wall_ms), ERR_OK);
    ck_assert_int_eq(log_sync_plan(a, w->wall_ms, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(a, &sync), ERR_OK);
    fill_segment(a, 2);
    ck_assert_int_eq(log_roll(a, w->wall_ms), ERR_OK);
    fill_segment(a, 3);
    log_set_high_watermark(a, 33);
    ck_assert_int_eq(log_advance_start(a, 2), ERR_OK);
    value_at = 0;
    produce(b, 8, 3, 1);
    produce(b, 8, 3, 1);
    log_set_high_watermark(b, 6);
    log_set_cleaned_offset(b, 3);
    log_detach(a);
    log_detach(b);
    log_files_destroy(&files);
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_LOG_STARTS | STORE_HIGH_WATERMARKS |
                                STORE_CLEANED);
    world_run_jobs(w);
}

/* ---- what a stop leaves, kept in memory ---- */

struct kept {
    char name[200]; /* below the folder */
    struct buf bytes;
};
struct image {
    struct kept at[64];
    int count;
};
static struct image images[2]; /* after a clean stop, after a kill */
static struct image *taking;

static int take_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status, (void)at;
    if (kind != FTW_F || strstr(path, "/.lock") != NULL) return 0;
    struct kept *kept = &taking->at[taking->count++];
    snprintf(kept->name, sizeof(kept->name), "%s", path + strlen(w->dir) + 1);
    buf_init(&kept->bytes);
    return files_read_all(w->real, path, (size_t)1 << 20, &kept->bytes) == ERR_OK ? 0 : 1;
}

static void take(struct image *image)
{
    image->count = 0;
    taking = image;
    ck_assert_int_eq(nftw(w->dir, take_one, 16, FTW_PHYS), 0);
}

static void free_image(struct image *image)
{
    for (int i = 0; i < image->count; i++)
        buf_fini(&image->at[i].bytes);
}

static struct kept *find_kept(struct image *image, const char *name)
{
    for (int i = 0; i < image->count; i++)
        if (strcmp(image->at[i].name, name) == 0) return &image->at[i];
    return NULL;
}

static void put_back(const struct image *image)
{
    char path[FILES_PATH_MAX];

    empty_folder();
    ck_assert_int_eq(files_make_directory(w->real, folder), ERR_OK);
    ck_assert_int_eq(files_make_directory(w->real, w->dir), ERR_OK);
    world_mkdir(w, "a-0");
    world_mkdir(w, "b-0");
    for (int i = 0; i < image->count; i++) {
        world_put(w, image->at[i].name, buf_slice(&image->at[i].bytes));
        if (strstr(image->at[i].name, CHECKPOINT_TOPIC_ID) == NULL) continue;
        world_path(w, path, image->at[i].name); /* it is older than the checkpoints */
        ck_assert_int_eq(files_set_modified(w->real, path, w->wall_ms - 60000), ERR_OK);
    }
}

static void make_images(void)
{
    live();
    take(&images[1]);
    store_close(store);
    world_run_jobs(w);
    ck_assert_int_eq(told.closed, 1);
    store_destroy(&store);
    take(&images[0]);
}

/* ---- what is found ---- */

/* Records that a reader gets, by their own values. The others are unreadable or gone. */
static void read_records(struct log *log, bool *is_there, int64_t most, struct buf *aborted)
{
    int64_t told[8];
    int told_count = 0;

    if (log_end_offset(log) > most) return; /* that is told by its end */

    for (int64_t offset = log_start_offset(log); offset < log_end_offset(log);) {
        const struct log_read read = {
            .offset = offset, .bytes_max = 1, .at_least_one = true, .limit = log_end_position(log)};
        struct log_slice slice;
        struct aborted *found = NULL;
        struct batch batch;
        int count = 0;
        int64_t next = offset + 1;

        if (log_read(log, &read, &slice) != ERR_OK) {
            offset = next;
            continue;
        }
        uint8_t *bytes = ensure_malloc((size_t)slice.len + 1);
        size_t n = 0;
        ck_assert_int_eq(file_read_at(&w->env, log_slice_file(&slice), (uint64_t)slice.position,
                                      bytes, (size_t)slice.len, &n),
                         ERR_OK);
        struct slice rest = slice_of(bytes, n);
        if (batch_take(&rest, &batch) == ERR_OK && batch_last_offset(&batch) >= offset &&
            batch_last_offset(&batch) < log_end_offset(log))
            next = batch_last_offset(&batch) + 1;
        if (batch_view(slice_of(bytes, n), &batch) == ERR_OK && batch_check(&batch) == ERR_OK) {
            struct record_reader reader = record_reader_of(batch.records, batch.record_count);
            struct record record;
            while (record_next(&reader, &record)) {
                int64_t at = record_offset(&batch, &record);
                bool is_right =
                    batch_is_control(&batch) || atoi((const char *)record.value.ptr) == at;
                if (at >= log_start_offset(log) && at >= 0 && at < most && is_right)
                    is_there[at] = true;
            }
        }
        if (log_aborted(log, &slice, &found, &count) == ERR_OK) {
            for (int i = 0; i < count; i++) {
                bool again = false;
                for (int k = 0; k < told_count; k++)
                    again |= told[k] == found[i].first_offset;
                if (again || told_count == 8) continue;
                told[told_count++] = found[i].first_offset;
                buf_printf(aborted, "%s%lld", aborted->len == 0 ? "" : ",",
                           (long long)found[i].first_offset);
            }
        } else {
            buf_add_text(aborted, "!");
        }
        free(found);
        free(bytes);
        log_slice_release(&slice);
        offset = next;
    }
}

static void print_ranges(struct buf *out, const bool *is_there, int n)
{
    int from = -1;

    for (int i = 0; i <= n; i++) {
        bool there = i < n && is_there[i];
        if (there && from < 0) from = i;
        if (there || from < 0) continue;
        buf_printf(out, "%s%d-%d", out->len == 0 ? "" : ",", from, i - 1);
        from = -1;
    }
}

static int64_t find_time(struct log *log, int64_t timestamp)
{
    struct log_search *search = NULL;
    struct log_found found;
    enum err err;

    if (log_search_start(log, timestamp, &search) != ERR_OK) return -2;
    do {
        log_search_run(search);
    } while (!log_search_done(log, &search, &err, &found));
    return err == ERR_OK ? found.offset : -2;
}

static bool told_apart; /* the first field goes without a blank before it */

static void differs(struct buf *out, const char *name, const char *whole, const char *found)
{
    if (strcmp(whole, found) == 0) return;
    buf_printf(out, "%s%s=%s", told_apart ? " " : "", name, found);
    told_apart = true;
}

/* What is not as if nothing had happened, in words. */
static void look(struct buf *out)
{
    struct log_files *files = log_files_create(&w->env, 8);
    struct log *a = store_find(store, SLICE("a"), 0), *b = store_find(store, SLICE("b"), 0);
    bool is_there[64] = {false}, is_there_of_b[64] = {false};
    struct buf text, aborted, none;
    int removed = 0;

    told_apart = false;
    buf_init(&text);
    buf_init(&aborted);
    buf_init(&none);
    if (a == NULL || b == NULL) {
        buf_add_text(out, a == NULL ? "no a-0" : "no b-0");
        log_files_destroy(&files);
        return;
    }
    log_attach(a, files);
    log_attach(b, files);

    read_records(a, is_there, 64, &aborted);
    print_ranges(&text, is_there, 64);
    buf_add(&text, "", 1);
    buf_add(&aborted, "", 1);
    differs(out, "records", "2-35", (const char *)text.ptr);
    char number[80];
    snprintf(number, sizeof(number), "%lld", (long long)log_end_offset(a));
    differs(out, "end", "36", number);
    snprintf(number, sizeof(number), "%lld", (long long)log_start_offset(a));
    differs(out, "start", "2", number);
    differs(out, "aborted", "3,15,27", (const char *)aborted.ptr);

    buf_clear(&text);
    for (int i = 0; i < log_epochs(a)->count; i++)
        buf_printf(&text, "%s%d@%lld", i == 0 ? "" : ",", log_epochs(a)->at[i].epoch,
                   (long long)log_epochs(a)->at[i].start);
    buf_add(&text, "", 1);
    differs(out, "epochs", "1@2,2@12,3@24", (const char *)text.ptr);

    buf_clear(&text);
    for (int i = 0; i < log_producers(a)->count; i++)
        buf_printf(&text, "%s%lld:%d", i == 0 ? "" : ",",
                   (long long)producers_at(log_producers(a), i).producer_id,
                   producers_at(log_producers(a), i).last_sequence);
    buf_add(&text, "", 1);
    differs(out, "producers", "7:23,9:8", (const char *)text.ptr);

    snprintf(number, sizeof(number), "%lld,%lld,%lld,%lld", (long long)find_time(a, began_ms + 7),
             (long long)find_time(a, began_ms + 16), (long long)find_time(a, began_ms + 25),
             (long long)find_time(a, LOG_TIME_MAX));
    differs(out, "times", "7,16,25,35", number);
    snprintf(number, sizeof(number), "%lld", (long long)log_promised(a));
    differs(out, "promised", "0", number);
    const struct uuid id = topic_id("a");
    differs(out, "id", "",
            uuid_is_zero(log_topic_id(a))     ? "none"
            : uuid_equal(log_topic_id(a), id) ? ""
                                              : "another");
    snprintf(number, sizeof(number), "%lld", (long long)log_high_watermark(a));
    differs(out, "watermark", "33", number);
    log_set_high_watermark(a, log_end_offset(a));
    ck_assert_int_eq(log_retain(a, w->wall_ms, &removed), ERR_OK);
    snprintf(number, sizeof(number), "%d", removed);
    differs(out, "retained", "0", number);

    /* Whatever was found goes on. */
    int64_t end = log_end_offset(a);
    value_at = end;
    sequences[1] = 0;
    produce(a, 1, 1, 9);
    ck_assert_int_eq(log_end_offset(a), end + 1);

    read_records(b, is_there_of_b, 64, &none);
    buf_clear(&text);
    print_ranges(&text, is_there_of_b, 64);
    buf_add(&text, "", 1);
    differs(out, "b", "0-5", (const char *)text.ptr);
    snprintf(number, sizeof(number), "%lld", (long long)log_cleaned_offset(b));
    differs(out, "cleaned", "3", number);
    snprintf(number, sizeof(number), "%lld", (long long)log_promised(b));
    differs(out, "b-promised", "0", number);
    log_detach(a);
    log_detach(b);
    log_files_destroy(&files);
    buf_fini(&none);
    buf_fini(&text);
    buf_fini(&aborted);
}

/* ---- the damage ---- */

enum damage {
    CUT,   /* to half its length */
    FLIP,  /* one bit behind its middle */
    DIGIT, /* one bit of a number, which it stays: of a-0, or the last one */
    ZEROS,
    EMPTY,
    GONE,
};
static const char *const damages[] = {"cut", "flip", "digit", "zeros", "empty", "gone"};

static size_t digit_of(const struct buf *bytes)
{
    for (size_t i = 0; i + 4 < bytes->len; i++)
        if (memcmp(bytes->ptr + i, "a 0 ", 4) == 0) return i + 4;
    size_t at = bytes->len - 2; /* before the last line feed */
    while (at > 0 && bytes->ptr[at - 1] >= '0' && bytes->ptr[at - 1] <= '9')
        at--;
    return at;
}

static void damage_it(const struct kept *kept, enum damage damage)
{
    struct buf bytes;

    if (damage == GONE) {
        world_delete(w, kept->name);
        return;
    }
    buf_init(&bytes);
    buf_add_slice(&bytes, buf_slice(&kept->bytes));
    if (damage == CUT) bytes.len /= 2;
    if (damage == EMPTY) bytes.len = 0;
    if (damage == FLIP) bytes.ptr[bytes.len * 3 / 5] ^= 0x10;
    if (damage == DIGIT) bytes.ptr[digit_of(&bytes)] ^= 4;
    if (damage == ZEROS) memset(bytes.ptr, 0, bytes.len);
    world_put(w, kept->name, buf_slice(&bytes));
    buf_fini(&bytes);
}

static bool lines_have(const char *text)
{
    buf_add(&lines, "", 1);
    bool found = strstr((const char *)lines.ptr, text) != NULL;
    lines.len--;
    return found;
}

/* What a start makes of what is there. */
static void outcome(const char *damaged, struct buf *out)
{
    const char *name = strrchr(damaged, '/') == NULL ? damaged : strrchr(damaged, '/') + 1;

    buf_clear(&lines);
    buf_clear(out);
    enum err err = start();
    if (err == ERR_OK)
        look(out);
    else
        buf_add_text(out, "refused");
    stop();
    const char *partition = strncmp(damaged, "b-0/", 4) == 0 ? "/b-0" : "/a-0";
    if (out->len > 0 && !lines_have(name) && !lines_have(partition))
        buf_add_text(out, " (no line names it)");
    buf_add(out, "", 1);
}

struct row {
    const char *file;
    enum damage damage;
    const char *clean, *killed; /* NULL: a stop of that kind leaves no such file, or an empty one */
};

#define AS_EVER "" /* as if nothing had happened */

static const struct row rows[] = {
    /* What a recovery point covers is believed (segment 0, and after a clean stop all but the end
     * of the last one): readers are told where they meet it. What follows damage that was not
     * synced goes; `promised` is what keeps such a replica from leading (docs/last-replica.md): a
     * follower fetches it again. A flipped bit in a batch that is believed is found by the readers'
     * checksum alone. */
    {"a-0/00000000000000000000.log", CUT, "records=2-5,12-35 times=-2,16,25,35",
     "records=2-5,12-35 times=-2,16,25,35"},
    {"a-0/00000000000000000000.log", FLIP, "records=2-5,9-35 times=-2,16,25,35",
     "records=2-5,9-35 times=-2,16,25,35"},
    {"a-0/00000000000000000000.log", ZEROS, "records=12-35 aborted=15,27 times=-2,16,25,35",
     "records=12-35 aborted=15,27 times=-2,16,25,35"},
    {"a-0/00000000000000000000.log", EMPTY,
     "records=12-35 aborted=15,27 times=12,16,25,35 retained=1",
     "records=12-35 aborted=15,27 times=12,16,25,35"},
    {"a-0/00000000000000000000.log", GONE, "records=12-35 start=12 aborted=15,27 times=12,16,25,35",
     "records=12-35 start=12 aborted=15,27 times=12,16,25,35"},
    {"a-0/00000000000000000012.log", CUT, "records=2-17,24-35",
     "records=2-17 end=18 aborted=3 epochs=1@2,2@12 producers=7:10,9:5 times=7,16,-1,17 "
     "promised=33 watermark=18"},
    {"a-0/00000000000000000012.log", FLIP, "records=2-17,21-35 (no line names it)",
     "records=2-17 end=18 aborted=3 epochs=1@2,2@12 producers=7:10,9:5 times=7,16,-1,17 "
     "promised=33 watermark=18"},
    {"a-0/00000000000000000012.log", ZEROS, "records=2-11,24-35 aborted=3,27 times=7,-2,25,35",
     "records=2-11 end=12 aborted=3 epochs=1@2 producers=7:7,9:2 times=7,-1,-1,11 promised=33 "
     "watermark=12"},
    {"a-0/00000000000000000012.log", EMPTY, "records=2-11,24-35 aborted=3,27 times=7,24,25,35",
     "records=2-11 end=12 aborted=3 epochs=1@2 producers=7:7,9:2 times=7,-1,-1,11 promised=33 "
     "watermark=12"},
    {"a-0/00000000000000000012.log", GONE, "records=2-11,24-35 aborted=3,27 times=7,24,25,35",
     "records=2-11 end=12 aborted=3 epochs=1@2 producers=7:7,9:2 times=7,-1,-1,11 promised=33 "
     "watermark=12"},
    {"a-0/00000000000000000024.log", CUT,
     "records=2-29 end=30 producers=7:18,9:8 times=7,16,25,29 promised=36 watermark=30",
     "records=2-29 end=30 aborted=3,15 producers=7:18,9:8 times=7,16,25,29 promised=33 "
     "watermark=30"},
    {"a-0/00000000000000000024.log", FLIP, "records=2-29,33-35 (no line names it)",
     "records=2-29 end=30 aborted=3,15 producers=7:18,9:8 times=7,16,25,29 promised=33 "
     "watermark=30"},
    {"a-0/00000000000000000024.log", ZEROS,
     "records=2-23 end=24 aborted=3,15 epochs=1@2,2@12 producers=7:15,9:5 times=7,16,-1,23 "
     "promised=36 watermark=24",
     "records=2-23 end=24 aborted=3,15 epochs=1@2,2@12 producers=7:15,9:5 times=7,16,-1,23 "
     "promised=33 watermark=24"},
    {"a-0/00000000000000000024.log", EMPTY,
     "records=2-23 end=24 aborted=3,15 epochs=1@2,2@12 producers=7:15,9:5 times=7,16,-1,23 "
     "promised=36 watermark=24",
     "records=2-23 end=24 aborted=3,15 epochs=1@2,2@12 producers=7:15,9:5 times=7,16,-1,23 "
     "promised=33 watermark=24"},
    {"a-0/00000000000000000024.log", GONE,
     "records=2-23 end=24 aborted=3,15 epochs=1@2,2@12 producers=7:15,9:5 times=7,16,-1,23 "
     "promised=36 watermark=24",
     "records=2-23 end=24 aborted=3,15 epochs=1@2,2@12 producers=7:15,9:5 times=7,16,-1,23 "
     "promised=33 watermark=24"},
    /* Finding is a help: what is missing or cannot be is built anew, what lies is found out and
       passed by. */
    {"a-0/00000000000000000000.index", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.index", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.index", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.index", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.index", GONE, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.index", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.index", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.index", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.index", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.index", GONE, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.index", CUT, AS_EVER, NULL},
    {"a-0/00000000000000000024.index", FLIP, AS_EVER, NULL},
    {"a-0/00000000000000000024.index", ZEROS, AS_EVER, NULL},
    {"a-0/00000000000000000024.index", EMPTY, AS_EVER, NULL},
    {"a-0/00000000000000000024.index", GONE, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.timeindex", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.timeindex", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.timeindex", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.timeindex", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.timeindex", GONE, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.timeindex", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.timeindex", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.timeindex", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.timeindex", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.timeindex", GONE, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.timeindex", CUT, AS_EVER, NULL},
    {"a-0/00000000000000000024.timeindex", FLIP, AS_EVER, NULL},
    {"a-0/00000000000000000024.timeindex", ZEROS, AS_EVER, NULL},
    {"a-0/00000000000000000024.timeindex", EMPTY, AS_EVER, NULL},
    {"a-0/00000000000000000024.timeindex", GONE, AS_EVER, AS_EVER},
    /* An entry that cannot be has it built anew. That there was one, nothing tells after a clean
       stop. */
    {"a-0/00000000000000000000.txnindex", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.txnindex", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.txnindex", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.txnindex", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000000.txnindex", GONE, "aborted=15,27 (no line names it)",
     "aborted=15,27 (no line names it)"},
    {"a-0/00000000000000000012.txnindex", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.txnindex", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.txnindex", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.txnindex", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.txnindex", GONE, "aborted=3,27 (no line names it)", AS_EVER},
    {"a-0/00000000000000000024.txnindex", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.txnindex", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.txnindex", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.txnindex", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.txnindex", GONE, "aborted=3,15 (no line names it)", AS_EVER},
    /* An older one, and the batches since. */
    {"a-0/00000000000000000012.snapshot", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.snapshot", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.snapshot", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.snapshot", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000012.snapshot", GONE, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.snapshot", CUT, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.snapshot", FLIP, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.snapshot", ZEROS, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.snapshot", EMPTY, AS_EVER, AS_EVER},
    {"a-0/00000000000000000024.snapshot", GONE, AS_EVER, AS_EVER},
    {"a-0/00000000000000000036.snapshot", CUT, AS_EVER, NULL},
    {"a-0/00000000000000000036.snapshot", FLIP, AS_EVER, NULL},
    {"a-0/00000000000000000036.snapshot", ZEROS, AS_EVER, NULL},
    {"a-0/00000000000000000036.snapshot", EMPTY, AS_EVER, NULL},
    {"a-0/00000000000000000036.snapshot", GONE, AS_EVER, NULL},
    /* Learnt anew from the batches, where it does not fit the last ones. */
    {"a-0/leader-epoch-checkpoint", CUT, AS_EVER, AS_EVER},
    {"a-0/leader-epoch-checkpoint", FLIP, AS_EVER, AS_EVER},
    {"a-0/leader-epoch-checkpoint", DIGIT, AS_EVER, "epochs=1@4,2@12,3@24 (no line names it)"},
    {"a-0/leader-epoch-checkpoint", ZEROS, AS_EVER, AS_EVER},
    {"a-0/leader-epoch-checkpoint", EMPTY, AS_EVER, AS_EVER},
    {"a-0/leader-epoch-checkpoint", GONE, AS_EVER, AS_EVER},
    /* Not a checkpoint: the directory is offline. Numbers that cannot all be true are a promise. */
    {"recovery-point-offset-checkpoint", CUT, "refused", "refused"},
    {"recovery-point-offset-checkpoint", FLIP, "refused", "refused"},
    {"recovery-point-offset-checkpoint", DIGIT, "promised=76", "epochs=1@2,3@24 promised=52"},
    {"recovery-point-offset-checkpoint", ZEROS, "refused", "refused"},
    {"recovery-point-offset-checkpoint", EMPTY, AS_EVER, AS_EVER},
    {"recovery-point-offset-checkpoint", GONE, AS_EVER, AS_EVER},
    {"replication-offset-checkpoint", CUT, "refused", "refused"},
    {"replication-offset-checkpoint", FLIP, "refused", "refused"},
    {"replication-offset-checkpoint", DIGIT, "promised=73 watermark=36",
     "promised=73 watermark=36"},
    {"replication-offset-checkpoint", ZEROS, "refused", "refused"},
    {"replication-offset-checkpoint", EMPTY, "watermark=2", "watermark=2"},
    {"replication-offset-checkpoint", GONE, "watermark=2", "watermark=2"},
    {"log-start-offset-checkpoint", CUT, "refused", "refused"},
    {"log-start-offset-checkpoint", FLIP, "refused", "refused"},
    {"log-start-offset-checkpoint", DIGIT, "records=6-35 start=6 epochs=1@6,2@12,3@24",
     "records=6-35 start=6 epochs=1@6,2@12,3@24 (no line names it)"},
    {"log-start-offset-checkpoint", ZEROS, "refused", "refused"},
    {"log-start-offset-checkpoint", EMPTY, "records=0-35 start=0",
     "records=0-35 start=0 epochs=1@0,2@12,3@24"},
    {"log-start-offset-checkpoint", GONE, "records=0-35 start=0",
     "records=0-35 start=0 epochs=1@0,2@12,3@24"},
    {"cleaner-offset-checkpoint", CUT, "refused", "refused"},
    {"cleaner-offset-checkpoint", FLIP, "refused", "refused"},
    {"cleaner-offset-checkpoint", DIGIT, "cleaned=-1 (no line names it)",
     "cleaned=-1 (no line names it)"},
    {"cleaner-offset-checkpoint", ZEROS, "refused", "refused"},
    {"cleaner-offset-checkpoint", EMPTY, "cleaned=-1 (no line names it)",
     "cleaned=-1 (no line names it)"},
    {"cleaner-offset-checkpoint", GONE, "cleaned=-1 (no line names it)",
     "cleaned=-1 (no line names it)"},
    /* Another id, and LeaderAndIsr has the log put aside (…-stray). None: it is given one. */
    {"a-0/partition.metadata", CUT, "refused", "refused"},
    {"a-0/partition.metadata", FLIP, "id=another (no line names it)",
     "id=another (no line names it)"},
    {"a-0/partition.metadata", ZEROS, "refused", "refused"},
    {"a-0/partition.metadata", EMPTY, "refused", "refused"},
    {"a-0/partition.metadata", GONE, "id=none (no line names it)", "id=none (no line names it)"},
    /* What is missing is taken from the configuration and from ZooKeeper. */
    {"meta.properties", CUT, AS_EVER, AS_EVER},
    {"meta.properties", FLIP, "refused", "refused"},
    {"meta.properties", ZEROS, "refused", "refused"},
    {"meta.properties", EMPTY, AS_EVER, AS_EVER},
    {"meta.properties", GONE, AS_EVER, AS_EVER},
    /* Only that it is there counts. */
    {".kafka_cleanshutdown", FLIP, AS_EVER, NULL},
    {".kafka_cleanshutdown", ZEROS, AS_EVER, NULL},
    {".kafka_cleanshutdown", EMPTY, AS_EVER, NULL},
    {".kafka_cleanshutdown", GONE, AS_EVER, NULL},
};

START_TEST(every_file_in_every_way)
{
    int wrong = 0;
    struct buf found;

    world_begin();
    make_images();
    buf_init(&found);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int killed = 0; killed < 2; killed++) {
            const char *wanted = killed ? rows[i].killed : rows[i].clean;
            const struct kept *kept = find_kept(&images[killed], rows[i].file);
            if (kept != NULL && kept->bytes.len == 0 && rows[i].damage != GONE) kept = NULL;
            if (kept == NULL && wanted == NULL) continue;
            if (kept == NULL || wanted == NULL) {
                printf("%s, %s, after a %s stop:\n  wanted: %s\n  found:  %s\n", rows[i].file,
                       damages[rows[i].damage], killed ? "killed" : "clean",
                       wanted == NULL ? "NULL" : wanted, kept == NULL ? "NULL" : "a file");
                wrong++;
                continue;
            }
            put_back(&images[killed]);
            damage_it(kept, rows[i].damage);
            outcome(rows[i].file, &found);
            if (strcmp((const char *)found.ptr, wanted) == 0) continue;
            printf("%s, %s, after a %s stop:\n  wanted: %s\n  found:  %s\n", rows[i].file,
                   damages[rows[i].damage], killed ? "killed" : "clean", wanted,
                   (const char *)found.ptr);
            if (getenv("DAMAGE_SHOW") != NULL) printf("%.*s", SLICE_ARGS(buf_slice(&lines)));
            wrong++;
        }
    }
    buf_fini(&found);
    free_image(&images[0]);
    free_image(&images[1]);
    world_finish();
    ck_assert_msg(wrong == 0, "%d of the table are not so", wrong);
}
END_TEST

/* Whether the records `first` … `last` are lost, and no other. */
static bool is_lost(const char *found, bool is_b, int first, int last)
{
    int low = is_b ? 0 : 2, high = is_b ? 5 : 35;
    char before[30] = "", after[30] = "", lost[120];

    if (first > low) snprintf(before, sizeof(before), "%d-%d", low, first - 1);
    if (last < high) snprintf(after, sizeof(after), "%d-%d", last + 1, high);
    snprintf(lost, sizeof(lost), "%s%s%s%s ", is_b ? "b=" : "records=", before,
             before[0] != '\0' && after[0] != '\0' ? "," : "", after);
    if (strncmp(found, lost, strlen(lost)) != 0) return false;
    /* Who asks for a time may be told of the next batch. */
    return strchr(strchr(found, '=') + 1, '=') == NULL || strstr(found, " times=") != NULL;
}

/* What may happen without a line: a batch that has no longer its checksum goes to the readers, who
 * see it; a number that can be is believed. */
static bool is_fair(const struct kept *kept, struct slice damaged, size_t at, const char *found)
{
    static const struct {
        const char *file, *fields;
    } believed[] = {{".txnindex", "aborted="},
                    {CHECKPOINT_EPOCHS, "epochs="},
                    {CHECKPOINT_TOPIC_ID, "id="},
                    {CHECKPOINT_REPLICATION, "watermark="},
                    {CHECKPOINT_LOG_START, "records= start= epochs="},
                    {CHECKPOINT_CLEANER, "cleaned="}};
    struct slice rest = buf_slice(&kept->bytes);
    struct batch batch;

    if (strstr(found, "(no line") == NULL) return true;
    for (size_t i = 0; i < sizeof(believed) / sizeof(believed[0]); i++) {
        if (strstr(kept->name, believed[i].file) == NULL) continue;
        for (const char *field = found; field != NULL && strncmp(field, "(no", 3) != 0;) {
            int len = (int)(strchr(field, '=') - field) + 1;
            char name[32];
            snprintf(name, sizeof(name), "%.*s", len, field);
            if (strstr(believed[i].fields, name) == NULL) return false;
            field = strchr(field, ' ');
            field = field == NULL ? NULL : field + 1;
        }
        return true;
    }
    if (strstr(kept->name, NAMES_LOG) == NULL) return false;
    /* Nor does a checksum cover which epoch wrote a batch. */
    if (strncmp(found, "epochs=", 7) == 0 && strchr(found + 7, '=') == NULL) return true;
    /* In a topic that is compacted offsets may be missing: of the last batch, after a kill, any is
     * believed. */
    bool is_b = kept->name[0] == 'b';
    if (is_b && strncmp(found, "b= ", 3) == 0) return true;
    size_t from = 0;
    while (batch_take(&rest, &batch) == ERR_OK && kept->bytes.len - rest.len <= at)
        from = kept->bytes.len - rest.len;
    int first = (int)batch.base_offset, last = (int)batch_last_offset(&batch);
    if (is_lost(found, is_b, first, last)) return true;
    /* It may say that it has offsets of the next one, too. */
    return batch_view(slice_of(damaged.ptr + from, damaged.len - from), &batch) == ERR_OK &&
           batch_last_offset(&batch) > last && batch_last_offset(&batch) < last + 3 &&
           is_lost(found, is_b, first, (int)batch_last_offset(&batch));
}

/* Bytes between two that are tried. For a longer look: OTTLA_DAMAGE_STEP=1. */
static size_t step_of(void)
{
    const char *text = getenv("OTTLA_DAMAGE_STEP");
    int step = text == NULL ? 7 : atoi(text);

    return step < 1 ? 1 : (size_t)step;
}

/* Any bit of any file: no crash, no record lost but where it was damaged, or with a line that says
 * so. */
START_TEST(any_bit_of_any_file)
{
    size_t step = step_of();
    int seen = 0, wrong = 0;
    struct buf found, bytes;

    world_begin();
    make_images();
    buf_init(&found);
    buf_init(&bytes);
    for (int killed = 0; killed < 2; killed++) {
        for (int i = 0; i < images[killed].count; i++) {
            const struct kept *kept = &images[killed].at[i];
            for (size_t at = (size_t)i % step; at < kept->bytes.len; at += step) {
                put_back(&images[killed]);
                buf_clear(&bytes);
                buf_add_slice(&bytes, buf_slice(&kept->bytes));
                bytes.ptr[at] ^= (uint8_t)(1 << (at / step % 8));
                world_put(w, kept->name, buf_slice(&bytes));
                outcome(kept->name, &found);
                seen++;
                if (is_fair(kept, buf_slice(&bytes), at, (const char *)found.ptr)) continue;
                printf("%s, bit %zu of byte %zu, after a %s stop: %s\n", kept->name, at / step % 8,
                       at, killed ? "killed" : "clean", (const char *)found.ptr);
                wrong++;
            }
        }
    }
    buf_fini(&bytes);
    buf_fini(&found);
    free_image(&images[0]);
    free_image(&images[1]);
    world_finish();
    ck_assert_int_gt(seen, 100);
    ck_assert_msg(wrong == 0, "%d of %d", wrong, seen);
}
END_TEST

UNIT(every_file_in_every_way, any_bit_of_any_file)
