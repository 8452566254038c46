enum { LANES = 8 };

#include "kernels/vec_backward_simd.h"

void mn_vec_backward_init_avx2(mn_vec_backward *table) { vec_backward_init(table); }
