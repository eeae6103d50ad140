/* tests/bench/cleaner.c - keyed data are compacted while somebody produces elsewhere. */
#include "base/arena.h"
#include "base/ensure.h"
#include "tests/bench/storage.h"
#include "wire/batch.h"
#include "wire/codec.h"
#include "wire/compress.h"
#include "wire/gen/produce.h"
#include "wire/gen/protocol.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TOPIC           "keyed"
#define KEY_BYTES       16
#define PRODUCE_VERSION 7
#define WINDOW_SECONDS  2
#define CLEAN_SECONDS   900 /* at most */
#define AIM_MIB_S       200
#define AIM_RATIO       1.5

/* ---- keyed data ---- */

struct keyed {
    int fd;
    int in_flight;
    struct buf records, batch, frame, answer;
    size_t *key_at; /* in `records` */
    int count;      /* records of a batch */
    uint64_t seed;
};

/* The records of every batch: only the keys change. */
static void make_records(struct keyed *keyed, int record_bytes)
{
    keyed->key_at = ensure_malloc((size_t)keyed->count * sizeof(*keyed->key_at));
    for (int i = 0; i < keyed->count; i++)
        keyed->key_at[i] = load_add_record(&keyed->records, i, KEY_BYTES, record_bytes);
}

/* The same keys in every run. */
static uint64_t draw(struct keyed *keyed)
{
    keyed->seed ^= keyed->seed << 13;
    keyed->seed ^= keyed->seed >> 7;
    keyed->seed ^= keyed->seed << 17;
    return keyed->seed;
}

static void set_keys(struct keyed *keyed, int64_t keys)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < keyed->count; i++) {
        uint64_t key = draw(keyed) % (uint64_t)keys;
        uint8_t *at = keyed->records.ptr + keyed->key_at[i];
        for (int d = KEY_BYTES - 1; d >= 0; d--, key >>= 4)
            at[d] = (uint8_t)digits[key & 15];
    }
}

static void make_batch(struct keyed *keyed, int codec)
{
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    struct batch batch = {.attributes = (uint16_t)codec,
                          .last_offset_delta = keyed->count - 1,
                          .base_timestamp = ms,
                          .max_timestamp = ms,
                          .producer_id = -1,
                          .producer_epoch = -1,
                          .base_sequence = -1,
                          .record_count = keyed->count};

    buf_clear(&keyed->batch);
    (void)buf_extend(&keyed->batch, BATCH_HEADER_SIZE);
    if (codec == BATCH_CODEC_NONE)
        buf_add_slice(&keyed->batch, buf_slice(&keyed->records));
    else
        compress_write(codec, BATCH_MAGIC, COMPRESS_LEVEL_DEFAULT, buf_slice(&keyed->records),
                       &keyed->batch);
    batch_write_header(keyed->batch.ptr, keyed->batch.len, &batch);
}

static void take_answer(struct keyed *keyed)
{
    struct produce_response response;
    struct arena arena;

    load_receive(keyed->fd, &keyed->answer);
    arena_init(&arena, 1 << 20);
    if (wire_read(buf_slice(&keyed->answer), PRODUCE_VERSION, &produce_response_wire, &arena,
                  &response) != ERR_OK ||
        response.responses.count != 1 || response.responses.at[0].partition_responses.count != 1 ||
        response.responses.at[0].partition_responses.at[0].error_code != 0) {
        fprintf(stderr, "bench: keyed data were refused\n");
        exit(1);
    }
    arena_fini(&arena);
    keyed->in_flight--;
}

/* Gives the bytes of the batches. */
static uint64_t produce_keyed(struct storage *storage, uint64_t bytes)
{
    const struct storage_options *options = storage->options;
    struct keyed keyed = {.fd = load_connect(&storage->data), .seed = 88172645463325252};
    uint64_t done = 0;

    keyed.count = options->load.batch_bytes / (options->load.record_bytes + KEY_BYTES + 10);
    if (keyed.count < 1) keyed.count = 1;
    make_records(&keyed, options->load.record_bytes);
    while (done < bytes) {
        set_keys(&keyed, options->keys);
        make_batch(&keyed, options->codec);
        struct produce_request_topic_partition partition = {.records = buf_slice(&keyed.batch)};
        struct produce_request_topic topic = {.name = SLICE(TOPIC),
                                              .partition_data = {&partition, 1}};
        struct produce_request body = {.transactional_id = SLICE_NULL,
                                       .acks = 1,
                                       .timeout_ms = 30000,
                                       .topic_data = {&topic, 1}};
        buf_clear(&keyed.frame);
        load_add_request(&keyed.frame, API_PRODUCE, PRODUCE_VERSION, 1, &produce_request_wire,
                         &body);
        load_send_all(keyed.fd, buf_slice(&keyed.frame));
        done += keyed.batch.len;
        if (++keyed.in_flight >= options->load.pipeline) take_answer(&keyed);
    }
    while (keyed.in_flight > 0)
        take_answer(&keyed);
    close(keyed.fd);
    free(keyed.key_at);
    buf_fini(&keyed.records);
    buf_fini(&keyed.batch);
    buf_fini(&keyed.frame);
    buf_fini(&keyed.answer);
    return done;
}

/* ---- the run ---- */

