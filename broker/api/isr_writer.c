/* broker/api/isr_writer.c - see isr_writer.h. */
#include "broker/api/isr_writer.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdlib.h>
#include <string.h>

#define LOOK_MS                      2500
#define QUIET_MS                     5000
#define LATEST_MS                    60000
#define RETRY_MS                     1000
#define TOLD_ONCE_MAX                2000 /* partitions of one notification */
#define ARENA_BYTES_MAX              (16 << 20)

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A partition that the controller is to be told of. */
struct changed {
    struct list_node node;
    int32_t partition;
    size_t topic_len;
    char topic[];
};

struct isr_writer {
    struct isr_writer_options options;
    struct zk *zk;       /* NULL: no session */
    struct list waiting; /* isr_write: for a session, or for the next try */
    struct timer retry;

    struct map changed; /* partition and topic → struct changed * */
    struct list order;  /* of them */
    struct instant changed_at, told_at;
    struct timer look;
    struct zk_call tell;
    struct list told; /* struct changed, in the notification under way */
    bool is_telling;
};

bool isr_writer_is_due(struct instant changed_at, struct instant told_at, struct instant now)
{
    return instant_ms_between(changed_at, now) > QUIET_MS ||
           instant_ms_between(told_at, now) > LATEST_MS;
}

/* ---- the notification ---- */

static void arm_look(struct isr_writer *writer)
{
    if (list_is_empty(&writer->order) || heap_has(&writer->look.node)) return;
    timer_arm(writer->options.shard, &writer->look,
              instant_add_ms(shard_now(writer->options.shard), LOOK_MS));
}

static void forget_told(struct isr_writer *writer)
{
    for (struct list_node *node; (node = list_pop(&writer->told)) != NULL;)
        free(list_entry(node, struct changed, node));
}

/* Before the map's key is made of it: partition, then name. */
static struct slice key_of(const struct changed *changed, struct buf *key)
{
    buf_clear(key);
    buf_add(key, &changed->partition, sizeof(changed->partition));
    buf_add(key, changed->topic, changed->topic_len);
    return buf_slice(key);
}

static void add_changed(struct isr_writer *writer, struct changed *changed)
{
    struct buf key = {0};

    if (map_get(&writer->changed, key_of(changed, &key)) != NULL) {
        free(changed);
    } else {
        (void)map_set(&writer->changed, buf_slice(&key), changed);
        list_push(&writer->order, &changed->node);
    }
    buf_fini(&key);
}

static void note_changed(struct isr_writer *writer, const struct isr_write *write)
{
    struct changed *changed = ensure_zalloc(sizeof(*changed) + write->topic.len);

    changed->partition = write->partition;
    changed->topic_len = write->topic.len;
    memcpy(changed->topic, write->topic.ptr, write->topic.len);
    add_changed(writer, changed);
    writer->changed_at = shard_now(writer->options.shard);
    arm_look(writer);
}

static void on_told(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct isr_writer *writer = CONTAINER(call, struct isr_writer, tell);

    (void)results;
    (void)count;
    writer->is_telling = false;
    if (err != ERR_OK) {
        if (err != ERR_CANCELLED && err != ERR_ZK_EXPIRED)
            log_warn("broker", "isr-change-not-told", "why=%s", err_name(err));
        for (struct list_node *node; (node = list_pop(&writer->told)) != NULL;)
            add_changed(writer, list_entry(node, struct changed, node));
        if (err != ERR_CANCELLED) arm_look(writer);
        return;
    }
    forget_told(writer);
    arm_look(writer);
}

static void tell(struct isr_writer *writer)
{
    struct doc_topic_partitions list = {0};
    struct buf json = {0}, key = {0};
    struct arena arena;

    arena_init(&arena, ARENA_BYTES_MAX);
    list.at = arena_zalloc(&arena, TOLD_ONCE_MAX * sizeof(*list.at));
    while (list.count < TOLD_ONCE_MAX && !list_is_empty(&writer->order)) {
        struct changed *changed = list_entry(list_pop(&writer->order), struct changed, node);
        (void)map_remove(&writer->changed, key_of(changed, &key));
        list_push(&writer->told, &changed->node);
        list.at[list.count].topic = slice_of(changed->topic, changed->topic_len);
        list.at[list.count++].partition = changed->partition;
    }
    doc_partitions_write(&json, &list);
    log_info("broker", "isr-change-told", "partitions=%d", list.count);
    writer->is_telling = true;
    writer->told_at = shard_now(writer->options.shard);
    /* Twice told is no harm: the controller reads the states. */
    writer->tell = (struct zk_call){.done = on_told, .retry_loss = true};
    zk_submit(writer->zk, &writer->tell,
              &(struct zk_op){.kind = ZK_CREATE,
                              .path = PATH_ISR_CHANGE_NEW,
                              .data = buf_slice(&json),
                              .is_sequential = true},
              1);
    buf_fini(&json);
    buf_fini(&key);
    arena_fini(&arena);
}

static void on_look(struct timer *timer)
{
    struct isr_writer *writer = CONTAINER(timer, struct isr_writer, look);
    struct instant now = shard_now(writer->options.shard);

    if (writer->zk != NULL && !writer->is_telling && !list_is_empty(&writer->order) &&
        isr_writer_is_due(writer->changed_at, writer->told_at, now))
        tell(writer);
    if (writer->zk != NULL) arm_look(writer);
}

/* ---- the state ---- */

static void submit(struct isr_writer *writer, struct isr_write *write);

