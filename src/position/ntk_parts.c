/* NTK-by-parts, Peng et al. 2023 (arXiv:2309.00071), sec. 3.2: pairs that turn often within the trained window keep
 * their frequency, pairs that never finish a turn are interpolated by s, and a ramp joins the two.
 *
 * The paper's ramp (eq. 17-20) is linear in the number of turns. The authors' code, and every engine and published
 * model since, uses one linear in the index of the pair, between the rounded indexes at which beta_fast and beta_slow
 * turns are reached. The two differ by up to 75 % in the middle pairs; this is the one that models were trained with.
 */
#include "position/schemes.h"

#include "base/checked.h"

#include <math.h>

/* The index, a real number, of the pair that makes `turns` turns within the trained window. */
static double pair_of_turns(const mn_rope_spec *spec, double turns) {
    double turn_tokens = (double)spec->original_ctx / turns;
    return spec->n_rot * log(turn_tokens / (2 * M_PI)) / (2 * log(spec->freq_base));
}

mn_status mn_rope_ntk_parts(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err) {
    (void)n_ctx, (void)err;
    double beta_fast = spec->beta_fast > 0 ? spec->beta_fast : 32;
    double beta_slow = spec->beta_slow > 0 ? spec->beta_slow : 1;
    double share = spec->ext_factor > 0 ? spec->ext_factor : 1;
    double low = MN_MAX(0, floor(pair_of_turns(spec, beta_fast)));
    double high = MN_MIN(spec->n_rot - 1, ceil(pair_of_turns(spec, beta_slow)));
    for (int i = 0; i < table->n_pairs; i++) {
        double ramp = MN_MIN(1, MN_MAX(0, (i - low) / MN_MAX(0.001, high - low)));
        double interpolated = 1 - (1 - ramp) * share;
        /* Not f/s x + f (1 - x): a factor of 1 must leave every bit of the plain frequency. */
        table->freq[i] *= 1 - interpolated * (1 - 1 / table->factor);
    }
    return MN_OK;
}
