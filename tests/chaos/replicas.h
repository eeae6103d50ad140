/* tests/chaos/replicas.h - the logs of a partition's replicas, compared byte for byte.
 *
 * Replicas roll and delete their segments each on its own, so they are compared from the first
 * offset that all of them have, whatever segments the bytes are in. */
#pragma once
#include <stdbool.h>

/* Reads all, from the latest of their first offsets on. False, with what differs printed. */
bool replicas_are_equal(const char (*folders)[160], int count);
