/* The backward of hyper-connections (hyper_connections.h), a token at a time. Everything is added to. */
#ifndef MN_MODEL_HYPER_CONNECTIONS_BACKWARD_H
#define MN_MODEL_HYPER_CONNECTIONS_BACKWARD_H

#include "model/hyper_connections.h"

/* Where the gradients of m, scale and base go; as long as these are. */
typedef struct mn_hyper_grad {
    float *d_m, *d_scale, *d_base;
} mn_hyper_grad;

/* From d_pre [n_streams]. */
void mn_hyper_pre_backward(const mn_hyper_config *c, const float *scale, const float *base, const float *m,
                           const float *d_pre, mn_hyper_grad g);
/* From the gradient of post and carry, laid out as these are; the rounds of the normalisation are walked back by the
 * sums that they divided by. */
void mn_hyper_gates_backward(const mn_hyper_config *c, const float *scale, const float *base, const float *m,
                             const float *d_gates, mn_hyper_grad g);
/* d_pre and d_x from d_out; streams of x and d_x `stride` floats apart. */
void mn_hyper_merge_backward(const mn_hyper_config *c, const float *pre, const float *x, int64_t stride, int64_t n,
                             const float *d_out, float *d_pre, float *d_x);
/* d_gates, d_x and d_y from d_out; streams of x, d_x and d_out `stride` floats apart. */
void mn_hyper_spread_backward(const mn_hyper_config *c, const float *gates, const float *x, const float *y,
                              int64_t stride, int64_t n, const float *d_out, float *d_gates, float *d_x, float *d_y);

#endif
