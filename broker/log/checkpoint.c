/* broker/log/checkpoint.c - writes one space and one newline; reads as Java's split on white space.
 */
#include "broker/log/checkpoint.h"
#include "base/text.h"

void checkpoint_begin(struct buf *out, size_t count)
{
    buf_printf(out, "0\n%zu\n", count);
}

/* By hand: a file may have 50,000 lines and is written every few seconds. */
static void add_number(struct buf *out, int64_t number)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) digits[--at] = '-';
    buf_add(out, digits + at, sizeof(digits) - at);
}

void checkpoint_add(struct buf *out, struct slice topic, int32_t partition, int64_t offset)
{
    buf_add_slice(out, topic);
    buf_add(out, " ", 1);
    add_number(out, partition);
    buf_add(out, " ", 1);
    add_number(out, offset);
    buf_add(out, "\n", 1);
}

/* The next line, without its end; the last one may lack it. */
static bool next_line(struct slice *text, struct slice *line)
{
    if (text->len == 0) return false;
    if (!slice_cut(text, '\n', line)) {
        *line = *text;
        *text = slice_of(text->ptr + text->len, 0);
    }
    if (line->len > 0 && line->ptr[line->len - 1] == '\r') line->len--;
    return true;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Fields between runs of white space, as String.split("\\s+"): white space at the front makes an
 * empty first field, at the end none. Gives how many there are; stores at most `max`. */
static int split(struct slice line, struct slice *fields, int max)
{
    int count = 0;
    size_t at = 0;

    while (line.len > 0 && is_space(line.ptr[line.len - 1]))
        line.len--;
    while (at < line.len || count == 0) {
        size_t from = at;
        while (at < line.len && !is_space(line.ptr[at]))
            at++;
        if (count < max) fields[count] = slice_of(line.ptr + from, at - from);
        count++;
        while (at < line.len && is_space(line.ptr[at]))
            at++;
    }
    return count;
}

/* The two lines at the head. `*count` is -1 when there are no entries at all. */
static enum err read_head(struct slice *text, int64_t *count)
{
    struct slice line;
    int64_t version;

    *count = -1;
    if (!next_line(text, &line)) return ERR_OK;
    if (text_int(line, INT32_MIN, INT32_MAX, &version) != ERR_OK || version != 0)
        return ERR_CORRUPT;
    if (!next_line(text, &line)) return ERR_OK;
    if (text_int(line, 0, INT32_MAX, count) != ERR_OK) return ERR_CORRUPT;
    return ERR_OK;
}

/* Runs over the lines twice, so that a file that takes the directory offline is known as such
 * whatever its numbers are. */
static enum err check_shape(struct slice text, int64_t count, int fields_wanted)
{
    struct slice line, fields[3];

    for (; next_line(&text, &line); count--)
        if (count <= 0 || split(line, fields, 3) != fields_wanted) return ERR_CORRUPT;
    return count == 0 ? ERR_OK : ERR_CORRUPT;
}

enum err checkpoint_read(struct slice text,
                         void (*entry)(void *to, struct slice topic, int32_t partition,
                                       int64_t offset),
                         void *to)
{
    struct slice line, fields[3];
    int64_t count, partition, offset;

    enum err err = read_head(&text, &count);
    if (err != ERR_OK || count < 0) return err;
    err = check_shape(text, count, 3);
    while (err == ERR_OK && next_line(&text, &line)) {
        split(line, fields, 3);
        if (text_int(fields[1], INT32_MIN, INT32_MAX, &partition) != ERR_OK ||
            text_int(fields[2], INT64_MIN, INT64_MAX, &offset) != ERR_OK)
            err = ERR_INVALID;
        else
            entry(to, fields[0], (int32_t)partition, offset);
    }
    return err;
}

void checkpoint_write_epochs(struct buf *out, const struct epochs *epochs)
{
    checkpoint_begin(out, (size_t)epochs->count);
    for (int i = 0; i < epochs->count; i++) {
        add_number(out, epochs->at[i].epoch);
        buf_add(out, " ", 1);
        add_number(out, epochs->at[i].start);
        buf_add(out, "\n", 1);
    }
}

enum err checkpoint_read_epochs(struct slice text, struct epochs *epochs)
{
    struct slice line, fields[3];
    int64_t count, epoch, start;

    enum err err = read_head(&text, &count);
    if (err != ERR_OK || count < 0) return err;
    err = check_shape(text, count, 2);
    while (err == ERR_OK && next_line(&text, &line)) {
        bool changed;
        split(line, fields, 3);
        if (text_int(fields[0], INT32_MIN, INT32_MAX, &epoch) != ERR_OK ||
            text_int(fields[1], INT64_MIN, INT64_MAX, &start) != ERR_OK)
            err = ERR_INVALID;
        else
            err = epochs_start(epochs, (int32_t)epoch, start, &changed);
    }
    return err;
}

void checkpoint_write_topic_id(struct buf *out, struct uuid id)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_text(id, text);
    buf_printf(out, "version: 0\ntopic_id: %s", text);
}

/* What stands behind the colon and its white space; Java splits the line there into exactly two. */
static bool read_value(struct slice *text, struct slice *value)
{
    struct slice line, key;

    if (!next_line(text, &line) || !slice_cut(&line, ':', &key)) return false;
    if (line.len == 0 || !is_space(line.ptr[0])) return false;
    while (line.len > 0 && is_space(line.ptr[0]))
        line = slice_of(line.ptr + 1, line.len - 1);
    *value = line;
    return true;
}

enum err checkpoint_read_topic_id(struct slice text, struct uuid *id)
{
    struct slice version, name;
    int64_t number;
    struct uuid read;

    if (!read_value(&text, &version) || !read_value(&text, &name) ||
        text_int(version, 0, INT32_MAX, &number) != ERR_OK || uuid_parse(name, &read) != ERR_OK ||
        uuid_is_zero(read))
        return ERR_CORRUPT;
    *id = read;
    return ERR_OK;
}
