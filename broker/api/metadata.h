/* broker/api/metadata.h - what clients are told of the cluster, and when.
 *
 * A client that loses its leader asks for metadata at once, some tenths of a second before the
 * controller has chosen another. Told "no leader", or who led before, it asks again when its own
 * timer says so, which is up to a second later (librdkafka's looks once in a second). So
 *
 * - what is asked about a leader that was lost a moment ago (fetchers_has_lost) waits for the
 *   controller's word, which comes as a new image, and is answered then; or, at the latest when it
 *   no longer counts as lost, with what is known. Only what concerns such a leader waits, and only
 *   while the image still has it among the living;
 * - between a LeaderAndIsr that moves leaders and the UpdateMetadata that tells of it, all wait, for
 *   300 ms at most: who has just been refused by the leader before must not be sent there again;
 * - who has produced or fetched over the connection, and asks, may have seen a leader go a little
 *   earlier than we: he waits for 10 ms, in which we shall see it too.
 *
 * Replies keep the order of requests: what the same connection asks meanwhile is done, and answered
 * behind. */
#pragma once
#include "broker/api/dispatch.h"

/* Bits of operations, when there is no authorizer: all that a topic knows. */
#define OPERATIONS_TOPIC 3576 /* read, write, create, delete, alter, describe, …configs */

/* The shard has a new image: who waits is looked at again, soon. */
void metadata_image_changed(struct api_shard *api);
/* Nobody waits any more: all are answered inside. */
void metadata_release(struct api_shard *api);
