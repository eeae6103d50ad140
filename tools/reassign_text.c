#include "tools/reassign_text.h"
#include "base/text.h"
#include "zk/doc_json.h"
#include <stdlib.h>

static enum err refuse(struct buf *message, struct topic_partition at, const char *what)
{
    buf_printf(message, "%.*s-%d %s", SLICE_ARGS(at.topic), at.partition, what);
    return ERR_INVALID;
}

static int by_place(const void *a, const void *b)
{
    return topic_partition_compare(((const struct move *)a)->at, ((const struct move *)b)->at);
}

void reassign_sort(struct move_list *list)
{
    if (list->count > 1) qsort(list->at, (size_t)list->count, sizeof(*list->at), by_place);
}

const struct move *reassign_find(const struct move_list *list, struct topic_partition at)
{
    struct move key = {.at = at};

    return list->count == 0 ? NULL
                            : bsearch(&key, list->at, (size_t)list->count, sizeof(key), by_place);
}

/* ---- reading ---- */

static enum err check_version(struct doc_reader *reader, const json_t *root, struct buf *message)
{
    int64_t version = doc_int_or(reader, root, "version", INT32_MIN, INT32_MAX, 1);

    if (reader->err != ERR_OK || version == 1) return ERR_OK;
    buf_printf(message, "version %lld is not supported: must be 1", (long long)version);
    return ERR_INVALID;
}

/* Ends the reading: what was wrong with the text comes before what was wrong with its content. */
static enum err close_document(struct doc_reader *reader, const char *what, enum err so_far,
                               struct buf *message)
{
    enum err err = doc_close(reader);

    if (err == ERR_OK) return so_far;
    buf_clear(message);
    buf_printf(message, "this is no %s in JSON (%s)", what, err_text(err));
    return ERR_INVALID;
}

static enum err read_log_dirs(struct doc_reader *reader, const json_t *each, struct move *move,
                              struct buf *message)
{
    const json_t *array = doc_array(reader, each, "log_dirs", true);
    size_t count = json_array_size(array);

    if (array == NULL || reader->err != ERR_OK) return ERR_OK;
    if (count != (size_t)move->replicas.count)
        return refuse(message, move->at, "has another number of log_dirs than of replicas");
    struct slice *dirs = doc_room(reader, count + 1, sizeof(*dirs));
    for (size_t i = 0; reader->err == ERR_OK && i < count; i++) {
        struct slice dir = doc_string_value(reader, json_array_get(array, i));
        if (reader->err != ERR_OK || slice_is(dir, "any")) {
            dirs[i] = SLICE_NULL;
            continue;
        }
        if (dir.len == 0 || dir.ptr[0] != '/')
            return refuse(message, move->at,
                          "names a log dir that is no absolute path; \"any\" leaves the choice to "
                          "the broker");
        dirs[i] = dir;
    }
    move->log_dirs = dirs;
    return ERR_OK;
}

static enum err read_move(struct doc_reader *reader, const json_t *each, bool with_replicas,
                          struct move *move, struct buf *message)
{
    if (!json_is_object(each)) {
        doc_fail(reader, ERR_CORRUPT);
        return ERR_OK;
    }
    move->at.topic = doc_string(reader, each, "topic");
    move->at.partition = doc_int32(reader, each, "partition", 0);
    if (!with_replicas) return ERR_OK;
    struct doc_ints ids = doc_int_array(reader, doc_array(reader, each, "replicas", false));
    move->replicas = (struct broker_ids){ids.at, ids.count};
    if (reader->err != ERR_OK) return ERR_OK;
    if (ids.count == 0) return refuse(message, move->at, "has an empty list of replicas");
    for (int32_t i = 0; i < ids.count; i++)
        if (ids.at[i] < 0) return refuse(message, move->at, "has a replica below 0");
    if (broker_ids_repeat(move->replicas))
        return refuse(message, move->at, "has a broker twice among its replicas");
    return read_log_dirs(reader, each, move, message);
}

static enum err read_moves(struct slice json, bool with_replicas, struct arena *arena,
                           struct move_list *out, struct buf *message)
{
    struct doc_reader reader;
    struct move_list list = {0};
    const json_t *root = doc_open(&reader, json, arena);
    const json_t *array = doc_array(&reader, root, "partitions", true);
    size_t count = json_array_size(array);

    enum err err = check_version(&reader, root, message);
    list.at = doc_room(&reader, count + 1, sizeof(*list.at));
    for (size_t i = 0; err == ERR_OK && reader.err == ERR_OK && i < count; i++)
        err = read_move(&reader, json_array_get(array, i), with_replicas, &list.at[list.count++],
                        message);
    err = close_document(&reader, "list of partitions", err, message);
    if (err != ERR_OK) return err;
    if (list.count == 0) {
        buf_add_text(message, "the list of partitions is empty");
        return ERR_INVALID;
    }
    reassign_sort(&list);
    for (int32_t i = 1; i < list.count; i++)
        if (by_place(&list.at[i - 1], &list.at[i]) == 0)
            return refuse(message, list.at[i].at, "is in the list twice");
    *out = list;
    return ERR_OK;
}

enum err reassign_read(struct slice json, struct arena *arena, struct move_list *out,
                       struct buf *message)
{
    return read_moves(json, true, arena, out, message);
}

enum err reassign_read_partitions(struct slice json, struct arena *arena, struct move_list *out,
                                  struct buf *message)
{
    return read_moves(json, false, arena, out, message);
}

