/* A partition's directory as it may be found: index, time index, epochs and segment with any
 * content, after a clean stop or another. The first byte says which are there, whether the stop was
 * clean and whether checksums are made right, whether producers' files are there and whether it is
 * compacted; then each has a length of two bytes, the segment takes the rest. Whatever is found,
 * what is loaded can be read from its start to its end, searched, cut and appended to, and is the
 * same when it is loaded again. Files are in memory. */
#include "broker/log/recover.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "broker/log/compact.h"
#include "broker/log/checkpoint.h"
#include "broker/log/names.h"
#include "runtime/files.h"
#include "tests/fuzz/fuzz.h"
#include "wire/batch.h"
#include "wire/record.h"
#include <stdio.h>
#include <stdlib.h>

#define FILES_MAX  256
#define FILE_LIMIT ((uint64_t)64 << 20)

/* ---- files in memory ---- */

struct entry {
    char name[128]; /* its path; empty: none */
    struct buf bytes;
    int opens;
    bool is_gone;
};
struct memory {
    struct entry *at[FILES_MAX];
    int count;
};
struct file {
    struct entry *entry;
};

static struct entry *find(struct memory *memory, const char *path)
{
    for (int i = 0; i < memory->count; i++)
        if (!memory->at[i]->is_gone && strcmp(memory->at[i]->name, path) == 0) return memory->at[i];
    return NULL;
}

static struct entry *add(struct memory *memory, const char *path)
{
    ensure(memory->count < FILES_MAX && strlen(path) < sizeof(memory->at[0]->name));
    struct entry *entry = ensure_zalloc(sizeof(*entry));
    snprintf(entry->name, sizeof(entry->name), "%s", path);
    memory->at[memory->count++] = entry;
    return entry;
}

static enum err mem_open(void *world, const char *path, int flags, struct file **out)
{
    struct entry *entry = find(world, path);

    if (entry == NULL && (flags & FILE_CREATE) == 0) return ERR_NOT_FOUND;
    if (entry == NULL) entry = add(world, path);
    if ((flags & FILE_TRUNCATE) != 0) entry->bytes.len = 0;
    *out = ensure_zalloc(sizeof(**out));
    (*out)->entry = entry;
    entry->opens++;
    return ERR_OK;
}
static void mem_close(struct file *file)
{
    file->entry->opens--;
    free(file);
}
static enum err mem_read_at(struct file *file, uint64_t position, void *to, size_t len, size_t *n)
{
    const struct buf *bytes = &file->entry->bytes;

    ensure(position <= INT64_MAX);
    *n = position >= bytes->len                ? 0
         : bytes->len - (size_t)position < len ? bytes->len - (size_t)position
                                               : len;
    if (*n > 0) memcpy(to, bytes->ptr + position, *n);
    return ERR_OK;
}
static enum err mem_truncate(struct file *file, uint64_t size)
{
    struct buf *bytes = &file->entry->bytes;

    ensure(size < FILE_LIMIT);
    if (size > bytes->len) {
        size_t more = (size_t)size - bytes->len;
        memset(buf_extend(bytes, more), 0, more);
    }
    bytes->len = (size_t)size;
    return ERR_OK;
}
static enum err mem_write_at(struct file *file, uint64_t position, const struct iovec *parts,
                             int count)
{
    for (int i = 0; i < count; i++) {
        if (position + parts[i].iov_len > file->entry->bytes.len)
            (void)mem_truncate(file, position + parts[i].iov_len);
        memcpy(file->entry->bytes.ptr + position, parts[i].iov_base, parts[i].iov_len);
        position += parts[i].iov_len;
    }
    return ERR_OK;
}
static enum err mem_sync(struct file *file)
{
    (void)file;
    return ERR_OK;
}
static enum err mem_size(struct file *file, uint64_t *out)
{
    *out = file->entry->bytes.len;
    return ERR_OK;
}
static enum err mem_status(void *world, const char *path, struct file_status *out)
{
    const struct entry *entry = find(world, path);

    if (entry == NULL) return ERR_NOT_FOUND;
    *out = (struct file_status){.size = entry->bytes.len};
    return ERR_OK;
}
static enum err mem_set_modified(void *world, const char *path, int64_t wall_ms)
{
    (void)wall_ms;
    return find(world, path) == NULL ? ERR_NOT_FOUND : ERR_OK;
}
static enum err mem_remove(void *world, const char *path)
{
    struct entry *entry = find(world, path);

    if (entry == NULL) return ERR_NOT_FOUND;
    entry->is_gone = true;
    return ERR_OK;
}
static enum err mem_rename(void *world, const char *from, const char *to)
{
    struct entry *entry = find(world, from);

