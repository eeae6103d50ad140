#include "wire/compress.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"

static struct arena arena;
static struct buf packed, plain;

static void begin(void)
{
    arena_init(&arena, 64 << 20);
    buf_init(&packed);
    buf_init(&plain);
}

static void end(void)
{
    arena_fini(&arena);
    buf_fini(&packed);
    buf_fini(&plain);
}

/* Half noise, half repetition: both the stored and the packed kinds of block come up. */
static struct slice make_data(size_t len)
{
    struct prng prng;
    uint8_t *at = arena_zalloc(&arena, len + 1);

    prng_init(&prng, len);
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(i % 200000 < 100000 ? prng_next(&prng) : i % 7);
    return slice_of(at, len);
}

START_TEST(every_codec_gives_back_what_it_took)
{
    static const size_t sizes[] = {0, 1, 100, 32768, 65536, 65537, 500000};

    begin();
    for (int codec = 0; codec < BATCH_CODEC_COUNT; codec++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            for (int magic = 0; magic <= 2; magic++) {
                struct slice data = make_data(sizes[i]);
                buf_clear(&packed);
                buf_clear(&plain);
                buf_add_text(&plain, "before");
                compress_write(codec, magic, COMPRESS_LEVEL_DEFAULT, data, &packed);
                ck_assert_int_eq(compress_read(codec, magic, buf_slice(&packed), sizes[i], &plain),
                                 ERR_OK);
                ck_assert(slice_equal(slice_of(plain.ptr + 6, plain.len - 6), data));
            }
        }
    }
    end();
}
END_TEST

START_TEST(reading_stops_at_the_limit)
{
    begin();
    struct slice data = make_data(300000);
    for (int codec = 0; codec < BATCH_CODEC_COUNT; codec++) {
        buf_clear(&packed);
        buf_clear(&plain);
        buf_add_text(&plain, "before");
        compress_write(codec, 2, COMPRESS_LEVEL_DEFAULT, data, &packed);
        ck_assert_msg(compress_read(codec, 2, buf_slice(&packed), data.len - 1, &plain) ==
                          ERR_LIMIT,
                      "%s", compress_name(codec));
        ck_assert_int_eq(compress_read(codec, 2, buf_slice(&packed), 0, &plain), ERR_LIMIT);
        ck_assert(slice_is(buf_slice(&plain), "before"));
        ck_assert_int_eq(compress_read(codec, 2, buf_slice(&packed), SIZE_MAX, &plain), ERR_OK);
    }
    end();
}
END_TEST

/* A gigabyte of zeros in a few kilobytes: memory stays near the limit. */
START_TEST(a_bomb_costs_no_more_than_the_limit)
{
    begin();
    uint8_t *zeros = arena_zalloc(&arena, 32 << 20);
    for (int codec = BATCH_CODEC_GZIP; codec < BATCH_CODEC_COUNT; codec++) {
        buf_clear(&packed);
        buf_fini(&plain);
        compress_write(codec, 2, COMPRESS_LEVEL_DEFAULT, slice_of(zeros, 32 << 20), &packed);
        ck_assert_int_eq(compress_read(codec, 2, buf_slice(&packed), 100000, &plain), ERR_LIMIT);
        ck_assert_uint_le(plain.capacity, 1 << 20);
    }
    end();
}
END_TEST

START_TEST(cut_or_changed_data_is_corrupt_or_at_least_harmless)
{
    begin();
    struct slice data = make_data(3000);
    struct prng prng;
    prng_init(&prng, 3);
    for (int codec = BATCH_CODEC_GZIP; codec < BATCH_CODEC_COUNT; codec++) {
        buf_clear(&packed);
        compress_write(codec, 2, COMPRESS_LEVEL_DEFAULT, data, &packed);
        for (size_t n = 0; n < packed.len; n++) {
            uint8_t *copy = malloc(n + 1);
            memcpy(copy, packed.ptr, n);
            buf_clear(&plain);
            enum err err = compress_read(codec, 2, slice_of(copy, n), 1 << 20, &plain);
            /* A snappy stream that ends between blocks looks whole. */
            ck_assert_msg(err == ERR_CORRUPT || (codec == BATCH_CODEC_SNAPPY && err == ERR_OK),
                          "%s cut at %zu: %s", compress_name(codec), n, err_name(err));
            free(copy);
        }
        for (int i = 0; i < 3000; i++) {
            size_t at = prng_below(&prng, packed.len);
            uint8_t old = packed.ptr[at];
            packed.ptr[at] = (uint8_t)prng_next(&prng);
            buf_clear(&plain);
            enum err err = compress_read(codec, 2, buf_slice(&packed), 10000, &plain);
            ck_assert(err == ERR_OK || err == ERR_CORRUPT || err == ERR_LIMIT);
            ck_assert_uint_le(plain.len, 10000);
            packed.ptr[at] = old;
        }
    }
    end();
}
END_TEST

