/* broker/api/alter_log_dirs.h - AlterReplicaLogDirs, in its turn (control.h). */
#pragma once
#include "broker/api/dispatch.h"

/* Of control.c: takes. */
void alter_log_dirs_handle(struct request *request);
