/* The values: from files and at run time, and what others read. */
#include "cluster/options_private.h"
#include "base/ensure.h"
#include "base/text.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void report_problem(const struct options_report *report, bool is_error, const char *format, ...)
{
    char message[1024];
    va_list args;

    if (report == NULL || report->problem == NULL) return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    report->problem(report->to, is_error, message);
}

const char *option_current(const struct options *options, enum option option)
{
    const struct option_value *value = &options->values[option];

    for (int layer = LAYER_COUNT - 1; layer >= 0; layer--)
        if (value->given[layer] != NULL) return value->given[layer];
    return option_rows[option].value;
}

/* Reads the number of the value that counts; that it is one has been checked when it was given. */
static void value_refresh(struct options *options, enum option option)
{
    const struct option_row *row = &option_rows[option];
    const char *text = option_current(options, option);
    char why[OPTION_WHY_MAX];

    options->values[option].parsed = (struct option_parsed){0};
    if (text == NULL) return;
    enum err err = option_value_parse(row->type, &row->check, slice_text(text), why,
                                      &options->values[option].parsed);
    ensure(err == ERR_OK);
}

struct options *options_create(void)
{
    struct options *options = ensure_zalloc(sizeof(*options));

    conf_init(&options->unknown);
    for (int i = 0; i < OPTION_COUNT; i++)
        value_refresh(options, (enum option)i);
    return options;
}

struct options *options_copy(const struct options *options)
{
    struct options *copy = ensure_zalloc(sizeof(*copy));

    conf_init(&copy->unknown);
    for (int i = 0; i < OPTION_COUNT; i++) {
        copy->values[i].parsed = options->values[i].parsed;
        for (int layer = 0; layer < LAYER_COUNT; layer++)
            if (options->values[i].given[layer] != NULL)
                copy->values[i].given[layer] = ensure_strdup(options->values[i].given[layer]);
    }
    map_each (entry, &options->unknown.entries) {
        const struct conf_entry *from = entry->value;
        conf_set(&copy->unknown, from->key, from->value, from->line);
    }
    return copy;
}

void options_destroy(struct options **options)
{
    if (*options == NULL) return;
    for (int i = 0; i < OPTION_COUNT; i++)
        for (int layer = 0; layer < LAYER_COUNT; layer++)
            free((*options)->values[i].given[layer]);
    conf_fini(&(*options)->unknown);
    free(*options);
    *options = NULL;
}

static void value_set(struct options *options, enum option option, enum option_layer layer,
                      struct slice text)
{
    char **given = &options->values[option].given[layer];

    free(*given);
    *given = slice_is_null(text) ? NULL : ensure_strndup(text.ptr, text.len);
    value_refresh(options, option);
}

/* The key behind "listener.name.<name>." or "listener.name.<name>.<mechanism>."; OPTION_NONE when
 * it is no key that a listener may have. */
static enum option listener_key(struct slice key)
{
    struct slice head = SLICE("listener.name."), name, mechanism;

    if (!slice_starts_with(key, head)) return OPTION_NONE;
    key = slice_of(key.ptr + head.len, key.len - head.len);
    if (!slice_cut(&key, '.', &name) || name.len == 0) return OPTION_NONE;
    enum option option = option_find(key);
    if (option == OPTION_NONE && slice_cut(&key, '.', &mechanism)) option = option_find(key);
    return option;
}

/* Keys of Kafka's plug-ins, which the registry does not type. */
static bool is_known_elsewhere(struct slice key)
{
    static const char *const heads[] = {
        "authorizer.", "super.users",  "allow.everyone.if.no.acl.found",
        "rsm.config.", "rlmm.config.", "config.providers"};

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (slice_starts_with(key, slice_text(heads[i]))) return true;
    return false;
}

/* "server.properties:12: ", or where else it came from. */
static const char *place(const char *file, int line, char *text, size_t size)
{
    if (line > 0)
        snprintf(text, size, "%s:%d: ", file, line);
    else
        snprintf(text, size, "command line: ");
    return text;
}

static const char *shown(enum option option, const char *value)
{
    return option_rows[option].type == OPTION_TYPE_PASSWORD ? "***" : value;
}

