/* `ottla dump-log` on files made here, and the tool's exit codes. */
#include "base/buf.h"
#include "wire/prim.h"
#include "wire/record.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/ottla-test-dump-XXXXXX";

static void write_file(const char *name, struct slice content)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(content.ptr, 1, content.len, file), content.len);
    fclose(file);
}

/* What `ottla …` prints, both streams; its exit code. */
static int ottla(char text[16384], const char *arguments)
{
    const char *build = getenv("OTTLA_BUILD");
    char command[1024];

    snprintf(command, sizeof(command), "cd %s && %s/ottla %s 2>&1", folder,
             build == NULL ? "$OLDPWD" : build, arguments);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t n = fread(text, 1, 16383, pipe);
    text[n] = '\0';
    int status = pclose(pipe);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Three batches of two records; the index has the second and the third. */
static void write_log(bool is_index_good)
{
    struct buf log = {0}, index = {0}, times = {0};

    for (int i = 0; i < 3; i++) {
        struct record_builder builder;
        size_t at = log.len;
        record_builder_begin(&builder, &log);
        record_builder_add(&builder, 1000 + i, SLICE("k"), SLICE("v"), NULL, 0);
        record_builder_add(&builder, 1000 + i, SLICE("k"), SLICE("v"), NULL, 0);
        record_builder_end(&builder);
        batch_set_base_offset(log.ptr + at, 100 + 2 * i);
        if (i == 0) continue;
        prim_add_int32(&index, 2 * i + (is_index_good ? 1 : 0));
        prim_add_int32(&index, (int32_t)at);
        prim_add_int64(&times, 1000 + i);
        prim_add_int32(&times, 2 * i + 1);
    }
    prim_add_int64(&index, 0); /* made large beforehand */
    write_file("00000000000000000100.log", buf_slice(&log));
    write_file("00000000000000000100.index", buf_slice(&index));
    write_file("00000000000000000100.timeindex", buf_slice(&times));
    log.len -= 5;
    write_file("00000000000000000200.log", buf_slice(&log));
    buf_fini(&log);
    buf_fini(&index);
    buf_fini(&times);
}

START_TEST(a_segment_and_its_indexes_agree)
{
    char text[16384];

    write_log(true);
    ck_assert_int_eq(ottla(text,
                           "dump-log --files 00000000000000000100.log,00000000000000000100.index,"
                           "00000000000000000100.timeindex"),
                     0);
    ck_assert_ptr_nonnull(strstr(text,
                                 "Dumping 00000000000000000100.log\nLog starting offset: 100\n"
                                 "baseOffset: 100 lastOffset: 101 count: 2 "));
    ck_assert_ptr_nonnull(
        strstr(text, "Dumping 00000000000000000100.index\noffset: 103 position: "));
    ck_assert_ptr_nonnull(
        strstr(text, "\ntimestamp: 1001 offset: 103\ntimestamp: 1002 offset: 105\n"));
    ck_assert_ptr_null(strstr(text, "ismatch"));
    ck_assert_int_eq(ottla(text, "dump --verify-index-only --files 00000000000000000100.index"), 1);
    ck_assert_ptr_nonnull(strstr(text, "dump is not a command"));
    ck_assert_int_eq(ottla(text, "dump-log --verify --files 00000000000000000100.index"), 0);
    ck_assert_str_eq(text, "Dumping 00000000000000000100.index\n");
    ck_assert_int_eq(ottla(text, "dump-log --index-sanity --files 00000000000000000100.index"), 0);
    ck_assert_ptr_nonnull(strstr(text, "00000000000000000100.index passed sanity check.\n"));
}
END_TEST

START_TEST(a_wrong_index_is_told)
{
    char text[16384];

    write_log(false);
    ck_assert_int_eq(ottla(text, "dump-log --files=00000000000000000100.index"), 1);
    ck_assert_ptr_nonnull(strstr(text, "Mismatches in :00000000000000000100.index\n"
                                       "  Index offset: 102, log offset: 103\n"));
}
END_TEST

START_TEST(a_cut_segment_is_told)
{
    char text[16384];

    write_log(true);
    ck_assert_int_eq(ottla(text, "dump-log --deep-iteration --files 00000000000000000200.log"), 1);
    ck_assert_ptr_nonnull(strstr(text, "| offset: 103 CreateTime: 1001 keySize: 1 valueSize: 1 "));
    ck_assert_ptr_nonnull(strstr(text, "invalid bytes at the end of 00000000000000000200.log\n"));
    ck_assert_int_eq(ottla(text, "dump-log --files nothing.log"), 1);
    ck_assert_int_eq(ottla(text, "dump-log --files 00000000000000000300.log"), 1);
    ck_assert_ptr_nonnull(strstr(text, "does not exist"));
}
END_TEST

START_TEST(usage_errors_exit_with_1_and_help_with_0)
{
    char text[16384];
    static const char *const wrong[] = {"",
                                        "nope",
                                        "topics --list",
                                        "topics --bootstrap-server h:1 --list --create",
                                        "topics --bootstrap-server h:1 --create",
                                        "topics --bootstrap-server h:1 --alter --topic t",
                                        "produce --topic t",
                                        "produce --topic t --bootstrap-server h:1 --timeout x",
                                        "consume --bootstrap-server h:1",
                                        "consume --bootstrap-server h:1 --topic t --offset 5",
                                        "consume --bootstrap-server h:1 --topic t --partition -1",
                                        "consume --bootstrap-server nowhere --topic t",
                                        "dump-log"};
    static const char *const fine[] = {"--help",          "--version",      "topics --help",
                                       "produce --help",  "consume --help", "dump-log --help",
                                       "topics --version"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(ottla(text, wrong[i]) == 1, "%s: %s", wrong[i], text);
        ck_assert_uint_gt(strlen(text), 10);
    }
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        ck_assert_msg(ottla(text, fine[i]) == 0, "%s: %s", fine[i], text);
}
END_TEST

static void make_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

int main(void)
{
    Suite *suite = suite_create(__FILE__);
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 120);
    tcase_add_unchecked_fixture(all, make_folder, remove_folder);
    tcase_add_test(all, a_segment_and_its_indexes_agree);
    tcase_add_test(all, a_wrong_index_is_told);
    tcase_add_test(all, a_cut_segment_is_told);
    tcase_add_test(all, usage_errors_exit_with_1_and_help_with_0);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
