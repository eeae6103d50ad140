/* ottla-broker: options, then one broker until it is told to end. */
#include "base/log.h"
#include "broker/broker.h"
#include "config.h"
#include "program/program.h"
#include <stdlib.h>

static enum err run(const struct program *program)
{
    struct broker_options broker_options = {.env = program->env,
                                            .options = program->options,
                                            .listeners = &program->listeners,
                                            .takes_signals = true};
    struct broker *broker = NULL;
    struct buf problem;

    log_info("broker", "starting", "version=%s id=%d", PACKAGE_VERSION,
             options_int(program->options, OPTION_BROKER_ID));
    buf_init(&problem);
    enum err err = broker_create(&broker_options, &problem, &broker);
    if (err != ERR_OK)
        log_error("broker", "not-started", "problem=\"%.*s\"", SLICE_ARGS(buf_slice(&problem)));
    buf_fini(&problem);
    if (err == ERR_OK) err = broker_run(broker);
    /* After a failure things are as they are: the next start recovers. */
    if (err == ERR_OK) broker_destroy(&broker);
    return err;
}

int main(int argc, char **argv)
{
    struct program program = {.name = "ottla-broker", .process = OPTIONS_BROKER};
    int exit_code = program_begin(&program, argc, argv);

    if (exit_code >= 0) return exit_code;
    if (run(&program) != ERR_OK) return EXIT_FAILURE; /* it is still in use */
    program_end(&program);
    return EXIT_SUCCESS;
}
