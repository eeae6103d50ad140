/* broker/log/store_load.c - the logs of the directories: loaded at the start, created and deleted
 * later. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/log/names.h"
#include "broker/log/reserve.h"
#include "broker/log/store_parts.h"
#include <stdlib.h>

/* ---- load ---- */

/* Offsets of one checkpoint file. */
struct offsets {
    struct map by_name; /* "topic-partition" → int64_t * */
    bool is_lost;       /* there is no such file, or nothing in it */
};

/* A partition that was found, and what became of it. */
struct found_log {
    char *name, *live;             /* the second: its partition's, as in checkpoints */
    struct names_directory parsed; /* of `name` */
    struct recover_result result;
    struct log *log;
    enum err err;
    bool holds_nothing, is_attempt; /* see mark_attempts */
};

/* All of one directory: first one job lists it, then some take partitions from it in turn. */
struct dir_load {
    struct disk_job job; /* the listing */
    struct store_load *all;
    struct store_dir *dir;
    struct found_log *found;
    int count, capacity;
    struct offsets recovery, start, high_watermark, cleaned;
    int64_t recovery_ms, high_watermark_ms; /* when these files were written */
    char **deleting;                        /* directories that wait for their removal: names */
    int deleting_count;
    int *returning; /* of `found`: set aside for a future log, see take_back */
    char **returning_from;
    int returning_count;
    _Atomic int next; /* which partition is to be taken */
    int loaders;      /* that still run */
    struct loader *loader;
    bool waits_for_room; /* none runs: store_load_again */
    enum err err;
    struct buf problem; /* what keeps the broker from starting */
    struct instant began;
};

struct loader {
    struct disk_job job;
    struct dir_load *load;
};

struct store_load {
    struct store *store;
    struct dir_load *dirs;
    int listing, left; /* directories whose listing, whose load has not ended */
};

static void add_offset(void *to, struct slice topic, int32_t partition, int64_t offset)
{
    struct offsets *offsets = to;
    char name[NAMES_MAX + 1];

    if (names_live(name, topic, partition) != ERR_OK) return;
    int64_t *value = ensure_malloc(sizeof(*value));
    *value = offset;
    free(map_set(&offsets->by_name, slice_text(name), value));
}

static int64_t offset_of(const struct offsets *offsets, const char *name)
{
    const int64_t *value = map_get(&offsets->by_name, slice_text(name));

    return value == NULL || *value < 0 ? 0 : *value;
}

static void offsets_fini(struct offsets *offsets)
{
    map_each (entry, &offsets->by_name)
        free(entry->value);
    map_fini(&offsets->by_name);
}

/* A number that is none means "nothing known": then more is recovered, and nothing is lost. Another
 * shape means that the disk is not to be trusted. */
static enum err read_offsets(struct dir_load *load, const char *file, struct offsets *offsets)
{
    const struct env *env = load->dir->store->options.env;
    char path[FILES_PATH_MAX];
    struct buf text;

    map_init(&offsets->by_name);
    buf_init(&text);
    enum err err = names_join(path, load->dir->path, file);
    if (err == ERR_OK) err = files_read_all(env, path, CHECKPOINT_BYTES_MAX, &text);
    offsets->is_lost = text.len == 0;
    if (err == ERR_OK) err = checkpoint_read(buf_slice(&text), add_offset, offsets);
    buf_fini(&text);
    if (err == ERR_NOT_FOUND) return ERR_OK;
    if (err != ERR_OK)
        log_warn("log", "checkpoint_unreadable", "path=%s why=%s", path, err_name(err));
    if (err == ERR_INVALID) {
        offsets_fini(offsets);
        map_init(&offsets->by_name);
        return ERR_OK;
    }
    return err;
}

static void add_deleting(struct dir_load *load, const char *name)
{
    load->deleting =
        ensure_realloc(load->deleting, (size_t)(load->deleting_count + 1) * sizeof(char *));
    load->deleting[load->deleting_count++] = ensure_strdup(name);
}

static void add_found(struct dir_load *load, const char *name)
{
    char live[NAMES_MAX + 1];

    if (load->count == load->capacity) {
        load->capacity = load->capacity == 0 ? 64 : load->capacity * 2;
        load->found = ensure_realloc(load->found, (size_t)load->capacity * sizeof(*load->found));
    }
    struct found_log *found = &load->found[load->count++];
    *found = (struct found_log){.name = ensure_strdup(name)};
    ensure(names_parse_directory(found->name, &found->parsed));
    ensure(names_live(live, found->parsed.topic, found->parsed.partition) == ERR_OK);
    found->live = ensure_strdup(live);
}

