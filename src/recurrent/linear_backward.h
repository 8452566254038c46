/* The backward of linear attention (linear.h). With f = phi(q), g = phi(k), n_t = z_t . f_t + 1e-6, and the output's
 * gradient d_t:
 *
 *   a_t = d_t / n_t,  b_t = -(d_t . out_t) / n_t
 *   d_f_t = S_t a_t + z_t b_t                                     forward in time
 *   R_t = sum_{i >= t} f_i a_i^T,  r_t = sum_{i >= t} f_i b_i
 *   d_v_t = R_t^T g_t,  d_g_t = R_t v_t + r_t                     backward in time
 *
 * so that no state is kept but the two that move.
 */
#ifndef MN_RECURRENT_LINEAR_BACKWARD_H
#define MN_RECURRENT_LINEAR_BACKWARD_H

#include "recurrent/linear.h"

typedef struct mn_linear_grad {
    const float *q, *k, *v, *out, *d_out; /* of the forward's call, and the gradient of out; shaped alike */
    const void *state;                    /* before the first row: constants. NULL: zeros */
    int64_t n_rows, first_token;
    int64_t detach;         /* no gradient passes a token that is a multiple of it; 0: all passes */
    float *d_q, *d_k, *d_v; /* shaped as q, k, v, added to */
} mn_linear_grad;

/* About 5 k_dim v_dim products per token and head. No result depends on the number of threads, which share out KV
 * heads. MN_ERR_FORMAT when the state cannot be one, MN_ERR_MEMORY when scratch ends. */
mn_status mn_linear_backward(const mn_compute *c, const mn_linear *shape, const mn_linear_grad *g, mn_error *err);

#endif
