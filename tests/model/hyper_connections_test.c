/* model/hyper_connections against the formulas in double precision; carry is doubly stochastic. */
#include "support/gradient.h"
#include "support/support.h"

#include <math.h>

#include "model/hyper_connections.h"
#include "model/hyper_connections_backward.h"

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

/* What a block takes of the streams times r_h, and the streams after a block that gave y times r, in double precision.
 */
typedef struct weighed_streams {
    const mn_hyper_config *c;
    gradient_operand scale, base, m, x, y, r_h, r;
} weighed_streams;

static double weigh_streams(void *arg) {
    const weighed_streams *w = arg;
    const double eps = (double)w->c->eps;
    double carry[N * N], total = 0;
    for (int s = 0; s < N; s++) {
        double sum = 0;
        for (int d = 0; d < N; d++)
            sum += carry[s * N + d] = exp(w->m.d[2 * N + s * N + d] * w->scale.d[2] + w->base.d[2 * N + s * N + d]);
        for (int d = 0; d < N; d++) carry[s * N + d] = carry[s * N + d] / sum + eps;
    }
    for (int pass = 0; pass < 2 * w->c->n_rounds - 1; pass++)
        for (int i = 0; i < N; i++) {
            int first = pass % 2 ? i * N : i, step = pass % 2 ? 1 : N;
            double sum = eps;
            for (int j = 0; j < N; j++) sum += carry[first + j * step];
            for (int j = 0; j < N; j++) carry[first + j * step] /= sum;
        }
    for (int i = 0; i < DIM; i++)
        for (int s = 0; s < N; s++) {
            double pre = sigmoid(w->m.d[s] * w->scale.d[0] + w->base.d[s]) + eps,
                   out = 2 * sigmoid(w->m.d[N + s] * w->scale.d[1] + w->base.d[N + s]) * w->y.d[i];
            for (int from = 0; from < N; from++) out += carry[from * N + s] * w->x.d[from * DIM + i];
            total += pre * w->x.d[s * DIM + i] * w->r_h.d[i] + out * w->r.d[s * DIM + i];
        }
    return total;
}

static void gradients_are_those_of_differences(void **unused) {
    (void)unused;
    static const int rounds[] = {1, 2, 20};
    for (int k = 0; k < 3; k++) {
        mn_hyper_config c = {N, rounds[k], 1e-3f};
        weighed_streams w = {&c,
                             gradient_operand_create(3, 1, 1),
                             gradient_operand_create(MIXES, 1, 2),
                             gradient_operand_create(MIXES, 1, 3),
                             gradient_operand_create(N * DIM, 1, 4),
                             gradient_operand_create(DIM, 1, 5),
                             gradient_operand_create(DIM, 1, 6),
                             gradient_operand_create(N * DIM, 1, 7)};
        float pre[N], gates[N + N * N], d_pre[N] = {0}, d_gates[N + N * N] = {0}, d_m[MIXES] = {0}, d_scale[3] = {0},
                                        d_base[MIXES] = {0}, d_x[N * DIM] = {0}, d_y[DIM] = {0};
        mn_hyper_grad g = {d_m, d_scale, d_base};
        mn_hyper_pre(&c, w.scale.f, w.base.f, w.m.f, pre);
        mn_hyper_gates(&c, w.scale.f, w.base.f, w.m.f, gates);
        mn_hyper_spread_backward(&c, gates, w.x.f, w.y.f, DIM, DIM, w.r.f, d_gates, d_x, d_y);
        mn_hyper_merge_backward(&c, pre, w.x.f, DIM, DIM, w.r_h.f, d_pre, d_x);
        mn_hyper_pre_backward(&c, w.scale.f, w.base.f, w.m.f, d_pre, g);
        mn_hyper_gates_backward(&c, w.scale.f, w.base.f, w.m.f, d_gates, g);
        gradient_check("x", weigh_streams, &w, w.x.d, d_x, N * DIM, 0, 1e-5);
        gradient_check("y", weigh_streams, &w, w.y.d, d_y, DIM, 0, 1e-5);
        gradient_check("m", weigh_streams, &w, w.m.d, d_m, MIXES, 0, 1e-4);
        gradient_check("scale", weigh_streams, &w, w.scale.d, d_scale, 3, 0, 1e-4);
        gradient_check("base", weigh_streams, &w, w.base.d, d_base, MIXES, 0, 1e-4);
        gradient_operand *const all[] = {&w.scale, &w.base, &w.m, &w.x, &w.y, &w.r_h, &w.r};
        for (int i = 0; i < 7; i++) gradient_operand_free(all[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams_are_as_the_formulas_say),
                                       cmocka_unit_test(gradients_are_those_of_differences)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
