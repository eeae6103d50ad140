/* broker/api/admin.c - what only the active controller does with topics: CreateTopics,
 * DeleteTopics, CreatePartitions.
 *
 * Passed on (pass.h). The answer is held until this broker's own metadata shows the result, as far
 * as the request's time allows: who has created a topic here finds it here. */
#include "broker/api/pass.h"
#include "broker/api/resent.h"
#include "broker/api/table.h"
#include "cluster/image.h"
#include "cluster/options.h"
#include "wire/gen/create_partitions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/delete_topics.h"
#include "wire/protocol.h"

/* ---- what differs between the three ---- */

static int64_t timeout_of(const struct request *request)
{
    if (request->api == &create_topics_api)
        return ((const struct create_topics_request *)request->body)->timeout_ms;
    if (request->api == &delete_topics_api)
        return ((const struct delete_topics_request *)request->body)->timeout_ms;
    return ((const struct create_partitions_request *)request->body)->timeout_ms;
}

static bool is_validate_only(const struct request *request)
{
    if (request->api == &create_topics_api)
        return ((const struct create_topics_request *)request->body)->validate_only;
    if (request->api == &create_partitions_api)
        return ((const struct create_partitions_request *)request->body)->validate_only;
    return false;
}

static bool every_partition_is_led(const struct image_topic *topic, int32_t count)
{
    int known = image_topic_partition_count(topic);

    if (known < count) return false;
    for (int i = 0; i < known; i++)
        if (image_topic_partition_at(topic, i).leader < 0) return false;
    return known > 0;
}

/* How many partitions the request wanted; 0 when it left that open. */
static int32_t asked_count(const struct request *request, struct slice name)
{
    if (request->api == &create_partitions_api) {
        const struct create_partitions_request *in = request->body;
        for (int32_t i = 0; i < in->topics.count; i++)
            if (slice_equal(in->topics.at[i].name, name)) return in->topics.at[i].count;
        return 0;
    }
    const struct create_topics_request *in = request->body;
    for (int32_t i = 0; i < in->topics.count; i++)
        if (slice_equal(in->topics.at[i].name, name))
            return in->topics.at[i].num_partitions > 0 ? in->topics.at[i].num_partitions
                                                       : in->topics.at[i].assignments.count;
    return 0;
}

/* Gives the code of result number `i`, to be read or set, with its topic; NULL behind the last. */
static int16_t *result_at(const struct request *request, const void *answer, int32_t i,
                          struct slice *name, struct uuid *id)
{
    *id = UUID_ZERO;
    if (request->api == &create_topics_api) {
        const struct create_topics_response *out = answer;
        if (i >= out->topics.count) return NULL;
        *name = out->topics.at[i].name;
        return &out->topics.at[i].error_code;
    }
    if (request->api == &delete_topics_api) {
        const struct delete_topics_response *out = answer;
        if (i >= out->responses.count) return NULL;
        *name = out->responses.at[i].name;
        *id = out->responses.at[i].topic_id;
        return &out->responses.at[i].error_code;
    }
    const struct create_partitions_response *out = answer;
    if (i >= out->results.count) return NULL;
    *name = out->results.at[i].name;
    return &out->results.at[i].error_code;
}

/* Whether our own metadata shows what was done. */
static bool is_shown(const struct request *request, struct slice name, struct uuid id)
{
    const struct image *image = request->at->image;
    const struct image_topic *topic = image_topic(image, name);

    if (request->api == &delete_topics_api) {
        /* A topic of that name that was created anew is another one. */
        return topic == NULL || (!uuid_is_zero(id) && !uuid_equal(image_topic_id(topic), id));
    }
    return topic != NULL && every_partition_is_led(topic, asked_count(request, name));
}

static bool all_shown(const struct request *request, const void *answer)
{
    struct slice name;
    struct uuid id;
    const int16_t *code;

    if (is_validate_only(request)) return true;
    for (int32_t i = 0; (code = result_at(request, answer, i, &name, &id)) != NULL; i++)
        if (*code == KAFKA_NONE && !is_shown(request, name, id)) return false;
    return true;
}

static void say_late(const struct request *request, void *answer)
{
    struct slice name;
    struct uuid id;
    int16_t *code;

    for (int32_t i = 0; (code = result_at(request, answer, i, &name, &id)) != NULL; i++)
        if (*code == KAFKA_NONE && !is_shown(request, name, id)) *code = KAFKA_REQUEST_TIMED_OUT;
}

static bool is_not_controller(const struct request *request, const void *answer)
{
    struct slice name;
    struct uuid id;
    const int16_t *code;

    for (int32_t i = 0; (code = result_at(request, answer, i, &name, &id)) != NULL; i++)
        if (*code == KAFKA_NOT_CONTROLLER) return true;
    return false;
}

