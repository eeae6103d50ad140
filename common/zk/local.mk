# common/zk
libottla_common_a_SOURCES += \
	common/runtime/env_zookeeper.h \
	common/runtime/zk_ops.h \
	common/zk/doc_json.c common/zk/doc_json.h \
	common/zk/docs.c common/zk/docs.h common/zk/docs_entities.c \
	common/zk/paths.c common/zk/paths.h \
	common/zk/recipes.h \
	common/zk/zk.h
EXTRA_DIST += tests/cluster/zookeeper.sh
