#include "runtime/files.h"
#include "runtime/env_posix.h"
#include "tests/unit/files_promises.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void files_start(void)
{
    env = env_posix_create(NULL);
    snprintf(dir, sizeof(dir), "/tmp/ottla-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void files_stop(void)
{
    env_posix_destroy(&env);
}

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

/* The kernel is given a large write in pieces, which end where no part does. */
START_TEST(many_large_parts_are_written_whole_wherever_they_begin)
{
    enum { PART = 70001, PARTS = 5, AT = 12345, AFTER = 100 };
    static uint8_t bytes[PART * PARTS], read[AT + PART * PARTS + AFTER];
    struct iovec parts[PARTS];
    size_t n = 0;

    start();
    struct file *file = open_new();
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int i = 0; i < PARTS; i++)
        parts[i] = (struct iovec){bytes + (size_t)i * PART, PART};
    ck_assert_int_eq(file_write_parts_at(env, file, AT, parts, PARTS), ERR_OK);
    ck_assert_int_eq(file_read_at(env, file, 0, read, sizeof(read), &n), ERR_OK);
    ck_assert_uint_eq(n, AT + sizeof(bytes));
    ck_assert_mem_eq(read + AT, bytes, sizeof(bytes));
    for (int i = 0; i < AT; i++)
        ck_assert_uint_eq(read[i], 0);
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

UNIT(FILES_PROMISES, a_write_that_stops_short_is_an_error_not_a_success,
     many_large_parts_are_written_whole_wherever_they_begin, a_full_device_is_told_apart,
     a_lock_holds_against_others_and_ourselves_until_it_is_closed,
     a_replace_that_fails_leaves_the_old_text)
