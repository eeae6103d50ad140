/* controller/ids.h - an ordered list of broker ids: replicas, an ISR, what is added or removed.
 *
 * Owns its memory; zero is the empty list. The order means something: the first replica is
 * preferred, and an ISR that is sent again must be the same list. */
#pragma once
#include "base/buf.h"

struct ids {
    int32_t *at;
    int32_t count;
    int32_t capacity;
};

void ids_fini(struct ids *ids); /* empty again */
void ids_add(struct ids *ids, int32_t id);
/* Appends unless it is there. */
void ids_add_once(struct ids *ids, int32_t id);
void ids_remove(struct ids *ids, int32_t id);
/* `*to` becomes a copy of `from`; the two may be the same. */
void ids_copy(struct ids *to, const struct ids *from);
/* `*to` becomes `*from`, which becomes empty. */
void ids_move(struct ids *to, struct ids *from);
void ids_set(struct ids *to, const int32_t *at, int32_t count);

bool ids_have(const struct ids *ids, int32_t id);
bool ids_equal(const struct ids *a, const struct ids *b); /* order matters */
bool ids_include(const struct ids *all, const struct ids *some);
bool ids_have_duplicates(const struct ids *ids);
/* to = a without what b has, in a's order. `to` is neither. */
void ids_minus(struct ids *to, const struct ids *a, const struct ids *b);
/* "1,2,3" */
void ids_print(struct buf *out, const struct ids *ids);
