#include "controller/survey.h"
#include "base/ensure.h"
#include <stdlib.h>

bool survey_is_led(const struct context *context, const struct partition *p)
{
    return p->has_leadership && p->now.leader >= 0 && broker_is_alive(context, p->now.leader);
}

void survey_judge(const struct context *context, const struct partition *p,
                  struct survey_health *health)
{
    health->partitions++;
    health->offline += !survey_is_led(context, p);
    health->under_replicated += p->now.isr.count < p->replicas.count;
}

static struct survey_load *load_of(const struct survey_sums *sums, int32_t broker)
{
    int32_t low = 0, high = sums->load_count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (sums->loads[middle].broker < broker)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sums->load_count && sums->loads[low].broker == broker ? &sums->loads[low] : NULL;
}

static void count_loads(const struct partition *p, const struct survey_sums *sums)
{
    struct survey_load *load;

    if ((load = load_of(sums, p->now.leader)) != NULL) load->leads++;
    for (int32_t i = 0; i < p->replicas.count; i++)
        if ((load = load_of(sums, p->replicas.at[i])) != NULL) load->has++;
    for (int32_t i = 0; i < p->now.isr.count; i++)
        if ((load = load_of(sums, p->now.isr.at[i])) != NULL) load->in_sync++;
}

static void count(const struct context *context, const struct partition *p,
                  struct survey_sums *sums)
{
    survey_judge(context, p, &sums->health);
    count_loads(p, sums);
    if (p->topic->is_deleting) return;
    bool is_led = survey_is_led(context, p);
    sums->offline += p->has_leadership && !is_led;
    sums->imbalanced += is_led && p->replicas.count > 0 && p->now.leader != p->replicas.at[0];
}

void survey_begin(struct survey *survey, struct context *context)
{
    struct ids brokers = {0};
    struct survey_sums *sums = &survey->counting;

    topic_walk_end(&survey->walk);
    topic_walk_begin(&survey->walk, context);
    survey->is_under_way = true;
    free(sums->loads);
    *sums = (struct survey_sums){0};
    context_broker_ids(context, &brokers);
    sums->loads = ensure_zalloc(sizeof(sums->loads[0]) * ((size_t)brokers.count + 1));
    sums->load_count = brokers.count;
    for (int32_t i = 0; i < brokers.count; i++)
        sums->loads[i].broker = brokers.at[i];
    ids_fini(&brokers);
}

bool survey_piece(struct survey *survey, struct context *context, int max)
{
    struct topic_walk *walk = &survey->walk;
    struct topic *topic;

    ensure(survey->is_under_way);
    for (; max > 0 && (topic = topic_walk_topic(walk)) != NULL; max--) {
        if (walk->partition < topic->count) {
            count(context, topic->partitions[walk->partition++], &survey->counting);
        } else {
            survey->counting.topics_deleting += topic->is_deleting;
            topic_walk_next(walk, context);
        }
    }
    if (topic_walk_topic(walk) != NULL) return true;
    free(survey->sums.loads);
    survey->sums = survey->counting;
    survey->counting.loads = NULL;
    survey->is_under_way = false;
    return false;
}

struct survey_load survey_load_of(const struct survey *survey, int32_t broker)
{
    const struct survey_load *load = load_of(&survey->sums, broker);

    return load == NULL ? (struct survey_load){.broker = broker} : *load;
}

void survey_fini(struct survey *survey)
{
    topic_walk_end(&survey->walk);
    free(survey->counting.loads);
    free(survey->sums.loads);
    *survey = (struct survey){0};
}
