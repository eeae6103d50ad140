#include "tools/by_leader.h"

#define RETRY_MS  200
#define TRIES_MAX 50

/* What passes by itself: another leads now, or somebody soon will. */
static bool is_passing(int16_t code)
{
    return code == KAFKA_NOT_LEADER_OR_FOLLOWER || code == KAFKA_LEADER_NOT_AVAILABLE ||
           code == KAFKA_OFFSET_NOT_AVAILABLE || code == KAFKA_FENCED_LEADER_EPOCH ||
           code == KAFKA_UNKNOWN_LEADER_EPOCH;
}

static void find_leader(const struct metadata_response *metadata, struct led_part *part)
{
    part->leader = -1;
    part->answer = -1;
    part->code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    for (int32_t t = 0; t < metadata->topics.count; t++) {
        const struct metadata_response_topic *topic = &metadata->topics.at[t];
        if (!slice_equal(topic->name, part->at.topic)) continue;
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            if (topic->partitions.at[p].partition_index != part->at.partition) continue;
            part->leader = topic->partitions.at[p].leader_id;
            part->code = KAFKA_LEADER_NOT_AVAILABLE;
        }
    }
}

static enum err ask_brokers(const struct metadata_response *metadata, struct led_part *parts,
                            int count, by_leader_ask *ask, void *owner, struct arena *arena)
{
    struct led_part **of = arena_zalloc(arena, sizeof(struct led_part *) * (size_t)(count + 1));
    enum err err = ERR_OK;

    for (int32_t b = 0; err == ERR_OK && b < metadata->brokers.count; b++) {
        int32_t broker = metadata->brokers.at[b].node_id;
        int n = 0;
        for (int i = 0; i < count; i++)
            if (parts[i].is_open && parts[i].leader == broker) of[n++] = &parts[i];
        if (n > 0) err = ask(owner, broker, of, n);
    }
    return err;
}

/* Topics of open parts, each once. */
static int topics_of(const struct led_part *parts, int count, struct slice *out)
{
    int n = 0;

    for (int i = 0; i < count; i++)
        if (parts[i].is_open && (n == 0 || !slice_equal(out[n - 1], parts[i].at.topic)))
            out[n++] = parts[i].at.topic;
    return n;
}

enum err by_leader(struct cluster *cluster, struct led_part *parts, int count, by_leader_ask *ask,
                   void *owner, struct arena *arena, struct buf *message)
{
    struct slice *topics = arena_zalloc(arena, sizeof(*topics) * (size_t)(count + 1));

    for (int i = 0; i < count; i++)
        parts[i].is_open = true;
    for (int tries = 0;; tries++) {
        struct cluster_request request = {0};
        const struct metadata_response *metadata = NULL;
        int n = topics_of(parts, count, topics);
        if (n == 0) return ERR_OK;
        enum err err = cluster_metadata(cluster, topics, n, false, &request, &metadata, message);
        if (err != ERR_OK) return err;
        for (int i = 0; i < count; i++)
            if (parts[i].is_open) find_leader(metadata, &parts[i]);
        err = ask_brokers(metadata, parts, count, ask, owner, arena);
        cluster_request_fini(&request);
        if (err != ERR_OK) return err;
        for (int i = 0; i < count; i++)
            parts[i].is_open = parts[i].is_open && is_passing(parts[i].code);
        if (tries == TRIES_MAX || topics_of(parts, count, topics) == 0) return ERR_OK;
        cluster_wait(cluster, RETRY_MS);
    }
}
