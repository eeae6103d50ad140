#include "cluster/options.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static struct options *broker_with(const char *text)
{
    struct options *options = options_create();
    struct conf conf;
    int line;

    conf_init(&conf);
    ck_assert_int_eq(conf_read(&conf, slice_text(text), &line), ERR_OK);
    ck_assert_int_eq(options_load(options, &conf, "f", NULL), ERR_OK);
    conf_fini(&conf);
    return options;
}

static struct topic_options resolved(const char *broker, const struct option_pair *pairs, int count)
{
    struct options *options = broker_with(broker);
    struct topic_options topic;

    topic_options_resolve(options, pairs, count, NULL, &topic);
    options_destroy(&options);
    return topic;
}

START_TEST(without_overrides_the_broker_decides)
{
    struct topic_options t = resolved("", NULL, 0);

    ck_assert(t.cleanup_delete && !t.cleanup_compact);
    ck_assert_int_eq(t.compression, COMPRESSION_SETTING_PRODUCER);
    ck_assert_int_eq(t.retention_ms, 604800000);
    ck_assert_int_eq(t.segment_ms, 604800000);
    ck_assert_int_eq(t.segment_jitter_ms, 0);
    ck_assert(t.flush_ms == INT64_MAX && t.timestamp_after_max_ms == INT64_MAX);
    ck_assert_int_eq(t.max_message_bytes, 1048588);
    ck_assert_int_eq(t.segment_bytes, 1 << 30);
    ck_assert_int_eq(t.index_interval_bytes, 4096);
    ck_assert(t.min_cleanable_dirty_ratio == 0.5 && t.message_downconversion_enable);

    t = resolved("log.retention.minutes=2\nlog.roll.hours=3\nlog.roll.jitter.hours=1\n"
                 "log.flush.scheduler.interval.ms=50\nmin.insync.replicas=2\n"
                 "log.message.timestamp.type=LogAppendTime\nlog.cleanup.policy=compact,delete\n"
                 "compression.type=lz4\n",
                 NULL, 0);
    ck_assert_int_eq(t.retention_ms, 120000);
    ck_assert_int_eq(t.segment_ms, 3 * 3600000);
    ck_assert_int_eq(t.segment_jitter_ms, 3600000);
    ck_assert_int_eq(t.flush_ms, 50);
    ck_assert_int_eq(t.min_insync_replicas, 2);
    ck_assert(t.timestamp_is_append_time && t.cleanup_compact && t.cleanup_delete);
    ck_assert_int_eq(t.compression, COMPRESSION_SETTING_LZ4);
}
END_TEST

START_TEST(milliseconds_beat_minutes_beat_hours)
{
    struct topic_options t = resolved(
        "log.retention.ms=5\nlog.retention.minutes=2\nlog.retention.hours=1\nlog.roll.ms=8\n"
        "log.flush.interval.ms=9\nlog.flush.scheduler.interval.ms=50\n",
        NULL, 0);

    ck_assert_int_eq(t.retention_ms, 5);
    ck_assert_int_eq(t.segment_ms, 8);
    ck_assert_int_eq(t.flush_ms, 9);
    t = resolved("log.retention.minutes=-4\n", NULL, 0);
    ck_assert_int_eq(t.retention_ms, -1);
}
END_TEST

START_TEST(an_override_beats_the_broker)
{
    struct option_pair pairs[] = {{SLICE("retention.ms"), SLICE(" 77 ")},
                                  {SLICE("cleanup.policy"), SLICE("compact")},
                                  {SLICE("segment.bytes"), SLICE("14")}};
    struct topic_options t = resolved("log.retention.ms=5\nlog.segment.bytes=1000\n", pairs, 3);

    ck_assert_int_eq(t.retention_ms, 77);
    ck_assert(t.cleanup_compact && !t.cleanup_delete);
    ck_assert_int_eq(t.segment_bytes, 14);
}
END_TEST

START_TEST(the_old_timestamp_bound_serves_where_the_new_ones_are_not_set)
{
    struct option_pair old[] = {{SLICE("message.timestamp.difference.max.ms"), SLICE("5")},
                                {SLICE("message.timestamp.after.max.ms"), SLICE("9")}};
    struct topic_options t = resolved("", old, 2);

    ck_assert_int_eq(t.timestamp_before_max_ms, 5);
    ck_assert_int_eq(t.timestamp_after_max_ms, 9);
    t = resolved("log.message.timestamp.difference.max.ms=4\n", NULL, 0);
    ck_assert_int_eq(t.timestamp_before_max_ms, 4);
}
END_TEST

static void count_warning(void *to, bool is_error, const char *message)
{
    ck_assert_int_eq(is_error, strncmp(message, "retention.ms", 12) == 0);
    ck_assert_ptr_nonnull(strchr(message, '='));
    *(int *)to += 1;
}

