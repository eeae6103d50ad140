#include "tools/produce.h"
#include "tools/lines.h"
#include "tools/producer.h"
#include "tools/usage.h"
#include "base/ensure.h"
#include "base/text.h"
#include "runtime/env_posix.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK_BYTES       (256 * 1024)
#define BATCH_GROWN_BYTES (512 * 1024)
#define LINE_BYTES_MAX                                                                             \
    (256u << 20) /* a longer line is an error, not a reason to fill the memory                     \
                  */

static const struct args_option options[] = {
    {"topic", "NAME", ARGS_REQUIRED, "where the records go"},
    {"bootstrap-server", "HOST:PORT,...", 0, "brokers to ask first"},
    {"broker-list", "HOST:PORT,...", 0, "the same, for old scripts"},
    {"sync", NULL, 0, "wait for the answer to each record before the next is read"},
    {"compression-codec", "CODEC", ARGS_OPTIONAL_VALUE,
     "none, gzip, snappy, lz4 or zstd; gzip if only the option is given"},
    {"batch-size", "BYTES", 0,
     "records of a partition that leave together (16384, and up to 512 KiB while the broker has "
     "not answered the ones before)"},
    {"message-send-max-retries", "N", 0, "how often a failed batch is sent again (3)"},
    {"retry-backoff-ms", "MS", 0, "pause before that (100)"},
    {"timeout", "MS", 0, "how long a batch waits for more records (1000)"},
    {"request-required-acks", "ACKS", 0,
     "replicas that must have a record: -1 or all (the in-sync ones), 1 (the leader), 0 (-1)"},
    {"request-timeout-ms", "MS", 0, "how long an answer may take (1500)"},
    {"metadata-expiry-ms", "MS", 0, "how often leaders are asked for without need (300000)"},
    {"max-block-ms", "MS", 0, "how long to wait for the topic (60000)"},
    {"max-memory-bytes", "BYTES", 0, "records that are not yet delivered (33554432)"},
    {"max-partition-memory-bytes", "BYTES", 0, "the same as --batch-size, which goes before it"},
    {"socket-buffer-size", "BYTES", 0, "for old scripts: has no effect"},
    {"line-reader", "CLASS", 0, "for old scripts: only the built-in reader is there"},
    {"property", "KEY=VALUE", 0,
     "how lines are read: parse.key, key.separator, parse.headers, headers.delimiter, "
     "headers.separator, headers.key.separator, ignore.error, null.marker; may be repeated"},
    {"reader-config", "FILE", 0, "the same as a properties file; --property goes before it"},
    {"producer-property", "KEY=VALUE", 0,
     "acks, batch.size, linger.ms, retries, retry.backoff.ms, request.timeout.ms, "
     "delivery.timeout.ms, compression.type, max.request.size, buffer.memory, client.id; may be "
     "repeated"},
    {"producer.config", "FILE", 0,
     "the same as a properties file; --producer-property goes before it"},
};

const struct args_command produce_command = {
    .name = "ottla produce",
    .summary = "send lines of standard input to a topic",
    .more = "Each line is one record: [headers TAB] [key TAB] value. Exits with 1 when a line "
            "could not\n"
            "be read or a record was not delivered.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct job {
    struct args args;
    struct cluster *cluster;
    struct producer *producer;
    struct producer_options options;
    struct line_options lines;
    struct conf settings, reader; /* what options point into */
    const char *client_id;
    int64_t max_block_ms, memory_max;
    bool is_sync, is_terminal;

    struct buf in;
    size_t in_at; /* of `in`: what has been used */
    bool is_at_end, has_failed;
    int64_t line_number, delivered, lost;
    struct post read;
    struct net_watch watch;
    bool is_watched;
    bool is_file; /* standard input cannot be waited for: it is always ready */
    struct arena arena;
    struct progress progress;
    struct buf message;
};

/* ---- settings ---- */

static enum err wrong(struct job *job, const char *name, const char *value, const char *range)
{
    buf_printf(&job->message, "%s=%s: must be %s", name, value, range);
    return ERR_INVALID;
}