enum err reassign_read_topics(struct slice json, struct arena *arena, struct slice **names,
                              int32_t *count, struct buf *message)
{
    struct doc_reader reader;
    const json_t *root = doc_open(&reader, json, arena);
    const json_t *array = doc_array(&reader, root, "topics", true);
    size_t most = json_array_size(array);
    int32_t found = 0;

    enum err err = check_version(&reader, root, message);
    struct slice *list = doc_room(&reader, most + 1, sizeof(*list));
    for (size_t i = 0; err == ERR_OK && reader.err == ERR_OK && i < most; i++) {
        const json_t *each = json_array_get(array, i);
        if (!json_is_object(each)) {
            doc_fail(&reader, ERR_CORRUPT);
            break;
        }
        struct slice name = doc_string(&reader, each, "topic");
        bool is_known = false;
        for (int32_t j = 0; j < found; j++)
            is_known |= slice_equal(list[j], name);
        if (!is_known) list[found++] = name;
    }
    err = close_document(&reader, "list of topics", err, message);
    if (err == ERR_OK && found == 0) {
        buf_add_text(message, "the list of topics is empty");
        err = ERR_INVALID;
    }
    if (err != ERR_OK) return err;
    *names = list;
    *count = found;
    return ERR_OK;
}

enum err reassign_read_brokers(struct slice text, struct arena *arena, struct broker_ids *out,
                               struct buf *message)
{
    struct slice left = text, item;
    int32_t *ids = arena_zalloc(arena, (text.len + 1) * sizeof(*ids));
    int32_t count = 0;
    int64_t id;

    for (bool more = true; more;) {
        more = slice_cut(&left, ',', &item);
        if (!more) item = left;
        if (text_int(text_trim(item), 0, INT32_MAX, &id) != ERR_OK) {
            buf_printf(message, "\"%.*s\" is not a broker id", SLICE_ARGS(item));
            return ERR_INVALID;
        }
        ids[count++] = (int32_t)id;
    }
    if (broker_ids_repeat((struct broker_ids){ids, count})) {
        buf_printf(message, "a broker is in the list twice: %.*s", SLICE_ARGS(text));
        return ERR_INVALID;
    }
    *out = (struct broker_ids){ids, count};
    return ERR_OK;
}

/* ---- writing ---- */

void reassign_write_ids(struct buf *out, struct broker_ids ids)
{
    for (int32_t i = 0; i < ids.count; i++)
        buf_printf(out, "%s%d", i == 0 ? "" : ",", ids.at[i]);
}

void reassign_write(struct buf *out, const struct move_list *list)
{
    buf_add_text(out, "{\"version\":1,\"partitions\":[");
    for (int32_t i = 0; i < list->count; i++) {
        const struct move *move = &list->at[i];

        buf_add_text(out, i == 0 ? "{\"topic\":" : ",{\"topic\":");
        text_add_json(out, move->at.topic);
        buf_printf(out, ",\"partition\":%d,\"replicas\":[", move->at.partition);
        reassign_write_ids(out, move->replicas);
        buf_add_text(out, "],\"log_dirs\":[");
        for (int32_t j = 0; j < move->replicas.count; j++) {
            bool is_any = move->log_dirs == NULL || slice_is_null(move->log_dirs[j]);
            if (j > 0) buf_add_text(out, ",");
            text_add_json(out, is_any ? SLICE("any") : move->log_dirs[j]);
        }
        buf_add_text(out, "]}");
    }
    buf_add_text(out, "]}");
}

void reassign_write_names(struct buf *out, const struct move_list *list, const char *separator)
{
    for (int32_t i = 0; i < list->count; i++)
        buf_printf(out, "%s%.*s-%d", i == 0 ? "" : separator, SLICE_ARGS(list->at[i].at.topic),
                   list->at[i].at.partition);
}

void reassign_write_status(struct buf *out, const struct move *wanted, bool is_moving,
                           const struct move *is)
{
    struct slice topic = wanted->at.topic;
    int32_t partition = wanted->at.partition;

    if (is_moving) {
        buf_printf(out, "Reassignment of partition %.*s-%d is still in progress.\n",
                   SLICE_ARGS(topic), partition);
    } else if (is != NULL && broker_ids_equal(is->replicas, wanted->replicas)) {
        buf_printf(out, "Reassignment of partition %.*s-%d is completed.\n", SLICE_ARGS(topic),
                   partition);
    } else {
        buf_printf(out, "There is no active reassignment of partition %.*s-%d, but replica set is ",
                   SLICE_ARGS(topic), partition);
        if (is != NULL) reassign_write_ids(out, is->replicas);
        buf_add_text(out, " rather than ");
        reassign_write_ids(out, wanted->replicas);
        buf_add_text(out, ".\n");
    }
}

void reassign_write_moving(struct buf *out, const struct move *is, struct broker_ids adding,
                           struct broker_ids removing)
{
    buf_printf(out, "%.*s-%d: replicas: ", SLICE_ARGS(is->at.topic), is->at.partition);
    reassign_write_ids(out, is->replicas);
    buf_add_text(out, ".");
    if (adding.count > 0) {
        buf_add_text(out, " adding: ");
        reassign_write_ids(out, adding);
        buf_add_text(out, ".");
    }
    if (removing.count > 0) {
        buf_add_text(out, " removing: ");
        reassign_write_ids(out, removing);
        buf_add_text(out, ".");
    }
    buf_add_text(out, "\n");
}
