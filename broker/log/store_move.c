/* broker/log/store_move.c - future logs (future.h): where they are wanted, made, deleted, and what
 * is done when one has taken its place. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/log/future.h"
#include "broker/log/names.h"
#include "broker/log/store_parts.h"
#include <stdlib.h>

#define STORE_PREFERRED_MAX 100000

/* ---- which and where ---- */

struct log_dir *store_find_dir(struct store *store, struct slice path)
{
    for (int i = 0; i < store->dir_count; i++)
        if (slice_is(path, store->dirs[i].path)) return &store->dirs[i].dir;
    return NULL;
}

struct log *store_find_future(struct store *store, struct slice topic, int32_t partition)
{
    char name[NAMES_MAX + 1];

    if (names_live(name, topic, partition) != ERR_OK) return NULL;
    return map_get(&store->futures, slice_text(name));
}

int store_future_count(const struct store *store)
{
    return (int)store->futures.count;
}

void store_each_future(struct store *store, void (*each)(void *to, struct log *log), void *to)
{
    map_each (entry, &store->futures)
        each(to, entry->value);
}

bool store_may_have_future(struct slice topic, int32_t partition)
{
    char name[NAMES_MAX + 1];

    return names_future(name, topic, partition, (struct uuid){0}) == ERR_OK;
}

void store_prefer(struct store *store, struct slice topic, int32_t partition, struct log_dir *dir)
{
    char name[NAMES_MAX + 1];

    if (names_live(name, topic, partition) != ERR_OK) return;
    if (store->preferred.count >= STORE_PREFERRED_MAX &&
        map_get(&store->preferred, slice_text(name)) == NULL) {
        log_warn("log", "preference_dropped", "partition=%s path=%s", name, dir->path);
        return;
    }
    map_set(&store->preferred, slice_text(name), &store->dirs[dir->index]);
}

/* ---- create ---- */

struct create_future {
    struct disk_job job;
    struct store_making making;
    struct store *store;
    struct store_dir *dir;
    char live[NAMES_MAX + 1], name[NAMES_MAX + 1];
    char *topic;
    size_t topic_len;
    int32_t partition;
    struct uuid topic_id;
    struct log_config config;
    enum err err;
    struct log *future;
    void (*done)(void *to, enum err err, struct log *future);
    void *to;
};

static void create_begin(struct store_making *making)
{
    struct create_future *create = list_entry(making, struct create_future, making);

    create->err = store_may_make(create->dir);
}

static void create_run(struct disk_job *job)
{
    struct create_future *create = list_entry(job, struct create_future, job);
    const struct store_options *options = &create->store->options;
    struct log_files *files = log_files_create(options->env, STORE_JOB_FILES_MAX);
    const struct recover_request request = {
        .env = options->env,
        .dir = &create->dir->dir,
        .name = create->name,
        .topic = slice_of(create->topic, create->topic_len),
        .partition = create->partition,
        .config = &create->config,
        .files = files,
        .is_future = true,
        .keeps_topic_ids = options->keeps_topic_ids,
        .now_ms = env_wall_ms(options->env),
    };

    if (create->err == ERR_OK) create->err = recover_create(&request, &create->future);
    if (create->err == ERR_OK && options->keeps_topic_ids && !uuid_is_zero(create->topic_id)) {
        create->err = log_set_topic_id(create->future, create->topic_id);
        if (create->err == ERR_OK) create->err = log_save_topic_id(create->future);
    }
    if (create->err == ERR_OK) create->err = files_sync_directory(options->env, create->dir->path);
    if (create->err != ERR_OK && create->future != NULL) recover_uncreate(&create->future);
    log_files_destroy(&files);
}

static void create_done(struct disk_job *job)
{
    struct create_future *create = list_entry(job, struct create_future, job);
    struct store *store = create->store;
    enum err err = create->err;

    if (err == ERR_OK) {
        map_set(&store->futures, slice_text(create->live), create->future);
    } else {
        create->dir->log_count--;
        if (err != ERR_FULL && err != ERR_TOO_MANY && err != ERR_LIMIT)
            store_dir_failed(create->dir, err);
    }
    create->done(create->to, err, create->future);
    free(create->topic);
    free(create);
    store_job_ended(store);
}

