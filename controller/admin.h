/* controller/admin.h - the controller's listener: what brokers, tools and other controllers ask.
 *
 * ApiVersions (also the heartbeat), Metadata, DescribeCluster, CreateTopics, DeleteTopics,
 * CreatePartitions, AlterConfigs, IncrementalAlterConfigs, ElectLeaders,
 * AlterPartitionReassignments, ListPartitionReassignments, ControlledShutdown, AlterPartition,
 * AllocateProducerIds, and Envelope: a request that a broker has authorised and forwards, answered
 * as if its client had asked. Where the controller stands among the live brokers also what clients
 * ask of any broker: FindCoordinator, ListGroups, InitProducerId (admin_clients.c),
 * DescribeConfigs (admin_describe.c). Only here an answer becomes a Kafka code. */
#pragma once
#include "controller/context.h"

struct controller;
struct admin;

MUST_CHECK enum err admin_open(struct controller *controller, struct admin **out);
/* Closes listeners and connections; whoever waits is answered. */
void admin_close(struct admin *admin);
/* Connections that still live, ours to brokers among them. */
int32_t admin_clients(const struct admin *admin);
/* When no connection lives any more, or nothing will run again. Sets it to NULL; NULL is fine. */
void admin_destroy(struct admin **admin);
/* The port of listener `index` as it is bound. */
int32_t admin_port(const struct admin *admin, int index);

/* An event of a caller came back; takes. */
void admin_answered(struct admin *admin, struct event **event);
/* The context may have changed: whoever waits for a topic to appear or go is looked after. NULL is
 * fine. */
void admin_check(struct admin *admin);
