#include "base/log.h"
#include "base/ensure.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

_Atomic int log_level = LOG_INFO;

static void (*sink_function)(void *to, enum log_level level, struct slice line);
static void *sink_to;
static int64_t (*clock_function)(void *from);
static void *clock_from;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_to(void (*sink)(void *to, enum log_level level, struct slice line), void *to)
{
    sink_to = to;
    sink_function = sink;
}

void log_clock(int64_t (*wall_ms)(void *from), void *from)
{
    clock_from = from;
    clock_function = wall_ms;
}

static int64_t wall_ms_now(void)
{
    struct timespec now;

    if (clock_function != NULL) return clock_function(clock_from);
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* True if the site has had its share of this second; counts what is left out. Two threads that race
 * here may print one line more or fewer. */
static bool is_over_share(struct log_site *site, int64_t second)
{
    if (atomic_load(&site->second) != second) {
        atomic_store(&site->second, second);
        atomic_store(&site->in_second, 0);
    }
    if (atomic_fetch_add(&site->in_second, 1) < LOG_SITE_PER_SECOND_MAX) return false;
    atomic_fetch_add(&site->left_out, 1);
    return true;
}

static bool is_journal(void)
{
    static _Atomic int known; /* 0 not asked, 1 no, 2 yes */

    if (known == 0) {
        const char *stream = getenv("JOURNAL_STREAM");
        known = stream != NULL && stream[0] != '\0' ? 2 : 1;
    }
    return known == 2;
}

static void to_stderr(enum log_level level, int64_t wall_ms, struct slice line)
{
    static const int priorities[] = {3, 4, 6, 7};
    char head[64];
    int head_len;

    if (is_journal()) {
        head_len = snprintf(head, sizeof(head), "<%d>", priorities[level]);
    } else {
        time_t seconds = (time_t)(wall_ms / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        head_len = snprintf(head, sizeof(head), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ",
                            tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                            tm.tm_sec, (int)(wall_ms % 1000));
    }
    struct iovec parts[] = {
        {head, (size_t)head_len}, {(void *)(uintptr_t)line.ptr, line.len}, {(char[]){'\n'}, 1}};
    ssize_t ignored =
        writev(STDERR_FILENO, parts, 3); /* a log that cannot be written has no other */
    (void)ignored;
}

void log_line(struct log_site *site, enum log_level level, const char *room, const char *event,
              const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    int64_t wall_ms = wall_ms_now();

    if (site != NULL && is_over_share(site, wall_ms / 1000)) return;
    int left_out = site == NULL ? 0 : atomic_exchange(&site->left_out, 0);
    int len = snprintf(line, sizeof(line), "%s %s %s", level_names[level], room, event);
    if (format[1] != '\0') {
        va_list args;
        va_start(args, format);
        len += vsnprintf(line + len, sizeof(line) - (size_t)len, format, args);
        va_end(args);
    }
    if (left_out > 0 && len < LINE_MAX_BYTES)
        len += snprintf(line + len, sizeof(line) - (size_t)len, " left_out=%d", left_out);
    if (len >= LINE_MAX_BYTES) len = LINE_MAX_BYTES - 1;

    /* One line stays one line, whatever a client put into it. */
    for (int i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';

    if (sink_function != NULL)
        sink_function(sink_to, level, slice_of(line, (size_t)len));
    else
        to_stderr(level, wall_ms, slice_of(line, (size_t)len));
}

enum err log_level_parse(struct slice text, enum log_level *out)
{
    for (int i = 0; i <= LOG_DEBUG; i++) {
        if (slice_is(text, level_names[i])) {
            *out = (enum log_level)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}