START_TEST(a_bad_stored_value_is_told_and_passed_over)
{
    struct option_pair pairs[] = {{SLICE("retention.ms"), SLICE("soon")},
                                  {SLICE("from.the.future"), SLICE("1")},
                                  {SLICE("segment.ms"), SLICE("3")}};
    struct options *options = broker_with("");
    struct topic_options t;
    int warnings = 0;

    topic_options_resolve(options, pairs, 3,
                          &(struct options_report){.problem = count_warning, .to = &warnings}, &t);
    ck_assert_int_eq(warnings, 2);
    ck_assert_int_eq(t.retention_ms, 604800000);
    ck_assert_int_eq(t.segment_ms, 3);
    options_destroy(&options);
}
END_TEST

START_TEST(what_a_request_sets_is_checked)
{
    static const struct {
        const char *key, *value, *key2, *value2, *expected;
    } bad[] = {
        {"nope", "1", NULL, NULL, "nope"},
        {"retention.ms", NULL, NULL, NULL, "must have a value"},
        {"retention.ms", "-2", NULL, NULL, "at least -1"},
        {"cleanup.policy", "compact,gone", NULL, NULL, "compact, delete"},
        {"min.compaction.lag.ms", "10", "max.compaction.lag.ms", "9", "is more than"},
        {"remote.storage.enable", "true", NULL, NULL, "tiered"},
        {"leader.replication.throttled.replicas", "1:2,x", NULL, NULL, "partition:broker"},
        {"message.timestamp.type", "createtime", NULL, NULL, "CreateTime"},
    };
    struct options *options = broker_with("");
    struct buf message = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct option_pair pairs[] = {{slice_text(bad[i].key), slice_text(bad[i].value)},
                                      {slice_text(bad[i].key2), slice_text(bad[i].value2)}};
        buf_clear(&message);
        ck_assert_int_eq(topic_options_check(options, pairs, bad[i].key2 == NULL ? 1 : 2, &message),
                         ERR_INVALID);
        buf_add(&message, "", 1);
        ck_assert_msg(strstr((char *)message.ptr, bad[i].expected) != NULL, "%s", message.ptr);
    }
    struct option_pair good[] = {
        {SLICE("retention.ms"), SLICE("-1")},
        {SLICE("leader.replication.throttled.replicas"), SLICE("0:1, 1:2")},
        {SLICE("follower.replication.throttled.replicas"), SLICE("*")},
        {SLICE("cleanup.policy"), SLICE("")},
        {SLICE("remote.storage.enable"), SLICE("false")},
        {SLICE("message.format.version"), SLICE("2.8")},
    };
    ck_assert_int_eq(topic_options_check(options, good, 6, &message), ERR_OK);
    buf_fini(&message);
    options_destroy(&options);
}
END_TEST

static const struct option_entry *entry_of(const struct option_entry *entries, int count,
                                           const char *name)
{
    for (int i = 0; i < count; i++)
        if (slice_is(entries[i].name, name)) return &entries[i];
    return NULL;
}

START_TEST(a_description_names_the_broker_keys)
{
    struct option_pair pairs[] = {{SLICE("segment.ms"), SLICE("5")}};
    struct options *options = broker_with("log.retention.hours=2\nlog.segment.bytes=99\n");
    struct option_entry *entries;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    int n = topic_options_describe(options, pairs, 1, &arena, &entries);
    ck_assert_int_eq(n, 36);
    const struct option_entry *e = entry_of(entries, n, "segment.ms");
    ck_assert(slice_is(e->value, "5") && e->source == OPTION_SOURCE_TOPIC && e->synonym_count == 1);
    e = entry_of(entries, n, "segment.bytes");
    ck_assert(slice_is(e->value, "99") && e->source == OPTION_SOURCE_STATIC);
    ck_assert(slice_is(e->synonyms[0].name, "log.segment.bytes") && e->synonym_count == 2);
    /* Hours alone do not make a synonym of retention.ms, though they decide its value. */
    e = entry_of(entries, n, "retention.ms");
    ck_assert(slice_is(e->value, "7200000") && e->source == OPTION_SOURCE_DEFAULT);
    ck_assert_int_eq(e->synonym_count, 0);
    e = entry_of(entries, n, "leader.replication.throttled.replicas");
    ck_assert(slice_is(e->value, "") && e->source == OPTION_SOURCE_DEFAULT);
    arena_fini(&arena);
    options_destroy(&options);
}
END_TEST

UNIT(without_overrides_the_broker_decides, milliseconds_beat_minutes_beat_hours,
     an_override_beats_the_broker, the_old_timestamp_bound_serves_where_the_new_ones_are_not_set,
     a_bad_stored_value_is_told_and_passed_over, what_a_request_sets_is_checked,
     a_description_names_the_broker_keys)
