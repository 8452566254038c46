/* Weights times activations: y = W x for one row (decode) or many (prefill), for every weight type.
 *
 *   out[r, o] = sum_i x[r, i] W[o, i]      x [n_rows, n_in] f32, W [n_out, n_in] of any dtype, out [n_rows, n_out] f32
 *
 * Exact (mn_compute.exact): the weights' values in f32, products and sums in f32; a row's result does not depend on
 * n_rows or on the number of threads, bit for bit. Fast: activations are quantised to 8 bits per 32 (or per 256 for
 * the K types) for quantised weights, or rounded to bf16 for f16 and bf16 weights where the level has such
 * instructions.
 */
#ifndef MN_KERNELS_MATMUL_H
#define MN_KERNELS_MATMUL_H

#include "kernels/compute.h"
#include "tensor/tensor.h"

#include <stdint.h>

/* Inner loops, one table per level. */
typedef struct mn_matmul_kernels {
    /* One output for every row: out[r * out_stride] = sum_i x[r, i] w[i], w [n_in] already f32. */
    void (*column)(float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t n_rows, const float *w,
                   int64_t n_in);
} mn_matmul_kernels;

void mn_matmul_init_generic(mn_matmul_kernels *table);

/* Rows of x and out are x_stride and out_stride floats apart. Scratch comes from c->scratch.
 * Returns MN_ERR_MEMORY when there is none left; shapes are the caller's promise. */
mn_status mn_matmul(const mn_compute *c, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                    int64_t n_rows, const mn_tensor *w, mn_error *err);

/* Several weights for the same x in one go (q, k, v; gate and up): x is quantised once. outs[i] has stride
 * out_strides[i]. */
mn_status mn_matmul_many(const mn_compute *c, float *const *outs, const int64_t *out_strides, const float *x,
                         int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws, mn_error *err);

#endif
