/* tests/unit/store_world.h - one store of log directories in a test's world (log_world.h), started
 * as a broker starts it: what it told at last is in `told`, every log is configured as `config`
 * says. */
#pragma once
#include "broker/log/store.h"
#include "tests/unit/log_world.h"
#include <stdio.h>

static struct world *w;
static struct store *store;
static struct store_options options;
static struct log_config config;
static struct shard home;

static struct store_told {
    int loaded, failed, closed; /* how often */
    enum err loaded_err;
    char loaded_text[512];
    struct log_dir *failed_dir;
    int left; /* directories, after the last failure */
} told;

static void on_loaded(void *owner, enum err err, const char *text)
{
    (void)owner;
    told.loaded++;
    told.loaded_err = err;
    snprintf(told.loaded_text, sizeof(told.loaded_text), "%s", text);
}
static void on_failed(void *owner, struct log_dir *dir, enum err why, int left)
{
    (void)owner, (void)why;
    told.failed++;
    told.failed_dir = dir;
    told.left = left;
}
static void on_closed(void *owner)
{
    (void)owner;
    told.closed++;
}
static void give_config(void *owner, struct slice topic, struct log_config *out)
{
    (void)owner, (void)topic;
    *out = config;
}

/* Borrows `paths`. */
static inline void one_store_options(const char *const *paths, int count)
{
    static const struct store_events events = {on_loaded, on_failed, on_closed};

    told.loaded = told.failed = told.closed = 0;
    home = (struct shard){.env = &w->env};
    options = (struct store_options){.env = &w->env,
                                     .home = &home,
                                     .paths = paths,
                                     .path_count = count,
                                     .recovery_threads = 1,
                                     .keeps_topic_ids = true,
                                     .config = give_config,
                                     .events = &events};
}

/* Locked, and with the identity that it has or is given. */
static inline enum err one_store_enter(struct buf *problem)
{
    enum err err = store_open(&options, problem, &store);

    return err == ERR_OK ? store_identify(store, 101, "cluster-of-tests-------", problem) : err;
}

/* All that a broker does with its directories at the start; ERR_COUNT: the load did not end. */
static inline enum err one_store_start(struct buf *problem)
{
    enum err err = one_store_enter(problem);

    if (err != ERR_OK) return err;
    store_load(store);
    world_run_jobs(w);
    return told.loaded == 1 ? told.loaded_err : ERR_COUNT;
}
