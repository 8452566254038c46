/* An attention call with random operands, and its answer by a softmax in double precision. */
#ifndef MN_TESTS_ATTEND_CASE_H
#define MN_TESTS_ATTEND_CASE_H

#include "attention/attention.h"
#include "attention/decode.h"
#include "attention/flash.h"
#include "base/random.h"

typedef struct attend_spec {
    mn_dtype k_type, v_type;
    int n_kv_heads, group, k_dim, v_dim;
    int64_t n_tokens, first_token, n_rows;
    int64_t window, segment;
    float softcap;
    bool sinks;                 /* scores without values, from far below the others to far above */
    bool slopes, shared_values; /* shared_values: the values are the head of the key rows (absorbed MLA) */
    bool outliers;              /* FlashAttention-3's N(0, 1) + N(0, 100) Bernoulli(0.001) */
} attend_spec;

/* Owns all memory of `call`. */
typedef struct attend_case {
    mn_attend call;
    void **pages; /* keys, then values */
    int64_t n_pages;
    float *q, *out, *slopes, *sinks;
} attend_case;

attend_case attend_case_create(const attend_spec *spec, uint64_t seed);
void attend_case_free(attend_case *c);
typedef mn_status attend_fn(const mn_compute *c, const mn_attend *a, mn_error *err);
mn_status attend_decode(const mn_compute *c, const mn_attend *a, mn_error *err); /* mn_decode of one sequence */

/* Runs fn on level with n_threads threads; fails the test when it fails. */
void attend_run(const mn_attend *a, attend_fn *fn, int level, int n_threads, bool exact);
/* attend_error of fn on the case that spec and seed make. */
double attend_check(const attend_spec *spec, uint64_t seed, attend_fn *fn, int level, bool exact);

/* Fills out [n_rows, n_heads, v_dim] from the definition in attention.h, over the stored (rounded) keys and values. */
void attend_oracle(const mn_attend *a, double *out);
/* The gradients of sum d_out out with respect to queries, keys and values, by the chain rule in double precision,
 * without gaps: d_out [n_rows, n_heads, v_dim] as its strides say, d_q [n_rows, n_heads, k_dim], d_k [n_tokens,
 * n_kv_heads, k_dim], d_v [n_tokens, n_kv_heads, v_dim]. */
void attend_oracle_backward(const mn_attend *a, const float *d_out, int64_t d_out_stride, double *d_q, double *d_k,
                            double *d_v);
/* The largest error of a row relative to its norm, of a's out against want. A row of zeros must be zeros. */
double attend_error(const mn_attend *a, const double *want);

#endif
