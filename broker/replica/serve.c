/* broker/replica/serve.c - what partitions do for requests: append, read, watch, look up offsets.
 *
 * Waits end in one place, serve_wake, late in the turn in which something moved: one pass over the
 * watchers however many appends there were, and no callback inside a call. */
#include "base/ensure.h"
#include "base/planted.h"
#include "broker/log/producers.h"
#include "broker/replica/hosted.h"

/* What was written so lately is in the page cache: no probe. */
#define TAIL_BYTES       (4 << 20)
#define COMPRESSION_ZSTD 4

/* ---- produce ---- */

static bool tells_log_start(enum err err)
{
    switch ((int)err) {
    case ERR_NOT_ENOUGH_REPLICAS:
    case ERR_INVALID_RECORD:
    case ERR_INVALID_TIMESTAMP:
    case ERR_INVALID:
    case ERR_SEQUENCE:
    case ERR_PRODUCER_EPOCH:
    case ERR_TXN_STATE:
    case ERR_COORDINATOR_FENCED:
    case ERR_FULL:
    case ERR_TOO_MANY:
        return true;
    default:
        return false;
    }
}

static enum err check_and_append(struct hosted *hosted, struct append *append,
                                 struct log_appended *appended, struct checked *checked)
{
    struct partitions *partitions = hosted->of;
    struct partition *machine = &hosted->machine;
    int64_t now_ms = env_wall_ms(partitions->shard->env);
    struct check_request request = {
        .bytes = append->records,
        .len = append->len,
        .origin = append->origin,
        .config = log_config(hosted->log),
        .topic = append->topic,
        .partition = append->partition,
        .now_ms = now_ms,
        .arena = append->arena,
        .rebuilt = &partitions->rebuilt,
    };

    if (append->acks_all && !isr_may_append_all(&machine->isr)) return ERR_NOT_ENOUGH_REPLICAS;
    enum err err = check_produce(&request, checked, &append->refusal);
    if (err != ERR_OK) return err;
    ensure(log_end_offset(hosted->log) == machine->end_offset);
    err = log_append_leader(hosted->log, checked, machine->leader_epoch, now_ms, appended);
    return err == ERR_TOO_LARGE ? ERR_LIMIT : hosted_log_failed(hosted, err);
}

static void note_appended(struct hosted *hosted, const struct log_appended *appended,
                          const struct checked *checked)
{
    struct partitions_counts *counts = &hosted->of->counts;
    struct partition_event event = {
        .type = PARTITION_APPENDED,
        .appended.end_offset = appended->last_offset + 1,
    };

    hosted_feed(hosted, &event);
    upkeep_appended(hosted, appended);
    counter_add(&counts->bytes_in, checked->len);
    counter_add(&counts->messages_in, (uint64_t)checked->record_count);
    hosted->traffic->bytes_in += checked->len;
    hosted->traffic->messages_in += (uint64_t)checked->record_count;
}

void partitions_append(struct partitions *partitions, struct append *append)
{
    struct hosted *hosted = partitions_find(partitions, append->topic, append->partition);
    struct log_appended appended;
    struct checked checked;

    append->waits = false;
    append->base_offset = append->append_time_ms = append->log_start = -1;
    append->leader = append->leader_epoch = -1;
    append->refusal = (struct check_refusal){0};
    append->err = ERR_NOT_FOUND;
    if (hosted == NULL || hosted->is_leaving) return;

    struct partition *machine = &hosted->machine;
    append->leader = machine->leader;
    append->leader_epoch = machine->leader_epoch;
    append->err = hosted_check_writer(hosted);
    bool may_append = append->err == ERR_OK;
    if (planted(append_before_fence) && hosted->log != NULL) may_append = true;
    if (may_append) {
        enum err err = check_and_append(hosted, append, &appended, &checked);
        if (append->err == ERR_OK) append->err = err;
    }
    if (append->err != ERR_OK) {
        if (tells_log_start(append->err)) append->log_start = machine->log_start;
        return;
    }

    if (!appended.is_duplicate) note_appended(hosted, &appended, &checked);
    append->base_offset = appended.first_offset;
    append->append_time_ms = appended.append_time_ms;
    append->log_start = machine->log_start;
    if (append->acks_all && partition_high_watermark(machine) <= appended.last_offset &&
        !planted(ack_at_append)) {
        append->waits = true;
        append->wait->at = hosted;
        purgatory_add(&partitions->purgatory, &hosted->commits, &append->wait->wait,
                      appended.last_offset + 1, append->deadline);
        serve_arm(partitions);
    } else if (append->acks_leader && hosted_is_held(hosted) &&
               log_recovery_point(hosted->log) <= appended.last_offset) {
        append->waits = true;
        append->wait->at = hosted;
        purgatory_add(&partitions->purgatory, &hosted->flushes, &append->wait->wait,
                      appended.last_offset + 1, append->deadline);
        serve_arm(partitions);
    } else if (append->acks_all && !isr_has_enough(&machine->isr)) {
        append->err = ERR_NOT_ENOUGH_REPLICAS; /* cannot be: it was asked before the append */
    }
}

