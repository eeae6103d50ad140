/* zk/doc_json.h - reading and writing JSON for docs.c. Pure.
 *
 * Reading is sticky: after the first error every read gives nothing, and the error is asked once at
 * the end (doc_close). Writing adds compact JSON to a buf in the order of the calls. */
#pragma once
#include "zk/docs.h"
#include <jansson.h>

struct doc_reader {
    struct arena *arena;
    json_t *root;
    enum err err;
};

/* Parses `text`, an object. What it gives lives until doc_close; NULL on failure, which every read
 * below takes for an object without members. */
json_t *doc_open(struct doc_reader *reader, struct slice text, struct arena *arena);
/* Lets go of the parsed text; the first error since doc_open. */
MUST_CHECK enum err doc_close(struct doc_reader *reader);
void doc_fail(struct doc_reader *reader, enum err err);

/* A member that must be there, a whole number within min … max. */
int64_t doc_int(struct doc_reader *reader, const json_t *object, const char *key, int64_t min,
                int64_t max);
int32_t doc_int32(struct doc_reader *reader, const json_t *object, const char *key, int32_t min);
/* The same, or `fallback` when it is absent. */
int64_t doc_int_or(struct doc_reader *reader, const json_t *object, const char *key, int64_t min,
                   int64_t max, int64_t fallback);
/* A number in quotes that must be there. */
int64_t doc_quoted(struct doc_reader *reader, const json_t *object, const char *key, int64_t min,
                   int64_t max);
/* What nobody decides by: a number, quoted or not; else −1. */
int64_t doc_timestamp(const json_t *object, const char *key);

/* Strings are copied to the arena. */
struct slice doc_copy(struct doc_reader *reader, struct slice text);
struct slice doc_string(struct doc_reader *reader, const json_t *object, const char *key);
/* Null when it is absent or JSON's null. */
struct slice doc_string_or_null(struct doc_reader *reader, const json_t *object, const char *key);
/* Of an element. ERR_CORRUPT unless it is a string. */
struct slice doc_string_value(struct doc_reader *reader, const json_t *value);

/* Members that are objects or arrays; NULL where absent, which is an error unless `is_optional`.
 * JSON's null counts as absent. */
json_t *doc_object(struct doc_reader *reader, const json_t *object, const char *key,
                   bool is_optional);
json_t *doc_array(struct doc_reader *reader, const json_t *object, const char *key,
                  bool is_optional);
/* An array of broker ids. */
struct doc_ints doc_int_array(struct doc_reader *reader, const json_t *array);

/* Zeroed room in the arena; NULL (and ERR_LIMIT) when it is full. */
void *doc_room(struct doc_reader *reader, size_t count, size_t size);
/* The members of `object` that are not in `known` (NULL ends it), as JSON text without braces; null
 * when there are none. */
struct slice doc_extra(struct doc_reader *reader, const json_t *object, const char *const *known);

/* Writing; strings by text_add_json. */
void doc_add_ints(struct buf *out, const struct doc_ints *ints);
/* ,"k":1,… before the closing brace. */
void doc_add_extra(struct buf *out, struct slice extra);
