/* Mixture of experts, first half: which experts a token goes to, and with what weight.
 *
 *   s = softmax(logits), sigmoid(logits) or sqrt(softplus(logits));  chosen: the n_used largest s + selection_bias;
 * weight_i = scale s_i, divided by the sum of s over the chosen when normalise
 *
 * Mixtral (arXiv:2401.04088): softmax, normalise (the same as softmax over the chosen logits). DeepSeekMoE and -V2
 * (arXiv:2401.06066, 2405.04434): softmax, not normalised. DeepSeek-V3 (arXiv:2412.19437): sigmoid, bias, groups,
 * normalise, scale. Qwen3: softmax, normalise.
 */
#ifndef MN_MLP_ROUTER_H
#define MN_MLP_ROUTER_H

#include "kernels/compute.h"

#include <stdbool.h>
#include <stdint.h>

/* GGUF's numbers (expert_gating_func). */
typedef enum mn_gating {
    MN_GATING_SOFTMAX = 1,
    MN_GATING_SIGMOID = 2,
    MN_GATING_SQRT_SOFTPLUS = 4 /* sqrt(ln(1 + e^logit)), DeepSeek-V4 */
} mn_gating;

typedef struct mn_router {
    mn_gating gating;
    int n_experts, n_used;
    const float *selection_bias; /* [n_experts], moves the choice and not the weight; NULL = none */
    /* Groups of n_experts / n_groups neighbouring experts; only the n_groups_used best groups are chosen from. A group
     * counts as the sum of its group_top best experts: 1 in DeepSeek-V2, 2 in V3. n_groups <= 1: no groups. */
    int n_groups, n_groups_used, group_top;
    bool normalise;
    float scale; /* 1 = none */
} mn_router;

/* Refuses numbers from a file that mn_route could not work with. */
mn_status mn_router_check(const mn_router *router, mn_error *err);

/* ids, weights [n_rows, n_used], best first, from logits [n_rows, n_experts]. Equal scores: the lowest id. ids are
 * distinct and in range also when logits are no numbers. A row depends on nothing but its logits; on a dry pool, which
 * routes nothing, all go to the first n_used. MN_ERR_MEMORY when scratch ends. */
mn_status mn_route(const mn_compute *c, const mn_router *router, int32_t *ids, float *weights, const float *logits,
                   int64_t n_rows, mn_error *err);

/* What a logit weighs before weights are normalised; not for softmax. */
float mn_router_score(const mn_router *router, float logit);
/* weights [n_used] of one row whose experts are given; scores [n_experts] are its logits, which softmax takes the place
 * of. */
void mn_router_weigh(const mn_router *router, const mn_kernels *kernels, const int32_t *ids, float *scores,
                     float *weights);
/* Every row to the first n_used experts. */
void mn_route_alike(const mn_router *router, int32_t *ids, int64_t n_rows);

#endif