/* ---- sent again ---- */

/* The topics that are asked for, as our metadata shows them before. */
struct noted {
    struct noted_topic {
        struct slice name;
        struct uuid id;
        int partitions; /* RESENT_ABSENT */
    } * at;
    int32_t count;
};

static void note_topic(const struct request *request, struct noted *noted, struct slice name,
                       struct uuid id)
{
    const struct image *image = request->at->image;
    const struct image_topic *topic =
        slice_is_null(name) ? image_topic_by_id(image, id) : image_topic(image, name);

    noted->at[noted->count++] = (struct noted_topic){
        .name = name,
        .id = id,
        .partitions = topic == NULL ? RESENT_ABSENT : image_topic_partition_count(topic),
    };
}

static int32_t positive(int32_t count)
{
    return count < 0 ? 0 : count;
}

static struct noted *noted_create(const struct request *request, int32_t count)
{
    struct arena *arena = &((struct request *)(uintptr_t)request)->arena;
    struct noted *noted = arena_zalloc(arena, sizeof(*noted));

    noted->at = arena_zalloc(arena, sizeof(*noted->at) * (size_t)(count + 1));
    return noted;
}

static const void *note(const struct request *request)
{
    struct noted *noted;

    if (request->api == &create_topics_api) {
        const struct create_topics_request *in = request->body;
        noted = noted_create(request, positive(in->topics.count));
        for (int32_t i = 0; i < in->topics.count; i++)
            note_topic(request, noted, in->topics.at[i].name, UUID_ZERO);
    } else if (request->api == &delete_topics_api) {
        const struct delete_topics_request *in = request->body;
        noted = noted_create(request, positive(in->topic_names.count) + positive(in->topics.count));
        for (int32_t i = 0; i < in->topic_names.count; i++)
            note_topic(request, noted, in->topic_names.at[i], UUID_ZERO);
        for (int32_t i = 0; i < in->topics.count; i++)
            note_topic(request, noted, in->topics.at[i].name, in->topics.at[i].topic_id);
    } else {
        const struct create_partitions_request *in = request->body;
        noted = noted_create(request, positive(in->topics.count));
        for (int32_t i = 0; i < in->topics.count; i++)
            note_topic(request, noted, in->topics.at[i].name, UUID_ZERO);
    }
    return noted;
}

static int partitions_before(const struct noted *noted, struct slice name, struct uuid id)
{
    for (int32_t i = 0; i < noted->count; i++) {
        const struct noted_topic *topic = &noted->at[i];
        bool is_it =
            slice_is_null(topic->name) ? uuid_equal(topic->id, id) : slice_equal(topic->name, name);
        if (is_it) return topic->partitions;
    }
    return RESENT_ABSENT;
}

static void clear_message(const struct request *request, void *answer, int32_t i)
{
    if (request->api == &create_topics_api)
        ((struct create_topics_response *)answer)->topics.at[i].error_message = SLICE_NULL;
    else if (request->api == &delete_topics_api)
        ((struct delete_topics_response *)answer)->responses.at[i].error_message = SLICE_NULL;
    else
        ((struct create_partitions_response *)answer)->results.at[i].error_message = SLICE_NULL;
}

static void resent(const struct request *request, const void *noted, void *answer)
{
    struct slice name;
    struct uuid id;
    int16_t *code;

    for (int32_t i = 0; (code = result_at(request, answer, i, &name, &id)) != NULL; i++) {
        int before = partitions_before(noted, name, id);
        int16_t was = *code;
        if (is_validate_only(request)) continue;
        if (request->api == &create_topics_api)
            *code = resent_create(*code, before);
        else if (request->api == &delete_topics_api)
            *code = resent_delete(*code, before);
        else
            *code = resent_grow(*code, before, asked_count(request, name));
        if (*code != was) clear_message(request, answer, i);
    }
}

/* ---- refusals ---- */

static const void *create_topics_refuse(struct request *request, int16_t code)
{
    const struct create_topics_request *in = request->body;
    struct create_topics_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int count = in->topics.count < 0 ? 0 : in->topics.count;

    wire_default(&create_topics_response_wire, out);
    out->topics.at = arena_zalloc(&request->arena, sizeof(*out->topics.at) * (size_t)(count + 1));
    out->topics.count = count;
    for (int i = 0; i < count; i++)
        out->topics.at[i] = (struct create_topics_response_topic){.name = in->topics.at[i].name,
                                                                  .error_code = code,
                                                                  .num_partitions = -1,
                                                                  .replication_factor = -1};
    return out;
}

