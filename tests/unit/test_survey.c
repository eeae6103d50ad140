/* Very many partitions are counted in pieces; topics may come and go between them. */
#include "controller/report.h"
#include "runtime/env_posix.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static struct controller controller;
static struct survey survey;

static void add_topic(const char *name, int32_t partitions, int32_t leader)
{
    struct context *context = &controller.context;
    struct topic *topic = context_add_topic(context, slice_text(name));

    for (int32_t i = 0; i < partitions; i++) {
        struct partition *p = topic_add_partition(context, topic, i);
        struct leadership now = {.leader = leader, .leader_epoch = 1};
        ids_add(&p->replicas, 1);
        ids_add(&p->replicas, 2);
        ids_add(&now.isr, leader);
        if (leader == 1) ids_add(&now.isr, 2);
        partition_set_leadership(p, &now);
        leadership_fini(&now);
    }
}

static void remove_topic(const char *name)
{
    struct topic *topic = context_topic(&controller.context, slice_text(name));

    context_remove_topic(&controller.context, &topic);
}

/* Brokers 1 and 2; 3 is not there. */
static void begin(void)
{
    const struct context_config config = {.id = 9, .inter_broker_listener = "PLAINTEXT"};

    controller = (struct controller){0};
    context_init(&controller.context, &config, 1);
    for (int32_t id = 1; id <= 2; id++)
        context_add_broker(&controller.context, id)->epoch = 100 + id;
}

static void end(void)
{
    survey_fini(&survey);
    context_fini(&controller.context);
}

static int pieces(int max)
{
    int count = 1;

    while (survey_piece(&survey, &controller.context, max))
        count++;
    return count;
}

START_TEST(sums_are_those_of_all_partitions)
{
    begin();
    add_topic("a", 5, 1); /* whole */
    add_topic("b", 3, 2); /* the other one leads, alone in the ISR */
    add_topic("c", 2, 3); /* nobody leads */
    add_topic("none", 0, 1);
    add_topic("going", 4, 3);
    context_topic(&controller.context, SLICE("going"))->is_deleting = true;
    for (int max = 1; max < 25; max++) {
        survey_begin(&survey, &controller.context);
        ck_assert_int_ge(pieces(max), 14 / max); /* a piece has its bound */
        const struct survey_sums *sums = &survey.sums;
        ck_assert_int_eq(sums->health.partitions, 14);
        ck_assert_int_eq(sums->health.offline, 6);
        ck_assert_int_eq(sums->health.under_replicated, 9);
        ck_assert_int_eq(sums->offline, 2);
        ck_assert_int_eq(sums->imbalanced, 3);
        ck_assert_int_eq(sums->topics_deleting, 1);
        struct survey_load one = survey_load_of(&survey, 1), two = survey_load_of(&survey, 2);
        ck_assert(one.leads == 5 && one.has == 14 && one.in_sync == 5);
        ck_assert(two.leads == 3 && two.has == 14 && two.in_sync == 8);
        ck_assert_int_eq(survey_load_of(&survey, 3).has, 0);
    }
    end();
}
END_TEST

START_TEST(topics_may_go_and_come_between_pieces)
{
    begin();
    add_topic("a", 3, 1);
    add_topic("b", 3, 1);
    add_topic("c", 3, 1);
    survey_begin(&survey, &controller.context);
    ck_assert(survey_piece(&survey, &controller.context, 6)); /* into b */
    remove_topic("b");
    remove_topic("a");
    add_topic("d", 2, 1);
    pieces(1);
    ck_assert_int_eq(survey.sums.health.partitions, 3 + 2 + 3 + 2);

    survey_begin(&survey, &controller.context);
    ck_assert(survey_piece(&survey, &controller.context, 1));
    remove_topic("d");
    remove_topic("c"); /* the last one */
    pieces(1);
    ck_assert_int_eq(survey.sums.health.partitions, 1);
    survey_begin(&survey, &controller.context);
    ck_assert_int_eq(pieces(1), 1);
    ck_assert_int_eq(survey.sums.health.partitions, 0);
    end();
}
END_TEST

START_TEST(a_controller_that_resigns_ends_the_survey)
{
    begin();
    add_topic("a", 30, 1);
    survey_begin(&survey, &controller.context);
    ck_assert(survey_piece(&survey, &controller.context, 6));
    context_resign(&controller.context);
    ck_assert(!survey_piece(&survey, &controller.context, 6));
    survey_begin(&survey, &controller.context);
    pieces(6);
    ck_assert_int_eq(survey.sums.health.partitions, 0);
    end();
}
END_TEST

/* What comes in each turn, beside the survey. */
struct others {
    struct shard *shard;
    struct post post;
    int served;
};

static void serve(struct post *post)
{
    struct others *others = list_entry(post, struct others, post);

    others->served++;
    shard_post_last(others->shard, post);
}

START_TEST(others_are_served_while_it_counts)
{
    static struct report report;
    struct others others = {.post.run = serve};
    struct metrics *metrics = metrics_create();
    struct env *env = env_posix_create(NULL);
    struct shard shard;
    char name[20];

    begin();
    report = (struct report){0};
    ck_assert_int_eq(shard_open(&shard, env, 0, NULL, NULL, NULL, NULL), ERR_OK);
    controller.shard = others.shard = &shard;
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        add_topic(name, 1000, 3);
    }
    report_open(&report, &controller, metrics);
    report_take(&report);
    shard_post_last(&shard, &others.post);
    int turns = 0;
    while (report.survey.is_under_way) {
        shard_turn(&shard);
        turns++;
    }
    /* 50,000 partitions, and in each turn somebody else was served too. */
    ck_assert_int_eq(gauge_value(&report.offline_partitions), 50000);
    ck_assert_int_ge(turns, 50000 / 1000);
    ck_assert_int_ge(others.served, turns - 1);

    report_take(&report); /* ended in the middle */
    shard_turn(&shard);
    ck_assert(report.survey.is_under_way);
    shard_unpost(&others.post);
    report_close(&report);
    end();
    metrics_destroy(&metrics);
    shard_close(&shard);
    env_posix_destroy(&env);
}
END_TEST

UNIT(sums_are_those_of_all_partitions, topics_may_go_and_come_between_pieces,
     a_controller_that_resigns_ends_the_survey, others_are_served_while_it_counts)