void serve_arm(struct partitions *partitions)
{
    timer_arm(partitions->shard, &partitions->purgatory_timer,
              purgatory_deadline(&partitions->purgatory));
    gauge_set(&partitions->counts.waiting_produce,
              (int64_t)purgatory_count(&partitions->purgatory));
}

void serve_decide(struct partitions *partitions, struct wait *wait, enum err err)
{
    struct commit_wait *commit = list_entry(wait, struct commit_wait, wait);

    commit->err = err;
    list_push(&partitions->decided, &wait->by_offset);
    shard_post(partitions->shard, &partitions->wake);
}

void serve_commits(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    const struct isr *isr = &hosted->machine.isr;
    enum err err = isr_has_enough(isr) ? ERR_OK : ERR_NOT_ENOUGH_REPLICAS;
    struct wait *wait;

    if (list_is_empty(&hosted->commits.waits) || hosted->machine.role != PARTITION_LEADER) return;
    while ((wait = purgatory_pop(&partitions->purgatory, &hosted->commits, isr->high_watermark)))
        serve_decide(partitions, wait, err);
    serve_arm(partitions);
}

void serve_flushed(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    int64_t reached = hosted_is_held(hosted) ? log_recovery_point(hosted->log) : INT64_MAX;
    struct wait *wait;

    if (list_is_empty(&hosted->flushes.waits)) return;
    while ((wait = purgatory_pop(&partitions->purgatory, &hosted->flushes, reached)))
        serve_decide(partitions, wait, ERR_OK);
    serve_arm(partitions);
}

void serve_refuse_commits(struct hosted *hosted, enum err err)
{
    struct partitions *partitions = hosted->of;
    struct wait *wait;

    while ((wait = purgatory_pop(&partitions->purgatory, &hosted->flushes, INT64_MAX)))
        serve_decide(partitions, wait, err);
    while ((wait = purgatory_pop(&partitions->purgatory, &hosted->commits, INT64_MAX)))
        serve_decide(partitions, wait, err);
    serve_arm(partitions);
}

void serve_timed_out(struct timer *timer)
{
    struct partitions *partitions = list_entry(timer, struct partitions, purgatory_timer);
    struct wait *wait;

    while ((wait = purgatory_expired(&partitions->purgatory, shard_now(partitions->shard))))
        serve_decide(partitions, wait, ERR_TIMED_OUT);
    serve_arm(partitions);
}

void partitions_forget_wait(struct partitions *partitions, struct commit_wait *wait)
{
    purgatory_drop(&partitions->purgatory, &wait->wait);
    serve_arm(partitions);
}

/* ---- fetch ---- */

/* Where the high watermark lies in the files; looked up once for each that is read. */
static enum err watermark_position(struct hosted *hosted, struct log_position *out)
{
    int64_t watermark = partition_high_watermark(&hosted->machine);
    enum err err = ERR_OK;

