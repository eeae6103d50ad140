#include "tests/chaos/replicas.h"
#include "base/crc32c.h"
#include "wire/prim.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRAME 12 /* base offset and length of the rest, before each batch */

struct replica_bytes {
    uint64_t length;
    uint32_t crc32c;
};

static int is_segment(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len == 24 && strcmp(entry->d_name + 20, ".log") == 0;
}

/* How many bytes at the front are batches below `from`. False: there is one that is none. */
static bool skip(struct slice bytes, int64_t from, size_t *out)
{
    size_t at = 0;

    while (bytes.len - at >= FRAME && (int64_t)prim_load64(bytes.ptr + at) < from) {
        size_t rest = prim_load32(bytes.ptr + at + 8);
        if (rest > bytes.len - at - FRAME) return false;
        at += FRAME + rest;
    }
    *out = at;
    return true;
}

static bool add_segment(const char *path, int64_t from, struct replica_bytes *out)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *at = MAP_FAILED;
    size_t skipped = 0, len = 0;

    if (fd >= 0 && fstat(fd, &status) == 0) {
        len = (size_t)status.st_size;
        at = len == 0 ? NULL : mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0) close(fd);
    bool good = at != MAP_FAILED && skip(slice_of(at, len), from, &skipped);
    if (good && len > skipped) {
        struct slice rest = slice_of((const uint8_t *)at + skipped, len - skipped);
        out->crc32c = crc32c_more(out->crc32c, rest);
        out->length += rest.len;
    }
    if (at != MAP_FAILED && at != NULL) munmap(at, len);
    if (!good) printf("FAILED: %s is not a segment that can be read\n", path);
    return good;
}

/* Gives how many segments there are; `names` are to be freed. */
static int list_segments(const char *folder, struct dirent ***names)
{
    int count = scandir(folder, names, is_segment, alphasort);

    if (count <= 0) printf("FAILED: %s has no segments\n", folder);
    return count;
}

static void free_names(struct dirent **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    if (count >= 0) free(names);
}

static int64_t base_of(const struct dirent *segment)
{
    return strtoll(segment->d_name, NULL, 10);
}

static bool find_first(const char *folder, int64_t *first)
{
    struct dirent **names;
    int count = list_segments(folder, &names);

    if (count > 0 && base_of(names[0]) > *first) *first = base_of(names[0]);
    free_names(names, count);
    return count > 0;
}

static bool read_replica(const char *folder, int64_t from, struct replica_bytes *out)
{
    struct dirent **names;
    int count = list_segments(folder, &names);
    bool good = count > 0;

    *out = (struct replica_bytes){0};
    for (int i = 0; good && i < count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        good = add_segment(path, from, out);
    }
    free_names(names, count);
    return good;
}

bool replicas_are_equal(const char (*folders)[160], int count)
{
    struct replica_bytes bytes, first = {0};
    int64_t from = 0;
    bool good = true;

    for (int i = 0; i < count; i++)
        good &= find_first(folders[i], &from);
    for (int i = 0; good && i < count; i++) {
        good = read_replica(folders[i], from, &bytes);
        if (i == 0) first = bytes;
        if (!good || (bytes.length == first.length && bytes.crc32c == first.crc32c)) continue;
        printf("FAILED: from offset %ld on %s has %lu bytes (crc32c %08x), %s %lu (%08x)\n",
               (long)from, folders[0], (unsigned long)first.length, first.crc32c, folders[i],
               (unsigned long)bytes.length, bytes.crc32c);
        good = false;
    }
    return good;
}
