/* The gated activation of an MLP: out = act(gate) * up, elementwise (GLU variants, Shazeer 2020, arXiv:2002.05202).
 *
 *   silu           gate sigmoid(gate) up
 *   gelu           gelu(gate) up, the tanh form
 *   gelu, exact    up/2 (1 + erf(up / sqrt 2)), without gate     (Hendrycks and Gimpel 2016, arXiv:1606.08415)
 *   swiglu-oai     g sigmoid(1.702 g) (u + 1),  g = min(gate, 7), u = clamp(up, -7, 7)   (gpt-oss, arXiv:2508.10925)
 *   silu, capped   min(silu(gate), limit) clamp(up, -limit, limit)                      (Step 3.5)
 *   capped silu    silu(min(gate, limit)) clamp(up, -limit, limit)                      (DeepSeek V4)
 *
 * and without gate gelu(up), or max(up, 0)^2 (So et al. 2021, arXiv:2109.08668).
 */
#ifndef MN_MLP_ACTIVATION_H
#define MN_MLP_ACTIVATION_H

#include "kernels/vec.h"

/* Of swiglu-oai. */
#define MN_OAI_LIMIT 7.0F
#define MN_OAI_SLOPE 1.702F

typedef enum mn_activation {
    MN_ACT_SILU,
    MN_ACT_GELU,
    MN_ACT_GELU_ERF, /* never gated */
    MN_ACT_SWIGLU_OAI,
    MN_ACT_SILU_THEN_CAP, /* with limit 0: silu */
    MN_ACT_CAP_THEN_SILU, /* the same */
    MN_ACT_RELU2          /* max(up, 0)^2, never gated */
} mn_activation;

typedef struct mn_mlp_act {
    mn_activation kind;
    float limit; /* of the capped ones */
} mn_mlp_act;

/* n elements; gate NULL: out = act(up), of gelu and relu2 alone. out may be gate or up. */
void mn_activate(const mn_vec_kernels *vec, mn_mlp_act a, float *out, const float *gate, const float *up, int64_t n);

#endif
