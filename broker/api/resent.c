/* broker/api/resent.c - see resent.h. */
#include "broker/api/resent.h"
#include "wire/protocol.h"

int16_t resent_create(int16_t code, int partitions_before)
{
    bool is_ours = code == KAFKA_TOPIC_ALREADY_EXISTS && partitions_before == RESENT_ABSENT;

    return is_ours ? KAFKA_NONE : code;
}

int16_t resent_delete(int16_t code, int partitions_before)
{
    bool is_gone = code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || code == KAFKA_UNKNOWN_TOPIC_ID;

    return is_gone && partitions_before != RESENT_ABSENT ? KAFKA_NONE : code;
}

/* That there are as many already is the only thing that INVALID_PARTITIONS says of a topic which
 * had fewer. */
int16_t resent_grow(int16_t code, int partitions_before, int32_t partitions_asked)
{
    bool is_ours = code == KAFKA_INVALID_PARTITIONS && partitions_before != RESENT_ABSENT &&
                   partitions_before < partitions_asked;

    return is_ours ? KAFKA_NONE : code;
}
