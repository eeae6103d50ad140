/* tools/api_versions.h - `ottla broker-api-versions`: which versions of which requests each broker
 * takes. */
#pragma once
#include "base/buf.h"
#include "tools/args.h"
#include "wire/gen/api_versions.h"

extern const struct args_command api_versions_command;
int api_versions_main(int argc, char **argv);

/* One line per request, by key: those that the broker has, and those of Kafka's clients that it has
 * not, as Kafka's tool prints them. Pure. */
void api_versions_print(const struct api_versions_response *response, struct buf *out);
