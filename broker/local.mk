# broker: wiring, registration, and the APIs of broker/api
libottla_broker_a_SOURCES += \
	broker/messages.c broker/messages.h
EXTRA_DIST += broker/api/dispatch.h broker/api/dispatch.c broker/api/connections.h \
	broker/api/connections.c
