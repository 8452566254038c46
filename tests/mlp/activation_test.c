/* mlp/activation: every gated activation against its formula in double precision, in pieces and in place. */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>

#include "kernels/kernels.h"
#include "mlp/activation.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_is_its_formula)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
