#include "program/program.h"
#include "base/log.h"
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
#define GOES_ON        -1

static const char usage[] =
    "%s - %s\n"
    "\n"
    "usage: %s [options] server.properties\n"
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

static void print_usage(const struct program *program, FILE *to)
{
    fprintf(to, usage, program->name, program->summary, program->name);
}

static int fail_usage(const struct program *program, const char *what, const char *argument)
{
    fprintf(stderr, "%s: %s%s%s\n", program->name, what, argument[0] == '\0' ? "" : ": ", argument);
    print_usage(program, stderr);
    return EXIT_USAGE;
}

static int read_arguments(const struct program *program, int argc, char **argv,
                          struct arguments *out)
{
    enum log_level level;

    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        bool has_next = i + 1 < argc;

        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            print_usage(program, stdout);
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
            if (!has_next) return fail_usage(program, "--override wants key=value", "");
            out->overrides[out->override_count++] = argv[++i];
        } else if (strcmp(argument, "--log-level") == 0) {
            if (!has_next || log_level_parse(slice_text(argv[++i]), &level) != ERR_OK)
                return fail_usage(program, "--log-level wants error, warn, info or debug", "");
            atomic_store(&log_level, (int)level);
        } else if (argument[0] == '-') {
            return fail_usage(program, "no such option", argument);
        } else if (out->file != NULL) {
            return fail_usage(program, "one file, please", argument);
        } else {
            out->file = argument;
        }
    }
    return out->file == NULL ? fail_usage(program, "which server.properties?", "") : GOES_ON;
}

static void on_problem(void *to, bool is_error, const char *message)
{
    const struct program *program = to;

    fprintf(stderr, "%s: %s%s\n", program->name, is_error ? "" : "warning: ", message);
}

static enum err read_file(struct program *program, const char *path)
{
    struct buf text = {0};
    int line = 0;

    enum err err = files_read_all(program->env, path, FILE_BYTES_MAX, &text);
    if (err != ERR_OK) fprintf(stderr, "%s: %s: %s\n", program->name, path, err_text(err));
    if (err == ERR_OK) {
        err = conf_read(&program->conf, buf_slice(&text), &line);
        if (err != ERR_OK)
            fprintf(stderr, "%s: %s:%d: %s\n", program->name, path, line, err_text(err));
    }
    buf_fini(&text);
    return err;
}

static enum err take_overrides(struct program *program, const struct arguments *arguments)
{
    for (int i = 0; i < arguments->override_count; i++) {
        const char *equals = strchr(arguments->overrides[i], '=');

        if (equals == NULL || equals == arguments->overrides[i]) {
            fprintf(stderr, "%s: --override wants key=value, not \"%s\"\n", program->name,
                    arguments->overrides[i]);
            return ERR_INVALID;
        }
        char *key = strndup(arguments->overrides[i], (size_t)(equals - arguments->overrides[i]));
        if (key == NULL) return ERR_IO;
        conf_set(&program->conf, key, equals + 1, 0);
        free(key);
    }
    return ERR_OK;
}

static enum err read_configuration(struct program *program, const struct arguments *arguments)
{
    struct options_report report = {.problem = on_problem, .to = program};

    enum err err = read_file(program, arguments->file);
    if (err == ERR_OK) err = take_overrides(program, arguments);
    if (err == ERR_OK && program->fill != NULL) program->fill(&program->conf);
    if (err == ERR_OK)
        err = options_load(program->options, &program->conf, arguments->file, &report);
    if (err == ERR_OK) err = options_check(program->options, program->process, &report);
    if (err == ERR_OK) err = listeners_read(program->options, &report, &program->listeners);
    return err;
}

static void print_configuration(const struct program *program)
{
    struct buf text = {0};

    options_print(program->options, &text);
    printf("%.*s", SLICE_ARGS(buf_slice(&text)));
    buf_fini(&text);
}

int program_begin(struct program *program, int argc, char **argv)
{
    struct arguments arguments = {0};

    arguments.overrides = calloc((size_t)argc + 1, sizeof(*arguments.overrides));
    if (arguments.overrides == NULL) return EXIT_FAILURE;
    int exit_code = read_arguments(program, argc, argv, &arguments);
    if (exit_code == GOES_ON) {
        process_prepare();
        program->env = env_posix_create(&zookeeper_ops);
        program->options = options_create();
        program->listeners = (struct listeners){0};
        conf_init(&program->conf);
        bool is_good = read_configuration(program, &arguments) == ERR_OK;
        if (is_good && arguments.print)
            print_configuration(program);
        else if (is_good && arguments.check)
            printf("%s: ok\n", arguments.file);
        if (!is_good || arguments.print || arguments.check) {
            exit_code = is_good ? EXIT_SUCCESS : EXIT_FAILURE;
            program_end(program);
        }
    }
    free(arguments.overrides);
    return exit_code;
}

void program_end(struct program *program)
{
    listeners_fini(&program->listeners);
    conf_fini(&program->conf);
    options_destroy(&program->options);
    env_posix_destroy(&program->env);
}
