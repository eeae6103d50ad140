#include "broker/group/group.h"
#include "base/ensure.h"
#include "broker/group/group_private.h"
#include "wire/gen/group_metadata.h"
#include <stdio.h>
#include <stdlib.h>

/* A join phase that cannot end yet is looked at again, but never at once. */
#define AGAIN_MS_MIN 100

enum store_kind { STORE_EMPTY, STORE_ASSIGNMENT, STORE_INSTANCE };

struct group_store {
    enum store_kind kind;
    int32_t generation;
    /* STORE_INSTANCE: the member as it was before, and who led then. */
    char *id, *old_id, *old_leader;
    size_t id_len, old_id_len, old_leader_len;
    int32_t old_session_ms, old_rebalance_ms;
};

/* ---- timers ---- */

void timer_clear(struct group *group, struct group_timer *timer)
{
    heap_remove(&group->timers, &timer->node);
}

/* Never in the instant that sets it, so that a tick ends. */
void timer_set(struct group *group, struct group_timer *timer, int64_t ms)
{
    timer_clear(group, timer);
    heap_add(&group->timers, &timer->node, instant_add_ms(group->now, ms < 1 ? 1 : ms).ns);
}

struct instant group_deadline(const struct group *group)
{
    const struct heap_node *first = heap_first(&group->timers);

    return first == NULL ? INSTANT_NEVER : (struct instant){first->key};
}

/* ---- states ---- */

static bool is_legal(enum group_state from, enum group_state to)
{
    switch (to) {
    case GROUP_PREPARING:
        return from == GROUP_STABLE || from == GROUP_COMPLETING || from == GROUP_EMPTY;
    case GROUP_COMPLETING:
    case GROUP_EMPTY:
        return from == GROUP_PREPARING;
    case GROUP_STABLE:
        return from == GROUP_COMPLETING;
    case GROUP_DEAD:
        return true;
    }
    return false;
}

static void set_state(struct group *group, enum group_state to)
{
    ensure(is_legal(group->state, to));
    group->state = to;
    group->since_ms = group->now_ms;
    group->is_storing = false;
}

/* ---- effects ---- */

static struct group_answer *answer(struct group_effects *out, void *call, enum err err)
{
    if (out->count == out->capacity) {
        int capacity = out->capacity == 0 ? 4 : out->capacity * 4;
        struct group_answer *more = arena_zalloc(out->arena, sizeof(*more) * (size_t)capacity);
        if (out->count > 0) memcpy(more, out->answers, sizeof(*more) * (size_t)out->count);
        out->answers = more;
        out->capacity = capacity;
    }
    struct group_answer *it = &out->answers[out->count++];
    *it = (struct group_answer){.call = call, .err = err};
    it->joined.generation = -1;
    it->joined.member_id = it->joined.leader = it->assignment = SLICE("");
    return it;
}

static void refuse_join(struct group_effects *out, void *call, struct slice id, enum err err)
{
    answer(out, call, err)->joined.member_id = arena_copy(out->arena, id);
}

/* Of a join that waits. The id is copied: the member may be gone when the answer is read. */
static void refuse_parked_join(struct group *group, struct group_member *member, struct slice id,
                               enum err err, struct group_effects *out)
{
    void *call = member->join;

    if (call == NULL) return;
    members_set_call(group, member, NULL);
    refuse_join(out, call, id, err);
}

static void answer_join(struct group *group, struct group_member *member, void *call,
                        bool with_members, struct group_effects *out)
{
    struct group_answer *it = answer(out, call, ERR_OK);

    it->joined.member_id = arena_copy(out->arena, member_id(member));
    it->joined.leader =
        group->leader == NULL ? SLICE("") : arena_copy(out->arena, member_id(group->leader));
    it->joined.generation = group->generation;
    it->protocol_type = group_protocol_type(group);
    it->protocol_name = group_protocol_name(group);
    if (!with_members) return;
    struct group_joined_member *members =
        arena_zalloc(out->arena, sizeof(*members) * (group->members.count + 1));
    int count = 0;
    map_each (entry, &group->members) {
        const struct group_member *other = entry->value;
        members[count++] = (struct group_joined_member){.id = member_id(other),
                                                        .instance_id = member_instance(other),
                                                        .metadata = members_metadata(group, other)};
    }
    it->joined.members = members;
    it->joined.member_count = count;
}