    if (entry == NULL) return ERR_NOT_FOUND;
    (void)mem_remove(world, to);
    snprintf(entry->name, sizeof(entry->name), "%s", to);
    return ERR_OK;
}
static enum err mem_sync_directory(void *world, const char *path)
{
    (void)world;
    (void)path;
    return ERR_OK;
}
static enum err mem_list(void *world, const char *path,
                         void (*entry)(void *to, const char *name, bool is_directory), void *to)
{
    struct memory *memory = world;
    size_t len = strlen(path);

    for (int i = 0; i < memory->count; i++)
        if (!memory->at[i]->is_gone && strncmp(memory->at[i]->name, path, len) == 0)
            entry(to, memory->at[i]->name + len + 1, false);
    return ERR_OK;
}
static struct instant mem_now(void *world)
{
    (void)world;
    return INSTANT_ZERO;
}
static int64_t mem_wall_ms(void *world)
{
    (void)world;
    return 1700000000000;
}
static void mem_drop_cached(struct file *file)
{
    (void)file;
}

static uint64_t mem_random(void *world, const char *purpose)
{
    (void)world;
    return purpose[0];
}

static const struct files_ops files = {
    .open = mem_open,
    .close = mem_close,
    .read_at = mem_read_at,
    .write_at = mem_write_at,
    .sync = mem_sync,
    .drop_cached = mem_drop_cached,
    .truncate = mem_truncate,
    .size = mem_size,
    .status = mem_status,
    .set_modified = mem_set_modified,
    .rename = mem_rename,
    .remove = mem_remove,
    .sync_directory = mem_sync_directory,
    .sync_system = mem_sync_directory,
    .list = mem_list,
};
static const struct env_ops ops = {
    .now = mem_now, .wall_ms = mem_wall_ms, .random = mem_random, .files = &files};

static void memory_fini(struct memory *memory)
{
    for (int i = 0; i < memory->count; i++) {
        ensure(memory->at[i]->opens == 0);
        buf_fini(&memory->at[i]->bytes);
        free(memory->at[i]);
    }
}

/* ---- the directory ---- */

enum {
    HAS_INDEX = 1,
    HAS_TIMES = 2,
    HAS_EPOCHS = 4,
    IS_CLEAN = 8,
    SEALS = 16,
    HAS_SECOND = 32,
    HAS_PRODUCERS = 64, /* a snapshot, and an index of aborted transactions */
    COMPACTS = 128,
};

static void seal_snapshot(struct buf *bytes)
{
    if (bytes->len >= 6)
        prim_store32(bytes->ptr + 2, crc32c(slice_of(bytes->ptr + 6, bytes->len - 6)));
}

/* Checksums of what looks like batches. */
static void seal(struct buf *bytes)
{
    struct slice rest = buf_slice(bytes);
    struct batch_entry entry;

    while (batch_entry_take(&rest, &entry) == ERR_OK)
        if (entry.magic == 2 && entry.bytes.len >= BATCH_HEADER_SIZE)
            batch_seal(bytes->ptr + (entry.bytes.ptr - bytes->ptr), entry.bytes.len);
}

static void take_file(struct memory *memory, struct slice *input, const char *name)
{
    struct slice head, body;

    if (slice_take(input, 2, &head) != ERR_OK) return;
    size_t len = (size_t)head.ptr[0] << 8 | head.ptr[1];
    if (slice_take(input, len < input->len ? len : input->len, &body) == ERR_OK)
        buf_add_slice(&add(memory, name)->bytes, body);
}

static void build(struct memory *memory, struct slice input, int flags)
{
    if ((flags & HAS_INDEX) != 0) take_file(memory, &input, "/d/t-0/00000000000000000000.index");
    if ((flags & HAS_TIMES) != 0)
        take_file(memory, &input, "/d/t-0/00000000000000000000.timeindex");
    if ((flags & HAS_EPOCHS) != 0) take_file(memory, &input, "/d/t-0/leader-epoch-checkpoint");
    if ((flags & HAS_SECOND) != 0) take_file(memory, &input, "/d/t-0/00000000000000000100.log");
    if ((flags & HAS_PRODUCERS) != 0) {
        take_file(memory, &input, "/d/t-0/00000000000000000000.txnindex");
        take_file(memory, &input, "/d/t-0/00000000000000000002.snapshot");
    }
    for (int i = 0; (flags & SEALS) != 0 && i < memory->count; i++)
        if (strstr(memory->at[i]->name, ".snapshot") != NULL) seal_snapshot(&memory->at[i]->bytes);
    buf_add_slice(&add(memory, "/d/t-0/00000000000000000000.log")->bytes, input);
    for (int i = 0; (flags & SEALS) != 0 && i < memory->count; i++)
        if (strstr(memory->at[i]->name, ".log") != NULL) seal(&memory->at[i]->bytes);
}

/* ---- what must hold ---- */

static void read_from(const struct env *env, struct log *log)
{
    int64_t at = log_start_offset(log), end = log_end_offset(log);
    int rounds = 0;

    while (at < end && rounds++ < 1000) {
        const struct log_read read = {
            .offset = at, .bytes_max = 100, .at_least_one = true, .limit = log_end_position(log)};
        struct log_slice slice;
        struct scan_batch batch;
        uint8_t head[SCAN_HEAD_BYTES];
        size_t n;
        enum err err = log_read(log, &read, &slice);
        if (err != ERR_OK) {
            ensure(err == ERR_CORRUPT); /* of a segment below the recovery point, or a clean one */
            return;
        }
        if (slice.len == 0) return; /* a gap up to the end */
        enum err read_err = file_read_at(env, log_slice_file(&slice), (uint64_t)slice.position,
                                         head, sizeof(head), &n);
        ensure(read_err == ERR_OK);
        ensure(scan_head(slice_of(head, n), &batch) == ERR_OK);
        ensure(batch.last_offset >= at);
        ensure(slice.len >= batch.size || slice.len == 100);
        at = batch.last_offset + 1;
        log_slice_release(&slice);
    }
}

