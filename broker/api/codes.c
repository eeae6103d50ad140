#include "broker/api/codes.h"
#include "wire/gen/protocol.h"

int16_t codes_of_partition(enum err err, bool is_known)
{
    switch ((int)err) {
    case ERR_OK:
        return KAFKA_NONE;
    case ERR_NOT_FOUND:
        return is_known ? KAFKA_NOT_LEADER_OR_FOLLOWER : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case ERR_NOT_LEADER:
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    case ERR_OFFLINE:
    case ERR_IO:
        return KAFKA_KAFKA_STORAGE_ERROR;
    case ERR_TOPIC_ID:
        return KAFKA_INCONSISTENT_TOPIC_ID;
    case ERR_FENCED_EPOCH:
        return KAFKA_FENCED_LEADER_EPOCH;
    case ERR_UNKNOWN_EPOCH:
        return KAFKA_UNKNOWN_LEADER_EPOCH;
    case ERR_TIMED_OUT:
        return KAFKA_REQUEST_TIMED_OUT;
    default:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
}
