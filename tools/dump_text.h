/* tools/dump_text.h - batches, records and entries of index files as lines of text. Pure. */
#pragma once
#include "base/arena.h"
#include "tools/dump_records.h"
#include "wire/oldset.h"
#include "wire/record.h"

struct dump_options {
    bool print_data;           /* --print-data-log: keys and values, too */
    bool deep;                 /* --deep-iteration: a line for each record */
    bool skip_metadata;        /* --skip-record-metadata: keys and values, nothing else */
    enum dump_decoder decoder; /* of keys and values */
};

/* What has been seen of one segment, to tell gaps. */
struct dump_log {
    uint64_t position;   /* of the next batch */
    int64_t last_offset; /* −1: none so far */
    struct buf gaps;     /* lines: "A is followed by B" */
    bool has_invalid;    /* some batch was not right */
};

/* One whole entry (batch_entry_take) of a segment: its line, and those of its records if they are
 * wanted. What cannot be opened is said in the line; never fails. */
void dump_batch(const struct dump_options *options, const struct batch_entry *entry,
                struct dump_log *log, struct buf *out);

/* The last offset of an entry, and its highest timestamp: what index entries are compared with.
 * ERR_CORRUPT. */
MUST_CHECK enum err dump_entry_ends(const struct batch_entry *entry, int64_t *last_offset,
                                    int64_t *max_timestamp);

/* Whole files. ERR_CORRUPT, with the lines before it written, when the content is not of the form;
 * `message` says what is wrong. */
MUST_CHECK enum err dump_snapshot(struct slice content, struct buf *out, struct buf *message);
MUST_CHECK enum err dump_transactions(struct slice content, struct buf *out, struct buf *message);
/* Checkpoints of offsets or of leader epochs. */
MUST_CHECK enum err dump_checkpoint(struct slice content, bool is_epochs, struct buf *out,
                                    struct buf *message);
/* Entry `index` of an offset or a time index. False behind the last, and at a zeroed tail. */
bool dump_offset_entry(struct slice content, int64_t base, size_t index, int64_t *offset,
                       int32_t *position);
bool dump_time_entry(struct slice content, int64_t base, size_t index, int64_t *timestamp,
                     int64_t *offset);
