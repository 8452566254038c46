/* YaRN, Peng et al. 2023 (arXiv:2309.00071), sec. 3.4: NTK-by-parts, and a temperature of the softmax. Queries and keys
 * are both multiplied by sqrt(1/t) = 0.1 ln s + 1 (eq. 22), which costs nothing when it is done to cos and sin.
 */
#include "position/schemes.h"

#include <math.h>

mn_status mn_rope_yarn(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *table, mn_error *err) {
    table->scale *= 0.1 * log(table->factor) + 1;
    return mn_rope_ntk_parts(spec, n_ctx, table, err);
}
