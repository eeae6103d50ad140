#include "base/ensure.h"
#include "broker/group/group_private.h"
#include <stdlib.h>

/* Ids that were given out and never used go by their own time; more than these at a time do not
 * wait: the oldest is forgotten, and whoever comes with it begins again. */
#define PENDING_MAX 10000

void text_set(char **text, size_t *len, struct slice to)
{
    char *copy = slice_is_null(to) ? NULL : ensure_strndup(to.ptr, to.len);

    free(*text);
    *text = copy;
    *len = slice_is_null(to) ? 0 : to.len;
}

/* ---- protocols ---- */

static struct group_protocol *protocol_of(const struct group *group, struct slice name)
{
    return map_get(&group->protocols, name);
}

static struct group_protocol *protocol_take(struct group *group, struct slice name)
{
    struct group_protocol *protocol = protocol_of(group, name);

    if (protocol != NULL) return protocol;
    protocol = ensure_zalloc(sizeof(*protocol) + name.len + 1);
    protocol->name_len = name.len;
    if (name.len > 0) memcpy(protocol->name, name.ptr, name.len);
    map_set(&group->protocols, name, protocol);
    return protocol;
}

static void choices_drop(struct group *group, struct group_member *member)
{
    for (int i = 0; i < member->choice_count; i++) {
        struct group_protocol *protocol = member->choices[i].protocol;
        if (member->choices[i].is_repeated) continue;
        ensure(protocol->members > 0);
        protocol->members--;
    }
    for (int i = 0; i < member->choice_count; i++) {
        struct group_protocol *protocol = member->choices[i].protocol;
        if (member->choices[i].is_repeated || protocol->members > 0) continue;
        ensure(map_remove(&group->protocols, protocol_name(protocol)) == protocol);
        free(protocol);
    }
    free(member->choices);
    free(member->bytes);
    member->choices = NULL;
    member->bytes = NULL;
    member->choice_count = 0;
}

static void choices_set(struct group *group, struct group_member *member,
                        const struct group_join *join)
{
    size_t len = 0;

    for (int i = 0; i < join->protocol_count; i++)
        len += join->protocols[i].metadata.len;
    struct group_choice *choices =
        ensure_zalloc(sizeof(*choices) * (size_t)(join->protocol_count + 1));
    uint8_t *bytes = ensure_malloc(len + 1), *at = bytes;
    group->counts++;
    for (int i = 0; i < join->protocol_count; i++) {
        struct slice metadata = join->protocols[i].metadata;
        struct group_protocol *protocol = protocol_take(group, join->protocols[i].name);

        if (metadata.len > 0) memcpy(at, metadata.ptr, metadata.len);
        choices[i] = (struct group_choice){.protocol = protocol,
                                           .metadata = slice_of(at, metadata.len),
                                           .is_repeated = protocol->counted == group->counts};
        at += metadata.len;
        protocol->counted = group->counts;
        if (!choices[i].is_repeated) protocol->members++;
    }
    choices_drop(group, member); /* after: what both lists have stays */
    member->choices = choices;
    member->choice_count = join->protocol_count;
    member->bytes = bytes;
}

bool members_match(const struct group_member *member, const struct group_join *join)
{
    if (member->choice_count != join->protocol_count) return false;
    for (int i = 0; i < member->choice_count; i++) {
        const struct group_choice *ours = &member->choices[i];
        const struct group_offer *theirs = &join->protocols[i];
        if (slice_compare(protocol_name(ours->protocol), theirs->name) != 0 ||
            slice_compare(ours->metadata, theirs->metadata) != 0)
            return false;
    }
    return true;
}

bool members_can_join(const struct group *group, const struct group_join *join)
{
    if (group->state == GROUP_EMPTY) return join->protocol_type.len > 0 && join->protocol_count > 0;
    if (group->protocol_type == NULL ||
        slice_compare(slice_of(group->protocol_type, group->protocol_type_len),
                      join->protocol_type) != 0)
        return false;
    for (int i = 0; i < join->protocol_count; i++) {
        const struct group_protocol *protocol = protocol_of(group, join->protocols[i].name);
        int members = protocol == NULL ? 0 : protocol->members;
        if ((size_t)members == group->members.count) return true;
    }
    return false;
}

struct slice members_vote(struct group *group)
{
    const struct group_protocol *best = NULL;

    map_each (entry, &group->protocols)
        ((struct group_protocol *)entry->value)->votes = 0;
    map_each (entry, &group->members) {
        const struct group_member *member = entry->value;
        for (int i = 0; i < member->choice_count; i++) {
            struct group_protocol *protocol = member->choices[i].protocol;
            if ((size_t)protocol->members < group->members.count) continue;
            protocol->votes++;
            break;
        }
    }
    map_each (entry, &group->protocols) {
        const struct group_protocol *protocol = entry->value;
        if (protocol->votes > 0 && (best == NULL || protocol->votes > best->votes)) best = protocol;
    }
    return best == NULL ? SLICE_NULL : protocol_name(best);
}

