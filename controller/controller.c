/* controller/controller.c - see controller.h. */
#include "controller/controller.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "controller/admin.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

#define QUEUE_BYTES_MAX       (128u << 20) /* what a broker that does not answer is owed */
#define AGAIN_MS              1000
#define GRACE_MS              500 /* may refuse so long, who was registered before we looked */
#define GRACE_MS_MAX          600000
#define DOC_ARENA_MAX         (1u << 20)
#define REGISTRATION_EXTRA_MS 2000

static void join(struct controller *c);
static void elect(struct controller *c);
static void look(struct controller *c);
static void resign(struct controller *c);

/* ---- effects ---- */

static struct net_address address_of(const struct control_endpoint *endpoint)
{
    struct net_address address = {.port = (uint16_t)endpoint->port};

    snprintf(address.host, sizeof(address.host), "%s", endpoint->host);
    return address;
}

static void open_channel(struct controller *c, int32_t id)
{
    const struct broker *broker = context_broker(&c->context, id);
    const char *listener = c->context.config.control_listener != NULL
                               ? c->context.config.control_listener
                               : c->context.config.inter_broker_listener;
    const struct control_endpoint *endpoint =
        broker == NULL ? NULL : broker_endpoint(broker, listener);

    if (endpoint == NULL) return;
    struct net_address address = address_of(endpoint);
    channels_open(c->channels, id, &address);
    /* A broker registers before it listens. One that was there before us should listen. */
    if (!watcher_has(c->brokers, id, broker->epoch))
        watcher_add(c->brokers, id, broker->epoch, &address,
                    c->is_taking_over
                        ? GRACE_MS
                        : options_int(c->options, OPTION_CONTROLLER_BROKER_HEARTBEAT_TIMEOUT_MS));
}

static void close_channel(struct controller *c, int32_t id)
{
    const struct broker *broker = context_broker(&c->context, id);

    channels_close(c->channels, id);
    if (broker == NULL || !broker->is_suspect) watcher_remove(c->brokers, id);
}

/* Leaves the place to another, and stands again after a while. */
static void step_down(struct controller *c, int64_t hold_ms)
{
    c->is_holding = true;
    timer_arm(c->shard, &c->again, instant_add_ms(shard_now(c->shard), hold_ms));
    struct zk_op ops[] = {recipe_fence(c->context.epoch_version),
                          {.kind = ZK_DELETE, .path = PATH_CONTROLLER, .version = -1}};
    resign(c);
    if (!c->is_deposing) {
        c->is_deposing = true;
        zk_submit(c->zk, &c->depose, ops, 2);
    }
}

static void give_up(struct controller *c)
{
    log_error("controller", "take-over-failed", "epoch=%d", c->context.epoch);
    step_down(c, AGAIN_MS);
}

/* No broker answers, and ZooKeeper does: brokers whose sessions live are not all dead. Whoever
 * comes next knows nothing of them either until it has heard them, and so condemns nobody in vain.
 */
static void cut_off(void *owner)
{
    struct controller *c = owner;

    if (c->state != CONTROLLER_ACTIVE) return;
    log_error("controller", "cut-off", "epoch=%d brokers=%zu", c->context.epoch,
              c->context.brokers.count);
    step_down(c,
              2 * (int64_t)options_int(c->options, OPTION_CONTROLLER_BROKER_HEARTBEAT_TIMEOUT_MS));
}

static void perform(struct controller *c, struct effect *effect)
{
    switch (effect->type) {
    case EFFECT_ZK:
        znodes_ask(c->znodes, effect->task, c->context.epoch_version);
        break;
    case EFFECT_CONTROL:
        channels_send(c->channels, &effect->batch);
        break;
    case EFFECT_CHANNEL_OPEN:
        open_channel(c, effect->broker);
        break;
    case EFFECT_CHANNEL_CLOSE:
        close_channel(c, effect->broker);
        break;
    case EFFECT_REPLY:
        admin_answered(c->admin, &effect->event);
        break;
    case EFFECT_REBALANCE_AT:
        timer_arm(c->shard, &c->rebalance, effect->at);
        break;
    case EFFECT_TAKEN_OVER:
        c->is_taking_over = false;
        warm_stop(c->warm);
        changes_start(c->changes, options_bool(c->options, OPTION_UNCLEAN_LEADER_ELECTION_ENABLE));
        log_info("controller", "active", "epoch=%d brokers=%zu topics=%zu partitions=%d",
                 c->context.epoch, c->context.brokers.count, c->context.topics.count,
                 c->context.partition_count);
        break;
    case EFFECT_GIVE_UP:
        give_up(c);
        break;
    case EFFECT_MOVED:
        resign(c);
        elect(c);
        break;
    case EFFECT_NOTE:
        if (effect->is_warning)
            log_warn("controller", "step", "%.*s", (int)effect->text.len,
                     (const char *)effect->text.ptr);
        else
            log_debug("controller", "step", "%.*s", (int)effect->text.len,
                      (const char *)effect->text.ptr);
        break;
    }
}

