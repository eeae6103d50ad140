/* tests/cluster/client_errors.h - which requests of a librdkafka client failed, and with what.
 *
 * Applications do not see what librdkafka mends by itself; its log does (debug=broker): a line
 * REQERR per failed request. Counted by request and text, as "Produce: Broker: Not leader for
 * partition". Lines come from the client's threads. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define CLIENT_ERRORS_MAX 16

struct client_errors {
    pthread_mutex_t lock; /* PTHREAD_MUTEX_INITIALIZER */
    int kinds;
    struct client_error {
        char text[96];
        int count;
    } of[CLIENT_ERRORS_MAX]; /* the last one is "…", of all kinds that found no place */
};

static inline void client_errors_count(struct client_errors *errors, const char *text)
{
    int i = 0;

    pthread_mutex_lock(&errors->lock);
    while (i < errors->kinds && strcmp(errors->of[i].text, text) != 0)
        i++;
    if (i >= CLIENT_ERRORS_MAX - 1) {
        i = CLIENT_ERRORS_MAX - 1;
        text = "…";
    }
    if (i >= errors->kinds) {
        snprintf(errors->of[i].text, sizeof(errors->of[i].text), "%s", text);
        errors->kinds = i + 1;
    }
    errors->of[i].count++;
    pthread_mutex_unlock(&errors->lock);
}

/* From the client's log callback: facility and line. "[thrd:…]: host:port/2: ProduceRequest failed:
 * Broker: Not leader for partition: explicit actions Refresh,…". */
static inline void client_errors_log(struct client_errors *errors, const char *facility,
                                     const char *line)
{
    static const char middle[] = "Request failed: ";
    const char *at = strstr(line, middle);
    char text[96];

    if (strcmp(facility, "REQERR") != 0 || at == NULL) return;
    const char *name = at, *why = at + sizeof(middle) - 1;
    while (name > line && name[-1] != ' ')
        name--;
    const char *end = strstr(why, ": actions"), *other = strstr(why, ": explicit actions");
    if (end == NULL || (other != NULL && other < end)) end = other;
    size_t len = end == NULL ? strlen(why) : (size_t)(end - why);
    snprintf(text, sizeof(text), "%.*s: %.*s", (int)(at - name), name, (int)len, why);
    client_errors_count(errors, text);
}

/* Those whose text begins with `begin` and does not end with `end`. */
static inline int client_errors_but(struct client_errors *errors, const char *begin,
                                    const char *end)
{
    int count = 0;

    pthread_mutex_lock(&errors->lock);
    for (int i = 0; i < errors->kinds; i++) {
        const char *text = errors->of[i].text;
        size_t len = strlen(text), end_len = strlen(end);
        bool has_end = len >= end_len && strcmp(text + len - end_len, end) == 0;
        if (strncmp(text, begin, strlen(begin)) == 0 && !has_end) count += errors->of[i].count;
    }
    pthread_mutex_unlock(&errors->lock);
    return count;
}

static inline void client_errors_forget(struct client_errors *errors)
{
    pthread_mutex_lock(&errors->lock);
    errors->kinds = 0;
    memset(errors->of, 0, sizeof(errors->of));
    pthread_mutex_unlock(&errors->lock);
}

static inline void client_errors_print(struct client_errors *errors)
{
    pthread_mutex_lock(&errors->lock);
    for (int i = 0; i < errors->kinds; i++)
        printf("  %d x %s\n", errors->of[i].count, errors->of[i].text);
    pthread_mutex_unlock(&errors->lock);
}
