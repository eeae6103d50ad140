/* tools/format.h - how a consumed record is printed. Pure. */
#pragma once
#include "base/buf.h"
#include "wire/record.h"

enum format_timestamp { FORMAT_NO_TIMESTAMP, FORMAT_CREATE_TIME, FORMAT_APPEND_TIME };
enum format_kind { FORMAT_STRING, FORMAT_SHORT, FORMAT_INTEGER, FORMAT_LONG };
enum format_formatter { FORMAT_DEFAULT, FORMAT_LOGGING, FORMAT_NO_OP };

struct format_options {
    enum format_formatter formatter;
    bool timestamp, partition, offset, headers, key, value; /* which columns */
    const char *key_separator;                              /* tab: between columns */
    const char *line_separator;                             /* newline */
    const char *headers_separator;                          /* "," */
    const char *null_literal;                               /* "null" */
    enum format_kind key_kind, value_kind, header_kind;
};

struct format_record {
    struct slice topic;
    int32_t partition;
    int64_t offset;
    enum format_timestamp timestamp_type;
    int64_t timestamp;
    struct slice headers; /* as in struct record: null or empty when there are none */
    struct slice key, value;
};

void format_options_init(struct format_options *options);
/* One "key=value" of --property. ERR_NOT_FOUND: no such property; ERR_INVALID: bad value. Values
 * are borrowed as long as the options. */
MUST_CHECK enum err format_options_set(struct format_options *options, const char *name,
                                       const char *value);
/* By the end of a class name: "…DefaultMessageFormatter". ERR_INVALID. */
MUST_CHECK enum err format_options_formatter(struct format_options *options,
                                             const char *class_name);
/* By the end of a class name: "…StringDeserializer". ERR_INVALID. */
MUST_CHECK enum err format_kind_parse(const char *class_name, enum format_kind *out);

/* Appends the record as a line. ERR_INVALID, and nothing appended, when key or value do not have
 * the form that a deserializer wants. */
MUST_CHECK enum err format_write(const struct format_options *options,
                                 const struct format_record *record, struct buf *out);
