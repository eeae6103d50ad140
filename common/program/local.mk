# common/program: what the processes do alike before they run.
libottla_common_a_SOURCES += common/program/program.c common/program/program.h
EXTRA_DIST += common/program/README.md
