enum { LANES = 16 };

#include "kernels/vec_backward_simd.h"

void mn_vec_backward_init_avx512(mn_vec_backward *table) { vec_backward_init(table); }
