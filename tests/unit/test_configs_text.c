/* tests/unit/test_configs_text.c - what `ottla configs` and `ottla log-dirs` read and print. */
#include "tools/configs_text.h"
#include "tools/log_dirs_text.h"
#include "unit.h"

static struct arena arena;
static struct buf text;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    buf_init(&text);
}

static void end(void)
{
    buf_fini(&text);
    arena_fini(&arena);
}

static const char *shown(void)
{
    buf_add(&text, "", 1);
    return (const char *)text.ptr;
}

START_TEST(brackets_hold_a_value_together)
{
    struct config_change *changes = NULL;
    int count = 0;

    begin();
    ck_assert_int_eq(
        configs_read_changes(SLICE("a=1, b=[x,y] ,c=,d=k=v"), &arena, &changes, &count, &text),
        ERR_OK);
    configs_read_keys(SLICE("e, f"), &arena, &changes, &count);
    ck_assert_int_eq(count, 6);
    ck_assert(slice_is(changes[0].key, "a") && slice_is(changes[0].value, "1"));
    ck_assert(slice_is(changes[1].key, "b") && slice_is(changes[1].value, "x,y"));
    ck_assert(slice_is(changes[2].key, "c") && slice_is(changes[2].value, ""));
    ck_assert(!slice_is_null(changes[2].value));
    ck_assert(slice_is(changes[3].key, "d") && slice_is(changes[3].value, "k=v"));
    ck_assert(slice_is(changes[4].key, "e") && slice_is_null(changes[4].value));
    ck_assert(slice_is(changes[5].key, "f"));
    ck_assert_int_eq(configs_read_changes(SLICE("novalue"), &arena, &changes, &count, &text),
                     ERR_INVALID);
    ck_assert_uint_gt(text.len, 0);
    end();
}
END_TEST

START_TEST(values_are_printed_with_where_they_come_from)
{
    struct describe_configs_response_result_config_synonym synonyms[] = {
        {.name = SLICE("retention.ms"), .value = SLICE("5"), .source = 1},
        {.name = SLICE("log.retention.hours"), .value = SLICE("168"), .source = 5}};
    struct describe_configs_response_result_config configs[] = {
        {.name = SLICE("z"), .value = SLICE("1"), .config_source = 5},
        {.name = SLICE("retention.ms"),
         .value = SLICE("5"),
         .config_source = 1,
         .synonyms = {synonyms, 2}},
        {.name = SLICE("a"), .value = SLICE_NULL, .config_source = 1, .is_sensitive = true}};
    struct describe_configs_response_result result = {.configs = {configs, 3}};
    const struct config_change gone[] = {
        {SLICE("z"), SLICE_NULL}, {SLICE("a"), SLICE_NULL}, {SLICE("new"), SLICE("1")}};

    begin();
    configs_write(&text, &result, 1);
    ck_assert_str_eq(shown(), "  a=null sensitive=true synonyms={}\n"
                              "  retention.ms=5 sensitive=false "
                              "synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=5, "
                              "DEFAULT_CONFIG:log.retention.hours=168}\n");
    buf_clear(&text);
    configs_write_unset(&text, &result, 1, gone, 3);
    ck_assert_str_eq(shown(), "z");
    end();
}
END_TEST

START_TEST(directories_are_told_as_kafka_log_dirs_does)
{
    struct describe_log_dirs_response_result_topic_partition parts[] = {{0, 123, 0, false},
                                                                        {1, 5, 2, true}};
    struct describe_log_dirs_response_result_topic topics[] = {
        {.name = SLICE("t"), .partitions = {parts, 2}},
        {.name = SLICE("u"), .partitions = {parts, 1}}};
    struct describe_log_dirs_response_result dirs[] = {
        {.log_dir = SLICE("/da\"ta"), .topics = {topics, 2}, .total_bytes = 10, .usable_bytes = 4},
        {.error_code = 56, .log_dir = SLICE("/b"), .total_bytes = -1, .usable_bytes = -1}};
    struct describe_log_dirs_response response = {.results = {dirs, 2}};
    const struct slice wanted = SLICE("t");

    begin();
    log_dirs_write(&text, 3, &response, &wanted, 1);
    ck_assert_str_eq(
        shown(),
        "{\"broker\":3,\"logDirs\":[{\"logDir\":\"/da\\\"ta\",\"error\":null,\"partitions\":["
        "{\"partition\":\"t-0\",\"size\":123,\"offsetLag\":0,\"isFuture\":false},"
        "{\"partition\":\"t-1\",\"size\":5,\"offsetLag\":2,\"isFuture\":true}],"
        "\"totalBytes\":10,\"usableBytes\":4},"
        "{\"logDir\":\"/b\",\"error\":\"KAFKA_STORAGE_ERROR\",\"partitions\":[]}]}");
    ck_assert_int_eq(log_dirs_size(&response, (struct topic_partition){SLICE("u"), 0}), 123);
    ck_assert_int_eq(log_dirs_size(&response, (struct topic_partition){SLICE("t"), 1}), -1);
    ck_assert_int_eq(log_dirs_size(&response, (struct topic_partition){SLICE("v"), 0}), -1);
    end();
}
END_TEST

UNIT(brackets_hold_a_value_together, values_are_printed_with_where_they_come_from,
     directories_are_told_as_kafka_log_dirs_does)
