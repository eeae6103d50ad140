# common/wire: bytes to structs and back. gen/ is built from schema/ by wiregen.
libottla_common_a_SOURCES += \
	common/wire/batch.c common/wire/batch.h \
	common/wire/codec.c common/wire/codec.h common/wire/codec_private.h \
	common/wire/codec_json.c common/wire/codec_text.c \
	common/wire/compress.c common/wire/compress.h \
	common/wire/downconvert.c common/wire/downconvert.h \
	common/wire/frame.c common/wire/frame.h \
	common/wire/oldset.c common/wire/oldset.h \
	common/wire/prim.c common/wire/prim.h \
	common/wire/protocol.c common/wire/protocol.h \
	common/wire/record.c common/wire/record.h

# A new schema is a line here and one below.
WIRE_SCHEMAS = \
	common/wire/schema/add_offsets_to_txn.msg \
	common/wire/schema/add_partitions_to_txn.msg \
	common/wire/schema/allocate_producer_ids.msg \
	common/wire/schema/alter_client_quotas.msg \
	common/wire/schema/alter_configs.msg \
	common/wire/schema/alter_partition.msg \
	common/wire/schema/alter_partition_reassignments.msg \
	common/wire/schema/alter_replica_log_dirs.msg \
	common/wire/schema/alter_user_scram_credentials.msg \
	common/wire/schema/api_versions.msg \
	common/wire/schema/consumer_group_current_member_assignment.msg \
	common/wire/schema/consumer_group_describe.msg \
	common/wire/schema/consumer_group_heartbeat.msg \
	common/wire/schema/consumer_group_member_metadata.msg \
	common/wire/schema/consumer_group_metadata.msg \
	common/wire/schema/consumer_group_partition_metadata.msg \
	common/wire/schema/consumer_group_target_assignment_member.msg \
	common/wire/schema/consumer_group_target_assignment_metadata.msg \
	common/wire/schema/consumer_protocol.msg \
	common/wire/schema/controlled_shutdown.msg \
	common/wire/schema/create_acls.msg \
	common/wire/schema/create_delegation_token.msg \
	common/wire/schema/create_partitions.msg \
	common/wire/schema/create_topics.msg \
	common/wire/schema/default_principal_data.msg \
	common/wire/schema/delete_acls.msg \
	common/wire/schema/delete_groups.msg \
	common/wire/schema/delete_records.msg \
	common/wire/schema/delete_share_group_state.msg \
	common/wire/schema/delete_topics.msg \
	common/wire/schema/describe_acls.msg \
	common/wire/schema/describe_client_quotas.msg \
	common/wire/schema/describe_cluster.msg \
	common/wire/schema/describe_configs.msg \
	common/wire/schema/describe_delegation_token.msg \
	common/wire/schema/describe_groups.msg \
	common/wire/schema/describe_log_dirs.msg \
	common/wire/schema/describe_producers.msg \
	common/wire/schema/describe_topic_partitions.msg \
	common/wire/schema/describe_transactions.msg \
	common/wire/schema/describe_user_scram_credentials.msg \
	common/wire/schema/elect_leaders.msg \
	common/wire/schema/end_txn.msg \
	common/wire/schema/envelope.msg \
	common/wire/schema/expire_delegation_token.msg \
	common/wire/schema/fetch.msg \
	common/wire/schema/find_coordinator.msg \
	common/wire/schema/get_telemetry_subscriptions.msg \
	common/wire/schema/group_metadata.msg \
	common/wire/schema/header.msg \
	common/wire/schema/heartbeat.msg \
	common/wire/schema/incremental_alter_configs.msg \
	common/wire/schema/init_producer_id.msg \
	common/wire/schema/initialize_share_group_state.msg \
	common/wire/schema/join_group.msg \
	common/wire/schema/leader_and_isr.msg \
	common/wire/schema/leave_group.msg \
	common/wire/schema/list_client_metrics_resources.msg \
	common/wire/schema/list_groups.msg \
	common/wire/schema/list_offsets.msg \
	common/wire/schema/list_partition_reassignments.msg \
	common/wire/schema/list_transactions.msg \
	common/wire/schema/metadata.msg \
	common/wire/schema/offset_commit.msg \
	common/wire/schema/offset_commit_record.msg \
	common/wire/schema/offset_delete.msg \
	common/wire/schema/offset_fetch.msg \
	common/wire/schema/offset_for_leader_epoch.msg \
	common/wire/schema/produce.msg \
	common/wire/schema/push_telemetry.msg \
	common/wire/schema/read_share_group_state.msg \
	common/wire/schema/read_share_group_state_summary.msg \
	common/wire/schema/renew_delegation_token.msg \
	common/wire/schema/sasl_authenticate.msg \
	common/wire/schema/sasl_handshake.msg \
	common/wire/schema/share_acknowledge.msg \
	common/wire/schema/share_fetch.msg \
	common/wire/schema/share_group_describe.msg \
	common/wire/schema/share_group_heartbeat.msg \
	common/wire/schema/share_group_member_metadata.msg \
	common/wire/schema/share_group_metadata.msg \
	common/wire/schema/share_group_partition_metadata.msg \
	common/wire/schema/stop_replica.msg \
	common/wire/schema/sync_group.msg \
	common/wire/schema/transaction_log.msg \
	common/wire/schema/txn_offset_commit.msg \
	common/wire/schema/update_features.msg \
	common/wire/schema/update_metadata.msg \
	common/wire/schema/write_share_group_state.msg \
	common/wire/schema/write_txn_markers.msg \
	common/wire/schema/errors.tsv