/* Performs what the machines want until they want nothing more. Answers that are known at once come
 * back through here again, never from inside. */
static void drive(struct controller *c)
{
    struct effect *effect;

    if (c->is_driving) return;
    c->is_driving = true;
    while ((effect = context_take(&c->context)) != NULL) {
        perform(c, effect);
        effect_destroy(&effect);
    }
    c->is_driving = false;
    admin_check(c->admin);
}

static void tell_time(struct controller *c)
{
    c->context.now = shard_now(c->shard);
    c->context.wall_ms = env_wall_ms(c->shard->env);
}

void controller_post(struct controller *c, struct event **event)
{
    tell_time(c);
    context_post(&c->context, event);
    drive(c);
}

static void post(struct controller *c, enum event_type type)
{
    struct event *event = event_create(type);

    controller_post(c, &event);
}

static void answered(void *owner, struct task *task)
{
    struct controller *c = owner;

    tell_time(c);
    context_answered(&c->context, task);
    drive(c);
}

static void moved(void *owner)
{
    struct controller *c = owner;

    log_warn("controller", "moved", "epoch=%d", c->context.epoch);
    resign(c);
    elect(c);
}

static void channel_event(void *owner, struct event **event)
{
    controller_post(owner, event);
}

/* It has asked for a controlled shutdown in this life. */
static bool has_taken_leave(const struct controller *c, int32_t id, int64_t epoch)
{
    const struct broker *broker = context_broker(&c->context, id);

    return broker != NULL && broker->epoch == epoch && broker->is_shutting_down;
}

static void broker_verdict(void *owner, int32_t id, int64_t epoch, enum detector_verdict verdict)
{
    struct event *event =
        event_create(verdict == DETECTOR_DEAD ? EVENT_BROKER_SUSPECT : EVENT_BROKER_BACK);

    event->broker = id;
    event->broker_epoch = epoch;
    if (verdict == DETECTOR_DEAD && has_taken_leave(owner, id, epoch))
        log_info("controller", "broker-left", "broker=%d epoch=%lld", id, (long long)epoch);
    else
        log_warn("controller", verdict == DETECTOR_DEAD ? "broker-dead" : "broker-back",
                 "broker=%d epoch=%lld", id, (long long)epoch);
    controller_post(owner, &event);
}

/* It has not answered for so long that what it is owed has become too much. */
static void channel_full(void *owner, int32_t id)
{
    struct controller *c = owner;
    const struct broker *broker = context_broker(&c->context, id);

    if (broker == NULL || broker->is_suspect) return;
    watcher_condemn(c->brokers, id);
    broker_verdict(c, id, broker->epoch, DETECTOR_DEAD);
}

static void unclean_changed(void *owner, struct slice topic, bool is_enabled)
{
    struct controller *c = owner;
    bool is_news = !slice_is_null(topic) || !c->context.config.is_unclean_enabled;

    if (!is_enabled) c->context.config.is_unclean_enabled = false;
    if (!is_enabled || !is_news) return;
    struct event *event = event_create(EVENT_UNCLEAN_ENABLED);
    event->topic = arena_copy(&event->arena, topic);
    controller_post(c, &event);
}

static void rebalance_fired(struct timer *timer)
{
    post(list_entry(timer, struct controller, rebalance), EVENT_REBALANCE);
}

/* ---- resigning ---- */

