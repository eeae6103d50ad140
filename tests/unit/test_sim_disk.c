#include "tests/sim/disk.h"
#include "tests/unit/files_promises.h"
#include "tests/unit/sim_env.h"

static struct sim_env process;
static struct sim_disk *disk;
static struct sim_device *device;
static uint64_t seed = 1;

static void run_process(void)
{
    sim_env_init(&process, disk);
    env = &process.env;
}

static void files_start(void)
{
    disk = sim_disk_create(seed, "m");
    device = sim_disk_mount(disk, "/data", UINT64_C(16) << 20);
    snprintf(dir, sizeof(dir), "/data/d");
    run_process();
    ck_assert_int_eq(files_make_directory(env, dir), ERR_OK);
    ck_assert_int_eq(files_sync_directory(env, "/data"), ERR_OK);
}

static void files_stop(void)
{
    sim_env_fini(&process);
    sim_disk_destroy(&disk);
}

/* Kill, perhaps with the power, and start again. */
static void killed(void)
{
    sim_env_fini(&process);
    run_process();
}

static void power_lost(enum sim_fate fate)
{
    sim_env_fini(&process);
    sim_disk_power_loss(disk, fate);
    run_process();
}

static struct file *open_file(const char *name)
{
    struct file *file = NULL;

    ck_assert_int_eq(files_open(env, name, FILE_WRITE | FILE_CREATE, &file), ERR_OK);
    return file;
}

static void add(struct file *file, uint64_t at, const char *text)
{
    ck_assert_int_eq(file_write_at(env, file, at, slice_text(text)), ERR_OK);
}

START_TEST(a_kill_keeps_everything_and_lets_go_of_locks)
{
    struct file *lock = NULL;

    start();
    put_text(path, "never synced");
    ck_assert_int_eq(files_lock(env, in_dir("lock"), &lock), ERR_OK);
    sim_files_kill(process.files);
    ck_assert_int_eq(file_write_at(env, lock, 0, SLICE("x")), ERR_IO); /* the dead do nothing */
    ck_assert_int_eq(files_remove(env, path), ERR_IO);
    file_close(env, &lock);
    killed();
    ck_assert(has_text(path, "never synced"));
    ck_assert_int_eq(files_lock(env, in_dir("lock"), &lock), ERR_OK);
    file_close(env, &lock);
    ck_assert(has_text(in_dir("lock"), ""));
    ck_assert_int_eq(files_remove(env, in_dir("lock")), ERR_OK);
    stop();
}
END_TEST

START_TEST(power_loss_takes_what_was_not_synced_and_nothing_else)
{
    start();
    struct file *file = open_file(path);
    add(file, 0, "synced ");
    ck_assert_int_eq(file_sync(env, file), ERR_OK);
    ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
    add(file, 7, "not ");
    add(file, 2, "ZZ");
    ck_assert_int_eq(file_truncate(env, file, 4), ERR_OK);
    power_lost(SIM_FATE_DROPPED);
    ck_assert(has_text(path, "synced ")); /* size and all */

    file = open_file(path);
    add(file, 7, "kept");
    ck_assert_int_eq(file_truncate(env, file, 9), ERR_OK);
    power_lost(SIM_FATE_KEPT);
    ck_assert(has_text(path, "synced ke"));
    stop();
}
END_TEST

START_TEST(a_name_lasts_when_its_directory_was_synced)
{
    start();
    struct file *file = open_file(path);
    add(file, 0, "text");
    ck_assert_int_eq(file_sync(env, file), ERR_OK); /* of the file, not of its name */
    power_lost(SIM_FATE_DROPPED);
    ck_assert(!has_text(path, "text"));

    put_text(path, "old");
    file = open_file(path);
    ck_assert_int_eq(file_sync(env, file), ERR_OK);
    ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
    file_close(env, &file);
    put_text(in_dir("temp"), "new");
    file = open_file(in_dir("temp"));
    ck_assert_int_eq(file_sync(env, file), ERR_OK);
    ck_assert_int_eq(files_rename(env, in_dir("temp"), path), ERR_OK);
    ck_assert(has_text(path, "new"));
    power_lost(SIM_FATE_DROPPED);
    ck_assert(has_text(path, "old"));
    ck_assert_int_eq(files_remove(env, path), ERR_OK);
    power_lost(SIM_FATE_DROPPED);
    ck_assert(has_text(path, "old")); /* it is back */
    ck_assert_int_eq(files_remove(env, path), ERR_OK);
    ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
    power_lost(SIM_FATE_DROPPED);
    ck_assert(!has_text(path, "old"));
    stop();
}
END_TEST

