#include "runtime/files.h"
#include "base/buf.h"
#include "base/ensure.h"
#include "runtime/env_posix.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct env *env;
static char dir[64];
static char path[128];

static void start(void)
{
    env = env_posix_create(NULL);
    snprintf(dir, sizeof(dir), "/tmp/ottla-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/file", dir);
}

static void stop(void)
{
    enum err err = files_remove(env, path);
    ck_assert(err == ERR_OK || err == ERR_NOT_FOUND);
    ck_assert_int_eq(files_remove_directory(env, dir), ERR_OK); /* nothing else was left behind */
    env_posix_destroy(&env);
}

static struct file *open_new(void)
{
    struct file *file = NULL;

    ck_assert_int_eq(files_open(env, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file),
                     ERR_OK);
    return file;
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
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(a_write_that_stops_short_is_an_error_not_a_success)
{
    struct rlimit limit = {10000, 10000};
    static uint8_t bytes[30000];
    uint64_t size = 0;

    start();
    struct file *file = open_new();
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_ne(file_write_at(env, file, 0, slice_of(bytes, sizeof(bytes))), ERR_OK);
    ck_assert_int_eq(file_size(env, file, &size), ERR_OK);
    ck_assert_uint_eq(size, 10000); /* it did stop short, once, before it failed */
    ck_assert_int_ne(file_allocate(env, file, 20000), ERR_OK);
    ck_assert_int_eq(file_size(env, file, &size), ERR_OK);
    ck_assert_uint_eq(size, 10000);
    file_close(env, &file);
    stop();
}
END_TEST

START_TEST(a_full_device_is_told_apart)
{
    struct file *file = NULL;

    start();
    ck_assert_int_eq(files_open(env, "/dev/full", FILE_WRITE, &file), ERR_OK);
    ck_assert_int_eq(file_write_at(env, file, 0, SLICE("x")), ERR_FULL);
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

static int lock_as_java(const char *name)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        int fd = open(name, O_RDWR);
        _exit(fd >= 0 && fcntl(fd, F_SETLK, &whole) == 0 ? 1 : 2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status) == 1;
}

START_TEST(a_lock_holds_against_others_and_ourselves_until_it_is_closed)
{
    struct file *lock = NULL, *second = NULL, *other = NULL;

    start();
    ck_assert_int_eq(files_lock(env, path, &lock), ERR_OK);
    ck_assert_int_eq(files_lock(env, path, &second), ERR_BUSY);
    ck_assert_ptr_null(second);
    ck_assert(!lock_as_java(path));
    /* Closing another descriptor of the same file must not drop it. */
    ck_assert_int_eq(files_open(env, path, FILE_READ, &other), ERR_OK);
    file_close(env, &other);
    ck_assert(!lock_as_java(path));
    file_close(env, &lock);
    ck_assert(lock_as_java(path));
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

START_TEST(a_replace_that_fails_leaves_the_old_text)
{
    struct rlimit limit = {100, 100};
    static uint8_t bytes[5000];
    struct buf text;

    start();
    buf_init(&text);
    ck_assert_int_eq(files_replace(env, path, SLICE("old")), ERR_OK);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_ne(files_replace(env, path, slice_of(bytes, sizeof(bytes))), ERR_OK);
    ck_assert_int_eq(files_read_all(env, path, 100, &text), ERR_OK);
    ck_assert(slice_is(buf_slice(&text), "old"));
    buf_fini(&text);
    stop(); /* no .tmp stands in its way */
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

UNIT(open_says_why_it_fails_and_gives_nothing, thousands_of_parts_are_written_in_order,
     a_write_that_stops_short_is_an_error_not_a_success, a_full_device_is_told_apart,
     sizes_are_what_was_asked_for, what_is_read_from_the_cache_is_right,
     a_lock_holds_against_others_and_ourselves_until_it_is_closed,
     replace_leaves_the_new_text_whole_and_nothing_else, a_replace_that_fails_leaves_the_old_text,
     a_list_is_in_byte_order_and_knows_directories)