static void resign(struct controller *c)
{
    if (planted(never_resigns)) return;
    timer_cancel(c->shard, &c->rebalance);
    if (c->state != CONTROLLER_ACTIVE) return;
    log_info("controller", "resigned", "epoch=%d", c->context.epoch);
    c->state = CONTROLLER_STANDBY;
    c->is_taking_over = false;
    context_resign(&c->context);
    if (c->znodes != NULL) znodes_forget(c->znodes);
    channels_close_all(c->channels);
    watcher_clear(c->brokers);
    changes_stop(c->changes);
    warm_stop(c->warm);
    warm_start(c->warm);
    drive(c);
}

/* ---- following the active controller ---- */

/* Deletes /controller if it is still the one that was watched. The epoch is read first: as long as
 * the same node stands afterwards, no election came between, so that the check fences this delete.
 */
static void depose(struct controller *c)
{
    const struct zk_op op = {.kind = ZK_GET, .path = PATH_CONTROLLER_EPOCH};

    if (c->is_deposing || c->state != CONTROLLER_STANDBY) return;
    c->is_deposing = true;
    c->deposed_id = c->leader_id;
    c->deposed_czxid = c->leader_czxid;
    zk_submit(c->zk, &c->check_epoch, &op, 1);
}

static void epoch_checked(struct zk_call *call, enum err err, const struct zk_result *results,
                          int count)
{
    struct controller *c = list_entry(call, struct controller, check_epoch);
    const struct zk_op op = {.kind = ZK_GET, .path = PATH_CONTROLLER};

    if (err != ERR_OK || count != 1 || c->state != CONTROLLER_STANDBY) {
        c->is_deposing = false;
        return;
    }
    c->deposed_epoch_version = results[0].stat.version;
    zk_submit(c->zk, &c->check_owner, &op, 1);
}

static void owner_checked(struct zk_call *call, enum err err, const struct zk_result *results,
                          int count)
{
    struct controller *c = list_entry(call, struct controller, check_owner);
    const struct zk_op ops[] = {recipe_fence(c->deposed_epoch_version),
                                {.kind = ZK_DELETE, .path = PATH_CONTROLLER, .version = -1}};

    /* Its node may have gone by itself meanwhile, and another be there: ours, even. */
    if (err != ERR_OK || count != 1 || c->state != CONTROLLER_STANDBY ||
        results[0].stat.czxid != c->deposed_czxid) {
        c->is_deposing = false;
        return;
    }
    zk_submit(c->zk, &c->depose, ops, 2);
}

static void deposed(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct controller *c = list_entry(call, struct controller, depose);

    (void)results;
    (void)count;
    c->is_deposing = false;
    log_info("controller", "deposed", "controller=%d result=%s", c->deposed_id, err_name(err));
    elect(c);
}

static void leader_verdict(void *owner, int32_t id, int64_t czxid, enum detector_verdict verdict)
{
    struct controller *c = owner;

    if (verdict != DETECTOR_DEAD || czxid != c->leader_czxid) return;
    /* Never heard may be dead, or not reachable by us: then deposing it over and over helps nobody.
     */
    bool was_heard = watcher_has_heard(c->leader, id);
    c->leader_grace_ms = was_heard                               ? GRACE_MS
                         : c->leader_grace_ms < GRACE_MS_MAX / 2 ? c->leader_grace_ms * 2
                                                                 : GRACE_MS_MAX;
    log_warn("controller", "controller-dead", "controller=%d", id);
    depose(c);
}

static void follow(struct controller *c, int32_t id, int64_t czxid);

static void found(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct controller *c = list_entry(call, struct controller, find);
    struct doc_controller_process doc;
    struct arena arena;

    c->is_finding = false;
    if (c->state != CONTROLLER_STANDBY || c->leader_id < 0) return;
    if (c->found_id != c->leader_id || c->found_czxid != c->leader_czxid) {
        /* Another was elected meanwhile: it does not live at this address. */
        follow(c, c->leader_id, c->leader_czxid);
        return;
    }
    if (err != ERR_OK || count != 1)
        return; /* an Apache controller: ZooKeeper tells when it goes */
    arena_init(&arena, DOC_ARENA_MAX);
    if (doc_controller_process_read(results[0].data, &arena, &doc) == ERR_OK &&
        doc.endpoint_count > 0) {
        struct net_address address = {.port = (uint16_t)doc.endpoints[0].port};
        snprintf(address.host, sizeof(address.host), "%.*s", SLICE_ARGS(doc.endpoints[0].host));
        watcher_clear(c->leader);
        watcher_add(c->leader, c->leader_id, c->leader_czxid, &address, c->leader_grace_ms);
    }
    arena_fini(&arena);
}

