/* controller/admin_configs.c - AlterConfigs and IncrementalAlterConfigs: reads an entity's
 * overrides, changes them, writes them back under their version and this controller's epoch, and
 * notifies the brokers, all in one multi. Who comes second reads again. Rules: apis.md §10.2,
 * zookeeper.md §9. */
#include "base/ensure.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/alter.h"
#include "controller/asked.h"
#include "wire/gen/alter_configs.h"
#include "wire/gen/incremental_alter_configs.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include "zk/recipes.h"
#include <stdlib.h>

#define DOC_ARENA_MAX   (64u << 20)
#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4
#define TRIES_MAX       20

/* One resource of a request. In the request's arena. */
struct entity_work {
    struct entity_works *works;
    struct zk_call call;
    int8_t type;
    struct slice name;
    struct path_entity entity;
    enum alter_entity kind;
    struct alteration *changes;
    int change_count;
    int tries;
    bool is_writing; /* else reading */
    int16_t error;
    struct slice message; /* of a refusal: in the arena, or static */
};

struct entity_works {
    struct asked *asked;
    struct entity_work *at;
    int32_t count, pending;
    bool is_incremental, is_validate_only;
};

static void refuse(struct entity_work *work, int16_t error, const char *message)
{
    work->error = error;
    work->message = slice_text(message);
}

