# tests/sim: whole clusters of the production code in one seeded, virtual world. What is linked with
# libsim.a takes SIM_LINK too: memory belongs to a heap (heap.h); symbols are bound before the
# fork, not in each run.
noinst_LIBRARIES += tests/sim/libsim.a
tests_sim_libsim_a_SOURCES = tests/sim/heap.c tests/sim/heap.h tests/sim/net.c tests/sim/net.h \
	tests/sim/world.c tests/sim/world.h
tests_sim_libsim_a_SOURCES += tests/sim/disk.c tests/sim/disk.h tests/sim/disk_data.c \
	tests/sim/disk_files.c tests/sim/disk_names.c tests/sim/disk_parts.h tests/sim/pool.c \
	tests/sim/pool.h
tests_sim_libsim_a_SOURCES += tests/sim/ensemble.c tests/sim/ensemble.h tests/sim/tree.c \
	tests/sim/tree.h tests/sim/zk_link.c tests/sim/zk_link.h tests/sim/zookeeper.c \
	tests/sim/zookeeper.h
tests_sim_libsim_a_SOURCES += tests/sim/cluster.c tests/sim/cluster.h tests/sim/env_sim.c \
	tests/sim/env_sim.h tests/sim/faults.c tests/sim/faults.h tests/sim/load_groups.c tests/sim/load.c \
	tests/sim/load.h tests/sim/load_private.h tests/sim/operator.c tests/sim/oracle_log.c \
	tests/sim/oracle_log.h tests/sim/run.c tests/sim/run.h tests/sim/traffic.c
tests_sim_libsim_a_SOURCES += tests/sim/oracle_controller.c tests/sim/oracle_controller.h \
	tests/sim/scenario.c tests/sim/scenario.h tests/sim/zombie.c tests/sim/zombie.h
SIM_LINK = $(AM_LDFLAGS) -Wl,-z,now -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc \
	-Wl,--wrap=aligned_alloc -Wl,--wrap=free -Wl,--wrap=strdup -Wl,--wrap=strndup
SIM_LDADD = tests/sim/libsim.a $(LDADD)

noinst_PROGRAMS += tests/sim/sim
tests_sim_sim_SOURCES = tests/sim/main.c
tests_sim_sim_LDFLAGS = $(SIM_LINK)
tests_sim_sim_LDADD = tests/sim/libsim.a libottla_broker.a libottla_controller.a $(COMMON_LIBS)

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_sim_disk
tests_unit_test_sim_disk_LDADD = tests/sim/libsim.a $(LDADD)
check_PROGRAMS += tests/unit/test_sim_net tests/unit/test_sim_world
check_PROGRAMS += tests/unit/test_sim_zookeeper
check_PROGRAMS += tests/unit/test_sim_pool
tests_unit_test_sim_pool_LDADD = $(SIM_LDADD)
tests_unit_test_sim_pool_LDFLAGS = $(SIM_LINK)
tests_unit_test_sim_net_LDADD = $(SIM_LDADD)
tests_unit_test_sim_net_LDFLAGS = $(SIM_LINK)
tests_unit_test_sim_world_LDADD = $(SIM_LDADD)
tests_unit_test_sim_world_LDFLAGS = $(SIM_LINK)
tests_unit_test_sim_zookeeper_LDADD = $(SIM_LDADD)
tests_unit_test_sim_zookeeper_LDFLAGS = $(SIM_LINK)
endif
EXTRA_DIST += tests/unit/files_promises.h tests/unit/sim_env.h

# The tests of broker/log run on simulated disks.
if HAVE_CHECK
check_PROGRAMS += tests/nth/test_nth
tests_nth_test_nth_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_compact_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_future_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_log_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_log_index_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_recover_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_resume_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_snapshots_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_reserve_LDADD = tests/sim/libsim.a $(LDADD)
tests_unit_test_store_LDADD = tests/sim/libsim.a $(LDADD)
endif
EXTRA_DIST += tests/nth/model.h tests/nth/README.md

# The oracle for znodes, and what shows that the simulator can fail.
if HAVE_CHECK
check_PROGRAMS += tests/unit/test_oracle_controller
tests_unit_test_oracle_controller_LDADD = $(SIM_LDADD)
tests_unit_test_oracle_controller_LDFLAGS = $(SIM_LINK)
endif
EXTRA_DIST += tests/sim/README.md tests/sim/compilers tests/sim/hours tests/sim/planted tests/sim/planted.h \
	tests/sim/plants tests/unit/sim_client.h

TESTS += tests/sim/seeds.sh tests/sim/plays.sh
EXTRA_DIST += tests/sim/seeds tests/sim/seeds.sh tests/sim/plays.sh docs/testing.md
