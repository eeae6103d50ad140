# common/client: outgoing connections to brokers and controllers.
libottla_common_a_SOURCES += common/client/peer.c common/client/peer.h
EXTRA_DIST += common/client/README.md

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_peer
endif
