/* broker/group/groups_load.c - a coordinator reads its log: in pieces of offsets.load.buffer.size,
 * read, checked and decompressed on the disk pool, applied on the shard a bounded number of records
 * a turn. What it holds of the log is one piece, whatever the log's length. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/group/hosted_group.h"
#include "cluster/types.h"
#include "runtime/disk.h"
#include <stdlib.h>

#define LOAD_BYTES_MAX       (1 << 20)   /* of a piece: it is applied in tens of milliseconds */
#define PLAIN_BYTES_MAX      (256 << 20) /* what a batch may come to, decompressed */
#define RECORDS_PER_TURN_MAX 2000
#define GROUPS_PER_TURN_MAX  200
#define RETRY_MS             200
#define SETTLE_MS            5

struct load {
    struct coordinator *coordinator; /* NULL: dropped while a job runs */
    struct groups *groups;
    struct reading reading;
    struct disk_job job;
    struct post post;
    struct timer retry;
    bool is_reading;
    int64_t next; /* offset */
    struct instant began;
    int64_t records, bytes;

    /* One piece. */
    struct buf piece, plain; /* plain: of the batch that is applied */
    size_t piece_len;
    enum err err;
    struct slice rest; /* batches that are not applied yet */
    struct batch batch;
    struct record_reader reader;
    bool has_batch;
    struct arena arena;
    struct list restoring; /* hosted_group: when all is read */
    bool is_restoring;
};

static void load_free(struct load *load)
{
    shard_unpost(&load->post);
    timer_cancel(load->groups->shard, &load->retry);
    buf_fini(&load->piece);
    buf_fini(&load->plain);
    arena_fini(&load->arena);
    free(load);
}

/* ---- a record ---- */

static struct hosted_group *take_group(struct coordinator *coordinator, struct slice id)
{
    struct hosted_group *hosted = hosted_group_find(coordinator, id);

    return hosted != NULL ? hosted : hosted_group_add(coordinator, id);
}

static void apply_offset(struct load *load, const struct group_log_key *key, struct slice value)
{
    struct coordinator *coordinator = load->coordinator;
    struct hosted_group *hosted = hosted_group_find(coordinator, key->group);
    const struct batch *batch = &load->batch;
    struct offset_commit commit;

    if (slice_is_null(value)) {
        if (hosted != NULL) (void)offsets_remove(hosted->offsets, key->topic, key->partition);
        return;
    }
    enum err err = group_log_read_offset(value, &load->arena, &commit);
    if (err != ERR_OK) {
        log_warn("group", "record-skipped", "partition=%d offset=%lld what=offset why=%s",
                 coordinator->partition, (long long)batch->base_offset, err_name(err));
        return;
    }
    if (hosted == NULL) hosted = hosted_group_add(coordinator, key->group);
    if (!batch_is_transactional(batch)) {
        offsets_load(hosted->offsets, key->topic, key->partition, &commit, batch->base_offset);
        return;
    }
    offsets_txn_done(hosted->offsets, batch->producer_id, key->topic, key->partition, &commit,
                     batch->base_offset);
    coordinator_note_txn(coordinator, batch->producer_id, hosted);
}

/* Only the last counts: it is made a group when all is read. */
static void apply_group(struct load *load, const struct group_log_key *key, struct slice value)
{
    struct hosted_group *hosted;

    if (slice_is_null(value)) {
        hosted = hosted_group_find(load->coordinator, key->group);
        if (hosted != NULL) buf_clear(&hosted->value);
        return;
    }
    hosted = take_group(load->coordinator, key->group);
    buf_clear(&hosted->value);
    buf_add_slice(&hosted->value, value);
}

static void apply_record(struct load *load, const struct record *record)
{
    struct group_log_key key;

    load->records++;
    arena_reset(&load->arena);
    enum err err = group_log_read_key(record->key, &load->arena, &key);
    if (err == ERR_OK && key.kind == GROUP_LOG_OFFSET)
        apply_offset(load, &key, record->value);
    else if (err == ERR_OK && key.kind == GROUP_LOG_GROUP)
        apply_group(load, &key, record->value);
    else
        log_warn("group", "record-skipped", "partition=%d offset=%lld what=key version=%d why=%s",
                 load->coordinator->partition, (long long)record_offset(&load->batch, record),
                 err == ERR_OK ? key.version : -1, err == ERR_OK ? "UNSUPPORTED" : err_name(err));
}

