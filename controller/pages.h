/* controller/pages.h - the page for people, of a controller: brokers, topics, partitions as the
 * active one knows them; a standby tells of itself.
 *
 * What is asked on a thread of its own is written on the controller's shard, a part of a list at a
 * time; the asker waits. */
#pragma once
#include "controller/report.h"

struct pages;

/* Both are kept until pages_destroy. */
struct pages *pages_create(struct controller *controller, const struct report *report);
/* Nobody is kept waiting any more. From any thread. */
void pages_stop(struct pages *pages);
/* When the shard does not turn any more, and nobody asks. Sets to NULL; NULL is fine. */
void pages_destroy(struct pages **pages);

struct status_pages pages_status(struct pages *pages);
