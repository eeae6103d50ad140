#include "cluster/level.h"

static const char *const texts[LEVEL_COUNT] = {
#define LEVEL_ROW(suffix, text) [LEVEL_##suffix] = text,
    LEVEL_TABLE(LEVEL_ROW)
#undef LEVEL_ROW
};

const char *level_text(enum level level)
{
    return (unsigned)level < LEVEL_COUNT ? texts[level] : "unknown";
}

/* The release that a level's text belongs to: what stands before "-IV". */
static struct slice release_of(const char *text)
{
    struct slice all = slice_text(text), release;

    return slice_cut(&all, '-', &release) ? release : slice_text(text);
}

/* The first `segments` numbers of a version: "2.8.1" with two gives "2.8". */
static struct slice version_head(struct slice text, int segments)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '.' && --segments == 0) return slice_of(text.ptr, i);
    return text;
}

static bool is_version_text(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((text.ptr[i] < '0' || text.ptr[i] > '9') && text.ptr[i] != '.') return false;
    return text.len > 0 && text.ptr[text.len - 1] != '.';
}

enum err level_parse(struct slice text, enum level *out)
{
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (slice_is(text, texts[i])) {
            *out = (enum level)i;
            return ERR_OK;
        }
    }
    if (!is_version_text(text)) return ERR_INVALID;
    /* Before 1.0 a release has three numbers, since then two; what follows is its patch level. */
    struct slice release = version_head(text, slice_starts_with(text, SLICE("0.")) ? 3 : 2);
    for (int i = LEVEL_COUNT - 1; i >= 0; i--) {
        if (slice_equal(release, release_of(texts[i]))) {
            *out = (enum level)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}
