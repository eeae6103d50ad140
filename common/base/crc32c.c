#include "base/crc32c.h"
#include <isa-l/crc.h>

uint32_t crc32c(struct slice s)
{
    return crc32c_more(0, s);
}

/* crc32_iscsi takes an int length and a pointer that is not const. */
uint32_t crc32c_more(uint32_t crc, struct slice s)
{
    const size_t part_max = 1 << 30;

    crc = ~crc;
    while (s.len > 0) {
        size_t part = s.len < part_max ? s.len : part_max;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)s.ptr, (int)part, crc);
        s = slice_of(s.ptr + part, s.len - part);
    }
    return ~crc;
}
