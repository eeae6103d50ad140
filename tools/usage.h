/* tools/usage.h - what every command does with its command line and its terminal. */
#pragma once
#include "base/conf.h"
#include "tools/args.h"

/* Reads the options. False when the command is over with `*status`: help or version was printed, or
 * the message and the option table, on stderr. args_fini is due in any case. */
bool usage_read(const struct args_command *command, int argc, char **argv, struct args *out,
                int *status);
/* Says what is wrong, and how it goes, on stderr. */
void usage_wrong(const struct args_command *command, const struct buf *message);

/* Appends a whole file to `out`. ERR_… with a message. */
MUST_CHECK enum err usage_read_text(const char *path, struct buf *out, struct buf *message);
/* Reads a properties file. ERR_… with a message. */
MUST_CHECK enum err usage_read_file(const char *path, struct conf *conf, struct buf *message);

/* Client settings from --command-config and the like, and from repeated KEY=VALUE options; what
 * Ottla's tools cannot do (TLS, SASL) is an error. Unknown keys are fine. Names may be NULL. */
MUST_CHECK enum err usage_read_settings(const struct args *args, const char *file_option,
                                        const char *pair_option, struct conf *conf,
                                        struct buf *message);

/* How long a command tries to reach brokers, from its settings (default.api.timeout.ms); 0: they do
 * not say. */
int64_t usage_timeout_ms(const struct conf *settings);
/* How long a broker may take over what it is asked for: request.timeout.ms, 30 s where they do not
 * say, and never longer than the command tries. */
int32_t usage_request_timeout_ms(const struct conf *settings);

/* One line on stderr that is written over and over, on a terminal only; at most five times a
 * second. */
struct progress {
    bool is_shown;
    int64_t next_ms;
};
void progress_init(struct progress *progress);
void progress_show(struct progress *progress, int64_t wall_ms, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Clears the line. */
void progress_end(struct progress *progress);
