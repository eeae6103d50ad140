#include "base/ensure.h"
#include "tests/sim/heap.h"
#include "tests/sim/world.h"
#include "tests/unit/unit.h"
#include <stdlib.h>

static const struct env_ops no_ops;

static int numbers[20], number_count;

static void note(void *arg)
{
    numbers[number_count++] = *(int *)arg;
}

static struct instant after_ms(const struct world *world, int64_t ms)
{
    return instant_add_ms(world->now, ms);
}

START_TEST(events_run_in_order_of_time_then_of_asking)
{
    struct world *world = world_create(1);
    int values[] = {0, 1, 2, 3};

    number_count = 0;
    world_at(world, after_ms(world, 20), note, &values[3]);
    world_at(world, after_ms(world, 10), note, &values[1]);
    world_at(world, after_ms(world, 10), note, &values[2]);
    world_at(world, world->now, note, &values[0]);
    struct instant end = after_ms(world, 30);
    world_run(world, end);
    ck_assert_int_eq(number_count, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(numbers[i], i);
    ck_assert_int_eq(world->now.ns, end.ns);
    world_destroy(&world);
}
END_TEST

static void leave_memory(void *arg)
{
    (void)arg;
    void *kept = ensure_malloc(1000);
    void *freed = ensure_malloc(10);
    free(freed);
    numbers[0] = kept != NULL;
}

static void die_with_memory(void *arg)
{
    leave_memory(arg);
    process_kill(arg);
    ck_abort_msg("killed code goes on");
}

START_TEST(a_killed_process_leaves_nothing_behind)
{
    struct world *world = world_create(1);
    struct sim_host *host = host_create(world, "h");
    struct sim_process *process = process_create(host, "p", &no_ops);

    ck_assert(process_run(process, leave_memory, NULL));
    ck_assert_uint_eq(sim_heap_bytes(process->heap), 1000);
    process_kill(process); /* the leak checker looks whether the 1000 bytes are gone */
    process = process_create(host, "p", &no_ops);
    ck_assert(!process_run(process, die_with_memory, process));
    ck_assert(list_is_empty(&world->processes));
    world_destroy(&world);
}
END_TEST

START_TEST(what_is_due_in_a_pause_runs_after_it_and_never_after_a_kill)
{
    struct world *world = world_create(1);
    struct sim_host *host = host_create(world, "h");
    struct sim_process *a = process_create(host, "a", &no_ops);
    struct sim_process *b = process_create(host, "b", &no_ops);
    int values[] = {0, 1, 2, 3};

    number_count = 0;
    process_at(a, after_ms(world, 1), note, &values[0]);
    process_at(a, after_ms(world, 2), note, &values[1]);
    process_at(b, after_ms(world, 3), note, &values[2]);
    process_at(a, after_ms(world, 20), note, &values[3]);
    process_pause(a);
    world_run(world, after_ms(world, 2));
    process_kill(b);
    world_run(world, after_ms(world, 8));
    ck_assert_int_eq(number_count, 0);
    process_resume(a);
    world_run(world, after_ms(world, 5));
    ck_assert_int_eq(number_count, 2);
    ck_assert_int_eq(numbers[0], 0);
    ck_assert_int_eq(numbers[1], 1);
    world_run(world, after_ms(world, 10));
    ck_assert_int_eq(number_count, 3);
    world_destroy(&world);
}
END_TEST

static int killed, lost;

static void on_killed(void *owner, struct sim_process *process)
{
    (void)owner, (void)process;
    ck_assert_int_eq(lost, 0);
    killed++;
}

static void on_lost(void *owner, struct sim_host *host)
{
    (void)owner, (void)host;
    lost++;
}

static void lose_power(void *arg)
{
    host_power_loss(arg);
    ck_abort_msg("code goes on without power");
}

START_TEST(power_loss_ends_all_of_a_host_before_the_parts_hear_of_it)
{
    struct world *world = world_create(1);
    struct sim_host *host = host_create(world, "h"), *other = host_create(world, "i");
    struct sim_process *a = process_create(host, "a", &no_ops);
    struct world_part part = {.killed = on_killed, .power_lost = on_lost};

    killed = lost = 0;
    world_add_part(world, &part);
    process_create(host, "b", &no_ops);
    process_create(other, "c", &no_ops);
    ck_assert(!process_run(a, lose_power, host));
    ck_assert_int_eq(killed, 2);
    ck_assert_int_eq(lost, 1);
    lost = 0;
    world_destroy(&world);
    ck_assert_int_eq(killed, 3);
}
END_TEST

START_TEST(a_stream_does_not_change_when_another_draws_more)
{
    struct world *a = world_create(7), *b = world_create(7);
    uint64_t first = world_draw(a, "x");

    sim_heap_use(b->heap);
    for (int i = 0; i < 10; i++)
        world_draw(b, "y");
    ck_assert_uint_eq(world_draw(b, "x"), first);
    ck_assert_uint_ne(world_draw(b, "x"), first);
    world_destroy(&b);
    sim_heap_use(a->heap);
    world_destroy(&a);
}
END_TEST

START_TEST(faults_strike_in_the_safety_phase_only_and_can_be_left_out)
{
    struct world *world = world_create(3);
    int on = 0;
    struct sim_fault *struck = NULL;
    static const char *const names[] = {"d.a", "d.b", "d.c", "d.d", "d.e", "d.f", "d.g", "d.h"};

    world_without(world, "d.h");
    world_without(world, "e");
    for (int i = 0; i < 8; i++) {
        struct sim_fault *fault = world_fault(world, names[i], 1000000);
        if (fault->per_million > 0) on++, struck = fault;
        if (i == 7) ck_assert_int_eq(fault->per_million, 0);
    }
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(world_fault(world, "e.x", 1000000)->per_million, 0);
    ck_assert_int_gt(on, 0);
    ck_assert_int_lt(on, 8);
    for (int i = 0; i < 1000; i++)
        ck_assert(!fault_strikes(world, struck));
    world->phase = PHASE_SAFETY;
    for (int i = 0; i < 1000; i++)
        fault_strikes(world, struck);
    ck_assert_uint_gt(struck->struck, 0);
    ck_assert_uint_eq(struck->asked, 2000);
    world_destroy(&world);
}
END_TEST

START_TEST(a_slow_world_has_its_own_bounds_and_its_steps_seldom_fail)
{
    static const char *const names[] = {"a.a", "a.b", "a.c", "a.d", "a.e", "a.f", "a.g", "a.h"};
    int on = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *dense = world_create(seed);
        int64_t rates[8], ms = world_option_paced(dense, "ms", 10, 20, 1000, 2000);
        ck_assert(ms >= 10 && ms <= 20);
        for (int i = 0; i < 8; i++)
            rates[i] = world_fault_of_steps(dense, names[i], 320000)->per_million;
        world_destroy(&dense);

        struct world *slow = world_create(seed);
        slow->is_slow = true;
        ms = world_option_paced(slow, "ms", 10, 20, 1000, 2000);
        ck_assert(ms >= 1000 && ms <= 2000);
        /* The same kinds are on. */
        for (int i = 0; i < 8; i++)
            ck_assert_int_eq(world_fault_of_steps(slow, names[i], 320000)->per_million,
                             rates[i] / 100);
        for (int i = 0; i < 8; i++)
            on += rates[i] > 0;
        world_destroy(&slow);
    }
    ck_assert_int_gt(on, 0);
}
END_TEST

START_TEST(the_hash_tells_runs_apart)
{
    uint64_t hashes[3];

    for (int i = 0; i < 3; i++) {
        struct world *world = world_create(5);
        world_trace(world, "thing %d", i / 2);
        hashes[i] = world->trace.hash;
        world_destroy(&world);
    }
    ck_assert_uint_eq(hashes[0], hashes[1]);
    ck_assert_uint_ne(hashes[0], hashes[2]);
}
END_TEST

UNIT(events_run_in_order_of_time_then_of_asking, a_killed_process_leaves_nothing_behind,
     what_is_due_in_a_pause_runs_after_it_and_never_after_a_kill,
     power_loss_ends_all_of_a_host_before_the_parts_hear_of_it,
     a_stream_does_not_change_when_another_draws_more,
     faults_strike_in_the_safety_phase_only_and_can_be_left_out,
     a_slow_world_has_its_own_bounds_and_its_steps_seldom_fail, the_hash_tells_runs_apart)
