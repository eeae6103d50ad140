/* base/ensure.h - assertions that stay on.
 *
 * For what only our own mistake can break; never for what a peer, a client, a disk or ZooKeeper
 * gives. A broken one prints file, line and build, and aborts: a process that has lost its footing
 * must not acknowledge anything more. */
#pragma once

#define ensure(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) ensure_failed(__FILE__, __LINE__, __func__, #cond);      \
    } while (0)

/* Whole-structure checks: on in tests and in the simulator (configure --enable-audit). */
#ifdef OTTLA_AUDIT
#define ensure_slow(cond) ensure(cond)
#else
#define ensure_slow(cond) ((void)sizeof(cond))
#endif

_Noreturn void ensure_failed(const char *file, int line, const char *function, const char *what);

/* Allocation that cannot fail: without memory the process ends, with a line that says so. What
 * clients can make grow has a limit of its own, long before. Zeroed where the name says so. */
void *ensure_malloc(unsigned long size) __attribute__((malloc, returns_nonnull));
void *ensure_zalloc(unsigned long size) __attribute__((malloc, returns_nonnull));
void *ensure_realloc(void *ptr, unsigned long size);
char *ensure_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *ensure_strndup(const void *text, unsigned long len) __attribute__((malloc, returns_nonnull));