WIRE_GEN = \
	common/wire/gen/add_offsets_to_txn.c common/wire/gen/add_offsets_to_txn.h \
	common/wire/gen/add_partitions_to_txn.c common/wire/gen/add_partitions_to_txn.h \
	common/wire/gen/allocate_producer_ids.c common/wire/gen/allocate_producer_ids.h \
	common/wire/gen/alter_client_quotas.c common/wire/gen/alter_client_quotas.h \
	common/wire/gen/alter_configs.c common/wire/gen/alter_configs.h \
	common/wire/gen/alter_partition.c common/wire/gen/alter_partition.h \
	common/wire/gen/alter_partition_reassignments.c common/wire/gen/alter_partition_reassignments.h \
	common/wire/gen/alter_replica_log_dirs.c common/wire/gen/alter_replica_log_dirs.h \
	common/wire/gen/alter_user_scram_credentials.c common/wire/gen/alter_user_scram_credentials.h \
	common/wire/gen/api_versions.c common/wire/gen/api_versions.h \
	common/wire/gen/consumer_group_current_member_assignment.c common/wire/gen/consumer_group_current_member_assignment.h \
	common/wire/gen/consumer_group_describe.c common/wire/gen/consumer_group_describe.h \
	common/wire/gen/consumer_group_heartbeat.c common/wire/gen/consumer_group_heartbeat.h \
	common/wire/gen/consumer_group_member_metadata.c common/wire/gen/consumer_group_member_metadata.h \
	common/wire/gen/consumer_group_metadata.c common/wire/gen/consumer_group_metadata.h \
	common/wire/gen/consumer_group_partition_metadata.c common/wire/gen/consumer_group_partition_metadata.h \
	common/wire/gen/consumer_group_target_assignment_member.c common/wire/gen/consumer_group_target_assignment_member.h \
	common/wire/gen/consumer_group_target_assignment_metadata.c common/wire/gen/consumer_group_target_assignment_metadata.h \
	common/wire/gen/consumer_protocol.c common/wire/gen/consumer_protocol.h \
	common/wire/gen/controlled_shutdown.c common/wire/gen/controlled_shutdown.h \
	common/wire/gen/create_acls.c common/wire/gen/create_acls.h \
	common/wire/gen/create_delegation_token.c common/wire/gen/create_delegation_token.h \
	common/wire/gen/create_partitions.c common/wire/gen/create_partitions.h \
	common/wire/gen/create_topics.c common/wire/gen/create_topics.h \
	common/wire/gen/default_principal_data.c common/wire/gen/default_principal_data.h \
	common/wire/gen/delete_acls.c common/wire/gen/delete_acls.h \
	common/wire/gen/delete_groups.c common/wire/gen/delete_groups.h \
	common/wire/gen/delete_records.c common/wire/gen/delete_records.h \
	common/wire/gen/delete_share_group_state.c common/wire/gen/delete_share_group_state.h \
	common/wire/gen/delete_topics.c common/wire/gen/delete_topics.h \
	common/wire/gen/describe_acls.c common/wire/gen/describe_acls.h \
	common/wire/gen/describe_client_quotas.c common/wire/gen/describe_client_quotas.h \
	common/wire/gen/describe_cluster.c common/wire/gen/describe_cluster.h \
	common/wire/gen/describe_configs.c common/wire/gen/describe_configs.h \
	common/wire/gen/describe_delegation_token.c common/wire/gen/describe_delegation_token.h \
	common/wire/gen/describe_groups.c common/wire/gen/describe_groups.h \
	common/wire/gen/describe_log_dirs.c common/wire/gen/describe_log_dirs.h \
	common/wire/gen/describe_producers.c common/wire/gen/describe_producers.h \
	common/wire/gen/describe_topic_partitions.c common/wire/gen/describe_topic_partitions.h \
	common/wire/gen/describe_transactions.c common/wire/gen/describe_transactions.h \
	common/wire/gen/describe_user_scram_credentials.c common/wire/gen/describe_user_scram_credentials.h \
	common/wire/gen/elect_leaders.c common/wire/gen/elect_leaders.h \
	common/wire/gen/end_txn.c common/wire/gen/end_txn.h \
	common/wire/gen/envelope.c common/wire/gen/envelope.h \
	common/wire/gen/expire_delegation_token.c common/wire/gen/expire_delegation_token.h \
	common/wire/gen/fetch.c common/wire/gen/fetch.h \
	common/wire/gen/find_coordinator.c common/wire/gen/find_coordinator.h \
	common/wire/gen/get_telemetry_subscriptions.c common/wire/gen/get_telemetry_subscriptions.h \
	common/wire/gen/group_metadata.c common/wire/gen/group_metadata.h \
	common/wire/gen/header.c common/wire/gen/header.h \
	common/wire/gen/heartbeat.c common/wire/gen/heartbeat.h \
	common/wire/gen/incremental_alter_configs.c common/wire/gen/incremental_alter_configs.h \
	common/wire/gen/init_producer_id.c common/wire/gen/init_producer_id.h \
	common/wire/gen/initialize_share_group_state.c common/wire/gen/initialize_share_group_state.h \
	common/wire/gen/join_group.c common/wire/gen/join_group.h \
	common/wire/gen/leader_and_isr.c common/wire/gen/leader_and_isr.h \
	common/wire/gen/leave_group.c common/wire/gen/leave_group.h \
	common/wire/gen/list_client_metrics_resources.c common/wire/gen/list_client_metrics_resources.h \
	common/wire/gen/list_groups.c common/wire/gen/list_groups.h \
	common/wire/gen/list_offsets.c common/wire/gen/list_offsets.h \
	common/wire/gen/list_partition_reassignments.c common/wire/gen/list_partition_reassignments.h \
	common/wire/gen/list_transactions.c common/wire/gen/list_transactions.h \
	common/wire/gen/metadata.c common/wire/gen/metadata.h \
	common/wire/gen/offset_commit.c common/wire/gen/offset_commit.h \
	common/wire/gen/offset_commit_record.c common/wire/gen/offset_commit_record.h \
	common/wire/gen/offset_delete.c common/wire/gen/offset_delete.h \
	common/wire/gen/offset_fetch.c common/wire/gen/offset_fetch.h \
	common/wire/gen/offset_for_leader_epoch.c common/wire/gen/offset_for_leader_epoch.h \
	common/wire/gen/produce.c common/wire/gen/produce.h \
	common/wire/gen/protocol.c common/wire/gen/protocol.h \
	common/wire/gen/push_telemetry.c common/wire/gen/push_telemetry.h \
	common/wire/gen/read_share_group_state.c common/wire/gen/read_share_group_state.h \
	common/wire/gen/read_share_group_state_summary.c common/wire/gen/read_share_group_state_summary.h \
	common/wire/gen/renew_delegation_token.c common/wire/gen/renew_delegation_token.h \
	common/wire/gen/sasl_authenticate.c common/wire/gen/sasl_authenticate.h \
	common/wire/gen/sasl_handshake.c common/wire/gen/sasl_handshake.h \
	common/wire/gen/share_acknowledge.c common/wire/gen/share_acknowledge.h \
	common/wire/gen/share_fetch.c common/wire/gen/share_fetch.h \
	common/wire/gen/share_group_describe.c common/wire/gen/share_group_describe.h \
	common/wire/gen/share_group_heartbeat.c common/wire/gen/share_group_heartbeat.h \
	common/wire/gen/share_group_member_metadata.c common/wire/gen/share_group_member_metadata.h \
	common/wire/gen/share_group_metadata.c common/wire/gen/share_group_metadata.h \
	common/wire/gen/share_group_partition_metadata.c common/wire/gen/share_group_partition_metadata.h \
	common/wire/gen/stop_replica.c common/wire/gen/stop_replica.h \
	common/wire/gen/sync_group.c common/wire/gen/sync_group.h \
	common/wire/gen/transaction_log.c common/wire/gen/transaction_log.h \
	common/wire/gen/txn_offset_commit.c common/wire/gen/txn_offset_commit.h \
	common/wire/gen/update_features.c common/wire/gen/update_features.h \
	common/wire/gen/update_metadata.c common/wire/gen/update_metadata.h \
	common/wire/gen/write_share_group_state.c common/wire/gen/write_share_group_state.h \
	common/wire/gen/write_txn_markers.c common/wire/gen/write_txn_markers.h

