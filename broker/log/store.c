/* broker/log/store.c - log directories: lock, identity, lookup, failure. See store.h. */
#include "base/ensure.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/log/names.h"
#include "broker/log/reserve.h"
#include "broker/log/store_parts.h"
#include <stdlib.h>
#include <stdio.h>
#include <time.h>

#define LOCK_NAME      ".lock"
#define ROOM_BYTES_MIN (UINT64_C(8) << 20)

/* ---- open ---- */

/* The directory and those above it, so that they survive a power loss: all that is synced in them
 * later would go with their names. */
static enum err make_directories(const struct env *env, const char *path)
{
    char part[FILES_PATH_MAX], above[FILES_PATH_MAX] = "/";
    size_t len = strlen(path);

    if (len >= sizeof(part)) return ERR_LIMIT;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        part[i] = '\0';
        enum err err = files_make_directory(env, part);
        if (err == ERR_OK) err = files_sync_directory(env, above);
        if (err != ERR_OK && err != ERR_EXISTS) return err;
        memcpy(above, part, i + 1);
        if (i < len) part[i] = '/';
    }
    return ERR_OK;
}

static enum err read_meta(const struct env *env, struct store_dir *dir, struct buf *problem)
{
    char path[FILES_PATH_MAX];
    struct buf text;
    int line = 0;

    buf_init(&text);
    enum err err = names_join(path, dir->path, CHECKPOINT_META);
    if (err == ERR_OK) err = files_read_all(env, path, STORE_META_BYTES_MAX, &text);
    if (err == ERR_OK && conf_read(&dir->meta, buf_slice(&text), &line) != ERR_OK) {
        buf_printf(problem, "%s:%d: malformed", path, line);
        log_error("log", "file_damaged", "path=%s what=\"line %d is malformed\"", path, line);
        err = ERR_CORRUPT;
    }
    buf_fini(&text);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Remembers whether the last stop was clean. The marker stays until it is known that this is our
 * directory: a start that is refused leaves the directory as clean as it was. */
static enum err look_for_marker(const struct env *env, struct store_dir *dir)
{
    struct file_status status;
    char path[FILES_PATH_MAX];

    enum err err = names_join(path, dir->path, CHECKPOINT_CLEAN_SHUTDOWN);
    if (err == ERR_OK) err = files_status(env, path, &status);
    dir->was_clean = err == ERR_OK;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Before anything is appended: a crash from now on must not look clean. One before, while logs are
 * loaded, leaves them as the clean stop did. */
static enum err remove_marker(const struct env *env, struct store_dir *dir)
{
    char path[FILES_PATH_MAX];

    if (!dir->was_clean) return ERR_OK;
    enum err err = names_join(path, dir->path, CHECKPOINT_CLEAN_SHUTDOWN);
    if (err == ERR_OK) err = files_remove(env, path);
    if (err == ERR_NOT_FOUND) return ERR_OK;
    return err == ERR_OK ? files_sync_directory(env, dir->path) : err;
}

static void read_note(const struct env *env, struct store_dir *dir);

static void open_reserve(const struct env *env, struct store_dir *dir)
{
    dir->reserve = reserve_size(env, dir->path, dir->store->options.reserve_bytes);
    dir->dir.is_full = !reserve_open(env, dir->path, dir->reserve);
    if (dir->dir.is_full)
        log_error("log", "directory_full", "path=%s reserve_bytes=%llu", dir->path,
                  (unsigned long long)dir->reserve);
}

static enum err open_dir(const struct env *env, struct store_dir *dir, struct buf *problem)
{
    char path[FILES_PATH_MAX];