static enum err set_acks(struct job *job, const char *value)
{
    int64_t acks = -1;

    if (strcmp(value, "all") != 0 && text_int(slice_text(value), -1, 1, &acks) != ERR_OK)
        return wrong(job, "acks", value, "all, -1, 0 or 1");
    job->options.acks = (int16_t)acks;
    return ERR_OK;
}

static enum err set_codec(struct job *job, const char *value)
{
    if (compress_parse(slice_text(value), &job->options.codec) == ERR_OK) return ERR_OK;
    return wrong(job, "compression.type", value, "none, gzip, snappy, lz4 or zstd");
}

static enum err set_setting(struct job *job, const char *key, const char *value)
{
    struct producer_options *o = &job->options;
    const struct {
        const char *key;
        int64_t *out, min;
    } numbers[] = {{"batch.size", &o->batch_bytes, 0},
                   {"linger.ms", &o->linger_ms, 0},
                   {"retries", &o->retries, 0},
                   {"retry.backoff.ms", &o->retry_backoff_ms, 1},
                   {"request.timeout.ms", &o->request_timeout_ms, 1},
                   {"delivery.timeout.ms", &o->delivery_timeout_ms, 1},
                   {"metadata.max.age.ms", &o->metadata_expiry_ms, 1},
                   {"max.request.size", &o->request_bytes_max, 1},
                   {"max.block.ms", &job->max_block_ms, 0},
                   {"buffer.memory", &job->memory_max, 1}};

    if (strcmp(key, "acks") == 0) return set_acks(job, value);
    if (strcmp(key, "compression.type") == 0) return set_codec(job, value);
    if (strcmp(key, "client.id") == 0) job->client_id = value;
    if (strcmp(key, "batch.size") == 0) o->batch_bytes_grown = 0; /* who names it means it */
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(key, numbers[i].key) == 0 &&
            text_int(slice_text(value), numbers[i].min, INT32_MAX, numbers[i].out) != ERR_OK)
            return wrong(job, key, value, "a whole number, and not less than there can be");
    return ERR_OK;
}

/* The command line's own names for settings. */
static enum err read_numbers(struct job *job)
{
    static const struct {
        const char *option, *key;
    } names[] = {{"max-partition-memory-bytes", "batch.size"},
                 {"batch-size", "batch.size"},
                 {"message-send-max-retries", "retries"},
                 {"retry-backoff-ms", "retry.backoff.ms"},
                 {"timeout", "linger.ms"},
                 {"request-required-acks", "acks"},
                 {"request-timeout-ms", "request.timeout.ms"},
                 {"metadata-expiry-ms", "metadata.max.age.ms"},
                 {"max-block-ms", "max.block.ms"},
                 {"max-memory-bytes", "buffer.memory"}};
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = args_text(&job->args, names[i].option, NULL);
        if (value != NULL) err = set_setting(job, names[i].key, value);
    }
    if (err == ERR_OK && args_has(&job->args, "compression-codec"))
        err = set_codec(job, args_text(&job->args, "compression-codec", "gzip"));
    return err;
}

static enum err read_line_options(struct job *job)
{
    const char *path = args_text(&job->args, "reader-config", NULL);
    enum err err = path == NULL ? ERR_OK : usage_read_file(path, &job->reader, &job->message);

    for (int i = 0; err == ERR_OK && args_at(&job->args, "property", i) != NULL; i++) {
        const char *pair = args_at(&job->args, "property", i);
        struct slice value = slice_text(pair), key;
        if (!slice_cut(&value, '=', &key)) return wrong(job, "--property", pair, "KEY=VALUE");
        conf_set(&job->reader, arena_text(&job->arena, key), (const char *)value.ptr, 0);
    }
    map_each (entry, &job->reader.entries) {
        const struct conf_entry *pair = entry->value;
        if (err == ERR_OK && line_options_set(&job->lines, pair->key, pair->value) == ERR_INVALID)
            err = wrong(job, pair->key, pair->value, "another value");
    }
    return err == ERR_OK ? line_options_check(&job->lines, &job->message) : err;
}

