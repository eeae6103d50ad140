/* tools/reassign_text.h - the documents of `ottla reassign` and `ottla elect-leaders`, read and
 * written as Kafka's scripts do. Pure. Reads fail with ERR_INVALID and a message for the user; what
 * they give is in the arena. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "cluster/types.h"

/* One partition and the brokers it shall be (or is) on; none in a list for elections. */
struct move {
    struct topic_partition at;
    struct broker_ids replicas;
    const struct slice *log_dirs; /* of each replica, null: any; NULL: any for all */
};

/* By topic, then partition; none twice. */
struct move_list {
    struct move *at;
    int32_t count;
};

/* {"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":["any",…]}]}.
 * Refused: nothing to move, a partition or a replica twice, a log dir that is no absolute path. */
MUST_CHECK enum err reassign_read(struct slice json, struct arena *arena, struct move_list *out,
                                  struct buf *message);
/* The same without replicas and log dirs: {"partitions":[{"topic":"t","partition":0}]}. */
MUST_CHECK enum err reassign_read_partitions(struct slice json, struct arena *arena,
                                             struct move_list *out, struct buf *message);
/* {"version":1,"topics":[{"topic":"t"}]}; `*names` in order of the document, none twice. */
MUST_CHECK enum err reassign_read_topics(struct slice json, struct arena *arena,
                                         struct slice **names, int32_t *count, struct buf *message);
/* "1,2,3", none twice. */
MUST_CHECK enum err reassign_read_brokers(struct slice text, struct arena *arena,
                                          struct broker_ids *out, struct buf *message);

/* One line, with a log dir of "any" where none is named; without a newline. */
void reassign_write(struct buf *out, const struct move_list *list);
/* "t-0,t-1", `separator` between them. */
void reassign_write_names(struct buf *out, const struct move_list *list, const char *separator);
void reassign_write_ids(struct buf *out, struct broker_ids ids); /* "1,2,3" */
/* NULL when the list has no such partition. */
const struct move *reassign_find(const struct move_list *list, struct topic_partition at);
void reassign_sort(struct move_list *list);

/* One line of --verify; `is`: where it is now, or NULL when there is no such partition. */
void reassign_write_status(struct buf *out, const struct move *wanted, bool is_moving,
                           const struct move *is);
/* One line of --list. */
void reassign_write_moving(struct buf *out, const struct move *is, struct broker_ids adding,
                           struct broker_ids removing);
