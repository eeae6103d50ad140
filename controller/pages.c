/* controller/pages.c - see pages.h. */
#include "controller/pages.h"
#include "base/ensure.h"
#include "config.h"
#include "program/page.h"
#include "runtime/disk.h"
#include "runtime/meeting.h"
#include <inttypes.h>
#include <stdlib.h>

#define WAIT_MS_MAX 5000
#define NAME_BYTES  256 /* of a topic, with its end */
#define PIECE       512 /* partitions in a turn */

struct pages {
    struct controller *controller;
    const struct report *report;
    struct meeting *meeting; /* the lock of all below */
    struct list questions;
    bool is_stopped;
};

/* The asker's until it gives up; the shard's then. */
struct question {
    struct disk_job job; /* brings it to the shard */
    struct list_node node;
    struct pages *of;
    char path[32], name[NAME_BYTES], filter[NAME_BYTES];
    bool only_trouble;
    struct page_part part;
    struct topic_walk walk;      /* of /api/topics */
    struct post post;            /* its next piece */
    struct survey_health health; /* of the topic that the walk is on, so far */
    int64_t total;               /* topics that fit, so far */
    struct buf body;
    bool is_known, is_answered, is_abandoned;
};

/* ---- on the shard ---- */

static void add_broker(struct buf *out, const struct broker *broker, const struct survey_load *load)
{
    struct buf at = {0};

    buf_printf(out, "{\"id\":%d,\"at\":", broker->id);
    if (broker->endpoint_count > 0)
        buf_printf(&at, "%s:%d", broker->endpoints[0].host, broker->endpoints[0].port);
    page_add_json(out, buf_slice(&at));
    buf_fini(&at);
    buf_add_text(out, ",\"rack\":");
    if (broker->rack == NULL)
        buf_add_text(out, "null");
    else
        page_add_json(out, slice_text(broker->rack));
    buf_printf(out,
               ",\"state\":\"%s\",\"leads\":%" PRId64 ",\"has\":%" PRId64 ",\"in\":%" PRId64 "}",
               broker->is_suspect         ? "silent"
               : broker->is_shutting_down ? "ends"
                                          : "up",
               load->leads, load->has, load->in_sync);
}

static void add_cluster(const struct pages *pages, struct buf *out)
{
    const struct controller *controller = pages->controller;
    const struct context *context = &controller->context;
    const struct survey *survey = &pages->report->survey;
    const struct survey_health *health = &survey->sums.health;
    bool is_active = controller_is_active(controller);
    struct ids brokers = {0};

    if (is_active) context_broker_ids(context, &brokers);
    buf_printf(out,
               "{\"role\":\"controller\",\"id\":%d,\"active\":%s,\"version\":\"" PACKAGE_VERSION
               "\",\"controller\":%d,\"cluster\":",
               controller->id, is_active ? "true" : "false",
               is_active ? controller->id : controller->leader_id);
    page_add_json(out, slice_text(controller->cluster_id));
    buf_printf(out,
               ",\"topics\":%zu,\"partitions\":%" PRId64 ",\"offline\":%" PRId64
               ",\"under\":%" PRId64 ",\"brokers\":[",
               is_active ? context->topics.count : 0, health->partitions, health->offline,
               health->under_replicated);
    for (int32_t i = 0; i < brokers.count; i++) {
        const struct survey_load load = survey_load_of(survey, brokers.at[i]);
        if (i > 0) buf_add_text(out, ",");
        add_broker(out, context_broker(context, brokers.at[i]), &load);
    }
    buf_printf(out, "],\"counters\":{\"elections\":%" PRIu64 "}}",
               counter_value(&pages->report->elections));
    ids_fini(&brokers);
}

