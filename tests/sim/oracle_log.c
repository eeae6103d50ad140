#include "tests/sim/oracle_log.h"
#include "base/ensure.h"
#include "tests/sim/heap.h"
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

struct oracle_log {
    struct world *world;
    struct list topics;
    uint32_t serials;
    int64_t *producers; /* given out, in no order */
    int producer_count;
    struct oracle_log_counts counts;
};

struct oracle_log *oracle_log_create(struct world *world)
{
    struct sim_heap *was = sim_heap_use_world();
    struct oracle_log *oracle = ensure_zalloc(sizeof(*oracle));

    oracle->world = world;
    list_init(&oracle->topics);
    sim_heap_use(was);
    return oracle;
}

static void forget(struct oracle_partition *partition)
{
    free(partition->slots);
    free(partition->epochs);
    free(partition->places);
    partition->slots = NULL;
    partition->epochs = NULL;
    partition->places = NULL;
    partition->place_count = 0;
    partition->capacity = partition->known_end = 0;
    partition->is_lifted = false;
    partition->trimmed_to = partition->gone_to = 0;
}

void oracle_log_destroy(struct oracle_log **it)
{
    if (*it == NULL) return;
    for (struct list_node *node; (node = list_pop(&(*it)->topics)) != NULL;) {
        struct oracle_topic *topic = list_entry(node, struct oracle_topic, node);
        oracle_log_forget(topic);
        free(topic);
    }
    free((*it)->producers);
    free(*it);
    *it = NULL;
}

void oracle_log_producer(struct oracle_log *oracle, int64_t producer_id)
{
    struct sim_heap *was = sim_heap_use_world();

    for (int i = 0; i < oracle->producer_count; i++)
        if (oracle->producers[i] == producer_id)
            world_wrong(oracle->world, "producer id %lld is given a second time",
                        (long long)producer_id);
    if ((oracle->producer_count & (oracle->producer_count - 1)) == 0) {
        int capacity = oracle->producer_count == 0 ? 1 : oracle->producer_count * 2;
        oracle->producers =
            ensure_realloc(oracle->producers, (size_t)capacity * sizeof(*oracle->producers));
    }
    oracle->producers[oracle->producer_count++] = producer_id;
    sim_heap_use(was);
}

struct oracle_topic *oracle_log_topic(struct oracle_log *oracle, const char *name)
{
    list_each (node, &oracle->topics) {
        struct oracle_topic *topic = list_entry(node, struct oracle_topic, node);
        if (strcmp(topic->name, name) == 0) return topic;
    }
    struct sim_heap *was = sim_heap_use_world();
    struct oracle_topic *topic = ensure_zalloc(sizeof(*topic));
    topic->oracle = oracle;
    topic->serial = ++oracle->serials;
    snprintf(topic->name, sizeof(topic->name), "%s", name);
    for (int i = 0; i < ORACLE_PARTITIONS_MAX; i++) {
        topic->partitions[i] = (struct oracle_partition){.topic = topic, .partition = i};
    }
    list_push(&oracle->topics, &topic->node);
    sim_heap_use(was);
    return topic;
}

void oracle_log_forget(struct oracle_topic *topic)
{
    for (int i = 0; i < ORACLE_PARTITIONS_MAX; i++)
        forget(&topic->partitions[i]);
}

void oracle_log_lift(struct oracle_partition *partition, const char *why)
{
    if (partition->is_lifted) return;
    partition->is_lifted = true;
    partition->topic->oracle->counts.lifted++;
    world_trace(partition->topic->oracle->world, "promise of %s-%d lifted: %s",
                partition->topic->name, partition->partition, why);
}

uint64_t oracle_log_next(struct oracle_partition *partition, int count)
{
    uint64_t first = partition->sent + 1;

    partition->sent += (uint64_t)count;
    partition->topic->oracle->counts.sent += (uint64_t)count;
    return first;
}

void oracle_log_once(struct oracle_partition *partition, uint64_t first, int count)
{
    struct sim_heap *was = sim_heap_use_world();
    uint64_t end = first + (uint64_t)count;

    if (end > partition->place_count) {
        uint64_t wanted = end * 2;
        partition->places =
            ensure_realloc(partition->places, (size_t)wanted * sizeof(*partition->places));
        for (uint64_t i = partition->place_count; i < wanted; i++)
            partition->places[i] = 0;
        partition->place_count = wanted;
    }
    for (uint64_t number = first; number < end; number++)
        partition->places[number] = -1;
    sim_heap_use(was);
}

