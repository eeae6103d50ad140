# tests/fuzz: a target is tests/fuzz/fuzz_NAME.c, a line here, and a folder corpus/fuzz_NAME with at
# least one input.
FUZZ_TARGETS = \
	tests/fuzz/fuzz_batch \
	tests/fuzz/fuzz_codec \
	tests/fuzz/fuzz_docs \
	tests/fuzz/fuzz_frame \
	tests/fuzz/fuzz_group_log \
	tests/fuzz/fuzz_log \
	tests/fuzz/fuzz_oldset

EXTRA_DIST += tests/fuzz/fuzz.h tests/fuzz/corpus
EXTRA_PROGRAMS = tests/fuzz/seeds

# With --enable-fuzz they are libFuzzer's programs, else tests that replay the corpus (fuzz.h).
if FUZZ
AM_CPPFLAGS += -DOTTLA_FUZZ
noinst_PROGRAMS += $(FUZZ_TARGETS)
tests/fuzz/fuzz_%: AM_LDFLAGS += -fsanitize=fuzzer
else
check_PROGRAMS += $(FUZZ_TARGETS)
endif
