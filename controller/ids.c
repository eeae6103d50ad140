/* controller/ids.c - see ids.h. */
#include "controller/ids.h"
#include "base/ensure.h"
#include <stdlib.h>

void ids_fini(struct ids *ids)
{
    free(ids->at);
    *ids = (struct ids){0};
}

void ids_add(struct ids *ids, int32_t id)
{
    if (ids->count == ids->capacity) {
        ids->capacity = ids->capacity == 0 ? 4 : ids->capacity * 2;
        ids->at = ensure_realloc(ids->at, (size_t)ids->capacity * sizeof(*ids->at));
    }
    ids->at[ids->count++] = id;
}

void ids_add_once(struct ids *ids, int32_t id)
{
    if (!ids_have(ids, id)) ids_add(ids, id);
}

void ids_remove(struct ids *ids, int32_t id)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < ids->count; i++)
        if (ids->at[i] != id) ids->at[kept++] = ids->at[i];
    ids->count = kept;
}

void ids_set(struct ids *to, const int32_t *at, int32_t count)
{
    struct ids fresh = {0};

    for (int32_t i = 0; i < count; i++)
        ids_add(&fresh, at[i]);
    ids_move(to, &fresh);
}

void ids_copy(struct ids *to, const struct ids *from)
{
    if (to != from) ids_set(to, from->at, from->count);
}

void ids_move(struct ids *to, struct ids *from)
{
    ids_fini(to);
    *to = *from;
    *from = (struct ids){0};
}

bool ids_have(const struct ids *ids, int32_t id)
{
    for (int32_t i = 0; i < ids->count; i++)
        if (ids->at[i] == id) return true;
    return false;
}

bool ids_equal(const struct ids *a, const struct ids *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->at, b->at, (size_t)a->count * sizeof(*a->at)) == 0);
}

bool ids_include(const struct ids *all, const struct ids *some)
{
    for (int32_t i = 0; i < some->count; i++)
        if (!ids_have(all, some->at[i])) return false;
    return true;
}

bool ids_have_duplicates(const struct ids *ids)
{
    for (int32_t i = 0; i < ids->count; i++)
        for (int32_t j = i + 1; j < ids->count; j++)
            if (ids->at[i] == ids->at[j]) return true;
    return false;
}

void ids_minus(struct ids *to, const struct ids *a, const struct ids *b)
{
    to->count = 0;
    for (int32_t i = 0; i < a->count; i++)
        if (!ids_have(b, a->at[i])) ids_add(to, a->at[i]);
}

void ids_print(struct buf *out, const struct ids *ids)
{
    for (int32_t i = 0; i < ids->count; i++)
        buf_printf(out, "%s%d", i == 0 ? "" : ",", ids->at[i]);
}
