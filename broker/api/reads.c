#include "broker/api/reads.h"
#include "base/ensure.h"
#include <stdlib.h>

/* ---- reading, and bringing in what is cold ---- */

/* Where a batch lies may take an index and some heads; then it is waited for here: the page cache
 * is under such pressure that what is brought in does not stay. */
#define LOOKS_MAX 4

/* One part's reads of a pass. */
struct part_read {
    struct api_shard *api;
    struct reads_part *part;
    struct read_by reader;
    int64_t bytes_max;
    bool at_least_one;
    int looks;
    void (*done)(void *to);
    void *to;
};

struct warm {
    struct disk_job job;
    struct part_read read;
    struct log_slice *slices; /* shared: released here */
    int count;
};

/* In order, each with what the ones before have left. Again: those that were cold. */
static void read_part(const struct part_read *it)
{
    int64_t bytes_max = it->bytes_max;
    bool at_least_one = it->at_least_one;

    for (int i = 0; i < it->part->count; i++) {
        struct read *read = &it->part->at[i];
        int64_t asked = read->bytes_max;

        if (it->looks == 0 || read->slice.is_cold) {
            if (it->looks > 0) log_slice_release(&read->slice);
            if (read->bytes_max > bytes_max) read->bytes_max = bytes_max;
            read->at_least_one = at_least_one;
            read->only_cached = it->looks < LOOKS_MAX;
            partitions_read(it->api->partitions, &it->reader, read);
            read->bytes_max = asked;
        }
        if (read->slice.len > 0) at_least_one = false;
        bytes_max = read->slice.len >= bytes_max ? 0 : bytes_max - read->slice.len;
    }
}

static bool is_to_be_warmed(struct api_shard *api, const struct read *read)
{
    if (read->slice.file == NULL) return false;
    return read->slice.is_cold || (!partitions_is_tail(api->partitions, read) &&
                                   !log_slice_is_cached(api->shard->env, &read->slice));
}

static void warm_run(struct disk_job *job)
{
    struct warm *warm = list_entry(job, struct warm, job);

    /* A failure shows again when it is sent: the connection ends with it. */
    for (int i = 0; i < warm->count; i++)
        if (log_slice_warm_run(warm->job.home->env, &warm->slices[i]) != ERR_OK) return;
}

static void warm_done(struct disk_job *job);

/* True: a job runs, `done` comes. False: all is read and in memory. */
static bool read_warm(const struct part_read *it)
{
    struct shard *shard = it->api->shard;
    struct warm *warm = NULL;

    read_part(it);
    for (int i = 0; i < it->part->count; i++) {
        struct read *read = &it->part->at[i];
        if (!is_to_be_warmed(it->api, read)) continue;
        if (warm == NULL) {
            warm = ensure_zalloc(sizeof(*warm));
            warm->slices = ensure_zalloc(sizeof(*warm->slices) * (size_t)it->part->count);
        }
        warm->slices[warm->count++] = log_slice_share(&read->slice);
    }
    if (warm == NULL) return false;
    warm->read = *it;
    warm->job = (struct disk_job){.home = shard, .run = warm_run, .done = warm_done};
    disk_submit(shard->env, shard->disk, DISK_SOON, shard, &warm->job);
    return true;
}

static bool has_cold(const struct reads_part *part)
{
    bool any = false;

    for (int i = 0; i < part->count; i++)
        any |= part->at[i].slice.is_cold;
    return any;
}

static void warm_done(struct disk_job *job)
{
    struct warm *warm = list_entry(job, struct warm, job);
    struct part_read *it = &warm->read;

    for (int i = 0; i < warm->count; i++)
        log_slice_release(&warm->slices[i]);
    it->looks++;
    it->reader.is_first = false;
    if (!has_cold(it->part) || !read_warm(it)) it->done(it->to);
    free(warm->slices);
    free(warm);
}

/* ---- messages ---- */

