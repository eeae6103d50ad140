/* tests/unit/test_group_log.c - records of __consumer_offsets, byte for byte. Those
 * that Kafka 3.9 writes are its own; other versions were worked out by hand. */
#include "broker/group/group_log.h"
#include "cluster/level.h"
#include "cluster/types.h"
#include "unit.h"
#include <stdio.h>
#include <string.h>

static struct arena arena;
static struct buf buf;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    buf_init(&buf);
}

static void finish(void)
{
    arena_fini(&arena);
    buf_fini(&buf);
}

static struct slice bytes_of(const char *hex)
{
    size_t len = strlen(hex) / 2;
    uint8_t *bytes = arena_zalloc(&arena, len + 1);

    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    return slice_of(bytes, len);
}

static void wrote(const char *hex)
{
    ck_assert(slice_equal(buf_slice(&buf), bytes_of(hex)));
    buf_clear(&buf);
}

#define GROUP_HEX                                                                                  \
    "00030008636f6e73756d657200000005000572616e67650003632d3100000000000003e8000000010003632d31ff" \
    "ff000163000a2f3132372e302e302e31000493e00000afc8000000020001000000020002"

START_TEST(records_are_written_as_kafka_writes_them)
{
    struct offset_commit commit = {.offset = 42,
                                   .leader_epoch = 7,
                                   .metadata = SLICE("m"),
                                   .commit_ms = 1000,
                                   .expire_ms = -1};

    begin();
    group_log_write_offset_key(&buf, SLICE("g1"), SLICE("t1"), 3);
    wrote("00010002673100027431"
          "00000003");
    group_log_write_group_key(&buf, SLICE("g1"));
    wrote("000200026731");
    group_log_write_offset(&buf, LEVEL_LATEST, &commit);
    wrote("0003000000000000002a0000000700016d00000000000003e8");
    group_log_write_offset(&buf, LEVEL_2_1_IV0, &commit);
    wrote("0002000000000000002a00016d00000000000003e8");
    group_log_write_offset(&buf, LEVEL_2_0_IV1, &commit);
    wrote("0001000000000000002a00016d00000000000003e8ffffffffffffffff");
    commit.expire_ms = 2000; /* only version 1 can say so */
    group_log_write_offset(&buf, LEVEL_LATEST, &commit);
    wrote("0001000000000000002a00016d00000000000003e800000000000007d0");

    struct group_metadata_value_member member = {.member_id = SLICE("c-1"),
                                                 .group_instance_id = SLICE_NULL,
                                                 .client_id = SLICE("c"),
                                                 .client_host = SLICE("/127.0.0.1"),
                                                 .rebalance_timeout = 300000,
                                                 .session_timeout = 45000,
                                                 .subscription = slice_of("\0\1", 2),
                                                 .assignment = slice_of("\0\2", 2)};
    struct group_metadata_value value = {.protocol_type = SLICE("consumer"),
                                         .generation = 5,
                                         .protocol = SLICE("range"),
                                         .leader = SLICE("c-1"),
                                         .current_state_timestamp = 1000,
                                         .members = {&member, 1}};
    group_log_write_group(&buf, LEVEL_LATEST, &value);
    wrote(GROUP_HEX);
    struct group_metadata_value empty = {
        .protocol_type = SLICE("consumer"), .generation = 6, .current_state_timestamp = 1000};
    group_log_write_group(&buf, LEVEL_LATEST, &empty);
    wrote("00030008636f6e73756d657200000006ffffffff00000000000003e800000000");
    group_log_write_group(&buf, LEVEL_2_2_IV1, &empty);
    wrote("00020008636f6e73756d657200000006ffffffff00000000000003e800000000");
    group_log_write_group(&buf, LEVEL_2_0_IV0, &empty);
    wrote("00010008636f6e73756d657200000006ffffffff00000000");
    group_log_write_group(&buf, LEVEL_0_10_0_IV0, &empty);
    wrote("00000008636f6e73756d657200000006ffffffff00000000");
    finish();
}
END_TEST

