#include "tools/usage.h"
#include "base/text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "config.h"

#define PROGRESS_MS        200
#define REQUEST_TIMEOUT_MS 30000 /* as Kafka's clients */

static void print(FILE *to, const struct buf *text)
{
    fwrite(buf_slice(text).ptr, 1, text->len, to);
}

void usage_wrong(const struct args_command *command, const struct buf *message)
{
    struct buf help = {0};

    args_help(command, &help);
    fprintf(stderr, "%.*s\n\n", SLICE_ARGS(buf_slice(message)));
    print(stderr, &help);
    buf_fini(&help);
}

bool usage_read(const struct args_command *command, int argc, char **argv, struct args *out,
                int *status)
{
    struct buf text = {0};

    enum args_result result = args_read(command, argc, argv, out, &text);
    *status = result == ARGS_WRONG ? 1 : 0;
    if (result == ARGS_HELP) {
        args_help(command, &text);
        print(stdout, &text);
    } else if (result == ARGS_VERSION) {
        printf("ottla %s (Apache Kafka 3.9)\n", PACKAGE_VERSION);
    } else if (result == ARGS_WRONG) {
        usage_wrong(command, &text);
    }
    buf_fini(&text);
    return result == ARGS_READ;
}

enum err usage_read_text(const char *path, struct buf *out, struct buf *message)
{
    uint8_t chunk[8192];
    size_t n;
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        buf_printf(message, "%s: %s", path, strerror(errno));
        return err_from_errno(errno);
    }
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(out, chunk, n);
    enum err err = ferror(file) ? ERR_IO : ERR_OK;
    if (err != ERR_OK) buf_printf(message, "%s: %s", path, err_text(err));
    fclose(file);
    return err;
}

enum err usage_read_file(const char *path, struct conf *conf, struct buf *message)
{
    struct buf text = {0};
    int line = 0;

    enum err err = usage_read_text(path, &text, message);
    if (err == ERR_OK) {
        err = conf_read(conf, buf_slice(&text), &line);
        if (err != ERR_OK) buf_printf(message, "%s:%d: %s", path, line, err_text(err));
    }
    buf_fini(&text);
    return err;
}

enum err usage_read_settings(const struct args *args, const char *file_option,
                             const char *pair_option, struct conf *conf, struct buf *message)
{
    const char *path = file_option == NULL ? NULL : args_text(args, file_option, NULL);
    enum err err = path == NULL ? ERR_OK : usage_read_file(path, conf, message);

    for (int i = 0; err == ERR_OK && pair_option != NULL && args_at(args, pair_option, i) != NULL;
         i++) {
        const char *pair = args_at(args, pair_option, i);
        const char *equals = strchr(pair, '=');
        if (equals == NULL) {
            buf_printf(message, "--%s %s: must be KEY=VALUE", pair_option, pair);
            return ERR_INVALID;
        }
        struct buf key = {0};
        buf_add(&key, pair, (size_t)(equals - pair));
        buf_add(&key, "", 1);
        conf_set(conf, (const char *)key.ptr, equals + 1, 0);
        buf_fini(&key);
    }
    const struct conf_entry *protocol = conf_get(conf, "security.protocol");
    if (err == ERR_OK && protocol != NULL && strcmp(protocol->value, "PLAINTEXT") != 0) {
        buf_printf(message, "security.protocol=%s: Ottla does not support this yet",
                   protocol->value);
        return ERR_UNSUPPORTED;
    }
    return err;
}

int64_t usage_timeout_ms(const struct conf *settings)
{
    const struct conf_entry *entry = conf_get(settings, "default.api.timeout.ms");
    int64_t ms = 0;

    if (entry == NULL || text_int(slice_text(entry->value), 1, INT32_MAX, &ms) != ERR_OK) return 0;
    return ms;
}

int32_t usage_request_timeout_ms(const struct conf *settings)
{
    const struct conf_entry *entry = conf_get(settings, "request.timeout.ms");
    int64_t ms = REQUEST_TIMEOUT_MS, all_ms = usage_timeout_ms(settings);

    if (entry != NULL && text_int(slice_text(entry->value), 1, INT32_MAX / 2, &ms) != ERR_OK)
        ms = REQUEST_TIMEOUT_MS;
    return (int32_t)(all_ms != 0 && all_ms < ms ? all_ms : ms);
}

void progress_init(struct progress *progress)
{
    *progress = (struct progress){.is_shown = isatty(STDERR_FILENO) == 1};
}

void progress_show(struct progress *progress, int64_t wall_ms, const char *format, ...)
{
    va_list args;

    if (!progress->is_shown || wall_ms < progress->next_ms) return;
    progress->next_ms = wall_ms + PROGRESS_MS;
    fputs("\r\033[K", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown && progress->next_ms != 0) fputs("\r\033[K", stderr);
    progress->is_shown = false;
}
