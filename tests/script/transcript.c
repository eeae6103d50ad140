#include "script/transcript.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *words_value(const struct words *words, const char *key, const char *otherwise)
{
    size_t len = strlen(key);

    for (int i = 0; i < words->count; i++)
        if (strncmp(words->at[i], key, len) == 0 && words->at[i][len] == '=')
            return words->at[i] + len + 1;
    return otherwise;
}

int32_t words_number(const struct words *words, const char *key, int32_t otherwise)
{
    const char *value = words_value(words, key, NULL);

    return value == NULL ? otherwise : (int32_t)strtol(value, NULL, 10);
}

int32_t words_at(const struct words *words, int place)
{
    return place < words->count ? (int32_t)strtol(words->at[place], NULL, 10) : -1;
}

void words_join(const struct words *words, int from, char *out, size_t size)
{
    out[0] = '\0';
    for (int i = from; i < words->count; i++) {
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%s%s", i == from ? "" : " ", words->at[i]);
    }
}

struct transcript {
    const struct transcripts *its;
    const char *name;
    struct buf expected, made;
    bool is_expecting;
    int failures;
};

static void end_block(struct transcript *t, int line)
{
    struct buf *out = t->its->out(t->its->machine);

    if (!t->is_expecting) return;
    buf_add_slice(&t->made, buf_slice(out));
    if (!slice_equal(buf_slice(&t->expected), buf_slice(out))) {
        fprintf(stderr, "%s: block that ends at line %d\n--- expected\n%.*s--- came\n%.*s", t->name,
                line, SLICE_ARGS(buf_slice(&t->expected)), SLICE_ARGS(buf_slice(out)));
        t->failures++;
    }
    buf_clear(&t->expected);
    buf_clear(out);
    t->is_expecting = false;
}

static bool run_command(struct transcript *t, char *line)
{
    struct words words = {0};

    for (char *word = strtok(line, " "); word != NULL && words.count < WORDS_MAX;
         word = strtok(NULL, " "))
        words.at[words.count++] = word;
    return words.count == 0 || t->its->run(t->its->machine, &words);
}

static void take_line(struct transcript *t, int number, char *line)
{
    if (t->is_expecting && line[0] != '\0') {
        buf_printf(&t->expected, "%s\n", line);
        return;
    }
    end_block(t, number);
    buf_printf(&t->made, "%s\n", line);
    if (strcmp(line, "----") == 0) {
        t->is_expecting = true;
    } else if (line[0] != '#' && line[0] != '\0' && !run_command(t, line)) {
        fprintf(stderr, "%s:%d: no such command\n", t->name, number);
        t->failures++;
    }
}

static int run_file(const struct transcripts *its, const char *name, bool is_rewriting)
{
    struct transcript t = {.its = its, .name = name};
    char line[4096];
    int number = 0;
    FILE *file = fopen(name, "r");

    if (file == NULL) {
        perror(name);
        return 1;
    }
    its->begin(its->machine);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        take_line(&t, ++number, line);
    }
    fclose(file);
    end_block(&t, number);
    if (is_rewriting && (file = fopen(name, "w")) != NULL) {
        fwrite(t.made.ptr, 1, t.made.len, file);
        fclose(file);
        t.failures = 0;
    }
    its->end(its->machine);
    buf_fini(&t.expected);
    buf_fini(&t.made);
    return t.failures;
}

int transcripts_main(const struct transcripts *its, int argc, char **argv)
{
    bool is_rewriting = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    int first = is_rewriting ? 2 : 1;
    int failures = 0;
    glob_t found = {0};
    char pattern[1000];

    for (int i = first; i < argc; i++)
        failures += run_file(its, argv[i], is_rewriting);
    if (first >= argc) {
        const char *source = getenv("OTTLA_SOURCE");

        snprintf(pattern, sizeof(pattern), "%s/%s", source == NULL ? "." : source, its->files);
        if (glob(pattern, 0, NULL, &found) != 0) {
            fprintf(stderr, "no transcripts at %s\n", pattern);
            return EXIT_FAILURE;
        }
        for (size_t i = 0; i < found.gl_pathc; i++)
            failures += run_file(its, found.gl_pathv[i], is_rewriting);
        printf("%zu transcripts, %d failures\n", found.gl_pathc, failures);
        globfree(&found);
    }
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
