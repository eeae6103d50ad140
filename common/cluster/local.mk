# common/cluster: what all processes mean by the cluster.
EXTRA_DIST += common/cluster/types.h common/cluster/image.h common/cluster/assign.h \
	common/cluster/level.h common/cluster/listeners.h common/cluster/options.h \
	common/cluster/options_broker.inc common/cluster/options_topic.inc
