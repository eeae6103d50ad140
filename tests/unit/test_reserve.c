/* A reserve on a simulated disk: there, given up, made anew; and what a store without one does. */
#include "broker/log/reserve.h"
#include "log_world.h"

#define SIZE (UINT64_C(1) << 20)

static struct world *w;

static bool is_there(void)
{
    struct file_status status;
    char path[FILES_PATH_MAX];

    ck_assert_int_eq(names_join(path, w->dir, RESERVE_NAME), ERR_OK);
    return files_status(&w->look, path, &status) == ERR_OK;
}

static uint64_t usable(void)
{
    return sim_device_usable(sim_disk_device(w->machine, w->dir));
}

/* Others take, or give back, so much that `left` is usable. */
static void leave(uint64_t left)
{
    struct sim_device *device = sim_disk_device(w->machine, w->dir);

    sim_device_fill(device, 0);
    if (left < usable()) sim_device_fill(device, usable() - left);
}

START_TEST(a_small_file_system_gives_a_small_part)
{
    w = world_create(); /* 1 GiB */
    ck_assert_uint_eq(reserve_size(&w->env, w->dir, SIZE), SIZE);
    ck_assert_uint_eq(reserve_size(&w->env, w->dir, UINT64_MAX),
                      (UINT64_C(1) << 30) / RESERVE_SHARE);
    ck_assert_uint_eq(reserve_size(&w->env, w->dir, 0), 0);
    world_destroy(w);
}
END_TEST

START_TEST(it_takes_its_room_and_stays_while_there_is_more)
{
    w = world_create();
    uint64_t before = usable();
    ck_assert(reserve_open(&w->env, w->dir, SIZE));
    ck_assert(is_there());
    ck_assert_uint_le(usable(), before - SIZE);
    leave(SIZE);
    ck_assert(reserve_open(&w->env, w->dir, SIZE)); /* the next start */
    reserve_give_up(&w->env, w->dir, SIZE);
    ck_assert(is_there());
    world_destroy(w);
}
END_TEST

START_TEST(a_start_on_a_full_disk_has_its_room)
{
    w = world_create();
    ck_assert(reserve_open(&w->env, w->dir, SIZE));
    leave(0);
    ck_assert(!reserve_open(&w->env, w->dir, SIZE));
    ck_assert(!is_there());
    ck_assert_uint_ge(usable(), SIZE);
    /* Somebody takes some of it: it does not come back, and no part of it. */
    leave(SIZE / 2);
    ck_assert(!reserve_make(&w->env, w->dir, SIZE));
    ck_assert(!is_there());
    ck_assert(!reserve_open(&w->env, w->dir, SIZE));
    leave(SIZE * 2);
    ck_assert(reserve_make(&w->env, w->dir, SIZE));
    ck_assert(is_there());
    world_destroy(w);
}
END_TEST

START_TEST(one_that_lost_its_room_is_made_anew)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;

    w = world_create();
    ck_assert_int_eq(names_join(path, w->dir, RESERVE_NAME), ERR_OK);
    ck_assert_int_eq(files_open(&w->env, path, FILE_WRITE | FILE_CREATE, &file), ERR_OK);
    file_close(&w->env, &file); /* its name outlived a loss of power, its length did not */
    uint64_t before = usable();
    ck_assert(reserve_open(&w->env, w->dir, SIZE));
    ck_assert_uint_le(usable(), before - SIZE);
    /* Likewise one that was made for a smaller reserve, once there is room. */
    leave(SIZE * 2);
    ck_assert(!reserve_open(&w->env, w->dir, SIZE * 2));
    leave(SIZE * 4);
    ck_assert(reserve_open(&w->env, w->dir, SIZE * 2));
    ck_assert_uint_le(usable(), SIZE * 3);
    world_destroy(w);
}
END_TEST

START_TEST(an_end_on_a_full_disk_has_its_room)
{
    w = world_create();
    ck_assert(reserve_open(&w->env, w->dir, SIZE));
    leave(SIZE - 1);
    reserve_give_up(&w->env, w->dir, SIZE);
    ck_assert(!is_there());
    world_destroy(w);
}
END_TEST

START_TEST(without_one_there_is_nothing)
{
    w = world_create();
    leave(0);
    ck_assert(reserve_open(&w->env, w->dir, 0));
    reserve_give_up(&w->env, w->dir, 0);
    ck_assert(!is_there());
    world_destroy(w);
}
END_TEST

UNIT(a_small_file_system_gives_a_small_part, it_takes_its_room_and_stays_while_there_is_more,
     a_start_on_a_full_disk_has_its_room, one_that_lost_its_room_is_made_anew,
     an_end_on_a_full_disk_has_its_room, without_one_there_is_nothing)