START_TEST(replace_is_whole_whatever_the_luck)
{
    int old = 0, new = 0;

    for (seed = 1; seed <= 300; seed++) {
        struct sim_nth nth = {.kinds = SIM_CHANGES, .at = (int)(seed % 7), .dies = true};
        start();
        ck_assert_int_eq(files_replace(env, path, SLICE("old")), ERR_OK);
        sim_files_plan(process.files, &nth);
        enum err err = files_replace(env, path, SLICE("newer"));
        power_lost(SIM_FATE_DRAWN);
        bool is_old = has_text(path, "old"), is_new = has_text(path, "newer");
        ck_assert_msg(is_old || is_new, "seed %d", (int)seed);
        ck_assert(err != ERR_OK || is_new);
        old += is_old;
        new += is_new;
        enum err removed = files_remove(env, in_dir("file.tmp"));
        ck_assert(removed == ERR_OK || removed == ERR_NOT_FOUND);
        stop();
    }
    ck_assert(old > 20 && new > 20);
}
END_TEST

/* Without the sync of the file the new name may come before the bytes: the model finds whoever
 * forgets it. */
START_TEST(a_rename_without_a_sync_loses_the_text)
{
    int lost = 0;

    for (seed = 1; seed <= 200; seed++) {
        start();
        ck_assert_int_eq(files_replace(env, path, SLICE("old")), ERR_OK);
        put_text(in_dir("temp"), "newer");
        ck_assert_int_eq(files_rename(env, in_dir("temp"), path), ERR_OK);
        ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
        power_lost(SIM_FATE_DRAWN);
        lost += !has_text(path, "newer");
        ck_assert(!has_text(path, "old"));
        stop();
    }
    ck_assert_int_gt(lost, 50);
}
END_TEST

START_TEST(replaced_files_are_counted_until_their_directory_is_synced)
{
    start();
    ck_assert_int_eq(files_replace(env, path, SLICE("old")), ERR_OK);
    ck_assert_int_eq(files_replace(env, path, SLICE("new")), ERR_OK);
    ck_assert_int_eq(sim_disk_replaced(disk), 0);
    for (int i = 1; i <= 3; i++) {
        put_text(in_dir("temp"), "newer");
        ck_assert_int_eq(files_rename(env, in_dir("temp"), path), ERR_OK);
        ck_assert_int_eq(sim_disk_replaced(disk), i);
    }
    ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
    ck_assert_int_eq(sim_disk_replaced(disk), 0);
    stop();
}
END_TEST

enum { RECORD = 100, RECORDS = 300 };

static void fill(uint8_t *bytes, int number)
{
    for (int i = 0; i < RECORD; i++)
        bytes[i] = (uint8_t)(number * 7 + i + 1);
}

START_TEST(torn_appends_end_at_sectors_and_leave_what_was_synced)
{
    int torn = 0, zeros = 0, garbage = 0, whole = 0, none = 0, damaged = 0, wrong_garbage = 0;

    for (seed = 1; seed <= 300; seed++) {
        uint8_t record[RECORD], back[RECORDS * RECORD];
        size_t n = 0;
        start();
        sim_device_faults(device)->has_garbage = seed % 2 == 0;
        struct file *file = open_file(path);
        ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
        for (int i = 0; i < RECORDS; i++) {
            fill(record, i);
            ck_assert_int_eq(
                file_write_at(env, file, (uint64_t)i * RECORD, slice_of(record, RECORD)), ERR_OK);
            if (i == 99) ck_assert_int_eq(file_sync(env, file), ERR_OK);
        }
        power_lost(SIM_FATE_MIXED);
        file = open_file(path);
        ck_assert_int_eq(file_read_at(env, file, 0, back, sizeof(back), &n), ERR_OK);
        ck_assert_uint_ge(n, 100 * RECORD);
        for (size_t i = 0; i < n; i++) {
            bool is_right = back[i] == (uint8_t)(i / RECORD * 7 + i % RECORD + 1);
            if (is_right) continue;
            damaged += i < 100 * RECORD; /* that was synced */
            zeros += back[i] == 0;
            garbage += back[i] != 0;
            wrong_garbage += seed % 2 == 1 && back[i] != 0;
        }
        ck_assert_msg(damaged == 0 && wrong_garbage == 0, "seed %d", (int)seed);
        whole += n == sizeof(back);
        none += n == 100 * RECORD;
        torn += n % RECORD != 0 && n % SIM_SECTOR_BYTES == 0;
        file_close(env, &file);
        stop();
    }
    ck_assert(torn > 20 && zeros > 1000 && garbage > 1000 && whole > 50 && none > 20);
}
END_TEST

