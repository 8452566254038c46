/* Attention tiles in portable C: vectors of four that every compiler knows. */
#define MN_LANES 4
#define MN_PANEL_VECTORS 2
#include "kernels/attend_f32.h"

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return a * b + c; }

void mn_attend_init_generic(mn_attend_kernels *table) {
    table->f32 = ops_f32;
    table->fast = ops_f32;
}
