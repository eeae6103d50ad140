# tests: what spans rooms. A room's unit tests are named in its own fragment.
EXTRA_DIST += tests/cluster/consume_group.sh tests/cluster/test_config docs/architecture.md docs/last-replica.md docs/metrics.md docs/performance.md tests/bench/compare tests/bench/watching tests/run tests/README.md tests/unit/unit.h tests/cluster/suite.h tools/quickstart
EXTRA_DIST += docs/configuration.md
EXTRA_DIST += tests/chaos/README.md tests/chaos/short.sh tests/chaos/crowds.sh

# Real processes for cluster tests and benches: link tests/cluster/libcluster.a.
noinst_LIBRARIES += tests/cluster/libcluster.a
tests_cluster_libcluster_a_SOURCES = tests/cluster/cluster.c tests/cluster/cluster.h

# What judges in tests/chaos.
if HAVE_CHECK
check_PROGRAMS += tests/unit/test_ledger
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c tests/chaos/ledger.c tests/chaos/ledger.h \
	tests/chaos/replicas.c tests/chaos/replicas.h
endif

if HAVE_CHECK
if HAVE_RDKAFKA
noinst_LIBRARIES += tests/cluster/libclient.a
tests_cluster_libclient_a_SOURCES = tests/cluster/client.c tests/cluster/client.h \
	tests/cluster/crowd.c tests/cluster/crowd.h
tests_cluster_libclient_a_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
CLUSTER_TEST_LIBS = tests/cluster/libclient.a tests/cluster/libcluster.a $(RDKAFKA_LIBS) $(LDADD)
check_PROGRAMS += \
	tests/cluster/test_bad_input \
	tests/cluster/test_controller \
	tests/cluster/test_cut_off \
	tests/cluster/test_data \
	tests/cluster/test_full_disk \
	tests/cluster/test_groups \
	tests/cluster/test_idempotence \
	tests/cluster/test_isr_by_zookeeper \
	tests/cluster/test_kcat \
	tests/cluster/test_last_replica \
	tests/cluster/test_log_dirs \
	tests/cluster/test_metrics \
	tests/cluster/test_offset_nodes \
	tests/cluster/test_rack \
	tests/cluster/test_reassign \
	tests/cluster/test_registration \
	tests/cluster/test_replication \
	tests/cluster/test_storage \
	tests/cluster/test_shutdown \
	tests/cluster/test_throttle \
	tests/cluster/test_zookeeper_away
tests_cluster_test_bad_input_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_controller_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_cut_off_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_data_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_full_disk_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_groups_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_cluster_test_groups_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_kcat_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_last_replica_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_isr_by_zookeeper_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_idempotence_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_log_dirs_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_metrics_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_offset_nodes_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_rack_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_cluster_test_rack_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_reassign_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_registration_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_replication_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_storage_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_shutdown_SOURCES = tests/cluster/test_shutdown.c tests/cluster/client_errors.h
tests_cluster_test_shutdown_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_cluster_test_shutdown_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_throttle_LDADD = $(CLUSTER_TEST_LIBS)
tests_cluster_test_zookeeper_away_LDADD = $(CLUSTER_TEST_LIBS)

# What crowds are made of (tests/cluster/crowd.h).
noinst_PROGRAMS += tests/cluster/group_member
tests_cluster_group_member_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_cluster_group_member_LDADD = $(RDKAFKA_LIBS)

noinst_PROGRAMS += tests/bench/ottla-failover
tests_bench_ottla_failover_SOURCES = tests/bench/failover.c tests/cluster/client_errors.h
tests_bench_ottla_failover_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_bench_ottla_failover_LDADD = tests/cluster/libclient.a tests/cluster/libcluster.a $(RDKAFKA_LIBS) $(COMMON_LIBS)

noinst_PROGRAMS += tests/chaos/chaos
tests_chaos_chaos_SOURCES = tests/chaos/chaos.c tests/chaos/faults.c tests/chaos/faults.h \
	tests/chaos/history.c tests/chaos/history.h tests/chaos/ledger.c tests/chaos/ledger.h \
	tests/chaos/net.c tests/chaos/net.h tests/chaos/plain.c tests/chaos/plain.h \
	tests/chaos/replicas.c tests/chaos/replicas.h tests/chaos/world.c tests/chaos/world.h
tests_chaos_chaos_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_chaos_chaos_LDADD = tests/cluster/libclient.a tests/cluster/libcluster.a $(RDKAFKA_LIBS) $(COMMON_LIBS)
TESTS += tests/chaos/short.sh

noinst_PROGRAMS += tests/chaos/crowds
tests_chaos_crowds_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_chaos_crowds_LDADD = tests/cluster/libclient.a tests/cluster/libcluster.a $(RDKAFKA_LIBS) $(COMMON_LIBS)
TESTS += tests/chaos/crowds.sh
endif
endif

noinst_PROGRAMS += tests/bench/ottla-bench
tests_bench_ottla_bench_SOURCES = tests/bench/awake.c tests/bench/awake.h tests/bench/bench.c tests/bench/load.c tests/bench/load.h \
	tests/bench/groups.c tests/bench/groups.h tests/bench/replication.c tests/bench/replication.h \
	tests/bench/cleaner.c tests/bench/cold.c tests/bench/recovery.c tests/bench/storage.c \
	tests/bench/storage.h
tests_bench_ottla_bench_LDADD = tests/cluster/libcluster.a $(COMMON_LIBS)
TESTS += tests/cluster/test_config tests/cluster/test_tools
EXTRA_DIST += tests/cluster/test_tools
TESTS += tests/cluster/prometheus.sh tests/cluster/run_time.sh tests/cluster/status_page.sh \
	tests/cluster/server_names.sh tests/cluster/systemd.sh
EXTRA_DIST += tests/cluster/systemd.sh
EXTRA_DIST += tests/cluster/prometheus.sh tests/cluster/run_time.sh tests/cluster/status_page.sh
EXTRA_DIST += docs/differences.md docs/operating.md tests/cluster/server_names.sh