static void find_one(void *to, const char *name, bool is_directory)
{
    struct dir_load *load = to;
    struct names_directory parsed;

    if (!is_directory || strcmp(name, "remote-log-index-cache") == 0 ||
        strncmp(name, "__cluster_metadata-", 19) == 0)
        return;
    if (!names_parse_directory(name, &parsed)) {
        if (load->problem.len == 0)
            buf_printf(&load->problem,
                       "%s/%s is no partition's directory: a log directory has only these",
                       load->dir->path, name);
        load->err = ERR_INVALID;
        return;
    }
    switch (parsed.kind) {
    case NAMES_DELETING:
        add_deleting(load, name);
        return;
    case NAMES_STRAY:
        log_warn("log", "directory_left_alone", "path=%s/%s", load->dir->path, name);
        return;
    case NAMES_FUTURE:
    case NAMES_LIVE:
        add_found(load, name);
        return;
    }
}

/* Every broker writes it within its first minute. Without it these logs are taken for new ones. */
static void note_lost(const struct dir_load *load, const char *file, const struct offsets *offsets)
{
    if (offsets->is_lost && load->count > 0)
        log_warn("log", "checkpoint_lost", "path=%s/%s logs=%d", load->dir->path, file,
                 load->count);
}

/* 0: there is no such file. */
static int64_t written_ms(const struct dir_load *load, const char *file)
{
    struct file_status status;
    char path[FILES_PATH_MAX];

    if (names_join(path, load->dir->path, file) != ERR_OK ||
        files_status(load->dir->store->options.env, path, &status) != ERR_OK)
        return 0;
    return status.modified_ms;
}

static void list_run(struct disk_job *job)
{
    struct dir_load *load = list_entry(job, struct dir_load, job);
    const struct env *env = load->dir->store->options.env;

    enum err err = read_offsets(load, CHECKPOINT_RECOVERY_POINT, &load->recovery);
    enum err second = read_offsets(load, CHECKPOINT_LOG_START, &load->start);
    enum err third = read_offsets(load, CHECKPOINT_REPLICATION, &load->high_watermark);
    enum err fourth = read_offsets(load, CHECKPOINT_CLEANER, &load->cleaned);
    if (err == ERR_OK) err = second != ERR_OK ? second : third != ERR_OK ? third : fourth;
    load->recovery_ms = written_ms(load, CHECKPOINT_RECOVERY_POINT);
    load->high_watermark_ms = written_ms(load, CHECKPOINT_REPLICATION);
    if (err == ERR_OK) err = files_list(env, load->dir->path, find_one, load);
    if (err != ERR_OK) load->err = err;
    note_lost(load, CHECKPOINT_RECOVERY_POINT, &load->recovery);
    note_lost(load, CHECKPOINT_LOG_START, &load->start);
    note_lost(load, CHECKPOINT_REPLICATION, &load->high_watermark);
}

static void load_one(struct dir_load *load, struct found_log *found, struct log_files *files)
{
    const struct store_options *options = &load->dir->store->options;
    struct log_config config;

    if (found->log != NULL) return; /* before there was no room for another */
    options->config(options->owner, found->parsed.topic, &config);
    const struct recover_request request = {
        .env = options->env,
        .dir = &load->dir->dir,
        .name = found->name,
        .topic = found->parsed.topic,
        .partition = found->parsed.partition,
        .config = &config,
        .files = files,
        .is_clean = load->dir->was_clean,
        .is_future = found->parsed.kind == NAMES_FUTURE,
        .keeps_topic_ids = options->keeps_topic_ids,
        .is_same_boot = load->dir->is_same_boot,
        .is_foreign = load->dir->is_foreign,
        .recovery_point = offset_of(&load->recovery, found->live),
        .log_start = offset_of(&load->start, found->live),
        .high_watermark = offset_of(&load->high_watermark, found->live),
        .cleaned = map_get(&load->cleaned.by_name, slice_text(found->live)) == NULL
                       ? -1
                       : offset_of(&load->cleaned, found->live),
        .recovery_point_ms = load->recovery_ms,
        .high_watermark_ms = load->high_watermark_ms,
        .now_ms = env_wall_ms(options->env),
    };
    found->err = recover_log(&request, &found->result, &found->log);
    if (found->err != ERR_FULL) return;
    /* It has filled since the start began: this is what the reserve is for. */
    if (!atomic_exchange(&load->dir->dir.is_full, true))
        log_error("log", "directory_full", "path=%s reserve_bytes=%llu", load->dir->path,
                  (unsigned long long)load->dir->reserve);
    reserve_give_up(options->env, load->dir->path, UINT64_MAX);
    found->err = recover_log(&request, &found->result, &found->log);
}

