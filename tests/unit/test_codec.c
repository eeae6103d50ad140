/* The engine on a small table written by hand; all messages are in test_messages.c. */
#include "wire/codec.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"
#include "wire/prim.h"

struct pet {
    struct slice name;
    int32_t age; /* 1+, else -1 */
};
struct shop {
    struct slice owner; /* may be null 1+ */
    struct {
        struct pet *at;
        int32_t count;
    } pets;                /* may be null */
    struct pet *favourite; /* may be null */
    struct slice password; /* secret */
    struct slice records;  /* may be null */
    int16_t level;         /* 2+, tag 0, else 7 */
    struct slice note;     /* 2+, tag 1, may be null, else null */
    struct slice classic;  /* 2+, int16 length in a flexible version */
};

#define NEVER_NULL .null_min = 1, .null_max = 0
static const struct wire_field pet_fields[] = {
    {.name = "name",
     .type = WIRE_STRING,
     .tag = -1,
     .min = 0,
     .max = 2,
     NEVER_NULL,
     .offset = offsetof(struct pet, name)},
    {.name = "age",
     .type = WIRE_INT32,
     .tag = -1,
     .min = 1,
     .max = 2,
     NEVER_NULL,
     .offset = offsetof(struct pet, age),
     .absent = -1},
};
static const uint16_t pet_least[] = {2, 6, 6};
static const struct wire_struct pet_wire = {.name = "pet",
                                            .fields = pet_fields,
                                            .field_count = 2,
                                            .tagged = 2,
                                            .min = 0,
                                            .max = 2,
                                            .flexible_min = 2,
                                            .size = sizeof(struct pet),
                                            .least = pet_least};
static const struct wire_field shop_fields[] = {
    {.name = "owner",
     .type = WIRE_STRING,
     .tag = -1,
     .min = 0,
     .max = 2,
     .null_min = 1,
     .null_max = 2,
     .offset = offsetof(struct shop, owner)},
    {.name = "pets",
     .type = WIRE_STRUCT,
     .is_array = true,
     .tag = -1,
     .min = 0,
     .max = 2,
     .null_min = 0,
     .null_max = 2,
     .offset = offsetof(struct shop, pets),
     .of = &pet_wire},
    {.name = "favourite",
     .type = WIRE_STRUCT,
     .tag = -1,
     .min = 1,
     .max = 2,
     .null_min = 1,
     .null_max = 2,
     .offset = offsetof(struct shop, favourite),
     .of = &pet_wire,
     .is_null_absent = true},
    {.name = "password",
     .type = WIRE_BYTES,
     .tag = -1,
     .min = 0,
     .max = 2,
     NEVER_NULL,
     .is_secret = true,
     .offset = offsetof(struct shop, password)},
    {.name = "records",
     .type = WIRE_RECORDS,
     .tag = -1,
     .min = 0,
     .max = 2,
     .null_min = 0,
     .null_max = 2,
     .offset = offsetof(struct shop, records)},
    {.name = "classic",
     .type = WIRE_STRING,
     .tag = -1,
     .min = 2,
     .max = 2,
     NEVER_NULL,
     .is_classic = true,
     .offset = offsetof(struct shop, classic)},
    {.name = "level",
     .type = WIRE_INT16,
     .tag = 0,
     .min = 2,
     .max = 2,
     NEVER_NULL,
     .offset = offsetof(struct shop, level),
     .absent = 7},
    {.name = "note",
     .type = WIRE_STRING,
     .tag = 1,
     .min = 2,
     .max = 2,
     .null_min = 2,
     .null_max = 2,
     .is_null_absent = true,
     .offset = offsetof(struct shop, note)},
};
static const uint16_t shop_least[] = {14, 15, 8};
static const struct wire_struct shop_wire = {.name = "shop",
                                             .fields = shop_fields,
                                             .field_count = 8,
                                             .tagged = 6,
                                             .min = 0,
                                             .max = 2,
                                             .flexible_min = 2,
                                             .size = sizeof(struct shop),
                                             .least = shop_least};

static struct arena arena;
static struct buf out;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    buf_init(&out);
}