static void answer_sync(struct group *group, struct group_member *member, void *call, enum err err,
                        struct group_effects *out)
{
    struct group_answer *it = answer(out, call, err);

    if (err != ERR_OK) return;
    it->protocol_type = group_protocol_type(group);
    it->protocol_name = group_protocol_name(group);
    it->assignment = member_assignment(member);
}

static struct group_store *store_now(struct group *group, enum store_kind kind,
                                     struct group_effects *out)
{
    struct group_store *store = ensure_zalloc(sizeof(*store));

    ensure(out->store == NULL);
    store->kind = kind;
    store->generation = group->generation;
    out->store = store;
    return store;
}

void group_store_free(struct group_store **store)
{
    if (*store == NULL) return;
    free((*store)->id);
    free((*store)->old_id);
    free((*store)->old_leader);
    free(*store);
    *store = NULL;
}

/* ---- rebalancing ---- */

static void session_restart(struct group *group, struct group_member *member)
{
    timer_set(group, &member->session, member->session_ms);
}

static void answer_syncs(struct group *group, enum err err, struct group_effects *out)
{
    map_each (entry, &group->members) {
        struct group_member *member = entry->value;
        void *call = member->sync;
        if (call == NULL) continue;
        member->sync = NULL;
        answer_sync(group, member, call, err, out);
        /* Its session may have run out while it waited, which did not count. */
        session_restart(group, member);
    }
}

static void forget_syncs(struct group *group)
{
    timer_clear(group, &group->sync_timer);
    map_each (entry, &group->members)
        members_owe_sync(group, entry->value, false);
}

static void refuse_syncs(struct group *group, enum err err, struct group_effects *out)
{
    map_each (entry, &group->members)
        members_set_assignment(entry->value, SLICE(""));
    answer_syncs(group, err, out);
}

static void rebalance(struct group *group, struct group_effects *out)
{
    int64_t delay_ms = group->settings->initial_delay_ms;

    if (!is_legal(group->state, GROUP_PREPARING)) return;
    if (group->state == GROUP_COMPLETING) refuse_syncs(group, ERR_REBALANCING, out);
    forget_syncs(group);
    group->is_initial = group->state == GROUP_EMPTY;
    set_state(group, GROUP_PREPARING);
    if (group->is_initial) {
        int64_t rest = members_rebalance_ms(group) - delay_ms;
        group->initial_delay_ms = delay_ms;
        group->initial_left_ms = rest > 0 ? rest : 0;
        timer_set(group, &group->join_timer, delay_ms);
    } else {
        timer_set(group, &group->join_timer, members_rebalance_ms(group));
    }
}

/* Static members that did not come stay, until their session is over. */
static void drop_absent(struct group *group)
{
    map_each (entry, &group->members) {
        struct group_member *member = entry->value;
        if (member->join == NULL && member->instance_id == NULL) members_remove(group, member);
    }
}

/* The leader is to be one that is there. False: nobody is. */
static bool has_leader(struct group *group)
{
    if (group->leader == NULL) return false;
    if (group->leader->join != NULL) return true;
    map_each (entry, &group->members) {
        struct group_member *member = entry->value;
        if (member->join == NULL) continue;
        group->leader = member;
        return true;
    }
    return false;
}

static void next_generation(struct group *group, struct group_effects *out)
{
    struct slice protocol = members_vote(group);

    ensure(!slice_is_null(protocol));
    text_set(&group->protocol_name, &group->protocol_name_len, protocol);
    set_state(group, GROUP_COMPLETING);
    map_each (entry, &group->members) {
        struct group_member *member = entry->value;
        void *call = member->join;
        members_set_call(group, member, NULL);
        if (call != NULL) answer_join(group, member, call, member == group->leader, out);
        member->is_new = false;
        members_owe_sync(group, member, true);
        session_restart(group, member);
    }
    timer_set(group, &group->sync_timer, members_rebalance_ms(group));
}

