/* tools/args.h - the options of a command: one table says what there is, --help prints it.
 *
 * --name value, --name=value, and any unique beginning of a name. Pure: what to print is handed
 * back. */
#pragma once
#include "base/buf.h"

enum args_flag {
    ARGS_REQUIRED = 1,
    ARGS_OPTIONAL_VALUE = 2, /* --name alone is fine too */
};

struct args_option {
    const char *name;  /* without dashes */
    const char *value; /* what its value is called in --help; NULL: it takes none */
    unsigned flags;
    const char *help;
};

struct args_command {
    const char *name;    /* "ottla topics" */
    const char *summary; /* one line */
    const char *more;    /* what follows the options in --help; NULL: nothing */
    const struct args_option *options;
    int count;
};

struct args_given {
    const struct args_option *option;
    const char *value; /* NULL: it came without one */
};

struct args {
    const struct args_command *command;
    struct args_given *given; /* in order of the command line */
    int count;
};

enum args_result { ARGS_READ, ARGS_HELP, ARGS_VERSION, ARGS_WRONG };

/* Reads `argv` (without the command's own name; borrowed as long as the args). ARGS_WRONG:
 * `message` says what is. args_fini is due in any case. */
enum args_result args_read(const struct args_command *command, int argc, char *const *argv,
                           struct args *out, struct buf *message);
void args_fini(struct args *args);

/* Usage and all options, wrapped at 80 columns. */
void args_help(const struct args_command *command, struct buf *out);

/* `name` is in the table (a bug otherwise). */
bool args_has(const struct args *args, const char *name);
/* The last one given, or `otherwise`. */
const char *args_text(const struct args *args, const char *name, const char *otherwise);
/* The values of one that may be repeated; NULL behind the last. */
const char *args_at(const struct args *args, const char *name, int index);
/* A whole number in min … max; `*out` stays when it was not given. ERR_INVALID with a message. */
MUST_CHECK enum err args_number(const struct args *args, const char *name, int64_t min, int64_t max,
                                int64_t *out, struct buf *message);
/* Exactly one of these, ended by NULL: its name. NULL with a message. */
const char *args_one_of(const struct args *args, const char *const *names, struct buf *message);
