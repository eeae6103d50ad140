#include "tests/unit/unit.h"
#include "zk/paths.h"

static struct arena arena = {.limit = 1 << 20};

static void check(struct slice path, const char *expected)
{
    ck_assert_str_eq((const char *)path.ptr, expected); /* and a NUL stands behind it */
    ck_assert_uint_eq(path.len, strlen(expected));
}

START_TEST(paths_are_those_of_kafka)
{
    check(path_broker(&arena, 7), "/brokers/ids/7");
    check(path_controller_process(&arena, 101), "/controllers/ids/101");
    check(path_topic(&arena, SLICE("a.b")), "/brokers/topics/a.b");
    check(path_partitions(&arena, SLICE("t")), "/brokers/topics/t/partitions");
    check(path_partition(&arena, SLICE("t"), 12), "/brokers/topics/t/partitions/12");
    check(path_state(&arena, SLICE("t"), 0), "/brokers/topics/t/partitions/0/state");
    check(path_delete_topic(&arena, SLICE("t")), "/admin/delete_topics/t");
    check(path_config_topic(&arena, SLICE("t")), "/config/topics/t");
    check(path_token(&arena, SLICE("x")), "/delegation_token/tokens/x");
    check(path_consumer_offset(&arena, SLICE("g"), SLICE("t"), 3), "/consumers/g/offsets/t/3");
    check(path_acl_resource(&arena, false, SLICE("Topic"), SLICE("*")), "/kafka-acl/Topic/*");
    check(path_acl_resource(&arena, true, SLICE("TransactionalId"), SLICE("tx-")),
          "/kafka-acl-extended/prefixed/TransactionalId/tx-");
    check(path_child(&arena, SLICE("/"), SLICE("a")), "/a");
    check(PATH_ISR_CHANGE_NEW, "/isr_change_notification/isr_change_");
    check(PATH_ACL_CHANGE_EXTENDED_NEW, "/kafka-acl-extended-changes/acl_changes_");
    check(PATH_TOKEN_CHANGE_NEW, "/delegation_token/token_changes/token_change_");
}
END_TEST

START_TEST(a_full_arena_gives_a_null_path)
{
    struct arena small = {.limit = 8};

    ck_assert(slice_is_null(path_topic(&small, SLICE("orders"))));
    ck_assert(slice_is_null(path_consumer_offset(&small, SLICE("g"), SLICE("t"), 3)));
    ck_assert(slice_is_null(path_sanitise(&small, SLICE("a long name"))));
    arena_fini(&small);
}
END_TEST

START_TEST(the_start_ensures_kafkas_list_in_kafkas_order)
{
    static const char *const kafka[] = {
        "/consumers",
        "/brokers/ids",
        "/brokers/topics",
        "/config/changes",
        "/admin/delete_topics",
        "/brokers/seqid",
        "/isr_change_notification",
        "/latest_producer_id_block",
        "/log_dir_event_notification",
        "/config/topics",
        "/config/clients",
        "/config/users",
        "/config/brokers",
        "/config/ips",
    };

    ck_assert_int_ge(path_ensured_count, 14);
    for (int i = 0; i < 14; i++)
        check(path_ensured[i], kafka[i]);
    check(path_ensured[14], "/controllers/ids");
    ck_assert_int_eq(path_ensured_acl_count, 2 * 7 + 2);
    check(path_ensured_acl[4], "/kafka-acl/TransactionalId");
    check(path_ensured_acl[7], "/kafka-acl-extended/prefixed");
    check(path_ensured_token[0], "/delegation_token/token_changes");
}
END_TEST

START_TEST(names_are_encoded_as_java_does_it)
{
    struct slice back = SLICE_NULL;

    check(path_sanitise(&arena, SLICE("User:al ice*~<é>")), "User%3Aal%20ice%2A%7E%3C%C3%A9%3E");
    check(path_sanitise(&arena, SLICE("aZ09.-_")), "aZ09.-_");
    check(path_sanitise(&arena, SLICE("")), "");
    ck_assert_int_eq(path_desanitise(&arena, SLICE("a%2a+%C3%A9"), &back), ERR_OK);
    check(back, "a* é");
    ck_assert_int_eq(path_desanitise(&arena, SLICE("a%2"), &back), ERR_INVALID);
    ck_assert_int_eq(path_desanitise(&arena, SLICE("a%"), &back), ERR_INVALID);
    ck_assert_int_eq(path_desanitise(&arena, SLICE("%zz"), &back), ERR_INVALID);
    check(back, "a* é");
}
END_TEST