static enum err load_entry(struct options *options, const struct conf_entry *entry,
                           const char *file, const struct options_report *report)
{
    struct slice key = slice_text(entry->key), value = text_trim(slice_text(entry->value));
    enum option option = option_find(key);
    enum option checked = option != OPTION_NONE ? option : listener_key(key);
    char why[OPTION_WHY_MAX], where[256];
    struct option_parsed parsed;

    place(file, entry->line, where, sizeof(where));
    if (checked != OPTION_NONE &&
        option_value_parse(option_rows[checked].type, &option_rows[checked].check, value, why,
                           &parsed) != ERR_OK) {
        report_problem(report, true, "%s%s=%s: %s", where, entry->key, shown(checked, entry->value),
                       why);
        return ERR_INVALID;
    }
    if (option == OPTION_NONE || (option_rows[option].flags & FLAG_DYNAMIC_ONLY) != 0) {
        if (checked == OPTION_NONE && !is_known_elsewhere(key))
            report_problem(report, false, "%s%s is not a known key", where, entry->key);
        else if (option != OPTION_NONE)
            report_problem(report, false, "%s%s is set at run time only, ignored here", where,
                           entry->key);
        conf_set(&options->unknown, entry->key, entry->value, entry->line);
        return ERR_OK;
    }
    value_set(options, option, LAYER_STATIC, value);
    return ERR_OK;
}

enum err options_load(struct options *options, const struct conf *conf, const char *file,
                      const struct options_report *report)
{
    enum err result = ERR_OK;

    map_each (entry, &conf->entries) {
        enum err err = load_entry(options, entry->value, file, report);
        if (err != ERR_OK) result = err;
    }
    return result;
}

/* Why `option` may not be set at run time for `source`, or NULL. */
static const char *dynamic_refusal(enum option option, bool has_prefix, enum option_source source)
{
    const struct option_row *row = &option_rows[option];

    if (row->dynamic == OPTION_READ_ONLY) return "cannot be changed at run time";
    if ((row->flags & FLAG_PREFIXED) != 0 && !has_prefix)
        return "can be changed at run time only as listener.name.<listener>.<key>";
    bool is_single = row->dynamic == OPTION_PER_BROKER || has_prefix;
    if (is_single && source == OPTION_SOURCE_DYNAMIC_DEFAULT)
        return "can be changed at run time only for one broker";
    return NULL;
}

enum err options_set_dynamic(struct options *options, enum option_source source, const char *key,
                             const char *value, const struct options_report *report)
{
    enum option option = option_find(slice_text(key));
    enum option checked = option != OPTION_NONE ? option : listener_key(slice_text(key));
    struct slice text = value == NULL ? SLICE_NULL : text_trim(slice_text(value));
    char why[OPTION_WHY_MAX];
    struct option_parsed parsed;

    ensure(source == OPTION_SOURCE_DYNAMIC_BROKER || source == OPTION_SOURCE_DYNAMIC_DEFAULT);
    if (checked != OPTION_NONE) {
        const char *refusal = dynamic_refusal(checked, option == OPTION_NONE, source);
        if (refusal != NULL) {
            report_problem(report, true, "%s %s", key, refusal);
            return ERR_INVALID;
        }
        const struct option_row *row = &option_rows[checked];
        if (value != NULL &&
            option_value_parse(row->type, &row->check, text, why, &parsed) != ERR_OK) {
            report_problem(report, true, "%s=%s: %s", key, shown(checked, value), why);
            return ERR_INVALID;
        }
    }
    if (option == OPTION_NONE) {
        if (value != NULL) conf_set(&options->unknown, key, value, 0);
        return ERR_OK;
    }
    value_set(options, option,
              source == OPTION_SOURCE_DYNAMIC_BROKER ? LAYER_DYNAMIC_BROKER : LAYER_DYNAMIC_DEFAULT,
              text);
    return ERR_OK;
}

bool options_has(const struct options *options, enum option option)
{
    return option_current(options, option) != NULL;
}

int64_t options_long(const struct options *options, enum option option)
{
    enum option_type type = option_rows[option].type;

    ensure(type == OPTION_TYPE_INT || type == OPTION_TYPE_SHORT || type == OPTION_TYPE_LONG);
    return options_has(options, option) ? options->values[option].parsed.number : -1;
}

int32_t options_int(const struct options *options, enum option option)
{
    ensure(option_rows[option].type != OPTION_TYPE_LONG);
    return (int32_t)options_long(options, option);
}

double options_double(const struct options *options, enum option option)
{
    ensure(option_rows[option].type == OPTION_TYPE_DOUBLE);
    return options->values[option].parsed.real;
}

bool options_bool(const struct options *options, enum option option)
{
    ensure(option_rows[option].type == OPTION_TYPE_BOOLEAN);
    return options->values[option].parsed.number != 0;
}

const char *options_text(const struct options *options, enum option option)
{
    enum option_type type = option_rows[option].type;

    ensure(type == OPTION_TYPE_STRING || type == OPTION_TYPE_CLASS || type == OPTION_TYPE_PASSWORD);
    return option_current(options, option);
}

