/* broker/replica/link_ask.c - where the leader's epochs, log and first offset end and begin:
 * OffsetForLeaderEpoch and ListOffsets for all partitions of a link that want to know. */
#include "broker/replica/link.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/offset_for_leader_epoch.h"
#include "wire/protocol.h"

static int16_t epochs_version(enum level level)
{
    return level >= LEVEL_2_8_IV0   ? 4
           : level >= LEVEL_2_3_IV1 ? 3
           : level >= LEVEL_2_1_IV1 ? 2
           : level >= LEVEL_2_0_IV0 ? 1
                                    : 0;
}

static int16_t offsets_version(enum level level)
{
    return level >= LEVEL_3_9_IV0      ? 9
           : level >= LEVEL_3_5_IV0    ? 8
           : level >= LEVEL_3_0_IV1    ? 7
           : level >= LEVEL_2_8_IV0    ? 6
           : level >= LEVEL_2_2_IV1    ? 5
           : level >= LEVEL_2_1_IV1    ? 4
           : level >= LEVEL_2_0_IV1    ? 3
           : level >= LEVEL_0_11_0_IV0 ? 2
                                       : 1;
}

bool link_ask_epochs(struct link *link)
{
    struct instant now = shard_now(link->of->shard);
    struct offset_for_leader_epoch_request request;
    struct followed *last = NULL;
    int n = 0;

    wire_default(&offset_for_leader_epoch_request_wire, &request);
    request.replica_id = link->of->options.broker_id;
    request.topics.at =
        arena_zalloc(&link->arena, sizeof(*request.topics.at) * (size_t)link->count);
    request.topics.count = 0;
    struct offset_for_leader_epoch_request_topic_partition *parts =
        arena_zalloc(&link->arena, sizeof(*parts) * (size_t)link->count);
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (fetcher_wants(&it->machine, now) != FETCHER_WANTS_EPOCH_END) continue;
        if (link_is_next_topic(last, it)) {
            request.topics.at[request.topics.count].topic = followed_topic(it);
            request.topics.at[request.topics.count++].partitions.at = &parts[n];
        }
        request.topics.at[request.topics.count - 1].partitions.count++;
        parts[n++] = (struct offset_for_leader_epoch_request_topic_partition){
            .partition = it->partition,
            .current_leader_epoch = it->machine.leader_epoch,
            .leader_epoch = it->machine.last_epoch,
        };
        it->is_asked = true;
        last = it;
    }
    if (n == 0) return false;
    link_send(link, LINK_EPOCHS, API_OFFSET_FOR_LEADER_EPOCH,
              epochs_version(fetchers_level(link->of)), &offset_for_leader_epoch_request_wire,
              &request);
    return true;
}

bool link_ask_offsets(struct link *link)
{
    struct instant now = shard_now(link->of->shard);
    struct list_offsets_request request;
    struct followed *last = NULL;
    int n = 0;

    wire_default(&list_offsets_request_wire, &request);
    request.replica_id = link->of->options.broker_id;
    request.topics.at =
        arena_zalloc(&link->arena, sizeof(*request.topics.at) * (size_t)link->count);
    request.topics.count = 0;
    struct list_offsets_request_topic_partition *parts =
        arena_zalloc(&link->arena, sizeof(*parts) * (size_t)link->count);
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        enum fetcher_want want = fetcher_wants(&it->machine, now);
        if (want != FETCHER_WANTS_END && want != FETCHER_WANTS_START) continue;
        if (link_is_next_topic(last, it)) {
            request.topics.at[request.topics.count].name = followed_topic(it);
            request.topics.at[request.topics.count++].partitions.at = &parts[n];
        }
        request.topics.at[request.topics.count - 1].partitions.count++;
        parts[n++] = (struct list_offsets_request_topic_partition){
            .partition_index = it->partition,
            .current_leader_epoch = it->machine.leader_epoch,
            .timestamp = want == FETCHER_WANTS_END ? OFFSETS_LATEST : OFFSETS_EARLIEST,
        };
        it->is_asked = true;
        last = it;
    }
    if (n == 0) return false;
    link_send(link, LINK_OFFSETS, API_LIST_OFFSETS, offsets_version(fetchers_level(link->of)),
              &list_offsets_request_wire, &request);
    return true;
}

void link_take_epochs(struct link *link, struct slice answer, int version)
{
    struct offset_for_leader_epoch_response response;

    if (wire_read(answer, version, &offset_for_leader_epoch_response_wire, &link->arena,
                  &response) != ERR_OK) {
        peer_disconnect(link->peer, ERR_CORRUPT);
        link_retry_all(link);
        return;
    }
    for (int32_t t = 0; t < response.topics.count; t++)
        for (int32_t p = 0; p < response.topics.at[t].partitions.count; p++) {
            const struct offset_for_leader_epoch_response_topic_partition *part =
                &response.topics.at[t].partitions.at[p];
            struct followed *it =
                fetchers_find(link->of, response.topics.at[t].topic, part->partition);
            if (it == NULL || it->link != link || !it->is_asked) continue;
            it->is_asked = false;
            if (!followed_step_for_code(it, part->error_code))
                followed_diverged(it, FETCHER_EPOCH_END, part->leader_epoch, part->end_offset);
        }
    link_retry_all(link); /* those that the answer left out */
}

void link_take_offsets(struct link *link, struct slice answer, int version)
{
    struct list_offsets_response response;

    if (wire_read(answer, version, &list_offsets_response_wire, &link->arena, &response) !=
        ERR_OK) {
        peer_disconnect(link->peer, ERR_CORRUPT);
        link_retry_all(link);
        return;
    }
    for (int32_t t = 0; t < response.topics.count; t++)
        for (int32_t p = 0; p < response.topics.at[t].partitions.count; p++) {
            const struct list_offsets_response_topic_partition *part =
                &response.topics.at[t].partitions.at[p];
            struct followed *it =
                fetchers_find(link->of, response.topics.at[t].name, part->partition_index);
            if (it == NULL || it->link != link || !it->is_asked) continue;
            it->is_asked = false;
            if (followed_step_for_code(it, part->error_code)) continue;
            enum err err = followed_look(it);
            if (err != ERR_OK || part->offset < 0) {
                followed_step(it, (struct fetcher_event){.type = FETCHER_RETRY});
                continue;
            }
            followed_step(it, (struct fetcher_event){.type = it->machine.state == FETCHER_ASKING_END
                                                                 ? FETCHER_END
                                                                 : FETCHER_START,
                                                     .end_offset = part->offset,
                                                     .log = followed_log(&it->view)});
        }
    link_retry_all(link);
}