static void load_run(struct disk_job *job)
{
    struct dir_load *load = list_entry(job, struct loader, job)->load;
    struct log_files *files = log_files_create(load->dir->store->options.env, STORE_JOB_FILES_MAX);
    int i;

    while (!atomic_load(&load->dir->store->is_abandoned) &&
           (i = atomic_fetch_add(&load->next, 1)) < load->count)
        if (load->found[i].err == ERR_OK || load->found[i].err == ERR_FULL)
            load_one(load, &load->found[i], files);
    log_files_destroy(&files);
}

static void dir_load_fini(struct dir_load *load)
{
    for (int i = 0; i < load->count; i++) {
        log_destroy(&load->found[i].log);
        free(load->found[i].name);
        free(load->found[i].live);
    }
    for (int i = 0; i < load->deleting_count; i++)
        free(load->deleting[i]);
    free(load->deleting);
    for (int i = 0; i < load->returning_count; i++)
        free(load->returning_from[i]);
    free(load->returning_from);
    free(load->returning);
    free(load->found);
    free(load->loader);
    offsets_fini(&load->recovery);
    offsets_fini(&load->start);
    offsets_fini(&load->high_watermark);
    offsets_fini(&load->cleaned);
    buf_fini(&load->problem);
}

/* What a log's failure means: a broken device takes its directory, a damaged file of ours the
 * start. */
static enum err note_failures(struct dir_load *load)
{
    for (int i = 0; i < load->count && load->err == ERR_OK; i++) {
        const struct found_log *found = &load->found[i];
        if (found->err == ERR_OK) continue;
        log_error("log", "load_failed", "path=%s/%s why=%s", load->dir->path, found->name,
                  err_name(found->err));
        load->err = found->err;
    }
    return load->err;
}

/* Moves what was loaded into the store. */
static enum err take_logs(struct store *store, struct dir_load *load)
{
    for (int i = 0; i < load->count; i++) {
        struct found_log *found = &load->found[i];
        struct slice key = slice_text(found->live);
        struct map *of = found->parsed.kind == NAMES_FUTURE ? &store->futures : &store->logs;
        struct log *other = map_get(of, key);
        if (found->is_attempt) continue;
        if (other != NULL) {
            buf_printf(&load->problem, "%s is in %s and in %s", found->name,
                       log_directory(other)->path, load->dir->path);
            return ERR_INVALID;
        }
        map_set(of, key, found->log);
        found->log = NULL;
        load->dir->log_count++;
    }
    return ERR_OK;
}

/* Nobody has ever appended to it, nor promised anything of it. */
static bool holds_nothing(const struct dir_load *load, const struct found_log *found)
{
    return log_end_offset(found->log) == 0 && offset_of(&load->recovery, found->live) == 0 &&
           offset_of(&load->start, found->live) == 0 &&
           offset_of(&load->high_watermark, found->live) == 0;
}

/* One directory failed while a log was created in it, and could not be cleaned any more; the log
 * was created in another. What is left of the first attempt goes. Of two that hold something nobody
 * can say which is right: take_logs refuses those. */
static void mark_attempts(struct store_load *all)
{
    struct store *store = all->store;
    struct map seen; /* live name → found_log */

    map_init(&seen);
    for (int d = 0; d < store->dir_count; d++) {
        struct dir_load *load = &all->dirs[d];
        for (int i = 0; load->dir != NULL && load->err == ERR_OK && i < load->count; i++) {
            struct found_log *found = &load->found[i];
            if (found->err != ERR_OK || found->parsed.kind != NAMES_LIVE) continue;
            struct found_log *other = map_get(&seen, slice_text(found->live));
            found->holds_nothing = holds_nothing(load, found);
            if (other == NULL || other->holds_nothing) {
                if (other != NULL) other->is_attempt = true;
                map_set(&seen, slice_text(found->live), found);
            } else {
                found->is_attempt = found->holds_nothing;
            }
        }
    }
    map_fini(&seen);
}

static void log_result(const struct dir_load *load)
{
    int recovered = 0, is_short = 0;
    int64_t cut = 0, scanned = 0;

    for (int i = 0; i < load->count; i++) {
        recovered += load->found[i].result.segments_recovered;
        cut += load->found[i].result.bytes_cut;
        scanned += load->found[i].result.bytes_scanned;
        is_short += load->found[i].result.is_short;
    }
    log_info("log", "directory_loaded",
             "path=%s logs=%d clean=%d segments_recovered=%d bytes_scanned=%lld bytes_cut=%lld "
             "short=%d ms=%lld",
             load->dir->path, load->count, load->dir->was_clean, recovered, (long long)scanned,
             (long long)cut, is_short,
             (long long)instant_ms_between(load->began, env_now(load->dir->store->options.env)));
}

