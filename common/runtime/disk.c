#include "runtime/disk.h"
#include "base/ensure.h"

enum err disk_open(const struct env *env, int threads_soon, int threads_long, struct disk **out)
{
    ensure(threads_soon > 0 && threads_long > 0);
    return env->ops->disk->open(env->world, threads_soon, threads_long, out);
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
