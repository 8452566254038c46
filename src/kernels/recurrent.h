/* Kernels of recurrent mixers: a state that is a matrix advanced by one token, small products for the chunked form, the
 * causal convolution before the state, and the functions that make its gates.
 *
 * Against double precision: an error of at most 1e-6 sqrt(n) of the sum of magnitudes for sums, 2e-6 relative for
 * functions. n, n_k, n_v: any number from 1 up; no alignment asked.
 */
#ifndef MN_KERNELS_RECURRENT_H
#define MN_KERNELS_RECURRENT_H

#include <stdbool.h>
#include <stdint.h>

/* One token of one head, whose state is m [n_k, n_v]. With u = m^T read, before anything changes:
 *
 *   m = diag(decay) m + k w^T (- back u^T),  out = m^T q,  w = beta (v - u), or with `back` or without `read` beta v
 */
typedef struct mn_state_token {
    float *m;
    int n_k, n_v;
    const float *decay, *k, *q; /* [n_k] */
    const float *read;          /* [n_k], or NULL */
    const float *back;          /* [n_k], or NULL */
    const float *v;             /* [n_v] */
    float beta;
    float *out; /* [n_v], not v */
} mn_state_token;

typedef struct mn_recurrent_kernels {
    void (*token)(const mn_state_token *t);
    /* out [m, n] += a [m, k] b [k, n]; out overlaps neither */
    void (*gemm)(float *out, int64_t out_stride, const float *a, int64_t a_stride, const float *b, int64_t b_stride,
                 int64_t m, int64_t n, int64_t k);
    /* out_c = sum_j taps[j, c] rows[j][c] + bias_c for c < n; silu: x / (1 + e^-x) of that. bias may be NULL. */
    void (*convolve)(float *out, const float *const *rows, const float *taps, const float *bias, int n_taps, int64_t n,
                     bool silu);
    /* out_i = x_i + (y_i - x_i) share_i; out may be any of them. */
    void (*mix)(float *out, const float *x, const float *y, const float *share, int64_t n);
    /* out_i = ln(1 + e^(x_i + bias_i)); bias may be NULL. out may be x. */
    void (*softplus)(float *out, const float *x, const float *bias, int64_t n);
    /* out_i = e^(x_i), within 2e-6 + 2^-24 |x_i|; out may be x */
    void (*exp)(float *out, const float *x, int64_t n);
    /* out_i = x_i / (1 + e^(-gate_i)); x NULL = 1. out may be x or gate. */
    void (*sigmoid_mul)(float *out, const float *gate, const float *x, int64_t n);
    /* out_i = max(x_i, 0)^2 ; out may be x */
    void (*relu_square)(float *out, const float *x, int64_t n);
} mn_recurrent_kernels;

void mn_recurrent_init_generic(mn_recurrent_kernels *table);
void mn_recurrent_init_avx2(mn_recurrent_kernels *table);
void mn_recurrent_init_avx512(mn_recurrent_kernels *table);
void mn_recurrent_init_neon(mn_recurrent_kernels *table);

#endif
