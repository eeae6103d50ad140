#include "tools/api_versions.h"
#include "tests/unit/unit.h"
#include "wire/gen/protocol.h"
#include <string.h>

static struct buf out;

static const char *printed(struct api_versions_response_api_key *keys, int count)
{
    struct api_versions_response response = {0};

    response.api_keys.at = keys;
    response.api_keys.count = count;
    buf_clear(&out);
    api_versions_print(&response, &out);
    buf_add(&out, "", 1);
    return (const char *)out.ptr;
}

START_TEST(lines_are_those_of_kafka)
{
    struct api_versions_response_api_key keys[] = {
        {.api_key = 9999, .min_version = 0, .max_version = 1},              /* later than us */
        {.api_key = API_LIST_OFFSETS, .min_version = 1, .max_version = 99}, /* newer */
        {.api_key = API_PRODUCE, .min_version = 0, .max_version = 3},       /* older */
        {.api_key = API_ENVELOPE, .min_version = 0, .max_version = 0},      /* one */
        {.api_key = API_HEARTBEAT, .min_version = 50, .max_version = 60},   /* nothing in common */
        {.api_key = 55, .min_version = 0, .max_version = 2},                /* of KRaft */
    };
    const char *text = printed(keys, 6);

    ck_assert_ptr_eq(strstr(text, "\tProduce(0): 0 to 3 [usable: 3],\n\tFetch(1): UNSUPPORTED,\n"
                                  "\tListOffsets(2): 1 to 99 [usable: 9],\n"),
                     text);
    ck_assert_ptr_nonnull(strstr(text, "\tHeartbeat(12): 50 to 60 [unusable: node too new],\n"));
    ck_assert_ptr_nonnull(strstr(text, "\tDescribeQuorum(55): 0 to 2 [usable: 2],\n"));
    ck_assert_ptr_nonnull(strstr(text, "\tEnvelope(58): 0 [usable: 0],\n"));
    ck_assert_ptr_nonnull(strstr(text, "\tUnregisterBroker(64): UNSUPPORTED,\n"));
    ck_assert_str_eq(text + strlen(text) - strlen(",\n\tUNKNOWN(9999): 0 to 1\n"),
                     ",\n\tUNKNOWN(9999): 0 to 1\n");
}
END_TEST

UNIT(lines_are_those_of_kafka)
