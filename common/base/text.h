/* base/text.h - what text means: numbers, characters, names. Strict. */
#pragma once
#include "base/buf.h"

/* Decimal with an optional minus (and, as Java's parser, an optional plus); nothing around it.
 * ERR_INVALID if it is not a number, ERR_RANGE if it is outside min … max. */
MUST_CHECK enum err text_int(struct slice text, int64_t min, int64_t max, int64_t *out);

/* Without the white space at both ends. */
struct slice text_trim(struct slice text);

/* How many bytes the well-formed UTF-8 character has with which `text`, not empty, begins; 0: it
 * begins with none. */
size_t text_character(struct slice text);
/* As a string of JSON, with its quotes, escaped as Jackson does (Kafka's tools and znodes); null is
 * null. Bytes that are no UTF-8 become U+FFFD. */
void text_add_json(struct buf *out, struct slice text);

/* Java's String.hashCode of UTF-8 text: over its UTF-16 units. Kafka places groups, transactions
 * and fetchers by it. Bytes that are no UTF-8 count as U+FFFD, as Java decodes them. */
int32_t text_java_hash(struct slice text);

/* Topic names: 1 to 249 of [a-zA-Z0-9._-], neither "." nor "..". */
bool text_is_topic_name(struct slice name);
