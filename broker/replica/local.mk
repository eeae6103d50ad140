# broker/replica
