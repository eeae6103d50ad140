/* tools/configs.h - `ottla configs`: what topics and brokers are configured with at run time. */
#pragma once
#include "tools/args.h"

extern const struct args_command configs_command;
int configs_main(int argc, char **argv);