static enum err read_options(struct job *job)
{
    job->options = (struct producer_options){.topic = args_text(&job->args, "topic", ""),
                                             .acks = -1,
                                             .codec = BATCH_CODEC_NONE,
                                             .batch_bytes = 16384,
                                             .batch_bytes_grown = BATCH_GROWN_BYTES,
                                             .linger_ms = 1000,
                                             .retries = 3,
                                             .retry_backoff_ms = 100,
                                             .request_timeout_ms = 1500,
                                             .delivery_timeout_ms = 120000,
                                             .metadata_expiry_ms = 300000,
                                             .request_bytes_max = 1048576};
    job->client_id = "console-producer";
    job->max_block_ms = 60000;
    job->memory_max = 33554432;
    job->is_sync = args_has(&job->args, "sync");
    line_options_init(&job->lines);
    enum err err = read_numbers(job);
    if (err == ERR_OK)
        err = usage_read_settings(&job->args, "producer.config", "producer-property",
                                  &job->settings, &job->message);
    map_each (entry, &job->settings.entries) {
        const struct conf_entry *pair = entry->value;
        if (err == ERR_OK) err = set_setting(job, pair->key, pair->value);
    }
    if (err == ERR_OK) err = read_line_options(job);
    bool has_server =
        args_has(&job->args, "bootstrap-server") || args_has(&job->args, "broker-list");
    if (err == ERR_OK && !has_server) {
        buf_add_text(&job->message, "--bootstrap-server is required");
        err = ERR_INVALID;
    }
    if (job->is_sync) job->options.linger_ms = 0;
    return err;
}

/* ---- lines ---- */

static void delivered(void *owner, int32_t records, enum err err, int16_t code,
                      struct slice message)
{
    struct job *job = owner;

    if (err == ERR_OK && code == KAFKA_NONE) {
        job->delivered += records;
    } else {
        job->lost += records;
        progress_end(&job->progress);
        fprintf(stderr, "%d records were not delivered: %s%s%.*s\n", records,
                err != ERR_OK ? err_text(err) : kafka_error_name(code), message.len > 0 ? ": " : "",
                SLICE_ARGS(message));
    }
    shard_post(cluster_shard(job->cluster), &job->read);
}

static bool has_room(const struct job *job)
{
    if (job->is_sync) return producer_pending(job->producer) == 0;
    return producer_bytes(job->producer) < (size_t)job->memory_max;
}

static void take_line(struct job *job, struct slice line)
{
    struct line_record record;

    job->line_number++;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
    if (line_parse(&job->lines, line, job->line_number, &job->arena, &record, &job->message) !=
        ERR_OK) {
        progress_end(&job->progress);
        fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_slice(&job->message)));
        job->has_failed = job->is_at_end = true;
        return;
    }
    producer_add(job->producer, record.headers, record.header_count, record.key, record.value);
    if (job->lines.parse_headers) arena_reset(&job->arena);
}

/* Whole lines of what has been read, as far as there is room. False when more must be read first.
 */
static bool take_lines(struct job *job)
{
    while (!job->has_failed && has_room(job)) {
        struct slice left = slice_of(job->in.ptr + job->in_at, job->in.len - job->in_at);
        const uint8_t *end = left.len == 0 ? NULL : memchr(left.ptr, '\n', left.len);
        if (end == NULL && !(job->is_at_end && left.len > 0)) return false;
        size_t len = end == NULL ? left.len : (size_t)(end - left.ptr);
        take_line(job, slice_of(left.ptr, len));
        job->in_at += end == NULL ? len : len + 1;
    }
    return true;
}

static void read_chunk(struct job *job)
{
    buf_drop_head(&job->in, job->in_at);
    job->in_at = 0;
    if (job->in.len > LINE_BYTES_MAX) {
        fprintf(stderr, "line %lld is longer than %u bytes\n", (long long)job->line_number + 1,
                LINE_BYTES_MAX);
        job->has_failed = job->is_at_end = true;
        return;
    }
    ssize_t n = read(STDIN_FILENO, buf_reserve(&job->in, CHUNK_BYTES), CHUNK_BYTES);
    if (n > 0) {
        job->in.len += (size_t)n;
    } else if (n == 0) {
        job->is_at_end = true;
    } else if (errno != EINTR && errno != EAGAIN) {
        fprintf(stderr, "standard input: %s\n", strerror(errno));
        job->has_failed = job->is_at_end = true;
    }
}

