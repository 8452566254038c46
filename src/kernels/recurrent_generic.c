/* Portable C, in vectors that every compiler can cut to its registers. */
enum { LANES = 4, N_REGISTERS = 16 };

#include "kernels/vec_lanes.h"

INLINE vf fma_of(vf a, vf b, vf c) { return a * b + c; }

#include "kernels/recurrent_simd.h"

void mn_recurrent_init_generic(mn_recurrent_kernels *table) { recurrent_init(table); }
