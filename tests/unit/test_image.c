#include "cluster/image.h"
#include "base/prng.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static const int32_t ids_123[] = {1, 2, 3};
static const int32_t ids_21[] = {2, 1};

static struct image_partition partition(int32_t number, int32_t leader)
{
    return (struct image_partition){.partition = number,
                                    .leader = leader,
                                    .leader_epoch = 7,
                                    .partition_epoch = 8,
                                    .controller_epoch = 9,
                                    .replicas = {ids_123, 3},
                                    .isr = {ids_123, 3}};
}

static struct uuid id_of(uint64_t n)
{
    return uuid_from_random(n * UINT64_C(0x9e3779b97f4a7c15), n);
}

static struct image *with_topics(struct image *from, const struct image_topic_change *topics, int n)
{
    struct image *next =
        image_next(from, &(struct image_change){.topics = topics, .topic_count = n});

    image_release(&from);
    return next;
}

static struct image *with_topic(struct image *from, const char *name, struct uuid id,
                                int32_t leader)
{
    struct image_partition one = partition(0, leader);

    return with_topics(
        from,
        &(struct image_topic_change){
            .name = slice_text(name), .id = id, .partitions = &one, .partition_count = 1},
        1);
}

START_TEST(what_was_put_in_comes_out)
{
    struct image_partition p[] = {partition(1, 2), partition(0, 1)};
    p[0].isr = (struct broker_ids){ids_21, 2};
    p[0].offline = (struct broker_ids){ids_123 + 2, 1};
    struct image *image =
        with_topics(image_create(),
                    &(struct image_topic_change){
                        .name = SLICE("t"), .id = id_of(4), .partitions = p, .partition_count = 2},
                    1);

    const struct image_topic *topic = image_topic(image, SLICE("t"));
    ck_assert_ptr_nonnull(topic);
    ck_assert_ptr_eq(image_topic_by_id(image, id_of(4)), topic);
    ck_assert_int_eq(image_topic_partition_count(topic), 2);
    ck_assert_int_eq(image_topic_partition_at(topic, 0).partition, 0);
    struct image_partition got;
    ck_assert(image_topic_partition(topic, 1, &got));
    ck_assert_int_eq(got.leader, 2);
    ck_assert_int_eq(got.leader_epoch, 7);
    ck_assert_int_eq(got.partition_epoch, 8);
    ck_assert_int_eq(got.controller_epoch, 9);
    ck_assert(broker_ids_equal(got.replicas, (struct broker_ids){ids_123, 3}));
    ck_assert(broker_ids_equal(got.isr, (struct broker_ids){ids_21, 2}));
    ck_assert(broker_ids_equal(got.offline, (struct broker_ids){ids_123 + 2, 1}));
    ck_assert(!image_topic_partition(topic, 2, &got));
    ck_assert(!image_topic_partition(topic, -1, &got));
    ck_assert_int_eq(image_partition_total(image), 2);
    image_release(&image);
    ck_assert_ptr_null(image);
}
END_TEST

START_TEST(a_change_of_one_partition_leaves_the_others)
{
    struct image_partition first[] = {partition(0, 1), partition(2, 3)};
    struct image_partition news[] = {partition(1, 2), partition(2, LEADER_DURING_DELETE)};
    struct image_topic_change change = {
        .name = SLICE("t"), .id = id_of(1), .partitions = first, .partition_count = 2};
    struct image *image = with_topics(image_create(), &change, 1);
    struct image_partition got;

    ck_assert(image_topic_partition(image_topic(image, SLICE("t")), 2, &got)); /* 1 is missing */
    ck_assert_int_eq(got.leader, 3);
    change.partitions = news;
    change.id = UUID_ZERO; /* not said: it stays */
    image = with_topics(image, &change, 1);
    const struct image_topic *topic = image_topic_by_id(image, id_of(1));
    ck_assert(image_topic_partition(topic, 0, &got));
    ck_assert(image_topic_partition(topic, 1, &got));
    ck_assert_int_eq(got.leader, 2);
    ck_assert(!image_topic_partition(topic, 2, &got));
    ck_assert_int_eq(image_partition_total(image), 2);
    image_release(&image);
}
END_TEST