static void end(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

static struct slice hex(const char *text)
{
    return values_hex(&arena, text);
}

START_TEST(a_classic_version_is_laid_out_as_the_protocol_says)
{
    begin();
    struct pet pets[] = {{SLICE("cat"), 3}};
    struct shop shop = {
        .owner = SLICE("o"), .pets = {pets, 1}, .password = SLICE("pw"), .records = SLICE("R")};
    wire_write(&out, 1, &shop_wire, &shop);
    ck_assert(slice_equal(buf_slice(&out), hex("0001 6f | 00000001 0003 636174 00000003 | ff |"
                                               "00000002 7077 | 00000001 52")));
    ck_assert_uint_eq(wire_size(1, &shop_wire, &shop), out.len);
    end();
}
END_TEST

START_TEST(a_flexible_version_is_compact_and_carries_tags)
{
    begin();
    struct pet favourite = {SLICE("ox"), 1};
    struct shop shop = {.pets = {NULL, -1},
                        .favourite = &favourite,
                        .password = SLICE(""),
                        .records = SLICE_NULL,
                        .classic = SLICE("c"),
                        .level = 8,
                        .note = SLICE("n")};
    wire_write(&out, 2, &shop_wire, &shop);
    ck_assert(
        slice_equal(buf_slice(&out), hex("00 | 00 | 01 03 6f78 00000001 00 | 01 | 00 | 0001 63 |"
                                         "02 00 02 0008 01 02 02 6e")));
    ck_assert_uint_eq(wire_size(2, &shop_wire, &shop), out.len);

    struct shop back;
    ck_assert_int_eq(wire_read(buf_slice(&out), 2, &shop_wire, &arena, &back), ERR_OK);
    ck_assert(wire_equal(2, &shop_wire, &shop, &back));
    ck_assert(slice_is_null(back.owner) && back.pets.count == -1 && back.favourite->age == 1);
    end();
}
END_TEST

START_TEST(a_tagged_field_with_its_absent_value_is_not_written)
{
    begin();
    struct shop shop;
    wire_default(&shop_wire, &shop);
    ck_assert_int_eq(shop.level, 7);
    ck_assert(slice_is_null(shop.note) && shop.favourite == NULL);
    wire_write(&out, 2, &shop_wire, &shop);
    ck_assert_uint_eq(out.ptr[out.len - 1], 0);

    buf_clear(&out);
    shop.note = SLICE(""); /* empty is not null here */
    wire_write(&out, 2, &shop_wire, &shop);
    ck_assert(slice_equal(slice_of(out.ptr + out.len - 4, 4), hex("01 01 01 01")));
    end();
}
END_TEST

START_TEST(what_a_version_lacks_reads_as_absent)
{
    begin();
    struct shop shop;
    memset(&shop, 0x55, sizeof(shop));
    ck_assert_int_eq(wire_read(hex("0000 | 00000001 0001 61 | 00000000 | ffffffff"), 0, &shop_wire,
                               &arena, &shop),
                     ERR_OK);
    ck_assert_int_eq(shop.level, 7);
    ck_assert_int_eq(shop.pets.at[0].age, -1);
    ck_assert(shop.favourite == NULL && slice_is_null(shop.note));
    ck_assert(!slice_is_null(shop.owner) && shop.owner.len == 0);
    ck_assert(!slice_is_null(shop.classic) && shop.classic.len == 0);
    end();
}
END_TEST

static enum err read_shop(const char *text, int version)
{
    struct shop shop;
    return wire_read(hex(text), version, &shop_wire, &arena, &shop);
}

START_TEST(null_where_none_may_be_is_corrupt)
{
    begin();
    ck_assert_int_eq(read_shop("ffff 00000000 00000000 ffffffff", 0), ERR_CORRUPT);
    ck_assert_int_eq(read_shop("ffff 00000000 ff 00000000 ffffffff", 1), ERR_OK);
    ck_assert_int_eq(read_shop("0000 00000000 ffffffff ffffffff", 0), ERR_CORRUPT); /* bytes */
    /* any negative length is null, not only -1 */
    ck_assert_int_eq(read_shop("8000 80000000 80 00000000 fffffffe", 1), ERR_OK);
    /* the array may be null; a name in it may not */
    ck_assert_int_eq(read_shop("0000 00000001 ffff 00000000 ffffffff", 0), ERR_CORRUPT);
    end();
}
END_TEST

START_TEST(a_count_is_not_believed_beyond_the_bytes_that_are_left)
{
    begin();
    /* one element of two bytes would fit, two are claimed */
    ck_assert_int_eq(read_shop("0000 00000005 0000 00000000", 0), ERR_TRUNCATED);
    ck_assert_int_eq(read_shop("0000 7fffffff 0000 00000000", 0), ERR_TRUNCATED);
    ck_assert_int_eq(read_shop("01 ffffffff07", 2), ERR_TRUNCATED);
    end();
}
END_TEST

START_TEST(the_arena_bounds_what_a_message_can_take)
{
    begin();
    struct arena small;
    arena_init(&small, 2 * sizeof(struct pet));
    struct shop shop;
    struct slice two = hex("0000 00000002 0000 0000 00000000 ffffffff");
    struct slice three = hex("0000 00000003 0000 0000 0000 00000000 ffffffff");
    ck_assert_int_eq(wire_read(two, 0, &shop_wire, &small, &shop), ERR_OK);
    arena_reset(&small);
    ck_assert_int_eq(wire_read(three, 0, &shop_wire, &small, &shop), ERR_LIMIT);
    arena_fini(&small);
    end();
}
END_TEST

START_TEST(each_cut_of_a_message_is_truncated)
{
    begin();
    for (int version = 0; version <= 2; version++) {
        const void *shop = values_make(7, version, &shop_wire, &arena);
        buf_clear(&out);
        wire_write(&out, version, &shop_wire, shop);
        for (size_t n = 0; n < out.len; n++) {
            /* a copy of its own, so that the sanitizer sees a read behind the end */
            uint8_t *copy = malloc(n == 0 ? 1 : n);
            memcpy(copy, out.ptr, n);
            struct shop back;
            enum err err = wire_read(slice_of(copy, n), version, &shop_wire, &arena, &back);
            ck_assert_int_ne(err, ERR_OK);
            free(copy);
        }
    }
    end();
}
END_TEST

START_TEST(bytes_left_over_are_ignored_and_take_leaves_them)
{
    begin();
    struct shop shop;
    struct slice in = hex("0000 00000000 00000000 ffffffff 0102");
    ck_assert_int_eq(wire_read(in, 0, &shop_wire, &arena, &shop), ERR_OK);
    ck_assert_int_eq(wire_take(&in, 0, &shop_wire, &arena, &shop), ERR_OK);
    ck_assert(slice_equal(in, hex("0102")));
    ck_assert_int_eq(wire_take(&in, 0, &shop_wire, &arena, &shop), ERR_TRUNCATED);
    ck_assert_uint_eq(in.len, 2);
    end();
}
END_TEST

START_TEST(unknown_tags_are_skipped_and_bad_ones_refused)
{
    begin();
    const char *head = "01 01 ff 01 00 0000";
    char text[200];
    struct {
        const char *tags;
        enum err err;
    } cases[] = {
        {"00", ERR_OK},
        {"01 05 03 aabbcc", ERR_OK},
        {"02 00 02 0009 85 01 00", ERR_OK},        /* tag 133, empty */
        {"02 00 02 0009 00 02 0009", ERR_CORRUPT}, /* twice */
        {"02 01 02 0261 00 02 0009", ERR_CORRUPT}, /* descending */
        {"01 00 03 000900", ERR_CORRUPT},          /* not used up */
        {"01 00 01 00", ERR_TRUNCATED},            /* its body is too short for it */
        {"01 00 05 0009", ERR_TRUNCATED},          /* the message is too short for its body */
        {"ffffffff0f 00 02 0009", ERR_TRUNCATED},  /* so many are not there */
        {"01 01 02 05 61", ERR_TRUNCATED},         /* a length within the body */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "%s %s", head, cases[i].tags);
        ck_assert_msg(read_shop(text, 2) == cases[i].err, "%s", cases[i].tags);
    }
    end();
}
END_TEST