START_TEST(what_follows_a_lost_truncation_is_lost_too)
{
    for (seed = 1; seed <= 200; seed++) {
        struct buf text;
        start();
        buf_init(&text);
        put_text(path, "aaaabbbb");
        struct file *file = open_file(path);
        ck_assert_int_eq(file_sync(env, file), ERR_OK);
        ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
        ck_assert_int_eq(file_truncate(env, file, 4), ERR_OK);
        add(file, 4, "cc");
        power_lost(SIM_FATE_MIXED);
        ck_assert_int_eq(files_read_all(env, path, 100, &text), ERR_OK);
        struct slice found = buf_slice(&text);
        ck_assert_msg(slice_is(found, "aaaabbbb") || slice_is(found, "aaaa") ||
                          slice_is(found, "aaaacc") ||
                          (found.len == 6 && memcmp(found.ptr, "aaaa\0\0", 6) == 0),
                      "%.*s", SLICE_ARGS(found));
        buf_fini(&text);
        stop();
    }
}
END_TEST

START_TEST(after_a_failed_sync_the_next_one_succeeds_and_the_pages_are_gone)
{
    int seen_at_once = 0, lost = 0;

    for (seed = 1; seed <= 100; seed++) {
        struct sim_nth nth = {.kinds = SIM_SYNC, .err = ERR_IO};
        start();
        put_text(path, "safe");
        struct file *file = open_file(path);
        ck_assert_int_eq(file_sync(env, file), ERR_OK);
        ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
        add(file, 4, " lost");
        sim_files_plan(process.files, &nth);
        ck_assert_int_eq(file_sync(env, file), ERR_IO);
        seen_at_once += !has_text(path, "safe lost");
        ck_assert_int_eq(file_sync(env, file), ERR_OK);
        add(file, 0, "SAFE");
        ck_assert_int_eq(file_sync(env, file), ERR_OK);
        power_lost(SIM_FATE_KEPT); /* what has been lost is not kept by any luck */
        lost += has_text(path, "SAFE");
        ck_assert(has_text(path, "SAFE") || has_text(path, "SAFE lost"));
        stop();
    }
    ck_assert(lost > 50 && seen_at_once > 20 && seen_at_once < lost);
}
END_TEST

START_TEST(a_sync_of_the_system_covers_files_and_names_of_its_device_only)
{
    start();
    sim_disk_mount(disk, "/other", 1 << 20);
    put_text(path, "text");
    put_text("/other/file", "other");
    ck_assert_int_eq(files_make_directory(env, in_dir("sub")), ERR_OK);
    put_text(in_dir("sub/file"), "deep");
    ck_assert_int_eq(files_sync_system(env, "/data"), ERR_OK);
    ck_assert_int_eq(files_rename(env, path, "/other/moved"), ERR_IO); /* another device */
    power_lost(SIM_FATE_DROPPED);
    ck_assert(has_text(path, "text"));
    ck_assert(has_text(in_dir("sub/file"), "deep"));
    ck_assert(!has_text("/other/file", "other"));
    ck_assert_int_eq(files_remove(env, in_dir("sub/file")), ERR_OK);
    ck_assert_int_eq(files_remove_directory(env, in_dir("sub")), ERR_OK);
    stop();
}
END_TEST

