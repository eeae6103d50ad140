/* cluster/describe.h - one result of a DescribeConfigs answer, from what the options tell.
 *
 * Which of the entries, and how much of each, is the request's to say. No I/O. */
#pragma once
#include "base/arena.h"
#include "cluster/options.h"
#include "wire/gen/describe_configs.h"

/* Adds the entries that `resource` of `request` asks for. What `out` points to afterwards is in
 * `arena`, or is what the entries point to. */
void describe_entries(const struct describe_configs_request *request,
                      const struct describe_configs_request_resource *resource,
                      const struct option_entry *entries, int count, struct arena *arena,
                      struct describe_configs_response_result *out);
/* The resource is refused; the message is "`text`: its name". */
void describe_refuse(const struct describe_configs_request_resource *resource, int16_t code,
                     const char *text, struct arena *arena,
                     struct describe_configs_response_result *out);
