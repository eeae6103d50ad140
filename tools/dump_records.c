#include "tools/dump_records.h"
#include "wire/codec.h"
#include "wire/gen/consumer_group_current_member_assignment.h"
#include "wire/gen/consumer_group_member_metadata.h"
#include "wire/gen/consumer_group_metadata.h"
#include "wire/gen/consumer_group_partition_metadata.h"
#include "wire/gen/consumer_group_target_assignment_member.h"
#include "wire/gen/consumer_group_target_assignment_metadata.h"
#include "wire/gen/consumer_protocol.h"
#include "wire/gen/group_metadata.h"
#include "wire/gen/offset_commit_record.h"
#include "wire/gen/transaction_log.h"
#include "wire/prim.h"
#include <stddef.h>

#define ARENA_BYTES_MAX (256u << 20)
#define CONSUMER        "consumer" /* protocol type of groups of consumers */
#define DELETED         "<DELETE>"

/* A message of any of the kinds below. */
union any {
    struct offset_commit_key offset_key;
    struct offset_commit_value offset;
    struct group_metadata_key group_key;
    struct group_metadata_value group;
    struct consumer_group_metadata_key consumer_group_key;
    struct consumer_group_metadata_value consumer_group;
    struct consumer_group_partition_metadata_key partition_key;
    struct consumer_group_partition_metadata_value partition;
    struct consumer_group_member_metadata_key member_key;
    struct consumer_group_member_metadata_value member;
    struct consumer_group_target_assignment_metadata_key target_key;
    struct consumer_group_target_assignment_metadata_value target;
    struct consumer_group_target_assignment_member_key target_member_key;
    struct consumer_group_target_assignment_member_value target_member;
    struct consumer_group_current_member_assignment_key current_key;
    struct consumer_group_current_member_assignment_value current;
};

/* By the version of the key. */
static const struct kind {
    const struct wire_struct *key, *value;
} kinds[] = {
    {&offset_commit_key_wire, &offset_commit_value_wire},
    {&offset_commit_key_wire, &offset_commit_value_wire},
    {&group_metadata_key_wire, &group_metadata_value_wire},
    {&consumer_group_metadata_key_wire, &consumer_group_metadata_value_wire},
    {&consumer_group_partition_metadata_key_wire, &consumer_group_partition_metadata_value_wire},
    {&consumer_group_member_metadata_key_wire, &consumer_group_member_metadata_value_wire},
    {&consumer_group_target_assignment_metadata_key_wire,
     &consumer_group_target_assignment_metadata_value_wire},
    {&consumer_group_target_assignment_member_key_wire,
     &consumer_group_target_assignment_member_value_wire},
    {&consumer_group_current_member_assignment_key_wire,
     &consumer_group_current_member_assignment_value_wire},
};
#define KIND_COUNT ((int)(sizeof(kinds) / sizeof(kinds[0])))

static void say_error(struct buf *out, int64_t offset, const char *why)
{
    buf_printf(out, "Error at offset %lld, skipping. %s", (long long)offset, why);
}

/* ---- __consumer_offsets ---- */

/* What a consumer says of itself to its group is opened too. */
static bool write_protocol(const struct wire_json_bytes *self, const char *field,
                           struct slice bytes, struct buf *out)
{
    bool is_subscription = strcmp(field, "subscription") == 0;
    const struct wire_struct *type =
        is_subscription ? &consumer_protocol_subscription_wire : &consumer_protocol_assignment_wire;
    union {
        struct consumer_protocol_subscription subscription;
        struct consumer_protocol_assignment assignment;
    } message;
    struct arena arena;
    int version;

    (void)self;
    if (!is_subscription && strcmp(field, "assignment") != 0) return false;
    arena_init(&arena, ARENA_BYTES_MAX);
    bool is_read = wire_read_versioned(bytes, type, &arena, &version, &message) == ERR_OK;
    if (is_read) wire_json(out, version, type, &message, NULL);
    arena_fini(&arena);
    return is_read;
}

static void add_document(struct buf *out, const char *number_name, int version,
                         const struct wire_struct *type, const void *message,
                         const struct wire_json_bytes *bytes)
{
    buf_printf(out, "{\"%s\":\"%d\",\"data\":", number_name, version);
    wire_json(out, version, type, message, bytes);
    buf_add_text(out, "}");
}

