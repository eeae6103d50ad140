#include "cluster/listeners.h"
#include "base/ensure.h"
#include "base/text.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* One reading: all problems are told, the first decides. */
struct reading {
    const struct options *options;
    const struct options_report *report;
    struct listeners *out;
    enum err result;
};

__attribute__((format(printf, 4, 5))) static void wrong(struct reading *r, enum err err,
                                                        enum option option, const char *format, ...)
{
    char why[512], message[1024];
    const char *value = options_text(r->options, option);
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    snprintf(message, sizeof(message), "%s=%s: %s", option_key(option), value == NULL ? "" : value,
             why);
    if (r->report != NULL && r->report->problem != NULL)
        r->report->problem(r->report->to, true, message);
    if (r->result == ERR_OK) r->result = err;
}

static void to_upper(struct slice text)
{
    char *at = (char *)(uintptr_t)text.ptr; /* ours: the copy in `text` of the result */

    for (size_t i = 0; i < text.len; i++)
        at[i] = (char)toupper((unsigned char)at[i]);
}

/* The next item of a comma list, trimmed; false at the end. */
static bool next_item(struct slice *list, struct slice *item)
{
    if (slice_is_null(*list)) return false;
    if (!slice_cut(list, ',', item)) {
        *item = *list;
        *list = SLICE_NULL;
    }
    *item = text_trim(*item);
    return true;
}

/* NAME://host:port */
static enum err parse_entry(struct slice item, struct slice *name, struct slice *host,
                            int32_t *port)
{
    size_t i = 0;

    while (i + 3 <= item.len && memcmp(item.ptr + i, "://", 3) != 0)
        i++;
    if (i == 0 || i + 3 > item.len) return ERR_INVALID;
    *name = slice_of(item.ptr, i);
    return host_port_parse(slice_of(item.ptr + i + 3, item.len - i - 3), host, port);
}

/* The protocol of a listener name: of the map, else the name itself. */
static enum err protocol_of(struct reading *r, struct slice name, enum security_protocol *out)
{
    struct slice list = slice_text(options_text(r->options, OPTION_LISTENER_SECURITY_PROTOCOL_MAP));
    struct slice item, key;

    while (next_item(&list, &item)) {
        if (!slice_cut(&item, ':', &key)) continue; /* told by check_map */
        key = text_trim(key);
        if (key.len == name.len &&
            strncasecmp((const char *)key.ptr, (const char *)name.ptr, key.len) == 0)
            return security_protocol_parse(text_trim(item), out);
    }
    return ERR_NOT_FOUND;
}

static void check_map(struct reading *r)
{
    struct slice list = slice_text(options_text(r->options, OPTION_LISTENER_SECURITY_PROTOCOL_MAP));
    struct slice item, key;
    enum security_protocol protocol;

    while (next_item(&list, &item)) {
        if (!slice_cut(&item, ':', &key) || text_trim(key).len == 0 ||
            security_protocol_parse(text_trim(item), &protocol) != ERR_OK)
            wrong(
                r, ERR_INVALID, OPTION_LISTENER_SECURITY_PROTOCOL_MAP,
                "must be NAME:PROTOCOL pairs with commas, a protocol being one of PLAINTEXT, SSL, "
                "SASL_PLAINTEXT, SASL_SSL");
    }
}

static bool is_ipv6(struct slice host)
{
    return host.len > 0 && memchr(host.ptr, ':', host.len) != NULL;
}

static bool is_ipv4(struct slice host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!isdigit(host.ptr[i]) && host.ptr[i] != '.') return false;
    return host.len > 0;
}

/* Two listeners may have one port when one is IPv4 and the other IPv6. */
static bool ports_clash(const struct listener_setting *a, const struct listener_setting *b)
{
    if (a->bind_port != b->bind_port || a->bind_port == 0) return false;
    return !((is_ipv4(a->bind_host) && is_ipv6(b->bind_host)) ||
             (is_ipv6(a->bind_host) && is_ipv4(b->bind_host)));
}

static void read_listeners(struct reading *r, struct slice list)
{
    struct listeners *out = r->out;
    struct slice item;

    while (next_item(&list, &item)) {
        struct listener_setting new = {0};
        if (out->count == LISTENERS_MAX) {
            wrong(r, ERR_INVALID, OPTION_LISTENERS, "has more than %d", LISTENERS_MAX);
            return;
        }
        if (parse_entry(item, &new.name, &new.bind_host, &new.bind_port) != ERR_OK) {
            wrong(r, ERR_INVALID, OPTION_LISTENERS, "\"%.*s\" must be NAME://host:port",
                  SLICE_ARGS(item));
            continue;
        }
        to_upper(new.name);
        if (protocol_of(r, new.name, &new.protocol) != ERR_OK) {
            wrong(r, ERR_INVALID, OPTION_LISTENERS,
                  "%.*s has no protocol in listener.security.protocol.map", SLICE_ARGS(new.name));
            continue;
        }
        if (new.protocol != SECURITY_PLAINTEXT)
            wrong(r, ERR_UNSUPPORTED, OPTION_LISTENERS,
                  "%.*s speaks %s, which Ottla does not support yet: PLAINTEXT only",
                  SLICE_ARGS(new.name), security_protocol_name(new.protocol));
        for (int i = 0; i < out->count; i++) {
            if (slice_equal(out->at[i].name, new.name))
                wrong(r, ERR_INVALID, OPTION_LISTENERS, "%.*s occurs twice", SLICE_ARGS(new.name));
            else if (ports_clash(&out->at[i], &new))
                wrong(r, ERR_INVALID, OPTION_LISTENERS, "port %d occurs twice", new.bind_port);
        }
        out->at[out->count++] = new;
    }
    if (out->count == 0) wrong(r, ERR_INVALID, OPTION_LISTENERS, "must name at least one listener");
}

