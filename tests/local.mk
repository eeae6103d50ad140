# tests: what spans rooms. A room's unit tests are named in its own fragment.
EXTRA_DIST += tests/run tests/unit/unit.h tools/quickstart

# Real processes for cluster tests and benches: link tests/cluster/libcluster.a.
noinst_LIBRARIES += tests/cluster/libcluster.a
tests_cluster_libcluster_a_SOURCES = tests/cluster/cluster.c tests/cluster/cluster.h