    if (watermark == hosted->machine.end_offset)
        hosted->watermark_at = log_end_position(hosted->log);
    else if (hosted->watermark_at.offset != watermark)
        err = log_locate(hosted->log, watermark, &hosted->watermark_at);
    if (err == ERR_OK)
        *out = hosted->watermark_at;
    else
        hosted->watermark_at = (struct log_position){.offset = -1};
    return err;
}

static int64_t last_stable(const struct hosted *hosted)
{
    return log_last_stable(hosted->log, partition_high_watermark(&hosted->machine));
}

static enum err stable_position(struct hosted *hosted, struct log_position *out)
{
    int64_t stable = last_stable(hosted);
    enum err err = ERR_OK;

    if (stable == partition_high_watermark(&hosted->machine))
        return watermark_position(hosted, out);
    if (hosted->stable_at.offset != stable)
        err = log_locate(hosted->log, stable, &hosted->stable_at);
    if (err == ERR_OK) *out = hosted->stable_at;
    return err;
}

/* Followers read to the end, others to the watermark, or to where everything is decided. */
static enum err read_limit(struct hosted *hosted, const struct read_by *reader,
                           struct log_position *out)
{
    if (reader->replica >= 0 || planted(reads_past_watermark)) {
        *out = log_end_position(hosted->log);
        return ERR_OK;
    }
    return reader->is_committed ? stable_position(hosted, out) : watermark_position(hosted, out);
}

/* Did the follower's log part from ours before the offset that it asks for? */
static enum err check_divergence(const struct hosted *hosted, struct read *read)
{
    const struct partition *machine = &hosted->machine;

    if (read->last_epoch < 0 || planted(divergence_unchecked)) return ERR_OK;
    struct epoch_end end =
        epochs_end_of(log_epochs(hosted->log), read->last_epoch, machine->end_offset);
    if (end.epoch < 0 || end.end_offset < 0 || read->offset < machine->log_start) return ERR_RANGE;
    if (end.epoch < read->last_epoch || end.end_offset < read->offset) {
        read->diverges = true;
        read->diverging = end;
    }
    return ERR_OK;
}

static enum err check_reader(const struct hosted *hosted, const struct read_by *reader,
                             const struct read *read, int *slot)
{
    const struct partition *machine = &hosted->machine;

    if (machine->role == PARTITION_OFFLINE || hosted->log == NULL) return ERR_OFFLINE;
    struct uuid ours = log_topic_id(hosted->log);
    if (!uuid_is_zero(read->topic_id) && !uuid_is_zero(ours) && !uuid_equal(read->topic_id, ours))
        return ERR_TOPIC_ID;
    enum err err = partition_check(machine, read->leader_epoch, reader->needs_leader);
    if (err != ERR_OK || reader->replica < 0) return err;
    *slot = isr_slot_of(&machine->isr, reader->replica);
    if (*slot <= 0) /* our own id is no follower's either */
        return read->leader_epoch >= 0 ? ERR_UNKNOWN_EPOCH : ERR_NOT_LEADER;
    return ERR_OK;
}

/* A follower that is not in sync gets nothing of a throttled partition while the quota is used up;
 * one in the ISR is never held back: acks=all would wait for it. */
static bool is_held_back(struct hosted *hosted, int slot)
{
    const struct isr *isr = &hosted->machine.isr;
    struct partitions *partitions = hosted->of;

    return hosted->is_leader_throttled && slot > 0 && (isr->committed >> slot & 1) == 0 &&
           throttle_is_exceeded(&partitions->throttle, THROTTLE_LEADER,
                                shard_now(partitions->shard));
}

void partitions_sent(struct partitions *partitions, uint64_t bytes)
{
    throttle_record(&partitions->throttle, THROTTLE_LEADER, bytes);
}

/* In time in which a follower that lives has fetched, even one that is busy. */
#define SILENCE_WAITS 4

static bool is_confirmed(const struct hosted *hosted)
{
    const struct partitions *partitions = hosted->of;
    int64_t silence_ns =
        SILENCE_WAITS * partitions->options.settings.fetch_wait_ms_max * INT64_C(1000000);

    return isr_is_confirmed(&hosted->machine.isr, shard_now(partitions->shard), silence_ns);
}

