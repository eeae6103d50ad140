#include "tools/reassign_dirs.h"
#include "wire/codec.h"
#include <stdlib.h>

static int by_replica(const void *a, const void *b)
{
    const struct dir_move *one = a, *other = b;
    int order = topic_partition_compare(one->at, other->at);

    return order != 0 ? order : (one->broker > other->broker) - (one->broker < other->broker);
}

void dir_moves_of(const struct move_list *list, struct arena *arena, struct dir_move_list *out)
{
    size_t room = 1;

    for (int32_t i = 0; i < list->count; i++)
        if (list->at[i].log_dirs != NULL) room += (size_t)list->at[i].replicas.count;
    *out = (struct dir_move_list){.at = arena_zalloc(arena, room * sizeof(*out->at))};
    for (int32_t i = 0; i < list->count; i++) {
        const struct move *move = &list->at[i];
        for (int32_t k = 0; move->log_dirs != NULL && k < move->replicas.count; k++) {
            if (slice_is_null(move->log_dirs[k])) continue;
            out->at[out->count++] =
                (struct dir_move){move->at, move->replicas.at[k], move->log_dirs[k]};
        }
    }
    if (out->count > 1) qsort(out->at, (size_t)out->count, sizeof(*out->at), by_replica);
}

void dir_moves_on(const struct dir_move_list *list, int32_t broker, struct arena *arena,
                  struct dir_move_list *out)
{
    *out = (struct dir_move_list){
        .at = arena_zalloc(arena, (size_t)(list->count + 1) * sizeof(*out->at))};
    for (int32_t i = 0; i < list->count; i++)
        if (list->at[i].broker == broker) out->at[out->count++] = list->at[i];
}

void dir_moves_write_names(struct buf *out, const struct dir_move_list *list)
{
    for (int32_t i = 0; i < list->count; i++)
        buf_printf(out, "%s%.*s-%d-%d", i == 0 ? "" : ",", SLICE_ARGS(list->at[i].at.topic),
                   list->at[i].at.partition, list->at[i].broker);
}

/* The blank at the end is Kafka's. */
void dir_moves_write_begun(struct buf *out, const struct dir_move_list *list)
{
    for (int32_t i = 0; i < list->count; i++)
        buf_printf(out,
                   "Successfully started moving log directory to %.*s for replica %.*s-%d with "
                   "broker %d \n",
                   SLICE_ARGS(list->at[i].dir), SLICE_ARGS(list->at[i].at.topic),
                   list->at[i].at.partition, list->at[i].broker);
}

/* ---- to begin ---- */

static int by_dir(const void *a, const void *b)
{
    const struct dir_move *one = a, *other = b;
    int order = slice_compare(one->dir, other->dir);

    return order != 0 ? order : by_replica(a, b);
}

void dir_moves_fill(const struct dir_move_list *list, struct arena *arena,
                    struct alter_replica_log_dirs_request *body)
{
    size_t room = (size_t)(list->count + 1);
    struct dir_move *sorted = arena_zalloc(arena, room * sizeof(*sorted));
    struct alter_replica_log_dirs_request_dir *dirs = arena_zalloc(arena, room * sizeof(*dirs));
    struct alter_replica_log_dirs_request_dir_topic *topics =
        arena_zalloc(arena, room * sizeof(*topics));
    int32_t *partitions = arena_zalloc(arena, room * sizeof(*partitions));
    int32_t dir_count = 0, topic_count = 0;

    wire_default(&alter_replica_log_dirs_request_wire, body);
    for (int32_t i = 0; i < list->count; i++)
        sorted[i] = list->at[i];
    if (list->count > 1) qsort(sorted, (size_t)list->count, sizeof(*sorted), by_dir);
    for (int32_t i = 0; i < list->count; i++) {
        const struct dir_move *move = &sorted[i];
        bool is_new = i == 0 || !slice_equal(move->dir, sorted[i - 1].dir);
        if (is_new) {
            dirs[dir_count].path = move->dir;
            dirs[dir_count++].topics.at = &topics[topic_count];
        }
        if (is_new || !slice_equal(move->at.topic, sorted[i - 1].at.topic)) {
            topics[topic_count].name = move->at.topic;
            topics[topic_count++].partitions.at = &partitions[i];
            dirs[dir_count - 1].topics.count++;
        }
        partitions[i] = move->at.partition;
        topics[topic_count - 1].partitions.count++;
    }
    body->dirs.at = dirs;
    body->dirs.count = dir_count;
}