    enum err err = make_directories(env, dir->path);
    if (err == ERR_OK) err = names_join(path, dir->path, LOCK_NAME);
    if (err == ERR_OK) {
        err = files_lock(env, path, &dir->lock);
        if (err ==
            ERR_FULL) { /* no lock is there: nobody else has the directory, nor its reserve */
            reserve_give_up(env, dir->path, UINT64_MAX);
            err = files_lock(env, path, &dir->lock);
        }
    }
    if (err == ERR_BUSY) {
        buf_printf(problem, "%s is locked: another broker uses this directory", path);
        return err;
    }
    if (err == ERR_OK) read_note(env, dir);
    if (err == ERR_OK) err = read_meta(env, dir, problem);
    if (err == ERR_OK) err = look_for_marker(env, dir);
    if (err == ERR_OK) open_reserve(env, dir);
    return err;
}

/* ---- the session of the last registration ---- */

/* The session in hexadecimal and a line feed, the form in which ZooKeeper's tools show it; the same
 * of the boot, and, where an earlier one has lost its cache, of the first registration after that.
 */
#define NOTE_LINE_MAX 17
#define NOTE_TEXT_MAX (3 * NOTE_LINE_MAX)
#define LOST_LATELY   INT64_MAX

/* What is not ours or was torn is nothing. */
static bool read_line(const char **at, uint64_t *out)
{
    char *end;
    unsigned long long number = strtoull(*at, &end, 16);

    if (end == *at || *end != '\n') return false;
    *at = end + 1;
    *out = number;
    return true;
}

static void read_note(const struct env *env, struct store_dir *dir)
{
    struct store *store = dir->store;
    char text[NOTE_TEXT_MAX + 1] = "";
    const char *at = text;
    uint64_t session = 0, boot = 0, since = 0, now = env_boot(env);
    size_t n = 0;

    dir->is_foreign = true;
    if (dir->lock == NULL || file_read_at(env, dir->lock, 0, text, NOTE_TEXT_MAX, &n) != ERR_OK ||
        !read_line(&at, &session))
        return;
    dir->is_foreign = false;
    if (store->last_session == 0) store->last_session = (int64_t)session;
    if (!read_line(&at, &boot)) return;
    dir->is_same_boot = boot == now && boot != 0;
    bool was_lost = *at != '\0', is_lost = boot != now && boot != 0 && now != 0;
    /* Torn where the disk failed that it tells of. */
    if (is_lost || (was_lost && !read_line(&at, &since))) since = LOST_LATELY;
    if (!is_lost && !was_lost) return;
    store->is_cache_lost = true;
    if ((int64_t)since > store->lost_since) store->lost_since = (int64_t)since;
}

bool store_lost_cache(const struct store *store)
{
    return store->is_cache_lost;
}

int64_t store_lost_cache_since(const struct store *store)
{
    return store->lost_since == LOST_LATELY ? 0 : store->lost_since;
}

int64_t store_last_session(const struct store *store)
{
    return store->last_session;
}

static struct slice note_text(const struct store *store, char text[NOTE_TEXT_MAX + 1])
{
    int len = snprintf(text, NOTE_TEXT_MAX + 1, "%llx\n%llx\n",
                       (unsigned long long)store->last_session, (unsigned long long)store->boot);

    if (store->is_cache_lost)
        len += snprintf(text + len, NOTE_TEXT_MAX + 1 - (size_t)len, "%llx\n",
                        (unsigned long long)store->lost_since);
    return slice_of(text, (size_t)len);
}

void store_note_session(struct store *store, int64_t session_id, int64_t epoch)
{
    const struct env *env = store->options.env;
    char bytes[NOTE_TEXT_MAX + 1];

    store->last_session = session_id;
    store->boot = env_boot(env);
    if (store->is_cache_lost && store->lost_since == LOST_LATELY) store->lost_since = epoch;
    struct slice text = note_text(store, bytes);

    for (int i = 0; i < store->dir_count; i++) {
        struct file *lock = store->dirs[i].lock;
        if (lock == NULL || store->dirs[i].dir.is_offline) continue;
        /* Without it the next start after a crash waits for the session's end: slower, no more. */
        enum err err = file_truncate(env, lock, 0);
        if (err == ERR_OK) err = file_write_at(env, lock, 0, text);
        if (err == ERR_OK) err = file_sync(env, lock);
        if (err != ERR_OK)
            log_warn("log", "session_not_noted", "path=%s why=%s", store->dirs[i].path,
                     err_name(err));
    }
}

static const char *meta_value(const struct store_dir *dir, const char *key)
{
    const struct conf_entry *entry = conf_get(&dir->meta, key);

    return entry == NULL ? NULL : entry->value;
}

/* All that the directories say must agree. */
static enum err read_identity(struct store *store, struct store_dir *dir, struct buf *problem)
{
    const char *version = meta_value(dir, "version"), *id = meta_value(dir, "broker.id");
    const char *cluster = meta_value(dir, "cluster.id");
    int64_t number = 0;

