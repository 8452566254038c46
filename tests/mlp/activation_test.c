/* mlp/activation: every activation against its formula in double precision, in pieces and in place; its backward
 * against differences of that formula. */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>

#include "kernels/kernels.h"
#include "mlp/activation_backward.h"

enum { N = 1300 };
static float gate[N], up[N], out[N], want[N];

static double silu(double x) { return x / (1 + exp(-x)); }

static double formula(mn_mlp_act a, double g, double u) {
    double limit = (double)a.limit, capped = fmax(fmin(u, limit), -limit), oai = fmin(g, 7);
    switch (a.kind) {
    case MN_ACT_SWIGLU_OAI: return oai / (1 + exp(-1.702 * oai)) * (fmax(fmin(u, 7), -7) + 1);
    case MN_ACT_SILU_THEN_CAP: return a.limit == 0 ? silu(g) * u : fmin(silu(g), limit) * capped;
    case MN_ACT_CAP_THEN_SILU: return a.limit == 0 ? silu(g) * u : silu(fmin(g, limit)) * capped;
    case MN_ACT_GELU: return g / 2 * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g))) * u;
    case MN_ACT_GELU_ERF: return u / 2 * (1 + erf(u / sqrt(2)));
    case MN_ACT_RELU2: return u > 0 ? u * u : 0;
    default: return silu(g) * u;
    }
}

static void each_is_its_formula(void **state) {
    (void)state;
    static const mn_mlp_act acts[] = {{MN_ACT_SILU, 0},          {MN_ACT_GELU, 0},          {MN_ACT_SWIGLU_OAI, 0},
                                      {MN_ACT_SILU_THEN_CAP, 0}, {MN_ACT_SILU_THEN_CAP, 2}, {MN_ACT_CAP_THEN_SILU, 3}};
    EACH_LEVEL(level)
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        const mn_vec_kernels *vec = &mn_kernels_get((mn_cpu_level)level)->vec;
        for (int j = 0; j < N; j++) {
            gate[j] = (float)(j % 97 - 48) * 0.31f;
            up[j] = (float)(j % 61 - 30) * 0.4f;
            want[j] = (float)formula(acts[i], (double)gate[j], (double)up[j]);
        }
        mn_activate(vec, acts[i], out, gate, up, N);
        assert_close(out, want, N, 2e-6, 3e-6, mn_cpu_level_name((mn_cpu_level)level));
        mn_activate(vec, acts[i], gate, gate, up, N);
        assert_memory_equal(gate, out, sizeof out);
    }
}

static double slope(mn_mlp_act a, double g, double u, double dg, double du) {
    double step = 1e-5;
    return (formula(a, g + step * dg, u + step * du) - formula(a, g - step * dg, u - step * du)) / (2 * step);
}

/* Where a cap bends the formula, there is no one derivative. */
static bool bends(mn_mlp_act a, double g, double u) {
    double limit = a.kind == MN_ACT_SWIGLU_OAI ? 7 : (double)a.limit;
    bool capped = a.kind == MN_ACT_SWIGLU_OAI || a.limit > 0;
    return capped && (fabs(g - limit) < 1e-3 || fabs(silu(g) - limit) < 1e-3 || fabs(fabs(u) - limit) < 1e-3);
}

static void backward_is_the_derivative(void **state) {
    (void)state;
    static const mn_mlp_act acts[] = {{MN_ACT_SILU, 0},     {MN_ACT_GELU, 0},          {MN_ACT_SWIGLU_OAI, 0},
                                      {MN_ACT_GELU_ERF, 0}, {MN_ACT_SILU_THEN_CAP, 2}, {MN_ACT_CAP_THEN_SILU, 3},
                                      {MN_ACT_RELU2, 0}};
    static float dy[N], d_gate[N], d_up[N];
    EACH_LEVEL(level)
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        const mn_kernels *kernels = mn_kernels_get((mn_cpu_level)level);
        bool gated = acts[i].kind != MN_ACT_GELU_ERF && acts[i].kind != MN_ACT_RELU2;
        for (int j = 0; j < N; j++) {
            gate[j] = (float)(j % 97 - 48) * 0.31f;
            up[j] = (float)(j % 61 - 30) * 0.4f;
            dy[j] = (float)(j % 7 - 3) * 0.5f;
        }
        mn_activate_backward(kernels, acts[i], d_gate, d_up, gated ? gate : NULL, up, dy, N);
        for (int j = 0; j < N; j++) {
            double g = (double)gate[j], u = (double)up[j], y = (double)dy[j];
            if (bends(acts[i], g, u)) continue;
            double want_up = y * slope(acts[i], g, u, 0, 1), want_gate = y * slope(acts[i], g, u, 1, 0);
            assert_true(fabs((double)d_up[j] - want_up) <= 1e-5 * (1 + fabs(want_up)));
            if (gated) assert_true(fabs((double)d_gate[j] - want_gate) <= 1e-5 * (1 + fabs(want_gate)));
        }
        float *in_place[] = {gated ? gate : NULL, up};
        mn_activate_backward(kernels, acts[i], in_place[0], up, in_place[0], up, dy, N);
        assert_memory_equal(up, d_up, sizeof d_up);
        if (gated) assert_memory_equal(gate, d_gate, sizeof d_gate);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_is_its_formula),
                                       cmocka_unit_test(backward_is_the_derivative)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
