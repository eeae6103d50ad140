/* Lines that Kafka's own dump tool prints of the same records (tests/interop compares more of
 * them). */
#include "tools/dump_records.h"
#include "tests/unit/unit.h"
#include "wire/codec.h"
#include "wire/gen/consumer_protocol.h"
#include "wire/gen/group_metadata.h"
#include "wire/gen/offset_commit_record.h"
#include "wire/gen/transaction_log.h"

static struct buf key, value, key_text, payload;

static const char *text(struct buf *buf)
{
    buf_add(buf, "", 1);
    return (const char *)buf->ptr;
}

static void decode(enum dump_decoder decoder, struct slice k, struct slice v)
{
    buf_clear(&key_text);
    buf_clear(&payload);
    dump_decode(decoder, 7, k, v, &key_text, &payload);
    text(&key_text);
    text(&payload);
}

#define EXPECT(wanted_key, wanted_payload)                                                         \
    do {                                                                                           \
        ck_assert_str_eq((const char *)key_text.ptr, wanted_key);                                  \
        ck_assert_str_eq((const char *)payload.ptr, wanted_payload);                               \
    } while (0)

static void begin(void)
{
    buf_clear(&key);
    buf_clear(&value);
}

static void end(void)
{
    buf_fini(&key);
    buf_fini(&value);
    buf_fini(&key_text);
    buf_fini(&payload);
}

START_TEST(a_commit_is_told_by_group_topic_and_partition)
{
    struct offset_commit_key of = {SLICE("g\"1"), SLICE("t"), 4};
    struct offset_commit_value commit = {.offset = 12,
                                         .leader_epoch = 3,
                                         .metadata = SLICE("a\n\xff"),
                                         .commit_timestamp = 1700000000000,
                                         .expire_timestamp = 5};

    begin();
    wire_write_versioned(&key, 1, &offset_commit_key_wire, &of);
    wire_write_versioned(&value, 3, &offset_commit_value_wire, &commit);
    decode(DUMP_OFFSETS, buf_slice(&key), buf_slice(&value));
    EXPECT("{\"type\":\"1\",\"data\":{\"group\":\"g\\\"1\",\"topic\":\"t\",\"partition\":4}}",
           "{\"version\":\"3\",\"data\":{\"offset\":12,\"leaderEpoch\":3,\"metadata\":"
           "\"a\\n\xef\xbf\xbd\","
           "\"commitTimestamp\":1700000000000}}");
    buf_clear(&value); /* of an older broker */
    wire_write_versioned(&value, 1, &offset_commit_value_wire, &commit);
    decode(DUMP_OFFSETS, buf_slice(&key), buf_slice(&value));
    ck_assert_str_eq((const char *)payload.ptr,
                     "{\"version\":\"1\",\"data\":{\"offset\":12,\"metadata\":\"a\\n\xef\xbf\xbd\","
                     "\"commitTimestamp\":1700000000000,\"expireTimestamp\":5}}");
    decode(DUMP_OFFSETS, buf_slice(&key), SLICE_NULL);
    ck_assert_str_eq((const char *)payload.ptr, "<DELETE>");
    end();
}
END_TEST

static void add_member(const char *protocol_type, const struct slice subscription)
{
    struct group_metadata_key of = {SLICE("g")};
    struct group_metadata_value_member member = {.member_id = SLICE("m"),
                                                 .client_id = SLICE("c"),
                                                 .client_host = SLICE("/h"),
                                                 .rebalance_timeout = 1,
                                                 .session_timeout = 2,
                                                 .subscription = subscription,
                                                 .assignment = SLICE("")};
    struct group_metadata_value group = {.protocol_type = slice_text(protocol_type),
                                         .generation = 5,
                                         .protocol = SLICE("range"),
                                         .leader = SLICE_NULL,
                                         .current_state_timestamp = -1,
                                         .members = {&member, 1}};

    member.group_instance_id = SLICE_NULL;
    begin();
    wire_write_versioned(&key, 2, &group_metadata_key_wire, &of);
    wire_write_versioned(&value, 3, &group_metadata_value_wire, &group);
    decode(DUMP_OFFSETS, buf_slice(&key), buf_slice(&value));
}

