/* tests/unit/unit.h - what every unit test includes: Check, and a main of one suite.
 *
 *     START_TEST(a_claim) { ... } END_TEST
 *     UNIT(a_claim, another_claim)
 */
#pragma once
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <check.h>
#include <stdlib.h>
#include <string.h>

static inline int unit_run(const char *name, const TTest *const *tests, size_t count,
                           double seconds, enum fork_status forks)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");

    const char *only = getenv("OTTLA_TEST"); /* the name of one */

    tcase_set_timeout(all, seconds);
    for (size_t i = 0; i < count; i++)
        if (only == NULL || strcmp(only, tests[i]->name) == 0) tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, forks);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}

/* In one process, in order: for tests that share a cluster. The first failure leaves the test that
 * failed, not the program. */
static inline int unit_run_no_fork(const char *name, const TTest *const *tests, size_t count,
                                   double seconds)
{
    return unit_run(name, tests, count, seconds, CK_NOFORK);
}

#define UNIT(...)                                                                                  \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        size_t count = sizeof(tests) / sizeof(tests[0]);                                           \
        int failed = unit_run(__FILE__, tests, count, 400, CK_FORK_GETENV);                        \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }
