#include <immintrin.h>

enum { LANES = 16, N_REGISTERS = 32 };

#include "kernels/vec_lanes.h"

INLINE vf fma_of(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }

#include "kernels/recurrent_simd.h"

void mn_recurrent_init_avx512(mn_recurrent_kernels *table) { recurrent_init(table); }
