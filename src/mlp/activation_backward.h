/* The backward of an MLP's activation (activation.h). Of y = act(gate) up:
 *
 *   d_gate = dy up act'(gate),  d_up = dy act(gate)
 *
 * and without gate d_up = dy act'(up). Where a cap cut a value, its gradient is 0. The derivative of the exact GELU is
 * Phi(x) + x phi(x), the distribution and the density of the normal distribution.
 */
#ifndef MN_MLP_ACTIVATION_BACKWARD_H
#define MN_MLP_ACTIVATION_BACKWARD_H

#include "kernels/kernels.h"
#include "mlp/activation.h"

/* Writes n elements of d_gate and d_up, from gate and up as they were. gate NULL: d_gate is left alone. d_gate may be
 * gate, d_up may be up. */
void mn_activate_backward(const mn_kernels *kernels, mn_mlp_act a, float *d_gate, float *d_up, const float *gate,
                          const float *up, const float *dy, int64_t n);

#endif
