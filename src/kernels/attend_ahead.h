/* Prefetching KV entries, for kernels that use them as they are stored in the cache. */
#ifndef MN_KERNELS_ATTEND_AHEAD_H
#define MN_KERNELS_ATTEND_AHEAD_H

#include "kernels/attend.h"

/* Asks for n bytes of the tile ahead, from byte `first` on; into the second-level cache, where more reads can be under
 * way. Best little at a time: a core that has as many reads under way as it can waits, and its arithmetic with it. */
static inline void mn_fetch_ahead(const mn_cached_rows *x, size_t first, size_t n) {
    for (const char *line = x->ahead + first, *end = line + n; line < end; line += 64) __builtin_prefetch(line, 0, 2);
}

#endif
