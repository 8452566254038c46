#include "model/previous_token.h"

#include <math.h>
#include <string.h>

/* In the norm of layer 0 channel 0 comes out near sqrt(n_embd) * SHARED / sqrt(1 + SHARED^2). */
static const double SHARED = 0.5, SLOWEST = 0.05, WEIGHT = 1.25, REST = 0.2;

void mn_previous_token_row(const mn_random_model *m, const char *name, int64_t row, float *values) {
    bool is_q = !strcmp(name, "blk.0.attn_q.weight"), is_k = !strcmp(name, "blk.0.attn_k.weight");
    if (!strcmp(name, "token_embd.weight")) values[0] = (float)SHARED;
    if (!is_q && !is_k) return;
    int64_t head = row / m->head_dim, channel = row % m->head_dim;
    double theta = pow(m->rope_base, -(double)(channel / 2 * 2) / (double)m->head_dim);
    if (theta < SLOWEST || (is_q && head >= m->previous_token_heads)) return;
    double angle = is_q ? (double)(head + 1) * theta : 0;
    for (int64_t i = 1; i < m->n_embd; i++) values[i] *= (float)REST;
    values[0] = (float)(WEIGHT * (channel % 2 ? -sin(angle) : cos(angle)));
}
