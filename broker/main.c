/* ottla-broker: options, then one broker until it is told to end. */
#include "base/log.h"
#include "broker/broker.h"
#include "cluster/options.h"
#include "config.h"
#include "runtime/env_posix.h"
#include "runtime/env_zookeeper.h"
#include "runtime/files.h"
#include "runtime/process.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1024 * 1024)

#define EXIT_USAGE     2

static const char usage[] =
    "usage: ottla-broker [options] server.properties\n"
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
    fprintf(stderr, "ottla-broker: %s%s%s\n%s", what, argument[0] == '\0' ? "" : ": ", argument,
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
    fprintf(stderr, "ottla-broker: %s%s\n", is_error ? "" : "warning: ", message);
}

static enum err read_file(const struct env *env, const char *path, struct conf *conf)
{
    struct buf text;
    int line = 0;

    buf_init(&text);
    enum err err = files_read_all(env, path, FILE_BYTES_MAX, &text);
    if (err != ERR_OK) fprintf(stderr, "ottla-broker: %s: %s\n", path, err_text(err));
    if (err == ERR_OK) {
        err = conf_read(conf, buf_slice(&text), &line);
        if (err != ERR_OK) fprintf(stderr, "ottla-broker: %s:%d: %s\n", path, line, err_text(err));
    }
    buf_fini(&text);
    return err;
}

static enum err take_overrides(struct conf *conf, const struct arguments *arguments)
{
    for (int i = 0; i < arguments->override_count; i++) {
        const char *equals = strchr(arguments->overrides[i], '=');
        if (equals == NULL || equals == arguments->overrides[i]) {
            fprintf(stderr, "ottla-broker: --override wants key=value, not \"%s\"\n",
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

static enum err run(struct env *env, const struct options *options,
                    const struct listeners *listeners)
{
    struct broker_options broker_options = {
        .env = env, .options = options, .listeners = listeners, .takes_signals = true};
    struct broker *broker = NULL;
    struct buf problem;

    log_info("broker", "starting", "version=%s id=%d", PACKAGE_VERSION,
             options_int(options, OPTION_BROKER_ID));
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
    struct arguments arguments = {0};
    struct options_report report = {.problem = on_problem};
    struct listeners listeners = {0};
    struct conf conf;

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
    if (err == ERR_OK) err = options_load(options, &conf, arguments.file, &report);
    if (err == ERR_OK) err = options_check(options, OPTIONS_BROKER, &report);
    if (err == ERR_OK) err = listeners_read(options, &report, &listeners);

    bool runs = err == ERR_OK && !arguments.check && !arguments.print;
    if (err == ERR_OK && arguments.print) {
        struct buf text;
        buf_init(&text);
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
    if (err == ERR_OK || !runs) {
        options_destroy(&options);
        env_posix_destroy(&env);
    }
    return err == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
