#include "tools/dump.h"
#include "tools/dump_text.h"
#include "tools/usage.h"
#include "base/ensure.h"
#include "base/text.h"
#include "runtime/env_posix.h"
#include "runtime/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OUT_BYTES       65536
#define SMALL_BYTES_MAX (64u << 20)

static const struct args_option options[] = {
    {"files", "FILE,...", ARGS_REQUIRED,
     "segments (.log), indexes (.index, .timeindex, .txnindex), producer snapshots (.snapshot) and "
     "checkpoints"},
    {"print-data-log", NULL, 0, "print keys and values of records"},
    {"deep-iteration", NULL, 0, "print a line for each record"},
    {"skip-record-metadata", NULL, 0, "of records print only keys and values"},
    {"offsets-decoder", NULL, 0, "print records of __consumer_offsets as what they mean"},
    {"transaction-log-decoder", NULL, 0, "print records of __transaction_state as what they mean"},
    {"verify-index-only", NULL, 0, "compare indexes with the segment, do not print them"},
    {"index-sanity-check", NULL, 0, "check that indexes are of the right form, nothing more"},
    {"max-message-size", "BYTES", 0, "a larger batch is an error (5242880)"},
    {"max-bytes", "BYTES", 0, "stop after so many bytes of a segment (2147483647)"},
    {"key-decoder-class", "CLASS", 0, "for old scripts: keys are printed as they are"},
    {"value-decoder-class", "CLASS", 0, "for old scripts: values are printed as they are"},
};

const struct args_command dump_command = {
    .name = "ottla dump-log",
    .summary = "print segments, indexes and checkpoints",
    .more = "Exits with 1 when a file cannot be read or is not right.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct dump {
    struct env *env;
    struct dump_options text;
    bool verify_only, sanity_only;
    int64_t message_max, bytes_max;
    bool has_failed;
    struct progress progress;
    struct buf out;
};

static void flush(struct dump *dump)
{
    fwrite(buf_slice(&dump->out).ptr, 1, dump->out.len, stdout);
    buf_clear(&dump->out);
}

static void complain(struct dump *dump, const char *path, const char *what)
{
    flush(dump);
    fflush(stdout);
    progress_end(&dump->progress);
    fprintf(stderr, "%s: %s\n", path, what);
    dump->has_failed = true;
}

/* The file system's calls want absolute paths. */
static bool absolute(const char *path, char out[FILES_PATH_MAX])
{
    char here[FILES_PATH_MAX];
    int n;

    if (path[0] == '/')
        n = snprintf(out, FILES_PATH_MAX, "%s", path);
    else if (getcwd(here, sizeof(here)) != NULL)
        n = snprintf(out, FILES_PATH_MAX, "%s/%s", here, path);
    else
        return false;
    return n > 0 && n < FILES_PATH_MAX;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);

    return len >= n && strcmp(text + len - n, end) == 0;
}

/* The offset in a file's name, or −1. */
static int64_t base_offset(const char *path)
{
    const char *name = file_name(path);
    int64_t offset;
    size_t digits = strspn(name, "0123456789");

    return text_int(slice_of(name, digits), 0, INT64_MAX, &offset) == ERR_OK ? offset : -1;
}

/* ---- segments ---- */

struct segment {
    struct file *file;
    uint64_t size, at; /* `at`: where the next entry begins */
    struct buf bytes;  /* the entry */
};

/* The entry at `segment->at`. ERR_TRUNCATED at the end, and when the rest is no entry. */
static enum err next_entry(struct dump *dump, struct segment *segment, struct batch_entry *out)
{
    uint8_t head[BATCH_PEEK_SIZE];
    size_t n, size;
    int8_t magic;