static enum err read_slice(struct hosted *hosted, const struct read_by *reader, struct read *read,
                           bool is_held)
{
    const struct partition *machine = &hosted->machine;

    /* A client beyond our end has read it somewhere: at the leader that we follow and have not
     * caught up with, or at one that we have not heard of yet. To be told that the offset does not
     * exist would make it begin anew. */
    if (reader->replica < 0 && read->offset > machine->end_offset &&
        (machine->role != PARTITION_LEADER || !is_confirmed(hosted)))
        return ERR_NOT_LEADER;
    if (read->offset < machine->log_start || read->offset > machine->end_offset) return ERR_RANGE;
    enum err err = read_limit(hosted, reader, &read->limit);
    if (err != ERR_OK) return hosted_log_failed(hosted, err);
    if (read->offset >= read->limit.offset || is_held ||
        (read->bytes_max <= 0 && !read->at_least_one)) {
        if (read->offset == machine->end_offset)
            read->start = log_end_position(hosted->log);
        else
            err = log_locate(hosted->log, read->offset, &read->start);
        return hosted_log_failed(hosted, err);
    }
    struct log_read how = {
        .offset = read->offset,
        .bytes_max = read->bytes_max < 0 ? 0 : read->bytes_max,
        .at_least_one = read->at_least_one,
        .limit = read->limit,
        .only_cached = read->only_cached,
    };
    err = log_read(hosted->log, &how, &read->slice);
    if (err != ERR_OK || read->slice.is_cold) return hosted_log_failed(hosted, err);
    read->start = read->slice.start;
    if (read->slice.is_cut && !reader->takes_cut) log_slice_release(&read->slice);
    if (!reader->is_committed || reader->replica >= 0) return ERR_OK;
    err = log_aborted(hosted->log, &read->slice, &read->aborted, &read->aborted_count);
    if (err != ERR_OK) log_slice_release(&read->slice);
    return hosted_log_failed(hosted, err);
}

/* Whether slot `a` is nearer to the leader's end than `b`. */
static bool is_fresher(const struct isr_slot *a, const struct isr_slot *b)
{
    if (a->end_offset != b->end_offset) return a->end_offset > b->end_offset;
    return instant_before(b->caught_up_at, a->caught_up_at);
}

/* Which replica a consumer had better read from (KIP-392): one of its rack that is in sync and has
 * the offset; the leader itself if it is of that rack, or when there is none. −1: the leader. */
static int32_t preferred_replica(const struct hosted *hosted, const struct read_by *reader,
                                 int64_t offset)
{
    const struct partitions_options *options = &hosted->of->options;
    const struct isr *isr = &hosted->machine.isr;
    const struct isr_slot *best = NULL;
    struct slice rack;

    if (!options->settings.reads_by_rack || options->ops->rack == NULL || reader->rack.len == 0 ||
        reader->replica != -1 || hosted->machine.role != PARTITION_LEADER)
        return -1;
    if (options->ops->rack(options->owner, options->broker_id, reader->listener, &rack) &&
        slice_equal(rack, reader->rack))
        return -1;
    for (int slot = 1; slot < isr->count; slot++) {
        const struct isr_slot *at = &isr->slots[slot];
        if ((isr->committed >> slot & 1) == 0 || at->log_start > offset ||
            at->end_offset < offset ||
            !options->ops->rack(options->owner, at->broker, reader->listener, &rack) ||
            !slice_equal(rack, reader->rack))
            continue;
        if (best == NULL || is_fresher(at, best)) best = at;
    }
    return best == NULL ? -1 : best->broker;
}

