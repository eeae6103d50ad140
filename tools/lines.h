/* tools/lines.h - what a line of input means as a record. Pure. */
#pragma once
#include "base/arena.h"
#include "wire/record.h"

struct line_options {
    bool parse_key, parse_headers, ignore_error;
    const char *key_separator;         /* tab */
    const char *headers_delimiter;     /* tab: between headers and the rest */
    const char *headers_separator;     /* "," */
    const char *headers_key_separator; /* ":" */
    const char *null_marker;           /* a key or value that is this text is null; NULL: none is */
};

struct line_record {
    struct slice key, value; /* may be null */
    struct record_header *headers;
    int32_t header_count;
};

void line_options_init(struct line_options *options);
/* One "key=value" of --property. ERR_NOT_FOUND: no such property; ERR_INVALID: bad value. `text` is
 * borrowed as long as the options. */
MUST_CHECK enum err line_options_set(struct line_options *options, const char *name,
                                     const char *value);
/* Separators that cannot be told apart: ERR_INVALID with a message. */
MUST_CHECK enum err line_options_check(const struct line_options *options, struct buf *message);

/* h1:v1,h2:v2 TAB key TAB value, as far as the options ask for the parts. `number` counts lines
 * from 1, for the message. What is found borrows from `line` and the arena. ERR_INVALID with a
 * message. */
MUST_CHECK enum err line_parse(const struct line_options *options, struct slice line,
                               int64_t number, struct arena *arena, struct line_record *out,
                               struct buf *message);
