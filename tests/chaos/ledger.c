#include "tests/chaos/ledger.h"
#include "base/ensure.h"
#include <stdlib.h>
#include <string.h>

void ledger_init(struct ledger *ledger)
{
    *ledger = (struct ledger){.acknowledged = -1, .highest = -1};
}

void ledger_fini(struct ledger *ledger)
{
    free(ledger->open);
    free(ledger->odd);
    free(ledger->last_of);
}

static struct ledger_record *grow(struct ledger_record *at, int64_t *capacity)
{
    *capacity = *capacity == 0 ? 4096 : *capacity * 2;
    at = realloc(at, (size_t)*capacity * sizeof(*at));
    ensure(at != NULL);
    return at;
}

static bool is_settled(const struct ledger_record *record)
{
    return record->outcome >= 0 ? record->seen_at >= 0 : record->outcome != LEDGER_PENDING;
}

/* What is settled at the front makes way. */
static void settle(struct ledger *ledger)
{
    int64_t count = ledger->sent - ledger->first, gone = 0;

    for (; gone < count && is_settled(&ledger->open[gone]); gone++) {
        if (ledger->open[gone].outcome >= 0) continue;
        if (ledger->odd_count == ledger->odd_capacity)
            ledger->odd = grow(ledger->odd, &ledger->odd_capacity);
        ledger->odd[ledger->odd_count++] = ledger->open[gone];
    }
    memmove(ledger->open, ledger->open + gone, (size_t)(count - gone) * sizeof(*ledger->open));
    ledger->first += gone;
}

void ledger_send(struct ledger *ledger, int64_t count, int32_t generation)
{
    for (; ledger->generations <= generation; ledger->generations++) {
        ledger->last_of =
            realloc(ledger->last_of, ((size_t)ledger->generations + 1) * sizeof(*ledger->last_of));
        ensure(ledger->last_of != NULL);
        ledger->last_of[ledger->generations] = -1;
    }
    for (; count > 0; count--) {
        if (ledger->sent - ledger->first == ledger->capacity) {
            if (ledger->capacity > 0) settle(ledger);
            /* Where little makes way more is wanted: else each record would move all others. */
            if (ledger->sent - ledger->first >= ledger->capacity / 2)
                ledger->open = grow(ledger->open, &ledger->capacity);
        }
        ledger->open[ledger->sent - ledger->first] =
            (struct ledger_record){ledger->sent, LEDGER_PENDING, -1, generation};
        ledger->sent++;
    }
}

static struct ledger_record *find(const struct ledger *ledger, int64_t number)
{
    int64_t low = 0, high = ledger->odd_count;

    if (number >= ledger->sent) return NULL;
    if (number >= ledger->first) return &ledger->open[number - ledger->first];
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (ledger->odd[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ledger->odd_count && ledger->odd[low].number == number ? &ledger->odd[low] : NULL;
}

const struct ledger_record *ledger_find(const struct ledger *ledger, int64_t number)
{
    return find(ledger, number);
}

static const char *agree(const struct ledger_record *record)
{
    if (record->seen_at < 0) return NULL;
    if (record->outcome == LEDGER_REFUSED) return "was refused, and is there";
    if (record->outcome >= 0 && record->outcome != record->seen_at)
        return "was acknowledged at another offset";
    return NULL;
}

const char *ledger_answer(struct ledger *ledger, int64_t number, int64_t count, int64_t outcome)
{
    const char *doubt = NULL;

    ensure(number >= ledger->first && number + count <= ledger->sent);
    for (int64_t i = 0; i < count; i++) {
        struct ledger_record *record = &ledger->open[number + i - ledger->first];
        ensure(record->outcome == LEDGER_PENDING);
        record->outcome = outcome >= 0 ? outcome + i : outcome;
        if (doubt == NULL) doubt = agree(record);
    }
    if (outcome >= 0) {
        if (doubt == NULL && outcome <= ledger->acknowledged) doubt = "acknowledged out of order";
        ledger->acknowledged = outcome + count - 1;
    }
    return doubt;
}

const char *ledger_see(struct ledger *ledger, int64_t number, int64_t offset)
{
    struct ledger_record *record = find(ledger, number);

    ledger->seen_end = offset + 1;
    if (number >= ledger->sent) return "nobody sent it";
    if (record == NULL || record->seen_at >= 0) return "is there twice";
    record->seen_at = offset;
    const char *doubt = agree(record);
    if (doubt == NULL && number < ledger->last_of[record->generation])
        doubt = "out of order on its connection";
    ledger->last_of[record->generation] = number;
    if (number < ledger->highest)
        ledger->late++;
    else
        ledger->highest = number;
    return doubt;
}

int64_t ledger_ahead(const struct ledger *ledger)
{
    return ledger->acknowledged + 1 - ledger->seen_end;
}

const char *ledger_end(const struct ledger *ledger, int64_t *number)
{
    for (int64_t n = ledger->first; n < ledger->sent; n++) {
        const struct ledger_record *record = &ledger->open[n - ledger->first];
        if (record->outcome < 0 || record->seen_at >= 0) continue;
        *number = n;
        return "was acknowledged and is lost";
    }
    return NULL;
}