void partitions_read(struct partitions *partitions, const struct read_by *reader, struct read *read)
{
    struct hosted *hosted = partitions_find(partitions, read->topic, read->partition);
    int slot = -1;

    read->high_watermark = read->last_stable = read->log_start_here = -1;
    read->diverges = false;
    read->preferred = -1;
    read->leader = read->leader_epoch_here = -1;
    read->is_throttled = false;
    read->slice = (struct log_slice){0};
    read->aborted = NULL;
    read->aborted_count = 0;
    read->err = ERR_NOT_FOUND;
    if (hosted == NULL || hosted->is_leaving) return;

    struct partition *machine = &hosted->machine;
    int64_t end_before = machine->end_offset;
    read->leader = machine->leader;
    read->leader_epoch_here = machine->leader_epoch;
    read->err = check_reader(hosted, reader, read, &slot);
    if (read->err == ERR_OK) read->preferred = preferred_replica(hosted, reader, read->offset);
    if (read->err == ERR_OK && read->preferred < 0) read->err = check_divergence(hosted, read);
    if (read->err == ERR_OK && read->preferred < 0 && !read->diverges)
        read->err = read_slice(hosted, reader, read, is_held_back(hosted, slot));
    if (read->err != ERR_OK) return;

    /* What a follower asks for is what it has: the offset acknowledges all below. Never on a second
     * pass, which would make it look caught up; never when it diverges. */
    if (reader->replica >= 0 && reader->is_first && !read->diverges) {
        struct partition_event event = {
            .type = PARTITION_FETCHED,
            .fetched =
                {
                    .slot = slot,
                    .fetch_offset = read->offset,
                    .log_start = read->log_start,
                    .leader_end = end_before,
                    .broker_epoch = reader->broker_epoch,
                },
        };
        hosted_feed(hosted, &event);
    }
    read->is_zstd = log_config(hosted->log)->compression == COMPRESSION_ZSTD;
    read->downconverts = log_config(hosted->log)->downconverts;
    read->high_watermark = partition_high_watermark(machine);
    read->last_stable = last_stable(hosted);
    read->log_start_here = machine->log_start;
    read->is_throttled = reader->replica >= 0 && hosted->is_leader_throttled;
    if (read->slice.is_cold) return;
    if (reader->replica >= 0) {
        counter_add(&partitions->counts.replication_bytes_out, (uint64_t)read->slice.len);
    } else {
        counter_add(&partitions->counts.bytes_out, (uint64_t)read->slice.len);
        hosted->traffic->bytes_out += (uint64_t)read->slice.len;
    }
}

/* ---- coordinators ---- */

enum err partitions_read_begin(struct partitions *partitions, struct reading *reading)
{
    struct hosted *hosted = partitions_find(partitions, reading->topic, reading->partition);

    if (hosted == NULL || hosted->is_leaving) return ERR_NOT_FOUND;
    enum err err = partition_check(&hosted->machine, -1, true);
    if (err != ERR_OK) return err;
    if (reading->offset < hosted->machine.log_start) reading->offset = hosted->machine.log_start;
    struct log_read how = {
        .offset = reading->offset,
        .bytes_max = reading->bytes_max,
        .at_least_one = true,
        .limit = log_end_position(hosted->log),
    };
    struct log_slice slice = {0};
    if (reading->offset < how.limit.offset)
        err = hosted_log_failed(hosted, log_read(hosted->log, &how, &slice));
    if (err != ERR_OK) return err;
    reading->slice = slice;
    reading->end = how.limit.offset;
    reading->is_settling = partition_high_watermark(&hosted->machine) < reading->end &&
                           isr_has_enough(&hosted->machine.isr);
    reading->at = hosted;
    hosted->jobs++;
    return ERR_OK;
}

void partitions_read_end(struct partitions *partitions, struct reading *reading)
{
    struct hosted *hosted = reading->at;

    (void)partitions;
    log_slice_release(&reading->slice);
    reading->at = NULL;
    hosted->jobs--;
    if (hosted->is_leaving && hosted->jobs == 0) hosted_left(hosted);
}

/* ---- watch ---- */

/* Only a wide margin: whether the slice lies in what was written last. */
bool partitions_is_tail(struct partitions *partitions, const struct read *read)
{
    struct hosted *hosted = partitions_find(partitions, read->topic, read->partition);

    if (hosted == NULL || hosted->log == NULL) return false;
    struct log_position end = log_end_position(hosted->log);
    return read->slice.start.segment_base == end.segment_base &&
           end.position - read->slice.position <= TAIL_BYTES;
}