static void queue_deleting(struct dir_load *load)
{
    const struct store_options *options = &load->dir->store->options;
    struct log_config config;

    options->config(options->owner, SLICE(""), &config);
    for (int i = 0; i < load->deleting_count; i++) {
        char path[FILES_PATH_MAX];
        if (names_join(path, load->dir->path, load->deleting[i]) != ERR_OK) continue;
        store_add_deleted(load->dir, ensure_strdup(path),
                          env_wall_ms(options->env) + config.file_delete_delay_ms);
    }
}

/* Lines of partitions whose directories are not there: deleted in the last moment, or lost. Which,
 * tells LeaderAndIsr: a log that it says is not new had what the line says. */
static void note_missing(struct store *store, struct dir_load *load)
{
    map_each (entry, &load->high_watermark.by_name) {
        int64_t *offset = entry->value;

        if (*offset <= 0 || map_get(&store->logs, map_key(entry)) != NULL) continue;
        free(map_set(&store->missing, map_key(entry), offset));
        entry->value = NULL;
    }
}

static void drop_attempts(struct store *store, struct dir_load *load)
{
    struct map none;

    map_init(&none);
    for (int i = 0; i < load->count; i++) {
        struct found_log *found = &load->found[i];

        if (!found->is_attempt) continue;
        log_warn("log", "attempt_dropped",
                 "path=%s/%s hint=\"a log that could not be created "
                 "whole, and was created in another directory\"",
                 load->dir->path, found->name);
        load->dir->log_count++;
        store_delete_of(store, &none, &found->log, NULL, NULL);
    }
    map_fini(&none);
}

static void all_loaded(struct store_load *all)
{
    struct store *store = all->store;
    struct buf problem;
    enum err result = ERR_OK;
    int loaded = 0;

    buf_init(&problem);
    mark_attempts(all);
    for (int i = 0; i < store->dir_count; i++) {
        struct dir_load *load = &all->dirs[i];
        if (load->dir == NULL) continue;
        enum err err = note_failures(load);
        if (err == ERR_OK) err = take_logs(store, load);
        if (err == ERR_INVALID && result == ERR_OK) {
            result = err;
            buf_add_slice(&problem, buf_slice(&load->problem));
        }
        if (err == ERR_OK) {
            load->dir->is_loaded = true;
            loaded++;
            log_result(load);
        } else if (err != ERR_INVALID) {
            load->dir->failed_why = err;
        }
    }
    for (int i = 0; i < store->dir_count; i++) {
        struct dir_load *load = &all->dirs[i];
        if (load->dir == NULL) continue;
        if (load->dir->is_loaded) note_missing(store, load);
        if (load->dir->is_loaded && result == ERR_OK) drop_attempts(store, load);
        /* What is to be deleted may have been set aside for a future log in a directory that is
         * away. */
        if (loaded == store->dir_count) queue_deleting(load);
        dir_load_fini(load);
    }
    free(all->dirs);
    free(all);
    store->loading = NULL;

    for (int i = 0; i < store->dir_count; i++)
        if (store->dirs[i].failed_why != ERR_OK)
            store_dir_failed(&store->dirs[i], store->dirs[i].failed_why);
    if (result == ERR_OK && store_dirs_offline(store) == store->dir_count) {
        result = ERR_OFFLINE;
        buf_add_text(&problem, "no directory of log.dirs can be used");
    }
    buf_add(&problem, "", 1);
    store->options.events->loaded(store->options.owner, result,
                                  result == ERR_OK ? "" : (const char *)problem.ptr);
    buf_fini(&problem);
}

static void free_load(struct store_load *all)
{
    all->store->loading = NULL;
    for (int i = 0; i < all->store->dir_count; i++)
        if (all->dirs[i].dir != NULL) dir_load_fini(&all->dirs[i]);
    free(all->dirs);
    free(all);
}

/* The store's own event comes last: its owner may close the store in it. */
static void one_ended(struct store_load *all)
{
    struct store *store = all->store;

    if (--all->left == 0) {
        if (atomic_load(&store->is_abandoned))
            free_load(all);
        else
            all_loaded(all);
    }
    store_job_ended(store);
}

/* That alone: what is broken does not wait. */
static bool lacks_room(const struct dir_load *load)
{
    bool is_full = false;

    for (int i = 0; i < load->count; i++) {
        if (load->found[i].err == ERR_FULL)
            is_full = true;
        else if (load->found[i].err != ERR_OK)
            return false;
    }
    return is_full;
}

