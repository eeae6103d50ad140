/* tools/consume.h - `ottla consume`: prints the records of topics. */
#pragma once
#include "tools/args.h"

extern const struct args_command consume_command;
int consume_main(int argc, char **argv);
