#include "tools/args.h"
#include "base/ensure.h"
#include "base/text.h"
#include <stdlib.h>

#define HELP_COLUMN 34
#define HELP_WIDTH  80

/* --help and --version belong to every command. */
static const struct args_option help_option = {"help", NULL, 0, "print this and exit"};
static const struct args_option version_option = {"version", NULL, 0, "print the version and exit"};

static bool begins(const char *name, struct slice head)
{
    return slice_starts_with(slice_text(name), head);
}

/* The option that `text` names, whole or by a beginning that no other has. */
static const struct args_option *find(const struct args_command *command, struct slice text,
                                      struct buf *message)
{
    const struct args_option *found = NULL;
    int matches = 0;

    for (int i = -2; i < command->count; i++) {
        const struct args_option *option = i == -2   ? &help_option
                                           : i == -1 ? &version_option
                                                     : &command->options[i];
        if (slice_is(text, option->name)) return option;
        if (!begins(option->name, text)) continue;
        found = option;
        matches++;
    }
    if (text.len == 0 || matches == 0) {
        buf_printf(message, "--%.*s is not an option", SLICE_ARGS(text));
        return NULL;
    }
    if (matches > 1) {
        buf_printf(message, "--%.*s could be", SLICE_ARGS(text));
        for (int i = 0; i < command->count; i++)
            if (begins(command->options[i].name, text))
                buf_printf(message, " --%s", command->options[i].name);
        return NULL;
    }
    return found;
}

static void add(struct args *args, const struct args_option *option, const char *value)
{
    args->given = ensure_realloc(args->given, (size_t)(args->count + 1) * sizeof(*args->given));
    args->given[args->count++] = (struct args_given){option, value};
}

/* The option at `*i`, with its value if it takes one. */
static enum args_result read_one(struct args *args, int argc, char *const *argv, int *i,
                                 struct buf *message)
{
    const char *word = argv[*i];
    const char *equals = strchr(word, '=');
    const char *value = equals == NULL ? NULL : equals + 1;

    if (strcmp(word, "-h") == 0) return ARGS_HELP;
    if (strncmp(word, "--", 2) != 0) {
        buf_printf(message, "\"%s\" is not an option", word);
        return ARGS_WRONG;
    }
    struct slice name = slice_text(word + 2);
    if (equals != NULL) name.len = (size_t)(equals - word - 2);
    const struct args_option *option = find(args->command, name, message);
    if (option == NULL) return ARGS_WRONG;
    if (option == &help_option) return ARGS_HELP;
    if (option == &version_option) return ARGS_VERSION;
    if (option->value == NULL && value != NULL) {
        buf_printf(message, "--%s takes no value", option->name);
        return ARGS_WRONG;
    }
    if (option->value != NULL && value == NULL) {
        bool has_next = *i + 1 < argc;
        bool may_lack = (option->flags & ARGS_OPTIONAL_VALUE) != 0;
        if (has_next && !(may_lack && argv[*i + 1][0] == '-')) {
            value = argv[++*i];
        } else if (!may_lack) {
            buf_printf(message, "--%s needs a value", option->name);
            return ARGS_WRONG;
        }
    }
    add(args, option, value);
    return ARGS_READ;
}

enum args_result args_read(const struct args_command *command, int argc, char *const *argv,
                           struct args *out, struct buf *message)
{
    *out = (struct args){.command = command};
    for (int i = 0; i < argc; i++) {
        enum args_result result = read_one(out, argc, argv, &i, message);
        if (result != ARGS_READ) return result;
    }
    for (int i = 0; i < command->count; i++) {
        const struct args_option *option = &command->options[i];
        if ((option->flags & ARGS_REQUIRED) != 0 && !args_has(out, option->name)) {
            buf_printf(message, "--%s is required", option->name);
            return ARGS_WRONG;
        }
    }
    return ARGS_READ;
}

