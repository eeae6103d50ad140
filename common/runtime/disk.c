#include "runtime/disk.h"
#include "base/ensure.h"

enum err disk_open(const struct env *env, const int threads[DISK_CLASSES], struct disk **out)
{
    for (int i = 0; i < DISK_CLASSES; i++)
        ensure(threads[i] > 0);
    return env->ops->disk->open(env->world, threads, out);
}

void disk_close(const struct env *env, struct disk **disk)
{
    if (*disk != NULL) env->ops->disk->close(*disk);
    *disk = NULL;
}

void disk_submit(const struct env *env, struct disk *disk, enum disk_class class,
                 struct shard *home, struct disk_job *job)
{
    job->home = home;
    env->ops->disk->submit(disk, class, job);
}

int disk_backlog(const struct env *env, struct disk *disk)
{
    return env->ops->disk->backlog(disk);
}
