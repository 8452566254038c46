/* The backward of a matrix product Y = X W^T (matmul.h), X [n_rows, n_in], W [n_out, n_in], Y [n_rows, n_out]:
 *
 *   dX = dY W      [n_rows, n_in]
 *   dW += dY^T X   [n_out, n_in]
 *
 * Both run through the panels and tiles of the forward. A panel of dX holds columns of W and one of dW columns of X:
 * the outputs of an input stand side by side in both, so that packing needs no transpose. Of dW, dY is transposed while
 * its rows are prepared. 2 n_rows n_in n_out operations each.
 *
 * Exact (mn_compute.exact), and at levels that do not multiply bf16: f32 products, within n 2^-24 sum |a b| of the
 * true value over the n terms of a sum. Fast at levels that do (avx512bf16, amx): both factors are rounded to bf16,
 * 2^-8 relative each, and summed in f32. A result does not depend on the number of threads, bit for bit.
 */
#ifndef MN_KERNELS_MATMUL_BACKWARD_H
#define MN_KERNELS_MATMUL_BACKWARD_H

#include "kernels/compute.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* The forward as training wants it: mn_matmul_many, but that f32 weights, as an optimiser moves them, are multiplied in
 * bf16 where the two products above are. */
mn_status mn_matmul_training(const mn_compute *c, float *const *outs, const int64_t *out_strides, const float *x,
                             int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws, mn_error *err);
/* Whether they are. */
bool mn_matmul_trains_in_bf16(const mn_compute *c);

/* dx = dy W, or dx += dy W (add). W of any type: quantised ones are dequantised in strips of columns. dx must not
 * overlap dy. Rows are strides floats apart. Scratch: dy in the level's form, and a strip of at most 8 MiB where a
 * quarter of that is 256 columns or more. MN_ERR_MEMORY when it ends; shapes are the caller's promise. */
mn_status mn_matmul_dx(const mn_compute *c, float *dx, int64_t dx_stride, bool add, const float *dy, int64_t dy_stride,
                       int64_t n_rows, const mn_tensor *w, mn_error *err);

/* dw += dy^T x, dw [n_out, n_in] without gaps. Scratch: dy of some rows at a time in the level's form, transposed.
 * MN_ERR_MEMORY when it ends. */
mn_status mn_matmul_dw(const mn_compute *c, float *dw, const float *dy, int64_t dy_stride, int64_t n_out,
                       const float *x, int64_t x_stride, int64_t n_in, int64_t n_rows, mn_error *err);

#endif
