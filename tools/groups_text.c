#include "tools/groups.h"
#include "base/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- tables ---- */

static void cell(struct buf *out, struct slice text, int width)
{
    buf_printf(out, "%-*.*s ", width, SLICE_ARGS(text));
}

static void number(struct buf *out, int64_t value, int width)
{
    char text[32] = "-";

    if (value != GROUPS_NO_OFFSET) snprintf(text, sizeof(text), "%" PRId64, value);
    buf_printf(out, "%-*s ", width, text);
}

static int widest(int width, struct slice text)
{
    return (int)text.len > width ? (int)text.len : width;
}

static int by_place(const void *a, const void *b)
{
    const struct group_part *left = a, *right = b;
    int order = slice_compare(left->topic, right->topic);

    return order != 0 ? order
                      : (left->partition > right->partition) - (left->partition < right->partition);
}

void groups_sort(struct group_part *parts, int count)
{
    if (count > 0) qsort(parts, (size_t)count, sizeof(*parts), by_place);
}

struct offset_widths {
    int group, topic, member, host;
};

static void print_part(const struct group_report *report, const struct group_part *part,
                       const struct offset_widths *widths, struct buf *out)
{
    static const struct group_reader nobody = {
        .id = SLICE("-"), .client_id = SLICE("-"), .host = SLICE("-")};
    const struct group_reader *reader = part->member < 0 ? &nobody : &report->readers[part->member];
    bool is_known = part->committed != GROUPS_NO_OFFSET && part->end != GROUPS_NO_OFFSET;

    buf_add_text(out, "\n");
    cell(out, report->id, widths->group);
    cell(out, part->topic, widths->topic);
    number(out, part->partition, 10);
    number(out, part->committed, 15);
    number(out, part->end, 15);
    number(out, is_known ? part->end - part->committed : GROUPS_NO_OFFSET, 15);
    cell(out, reader->id, widths->member);
    cell(out, reader->host, widths->host);
    buf_add_slice(out, reader->client_id);
}

void groups_print_offsets(const struct group_report *report, struct buf *out)
{
    struct offset_widths widths = {widest(15, report->id), 15, 15, 15};

    for (int i = 0; i < report->part_count; i++)
        widths.topic = widest(widths.topic, report->parts[i].topic);
    for (int i = 0; i < report->reader_count; i++) {
        widths.member = widest(widths.member, report->readers[i].id);
        widths.host = widest(widths.host, report->readers[i].host);
    }
    buf_add_text(out, "\n");
    buf_printf(out, "%-*s %-*s %-10s %-15s %-15s %-15s %-*s %-*s %s", widths.group, "GROUP",
               widths.topic, "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG",
               widths.member, "CONSUMER-ID", widths.host, "HOST", "CLIENT-ID");
    /* What is read first, then what nobody reads. */
    for (int read = 1; read >= 0; read--)
        for (int i = 0; i < report->part_count; i++)
            if ((report->parts[i].member >= 0) == (read == 1))
                print_part(report, &report->parts[i], &widths, out);
    buf_add_text(out, "\n");
}

static void print_assignment(const struct group_reader *reader, struct buf *out)
{
    if (reader->count == 0) buf_add_text(out, "-");
    for (int i = 0; i < reader->count; i++) {
        bool is_first = i == 0 || !slice_equal(reader->parts[i].topic, reader->parts[i - 1].topic);
        bool is_last = i + 1 == reader->count ||
                       !slice_equal(reader->parts[i].topic, reader->parts[i + 1].topic);
        buf_printf(out, "%s%d%s", is_first ? (i == 0 ? "(" : ", (") : ",",
                   reader->parts[i].partition, is_last ? ")" : "");
    }
}

