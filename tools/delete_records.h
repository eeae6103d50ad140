/* tools/delete_records.h - `ottla delete-records`: records below an offset go, on all replicas. */
#pragma once
#include "base/arena.h"
#include "tools/args.h"
#include "tools/by_leader.h"

extern const struct args_command delete_records_command;
int delete_records_main(int argc, char **argv);

/* {"version":1,"partitions":[{"topic":"t","partition":0,"offset":5}]}; −1: up to the high
 * watermark. By topic, then partition. ERR_INVALID with a message: no such document, none in it,
 * one twice. */
MUST_CHECK enum err delete_records_read(struct slice json, struct arena *arena,
                                        struct led_part **out, int *count, struct buf *message);
/* As kafka-delete-records does. False: one of them failed. */
bool delete_records_print(const struct led_part *parts, int count, struct buf *out);
