/* kcat, an unmodified librdkafka client, writes to a topic of six partitions with three replicas,
 * acks=all, and reads it back: every record once, byte for byte, at dense offsets and in the order
 * of each partition.
 *
 * Sizes: OTTLA_KCAT_LINES (lines of real text) and OTTLA_KCAT_MIB (of records of 1 KiB). The small
 * ones are for every run; the whole claim is
 *
 *     OTTLA_KCAT_LINES=1000000 OTTLA_KCAT_MIB=1024 tests/run test_kcat */
#include "base/crc32c.h"
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTITIONS   6
#define RECORD_BYTES 1024
#define NUMBER_BYTES 9 /* "00000042 ", then the text */

static struct cluster cluster;

struct text {
    char *at;
    size_t len;
};

/* Maps a file; the test ends if it cannot be. */
static struct text map_file(const char *name)
{
    char path[256];
    struct stat stat;

    snprintf(path, sizeof(path), "%s/%s", cluster.folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0 && fstat(fd, &stat) == 0 && stat.st_size > 0, "%s", path);
    struct text text = {.len = (size_t)stat.st_size};
    text.at = mmap(NULL, text.len, PROT_READ, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(text.at, MAP_FAILED);
    close(fd);
    return text;
}

static long wanted(const char *variable, long otherwise)
{
    const char *value = getenv(variable);

    return value == NULL ? otherwise : atol(value);
}

/* Numbered lines of this system's own text, over and over; `width` cuts and fills each, 0 leaves
 * them as they are. */
static void write_lines(const char *name, long count, size_t width)
{
    char path[256], *record = malloc(RECORD_BYTES + 1);

    ck_assert_int_eq(run_command(NULL, 0,
                                 "cat /var/lib/dpkg/status /usr/share/common-licenses/* | grep . | "
                                 "cut -c 1-1000 > %s/text",
                                 cluster.folder),
                     0);
    struct text text = map_file("text");
    snprintf(path, sizeof(path), "%s/%s", cluster.folder, name);
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    const char *line = text.at, *text_end = text.at + text.len;
    for (long number = 0; number < count; number++) {
        if (line >= text_end) line = text.at;
        const char *end = memchr(line, '\n', (size_t)(text_end - line));
        size_t len = (size_t)(end - line), used = NUMBER_BYTES;

        fprintf(out, "%08ld ", number);
        while (width > 0 && used + len < width) { /* a record of several lines' text */
            memcpy(record + used, line, len);
            used += len;
            line = end + 1 < text_end ? end + 1 : text.at;
            end = memchr(line, '\n', (size_t)(text_end - line));
            len = (size_t)(end - line);
        }
        if (width > 0) {
            memcpy(record + used, line, width - used);
            for (size_t i = used; i < width; i++)
                if (record[i] == '\n') record[i] = ' ';
            fwrite(record + NUMBER_BYTES, 1, width - NUMBER_BYTES, out);
        } else {
            fwrite(line, 1, len, out);
        }
        fputc('\n', out);
        line = end + 1;
    }
    ck_assert_int_eq(fclose(out), 0);
    munmap(text.at, text.len);
    free(record);
}

struct check {
    struct text sent, back; /* `back` is put together from what was received, by its numbers */
    size_t *starts;         /* of each number's line in `sent`, and the end */
    bool *has_come;
    long count, came;
    long last[PARTITIONS], next_offset[PARTITIONS];
};

static void check_open(struct check *check, long count)
{
    *check = (struct check){.count = count, .sent = map_file("sent")};
    check->starts = malloc(sizeof(*check->starts) * (size_t)(count + 1));
    check->has_come = calloc((size_t)count, sizeof(*check->has_come));
    check->back = (struct text){calloc(1, check->sent.len), check->sent.len};
    size_t at = 0;
    for (long i = 0; i < count; i++) {
        check->starts[i] = at;
        const char *end = memchr(check->sent.at + at, '\n', check->sent.len - at);
        if (end == NULL) break;
        at = (size_t)(end - check->sent.at) + 1;
    }
    ck_assert_uint_eq(at, check->sent.len);
    check->starts[count] = at;
    for (int i = 0; i < PARTITIONS; i++)
        check->last[i] = -1;
}

/* What is wrong with a line of `received` (partition, offset, value), or NULL. No ck_assert: each
 * of those costs more than all of this. */
static const char *check_record(struct check *check, const char *line, const char *end)
{
    char *at;
    long partition = strtol(line, &at, 10), offset = strtol(at, &at, 10);

    if (*at != ' ' || partition < 0 || partition >= PARTITIONS) return "no partition and offset";
    const char *value = at + 1;
    long number = strtol(value, NULL, 10);
    if (number < 0 || number >= check->count) return "never sent";
    if (check->has_come[number]) return "twice";
    size_t len = (size_t)(end - value), start = check->starts[number];
    if (len + 1 != check->starts[number + 1] - start) return "another length";
    if (offset != check->next_offset[partition]) return "not the next offset";
    if (number <= check->last[partition]) return "out of order";
    memcpy(check->back.at + start, value, len);
    check->back.at[start + len] = '\n';
    check->next_offset[partition]++;
    check->last[partition] = number;
    check->has_come[number] = true;
    check->came++;
    return NULL;
}

static void check_received(long count)
{
    struct check check;
    struct text received = map_file("received");

    check_open(&check, count);
    for (const char *line = received.at, *end; line < received.at + received.len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(received.at + received.len - line));
        const char *wrong = end == NULL ? "cut off" : check_record(&check, line, end);
        if (wrong != NULL) ck_abort_msg("%s: %.60s", wrong, line);
    }
    ck_assert_int_eq(check.came, count);
    for (int i = 0; i < PARTITIONS; i++)
        ck_assert_int_gt(check.next_offset[i], 0); /* all of them had some */
    uint32_t sent = crc32c(slice_of(check.sent.at, check.sent.len));
    uint32_t back = crc32c(slice_of(check.back.at, check.back.len));
    printf("%ld records, %zu bytes: CRC-32C sent %08x, received %08x\n", count, check.sent.len,
           sent, back);
    ck_assert_uint_eq(sent, back);
    munmap(check.sent.at, check.sent.len);
    munmap(received.at, received.len);
    free(check.back.at);
    free(check.starts);
    free(check.has_come);
}