static void load_done(struct disk_job *job)
{
    struct dir_load *load = list_entry(job, struct loader, job)->load;
    struct store_load *all = load->all;
    struct store *store = all->store;

    if (--load->loaders > 0) {
        store_job_ended(store);
    } else if (lacks_room(load) && !atomic_load(&store->is_abandoned)) {
        load->waits_for_room = true;
        log_error("log", "start_waits_for_room",
                  "path=%s hint=\"its file system is full: the start goes on when there is room\"",
                  load->dir->path);
        store_job_ended(store);
    } else {
        one_ended(all);
    }
}

static void submit_loaders(struct dir_load *load)
{
    struct store *store = load->dir->store;
    int loaders = store->options.recovery_threads < 1 ? 1 : store->options.recovery_threads;

    if (loaders > load->count) loaders = load->count;
    load->loaders = loaders;
    free(load->loader);
    load->loader = ensure_zalloc((size_t)loaders * sizeof(*load->loader));
    for (int i = 0; i < loaders; i++) {
        load->loader[i] = (struct loader){{.run = load_run, .done = load_done}, load};
        store_submit(store, DISK_LONG, &load->loader[i].job);
    }
}

void store_load_again(struct store *store)
{
    for (int i = 0; store->loading != NULL && i < store->dir_count; i++) {
        struct dir_load *load = &store->loading->dirs[i];
        if (!load->waits_for_room) continue;
        load->waits_for_room = false;
        atomic_store(&load->next, 0);
        submit_loaders(load);
    }
}

void store_load_abandon(struct store *store)
{
    struct store_load *all = store->loading;

    if (all == NULL) return;
    for (int i = 0; i < store->dir_count; i++) {
        all->left -= all->dirs[i].waits_for_room;
        all->dirs[i].waits_for_room = false; /* the others may still run: nothing begins again */
    }
    if (all->left == 0) free_load(all);
}

static void returned_done(struct disk_job *job)
{
    struct dir_load *load = list_entry(job, struct dir_load, job);
    struct store *store = load->dir->store;

    if (load->err != ERR_OK || load->count == 0) {
        one_ended(load->all);
        return;
    }
    submit_loaders(load);
    store_job_ended(store);
}

/* ---- a current log that was set aside (future.h) ---- */

static struct found_log *find_future(struct store_load *all, const struct names_directory *aside)
{
    for (int d = 0; d < all->store->dir_count; d++) {
        struct dir_load *load = &all->dirs[d];
        for (int i = 0; load->dir != NULL && i < load->count; i++) {
            struct found_log *found = &load->found[i];
            if (found->parsed.kind == NAMES_FUTURE && found->parsed.partition == aside->partition &&
                slice_equal(found->parsed.unique, aside->unique))
                return found;
        }
    }
    return NULL;
}

static bool is_live(const struct store_load *all, const char *live)
{
    for (int d = 0; d < all->store->dir_count; d++) {
        const struct dir_load *load = &all->dirs[d];
        for (int i = 0; load->dir != NULL && i < load->count; i++)
            if (strcmp(load->found[i].name, live) == 0) return true;
    }
    return false;
}

/* The future log has not taken the place: what makes way for it is still the truth. */
static void take_back(struct store_load *all, struct dir_load *load)
{
    int kept = 0;

    for (int i = 0; i < load->deleting_count; i++) {
        struct names_directory parsed;
        const struct found_log *future = NULL;
        if (names_parse_directory(load->deleting[i], &parsed)) future = find_future(all, &parsed);
        if (future == NULL || is_live(all, future->live)) {
            load->deleting[kept++] = load->deleting[i];
            continue;
        }
        int n = load->returning_count++;
        size_t room = (size_t)(n + 1);
        load->returning = ensure_realloc(load->returning, room * sizeof(*load->returning));
        load->returning_from =
            ensure_realloc(load->returning_from, room * sizeof(*load->returning_from));
        load->returning_from[n] = load->deleting[i];
        load->returning[n] = load->count;
        char *live = ensure_strdup(future->live); /* adding may move it */
        add_found(load, live);
        free(live);
    }
    load->deleting_count = kept;
}

static void return_run(struct disk_job *job)
{
    struct dir_load *load = list_entry(job, struct dir_load, job);
    const struct env *env = load->dir->store->options.env;
    char from[FILES_PATH_MAX], to[FILES_PATH_MAX];
    enum err err = load->err;

    if (atomic_load(&load->dir->store->is_abandoned)) return;
    for (int i = 0; err == ERR_OK && i < load->returning_count; i++) {
        const char *name = load->found[load->returning[i]].name;
        log_warn("log", "move_taken_back", "path=%s name=%s from=%s", load->dir->path, name,
                 load->returning_from[i]);
        err = names_join(from, load->dir->path, load->returning_from[i]);
        if (err == ERR_OK) err = names_join(to, load->dir->path, name);
        if (err == ERR_OK) err = files_rename(env, from, to);
    }
    if (err == ERR_OK && load->returning_count > 0)
        err = files_sync_directory(env, load->dir->path);
    load->err = err;
}