static void advertise_all(struct reading *r)
{
    for (int i = 0; i < r->out->count; i++) {
        struct listener_setting *at = &r->out->at[i];
        at->is_advertised = true;
        at->host = at->bind_host;
        at->port = at->bind_port;
        if (slice_is(at->host, "0.0.0.0"))
            wrong(r, ERR_INVALID, OPTION_ADVERTISED_LISTENERS,
                  "must be set, because listeners has %.*s, to which nobody can connect",
                  SLICE_ARGS(at->host));
    }
}

static void read_advertised(struct reading *r, struct slice list)
{
    struct slice item, name, host;
    int32_t port;

    while (next_item(&list, &item)) {
        if (parse_entry(item, &name, &host, &port) != ERR_OK) {
            wrong(r, ERR_INVALID, OPTION_ADVERTISED_LISTENERS, "\"%.*s\" must be NAME://host:port",
                  SLICE_ARGS(item));
            continue;
        }
        to_upper(name);
        int index = listeners_find(r->out, name);
        if (index < 0) {
            wrong(r, ERR_INVALID, OPTION_ADVERTISED_LISTENERS, "%.*s is not among listeners",
                  SLICE_ARGS(name));
            continue;
        }
        if (r->out->at[index].is_advertised)
            wrong(r, ERR_INVALID, OPTION_ADVERTISED_LISTENERS, "%.*s occurs twice",
                  SLICE_ARGS(name));
        if (slice_is(host, "0.0.0.0"))
            wrong(r, ERR_INVALID, OPTION_ADVERTISED_LISTENERS,
                  "nobody can connect to %.*s: name the address that others use", SLICE_ARGS(host));
        r->out->at[index].is_advertised = true;
        r->out->at[index].host = host;
        r->out->at[index].port = port;
    }
}

/* An advertised listener by a name that another key gives. */
static int find_advertised(const struct listeners *listeners, const char *name)
{
    for (int i = 0; i < listeners->count; i++) {
        struct slice at = listeners->at[i].name;
        if (listeners->at[i].is_advertised && at.len == strlen(name) &&
            strncasecmp((const char *)at.ptr, name, at.len) == 0)
            return i;
    }
    return -1;
}

static void find_inter_broker(struct reading *r)
{
    const char *name = options_text(r->options, OPTION_INTER_BROKER_LISTENER_NAME);
    enum option key = OPTION_INTER_BROKER_LISTENER_NAME;

    if (name != NULL && options_is_set(r->options, OPTION_SECURITY_INTER_BROKER_PROTOCOL))
        wrong(r, ERR_INVALID, key, "must not be set together with security.inter.broker.protocol");
    if (name == NULL) {
        key = OPTION_SECURITY_INTER_BROKER_PROTOCOL;
        name = options_text(r->options, key);
    }
    r->out->inter_broker = find_advertised(r->out, name);
    if (r->out->inter_broker < 0)
        wrong(r, ERR_INVALID, key, "must be the name of an advertised listener");
}

static void find_control_plane(struct reading *r)
{
    const char *name = options_text(r->options, OPTION_CONTROL_PLANE_LISTENER_NAME);

    r->out->control_plane = -1;
    if (name == NULL) return;
    r->out->control_plane = find_advertised(r->out, name);
    if (r->out->control_plane < 0)
        wrong(r, ERR_INVALID, OPTION_CONTROL_PLANE_LISTENER_NAME,
              "must be the name of an advertised listener");
    else if (r->out->control_plane == r->out->inter_broker)
        wrong(r, ERR_INVALID, OPTION_CONTROL_PLANE_LISTENER_NAME,
              "must differ from the inter-broker listener");
}

enum err listeners_read(const struct options *options, const struct options_report *report,
                        struct listeners *out)
{
    const char *bound = options_text(options, OPTION_LISTENERS);
    const char *advertised = options_text(options, OPTION_ADVERTISED_LISTENERS);
    bool has_advertised = advertised != NULL && advertised[0] != '\0';
    size_t bound_len = strlen(bound), advertised_len = has_advertised ? strlen(advertised) : 0;
    struct listeners result = {.inter_broker = -1, .control_plane = -1};
    struct reading r = {.options = options, .report = report, .out = &result};

    result.text = ensure_malloc(bound_len + advertised_len + 2);
    memcpy(result.text, bound, bound_len + 1);
    if (has_advertised) memcpy(result.text + bound_len + 1, advertised, advertised_len + 1);

    check_map(&r);
    read_listeners(&r, text_trim(slice_of(result.text, bound_len)));
    if (has_advertised)
        read_advertised(&r, slice_of(result.text + bound_len + 1, advertised_len));
    else
        advertise_all(&r);
    find_inter_broker(&r);
    find_control_plane(&r);
    if (r.result != ERR_OK)
        listeners_fini(&result);
    else
        *out = result;
    return r.result;
}

void listeners_fini(struct listeners *listeners)
{
    free(listeners->text);
    *listeners = (struct listeners){.inter_broker = -1, .control_plane = -1};
}

int listeners_find(const struct listeners *listeners, struct slice name)
{
    for (int i = 0; i < listeners->count; i++)
        if (slice_equal(listeners->at[i].name, name)) return i;
    return -1;
}