static void follow(struct controller *c, int32_t id, int64_t czxid)
{
    struct arena arena;

    if (c->leader_id != id || c->leader_czxid != czxid)
        log_info("controller", "following", "controller=%d", id);
    c->leader_id = id;
    c->leader_czxid = czxid;
    if (watcher_has(c->leader, id, czxid) || c->is_finding) return;
    watcher_clear(c->leader);
    c->is_finding = true;
    c->found_id = id;
    c->found_czxid = czxid;
    arena_init(&arena, DOC_ARENA_MAX);
    const struct zk_op op = {.kind = ZK_GET, .path = path_controller_process(&arena, id)};
    zk_submit(c->zk, &c->find, &op, 1);
    arena_fini(&arena);
}

/* ---- election ---- */

static void become_active(struct controller *c, const struct recipe_election *election)
{
    struct event *event = event_create(EVENT_TAKE_OVER);

    log_info("controller", "elected", "controller=%d epoch=%d warm=%zu", c->id, election->epoch,
             warm_count(c->warm));
    watcher_clear(c->leader);
    c->leader_id = c->id;
    c->leader_czxid = election->czxid;
    c->state = CONTROLLER_ACTIVE;
    c->is_taking_over = true;
    event->epoch = election->epoch;
    event->epoch_version = election->epoch_version;
    controller_post(c, &event);
    look(c); /* creating the node has used up the watch */
}

static void try_again(struct controller *c)
{
    timer_arm(c->shard, &c->again, instant_add_ms(shard_now(c->shard), AGAIN_MS));
}

static void again_fired(struct timer *timer)
{
    struct controller *c = list_entry(timer, struct controller, again);

    c->is_holding = false;
    if (c->state == CONTROLLER_JOINING)
        join(c);
    else if (c->state == CONTROLLER_STANDBY)
        elect(c);
}

static void elected(void *owner, enum err err, const struct recipe_election *election)
{
    struct controller *c = owner;
    bool is_wanted = c->is_election_wanted;

    c->recipe = NULL;
    c->is_election_wanted = false;
    if (c->state != CONTROLLER_STANDBY) return;
    if (err == ERR_ZK_EXPIRED || err == ERR_CANCELLED) return; /* a new session begins anew */
    if (err != ERR_OK) {
        log_warn("controller", "election-failed", "error=%s", err_name(err));
        try_again(c);
        return;
    }
    if (election->is_won) {
        become_active(c, election);
        return;
    }
    bool is_own = election->controller_id == c->id && !election->is_kraft;
    if (is_own && !is_wanted) {
        /* Left by an earlier process with our id, which is gone, since we could register; or by
         * ourselves, who have resigned. */
        c->leader_id = c->id;
        c->leader_czxid = election->czxid;
        depose(c);
        return;
    }
    if (election->controller_id >= 0 && !is_own)
        follow(c, election->controller_id, election->czxid);
    if (election->controller_id < 0 || is_wanted) elect(c);
}

static void elect(struct controller *c)
{
    struct doc_controller doc = {
        .broker_id = c->id, .timestamp_ms = env_wall_ms(c->shard->env), .kraft_epoch = -1};

    if (c->state != CONTROLLER_STANDBY || c->is_holding) return;
    if (c->recipe != NULL) {
        c->is_election_wanted = true;
        return;
    }
    buf_clear(&c->claim);
    doc_controller_write(&c->claim, &doc);
    c->recipe = recipe_elect(c->zk, c->id, buf_slice(&c->claim), elected, c);
}

/* The active one looks whether it still is: the watch is armed again with it. */
static void look(struct controller *c)
{
    const struct zk_op op = {.kind = ZK_GET, .path = PATH_CONTROLLER, .watch = true};

    if (c->is_looking) return;
    c->is_looking = true;
    zk_submit(c->zk, &c->look, &op, 1);
}

