/* Parts of one softmax: FlashAttention's merge by log-sum-exp (arXiv:2307.08691, section 3.1.1), across calls. */
#include "attention/merge.h"

#include <math.h>
#include <string.h>

typedef struct merge {
    float *out, *lse;
    const float *part, *part_lse;
    int v_dim;
} merge;

/* Vectors [begin, end), one per row and head. */
static void merge_vectors(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const merge *m = arg;
    for (int64_t i = begin; i < end; i++) {
        float *out = m->out + i * m->v_dim;
        const float *part = m->part + i * m->v_dim;
        if (m->part_lse[i] == -INFINITY) continue;
        if (m->lse[i] == -INFINITY) {
            memcpy(out, part, (size_t)m->v_dim * sizeof *out);
            m->lse[i] = m->part_lse[i];
            continue;
        }
        float max = fmaxf(m->lse[i], m->part_lse[i]);
        float keep = exp2f(m->lse[i] - max), add = exp2f(m->part_lse[i] - max), inverse = 1 / (keep + add);
        for (int d = 0; d < m->v_dim; d++) out[d] = (out[d] * keep + part[d] * add) * inverse;
        m->lse[i] = max + log2f(keep + add);
    }
}

void mn_attend_merge(const mn_compute *c, float *out, float *lse, const float *part, const float *part_lse,
                     int64_t n_rows, int n_heads, int v_dim) {
    merge m = {out, lse, part, part_lse, v_dim};
    mn_pool_run(c->pool, n_rows * n_heads, 64, merge_vectors, &m);
}
