/* mlp/hash_layer: experts by the table, weights by the router's formula in double precision. */
#include "support/support.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "mlp/hash_layer.h"

enum { N_EXPERTS = 6, N_USED = 2, N_ROWS = 5 };

static double gate(mn_gating gating, const float *logits, int expert) {
    double x = (double)logits[expert], sum = 0;
    for (int i = 0; i < N_EXPERTS; i++) sum += exp((double)logits[i]);
    return gating == MN_GATING_SOFTMAX   ? exp(x) / sum
           : gating == MN_GATING_SIGMOID ? 1 / (1 + exp(-x))
                                         : sqrt(log1p(exp(x)));
}

static void the_table_says_where_to(void **unused) {
    (void)unused;
    static const int32_t table[] = {3, 2, 0, 5, 1, 4}, tokens[] = {2, 0, 1, 1, 2, 0, 2};
    static const int64_t picked[N_ROWS] = {0, 2, 3, 5, 6};
    static const mn_gating gatings[] = {MN_GATING_SOFTMAX, MN_GATING_SIGMOID, MN_GATING_SQRT_SOFTPLUS};
    mn_compute c = {.kernels = mn_kernels_get(MN_CPU_GENERIC)};
    for (int way = 0; way < 6; way++) {
        const int64_t *rows = way % 2 ? picked : NULL;
        float logits[N_ROWS * N_EXPERTS], given[N_ROWS * N_EXPERTS], weights[N_ROWS * N_USED];
        int32_t ids[N_ROWS * N_USED];
        mn_router r = {
            .gating = gatings[way / 2], .n_experts = N_EXPERTS, .n_used = N_USED, .normalise = true, .scale = 1.5f};
        fill_normal(logits, N_ROWS * N_EXPERTS, 5);
        memcpy(given, logits, sizeof given);
        mn_route_by_hash(&c, &r, table, tokens, rows, ids, weights, logits, N_ROWS);
        for (int i = 0; i < N_ROWS; i++) {
            const int32_t *want = table + tokens[rows ? rows[i] : i] * N_USED;
            double first = gate(r.gating, given + i * N_EXPERTS, want[0]),
                   second = gate(r.gating, given + i * N_EXPERTS, want[1]);
            assert_memory_equal(ids + i * N_USED, want, N_USED * sizeof *want);
            assert_true(fabs((double)weights[i * N_USED] - 1.5 * first / (first + second)) < 1e-6);
            assert_true(fabs((double)weights[i * N_USED + 1] - 1.5 * second / (first + second)) < 1e-6);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table_says_where_to)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
