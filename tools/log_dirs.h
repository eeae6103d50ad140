/* tools/log_dirs.h - `ottla log-dirs`: what the brokers' log directories hold. */
#pragma once
#include "tools/args.h"

extern const struct args_command log_dirs_command;
int log_dirs_main(int argc, char **argv);