    enum err err = file_read_at(dump->env, segment->file, segment->at, head, sizeof(head), &n);
    if (err == ERR_OK) err = batch_entry_size(slice_of(head, n), &size, &magic);
    if (err != ERR_OK) return err;
    if (segment->at + size > segment->size) return ERR_TRUNCATED;
    if ((int64_t)size > dump->message_max) return ERR_TOO_LARGE;
    buf_clear(&segment->bytes);
    uint8_t *to = buf_extend(&segment->bytes, size);
    err = file_read_at(dump->env, segment->file, segment->at, to, size, &n);
    if (err == ERR_OK && n < size) err = ERR_TRUNCATED;
    if (err != ERR_OK) return err;
    struct slice left = buf_slice(&segment->bytes);
    err = batch_entry_take(&left, out);
    if (err == ERR_OK) segment->at += size;
    return err;
}

static enum err segment_open(struct dump *dump, const char *path, struct segment *out)
{
    char full[FILES_PATH_MAX];

    *out = (struct segment){0};
    if (!absolute(path, full)) return ERR_INVALID;
    enum err err = files_open(dump->env, full, FILE_READ, &out->file);
    if (err == ERR_OK) err = file_size(dump->env, out->file, &out->size);
    return err;
}

static void segment_close(struct dump *dump, struct segment *segment)
{
    file_close(dump->env, &segment->file);
    buf_fini(&segment->bytes);
}

static void dump_segment(struct dump *dump, const char *path)
{
    struct segment segment;
    struct batch_entry entry;
    struct dump_log log = {.last_offset = -1};

    buf_printf(&dump->out, "Log starting offset: %lld\n", (long long)base_offset(path));
    enum err err = segment_open(dump, path, &segment);
    while (err == ERR_OK && (int64_t)segment.at < dump->bytes_max) {
        err = next_entry(dump, &segment, &entry);
        if (err != ERR_OK) break;
        dump_batch(&dump->text, &entry, &log, &dump->out);
        if (dump->out.len >= OUT_BYTES) flush(dump);
        progress_show(&dump->progress, env_wall_ms(dump->env), "%s: %llu of %llu MiB", path,
                      (unsigned long long)(segment.at >> 20),
                      (unsigned long long)(segment.size >> 20));
    }
    if (err == ERR_TRUNCATED && segment.at == segment.size) err = ERR_OK;
    if (err == ERR_TRUNCATED || err == ERR_CORRUPT) {
        flush(dump);
        printf("Found %llu invalid bytes at the end of %s\n",
               (unsigned long long)(segment.size - segment.at), file_name(path));
        dump->has_failed = true;
    } else if (err != ERR_OK) {
        complain(dump, path, err_text(err));
    }
    if (log.gaps.len > 0) {
        flush(dump);
        fflush(stdout);
        fprintf(stderr, "Non-consecutive offsets in %s\n%.*s", path,
                SLICE_ARGS(buf_slice(&log.gaps)));
    }
    dump->has_failed = dump->has_failed || log.has_invalid;
    buf_fini(&log.gaps);
    segment_close(dump, &segment);
}

/* ---- indexes ---- */

/* The segment beside an index. */
static enum err segment_beside(struct dump *dump, const char *path, struct segment *out)
{
    char log[FILES_PATH_MAX];
    const char *dot = strrchr(path, '.');

    int n = snprintf(log, sizeof(log), "%.*s.log", (int)(dot - path), path);
    if (n < 0 || (size_t)n >= sizeof(log)) {
        *out = (struct segment){0};
        return ERR_INVALID;
    }
    return segment_open(dump, log, out);
}

static void end_index(struct dump *dump, const char *path, const char *heading,
                      const struct buf *mismatches)
{
    if (mismatches->len == 0) return;
    flush(dump);
    fflush(stdout);
    fprintf(stderr, "%s :%s\n%.*s", heading, path, SLICE_ARGS(buf_slice(mismatches)));
    dump->has_failed = true;
}

/* Goes on in the segment until the batch that ends at `offset` or behind it, and stays there: an
 * append of several batches has one index entry, with the offset of the last and the place of the
 * first. */
