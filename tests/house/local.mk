# tests/house: what holds for the whole tree. Each says file, line or symbol.
HOUSE_TESTS = tests/house/includes tests/house/purity tests/house/globals tests/house/banned \
	tests/house/tsan tests/house/units tests/house/entrypoint tests/house/manual \
	tests/house/draws
EXTRA_DIST += $(HOUSE_TESTS) tests/house/house.py tests/house/shards.c
TESTS += $(HOUSE_TESTS)
