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

#define UNIT(...)                                                                                  \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        Suite *suite = suite_create(__FILE__);                                                     \
        TCase *all = tcase_create("all");                                                          \
        tcase_set_timeout(all, 120);                                                               \
        for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)                              \
            tcase_add_test(all, tests[i]);                                                         \
        suite_add_tcase(suite, all);                                                               \
        SRunner *runner = srunner_create(suite);                                                   \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }
