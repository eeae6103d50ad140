# broker/replica: one partition among brokers.
libottla_broker_a_SOURCES += \
	broker/replica/isr.c broker/replica/isr.h \
	broker/replica/partition.c broker/replica/partition.h \
	broker/replica/partitions.h \
	broker/replica/purgatory.c broker/replica/purgatory.h
