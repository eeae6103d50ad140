/* runtime/meeting.h - a lock, and threads that wait under it for what another one does: for the few
 * that are no shards (status.h). A shard may lock it for a moment, never wait. */
#pragma once
#include <stdint.h>

struct meeting;

struct meeting *meeting_create(void);
void meeting_destroy(struct meeting **meeting); /* sets to NULL; NULL is fine */

void meeting_lock(struct meeting *meeting);
void meeting_unlock(struct meeting *meeting);
/* Locked: lets others at it and waits, until meeting_call or for `ms`; may return before either. */
void meeting_wait(struct meeting *meeting, int64_t ms);
/* Locked: all who wait look again. */
void meeting_call(struct meeting *meeting);
