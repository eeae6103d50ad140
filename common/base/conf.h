/* base/conf.h - reads and writes Java .properties text: server.properties, meta.properties.
 *
 * Java's rules: "#" or "!" begins a comment line; a key ends at the first unescaped "=", ":" or
 * white space; a backslash at the end of a line continues it; escapes \t \n \r \f \uXXXX and
 * \ before anything else. Input is UTF-8 (ISO 8859-1 bytes pass unchanged). A later key replaces an
 * earlier. */
#pragma once
#include "base/buf.h"
#include "base/map.h"

struct conf_entry {
    char *key;
    char *value;
    int line; /* where it began, from 1; 0: not from a file */
};

struct conf {
    struct map entries; /* key → struct conf_entry *, in order of the file */
};

void conf_init(struct conf *conf);
void conf_fini(struct conf *conf);

/* Adds the entries of `text`. ERR_INVALID for a malformed \u escape or a NUL byte, `*line` says
 * where; entries before it have been added. */
MUST_CHECK enum err conf_read(struct conf *conf, struct slice text, int *line);
void conf_set(struct conf *conf, const char *key, const char *value, int line);
/* NULL when absent. Borrowed until the entry is set again. */
const struct conf_entry *conf_get(const struct conf *conf, const char *key);

/* One "key=value" line, escaped so that conf_read and Java give it back. */
void conf_write(struct buf *out, const char *key, const char *value);
