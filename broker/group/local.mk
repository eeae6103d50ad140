# broker/group: the coordinator of groups, and its APIs.
libottla_broker_a_SOURCES += \
	broker/group/group.c broker/group/group.h broker/group/group_private.h \
	broker/group/group_log.c broker/group/group_log.h \
	broker/group/group_members.c \
	broker/group/group_view.c \
	broker/group/groups.c broker/group/groups.h broker/group/hosted_group.h \
	broker/group/groups_age.c \
	broker/group/groups_ask.c \
	broker/group/groups_load.c \
	broker/group/groups_log.c \
	broker/group/groups_walk.c \
	broker/group/offsets.c broker/group/offsets.h

libottla_broker_a_SOURCES += \
	broker/api/coordinator.c \
	broker/api/group_admin.c \
	broker/api/group_calls.c broker/api/group_calls.h \
	broker/api/group_members.c \
	broker/api/group_offsets.c \
	broker/api/offset_nodes.c broker/api/offset_nodes.h

if HAVE_CHECK
check_PROGRAMS += \
	tests/unit/test_group \
	tests/unit/test_group_log \
	tests/unit/test_group_offsets \
	tests/unit/test_groups
endif
EXTRA_DIST += broker/group/README.md