static void check_entity(struct path_entity entity, const char *expected)
{
    struct path_entity back = {.type = PATH_ENTITY_TOPIC};

    check(path_entity(&arena, &entity), expected);
    ck_assert_int_eq(path_parse_entity(&arena, slice_text(expected), &back), ERR_OK);
    ck_assert_int_eq(back.type, entity.type);
    ck_assert(slice_equal(back.name, entity.name));
    ck_assert(slice_equal(back.client, entity.client));
}

START_TEST(entities_go_both_ways)
{
    check_entity((struct path_entity){PATH_ENTITY_TOPIC, SLICE("foo"), SLICE_NULL}, "topics/foo");
    check_entity((struct path_entity){PATH_ENTITY_BROKER, SLICE("1"), SLICE_NULL}, "brokers/1");
    check_entity((struct path_entity){PATH_ENTITY_BROKER, SLICE_NULL, SLICE_NULL},
                 "brokers/<default>");
    check_entity((struct path_entity){PATH_ENTITY_CLIENT, SLICE("a/b"), SLICE_NULL},
                 "clients/a%2Fb");
    check_entity((struct path_entity){PATH_ENTITY_USER, SLICE("<default>"), SLICE_NULL},
                 "users/%3Cdefault%3E");
    check_entity((struct path_entity){PATH_ENTITY_USER_CLIENT, SLICE("alice"), SLICE("app 1")},
                 "users/alice/clients/app%201");
    check_entity((struct path_entity){PATH_ENTITY_USER_CLIENT, SLICE_NULL, SLICE_NULL},
                 "users/<default>/clients/<default>");
    check_entity((struct path_entity){PATH_ENTITY_IP, SLICE("10.0.0.1"), SLICE_NULL},
                 "ips/10.0.0.1");
    check(path_config(&arena, &(struct path_entity){PATH_ENTITY_USER, SLICE("bob"), SLICE_NULL}),
          "/config/users/bob");
}
END_TEST

START_TEST(entities_of_no_known_form_are_refused)
{
    static const char *const bad[] = {"",
                                      "topics",
                                      "topics/",
                                      "topics/a/b",
                                      "nobody/x",
                                      "users/a/b/c",
                                      "users/a/clients/",
                                      "users//clients/x",
                                      "clients/%zz",
                                      "/config/topics/foo"};
    struct path_entity out = {.type = PATH_ENTITY_IP, .name = SLICE("untouched")};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(path_parse_entity(&arena, slice_text(bad[i]), &out) != ERR_OK, "%s", bad[i]);
    ck_assert(out.type == PATH_ENTITY_IP && slice_is(out.name, "untouched"));
}
END_TEST

START_TEST(events_name_their_nodes)
{
    struct slice topic = SLICE_NULL;
    int32_t number = -7;

    ck_assert_int_eq(path_parse_broker(SLICE("/brokers/ids/12"), &number), ERR_OK);
    ck_assert_int_eq(number, 12);
    ck_assert_int_eq(path_parse_broker(SLICE("/brokers/ids/"), &number), ERR_INVALID);
    ck_assert_int_eq(path_parse_broker(SLICE("/brokers/ids"), &number), ERR_INVALID);
    ck_assert_int_eq(path_parse_broker(SLICE("/brokers/idsx/1"), &number), ERR_INVALID);
    ck_assert_int_eq(path_parse_broker(SLICE("/brokers/ids/1/2"), &number), ERR_INVALID);
    ck_assert_int_eq(path_parse_controller_process(SLICE("/controllers/ids/101"), &number), ERR_OK);
    ck_assert_int_eq(number, 101);
    ck_assert_int_eq(path_parse_topic(SLICE("/brokers/topics/a"), &topic), ERR_OK);
    check(topic, "a");
    ck_assert_int_eq(path_parse_topic(SLICE("/brokers/topics/a/partitions"), &topic), ERR_INVALID);
    ck_assert_int_eq(
        path_parse_state(SLICE("/brokers/topics/t/partitions/4/state"), &topic, &number), ERR_OK);
    ck_assert(slice_is(topic, "t") && number == 4);
    ck_assert_int_eq(
        path_parse_state(SLICE("/brokers/topics/t/partitions/x/state"), &topic, &number),
        ERR_INVALID);
    ck_assert_int_eq(path_parse_state(SLICE("/brokers/topics/t/partitions/4"), &topic, &number),
                     ERR_INVALID);
    ck_assert(slice_is(path_last(SLICE("/a/b")), "b") && slice_is(path_last(SLICE("/")), ""));
    ck_assert(slice_is(path_parent(SLICE("/a/b")), "/a") &&
              slice_is(path_parent(SLICE("/a")), "/"));
    ck_assert(slice_is_null(path_parent(SLICE("/"))));
}
END_TEST

