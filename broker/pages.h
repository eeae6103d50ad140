/* broker/pages.h - what a broker shows of topics, partitions and groups: lines of /metrics, and the
 * parts of the page for people.
 *
 * On threads of the requests, from a census; no shard waits for them. Names and labels of /metrics
 * are those of kafka_exporter and, by topic, of Kafka's own. A broker tells of partitions that it
 * leads and of groups that it coordinates, so that the brokers together tell each once. */
#pragma once
#include "runtime/status.h"

struct broker;

/* For status_options; `of` is the broker. */
struct status_pages pages_of(struct broker *broker);
/* "/" and /api/…: of pages_parts.c. */
bool pages_answer(void *of, const struct status_ask *ask, struct status_answer *answer);