static void decide(struct isr_write *write, enum isr_verdict verdict)
{
    struct isr_writer *writer = write->writer;

    write->verdict = verdict;
    log_info("broker", "isr-written", "topic=%.*s partition=%d isr_count=%d version=%d ok=%d",
             SLICE_ARGS(write->topic), write->partition, write->isr_count, write->partition_epoch,
             verdict == ISR_COMMITTED);
    if (verdict == ISR_COMMITTED) note_changed(writer, write);
    writer->options.decided(writer->options.owner, write);
}

/* The session has gone, or something else that passes. */
static void wait_again(struct isr_write *write, enum err err)
{
    struct isr_writer *writer = write->writer;

    list_push(&writer->waiting, &write->node);
    if (err == ERR_CANCELLED || err == ERR_ZK_EXPIRED) return;
    log_warn("broker", "isr-not-written", "topic=%.*s partition=%d why=%s",
             SLICE_ARGS(write->topic), write->partition, err_name(err));
    if (!heap_has(&writer->retry.node))
        timer_arm(writer->options.shard, &writer->retry,
                  instant_add_ms(shard_now(writer->options.shard), RETRY_MS));
}

static bool is_as_wanted(const struct isr_write *write, struct slice json)
{
    struct doc_state state;
    struct arena arena;

    arena_init(&arena, ARENA_BYTES_MAX);
    bool is = doc_state_read(json, &arena, &state) == ERR_OK &&
              state.leader == write->writer->options.broker_id &&
              state.leader_epoch == write->leader_epoch &&
              state.controller_epoch == write->controller_epoch &&
              state.leader_recovery_state == 0 && state.isr.count == write->isr_count;
    for (int i = 0; is && i < write->isr_count; i++)
        is = state.isr.at[i] == write->isr[i];
    arena_fini(&arena);
    return is;
}

static void on_state(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct isr_write *write = CONTAINER(call, struct isr_write, call);

    if (err == ERR_OK && count == 1 && !write->is_reading) {
        write->partition_epoch = results[0].stat.version;
        decide(write, ISR_COMMITTED);
    } else if (err == ERR_OK && count == 1) {
        bool is_ours = is_as_wanted(write, results[0].data);
        if (is_ours) write->partition_epoch = results[0].stat.version;
        decide(write, is_ours ? ISR_COMMITTED : ISR_UNKNOWN);
    } else if (err == ERR_ZK_VERSION && !write->is_reading) {
        write->is_reading = true;
        submit(write->writer, write);
    } else if (err == ERR_NOT_FOUND) {
        decide(write, ISR_UNKNOWN); /* the topic is being deleted */
    } else {
        wait_again(write, err == ERR_OK ? ERR_CORRUPT : err);
    }
}

static void submit(struct isr_writer *writer, struct isr_write *write)
{
    struct buf json = {0};
    struct arena arena;

    if (writer->zk == NULL) {
        list_push(&writer->waiting, &write->node);
        return;
    }
    arena_init(&arena, ARENA_BYTES_MAX);
    struct zk_op op = {.kind = write->is_reading ? ZK_GET : ZK_SET,
                       .path = path_state(&arena, write->topic, write->partition)};
    if (!write->is_reading) {
        struct doc_state state = {.leader = writer->options.broker_id,
                                  .leader_epoch = write->leader_epoch,
                                  .controller_epoch = write->controller_epoch};
        state.isr.at = arena_zalloc(&arena, sizeof(*state.isr.at) * (size_t)(write->isr_count + 1));
        state.isr.count = write->isr_count;
        for (int i = 0; i < write->isr_count; i++)
            state.isr.at[i] = write->isr[i];
        doc_state_write(&json, &state);
        op.data = buf_slice(&json);
        op.version = write->partition_epoch;
    }
    write->call = (struct zk_call){.done = on_state, .retry_loss = true};
    zk_submit(writer->zk, &write->call, &op, 1);
    buf_fini(&json);
    arena_fini(&arena);
}

/* A write whose session ended may have happened: it is tried again as it is, and if it meets
 * another version it is looked at. */
static void submit_waiting(struct isr_writer *writer)
{
    struct list again;

    list_init(&again);
    for (struct list_node *node; (node = list_pop(&writer->waiting)) != NULL;)
        list_push(&again, node);
    for (struct list_node *node; (node = list_pop(&again)) != NULL;)
        submit(writer, list_entry(node, struct isr_write, node));
}

static void on_retry(struct timer *timer)
{
    submit_waiting(CONTAINER(timer, struct isr_writer, retry));
}

void isr_writer_add(struct isr_writer *writer, struct isr_write *write)
{
    write->writer = writer;
    write->is_reading = false;
    submit(writer, write);
}

void isr_writer_set_zk(struct isr_writer *writer, struct zk *zk)
{
    writer->zk = zk;
    if (zk == NULL) {
        timer_cancel(writer->options.shard, &writer->look);
        timer_cancel(writer->options.shard, &writer->retry);
        return;
    }
    submit_waiting(writer);
    arm_look(writer);
}

/* ---- life ---- */

struct isr_writer *isr_writer_create(const struct isr_writer_options *options)
{
    struct isr_writer *writer = ensure_zalloc(sizeof(*writer));

    writer->options = *options;
    list_init(&writer->waiting);
    list_init(&writer->order);
    list_init(&writer->told);
    map_init(&writer->changed);
    writer->look.fire = on_look;
    writer->retry.fire = on_retry;
    writer->told_at = shard_now(options->shard);
    return writer;
}

void isr_writer_destroy(struct isr_writer **writer)
{
    struct isr_writer *gone = *writer;

    if (gone == NULL) return;
    isr_writer_set_zk(gone, NULL);
    forget_told(gone);
    for (struct list_node *node; (node = list_pop(&gone->order)) != NULL;)
        free(list_entry(node, struct changed, node));
    map_fini(&gone->changed);
    free(gone);
    *writer = NULL;
}