static void complete_join(struct group *group, struct group_effects *out)
{
    drop_absent(group);
    if (!has_leader(group) && group->members.count > 0) {
        int64_t ms = members_rebalance_ms(group);
        group->is_initial = false;
        timer_set(group, &group->join_timer, ms < AGAIN_MS_MIN ? AGAIN_MS_MIN : ms);
        return;
    }
    timer_clear(group, &group->join_timer);
    group->is_initial = group->has_news = false;
    group->generation++;
    if (group->members.count > 0) {
        next_generation(group, out);
        return;
    }
    text_set(&group->protocol_name, &group->protocol_name_len, SLICE_NULL);
    set_state(group, GROUP_EMPTY);
    store_now(group, STORE_EMPTY, out);
}

static void try_complete(struct group *group, struct group_effects *out)
{
    if (group->state == GROUP_PREPARING && !group->is_initial &&
        (size_t)group->joining == group->members.count && group->pending.count == 0)
        complete_join(group, out);
}

/* ---- members come ---- */

static void add_and_rebalance(struct group *group, const struct group_join *join, struct slice id,
                              void *call, struct group_effects *out)
{
    if (group->state == GROUP_PREPARING && group->generation == 0) group->has_news = true;
    struct group_member *member = members_add(group, id, join);
    member->is_new = true;
    members_set_call(group, member, call);
    timer_set(group, &member->session, GROUP_NEW_MEMBER_MS);
    rebalance(group, out);
}

static void update_and_rebalance(struct group *group, struct group_member *member,
                                 const struct group_join *join, void *call,
                                 struct group_effects *out)
{
    /* Whoever asks again has given up its earlier question: that one is to begin again too. */
    refuse_parked_join(group, member, member_id(member), ERR_REBALANCING, out);
    members_update(group, member, join);
    members_set_call(group, member, call);
    rebalance(group, out);
}

static void store_instance(struct group *group, struct group_member *member, struct slice old_id,
                           struct slice old_leader, const struct group_member *was,
                           struct group_effects *out)
{
    struct group_store *store = store_now(group, STORE_INSTANCE, out);

    text_set(&store->id, &store->id_len, member_id(member));
    text_set(&store->old_id, &store->old_id_len, old_id);
    text_set(&store->old_leader, &store->old_leader_len, old_leader);
    store->old_session_ms = was->session_ms;
    store->old_rebalance_ms = was->rebalance_ms;
}

/* A static member that comes back without its id gets a new one; the old is fenced. */
static void replace_instance(struct group *group, struct group_member *member, struct slice id,
                             const struct group_join *join, void *call, struct group_effects *out)
{
    struct group_member was = *member; /* its timeouts */
    struct slice old_leader = arena_copy(out->arena, group_leader(group));
    struct slice old_id = arena_copy(out->arena, member_id(member));

    refuse_parked_join(group, member, old_id, ERR_FENCED_INSTANCE, out);
    if (member->sync != NULL) {
        answer_sync(group, member, member->sync, ERR_FENCED_INSTANCE, out);
        member->sync = NULL;
    }
    members_rename(group, member, id);
    session_restart(group, member);
    members_update(group, member, join);
    members_set_call(group, member, call);
    if (group->state == GROUP_COMPLETING) rebalance(group, out);
    if (group->state != GROUP_STABLE) return;
    if (slice_compare(members_vote(group), group_protocol_name(group)) == 0)
        store_instance(group, member, old_id, old_leader, &was, out);
    else
        rebalance(group, out);
}

static struct slice fresh_id(const struct group_join *join, struct arena *arena)
{
    struct slice head = slice_is_null(join->instance_id) ? join->client_id : join->instance_id;

    return arena_printf(arena, "%.*s-%.*s", SLICE_ARGS(head), SLICE_ARGS(join->unique));
}

static void join_new(struct group *group, const struct group_event *event,
                     struct group_effects *out)
{
    const struct group_join *join = &event->join;
    struct slice id = fresh_id(join, out->arena);

