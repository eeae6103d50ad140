/* base/log.h - lines for operators: `level room event key=value …`.
 *
 *     log_info("controller", "elected", "epoch=%d broker=%d", epoch, id);
 *     2026-03-01T12:00:00.123Z info controller elected epoch=7 broker=101
 *
 * error: someone must act; warn: it will heal, but should be known; info: life-cycle and
 * leadership; debug: transitions. Whoever decides what to do about an error logs it, once. Machines
 * (pure code) do not log. A site that repeats is limited (LOG_SITE_PER_SECOND_MAX lines a second);
 * what was left out is said with the next line of that site.
 *
 * The sink, level and clock are of the process: the one place where a global is meant. Lines go to
 * stderr with a time, or to journald (stderr with the syslog priority prefix "<6>" and no time)
 * when stderr is the journal (JOURNAL_STREAM). */
#pragma once
#include "base/slice.h"
#include "base/time.h"
#include <stdatomic.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_SITE_PER_SECOND_MAX 20

/* State of one call site; static in the macro, shared by all threads. */
struct log_site {
    _Atomic int64_t second;
    _Atomic int32_t in_second;
    _Atomic int32_t left_out;
};

extern _Atomic int log_level; /* lines above it cost one comparison */

#define log_at(level, room, event, ...)                                                            \
    do {                                                                                           \
        static struct log_site log_site_here;                                                      \
        if ((int)(level) <= atomic_load_explicit(&log_level, memory_order_relaxed))                \
            log_line(&log_site_here, level, room, event, " " __VA_ARGS__);                         \
    } while (0)

#define log_error(room, event, ...) log_at(LOG_ERROR, room, event, __VA_ARGS__)
#define log_warn(room, event, ...)  log_at(LOG_WARN, room, event, __VA_ARGS__)
#define log_info(room, event, ...)  log_at(LOG_INFO, room, event, __VA_ARGS__)
#define log_debug(room, event, ...) log_at(LOG_DEBUG, room, event, __VA_ARGS__)

/* `format` begins with the blank that parts it from the event; see log_at. `site` NULL: no limit. */
void log_line(struct log_site *site, enum log_level level, const char *room, const char *event,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Where whole lines go, without their newline; NULL is stderr again. For tests. `wall_ms` likewise
 * replaces the clock that stamps and limits lines (NULL: the real one). */
void log_to(void (*sink)(void *to, enum log_level level, struct slice line), void *to);
void log_clock(int64_t (*wall_ms)(void *from), void *from);

/* "error", "warn", "info" or "debug". ERR_INVALID otherwise. */
MUST_CHECK enum err log_level_parse(struct slice text, enum log_level *out);
