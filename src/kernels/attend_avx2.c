#define MN_LANES 8
#define MN_PANEL_VECTORS 2
#include "kernels/attend_f32.h"

#include <immintrin.h>

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b) {
    return _mm256_max_ps(a, b);
}
static inline mn_vf mn_vf_exp2(mn_vf x) {
    return exp2_by_bits(x);
}

void mn_attend_init_avx2(mn_attend_kernels *table) {
    use_f32(table);
}
