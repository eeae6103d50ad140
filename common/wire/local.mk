# common/wire
