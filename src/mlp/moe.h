/* Mixture of experts, second half: the chosen experts' feed-forward networks (Shazeer et al., arXiv:1701.06538, eq. 1).
 *
 *   out_t = sum_{i chosen for t} weight_{t,i} down_i (act(gate_i x_t) * up_i x_t)
 *
 * each product with its expert's bias where there is one (gpt-oss), each expert's output times a scale (Gemma 4). With
 * weighs_input: out_t = sum_i down_i (act(gate_i w x_t) * up_i w x_t), w = weight_{t,i} (Llama 4).
 */
#ifndef MN_MLP_MOE_H
#define MN_MLP_MOE_H

#include "base/technique.h"
#include "kernels/compute.h"
#include "mlp/activation.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* Three-dimensional weights, gate without data where experts have none: gate and up [n_experts][n_ff][n_embd], down
 * [n_experts][n_embd][n_ff]. */
typedef struct mn_experts {
    const mn_tensor *gate, *up, *down;
    const float *gate_b, *up_b, *down_b; /* [n_experts][n_ff] twice, [n_experts][n_embd]; NULL: none */
    const float *scale;                  /* [n_experts], NULL = 1 */
    mn_mlp_act activation;
    bool weighs_input;
    bool on_disk; /* the chosen ones' weights are asked for before the first is run */
} mn_experts;

/* out, x [n_rows, n_embd], not overlapping; ids, weights [n_rows, n_used] as mn_route gives them.
 * The rows of an expert are multiplied together, expert after expert, and a row adds its experts by ascending id: in
 * exact mode its result depends on nothing but itself. Shapes are the caller's promise; MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_moe(const mn_compute *c, const mn_experts *experts, float *out, const float *x, const int32_t *ids,
                 const float *weights, int n_used, int64_t n_rows, mn_error *err);
extern const mn_technique mn_moe_about;

#endif