static bool find_offset(struct dump *dump, struct segment *segment, int64_t offset, int64_t *last,
                        int64_t *timestamp)
{
    struct batch_entry entry;

    *last = *timestamp = -1;
    do {
        if (next_entry(dump, segment, &entry) != ERR_OK ||
            dump_entry_ends(&entry, last, timestamp) != ERR_OK)
            return false;
    } while (*last < offset);
    segment->at -= entry.bytes.len;
    return true;
}

static void dump_offset_index(struct dump *dump, const char *path, struct slice content)
{
    struct segment segment;
    struct buf mismatches = {0};
    int64_t base = base_offset(path), offset, last, timestamp;
    int32_t position;

    enum err opened = segment_beside(dump, path, &segment);
    if (opened != ERR_OK) complain(dump, path, "its segment cannot be opened");
    for (size_t i = 0; dump_offset_entry(content, base, i, &offset, &position); i++) {
        segment.at = (uint64_t)position;
        bool is_found = opened == ERR_OK && position >= 0 &&
                        find_offset(dump, &segment, offset, &last, &timestamp);
        if (opened == ERR_OK && (!is_found || last != offset))
            buf_printf(&mismatches, "  Index offset: %lld, log offset: %lld\n", (long long)offset,
                       is_found ? (long long)last : -1LL);
        if (!dump->verify_only)
            buf_printf(&dump->out, "offset: %lld position: %d\n", (long long)offset, position);
        if (dump->out.len >= OUT_BYTES) flush(dump);
    }
    end_index(dump, path, "Mismatches in", &mismatches);
    buf_fini(&mismatches);
    segment_close(dump, &segment);
}

static void dump_time_index(struct dump *dump, const char *path, struct slice content)
{
    struct segment segment;
    struct buf mismatches = {0};
    int64_t base = base_offset(path), timestamp, offset, previous = INT64_MIN, last, in_log;

    enum err opened = segment_beside(dump, path, &segment);
    if (opened != ERR_OK) complain(dump, path, "its segment cannot be opened");
    for (size_t i = 0; dump_time_entry(content, base, i, &timestamp, &offset); i++) {
        if (timestamp < previous)
            buf_printf(&mismatches, "  Index timestamp: %lld is before %lld\n",
                       (long long)timestamp, (long long)previous);
        else if (opened == ERR_OK && timestamp >= 0 &&
                 (!find_offset(dump, &segment, offset, &last, &in_log) || in_log != timestamp))
            buf_printf(&mismatches, "  Index timestamp: %lld, log timestamp: %lld\n",
                       (long long)timestamp, (long long)in_log);
        previous = timestamp;
        if (!dump->verify_only)
            buf_printf(&dump->out, "timestamp: %lld offset: %lld\n", (long long)timestamp,
                       (long long)offset);
        if (dump->out.len >= OUT_BYTES) flush(dump);
    }
    end_index(dump, path, "Found timestamp mismatch in", &mismatches);
    buf_fini(&mismatches);
    segment_close(dump, &segment);
}

static void check_form(struct dump *dump, const char *path, struct slice content, size_t entry_size)
{
    if (content.len % entry_size == 0)
        buf_printf(&dump->out, "%s passed sanity check.\n", path);
    else
        complain(dump, path, "its size is no multiple of that of an entry");
}

/* ---- files ---- */

static void dump_index(struct dump *dump, const char *path, struct slice content)
{
    bool is_time = ends_with(path, ".timeindex");

    if (content.len == 0 && !is_time) /* of a time index Kafka's tool says nothing */
        buf_printf(&dump->out, "%s is empty.\n", path);
    else if (dump->sanity_only)
        check_form(dump, path, content, is_time ? 12 : 8);
    else if (is_time)
        dump_time_index(dump, path, content);
    else
        dump_offset_index(dump, path, content);
}

static bool is_checkpoint(const char *name)
{
    return ends_with(name, "-offset-checkpoint") || strcmp(name, "leader-epoch-checkpoint") == 0;
}

