#include "base/ensure.h"
#include "broker/group/group_private.h"
#include "wire/gen/group_metadata.h"
#include "wire/prim.h"

struct slice group_id(const struct group *group)
{
    return slice_of(group->id, group->id_len);
}

enum group_state group_state(const struct group *group)
{
    return group->state;
}

int32_t group_generation(const struct group *group)
{
    return group->generation;
}

struct slice group_protocol_type(const struct group *group)
{
    return group->protocol_type == NULL ? SLICE_NULL
                                        : slice_of(group->protocol_type, group->protocol_type_len);
}

struct slice group_protocol_name(const struct group *group)
{
    return group->protocol_name == NULL ? SLICE_NULL
                                        : slice_of(group->protocol_name, group->protocol_name_len);
}

struct slice group_leader(const struct group *group)
{
    return group->leader == NULL ? SLICE_NULL : member_id(group->leader);
}

int group_size(const struct group *group)
{
    return (int)group->members.count;
}

int64_t group_state_since_ms(const struct group *group)
{
    return group->since_ms;
}

bool group_is_blank(const struct group *group)
{
    return group->state == GROUP_EMPTY && group->generation == 0 && group->pending.count == 0;
}

const struct group_member_view *group_members(const struct group *group, struct arena *arena)
{
    struct group_member_view *views =
        arena_zalloc(arena, sizeof(*views) * (group->members.count + 1));
    int count = 0;

    map_each (entry, &group->members) {
        const struct group_member *member = entry->value;
        views[count++] = (struct group_member_view){
            .id = member_id(member),
            .instance_id = member_instance(member),
            .client_id = slice_of(member->client_id, member->client_id_len),
            .client_host = slice_of(member->client_host, member->client_host_len),
            .metadata = members_metadata(group, member),
            .assignment = member_assignment(member),
        };
    }
    return views;
}

void group_value(const struct group *group, struct arena *arena, struct group_metadata_value *out)
{
    int count = 0;

    *out = (struct group_metadata_value){
        .protocol_type = group->protocol_type == NULL ? SLICE("") : group_protocol_type(group),
        .generation = group->generation,
        .protocol = group_protocol_name(group),
        .leader = group_leader(group),
        .current_state_timestamp = group->since_ms,
    };
    out->members.at = arena_zalloc(arena, sizeof(*out->members.at) * (group->members.count + 1));
    map_each (entry, &group->members) {
        const struct group_member *member = entry->value;
        out->members.at[count++] = (struct group_metadata_value_member){
            .member_id = member_id(member),
            .group_instance_id = member_instance(member),
            .client_id = slice_of(member->client_id, member->client_id_len),
            .client_host = slice_of(member->client_host, member->client_host_len),
            .rebalance_timeout = member->rebalance_ms,
            .session_timeout = member->session_ms,
            .subscription = members_metadata(group, member),
            .assignment = member_assignment(member),
        };
    }
    out->members.count = count;
}

/* ---- subscriptions: the head that all versions of the consumer protocol have ---- */

enum subscription { SUBSCRIPTION_HAS, SUBSCRIPTION_HAS_NOT, SUBSCRIPTION_UNREADABLE };

/* Null `topic`: only whether it can be read. */
static enum subscription subscription_has(struct slice metadata, struct slice topic)
{
    struct reader in = reader_of(metadata);
    bool has = false;

    (void)reader_int16(&in);
    int32_t count = reader_int32(&in);
    if (count < 0 || in.err != ERR_OK) return SUBSCRIPTION_UNREADABLE;
    for (int32_t i = 0; i < count && in.err == ERR_OK; i++) {
        int32_t len = reader_length16(&in);
        if (len < 0) return SUBSCRIPTION_UNREADABLE;
        struct slice name = reader_bytes(&in, (size_t)len);
        has = has || (in.err == ERR_OK && slice_equal(name, topic));
    }
    if (in.err != ERR_OK) return SUBSCRIPTION_UNREADABLE;
    return has ? SUBSCRIPTION_HAS : SUBSCRIPTION_HAS_NOT;
}

bool group_knows_subscriptions(const struct group *group)
{
    if (group->protocol_type == NULL ||
        slice_compare(group_protocol_type(group), SLICE("consumer")) != 0)
        return false;
    if (group->members.count > 0 && group->protocol_name == NULL) return false;
    map_each (entry, &group->members)
        if (subscription_has(members_metadata(group, entry->value), SLICE_NULL) ==
            SUBSCRIPTION_UNREADABLE)
            return false;
    return true;
}

bool group_is_subscribed(const struct group *group, struct slice topic)
{
    if (!group_knows_subscriptions(group)) return true;
    map_each (entry, &group->members)
        if (subscription_has(members_metadata(group, entry->value), topic) == SUBSCRIPTION_HAS)
            return true;
    return false;
}

/* ---- names, audit ---- */

const char *group_state_name(enum group_state state)
{
    switch (state) {
    case GROUP_EMPTY:
        return "Empty";
    case GROUP_PREPARING:
        return "PreparingRebalance";
    case GROUP_COMPLETING:
        return "CompletingRebalance";
    case GROUP_STABLE:
        return "Stable";
    case GROUP_DEAD:
        return "Dead";
    }
    return "";
}

const char *group_type_name(enum group_type type)
{
    switch (type) {
    case GROUP_CLASSIC:
        return "classic";
    case GROUP_CONSUMER:
        return "consumer";
    case GROUP_SHARE:
        return "share";
    }
    return "";
}

static void audit_member(const struct group *group, const struct group_member *member)
{
    if (member->instance_id != NULL)
        ensure(members_of_instance(group, member_instance(member)) == member);
    ensure(pending_find(group, member_id(member)) == NULL);
    ensure(member->sync == NULL || group->state == GROUP_COMPLETING);
    ensure(!member->is_new || member->join != NULL);
    ensure(!member->owes_sync || group->state == GROUP_COMPLETING || group->state == GROUP_STABLE);
    for (int i = 0; i < member->choice_count; i++)
        ensure(map_get(&group->protocols, protocol_name(member->choices[i].protocol)) ==
               member->choices[i].protocol);
}

void group_audit(const struct group *group)
{
    int joining = 0, owing = 0;
    size_t instances = 0;

    map_each (entry, &group->members) {
        const struct group_member *member = entry->value;
        ensure(slice_equal(map_key(entry), member_id(member)));
        audit_member(group, member);
        joining += member->join != NULL;
        owing += member->owes_sync;
        instances += member->instance_id != NULL;
    }
    ensure(joining == group->joining && owing == group->owing);
    ensure(instances == group->instances.count);
    ensure((group->leader == NULL) == (group->members.count == 0) || group->state == GROUP_DEAD);
    if (group->leader != NULL)
        ensure(members_find(group, member_id(group->leader)) == group->leader);
    map_each (entry, &group->protocols) {
        const struct group_protocol *protocol = entry->value;
        ensure(protocol->members > 0 && (size_t)protocol->members <= group->members.count);
    }
    ensure(group->state != GROUP_EMPTY || group->members.count == 0);
    ensure((group->state != GROUP_STABLE && group->state != GROUP_COMPLETING) ||
           (group->members.count > 0 && group->protocol_name != NULL));
    ensure(heap_has(&group->join_timer.node) == (group->state == GROUP_PREPARING));
    ensure(!heap_has(&group->sync_timer.node) || group->state == GROUP_COMPLETING ||
           group->state == GROUP_STABLE);
    ensure(!group->is_storing || group->state == GROUP_COMPLETING);
}
