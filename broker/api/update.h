/* broker/api/update.h - an UpdateMetadata request as a change of the metadata image. Pure. */
#pragma once
#include "base/arena.h"
#include "cluster/image.h"

struct update_metadata_request;

/* All layouts. `not_a_broker`: the id of a controller process that is listed only so that Apache
 * brokers find it, or BROKER_NONE. The change borrows from the request and the arena. A topic or a
 * broker that is named twice is merged, the later one wins. */
void update_change(const struct update_metadata_request *request, int version, int32_t not_a_broker,
                   struct arena *arena, struct image_change *out);
