/* tools/reassign.h - `ottla reassign`: partitions to other brokers. */
#pragma once
#include "tools/args.h"

extern const struct args_command reassign_command;
int reassign_main(int argc, char **argv);
