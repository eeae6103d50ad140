#include "broker/log/index.h"
#include "log_world.h"

static struct world *w;
static struct log_files *files;
static struct segment_place place;
static struct index offsets, times;

static void begin(void)
{
    w = world_create();
    files = log_files_create(&w->env, 4);
    place = (struct segment_place){.files = files, .directory = w->dir, .base = 1000};
    ck_assert_int_eq(index_create(&offsets, INDEX_OFFSETS, &place), ERR_OK);
    ck_assert_int_eq(index_create(&times, INDEX_TIMES, &place), ERR_OK);
}

static void end(void)
{
    index_fini(&offsets);
    index_fini(&times);
    log_files_destroy(&files);
    world_destroy(w);
}

static void add(struct index *index, int64_t key, int64_t value)
{
    ck_assert_int_eq(index_add(index, &place, (struct index_entry){key, value}), ERR_OK);
}

static int64_t find(struct index *index, int64_t key)
{
    struct index_entry entry = {-1, -1};
    enum err err = index_find(index, &place, key, &entry);
    ck_assert(err == ERR_OK || (err == ERR_NOT_FOUND && entry.value == -1));
    return entry.value;
}

START_TEST(entries_are_kafkas_byte_for_byte)
{
    static const uint8_t offset_bytes[] = {0, 0, 0, 9,    0,    0, 0x10, 0x01,
                                           0, 0, 1, 0x0a, 0x7f, 0, 0,    0};
    static const uint8_t time_bytes[] = {0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0, 9};
    struct buf bytes;

    begin();
    buf_init(&bytes);
    add(&offsets, 9, 4097);
    add(&offsets, 266, 0x7f000000);
    add(&times, 1700000000000, 9);
    ck_assert_int_eq(world_size(w, "00000000000000001000.index"), 0); /* in memory until saved */
    ck_assert_int_eq(index_save(&offsets, &place, false), ERR_OK);
    ck_assert_int_eq(index_save(&times, &place, true), ERR_OK);
    world_get(w, "00000000000000001000.index", &bytes);
    ck_assert(slice_equal(buf_slice(&bytes), slice_of(offset_bytes, sizeof(offset_bytes))));
    world_get(w, "00000000000000001000.timeindex", &bytes);
    ck_assert(slice_equal(buf_slice(&bytes), slice_of(time_bytes, sizeof(time_bytes))));
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(the_greatest_that_is_not_above_is_found_in_file_and_memory)
{
    begin();
    for (int i = 0; i < 5000; i++)
        add(&offsets, 10 + i * 10, i * 100);
    ck_assert_int_gt(offsets.saved, 0);             /* some went to the file by themselves */
    ck_assert_int_lt(offsets.tail_capacity, 16384); /* and did not stay in memory */
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(find(&offsets, 9), -1);
        for (int i = 0; i < 5000; i++) {
            ck_assert_int_eq(find(&offsets, 10 + i * 10), i * 100);
            ck_assert_int_eq(find(&offsets, 19 + i * 10), i * 100);
        }
        ck_assert_int_eq(index_save(&offsets, &place, round == 0), ERR_OK);
    }
    /* Read anew, as after a restart. */
    index_fini(&offsets);
    index_init(&offsets, INDEX_OFFSETS);
    ck_assert_int_eq(find(&offsets, 25004), 249900);
    ck_assert_int_eq(offsets.count, 5000);
    struct index_entry entry;
    ck_assert_int_eq(index_find_value(&offsets, &place, 101, &entry), ERR_OK);
    ck_assert_int_eq(entry.key, 30);
    ck_assert_int_eq(index_find_value(&offsets, &place, 499901, &entry), ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(order_is_kept)
{
    begin();
    add(&offsets, 10, 100);
    ck_assert_int_eq(index_add(&offsets, &place, (struct index_entry){10, 200}), ERR_INVALID);
    ck_assert_int_eq(index_add(&offsets, &place, (struct index_entry){9, 200}), ERR_INVALID);
    ck_assert_int_eq(offsets.count, 1);
    add(&times, 500, 10);
    add(&times, 500, 20); /* not later: no entry, no error */
    ck_assert_int_eq(times.count, 1);
    add(&times, 501, 20);
    ck_assert_int_eq(times.count, 2);
    end();
}
END_TEST

START_TEST(truncation_drops_the_offset_itself)
{
    for (int saved = 0; saved < 2; saved++) {
        begin();
        for (int i = 1; i <= 2000; i++) {
            add(&offsets, i * 10, i);
            add(&times, i * 1000, i * 10);
        }
        if (saved) {
            ck_assert_int_eq(index_save(&offsets, &place, true), ERR_OK);
            ck_assert_int_eq(index_save(&times, &place, true), ERR_OK);
        }
        ck_assert_int_eq(index_truncate(&offsets, &place, 19990), ERR_OK);
        ck_assert_int_eq(offsets.count, 1998);
        ck_assert_int_eq(index_truncate(&offsets, &place, 100), ERR_OK);
        ck_assert_int_eq(index_truncate(&times, &place, 101), ERR_OK);
        ck_assert_int_eq(offsets.count, 9);
        ck_assert_int_eq(times.count, 10);
        ck_assert_int_eq(offsets.last.key, 90);
        ck_assert_int_eq(find(&offsets, 1000000), 9);
        add(&offsets, 95, 10); /* goes on from there */
        ck_assert_int_eq(index_save(&offsets, &place, true), ERR_OK);
        ck_assert_int_eq(index_save(&times, &place, true), ERR_OK);
        ck_assert_int_eq(world_size(w, "00000000000000001000.index"), 80);
        ck_assert_int_eq(world_size(w, "00000000000000001000.timeindex"), 120);
        ck_assert_int_eq(find(&offsets, 96), 10);
        ck_assert_int_eq(index_truncate(&offsets, &place, 0), ERR_OK);
        ck_assert_int_eq(find(&offsets, 96), -1);
        end();
    }
}
END_TEST

START_TEST(a_time_index_keeps_a_place_for_the_last_entry)
{
    begin();
    for (int i = 1; i <= 9; i++) {
        add(&offsets, i, i);
        add(&times, i, i);
        ck_assert_int_eq(index_is_full(&offsets, 80), i >= 10);
        ck_assert_int_eq(index_is_full(&times, 120), i >= 9);
    }
    add(&offsets, 10, 10);
    ck_assert(index_is_full(&offsets, 80));
    ck_assert(index_is_full(&offsets, 87)); /* not a multiple: rounded down */
    end();
}
END_TEST

START_TEST(a_full_disk_loses_no_entry)
{
    begin();
    world_fault(w, FAULT_FAIL, ERR_FULL, 0);
    for (int i = 1; i <= 3000; i++) {
        w->nth.seen = 0; /* each write fails */
        add(&offsets, i, i);
    }
    world_fault(w, FAULT_NONE, ERR_OK, 0);
    for (int i = 1; i <= 3000; i++)
        ck_assert_int_eq(find(&offsets, i), i);
    ck_assert_int_eq(index_save(&offsets, &place, true), ERR_OK);
    ck_assert_int_eq(world_size(w, "00000000000000001000.index"), 24000);
    end();
}
END_TEST

START_TEST(few_files_stay_open)
{
    struct log_file *slots[10] = {0}, *use = NULL, *held = NULL;
    char path[FILES_PATH_MAX];

    begin();
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof(path), "%s/%d", w->dir, i);
        ck_assert_int_eq(handles_use(files, &slots[i], path, FILE_WRITE | FILE_CREATE, &use),
                         ERR_OK);
        if (i == 0) held = handles_hold(use);
        handles_drop(&use);
    }
    ck_assert_int_eq(log_files_open_count(files), 5); /* four, and the one in use */
    ck_assert_ptr_nonnull(slots[0]);
    ck_assert_ptr_null(slots[1]); /* the oldest unused were closed, and their slots know */
    ck_assert_ptr_nonnull(slots[9]);
    handles_forget(&slots[0]);
    ck_assert_int_eq(log_files_open_count(files), 5); /* still in use */
    handles_drop(&held);
    ck_assert_int_eq(log_files_open_count(files), 4);
    for (int i = 1; i < 10; i++)
        handles_forget(&slots[i]);
    end();
}
END_TEST

UNIT(entries_are_kafkas_byte_for_byte, the_greatest_that_is_not_above_is_found_in_file_and_memory,
     order_is_kept, truncation_drops_the_offset_itself,
     a_time_index_keeps_a_place_for_the_last_entry, a_full_disk_loses_no_entry, few_files_stay_open)
