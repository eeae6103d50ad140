# common/runtime
