#include "kernels/peaks.h"

#include "kernels/kernels.h"

double mn_product_peak(const mn_kernels *kernels, const mn_peaks *peaks, mn_dtype type, const char **name) {
    static const char *const names[] = {"f32 peak", "bf16 peak", "int8 peak"};
    const double rates[] = {peaks->f32_flops_per_s, peaks->bf16_flops_per_s, peaks->int8_ops_per_s};
    bool halves = type == MN_F16 || type == MN_BF16 || kernels->matmul.many[type];
    int at = 0;
    if (mn_dtype_get(type)->quantised && peaks->int8_ops_per_s > 0) at = 2;
    if (halves && peaks->bf16_flops_per_s > 0) at = 1;
    if (name) *name = names[at];
    return rates[at];
}
