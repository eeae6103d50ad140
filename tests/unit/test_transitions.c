/* The tables of legal moves, partitions' and replicas'. */
#include "controller/partition_machine.h"
#include "controller/replica_machine.h"
#include "tests/unit/unit.h"

#define PARTITION_STATES 4
#define REPLICA_STATES   7

START_TEST(partitions_move_as_kafka_says_and_not_otherwise)
{
    static const bool legal[PARTITION_STATES][PARTITION_STATES] = {
        [PARTITION_NONEXISTENT][PARTITION_NEW] = true,
        [PARTITION_NEW][PARTITION_ONLINE] = true,
        [PARTITION_NEW][PARTITION_OFFLINE] = true,
        [PARTITION_ONLINE][PARTITION_ONLINE] = true,
        [PARTITION_ONLINE][PARTITION_OFFLINE] = true,
        [PARTITION_OFFLINE][PARTITION_ONLINE] = true,
        [PARTITION_OFFLINE][PARTITION_OFFLINE] = true,
        [PARTITION_OFFLINE][PARTITION_NONEXISTENT] = true,
    };

    for (int from = 0; from < PARTITION_STATES; from++)
        for (int to = 0; to < PARTITION_STATES; to++)
            ck_assert_msg(partition_may_become((enum partition_state)from,
                                               (enum partition_state)to) == legal[from][to],
                          "%d -> %d", from, to);
}
END_TEST

START_TEST(replicas_move_as_kafka_says_and_not_otherwise)
{
    static const bool legal[REPLICA_STATES][REPLICA_STATES] = {
        [REPLICA_NONEXISTENT][REPLICA_NEW] = true,
        [REPLICA_NEW][REPLICA_ONLINE] = true,
        [REPLICA_NEW][REPLICA_OFFLINE] = true,
        [REPLICA_ONLINE][REPLICA_ONLINE] = true,
        [REPLICA_ONLINE][REPLICA_OFFLINE] = true,
        [REPLICA_OFFLINE][REPLICA_ONLINE] = true,
        [REPLICA_OFFLINE][REPLICA_OFFLINE] = true,
        [REPLICA_OFFLINE][REPLICA_DELETION_STARTED] = true,
        [REPLICA_OFFLINE][REPLICA_DELETION_INELIGIBLE] = true,
        [REPLICA_DELETION_STARTED][REPLICA_DELETION_SUCCESSFUL] = true,
        [REPLICA_DELETION_STARTED][REPLICA_DELETION_INELIGIBLE] = true,
        [REPLICA_DELETION_SUCCESSFUL][REPLICA_NONEXISTENT] = true,
        [REPLICA_DELETION_INELIGIBLE][REPLICA_ONLINE] = true,
        [REPLICA_DELETION_INELIGIBLE][REPLICA_OFFLINE] = true,
    };

    for (int from = 0; from < REPLICA_STATES; from++)
        for (int to = 0; to < REPLICA_STATES; to++)
            ck_assert_msg(replica_may_become((enum replica_state)from, (enum replica_state)to) ==
                              legal[from][to],
                          "%s -> %s", replica_state_name((enum replica_state)from),
                          replica_state_name((enum replica_state)to));
}
END_TEST

UNIT(partitions_move_as_kafka_says_and_not_otherwise, replicas_move_as_kafka_says_and_not_otherwise)