void groups_print_members(const struct group_report *report, bool verbose, struct buf *out)
{
    int group = widest(15, report->id), id = 15, instance = 17, host = 15, client = 15;
    bool has_static = false;

    for (int i = 0; i < report->reader_count; i++) {
        const struct group_reader *reader = &report->readers[i];
        id = widest(id, reader->id);
        instance = widest(instance, reader->instance_id);
        host = widest(host, reader->host);
        client = widest(client, reader->client_id);
        has_static = has_static || !slice_is_null(reader->instance_id);
    }
    buf_printf(out, "\n%-*s %-*s ", group, "GROUP", id, "CONSUMER-ID");
    if (has_static) buf_printf(out, "%-*s ", instance, "GROUP-INSTANCE-ID");
    buf_printf(out, "%-*s %-*s %-15s %s", host, "HOST", client, "CLIENT-ID", "#PARTITIONS",
               verbose ? "ASSIGNMENT" : "");
    for (int i = 0; i < report->reader_count; i++) {
        const struct group_reader *reader = &report->readers[i];
        buf_add_text(out, "\n");
        cell(out, report->id, group);
        cell(out, reader->id, id);
        if (has_static)
            cell(out, slice_is_null(reader->instance_id) ? SLICE("-") : reader->instance_id,
                 instance);
        cell(out, reader->host, host);
        cell(out, reader->client_id, client);
        buf_printf(out, "%-15d ", reader->count);
        if (verbose) print_assignment(reader, out);
    }
    buf_add_text(out, "\n");
}

void groups_print_state(const struct group_report *report, struct buf *out)
{
    char coordinator[320];
    int width = 25;

    snprintf(coordinator, sizeof(coordinator), "%.*s:%d  (%d)",
             SLICE_ARGS(report->coordinator_host), report->coordinator_port, report->coordinator);
    width = widest(width, slice_text(coordinator));
    buf_printf(out, "\n%-*s %-*s %-20s %-15s %s", width, "GROUP", width, "COORDINATOR (ID)",
               "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS");
    buf_printf(out, "\n%-*.*s %-*s %-20.*s %-15.*s %d\n", width, SLICE_ARGS(report->id), width,
               coordinator, SLICE_ARGS(report->protocol), SLICE_ARGS(report->state),
               report->reader_count);
}