    if (!members_can_join(group, join)) {
        refuse_join(out, event->call, SLICE(""), ERR_PROTOCOL);
    } else if (!slice_is_null(join->instance_id)) {
        struct group_member *known = members_of_instance(group, join->instance_id);
        if (known == NULL)
            add_and_rebalance(group, join, id, event->call, out);
        else
            replace_instance(group, known, id, join, event->call, out);
    } else if (join->must_know_id) {
        pending_add(group, id, join->session_ms);
        refuse_join(out, event->call, id, ERR_MEMBER_ID_REQUIRED);
    } else {
        add_and_rebalance(group, join, id, event->call, out);
    }
}

/* ERR_OK: `*out` is who speaks. */
static enum err check_member(const struct group *group, struct slice id, struct slice instance_id,
                             struct group_member **out)
{
    struct group_member *member = members_find(group, id);

    if (!slice_is_null(instance_id)) {
        struct group_member *known = members_of_instance(group, instance_id);
        if (known == NULL) return ERR_UNKNOWN_MEMBER;
        if (known != member) return ERR_FENCED_INSTANCE;
    }
    if (member == NULL) return ERR_UNKNOWN_MEMBER;
    *out = member;
    return ERR_OK;
}

static void join_known(struct group *group, struct group_member *member,
                       const struct group_event *event, struct group_effects *out)
{
    const struct group_join *join = &event->join;
    bool is_same = members_match(member, join), is_leader = member == group->leader;

    switch (group->state) {
    case GROUP_PREPARING:
        update_and_rebalance(group, member, join, event->call, out);
        return;
    case GROUP_COMPLETING: /* the answer may have been lost */
        if (is_same)
            answer_join(group, member, event->call, is_leader, out);
        else
            update_and_rebalance(group, member, join, event->call, out);
        return;
    case GROUP_STABLE: /* a leader that joins has seen that topics changed */
        if (is_same && !is_leader)
            answer_join(group, member, event->call, false, out);
        else
            update_and_rebalance(group, member, join, event->call, out);
        return;
    case GROUP_EMPTY:
    case GROUP_DEAD:
        break;
    }
    refuse_join(out, event->call, join->member_id, ERR_UNKNOWN_MEMBER);
}

static void join_again(struct group *group, const struct group_event *event,
                       struct group_effects *out)
{
    const struct group_join *join = &event->join;
    struct group_pending *pending = pending_find(group, join->member_id);
    struct group_member *member = NULL;

    if (!members_can_join(group, join)) {
        refuse_join(out, event->call, join->member_id, ERR_PROTOCOL);
        return;
    }
    if (pending != NULL && !slice_is_null(join->instance_id)) {
        /* The id was given to a dynamic member. */
        refuse_join(out, event->call, join->member_id, ERR_INVALID);
        return;
    }
    if (pending != NULL) {
        pending_remove(group, pending);
        add_and_rebalance(group, join, join->member_id, event->call, out);
        return;
    }
    enum err err = check_member(group, join->member_id, join->instance_id, &member);
    if (err != ERR_OK)
        refuse_join(out, event->call, join->member_id, err);
    else
        join_known(group, member, event, out);
}

/* While they join, those who wait count: so the last to come are the ones too many. */
static bool has_room(const struct group *group, const struct group_member *member)
{
    switch (group->state) {
    case GROUP_EMPTY:
    case GROUP_DEAD:
        return true;
    case GROUP_PREPARING:
        return (member != NULL && member->join != NULL) ||
               group->joining < group->settings->size_max;
    case GROUP_COMPLETING:
    case GROUP_STABLE:
        return member != NULL || group->members.count < (size_t)group->settings->size_max;
    }
    return false;
}

/* A sync that waits goes with its member. */
static void remove_member(struct group *group, struct group_member *member, enum err err,
                          struct group_effects *out)
{
    refuse_parked_join(group, member, SLICE(""), err, out);
    if (member->sync != NULL) {
        answer_sync(group, member, member->sync, err, out);
        member->sync = NULL;
    }
    members_remove(group, member);
}