void store_create_future(struct store *store, const struct log *current, struct log_dir *dir,
                         void (*done)(void *to, enum err err, struct log *future), void *to)
{
    if (store_is_closing(store)) {
        done(to, ERR_CANCELLED, NULL);
        return;
    }
    struct create_future *create = ensure_zalloc(sizeof(*create));
    struct slice topic = log_topic(current);
    uint64_t high = env_random(store->options.env, "future");
    uint64_t low = env_random(store->options.env, "future");
    struct uuid unique = uuid_from_random(high, low);

    create->err = names_live(create->live, topic, current->partition);
    if (create->err == ERR_OK)
        create->err = names_future(create->name, topic, current->partition, unique);
    if (create->err == ERR_OK && store_dirs_offline(store) > 0) create->err = ERR_OFFLINE;
    if (create->err == ERR_OK && map_get(&store->futures, slice_text(create->live)) != NULL)
        create->err = ERR_EXISTS;
    if (create->err != ERR_OK) {
        done(to, create->err, NULL);
        free(create);
        return;
    }
    create->job = (struct disk_job){.run = create_run, .done = create_done};
    create->store = store;
    create->dir = &store->dirs[dir->index];
    create->topic = ensure_strndup(topic.ptr, topic.len);
    create->topic_len = topic.len;
    create->partition = current->partition;
    create->topic_id = current->topic_id;
    create->config = current->config;
    create->done = done;
    create->to = to;
    create->making = (struct store_making){.job = &create->job, .begin = create_begin};
    create->dir->log_count++;
    store_make(store, &create->making);
}

/* ---- the end of one ---- */

void store_delete_future(struct store *store, struct log **future,
                         void (*done)(void *to, enum err err), void *to)
{
    store_delete_of(store, &store->futures, future, done, to);
}

struct moved {
    struct disk_job job;
    struct store *store;
    struct store_dir *from, *into;
    char *path; /* of the old one */
    int64_t delay_ms;
    enum err err;
    void (*done)(void *to);
    void *to;
};

static void moved_run(struct disk_job *job)
{
    struct moved *moved = list_entry(job, struct moved, job);

    moved->err = files_sync_directory(moved->store->options.env, moved->into->path);
}

static void moved_done(struct disk_job *job)
{
    struct moved *moved = list_entry(job, struct moved, job);
    struct store *store = moved->store;

    if (moved->err == ERR_OK) {
        store_add_deleted(moved->from, moved->path,
                          env_wall_ms(store->options.env) + moved->delay_ms);
        moved->path = NULL;
        store_departed(moved->from);
        store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_LOG_STARTS | STORE_HIGH_WATERMARKS |
                                    STORE_CLEANED);
    } else {
        store_dir_failed(moved->into, moved->err);
    }
    if (moved->done != NULL) moved->done(moved->to);
    free(moved->path);
    free(moved);
    store_job_ended(store);
}

void store_moved(struct store *store, struct slice topic, int32_t partition, void (*done)(void *to),
                 void *to)
{
    char live[NAMES_MAX + 1];

    if (store_is_closing(store)) {
        if (done != NULL) done(to);
        return;
    }
    struct moved *moved = ensure_zalloc(sizeof(*moved));
    ensure(names_live(live, topic, partition) == ERR_OK);
    struct log *old = map_get(&store->logs, slice_text(live));
    struct log *new = map_remove(&store->futures, slice_text(live));
    ensure(old != NULL && new != NULL && !log_is_future(new));
    *moved = (struct moved){
        .job = {.run = moved_run, .done = moved_done},
        .store = store,
        .from = store_dir_of(store, old),
        .into = store_dir_of(store, new),
        .path = ensure_strdup(old->path),
        .delay_ms = old->config.file_delete_delay_ms,
        .done = done,
        .to = to,
    };
    map_set(&store->logs, slice_text(live), new);
    moved->from->log_count--;
    log_destroy(&old);
    store_submit(store, DISK_SOON, &moved->job);
}
