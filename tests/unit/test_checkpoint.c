#include "broker/log/checkpoint.h"
#include "unit.h"

static void expect_text(const struct buf *got, const char *want)
{
    ck_assert_msg(slice_is(buf_slice(got), want), "got <%.*s>", SLICE_ARGS(buf_slice(got)));
}

static void collect(void *to, struct slice topic, int32_t partition, int64_t offset)
{
    buf_printf(to, "%.*s/%d/%lld;", SLICE_ARGS(topic), partition, (long long)offset);
}

static enum err read_text(const char *text, const char *want)
{
    struct buf got;
    buf_init(&got);
    enum err err = checkpoint_read(slice_text(text), collect, &got);
    if (want != NULL) expect_text(&got, want);
    buf_fini(&got);
    return err;
}

START_TEST(offset_files_are_kafkas_byte_for_byte)
{
    struct buf out;
    buf_init(&out);
    checkpoint_begin(&out, 2);
    checkpoint_add(&out, SLICE("a.topic-x"), 0, 4711);
    checkpoint_add(&out, SLICE("b"), 12, INT64_MAX);
    expect_text(&out, "0\n2\na.topic-x 0 4711\nb 12 9223372036854775807\n");
    ck_assert_int_eq(read_text("0\n2\na.topic-x 0 4711\nb 12 9223372036854775807\n",
                               "a.topic-x/0/4711;b/12/9223372036854775807;"),
                     ERR_OK);
    buf_clear(&out);
    checkpoint_begin(&out, 0);
    expect_text(&out, "0\n0\n");
    buf_fini(&out);
}
END_TEST

START_TEST(no_bytes_or_a_version_alone_is_no_entries)
{
    ck_assert_int_eq(read_text("", ""), ERR_OK);
    ck_assert_int_eq(read_text("0\n", ""), ERR_OK);
    ck_assert_int_eq(read_text("0", ""), ERR_OK);
    ck_assert_int_eq(read_text("0\n0\n", ""), ERR_OK);
}
END_TEST

START_TEST(fields_may_stand_apart)
{
    ck_assert_int_eq(read_text("0\n1\na \t 0   7  \n", "a/0/7;"), ERR_OK);
    ck_assert_int_eq(read_text("0\n1\na 0 7", "a/0/7;"), ERR_OK); /* no last newline */
}
END_TEST

START_TEST(another_shape_is_corrupt)
{
    static const char *const bad[] = {"1\n0\n",
                                      "x\n0\n",
                                      " 0\n0\n",
                                      "0 \n0\n",
                                      "0\n-1\n",
                                      "0\nx\n",
                                      "0\n2\na 0 1\n",
                                      "0\n1\n",
                                      "0\n0\na 0 1\n",
                                      "0\n1\na 0 1\n\n",
                                      "0\n1\na 0\n",
                                      "0\n1\na 0 1 2\n",
                                      "0\n1\n\n",
                                      "\n",
                                      "0\n\n",
                                      "0\n1\na 0 1\nb 0",
                                      "0\n99999999999\na 0 1\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(read_text(bad[i], "") == ERR_CORRUPT, "%zu", i);
}
END_TEST

START_TEST(a_field_that_is_no_number_is_another_error)
{
    ck_assert_int_eq(read_text("0\n1\na x 1\n", NULL), ERR_INVALID);
    ck_assert_int_eq(read_text("0\n1\na 0 1x\n", NULL), ERR_INVALID);
    ck_assert_int_eq(read_text("0\n1\na 0 99999999999999999999\n", NULL), ERR_INVALID);
    /* The shape is judged first, of the whole file. */
    ck_assert_int_eq(read_text("0\n2\na x 1\nb\n", NULL), ERR_CORRUPT);
}
END_TEST

START_TEST(epoch_files_are_kafkas_byte_for_byte)
{
    struct epochs epochs, back;
    struct buf out;
    bool changed;

    buf_init(&out);
    epochs_init(&epochs);
    epochs_init(&back);
    ck_assert_int_eq(epochs_start(&epochs, 0, 0, &changed), ERR_OK);
    ck_assert_int_eq(epochs_start(&epochs, 5, 1234567890123, &changed), ERR_OK);
    checkpoint_write_epochs(&out, &epochs);
    expect_text(&out, "0\n2\n0 0\n5 1234567890123\n");
    ck_assert_int_eq(checkpoint_read_epochs(buf_slice(&out), &back), ERR_OK);
    ck_assert_int_eq(back.count, 2);
    ck_assert_int_eq(back.at[1].epoch, 5);
    ck_assert_int_eq(back.at[1].start, 1234567890123);
    ck_assert_int_eq(checkpoint_read_epochs(SLICE("0\n1\n1 2 3\n"), &back), ERR_CORRUPT);
    ck_assert_int_eq(checkpoint_read_epochs(SLICE("0\n1\n1 a\n"), &back), ERR_INVALID);
    ck_assert_int_eq(checkpoint_read_epochs(SLICE("0\n1\n-1 0\n"), &back), ERR_INVALID);
    buf_fini(&out);
    epochs_fini(&epochs);
    epochs_fini(&back);
}
END_TEST

START_TEST(topic_id_files_are_kafkas_byte_for_byte)
{
    struct uuid id = {{0}}, back;
    struct buf out;

    for (int i = 0; i < 16; i++)
        id.bytes[i] = (uint8_t)(i * 17);
    buf_init(&out);
    checkpoint_write_topic_id(&out, id);
    expect_text(&out, "version: 0\ntopic_id: ABEiM0RVZneImaq7zN3u_w");
    ck_assert_int_eq(checkpoint_read_topic_id(buf_slice(&out), &back), ERR_OK);
    ck_assert(uuid_equal(id, back));
    /* Key names are not compared; a newline at the end is fine. */
    ck_assert_int_eq(checkpoint_read_topic_id(SLICE("v: 1\nid:  ABEiM0RVZneImaq7zN3u_w\n"), &back),
                     ERR_OK);
    static const char *const bad[] = {"",
                                      "version: 0\n",
                                      "version: -1\ntopic_id: ABEiM0RVZneImaq7zN3u_w",
                                      "version: x\ntopic_id: ABEiM0RVZneImaq7zN3u_w",
                                      "version:0\ntopic_id: ABEiM0RVZneImaq7zN3u_w",
                                      "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
                                      "version: 0\ntopic_id: short"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(checkpoint_read_topic_id(slice_text(bad[i]), &back) == ERR_CORRUPT, "%zu", i);
    buf_fini(&out);
}
END_TEST

UNIT(offset_files_are_kafkas_byte_for_byte, no_bytes_or_a_version_alone_is_no_entries,
     fields_may_stand_apart, another_shape_is_corrupt, a_field_that_is_no_number_is_another_error,
     epoch_files_are_kafkas_byte_for_byte, topic_id_files_are_kafkas_byte_for_byte)
