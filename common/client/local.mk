# common/client: outgoing connections to brokers and controllers.
libottla_common_a_SOURCES += common/client/peer.c common/client/peer.h