/* All of a topic's partitions have been judged. */
static void add_topic(struct question *question, const struct topic *topic)
{
    const struct survey_health *health = &question->health;
    const struct page_part *part = &question->part;
    struct buf *out = &question->body;

    if (!question->only_trouble || health->offline + health->under_replicated > 0) {
        if (question->total >= part->from && question->total < part->from + part->count) {
            buf_add_text(out, question->total > part->from ? ",{\"name\":" : "{\"name\":");
            page_add_json(out, slice_text(topic->name));
            buf_printf(out,
                       ",\"partitions\":%" PRId64 ",\"offline\":%" PRId64 ",\"under\":%" PRId64 "}",
                       health->partitions, health->offline, health->under_replicated);
        }
        question->total++;
    }
    question->health = (struct survey_health){0};
}

static void answer(struct question *question);

/* Topics, as many as fit into a turn. */
static void add_topics(struct post *post)
{
    struct question *question = list_entry(post, struct question, post);
    struct controller *controller = question->of->controller;
    struct context *context = &controller->context;
    struct topic_walk *walk = &question->walk;
    struct topic *topic;

    for (int i = 0; i < PIECE && (topic = topic_walk_topic(walk)) != NULL; i++) {
        bool fits = walk->partition > 0 || page_fits(&question->part, slice_text(topic->name));
        if (fits && walk->partition < topic->count) {
            survey_judge(context, topic->partitions[walk->partition++], &question->health);
        } else {
            if (fits) add_topic(question, topic);
            topic_walk_next(walk, context);
        }
    }
    if (topic_walk_topic(walk) != NULL) {
        shard_post_last(controller->shard, post); /* in the next turn */
        return;
    }
    buf_printf(&question->body, "],\"total\":%" PRId64 "}", question->total);
    answer(question);
}

static void add_ids(struct buf *out, const char *name, const struct ids *ids)
{
    buf_printf(out, ",\"%s\":[", name);
    for (int32_t i = 0; i < ids->count; i++)
        buf_printf(out, "%s%d", i == 0 ? "" : ",", ids->at[i]);
    buf_add_text(out, "]");
}

static bool add_partitions(const struct question *question, struct buf *out)
{
    const struct controller *controller = question->of->controller;
    const struct page_part *part = &question->part;
    const struct topic *topic =
        controller_is_active(controller)
            ? context_topic(&controller->context, slice_text(question->name))
            : NULL;

    if (topic == NULL) return false;
    buf_add_text(out, "{\"rows\":[");
    for (int64_t i = part->from; i < topic->count && i < part->from + part->count; i++) {
        const struct partition *p = topic->partitions[i];
        buf_printf(out, "%s{\"partition\":%d,\"leader\":%d,\"epoch\":%d", i > part->from ? "," : "",
                   p->id, survey_is_led(&controller->context, p) ? p->now.leader : -1,
                   p->now.leader_epoch);
        add_ids(out, "replicas", &p->replicas);
        add_ids(out, "isr", &p->now.isr);
        buf_add_text(out, "}");
    }
    buf_printf(out, "],\"total\":%d}", topic->count);
    return true;
}

static void question_free(struct question *question)
{
    topic_walk_end(&question->walk);
    shard_unpost(&question->post);
    list_remove(&question->node);
    buf_fini(&question->body);
    free(question);
}

static void answer(struct question *question)
{
    struct pages *pages = question->of;

    meeting_lock(pages->meeting);
    question->is_answered = true;
    if (question->is_abandoned) question_free(question);
    meeting_call(pages->meeting);
    meeting_unlock(pages->meeting);
}

static void hear(struct disk_job *job)
{
    struct question *question = (struct question *)(void *)job;
    struct controller *controller = question->of->controller;

    question->is_known = true;
    if (strcmp(question->path, "/api/topics") == 0) {
        buf_add_text(&question->body, "{\"rows\":[");
        topic_walk_begin(&question->walk, &controller->context);
        question->post.run = add_topics;
        shard_post_last(controller->shard, &question->post);
        return;
    }
    if (strcmp(question->path, "/api/cluster") == 0)
        add_cluster(question->of, &question->body);
    else if (strcmp(question->path, "/api/topic") == 0)
        question->is_known = add_partitions(question, &question->body);
    else
        question->is_known = false;
    answer(question);
}

