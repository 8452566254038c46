/* Attention tiles in portable C, and decode directly from the KV cache: vectors of four that every compiler knows. */
#define MN_LANES 4
#define MN_PANEL_VECTORS 2
#include "kernels/attend_f32.h"

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return a * b + c; }
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b) { return choose(a > b, a, b); }
static inline mn_vf mn_vf_exp2(mn_vf x) { return exp2_by_bits(x); }

typedef uint16_t halves __attribute__((vector_size(16)));
typedef uint64_t words __attribute__((vector_size(16)));

/* Four halves as the upper halves of floats, so that sign bits are where they belong. */
MN_INLINE mn_vi load_halves(const char *row) {
    uint64_t four;
    memcpy(&four, row, sizeof four);
    halves half = (halves)(words){four}, zero = {0};
#ifdef __clang__
    return (mn_vi)__builtin_shufflevector(zero, half, 0, 8, 1, 9, 2, 10, 3, 11);
#else
    return (mn_vi)__builtin_shuffle(zero, half, (halves){0, 8, 1, 9, 2, 10, 3, 11});
#endif
}

/* As mn_f16_to_f32, four at a time. */
MN_INLINE mn_vf f16_to_vf(mn_vi half) {
    mn_vi bits = (half & INT32_MAX) >> 3, special = bits > 0x7bff << 13;
    return (mn_vf)((mn_vi)((mn_vf)bits * splat(0x1p112f)) | (special & 0x7f800000) | (half & INT32_MIN));
}

MN_INLINE mn_vf load_elements(mn_dtype type, const char *row, int i) {
    if (type == MN_F32) return load_any(row + (size_t)i * sizeof(float));
    mn_vi half = load_halves(row + 2 * i);
    return type == MN_F16 ? f16_to_vf(half) : (mn_vf)half;
}

/* Lane j: the sum of the lanes of sums[j]. */
MN_INLINE mn_vf sum_each(const mn_vf sums[MN_LANES]) {
    return (mn_vf){reduce_sum(sums[0]), reduce_sum(sums[1]), reduce_sum(sums[2]), reduce_sum(sums[3])};
}

#include "kernels/attend_direct.h"

enum { MAX_DIRECT_ROWS = 8 };

void mn_attend_init_generic(mn_attend_kernels *table) {
    use_f32(table);
    use_direct(table, MAX_DIRECT_ROWS);
}
