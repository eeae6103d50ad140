# common/zk
