# tests: what spans rooms. A room's unit tests are named in its own fragment.
EXTRA_DIST += tests/run tests/unit/unit.h tools/quickstart
