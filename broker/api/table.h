/* broker/api/table.h - every API that this broker serves: one object each, in the file of its
 * family. */
#pragma once
#include "broker/api/dispatch.h"

extern const struct api versions_api;                                              /* versions.c */
extern const struct api metadata_api, describe_cluster_api;                        /* metadata.c */
extern const struct api leader_and_isr_api, stop_replica_api, update_metadata_api; /* control.c */
extern const struct api describe_topic_partitions_api;                    /* topic_partitions.c */
extern const struct api update_features_api;                              /* features.c */
extern const struct api describe_producers_api;                           /* describe_producers.c */
extern const struct api describe_configs_api;                             /* describe.c */
extern const struct api alter_configs_api, incremental_alter_configs_api; /* alter_configs.c */
extern const struct api create_topics_api, delete_topics_api, create_partitions_api; /* admin.c */
/* admin_partitions.c */
extern const struct api elect_leaders_api, alter_partition_reassignments_api,
    list_partition_reassignments_api;
extern const struct api alter_replica_log_dirs_api;                    /* alter_log_dirs.c */
extern const struct api describe_log_dirs_api;                         /* log_dirs.c */
extern const struct api produce_api;                                   /* produce.c */
extern const struct api init_producer_id_api;                          /* producer_ids.c */
extern const struct api fetch_api;                                     /* fetch.c */
extern const struct api list_offsets_api, offset_for_leader_epoch_api; /* offsets.c */
extern const struct api delete_records_api;                            /* delete_records.c */
extern const struct api find_coordinator_api;                          /* coordinator.c */
extern const struct api join_group_api, sync_group_api, heartbeat_api,
    leave_group_api; /* group_members.c */
extern const struct api offset_commit_api, offset_fetch_api,
    offset_delete_api; /* group_offsets.c */
extern const struct api describe_groups_api, list_groups_api, delete_groups_api; /* group_admin.c */

/* Any version that we lack: answered with version 0 and what we have. Takes the request. */
void versions_refuse_version(struct request *request);