static void apply_marker(struct load *load, const struct record *record)
{
    int16_t type;

    if (record_control_type(record->key, &type) != ERR_OK) return;
    if (type == RECORD_MARKER_COMMIT || type == RECORD_MARKER_ABORT)
        coordinator_end_txn(load->coordinator, load->batch.producer_id,
                            type == RECORD_MARKER_COMMIT);
}

/* ---- a piece ---- */

/* The next batch, its records plain. False: there is none left. */
static bool next_batch(struct load *load)
{
    while (batch_take(&load->rest, &load->batch) == ERR_OK) {
        const struct batch *batch = &load->batch;
        struct slice records = batch->records;
        load->next = batch_last_offset(batch) + 1;
        if (batch_codec(batch) != BATCH_CODEC_NONE) {
            buf_clear(&load->plain);
            enum err err = compress_read(batch_codec(batch), BATCH_MAGIC, records, PLAIN_BYTES_MAX,
                                         &load->plain);
            if (err != ERR_OK) {
                log_error("group", "batch-skipped", "partition=%d offset=%lld why=%s",
                          load->coordinator->partition, (long long)batch->base_offset,
                          err_name(err));
                continue;
            }
            records = buf_slice(&load->plain);
        }
        load->reader = record_reader_of(records, batch->record_count);
        load->has_batch = true;
        return true;
    }
    return false;
}

/* True: some are left for the next turn. */
static bool apply_some(struct load *load)
{
    struct record record;

    for (int n = 0; n < RECORDS_PER_TURN_MAX;) {
        if (!load->has_batch && !next_batch(load)) return false;
        if (!record_next(&load->reader, &record)) {
            load->has_batch = false;
            continue;
        }
        n++;
        if (batch_is_control(&load->batch))
            apply_marker(load, &record);
        else
            apply_record(load, &record);
    }
    return true;
}

/* ---- the end ---- */

/* Sessions begin when the group does: no member has been heard meanwhile. */
static void restore(struct hosted_group *hosted, struct load *load)
{
    struct groups *groups = load->groups;
    struct group_metadata_value value;

    hosted->machine =
        group_create(hosted_group_id(hosted), &groups->settings->group, groups_wall_ms(groups));
    if (hosted->value.len > 0) {
        arena_reset(&load->arena);
        enum err err = group_log_read_group(buf_slice(&hosted->value), &load->arena, &value);
        if (err == ERR_OK)
            group_restore(hosted->machine, &value, shard_now(groups->shard),
                          groups_wall_ms(groups));
        else
            log_warn("group", "record-skipped", "partition=%d group=%.*s what=group why=%s",
                     load->coordinator->partition, SLICE_ARGS(hosted_group_id(hosted)),
                     err_name(err));
    }
    buf_fini(&hosted->value);
    gauge_add(&groups->counts.members, group_size(hosted->machine));
    struct group_event event = {.type = GROUP_TICK}; /* arms its timer */
    hosted_group_feed(hosted, &event);
    hosted_group_tidy(hosted);
}

static void load_end(struct load *load)
{
    struct coordinator *coordinator = load->coordinator;

    coordinator->is_loading = false;
    coordinator->load = NULL;
    gauge_add(&load->groups->counts.loading, -1);
    log_info("group", "coordinator-began",
             "partition=%d epoch=%d groups=%zu records=%lld bytes=%lld ms=%lld",
             coordinator->partition, coordinator->epoch, coordinator->groups.count,
             (long long)load->records, (long long)load->bytes,
             (long long)instant_ms_between(load->began, shard_now(load->groups->shard)));
    load_free(load);
}

static void begin_restore(struct load *load)
{
    load->is_restoring = true;
    map_each (entry, &load->coordinator->groups)
        list_push(&load->restoring, &((struct hosted_group *)entry->value)->restoring);
    shard_post_last(load->groups->shard, &load->post);
}

static void restore_some(struct load *load)
{
    struct list_node *node = NULL;

    for (int n = 0; n < GROUPS_PER_TURN_MAX && (node = list_pop(&load->restoring)) != NULL; n++)
        restore(list_entry(node, struct hosted_group, restoring), load);
    if (list_is_empty(&load->restoring))
        load_end(load);
    else
        shard_post_last(load->groups->shard, &load->post);
}

/* ---- reading ---- */

static void load_failed(struct load *load, enum err err)
{
    struct coordinator *coordinator = load->coordinator;

    if (err == ERR_FULL || err == ERR_TOO_MANY) {
        timer_arm(load->groups->shard, &load->retry,
                  instant_add_ms(shard_now(load->groups->shard), RETRY_MS));
        return;
    }
    log_error("group", "coordinator-failed", "partition=%d epoch=%d offset=%lld why=%s",
              coordinator->partition, coordinator->epoch, (long long)load->next, err_name(err));
    coordinator->is_broken = true; /* until leadership comes anew */
}