void groups_print_reset(const struct group_report *report, bool with_header, struct buf *out)
{
    if (with_header)
        buf_printf(out, "\n%-30s %-30s %-10s %-15s\n", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    for (int i = 0; i < report->part_count; i++)
        buf_printf(out, "%-30.*s %-30.*s %-10d %-15" PRId64 "\n", SLICE_ARGS(report->id),
                   SLICE_ARGS(report->parts[i].topic), report->parts[i].partition,
                   report->parts[i].wanted);
}

static void csv_field(struct slice text, struct buf *out)
{
    bool is_plain = true;

    for (size_t i = 0; i < text.len; i++)
        is_plain = is_plain && text.ptr[i] != ',' && text.ptr[i] != '"' && text.ptr[i] != '\n';
    if (is_plain) {
        buf_add_slice(out, text);
        return;
    }
    buf_add_text(out, "\"");
    for (size_t i = 0; i < text.len; i++)
        buf_printf(out, text.ptr[i] == '"' ? "\"\"" : "%c", text.ptr[i]);
    buf_add_text(out, "\"");
}

void groups_print_csv(const struct group_report *report, bool with_group, struct buf *out)
{
    for (int i = 0; i < report->part_count; i++) {
        if (with_group) {
            csv_field(report->id, out);
            buf_add_text(out, ",");
        }
        buf_printf(out, "%.*s,%d,%" PRId64 "\n", SLICE_ARGS(report->parts[i].topic),
                   report->parts[i].partition, report->parts[i].wanted);
    }
}

/* ---- what is read ---- */

enum err groups_topic_parse(struct slice text, struct arena *arena, struct slice *topic,
                            int32_t **partitions, int *count)
{
    struct slice rest = text, one;
    int n = 0;

    *partitions = NULL;
    *count = 0;
    if (!slice_cut(&rest, ':', topic)) {
        *topic = text;
        return text.len > 0 ? ERR_OK : ERR_INVALID;
    }
    int32_t *list = arena_zalloc(arena, sizeof(*list) * (rest.len + 1));
    for (bool is_more = true; is_more;) {
        int64_t value;
        is_more = slice_cut(&rest, ',', &one);
        if (text_int(is_more ? one : rest, 0, INT32_MAX, &value) != ERR_OK) return ERR_INVALID;
        list[n++] = (int32_t)value;
    }
    *partitions = list;
    *count = n;
    return topic->len > 0 ? ERR_OK : ERR_INVALID;
}

/* The number of exactly `digits` digits at the head of `*text`. */
static bool take_digits(struct slice *text, int digits, int64_t *out)
{
    struct slice head;

    if (slice_take(text, (size_t)digits, &head) != ERR_OK) return false;
    for (size_t i = 0; i < head.len; i++)
        if (head.ptr[i] < '0' || head.ptr[i] > '9') return false;
    return text_int(head, 0, INT32_MAX, out) == ERR_OK;
}

static bool take_char(struct slice *text, char wanted)
{
    struct slice head, rest = *text;

    if (slice_take(&rest, 1, &head) != ERR_OK || head.ptr[0] != (uint8_t)wanted) return false;
    *text = rest;
    return true;
}

/* Days since 1970 of a date of the Gregorian calendar: years are counted from March on, so that the
 * day that comes and goes is the last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = year - (month <= 2);
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool take_zone(struct slice *text, int64_t *minutes)
{
    int64_t hours, rest = 0, sign = 1;

    *minutes = 0;
    if (text->len == 0 || take_char(text, 'Z')) return true;
    if (take_char(text, '-'))
        sign = -1;
    else if (!take_char(text, '+'))
        return false;
    if (!take_digits(text, 2, &hours)) return false;
    (void)take_char(text, ':');
    if (text->len > 0 && !take_digits(text, 2, &rest)) return false;
    *minutes = sign * (hours * 60 + rest);
    return hours < 24 && rest < 60;
}

enum err groups_time_parse(struct slice text, int64_t *ms)
{
    int64_t year, month, day, hour, minute, second, fraction, zone;
    bool is_good =
        take_digits(&text, 4, &year) && take_char(&text, '-') && take_digits(&text, 2, &month) &&
        take_char(&text, '-') && take_digits(&text, 2, &day) && take_char(&text, 'T') &&
        take_digits(&text, 2, &hour) && take_char(&text, ':') && take_digits(&text, 2, &minute) &&
        take_char(&text, ':') && take_digits(&text, 2, &second) && take_char(&text, '.') &&
        take_digits(&text, 3, &fraction) && take_zone(&text, &zone) && text.len == 0;

    if (!is_good || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 59)
        return ERR_INVALID;
    int64_t minutes = (days_of(year, month, day) * 24 + hour) * 60 + minute - zone;
    *ms = (minutes * 60 + second) * 1000 + fraction;
    return ERR_OK;
}

enum err groups_duration_parse(struct slice text, int64_t *ms)
{
    int64_t total = 0;
    bool in_time = false, has_any = false;

    if (!take_char(&text, 'P')) return ERR_INVALID;
    while (text.len > 0) {
        int64_t value, factor;
        size_t digits = 0;
        struct slice number, unit;
        if (!in_time && take_char(&text, 'T')) {
            in_time = true;
            continue;
        }
        while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
            digits++;
        if (slice_take(&text, digits, &number) != ERR_OK ||
            text_int(number, 0, INT32_MAX, &value) != ERR_OK ||
            slice_take(&text, 1, &unit) != ERR_OK)
            return ERR_INVALID;
        if (unit.ptr[0] == 'D' && !in_time)
            factor = 86400000;
        else if (unit.ptr[0] == 'H' && in_time)
            factor = 3600000;
        else if (unit.ptr[0] == 'M' && in_time)
            factor = 60000;
        else if (unit.ptr[0] == 'S' && in_time)
            factor = 1000;
        else
            return ERR_INVALID;
        total += value * factor;
        has_any = true;
    }
    if (!has_any) return ERR_INVALID;
    *ms = total;
    return ERR_OK;
}
