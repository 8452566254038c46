/* mlp/moe: against the sum over experts in double; identical experts equal the dense network; a row's result depends on
 * nothing but itself, bit for bit.
 */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "kernels/kernels.h"
#include "mlp/moe.h"

enum { EMBD = 64, FF = 32, EXPERTS = 6, USED = 3, ROWS = 33 };

static float gate[EXPERTS][FF][EMBD], up[EXPERTS][FF][EMBD], down[EXPERTS][EMBD][FF];
static float x[ROWS * EMBD], weights[ROWS * USED], whole[ROWS * EMBD];
static int32_t ids[ROWS * USED];
static const mn_tensor gate_tensor = {"gate", MN_F32, 3, {EMBD, FF, EXPERTS, 1}, sizeof gate, gate, 0};
static const mn_tensor up_tensor = {"up", MN_F32, 3, {EMBD, FF, EXPERTS, 1}, sizeof up, up, 0};
static const mn_tensor down_tensor = {"down", MN_F32, 3, {FF, EMBD, EXPERTS, 1}, sizeof down, down, 0};
static const mn_experts experts = {.gate = &gate_tensor, .up = &up_tensor, .down = &down_tensor};
static mn_arena scratch = MN_ARENA_INIT;
static mn_compute compute = {.scratch = &scratch, .exact = true};

static void run(float *out, int begin, int end) {
    mn_error err;
    assert_ok(mn_moe(&compute, &experts, out + begin * EMBD, x + begin * EMBD, ids + begin * USED,
                     weights + begin * USED, USED, end - begin, &err),
              err);
}

static void random_weights(void) {
    fill_normal(gate[0][0], sizeof gate / sizeof(float), 1);
    fill_normal(up[0][0], sizeof up / sizeof(float), 2);
    fill_normal(down[0][0], sizeof down / sizeof(float), 3);
}

/* Distinct experts for each row; expert 4 is nobody's. */
static int setup(void **unused) {
    (void)unused;
    static const int32_t open[EXPERTS - 1] = {0, 1, 2, 3, 5};
    random_weights();
    fill_normal(x, ROWS * EMBD, 4);
    fill_normal(weights, ROWS * USED, 5);
    mn_random rng;
    mn_random_seed(&rng, 6, 0);
    for (int row = 0; row < ROWS; row++) {
        uint32_t first = mn_random_below(&rng, EXPERTS - 1);
        for (uint32_t i = 0; i < USED; i++) ids[row * USED + (int)i] = open[(first + 2 * i) % (EXPERTS - 1)];
    }
    run(whole, 0, ROWS);
    return 0;
}

/* out += weight * expert(row) in double */
static void add_expert(double *out, int expert, double weight, const float *row) {
    for (int f = 0; f < FF; f++) {
        double g = 0, u = 0;
        for (int i = 0; i < EMBD; i++) {
            g += (double)gate[expert][f][i] * row[i];
            u += (double)up[expert][f][i] * row[i];
        }
        for (int i = 0; i < EMBD; i++) out[i] += weight * down[expert][i][f] * u * g / (1 + exp(-g));
    }
}

static void equals_the_sum_over_experts(void **unused) {
    (void)unused;
    for (int row = 0; row < ROWS; row++) {
        double sum[EMBD] = {0};
        float want[EMBD];
        for (int i = 0; i < USED; i++) add_expert(sum, ids[row * USED + i], weights[row * USED + i], x + row * EMBD);
        for (int i = 0; i < EMBD; i++) want[i] = (float)sum[i];
        assert_close(whole + row * EMBD, want, EMBD, 1e-3, 1e-5, "mixture");
    }
}

static void splits_change_nothing(void **unused) {
    (void)unused;
    static float out[ROWS * EMBD];
    for (int piece = 1; piece < ROWS; piece += piece < 4 ? 1 : 7) {
        for (int row = 0; row < ROWS; row += piece) run(out, row, row + piece < ROWS ? row + piece : ROWS);
        assert_memory_equal(out, whole, sizeof whole);
    }
}

static void the_order_of_experts_changes_nothing(void **unused) {
    (void)unused;
    static float out[ROWS * EMBD];
    for (int row = 0; row < ROWS; row++) {
        int32_t id = ids[row * USED];
        float weight = weights[row * USED];
        ids[row * USED] = ids[row * USED + 2];
        weights[row * USED] = weights[row * USED + 2];
        ids[row * USED + 2] = id;
        weights[row * USED + 2] = weight;
    }
    run(out, 0, ROWS);
    assert_memory_equal(out, whole, sizeof whole);
}

static void threads_change_nothing(void **unused) {
    (void)unused;
    static float out[ROWS * EMBD];
    mn_error err;
    assert_ok(mn_pool_create(3, &compute.pool, &err), err);
    run(out, 0, ROWS);
    assert_memory_equal(out, whole, sizeof whole);
    mn_pool_destroy(compute.pool);
    compute.pool = NULL;
}