static void on_join(struct group *group, const struct group_event *event, struct group_effects *out)
{
    const struct group_join *join = &event->join;
    bool is_new = join->member_id.len == 0;
    struct group_member *member = is_new ? NULL : members_find(group, join->member_id);
    struct group_pending *pending = is_new ? NULL : pending_find(group, join->member_id);

    if (group->state == GROUP_DEAD) {
        refuse_join(out, event->call, is_new ? SLICE("") : join->member_id, ERR_NO_COORDINATOR);
    } else if (!has_room(group, member)) {
        if (pending != NULL) pending_remove(group, pending);
        if (member != NULL) remove_member(group, member, ERR_UNKNOWN_MEMBER, out);
        refuse_join(out, event->call, SLICE(""), ERR_GROUP_FULL);
    } else if (is_new) {
        join_new(group, event, out);
    } else {
        join_again(group, event, out);
    }
}

/* ---- sync ---- */

static enum err check_sync(const struct group *group, const struct group_sync *sync,
                           struct group_member **out)
{
    if (group->state == GROUP_DEAD) return ERR_NO_COORDINATOR;
    enum err err = check_member(group, sync->member_id, sync->instance_id, out);
    if (err != ERR_OK) return err;
    if (sync->generation != group->generation) return ERR_ILLEGAL_GENERATION;
    if (!slice_is_null(sync->protocol_type) &&
        !slice_equal(sync->protocol_type, group_protocol_type(group)))
        return ERR_PROTOCOL;
    if (!slice_is_null(sync->protocol_name) &&
        !slice_equal(sync->protocol_name, group_protocol_name(group)))
        return ERR_PROTOCOL;
    return ERR_OK;
}

static void has_synced(struct group *group, struct group_member *member)
{
    members_owe_sync(group, member, false);
    if (group->owing == 0) timer_clear(group, &group->sync_timer);
}

/* Known to the log first: members hear of it when GROUP_STORED says so. */
static void store_assignment(struct group *group, const struct group_sync *sync,
                             struct group_effects *out)
{
    map_each (entry, &group->members)
        members_set_assignment(entry->value, SLICE(""));
    for (int i = 0; i < sync->assignment_count; i++) {
        struct group_member *member = members_find(group, sync->assignments[i].member_id);
        if (member != NULL) members_set_assignment(member, sync->assignments[i].bytes);
    }
    group->is_storing = true;
    store_now(group, STORE_ASSIGNMENT, out);
}

static void on_sync(struct group *group, const struct group_event *event, struct group_effects *out)
{
    struct group_member *member = NULL;
    enum err err = check_sync(group, &event->sync, &member);

    if (err == ERR_OK && group->state == GROUP_EMPTY) err = ERR_UNKNOWN_MEMBER;
    if (err == ERR_OK && group->state == GROUP_PREPARING) err = ERR_REBALANCING;
    if (err != ERR_OK) {
        answer_sync(group, member, event->call, err, out);
        return;
    }
    has_synced(group, member);
    if (group->state == GROUP_STABLE) {
        answer_sync(group, member, event->call, ERR_OK, out);
        session_restart(group, member);
        return;
    }
    if (member->sync != NULL) answer_sync(group, member, member->sync, ERR_REBALANCING, out);
    member->sync = event->call;
    if (member == group->leader && !group->is_storing) store_assignment(group, &event->sync, out);
}

/* ---- heartbeat, commit ---- */

static enum err check_voice(const struct group *group, const struct group_voice *voice,
                            struct group_member **out)
{
    enum err err = check_member(group, voice->member_id, voice->instance_id, out);

    if (err != ERR_OK) return err;
    return voice->generation == group->generation ? ERR_OK : ERR_ILLEGAL_GENERATION;
}

static enum err heartbeat(struct group *group, const struct group_voice *voice)
{
    struct group_member *member = NULL;

    if (group->state == GROUP_DEAD) return ERR_NO_COORDINATOR;
    enum err err = check_voice(group, voice, &member);
    if (err != ERR_OK) return err;
    if (group->state == GROUP_EMPTY) return ERR_UNKNOWN_MEMBER;
    session_restart(group, member);
    return group->state == GROUP_PREPARING ? ERR_REBALANCING : ERR_OK;
}

