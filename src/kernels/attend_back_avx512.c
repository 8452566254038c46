/* The backward of attention tiles in AVX-512 f32. */
#include "kernels/attend_avx512.h"

#include "kernels/attend_back_f32.h"

void mn_attend_back_init_avx512(mn_attend_kernels *table) { table->back_f32 = table->back_fast = back_ops_f32; }
