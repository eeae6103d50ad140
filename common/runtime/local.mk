# common/runtime: the world, once. Only here are system calls, clocks and threads.
libottla_common_a_SOURCES += \
	common/runtime/conn.h \
	common/runtime/disk.h \
	common/runtime/env.h \
	common/runtime/env_posix.h \
	common/runtime/files.h \
	common/runtime/mailbox.h \
	common/runtime/metrics.h \
	common/runtime/net.h \
	common/runtime/process.h \
	common/runtime/shard.h
