/* ottla-controller: options, then one controller until it is told to end. */
#include "base/log.h"
#include "config.h"
#include "controller/controller.h"
#include "runtime/env_posix.h"
#include "runtime/env_zookeeper.h"
#include "runtime/files.h"
#include "runtime/process.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX    (1024 * 1024)
#define DEFAULT_LISTENERS "PLAINTEXT://:9093" /* a broker on the same host has 9092 */
#define LEAVE_MS_MAX      10000
#define EXIT_USAGE        2

static const char usage[] =
    "usage: ottla-controller [options] server.properties\n"
    "\n"
    "  --override key=value   a setting that wins over the file; may be repeated\n"
    "  --check-config         only says whether the configuration is right\n"
    "  --print-config         prints every setting with its value and where it comes from\n"
    "  --log-level LEVEL      error, warn, info (the default) or debug\n"
    "  --help                 this text\n"
    "  --version              the version\n";

struct arguments {
    const char *file;
    const char **overrides;
    int override_count;
    bool check, print;
};

static int fail_usage(const char *what, const char *argument)
{
    fprintf(stderr, "ottla-controller: %s%s%s\n%s", what, argument[0] == '\0' ? "" : ": ", argument,
            usage);
    return EXIT_USAGE;
}

/* −1: go on; else the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
    enum log_level level;

    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        bool has_next = i + 1 < argc;

        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        }
        if (strcmp(argument, "--version") == 0) {
            puts(PACKAGE_STRING);
            return EXIT_SUCCESS;
        }
        if (strcmp(argument, "--check-config") == 0) {
            out->check = true;
        } else if (strcmp(argument, "--print-config") == 0) {
            out->print = true;
        } else if (strcmp(argument, "--override") == 0) {
            if (!has_next) return fail_usage("--override wants key=value", "");
            out->overrides[out->override_count++] = argv[++i];
        } else if (strcmp(argument, "--log-level") == 0) {
            if (!has_next || log_level_parse(slice_text(argv[++i]), &level) != ERR_OK)
                return fail_usage("--log-level wants error, warn, info or debug", "");
            atomic_store(&log_level, (int)level);
        } else if (argument[0] == '-') {
            return fail_usage("no such option", argument);
        } else if (out->file != NULL) {
            return fail_usage("one file, please", argument);
        } else {
            out->file = argument;
        }
    }
    return out->file == NULL ? fail_usage("which server.properties?", "") : -1;
}

static void on_problem(void *to, bool is_error, const char *message)
{
    (void)to;
    fprintf(stderr, "ottla-controller: %s%s\n", is_error ? "" : "warning: ", message);
}

static enum err read_file(const struct env *env, const char *path, struct conf *conf)
{
    struct buf text = {0};
    int line = 0;

    enum err err = files_read_all(env, path, FILE_BYTES_MAX, &text);
    if (err != ERR_OK) fprintf(stderr, "ottla-controller: %s: %s\n", path, err_text(err));
    if (err == ERR_OK) {
        err = conf_read(conf, buf_slice(&text), &line);
        if (err != ERR_OK)
            fprintf(stderr, "ottla-controller: %s:%d: %s\n", path, line, err_text(err));
    }
    buf_fini(&text);
    return err;
}

static enum err take_overrides(struct conf *conf, const struct arguments *arguments)
{
    for (int i = 0; i < arguments->override_count; i++) {
        const char *equals = strchr(arguments->overrides[i], '=');

        if (equals == NULL || equals == arguments->overrides[i]) {
            fprintf(stderr, "ottla-controller: --override wants key=value, not \"%s\"\n",
                    arguments->overrides[i]);
            return ERR_INVALID;
        }
        char *key = strndup(arguments->overrides[i], (size_t)(equals - arguments->overrides[i]));
        if (key == NULL) return ERR_IO;
        conf_set(conf, key, equals + 1, 0);
        free(key);
    }
    return ERR_OK;
}

/* ---- the process ---- */

struct program {
    struct shard shard;
    struct controller controller;
    struct process_signals signals;
    struct timer leave;
    bool has_failed;
};

static void on_ready(void *owner)
{
    (void)owner;
    process_notify("READY=1");
    log_info("controller", "ready", "");
}