START_TEST(a_string_is_at_most_32767_bytes)
{
    begin();
    struct shop shop, back;
    wire_default(&shop_wire, &shop);
    /* 32766 letters, then characters of two bytes: the wire has no room for the first of them */
    uint8_t *text = arena_zalloc(&arena, 32770);
    memset(text, 'x', 32766);
    memcpy(text + 32766, "\xc3\xa4\xc3\xa4", 4);
    shop.owner = slice_of(text, 32770);
    for (int version = 1; version <= 2; version++) {
        buf_clear(&out);
        wire_write(&out, version, &shop_wire, &shop);
        ck_assert_uint_eq(out.len, wire_size(version, &shop_wire, &shop));
        ck_assert_int_eq(wire_read(buf_slice(&out), version, &shop_wire, &arena, &back), ERR_OK);
        ck_assert_uint_eq(back.owner.len, 32766);
    }
    /* and a longer one is not believed: compact length 32769 */
    buf_clear(&out);
    prim_add_uvarint(&out, 32769);
    buf_add(&out, text, 32768);
    ck_assert_int_eq(wire_read(buf_slice(&out), 2, &shop_wire, &arena, &back), ERR_CORRUPT);
    end();
}
END_TEST

START_TEST(null_where_the_version_allows_none_goes_out_as_empty)
{
    begin();
    struct shop shop = {0}, back;
    wire_write(&out, 0, &shop_wire, &shop);
    ck_assert_int_eq(wire_read(buf_slice(&out), 0, &shop_wire, &arena, &back), ERR_OK);
    ck_assert(!slice_is_null(back.owner));
    ck_assert(wire_equal(0, &shop_wire, &shop, &back)); /* the same bytes */
    ck_assert(!wire_equal(1, &shop_wire, &shop, &back));
    end();
}
END_TEST

