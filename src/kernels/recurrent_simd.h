/* The kernels of recurrent mixers, written once for every width in the compiler's vector types. A level's file defines
 * LANES (floats in a register) and N_REGISTERS, includes vec_lanes.h, defines fma_of(a, b, c), a b + c rounded as the
 * level does it best, includes this, and has the whole table in recurrent_init. */
#include "kernels/recurrent.h"

/* Vectors side by side in a strip of columns: as many as leave registers for what multiplies them. A token's sums alone
 * fill more of them: memory gives long stretches of a row faster. */
enum { STRIP = N_REGISTERS >= 32 ? 4 : 2, TOKEN_STRIP = N_REGISTERS >= 32 ? 4 : 8, ROWS = 4 };

INLINE vf all(float x) { return x - (vf){0}; }

#define AT(p) (n_left ? load_some(p, n_left, 0) : load(p))
#define PUT(p, v) (n_left ? store_some(p, v, n_left) : store(p, v))

/* n_vectors vectors of columns from `at` on; n_left: of a single one so many floats. The strip of the state is read
 * twice, and stays in the first cache between. */
INLINE void token_strip(const mn_state_token *t, int64_t at, const int n_vectors, const int64_t n_left,
                        const bool reads, const bool backs) {
    vf u[TOKEN_STRIP] = {{0}}, w[TOKEN_STRIP], out[TOKEN_STRIP] = {{0}};
    float *m = t->m + at;
    if (reads)
        for (int i = 0; i < t->n_k; i++)
            for (int j = 0; j < n_vectors; j++)
                u[j] = fma_of(all(t->read[i]), AT(m + (int64_t)i * t->n_v + j * LANES), u[j]);
    for (int j = 0; j < n_vectors; j++) {
        vf v = AT(t->v + at + j * LANES);
        w[j] = t->beta * (reads && !backs ? v - u[j] : v);
    }
    for (int i = 0; i < t->n_k; i++) {
        vf decay = all(t->decay[i]), k = all(t->k[i]), q = all(t->q[i]), back = all(backs ? -t->back[i] : 0);
        for (int j = 0; j < n_vectors; j++) {
            float *p = m + (int64_t)i * t->n_v + j * LANES;
            vf next = fma_of(decay, AT(p), k * w[j]);
            if (backs) next = fma_of(back, u[j], next);
            PUT(p, next);
            out[j] = fma_of(q, next, out[j]);
        }
    }
    for (int j = 0; j < n_vectors; j++) PUT(t->out + at + j * LANES, out[j]);
}

INLINE void token_kind(const mn_state_token *t, const bool reads, const bool backs) {
    int64_t at = 0;
    for (; at + TOKEN_STRIP * LANES <= t->n_v; at += TOKEN_STRIP * LANES)
        token_strip(t, at, TOKEN_STRIP, 0, reads, backs);
    for (; at + STRIP * LANES <= t->n_v; at += STRIP * LANES) token_strip(t, at, STRIP, 0, reads, backs);
    for (; at + LANES <= t->n_v; at += LANES) token_strip(t, at, 1, 0, reads, backs);
    if (at < t->n_v) token_strip(t, at, 1, t->n_v - at, reads, backs);
}

static void token(const mn_state_token *t) {
    if (!t->read)
        token_kind(t, false, false);
    else if (!t->back)
        token_kind(t, true, false);
    else
        token_kind(t, true, true);
}

INLINE void gemm_tile(float *out, int64_t out_stride, const float *a, int64_t a_stride, const float *b,
                      int64_t b_stride, int64_t k, const int n_rows, const int n_vectors, const int64_t n_left) {
    vf sum[ROWS][STRIP];
    for (int i = 0; i < n_rows; i++)
        for (int j = 0; j < n_vectors; j++) sum[i][j] = AT(out + i * out_stride + j * LANES);
    for (int64_t p = 0; p < k; p++) {
        vf y[STRIP];
        for (int j = 0; j < n_vectors; j++) y[j] = AT(b + p * b_stride + j * LANES);
        for (int i = 0; i < n_rows; i++)
            for (int j = 0; j < n_vectors; j++) sum[i][j] = fma_of(all(a[i * a_stride + p]), y[j], sum[i][j]);
    }
    for (int i = 0; i < n_rows; i++)
        for (int j = 0; j < n_vectors; j++) PUT(out + i * out_stride + j * LANES, sum[i][j]);
}