static void all_listed(struct store_load *all)
{
    struct store *store = all->store;

    for (int d = 0; d < store->dir_count; d++)
        if (all->dirs[d].dir != NULL && all->dirs[d].err == ERR_OK) take_back(all, &all->dirs[d]);
    for (int d = 0; d < store->dir_count; d++) {
        if (all->dirs[d].dir == NULL) continue;
        all->dirs[d].job = (struct disk_job){.run = return_run, .done = returned_done};
        store_submit(store, DISK_LONG, &all->dirs[d].job);
    }
}

static void list_done(struct disk_job *job)
{
    struct dir_load *load = list_entry(job, struct dir_load, job);
    struct store *store = load->dir->store;

    if (--load->all->listing == 0) all_listed(load->all);
    store_job_ended(store);
}

void store_load(struct store *store)
{
    struct store_load *all = ensure_zalloc(sizeof(*all));

    all->store = store;
    all->dirs = ensure_zalloc((size_t)store->dir_count * sizeof(*all->dirs));
    for (int i = 0; i < store->dir_count; i++)
        all->left += !store->dirs[i].dir.is_offline;
    all->listing = all->left;
    ensure(all->left > 0);
    store->loading = all;
    for (int i = 0; i < store->dir_count; i++) {
        struct dir_load *load = &all->dirs[i];
        if (store->dirs[i].dir.is_offline) continue;
        *load = (struct dir_load){.all = all, .dir = &store->dirs[i]};
        load->began = env_now(store->options.env);
        load->job = (struct disk_job){.run = list_run, .done = list_done};
        store_submit(store, DISK_LONG, &load->job);
    }
}

/* ---- create ---- */

/* Each topic id is a file that is synced: of few new logs at once, of many when they are used. */
#define CREATE_IDS_AT_ONCE 64

struct creation {
    struct log_dir *dir;
    enum err err;
    bool is_ours;     /* the job makes it */
    int64_t promised; /* of one that should have been there */
};

struct create {
    struct disk_job job;
    struct store_making making;
    struct store *store;
    struct store_new_log *logs;
    struct creation *creations;
    int count;
    void (*done)(void *to);
    void *to;
};

struct store_dir *store_place(struct store *store, const char *name)
{
    struct store_dir *best = map_get(&store->preferred, slice_text(name));

    if (best != NULL) return best->dir.is_offline ? NULL : best;
    for (int i = 0; i < store->dir_count; i++) {
        struct store_dir *dir = &store->dirs[i];
        if (!dir->dir.is_offline && (best == NULL || dir->log_count < best->log_count)) best = dir;
    }
    return best;
}

static void create_one(struct create *create, struct store_new_log *new, struct creation *creation,
                       struct log_files *files, bool saves_id)
{
    const struct store_options *options = &create->store->options;
    char name[NAMES_MAX + 1];

    enum err err = names_live(name, new->topic, new->partition);
    const struct recover_request request = {
        .env = options->env,
        .dir = creation->dir,
        .name = name,
        .topic = new->topic,
        .partition = new->partition,
        .config = new->config,
        .files = files,
        .keeps_topic_ids = options->keeps_topic_ids,
        .now_ms = env_wall_ms(options->env),
    };
    if (err == ERR_OK) err = recover_create(&request, &new->log);
    if (err == ERR_OK && options->keeps_topic_ids && !uuid_is_zero(new->topic_id)) {
        err = log_set_topic_id(new->log, new->topic_id);
        if (err == ERR_OK && saves_id) err = log_save_topic_id(new->log);
    }
    if (err != ERR_OK && new->log != NULL) recover_uncreate(&new->log);
    if (err == ERR_OK) atomic_store(&new->log->promised, creation->promised);
    new->err = err;
}

/* The new directories are there after a loss of power: what is synced in them later is found. */
static void sync_names(struct create *create)
{
    struct store *store = create->store;
    const struct env *env = store->options.env;

    for (int d = 0; d < store->dir_count; d++) {
        struct log_dir *dir = &store->dirs[d].dir;
        bool is_wanted = false;
        for (int i = 0; i < create->count; i++)
            is_wanted |= create->creations[i].dir == dir && create->creations[i].is_ours &&
                         create->logs[i].err == ERR_OK;
        enum err err = is_wanted ? files_sync_directory(env, dir->path) : ERR_OK;
        for (int i = 0; err != ERR_OK && i < create->count; i++) {
            if (create->creations[i].dir != dir || create->logs[i].err != ERR_OK) continue;
            create->logs[i].err = err;
            recover_uncreate(&create->logs[i].log);
        }
    }
}