#define MEMBER_BEGINS                                                                              \
    ",\"generation\":5,\"protocol\":\"range\",\"leader\":null,\"currentStateTimestamp\":-1,"       \
    "\"members\":[{\"memberId\":\"m\",\"groupInstanceId\":null,\"clientId\":\"c\","                \
    "\"clientHost\":\"/h\",\"rebalanceTimeout\":1,\"sessionTimeout\":2,\"subscription\":"

START_TEST(what_a_consumer_says_of_itself_is_opened)
{
    struct slice topics[] = {SLICE("t")};
    struct consumer_protocol_subscription subscription = {
        .topics = {topics, 1}, .user_data = SLICE("\x01\x02\x03\x04"), .generation_id = 9};
    struct buf bytes = {0};

    wire_write_versioned(&bytes, 1, &consumer_protocol_subscription_wire, &subscription);
    add_member("consumer", buf_slice(&bytes));
    EXPECT("{\"type\":\"2\",\"data\":{\"group\":\"g\"}}",
           "{\"version\":\"3\",\"data\":{\"protocolType\":\"consumer\"" MEMBER_BEGINS
           "{\"topics\":[\"t\"],\"userData\":\"AQIDBA==\",\"ownedPartitions\":[]},"
           "\"assignment\":\"\"}]}}");
    /* Others' protocols are theirs, and what is broken is given as it is. */
    add_member("connect", SLICE("xyz"));
    ck_assert_str_eq((const char *)payload.ptr,
                     "{\"version\":\"3\",\"data\":{\"protocolType\":\"connect\"" MEMBER_BEGINS
                     "\"eHl6\",\"assignment\":\"\"}]}}");
    add_member("consumer", SLICE("xyz"));
    ck_assert_ptr_nonnull(strstr((const char *)payload.ptr, "\"subscription\":\"eHl6\""));
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(a_transaction_is_one_line)
{
    struct transaction_log_key id = {SLICE("pay")};
    int32_t partitions[] = {0, 2};
    struct transaction_log_value_transaction_partition topic = {SLICE("t"), {partitions, 2}};
    struct transaction_log_value transaction = {.producer_id = 3,
                                                .producer_epoch = 1,
                                                .transaction_timeout_ms = 60000,
                                                .transaction_status = 4,
                                                .transaction_partitions = {&topic, 1},
                                                .transaction_last_update_timestamp_ms = 17};

    begin();
    wire_write_versioned(&key, 0, &transaction_log_key_wire, &id);
    wire_write_versioned(&value, 0, &transaction_log_value_wire, &transaction);
    decode(DUMP_TRANSACTIONS, buf_slice(&key), buf_slice(&value));
    EXPECT("transaction_metadata::transactionalId=pay",
           "producerId:3,producerEpoch:1,state=CompleteCommit,partitions=[t-0,t-2],"
           "txnLastUpdateTimestamp=17,txnTimeoutMs=60000");
    decode(DUMP_TRANSACTIONS, buf_slice(&key), SLICE_NULL);
    ck_assert_str_eq((const char *)payload.ptr, "<DELETE>");
    end();
}
END_TEST

START_TEST(what_is_not_known_or_not_right_is_said)
{
    decode(DUMP_OFFSETS, SLICE("\0\x63x"), SLICE("x"));
    EXPECT("Unknown record type 99 at offset 7, skipping.", "");
    decode(DUMP_OFFSETS, SLICE("\0\1\0\5g"), SLICE("x"));
    EXPECT("Error at offset 7, skipping. ends too early", "");
    decode(DUMP_OFFSETS, SLICE_NULL, SLICE("x"));
    EXPECT("Error at offset 7, skipping. It has no key.", "");
    decode(DUMP_TRANSACTIONS, SLICE("\0\5x"), SLICE("x"));
    EXPECT("unknown::version=5", "");
    decode(DUMP_TRANSACTIONS, SLICE("\0"), SLICE_NULL);
    EXPECT("Error at offset 7, skipping. ends too early", "");
    end();
}
END_TEST

UNIT(a_commit_is_told_by_group_topic_and_partition, what_a_consumer_says_of_itself_is_opened,
     a_transaction_is_one_line, what_is_not_known_or_not_right_is_said)
