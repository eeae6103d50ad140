/* ottla-broker: options, then one broker until it is told to end. */
#include "base/log.h"
#include "broker/broker.h"
#include "config.h"
#include "program/program.h"
#include <stdlib.h>

/* The broker, and the page that watches it. */
struct watched {
    struct broker *broker;
    struct metrics *metrics;
    struct status *status;
    struct status_beat beat;
};

static void each_beat(void *of)
{
    struct watched *watched = of;

    atomic_store(&watched->beat.readiness, (int)broker_readiness(watched->broker));
}

static enum err open_status(struct watched *watched, const struct program *program)
{
    const char *listen = options_text(program->options, OPTION_METRICS_LISTEN);
    struct status_options status = {.listen = listen,
                                    .metrics = watched->metrics,
                                    .beat = &watched->beat,
                                    .env = program->env,
                                    .pages = broker_pages(watched->broker)};

    if (listen == NULL || listen[0] == '\0') return ERR_OK;
    watched->beat.each = each_beat;
    watched->beat.of = watched;
    status_beat_start(&watched->beat, broker_shard(watched->broker));
    enum err err = status_open(&status, &watched->status);
    if (err != ERR_OK)
        log_error("broker", "not-started", "problem=\"metrics.listen=%s: %s\"", listen,
                  err_text(err));
    else
        log_info("broker", "metrics", "listen=%s port=%d", listen, status_port(watched->status));
    return err;
}

static enum err run(const struct program *program)
{
    struct watched watched = {.metrics = metrics_create()};
    struct broker_options broker_options = {.env = program->env,
                                            .options = program->options,
                                            .listeners = &program->listeners,
                                            .takes_signals = true,
                                            .metrics = watched.metrics};
    struct buf problem;

    log_info("broker", "starting", "version=%s id=%d", PACKAGE_VERSION,
             options_int(program->options, OPTION_BROKER_ID));
    buf_init(&problem);
    enum err err = broker_create(&broker_options, &problem, &watched.broker);
    if (err != ERR_OK)
        log_error("broker", "not-started", "problem=\"%.*s\"", SLICE_ARGS(buf_slice(&problem)));
    buf_fini(&problem);
    if (err == ERR_OK) {
        err = open_status(&watched, program);
        if (err == ERR_OK) err = broker_run(watched.broker);
        status_beat_stop(&watched.beat);
        broker_end_pages(watched.broker);
        status_close(&watched.status);
        /* After a failure things are as they are: the next start recovers. */
        if (err == ERR_OK) broker_destroy(&watched.broker);
    }
    metrics_destroy(&watched.metrics);
    return err;
}

int main(int argc, char **argv)
{
    struct program program = {.name = "ottla-broker",
                              .summary = "keep partitions of topics, serve clients and followers",
                              .process = OPTIONS_BROKER};
    int exit_code = program_begin(&program, argc, argv);

    if (exit_code >= 0) return exit_code;
    if (run(&program) != ERR_OK) return EXIT_FAILURE; /* it is still in use */
    program_end(&program);
    return EXIT_SUCCESS;
}
