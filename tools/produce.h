/* tools/produce.h - `ottla produce`: lines of input become records. */
#pragma once
#include "tools/args.h"

extern const struct args_command produce_command;
int produce_main(int argc, char **argv);
