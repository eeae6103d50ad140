# controller: the whole controller process; includes run down to common/client.
libottla_controller_a_SOURCES += \
	controller/alter.c \
	controller/brokers.c controller/brokers.h \
	controller/context.c controller/context.h \
	controller/deletion.c controller/deletion.h \
	controller/documents.c controller/documents.h \
	controller/elect.c \
	controller/election.c controller/election.h \
	controller/ids.c controller/ids.h \
	controller/machines.h \
	controller/outbox.c controller/outbox.h \
	controller/partition_machine.c controller/partition_machine.h \
	controller/reassign.c controller/reassign.h \
	controller/pages.c controller/pages.h \
	controller/report.c controller/report.h \
	controller/replica_machine.c controller/replica_machine.h \
	controller/survey.c controller/survey.h \
	controller/takeover.c \
	controller/task.c controller/task.h \
	controller/topics.c controller/topics.h
libottla_controller_a_SOURCES += \
	controller/admin.c controller/admin.h \
	controller/admin_clients.c \
	controller/admin_configs.c \
	controller/admin_describe.c \
	controller/admin_metadata.c \
	controller/admin_partitions.c \
	controller/admin_topics.c \
	controller/asked.c controller/asked.h \
	controller/changes.c controller/changes.h \
	controller/channel.c controller/channel.h \
	controller/controller.c controller/controller.h \
	controller/detector.c controller/detector.h \
	controller/encode.c controller/encode.h \
	controller/warm.c controller/warm.h \
	controller/watcher.c controller/watcher.h \
	controller/znodes.c controller/znodes.h

bin_PROGRAMS += ottla-controller
ottla_controller_SOURCES = controller/main.c
ottla_controller_LDADD = $(CONTROLLER_LIBS)

# Transcripts of the machines, and the world that they and the unit tests share.
check_PROGRAMS += tests/script/run
tests_script_run_SOURCES = tests/script/run.c tests/script/transcript.c tests/script/transcript.h \
	tests/script/world.c tests/script/world.h
tests_script_run_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
EXTRA_DIST += $(wildcard $(top_srcdir)/tests/script/*.txt)

if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_channel \
	tests/unit/test_detector \
	tests/unit/test_election \
	tests/unit/test_encode \
	tests/unit/test_outbox \
	tests/unit/test_standby \
	tests/unit/test_survey \
	tests/unit/test_warm \
	tests/unit/test_transitions \
	tests/unit/test_znodes
endif
