/* The backward of what a layer does to each value of a row by itself: clamps, soft-caps, biases, rotation, embedding.
 * Of a sum x + y both operands receive dy as it is: there is nothing to call. Activations: mlp/activation_backward.h.
 *
 * Where a forward works in place, what its backward wants is said here: its operands, or what it left.
 */
#ifndef MN_KERNELS_ROWS_BACKWARD_H
#define MN_KERNELS_ROWS_BACKWARD_H

#include "base/status.h"
#include "kernels/compute.h"
#include "kernels/vectors.h"

#include <stdbool.h>
#include <stdint.h>

/* y = min(max(x, -limit), limit): dx = dy where |y| < limit, else 0. dx may be dy. */
void mn_clamp_backward(const mn_compute *c, float *dx, const float *y, const float *dy, int64_t n, float limit);
/* y = cap tanh(x / cap): dx = dy (1 - (y / cap)^2). dx may be dy. */
void mn_softcap_backward(const mn_compute *c, float *dx, const float *y, const float *dy, int64_t n, float cap);
/* y = x + b in each of n_rows rows of n: db += the sum of dy's rows. MN_ERR_MEMORY when scratch ends. */
mn_status mn_bias_backward(const mn_compute *c, float *db, const float *dy, int64_t n, int64_t n_rows, mn_error *err);
/* y = R x, R the rotation (RoPE) by the angles whose cosines and sines are given, x.n / 2 of them a row, rows
 * angle_stride floats apart: dx = R^T dy, in place. split: pairs (i, i + n / 2), else (2 i, 2 i + 1). Dimensions that
 * were not rotated are left out of dx by its n. */
void mn_rotate_backward(const mn_compute *c, mn_vectors dx, const float *cos, const float *sin, int64_t angle_stride,
                        int64_t n_rows, bool split);
/* y[r] = scale table[ids[r]]: d_table[ids[r]] += scale dy[r], rows of n, ascending r. Learned positions are a second
 * table, with the positions as ids. Every id is a row of the table: the caller's promise. */
void mn_embed_backward(const mn_compute *c, float *d_table, const int32_t *ids, const float *dy, int64_t n,
                       int64_t n_rows, float scale);

#endif
