/* tests/fuzz/seeds - writes first inputs for the targets of common/wire: seeds FOLDER
 *
 * FOLDER/fuzz_codec/ and so on are made. What is kept in corpus/ was made from them:
 *     tests/fuzz/fuzz_x -max_total_time=60 NEW FOLDER/fuzz_x && tests/fuzz/fuzz_x -merge=1 KEPT NEW
 * FOLDER/fuzz_x */
#include "tests/unit/kcat_frames.h"
#include "tests/unit/wire_values.h"
#include "base/ensure.h"
#include "wire/frame.h"
#include "wire/oldset.h"
#include "wire/record.h"
#include <errno.h>
#include <sys/stat.h>

static void make_folder(const char *path)
{
    ensure(mkdir(path, 0777) == 0 || errno == EEXIST);
}

static void save(const char *folder, const char *target, const char *name, int number,
                 struct slice bytes)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", folder, target);
    make_folder(path);
    snprintf(path, sizeof(path), "%s/%s/%s-%d", folder, target, name, number);
    FILE *file = fopen(path, "wb");
    ensure(file != NULL && fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len && fclose(file) == 0);
}

static void seed_codec(const char *folder, struct arena *arena, struct buf *out)
{
    for (int i = 0; i < WIRE_MESSAGE_COUNT; i++) {
        const struct wire_struct *type = wire_messages[i].type;
        for (int version = type->min; version <= type->max; version++) {
            buf_clear(out);
            prim_add_int8(out, (int8_t)(uint8_t)i);
            prim_add_int8(out, (int8_t)(version - type->min));
            wire_write(out, version, type, values_make(11, version, type, arena));
            save(folder, "fuzz_codec", wire_messages[i].name, version, buf_slice(out));
            arena_reset(arena);
        }
    }
}

static void seed_frame(const char *folder, struct arena *arena, struct buf *out)
{
    static const char *const frames[] = {kcat_api_versions,  kcat_metadata,
                                         kcat_produce_plain, kcat_init_producer_id,
                                         kcat_list_offsets,  kcat_fetch};

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
        save(folder, "fuzz_frame", "kcat", (int)i, values_hex(arena, frames[i]));
    for (int i = 0; i < API_COUNT; i++) {
        struct frame_request_head head = {api_infos[i].key, api_infos[i].version_max, 7,
                                          SLICE("client")};
        buf_clear(out);
        frame_write_request_head(out, &head);
        save(folder, "fuzz_frame", api_infos[i].name, head.api_version, buf_slice(out));
    }
}

static void seed_batch(const char *folder, struct buf *out)
{
    const struct record_header headers[] = {{SLICE("h"), SLICE("x")}, {SLICE(""), SLICE_NULL}};

    for (int codec = 0; codec < BATCH_CODEC_COUNT; codec++) {
        struct record_builder builder;
        buf_clear(out);
        record_builder_begin(&builder, out);
        builder.head.attributes = (uint16_t)codec;
        record_builder_add(&builder, 1000, SLICE("key"), SLICE("value value value"), headers, 2);
        record_builder_add(&builder, 900, SLICE_NULL, SLICE_NULL, NULL, 0);
        record_builder_end(&builder);
        record_write_marker(out, RECORD_MARKER_ABORT, 5, 1, 2, 3);
        save(folder, "fuzz_batch", compress_name(codec), 2, buf_slice(out));
    }
}

static void seed_oldset(const char *folder, struct buf *out)
{
    for (int8_t magic = 0; magic <= 1; magic++) {
        struct oldset_message message = {.magic = magic, .timestamp = 5, .value = SLICE("value")};
        struct buf set, packed;
        buf_init(&set);
        buf_init(&packed);
        oldset_write(&set, &message);
        message.offset = 1;
        message.key = SLICE("key");
        oldset_write(&set, &message);
        for (int codec = 0; codec < BATCH_CODEC_ZSTD; codec++) {
            buf_clear(out);
            prim_add_int8(out, (int8_t)((codec << 2 | magic << 1) + 1));
            buf_add_slice(out, buf_slice(&set));
            save(folder, "fuzz_oldset", compress_name(codec), 2 + magic, buf_slice(out));

            buf_clear(&packed);
            compress_write(codec, magic, COMPRESS_LEVEL_DEFAULT, buf_slice(&set), &packed);
            message.value = buf_slice(&packed);
            message.key = SLICE_NULL;
            message.attributes = (uint8_t)codec;
            buf_clear(out);
            prim_add_int8(out, 0);
            oldset_write(out, &message);
            buf_add_slice(out, buf_slice(&set));
            save(folder, "fuzz_oldset", compress_name(codec), magic, buf_slice(out));
        }
        buf_fini(&set);
        buf_fini(&packed);
    }
}

int main(int argc, char **argv)
{
    struct arena arena;
    struct buf out;

    if (argc != 2) {
        fprintf(stderr, "usage: seeds FOLDER\n");
        return 2;
    }
    arena_init(&arena, 1 << 24);
    buf_init(&out);
    make_folder(argv[1]);
    seed_codec(argv[1], &arena, &out);
    seed_frame(argv[1], &arena, &out);
    seed_batch(argv[1], &out);
    seed_oldset(argv[1], &out);
    buf_fini(&out);
    arena_fini(&arena);
    return 0;
}
