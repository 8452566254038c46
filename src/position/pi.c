/* Position interpolation, Chen et al. 2023 (arXiv:2306.15595), eq. 4: positions are divided by s, so that s windows fit
 * into the trained one. The nearest tokens come s times closer than the model ever saw them: it needs fine-tuning.
 */
#include "position/schemes.h"

mn_status mn_rope_pi(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err) {
    (void)spec, (void)n_ctx, (void)err;
    for (int i = 0; i < table->n_pairs; i++) table->freq[i] /= table->factor;
    return MN_OK;
}
