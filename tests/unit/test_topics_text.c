#include "tools/topics_text.h"
#include "tests/unit/unit.h"

static const int32_t ids[] = {1, 2, 3};
static struct buf out;

static const char *printed(const struct topic_view *topic, const struct topics_wanted *wanted)
{
    buf_clear(&out);
    topic_view_print(topic, wanted, &out);
    buf_add(&out, "", 1);
    return (const char *)out.ptr;
}

static const struct partition_view partitions[] = {
    {.partition = 0, .leader = 1, .is_available = true, .replicas = {ids, 3}, .isr = {ids, 3}},
    {.partition = 1, .leader = -1, .replicas = {ids, 3}, .isr = {ids, 1}},
    {.partition = 2,
     .leader = 2,
     .is_available = true,
     .replicas = {ids, 3},
     .isr = {ids, 2},
     .adding = {ids + 2, 1},
     .removing = {ids, 1}},
};
static const struct topic_config_view configs[] = {{SLICE("cleanup.policy"), SLICE("compact")},
                                                   {SLICE("segment.bytes"), SLICE("104857600")}};
static const struct topic_view topic = {.name = SLICE("t1"),
                                        .configs = configs,
                                        .config_count = 2,
                                        .min_insync_replicas = 2,
                                        .partitions = partitions,
                                        .partition_count = 3};

START_TEST(a_description_has_kafkas_lines)
{
    struct topic_view named = topic;

    ck_assert_int_eq(uuid_parse(SLICE("kFr0kpNKTTOMvZKkHJ5bNQ"), &named.id), ERR_OK);
    ck_assert_str_eq(
        printed(&named, &(struct topics_wanted){0}),
        "Topic: t1\tTopicId: kFr0kpNKTTOMvZKkHJ5bNQ\tPartitionCount: 3\tReplicationFactor: 3\t"
        "Configs: cleanup.policy=compact,segment.bytes=104857600\n"
        "\tTopic: t1\tPartition: 0\tLeader: 1\tReplicas: 1,2,3\tIsr: 1,2,3\tElr: N/A\t"
        "LastKnownElr: N/A\n"
        "\tTopic: t1\tPartition: 1\tLeader: none\tReplicas: 1,2,3\tIsr: 1\tElr: N/A\t"
        "LastKnownElr: N/A\n"
        "\tTopic: t1\tPartition: 2\tLeader: 2\tReplicas: 1,2,3\tIsr: 1,2\tAdding Replicas: 3\t"
        "Removing Replicas: 1\tElr: N/A\tLastKnownElr: N/A\n");
    struct partition_view told = partitions[0];
    int32_t three = 3;
    told.tells_elr = true;
    told.last_elr = (struct broker_ids){&three, 1};
    named.partitions = &told;
    named.partition_count = 1;
    ck_assert_ptr_nonnull(
        strstr(printed(&named, &(struct topics_wanted){0}), "\tElr: \tLastKnownElr: 3\n"));
    named.partitions = partitions;
    named.is_marked = true;
    named.id = UUID_ZERO;
    named.partition_count = 1;
    named.config_count = 0;
    ck_assert_str_eq(printed(&named, &(struct topics_wanted){0}),
                     "Topic: t1\tPartitionCount: 1\tReplicationFactor: 3\tConfigs: \t"
                     "MarkedForDeletion: true\n"
                     "\tTopic: t1\tPartition: 0\tLeader: 1\tReplicas: 1,2,3\tIsr: 1,2,3\tElr: N/A\t"
                     "LastKnownElr: N/A\tMarkedForDeletion: true\n");
}
END_TEST

static int lines_of(const char *text)
{
    int count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

START_TEST(a_filter_leaves_only_its_partitions)
{
    const char *text = printed(&topic, &(struct topics_wanted){.under_replicated = true});

    ck_assert_int_eq(lines_of(text), 1); /* the one that moves has all that it needs */
    ck_assert_ptr_nonnull(strstr(text, "Partition: 1"));
    text = printed(&topic, &(struct topics_wanted){.unavailable = true});
    ck_assert_int_eq(lines_of(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "Partition: 1"));
    text = printed(&topic, &(struct topics_wanted){.under_min_isr = true});
    ck_assert_int_eq(lines_of(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "Isr: 1\t"));
    text = printed(&topic, &(struct topics_wanted){.at_min_isr = true});
    ck_assert_int_eq(lines_of(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "Partition: 2"));
    ck_assert_str_eq(printed(&topic, &(struct topics_wanted){.overrides = true}), "");
    struct topic_view own = topic;
    own.has_overrides = true;
    ck_assert_int_eq(lines_of(printed(&own, &(struct topics_wanted){.overrides = true})), 1);
}
END_TEST

START_TEST(assignments_are_lists_of_lists)
{
    struct arena arena;
    struct buf message = {0};
    int32_t *replicas, count = -1, factor = -1;

    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(topics_assignment_parse(SLICE("0:1,1:2, 2:0"), &arena, &replicas, &count,
                                             &factor, &message),
                     ERR_OK);
    ck_assert(count == 3 && factor == 2);
    ck_assert_mem_eq(replicas, ((int32_t[]){0, 1, 1, 2, 2, 0}), 6 * sizeof(int32_t));
    static const char *const bad[] = {"0:1,1", "0:0", "a", "", "0,,1", "-1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(topics_assignment_parse(slice_text(bad[i]), &arena, &replicas, &count,
                                              &factor, &message) == ERR_INVALID,
                      "%s", bad[i]);
    }
    ck_assert_int_eq(count, 3); /* untouched */
    arena_fini(&arena);
    buf_fini(&message);
}
END_TEST

START_TEST(a_pattern_is_for_whole_names)
{
    struct topics_pattern *pattern = NULL;

    ck_assert_int_eq(topics_pattern_create("orders.*, 'payments'", &pattern), ERR_OK);
    ck_assert(topics_pattern_matches(pattern, SLICE("orders-eu")));
    ck_assert(topics_pattern_matches(pattern, SLICE("payments")));
    ck_assert(!topics_pattern_matches(pattern, SLICE("payments2")));
    ck_assert(!topics_pattern_matches(pattern, SLICE("my-orders")));
    topics_pattern_destroy(&pattern);
    ck_assert_ptr_null(pattern);
    ck_assert_int_eq(topics_pattern_create("a(", &pattern), ERR_INVALID);
    ck_assert(topics_name_is_risky("a.b") && topics_name_is_risky("a_b"));
    ck_assert(!topics_name_is_risky("a-b"));
}
END_TEST

UNIT(a_description_has_kafkas_lines, a_filter_leaves_only_its_partitions,
     assignments_are_lists_of_lists, a_pattern_is_for_whole_names)
