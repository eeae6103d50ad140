# broker/replica: one partition among brokers.
libottla_broker_a_SOURCES += \
	broker/replica/follow.c \
	broker/replica/hosted.h \
	broker/replica/isr.c broker/replica/isr.h \
	broker/replica/partition.c broker/replica/partition.h \
	broker/replica/partitions.c broker/replica/partitions.h \
	broker/replica/purgatory.c broker/replica/purgatory.h \
	broker/replica/serve.c \
	broker/replica/upkeep.c
