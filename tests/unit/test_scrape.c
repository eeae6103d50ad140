/* A page of very many lines is made as it is sent, and no further. */
#include "runtime/scrape.h"
#include "tests/unit/unit.h"
#include <string.h>

static struct metrics *metrics;
static struct counter traffic, other;

/* Lines of a process that has `wanted` topics and as many partitions. */
static struct lines {
    int wanted, topics, partitions; /* told so far */
    int pieces, begun, ended;
} lines;

static void *begin_lines(void *of)
{
    ((struct lines *)of)->begun++;
    return of;
}

static void end_lines(void *of, void *taken)
{
    ck_assert_ptr_eq(of, taken);
    ((struct lines *)of)->ended++;
}

static bool more(void *taken, const char *name, struct buf *out)
{
    struct lines *it = taken;

    if (strcmp(name, "traffic_total") != 0) return false;
    it->pieces++;
    if (it->topics < it->wanted)
        buf_printf(out, "traffic_total{topic=\"t%d\"} %d\n", it->topics++, it->pieces);
    return it->topics < it->wanted;
}

static bool rest(void *taken, struct buf *out)
{
    struct lines *it = taken;

    it->pieces++;
    if (it->partitions < it->wanted) buf_printf(out, "partition{p=\"%d\"} 1\n", it->partitions++);
    return it->partitions < it->wanted;
}

static void print(struct buf *out)
{
    buf_add_text(out, "process 1\n");
}

static const struct scrape_lines all = {begin_lines, end_lines, more, rest, &lines};

static struct scrape *begin(const struct scrape_lines *of, int wanted)
{
    lines = (struct lines){.wanted = wanted};
    traffic = other = (struct counter){0};
    metrics = metrics_create();
    metrics_add_counter(metrics, &other, "a_total", NULL, "A.");
    metrics_add_counter(metrics, &traffic, "traffic_total", NULL, "Traffic.");
    metrics_add_counter(metrics, &other, "z_total", NULL, "Z.");
    return scrape_begin(metrics, of, print);
}

static void end(struct scrape **scrape)
{
    scrape_end(scrape);
    ck_assert_ptr_null(*scrape);
    metrics_destroy(&metrics);
}

/* All of it, at most `max` bytes at a time. */
static const char *read_all(struct scrape *scrape, size_t max)
{
    static char text[65536];
    size_t len = 0, n;

    while ((n = scrape_read(scrape, text + len, max)) > 0) {
        ck_assert_uint_le(n, max);
        len += n;
        ck_assert_uint_lt(len + max, sizeof(text));
    }
    text[len] = '\0';
    ck_assert_uint_eq(scrape_read(scrape, text + len, max), 0); /* and stays at its end */
    return text;
}

static const char expected[] = "# HELP a_total A.\n# TYPE a_total counter\na_total 0\n"
                               "# HELP traffic_total Traffic.\n# TYPE traffic_total counter\n"
                               "traffic_total 0\n"
                               "traffic_total{topic=\"t0\"} 1\ntraffic_total{topic=\"t1\"} 2\n"
                               "# HELP z_total Z.\n# TYPE z_total counter\nz_total 0\n"
                               "process 1\npartition{p=\"0\"} 1\npartition{p=\"1\"} 1\n";

START_TEST(lines_stand_behind_those_of_their_name_however_they_are_read)
{
    for (size_t max = 1; max < 400; max++) {
        struct scrape *scrape = begin(&all, 2);
        ck_assert_str_eq(read_all(scrape, max), expected);
        end(&scrape);
        ck_assert_int_eq(lines.begun, 1);
        ck_assert_int_eq(lines.ended, 1);
    }
}
END_TEST

START_TEST(pieces_are_made_when_there_is_room_for_them)
{
    char some[100];
    struct scrape *scrape = begin(&all, 1000000);

    ck_assert_int_eq(lines.pieces, 0); /* nobody has read */
    size_t total = 0;
    for (int i = 0; i < 1000; i++) {
        size_t n = scrape_read(scrape, some, sizeof(some));
        ck_assert_uint_gt(n, 0);
        total += n;
        /* A piece is a line of at least 20 bytes: no more were made than what was read, and one. */
        ck_assert_uint_le((size_t)lines.pieces, total / 20 + 1);
    }
    ck_assert_int_gt(lines.pieces, 500);
    end(&scrape); /* given up: nothing more is made */
    ck_assert_int_lt(lines.pieces, 10000);
    ck_assert_int_eq(lines.ended, 1);
}
END_TEST

/* What is registered is of one moment, however slowly it is read. */
START_TEST(what_is_registered_is_read_at_the_beginning)
{
    struct scrape *scrape = begin(&all, 1);

    counter_add(&other, 5);
    ck_assert_ptr_nonnull(strstr(read_all(scrape, 7), "\nz_total 0\n"));
    end(&scrape);
}
END_TEST

START_TEST(a_process_may_add_nothing)
{
    static const struct scrape_lines none = {0};
    struct scrape *scrape = begin(&none, 3);

    const char *text = read_all(scrape, 1000);
    ck_assert_ptr_nonnull(strstr(text, "\nz_total 0\nprocess 1\n"));
    ck_assert_ptr_null(strstr(text, "topic"));
    end(&scrape);
    ck_assert_int_eq(lines.begun, 0);
}
END_TEST

UNIT(lines_stand_behind_those_of_their_name_however_they_are_read,
     pieces_are_made_when_there_is_room_for_them, what_is_registered_is_read_at_the_beginning,
     a_process_may_add_nothing)
