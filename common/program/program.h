/* program/program.h - what ottla-broker and ottla-controller do alike before they run: arguments,
 * server.properties with its overrides, --check-config and --print-config.
 *
 * Says on stderr, in the program's name, what is wrong. */
#pragma once
#include "base/conf.h"
#include "cluster/listeners.h"
#include "cluster/options.h"
#include "runtime/env.h"

struct program {
    const char *name;    /* "ottla-broker" */
    const char *summary; /* what it is for, in half a line */
    enum options_process process;
    /* Settings that this program has where the file says nothing; NULL: none. */
    void (*fill)(struct conf *conf);

    /* What program_begin gives. */
    struct env *env; /* the real world, with ZooKeeper */
    struct options *options;
    struct listeners listeners;
    struct conf conf;
};

/* −1: `program` is ready to run, and program_end is owed. Else all is done, for good or bad, and
 * this is the exit code: 0, 1 for a configuration that cannot be, 2 for wrong arguments. */
int program_begin(struct program *program, int argc, char **argv);
void program_end(struct program *program);
