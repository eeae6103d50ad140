/* broker/api/group_calls.h - a request's questions to coordinators of groups, on whatever shard
 * they are: from the shard of the connection, and back to it. */
#pragma once
#include "broker/api/dispatch.h"
#include "broker/group/groups.h"

/* One question about one group. In the request's arena; lent to the coordinator's shard until
 * `finished`. `call`, but for its partition and `out`, is filled by the caller. */
struct group_question {
    struct groups_call call;
    struct request *request;
    /* On the request's shard, perhaps inside group_ask. The answer lives until group_end. */
    void (*finished)(struct group_question *question);
    void *to; /* the caller's */

    struct api_shard *owner; /* of group_calls.c, as the rest */
    int home, shard;
    struct post post;
};
void group_ask(struct group_question *question);
/* The same for a request that has no other question. A connection that goes on asking one other
 * shard (each consumer has one of its own to its coordinator) moves there with this request. */
void group_ask_alone(struct group_question *question);
void group_end(struct group_question *question);

/* All groups of this broker. */
struct group_lists {
    struct request *request;
    struct group_list_part {
        struct group_lists *of;
        struct arena arena; /* of its shard's answer, until group_lists_end */
        struct groups_listed *groups;
        int count;
    } * parts;
    int part_count, open;
    bool is_loading; /* some are not known yet */
    void (*finished)(struct group_lists *lists);
};
void group_lists_ask(struct group_lists *lists);
void group_lists_end(struct group_lists *lists);

/* Which partition of `topic` (one of Kafka's own, by hash) has `key`; −1: there is no such topic.
 */
int32_t group_partition_of(const struct image *image, struct slice topic, struct slice key);

/* On a data shard. */
void group_calls_open(struct api_shard *api, struct msg_routes *routes);

/* Kafka's code. */
int16_t group_code(enum err err);
