# broker/group: the coordinator of groups, and its APIs.
libottla_broker_a_SOURCES += \
	broker/group/group.c broker/group/group.h broker/group/group_private.h \
	broker/group/group_log.c broker/group/group_log.h \
	broker/group/group_members.c \
	broker/group/group_view.c \
	broker/group/offsets.c broker/group/offsets.h

if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_group \
	tests/unit/test_group_log \
	tests/unit/test_group_offsets
endif
EXTRA_DIST += broker/group/README.md
