/* tools/configs_text.h - what `ottla configs` reads and prints, as kafka-configs does. Pure. */
#pragma once
#include "tools/config_client.h"

/* "k=v,k2=[a,b],k3=" - brackets hold a value with commas together and are taken off; in the arena.
 * ERR_INVALID with a message. */
MUST_CHECK enum err configs_read_changes(struct slice text, struct arena *arena,
                                         struct config_change **out, int *count,
                                         struct buf *message);
/* "k,k2": with null values, appended to `*out`. */
void configs_read_keys(struct slice text, struct arena *arena, struct config_change **out,
                       int *count);
/* By name, those of `source` only (−1: all): "  k=v sensitive=false synonyms={…}". Sorts `in`. */
void configs_write(struct buf *out, const struct describe_configs_response_result *in, int source);
/* Keys among `changes` that are to be taken away and are not set at `source`: "k,k2". */
void configs_write_unset(struct buf *out, const struct describe_configs_response_result *in,
                         int source, const struct config_change *changes, int count);
