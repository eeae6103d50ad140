#include "broker/api/table.h"

const struct api *const *api_table(void)
{
    static const struct api *const table[] = {
        &produce_api,
        &fetch_api,
        &list_offsets_api,
        &metadata_api,
        &leader_and_isr_api,
        &stop_replica_api,
        &update_metadata_api,
        &offset_commit_api,
        &offset_fetch_api,
        &find_coordinator_api,
        &join_group_api,
        &heartbeat_api,
        &leave_group_api,
        &sync_group_api,
        &describe_groups_api,
        &list_groups_api,
        &versions_api,
        &create_topics_api,
        &delete_topics_api,
        &delete_records_api,
        &init_producer_id_api,
        &offset_for_leader_epoch_api,
        &describe_configs_api,
        &alter_configs_api,
        &alter_replica_log_dirs_api,
        &describe_log_dirs_api,
        &create_partitions_api,
        &delete_groups_api,
        &elect_leaders_api,
        &incremental_alter_configs_api,
        &alter_partition_reassignments_api,
        &list_partition_reassignments_api,
        &offset_delete_api,
        &update_features_api,
        &describe_cluster_api,
        &describe_producers_api,
        &describe_topic_partitions_api,
        NULL,
    };

    return table;
}
