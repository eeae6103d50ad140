/* broker/api/resent.h - what an answer means when an earlier attempt of the same request may have
 * been carried out. Pure.
 *
 * A request to the controller is sent again when its answer was lost, or when one of its topics was
 * refused by a controller that is none any more. The next one then finds done what was asked for,
 * and says so in the words of a refusal. What this broker's metadata showed when the request came
 * tells whether it was there before: if not, it is our own success. (That another client has done
 * the very same in between cannot be told apart, and comes to the same.) */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define RESENT_ABSENT (-1)

/* `partitions_before`: of the topic when the request came, RESENT_ABSENT: there was none. */
int16_t resent_create(int16_t code, int partitions_before);
int16_t resent_delete(int16_t code, int partitions_before);
int16_t resent_grow(int16_t code, int partitions_before, int32_t partitions_asked);
