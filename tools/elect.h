/* tools/elect.h - `ottla elect-leaders`: partitions to their preferred leaders, or to any. */
#pragma once
#include "tools/args.h"
#include "wire/gen/elect_leaders.h"

extern const struct args_command elect_command;
int elect_main(int argc, char **argv);

/* What came of an election, for people; pure. False if it failed for some partition. */
bool elect_print(const struct elect_leaders_response *response, const char *type, struct buf *out);
