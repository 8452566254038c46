/* LongRoPE, Ding et al. 2024 (arXiv:2402.13753): a searched divisor for each pair. Models carry two sets: one for
 * windows up to the one first trained, one for longer. The attention factor is the file's, else that of the released
 * code, sqrt(1 + ln s / ln L0).
 */
#include "position/schemes.h"

#include <math.h>
#include <stdbool.h>

mn_status mn_rope_longrope(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err) {
    bool is_long = n_ctx > spec->original_ctx;
    const float *divisors = is_long ? spec->factors_long : spec->factors_short;
    const char *name = is_long ? "the long factors of LongRoPE" : "the short factors of LongRoPE";
    if (!divisors)
        return mn_fail_with(
            err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_YARN, 0}),
            "a window of %lld tokens (trained: %lld) needs %s, which this model does not carry; use YaRN instead.",
            (long long)n_ctx, (long long)spec->original_ctx, name);
    if (!(spec->attn_factor > 0)) table->scale = sqrt(1 + log(table->factor) / log((double)spec->original_ctx));
    return mn_rope_divide(table, divisors, name, err);
}
