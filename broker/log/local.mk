# broker/log: one partition's bytes on disk.
libottla_broker_a_SOURCES += \
	broker/log/aborted.c broker/log/aborted.h \
	broker/log/check.c broker/log/check.h \
	broker/log/checkpoint.c broker/log/checkpoint.h \
	broker/log/compact.c broker/log/compact.h \
	broker/log/config.c broker/log/config.h \
	broker/log/epochs.c broker/log/epochs.h \
	broker/log/filter.c broker/log/filter.h \
	broker/log/future.c broker/log/future.h \
	broker/log/handles.c broker/log/handles.h \
	broker/log/index.c broker/log/index.h \
	broker/log/keys.c broker/log/keys.h \
	broker/log/log.c broker/log/log.h \
	broker/log/names.c broker/log/names.h \
	broker/log/parts.h \
	broker/log/policy.c broker/log/policy.h \
	broker/log/producers.c broker/log/producers.h \
	broker/log/recover.c broker/log/recover.h broker/log/resume.c broker/log/resume.h \
	broker/log/reserve.c broker/log/reserve.h \
	broker/log/scan.c broker/log/scan.h \
	broker/log/search.c \
	broker/log/segment.c broker/log/segment.h \
	broker/log/snapshots.c broker/log/snapshots.h \
	broker/log/store.c broker/log/store.h broker/log/store_parts.h \
	broker/log/store_load.c broker/log/store_move.c broker/log/store_save.c \
	broker/log/sync.c \
	broker/log/trim.c

if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_check \
	tests/unit/test_checkpoint \
	tests/unit/test_compact \
	tests/unit/test_epochs \
	tests/unit/test_future \
	tests/unit/test_log \
	tests/unit/test_log_index \
	tests/unit/test_names \
	tests/unit/test_policy \
	tests/unit/test_producers \
	tests/unit/test_snapshots \
	tests/unit/test_damage \
	tests/unit/test_recover tests/unit/test_resume \
	tests/unit/test_reserve \
	tests/unit/test_store
endif
EXTRA_DIST += tests/unit/log_world.h tests/unit/store_world.h
EXTRA_DIST += broker/log/README.md