static void create_run(struct disk_job *job)
{
    struct create *create = list_entry(job, struct create, job);
    const struct env *env = create->store->options.env;
    struct log_files *files = log_files_create(env, STORE_JOB_FILES_MAX);
    int made = 0;

    for (int i = 0; i < create->count; i++)
        if (create->creations[i].is_ours && create->logs[i].err == ERR_OK)
            create_one(create, &create->logs[i], &create->creations[i], files,
                       made++ < CREATE_IDS_AT_ONCE);
    log_files_destroy(&files);
    sync_names(create);
}

static void create_done(struct disk_job *job)
{
    struct create *create = list_entry(job, struct create, job);
    struct store *store = create->store;
    char name[NAMES_MAX + 1];

    for (int i = 0; i < create->count; i++) {
        struct store_new_log *new = &create->logs[i];
        if (!create->creations[i].is_ours) continue;
        ensure(names_live(name, new->topic, new->partition) == ERR_OK);
        map_remove(&store->busy, slice_text(name));
        struct store_dir *dir = &store->dirs[create->creations[i].dir->index];
        if (new->err == ERR_OK) {
            map_set(&store->logs, slice_text(name), new->log);
            map_remove(&store->preferred, slice_text(name));
            continue;
        }
        dir->log_count--;
        if (new->err != ERR_FULL &&new->err != ERR_TOO_MANY &&new->err != ERR_LIMIT)
            store_dir_failed(dir, new->err);
    }
    create->done(create->to);
    free(create->creations);
    free(create);
    store_job_ended(store);
}

/* What can be said without touching the disk. */
static void prepare(struct store *store, struct store_new_log *new, struct creation *creation)
{
    char name[NAMES_MAX + 1];

    new->log = NULL;
    new->err = names_live(name, new->topic, new->partition);
    if (new->err != ERR_OK) return;
    struct store_dir *dir = store_place(store, name);
    new->log = map_get(&store->logs, slice_text(name));
    if (new->log != NULL)
        new->err = ERR_EXISTS;
    else if (map_get(&store->busy, slice_text(name)) != NULL)
        new->err = ERR_BUSY;
    else if (dir == NULL || (!new->is_new &&store_dirs_offline(store) > 0))
        new->err = ERR_OFFLINE;
    if (new->err != ERR_OK) return;
    map_set(&store->busy, slice_text(name), store);
    dir->log_count++;
    *creation = (struct creation){.dir = &dir->dir, .is_ours = true};
    int64_t *promised = map_remove(&store->missing, slice_text(name));
    if (promised != NULL && !new->is_new) creation->promised = *promised;
    free(promised);
}

static void create_begin(struct store_making *making)
{
    struct create *create = list_entry(making, struct create, making);

    for (int i = 0; i < create->count; i++)
        if (create->creations[i].is_ours)
            create->logs[i].err =
                store_may_make(&create->store->dirs[create->creations[i].dir->index]);
}

void store_create_many(struct store *store, struct store_new_log *logs, int count,
                       void (*done)(void *to), void *to)
{
    if (store_is_closing(store)) {
        for (int i = 0; i < count; i++) {
            logs[i].log = NULL;
            logs[i].err = ERR_CANCELLED;
        }
        done(to);
        return;
    }
    struct create *create = ensure_zalloc(sizeof(*create));
    *create = (struct create){.job = {.run = create_run, .done = create_done},
                              .making = {.job = &create->job, .begin = create_begin},
                              .store = store,
                              .logs = logs,
                              .count = count,
                              .done = done,
                              .to = to};
    create->creations = ensure_zalloc((size_t)(count + 1) * sizeof(*create->creations));
    for (int i = 0; i < count; i++)
        prepare(store, &logs[i], &create->creations[i]);
    store_make(store, &create->making);
}

struct create_single {
    struct store_new_log log;
    struct log_config config;
    char *topic;
    void (*done)(void *to, enum err err, struct log *log);
    void *to;
};

static void single_done(void *to)
{
    struct create_single *single = to;

    single->done(single->to, single->log.err, single->log.log);
    free(single->topic);
    free(single);
}

void store_create(struct store *store, struct slice topic, int32_t partition, struct uuid topic_id,
                  const struct log_config *config, bool is_new,
                  void (*done)(void *to, enum err err, struct log *log), void *to)
{
    struct create_single *single = ensure_zalloc(sizeof(*single));

    single->config = *config;
    single->topic = ensure_strndup(topic.ptr, topic.len);
    single->done = done;
    single->to = to;
    single->log = (struct store_new_log){.topic = slice_of(single->topic, topic.len),
                                         .partition = partition,
                                         .topic_id = topic_id,
                                         .config = &single->config,
                                         .is_new = is_new};
    store_create_many(store, &single->log, 1, single_done, single);
}