START_TEST(a_codec_that_does_not_exist_is_unsupported)
{
    begin();
    for (int codec = BATCH_CODEC_COUNT; codec < 8; codec++)
        ck_assert_int_eq(compress_read(codec, 2, SLICE("x"), 10, &plain), ERR_UNSUPPORTED);
    end();
}
END_TEST

/* --- framing, by bytes worked out from reference/storage.md 2.7 --- */

START_TEST(snappy_is_written_as_xerial_and_read_raw_or_concatenated)
{
    begin();
    compress_write(BATCH_CODEC_SNAPPY, 2, COMPRESS_LEVEL_DEFAULT, SLICE("abc"), &packed);
    ck_assert(
        slice_equal(buf_slice(&packed), values_hex(&arena, "82534e4150505900 00000001 00000001"
                                                           "00000005 03 08 616263")));
    /* one stream behind the other */
    buf_add_slice(&packed, values_hex(&arena, "82534e4150505900 00000001 00000001 00000005 03 08 "
                                              "646566"));
    ck_assert_int_eq(compress_read(BATCH_CODEC_SNAPPY, 2, buf_slice(&packed), 100, &plain), ERR_OK);
    ck_assert(slice_is(buf_slice(&plain), "abcdef"));
    /* some clients send the bare block */
    buf_clear(&plain);
    ck_assert_int_eq(
        compress_read(BATCH_CODEC_SNAPPY, 2, values_hex(&arena, "03 08 616263"), 100, &plain),
        ERR_OK);
    ck_assert(slice_is(buf_slice(&plain), "abc"));
    end();
}
END_TEST

START_TEST(a_snappy_block_that_claims_too_much_gets_no_memory)
{
    begin();
    /* 100 MB claimed by six bytes */
    ck_assert_int_eq(
        compress_read(BATCH_CODEC_SNAPPY, 2, values_hex(&arena, "80c2d72f 0061"), 1 << 30, &plain),
        ERR_CORRUPT);
    ck_assert_uint_eq(plain.capacity, 0);
    end();
}
END_TEST

START_TEST(lz4_frames_have_kafkas_header_and_the_old_mistake_in_magic_0)
{
    begin();
    compress_write(BATCH_CODEC_LZ4, 2, COMPRESS_LEVEL_DEFAULT, SLICE("abc"), &packed);
    ck_assert(slice_equal(buf_slice(&packed),
                          values_hex(&arena, "04224d18 60 40 82 03000080 616263 00000000")));
    buf_clear(&packed);
    compress_write(BATCH_CODEC_LZ4, 0, COMPRESS_LEVEL_DEFAULT, SLICE("abc"), &packed);
    ck_assert(slice_equal(buf_slice(&packed),
                          values_hex(&arena, "04224d18 60 40 1a 03000080 616263 00000000")));
    /* only a reader of magic 0 takes that */
    ck_assert_int_eq(compress_read(BATCH_CODEC_LZ4, 0, buf_slice(&packed), 100, &plain), ERR_OK);
    ck_assert_int_eq(compress_read(BATCH_CODEC_LZ4, 1, buf_slice(&packed), 100, &plain),
                     ERR_CORRUPT);
    end();
}
END_TEST