static void put(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t take(const uint8_t *from, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

/* What stands behind the head of a value: bytes that follow from its number, eight at a time. */
struct filling {
    uint64_t word;
};

static struct filling filling_of(uint64_t number)
{
    struct filling filling = {0};

    for (int i = 0; i < 8; i++)
        filling.word |= (uint64_t)(uint8_t)(number * 31 + ORACLE_VALUE_MIN + (uint64_t)i) << 8 * i;
    return filling;
}

/* Each byte is one more than the one before it. */
static uint64_t filling_next(struct filling *filling)
{
    const uint64_t highs = UINT64_C(0x8080808080808080), eights = UINT64_C(0x0808080808080808);
    uint64_t word = filling->word;

    filling->word = ((word & ~highs) + eights) ^ (word & highs);
    return htole64(word);
}

static bool is_filled(uint64_t number, const uint8_t *bytes, size_t len)
{
    struct filling filling = filling_of(number);
    uint64_t word, wanted;

    for (; len >= 8; bytes += 8, len -= 8) {
        memcpy(&word, bytes, 8);
        if (word != filling_next(&filling)) return false;
    }
    wanted = filling_next(&filling);
    return memcmp(bytes, &wanted, len) == 0;
}

static void fill(uint64_t number, uint8_t *to, size_t len)
{
    struct filling filling = filling_of(number);

    for (size_t n = 0; len > 0; to += n, len -= n) {
        uint64_t word = filling_next(&filling);
        n = len < 8 ? len : 8;
        memcpy(to, &word, n);
    }
}

void oracle_log_value(const struct oracle_partition *partition, uint64_t number, uint8_t *to,
                      size_t len)
{
    ensure(len >= ORACLE_VALUE_MIN);
    put(to, partition->topic->serial, 4);
    put(to + 4, (uint64_t)partition->partition, 4);
    put(to + 8, number, 8);
    fill(number, to + ORACLE_VALUE_MIN, len - ORACLE_VALUE_MIN);
}

int oracle_log_key_of(uint64_t number)
{
    return (int)(number * UINT64_C(0x9e3779b97f4a7c15) >> 59);
}

size_t oracle_log_key(uint64_t number, char *to)
{
    return (size_t)snprintf(to, ORACLE_KEY_MAX, "k%d", oracle_log_key_of(number));
}

void oracle_log_passed(const struct oracle_partition *partition, struct oracle_pass *pass,
                       int64_t from, int64_t to)
{
    for (int64_t offset = from; offset < to && offset < partition->known_end; offset++)
        if (partition->slots[offset] != 0)
            pass->owed[oracle_log_key_of(partition->slots[offset])] = offset + 1;
}

void oracle_log_met(const struct oracle_partition *partition, struct oracle_pass *pass,
                    int64_t offset, struct slice key)
{
    char wanted[ORACLE_KEY_MAX];
    uint64_t number = partition->slots[offset];

    if (!slice_equal(key, slice_of(wanted, oracle_log_key(number, wanted))))
        world_wrong(partition->topic->oracle->world,
                    "%s-%d: record %llu at offset %lld has key %.*s", partition->topic->name,
                    partition->partition, (unsigned long long)number, (long long)offset,
                    SLICE_ARGS(key));
    if (pass->owed[oracle_log_key_of(number)] <= offset) pass->owed[oracle_log_key_of(number)] = 0;
}

int64_t oracle_log_owed(const struct oracle_pass *pass)
{
    for (int k = 0; k < ORACLE_KEYS; k++)
        if (pass->owed[k] != 0) return pass->owed[k] - 1;
    return -1;
}

static void reserve(struct oracle_partition *partition, int64_t end)
{
    if (end <= partition->capacity) return;
    struct sim_heap *was = sim_heap_use_world();
    int64_t capacity = end * 2 < 256 ? 256 : end * 2;
    partition->slots =
        ensure_realloc(partition->slots, (size_t)capacity * sizeof(*partition->slots));
    partition->epochs =
        ensure_realloc(partition->epochs, (size_t)capacity * sizeof(*partition->epochs));
    for (int64_t i = partition->capacity; i < capacity; i++) {
        partition->slots[i] = 0;
        partition->epochs[i] = -1;
    }
    partition->capacity = capacity;
    sim_heap_use(was);
}

/* A replica that began where its leader's log began does not know the producers of what was gone by
 * then: one that asks again is new to it (as with Kafka). */
static void check_once(struct oracle_partition *partition, int64_t offset, uint64_t number)
{
    if (number >= partition->place_count || partition->places[number] == 0) return;
    int64_t *place = &partition->places[number];
    if (*place > partition->gone_to && *place != offset + 1 && !partition->is_lifted)
        world_wrong(partition->topic->oracle->world,
                    "%s-%d: record %llu of an idempotent producer stands at %lld and at %lld",
                    partition->topic->name, partition->partition, (unsigned long long)number,
                    (long long)*place - 1, (long long)offset);
    *place = offset + 1;
}

/* `number` stands at `offset`, for good. */
static void settle(struct oracle_partition *partition, int64_t offset, uint64_t number,
                   const char *how)
{
    struct world *world = partition->topic->oracle->world;

    reserve(partition, offset + 1);
    if (partition->slots[offset] != 0 && partition->slots[offset] != number &&
        !partition->is_lifted)
        world_wrong(world, "%s-%d: at offset %lld stood record %llu, now %llu is %s there",
                    partition->topic->name, partition->partition, (long long)offset,
                    (unsigned long long)partition->slots[offset], (unsigned long long)number, how);
    check_once(partition, offset, number);
    partition->slots[offset] = number;
    if (offset >= partition->known_end) partition->known_end = offset + 1;
}

void oracle_log_acked(struct oracle_partition *partition, int64_t base, uint64_t number, int count,
                      bool is_safe)
{
    struct oracle_log *oracle = partition->topic->oracle;

    if (base < 0 || base > INT32_MAX)
        world_wrong(oracle->world, "%s-%d: acknowledged at offset %lld", partition->topic->name,
                    partition->partition, (long long)base);
    oracle->counts.acked += (uint64_t)count;
    if (!is_safe) return;
    for (int i = 0; i < count; i++)
        settle(partition, base + i, number + (uint64_t)i, "acknowledged");
}

void oracle_log_read(struct oracle_partition *partition, int64_t offset, struct slice value,
                     int32_t leader_epoch)
{
    struct oracle_log *oracle = partition->topic->oracle;
    struct world *world = oracle->world;
    const char *name = partition->topic->name;

    oracle->counts.read++;
    if (value.len < ORACLE_VALUE_MIN || take(value.ptr, 4) != partition->topic->serial ||
        take(value.ptr + 4, 4) != (uint64_t)partition->partition)
        world_wrong(world, "%s-%d: what is read at offset %lld was not sent there", name,
                    partition->partition, (long long)offset);
    uint64_t number = take(value.ptr + 8, 8);
    if (number == 0 || number > partition->sent)
        world_wrong(world, "%s-%d: record %llu is read at offset %lld, %llu were sent", name,
                    partition->partition, (unsigned long long)number, (long long)offset,
                    (unsigned long long)partition->sent);
    if (!is_filled(number, value.ptr + ORACLE_VALUE_MIN, value.len - ORACLE_VALUE_MIN))
        world_wrong(world, "%s-%d: record %llu at offset %lld is not as it was sent", name,
                    partition->partition, (unsigned long long)number, (long long)offset);
    settle(partition, offset, number, "read");
    int32_t before = partition->epochs[offset];
    if (before >= 0 && before != leader_epoch && !partition->is_lifted)
        world_wrong(world, "%s-%d: offset %lld was of leader epoch %d, now of %d", name,
                    partition->partition, (long long)offset, before, leader_epoch);
    if (before >= 0) oracle->counts.repeated++;
    partition->epochs[offset] = leader_epoch;
    if (offset > 0 && partition->epochs[offset - 1] > leader_epoch && !partition->is_lifted)
        world_wrong(world, "%s-%d: leader epoch %d at offset %lld follows %d", name,
                    partition->partition, leader_epoch, (long long)offset,
                    partition->epochs[offset - 1]);
}

void oracle_log_watermark(struct oracle_partition *partition, struct oracle_watermark *seen,
                          int64_t watermark, int32_t leader_epoch)
{
    if (leader_epoch < seen->leader_epoch) return; /* of an older leader, late */
    if (leader_epoch == seen->leader_epoch && watermark < seen->offset && !partition->is_lifted)
        world_wrong(partition->topic->oracle->world,
                    "%s-%d: the high watermark goes back from %lld to %lld in epoch %d",
                    partition->topic->name, partition->partition, (long long)seen->offset,
                    (long long)watermark, leader_epoch);
    *seen = (struct oracle_watermark){watermark, leader_epoch};
}

void oracle_log_count(const struct oracle_log *oracle, struct oracle_log_counts *out)
{
    *out = oracle->counts;
}
