/* Attention tiles in NEON, and decode directly from the KV cache. */
#define MN_LANES 4
#define MN_PANEL_VECTORS 4
#include "kernels/attend_f32.h"

#include <arm_neon.h>

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return vfmaq_f32(c, a, b); }
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b) { return vmaxq_f32(a, b); }
static inline mn_vf mn_vf_exp2(mn_vf x) { return exp2_by_bits(x); }

MN_INLINE mn_vf load_elements(mn_dtype type, const char *row, int i) {
    if (type == MN_F32) return load_any(row + (size_t)i * sizeof(float));
    uint16x4_t half = vld1_u16((const uint16_t *)(const void *)row + i);
    return type == MN_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(half)) : vreinterpretq_f32_u32(vshll_n_u16(half, 16));
}

/* Lane j: the sum of the lanes of sums[j]. */
MN_INLINE mn_vf sum_each(const mn_vf sums[MN_LANES]) {
    return vpaddq_f32(vpaddq_f32(sums[0], sums[1]), vpaddq_f32(sums[2], sums[3]));
}

#include "kernels/attend_direct.h"

enum { MAX_DIRECT_ROWS = 8 };

void mn_attend_init_neon(mn_attend_kernels *table) {
    use_f32(table);
    use_direct(table, MAX_DIRECT_ROWS);
}