void args_fini(struct args *args)
{
    free(args->given);
    *args = (struct args){0};
}

/* `text` from `column` on, broken between words. */
static void add_wrapped(struct buf *out, const char *text, size_t column)
{
    size_t at = column;

    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (at > column && at + 1 + word > HELP_WIDTH) {
            buf_printf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            buf_add_text(out, " ");
            at++;
        }
        buf_add(out, text, word);
        at += word;
        text += word;
        text += strspn(text, " ");
    }
    buf_add_text(out, "\n");
}

static void help_line(const struct args_option *option, struct buf *out)
{
    size_t start = out->len;

    buf_printf(out, "  --%s", option->name);
    if (option->value != NULL && (option->flags & ARGS_OPTIONAL_VALUE) != 0)
        buf_printf(out, "[=%s]", option->value);
    else if (option->value != NULL)
        buf_printf(out, " %s", option->value);
    size_t used = out->len - start;
    if (used + 2 > HELP_COLUMN)
        buf_printf(out, "\n%*s", HELP_COLUMN, "");
    else
        buf_printf(out, "%*s", (int)(HELP_COLUMN - used), "");
    add_wrapped(out, option->help, HELP_COLUMN);
}

void args_help(const struct args_command *command, struct buf *out)
{
    buf_printf(out, "%s - %s\n\nusage: %s", command->name, command->summary, command->name);
    for (int i = 0; i < command->count; i++)
        if ((command->options[i].flags & ARGS_REQUIRED) != 0)
            buf_printf(out, " --%s %s", command->options[i].name, command->options[i].value);
    buf_add_text(out, " [options]\n\n");
    for (int i = 0; i < command->count; i++)
        help_line(&command->options[i], out);
    help_line(&help_option, out);
    help_line(&version_option, out);
    if (command->more != NULL) buf_printf(out, "\n%s\n", command->more);
}

static void ensure_known(const struct args *args, const char *name)
{
    bool is_known = false;

    for (int i = 0; i < args->command->count && !is_known; i++)
        is_known = strcmp(args->command->options[i].name, name) == 0;
    ensure(is_known);
}

bool args_has(const struct args *args, const char *name)
{
    ensure_known(args, name);
    for (int i = 0; i < args->count; i++)
        if (strcmp(args->given[i].option->name, name) == 0) return true;
    return false;
}

const char *args_text(const struct args *args, const char *name, const char *otherwise)
{
    ensure_known(args, name);
    for (int i = args->count - 1; i >= 0; i--)
        if (strcmp(args->given[i].option->name, name) == 0 && args->given[i].value != NULL)
            return args->given[i].value;
    return otherwise;
}

const char *args_at(const struct args *args, const char *name, int index)
{
    ensure_known(args, name);
    for (int i = 0; i < args->count; i++)
        if (strcmp(args->given[i].option->name, name) == 0 && index-- == 0)
            return args->given[i].value;
    return NULL;
}

enum err args_number(const struct args *args, const char *name, int64_t min, int64_t max,
                     int64_t *out, struct buf *message)
{
    const char *text = args_text(args, name, NULL);

    if (text == NULL) return ERR_OK;
    if (text_int(slice_text(text), min, max, out) == ERR_OK) return ERR_OK;
    buf_printf(message, "--%s %s: must be a whole number in %lld ... %lld", name, text,
               (long long)min, (long long)max);
    return ERR_INVALID;
}

const char *args_one_of(const struct args *args, const char *const *names, struct buf *message)
{
    const char *found = NULL;
    int count = 0;

    for (int i = 0; names[i] != NULL; i++) {
        if (!args_has(args, names[i])) continue;
        found = names[i];
        count++;
    }
    if (count == 1) return found;
    buf_add_text(message, "exactly one of these is needed:");
    for (int i = 0; names[i] != NULL; i++)
        buf_printf(message, " --%s", names[i]);
    return NULL;
}
