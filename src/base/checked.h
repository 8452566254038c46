/* Sizes that cannot overflow unseen: each returns false, and leaves *out alone, when the result does not fit. */
#ifndef MN_BASE_CHECKED_H
#define MN_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool mn_add_size(size_t a, size_t b, size_t *out) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

static inline bool mn_mul_size(size_t a, size_t b, size_t *out) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

/* Rounds n up to a multiple of align, a power of two. */
static inline bool mn_align_size(size_t n, size_t align, size_t *out) {
    size_t sum;
    if (!mn_add_size(n, align - 1, &sum)) return false;
    *out = sum & ~(align - 1);
    return true;
}

#define MN_MIN(a, b) ((a) < (b) ? (a) : (b))
#define MN_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
