/* broker/api/delete_records.h - DeleteRecords: records below an offset are to go, on all replicas.
 */
#pragma once
#include "broker/api/dispatch.h"

extern const struct api delete_records_api;

/* On a data shard, once: hears MSG_DELETE_RECORDS and MSG_RECORDS_DELETED. */
void delete_records_open(struct api_shard *api, struct msg_routes *routes);
