/* controller/report.c - see report.h. */
#include "controller/report.h"

#define PIECE 512 /* partitions of a survey in a turn: some 20 µs */

static void take_piece(struct post *post)
{
    struct report *report = list_entry(post, struct report, post);
    const struct survey_sums *sums = &report->survey.sums;

    if (survey_piece(&report->survey, &report->controller->context, PIECE)) {
        shard_post_last(report->controller->shard, post); /* in the next turn */
        return;
    }
    gauge_set(&report->offline_partitions, sums->offline);
    gauge_set(&report->imbalanced, sums->imbalanced);
    gauge_set(&report->topics_deleting, sums->topics_deleting);
}

void report_open(struct report *report, struct controller *controller, struct metrics *metrics)
{
    const struct {
        const struct gauge *gauge;
        const char *name, *help;
    } gauges[] = {
        {&report->active, "kafka_controller_kafkacontroller_activecontrollercount",
         "1 on the active controller."},
        {&report->offline_partitions, "kafka_controller_kafkacontroller_offlinepartitionscount",
         "Partitions without a live leader."},
        {&report->imbalanced, "kafka_controller_kafkacontroller_preferredreplicaimbalancecount",
         "Partitions not led by their first replica."},
        {&report->topics, "kafka_controller_kafkacontroller_globaltopiccount", "Topics."},
        {&report->partitions, "kafka_controller_kafkacontroller_globalpartitioncount",
         "Partitions."},
        {&report->topics_deleting, "kafka_controller_kafkacontroller_topicstodeletecount",
         "Topics that are being deleted."},
        {&report->brokers, "kafka_controller_kafkacontroller_activebrokercount",
         "Brokers that are registered and answer."},
        {&report->brokers_suspect, "ottla_controller_suspectbrokers",
         "Brokers that are registered and do not answer: they lead nothing."},
        {&report->reassigning, "ottla_controller_reassigningpartitions",
         "Partitions that are being reassigned."},
    };

    report->controller = controller;
    report->post.run = take_piece;
    metrics_add_gauge(metrics, &report->brokers, "kafka_brokers", NULL,
                      "Brokers that are registered and answer; 0 on who stands by.");
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        metrics_add_gauge(metrics, gauges[i].gauge, gauges[i].name, NULL, gauges[i].help);
    metrics_add_counter(metrics, &report->unclean_elections,
                        "kafka_controller_controllerstats_uncleanleaderelections_total", NULL,
                        "Elections of a replica that was not in sync.");
    metrics_add_counter(metrics, &report->elections,
                        "kafka_controller_controllerstats_leaderelectionrateandtimems_count", NULL,
                        "Elections of a leader.");
}

static void take_brokers(struct report *report, const struct context *context)
{
    struct ids all = {0};
    int64_t suspect = 0;

    context_broker_ids(context, &all);
    for (int32_t i = 0; i < all.count; i++)
        suspect += context_broker(context, all.at[i])->is_suspect;
    gauge_set(&report->brokers, all.count - suspect);
    gauge_set(&report->brokers_suspect, suspect);
    ids_fini(&all);
}

void report_take(struct report *report)
{
    struct controller *controller = report->controller;
    struct context *context = &controller->context;

    gauge_set(&report->active, controller_is_active(controller));
    gauge_set(&report->topics, (int64_t)context->topics.count);
    gauge_set(&report->partitions, context->partition_count);
    gauge_set(&report->reassigning, context->reassigning_count);
    take_brokers(report, context);
    if (!report->survey.is_under_way) {
        survey_begin(&report->survey, context);
        shard_post_last(controller->shard, &report->post);
    }
    counter_add(&report->unclean_elections,
                context->elections_unclean - counter_value(&report->unclean_elections));
    counter_add(&report->elections, context->elections - counter_value(&report->elections));
}

void report_close(struct report *report)
{
    shard_unpost(&report->post);
    survey_fini(&report->survey);
}

enum status_readiness report_readiness(const struct controller *controller)
{
    switch (controller->state) {
    case CONTROLLER_STOPPING:
        return STATUS_STOPPING;
    case CONTROLLER_STANDBY:
    case CONTROLLER_ACTIVE:
        return STATUS_READY;
    default:
        return controller->has_told_ready ? STATUS_CUT_OFF : STATUS_STARTING;
    }
}
