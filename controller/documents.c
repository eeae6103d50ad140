/* controller/documents.c - see documents.h. */
#include "controller/documents.h"
#include "base/ensure.h"
#include "zk/docs.h"
#include <stdlib.h>

#define ARENA_MAX (256u << 20)

static struct ids ids_from(const struct doc_ints *ints)
{
    struct ids out = {0};

    ids_set(&out, ints->at, ints->count);
    return out;
}

static struct doc_ints ints_from(const struct ids *ids)
{
    return (struct doc_ints){.at = ids->at, .count = ids->count};
}

bool document_read_state(const struct request *request, struct leadership *out)
{
    struct doc_state doc;
    struct arena arena;

    if (request->err != ERR_OK) return false;
    arena_init(&arena, ARENA_MAX);
    bool is_read = doc_state_read(request->answer, &arena, &doc) == ERR_OK;
    if (is_read) {
        leadership_fini(out);
        *out = (struct leadership){
            .leader = doc.leader,
            .leader_epoch = doc.leader_epoch,
            .isr = ids_from(&doc.isr),
            .is_recovering = doc.leader_recovery_state == 1,
            .partition_epoch = request->stat.version,
            .controller_epoch = doc.controller_epoch,
        };
        for (int32_t i = 0; i < doc.left_count; i++)
            leadership_add_left(out, doc.left[i].broker,
                                doc.left[i].zxid > 0 ? doc.left[i].zxid : request->stat.mzxid);
    }
    arena_fini(&arena);
    return is_read;
}

void document_write_state(struct buf *out, const struct leadership *state)
{
    struct doc_left *left = ensure_zalloc((size_t)(state->left_count + 1) * sizeof(*left));
    struct doc_state doc = {
        .leader = state->leader,
        .leader_epoch = state->leader_epoch,
        .isr = ints_from(&state->isr),
        .controller_epoch = state->controller_epoch,
        .leader_recovery_state = state->is_recovering ? 1 : 0,
        .left = left,
        .left_count = state->left_count,
    };

    for (int32_t i = 0; i < state->left_count; i++)
        left[i] = (struct doc_left){state->left[i].broker, state->left[i].at};
    doc_state_write(out, &doc);
    free(left);
}

bool document_read_topic(const struct request *request, struct assignments *out)
{
    struct doc_topic doc;
    struct arena arena;

    *out = (struct assignments){0};
    if (request->err != ERR_OK) return false;
    arena_init(&arena, ARENA_MAX);
    bool is_read = doc_topic_read(request->answer, &arena, &doc) == ERR_OK;
    if (is_read) {
        out->topic_id = doc.id;
        out->count = doc.partition_count;
        out->at = ensure_zalloc((size_t)(doc.partition_count + 1) * sizeof(*out->at));
        for (int32_t i = 0; i < doc.partition_count; i++)
            out->at[i] = (struct assignment){
                .partition = doc.partitions[i].partition,
                .replicas = ids_from(&doc.partitions[i].replicas),
                .adding = ids_from(&doc.partitions[i].adding),
                .removing = ids_from(&doc.partitions[i].removing),
            };
    }
    arena_fini(&arena);
    return is_read;
}

void assignments_fini(struct assignments *assignments)
{
    for (int32_t i = 0; i < assignments->count; i++) {
        ids_fini(&assignments->at[i].replicas);
        ids_fini(&assignments->at[i].adding);
        ids_fini(&assignments->at[i].removing);
    }
    free(assignments->at);
    *assignments = (struct assignments){0};
}

void document_write_topic(struct buf *out, const struct topic *topic,
                          const struct partition *override, const struct assignment *with)
{
    struct doc_partition *partitions =
        ensure_zalloc((size_t)(topic->count + 1) * sizeof(*partitions));
    struct doc_topic doc = {
        .version = 3,
        .id = topic->id,
        .partitions = partitions,
        .partition_count = topic->count,
    };

    for (int32_t i = 0; i < topic->count; i++) {
        const struct partition *p = topic->partitions[i];
        bool is_other = p == override;

        partitions[i] = (struct doc_partition){
            .partition = p->id,
            .replicas = ints_from(is_other ? &with->replicas : &p->replicas),
            .adding = ints_from(is_other ? &with->adding : &p->adding),
            .removing = ints_from(is_other ? &with->removing : &p->removing),
        };
    }
    doc_topic_write(out, &doc);
    free(partitions);
}