/* ---- delete, and put aside ---- */

struct leaving {
    struct disk_job job;
    struct store *store;
    struct store_dir *dir;
    char *name, *from, *to_path;
    bool is_live;     /* its name is busy */
    int64_t delay_ms; /* of the removal; −1: it stays */
    enum err err;
    void (*done)(void *to, enum err err);
    void *to;
};

static void leaving_run(struct disk_job *job)
{
    struct leaving *leaving = list_entry(job, struct leaving, job);
    const struct env *env = leaving->store->options.env;

    leaving->err = files_rename(env, leaving->from, leaving->to_path);
    if (leaving->err == ERR_OK) leaving->err = files_sync_directory(env, leaving->dir->path);
}

static void leaving_done(struct disk_job *job)
{
    struct leaving *leaving = list_entry(job, struct leaving, job);
    struct store *store = leaving->store;
    enum err err = leaving->err;

    if (leaving->is_live) map_remove(&store->busy, slice_text(leaving->name));
    if (err == ERR_OK) {
        if (leaving->delay_ms >= 0) {
            store_add_deleted(leaving->dir, leaving->to_path,
                              env_wall_ms(store->options.env) + leaving->delay_ms);
            leaving->to_path = NULL;
        }
        store_departed(leaving->dir);
    } else {
        store_dir_failed(leaving->dir, err);
    }
    if (leaving->done != NULL) leaving->done(leaving->to, err);
    free(leaving->name);
    free(leaving->from);
    free(leaving->to_path);
    free(leaving);
    store_job_ended(store);
}

/* To the directory `name`, out of the map `of`; takes the log. */
static void leave(struct store *store, struct map *of, struct log **log, const char *name,
                  int64_t delay_ms, void (*done)(void *to, enum err err), void *to)
{
    struct log *l = *log;
    char live[NAMES_MAX + 1], path[FILES_PATH_MAX];

    if (store_is_closing(store)) {
        *log = NULL;
        if (done != NULL) done(to, ERR_CANCELLED);
        return;
    }
    struct leaving *leaving = ensure_zalloc(sizeof(*leaving));
    ensure(names_live(live, l->topic, l->partition) == ERR_OK);
    struct store_dir *dir = store_dir_of(store, l);
    ensure(names_join(path, dir->path, name) == ERR_OK);
    *leaving = (struct leaving){
        .job = {.run = leaving_run, .done = leaving_done},
        .store = store,
        .dir = dir,
        .name = ensure_strdup(live),
        .from = ensure_strdup(l->path),
        .to_path = ensure_strdup(path),
        .delay_ms = delay_ms,
        .done = done,
        .to = to,
    };
    map_remove(of, slice_text(live));
    if (of == &store->logs) map_set(&store->busy, slice_text(live), store);
    leaving->is_live = of == &store->logs;
    dir->log_count--;
    log_destroy(log);
    store_submit(store, DISK_SOON, &leaving->job);
}

/* One draw after the other: C does not say which of two arguments comes first. */
static struct uuid draw_unique(const struct store *store, const char *purpose)
{
    uint64_t high = env_random(store->options.env, purpose);
    uint64_t low = env_random(store->options.env, purpose);

    return uuid_from_random(high, low);
}

void store_delete_of(struct store *store, struct map *of, struct log **log,
                     void (*done)(void *to, enum err err), void *to)
{
    struct log *l = *log;
    char name[NAMES_MAX + 1];

    names_deleting(name, l->topic, l->partition, draw_unique(store, "delete"));
    leave(store, of, log, name, l->config.file_delete_delay_ms, done, to);
}

void store_put_aside(struct store *store, struct log **log, void (*done)(void *to, enum err err),
                     void *to)
{
    struct log *l = *log;
    char name[NAMES_MAX + 1], id[UUID_TEXT_LEN + 1];

    names_stray(name, l->topic, l->partition, draw_unique(store, "stray"));
    uuid_text(l->topic_id, id);
    log_warn("log", "put_aside",
             "topic=%.*s partition=%d topic_id=%s end=%lld path=%s/%s hint=\"the log of a replica "
             "that this broker no longer has: nothing reads it, and it may be removed\"",
             SLICE_ARGS(l->topic), l->partition, id, (long long)log_end_offset(l),
             log_directory(l)->path, name);
    leave(store, &store->logs, log, name, -1, done, to);
}

void store_delete(struct store *store, struct log **log, void (*done)(void *to, enum err err),
                  void *to)
{
    store_delete_of(store, &store->logs, log, done, to);
}