static void run(struct disk_job *job)
{
    struct load *load = (struct load *)(void *)((char *)job - offsetof(struct load, job));
    const struct log_slice *slice = &load->reading.slice;
    size_t n = 0;

    buf_clear(&load->piece);
    uint8_t *to = buf_extend(&load->piece, (size_t)slice->len);
    load->err = file_read_at(load->groups->shard->env, log_slice_file(slice),
                             (uint64_t)slice->position, to, (size_t)slice->len, &n);
    load->piece.len = n;
}

static void read_next(struct load *load);

static void done(struct disk_job *job)
{
    struct load *load = (struct load *)(void *)((char *)job - offsetof(struct load, job));

    load->is_reading = false;
    partitions_read_end(load->groups->partitions, &load->reading);
    if (load->coordinator == NULL) {
        load_free(load);
        return;
    }
    /* A file that has less than it should would be read for ever. */
    if (load->err == ERR_OK && load->piece.len == 0) load->err = ERR_TRUNCATED;
    if (load->err != ERR_OK) {
        load_failed(load, load->err);
        return;
    }
    load->bytes += (int64_t)load->piece.len;
    load->rest = buf_slice(&load->piece);
    load->has_batch = false;
    shard_post_last(load->groups->shard, &load->post);
}

static void read_next(struct load *load)
{
    struct groups *groups = load->groups;
    int32_t wanted = groups->settings->load_bytes;

    load->reading = (struct reading){
        .topic = SLICE(TOPIC_NAME_OFFSETS),
        .partition = load->coordinator->partition,
        .offset = load->next,
        .bytes_max = wanted < LOAD_BYTES_MAX ? wanted : LOAD_BYTES_MAX,
    };
    enum err err = partitions_read_begin(groups->partitions, &load->reading);
    if (err != ERR_OK) {
        load_failed(load, err);
        return;
    }
    if (load->reading.slice.len == 0) {
        bool is_settling = load->reading.is_settling;
        partitions_read_end(groups->partitions, &load->reading);
        /* What the next leader may lack is told to nobody: a generation would be formed anew there,
         * and a commit taken back. */
        if (is_settling)
            timer_arm(groups->shard, &load->retry,
                      instant_add_ms(shard_now(groups->shard), SETTLE_MS));
        else
            begin_restore(load);
        return;
    }
    load->is_reading = true;
    load->job = (struct disk_job){.home = groups->shard, .run = run, .done = done};
    disk_submit(groups->shard->env, groups->shard->disk, DISK_SOON, groups->shard, &load->job);
}

static void on_post(struct post *post)
{
    struct load *load = (struct load *)(void *)((char *)post - offsetof(struct load, post));
    int64_t before = load->reading.offset;

    if (load->is_restoring) {
        restore_some(load);
    } else if (load->rest.len > 0 || load->has_batch) {
        if (apply_some(load)) {
            shard_post_last(load->groups->shard, &load->post);
        } else if (load->next <= before) { /* nothing in it could be read as a batch */
            load_failed(load, ERR_CORRUPT);
        } else {
            read_next(load);
        }
    } else {
        read_next(load);
    }
}

static void on_retry(struct timer *timer)
{
    read_next((struct load *)(void *)((char *)timer - offsetof(struct load, retry)));
}

void load_begin(struct coordinator *coordinator)
{
    struct load *load = ensure_zalloc(sizeof(*load));

    load->coordinator = coordinator;
    load->groups = coordinator->of;
    load->began = shard_now(coordinator->of->shard);
    load->post.run = on_post;
    load->retry.fire = on_retry;
    buf_init(&load->piece);
    buf_init(&load->plain);
    arena_init(&load->arena, SIZE_MAX);
    list_init(&load->restoring);
    coordinator->load = load;
    gauge_add(&coordinator->of->counts.loading, 1);
    /* Not inside the change of leadership. */
    shard_post_last(coordinator->of->shard, &load->post);
}

void load_drop(struct coordinator *coordinator)
{
    struct load *load = coordinator->load;

    if (load == NULL) return;
    gauge_add(&load->groups->counts.loading, -1);
    coordinator->load = NULL;
    load->coordinator = NULL;
    while (list_pop(&load->restoring) != NULL) {
    }
    if (!load->is_reading) load_free(load);
}
