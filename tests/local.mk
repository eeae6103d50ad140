# tests
EXTRA_DIST += tests/unit/unit.h
