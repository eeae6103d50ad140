# common/cluster