int16_t dir_move_code(const struct alter_replica_log_dirs_response *response,
                      const struct dir_move *move)
{
    for (int32_t t = 0; t < response->results.count; t++)
        for (int32_t i = 0; slice_equal(response->results.at[t].topic_name, move->at.topic) &&
                            i < response->results.at[t].partitions.count;
             i++)
            if (response->results.at[t].partitions.at[i].partition_index == move->at.partition)
                return response->results.at[t].partitions.at[i].error_code;
    return -1;
}

/* ---- how far ---- */

struct dir_state dir_state_of(const struct describe_log_dirs_response *response,
                              const struct dir_move *move)
{
    struct dir_state state = {.current = SLICE_NULL, .future = SLICE_NULL};

    for (int32_t d = 0; response != NULL && d < response->results.count; d++) {
        const struct describe_log_dirs_response_result *dir = &response->results.at[d];
        for (int32_t t = 0; t < dir->topics.count; t++)
            for (int32_t i = 0; slice_equal(dir->topics.at[t].name, move->at.topic) &&
                                i < dir->topics.at[t].partitions.count;
                 i++) {
                if (dir->topics.at[t].partitions.at[i].partition_index != move->at.partition)
                    continue;
                if (dir->topics.at[t].partitions.at[i].is_future_key)
                    state.future = dir->log_dir;
                else
                    state.current = dir->log_dir;
            }
    }
    if (slice_is_null(state.current))
        state.is = slice_is_null(state.future) ? DIR_NO_REPLICA : DIR_IN_NONE;
    else if (!slice_is_null(state.future))
        state.is = DIR_MOVING;
    else
        state.is = slice_equal(state.current, move->dir) ? DIR_THERE : DIR_ELSEWHERE;
    return state;
}

void dir_state_write(struct buf *out, const struct dir_move *move, const struct dir_state *state)
{
    struct slice topic = move->at.topic;
    int32_t partition = move->at.partition, broker = move->broker;

    switch (state->is) {
    case DIR_NO_REPLICA:
        buf_printf(out,
                   "Partition %.*s-%d cannot be found in any live log directory on broker %d.\n",
                   SLICE_ARGS(topic), partition, broker);
        break;
    case DIR_IN_NONE:
        buf_printf(out,
                   "Partition %.*s-%d is not found in any live log dir on broker %d. There is "
                   "likely an offline log directory on the broker.\n",
                   SLICE_ARGS(topic), partition, broker);
        break;
    case DIR_ELSEWHERE:
        buf_printf(out,
                   "Partition %.*s-%d on broker %d is not being moved from log dir %.*s to %.*s.\n",
                   SLICE_ARGS(topic), partition, broker, SLICE_ARGS(state->current),
                   SLICE_ARGS(move->dir));
        break;
    case DIR_MOVING:
        if (slice_equal(state->future, move->dir))
            buf_printf(out, "Reassignment of replica %.*s-%d-%d is still in progress.\n",
                       SLICE_ARGS(topic), partition, broker);
        else
            buf_printf(out,
                       "Partition %.*s-%d on broker %d is being moved to log dir %.*s instead of "
                       "%.*s.\n",
                       SLICE_ARGS(topic), partition, broker, SLICE_ARGS(state->future),
                       SLICE_ARGS(move->dir));
        break;
    case DIR_THERE:
        buf_printf(out, "Reassignment of replica %.*s-%d-%d completed successfully.\n",
                   SLICE_ARGS(topic), partition, broker);
        break;
    }
}
