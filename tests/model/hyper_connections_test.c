/* model/hyper_connections against the formulas in double precision; carry is doubly stochastic. */
#include "support/support.h"

#include <math.h>

#include "model/hyper_connections.h"

enum { N = 4, DIM = 37, MIXES = (2 + N) * N };

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* carry [N][N] as the paper has it. */
static void make_carry(const mn_hyper_config *c, const float *scale, const float *base, const float *m, double *carry) {
    for (int s = 0; s < N; s++) {
        double sum = 0;
        for (int d = 0; d < N; d++) {
            int at = 2 * N + s * N + d;
            sum += carry[s * N + d] = exp((double)m[at] * (double)scale[2] + (double)base[at]);
        }
        for (int d = 0; d < N; d++) carry[s * N + d] = carry[s * N + d] / sum + (double)c->eps;
    }
    for (int pass = 0; pass < 2 * c->n_rounds - 1; pass++)
        for (int i = 0; i < N; i++) {
            int first = pass % 2 ? i * N : i, step = pass % 2 ? 1 : N;
            double sum = 0;
            for (int j = 0; j < N; j++) sum += carry[first + j * step];
            for (int j = 0; j < N; j++) carry[first + j * step] /= sum + (double)c->eps;
        }
}

static void streams_are_as_the_formulas_say(void **unused) {
    (void)unused;
    static const float scale[3] = {0.7f, 1.3f, 2.1f};
    for (int n_rounds = 1; n_rounds <= 20; n_rounds += 19) {
        mn_hyper_config c = {N, n_rounds, 1e-6f};
        float m[MIXES], base[MIXES], x[N * DIM], y[DIM], pre[N], gates[N + N * N], h[DIM], out[N * DIM];
        double carry[N * N];
        assert_int_equal(mn_hyper_mixes(&c), MIXES);
        fill_normal(m, MIXES, 1);
        fill_normal(base, MIXES, 2);
        fill_normal(x, N * DIM, 3);
        fill_normal(y, DIM, 4);
        mn_hyper_pre(&c, scale, base, m, pre);
        mn_hyper_gates(&c, scale, base, m, gates);
        mn_hyper_merge(&c, pre, x, DIM, DIM, h);
        mn_hyper_spread(&c, gates, x, y, DIM, DIM, out);
        make_carry(&c, scale, base, m, carry);
        for (int i = 0; i < DIM; i++) {
            double sum = 0;
            for (int s = 0; s < N; s++)
                sum += (sigmoid((double)m[s] * 0.7 + (double)base[s]) + 1e-6) * (double)x[s * DIM + i];
            assert_true(fabs((double)h[i] - sum) < 1e-5);
            for (int d = 0; d < N; d++) {
                double want = 2 * sigmoid((double)m[N + d] * 1.3 + (double)base[N + d]) * (double)y[i];
                for (int s = 0; s < N; s++) want += carry[s * N + d] * (double)x[s * DIM + i];
                assert_true(fabs((double)out[d * DIM + i] - want) < 1e-5);
            }
        }
        mn_hyper_spread(&c, gates, x, y, DIM, DIM, x); /* in its place */
        assert_memory_equal(x, out, sizeof x);
        for (int i = 0; i < N && n_rounds > 1; i++) {
            float row = 0, column = 0;
            for (int j = 0; j < N; j++) {
                row += gates[N + i * N + j];
                column += gates[N + j * N + i];
            }
            assert_true(fabsf(row - 1) < 1e-2f && fabsf(column - 1) < 1e-4f);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams_are_as_the_formulas_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