static enum err commit(struct group *group, const struct group_voice *voice)
{
    struct group_member *member = NULL;
    bool is_named =
        voice->generation >= 0 || voice->member_id.len > 0 || !slice_is_null(voice->instance_id);

    if (group->state == GROUP_DEAD) return ERR_NO_COORDINATOR;
    if (voice->generation < 0 && group->state == GROUP_EMPTY) return ERR_OK;
    enum err err = is_named ? check_voice(group, voice, &member) : ERR_OK;
    if (err != ERR_OK) return err;
    if (voice->is_transactional) return ERR_OK;
    if (!is_named && group->state != GROUP_EMPTY) return ERR_UNKNOWN_MEMBER;
    if (group->state == GROUP_COMPLETING) return ERR_REBALANCING;
    if (member != NULL) session_restart(group, member);
    return ERR_OK;
}

/* ---- members go ---- */

static void remove_and_rebalance(struct group *group, struct group_member *member,
                                 struct group_effects *out)
{
    remove_member(group, member, ERR_UNKNOWN_MEMBER, out);
    rebalance(group, out); /* unless it does so already */
}

static enum err leave(struct group *group, const struct group_leaver *leaver,
                      struct group_effects *out)
{
    struct group_member *member = NULL;
    struct group_pending *pending =
        leaver->member_id.len == 0 ? NULL : pending_find(group, leaver->member_id);
    enum err err = ERR_OK;

    if (pending != NULL) {
        pending_remove(group, pending);
        return ERR_OK;
    }
    if (leaver->member_id.len == 0) {
        if (!slice_is_null(leaver->instance_id))
            member = members_of_instance(group, leaver->instance_id);
        err = member == NULL ? ERR_UNKNOWN_MEMBER : ERR_OK;
    } else {
        err = check_member(group, leaver->member_id, leaver->instance_id, &member);
    }
    if (err == ERR_OK) remove_and_rebalance(group, member, out);
    return err;
}

static void on_leave(struct group *group, const struct group_event *event,
                     struct group_effects *out)
{
    enum err *left = arena_zalloc(out->arena, sizeof(*left) * (size_t)(event->leave.count + 1));

    if (group->state == GROUP_DEAD) {
        answer(out, event->call, ERR_NO_COORDINATOR);
        return;
    }
    for (int i = 0; i < event->leave.count; i++)
        left[i] = leave(group, &event->leave.leavers[i], out);
    answer(out, event->call, ERR_OK)->left = left;
}

/* ---- stored ---- */

static void assignment_stored(struct group *group, const struct group_store *store, enum err err,
                              struct group_effects *out)
{
    if (group->state != GROUP_COMPLETING || store->generation != group->generation) return;
    group->is_storing = false;
    if (err != ERR_OK) {
        refuse_syncs(group, err, out);
        rebalance(group, out);
        return;
    }
    set_state(group, GROUP_STABLE);
    answer_syncs(group, ERR_OK, out);
}

/* The log does not know the new id: the old one is the member again. */
static void restore_instance(struct group *group, struct group_member *member,
                             const struct group_store *store, enum err err,
                             struct group_effects *out)
{
    struct slice old_id = slice_of(store->old_id, store->old_id_len);
    void *call = member->join;

    if (call != NULL) {
        members_set_call(group, member, NULL);
        struct group_answer *it = answer(out, call, err);
        it->joined.generation = group->generation;
        it->joined.leader =
            arena_copy(out->arena, slice_of(store->old_leader, store->old_leader_len));
        it->protocol_type = group_protocol_type(group);
        it->protocol_name = group_protocol_name(group);
    }
    if (members_find(group, old_id) != NULL || pending_find(group, old_id) != NULL) return;
    members_rename(group, member, old_id);
    member->session_ms = store->old_session_ms;
    member->rebalance_ms = store->old_rebalance_ms;
    session_restart(group, member);
}

static void instance_stored(struct group *group, const struct group_store *store, enum err err,
                            struct group_effects *out)
{
    struct group_member *member = members_find(group, slice_of(store->id, store->id_len));

