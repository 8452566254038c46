/* The backward of the router (router.h), and what keeps experts evenly used.
 *
 * The choice of experts has no gradient; their weights have:
 *   w_i = scale s_i (/ sum of s over the chosen),   s = softmax(logits), sigmoid(logits) or
 *   sqrt(softplus(logits))
 *
 * Balance loss (Switch, Fedus et al., arXiv:2101.03961, eq. 4 to 6; GShard's with more than one expert a token):
 *   coefficient n_experts sum_i f_i P_i,  f_i: share of the n_rows n_used visits that expert i gets, no gradient;
 *   P_i: mean over the rows of s_i / sum_j s_j
 * which is the coefficient when all experts are used alike. Over a batch, or over each sequence by itself as
 * DeepSeek-V3 has it (arXiv:2412.19437, eq. 17 to 20): the rows of a call are what it is balanced over.
 *
 * DeepSeek-V3's rule without a loss (Wang et al., arXiv:2408.15664, alg. 1): after a step, the selection bias of an
 * expert that was used more than the mean falls by `rate`, of one used less it rises. Over a training biases have to
 * move further than the scores of experts differ, and in the end by less than scores of tokens do.
 */
#ifndef MN_MLP_ROUTER_BACKWARD_H
#define MN_MLP_ROUTER_BACKWARD_H

#include "mlp/router.h"

/* d_logits [n_rows, n_experts] += from d_weights [n_rows, n_used]; logits and ids as mn_route had and gave them.
 * MN_ERR_MEMORY when scratch ends. */
mn_status mn_route_backward(const mn_compute *c, const mn_router *router, float *d_logits, const float *d_weights,
                            const float *logits, const int32_t *ids, int64_t n_rows, mn_error *err);

/* *loss += the balance loss of these rows; d_logits += its gradient times scale (NULL: not wanted). */
mn_status mn_balance_loss(const mn_compute *c, const mn_router *router, double coefficient, double scale,
                          float *d_logits, double *loss, const float *logits, const int32_t *ids, int64_t n_rows,
                          mn_error *err);

/* counts [n_experts] += the visits of each expert. */
void mn_count_visits(int64_t *counts, const int32_t *ids, int64_t n_visits);
/* bias [n_experts] by the counts of a whole step of the optimiser. */
void mn_balance_bias(float *bias, const int64_t *counts, int n_experts, float rate);

#endif
