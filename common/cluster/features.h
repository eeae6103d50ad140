/* cluster/features.h - what UpdateFeatures answers: levels of features that all brokers of a
 * cluster agree on.
 *
 * Brokers of Kafka 3.9 know none while ZooKeeper coordinates them, and neither do we: `/feature`
 * stays as it is, and each update is refused with the reason. Pure. */
#pragma once
#include "base/arena.h"
#include "wire/gen/update_features.h"

#define UPDATE_FEATURES_VERSION_MAX 1

/* What `out` points to is in `arena` or of the request. */
void features_update(const struct update_features_request *request, int version,
                     struct arena *arena, struct update_features_response *out);