/* → an owner: read, or watch what was read. Its part is lent. */
struct msg_read {
    struct msg msg;
    struct api_shard *at; /* the owner */
    struct reads *reads;  /* for the home shard only */
    struct reads_part *part;
    struct read_by reader;
    int64_t bytes_max;
    bool at_least_one;
    bool is_watch;
    uint64_t number;
    int64_t bytes_wanted;
};

/* → home: there is more. */
struct msg_read_more {
    struct msg msg;
    uint64_t number;
    struct owner_watch *from; /* for the owner only */
};

/* → the owner: that watch is over. */
struct msg_read_forget {
    struct msg msg;
    struct owner_watch *watcher;
};

/* → the owner: these have been sent. */
struct msg_read_release {
    struct msg msg;
    int count;
    struct log_slice slices[];
};

static void post_call(struct api_shard *from, int to, enum msg_type type, struct msg *msg)
{
    msg->type = (uint16_t)type;
    mailbox_call(from->shard->mailbox, (uint8_t)to, msg);
}

static void hear_free(void *owner, struct msg *msg)
{
    (void)owner;
    free(msg);
}

/* ---- at an owner ---- */

/* Ends when home has said so and its own word, if one is under way, is back. */
struct owner_watch {
    struct watch watch;
    struct api_shard *api;
    uint8_t home;
    uint64_t number;
    bool is_forgotten, is_telling;
    struct watch_part parts[];
};

static void forget_aborted(struct read *read)
{
    free(read->aborted);
    read->aborted = NULL;
}

static void release_part(struct reads_part *part)
{
    for (int i = 0; i < part->count; i++) {
        log_slice_release(&part->at[i].slice);
        forget_aborted(&part->at[i]);
    }
}

static void end_watch(struct owner_watch *it)
{
    if (it->is_forgotten && !it->is_telling) free(it);
}

static void tell_more(struct watch *watch)
{
    struct owner_watch *it = list_entry(watch, struct owner_watch, watch);
    struct msg_read_more *call = ensure_zalloc(sizeof(*call));

    call->number = it->number;
    call->from = it;
    it->is_telling = true;
    post_call(it->api, it->home, MSG_READ_MORE, &call->msg);
}

static void hear_more_answer(void *owner, struct msg *msg)
{
    struct msg_read_more *call = (struct msg_read_more *)(void *)msg;

    (void)owner;
    call->from->is_telling = false;
    end_watch(call->from);
    free(call);
}

static void watch_for(struct api_shard *api, struct msg_read *call)
{
    struct reads_part *part = call->part;
    struct owner_watch *it =
        ensure_zalloc(sizeof(*it) + sizeof(it->parts[0]) * (size_t)part->count);

    release_part(part);
    it->api = api;
    it->home = call->msg.home;
    it->number = call->number;
    it->watch.parts = it->parts;
    it->watch.bytes_wanted = call->bytes_wanted;
    it->watch.ready = tell_more;
    part->watcher = it;
    partitions_watch(api->partitions, &it->watch, &call->reader, part->at, part->count);
}

static void there_is_warm(void *to)
{
    struct msg_read *call = to;

    mailbox_reply(call->at->shard->mailbox, &call->msg);
}

static void hear_read(void *owner, struct msg *msg)
{
    struct reads_shard *home = owner;
    struct msg_read *call = (struct msg_read *)(void *)msg;

    call->at = home->api;
    if (call->is_watch) {
        watch_for(home->api, call);
    } else {
        const struct part_read it = {.api = home->api,
                                     .part = call->part,
                                     .reader = call->reader,
                                     .bytes_max = call->bytes_max,
                                     .at_least_one = call->at_least_one,
                                     .done = there_is_warm,
                                     .to = call};
        if (read_warm(&it)) return;
    }
    mailbox_reply(home->api->shard->mailbox, msg);
}

