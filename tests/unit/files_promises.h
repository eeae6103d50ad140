/* tests/unit/files_promises.h - what every world promises of files (runtime/files.h): run against
 * the operating system by test_files.c and against the simulated disk by test_sim_disk.c, so that
 * the model and reality agree. Who includes it gives files_start and files_stop, which make and
 * remove `dir`; `path` is a file in it. */
#pragma once
#include "base/buf.h"
#include "base/ensure.h"
#include "runtime/files.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static struct env *env;
static char dir[64];
static char path[128];

static void files_start(void);
static void files_stop(void);

static void start(void)
{
    files_start();
    snprintf(path, sizeof(path), "%s/file", dir);
}

static void stop(void)
{
    enum err err = files_remove(env, path);
    ck_assert(err == ERR_OK || err == ERR_NOT_FOUND);
    ck_assert_int_eq(files_remove_directory(env, dir), ERR_OK); /* nothing else was left behind */
    files_stop();
}

static struct file *open_new(void)
{
    struct file *file = NULL;

    ck_assert_int_eq(files_open(env, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file),
                     ERR_OK);
    return file;
}

static const char *in_dir(const char *name)
{
    static char paths[4][160];
    static int next;

    next = (next + 1) % 4;
    snprintf(paths[next], sizeof(paths[next]), "%s/%s", dir, name);
    return paths[next];
}

static void put_text(const char *name, const char *text)
{
    struct file *file = NULL;

    ck_assert_int_eq(files_open(env, name, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file),
                     ERR_OK);
    ck_assert_int_eq(file_write_at(env, file, 0, slice_text(text)), ERR_OK);
    file_close(env, &file);
}

static bool has_text(const char *name, const char *text)
{
    struct buf found;

    buf_init(&found);
    enum err err = files_read_all(env, name, 100000, &found);
    bool has = err == ERR_OK && slice_is(buf_slice(&found), text);
    buf_fini(&found);
    return has;
}

START_TEST(open_says_why_it_fails_and_gives_nothing)
{
    struct file *file = NULL;

    start();
    ck_assert_int_eq(files_open(env, path, FILE_READ, &file), ERR_NOT_FOUND);
    ck_assert_ptr_null(file);
    file = open_new();
    file_close(env, &file);
    ck_assert_ptr_null(file);
    ck_assert_int_eq(files_open(env, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file),
                     ERR_EXISTS);
    ck_assert_ptr_null(file);
    ck_assert_int_eq(files_open(env, in_dir("file/below"), FILE_WRITE | FILE_CREATE, &file),
                     ERR_NOT_FOUND);
    ck_assert_int_eq(files_open(env, in_dir("none/file"), FILE_WRITE | FILE_CREATE, &file),
                     ERR_NOT_FOUND);
    ck_assert_int_eq(files_open(env, dir, FILE_WRITE, &file), ERR_IO);
    ck_assert_ptr_null(file);
    file_close(env, &file); /* NULL is fine */
    stop();
}
END_TEST

