/* base/uuid.h - 16 bytes, as Kafka's topic ids: big endian on the wire, 22 characters of base64url
 * without padding as text. */
#pragma once
#include "base/slice.h"

struct uuid {
    uint8_t bytes[16];
};

#define UUID_ZERO     ((struct uuid){{0}})
#define UUID_TEXT_LEN 22

static inline bool uuid_equal(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

static inline bool uuid_is_zero(struct uuid id)
{
    return uuid_equal(id, UUID_ZERO);
}

/* A version 4 uuid from 128 random bits. May begin with "-" as text: see uuid_is_topic_id. */
struct uuid uuid_from_random(uint64_t high, uint64_t low);
/* What Kafka gives to a topic: not zero, not 0…01, its text not beginning with "-". */
bool uuid_is_topic_id(struct uuid id);

void uuid_text(struct uuid id, char text[UUID_TEXT_LEN + 1]);
/* ERR_INVALID unless it is exactly 22 characters of base64url. */
MUST_CHECK enum err uuid_parse(struct slice text, struct uuid *out);