/* Everything but segments is read whole. */
static void dump_small(struct dump *dump, const char *path)
{
    const char *name = file_name(path);
    char full[FILES_PATH_MAX];
    struct buf content = {0}, message = {0};
    enum err err = absolute(path, full) ? files_read_all(dump->env, full, SMALL_BYTES_MAX, &content)
                                        : ERR_INVALID;
    struct slice bytes = buf_slice(&content);

    if (err != ERR_OK)
        buf_add_text(&message, err_text(err));
    else if (ends_with(name, ".index") || ends_with(name, ".timeindex"))
        dump_index(dump, path, bytes);
    else if (ends_with(name, ".txnindex"))
        err = dump_transactions(bytes, &dump->out, &message);
    else if (ends_with(name, ".snapshot"))
        err = dump_snapshot(bytes, &dump->out, &message);
    else
        err = dump_checkpoint(bytes, strcmp(name, "leader-epoch-checkpoint") == 0, &dump->out,
                              &message);
    buf_add(&message, "", 1);
    if (err != ERR_OK) complain(dump, path, (const char *)message.ptr);
    buf_fini(&content);
    buf_fini(&message);
}

static void dump_file(struct dump *dump, const char *path)
{
    const char *name = file_name(path);
    bool has_base =
        ends_with(name, ".log") || ends_with(name, ".index") || ends_with(name, ".timeindex");

    buf_printf(&dump->out, "Dumping %s\n", path);
    if (has_base && base_offset(path) < 0)
        complain(dump, path, "its name does not begin with an offset");
    else if (ends_with(name, ".log"))
        dump_segment(dump, path);
    else if (has_base || ends_with(name, ".txnindex") || ends_with(name, ".snapshot") ||
             is_checkpoint(name))
        dump_small(dump, path);
    else
        complain(dump, path, "is no file of a log, ignored");
    flush(dump);
}

static enum err read_options(struct dump *dump, const struct args *args, struct buf *message)
{
    dump->message_max = 5242880;
    dump->bytes_max = INT32_MAX;
    bool has_offsets = args_has(args, "offsets-decoder");
    bool has_transactions = args_has(args, "transaction-log-decoder");
    dump->text.decoder = has_offsets        ? DUMP_OFFSETS
                         : has_transactions ? DUMP_TRANSACTIONS
                                            : DUMP_PLAIN;
    dump->text.print_data = args_has(args, "print-data-log") || has_offsets || has_transactions;
    dump->text.deep = args_has(args, "deep-iteration");
    dump->text.skip_metadata = args_has(args, "skip-record-metadata");
    dump->verify_only = args_has(args, "verify-index-only");
    dump->sanity_only = args_has(args, "index-sanity-check");
    enum err err = args_number(args, "max-message-size", 1, INT32_MAX, &dump->message_max, message);
    if (err == ERR_OK)
        err = args_number(args, "max-bytes", 1, INT32_MAX, &dump->bytes_max, message);
    return err;
}

int dump_main(int argc, char **argv)
{
    struct dump dump = {0};
    struct buf message = {0};
    struct args args;
    int status;

    if (usage_read(&dump_command, argc, argv, &args, &status)) {
        status = 1;
        if (read_options(&dump, &args, &message) != ERR_OK) {
            usage_wrong(&dump_command, &message);
        } else {
            dump.env = env_posix_create(NULL);
            if (isatty(STDOUT_FILENO) != 1) progress_init(&dump.progress);
            struct slice left = slice_text(args_text(&args, "files", "")), item;
            for (bool more = true; more;) {
                more = slice_cut(&left, ',', &item);
                if (!more) item = left;
                char *path = ensure_strndup(item.ptr, item.len);
                dump_file(&dump, path);
                free(path);
            }
            progress_end(&dump.progress);
            env_posix_destroy(&dump.env);
            status = dump.has_failed;
        }
    }
    args_fini(&args);
    buf_fini(&dump.out);
    buf_fini(&message);
    return status;
}