static void unlink_parts(struct watch *watch)
{
    for (int i = 0; i < watch->count; i++)
        list_remove(&watch->parts[i].node);
    watch->count = 0;
}

void serve_fire(struct partitions *partitions, struct watch *watch)
{
    unlink_parts(watch);
    if (list_has(&watch->node)) return;
    list_push(&partitions->ready, &watch->node);
    shard_post(partitions->shard, &partitions->wake);
    gauge_add(&partitions->counts.waiting_fetch, -1);
}

void partitions_unwatch(struct partitions *partitions, struct watch *watch)
{
    if (watch->count > 0) gauge_add(&partitions->counts.waiting_fetch, -1);
    unlink_parts(watch);
    list_remove(&watch->node);
}

/* Counts what `part` could read now. True: it must read again whatever the count. */
static bool look(struct watch_part *part)
{
    struct hosted *hosted = part->at;
    struct watch *watch = part->watch;
    const struct partition *machine = &hosted->machine;
    struct log_position limit;

    if (partition_check(machine, part->leader_epoch, watch->reader.needs_leader) != ERR_OK)
        return true;
    if (part->start.offset > machine->end_offset || part->start.offset < machine->log_start)
        return true; /* truncated, or gone */
    if (watch->reader.replica >= 0 && hosted->is_leader_throttled &&
        is_held_back(hosted, isr_slot_of(&machine->isr, watch->reader.replica))) {
        watch->bytes -= part->bytes;
        part->bytes = 0;
        return false;
    }
    /* Consumers that read from the follower wait for it to hear of the watermark. */
    if (watch->reader.replica >= 0 && hosted->of->options.settings.reads_by_rack &&
        partition_high_watermark(machine) > part->watermark)
        return true;
    if (watch->reader.replica < 0 && partition_high_watermark(machine) <= part->start.offset)
        return false; /* the last stable offset is no higher */
    if (read_limit(hosted, &watch->reader, &limit) != ERR_OK) return true;
    if (limit.offset <= part->start.offset) return false;
    if (limit.segment_base != part->start.segment_base) return true;

    int64_t bytes = log_bytes_between(hosted->log, &part->start, &limit);
    if (bytes > part->bytes_max) bytes = part->bytes_max;
    watch->bytes += bytes - part->bytes;
    part->bytes = bytes;
    return false;
}

void partitions_watch(struct partitions *partitions, struct watch *watch,
                      const struct read_by *reader, const struct read *reads, int count)
{
    bool is_one_gone = false;

    watch->reader = *reader;
    watch->reader.is_first = false;
    watch->reader.rack = SLICE_NULL;
    watch->count = 0;
    watch->bytes = 0;
    for (int i = 0; i < count; i++) {
        const struct read *read = &reads[i];
        struct hosted *hosted = partitions_find(partitions, read->topic, read->partition);
        struct watch_part *part = &watch->parts[watch->count];

        if (read->err != ERR_OK || read->diverges || read->preferred >= 0) continue;
        if (hosted == NULL) {
            is_one_gone = true; /* since the read, which another shard may have asked for */
            continue;
        }
        *part = (struct watch_part){
            .watch = watch,
            .at = hosted,
            .start = read->start,
            .bytes_max = read->bytes_max,
            .watermark = read->high_watermark,
            .leader_epoch = read->leader_epoch,
        };
        part->start.offset = read->offset;
        watch->count++;
        list_push(&hosted->watchers, &part->node);
        /* It may have moved since the read (another partition's read can move it): look again. */
        serve_touch(hosted, false);
    }
    if (watch->count > 0 || is_one_gone) gauge_add(&partitions->counts.waiting_fetch, 1);
    if (is_one_gone) serve_fire(partitions, watch);
}

