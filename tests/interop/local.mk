# tests/interop: Apache Kafka's clients, tools and brokers, and other clients, against Ottla. Each skips where
# what it needs cannot be had.
INTEROP_TESTS = tests/interop/apache_tools.sh tests/interop/data_from_apache.sh \
	tests/interop/data_formats.sh tests/interop/data_killed.sh tests/interop/data_to_apache.sh tests/interop/go_clients.sh tests/interop/grafana.sh tests/interop/groups_java.sh tests/interop/groups_tools.sh \
	tests/interop/apache_admin.sh tests/interop/apache_others.sh tests/interop/move_to_apache.sh \
	tests/interop/java_clients.sh tests/interop/java_idempotence.sh tests/interop/node_clients.sh \
	tests/interop/mixed_apache_controller.sh tests/interop/mixed_ottla_controller.sh \
	tests/interop/python_clients.sh tests/interop/streams_connect.sh \
	tests/interop/tools_of_4.sh
EXTRA_DIST += $(INTEROP_TESTS) tests/interop/lib.sh tests/interop/admin.sh tests/interop/mixed.sh \
	tests/interop/Interop.java tests/interop/go_clients.go tests/interop/node_clients.js \
	tests/interop/python_clients.py tests/interop/Words.java tests/interop/README.md
TESTS += $(INTEROP_TESTS)
