/* tools/overview.h - `ottla cluster`: who is in the cluster, as ZooKeeper and the brokers know it.
 */
#pragma once
#include "tools/args.h"

extern const struct args_command overview_command;
int overview_main(int argc, char **argv);