START_TEST(records_go_out_as_splices_that_nobody_follows)
{
    begin();
    struct wire_splices splices;
    wire_splices_init(&splices);
    struct shop shop;
    wire_default(&shop_wire, &shop);
    shop.records = slice_of((const void *)8, 1000000); /* a cookie: reading it would crash */
    for (int version = 0; version <= 2; version++) {
        buf_clear(&out);
        wire_splices_clear(&splices);
        wire_write_spliced(&out, version, &shop_wire, &shop, &splices);
        ck_assert_uint_eq(splices.count, 1);
        ck_assert_ptr_eq(splices.list[0].records.ptr, (const void *)8);
        ck_assert_uint_eq(out.len + 1000000, wire_size(version, &shop_wire, &shop));
        wire_print(&out, version, &shop_wire, &shop);
    }
    /* Put together, it is what wire_write writes. */
    shop.records = SLICE("bytes of a file");
    struct buf whole, joined;
    buf_init(&whole);
    buf_init(&joined);
    wire_write(&whole, 2, &shop_wire, &shop);
    buf_clear(&out);
    wire_splices_clear(&splices);
    wire_write_spliced(&out, 2, &shop_wire, &shop, &splices);
    buf_add(&joined, out.ptr, splices.list[0].at);
    buf_add_slice(&joined, splices.list[0].records);
    buf_add(&joined, out.ptr + splices.list[0].at, out.len - splices.list[0].at);
    ck_assert(slice_equal(buf_slice(&whole), buf_slice(&joined)));

    shop.records = SLICE(""); /* nothing to send: no splice */
    wire_splices_clear(&splices);
    wire_write_spliced(&out, 2, &shop_wire, &shop, &splices);
    ck_assert_uint_eq(splices.count, 0);
    buf_fini(&whole);
    buf_fini(&joined);
    wire_splices_fini(&splices);
    end();
}
END_TEST

START_TEST(printing_is_one_unambiguous_line_without_secrets)
{
    begin();
    struct pet pets[] = {{SLICE("cat"), 3}, {SLICE("a \"b\"\n"), -1}};
    struct shop shop = {.owner = SLICE("null"),
                        .pets = {pets, 2},
                        .password = SLICE("pw"),
                        .records = SLICE("RR"),
                        .classic = SLICE(""),
                        .level = 7};
    wire_print(&out, 2, &shop_wire, &shop);
    ck_assert(slice_is(buf_slice(&out),
                       "owner=\"null\" pets=[{name=cat age=3} {name=\"a \\\"b\\\"\\x0a\" age=-1}] "
                       "favourite=null password=*** records=<2 bytes> classic=\"\""));
    end();
}
END_TEST

START_TEST(a_version_that_is_not_there_is_unsupported)
{
    begin();
    struct shop shop;
    ck_assert_int_eq(wire_read(SLICE("aaaaaaaaaaaaaaaaaaaaaa"), 3, &shop_wire, &arena, &shop),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(wire_read(SLICE("aaaaaaaaaaaaaaaaaaaaaa"), -1, &shop_wire, &arena, &shop),
                     ERR_UNSUPPORTED);
    int version = 0;
    ck_assert_int_eq(wire_read_versioned(hex("0003 00"), &shop_wire, &arena, &version, &shop),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(version, 3);
    ck_assert_int_eq(wire_read_versioned(hex("00"), &shop_wire, &arena, &version, &shop),
                     ERR_TRUNCATED);
    ck_assert_int_eq(wire_read_versioned(hex("ffff"), &shop_wire, &arena, &version, &shop),
                     ERR_CORRUPT);
    wire_default(&shop_wire, &shop);
    wire_write_versioned(&out, 1, &shop_wire, &shop);
    ck_assert_int_eq(wire_read_versioned(buf_slice(&out), &shop_wire, &arena, &version, &shop),
                     ERR_OK);
    ck_assert_int_eq(version, 1);
    end();
}
END_TEST

UNIT(a_classic_version_is_laid_out_as_the_protocol_says,
     a_flexible_version_is_compact_and_carries_tags,
     a_tagged_field_with_its_absent_value_is_not_written, what_a_version_lacks_reads_as_absent,
     null_where_none_may_be_is_corrupt, a_count_is_not_believed_beyond_the_bytes_that_are_left,
     the_arena_bounds_what_a_message_can_take, each_cut_of_a_message_is_truncated,
     bytes_left_over_are_ignored_and_take_leaves_them,
     unknown_tags_are_skipped_and_bad_ones_refused, a_string_is_at_most_32767_bytes,
     null_where_the_version_allows_none_goes_out_as_empty,
     records_go_out_as_splices_that_nobody_follows,
     printing_is_one_unambiguous_line_without_secrets, a_version_that_is_not_there_is_unsupported)
