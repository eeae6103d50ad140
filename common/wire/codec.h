/* wire/codec.h - Kafka's messages between bytes and structs: one engine, driven by tables.
 *
 * schema/<name>.msg says what a message is in all its versions; tools/wiregen makes of it a plain
 * struct and a table (gen/<name>.h), the struct being the union of all versions. The functions here
 * read, write, size, print and compare any of them. Encodings: reference/apis.md 1.3.
 *
 *     struct fetch_request request;
 *     enum err err = wire_read(body, version, &fetch_request_wire, &arena, &request);
 *     for (int32_t i = 0; i < request.topics.count; i++)
 *         serve(&request.topics.at[i]);
 *
 * In a struct: a string, bytes and records are a `struct slice` (null: ptr NULL); an array is
 * { at, count } (null: count -1); a struct that may be null is a pointer, others lie within. What
 * was read borrows from the input and the arena. Text is bytes: whether it is UTF-8 nobody checks.
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/uuid.h"

/* --- tables: made by wiregen, read by the engine --- */

enum wire_type {
    WIRE_BOOL,
    WIRE_INT8,
    WIRE_INT16,
    WIRE_INT32,
    WIRE_INT64,
    WIRE_FLOAT64,
    WIRE_UUID,
    WIRE_STRING,
    WIRE_BYTES,
    WIRE_RECORDS,
    WIRE_STRUCT,
};

struct wire_struct;
struct wire_field {
    const char *name;
    uint8_t type; /* enum wire_type: the element's in an array */
    bool is_array;
    bool is_classic;            /* int16 length even in a flexible version */
    bool is_secret;             /* never printed */
    bool is_null_absent;        /* null in versions that lack it, else empty */
    int8_t tag;                 /* -1: not tagged */
    int16_t min, max;           /* versions that have it */
    int16_t null_min, null_max; /* versions where it may be null; null_min > null_max: none */
    uint32_t offset;
    const struct wire_struct *of; /* of WIRE_STRUCT */
    int64_t absent;               /* number in versions that lack it */
};

struct wire_struct {
    const char *name;
    const struct wire_field *fields; /* untagged first, in order; then tagged, by tag */
    uint16_t field_count;
    uint16_t tagged;       /* index of the first tagged field; field_count: none */
    int16_t min, max;      /* versions of the message */
    int16_t flexible_min;  /* first flexible version; above max: none */
    uint32_t size;         /* sizeof */
    const uint16_t *least; /* fewest bytes it takes in version min + i; at least 1 */
};

/* --- the engine --- */

/* Fills `*out` from all of `in`; bytes left over are ignored, as Kafka does. Slices point into
 * `in`, arrays and nullable structs into `arena`. Fields that the version lacks get the schema's
 * value for absence. Unknown tags are skipped. ERR_UNSUPPORTED (no such version), ERR_TRUNCATED,
 * ERR_CORRUPT, or ERR_LIMIT (the arena is full):
 * `*out` is then half filled and not to be used. */
MUST_CHECK enum err wire_read(struct slice in, int version, const struct wire_struct *type,
                              struct arena *arena, void *out);
/* The same from the head of `*from`, which then begins behind it; unmoved on failure. */
MUST_CHECK enum err wire_take(struct slice *from, int version, const struct wire_struct *type,
                              struct arena *arena, void *out);

/* Sets every field to its value for absence: -1, "", null, whatever the schema says. To build a
 * message, begin with this; zeroed memory is fine where the schema's values are all zero. */
void wire_default(const struct wire_struct *type, void *out);

/* Appends. Null where the version allows none is written as empty; a string too long for the wire
 * (32767 bytes) is cut before the character that does not fit. `version` is one of the type's: else
 * it is a bug. */
void wire_write(struct buf *out, int version, const struct wire_struct *type, const void *from);
/* Bytes that wire_write appends, and wire_write_spliced together with its splices. */
size_t wire_size(int version, const struct wire_struct *type, const void *from);

/* Record data that is not copied into the message but goes out from where it is: behind `at` bytes
 * of the buffer come `records.len` bytes of `records`. */
struct wire_splice {
    size_t at;
    struct slice records; /* the field's own value: `ptr` is never followed here */
};
struct wire_splices {
    struct wire_splice *list;
    size_t count;
    size_t capacity;
};
void wire_splices_init(struct wire_splices *splices);
void wire_splices_fini(struct wire_splices *splices);
void wire_splices_clear(struct wire_splices *splices); /* keeps the memory */

/* As wire_write, but of each `records` field only the length is written, and a splice appended
 * (none for null and empty) in the order of the message. The caller sends out[0 .. list[0].at)
 * list[0].records  out[list[0].at .. list[1].at)  list[1].records  … so a Fetch response goes
 * around file ranges: set `records` to { any non-null cookie, length }. */
void wire_write_spliced(struct buf *out, int version, const struct wire_struct *type,
                        const void *from, struct wire_splices *splices);

/* One line `name=value name=value`, for logs, traces and transcripts: structs in {}, arrays in [],
 * text that is not plain in quotes with escapes, bytes in hex (long ones by their length), secrets
 * as
 * ***, tagged fields only when they are set. */
void wire_print(struct buf *out, int version, const struct wire_struct *type, const void *from);

/* As Kafka's JSON converters write it: names in camel case, fields that the version has, tagged
 * ones only when they are set, bytes in base64, `records` as their length, secrets too. `bytes`,
 * which may be NULL, can write a bytes field in another way: false, and nothing written, if it does
 * not. */
struct wire_json_bytes {
    bool (*write)(const struct wire_json_bytes *self, const char *field, struct slice bytes,
                  struct buf *out);
};
void wire_json(struct buf *out, int version, const struct wire_struct *type, const void *from,
               const struct wire_json_bytes *bytes);

/* Whether both are written to the same bytes in this version. */
bool wire_equal(int version, const struct wire_struct *type, const void *a, const void *b);

/* Documents that are stored with their version before them (int16): the coordinators' log keys and
 * values, a consumer's subscription. A version above the type's is ERR_UNSUPPORTED, and `*version`
 * is set even then; one below is ERR_CORRUPT. */
MUST_CHECK enum err wire_read_versioned(struct slice in, const struct wire_struct *type,
                                        struct arena *arena, int *version, void *out);
void wire_write_versioned(struct buf *out, int version, const struct wire_struct *type,
                          const void *from);
