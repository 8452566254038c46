#include "mlp/visits.h"

#include "base/checked.h"

mn_status mn_visits_sort(const mn_compute *c, mn_visits *v, const int32_t *ids, const float *weights, int n_used,
                         int64_t n_rows, int64_t n_experts, mn_error *err) {
    int64_t n = n_rows * n_used;
    v->offsets = mn_arena_zalloc(c->scratch, (size_t)n_experts + 2, sizeof *v->offsets);
    v->visits = mn_arena_alloc(c->scratch, (size_t)n, sizeof *v->visits);
    if (!v->offsets || !v->visits)
        return mn_fail(err, MN_ERR_MEMORY, "no memory to send %lld tokens to experts.", (long long)n_rows);
    /* Counted two places up and summed one place up, an expert's entry is its write position while visits are placed,
     * and ends up as its end: the next one's start. */
    int64_t *positions = v->offsets + 1;
    for (int64_t i = 0; i < n; i++) positions[ids[i] + 1]++;
    for (int64_t e = 0; e < n_experts; e++) {
        v->most = MN_MAX(v->most, positions[e + 1]);
        positions[e + 1] += positions[e];
    }
    for (int64_t i = 0; i < n; i++) v->visits[positions[ids[i]]++] = (mn_visit){i / n_used, i, weights[i]};
    return MN_OK;
}