START_TEST(a_topic_made_again_under_its_name_keeps_nothing)
{
    struct image_partition two[] = {partition(0, 1), partition(1, 1)};
    struct image *image = with_topics(
        image_create(),
        &(struct image_topic_change){
            .name = SLICE("t"), .id = id_of(1), .partitions = two, .partition_count = 2},
        1);

    image = with_topic(image, "t", id_of(2), 3);
    ck_assert_int_eq(image_topic_partition_count(image_topic(image, SLICE("t"))), 1);
    ck_assert_ptr_null(image_topic_by_id(image, id_of(1)));
    ck_assert_ptr_nonnull(image_topic_by_id(image, id_of(2)));
    ck_assert_int_eq(image_partition_total(image), 1);
    image_release(&image);
}
END_TEST

START_TEST(an_unchanged_topic_is_shared)
{
    struct image *image = with_topic(image_create(), "a", id_of(1), 1);

    image = with_topic(image, "b", id_of(2), 1);
    const struct image_topic *a = image_topic(image, SLICE("a"));
    image = with_topic(image, "c", id_of(3), 1);
    ck_assert_ptr_eq(image_topic(image, SLICE("a")), a);
    ck_assert_int_eq(image_topic_count(image), 3);
    ck_assert(slice_is(image_topic_name(image_topic_at(image, 1)), "b"));
    image_release(&image);
}
END_TEST

START_TEST(a_held_image_does_not_change)
{
    struct image *old = with_topic(image_create(), "t", id_of(1), 1);
    struct image *next = with_topic(image_hold(old), "t", id_of(1), 2);
    struct image_topic_change gone = {.name = SLICE("t"), .is_gone = true};
    struct image *last = with_topics(image_hold(next), &gone, 1);
    struct image_partition got;

    ck_assert_ptr_null(image_topic(last, SLICE("t")));
    image_release(&next); /* the one in the middle first: what it shared must live */
    image_release(&last); /* the newest before the oldest */
    ck_assert(image_topic_partition(image_topic(old, SLICE("t")), 0, &got));
    ck_assert_int_eq(got.leader, 1);
    image_release(&old);
}
END_TEST

START_TEST(a_whole_change_drops_what_it_does_not_name)
{
    struct image *image = with_topic(image_create(), "a", id_of(1), 1);

    image = with_topic(image, "b", id_of(2), 1);
    struct image_partition one = partition(0, 1);
    struct image_topic_change b = {
        .name = SLICE("b"), .id = id_of(2), .partitions = &one, .partition_count = 1};
    struct image *next =
        image_next(image, &(struct image_change){.is_whole = true, .topics = &b, .topic_count = 1});
    image_release(&image);
    ck_assert_ptr_null(image_topic(next, SLICE("a")));
    ck_assert_ptr_null(image_topic_by_id(next, id_of(1)));
    ck_assert_int_eq(image_topic_count(next), 1);
    ck_assert_int_eq(image_partition_total(next), 1);
    image_release(&next);
}
END_TEST

START_TEST(brokers_are_found_by_id_and_listener)
{
    struct endpoint e[] = {{SLICE("A"), SLICE("one"), 9092, SECURITY_PLAINTEXT},
                           {SLICE("B"), SLICE("two"), 9093, SECURITY_PLAINTEXT}};
    struct image_broker brokers[] = {
        {.id = 9, .epoch = 90, .rack = SLICE("r"), .endpoints = e, .endpoint_count = 2},
        {.id = 3, .epoch = 30, .endpoints = e, .endpoint_count = 1}};
    struct image *first = image_create();
    struct image *image = image_next(first, &(struct image_change){.has_brokers = true,
                                                                   .brokers = brokers,
                                                                   .broker_count = 2,
                                                                   .has_controller = true,
                                                                   .controller_id = 3});
    image_release(&first);
    memset(brokers, 0, sizeof(brokers)); /* copied, not borrowed */
    memset(e, 0, sizeof(e));
    image = with_topic(image, "t", id_of(1), 1); /* they stay */

    ck_assert_int_eq(image_controller(image), 3);
    ck_assert_int_eq(image_broker_at(image, 0)->id, 3);
    ck_assert(slice_is_null(image_broker(image, 3)->rack));
    ck_assert(slice_is(image_broker(image, 9)->rack, "r"));
    ck_assert_int_eq(image_broker(image, 9)->epoch, 90);
    ck_assert_int_eq(image_endpoint(image_broker(image, 9), SLICE("B"))->port, 9093);
    ck_assert_ptr_null(image_endpoint(image_broker(image, 3), SLICE("B")));
    ck_assert_ptr_null(image_broker(image, 4));
    image_release(&image);
}
END_TEST

