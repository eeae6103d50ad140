/* broker/api/pass.h - a request that only the active controller answers: passed on, and its answer
 * given back once this broker's own metadata shows what it says.
 *
 * Passed on with the caller's principal in an Envelope; to an Apache controller, which opens no
 * envelopes, as the plain request. Sent again while nobody is the controller, until the request's
 * own time is over. Runs on the control shard. Rules: controller.md §14, §18, §26. */
#pragma once
#include "broker/api/dispatch.h"

/* What an API's answer says, asked of its decoded response. */
struct pass_kind {
    size_t answer_size; /* of the response's struct */
    /* The request with what it leaves to the cluster's defaults filled in, in its arena; NULL where
     * it leaves nothing. Brokers have these defaults, a controller process does not; an Apache
     * controller gets the request as it came. NULL: there are none. */
    const void *(*filled)(struct request *request);
    int64_t (*timeout_ms)(const struct request *request); /* below 0 is taken for 0 */
    bool (*is_not_controller)(const struct request *request, const void *answer);
    /* Whether our own metadata shows all that the answer says was done. NULL: there is nothing to
     * wait for. */
    bool (*is_shown)(const struct request *request, const void *answer);
    /* What our own metadata shows before the request is passed on, in its arena; and what the
     * answer means by that, when an earlier attempt may have been carried out. Both or none NULL.
     */
    const void *(*note)(const struct request *request);
    void (*resent)(const struct request *request, const void *noted, void *answer);
    /* The time is over: what is not shown says REQUEST_TIMED_OUT. NULL together with is_shown. */
    void (*late)(const struct request *request, void *answer);
};

/* Takes the request. `kind` is static. */
void pass_on(struct request *request, const struct pass_kind *kind);
