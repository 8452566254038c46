/* NTK-aware scaling (bloc97 2023; Peng et al. 2023, arXiv:2309.00071, sec. 3.1): a larger base,
 * b' = b s^(d / (d - 2)), which leaves the fastest pair alone and slows the slowest by exactly s.
 *
 * Written per pair, b'^(-2i / d) = b^(-2i / d) s^(-2i / (d - 2)), it also works on frequencies a file has divided.
 */
#include "position/schemes.h"

#include "base/checked.h"

#include <math.h>

static void enlarge_base(mn_rope_table *table) {
    for (int i = 1; i < table->n_pairs; i++) table->freq[i] *= pow(table->factor, -(double)i / (table->n_pairs - 1));
}

mn_status mn_rope_ntk(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err) {
    (void)spec, (void)n_ctx, (void)err;
    enlarge_base(table);
    return MN_OK;
}

/* Dynamic NTK (emozilla 2023; Peng et al., sec. 3.3): s = alpha L / L0 - (alpha - 1), with L the window asked for. */
mn_status mn_rope_dynamic_ntk(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err) {
    (void)err;
    double alpha = spec->factor > 0 ? spec->factor : 1;
    table->factor = MN_MAX(1, alpha * (double)n_ctx / (double)spec->original_ctx - (alpha - 1));
    enlarge_base(table);
    return MN_OK;
}
