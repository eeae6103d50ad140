#include "tools/elect.h"
#include "tests/unit/unit.h"
#include "wire/protocol.h"

START_TEST(outcomes_have_kafkas_words_and_a_failure_is_told)
{
    struct elect_leaders_response_replica_election_result_partition_result results[] = {
        {0, KAFKA_NONE, SLICE_NULL},
        {1, KAFKA_NONE, SLICE_NULL},
        {2, KAFKA_ELECTION_NOT_NEEDED, SLICE_NULL},
        {3, KAFKA_PREFERRED_LEADER_NOT_AVAILABLE, SLICE("why")},
    };
    struct elect_leaders_response_replica_election_result topic = {
        .topic = SLICE("t"), .partition_result = {results, 4}};
    struct elect_leaders_response response = {.replica_election_results = {&topic, 1}};
    struct buf out = {0};

    ck_assert(!elect_print(&response, "PREFERRED", &out));
    buf_add(&out, "", 1);
    ck_assert_str_eq((const char *)out.ptr,
                     "Successfully completed leader election (PREFERRED) for partitions t-0, t-1\n"
                     "Valid replica already elected for partitions t-2\n"
                     "Error completing leader election (PREFERRED) for partition: t-3: "
                     "PREFERRED_LEADER_NOT_AVAILABLE: why\n");
    buf_clear(&out);
    topic.partition_result.count = 3;
    ck_assert(elect_print(&response, "UNCLEAN", &out));
    buf_clear(&out);
    response.replica_election_results.count = 0;
    ck_assert(elect_print(&response, "UNCLEAN", &out));
    ck_assert_uint_eq(out.len, 0);
    buf_fini(&out);
}
END_TEST

UNIT(outcomes_have_kafkas_words_and_a_failure_is_told)