void serve_touch(struct hosted *hosted, bool all)
{
    if (list_is_empty(&hosted->watchers)) return;
    hosted->wakes_all = hosted->wakes_all || all;
    if (!list_has(&hosted->dirty)) list_push(&hosted->of->dirty, &hosted->dirty);
    shard_post(hosted->of->shard, &hosted->of->wake);
}

static void look_at_watchers(struct hosted *hosted)
{
    bool all = hosted->wakes_all;
    struct list looked;

    hosted->wakes_all = false;
    /* Firing one takes all its parts off, others of this partition among them: so each is moved
     * first, and the list is read from its head. */
    list_init(&looked);
    while (!list_is_empty(&hosted->watchers)) {
        struct list_node *node = list_pop(&hosted->watchers);
        struct watch_part *part = list_entry(node, struct watch_part, node);
        struct watch *watch = part->watch;

        list_push(&looked, node);
        if (all || look(part) || watch->bytes >= watch->bytes_wanted) serve_fire(hosted->of, watch);
    }
    while (!list_is_empty(&looked))
        list_push(&hosted->watchers, list_pop(&looked));
}

void serve_wake(struct post *post)
{
    struct partitions *partitions = list_entry(post, struct partitions, wake);
    struct list_node *node;

    while ((node = list_pop(&partitions->dirty)) != NULL)
        look_at_watchers(list_entry(node, struct hosted, dirty));
    while ((node = list_pop(&partitions->decided)) != NULL) {
        struct commit_wait *wait =
            list_entry(list_entry(node, struct wait, by_offset), struct commit_wait, wait);
        wait->done(wait, wait->err);
    }
    while ((node = list_pop(&partitions->ready)) != NULL) {
        struct watch *watch = list_entry(node, struct watch, node);
        watch->ready(watch);
    }
}

/* ---- offsets ---- */

/* Up to where a client may be told of records. */
static int64_t visible_end(const struct offset_query *query)
{
    return query->is_committed ? last_stable(query->at)
                               : partition_high_watermark(&query->at->machine);
}

static bool may_be_named(const struct offset_query *query, int64_t offset)
{
    return query->replica != -1 || offset < visible_end(query);
}

static void answer_found(struct offset_query *query, const struct log_found *found)
{
    const struct partition *machine = &query->at->machine;

    query->offset = query->found_timestamp = -1;
    query->found_epoch = -1;
    if (found->offset >= 0 && may_be_named(query, found->offset)) {
        query->offset = found->offset;
        query->found_timestamp = found->timestamp;
        query->found_epoch = found->leader_epoch;
    } else if (query->replica == -1 && partition_is_lagging(machine)) {
        query->err = ERR_BUSY;
    }
}

static void search_run(struct disk_job *job)
{
    log_search_run(list_entry(job, struct offset_query, job)->search);
}

static void search_done(struct disk_job *job)
{
    struct offset_query *query = list_entry(job, struct offset_query, job);
    struct partitions *partitions = query->partitions;
    struct hosted *hosted = query->at;
    struct log_found found;

    if (!log_search_done(hosted->log, &query->search, &query->err, &found)) {
        disk_submit(partitions->shard->env, partitions->shard->disk, DISK_SOON, partitions->shard,
                    &query->job);
        return;
    }
    query->err = hosted_log_failed(hosted, query->err);
    if (query->err == ERR_OK)
        query->err = partition_check(&hosted->machine, query->leader_epoch, query->replica != -2);
    if (query->err == ERR_OK) answer_found(query, &found);
    hosted->jobs--;
    if (hosted->is_leaving && hosted->jobs == 0) hosted_left(hosted);
    query->done(query);
}

static enum err find_for_offsets(struct partitions *partitions, struct slice topic,
                                 int32_t partition, int32_t leader_epoch, bool needs_leader,
                                 struct hosted **out)
{
    struct hosted *hosted = partitions_find(partitions, topic, partition);

    if (hosted == NULL || hosted->is_leaving) return ERR_NOT_FOUND;
    *out = hosted;
    return partition_check(&hosted->machine, leader_epoch, needs_leader);
}