START_TEST(every_version_is_read)
{
    struct group_log_key key;
    struct offset_commit commit;
    struct group_metadata_value value;

    begin();
    ck_assert_int_eq(group_log_read_key(bytes_of("0000000267310002743100000003"), &arena, &key),
                     ERR_OK);
    ck_assert_int_eq(key.kind, GROUP_LOG_OFFSET);
    ck_assert(slice_is(key.group, "g1") && slice_is(key.topic, "t1") && key.partition == 3);
    ck_assert_int_eq(group_log_read_key(bytes_of("000200026731"), &arena, &key), ERR_OK);
    ck_assert_int_eq(key.kind, GROUP_LOG_GROUP);

    static const char *const offsets[] = {
        "0000000000000000002a00016d00000000000003e8",
        "0001000000000000002a00016d00000000000003e800000000000007d0",
        "0002000000000000002a00016d00000000000003e8",
        "0003000000000000002a0000000700016d00000000000003e8",
        "0004000000000000002a00000007026d00000000000003e800",
    };
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(group_log_read_offset(bytes_of(offsets[i]), &arena, &commit), ERR_OK);
        ck_assert_int_eq(commit.offset, 42);
        ck_assert_int_eq(commit.leader_epoch, i >= 3 ? 7 : -1);
        ck_assert_int_eq(commit.commit_ms, 1000);
        ck_assert_int_eq(commit.expire_ms, i == 1 ? 2000 : -1);
        ck_assert(slice_is(commit.metadata, "m"));
    }
    ck_assert_int_eq(group_log_read_offset(bytes_of("0005000000000000002a"), &arena, &commit),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(group_log_read_offset(bytes_of("0003000000000000"), &arena, &commit),
                     ERR_TRUNCATED);

    ck_assert_int_eq(group_log_read_group(bytes_of(GROUP_HEX), &arena, &value), ERR_OK);
    ck_assert_int_eq(value.members.count, 1);
    ck_assert_int_eq(value.members.at[0].session_timeout, 45000);
    ck_assert(slice_is_null(value.members.at[0].group_instance_id));
    ck_assert_int_eq(group_log_read_group(bytes_of("0000000863"
                                                   "6f6e73756d6572"
                                                   "00000006ffffffff00000000"),
                                          &arena, &value),
                     ERR_OK);
    ck_assert_int_eq(value.current_state_timestamp, -1);
    ck_assert_int_eq(value.generation, 6);
    ck_assert_int_eq(group_log_read_group(bytes_of("000409636f6e73756d6572000000060000"
                                                   "00000000000003e80100"),
                                          &arena, &value),
                     ERR_OK);
    ck_assert_int_eq(value.current_state_timestamp, 1000);
    finish();
}
END_TEST

START_TEST(keys_of_other_kinds_of_groups_are_told_apart)
{
    struct group_log_key key;

    begin();
    for (int version = 3; version <= 15; version++) {
        char hex[16];
        snprintf(hex, sizeof(hex), "%04x026731", version);
        ck_assert_int_eq(group_log_read_key(bytes_of(hex), &arena, &key), ERR_OK);
        ck_assert_int_eq(key.kind, GROUP_LOG_UNKNOWN);
        ck_assert_int_eq(key.version, version);
    }
    ck_assert_int_eq(group_log_read_key(bytes_of("ffff026731"), &arena, &key), ERR_CORRUPT);
    ck_assert_int_eq(group_log_read_key(bytes_of("00"), &arena, &key), ERR_TRUNCATED);
    ck_assert_int_eq(group_log_read_key(SLICE(""), &arena, &key), ERR_TRUNCATED);
    ck_assert_int_ne(group_log_read_key(bytes_of("0001000567"), &arena, &key), ERR_OK);
    finish();
}
END_TEST

START_TEST(groups_are_placed_by_javas_hash)
{
    ck_assert_int_eq(coordinator_partition(SLICE("g1"), 50), 42);
    ck_assert_int_eq(coordinator_partition(SLICE("my-group"), 50), 12); /* a negative hash */
    ck_assert_int_eq(coordinator_partition(SLICE("connect-cluster"), 50), 13);
    ck_assert_int_eq(coordinator_partition(SLICE("polygenelubricants"), 50), 0); /* the least */
    ck_assert_int_eq(coordinator_partition(SLICE(""), 50), 0);
    /* Over UTF-16: "\u00e4" is 228; U+1F600 is d83d de00, 31 * 55357 + 56832 = 1772899. */
    ck_assert_int_eq(coordinator_partition(SLICE("\xc3\xa4"), 50), 28);
    ck_assert_int_eq(coordinator_partition(SLICE("\xf0\x9f\x98\x80"), 50), 1772899 % 50);
}
END_TEST

UNIT(records_are_written_as_kafka_writes_them, every_version_is_read,
     keys_of_other_kinds_of_groups_are_told_apart, groups_are_placed_by_javas_hash)