static void looked(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct controller *c = list_entry(call, struct controller, look);

    c->is_looking = false;
    if (c->state != CONTROLLER_ACTIVE) return;
    if (count == 1 && err == ERR_OK && results[0].stat.ephemeral_owner == zk_session_id(c->zk))
        return;
    if (err != ERR_OK && err != ERR_NOT_FOUND) return; /* the session ended: ZK_EXPIRED tells */
    resign(c);
    elect(c);
}

/* ---- joining ---- */

static void registered(void *owner, enum err err, int64_t czxid, int64_t session)
{
    struct controller *c = owner;

    (void)czxid;
    c->recipe = NULL;
    if (c->state != CONTROLLER_JOINING || err == ERR_CANCELLED || err == ERR_ZK_EXPIRED) return;
    if (err != ERR_OK) {
        log_error("controller", "not-registered", "controller=%d error=%s", c->id, err_name(err));
        try_again(c);
        return;
    }
    c->session_registered = session;
    c->state = CONTROLLER_STANDBY;
    warm_start(c->warm);
    log_info("controller", "registered", "controller=%d session=0x%llx", c->id,
             (unsigned long long)session);
    if (!c->has_told_ready) {
        c->has_told_ready = true;
        c->ready(c->owner);
    }
    elect(c);
}

static void write_registration(struct controller *c)
{
    struct doc_endpoint endpoints[LISTENERS_MAX];
    struct doc_controller_process doc = {.endpoints = endpoints,
                                         .timestamp_ms = env_wall_ms(c->shard->env)};

    for (int i = 0; i < c->listeners->count; i++) {
        const struct listener_setting *l = &c->listeners->at[i];

        if (!l->is_advertised) continue;
        endpoints[doc.endpoint_count++] = (struct doc_endpoint){
            .listener = l->name,
            .protocol = slice_text(security_protocol_name(l->protocol)),
            .host = l->host,
            .port = l->port != 0 ? l->port : admin_port(c->admin, i),
        };
    }
    buf_clear(&c->registration);
    doc_controller_process_write(&c->registration, &doc);
}

static void register_now(struct controller *c)
{
    struct arena arena;

    write_registration(c);
    arena_init(&arena, DOC_ARENA_MAX);
    c->recipe = recipe_register(c->zk, path_controller_process(&arena, c->id),
                                buf_slice(&c->registration), c->session_registered,
                                options_int(c->options, OPTION_ZOOKEEPER_SESSION_TIMEOUT_MS) +
                                    REGISTRATION_EXTRA_MS,
                                false, registered, c);
    arena_fini(&arena);
}

static void leftover_cleared(struct zk_call *call, enum err err, const struct zk_result *results,
                             int count)
{
    struct controller *c = list_entry(call, struct controller, leftover);
    struct doc_controller_process before;
    struct doc_controller_process ours;
    struct arena arena;

    if (c->state != CONTROLLER_JOINING) {
        c->is_clearing = false;
        return;
    }
    arena_init(&arena, DOC_ARENA_MAX);
    write_registration(c);
    /* An earlier process of ours, killed a moment ago: its session lives on, but it cannot, for the
     * address that it registered is bound by us. */
    if (!c->is_clearing && err == ERR_OK && count == 1 &&
        results[0].stat.ephemeral_owner != zk_session_id(c->zk) &&
        doc_controller_process_read(results[0].data, &arena, &before) == ERR_OK &&
        doc_controller_process_read(buf_slice(&c->registration), &arena, &ours) == ERR_OK &&
        before.endpoint_count > 0 && ours.endpoint_count > 0 &&
        before.endpoints[0].port == ours.endpoints[0].port &&
        slice_equal(before.endpoints[0].host, ours.endpoints[0].host)) {
        const struct zk_op op = {.kind = ZK_DELETE,
                                 .path = path_controller_process(&arena, c->id),
                                 .version = results[0].stat.version};
        c->is_clearing = true;
        zk_submit(c->zk, &c->leftover, &op, 1);
    } else {
        c->is_clearing = false;
        register_now(c);
    }
    arena_fini(&arena);
}