/* ---- on the thread of who asks ---- */

static bool copy_argument(const struct status_ask *ask, const char *name, char out[NAME_BYTES])
{
    const char *text = status_argument(ask, name);
    size_t len = text == NULL ? 0 : strlen(text);

    if (len >= NAME_BYTES) return false;
    memcpy(out, text == NULL ? "" : text, len + 1);
    return true;
}

static struct question *make(struct pages *pages, const struct status_ask *ask)
{
    struct question *question = ensure_zalloc(sizeof(*question));
    const char *only = status_argument(ask, "only");

    question->of = pages;
    question->job.done = hear;
    question->only_trouble = only != NULL && strcmp(only, "trouble") == 0;
    page_read_part(ask, &question->part);
    if (strlen(ask->path) >= sizeof(question->path) ||
        !copy_argument(ask, "name", question->name) ||
        !copy_argument(ask, "filter", question->filter)) {
        free(question);
        return NULL;
    }
    memcpy(question->path, ask->path, strlen(ask->path) + 1);
    question->part.filter = question->filter;
    return question;
}

/* Asks and waits. False: nobody answers. */
static bool ask_and_wait(struct pages *pages, struct question *question,
                         struct status_answer *answer)
{
    const struct env *env = pages->controller->shard->env;
    struct instant late = instant_add_ms(env_now(env), WAIT_MS_MAX);

    meeting_lock(pages->meeting);
    list_push(&pages->questions, &question->node);
    if (!pages->is_stopped) shard_complete(pages->controller->shard, &question->job);
    while (!question->is_answered && !pages->is_stopped && !instant_reached(env_now(env), late))
        meeting_wait(pages->meeting, instant_ms_between(env_now(env), late) + 1);
    bool is_answered = question->is_answered;
    if (is_answered) {
        if (!question->is_known) answer->code = 404;
        answer->body = question->body;
        question->body = (struct buf){0};
        question_free(question);
    } else {
        question->is_abandoned = true; /* freed when it is heard, or in pages_destroy */
    }
    meeting_unlock(pages->meeting);
    return is_answered;
}

static bool page(void *of, const struct status_ask *ask, struct status_answer *answer)
{
    if (page_answer(ask, answer)) return true;
    if (strncmp(ask->path, "/api/", strlen("/api/")) != 0) return false;
    struct question *question = make(of, ask);

    answer->type = "application/json";
    if (question == NULL)
        answer->code = 404;
    else if (!ask_and_wait(of, question, answer))
        answer->code = 503;
    if (answer->code != 200) {
        buf_clear(&answer->body);
        buf_add_text(&answer->body, answer->code == 404 ? "{\"error\":\"no such thing\"}"
                                                        : "{\"error\":\"no answer\"}");
    }
    return true;
}

struct status_pages pages_status(struct pages *pages)
{
    return (struct status_pages){.page = page, .of = pages};
}

/* ---- life ---- */

struct pages *pages_create(struct controller *controller, const struct report *report)
{
    struct pages *pages = ensure_zalloc(sizeof(*pages));

    pages->controller = controller;
    pages->report = report;
    pages->meeting = meeting_create();
    list_init(&pages->questions);
    return pages;
}

void pages_stop(struct pages *pages)
{
    meeting_lock(pages->meeting);
    pages->is_stopped = true;
    meeting_call(pages->meeting);
    meeting_unlock(pages->meeting);
}

void pages_destroy(struct pages **pages)
{
    struct pages *it = *pages;

    if (it == NULL) return;
    list_each (node, &it->questions)
        question_free(list_entry(node, struct question, node));
    meeting_destroy(&it->meeting);
    free(it);
    *pages = NULL;
}
