/* The schemes of the RoPE family, for position.c alone. Each finds in the table the plain frequencies (divided by the
 * file's own divisors), scale = the attention factor asked for, and factor = s, and changes what it changes.
 */
#ifndef MN_POSITION_SCHEMES_H
#define MN_POSITION_SCHEMES_H

#include "position/position.h"

typedef mn_status mn_rope_scheme_fn(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err);

mn_rope_scheme_fn mn_rope_pi, mn_rope_ntk, mn_rope_dynamic_ntk, mn_rope_ntk_parts, mn_rope_yarn, mn_rope_longrope,
    mn_rope_llama3;

/* freq[i] = freq_base^(-2i / n_rot). */
void mn_rope_plain(const mn_rope_spec *spec, mn_rope_table *table);
/* freq[i] /= divisors[i]; `name` is what the error calls them. */
mn_status mn_rope_divide(mn_rope_table *table, const float *divisors, const char *name, mn_error *err);

#endif
