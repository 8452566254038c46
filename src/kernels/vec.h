/* Kernels over vectors of f32, and over the rows of a cache or an embedding table.
 *
 * x, y, w, out: n floats, no alignment asked; out may be x unless said otherwise. Reductions are summed in a fixed
 * order that does not depend on alignment. Against double precision: an error of at most 1e-6 sqrt(n) of the sum of
 * magnitudes for dot, 1e-6 relative elsewhere, except where noted.
 */
#ifndef MN_KERNELS_VEC_H
#define MN_KERNELS_VEC_H

#include "tensor/dtype.h"

#include <stdint.h>

typedef struct mn_vec_kernels {
    /* sum_i x_i y_i */
    float (*dot)(const float *x, const float *y, int64_t n);
    /* out_i += a x_i */
    void (*axpy)(float *out, const float *x, float a, int64_t n);
    /* out_i += a max(x_i, 0); a NaN in x counts as 0 */
    void (*axpy_relu)(float *out, const float *x, float a, int64_t n);
    /* out_i = a x_i */
    void (*scale)(float *out, const float *x, float a, int64_t n);
    /* out_i = x_i + y_i ; out_i = x_i y_i */
    void (*add)(float *out, const float *x, const float *y, int64_t n);
    void (*mul)(float *out, const float *x, const float *y, int64_t n);
    /* out_i = min(max(x_i, low), high); NaN stays */
    void (*clamp)(float *out, const float *x, float low, float high, int64_t n);
    /* out_i = x_i / sqrt(mean(x^2) + eps) * w_i ; w NULL = 1 (RMSNorm, Zhang and Sennrich 2019, eq. 4) */
    void (*rms_norm)(float *out, const float *x, const float *w, float eps, int64_t n);
    /* out_i = (x_i - mean) / sqrt(var + eps) * w_i + b_i ; w, b may be NULL (Ba et al. 2016) */
    void (*layer_norm)(float *out, const float *x, const float *w, const float *b, float eps, int64_t n);
    /* softmax in place, maximum subtracted; -inf entries become 0; all -inf: all 0. Relative error 1e-6 and
     * 2^-24 |x_i - max|, which subtracting costs. */
    void (*softmax)(float *x, int64_t n);
    /* out_i = silu(g_i) u_i, silu(x) = x / (1 + e^-x) */
    void (*silu_mul)(float *out, const float *g, const float *u, int64_t n);
    /* out_i = gelu(g_i) u_i, the tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); u NULL = 1.
     * Within 2e-6 |g_i u_i|. */
    void (*gelu_mul)(float *out, const float *g, const float *u, int64_t n);
    /* Rotates n_pairs pairs by the angles whose cosines and sines are given (RoPE). Interleaved: pair i is (2i, 2i+1);
     * split: (i, i + n_pairs). In place on x. */
    void (*rotate_interleaved)(float *x, const float *cos, const float *sin, int64_t n_pairs);
    void (*rotate_split)(float *x, const float *cos, const float *sin, int64_t n_pairs);
    /* dst[j, i] = src[i, j] for n_rows rows of n, which are strides apart; not overlapping */
    void (*transpose)(float *dst, int64_t dst_stride, const float *src, int64_t src_stride, int64_t n_rows, int64_t n);
    /* Rows to and from f32, bit-equal to mn_to_f32 and mn_from_f32 (a NaN stays a NaN, not always the same one).
     * Quantised rows are 2-byte aligned. */
    void (*to_f32)(mn_dtype type, const void *src, float *dst, int64_t n);
    void (*from_f32)(mn_dtype type, const float *src, void *dst, int64_t n);
} mn_vec_kernels;

void mn_vec_init_generic(mn_vec_kernels *table);
void mn_vec_init_avx2(mn_vec_kernels *table);
void mn_vec_init_avx512(mn_vec_kernels *table);
void mn_vec_init_neon(mn_vec_kernels *table);

#endif