static void on_stopped(void *owner)
{
    struct program *program = owner;

    timer_cancel(&program->shard, &program->leave);
    shard_stop(&program->shard);
}

/* ZooKeeper may be away: then the session ends by itself. */
static void leave_fired(struct timer *timer)
{
    struct program *program = list_entry(timer, struct program, leave);

    log_warn("controller", "left-without-goodbye", "");
    program->has_failed = true;
    shard_stop(&program->shard);
}

static void on_signal(struct process_signals *signals, int number)
{
    struct program *program = list_entry(signals, struct program, signals);

    if (number == SIGHUP) return;
    log_info("controller", "stopping", "signal=%d", number);
    process_notify("STOPPING=1");
    program->leave.fire = leave_fired;
    timer_arm(&program->shard, &program->leave,
              instant_add_ms(shard_now(&program->shard), LEAVE_MS_MAX));
    controller_stop(&program->controller);
}

/* A listener on all interfaces is advertised by the name of this host. */
static void fill_hosts(struct listeners *listeners, char host[PROCESS_HOST_MAX])
{
    process_host_name(host);
    for (int i = 0; i < listeners->count; i++)
        if (listeners->at[i].host.len == 0) listeners->at[i].host = slice_text(host);
}

static enum err run(struct env *env, const struct options *options,
                    const struct listeners *listeners)
{
    static const struct mailbox_handlers none;
    struct program *program = calloc(1, sizeof(*program));
    struct mesh *mesh = mesh_create(1);

    if (program == NULL) return ERR_IO;
    log_info("controller", "starting", "version=%s id=%d", PACKAGE_VERSION,
             options_int(options, OPTION_CONTROLLER_ID));
    enum err err = shard_open(&program->shard, env, 0, mesh, &none, program, NULL);
    if (err != ERR_OK) return err;
    err = process_signals_open(&program->signals, &program->shard, on_signal);
    if (err == ERR_OK)
        err = controller_open(&program->controller, &program->shard, options, listeners, on_ready,
                              on_stopped, program);
    if (err != ERR_OK) {
        log_error("controller", "not-started", "error=\"%s\"", err_text(err));
    } else {
        shard_run(&program->shard);
        if (program->has_failed) return ERR_TIMED_OUT;
        controller_fini(&program->controller);
    }
    process_signals_close(&program->signals);
    shard_close(&program->shard);
    mesh_destroy(&mesh);
    free(program);
    return err;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct options_report report = {.problem = on_problem};
    struct listeners listeners = {0};
    struct conf conf;
    char host[PROCESS_HOST_MAX];

    arguments.overrides = calloc((size_t)argc + 1, sizeof(*arguments.overrides));
    if (arguments.overrides == NULL) return EXIT_FAILURE;
    int exit_code = read_arguments(argc, argv, &arguments);
    if (exit_code >= 0) {
        free(arguments.overrides);
        return exit_code;
    }
    process_prepare();
    struct env *env = env_posix_create(&zookeeper_ops);
    struct options *options = options_create();
    conf_init(&conf);
    enum err err = read_file(env, arguments.file, &conf);
    if (err == ERR_OK) err = take_overrides(&conf, &arguments);
    if (err == ERR_OK && conf_get(&conf, "listeners") == NULL)
        conf_set(&conf, "listeners", DEFAULT_LISTENERS, 0);
    if (err == ERR_OK) err = options_load(options, &conf, arguments.file, &report);
    if (err == ERR_OK) err = options_check(options, OPTIONS_CONTROLLER, &report);
    if (err == ERR_OK) err = listeners_read(options, &report, &listeners);

    if (err == ERR_OK) fill_hosts(&listeners, host);
    bool runs = err == ERR_OK && !arguments.check && !arguments.print;
    if (err == ERR_OK && arguments.print) {
        struct buf text = {0};

        options_print(options, &text);
        fwrite(text.ptr, 1, text.len, stdout);
        buf_fini(&text);
    } else if (err == ERR_OK && arguments.check) {
        printf("%s: ok\n", arguments.file);
    }
    if (runs) err = run(env, options, &listeners);

    listeners_fini(&listeners);
    conf_fini(&conf);
    free(arguments.overrides);
    if (err != ERR_TIMED_OUT) { /* else things are as they are: the process ends now */
        options_destroy(&options);
        env_posix_destroy(&env);
    }
    return err == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
