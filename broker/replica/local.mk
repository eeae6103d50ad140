# broker/replica: one partition among brokers, and the data path of broker/api above it.
libottla_broker_a_SOURCES += \
	broker/replica/fetcher.c broker/replica/fetcher.h \
	broker/replica/fetchers.c broker/replica/fetchers.h \
	broker/replica/follow.c \
	broker/replica/followed.c \
	broker/replica/hosted.h \
	broker/replica/isr.c broker/replica/isr.h \
	broker/replica/link.h \
	broker/replica/link_ask.c \
	broker/replica/link_fetch.c \
	broker/replica/move.c broker/replica/move.h \
	broker/replica/moving.c \
	broker/replica/partition.c broker/replica/partition.h \
	broker/replica/partitions.c broker/replica/partitions.h \
	broker/replica/purgatory.c broker/replica/purgatory.h \
	broker/replica/serve.c \
	broker/replica/sessions.c broker/replica/sessions.h \
	broker/replica/throttle.c broker/replica/throttle.h \
	broker/replica/cleaning.c \
	broker/replica/deletion.c \
	broker/replica/upkeep.c \
	broker/replica/walk.c \
	broker/api/delete_records.c broker/api/delete_records.h \
	broker/api/describe_producers.c broker/api/describe_producers.h \
	broker/api/fetch.c broker/api/fetch.h \
	broker/api/leaders.c broker/api/leaders.h \
	broker/api/offsets.c broker/api/offsets.h \
	broker/api/produce.c broker/api/produce.h \
	broker/api/reads.c broker/api/reads.h

if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_data_path \
	tests/unit/test_fetcher \
	tests/unit/test_fetchers \
	tests/unit/test_isr \
	tests/unit/test_move \
	tests/unit/test_moving \
	tests/unit/test_partition \
	tests/unit/test_partitions \
	tests/unit/test_purgatory \
	tests/unit/test_sessions
endif

# Transcripts of the machines.
check_PROGRAMS += tests/script/replica_run
tests_script_replica_run_SOURCES = tests/script/replica.c tests/script/transcript.c \
	tests/script/transcript.h
tests_script_replica_run_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
EXTRA_DIST += $(wildcard $(top_srcdir)/tests/script/replica/*.txt)
