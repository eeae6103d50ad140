#include "runtime/env_posix.h"
#include "base/ensure.h"
#include "base/prng.h"
#include "runtime/posix.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct stream {
    struct list_node node;
    struct prng prng;
    char purpose[];
};

static struct instant now(void *world)
{
    struct timespec at;

    (void)world;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (struct instant){(int64_t)at.tv_sec * 1000000000 + at.tv_nsec};
}

static int64_t wall_ms(void *world)
{
    struct timespec at;

    (void)world;
    clock_gettime(CLOCK_REALTIME, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static struct stream *stream_of(struct posix_world *world, const char *purpose)
{
    list_each (node, &world->streams) {
        struct stream *stream = list_entry(node, struct stream, node);
        if (strcmp(stream->purpose, purpose) == 0) return stream;
    }
    size_t len = strlen(purpose) + 1;
    struct stream *stream = ensure_zalloc(sizeof(*stream) + len);
    memcpy(stream->purpose, purpose, len);
    prng_init_named(&stream->prng, world->seed, purpose);
    list_push(&world->streams, &stream->node);
    return stream;
}

static uint64_t random_of(void *world_, const char *purpose)
{
    struct posix_world *world = world_;

    pthread_mutex_lock(&world->lock);
    uint64_t drawn = prng_next(&stream_of(world, purpose)->prng);
    pthread_mutex_unlock(&world->lock);
    return drawn;
}

/* The kernel's boot id, a UUID: its first half will do. */
static uint64_t boot(void *world)
{
    char text[37] = "", digits[17] = "";
    int len = 0;

    (void)world;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    for (ssize_t i = 0; i < n && len < 16; i++)
        if (text[i] != '-') digits[len++] = text[i];
    return strtoull(digits, NULL, 16);
}

struct env *env_posix_create(const struct zk_ops *zk)
{
    struct posix_world *world = ensure_zalloc(sizeof(*world));

    pthread_mutex_init(&world->lock, NULL);
    list_init(&world->streams);
    list_init(&world->groups);
    /* Eight bytes of the kernel's luck come whole or not at all. */
    ssize_t n;
    do {
        n = getrandom(&world->seed, sizeof(world->seed), 0);
    } while (n < 0 && errno == EINTR);
    ensure(n == sizeof(world->seed));

    world->ops = (struct env_ops){
        .now = now,
        .wall_ms = wall_ms,
        .random = random_of,
        .boot = boot,
        .net = &net_posix_ops,
        .files = &files_posix_ops,
        .disk = &disk_posix_ops,
        .zk = zk,
    };
    world->env = (struct env){.ops = &world->ops, .world = world};
    return &world->env;
}

void env_posix_destroy(struct env **env)
{
    if (*env == NULL) return;
    struct posix_world *world = (*env)->world;

    ensure(list_is_empty(&world->groups));
    resolver_release(&world->resolver);
    for (struct list_node *node; (node = list_pop(&world->streams)) != NULL;)
        free(list_entry(node, struct stream, node));
    pthread_mutex_destroy(&world->lock);
    free(world);
    *env = NULL;
}

/* Touched pages count, not the size; what runs here has buffers of a path or two. Sanitizers need
 * more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (2048 * 1024)
#else
#define STACK_BYTES (256 * 1024)
#endif

enum err posix_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, before;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return failed == 0 ? ERR_OK : ERR_TOO_MANY;
}