/* All rows of a strip of columns, whose part of b stays in the first cache. */
INLINE void gemm_strip(float *out, int64_t out_stride, const float *a, int64_t a_stride, const float *b,
                       int64_t b_stride, int64_t m, int64_t k, const int n_vectors, const int64_t n_left) {
    int64_t i = 0;
    for (; i + ROWS <= m; i += ROWS)
        gemm_tile(out + i * out_stride, out_stride, a + i * a_stride, a_stride, b, b_stride, k, ROWS, n_vectors,
                  n_left);
    for (; i < m; i++)
        gemm_tile(out + i * out_stride, out_stride, a + i * a_stride, a_stride, b, b_stride, k, 1, n_vectors, n_left);
}

static void gemm(float *out, int64_t out_stride, const float *a, int64_t a_stride, const float *b, int64_t b_stride,
                 int64_t m, int64_t n, int64_t k) {
    int64_t at = 0;
    for (; at + STRIP * LANES <= n; at += STRIP * LANES)
        gemm_strip(out + at, out_stride, a, a_stride, b + at, b_stride, m, k, STRIP, 0);
    for (; at + LANES <= n; at += LANES) gemm_strip(out + at, out_stride, a, a_stride, b + at, b_stride, m, k, 1, 0);
    if (at < n) gemm_strip(out + at, out_stride, a, a_stride, b + at, b_stride, m, k, 1, n - at);
}

static void convolve(float *out, const float *const *rows, const float *taps, const float *bias, int n_taps, int64_t n,
                     bool silu) {
    FOR_VECTORS(n, {
        vf sum = {0};
        for (int j = 0; j < n_taps; j++) sum = fma_of(LOAD(taps + j * n), LOAD(rows[j]), sum);
        if (bias) sum += LOAD(bias);
        STORE(out, silu ? sum / (1 + vec_exp(-sum)) : sum);
    });
}

static void mix(float *out, const float *x, const float *y, const float *share, int64_t n) {
    FOR_VECTORS(n, {
        vf from = LOAD(x);
        STORE(out, from + (LOAD(y) - from) * LOAD(share));
    });
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + y), y = e^-|x|; and ln(1 + y) = 2 artanh(y / (2 + y)), whose series is short where y
 * is at most 1. */
INLINE vf vec_softplus(vf x) {
    vf y = vec_exp(-magnitude(x)), s = y / (2 + y), z = s * s;
    vf series =
        ((((((z / 15 + 1.0f / 13) * z + 1.0f / 11) * z + 1.0f / 9) * z + 1.0f / 7) * z + 1.0f / 5) * z + 1.0f / 3) * z +
        1;
    return pick(x > 0, x, (vf){0}) + 2 * s * series;
}

static void softplus(float *out, const float *x, const float *bias, int64_t n) {
    FOR_VECTORS(n, { STORE(out, vec_softplus(bias ? LOAD(x) + LOAD(bias) : LOAD(x))); });
}

static void exponential(float *out, const float *x, int64_t n) {
    FOR_VECTORS(n, { STORE(out, vec_exp(LOAD(x))); });
}

static void sigmoid_mul(float *out, const float *gate, const float *x, int64_t n) {
    FOR_VECTORS(n, {
        vf share = 1 / (1 + vec_exp(-LOAD(gate)));
        STORE(out, x ? LOAD(x) * share : share);
    });
}

static void relu_square(float *out, const float *x, int64_t n) {
    FOR_VECTORS(n, {
        vf v = LOAD(x);
        vf r = pick(v < 0, (vf){0}, v);
        STORE(out, r * r);
    });
}

static void recurrent_init(mn_recurrent_kernels *table) {
    *table = (mn_recurrent_kernels){.token = token,
                                    .gemm = gemm,
                                    .convolve = convolve,
                                    .mix = mix,
                                    .softplus = softplus,
                                    .exp = exponential,
                                    .sigmoid_mul = sigmoid_mul,
                                    .relu_square = relu_square};
}