static void clear_leftover(struct controller *c)
{
    struct arena arena;

    arena_init(&arena, DOC_ARENA_MAX);
    const struct zk_op op = {.kind = ZK_GET, .path = path_controller_process(&arena, c->id)};
    c->is_clearing = false;
    zk_submit(c->zk, &c->leftover, &op, 1);
    arena_fini(&arena);
}

static void got_cluster_id(void *owner, enum err err, struct slice id)
{
    struct controller *c = owner;

    c->recipe = NULL;
    if (c->state != CONTROLLER_JOINING || err == ERR_CANCELLED || err == ERR_ZK_EXPIRED) return;
    if (err != ERR_OK) {
        log_warn("controller", "cluster-id", "error=%s", err_name(err));
        try_again(c);
        return;
    }
    snprintf(c->cluster_id, sizeof(c->cluster_id), "%.*s", SLICE_ARGS(id));
    c->has_ensured = true;
    clear_leftover(c);
}

static void ensured(void *owner, enum err err)
{
    struct controller *c = owner;
    uint64_t high = env_random(c->shard->env, "cluster-id");
    uint64_t low = env_random(c->shard->env, "cluster-id");
    char fresh[UUID_TEXT_LEN + 1];

    c->recipe = NULL;
    if (c->state != CONTROLLER_JOINING || err == ERR_CANCELLED || err == ERR_ZK_EXPIRED) return;
    if (err != ERR_OK) {
        log_warn("controller", "paths", "error=%s", err_name(err));
        try_again(c);
        return;
    }
    uuid_text(uuid_from_random(high, low), fresh);
    c->recipe = recipe_cluster_id(c->zk, slice_text(fresh), got_cluster_id, c);
}

static void join(struct controller *c)
{
    struct slice paths[64];
    int count = 0;

    /* A connection that comes back finds the steps where they were. */
    if (c->state != CONTROLLER_JOINING || c->recipe != NULL || c->leftover.sent != NULL) return;
    if (c->has_ensured) {
        clear_leftover(c);
        return;
    }
    for (int i = 0; i < path_ensured_count && count < 63; i++)
        paths[count++] = path_ensured[i];
    paths[count++] = PATH_CONTROLLERS_IDS;
    c->recipe = recipe_ensure(c->zk, paths, count, ensured, c);
}

/* ---- what ZooKeeper says ---- */

static void node_event(struct controller *c, const struct zk_event *event)
{
    static const struct {
        const char *path;
        enum zk_event_type type;
        enum event_type becomes;
    } table[] = {
        {"/brokers/ids", ZK_NODE_CHILDREN, EVENT_BROKERS_CHANGED},
        {"/brokers/topics", ZK_NODE_CHILDREN, EVENT_TOPICS_CHANGED},
        {"/admin/delete_topics", ZK_NODE_CHILDREN, EVENT_DELETIONS_CHANGED},
        {"/isr_change_notification", ZK_NODE_CHILDREN, EVENT_ISR_NOTIFIED},
        {"/log_dir_event_notification", ZK_NODE_CHILDREN, EVENT_LOG_DIRS_NOTIFIED},
        {"/admin/reassign_partitions", ZK_NODE_CREATED, EVENT_REASSIGN_NODE},
        {"/admin/preferred_replica_election", ZK_NODE_CREATED, EVENT_PREFERRED_NODE},
    };
    struct event *made;
    struct slice topic;
    int32_t number;

    if (slice_is(event->path, "/controller")) {
        if (c->state == CONTROLLER_ACTIVE)
            look(c);
        else
            elect(c);
        return;
    }
    if (slice_is(event->path, "/config/changes")) {
        changes_look(c->changes);
        return;
    }
    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (event->type == table[i].type && slice_is(event->path, table[i].path)) {
            post(c, table[i].becomes);
            return;
        }
    if (event->type != ZK_NODE_CHANGED) return;
    if (path_parse_broker(event->path, &number) == ERR_OK) {
        made = event_create(EVENT_BROKER_CHANGED);
        made->broker = number;
    } else if (path_parse_topic(event->path, &topic) == ERR_OK) {
        made = event_create(EVENT_TOPIC_CHANGED);
        made->topic = arena_copy(&made->arena, topic);
    } else if (path_parse_state(event->path, &topic, &number) == ERR_OK) {
        made = event_create(EVENT_STATE_CHANGED);
        made->topic = arena_copy(&made->arena, topic);
        made->partition = number;
    } else {
        return;
    }
    controller_post(c, &made);
}