static void answer_latest(struct offset_query *query, const struct partition *machine)
{
    if (query->replica != -1) {
        query->offset = machine->end_offset;
    } else if (partition_is_lagging(machine)) {
        query->err = ERR_BUSY;
        return;
    } else {
        query->offset = visible_end(query);
    }
    query->found_epoch = machine->leader_epoch;
}

static bool start_search(struct partitions *partitions, struct offset_query *query)
{
    struct hosted *hosted = query->at;
    int64_t timestamp = query->timestamp == OFFSETS_MAX_TIMESTAMP ? LOG_TIME_MAX : query->timestamp;

    query->err =
        hosted_log_failed(hosted, log_search_start(hosted->log, timestamp, &query->search));
    if (query->err != ERR_OK) return true;
    hosted->jobs++;
    query->job =
        (struct disk_job){.home = partitions->shard, .run = search_run, .done = search_done};
    disk_submit(partitions->shard->env, partitions->shard->disk, DISK_SOON, partitions->shard,
                &query->job);
    return false;
}

bool partitions_list_offsets(struct partitions *partitions, struct offset_query *query)
{
    query->offset = query->found_timestamp = -1;
    query->found_epoch = -1;
    query->partitions = partitions;
    query->search = NULL;
    query->err = find_for_offsets(partitions, query->topic, query->partition, query->leader_epoch,
                                  query->replica != -2, &query->at);
    if (query->err != ERR_OK) return true;

    const struct partition *machine = &query->at->machine;
    struct epoch_entry first = epochs_earliest(log_epochs(query->at->log));
    switch (query->timestamp) {
    case OFFSETS_LATEST:
        answer_latest(query, machine);
        return true;
    case OFFSETS_EARLIEST:
    case OFFSETS_EARLIEST_LOCAL:
        query->offset = machine->log_start;
        query->found_epoch = first.start <= machine->log_start ? first.epoch : -1;
        return true;
    case OFFSETS_LATEST_TIERED:
        return true;
    default:
        return start_search(partitions, query);
    }
}

enum err partitions_offsets_before(struct partitions *partitions, struct slice topic,
                                   int32_t partition, int32_t replica, int64_t timestamp, int max,
                                   int64_t *out, int *count)
{
    struct hosted *hosted = NULL;
    enum err err = find_for_offsets(partitions, topic, partition, -1, replica != -2, &hosted);

    if (err != ERR_OK) return err;
    int found = log_offsets_before(hosted->log, timestamp, max, out);
    int64_t watermark = partition_high_watermark(&hosted->machine);
    int above = 0;
    while (replica == -1 && above < found && out[above] > watermark)
        above++;
    if (above > 0) { /* all of those become one: the watermark itself */
        out[above - 1] = watermark;
        for (int i = 0; above > 1 && i < found - above + 1; i++)
            out[i] = out[above - 1 + i];
        found -= above - 1;
    }
    *count = found;
    return ERR_OK;
}

enum err partitions_epoch_end(struct partitions *partitions, struct slice topic, int32_t partition,
                              int32_t leader_epoch, int32_t epoch, struct epoch_end *out)
{
    struct hosted *hosted = NULL;
    enum err err = find_for_offsets(partitions, topic, partition, leader_epoch, true, &hosted);

    if (err != ERR_OK) return err;
    *out = epochs_end_of(log_epochs(hosted->log), epoch, hosted->machine.end_offset);
    return ERR_OK;
}

enum err partitions_producers(struct partitions *partitions, struct slice topic, int32_t partition,
                              struct producers_view **producers, int32_t *count)
{
    struct hosted *hosted = NULL;
    enum err err = find_for_offsets(partitions, topic, partition, -1, false, &hosted);

    if (err != ERR_OK) return err;
    const struct producers *from = log_producers(hosted->log);
    *producers = ensure_zalloc(sizeof(**producers) * ((size_t)from->count + 1));
    for (int32_t i = 0; i < from->count; i++)
        (*producers)[i] = producers_at(from, i);
    *count = from->count;
    return ERR_OK;
}