struct slice options_item(const struct options *options, enum option option, int index)
{
    ensure(option_rows[option].type == OPTION_TYPE_LIST);
    return list_item(slice_text(option_current(options, option)), index);
}

bool options_list_has(const struct options *options, enum option option, const char *item)
{
    struct slice at;

    for (int i = 0; !slice_is_null(at = options_item(options, option, i)); i++)
        if (slice_is(at, item)) return true;
    return false;
}

enum option_source options_source(const struct options *options, enum option option)
{
    const struct option_value *value = &options->values[option];

    if (value->given[LAYER_DYNAMIC_BROKER] != NULL) return OPTION_SOURCE_DYNAMIC_BROKER;
    if (value->given[LAYER_DYNAMIC_DEFAULT] != NULL) return OPTION_SOURCE_DYNAMIC_DEFAULT;
    return value->given[LAYER_STATIC] != NULL ? OPTION_SOURCE_STATIC : OPTION_SOURCE_DEFAULT;
}

bool options_is_set(const struct options *options, enum option option)
{
    return options_source(options, option) != OPTION_SOURCE_DEFAULT;
}

enum level options_level(const struct options *options)
{
    const char *text = options_text(options, OPTION_INTER_BROKER_PROTOCOL_VERSION);
    enum level level = LEVEL_LATEST;

    enum err err = level_parse(slice_text(text), &level);
    ensure(err == ERR_OK);
    return level;
}

int32_t options_zookeeper_connection_timeout_ms(const struct options *options)
{
    bool is_given = options_has(options, OPTION_ZOOKEEPER_CONNECTION_TIMEOUT_MS);

    return options_int(options, is_given ? OPTION_ZOOKEEPER_CONNECTION_TIMEOUT_MS
                                         : OPTION_ZOOKEEPER_SESSION_TIMEOUT_MS);
}

struct slice options_log_dir(const struct options *options, int index)
{
    bool has_list = options_has(options, OPTION_LOG_DIRS);
    struct slice list =
        slice_text(options_text(options, has_list ? OPTION_LOG_DIRS : OPTION_LOG_DIR));
    struct slice item;

    for (int i = 0; !slice_is_null(item = list_item(list, i)); i++)
        if (item.len > 0 && index-- == 0) return item;
    return SLICE_NULL;
}

int64_t options_listener_long(const struct options *options, struct slice listener,
                              enum option option)
{
    const struct option_row *row = &option_rows[option];
    char key[256], why[OPTION_WHY_MAX];
    struct option_parsed parsed;

    int len = snprintf(key, sizeof(key), "listener.name.%.*s.%s", SLICE_ARGS(listener), row->key);
    if (len < 0 || (size_t)len >= sizeof(key)) return options_long(options, option);
    for (size_t i = 0; i < listener.len; i++)
        key[strlen("listener.name.") + i] = (char)tolower(listener.ptr[i]);
    const struct conf_entry *entry = conf_get(&options->unknown, key);
    if (entry != NULL &&
        option_value_parse(row->type, &row->check, text_trim(slice_text(entry->value)), why,
                           &parsed) == ERR_OK)
        return parsed.number;
    return options_long(options, option);
}

const struct conf *options_unknown(const struct options *options)
{
    return &options->unknown;
}

static void print_source(const struct options *options, enum option_source source,
                         const char *heading, struct buf *out)
{
    bool is_first = true;

    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        const char *text = option_current(options, (enum option)i);
        if (options_source(options, (enum option)i) != source) continue;
        if (source == OPTION_SOURCE_DEFAULT && (row->flags & FLAG_INTERNAL) != 0) continue;
        if (is_first) buf_printf(out, "# %s\n", heading);
        is_first = false;
        if (text == NULL)
            buf_printf(out, "#%s is not set\n", row->key);
        else if (row->type == OPTION_TYPE_PASSWORD)
            buf_printf(out, "#%s is set, and hidden\n", row->key);
        else
            conf_write(out, row->key, text);
    }
}

void options_print(const struct options *options, struct buf *out)
{
    print_source(options, OPTION_SOURCE_DYNAMIC_BROKER, "set at run time, for this broker", out);
    print_source(options, OPTION_SOURCE_DYNAMIC_DEFAULT, "set at run time, for all brokers", out);
    print_source(options, OPTION_SOURCE_STATIC, "given in the file or on the command line", out);
    if (options->unknown.entries.count > 0)
        buf_add_text(out, "# given, and not known or of one listener: values are hidden\n");
    map_each (entry, &options->unknown.entries)
        buf_printf(out, "#%s\n", ((const struct conf_entry *)entry->value)->key);
    print_source(options, OPTION_SOURCE_DEFAULT, "defaults", out);
}