static const void *delete_topics_refuse(struct request *request, int16_t code)
{
    const struct delete_topics_request *in = request->body;
    struct delete_topics_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int named = in->topic_names.count < 0 ? 0 : in->topic_names.count;
    int topics = in->topics.count < 0 ? 0 : in->topics.count;

    wire_default(&delete_topics_response_wire, out);
    out->responses.at =
        arena_zalloc(&request->arena, sizeof(*out->responses.at) * (size_t)(named + topics + 1));
    out->responses.count = named + topics;
    for (int i = 0; i < named; i++)
        out->responses.at[i] = (struct delete_topics_response_response){
            .name = in->topic_names.at[i], .error_code = code};
    for (int i = 0; i < topics; i++)
        out->responses.at[named + i] =
            (struct delete_topics_response_response){.name = in->topics.at[i].name,
                                                     .topic_id = in->topics.at[i].topic_id,
                                                     .error_code = code};
    return out;
}

static const void *create_partitions_refuse(struct request *request, int16_t code)
{
    const struct create_partitions_request *in = request->body;
    struct create_partitions_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int count = in->topics.count < 0 ? 0 : in->topics.count;

    wire_default(&create_partitions_response_wire, out);
    out->results.at = arena_zalloc(&request->arena, sizeof(*out->results.at) * (size_t)(count + 1));
    out->results.count = count;
    for (int i = 0; i < count; i++)
        out->results.at[i] = (struct create_partitions_response_result){
            .name = in->topics.at[i].name, .error_code = code};
    return out;
}

/* ---- the APIs ---- */

/* num.partitions and default.replication.factor where a topic has neither number nor lists. */
static const void *create_topics_filled(struct request *request)
{
    const struct options *options = request->at->process->options;
    const struct create_topics_request *in = request->body;
    struct create_topics_request *out = arena_zalloc(&request->arena, sizeof(*out));
    size_t bytes = sizeof(*in->topics.at) * (size_t)positive(in->topics.count);
    bool has_left_out = false;

    *out = *in;
    out->topics.at = arena_zalloc(&request->arena, bytes + sizeof(*in->topics.at));
    if (bytes > 0) memcpy(out->topics.at, in->topics.at, bytes);
    for (int32_t i = 0; i < in->topics.count; i++) {
        struct create_topics_request_topic *topic = &out->topics.at[i];

        if (topic->assignments.count > 0) continue;
        has_left_out |= topic->num_partitions == -1 || topic->replication_factor == -1;
        if (topic->num_partitions == -1)
            topic->num_partitions = options_int(options, OPTION_NUM_PARTITIONS);
        if (topic->replication_factor == -1)
            topic->replication_factor =
                (int16_t)options_int(options, OPTION_DEFAULT_REPLICATION_FACTOR);
    }
    return has_left_out ? out : NULL;
}

static void create_topics_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct create_topics_response),
        .filled = create_topics_filled,
        .timeout_ms = timeout_of,
        .is_not_controller = is_not_controller,
        .is_shown = all_shown,
        .note = note,
        .resent = resent,
        .late = say_late,
    };

    pass_on(request, &kind);
}

static void delete_topics_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct delete_topics_response),
        .timeout_ms = timeout_of,
        .is_not_controller = is_not_controller,
        .is_shown = all_shown,
        .note = note,
        .resent = resent,
        .late = say_late,
    };

    pass_on(request, &kind);
}

static void create_partitions_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct create_partitions_response),
        .timeout_ms = timeout_of,
        .is_not_controller = is_not_controller,
        .is_shown = all_shown,
        .note = note,
        .resent = resent,
        .late = say_late,
    };

    pass_on(request, &kind);
}

const struct api create_topics_api = {
    .key = API_CREATE_TOPICS,
    .version_min = 0,
    .version_max = 7,
    .request_wire = &create_topics_request_wire,
    .response_wire = &create_topics_response_wire,
    .request_size = sizeof(struct create_topics_request),
    .place = API_ON_CONTROL,
    .handle = create_topics_handle,
    .refuse = create_topics_refuse,
};

const struct api delete_topics_api = {
    .key = API_DELETE_TOPICS,
    .version_min = 0,
    .version_max = 6,
    .request_wire = &delete_topics_request_wire,
    .response_wire = &delete_topics_response_wire,
    .request_size = sizeof(struct delete_topics_request),
    .place = API_ON_CONTROL,
    .handle = delete_topics_handle,
    .refuse = delete_topics_refuse,
};

const struct api create_partitions_api = {
    .key = API_CREATE_PARTITIONS,
    .version_min = 0,
    .version_max = 3,
    .request_wire = &create_partitions_request_wire,
    .response_wire = &create_partitions_response_wire,
    .request_size = sizeof(struct create_partitions_request),
    .place = API_ON_CONTROL,
    .handle = create_partitions_handle,
    .refuse = create_partitions_refuse,
};
