/* base/crc32c.h - CRC-32C (Castagnoli), the checksum of record batches (over ISA-L). */
#pragma once
#include "base/slice.h"

/* Of all bytes of `s`; the empty slice gives 0. */
uint32_t crc32c(struct slice s);
/* Goes on from `crc`, the checksum of the bytes before: crc32c(ab) == crc32c_more(crc32c(a), b). */
uint32_t crc32c_more(uint32_t crc, struct slice s);
