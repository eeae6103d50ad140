# common/base: knows nothing of Kafka or of the OS beyond memory.
EXTRA_DIST += common/base/README.md
libottla_common_a_SOURCES += \
	common/base/arena.c common/base/arena.h \
	common/base/buf.c common/base/buf.h \
	common/base/conf.c common/base/conf.h \
	common/base/crc32c.c common/base/crc32c.h \
	common/base/ensure.c common/base/ensure.h \
	common/base/planted.c common/base/planted.h \
	common/base/err.c common/base/err.h \
	common/base/fenced.h \
	common/base/heap.c common/base/heap.h \
	common/base/list.h \
	common/base/log.c common/base/log.h \
	common/base/map.c common/base/map.h \
	common/base/prng.c common/base/prng.h \
	common/base/siphash.c common/base/siphash.h \
	common/base/slice.h \
	common/base/text.c common/base/text.h \
	common/base/time.h \
	common/base/uuid.c common/base/uuid.h

if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_arena tests/unit/test_buf tests/unit/test_conf tests/unit/test_crc32c \
	tests/unit/test_siphash tests/unit/test_heap tests/unit/test_list tests/unit/test_log_lines tests/unit/test_map \
	tests/unit/test_prng tests/unit/test_slice tests/unit/test_text tests/unit/test_uuid
endif