static int16_t code_of(enum alter_result result)
{
    switch (result) {
    case ALTER_OK:
        return KAFKA_NONE;
    case ALTER_INVALID_REQUEST:
        return KAFKA_INVALID_REQUEST;
    case ALTER_INVALID_CONFIG:
        return KAFKA_INVALID_CONFIG;
    case ALTER_UNKNOWN_ERROR:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

/* ---- the answer ---- */

static void reply(struct entity_works *works)
{
    struct asked *asked = works->asked;
    size_t room = (size_t)(works->count + 1);

    if (works->is_incremental) {
        struct incremental_alter_configs_response response;
        wire_default(&incremental_alter_configs_response_wire, &response);
        response.responses.at = asked_alloc(asked, room * sizeof(*response.responses.at));
        response.responses.count = works->count;
        for (int32_t i = 0; i < works->count; i++)
            response.responses.at[i] = (struct incremental_alter_configs_response_response){
                .error_code = works->at[i].error,
                .error_message = works->at[i].message,
                .resource_type = works->at[i].type,
                .resource_name = works->at[i].name,
            };
        asked_reply(asked, &incremental_alter_configs_response_wire, &response);
        return;
    }
    struct alter_configs_response response;
    wire_default(&alter_configs_response_wire, &response);
    response.responses.at = asked_alloc(asked, room * sizeof(*response.responses.at));
    response.responses.count = works->count;
    for (int32_t i = 0; i < works->count; i++)
        response.responses.at[i] = (struct alter_configs_response_response){
            .error_code = works->at[i].error,
            .error_message = works->at[i].message,
            .resource_type = works->at[i].type,
            .resource_name = works->at[i].name,
        };
    asked_reply(asked, &alter_configs_response_wire, &response);
}

static void done(struct entity_work *work)
{
    if (--work->works->pending == 0) reply(work->works);
}

static void fail(struct entity_work *work, enum err err)
{
    bool is_over = err == ERR_ZK_EXPIRED || err == ERR_CANCELLED || err == ERR_NOT_CONTROLLER;

    log_warn("controller", "config-not-written", "type=%d name=%.*s error=%s", work->type,
             SLICE_ARGS(work->name), err_name(err));
    refuse(work, is_over ? KAFKA_NOT_CONTROLLER : KAFKA_UNKNOWN_SERVER_ERROR, err_text(err));
    done(work);
}

/* ---- the znodes ---- */

static void on_answer(struct zk_call *call, enum err err, const struct zk_result *results,
                      int count);

static void read_entity(struct entity_work *work)
{
    struct asked *asked = work->works->asked;
    const struct zk_op op = {.kind = ZK_GET, .path = path_config(&asked->arena, &work->entity)};

    work->is_writing = false;
    work->call = (struct zk_call){.done = on_answer, .retry_loss = true};
    zk_submit(asked->controller->zk, &work->call, &op, 1);
}

static void write_entity(struct entity_work *work, const struct doc_config *doc, int32_t version)
{
    struct asked *asked = work->works->asked;
    struct controller *c = asked->controller;
    struct buf json = {0}, change = {0};

    doc_config_write(&json, doc);
    doc_config_change_write(&change, path_entity(&asked->arena, &work->entity));
    const struct zk_op ops[] = {
        recipe_fence(c->context.epoch_version),
        {.kind = version < 0 ? ZK_CREATE : ZK_SET,
         .path = path_config(&asked->arena, &work->entity),
         .data = buf_slice(&json),
         .version = version},
        {.kind = ZK_CREATE,
         .path = PATH_CONFIG_CHANGE_NEW,
         .data = buf_slice(&change),
         .is_sequential = true},
    };
    work->is_writing = true;
    work->call = (struct zk_call){.done = on_answer, .retry_loss = true};
    zk_submit(c->zk, &work->call, ops, sizeof(ops) / sizeof(ops[0]));
    buf_fini(&json);
    buf_fini(&change);
}

/* The stored overrides with the changes; false: refused. */
static bool make(struct entity_work *work, const struct doc_config *now, struct doc_config *out)
{
    struct asked *asked = work->works->asked;
    const struct options *options = asked->controller->options;
    int now_count = work->works->is_incremental ? now->count : 0;
    struct option_pair *stored = asked_alloc(asked, (size_t)(now_count + 1) * sizeof(*stored));
    struct option_pair *pairs = NULL;
    struct buf message = {0};
    int count = 0;

    for (int i = 0; i < now_count; i++)
        stored[i] = (struct option_pair){now->entries[i].name, now->entries[i].value};
    enum alter_result result =
        alter_apply(work->kind, stored, now_count, work->changes, work->change_count, &asked->arena,
                    &pairs, &count, &message);
    if (result == ALTER_OK && work->kind == ALTER_TOPIC &&
        topic_options_check(options, pairs, count, &message) != ERR_OK)
        result = ALTER_INVALID_CONFIG;
    if (result == ALTER_OK && work->kind != ALTER_TOPIC)
        result = alter_check_broker(options, work->kind, pairs, count, work->changes,
                                    work->change_count, &message);
    if (result != ALTER_OK) {
        work->error = code_of(result);
        work->message = arena_copy(&asked->arena, buf_slice(&message));
    } else {
        *out = (struct doc_config){
            .entries = asked_alloc(asked, (size_t)(count + 1) * sizeof(*out->entries)),
            .count = count,
            .extra = now->extra,
        };
        for (int i = 0; i < count; i++)
            out->entries[i] = (struct doc_config_entry){pairs[i].key, pairs[i].value};
    }
    buf_fini(&message);
    return result == ALTER_OK;
}

static void change(struct entity_work *work, struct slice json, int32_t version)
{
    struct asked *asked = work->works->asked;
    struct doc_config now = {0}, next;

    /* What is stored and cannot be read is replaced by what is set whole. */
    enum err err = doc_config_read(arena_copy(&asked->arena, json), &asked->arena, &now);
    if (err != ERR_OK && work->works->is_incremental) {
        fail(work, err);
        return;
    }
    if (!make(work, &now, &next) || work->works->is_validate_only)
        done(work);
    else
        write_entity(work, &next, version);
}

static void on_answer(struct zk_call *call, enum err err, const struct zk_result *results,
                      int count)
{
    struct entity_work *work = list_entry(call, struct entity_work, call);

    if (!work->is_writing) {
        if (err == ERR_OK && count == 1)
            change(work, results[0].data, results[0].stat.version);
        else if (err == ERR_NOT_FOUND)
            change(work, SLICE(""), -1);
        else
            fail(work, err);
        return;
    }
    err = recipe_fenced_err(err, results, count);
    bool is_overtaken = err == ERR_ZK_VERSION || err == ERR_EXISTS || err == ERR_NOT_FOUND;
    if (err == ERR_OK) {
        log_info("controller", "config-altered", "type=%d name=%.*s changes=%d", work->type,
                 SLICE_ARGS(work->name), work->change_count);
        done(work);
    } else if (is_overtaken && ++work->tries < TRIES_MAX) {
        read_entity(work);
    } else {
        fail(work, err);
    }
}

/* ---- the requests ---- */

static bool take_topic(struct entity_work *work)
{
    const struct context *context = &work->works->asked->controller->context;

    work->kind = ALTER_TOPIC;
    work->entity = (struct path_entity){.type = PATH_ENTITY_TOPIC, .name = work->name};
    if (work->name.len == 0)
        refuse(work, KAFKA_INVALID_REQUEST, "a topic without a name");
    else if (context_topic(context, work->name) == NULL)
        refuse(work, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic");
    return work->error == KAFKA_NONE;
}

static bool take_broker(struct entity_work *work)
{
    int64_t id;

    work->kind = work->name.len == 0 ? ALTER_ALL_BROKERS : ALTER_BROKER;
    work->entity = (struct path_entity){.type = PATH_ENTITY_BROKER,
                                        .name = work->name.len == 0 ? SLICE_NULL : work->name};
    if (work->name.len > 0 && text_int(work->name, 0, INT32_MAX, &id) != ERR_OK)
        refuse(work, KAFKA_INVALID_REQUEST, "not the id of a broker");
    return work->error == KAFKA_NONE;
}

static bool is_repeated(const struct entity_works *works, int32_t at)
{
    for (int32_t i = 0; i < works->count; i++)
        if (i != at && works->at[i].type == works->at[at].type &&
            slice_equal(works->at[i].name, works->at[at].name))
            return true;
    return false;
}

static void begin(struct entity_works *works)
{
    struct controller *c = works->asked->controller;
    bool is_ours = controller_is_active(c) && !c->is_taking_over;

    works->pending = 1;
    for (int32_t i = 0; i < works->count; i++) {
        struct entity_work *work = &works->at[i];
        bool is_taken = false;

        if (!is_ours)
            refuse(work, KAFKA_NOT_CONTROLLER, NULL);
        else if (is_repeated(works, i))
            refuse(work, KAFKA_INVALID_REQUEST, "the resource comes twice in the request");
        else if (work->type == RESOURCE_TOPIC)
            is_taken = take_topic(work);
        else if (work->type == RESOURCE_BROKER)
            is_taken = take_broker(work);
        else
            refuse(work, KAFKA_INVALID_REQUEST, "resource type not known");
        if (!is_taken) continue;
        works->pending++;
        read_entity(work);
    }
    if (--works->pending == 0) reply(works);
}

static struct entity_works *works_make(struct asked *asked, int32_t count, bool is_validate_only)
{
    struct entity_works *works = asked_alloc(asked, sizeof(*works));

    works->asked = asked;
    works->is_validate_only = is_validate_only;
    works->count = count > 0 ? count : 0;
    works->at = asked_alloc(asked, (size_t)(works->count + 1) * sizeof(*works->at));
    return works;
}

static struct entity_work *take(struct entity_works *works, int32_t at, int8_t type,
                                struct slice name, int32_t changes)
{
    struct entity_work *work = &works->at[at];

    work->works = works;
    work->type = type;
    work->name = name;
    work->message = SLICE_NULL;
    work->change_count = changes > 0 ? changes : 0;
    work->changes =
        asked_alloc(works->asked, (size_t)(work->change_count + 1) * sizeof(*work->changes));
    return work;
}

void ask_incremental_alter_configs(struct asked *asked)
{
    struct incremental_alter_configs_request *in = asked_alloc(asked, sizeof(*in));

    if (!asked_read(asked, &incremental_alter_configs_request_wire, in)) return;
    struct entity_works *works = works_make(asked, in->resources.count, in->validate_only);
    works->is_incremental = true;
    for (int32_t i = 0; i < works->count; i++) {
        const struct incremental_alter_configs_request_resource *from = &in->resources.at[i];
        struct entity_work *work =
            take(works, i, from->resource_type, from->resource_name, from->configs.count);
        for (int k = 0; k < work->change_count; k++)
            work->changes[k] = (struct alteration){
                .key = from->configs.at[k].name,
                .value = from->configs.at[k].value,
                .operation = from->configs.at[k].config_operation,
            };
    }
    begin(works);
}

void ask_alter_configs(struct asked *asked)
{
    struct alter_configs_request *in = asked_alloc(asked, sizeof(*in));

    if (!asked_read(asked, &alter_configs_request_wire, in)) return;
    struct entity_works *works = works_make(asked, in->resources.count, in->validate_only);
    for (int32_t i = 0; i < works->count; i++) {
        const struct alter_configs_request_resource *from = &in->resources.at[i];
        struct entity_work *work =
            take(works, i, from->resource_type, from->resource_name, from->configs.count);
        for (int k = 0; k < work->change_count; k++)
            work->changes[k] = (struct alteration){
                .key = from->configs.at[k].name,
                .value = from->configs.at[k].value,
                .operation = ALTER_SET,
            };
    }
    begin(works);
}
