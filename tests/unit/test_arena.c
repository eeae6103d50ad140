#include "base/arena.h"
#include "tests/unit/unit.h"

START_TEST(the_limit_holds_and_a_reset_gives_it_back)
{
    struct arena arena;

    arena_init(&arena, 1000);
    ck_assert_ptr_nonnull(arena_try(&arena, 600));
    ck_assert_ptr_null(arena_try(&arena, 600));
    ck_assert_ptr_nonnull(arena_try(&arena, 300)); /* a refusal takes nothing */
    arena_reset(&arena);
    ck_assert_ptr_nonnull(arena_try(&arena, 900));
    arena_fini(&arena);
}
END_TEST

START_TEST(a_size_that_would_wrap_is_refused)
{
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    ck_assert_ptr_null(arena_try(&arena, SIZE_MAX - 3));
    ck_assert_ptr_nonnull(arena_try(&arena, 0));
    arena_fini(&arena);
}
END_TEST

START_TEST(allocations_are_aligned_and_do_not_overlap)
{
    struct arena arena;
    uint8_t *at[200];

    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 200; i++) {
        at[i] = arena_try(&arena, (size_t)i * 37 + 1);
        ck_assert_uint_eq((uintptr_t)at[i] % 16, 0);
        memset(at[i], i, (size_t)i * 37 + 1);
    }
    for (int i = 0; i < 200; i++)
        for (int j = 0; j < i * 37 + 1; j++)
            ck_assert_uint_eq(at[i][j], i);
    arena_fini(&arena);
}
END_TEST

START_TEST(copies_keep_null_and_end_with_nul)
{
    struct arena arena;

    arena_init(&arena, 4096);
    ck_assert(slice_is_null(arena_copy(&arena, SLICE_NULL)));
    ck_assert(!slice_is_null(arena_copy(&arena, SLICE(""))));
    ck_assert_str_eq(arena_text(&arena, slice_of("abcdef", 3)), "abc");
    struct slice printed = arena_printf(&arena, "%d-%s", 7, "x");
    ck_assert(slice_is(printed, "7-x") && printed.ptr[3] == '\0');
    arena_fini(&arena);
}
END_TEST

UNIT(the_limit_holds_and_a_reset_gives_it_back, a_size_that_would_wrap_is_refused,
     allocations_are_aligned_and_do_not_overlap, copies_keep_null_and_end_with_nul)
