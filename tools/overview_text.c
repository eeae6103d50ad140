#include "tools/overview_text.h"

static void print_endpoints(const struct overview_node *node, struct buf *out)
{
    if (node->endpoints.len > 0) buf_printf(out, "\tEndpoints: %.*s", SLICE_ARGS(node->endpoints));
}

static const struct overview_node *find(const struct overview_node *nodes, int count, int32_t id)
{
    for (int i = 0; i < count; i++)
        if (nodes[i].id == id) return &nodes[i];
    return NULL;
}

static void print_active(const struct overview *overview, struct buf *out)
{
    const struct overview_node *process =
        find(overview->controllers, overview->controller_count, overview->controller);

    buf_add_text(out, "Controller: ");
    if (overview->controller < 0)
        buf_add_text(out, "none");
    else
        buf_printf(out, "%d", overview->controller);
    if (overview->controller_epoch >= 0)
        buf_printf(out, "\tEpoch: %lld", (long long)overview->controller_epoch);
    if (process != NULL)
        print_endpoints(process, out);
    else if (overview->by_broker && overview->controller >= 0)
        /* Brokers of Ottla name themselves: clients send what is for the controller to them. */
        buf_add_text(out, "\t(or a process of its own that this broker speaks for: --zookeeper "
                          "tells)");
    else if (find(overview->brokers, overview->broker_count, overview->controller) != NULL)
        buf_add_text(out, "\t(a broker)");
    buf_add_text(out, "\n");
}

static void print_broker(const struct overview_node *broker, struct buf *out)
{
    buf_printf(out, "Broker: %d", broker->id);
    print_endpoints(broker, out);
    if (slice_is_null(broker->rack))
        buf_add_text(out, "\tRack: none");
    else
        buf_printf(out, "\tRack: %.*s", SLICE_ARGS(broker->rack));
    if (broker->epoch >= 0) buf_printf(out, "\tEpoch: %lld", (long long)broker->epoch);
    if (broker->is_unknown_to_brokers) buf_add_text(out, "\tnot in the brokers' metadata");
    buf_add_text(out, "\n");
}

void overview_print(const struct overview *overview, struct buf *out)
{
    if (slice_is_null(overview->cluster_id))
        buf_add_text(out, "Cluster ID: none\n");
    else
        buf_printf(out, "Cluster ID: %.*s\n", SLICE_ARGS(overview->cluster_id));
    print_active(overview, out);
    for (int i = 0; i < overview->controller_count; i++) {
        const struct overview_node *process = &overview->controllers[i];
        if (process->id == overview->controller) continue;
        buf_printf(out, "Standby: %d", process->id);
        print_endpoints(process, out);
        buf_add_text(out, "\n");
    }
    for (int i = 0; i < overview->broker_count; i++)
        print_broker(&overview->brokers[i], out);
}