static void zk_told(void *owner, const struct zk_event *event)
{
    struct controller *c = owner;

    if (c->state == CONTROLLER_STOPPING) return;
    switch (event->type) {
    case ZK_CONNECTED:
        if (c->state == CONTROLLER_JOINING) join(c);
        break;
    case ZK_DISCONNECTED:
        log_warn("controller", "zookeeper-away", "");
        break;
    case ZK_EXPIRED:
        log_warn("controller", "session-expired", "");
        resign(c);
        recipe_cancel(&c->recipe);
        c->is_election_wanted = false;
        c->leader_id = -1;
        watcher_clear(c->leader);
        warm_stop(c->warm);
        c->state = CONTROLLER_JOINING;
        break;
    case ZK_NEW_SESSION:
        join(c);
        break;
    case ZK_AUTH_FAILED:
        log_error("controller", "zookeeper-auth", "");
        break;
    case ZK_NODE_CREATED:
    case ZK_NODE_DELETED:
    case ZK_NODE_CHANGED:
    case ZK_NODE_CHILDREN:
        warm_event(c->warm, event);
        node_event(c, event);
        break;
    }
}

/* ---- opening, closing ---- */

static const char *listener_name(const struct listeners *listeners, int index, char **kept)
{
    struct slice name = listeners->at[index].name;

    *kept = ensure_strndup(name.ptr, name.len);
    return *kept;
}

static struct context_config config_of(struct controller *c)
{
    const struct options *o = c->options;
    enum level level = options_level(o);
    char *kept = NULL;

    return (struct context_config){
        .id = c->id,
        .inter_broker_listener = listener_name(c->listeners, c->listeners->inter_broker, &kept),
        .control_listener = c->listeners->control_plane < 0
                                ? NULL
                                : listener_name(c->listeners, c->listeners->control_plane, &kept),
        .is_delete_enabled = options_bool(o, OPTION_DELETE_TOPIC_ENABLE),
        .is_unclean_enabled = options_bool(o, OPTION_UNCLEAN_LEADER_ELECTION_ENABLE),
        .is_auto_rebalance = options_bool(o, OPTION_AUTO_LEADER_REBALANCE_ENABLE),
        .imbalance_percent = options_int(o, OPTION_LEADER_IMBALANCE_PER_BROKER_PERCENTAGE),
        .imbalance_check_ms =
            options_long(o, OPTION_LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS) * 1000,
        .has_topic_ids = level >= LEVEL_2_8_IV0,
        .has_recovery_state = level >= LEVEL_3_2_IV0,
        .has_alter_partition = level >= LEVEL_2_7_IV2,
        .has_features = level >= LEVEL_2_7_IV0,
        .feature_version = level >= LEVEL_3_3_IV0 ? 2 : 1,
        .is_in_live_brokers = options_bool(o, OPTION_CONTROLLER_IN_LIVE_BROKERS),
    };
}

/* Where Apache brokers find us; the port is known when the listener stands. */
static void set_self(struct controller *c)
{
    struct context_config *config = &c->context.config;
    const struct listener_setting *l = &c->listeners->at[c->listeners->inter_broker];

    config->self = (struct control_endpoint){
        .listener = (char *)config->inter_broker_listener,
        .host = ensure_strndup(l->host.ptr, l->host.len),
        .port = l->port != 0 ? l->port : admin_port(c->admin, c->listeners->inter_broker),
        .protocol = l->protocol,
    };
}

static void init_calls(struct controller *c)
{
    c->look = (struct zk_call){.done = looked, .retry_loss = true};
    c->find = (struct zk_call){.done = found, .retry_loss = true};
    c->check_epoch = (struct zk_call){.done = epoch_checked, .retry_loss = true};
    c->check_owner = (struct zk_call){.done = owner_checked, .retry_loss = true};
    c->depose = (struct zk_call){.done = deposed, .retry_loss = true};
    c->leftover = (struct zk_call){.done = leftover_cleared, .retry_loss = true};
    c->again.fire = again_fired;
    c->rebalance.fire = rebalance_fired;
}