static void there_and_back(const char *topic, long count)
{
    char out[512];

    ck_assert(client_create_topic(cluster.bootstrap, topic, PARTITIONS, 3, 60));
    double began = seconds_now();
    int code = run_command(out, sizeof(out), "kcat -b %s -P -t %s -l -X acks=all %s/sent 2>&1",
                           cluster.bootstrap, topic, cluster.folder);
    ck_assert_msg(code == 0, "%s", out);
    double sent = seconds_now();
    code =
        run_command(out, sizeof(out),
                    "kcat -b %s -C -t %s -o beginning -e -q -X check.crcs=true -f '%%p %%o %%s\\n' "
                    "2>&1 > %s/received",
                    cluster.bootstrap, topic, cluster.folder);
    ck_assert_msg(code == 0, "%s", out);
    printf("%s: sent in %.1f s, received in %.1f s\n", topic, sent - began, seconds_now() - sent);
    check_received(count);
    ck_assert(client_delete_topic(cluster.bootstrap, topic, 60));
}

START_TEST(lines_of_real_text_come_back)
{
    long count = wanted("OTTLA_KCAT_LINES", 200000);

    write_lines("sent", count, 0);
    there_and_back("lines", count);
}
END_TEST

START_TEST(records_of_a_kibibyte_come_back)
{
    long count = wanted("OTTLA_KCAT_MIB", 128) * 1024;

    write_lines("sent", count, RECORD_BYTES);
    there_and_back("kibibytes", count);
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1, .controllers = 2, .brokers = 3};

    return CLUSTER_SUITE(&cluster, &options, 600, lines_of_real_text_come_back,
                         records_of_a_kibibyte_come_back);
}
