/* The kernels of recurrent mixers at every level this machine has, against double precision, at lengths around the
 * widths of vectors.
 */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

enum { MAX = 80 };

static const mn_recurrent_kernels *kernels_of(int level) { return &mn_kernels_get((mn_cpu_level)level)->recurrent; }

/* w = beta (v - u), beta v, or with a second key; u = m^T read. */
static void token_in_double(const mn_state_token *t, const float *before, float *m, float *out) {
    for (int j = 0; j < t->n_v; j++) {
        double u = 0, sum = 0;
        for (int i = 0; t->read && i < t->n_k; i++) u += (double)t->read[i] * before[i * t->n_v + j];
        double w = t->beta * (t->v[j] - (t->read && !t->back ? u : 0));
        for (int i = 0; i < t->n_k; i++) {
            double next = (double)t->decay[i] * before[i * t->n_v + j] + t->k[i] * w - (t->back ? t->back[i] * u : 0);
            m[i * t->n_v + j] = (float)next;
            sum += next * t->q[i];
        }
        out[j] = (float)sum;
    }
}

static void check_token(const mn_recurrent_kernels *k, int n_k, int n_v, int kind) {
    static float m[MAX * MAX], before[MAX * MAX], want[MAX * MAX], out[MAX], want_out[MAX], x[6][MAX];
    for (int i = 0; i < 6; i++) fill_normal(x[i], MAX, (uint64_t)(i + 1));
    fill_normal(before, MAX * MAX, 9);
    memcpy(m, before, sizeof m);
    mn_state_token t = {m, n_k, n_v, x[0], x[1], x[2], kind > 0 ? x[3] : NULL, kind > 1 ? x[4] : NULL, x[5], 0.7f, out};
    token_in_double(&t, before, want, want_out);
    k->token(&t);
    assert_close(m, want, (size_t)(n_k * n_v), 4e-5, 2e-6, "state");
    assert_close(out, want_out, (size_t)n_v, 4e-4, 2e-6, "what a token reads");
    assert_memory_equal(m + n_k * n_v, before + n_k * n_v, sizeof m - (size_t)(n_k * n_v) * sizeof *m);
}

static void tokens_advance_the_state(void **unused) {
    (void)unused;
    static const int sizes[] = {1, 3, 8, 15, 16, 31, 64, 80};
    EACH_LEVEL(level)
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int kind = 0; kind < 3; kind++) check_token(kernels_of(level), sizes[i], sizes[j], kind);
}

static void check_gemm(const mn_recurrent_kernels *k, int m, int n, int depth) {
    static float a[MAX * MAX], b[MAX * MAX], out[MAX * MAX], want[MAX * MAX];
    fill_normal(a, MAX * MAX, 1);
    fill_normal(b, MAX * MAX, 2);
    fill_normal(out, MAX * MAX, 3);
    memcpy(want, out, sizeof out);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = want[i * MAX + j];
            for (int p = 0; p < depth; p++) sum += (double)a[i * MAX + p] * b[p * MAX + j];
            want[i * MAX + j] = (float)sum;
        }
    k->gemm(out, MAX, a, MAX, b, MAX, m, n, depth);
    assert_close(out, want, MAX * MAX, 4e-5, 2e-6, "product");
}

static void products_add(void **unused) {
    (void)unused;
    static const int sizes[] = {1, 3, 4, 9, 16, 33, 64, 80};
    EACH_LEVEL(level)
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int p = 0; p < 8; p += 3) check_gemm(kernels_of(level), sizes[i], sizes[j], i == 2 ? 0 : sizes[p]);
}

static void convolutions_sum_taps(void **unused) {
    (void)unused;
    static float x[4][MAX], taps[4 * MAX], bias[MAX], out[MAX], want[MAX];
    for (int i = 0; i < 4; i++) fill_normal(x[i], MAX, (uint64_t)i + 1);
    fill_normal(taps, 4 * MAX, 5);
    fill_normal(bias, MAX, 6);
    const float *rows[4] = {x[0], x[1], x[2], x[3]};
    EACH_LEVEL(level)
    for (int n = 1; n <= MAX; n++)
        for (int way = 0; way < 4; way++) {
            for (int c = 0; c < n; c++) {
                double sum = way & 1 ? bias[c] : 0;
                for (int j = 0; j < 4; j++) sum += (double)taps[j * n + c] * x[j][c];
                want[c] = (float)(way & 2 ? sum / (1 + exp(-sum)) : sum);
            }
            kernels_of(level)->convolve(out, rows, taps, way & 1 ? bias : NULL, 4, n, way & 2);
            assert_close(out, want, (size_t)n, 4e-6, 4e-6, "convolution");
        }
}

/* Values below 101 and differences below 251, of which one unit in the last place is 1.5e-5. */
static void mixtures_lie_between(void **unused) {
    (void)unused;
    enum { N = 4001 };
    static float x[N], y[N], share[N], out[N], want[N];
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i - N / 2) / 20;
        y[i] = 50 - x[i];
        share[i] = (float)(i % 101) / 101;
        want[i] = (float)(x[i] + ((double)y[i] - x[i]) * share[i]);
    }
    EACH_LEVEL(level) {
        kernels_of(level)->mix(out, x, y, share, N);
        assert_close(out, want, N, 2e-5, 0, "mixture");
        memcpy(out, share, sizeof out);
        kernels_of(level)->mix(out, x, y, out, N);
        assert_close(out, want, N, 2e-5, 0, "mixture in the place of the shares");
    }
}

static void functions_are_close(void **unused) {
    (void)unused;
    enum { N = 4001 };
    static float x[N], out[N], want[N], zeros[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) / 20;
    EACH_LEVEL(level) {
        const mn_recurrent_kernels *k = kernels_of(level);
        for (int i = 0; i < N; i++) want[i] = (float)(x[i] > 30 ? x[i] : log1p(exp((double)x[i])));
        k->softplus(out, x, NULL, N);
        assert_close(out, want, N, 1e-37, 2e-6, "softplus");
        k->softplus(out, x, zeros, N);
        assert_close(out, want, N, 1e-37, 2e-6, "softplus with a bias");
        for (int i = 0; i < N; i++) want[i] = (float)(1 / (1 + exp(-(double)x[i])));
        k->sigmoid_mul(out, x, NULL, N);
        assert_close(out, want, N, 1e-37, 2e-6, "sigmoid");
        for (int i = 0; i < N; i++) want[i] = (float)exp((double)x[i] - 20);
        for (int i = 0; i < N; i++) out[i] = x[i] - 20;
        k->exp(out, out, N);
        assert_close(out, want, N, 1e-37, 1e-5, "exp");
        for (int i = 0; i < N; i++) want[i] = x[i] > 0 ? x[i] * x[i] : 0;
        k->relu_square(out, x, N);
        assert_close(out, want, N, 0, 0, "relu squared");
        float odd[2] = {NAN, INFINITY};
        k->softplus(out, odd, NULL, 2);
        assert_true(isnan(out[0]) && out[1] == INFINITY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_advance_the_state), cmocka_unit_test(products_add),
        cmocka_unit_test(convolutions_sum_taps),    cmocka_unit_test(mixtures_lie_between),
        cmocka_unit_test(functions_are_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