/* Goes on when there is input: at once for a file, else when the descriptor says so. */
static void want_input(struct job *job)
{
    struct shard *shard = cluster_shard(job->cluster);

    if (job->is_terminal) {
        fputs(">", stdout);
        fflush(stdout);
    }
    job->is_watched = !job->is_file && net_posix_watch(shard->net, &job->watch, STDIN_FILENO,
                                                       NET_READABLE) == ERR_OK;
    if (job->is_watched) return;
    job->is_file = true;
    read_chunk(job);
    shard_post(shard, &job->read);
}

static void input_ready(struct net_watch *watch, unsigned ready)
{
    struct job *job = (struct job *)(void *)((char *)watch - offsetof(struct job, watch));

    (void)ready;
    net_posix_unwatch(watch);
    job->is_watched = false;
    read_chunk(job);
    shard_post(cluster_shard(job->cluster), &job->read);
}

/* One step of reading; posted again by whatever makes another one possible. */
static void read_step(struct post *post)
{
    struct job *job = (struct job *)(void *)((char *)post - offsetof(struct job, read));
    bool has_more = take_lines(job);

    progress_show(&job->progress, env_wall_ms(cluster_shard(job->cluster)->env),
                  "%lld lines read, %lld delivered", (long long)job->line_number,
                  (long long)job->delivered);
    if (job->has_failed || (job->is_at_end && job->in_at == job->in.len)) {
        producer_flush(job->producer);
        return;
    }
    if (!has_more && !job->is_at_end && !job->is_watched) want_input(job);
}

static bool is_over(const struct job *job)
{
    bool is_read = job->has_failed || (job->is_at_end && job->in_at == job->in.len);

    return is_read && producer_pending(job->producer) == 0;
}

static enum err run(struct job *job)
{
    const char *servers =
        args_text(&job->args, "bootstrap-server", args_text(&job->args, "broker-list", ""));

    enum err err = cluster_open(&(struct cluster_options){.bootstrap = servers,
                                                          .client_id = job->client_id,
                                                          .timeout_ms = job->max_block_ms},
                                &job->cluster, &job->message);
    if (err != ERR_OK) return err;
    job->options.delivered = delivered;
    job->options.owner = job;
    err = producer_open(job->cluster, &job->options, job->max_block_ms, &job->producer,
                        &job->message);
    if (err != ERR_OK) return err;
    job->is_terminal = isatty(STDIN_FILENO) == 1;
    if (!job->is_terminal) progress_init(&job->progress);
    job->read.run = read_step;
    job->watch.ready = input_ready;
    shard_post(cluster_shard(job->cluster), &job->read);
    while (!is_over(job))
        cluster_turn(job->cluster);
    return ERR_OK;
}

int produce_main(int argc, char **argv)
{
    struct job job = {0};
    int status;

    conf_init(&job.settings);
    conf_init(&job.reader);
    arena_init(&job.arena, (size_t)1 << 40);
    if (usage_read(&produce_command, argc, argv, &job.args, &status)) {
        status = 1;
        if (read_options(&job) != ERR_OK)
            usage_wrong(&produce_command, &job.message);
        else if (run(&job) != ERR_OK)
            fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_slice(&job.message)));
        else
            status = job.has_failed || job.lost > 0;
    }
    progress_end(&job.progress);
    if (job.lost > 0) fprintf(stderr, "%lld records were lost\n", (long long)job.lost);
    net_posix_unwatch(&job.watch);
    if (job.cluster != NULL) shard_unpost(&job.read);
    producer_close(&job.producer);
    cluster_close(&job.cluster);
    args_fini(&job.args);
    conf_fini(&job.settings);
    conf_fini(&job.reader);
    arena_fini(&job.arena);
    buf_fini(&job.in);
    buf_fini(&job.message);
    return status;
}
