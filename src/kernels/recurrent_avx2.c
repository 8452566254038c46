#include <immintrin.h>

enum { LANES = 8, N_REGISTERS = 16 };

#include "kernels/vec_lanes.h"

INLINE vf fma_of(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }

#include "kernels/recurrent_simd.h"

void mn_recurrent_init_avx2(mn_recurrent_kernels *table) { recurrent_init(table); }
