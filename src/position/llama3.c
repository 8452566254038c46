/* Llama 3.1's scaling (Meta 2024, llama-models: apply_scaling): pairs whose wavelength is shorter than
 * original_ctx / high keep their frequency, those longer than original_ctx / low are divided by s, and between the two
 * the frequency is blended by the number of turns within the window.
 */
#include "position/schemes.h"

#include "base/checked.h"

#include <math.h>

mn_status mn_rope_llama3(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err) {
    (void)n_ctx;
    double low = spec->low_freq_factor > 0 ? spec->low_freq_factor : 1;
    double high = spec->high_freq_factor > 0 ? spec->high_freq_factor : 4;
    if (!(high > low))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "the high frequency factor is %g and the low one %g: the high one must be larger (Llama 3: 4 "
                       "and 1).",
                       high, low);
    for (int i = 0; i < table->n_pairs; i++) {
        double turns = (double)spec->original_ctx * table->freq[i] / (2 * M_PI);
        double kept = MN_MIN(1, MN_MAX(0, (turns - low) / (high - low)));
        table->freq[i] *= 1 - (1 - kept) * (1 - 1 / table->factor);
    }
    return MN_OK;
}