START_TEST(thousands_of_parts_are_written_in_order)
{
    enum { PARTS = 3000 };
    struct iovec parts[PARTS];
    uint8_t bytes[PARTS * 2];
    size_t len = 0, n = 0;

    start();
    for (int i = 0; i < PARTS; i++) {
        size_t part = (size_t)i % 3; /* some are empty, the first and last too */
        parts[i] = (struct iovec){bytes + len, part};
        for (size_t k = 0; k < part; k++)
            bytes[len + k] = (uint8_t)(i * 5 + (int)k);
        len += part;
    }
    struct file *file = open_new();
    ck_assert_int_eq(file_write_parts_at(env, file, 100, parts, PARTS), ERR_OK);
    ck_assert_int_eq(file_write_parts_at(env, file, 100, parts, 1), ERR_OK); /* nothing */
    uint8_t back[PARTS * 2 + 10];
    ck_assert_int_eq(file_read_at(env, file, 100, back, len + 10, &n), ERR_OK);
    ck_assert_uint_eq(n, len); /* less, at the end of the file */
    ck_assert(memcmp(back, bytes, len) == 0);
    ck_assert_int_eq(file_read_at(env, file, 1000000, back, 10, &n), ERR_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(file_read_at(env, file, 0, back, 101, &n), ERR_OK);
    ck_assert_uint_eq(n, 101);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(back[i], 0); /* nobody wrote there */
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(sizes_are_what_was_asked_for)
{
    struct file_status status;
    uint64_t size = 0;

    start();
    struct file *file = open_new();
    ck_assert_int_eq(file_allocate(env, file, 100000), ERR_OK);
    ck_assert_int_eq(file_size(env, file, &size), ERR_OK);
    ck_assert_uint_eq(size, 100000);
    ck_assert_int_eq(files_status(env, path, &status), ERR_OK);
    ck_assert(!status.is_directory && status.size == 100000);
    ck_assert_int_eq(file_allocate(env, file, 50), ERR_OK); /* shorter too */
    ck_assert_int_eq(file_size(env, file, &size), ERR_OK);
    ck_assert_uint_eq(size, 50);
    ck_assert_int_eq(file_truncate(env, file, 0), ERR_OK);
    ck_assert_int_eq(file_allocate(env, file, 0), ERR_OK);
    ck_assert_int_eq(file_sync(env, file), ERR_OK);
    enum err err = file_write_behind(env, file, 0, 4096);
    ck_assert(err == ERR_OK || err == ERR_UNSUPPORTED);
    file_close(env, &file);
    ck_assert_int_eq(files_status(env, dir, &status), ERR_OK);
    ck_assert(status.is_directory);
    ck_assert_int_eq(files_status(env, in_dir("none"), &status), ERR_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(what_was_cut_off_is_zero_when_it_comes_back)
{
    uint8_t back[10];
    size_t n = 0;

    start();
    struct file *file = open_new();
    ck_assert_int_eq(file_write_at(env, file, 0, SLICE("0123456789")), ERR_OK);
    ck_assert_int_eq(file_truncate(env, file, 4), ERR_OK);
    ck_assert_int_eq(file_truncate(env, file, 8), ERR_OK);
    ck_assert_int_eq(file_write_at(env, file, 7, SLICE("x")), ERR_OK);
    ck_assert_int_eq(file_read_at(env, file, 0, back, 10, &n), ERR_OK);
    ck_assert_uint_eq(n, 8);
    ck_assert_mem_eq(back, "0123\0\0\0x", 8);
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(what_is_read_from_the_cache_is_right)
{
    uint8_t back[5000];
    size_t n = 77;

    start();
    struct file *file = open_new();
    for (int i = 0; i < 5000; i++)
        back[i] = (uint8_t)(i * 3);
    ck_assert_int_eq(file_write_at(env, file, 0, slice_of(back, 5000)), ERR_OK);
    memset(back, 0, sizeof(back));
    enum err err = file_read_cached(env, file, 10, back, 5000, &n);
    if (err == ERR_UNSUPPORTED) {
        ck_assert_uint_eq(n, 77); /* results are untouched on failure */
    } else {
        ck_assert_int_eq(err, ERR_OK);
        ck_assert_uint_le(n, 4990);
        for (size_t i = 0; i < n; i++)
            ck_assert_uint_eq(back[i], (uint8_t)((i + 10) * 3));
    }
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(a_lock_holds_until_it_is_closed)
{
    struct file *lock = NULL, *second = NULL, *other = NULL;

    start();
    ck_assert_int_eq(files_lock(env, path, &lock), ERR_OK);
    ck_assert_int_eq(files_lock(env, path, &second), ERR_BUSY);
    ck_assert_ptr_null(second);
    /* Closing another descriptor of the same file must not drop it. */
    ck_assert_int_eq(files_open(env, path, FILE_READ, &other), ERR_OK);
    file_close(env, &other);
    ck_assert_int_eq(files_lock(env, path, &second), ERR_BUSY);
    file_close(env, &lock);
    ck_assert_int_eq(files_lock(env, path, &second), ERR_OK);
    file_close(env, &second);
    stop();
}
END_TEST

START_TEST(replace_leaves_the_new_text_whole_and_nothing_else)
{
    struct buf text;

    start();
    buf_init(&text);
    ck_assert_int_eq(files_replace(env, path, SLICE("a long first text")), ERR_OK);
    ck_assert_int_eq(files_replace(env, path, SLICE("second")), ERR_OK);
    ck_assert_int_eq(files_read_all(env, path, 6, &text), ERR_OK);
    ck_assert(slice_is(buf_slice(&text), "second"));
    ck_assert_int_eq(files_read_all(env, path, 5, &text), ERR_LIMIT);
    ck_assert_uint_eq(text.len, 6);
    ck_assert_int_eq(files_replace(env, path, SLICE("")), ERR_OK);
    ck_assert_int_eq(files_read_all(env, path, 5, &text), ERR_OK); /* adds */
    ck_assert(slice_is(buf_slice(&text), "second"));
    buf_fini(&text);
    stop();
}
END_TEST

START_TEST(a_time_of_writing_can_be_said_and_goes_with_the_name)
{
    struct file_status status;

    start();
    put_text(path, "old");
    ck_assert_int_eq(files_set_modified(env, path, 1500000000123), ERR_OK);
    ck_assert_int_eq(files_status(env, path, &status), ERR_OK);
    ck_assert_int_eq(status.modified_ms, 1500000000123);
    ck_assert_int_eq(files_rename(env, path, in_dir("moved")), ERR_OK);
    ck_assert_int_eq(files_status(env, in_dir("moved"), &status), ERR_OK);
    ck_assert_int_eq(status.modified_ms, 1500000000123);
    ck_assert_int_eq(files_set_modified(env, path, 0), ERR_NOT_FOUND);
    ck_assert_int_eq(files_rename(env, in_dir("moved"), path), ERR_OK);
    stop();
}
END_TEST

START_TEST(an_open_file_outlives_its_name)
{
    uint8_t back[4];
    size_t n = 0;

    start();
    put_text(path, "old");
    struct file *file = NULL;
    ck_assert_int_eq(files_open(env, path, FILE_WRITE, &file), ERR_OK);
    put_text(in_dir("new"), "new");
    ck_assert_int_eq(files_rename(env, in_dir("new"), path), ERR_OK);
    ck_assert(has_text(path, "new"));
    ck_assert_int_eq(file_read_at(env, file, 0, back, 4, &n), ERR_OK);
    ck_assert(n == 3 && memcmp(back, "old", 3) == 0);
    ck_assert_int_eq(file_write_at(env, file, 0, SLICE("OLD!")), ERR_OK);
    ck_assert(has_text(path, "new"));
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(names_move_and_directories_with_what_they_hold)
{
    start();
    ck_assert_int_eq(files_make_directory(env, in_dir("a")), ERR_OK);
    ck_assert_int_eq(files_make_directory(env, in_dir("none/b")), ERR_NOT_FOUND);
    put_text(in_dir("a/file"), "text");
    ck_assert_int_eq(files_rename(env, in_dir("none"), in_dir("b")), ERR_NOT_FOUND);
    ck_assert_int_eq(files_rename(env, in_dir("a"), in_dir("b")), ERR_OK);
    ck_assert(has_text(in_dir("b/file"), "text"));
    ck_assert(!has_text(in_dir("a/file"), "text"));
    ck_assert_int_eq(files_make_directory(env, in_dir("a")), ERR_OK);
    put_text(in_dir("a/other"), "more");
    ck_assert_int_eq(files_rename(env, in_dir("b"), in_dir("a")), ERR_EXISTS); /* not empty */
    ck_assert_int_ne(files_rename(env, in_dir("b/file"), in_dir("a")), ERR_OK);
    ck_assert_int_ne(files_rename(env, in_dir("b"), in_dir("a/other")), ERR_OK);
    ck_assert_int_eq(files_rename(env, in_dir("b/file"), in_dir("a/other")), ERR_OK);
    ck_assert(has_text(in_dir("a/other"), "text"));
    ck_assert_int_eq(files_rename(env, in_dir("a/other"), in_dir("a/other")), ERR_OK);
    ck_assert(has_text(in_dir("a/other"), "text"));
    ck_assert_int_eq(files_remove_directory(env, in_dir("b")), ERR_OK);
    ck_assert_int_ne(files_remove(env, in_dir("a")), ERR_OK);
    ck_assert_int_eq(files_remove_directory(env, in_dir("a")), ERR_EXISTS);
    ck_assert_int_eq(files_remove(env, in_dir("a/other")), ERR_OK);
    ck_assert_int_eq(files_remove_directory(env, in_dir("a")), ERR_OK);
    ck_assert_int_eq(files_remove_directory(env, in_dir("a")), ERR_NOT_FOUND);
    stop();
}
END_TEST

static void note_entry(void *to, const char *name, bool is_directory)
{
    buf_printf(to, "%s%s ", name, is_directory ? "/" : "");
}

START_TEST(a_list_is_in_byte_order_and_knows_directories)
{
    static const char *const names[] = {"b", "a-10", "B", "a-2", "\xc3\xa4"};
    char name[128], to[128];
    struct buf listed;

    start();
    buf_init(&listed);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
        ck_assert_int_eq(files_make_directory(env, name), ERR_OK);
        ck_assert_int_eq(files_make_directory(env, name), ERR_EXISTS);
    }
    struct file *file = open_new();
    file_close(env, &file);
    ck_assert_int_eq(files_list(env, dir, note_entry, &listed), ERR_OK);
    ck_assert(slice_is(buf_slice(&listed), "B/ a-10/ a-2/ b/ file \xc3\xa4/ "));

    ck_assert_int_eq(files_remove_directory(env, dir), ERR_EXISTS);
    snprintf(to, sizeof(to), "%s/moved", dir);
    ck_assert_int_eq(files_rename(env, path, to), ERR_OK);
    ck_assert_int_eq(files_sync_directory(env, dir), ERR_OK);
    ck_assert_int_eq(files_sync_directory(env, path), ERR_NOT_FOUND);
    ck_assert_int_eq(files_remove(env, path), ERR_NOT_FOUND);
    ck_assert_int_eq(files_remove(env, to), ERR_OK);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
        ck_assert_int_eq(files_remove_directory(env, name), ERR_OK);
    }
    buf_clear(&listed);
    ck_assert_int_eq(files_list(env, path, note_entry, &listed), ERR_NOT_FOUND);
    ck_assert_uint_eq(listed.len, 0);
    uint64_t total = 0, usable = 0;
    ck_assert_int_eq(files_space(env, dir, &total, &usable), ERR_OK);
    ck_assert(total > 0 && usable <= total);
    buf_fini(&listed);
    stop();
}
END_TEST

static void remove_entry(void *to, const char *name, bool is_directory)
{
    (void)to;
    (void)is_directory;
    ck_assert_int_eq(files_remove(env, in_dir(name)), ERR_OK);
}

START_TEST(what_is_listed_may_be_removed_meanwhile)
{
    start();
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        put_text(in_dir(name), "x");
    }
    ck_assert_int_eq(files_list(env, dir, remove_entry, NULL), ERR_OK);
    stop();
}
END_TEST

#define FILES_PROMISES                                                                             \
    open_says_why_it_fails_and_gives_nothing, thousands_of_parts_are_written_in_order,             \
        sizes_are_what_was_asked_for, what_was_cut_off_is_zero_when_it_comes_back,                 \
        what_is_read_from_the_cache_is_right, a_lock_holds_until_it_is_closed,                     \
        replace_leaves_the_new_text_whole_and_nothing_else, an_open_file_outlives_its_name, a_time_of_writing_can_be_said_and_goes_with_the_name,         \
        names_move_and_directories_with_what_they_hold,                                            \
        a_list_is_in_byte_order_and_knows_directories, what_is_listed_may_be_removed_meanwhile