START_TEST(ids_are_written_in_one_way_only)
{
    int32_t id = -7;

    ck_assert_int_eq(path_parse_id(SLICE("0"), &id), ERR_OK);
    ck_assert_int_eq(id, 0);
    ck_assert_int_eq(path_parse_id(SLICE("2147483647"), &id), ERR_OK);
    ck_assert_int_eq(path_parse_id(SLICE("2147483648"), &id), ERR_INVALID);
    ck_assert_int_eq(path_parse_id(SLICE("-1"), &id), ERR_INVALID);
    ck_assert_int_eq(path_parse_id(SLICE("+1"), &id), ERR_INVALID);
    ck_assert_int_eq(path_parse_id(SLICE("01"), &id), ERR_INVALID);
    ck_assert_int_eq(path_parse_id(SLICE(""), &id), ERR_INVALID);
    ck_assert_int_eq(id, INT32_MAX);
}
END_TEST

START_TEST(sequences_are_read_behind_their_prefix)
{
    int64_t number = -7;

    ck_assert_int_eq(path_parse_sequence(SLICE("isr_change_0000000012"), "isr_change_", &number),
                     ERR_OK);
    ck_assert_int_eq(number, 12);
    /* The counter of a parent wraps around after 2^31 children. */
    ck_assert_int_eq(path_parse_sequence(SLICE("isr_change_-2147483648"), "isr_change_", &number),
                     ERR_OK);
    ck_assert_int_eq(number, INT32_MIN);
    ck_assert_int_eq(path_parse_sequence(SLICE("isr_change_12"), "isr_change_", &number),
                     ERR_INVALID);
    ck_assert_int_eq(path_parse_sequence(SLICE("config_change_0000000012"), "isr_change_", &number),
                     ERR_INVALID);
    ck_assert_int_eq(path_parse_sequence(SLICE("isr_change_00000x0012"), "isr_change_", &number),
                     ERR_INVALID);
}
END_TEST

START_TEST(acls_follow_the_path)
{
    ck_assert_int_eq(path_acl(SLICE("/consumers")), ZK_ACL_OPEN);
    ck_assert_int_eq(path_acl(SLICE("/consumers/g")), ZK_ACL_CREATOR_AND_READ);
    ck_assert_int_eq(path_acl(SLICE("/config/users")), ZK_ACL_CREATOR);
    ck_assert_int_eq(path_acl(SLICE("/config/brokers/1")), ZK_ACL_CREATOR);
    ck_assert_int_eq(path_acl(SLICE("/delegation_token/tokens/x")), ZK_ACL_CREATOR);
    ck_assert_int_eq(path_acl(SLICE("/delegation_token/token_changes")), ZK_ACL_CREATOR_AND_READ);
    ck_assert_int_eq(path_acl(SLICE("/config/topics/t")), ZK_ACL_CREATOR_AND_READ);
    ck_assert_int_eq(path_acl(SLICE("/brokers/ids/1")), ZK_ACL_CREATOR_AND_READ);
}
END_TEST

UNIT(paths_are_those_of_kafka, a_full_arena_gives_a_null_path,
     the_start_ensures_kafkas_list_in_kafkas_order, names_are_encoded_as_java_does_it,
     entities_go_both_ways, entities_of_no_known_form_are_refused, events_name_their_nodes,
     ids_are_written_in_one_way_only, sequences_are_read_behind_their_prefix, acls_follow_the_path)
