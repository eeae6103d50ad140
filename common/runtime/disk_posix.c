/* The pool of threads for what may block. */
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/posix.h"
#include "runtime/shard.h"
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* As ps and top show them. Who is nice gets a quarter of a processor that another wants, and gives
 * way as soon as that one wakes; with a smaller share it could hold the file system's locks for too
 * long, and never come to an end where many want it. */
static const struct crew_kind {
    const char *name;
    int nice;
} crew_kinds[DISK_CLASSES] = {
    [DISK_SOON] = {"disk-soon", 0},
    [DISK_LONG] = {"disk-long", 0},
    [DISK_IDLE] = {"disk-idle", 5},
};

/* Threads of one class. They are started when there is more to do than there are, and stay: a
 * process that never blocks has none. */
struct crew {
    struct disk *disk;
    const struct crew_kind *kind;
    pthread_cond_t some;
    struct disk_job *first, **last;
    int waiting, idle, threads, threads_max;
    pthread_t *thread;
};

struct disk {
    pthread_mutex_t lock;
    bool is_closing;
    _Atomic int backlog;
    struct crew crews[DISK_CLASSES];
};

static struct disk_job *take(struct crew *crew)
{
    struct disk_job *job = crew->first;

    crew->first = job->next;
    if (crew->first == NULL) crew->last = &crew->first;
    crew->waiting--;
    job->next = NULL;
    return job;
}

static void *work(void *crew_)
{
    struct crew *crew = crew_;
    struct disk *disk = crew->disk;

    pthread_setname_np(pthread_self(), crew->kind->name);
    if (crew->kind->nice > 0) (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), crew->kind->nice);
    pthread_mutex_lock(&disk->lock);
    for (;;) {
        while (crew->first == NULL && !disk->is_closing) {
            crew->idle++;
            pthread_cond_wait(&crew->some, &disk->lock);
            crew->idle--;
        }
        if (crew->first == NULL) break;
        struct disk_job *job = take(crew);
        pthread_mutex_unlock(&disk->lock);
        struct shard *home = job->home; /* when handed over, the job is no longer ours */
        job->run(job);
        atomic_fetch_sub(&disk->backlog, 1);
        shard_complete(home, job);
        pthread_mutex_lock(&disk->lock);
    }
    pthread_mutex_unlock(&disk->lock);
    return NULL;
}

static void crew_init(struct crew *crew, struct disk *disk, enum disk_class class, int threads_max)
{
    crew->disk = disk;
    crew->kind = &crew_kinds[class];
    crew->last = &crew->first;
    crew->threads_max = threads_max;
    crew->thread = ensure_zalloc((size_t)threads_max * sizeof(crew->thread[0]));
    pthread_cond_init(&crew->some, NULL);
}

/* Under the lock. */
static enum err crew_grow(struct crew *crew)
{
    enum err err = posix_thread(&crew->thread[crew->threads], work, crew);

    if (err == ERR_OK) crew->threads++;
    return err;
}

static void posix_close(struct disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->is_closing = true;
    for (int i = 0; i < DISK_CLASSES; i++)
        pthread_cond_broadcast(&disk->crews[i].some);
    pthread_mutex_unlock(&disk->lock);
    for (int i = 0; i < DISK_CLASSES; i++) {
        struct crew *crew = &disk->crews[i];
        for (int t = 0; t < crew->threads; t++)
            pthread_join(crew->thread[t], NULL);
        pthread_cond_destroy(&crew->some);
        free(crew->thread);
    }
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

/* One thread of each class at once, so that what is submitted later cannot find none. */
static enum err posix_open(void *world, const int threads[DISK_CLASSES], struct disk **out)
{
    struct disk *disk = ensure_zalloc(sizeof(*disk));
    enum err err = ERR_OK;

    (void)world;
    pthread_mutex_init(&disk->lock, NULL);
    for (int i = 0; i < DISK_CLASSES; i++)
        crew_init(&disk->crews[i], disk, (enum disk_class)i, threads[i]);
    for (int i = 0; i < DISK_CLASSES && err == ERR_OK; i++)
        err = crew_grow(&disk->crews[i]);
    if (err != ERR_OK) {
        posix_close(disk);
        return err;
    }
    *out = disk;
    return ERR_OK;
}

static void posix_submit(struct disk *disk, enum disk_class class, struct disk_job *job)
{
    struct crew *crew = &disk->crews[class];

    atomic_fetch_add(&disk->backlog, 1);
    pthread_mutex_lock(&disk->lock);
    ensure(!disk->is_closing);
    job->next = NULL;
    *crew->last = job;
    crew->last = &job->next;
    crew->waiting++;
    if (crew->waiting > crew->idle && crew->threads < crew->threads_max &&
        crew_grow(crew) != ERR_OK)
        log_warn("runtime", "disk-thread-failed", "threads=%d of=%d", crew->threads,
                 crew->threads_max);
    if (crew->idle > 0) pthread_cond_signal(&crew->some);
    pthread_mutex_unlock(&disk->lock);
}

static int posix_backlog(struct disk *disk)
{
    return atomic_load(&disk->backlog);
}

const struct disk_ops disk_posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .backlog = posix_backlog,
    .submit = posix_submit,
};