/* Halves and quarters: no rounding but that of two sums. */
static void identical_experts_equal_the_dense_network(void **unused) {
    (void)unused;
    static float out[ROWS * EMBD], dense[ROWS * EMBD];
    for (int e = 1; e < EXPERTS; e++) {
        memcpy(gate[e], gate[0], sizeof gate[0]);
        memcpy(up[e], up[0], sizeof up[0]);
        memcpy(down[e], down[0], sizeof down[0]);
    }
    int32_t first[ROWS] = {0};
    float ones[ROWS];
    for (int row = 0; row < ROWS; row++) {
        ones[row] = 1;
        weights[row * USED] = 0.5f;
        weights[row * USED + 1] = weights[row * USED + 2] = 0.25f;
    }
    mn_error err;
    assert_ok(mn_moe(&compute, &experts, dense, x, first, ones, 1, ROWS, &err), err);
    run(out, 0, ROWS);
    assert_close(out, dense, ROWS * EMBD, 0, 3e-7, "dense");
    random_weights();
}

/* Biases, a scale for each expert, weights on the inputs, gate and up in one stack, gpt-oss's activation. */
static void equals_the_sum_with_all_that_families_add(void **unused) {
    (void)unused;
    static float both[EXPERTS][2 * FF][EMBD], out[ROWS * EMBD];
    static float gate_b[EXPERTS][FF], up_b[EXPERTS][FF], down_b[EXPERTS][EMBD], scale[EXPERTS];
    mn_error err;
    fill_normal(gate_b[0], EXPERTS * FF, 7);
    fill_normal(up_b[0], EXPERTS * FF, 8);
    fill_normal(down_b[0], EXPERTS * EMBD, 9);
    fill_normal(scale, EXPERTS, 10);
    for (int e = 0; e < EXPERTS; e++) {
        memcpy(both[e], gate[e], sizeof gate[e]);
        memcpy(both[e] + FF, up[e], sizeof up[e]);
    }
    mn_tensor gates = gate_tensor, ups = up_tensor;
    gates.data = both;
    ups.data = both[0] + FF;
    gates.matrix_bytes = ups.matrix_bytes = sizeof both[0];
    for (int weighs_input = 0; weighs_input < 2; weighs_input++) {
        mn_experts e = {&gates,    &ups,  &down_tensor,           gate_b[0],    up_b[0],
                        down_b[0], scale, {MN_ACT_SWIGLU_OAI, 0}, weighs_input, false};
        assert_ok(mn_moe(&compute, &e, out, x, ids, weights, USED, ROWS, &err), err);
        for (int row = 0; row < ROWS; row++) {
            float want[EMBD] = {0};
            for (int i = 0; i < USED; i++) {
                int id = ids[row * USED + i];
                double w = weights[row * USED + i], sum[EMBD] = {0};
                for (int f = 0; f < FF; f++) {
                    double g = gate_b[id][f], u = up_b[id][f];
                    for (int d = 0; d < EMBD; d++) {
                        g += (weighs_input ? w : 1) * gate[id][f][d] * x[row * EMBD + d];
                        u += (weighs_input ? w : 1) * up[id][f][d] * x[row * EMBD + d];
                    }
                    g = fmin(g, 7);
                    double h = g / (1 + exp(-1.702 * g)) * (fmax(fmin(u, 7), -7) + 1);
                    for (int d = 0; d < EMBD; d++) sum[d] += h * down[id][d][f];
                }
                for (int d = 0; d < EMBD; d++)
                    want[d] += (float)((sum[d] + down_b[id][d]) * scale[id] * (weighs_input ? 1 : w));
            }
            assert_close(out + row * EMBD, want, EMBD, 1e-3, 1e-5, "mixture with biases");
        }
    }
}

static void no_rows_no_work(void **unused) {
    (void)unused;
    run(whole, 0, 0);
    assert_int_equal(scratch.used_bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_the_sum_over_experts),
                                       cmocka_unit_test(splits_change_nothing),
                                       cmocka_unit_test(the_order_of_experts_changes_nothing),
                                       cmocka_unit_test(threads_change_nothing),
                                       cmocka_unit_test(identical_experts_equal_the_dense_network),
                                       cmocka_unit_test(equals_the_sum_with_all_that_families_add),
                                       cmocka_unit_test(no_rows_no_work)};
    int failed = 0;
    EACH_LEVEL(level) {
        compute.kernels = mn_kernels_get((mn_cpu_level)level);
        failed += cmocka_run_group_tests_name(mn_cpu_level_name((mn_cpu_level)level), tests, setup, NULL);
    }
    mn_arena_release(&scratch);
    return failed;
}