START_TEST(a_full_disk_says_so_and_gives_room_again)
{
    static uint8_t block[64 * 1024];
    uint64_t size = 0, total = 0, usable = 0;
    enum err err = ERR_OK;

    start();
    struct file *file = open_file(path);
    while (err == ERR_OK) {
        ck_assert_int_eq(file_size(env, file, &size), ERR_OK);
        err = file_write_at(env, file, size, slice_of(block, 60000));
    }
    ck_assert_int_eq(err, ERR_FULL);
    ck_assert_int_eq(file_size(env, file, &size), ERR_OK);
    ck_assert(size > (UINT64_C(15) << 20) && size <= UINT64_C(16) << 20);
    ck_assert_int_eq(files_space(env, dir, &total, &usable), ERR_OK);
    ck_assert(total == UINT64_C(16) << 20 && usable < 60000);
    add(file, 0, "in place"); /* takes no more room */
    sim_device_fill(device, usable);
    struct file *other = NULL;
    ck_assert_int_eq(files_open(env, in_dir("other"), FILE_WRITE | FILE_CREATE, &other), ERR_FULL);
    ck_assert_int_eq(files_make_directory(env, in_dir("sub")), ERR_FULL);
    ck_assert_int_eq(file_allocate(env, file, UINT64_C(20) << 20), ERR_FULL);
    sim_device_fill(device, 0);
    /* A removed file gives its room when it is closed. */
    ck_assert_int_eq(files_remove(env, path), ERR_OK);
    ck_assert_int_eq(files_space(env, dir, &total, &usable), ERR_OK);
    ck_assert_uint_lt(usable, 60000);
    file_close(env, &file);
    ck_assert_int_eq(files_space(env, dir, &total, &usable), ERR_OK);
    ck_assert_uint_gt(usable, UINT64_C(15) << 20);
    /* Room that is reserved is taken, and given back by a cut. */
    file = open_file(path);
    ck_assert_int_eq(file_allocate(env, file, 1 << 20), ERR_OK);
    struct file_status status;
    ck_assert_int_eq(files_status(env, path, &status), ERR_OK);
    ck_assert_uint_eq(status.disk_bytes, 1 << 20);
    ck_assert_int_eq(file_truncate(env, file, 100), ERR_OK);
    ck_assert_int_eq(files_status(env, path, &status), ERR_OK);
    ck_assert_uint_eq(status.disk_bytes, 0);
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(a_broken_sector_stays_broken_until_it_is_written)
{
    uint8_t back[2000];
    size_t n = 0;

    start();
    struct file *file = open_file(path);
    ck_assert_int_eq(file_write_at(env, file, 0, slice_of(back, sizeof(back))), ERR_OK);
    sim_disk_break(disk, path, 600);
    ck_assert_int_eq(file_read_at(env, file, 0, back, 512, &n), ERR_OK);
    ck_assert_int_eq(file_read_at(env, file, 0, back, 513, &n), ERR_IO);
    ck_assert_int_eq(file_read_at(env, file, 1023, back, 10, &n), ERR_IO);
    killed();
    file = open_file(path);
    ck_assert_int_eq(file_read_at(env, file, 600, back, 1, &n), ERR_IO);
    ck_assert_int_eq(file_write_at(env, file, 512, slice_of(back, 512)), ERR_OK);
    ck_assert_int_eq(file_read_at(env, file, 0, back, 2000, &n), ERR_OK);
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(rot_flips_one_bit_of_what_is_there)
{
    uint8_t back[8];
    size_t n = 0;
    int bits = 0;

    start();
    ck_assert(!sim_disk_rot(disk, "/data")); /* nothing to spoil */
    put_text(path, "\1\1\1\1\1\1\1\1");
    ck_assert(sim_disk_rot(disk, "/data"));
    power_lost(SIM_FATE_KEPT);
    struct file *file = open_file(path);
    ck_assert_int_eq(file_read_at(env, file, 0, back, 8, &n), ERR_OK);
    for (int i = 0; i < 8; i++)
        bits += __builtin_popcount(back[i] ^ 1u);
    ck_assert_int_eq(bits, 1);
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(faults_are_drawn_at_their_rates)
{
    int failed[3] = {0}, misses = 0;
    uint8_t back[10];
    size_t n = 0;

    start();
    struct file *file = open_file(path);
    for (int fault = 0; fault < SIM_DISK_FAULTS; fault++)
        sim_device_faults(device)->per_million[fault] = 100000;
    for (int i = 0; i < 1000; i++) {
        failed[0] += file_write_at(env, file, 0, SLICE("0123456789")) == ERR_IO;
        failed[1] += file_sync(env, file) == ERR_IO;
        enum err err = file_read_at(env, file, 0, back, 10, &n);
        failed[2] += err == ERR_IO;
        ck_assert_int_eq(file_read_cached(env, file, 0, back, 10, &n), ERR_OK);
        misses += n == 0;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_msg(failed[i] > 50 && (failed[i] < 200 || i == 2), "%d: %d", i, failed[i]);
    ck_assert_int_gt(misses, 50);
    sim_device_faults(device)->is_broken = true;
    ck_assert_int_eq(file_write_at(env, file, 0, SLICE("x")), ERR_IO);
    ck_assert_int_eq(files_remove(env, path), ERR_IO);
    *sim_device_faults(device) = (struct sim_device_faults){.cannot_tell_cached = true};
    ck_assert_int_eq(file_read_cached(env, file, 0, back, 10, &n), ERR_UNSUPPORTED);
    file_close(env, &file);
    stop();
}
END_TEST

/* One life: everything that can be done, as luck has it. */
static uint64_t one_life(uint64_t luck_seed, bool *same_image)
{
    struct prng luck;
    char name[16];

    prng_init(&luck, luck_seed);
    seed = luck_seed;
    start();
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 60; i++) {
            struct file *file = NULL;
            snprintf(name, sizeof(name), "f%d", (int)prng_below(&luck, 5));
            uint64_t what = prng_below(&luck, 9), at = prng_below(&luck, 9000);
            ck_assert_int_eq(files_open(env, in_dir(name), FILE_WRITE | FILE_CREATE, &file),
                             ERR_OK);
            if (what < 5) add(file, at, "some text that is written");
            if (what == 5) ck_assert_int_eq(file_truncate(env, file, at), ERR_OK);
            if (what == 6) ck_assert_int_eq(file_sync(env, file), ERR_OK);
            file_close(env, &file);
            if (what == 7) ck_assert_int_eq(files_remove(env, in_dir(name)), ERR_OK);
            if (what == 8) (void)!files_rename(env, in_dir(name), in_dir("f2"));
            if (i % 20 == 19) ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
        }
        uint64_t before = sim_disk_hash(disk);
        killed();
        ck_assert_uint_eq(sim_disk_hash(disk), before);
        power_lost(SIM_FATE_DRAWN);
        /* What is left is durable: a second loss takes nothing more. */
        before = sim_disk_hash(disk);
        power_lost(SIM_FATE_DROPPED);
        *same_image = sim_disk_hash(disk) == before;
        ck_assert(*same_image);
    }
    uint64_t hash = sim_disk_hash(disk);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        (void)!files_remove(env, in_dir(name));
    }
    ck_assert_uint_eq(sim_device_usable(device), (UINT64_C(16) << 20) - 2 * 4096);
    stop();
    return hash;
}

START_TEST(the_same_seed_gives_the_same_disk)
{
    bool same = false;
    uint64_t differ = 0;

    for (uint64_t at = 1; at <= 40; at++) {
        uint64_t first = one_life(at, &same);
        ck_assert_uint_eq(one_life(at, &same), first);
        differ += one_life(at + 1000, &same) != first;
    }
    ck_assert_uint_eq(differ, 40);
}
END_TEST

START_TEST(the_nth_operation_fails_and_is_named)
{
    struct sim_nth nth = {.kinds = SIM_CHANGES, .at = 2, .err = ERR_FULL};
    int failures = 0;

    start();
    sim_files_plan(process.files, &nth);
    struct file *file = open_file(path); /* 0 */
    add(file, 0, "a");                   /* 1 */
    ck_assert_int_eq(files_rename(env, path, in_dir("b")), ERR_FULL);
    ck_assert(nth.was_reached && strstr(nth.what, "/b") != NULL);
    ck_assert_int_eq(files_rename(env, path, in_dir("b")), ERR_OK);
    nth = (struct sim_nth){.kinds = SIM_WRITE, .at = 1, .err = ERR_IO, .goes_on = true};
    for (int i = 0; i < 5; i++)
        failures += file_write_at(env, file, 0, SLICE("x")) == ERR_IO;
    ck_assert_int_eq(failures, 4);
    nth = (struct sim_nth){.kinds = SIM_ALL, .at = 0, .dies = true};
    ck_assert_int_ne(files_remove(env, in_dir("b")), ERR_OK);
    ck_assert(sim_files_is_dead(process.files));
    file_close(env, &file);
    killed();
    (void)!files_remove(env, in_dir("b"));
    stop();
}
END_TEST

UNIT(FILES_PROMISES, a_kill_keeps_everything_and_lets_go_of_locks,
     power_loss_takes_what_was_not_synced_and_nothing_else,
     a_name_lasts_when_its_directory_was_synced, replace_is_whole_whatever_the_luck,
     a_rename_without_a_sync_loses_the_text,
     replaced_files_are_counted_until_their_directory_is_synced,
     torn_appends_end_at_sectors_and_leave_what_was_synced,
     what_follows_a_lost_truncation_is_lost_too,
     after_a_failed_sync_the_next_one_succeeds_and_the_pages_are_gone,
     a_sync_of_the_system_covers_files_and_names_of_its_device_only,
     a_full_disk_says_so_and_gives_room_again, a_broken_sector_stays_broken_until_it_is_written,
     rot_flips_one_bit_of_what_is_there, faults_are_drawn_at_their_rates,
     the_same_seed_gives_the_same_disk, the_nth_operation_fails_and_is_named)
