/* A frame as a connection hands it over: the header, then the body by what the header says. The
 * same bytes are read as the response to every api, too. */
#include "tests/fuzz/fuzz.h"
#include "wire/frame.h"

static void read_request(struct slice frame)
{
    struct frame_request_head head, again;
    struct slice body;
    struct arena arena;
    struct buf out;

    if (frame_read_request_head(frame, &head, &body) != ERR_OK) return;
    const struct api_info *api = api_info_find(head.api_key);
    ensure(api != NULL && body.len <= frame.len);
    arena_init(&arena, 1 << 20);
    buf_init(&out);
    void *value = arena_zalloc(&arena, api->request->size);
    enum err err = wire_read(body, head.api_version, api->request, &arena, value);
    ensure((err == ERR_UNSUPPORTED) == !api_info_has_version(api, head.api_version));
    if (err == ERR_OK) {
        wire_print(&out, head.api_version, api->request, value);
        buf_clear(&out);
    }

    frame_write_request_head(&out, &head);
    ensure(frame_read_request_head(buf_slice(&out), &again, &body) == ERR_OK);
    ensure(body.len == 0 && slice_equal(head.client_id, again.client_id) &&
           head.correlation_id == again.correlation_id);
    buf_fini(&out);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice frame = slice_of(data, size), body;
    int32_t correlation_id;
    size_t length;

    if (size >= FRAME_LENGTH_SIZE && frame_read_length(data, 1 << 20, &length) == ERR_OK)
        ensure(length <= 1 << 20);
    read_request(frame);
    for (int i = 0; i < API_COUNT; i++) {
        const struct api_info *api = &api_infos[i];
        for (int version = api->version_min; version <= api->version_max; version++)
            (void)!frame_read_response_head(frame, api->key, version, &correlation_id, &body);
    }
    return 0;
}
