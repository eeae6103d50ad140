# common/program: what the processes do alike before they run.
libottla_common_a_SOURCES += common/program/program.c common/program/program.h \
	common/program/page.c common/program/page.h
EXTRA_DIST += common/program/README.md common/program/page.html
# The page is taken into the object as it is.
common/program/page.$(OBJEXT): common/program/page.html
if HAVE_CHECK
check_PROGRAMS += tests/unit/test_page
endif