    /* In a rebalance that began meanwhile it joins like all others, and the next record has it. */
    if (member == NULL || group->state != GROUP_STABLE || store->generation != group->generation)
        return;
    if (err != ERR_OK) {
        restore_instance(group, member, store, err, out);
        return;
    }
    void *call = member->join;
    if (call == NULL) return;
    members_set_call(group, member, NULL);
    bool skips = member->may_skip && member == group->leader;
    answer_join(group, member, call, skips, out);
    struct group_answer *it = &out->answers[out->count - 1];
    it->joined.skips_assignment = skips;
    /* Who does not know how to skip must not believe that it leads. */
    if (!member->may_skip)
        it->joined.leader =
            arena_copy(out->arena, slice_of(store->old_leader, store->old_leader_len));
}

static void on_stored(struct group *group, const struct group_event *event,
                      struct group_effects *out)
{
    struct group_store *store = event->stored.store;

    switch (store->kind) {
    case STORE_EMPTY:
        break;
    case STORE_ASSIGNMENT:
        assignment_stored(group, store, event->stored.err, out);
        break;
    case STORE_INSTANCE:
        instance_stored(group, store, event->stored.err, out);
        break;
    }
    group_store_free(&store);
}

/* ---- time ---- */

/* Who waits here is alive, unless it waits for its first answer: that one is given so much time. */
static void session_over(struct group *group, struct group_member *member,
                         struct group_effects *out)
{
    if (!member->is_new && (member->join != NULL || member->sync != NULL)) return;
    remove_and_rebalance(group, member, out);
}

static void join_over(struct group *group, struct group_effects *out)
{
    if (!group->is_initial || !group->has_news || group->initial_left_ms == 0) {
        complete_join(group, out);
        return;
    }
    /* More came while the first were waited for: so may others. */
    int64_t delay = group->settings->initial_delay_ms;
    int64_t left = group->initial_left_ms - group->initial_delay_ms;
    group->has_news = false;
    group->initial_delay_ms = delay < group->initial_left_ms ? delay : group->initial_left_ms;
    group->initial_left_ms = left > 0 ? left : 0;
    timer_set(group, &group->join_timer, group->initial_delay_ms);
}

static void sync_over(struct group *group, struct group_effects *out)
{
    if (group->owing == 0) return;
    map_each (entry, &group->members) {
        struct group_member *member = entry->value;
        if (member->owes_sync) remove_member(group, member, ERR_UNKNOWN_MEMBER, out);
    }
    rebalance(group, out);
}

static void alarm_rings(struct group *group, struct group_timer *timer, struct group_effects *out)
{
    switch (timer->what) {
    case ALARM_SESSION:
        session_over(group, (struct group_member *)(void *)timer, out);
        return;
    case ALARM_PENDING:
        pending_remove(group, (struct group_pending *)(void *)timer);
        return;
    case ALARM_JOIN:
        join_over(group, out);
        return;
    case ALARM_SYNC:
        sync_over(group, out);
        return;
    }
}

static void on_tick(struct group *group, struct group_effects *out)
{
    struct heap_node *first;

    while ((first = heap_first(&group->timers)) != NULL &&
           instant_reached(group->now, (struct instant){first->key})) {
        heap_remove(&group->timers, first);
        alarm_rings(group, heap_entry(first, struct group_timer, node), out);
        /* Before the next alarm: the join phase may be over with this one. */
        try_complete(group, out);
        if (out->store != NULL) break; /* one record a step: the rest with the next tick */
    }
}

/* ---- ends ---- */

static void end(struct group *group, enum err err, struct group_effects *out)
{
    map_each (entry, &group->members) {
        struct group_member *member = entry->value;
        refuse_parked_join(group, member, member_id(member), err, out);
        if (member->sync == NULL) continue;
        answer_sync(group, member, member->sync, err, out);
        member->sync = NULL;
    }
    forget_syncs(group);
    timer_clear(group, &group->join_timer);
    map_each (entry, &group->members)
        members_remove(group, entry->value);
    map_each (entry, &group->pending)
        pending_remove(group, entry->value);
    set_state(group, GROUP_DEAD);
}

/* ---- the step ---- */