static void hear_forget(void *owner, struct msg *msg)
{
    struct reads_shard *home = owner;
    struct owner_watch *it = ((struct msg_read_forget *)(void *)msg)->watcher;

    partitions_unwatch(home->api->partitions, &it->watch);
    it->is_forgotten = true;
    end_watch(it);
    mailbox_reply(home->api->shard->mailbox, msg);
}

static void hear_release(void *owner, struct msg *msg)
{
    struct reads_shard *home = owner;
    struct msg_read_release *call = (struct msg_read_release *)(void *)msg;

    for (int i = 0; i < call->count; i++)
        log_slice_release(&call->slices[i]);
    mailbox_reply(home->api->shard->mailbox, msg);
}

/* ---- at home ---- */

static struct slice number_key(const uint64_t *number)
{
    return slice_of(number, sizeof(*number));
}

static int here(const struct reads *reads)
{
    return reads->home->api->shard->id;
}

/* Owners that are asked, this shard among them. */
static int owner_count(const struct reads *reads)
{
    int count = 0;

    for (int shard = 0; shard < reads->shards; shard++)
        count += reads->parts[shard].count > 0;
    return count;
}

static void stop_watching(struct reads *reads)
{
    struct api_shard *api = reads->home->api;

    ensure(reads->state == READS_WATCHING && reads->calls == 0);
    partitions_unwatch(api->partitions, &reads->watch);
    map_remove(&reads->home->waiting, number_key(&reads->number));
    for (int shard = 0; shard < reads->shards; shard++) {
        struct owner_watch *watcher = reads->parts[shard].watcher;
        if (watcher == NULL) continue;
        reads->parts[shard].watcher = NULL;
        struct msg_read_forget *call = ensure_zalloc(sizeof(*call));
        call->watcher = watcher;
        post_call(api, shard, MSG_READ_FORGET, &call->msg);
    }
    reads->state = READS_IDLE;
}

static void call_ended(struct reads *reads)
{
    ensure(reads->calls > 0);
    if (--reads->calls > 0) return;
    if (reads->state == READS_PASSING) {
        reads->state = READS_IDLE;
        reads->passed(reads);
    } else if (reads->is_hurried) {
        stop_watching(reads);
        reads->more(reads);
    }
}

static void run_post(struct post *post)
{
    call_ended(list_entry(post, struct reads, post));
}

static void here_is_warm(void *to)
{
    call_ended(to);
}

static struct msg_read *call_owner(struct reads *reads, int shard)
{
    struct msg_read *call = ensure_zalloc(sizeof(*call));

    call->reads = reads;
    call->part = &reads->parts[shard];
    call->reader = reads->reader;
    call->bytes_max = reads->bytes_max;
    call->at_least_one = reads->at_least_one;
    reads->calls++;
    post_call(reads->home->api, shard, MSG_READ, &call->msg);
    return call;
}

void reads_pass(struct reads *reads, bool is_first)
{
    struct api_shard *api = reads->home->api;
    struct reads_part *mine = &reads->parts[here(reads)];

    ensure(reads->state == READS_IDLE && reads->calls == 0);
    reads->state = READS_PASSING;
    reads->reader.is_first = is_first;
    reads->calls = 1;
    for (int shard = 0; shard < reads->shards; shard++)
        if (reads->parts[shard].count > 0 && shard != here(reads)) call_owner(reads, shard);
    const struct part_read it = {.api = api,
                                 .part = mine,
                                 .reader = reads->reader,
                                 .bytes_max = reads->bytes_max,
                                 .at_least_one = reads->at_least_one,
                                 .done = here_is_warm,
                                 .to = reads};
    if (read_warm(&it)) return;
    reads->post.run = run_post;
    shard_post(api->shard, &reads->post);
}

static int64_t bytes_of(const struct reads_part *part)
{
    int64_t bytes = 0;

    for (int i = 0; i < part->count; i++)
        bytes += part->at[i].slice.len;
    return bytes;
}

static void here_is_more(struct watch *watch)
{
    reads_hurry(list_entry(watch, struct reads, watch));
}

