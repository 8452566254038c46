/* RoPE, Su et al. 2021 (arXiv:2104.09864), eq. 15: pair i of a head turns by position * base^(-2i / n_rot), so that the
 * product of a rotated query and a rotated key depends on their distance alone.
 */
#include "position/schemes.h"

#include <math.h>

void mn_rope_plain(const mn_rope_spec *spec, mn_rope_table *table) {
    table->n_pairs = spec->n_rot / 2;
    for (int i = 0; i < table->n_pairs; i++) table->freq[i] = pow(spec->freq_base, -2.0 * i / spec->n_rot);
}

mn_status mn_rope_divide(mn_rope_table *table, const float *divisors, const char *name, mn_error *err) {
    for (int i = 0; i < table->n_pairs; i++) {
        if (!(divisors[i] > 0) || !isfinite(divisors[i]))
            return mn_fail(err, MN_ERR_FORMAT, "%s[%d] is %g: a frequency can only be divided by a positive number.",
                           name, i, divisors[i]);
        table->freq[i] /= divisors[i];
    }
    return MN_OK;
}

void mn_rope_angles(const mn_rope_table *table, const int64_t *positions, int64_t n_rows, float *cos_out,
                    float *sin_out) {
    for (int64_t r = 0; r < n_rows; r++)
        for (int i = 0; i < table->n_pairs; i++) {
            double angle = (double)positions[r] * table->freq[i];
            *cos_out++ = (float)(cos(angle) * table->scale);
            *sin_out++ = (float)(sin(angle) * table->scale);
        }
}
