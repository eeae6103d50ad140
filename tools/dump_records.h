/* tools/dump_records.h - keys and values of the coordinators' topics as text, as Kafka's dump tool
 * prints them. Pure. */
#pragma once
#include "base/buf.h"

enum dump_decoder {
    DUMP_PLAIN,        /* bytes as they are */
    DUMP_OFFSETS,      /* --offsets-decoder: __consumer_offsets */
    DUMP_TRANSACTIONS, /* --transaction-log-decoder: __transaction_state */
};

/* Appends to `key_text` and `payload`; nothing to the latter where there is nothing to print. What
 * cannot be read is said in `key_text`. Not for DUMP_PLAIN. */
void dump_decode(enum dump_decoder decoder, int64_t offset, struct slice key, struct slice value,
                 struct buf *key_text, struct buf *payload);