struct slice members_metadata(const struct group *group, const struct group_member *member)
{
    struct slice chosen = slice_of(group->protocol_name, group->protocol_name_len);

    for (int i = 0; i < member->choice_count && group->protocol_name != NULL; i++)
        if (slice_compare(protocol_name(member->choices[i].protocol), chosen) == 0)
            return member->choices[i].metadata;
    return SLICE("");
}

/* ---- members ---- */

struct group_member *members_find(const struct group *group, struct slice id)
{
    return map_get(&group->members, id);
}

struct group_member *members_of_instance(const struct group *group, struct slice instance_id)
{
    return map_get(&group->instances, instance_id);
}

struct group_member *members_add(struct group *group, struct slice id,
                                 const struct group_join *join)
{
    struct group_member *member = ensure_zalloc(sizeof(*member));

    member->session.what = ALARM_SESSION;
    text_set(&member->id, &member->id_len, id);
    text_set(&member->instance_id, &member->instance_len, join->instance_id);
    text_set(&member->client_id, &member->client_id_len, join->client_id);
    text_set(&member->client_host, &member->client_host_len, join->client_host);
    if (group->members.count == 0)
        text_set(&group->protocol_type, &group->protocol_type_len, join->protocol_type);
    ensure(map_set(&group->members, id, member) == NULL);
    if (member->instance_id != NULL)
        ensure(map_set(&group->instances, join->instance_id, member) == NULL);
    if (group->leader == NULL) group->leader = member;
    members_update(group, member, join);
    return member;
}

static void member_free(struct group_member *member)
{
    free(member->id);
    free(member->instance_id);
    free(member->client_id);
    free(member->client_host);
    free(member->choices);
    free(member->bytes);
    free(member->assignment);
    free(member);
}

void members_remove(struct group *group, struct group_member *member)
{
    ensure(member->join == NULL && member->sync == NULL);
    members_owe_sync(group, member, false);
    timer_clear(group, &member->session);
    ensure(map_remove(&group->members, member_id(member)) == member);
    if (member->instance_id != NULL)
        ensure(map_remove(&group->instances, member_instance(member)) == member);
    choices_drop(group, member);
    if (group->leader == member) {
        struct map_entry *first = map_first(&group->members);
        group->leader = first == NULL ? NULL : first->value;
    }
    member_free(member);
}

void members_rename(struct group *group, struct group_member *member, struct slice id)
{
    ensure(map_remove(&group->members, member_id(member)) == member);
    text_set(&member->id, &member->id_len, id);
    ensure(map_set(&group->members, id, member) == NULL);
}

void members_update(struct group *group, struct group_member *member, const struct group_join *join)
{
    choices_set(group, member, join);
    member->session_ms = join->session_ms;
    member->rebalance_ms = join->rebalance_ms;
    member->may_skip = join->may_skip;
}

void members_set_assignment(struct group_member *member, struct slice bytes)
{
    free(member->assignment);
    member->assignment = NULL;
    member->assignment_len = bytes.len;
    if (bytes.len == 0) return;
    member->assignment = ensure_malloc(bytes.len);
    memcpy(member->assignment, bytes.ptr, bytes.len);
}

void members_set_call(struct group *group, struct group_member *member, void *join)
{
    group->joining += (join != NULL) - (member->join != NULL);
    member->join = join;
}

void members_owe_sync(struct group *group, struct group_member *member, bool owes)
{
    group->owing += owes - member->owes_sync;
    member->owes_sync = owes;
}

int64_t members_rebalance_ms(const struct group *group)
{
    int64_t longest = 0;

    map_each (entry, &group->members) {
        const struct group_member *member = entry->value;
        if (member->rebalance_ms > longest) longest = member->rebalance_ms;
    }
    return longest;
}

void members_free_all(struct group *group)
{
    map_each (entry, &group->members)
        member_free(entry->value);
    map_each (entry, &group->pending)
        free(entry->value);
    map_each (entry, &group->protocols)
        free(entry->value);
    map_fini(&group->members);
    map_fini(&group->instances);
    map_fini(&group->pending);
    map_fini(&group->protocols);
}

/* ---- ids that are waited for ---- */

struct group_pending *pending_find(const struct group *group, struct slice id)
{
    return map_get(&group->pending, id);
}

void pending_add(struct group *group, struct slice id, int64_t ms)
{
    struct group_pending *pending = ensure_zalloc(sizeof(*pending) + id.len + 1);

    if (group->pending.count >= PENDING_MAX)
        pending_remove(group, map_first(&group->pending)->value);
    pending->expiry.what = ALARM_PENDING;
    pending->id_len = id.len;
    memcpy(pending->id, id.ptr, id.len);
    ensure(map_set(&group->pending, id, pending) == NULL);
    timer_set(group, &pending->expiry, ms);
}

void pending_remove(struct group *group, struct group_pending *pending)
{
    timer_clear(group, &pending->expiry);
    ensure(map_remove(&group->pending, slice_of(pending->id, pending->id_len)) == pending);
    free(pending);
}