static void set_policy(struct storage *storage, const char *policy)
{
    const char *binaries = storage->options->binaries;

    if (binaries == NULL) binaries = getenv("OTTLA_BUILD") != NULL ? getenv("OTTLA_BUILD") : ".";
    if (run_command(NULL, 0,
                    "%s/ottla configs --bootstrap-server %s --alter --entity-type topics "
                    "--entity-name " TOPIC " --add-config cleanup.policy=%s > /dev/null",
                    binaries, storage->cluster.bootstrap, policy) != 0) {
        fprintf(stderr, "bench: the topic's policy cannot be set\n");
        exit(1);
    }
}

struct cleaned {
    double bytes, to_bytes, seconds;
};

/* Of the first cleaning, as the broker's log tells it. */
static bool has_cleaned(const struct storage *storage, struct cleaned *out)
{
    char text[200];

    run_command(text, sizeof(text),
                "sed -n 's/.* compacted topic=" TOPIC " .* bytes=\\([0-9]*\\) "
                "to_bytes=\\([0-9]*\\) ms=\\([0-9]*\\).*/\\1 \\2 \\3/p' %s/log | head -n 1",
                storage->broker->folder);
    if (sscanf(text, "%lf %lf %lf", &out->bytes, &out->to_bytes, &out->seconds) != 3) return false;
    out->seconds /= 1000;
    return true;
}

static void probe_quiet(struct storage *storage, struct storage_latencies *to)
{
    for (double seconds = 0; seconds < storage->options->load.seconds; seconds += WINDOW_SECONDS)
        storage_probe(storage, WINDOW_SECONDS, to);
}

void storage_cleaner(const struct storage_options *options)
{
    struct storage_latencies warm = {0}, quiet = {0}, loaded = {0};
    struct storage_use before, use;
    struct cleaned cleaned = {0};
    struct storage storage;
    double gib = options->gib > 0 ? options->gib : 10;

    storage_start(&storage, options, "log.cleaner.threads=1\nlog.cleaner.backoff.ms=500");
    storage.data.topic = TOPIC;
    storage.data.partitions = 1;
    load_create_topic(&storage.data, TOPIC, 1, NULL);
    printf("cleaner: %.1f GiB of records of %d bytes with %lld keys, drawn at random; %s; one "
           "partition, one cleaner thread\n",
           gib, options->load.record_bytes, (long long)options->keys,
           options->codec == BATCH_CODEC_NONE ? "not compressed" : "compressed");
    double begin = seconds_now();
    uint64_t bytes = produce_keyed(&storage, (uint64_t)(gib * (1 << 30)));
    printf("produced in %.0f s; page cache dropped\n", seconds_now() - begin);
    storage_make_cold(&storage);

    storage_probe(&storage, WINDOW_SECONDS, &warm);
    probe_quiet(&storage, &quiet);
    storage_use(&storage, &before);
    set_policy(&storage, "compact");
    begin = seconds_now();
    /* A window that the cleaning does not fill says nothing. */
    for (bool is_over = false; !is_over && seconds_now() - begin < CLEAN_SECONDS;) {
        struct storage_latencies window = {0};
        use = storage_use_since(&storage, &before);
        bool was_cleaning = use.of[CREW_CLEANER].asked_bytes > 0;
        storage_probe(&storage, WINDOW_SECONDS, &window);
        is_over = has_cleaned(&storage, &cleaned);
        if (was_cleaning && !is_over) {
            loaded.at =
                ensure_realloc(loaded.at, (loaded.count + window.count) * sizeof(*loaded.at));
            memcpy(loaded.at + loaded.count, window.at, window.count * sizeof(*window.at));
            loaded.count += window.count;
        }
        storage_latencies_fini(&window);
    }
    use = storage_use_since(&storage, &before);
    probe_quiet(&storage, &quiet);
    if (cleaned.seconds <= 0) {
        fprintf(stderr, "bench: nothing was compacted in %d s\n", CLEAN_SECONDS);
        exit(1);
    }

    double mib_s = cleaned.bytes / (1 << 20) / cleaned.seconds;
    double cleaned_gib = cleaned.bytes / (1 << 30);
    printf("compacted %.2f GiB (of %.2f; the active segment stays) to %.2f GiB in %.1f s\n",
           cleaned_gib, (double)bytes / (1 << 30), cleaned.to_bytes / (1 << 30), cleaned.seconds);
    printf("cleaner thread: %.2f CPU s/GiB, read %.2f GiB, of which %.2f from the device\n",
           use.of[CREW_CLEANER].cpu_seconds / cleaned_gib,
           (double)use.of[CREW_CLEANER].asked_bytes / (1 << 30),
           (double)use.of[CREW_CLEANER].device_bytes / (1 << 30));
    printf("compaction                               %.0f MiB/s per cleaner thread (aim: at least "
           "%d) %s\n",
           mib_s, AIM_MIB_S, storage_verdict(mib_s >= AIM_MIB_S));
    storage_print_latencies("quiet, before and after:", &quiet);
    storage_print_latencies("while the cleaner runs:", &loaded);
    if (loaded.count == 0)
        printf("the cleaning was too short to measure latency beside it\n");
    else
        storage_print_ratio("p99 of one-record produce elsewhere",
                            storage_percentile(&loaded, 0.99), storage_percentile(&quiet, 0.99),
                            AIM_RATIO);
    storage_latencies_fini(&warm);
    storage_latencies_fini(&quiet);
    storage_latencies_fini(&loaded);
    storage_stop(&storage);
}
