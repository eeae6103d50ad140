/* Records of __consumer_offsets as anybody may have written them: the first byte picks key, offset
 * or group. What was read as a group becomes one whose structure holds, and what can be written
 * again is read as the same. */
#include "tests/fuzz/fuzz.h"
#include "broker/group/group.h"
#include "broker/group/group_log.h"
#include "cluster/level.h"
#include "cluster/types.h"

static void try_key(struct slice in, struct arena *arena)
{
    struct group_log_key key, again;
    struct buf out;

    if (group_log_read_key(in, arena, &key) != ERR_OK || key.kind != GROUP_LOG_OFFSET) return;
    buf_init(&out);
    group_log_write_offset_key(&out, key.group, key.topic, key.partition);
    ensure(group_log_read_key(buf_slice(&out), arena, &again) == ERR_OK);
    ensure(slice_compare(key.group, again.group) == 0 && key.partition == again.partition);
    ensure(slice_compare(key.topic, again.topic) == 0);
    ensure(coordinator_partition(key.group, 50) >= 0 && coordinator_partition(key.group, 50) < 50);
    buf_fini(&out);
}

static void try_offset(struct slice in, struct arena *arena)
{
    struct offset_commit commit, again;
    struct offsets *offsets = offsets_create();
    struct buf out;

    buf_init(&out);
    if (group_log_read_offset(in, arena, &commit) == ERR_OK) {
        offsets_load(offsets, SLICE("t"), 0, &commit, 1);
        offsets_audit(offsets);
        ensure(offsets_find(offsets, SLICE("t"), 0, &again));
        ensure(again.offset == commit.offset);
        group_log_write_offset(&out, LEVEL_LATEST, &commit);
        ensure(group_log_read_offset(buf_slice(&out), arena, &again) == ERR_OK);
        ensure(again.offset == commit.offset && again.commit_ms == commit.commit_ms);
    }
    buf_fini(&out);
    offsets_destroy(&offsets);
}

static void try_group(struct slice in, struct arena *arena)
{
    static const struct group_settings settings = {.initial_delay_ms = 3000, .size_max = 3};
    struct group_metadata_value value, written;
    struct group *group = group_create(SLICE("g"), &settings, 0);
    struct group_effects effects = {.arena = arena};
    struct group_event tick = {.type = GROUP_TICK, .now = {INT64_MAX / 2}};

    if (group_log_read_group(in, arena, &value) == ERR_OK) {
        struct buf out;
        buf_init(&out);
        group_restore(group, &value, (struct instant){1}, 1);
        group_audit(group);
        group_value(group, arena, &written);
        group_log_write_group(&out, LEVEL_LATEST, &written);
        ensure(group_log_read_group(buf_slice(&out), arena, &value) == ERR_OK);
        ensure(value.members.count == group_size(group));
        (void)group_is_subscribed(group, SLICE("t"));
        group_step(group, &tick, &effects);
        group_store_free(&effects.store);
        group_audit(group);
        buf_fini(&out);
    }
    group_destroy(&group);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;

    if (size == 0) return 0;
    struct slice in = slice_of(data + 1, size - 1);
    arena_init(&arena, 1 << 22);
    if (data[0] % 3 == 0)
        try_key(in, &arena);
    else if (data[0] % 3 == 1)
        try_offset(in, &arena);
    else
        try_group(in, &arena);
    arena_fini(&arena);
    return 0;
}
