enum { LANES = 4 };

#include "kernels/vec_backward_simd.h"

void mn_vec_backward_init_neon(mn_vec_backward *table) { vec_backward_init(table); }
