/* Manifold-constrained hyper-connections (Xie et al. 2025, arXiv:2512.24880; hyper-connections: Zhu et al. 2024,
 * arXiv:2409.19606): n residual streams x_s in the place of one. Around a block f (attention, MLP), from
 * m = W norm(x), x all streams as one vector:
 *
 *   h = sum_s pre_s x_s,  pre = sigmoid(m_pre scale_0 + base_pre) + eps
 *   x_d := post_d f(h) + sum_s carry_sd x_s,  post = 2 sigmoid(m_post scale_1 + base_post)
 *   carry: m_carry scale_2 + base_carry (s slowest), softmax over d, + eps; then columns and rows in turn divided by
 *   their sums + eps, n_rounds times in all, columns last (Sinkhorn and Knopp 1967)
 */
#ifndef MN_MODEL_HYPER_CONNECTIONS_H
#define MN_MODEL_HYPER_CONNECTIONS_H

#include "base/technique.h"

#include <stdint.h>

enum { MN_MAX_STREAMS = 8, MN_MAX_HYPER_ROUNDS = 1 << 10 };

typedef struct mn_hyper_config {
    int n_streams; /* 0: one, and no such connections */
    int n_rounds;
    float eps;
} mn_hyper_config;

/* Numbers that a block's connections are made of: m_pre, m_post and m_carry, one behind the other. */
static inline int mn_hyper_mixes(const mn_hyper_config *c) { return (2 + c->n_streams) * c->n_streams; }

/* pre [n_streams] from as many of m. */
void mn_hyper_pre(const mn_hyper_config *c, const float *scale, const float *base, const float *m, float *pre);
/* post [n_streams], and behind it carry [n_streams, n_streams] from m_post and m_carry; scale and base of all of m. */
void mn_hyper_gates(const mn_hyper_config *c, const float *scale, const float *base, const float *m, float *gates);
/* out [n] = sum_s pre_s x_s, streams `stride` floats apart. */
void mn_hyper_merge(const mn_hyper_config *c, const float *pre, const float *x, int64_t stride, int64_t n, float *out);
/* x_d of out from x and y = f(h); out may be x. */
void mn_hyper_spread(const mn_hyper_config *c, const float *gates, const float *x, const float *y, int64_t stride,
                     int64_t n, float *out);
extern const mn_technique mn_hyper_about;

#endif
