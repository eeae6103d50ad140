# common/client
