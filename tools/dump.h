/* tools/dump.h - `ottla dump-log`: prints the files of a log directory. */
#pragma once
#include "tools/args.h"

extern const struct args_command dump_command;
int dump_main(int argc, char **argv);