static void search(struct log *log, int64_t timestamp)
{
    struct log_search *search = NULL;
    struct log_found found;
    enum err err = ERR_OK;

    if (log_search_start(log, timestamp, &search) != ERR_OK) return;
    do
        log_search_run(search);
    while (!log_search_done(log, &search, &err, &found));
    ensure(err == ERR_OK || err == ERR_CORRUPT);
    ensure(found.offset == -1 || found.offset >= log_start_offset(log));
}

static void append(struct log *log)
{
    struct record_builder builder;
    struct log_appended appended;
    struct buf bytes;
    int64_t end = log_end_offset(log);

    buf_init(&bytes);
    record_builder_begin(&builder, &bytes);
    record_builder_add(&builder, 1700000000000, SLICE("k"), SLICE("v"), NULL, 0);
    record_builder_end(&builder);
    const struct checked checked = {.bytes = bytes.ptr,
                                    .len = bytes.len,
                                    .offset_count = 1,
                                    .max_timestamp = 1700000000000,
                                    .append_time_ms = -1};
    enum err err = log_append_leader(log, &checked, 1 << 30, 1700000000000, &appended);
    ensure(err == ERR_OK || err == ERR_CORRUPT || err == ERR_RANGE);
    ensure(log_end_offset(log) == (err == ERR_OK ? end + 1 : end));
    buf_fini(&bytes);
}

/* Whatever is in the batches, compaction ends, and the log ends where it ended. */
static void compact(struct log *log)
{
    const struct compact_settings settings = {1 << 16, 0.9, 1000};
    struct compact *compact = NULL;
    int64_t end = log_end_offset(log);
    int steps = 0;

    enum err err = log_roll(log, 1700000000000);
    ensure(err == ERR_OK);
    log_set_high_watermark(log, end);
    err = compact_start(log, &settings, 1700000000000, &compact);
    ensure(err == ERR_OK);
    if (compact == NULL) return;
    do {
        compact_run(compact);
        ensure(steps++ < 100000);
    } while (compact_done(log, &compact, &err));
    ensure(err == ERR_OK || err == ERR_CORRUPT || err == ERR_LIMIT || err == ERR_UNSUPPORTED ||
           err == ERR_INVALID_RECORD);
    ensure(log_end_offset(log) == end && !log_is_offline(log));
    producers_audit(log_producers(log));
    read_from(log->env, log);
}

static struct log *load(const struct env *env, struct log_dir *dir, struct log_files *open,
                        const struct log_config *config, bool is_clean)
{
    const struct recover_request request = {.env = env,
                                            .dir = dir,
                                            .name = "t-0",
                                            .topic = SLICE("t"),
                                            .config = config,
                                            .files = open,
                                            .is_clean = is_clean,
                                            .keeps_topic_ids = true};
    struct recover_result result;
    struct log *log = NULL;

    enum err err = recover_log(&request, &result, &log);
    ensure(err == ERR_OK || err == ERR_CORRUPT || err == ERR_INVALID);
    return log;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory memory = {0};
    const struct env env = {&ops, &memory};
    struct log_dir dir = {.path = "/d"};
    struct log_config config;

    if (size == 0 || size > 100000) return 0;
    log_level = LOG_ERROR;
    log_config_default(&config);
    config.index_interval_bytes = 100;
    config.is_compacted = (data[0] & COMPACTS) != 0;
    build(&memory, slice_of(data + 1, size - 1), data[0]);
    struct log_files *open = log_files_create(&env, 4);
    struct log *log = load(&env, &dir, open, &config, (data[0] & IS_CLEAN) != 0);
    if (log != NULL) {
        log_attach(log, open);
        ensure(log_start_offset(log) <= log_end_offset(log));
        read_from(&env, log);
        search(log, 1000);
        search(log, LOG_TIME_MAX);
        append(log);
        if ((data[0] & COMPACTS) != 0) compact(log);
        int64_t end = log_end_offset(log);
        log_detach(log);
        log_destroy(&log);

        /* A crash now: the end is the same, unless what was believed turns out to be damaged. */
        log = load(&env, &dir, open, &config, false);
        if (log != NULL) {
            log_attach(log, open);
            ensure((data[0] & IS_CLEAN) != 0 || log_end_offset(log) == end);
            int64_t middle =
                log_start_offset(log) + (log_end_offset(log) - log_start_offset(log)) / 2;
            enum err err = log_truncate_to(log, middle);
            ensure(err == ERR_OK);
            ensure(log_end_offset(log) == middle);
            read_from(&env, log);
            append(log);
            log_detach(log);
            log_destroy(&log);
        }
    }
    log_files_destroy(&open);
    memory_fini(&memory);
    return 0;
}
