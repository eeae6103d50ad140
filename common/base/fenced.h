/* base/fenced.h - MEMORY_FENCED: a sanitizer watches the heap. Memory is then given back to it at
 * once, not kept to be used again, so that use after the end is seen. */
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_FENCED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_FENCED 1
#endif
#endif
#ifndef MEMORY_FENCED
#define MEMORY_FENCED 0
#endif
