/* The backward of attention tiles in portable C. */
#define MN_LANES 4
#define MN_PANEL_VECTORS 2
#include "kernels/attend_back_f32.h"

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return a * b + c; }
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b) { return choose(a > b, a, b); }
static inline mn_vf mn_vf_exp2(mn_vf x) { return exp2_by_bits(x); }

void mn_attend_back_init_generic(mn_attend_kernels *table) { table->back_f32 = table->back_fast = back_ops_f32; }