bool document_read_broker(const struct request *request, struct broker *out)
{
    struct doc_broker doc;
    struct arena arena;

    if (request->err != ERR_OK) return false;
    arena_init(&arena, ARENA_MAX);
    bool is_read = doc_broker_read(request->answer, &arena, &doc) == ERR_OK;
    if (is_read) {
        broker_clear_endpoints(out);
        out->endpoints = ensure_zalloc((size_t)(doc.endpoint_count + 1) * sizeof(*out->endpoints));
        for (int32_t i = 0; i < doc.endpoint_count; i++) {
            const struct doc_endpoint *e = &doc.endpoints[i];
            enum security_protocol protocol;

            if (security_protocol_parse(e->protocol, &protocol) != ERR_OK) continue;
            out->endpoints[out->endpoint_count++] = (struct control_endpoint){
                .listener = ensure_strndup(e->listener.ptr, e->listener.len),
                .host = ensure_strndup(e->host.ptr, e->host.len),
                .port = e->port,
                .protocol = protocol,
            };
        }
        out->is_cache_lost = doc.is_cache_lost;
        out->cache_lost_since = doc.cache_lost_since;
        if (!slice_is_null(doc.rack)) out->rack = ensure_strndup(doc.rack.ptr, doc.rack.len);
    }
    arena_fini(&arena);
    return is_read;
}

enum err document_read_terms(struct slice data, struct election_terms *out)
{
    struct election_terms terms = *out;
    struct doc_config doc;
    struct arena arena;
    int64_t number;

    arena_init(&arena, ARENA_MAX);
    enum err err = doc_config_read(data, &arena, &doc);
    for (int32_t i = 0; err == ERR_OK && i < doc.count; i++) {
        struct slice value = doc.entries[i].value;

        if (slice_is(doc.entries[i].name, "unclean.leader.election.enable"))
            terms.is_unclean_allowed = slice_is(value, "true");
        else if (slice_is(doc.entries[i].name, "min.insync.replicas") &&
                 doc_number_read(value, 1, INT32_MAX, &number) == ERR_OK)
            terms.min_insync = (int32_t)number;
    }
    arena_fini(&arena);
    if (err == ERR_OK) *out = terms;
    return err;
}

int32_t document_read_log_dir_event(const struct request *request)
{
    struct doc_log_dir_event doc;
    struct arena arena;

    if (request->err != ERR_OK) return -1;
    arena_init(&arena, ARENA_MAX);
    bool is_read = doc_log_dir_event_read(request->answer, &arena, &doc) == ERR_OK;
    arena_fini(&arena);
    return is_read ? doc.broker : -1;
}

void document_read_reassign(const struct request *request, struct event *event)
{
    struct doc_topic_partitions doc;

    if (request->err != ERR_OK || doc_reassign_read(request->answer, &event->arena, &doc) != ERR_OK)
        return;
    event_make_items(event, doc.count);
    for (int32_t i = 0; i < doc.count; i++) {
        event->items[i].topic = doc.at[i].topic;
        event->items[i].partition = doc.at[i].partition;
        event->items[i].replicas = ids_from(&doc.at[i].replicas);
    }
}

void document_write_reassign(struct buf *out, const struct event *event, const bool *is_left)
{
    struct doc_topic_partition *at = ensure_zalloc((size_t)(event->count + 1) * sizeof(*at));
    struct doc_topic_partitions doc = {.at = at};

    for (int32_t i = 0; i < event->count; i++)
        if (is_left[i])
            at[doc.count++] = (struct doc_topic_partition){
                .topic = event->items[i].topic,
                .partition = event->items[i].partition,
                .replicas = ints_from(&event->items[i].replicas),
            };
    doc_reassign_write(out, &doc);
    free(at);
}

void document_read_partitions(const struct request *request, struct arena *arena,
                              struct event_item **items, int32_t *count)
{
    struct doc_topic_partitions doc;

    *items = NULL;
    *count = 0;
    if (request->err != ERR_OK || doc_partitions_read(request->answer, arena, &doc) != ERR_OK)
        return;
    *items = arena_zalloc(arena, (size_t)(doc.count + 1) * sizeof(**items));
    *count = doc.count;
    for (int32_t i = 0; i < doc.count; i++) {
        (*items)[i].topic = doc.at[i].topic;
        (*items)[i].partition = doc.at[i].partition;
    }
}