    if (version != NULL && !slice_is(text_trim(slice_text(version)), "0")) {
        buf_printf(problem, "%s/" CHECKPOINT_META ": version=%s, but a broker on ZooKeeper has 0",
                   dir->path, version);
        return ERR_INVALID;
    }
    if (id != NULL) {
        if (text_int(text_trim(slice_text(id)), 0, INT32_MAX, &number) != ERR_OK) {
            buf_printf(problem, "%s/" CHECKPOINT_META ": broker.id=%s is no id", dir->path, id);
            return ERR_INVALID;
        }
        if (store->broker_id >= 0 && store->broker_id != number) {
            buf_printf(problem,
                       "%s/" CHECKPOINT_META ": broker.id=%s, but another log directory has %d",
                       dir->path, id, store->broker_id);
            return ERR_INVALID;
        }
        store->broker_id = (int32_t)number;
    }
    if (cluster != NULL && store->cluster_id != NULL && strcmp(cluster, store->cluster_id) != 0) {
        buf_printf(problem,
                   "%s/" CHECKPOINT_META ": cluster.id=%s, but another log directory has %s",
                   dir->path, cluster, store->cluster_id);
        return ERR_INVALID;
    }
    if (cluster != NULL && store->cluster_id == NULL) store->cluster_id = ensure_strdup(cluster);
    return ERR_OK;
}

/* A directory id that is there is kept; it must be a directory's own. */
static enum err check_directory_ids(struct store *store, struct buf *problem)
{
    for (int i = 0; i < store->dir_count; i++) {
        const char *id = meta_value(&store->dirs[i], "directory.id");
        struct uuid uuid, low = UUID_ZERO;
        if (id == NULL) continue;
        if (uuid_parse(slice_text(id), &uuid) != ERR_OK) {
            buf_printf(problem, "%s/" CHECKPOINT_META ": directory.id=%s is no id",
                       store->dirs[i].path, id);
            return ERR_INVALID;
        }
        /* The first hundred are reserved. */
        if (memcmp(uuid.bytes, low.bytes, 15) == 0 && uuid.bytes[15] < 100) {
            buf_printf(problem, "%s/" CHECKPOINT_META ": directory.id=%s is reserved",
                       store->dirs[i].path, id);
            return ERR_INVALID;
        }
        for (int k = 0; k < i; k++) {
            const char *other = meta_value(&store->dirs[k], "directory.id");
            if (other == NULL || strcmp(other, id) != 0) continue;
            buf_printf(problem, "%s and %s have the same directory.id %s", store->dirs[k].path,
                       store->dirs[i].path, id);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

static enum err check_paths(const struct store_options *options, struct buf *problem)
{
    for (int i = 0; i < options->path_count; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(options->paths[i], options->paths[k]) != 0) continue;
            buf_printf(problem, "log.dirs has %s twice", options->paths[i]);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

static enum err open_dirs(struct store *store, struct buf *problem)
{
    int online = 0;

    for (int i = 0; i < store->dir_count; i++) {
        struct store_dir *dir = &store->dirs[i];
        enum err err = open_dir(store->options.env, dir, problem);
        if (err == ERR_BUSY) return err;
        if (err == ERR_OK) err = read_identity(store, dir, problem);
        if (err == ERR_INVALID) return err;
        if (err != ERR_OK) {
            log_error("log", "directory_failed", "path=%s why=%s", dir->path, err_name(err));
            dir->dir.is_offline = true;
            dir->failed_why = err;
        }
        online += err == ERR_OK;
    }
    if (online == 0) {
        if (problem->len == 0) buf_add_text(problem, "no directory of log.dirs can be used");
        return ERR_OFFLINE;
    }
    return check_directory_ids(store, problem);
}

enum err store_open(const struct store_options *options, struct buf *problem, struct store **out)
{
    enum err err = check_paths(options, problem);
    if (err != ERR_OK) return err;

    struct store *store = ensure_zalloc(sizeof(*store));
    store->options = *options;
    store->broker_id = -1;
    store->dir_count = options->path_count;
    store->dirs = ensure_zalloc((size_t)options->path_count * sizeof(*store->dirs));
    list_init(&store->makings);
    map_init(&store->logs);
    map_init(&store->busy);
    map_init(&store->futures);
    map_init(&store->preferred);
    map_init(&store->missing);
    for (int i = 0; i < store->dir_count; i++) {
        struct store_dir *dir = &store->dirs[i];
        dir->store = store;
        dir->departures = 1;
        /* What this one says of a log that is not here is remembered instead, in `missing`. */
        for (int k = 0; k < STORE_CHECKPOINTS; k++)
            dir->checkpoints[k].departures = 1 << k == STORE_HIGH_WATERMARKS;
        dir->path = ensure_strdup(options->paths[i]);
        dir->dir.index = i;
        dir->dir.path = dir->path;
        conf_init(&dir->meta);
    }
    err = open_dirs(store, problem);
    if (err != ERR_OK)
        store_destroy(&store);
    else
        *out = store;
    return err;
}

static void unlock(struct store_dir *dir)
{
    char path[FILES_PATH_MAX];

    if (dir->lock == NULL) return;
    /* Removed first: once it is unlocked it may be another's. What is noted of a directory that
     * failed stays for the next start. */
    if (store_dirs_offline(dir->store) == 0 && names_join(path, dir->path, LOCK_NAME) == ERR_OK)
        (void)!files_remove(dir->store->options.env, path);
    file_close(dir->store->options.env, &dir->lock);
}

void store_destroy(struct store **store)
{
    struct store *s = *store;

    if (s == NULL) return;
    ensure(s->jobs_running == 0);
    map_each (entry, &s->logs) {
        struct log *log = entry->value;
        log_destroy(&log);
    }
    map_fini(&s->logs);
    map_each (entry, &s->futures) {
        struct log *log = entry->value;
        log_destroy(&log);
    }
    map_fini(&s->futures);
    map_fini(&s->preferred);
    map_fini(&s->busy);
    map_each (entry, &s->missing)
        free(entry->value);
    map_fini(&s->missing);
    for (int i = 0; i < s->dir_count; i++) {
        struct store_dir *dir = &s->dirs[i];
        unlock(dir);
        conf_fini(&dir->meta);
        for (int k = 0; k < dir->deleted_count; k++)
            free(dir->deleted[k].path);
        free(dir->deleted);
        free(dir->path);
    }
    free(s->dirs);
    free(s->cluster_id);
    free(s);
    *store = NULL;
}

/* ---- identity ---- */

int32_t store_broker_id(const struct store *store)
{
    return store->broker_id;
}

const char *store_cluster_id(const struct store *store)
{
    return store->cluster_id;
}

/* A directory that was made, perhaps by a start that came no further, is there after a loss of
 * power before it is marked as ours. Those that we may not read are others'. */
static enum err sync_above(const struct env *env, const char *path)
{
    char part[FILES_PATH_MAX] = "/";
    enum err err = ERR_OK;

    for (size_t i = 1; err == ERR_OK && path[i] != '\0'; i++) {
        if (path[i] == '/' || i == 1) err = files_sync_directory(env, part);
        if (err == ERR_DENIED) err = ERR_OK;
        memcpy(part, path, i + 1);
        part[i + 1] = '\0';
    }
    return err;
}

static bool has_value(const struct store_dir *dir, const char *key, const char *value)
{
    const char *present = meta_value(dir, key);

    return present != NULL && strcmp(present, value) == 0;
}

static enum err write_meta(struct store_dir *dir, const char *broker_id, const char *cluster_id)
{
    const struct env *env = dir->store->options.env;
    char path[FILES_PATH_MAX], date[64];
    struct buf text;
    struct tm tm;

    if (has_value(dir, "version", "0") && has_value(dir, "broker.id", broker_id) &&
        has_value(dir, "cluster.id", cluster_id))
        return ERR_OK;
    conf_set(&dir->meta, "version", "0", 0);
    conf_set(&dir->meta, "broker.id", broker_id, 0);
    conf_set(&dir->meta, "cluster.id", cluster_id, 0);

    time_t seconds = (time_t)(env_wall_ms(env) / 1000);
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "#%a %b %d %H:%M:%S UTC %Y\n", &tm);
    buf_init(&text);
    buf_add_text(&text, "#\n");
    buf_add_text(&text, date);
    map_each (entry, &dir->meta.entries) {
        const struct conf_entry *value = entry->value;
        conf_write(&text, value->key, value->value);
    }
    enum err err = sync_above(env, dir->path);
    if (err == ERR_OK) err = names_join(path, dir->path, CHECKPOINT_META);
    if (err == ERR_OK) err = files_replace(env, path, buf_slice(&text));
    buf_fini(&text);
    return err;
}

enum err store_identify(struct store *store, int32_t broker_id, const char *cluster_id,
                        struct buf *problem)
{
    char id[16];

    if (store->broker_id >= 0 && store->broker_id != broker_id) {
        buf_printf(problem,
                   "broker.id is %d, but the log directories belong to broker %d (" CHECKPOINT_META
                   ")",
                   broker_id, store->broker_id);
        return ERR_INVALID;
    }
    if (store->cluster_id != NULL && strcmp(store->cluster_id, cluster_id) != 0) {
        buf_printf(problem,
                   "ZooKeeper has cluster id %s, but the log directories belong to "
                   "cluster %s (" CHECKPOINT_META ")",
                   cluster_id, store->cluster_id);
        return ERR_INVALID;
    }
    store->broker_id = broker_id;
    if (store->cluster_id == NULL) store->cluster_id = ensure_strdup(cluster_id);

    snprintf(id, sizeof(id), "%d", broker_id);
    for (int i = 0; i < store->dir_count; i++) {
        struct store_dir *dir = &store->dirs[i];
        if (dir->dir.is_offline) continue;
        enum err err = remove_marker(store->options.env, dir);
        if (err == ERR_OK) err = write_meta(dir, id, cluster_id);
        if (err == ERR_OK) continue;
        dir->dir.is_offline = true;
        dir->failed_why = err;
        log_error("log", "directory_failed", "path=%s why=%s", dir->path, err_name(err));
    }
    if (store_dirs_offline(store) < store->dir_count) return ERR_OK;
    buf_add_text(problem, "no directory of log.dirs can be used");
    return ERR_OFFLINE;
}

/* ---- lookup ---- */

int store_dir_count(const struct store *store)
{
    return store->dir_count;
}

struct log_dir *store_dir(struct store *store, int index)
{
    return &store->dirs[index].dir;
}

struct store_dir *store_dir_of(struct store *store, const struct log *log)
{
    return &store->dirs[log_directory(log)->index];
}

int store_dirs_offline(const struct store *store)
{
    int offline = 0;

    for (int i = 0; i < store->dir_count; i++)
        offline += store->dirs[i].dir.is_offline;
    return offline;
}

bool store_has_room(const struct store *store)
{
    uint64_t total = 0, usable = 0;

    for (int i = 0; i < store->dir_count; i++) {
        if (store->dirs[i].dir.is_offline) continue;
        if (files_space(store->options.env, store->dirs[i].path, &total, &usable) != ERR_OK ||
            usable < ROOM_BYTES_MIN)
            return false;
    }
    return true;
}

int store_log_count(const struct store *store)
{
    return (int)store->logs.count;
}

struct log *store_find(struct store *store, struct slice topic, int32_t partition)
{
    char name[NAMES_MAX + 1];

    if (names_live(name, topic, partition) != ERR_OK) return NULL;
    return map_get(&store->logs, slice_text(name));
}

void store_each(struct store *store, void (*each)(void *to, struct log *log), void *to)
{
    map_each (entry, &store->logs)
        each(to, entry->value);
}

/* ---- failure ---- */

/* A device that fails now and then is asked again. */
#define NOTE_ATTEMPTS 4

/* What was not synced there may be gone, though the machine runs on: a page that a sync could not
 * write counts as clean, and the file system may be mounted anew before the next start. So it is
 * noted wherever that is possible; the page cache will do, for only that next start reads it. */
static void note_loss(struct store *store)
{
    char bytes[NOTE_TEXT_MAX + 1];

    store->is_cache_lost = true;
    store->lost_since = LOST_LATELY;
    struct slice text = note_text(store, bytes);
    for (int i = 0; i < store->dir_count; i++) {
        enum err err = store->dirs[i].lock == NULL ? ERR_OK : ERR_IO;
        for (int k = 0; err != ERR_OK && k < NOTE_ATTEMPTS; k++)
            err = file_write_at(store->options.env, store->dirs[i].lock, 0, text);
        if (err != ERR_OK)
            log_warn("log", "loss_not_noted", "path=%s why=%s", store->dirs[i].path, err_name(err));
    }
}

void store_dir_failed(struct store_dir *dir, enum err why)
{
    struct store *store = dir->store;

    if (dir->has_failed) return;
    dir->has_failed = true;
    atomic_store(&dir->dir.is_offline, true);
    int left = store->dir_count - store_dirs_offline(store);
    log_error("log", "directory_offline", "path=%s why=%s left=%d", dir->path, err_name(why), left);
    if (dir->lock != NULL) note_loss(store);
    /* Nothing more is written here: whoever mends the disk may look at it. */
    unlock(dir);
    if (store->options.events->dir_failed != NULL)
        store->options.events->dir_failed(store->options.owner, &dir->dir, why, left);
}

void store_fail_dir(struct store *store, struct log_dir *dir, enum err why)
{
    store_dir_failed(&store->dirs[dir->index], why);
}

/* ---- jobs ---- */

void store_submit(struct store *store, enum disk_class class, struct disk_job *job)
{
    store->jobs_running++;
    disk_submit(store->options.env, store->options.disk, class, store->options.home, job);
}

static void ended(struct store *store)
{
    store->stage = STORE_CLOSED;
    store->options.events->closed(store->options.owner);
}

void store_job_ended(struct store *store)
{
    ensure(store->jobs_running > 0);
    store->jobs_running--;
    if (store->jobs_running > 0) return;
    if (store->stage == STORE_DRAINING)
        store_submit_close(store);
    else if (store->stage == STORE_CLOSING || store->stage == STORE_ABANDONING)
        ended(store);
}

bool store_is_closing(const struct store *store)
{
    return store->stage == STORE_CLOSING || store->stage == STORE_CLOSED;
}

void store_abandon(struct store *store)
{
    ensure(store->stage == STORE_OPEN);
    store->stage = STORE_ABANDONING;
    atomic_store(&store->is_abandoned, true);
    store_load_abandon(store);
    if (store->jobs_running == 0) ended(store);
}

void store_add_deleted(struct store_dir *dir, char *path, int64_t due_ms)
{
    dir->deleted =
        ensure_realloc(dir->deleted, (size_t)(dir->deleted_count + 1) * sizeof(*dir->deleted));
    dir->deleted[dir->deleted_count++] = (struct store_deleted){path, due_ms};
}