static void decode_group(int64_t offset, struct slice key, struct slice value, struct buf *key_text,
                         struct buf *payload)
{
    static const struct wire_json_bytes of_consumers = {write_protocol};
    int type = key.len < 2 ? -1 : (int16_t)prim_load16(key.ptr), version = 0;
    union any message, content;
    struct arena arena;
    enum err err;

    if (type < 0 || type >= KIND_COUNT) {
        if (key.len < 2)
            say_error(key_text, offset, "It has no key.");
        else
            buf_printf(key_text, "Unknown record type %d at offset %lld, skipping.", type,
                       (long long)offset);
        return;
    }
    const struct kind *kind = &kinds[type];
    arena_init(&arena, ARENA_BYTES_MAX);
    err = wire_read_versioned(key, kind->key, &arena, &type, &message);
    if (err == ERR_OK && !slice_is_null(value))
        err = wire_read_versioned(value, kind->value, &arena, &version, &content);
    if (err != ERR_OK) {
        say_error(key_text, offset, err_text(err));
    } else {
        bool is_of_consumers = kind->value == &group_metadata_value_wire && !slice_is_null(value) &&
                               slice_is(content.group.protocol_type, CONSUMER);
        add_document(key_text, "type", type, kind->key, &message, NULL);
        if (slice_is_null(value))
            buf_add_text(payload, DELETED);
        else
            add_document(payload, "version", version, kind->value, &content,
                         is_of_consumers ? &of_consumers : NULL);
    }
    arena_fini(&arena);
}

/* ---- __transaction_state ---- */

static const char *state_name(int state)
{
    static const char *const names[] = {"Empty",        "Ongoing",          "PrepareCommit",
                                        "PrepareAbort", "CompleteCommit",   "CompleteAbort",
                                        "Dead",         "PrepareEpochFence"};

    return state < 0 || state >= (int)(sizeof(names) / sizeof(names[0])) ? "Unknown" : names[state];
}

static void add_transaction(struct buf *out, const struct transaction_log_value *value)
{
    const char *gap = "";

    buf_printf(out, "producerId:%lld,producerEpoch:%d,state=%s,partitions=[",
               (long long)value->producer_id, value->producer_epoch,
               state_name(value->transaction_status));
    for (int32_t t = 0; t < value->transaction_partitions.count; t++) {
        const struct transaction_log_value_transaction_partition *topic =
            &value->transaction_partitions.at[t];
        for (int32_t i = 0; i < topic->partition_ids.count; i++, gap = ",")
            buf_printf(out, "%s%.*s-%d", gap, SLICE_ARGS(topic->topic), topic->partition_ids.at[i]);
    }
    buf_printf(out, "],txnLastUpdateTimestamp=%lld,txnTimeoutMs=%d",
               (long long)value->transaction_last_update_timestamp_ms,
               value->transaction_timeout_ms);
}

static void decode_transaction(int64_t offset, struct slice key, struct slice value,
                               struct buf *key_text, struct buf *payload)
{
    struct transaction_log_key id;
    struct transaction_log_value content;
    struct arena arena;
    int version = -1;

    arena_init(&arena, ARENA_BYTES_MAX);
    enum err err = wire_read_versioned(key, &transaction_log_key_wire, &arena, &version, &id);
    if (err == ERR_UNSUPPORTED) {
        buf_printf(key_text, "unknown::version=%d", version);
    } else if (err != ERR_OK) {
        say_error(key_text, offset, err_text(err));
    } else if (slice_is_null(value)) {
        buf_add_text(payload, DELETED);
    } else {
        err = wire_read_versioned(value, &transaction_log_value_wire, &arena, &version, &content);
        if (err == ERR_OK)
            add_transaction(payload, &content);
        else
            say_error(payload, offset, err_text(err));
    }
    if (key_text->len == 0)
        buf_printf(key_text, "transaction_metadata::transactionalId=%.*s",
                   SLICE_ARGS(id.transactional_id));
    arena_fini(&arena);
}

void dump_decode(enum dump_decoder decoder, int64_t offset, struct slice key, struct slice value,
                 struct buf *key_text, struct buf *payload)
{
    if (decoder == DUMP_OFFSETS)
        decode_group(offset, key, value, key_text, payload);
    else
        decode_transaction(offset, key, value, key_text, payload);
}
