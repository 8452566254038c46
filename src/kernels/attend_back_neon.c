/* The backward of attention tiles in NEON. */
#define MN_LANES 4
#define MN_PANEL_VECTORS 4
#include "kernels/attend_back_f32.h"

#include <arm_neon.h>

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return vfmaq_f32(c, a, b); }
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b) { return vmaxq_f32(a, b); }
static inline mn_vf mn_vf_exp2(mn_vf x) { return exp2_by_bits(x); }

void mn_attend_back_init_neon(mn_attend_kernels *table) { table->back_f32 = table->back_fast = back_ops_f32; }
