# common/zk: the ZooKeeper session, paths, documents, recipes.
libottla_common_a_SOURCES += \
	common/runtime/env_zookeeper.c common/runtime/env_zookeeper.h \
	common/runtime/zk_ops.h \
	common/zk/doc_json.c common/zk/doc_json.h \
	common/zk/docs.c common/zk/docs.h common/zk/docs_entities.c \
	common/zk/paths.c common/zk/paths.h \
	common/zk/recipe.h \
	common/zk/recipes.c common/zk/recipes.h common/zk/roles.c \
	common/zk/zk.c common/zk/zk.h
EXTRA_DIST += common/zk/README.md tests/unit/fake_zk.h tests/cluster/zookeeper.sh tests/cluster/ports.sh tests/cluster/zk_asks.h tests/cluster/zk_claims.h

if HAVE_CHECK
check_PROGRAMS += \
	tests/cluster/test_zk_real \
	tests/unit/test_docs \
	tests/unit/test_paths \
	tests/unit/test_recipes \
	tests/unit/test_zk
endif
