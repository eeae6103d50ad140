# broker: wiring, registration, and the APIs of broker/api
libottla_broker_a_SOURCES += \
	broker/api/admin.c \
	broker/api/admin_partitions.c \
	broker/api/alter.c broker/api/alter.h \
	broker/api/alter_log_dirs.c broker/api/alter_log_dirs.h \
	broker/api/alter_configs.c \
	broker/api/isr_writer.c broker/api/isr_writer.h \
	broker/api/resent.c broker/api/resent.h \
	broker/api/describe.c \
	broker/api/features.c \
	broker/api/forward.c broker/api/forward.h \
	broker/api/autocreate.c broker/api/autocreate.h \
	broker/api/broker_configs.c broker/api/broker_configs.h \
	broker/api/codes.c broker/api/codes.h \
	broker/api/connections.c broker/api/connections.h \
	broker/api/control.c broker/api/control.h \
	broker/api/dispatch.c broker/api/dispatch.h \
	broker/api/log_dirs.c \
	broker/api/metadata.c broker/api/metadata.h \
	broker/api/orders.c broker/api/orders.h \
	broker/api/pass.c broker/api/pass.h \
	broker/api/phases.c broker/api/phases.h \
	broker/api/producer_ids.c broker/api/producer_ids.h \
	broker/api/table.c broker/api/table.h \
	broker/api/topic_configs.c broker/api/topic_configs.h \
	broker/api/topic_partitions.c \
	broker/api/update.c broker/api/update.h \
	broker/api/versions.c \
	broker/broker.c broker/broker.h broker/broker_private.h \
	broker/census.c broker/census.h \
	broker/pages.c broker/pages.h broker/pages_parts.c \
	broker/report.c broker/report.h \
	broker/start.c \
	broker/tally.c broker/tally.h \
	broker/stop.c \
	broker/messages.c broker/messages.h

bin_PROGRAMS += ottla-broker
ottla_broker_SOURCES = broker/main.c
ottla_broker_LDADD = $(BROKER_LIBS)

if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_codes \
	tests/unit/test_control \
	tests/unit/test_topic_configs \
	tests/unit/test_dispatch \
	tests/unit/test_isr_writer \
	tests/unit/test_resent \
	tests/unit/test_metadata \
	tests/unit/test_offset_nodes \
	tests/unit/test_producer_ids
endif
EXTRA_DIST += tests/unit/broker_rig.h broker/README.md broker/api/README.md