WIREGEN = tools/wiregen/wiregen.py
WIRE_STAMP = common/wire/gen/stamp

# The outputs are in the tarball, and building from it runs no generator; in a checkout they are made
# in the build folder, which may be another than a read-only source folder.
libottla_common_a_SOURCES += $(WIRE_GEN)
BUILT_SOURCES += $(WIRE_STAMP)
EXTRA_DIST += $(WIRE_SCHEMAS) $(WIREGEN) $(WIRE_STAMP) common/wire/README.md
MAINTAINERCLEANFILES = $(WIRE_GEN) $(WIRE_STAMP)

$(WIRE_STAMP): $(WIRE_SCHEMAS) $(WIREGEN)
	@$(MKDIR_P) common/wire/gen
	@touch $@.new
	$(AM_V_GEN)$(PYTHON) $(srcdir)/$(WIREGEN) --out common/wire/gen $(filter %.msg %.tsv,$^)
	@mv -f $@.new $@

# The stamp is as old as the beginning of the run, so never newer than an output: from a tarball make then
# finds all of them up to date in the source folder. Whoever lost an output (and not the stamp) gets it again.
$(WIRE_GEN): $(WIRE_STAMP)
	@test -f $@ || test -f $(srcdir)/$@ || { rm -f $(WIRE_STAMP) && $(MAKE) $(WIRE_STAMP); }

# In the tarball no output is older than the stamp: else make would want to make it again, elsewhere.
dist-hook: dist-hook-wire
dist-hook-wire:
	touch $(distdir)/$(WIRE_STAMP)
	touch $(distdir)/common/wire/gen/*.c $(distdir)/common/wire/gen/*.h
.PHONY: dist-hook-wire

# So that `make tests/unit/test_x` works in a fresh build folder too.
$(libottla_common_a_OBJECTS) $(libottla_broker_a_OBJECTS) $(libottla_controller_a_OBJECTS) \
$(addsuffix .$(OBJEXT),$(check_PROGRAMS) $(noinst_PROGRAMS)): | $(WIRE_STAMP)

EXTRA_DIST += tests/unit/kcat_frames.h tests/unit/wire_values.h
if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_batch \
	tests/unit/test_codec \
	tests/unit/test_compress \
	tests/unit/test_frame \
	tests/unit/test_messages \
	tests/unit/test_downconvert \
	tests/unit/test_oldset \
	tests/unit/test_prim \
	tests/unit/test_protocol \
	tests/unit/test_record
endif

EXTRA_DIST += tests/house/schemas tests/house/wiregen
TESTS += tests/house/schemas tests/house/wiregen