START_TEST(a_colliding_name_is_found_among_its_neighbours)
{
    struct image *image = with_topic(image_create(), "a.b_c", id_of(1), 1);

    image = with_topic(image, "a-b", id_of(2), 1);
    ck_assert_ptr_eq(image_topic_colliding(image, SLICE("a_b.c")),
                     image_topic(image, SLICE("a.b_c")));
    ck_assert_ptr_null(image_topic_colliding(image, SLICE("a.b_c"))); /* itself is no collision */
    ck_assert_ptr_null(image_topic_colliding(image, SLICE("a.b")));
    ck_assert_ptr_null(image_topic_colliding(image, SLICE("abc")));
    image_release(&image);
}
END_TEST

/* Random changes against a plain table, with images held and released in any order: the sanitizers
 * see what is freed too early or never. */
START_TEST(images_agree_with_a_plain_table)
{
    enum { NAMES = 40, HELD = 6 };
    struct prng prng;
    struct image *newest = image_create(), *held[HELD] = {0};
    int32_t leader[NAMES] = {0}; /* 0: no such topic */
    uint64_t id[NAMES] = {0};

    prng_init(&prng, 42);
    for (int round = 0; round < 2000; round++) {
        struct image_topic_change changes[4];
        struct image_partition parts[4];
        char names[4][16];
        int n = (int)prng_below(&prng, 5);
        for (int i = 0; i < n; i++) {
            int k = (int)prng_below(&prng, NAMES);
            bool goes = prng_below(&prng, 3) == 0;
            bool is_new = leader[k] == 0 || prng_below(&prng, 4) == 0;
            snprintf(names[i], sizeof(names[i]), "t%d", k);
            leader[k] = goes ? 0 : 1 + (int32_t)prng_below(&prng, 100);
            if (is_new) id[k] = prng_next(&prng);
            parts[i] = partition(0, goes ? LEADER_DURING_DELETE : leader[k]);
            changes[i] = (struct image_topic_change){.name = slice_text(names[i]),
                                                     .id = id_of(id[k]),
                                                     .partitions = &parts[i],
                                                     .partition_count = 1};
        }
        newest = with_topics(newest, changes, n);
        int slot = (int)prng_below(&prng, HELD);
        image_release(&held[slot]);
        held[slot] = prng_below(&prng, 2) == 0 ? image_hold(newest) : NULL;

        int exist = 0;
        for (int k = 0; k < NAMES; k++) {
            char name[16];
            snprintf(name, sizeof(name), "t%d", k);
            const struct image_topic *topic = image_topic(newest, slice_text(name));
            ck_assert((topic != NULL) == (leader[k] != 0));
            if (topic == NULL) continue;
            exist++;
            ck_assert_int_eq(image_topic_partition_at(topic, 0).leader, leader[k]);
            ck_assert_ptr_eq(image_topic_by_id(newest, id_of(id[k])), topic);
        }
        ck_assert_int_eq(image_partition_total(newest), exist);
    }
    image_release(&newest);
    for (int i = 0; i < HELD; i++)
        image_release(&held[i]);
}
END_TEST

UNIT(what_was_put_in_comes_out, a_change_of_one_partition_leaves_the_others,
     a_topic_made_again_under_its_name_keeps_nothing, an_unchanged_topic_is_shared,
     a_held_image_does_not_change, a_whole_change_drops_what_it_does_not_name,
     brokers_are_found_by_id_and_listener, a_colliding_name_is_found_among_its_neighbours,
     images_agree_with_a_plain_table)
