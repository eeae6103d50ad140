/* broker/api/log_dirs.c - DescribeLogDirs: what each log directory holds, and how full its device
 * is. Sizes are what the logs publish as they change: no shard is asked. Rules: apis.md §11. */
#include "base/map.h"
#include "broker/api/control.h"
#include "broker/api/table.h"
#include "broker/log/store.h"
#include "runtime/env.h"
#include "runtime/files.h"
#include "wire/codec.h"
#include "wire/gen/describe_log_dirs.h"
#include "wire/protocol.h"
#include <stdlib.h>

struct found {
    int dir;
    struct slice topic; /* of the log: valid for this turn */
    int32_t partition;
    struct log_facts facts;
    int64_t lag;
    bool is_future;
};

struct looking {
    struct request *request;
    struct store *store;
    struct map wanted; /* "partition, topic" → itself; empty: all */
    bool is_all;
    struct found *at;
    int count;
};

struct wanted_key {
    uint8_t bytes[sizeof(int32_t) + 256];
};

static struct slice key_of(struct wanted_key *key, struct slice topic, int32_t partition)
{
    size_t len = topic.len < 256 ? topic.len : 256;

    memcpy(key->bytes, &partition, sizeof(partition));
    if (len > 0) memcpy(key->bytes + sizeof(partition), topic.ptr, len);
    return slice_of(key->bytes, sizeof(partition) + len);
}

static void take_wanted(struct looking *looking, const struct describe_log_dirs_request *in)
{
    struct wanted_key key;

    map_init(&looking->wanted);
    looking->is_all = in->topics.count < 0;
    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partitions.count; p++)
            map_set(&looking->wanted,
                    key_of(&key, in->topics.at[t].topic, in->topics.at[t].partitions.at[p]),
                    looking);
}

static struct found *find(struct looking *looking, const struct log *log)
{
    struct wanted_key key;

    if (!looking->is_all &&
        map_get(&looking->wanted, key_of(&key, log_topic(log), log_partition(log))) == NULL)
        return NULL;
    struct found *found = &looking->at[looking->count++];
    *found = (struct found){
        .dir = log_directory(log)->index,
        .topic = log_topic(log),
        .partition = log_partition(log),
        .facts = log_facts(log),
    };
    return found;
}

static void look(void *to, struct log *log)
{
    struct found *found = find(to, log);

    if (found == NULL) return;
    found->lag = found->facts.high_watermark - found->facts.end_offset;
    if (found->lag < 0) found->lag = 0;
}

/* Of a future log: what it lacks of the current one. */
static void look_future(void *to, struct log *log)
{
    struct looking *looking = to;
    struct found *found = find(looking, log);

    if (found == NULL) return;
    const struct log *current = store_find(looking->store, found->topic, found->partition);
    found->is_future = true;
    found->lag = current == NULL ? -1 : log_facts(current).end_offset - found->facts.end_offset;
}

static int in_order(const void *a, const void *b)
{
    const struct found *one = a, *other = b;

    if (one->dir != other->dir) return one->dir - other->dir;
    int order = slice_compare(one->topic, other->topic);
    if (order != 0) return order;
    return (one->partition > other->partition) - (one->partition < other->partition);
}

/* Those of one directory, which begin at `at`; gives how many. */
static int fill_topics(const struct looking *looking, int at, int dir,
                       struct describe_log_dirs_response_result *out)
{
    struct arena *arena = &looking->request->arena;
    int count = 0;

    while (at + count < looking->count && looking->at[at + count].dir == dir)
        count++;
    out->topics.at = arena_zalloc(arena, sizeof(*out->topics.at) * (size_t)(count + 1));
    struct describe_log_dirs_response_result_topic_partition *parts =
        arena_zalloc(arena, sizeof(*parts) * (size_t)(count + 1));
    for (int i = 0; i < count; i++) {
        const struct found *found = &looking->at[at + i];

        if (i == 0 || !slice_equal(found->topic, found[-1].topic)) {
            out->topics.at[out->topics.count].name = found->topic;
            out->topics.at[out->topics.count++].partitions.at = &parts[i];
        }
        out->topics.at[out->topics.count - 1].partitions.count++;
        parts[i] = (struct describe_log_dirs_response_result_topic_partition){
            .partition_index = found->partition,
            .partition_size = found->facts.size_bytes,
            .offset_lag = found->lag,
            .is_future_key = found->is_future,
        };
    }
    return count;
}

static void describe_handle(struct request *request)
{
    struct store *store = control_store(request->at->control);
    struct looking looking = {.request = request, .store = store};
    struct describe_log_dirs_response out;
    int dirs = store_dir_count(store), at = 0;

    wire_default(&describe_log_dirs_response_wire, &out);
    take_wanted(&looking, request->body);
    int logs = store_log_count(store) + store_future_count(store);
    looking.at = arena_zalloc(&request->arena, sizeof(*looking.at) * (size_t)(logs + 1));
    store_each(store, look, &looking);
    store_each_future(store, look_future, &looking);
    map_fini(&looking.wanted);
    qsort(looking.at, (size_t)looking.count, sizeof(*looking.at), in_order);

    out.results.at = arena_zalloc(&request->arena, sizeof(*out.results.at) * (size_t)(dirs + 1));
    out.results.count = dirs;
    for (int i = 0; i < dirs; i++) {
        struct describe_log_dirs_response_result *result = &out.results.at[i];
        const struct log_dir *dir = store_dir(store, i);
        uint64_t total = 0, usable = 0;

        result->log_dir = slice_text(dir->path);
        result->total_bytes = result->usable_bytes = -1;
        while (at < looking.count && looking.at[at].dir < i)
            at++;
        if (atomic_load(&dir->is_offline)) {
            result->error_code = KAFKA_KAFKA_STORAGE_ERROR;
            continue;
        }
        at += fill_topics(&looking, at, i, result);
        if (files_space(request->at->shard->env, dir->path, &total, &usable) != ERR_OK) continue;
        result->total_bytes = total > INT64_MAX ? INT64_MAX : (int64_t)total;
        result->usable_bytes = usable > INT64_MAX ? INT64_MAX : (int64_t)usable;
    }
    request_reply(request, &out);
}

static const void *describe_refuse(struct request *request, int16_t code)
{
    struct describe_log_dirs_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&describe_log_dirs_response_wire, out);
    out->error_code = code;
    return out;
}

const struct api describe_log_dirs_api = {
    .key = API_DESCRIBE_LOG_DIRS,
    .version_min = 0,
    .version_max = 4,
    .request_wire = &describe_log_dirs_request_wire,
    .response_wire = &describe_log_dirs_response_wire,
    .request_size = sizeof(struct describe_log_dirs_request),
    .place = API_ON_CONTROL,
    .handle = describe_handle,
    .refuse = describe_refuse,
};
