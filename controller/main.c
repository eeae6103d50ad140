/* ottla-controller: options, then one controller until it is told to end. */
#include "base/log.h"
#include "config.h"
#include "controller/controller.h"
#include "controller/pages.h"
#include "controller/report.h"
#include "program/program.h"
#include "runtime/process.h"
#include <signal.h>
#include <stdlib.h>

#define DEFAULT_LISTENERS "PLAINTEXT://:9093" /* a broker on the same host has 9092 */
#define LEAVE_MS_MAX      10000

struct process {
    struct shard shard;
    struct controller controller;
    struct process_signals signals;
    struct process_watchdog watchdog;
    struct timer leave;
    bool has_failed;

    /* The page that watches it. */
    struct report report;
    struct metrics *metrics;
    struct pages *pages;
    struct status *status;
    struct status_beat beat;
};

static void on_ready(void *owner)
{
    (void)owner;
    process_notify("READY=1");
    log_info("controller", "ready", "");
}

static void on_stopped(void *owner)
{
    struct process *process = owner;

    timer_cancel(&process->shard, &process->leave);
    shard_stop(&process->shard);
}

/* ZooKeeper may be away: then the session ends by itself. */
static void leave_fired(struct timer *timer)
{
    struct process *process = list_entry(timer, struct process, leave);

    log_warn("controller", "left-without-goodbye", "");
    process->has_failed = true;
    shard_stop(&process->shard);
}

static void on_signal(struct process_signals *signals, int number)
{
    struct process *process = list_entry(signals, struct process, signals);

    if (number == SIGHUP) return;
    log_info("controller", "stopping", "signal=%d", number);
    process_notify("STOPPING=1");
    process->leave.fire = leave_fired;
    timer_arm(&process->shard, &process->leave,
              instant_add_ms(shard_now(&process->shard), LEAVE_MS_MAX));
    controller_stop(&process->controller);
}

static void each_beat(void *of)
{
    struct process *process = of;

    report_take(&process->report);
    atomic_store(&process->beat.readiness, (int)report_readiness(&process->controller));
}

static enum err open_status(struct process *process, const struct program *program)
{
    const char *listen = options_text(program->options, OPTION_METRICS_LISTEN);
    struct status_options status = {
        .listen = listen, .metrics = process->metrics, .beat = &process->beat, .env = program->env};

    if (listen == NULL || listen[0] == '\0') return ERR_OK;
    report_open(&process->report, &process->controller, process->metrics);
    process->pages = pages_create(&process->controller, &process->report);
    status.pages = pages_status(process->pages);
    process->beat.each = each_beat;
    process->beat.of = process;
    status_beat_start(&process->beat, &process->shard);
    enum err err = status_open(&status, &process->status);
    if (err != ERR_OK)
        log_error("controller", "not-started", "problem=\"metrics.listen=%s: %s\"", listen,
                  err_text(err));
    else
        log_info("controller", "metrics", "listen=%s port=%d", listen,
                 status_port(process->status));
    return err;
}

/* A listener on all interfaces is advertised by the name of this host. */
static void fill_hosts(struct listeners *listeners, char host[PROCESS_HOST_MAX])
{
    process_host_name(host);
    for (int i = 0; i < listeners->count; i++)
        if (listeners->at[i].host.len == 0) listeners->at[i].host = slice_text(host);
}

static enum err run(const struct program *program)
{
    static const struct mailbox_handlers none;
    struct process *process = calloc(1, sizeof(*process));
    struct mesh *mesh = mesh_create(1);

    if (process == NULL) return ERR_IO;
    process->metrics = metrics_create();
    log_info("controller", "starting", "version=%s id=%d", PACKAGE_VERSION,
             options_int(program->options, OPTION_CONTROLLER_ID));
    enum err err = shard_open(&process->shard, program->env, 0, mesh, &none, process, NULL);
    if (err != ERR_OK) return err;
    err = process_signals_open(&process->signals, &process->shard, on_signal);
    if (err == ERR_OK)
        err = controller_open(&process->controller, &process->shard, program->options,
                              &program->listeners, on_ready, on_stopped, process);
    if (err != ERR_OK) {
        log_error("controller", "not-started", "error=\"%s\"", err_text(err));
    } else {
        err = open_status(process, program);
        if (err != ERR_OK) controller_stop(&process->controller);
        process_watchdog_start(&process->watchdog, &process->shard);
        shard_run(&process->shard);
        process_watchdog_stop(&process->watchdog);
        status_beat_stop(&process->beat);
        if (process->pages != NULL) pages_stop(process->pages);
        status_close(&process->status);
        pages_destroy(&process->pages);
        report_close(&process->report);
        if (process->has_failed) return ERR_TIMED_OUT;
        controller_fini(&process->controller);
    }
    metrics_destroy(&process->metrics);
    process_signals_close(&process->signals);
    shard_close(&process->shard);
    mesh_destroy(&mesh);
    free(process);
    return err;
}

static void fill(struct conf *conf)
{
    if (conf_get(conf, "listeners") == NULL) conf_set(conf, "listeners", DEFAULT_LISTENERS, 0);
}

int main(int argc, char **argv)
{
    struct program program = {.name = "ottla-controller",
                              .summary = "decide who leads which partition, or stand by",
                              .process = OPTIONS_CONTROLLER,
                              .fill = fill};
    char host[PROCESS_HOST_MAX];
    int exit_code = program_begin(&program, argc, argv);

    if (exit_code >= 0) return exit_code;
    fill_hosts(&program.listeners, host);
    enum err err = run(&program);
    if (err == ERR_TIMED_OUT) return EXIT_FAILURE; /* it is still in use: the process ends now */
    program_end(&program);
    return err == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
