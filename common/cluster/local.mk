# common/cluster: what all processes mean by the cluster.
libottla_common_a_SOURCES += \
	common/cluster/alter.c common/cluster/alter.h \
	common/cluster/assign.c common/cluster/assign.h \
	common/cluster/describe.c common/cluster/describe.h \
	common/cluster/features.c common/cluster/features.h \
	common/cluster/image.c common/cluster/image.h \
	common/cluster/level.c common/cluster/level.h \
	common/cluster/listeners.c common/cluster/listeners.h \
	common/cluster/options.c common/cluster/options.h \
	common/cluster/options_broker.inc common/cluster/options_check.c \
	common/cluster/options_describe.c common/cluster/options_private.h \
	common/cluster/options_table.c common/cluster/options_topic.c \
	common/cluster/options_topic.inc \
	common/cluster/quota.c common/cluster/quota.h \
	common/cluster/throttled.c common/cluster/throttled.h \
	common/cluster/types.c common/cluster/types.h

EXTRA_DIST += common/cluster/README.md

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_alter tests/unit/test_assign tests/unit/test_image tests/unit/test_listeners \
	tests/unit/test_options tests/unit/test_options_topic tests/unit/test_quota \
	tests/unit/test_types
endif