void reads_watch(struct reads *reads, int64_t bytes_wanted)
{
    struct api_shard *api = reads->home->api;
    struct reads_part *mine = &reads->parts[here(reads)];
    int owners = owner_count(reads);
    /* Each owner alone says when it has its share: then all are read again and the rest is shared
     * out anew, so that after a few rounds the sum is there, wherever it came. */
    int64_t share = owners <= 1 ? bytes_wanted : (bytes_wanted + owners - 1) / owners;

    ensure(reads->state == READS_IDLE && reads->calls == 0);
    reads->state = READS_WATCHING;
    reads->is_hurried = false;
    reads->number = ++reads->home->numbers;
    map_set(&reads->home->waiting, number_key(&reads->number), reads);
    reads->calls = 1;
    for (int shard = 0; shard < reads->shards; shard++) {
        if (reads->parts[shard].count == 0 || shard == here(reads)) continue;
        struct msg_read *call = call_owner(reads, shard);
        call->is_watch = true;
        call->number = reads->number;
        call->bytes_wanted = bytes_of(call->part) + share;
    }
    reads->watch.bytes_wanted = bytes_of(mine) + share;
    release_part(mine);
    reads->watch.ready = here_is_more;
    if (mine->count > 0)
        partitions_watch(api->partitions, &reads->watch, &reads->reader, mine->at, mine->count);
    reads->calls--; /* no `more` yet: owners have not answered, or nothing hurried it */
}

void reads_hurry(struct reads *reads)
{
    if (reads->state != READS_WATCHING) return;
    if (reads->calls > 0) {
        reads->is_hurried = true;
        return;
    }
    stop_watching(reads);
    reads->more(reads);
}

void reads_release(struct reads *reads)
{
    struct api_shard *api = reads->home->api;

    for (int shard = 0; shard < reads->shards; shard++) {
        struct reads_part *part = &reads->parts[shard];
        if (shard == here(reads)) {
            release_part(part);
            continue;
        }
        for (int i = 0; i < part->count; i++)
            forget_aborted(&part->at[i]);
        if (bytes_of(part) == 0) continue;
        struct msg_read_release *call =
            ensure_zalloc(sizeof(*call) + sizeof(call->slices[0]) * (size_t)part->count);
        for (int i = 0; i < part->count; i++)
            if (part->at[i].slice.file != NULL) call->slices[call->count++] = part->at[i].slice;
        post_call(api, shard, MSG_READ_RELEASE, &call->msg);
    }
}

static void hear_read_answer(void *owner, struct msg *msg)
{
    struct reads *reads = ((struct msg_read *)(void *)msg)->reads;

    (void)owner;
    free(msg);
    call_ended(reads);
}

static void hear_more(void *owner, struct msg *msg)
{
    struct reads_shard *home = owner;
    uint64_t number = ((struct msg_read_more *)(void *)msg)->number;
    struct reads *reads = map_get(&home->waiting, number_key(&number));

    mailbox_reply(home->api->shard->mailbox, msg);
    if (reads != NULL) reads_hurry(reads);
}

void reads_open(struct reads_shard *home, struct api_shard *api, struct msg_routes *routes)
{
    *home = (struct reads_shard){.api = api};
    map_init(&home->waiting);
    messages_on_call(routes, MSG_READ, hear_read, home);
    messages_on_answer(routes, MSG_READ, hear_read_answer, home);
    messages_on_call(routes, MSG_READ_MORE, hear_more, home);
    messages_on_answer(routes, MSG_READ_MORE, hear_more_answer, home);
    messages_on_call(routes, MSG_READ_FORGET, hear_forget, home);
    messages_on_answer(routes, MSG_READ_FORGET, hear_free, home);
    messages_on_call(routes, MSG_READ_RELEASE, hear_release, home);
    messages_on_answer(routes, MSG_READ_RELEASE, hear_free, home);
}

void reads_close(struct reads_shard *home)
{
    ensure(home->waiting.count == 0);
    map_fini(&home->waiting);
}
