# common/runtime: the world, once. Only here are system calls, clocks and threads.
libottla_common_a_SOURCES += \
	common/runtime/conn.c common/runtime/conn.h common/runtime/conn_private.h \
	common/runtime/conn_receive.c common/runtime/conn_send.c \
	common/runtime/disk.c common/runtime/disk.h \
	common/runtime/disk_posix.c \
	common/runtime/env.h \
	common/runtime/env_posix.c common/runtime/env_posix.h \
	common/runtime/files.c common/runtime/files.h \
	common/runtime/files_posix.c \
	common/runtime/listener.c \
	common/runtime/mailbox.c common/runtime/mailbox.h \
	common/runtime/meeting.c common/runtime/meeting.h \
	common/runtime/metrics.c common/runtime/metrics.h \
	common/runtime/net.c common/runtime/net.h \
	common/runtime/net_posix.c \
	common/runtime/posix.h \
	common/runtime/process.c common/runtime/process.h \
	common/runtime/resolve_posix.c \
	common/runtime/scrape.c common/runtime/scrape.h \
	common/runtime/shard.c common/runtime/shard.h \
	common/runtime/status.c common/runtime/status.h \
	common/runtime/thread.c common/runtime/thread.h

EXTRA_DIST += common/runtime/README.md tests/unit/loop.h
if HAVE_CHECK
check_PROGRAMS += tests/unit/test_conn tests/unit/test_files tests/unit/test_mailbox \
	tests/unit/test_metrics tests/unit/test_net tests/unit/test_process tests/unit/test_scrape tests/unit/test_shard \
	tests/unit/test_status
endif
