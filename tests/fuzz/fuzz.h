/* tests/fuzz/fuzz.h - what every fuzz target includes: one function, two programs.
 *
 * With configure --enable-fuzz CC=clang a target is linked with libFuzzer. Without, the main below
 * makes of it a test that replays files: those named as arguments, or else all in
 * tests/fuzz/corpus/<name of the program>. */
#pragma once
#include "base/ensure.h"
#include "base/slice.h"

/* Runs once per input; gives 0. What must hold is ensured. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef OTTLA_FUZZ
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int fuzz_replay(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        perror(path);
        return 1;
    }
    ensure(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    ensure(size >= 0);
    rewind(file);
    uint8_t *data = ensure_malloc((size_t)size + 1);
    uint8_t *exact =
        ensure_malloc((size_t)size == 0 ? 1 : (size_t)size); /* so that overruns show */
    ensure(fread(data, 1, (size_t)size, file) == (size_t)size);
    memcpy(exact, data, (size_t)size);
    LLVMFuzzerTestOneInput(exact, (size_t)size);
    free(exact);
    free(data);
    fclose(file);
    return 0;
}

static int fuzz_replay_folder(const char *path, int *count)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    char name[8192];
    int failed = 0;

    if (folder == NULL) {
        perror(path);
        return 1;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        failed |= fuzz_replay(name);
        (*count)++;
    }
    closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    const char *source = getenv("OTTLA_SOURCE"), *name = strrchr(argv[0], '/');
    char path[4096];
    int failed = 0, count = 0;

    for (int i = 1; i < argc; i++, count++)
        failed |= fuzz_replay(argv[i]);
    if (argc == 1) {
        snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", source == NULL ? "." : source,
                 name == NULL ? argv[0] : name + 1);
        failed |= fuzz_replay_folder(path, &count);
    }
    printf("%d inputs\n", count);
    return failed || count == 0; /* a test that tries nothing is none */
}
#endif