void group_step(struct group *group, const struct group_event *event, struct group_effects *out)
{
    struct group_voice voice;

    *out = (struct group_effects){.arena = out->arena};
    group->now = event->now;
    group->now_ms = event->now_ms;
    switch (event->type) {
    case GROUP_JOIN:
        on_join(group, event, out);
        break;
    case GROUP_SYNC:
        on_sync(group, event, out);
        break;
    case GROUP_HEARTBEAT:
        voice = event->voice;
        answer(out, event->call, heartbeat(group, &voice));
        break;
    case GROUP_LEAVE:
        on_leave(group, event, out);
        break;
    case GROUP_COMMIT:
        answer(out, event->call, commit(group, &event->voice));
        break;
    case GROUP_STORED:
        on_stored(group, event, out);
        break;
    case GROUP_TICK:
        on_tick(group, out);
        break;
    case GROUP_UNLOAD:
        end(group, ERR_NOT_COORDINATOR, out);
        break;
    case GROUP_KILL:
        end(group, ERR_NO_COORDINATOR, out);
        break;
    }
    try_complete(group, out);
    ensure_slow((group_audit(group), true));
}

/* ---- life ---- */

struct group *group_create(struct slice id, const struct group_settings *settings, int64_t now_ms)
{
    struct group *group = ensure_zalloc(sizeof(*group) + id.len + 1);

    group->settings = settings;
    group->since_ms = now_ms;
    group->join_timer.what = ALARM_JOIN;
    group->sync_timer.what = ALARM_SYNC;
    map_init(&group->members);
    map_init(&group->instances);
    map_init(&group->pending);
    map_init(&group->protocols);
    heap_init(&group->timers);
    group->id_len = id.len;
    if (id.len > 0) memcpy(group->id, id.ptr, id.len);
    return group;
}

void group_destroy(struct group **it)
{
    struct group *group = *it;

    if (group == NULL) return;
    members_free_all(group);
    heap_fini(&group->timers);
    free(group->protocol_type);
    free(group->protocol_name);
    free(group);
    *it = NULL;
}

static void restore_member(struct group *group, struct slice protocol_type, struct slice protocol,
                           const struct group_metadata_value_member *from)
{
    struct group_offer offer = {.name = protocol, .metadata = from->subscription};
    struct group_join join = {
        .instance_id = from->group_instance_id,
        .client_id = from->client_id,
        .client_host = from->client_host,
        .protocol_type = protocol_type,
        .protocols = &offer,
        .protocol_count = 1,
        .session_ms = from->session_timeout,
        .rebalance_ms =
            from->rebalance_timeout < 0 ? from->session_timeout : from->rebalance_timeout,
    };

    /* A log that says so is not ours: the first counts. */
    if (members_find(group, from->member_id) != NULL) return;
    if (!slice_is_null(join.instance_id) && members_of_instance(group, join.instance_id) != NULL)
        return;
    struct group_member *member = members_add(group, from->member_id, &join);
    members_set_assignment(member, from->assignment);
    session_restart(group, member);
}

void group_restore(struct group *group, const struct group_metadata_value *value,
                   struct instant now, int64_t now_ms)
{
    struct slice protocol = slice_is_null(value->protocol) ? SLICE("") : value->protocol;
    struct group_effects none = {0};

    ensure(group->members.count == 0 && group->state == GROUP_EMPTY);
    group->now = now;
    group->now_ms = now_ms;
    group->since_ms = value->current_state_timestamp;
    group->generation = value->generation;
    if (value->protocol_type.len > 0)
        text_set(&group->protocol_type, &group->protocol_type_len, value->protocol_type);
    for (int32_t i = 0; i < value->members.count; i++)
        restore_member(group, value->protocol_type, protocol, &value->members.at[i]);
    if (group->members.count == 0) return;
    text_set(&group->protocol_name, &group->protocol_name_len, protocol);
    if (!slice_is_null(value->leader)) {
        struct group_member *leader = members_find(group, value->leader);
        if (leader != NULL) group->leader = leader;
    }
    group->state = GROUP_STABLE;
    if (group->members.count > (size_t)group->settings->size_max) rebalance(group, &none);
    ensure(none.count == 0 && none.store == NULL);
}