START_TEST(lz4_options_of_other_writers)
{
    /* As magic 0, whose header checksum is not looked at, so that the rest can be tried. */
    static const struct {
        const char *hex;
        enum err err;
    } cases[] = {
        {"04224d18 68 40 0300000000000000 00 03000080 616263 00000000", ERR_OK}, /* content size */
        {"04224d18 64 70 00 03000080 616263 00000000 aabbccdd", ERR_OK}, /* content checksum */
        {"04224d18 60 40 00 03000080 616263 00000000 1122", ERR_OK},
        {"04224d18 70 40 00 03000080 616263 ff53d132 00000000", ERR_OK}, /* block checksum */
        {"04224d18 70 40 00 03000080 616263 ff53d133 00000000", ERR_CORRUPT},
        {"04224d18 40 40 00 03000080 616263 00000000", ERR_CORRUPT}, /* dependent blocks */
        {"04224d18 61 40 00 03000080 616263 00000000", ERR_CORRUPT}, /* dictionary */
        {"04224d18 a0 40 00 03000080 616263 00000000", ERR_CORRUPT}, /* version */
        {"04224d18 60 30 00 03000080 616263 00000000", ERR_CORRUPT}, /* block size */
        {"04224d18 60 48 00 03000080 616263 00000000", ERR_CORRUPT},
        {"05224d18 60 40 00 03000080 616263 00000000", ERR_CORRUPT},
        {"04224d18 60 40 00 03000080 616263", ERR_CORRUPT},          /* no end mark */
        {"04224d18 60 40 00 ffffffff 616263 00000000", ERR_CORRUPT}, /* block of 2 GiB */
    };

    begin();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&plain);
        enum err err =
            compress_read(BATCH_CODEC_LZ4, 0, values_hex(&arena, cases[i].hex), 100, &plain);
        ck_assert_msg(err == cases[i].err, "%s: %s", cases[i].hex, err_name(err));
        ck_assert(err != ERR_OK || slice_is(buf_slice(&plain), "abc"));
    }
    end();
}
END_TEST

START_TEST(gzip_members_follow_each_other)
{
    begin();
    compress_write(BATCH_CODEC_GZIP, 2, 1, SLICE("abc"), &packed);
    compress_write(BATCH_CODEC_GZIP, 2, 9, SLICE("def"), &packed);
    buf_add_text(&packed, "what is no member is ignored");
    ck_assert_int_eq(compress_read(BATCH_CODEC_GZIP, 2, buf_slice(&packed), 100, &plain), ERR_OK);
    ck_assert(slice_is(buf_slice(&plain), "abcdef"));
    end();
}
END_TEST

START_TEST(levels_are_those_of_kafka)
{
    begin();
    ck_assert(compress_level_is_valid(BATCH_CODEC_GZIP, -1));
    ck_assert(!compress_level_is_valid(BATCH_CODEC_GZIP, 0));
    ck_assert(!compress_level_is_valid(BATCH_CODEC_GZIP, 10));
    ck_assert(compress_level_is_valid(BATCH_CODEC_LZ4, 17));
    ck_assert(!compress_level_is_valid(BATCH_CODEC_LZ4, 0));
    ck_assert(compress_level_is_valid(BATCH_CODEC_ZSTD, -131072));
    ck_assert(!compress_level_is_valid(BATCH_CODEC_ZSTD, 23));
    ck_assert(!compress_level_is_valid(BATCH_CODEC_SNAPPY, 1));
    ck_assert(!compress_level_is_valid(5, COMPRESS_LEVEL_DEFAULT));
    static const int levels[][2] = {{BATCH_CODEC_GZIP, 9},
                                    {BATCH_CODEC_LZ4, 17},
                                    {BATCH_CODEC_LZ4, 1},
                                    {BATCH_CODEC_ZSTD, 22},
                                    {BATCH_CODEC_ZSTD, -5}};
    struct slice data = make_data(200000);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        buf_clear(&packed);
        buf_clear(&plain);
        compress_write(levels[i][0], 2, levels[i][1], data, &packed);
        ck_assert_int_eq(compress_read(levels[i][0], 2, buf_slice(&packed), data.len, &plain),
                         ERR_OK);
        ck_assert(slice_equal(buf_slice(&plain), data));
    }
    end();
}
END_TEST

START_TEST(names_are_those_of_the_configuration)
{
    int codec = -1;

    for (int i = 0; i < BATCH_CODEC_COUNT; i++) {
        ck_assert_int_eq(compress_parse(slice_text(compress_name(i)), &codec), ERR_OK);
        ck_assert_int_eq(codec, i);
    }
    ck_assert_int_eq(compress_parse(SLICE("Gzip"), &codec), ERR_INVALID);
    ck_assert_str_eq(compress_name(7), "unknown");
}
END_TEST

UNIT(every_codec_gives_back_what_it_took, reading_stops_at_the_limit,
     a_bomb_costs_no_more_than_the_limit, cut_or_changed_data_is_corrupt_or_at_least_harmless,
     a_codec_that_does_not_exist_is_unsupported,
     snappy_is_written_as_xerial_and_read_raw_or_concatenated,
     a_snappy_block_that_claims_too_much_gets_no_memory,
     lz4_frames_have_kafkas_header_and_the_old_mistake_in_magic_0, lz4_options_of_other_writers,
     gzip_members_follow_each_other, levels_are_those_of_kafka,
     names_are_those_of_the_configuration)
