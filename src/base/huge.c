#include "base/huge.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGN_BYTES = 64, HUGE_PAGE_BYTES = 1 << 21 };

void *mn_huge_alloc(size_t bytes) {
    if (bytes < 2 * HUGE_PAGE_BYTES) return aligned_alloc(ALIGN_BYTES, bytes);
    void *data;
    if (posix_memalign(&data, HUGE_PAGE_BYTES, bytes)) return NULL;
    madvise(data, bytes, MADV_HUGEPAGE);
    return data;
}