static void open_drivers(struct controller *c)
{
    int64_t heartbeat_ms = options_int(c->options, OPTION_CONTROLLER_BROKER_HEARTBEAT_TIMEOUT_MS);
    struct channels_options channels = {
        .shard = c->shard,
        .controller_id = c->id,
        .versions = encode_versions(options_level(c->options)),
        .connect_timeout_ms = options_int(c->options, OPTION_CONTROLLER_SOCKET_TIMEOUT_MS),
        .request_timeout_ms = options_int(c->options, OPTION_REQUEST_TIMEOUT_MS),
        .limits = &c->limits,
        .queue_bytes_max = QUEUE_BYTES_MAX,
        .event = channel_event,
        .full = channel_full,
        .owner = c,
    };
    struct watcher_options watch = {
        .shard = c->shard, .limits = &c->limits, .timeout_ms = heartbeat_ms, .owner = c};

    c->channels = channels_create(&channels);
    watch.verdict = broker_verdict;
    watch.cut_off = cut_off;
    c->brokers = watcher_create(&watch);
    watch.cut_off = NULL;
    watch.verdict = leader_verdict;
    c->leader = watcher_create(&watch);
}

enum err controller_open(struct controller *c, struct shard *shard, const struct options *options,
                         const struct listeners *listeners, void (*ready)(void *owner),
                         void (*stopped)(void *owner), void *owner)
{
    struct zk_options zk = {
        .connect = options_text(options, OPTION_ZOOKEEPER_CONNECT),
        .session_timeout_ms = options_int(options, OPTION_ZOOKEEPER_SESSION_TIMEOUT_MS),
        .in_flight_max = options_int(options, OPTION_ZOOKEEPER_MAX_IN_FLIGHT_REQUESTS),
        .set_acl = options_bool(options, OPTION_ZOOKEEPER_SET_ACL),
    };

    *c = (struct controller){
        .shard = shard,
        .options = options,
        .listeners = listeners,
        .id = options_int(options, OPTION_CONTROLLER_ID),
        .leader_id = -1,
        .leader_grace_ms = GRACE_MS,
        .ready = ready,
        .stopped = stopped,
        .owner = owner,
    };
    init_calls(c);
    conn_limits_init(&c->limits);
    struct context_config config = config_of(c);
    context_init(&c->context, &config, env_random(shard->env, "controller"));
    open_drivers(c);
    enum err err = admin_open(c, &c->admin);
    if (err == ERR_OK) {
        set_self(c);
        err = zk_open(shard, &zk, zk_told, c, &c->zk);
    }
    if (err == ERR_OK) {
        c->warm = warm_create(shard, c->zk);
        c->changes = changes_create(c->zk, unclean_changed, c);
        c->znodes = znodes_create(shard, c->zk, c->warm, answered, moved, c);
        return ERR_OK;
    }
    if (c->admin != NULL) admin_close(c->admin);
    channels_destroy(&c->channels);
    watcher_destroy(&c->brokers);
    watcher_destroy(&c->leader);
    controller_fini(c);
    return err;
}

static void zk_closed(void *owner)
{
    struct controller *c = owner;

    znodes_destroy(&c->znodes);
    warm_destroy(&c->warm);
    changes_destroy(&c->changes);
    c->has_left = true;
    controller_check_stopped(c);
}

void controller_check_stopped(struct controller *c)
{
    if (c->state == CONTROLLER_STOPPING && c->has_left && admin_clients(c->admin) == 0)
        c->stopped(c->owner);
}

void controller_stop(struct controller *c)
{
    if (c->state == CONTROLLER_STOPPING) return;
    resign(c);
    c->state = CONTROLLER_STOPPING;
    timer_cancel(c->shard, &c->again);
    recipe_cancel(&c->recipe);
    admin_close(c->admin);
    channels_destroy(&c->channels);
    watcher_destroy(&c->brokers);
    watcher_destroy(&c->leader);
    zk_close(&c->zk, zk_closed, c);
}

void controller_fini(struct controller *c)
{
    free((void *)c->context.config.inter_broker_listener);
    free((void *)c->context.config.control_listener);
    free(c->context.config.self.host);
    context_fini(&c->context);
    admin_destroy(&c->admin);
    conn_limits_trim(&c->limits);
    buf_fini(&c->registration);
    buf_fini(&c->claim);
}
