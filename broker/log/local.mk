# broker/log: one partition's bytes on disk.
