#define MN_LANES 16
#define MN_PANEL_VECTORS 4
#include "kernels/attend_f32.h"

#include <immintrin.h>

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return _mm512_fmadd_ps(a, b, c); }

void mn_attend_init_avx512(mn_attend_kernels *table) {
    table->f32 = ops_f32;
    table->fast = ops_f32;
}
