#include "base/ensure.h"
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void ensure_failed(const char *file, int line, const char *function, const char *what)
{
    fprintf(stderr, "fatal ensure failed: %s at=%s:%d in=%s build=%s\n", what, file, line, function,
            PACKAGE_VERSION);
    fflush(stderr);
    abort();
}

static void *need(void *ptr, unsigned long size)
{
    if (ptr == NULL) {
        fprintf(stderr, "fatal out of memory: wanted=%lu\n", size);
        abort();
    }
    return ptr;
}

void *ensure_malloc(unsigned long size)
{
    return need(malloc(size > 0 ? size : 1), size);
}

void *ensure_zalloc(unsigned long size)
{
    return need(calloc(1, size > 0 ? size : 1), size);
}

void *ensure_realloc(void *ptr, unsigned long size)
{
    return need(realloc(ptr, size > 0 ? size : 1), size);
}

char *ensure_strdup(const char *text)
{
    return ensure_strndup(text, strlen(text));
}

char *ensure_strndup(const void *text, unsigned long len)
{
    char *copy = ensure_malloc(len + 1);

    if (len > 0) memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}
