/* controller/report.c - see report.h. */
#include "controller/report.h"

void report_open(struct report *report, struct metrics *metrics)
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

static void take_partitions(struct report *report, const struct context *context)
{
    int64_t offline = 0, imbalanced = 0, deleting = 0;

    context_each_topic(entry, topic, context)
    {
        deleting += topic->is_deleting;
        for (int32_t i = 0; i < topic->count && !topic->is_deleting; i++) {
            const struct partition *p = topic->partitions[i];
            bool is_led =
                p->has_leadership && p->now.leader >= 0 && broker_is_alive(context, p->now.leader);
            offline += p->has_leadership && !is_led;
            imbalanced += is_led && p->replicas.count > 0 && p->now.leader != p->replicas.at[0];
        }
    }
    gauge_set(&report->offline_partitions, offline);
    gauge_set(&report->imbalanced, imbalanced);
    gauge_set(&report->topics_deleting, deleting);
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

void report_take(struct report *report, const struct controller *controller)
{
    const struct context *context = &controller->context;

    gauge_set(&report->active, controller_is_active(controller));
    gauge_set(&report->topics, (int64_t)context->topics.count);
    gauge_set(&report->partitions, context->partition_count);
    gauge_set(&report->reassigning, context->reassigning_count);
    take_partitions(report, context);
    take_brokers(report, context);
    counter_add(&report->unclean_elections,
                context->elections_unclean - counter_value(&report->unclean_elections));
    counter_add(&report->elections, context->elections - counter_value(&report->elections));
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
