/* base/text.h - numbers in text, strictly. */
#pragma once
#include "base/slice.h"

/* Decimal with an optional minus (and, as Java's parser, an optional plus); nothing around it.
 * ERR_INVALID if it is not a number, ERR_RANGE if it is outside min … max. */
MUST_CHECK enum err text_int(struct slice text, int64_t min, int64_t max, int64_t *out);

/* Without the white space at both ends. */
struct slice text_trim(struct slice text);

/* Java's String.hashCode of UTF-8 text: over its UTF-16 units. Kafka places groups, transactions
 * and fetchers by it. Bytes that are no UTF-8 count as U+FFFD, as Java decodes them. */
int32_t text_java_hash(struct slice text);

/* Topic names: 1 to 249 of [a-zA-Z0-9._-], neither "." nor "..". */
bool text_is_topic_name(struct slice name);
