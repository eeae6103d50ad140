#include "cluster/assign.h"
#include "base/ensure.h"
#include <stdlib.h>

/* The list of brokers to go round, and which rack each is in (by number; −1: no racks at all). */
struct ring {
    int32_t *ids;
    int32_t *racks;
    int32_t count;
    int32_t rack_count;
};

static int32_t replica_index(int32_t first, int64_t shift, int64_t j, int32_t count)
{
    if (count == 1) return 0;
    return (int32_t)((first + 1 + (shift + j) % (count - 1)) % count);
}

static int order_by_rack(const void *a, const void *b)
{
    const struct assign_broker *left = *(const struct assign_broker *const *)a;
    const struct assign_broker *right = *(const struct assign_broker *const *)b;
    int order = slice_compare(left->rack, right->rack);

    return order != 0 ? order : (left->id > right->id) - (left->id < right->id);
}

/* Racks by name, brokers of each by id; then one of each rack in turn until all are taken. */
static void ring_alternate(struct ring *ring, const struct assign_broker *brokers)
{
    int32_t n = ring->count;
    const struct assign_broker **sorted = ensure_malloc((size_t)n * sizeof(*sorted));
    int32_t *rack_end = ensure_malloc((size_t)n * sizeof(*rack_end));
    int32_t *next = ensure_malloc((size_t)n * sizeof(*next));

    for (int32_t i = 0; i < n; i++)
        sorted[i] = &brokers[i];
    qsort(sorted, (size_t)n, sizeof(*sorted), order_by_rack);
    for (int32_t i = 0; i < n; i++) {
        if (i == 0 || slice_compare(sorted[i]->rack, sorted[i - 1]->rack) != 0)
            next[ring->rack_count++] = i;
        rack_end[ring->rack_count - 1] = i + 1;
    }
    for (int32_t placed = 0, rack = 0; placed < n; rack = (rack + 1) % ring->rack_count) {
        if (next[rack] == rack_end[rack]) continue;
        ring->ids[placed] = sorted[next[rack]++]->id;
        ring->racks[placed++] = rack;
    }
    free(sorted);
    free(rack_end);
    free(next);
}

static void ring_fill(struct ring *ring, const struct assign_broker *brokers, bool has_racks)
{
    if (has_racks) {
        ring_alternate(ring, brokers);
        return;
    }
    for (int32_t i = 0; i < ring->count; i++) {
        ring->ids[i] = brokers[i].id;
        ring->racks[i] = -1;
    }
}

/* Whether the broker at `at` may be the next replica: a rack is not used twice while another is
 * free, a broker never. `chosen` are the places taken so far. */
static bool rack_accepts(const struct ring *ring, const int32_t *chosen, int32_t taken, int32_t at)
{
    int32_t racks_used = 0;
    bool rack_is_used = false, broker_is_used = false;

    for (int32_t i = 0; i < taken; i++) {
        bool is_first_of_rack = true;
        for (int32_t j = 0; j < i; j++)
            is_first_of_rack = is_first_of_rack && ring->racks[chosen[j]] != ring->racks[chosen[i]];
        racks_used += is_first_of_rack;
        rack_is_used = rack_is_used || ring->racks[chosen[i]] == ring->racks[at];
        broker_is_used = broker_is_used || chosen[i] == at;
    }
    return !(rack_is_used && racks_used < ring->rack_count) &&
           !(broker_is_used && taken < ring->count);
}

static void place_partition(const struct ring *ring, int32_t first, int64_t shift, int32_t factor,
                            int32_t *chosen, int32_t *out)
{
    int64_t step = 0;

    chosen[0] = first;
    for (int32_t i = 1; i < factor; i++) {
        if (ring->rack_count == 0) {
            chosen[i] = replica_index(first, shift, i - 1, ring->count);
            continue;
        }
        do {
            chosen[i] = replica_index(first, shift * ring->rack_count, step++, ring->count);
        } while (!rack_accepts(ring, chosen, i, chosen[i]));
    }
    for (int32_t i = 0; i < factor; i++)
        out[i] = ring->ids[chosen[i]];
}

enum assign_refusal assign_replicas(const struct assign_request *request, int32_t *out)
{
    int32_t n = request->broker_count, factor = request->replication_factor;
    int32_t with_rack = 0;

    if (request->partition_count <= 0) return ASSIGN_PARTITIONS;
    if (factor <= 0 || factor > n) return ASSIGN_REPLICATION;
    for (int32_t i = 0; i < n; i++)
        with_rack += !slice_is_null(request->brokers[i].rack);
    if (with_rack != 0 && with_rack != n) return ASSIGN_RACKS;

    struct ring ring = {.count = n,
                        .ids = ensure_malloc((size_t)n * sizeof(int32_t)),
                        .racks = ensure_malloc((size_t)n * sizeof(int32_t))};
    int32_t *chosen = ensure_malloc((size_t)factor * sizeof(*chosen));
    int64_t shift = request->shift;
    int64_t number = request->first_partition > 0 ? request->first_partition : 0;

    ring_fill(&ring, request->brokers, with_rack != 0);
    for (int32_t i = 0; i < request->partition_count; i++, number++) {
        if (number > 0 && number % n == 0) shift++;
        place_partition(&ring, (int32_t)((number + request->start) % n), shift, factor, chosen,
                        out + (size_t)i * (size_t)factor);
    }
    free(chosen);
    free(ring.ids);
    free(ring.racks);
    return ASSIGN_OK;
}

int32_t assign_start_after(const struct assign_broker *brokers, int broker_count,
                           int32_t first_replica)
{
    for (int32_t i = 0; i < broker_count; i++)
        if (brokers[i].id >= first_replica) return i;
    return 0;
}
