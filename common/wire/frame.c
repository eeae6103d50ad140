#include "wire/frame.h"
#include "base/ensure.h"
#include "wire/gen/header.h"
#include "wire/prim.h"

enum err frame_read_length(const uint8_t word[FRAME_LENGTH_SIZE], size_t max, size_t *length)
{
    int32_t found = (int32_t)prim_load32(word);

    if (found < 0) return ERR_CORRUPT;
    if ((size_t)found > max) return ERR_TOO_LARGE;
    *length = (size_t)found;
    return ERR_OK;
}

enum err frame_peek_request(struct slice frame, struct frame_request_head *out)
{
    struct reader r = reader_of(frame);
    struct frame_request_head head = {.client_id = SLICE_NULL};

    head.api_key = reader_int16(&r);
    head.api_version = reader_int16(&r);
    head.correlation_id = reader_int32(&r);
    if (r.err == ERR_OK) *out = head;
    return r.err;
}

/* Headers have no arrays: nothing is taken from an arena. */
static enum err take_header(struct slice *from, int version, const struct wire_struct *type,
                            void *out)
{
    struct arena none;

    arena_init(&none, 0);
    return wire_take(from, version, type, &none, out);
}

enum err frame_read_request_head(struct slice frame, struct frame_request_head *out,
                                 struct slice *body)
{
    struct frame_request_head head;
    struct request_header header;

    enum err err = frame_peek_request(frame, &head);
    if (err != ERR_OK) return err;
    const struct api_info *api = api_info_find(head.api_key);
    if (api == NULL) return ERR_UNSUPPORTED;
    err = take_header(&frame, api_info_request_header(api, head.api_version), &request_header_wire,
                      &header);
    if (err != ERR_OK) return err;
    head.client_id = header.client_id;
    *out = head;
    *body = frame;
    return ERR_OK;
}

static const struct api_info *api_of(int16_t api_key)
{
    const struct api_info *api = api_info_find(api_key);

    ensure(api != NULL);
    return api;
}

void frame_write_request_head(struct buf *out, const struct frame_request_head *head)
{
    const struct request_header header = {.request_api_key = head->api_key,
                                          .request_api_version = head->api_version,
                                          .correlation_id = head->correlation_id,
                                          .client_id = head->client_id};

    wire_write(out, api_info_request_header(api_of(head->api_key), head->api_version),
               &request_header_wire, &header);
}

enum err frame_read_response_head(struct slice frame, int16_t api_key, int api_version,
                                  int32_t *correlation_id, struct slice *body)
{
    int version = api_info_response_header(api_of(api_key), api_version);
    struct response_header header;

    enum err err = take_header(&frame, version, &response_header_wire, &header);
    if (err != ERR_OK) return err;
    *correlation_id = header.correlation_id;
    *body = frame;
    return ERR_OK;
}

void frame_write_response_head(struct buf *out, int16_t api_key, int api_version,
                               int32_t correlation_id)
{
    const struct response_header header = {.correlation_id = correlation_id};

    wire_write(out, api_info_response_header(api_of(api_key), api_version), &response_header_wire,
               &header);
}
