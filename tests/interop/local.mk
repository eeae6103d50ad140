# tests/interop: Apache Kafka's clients, tools and brokers, and other clients, against Ottla. Each skips where
# what it needs cannot be had.
INTEROP_TESTS = tests/interop/data_from_apache.sh tests/interop/data_killed.sh \
	tests/interop/data_to_apache.sh tests/interop/java_clients.sh
EXTRA_DIST += $(INTEROP_TESTS) tests/interop/lib.sh tests/interop/Interop.java tests/interop/README.md
TESTS += $(INTEROP_TESTS)
