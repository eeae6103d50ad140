/* tests/script/transcript.h - files that say what goes into a machine and what must come out.
 *
 * A file has comments (#), and blocks: lines of commands, "----", the lines that must come out, an
 * empty line. One machine lives through a file. A program checks all files of its kind, or those
 * that it is given; with --rewrite what comes out replaces what is expected, to be reviewed as a
 * diff. */
#pragma once
#include "base/buf.h"
#include <stdbool.h>

#define WORDS_MAX 16

/* A line: "lead epoch=3 isr=1,2". */
struct words {
    char *at[WORDS_MAX];
    int count;
};

const char *words_value(const struct words *words, const char *key, const char *otherwise);
int32_t words_number(const struct words *words, const char *key, int32_t otherwise);
int32_t words_at(const struct words *words, int place); /* −1: there is none */
void words_join(const struct words *words, int from, char *out, size_t size);

struct transcripts {
    void *machine;
    void (*begin)(void *machine); /* a file */
    void (*end)(void *machine);
    bool (*run)(void *machine, struct words *words); /* false: no such command */
    struct buf *(*out)(void *machine);
    const char *files; /* a pattern, from the root of the source (OTTLA_SOURCE) */
};

/* What main() returns. */
int transcripts_main(const struct transcripts *its, int argc, char **argv);
