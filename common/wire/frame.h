/* wire/frame.h - what stands before a message: its length, and the header of a request or response.
 *
 * A frame here is without its length word, as runtime/conn.h hands it over. Which version of a
 * header goes with which version of an api: wire/protocol.h. */
#pragma once
#include "wire/protocol.h"
#include "wire/codec.h"

#define FRAME_LENGTH_SIZE 4

/* The length word of a frame: ERR_CORRUPT if negative, ERR_TOO_LARGE if over `max`. */
MUST_CHECK enum err frame_read_length(const uint8_t word[FRAME_LENGTH_SIZE], size_t max,
                                      size_t *length);

struct frame_request_head {
    int16_t api_key;
    int16_t api_version;
    int32_t correlation_id;
    struct slice client_id; /* may be null; borrows from the frame */
};

/* The part that stands at the same place in every header version: all but the client id, which is
 * null. For requests whose version nobody knows. ERR_TRUNCATED. */
MUST_CHECK enum err frame_peek_request(struct slice frame, struct frame_request_head *out);

/* The whole header; `*body` is what follows. ERR_UNSUPPORTED if the schemas have no such api (a
 * version that they do not have is the caller's affair: its header is taken for the newest kind),
 * ERR_TRUNCATED, ERR_CORRUPT. */
MUST_CHECK enum err frame_read_request_head(struct slice frame, struct frame_request_head *out,
                                            struct slice *body);
/* The api is one of the schemas'. */
void frame_write_request_head(struct buf *out, const struct frame_request_head *head);

/* The response to a request of this api and version. */
MUST_CHECK enum err frame_read_response_head(struct slice frame, int16_t api_key, int api_version,
                                             int32_t *correlation_id, struct slice *body);
void frame_write_response_head(struct buf *out, int16_t api_key, int api_version,
                               int32_t correlation_id);
