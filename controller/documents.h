/* controller/documents.h - between znode documents (zk/docs.h) and the context. Pure. */
#pragma once
#include "controller/context.h"
#include "controller/election.h"

/* The state in an answer of ZK_GET, with its version. False if it was not read or is no state. */
bool document_read_state(const struct request *request, struct leadership *out);
void document_write_state(struct buf *out, const struct leadership *state);

/* An assignment, with what is being added and removed. */
struct assignment {
    int32_t partition;
    struct ids replicas, adding, removing;
};
struct assignments {
    struct uuid topic_id; /* zero: none */
    struct assignment *at;
    int32_t count;
};
bool document_read_topic(const struct request *request, struct assignments *out);
void assignments_fini(struct assignments *assignments);
/* The topic's assignment as it is in memory; with `override`, that partition's is taken from there.
 */
void document_write_topic(struct buf *out, const struct topic *topic,
                          const struct partition *override, const struct assignment *with);

/* Endpoints and rack of a registration. False when it cannot be read: such a broker is ignored. */
bool document_read_broker(const struct request *request, struct broker *out);

/* Of a configuration of topics; what it says nothing of stays in `out`. ERR_CORRUPT. */
MUST_CHECK enum err document_read_terms(struct slice data, struct election_terms *out);

/* The broker of a log-dir notification, or −1. */
int32_t document_read_log_dir_event(const struct request *request);

/* Partition lists: of /admin/reassign_partitions, /admin/preferred_replica_election,
 * /isr_change_notification. What cannot be read is an empty list. In the event's arena. */
void document_read_reassign(const struct request *request, struct event *event);
void document_write_reassign(struct buf *out, const struct event *event, const bool *is_left);
void document_read_partitions(const struct request *request, struct arena *arena,
                              struct event_item **items, int32_t *count);
