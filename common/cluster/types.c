#include "cluster/types.h"
#include "base/text.h"
#include <strings.h>

int topic_partition_compare(struct topic_partition a, struct topic_partition b)
{
    int order = slice_compare(a.topic, b.topic);

    return order != 0 ? order : (a.partition > b.partition) - (a.partition < b.partition);
}

bool topic_is_internal(struct slice name)
{
    return slice_is(name, TOPIC_NAME_OFFSETS) || slice_is(name, TOPIC_NAME_TRANSACTIONS) ||
           slice_is(name, TOPIC_NAME_SHARE);
}

bool topic_names_collide(struct slice a, struct slice b)
{
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        uint8_t left = a.ptr[i] == '.' ? '_' : a.ptr[i];
        uint8_t right = b.ptr[i] == '.' ? '_' : b.ptr[i];
        if (left != right) return false;
    }
    return true;
}

int32_t coordinator_partition(struct slice key, int32_t partitions)
{
    int32_t hash = text_java_hash(key);

    if (hash == INT32_MIN) return 0;
    return (hash < 0 ? -hash : hash) % partitions;
}

bool broker_ids_have(struct broker_ids ids, int32_t broker)
{
    for (int32_t i = 0; i < ids.count; i++)
        if (ids.at[i] == broker) return true;
    return false;
}

bool broker_ids_equal(struct broker_ids a, struct broker_ids b)
{
    if (a.count != b.count) return false;
    for (int32_t i = 0; i < a.count; i++)
        if (a.at[i] != b.at[i]) return false;
    return true;
}

bool broker_ids_repeat(struct broker_ids ids)
{
    for (int32_t i = 1; i < ids.count; i++)
        if (broker_ids_have((struct broker_ids){ids.at, i}, ids.at[i])) return true;
    return false;
}

static const char *const protocol_names[] = {
    [SECURITY_PLAINTEXT] = "PLAINTEXT",
    [SECURITY_SSL] = "SSL",
    [SECURITY_SASL_PLAINTEXT] = "SASL_PLAINTEXT",
    [SECURITY_SASL_SSL] = "SASL_SSL",
};
#define PROTOCOLS (sizeof(protocol_names) / sizeof(protocol_names[0]))

const char *security_protocol_name(enum security_protocol protocol)
{
    return (unsigned)protocol < PROTOCOLS ? protocol_names[protocol] : "UNKNOWN";
}

enum err security_protocol_parse(struct slice text, enum security_protocol *out)
{
    for (unsigned i = 0; i < PROTOCOLS; i++) {
        if (text.len == strlen(protocol_names[i]) &&
            strncasecmp((const char *)text.ptr, protocol_names[i], text.len) == 0) {
            *out = (enum security_protocol)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err host_port_parse(struct slice text, struct slice *host, int32_t *port)
{
    size_t colon = text.len;
    int64_t number;

    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0) return ERR_INVALID;
    struct slice name = slice_of(text.ptr, colon - 1);
    struct slice digits = slice_of(text.ptr + colon, text.len - colon);
    if (digits.len == 0 || digits.ptr[0] < '0' || digits.ptr[0] > '9') return ERR_INVALID;
    if (text_int(digits, 0, 65535, &number) != ERR_OK) return ERR_INVALID;
    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = slice_of(name.ptr + 1, name.len - 2);
    else if (name.len > 0 && memchr(name.ptr, ':', name.len) != NULL)
        return ERR_INVALID; /* an IPv6 address without brackets: where does it end? */
    *host = name;
    *port = (int32_t)number;
    return ERR_OK;
}

bool leader_and_isr_equal(const struct leader_and_isr *a, const struct leader_and_isr *b)
{
    return a->leader == b->leader && a->leader_epoch == b->leader_epoch &&
           a->recovery == b->recovery && broker_ids_equal(a->isr, b->isr);
}
