#include <arm_neon.h>

enum { LANES = 4, N_REGISTERS = 32 };

#include "kernels/vec_lanes.h"

INLINE vf fma_of(vf a, vf b, vf c) { return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }

#include "kernels/recurrent_simd.h"

void mn_recurrent_init_neon(mn_recurrent_kernels *table) { recurrent_init(table); }
