/* mlp/router: Mixtral's, DeepSeek-V2's and V3's choices by hand, ties, groups, and logits that are no numbers. */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "mlp/router.h"

static mn_arena scratch = MN_ARENA_INIT;
static mn_compute compute = {.scratch = &scratch, .exact = true};

static void route(const mn_router *router, int32_t *ids, float *weights, const float *logits, int64_t n_rows) {
    mn_error err;
    assert_ok(mn_router_check(router, &err), err);
    assert_ok(mn_route(&compute, router, ids, weights, logits, n_rows, &err), err);
}

static void assert_ids(const int32_t *got, const int32_t *want, int n) {
    for (int i = 0; i < n; i++) assert_int_equal(got[i], want[i]);
}

/* Softmax, normalised over the chosen = softmax over the chosen logits. */
static void mixtral(void **unused) {
    (void)unused;
    const mn_router router = {.gating = MN_GATING_SOFTMAX, .n_experts = 4, .n_used = 2, .normalise = true, .scale = 1};
    float logits[4] = {0.5f, -1, 2, 1}, weights[2];
    int32_t ids[2];
    route(&router, ids, weights, logits, 1);
    assert_ids(ids, (int32_t[]){2, 3}, 2);
    float want[2] = {(float)(1 / (1 + exp(-1))), (float)(1 / (1 + exp(1)))};
    assert_close(weights, want, 2, 0, 1e-6, "weights");
}

/* Softmax over all, not normalised, times the scale. */
static void deepseek_v2(void **unused) {
    (void)unused;
    const mn_router router = {.gating = MN_GATING_SOFTMAX, .n_experts = 4, .n_used = 2, .scale = 16};
    float logits[4] = {0.5f, -1, 2, 1}, weights[2];
    int32_t ids[2];
    route(&router, ids, weights, logits, 1);
    double total = exp(0.5) + exp(-1) + exp(2) + exp(1);
    float want[2] = {(float)(16 * exp(2) / total), (float)(16 * exp(1) / total)};
    assert_close(weights, want, 2, 0, 1e-6, "weights");
}

/* The bias moves the choice; the weight is the sigmoid without it. */
static void deepseek_v3_bias(void **unused) {
    (void)unused;
    float bias[4] = {0.9f, 0, 0, 0};
    const mn_router router = {.gating = MN_GATING_SIGMOID,
                              .n_experts = 4,
                              .n_used = 2,
                              .selection_bias = bias,
                              .normalise = true,
                              .scale = 2.5f};
    float logits[4] = {-1, 0, 1, 0.5f}, weights[2];
    int32_t ids[2];
    route(&router, ids, weights, logits, 1);
    assert_ids(ids, (int32_t[]){0, 2}, 2);
    double a = 1 / (1 + exp(1)), b = 1 / (1 + exp(-1));
    float want[2] = {(float)(2.5 * a / (a + b)), (float)(2.5 * b / (a + b))};
    assert_close(weights, want, 2, 0, 1e-6, "weights");
    assert_true(fabsf(weights[0] + weights[1] - 2.5f) < 1e-6f);
}

/* Group 1 has the best expert, group 0 the best pair: V2 keeps group 1, V3 group 0. */
static void groups(void **unused) {
    (void)unused;
    mn_router router = {.gating = MN_GATING_SIGMOID,
                        .n_experts = 6,
                        .n_used = 2,
                        .n_groups = 2,
                        .n_groups_used = 1,
                        .group_top = 1,
                        .scale = 1};
    float logits[6] = {1, -3, 1.5f, -3, 2, -2}, weights[2];
    int32_t ids[2];
    route(&router, ids, weights, logits, 1);
    assert_ids(ids, (int32_t[]){4, 5}, 2);
    router.group_top = 2;
    route(&router, ids, weights, logits, 1);
    assert_ids(ids, (int32_t[]){2, 0}, 2);
    router.n_groups_used = 2;
    route(&router, ids, weights, logits, 1);
    assert_ids(ids, (int32_t[]){4, 2}, 2);
}

static void ties_go_to_the_lowest_id(void **unused) {
    (void)unused;
    const mn_router router = {.gating = MN_GATING_SOFTMAX,
                              .n_experts = 8,
                              .n_used = 3,
                              .n_groups = 4,
                              .n_groups_used = 2,
                              .group_top = 2,
                              .normalise = true,
                              .scale = 1};
    float logits[8] = {0}, weights[3];
    int32_t ids[3];
    route(&router, ids, weights, logits, 1);
    assert_ids(ids, (int32_t[]){0, 1, 2}, 3);
    assert_close(weights, (float[]){1 / 3.0f, 1 / 3.0f, 1 / 3.0f}, 3, 0, 1e-6, "weights");
}

static void no_numbers_stay_in_range(void **unused) {
    (void)unused;
    mn_router router = {
        .n_experts = 6, .n_used = 4, .n_groups = 3, .n_groups_used = 2, .group_top = 2, .normalise = true, .scale = 1};
    float logits[3][6] = {
        {NAN, NAN, NAN, NAN, NAN, NAN}, {1, NAN, -INFINITY, INFINITY, 0, NAN}, {-200, -200, -200, -200, -200, -200}};
    for (int gating = MN_GATING_SOFTMAX; gating <= MN_GATING_SIGMOID; gating++) {
        router.gating = (mn_gating)gating;
        int32_t ids[12];
        float weights[12];
        route(&router, ids, weights, logits[0], 3);
        for (int row = 0; row < 3; row++) {
            unsigned seen = 0;
            for (int i = 0; i < 4; i++) {
                int32_t id = ids[row * 4 + i];
                assert_in_range(id, 0, 5);
                assert_false(seen >> id & 1);
                seen |= 1u << id;
            }
        }
        for (int i = 8; i < 12; i++) assert_true(isfinite(weights[i]));
    }
}

static void rows_stand_alone(void **unused) {
    (void)unused;
    enum { ROWS = 40, EXPERTS = 24, USED = 5 };
    const mn_router router = {.gating = MN_GATING_SIGMOID,
                              .n_experts = EXPERTS,
                              .n_used = USED,
                              .n_groups = 6,
                              .n_groups_used = 3,
                              .group_top = 2,
                              .normalise = true,
                              .scale = 1};
    float logits[ROWS * EXPERTS], weights[ROWS * USED], weight[USED];
    int32_t ids[ROWS * USED], id[USED];
    fill_normal(logits, ROWS * EXPERTS, 1);
    route(&router, ids, weights, logits, ROWS);
    for (int row = 0; row < ROWS; row++) {
        route(&router, id, weight, logits + row * EXPERTS, 1);
        assert_memory_equal(id, ids + row * USED, sizeof id);
        assert_memory_equal(weight, weights + row * USED, sizeof weight);
        float sum = 0;
        for (int i = 0; i < USED; i++) sum += weight[i];
        assert_true(fabsf(sum - 1) < 1e-6f);
    }
}

static void refuses(const char *sentence, mn_router router) {
    mn_error err;
    assert_true(mn_router_check(&router, &err) != MN_OK);
    if (!strstr(err.text, sentence)) fail_msg("\"%s\" does not say \"%s\"", err.text, sentence);
}

static void refuses_what_cannot_work(void **unused) {
    (void)unused;
    const mn_router good = {
        .gating = MN_GATING_SIGMOID, .n_experts = 8, .n_used = 2, .n_groups = 4, .n_groups_used = 2, .group_top = 2};
    mn_router bad = good;
    bad.gating = (mn_gating)3;
    refuses("gating function 3", bad);
    bad = good;
    bad.n_used = 9;
    refuses("9 of 8", bad);
    bad.n_used = 0;
    refuses("0 of 8", bad);
    bad = good;
    bad.n_groups = 3;
    refuses("into 3 groups", bad);
    bad = good;
    bad.n_used = 5;
    refuses("5 experts cannot be chosen from 2 of 4 groups", bad);
    bad = good;
    bad.n_groups_used = 5;
    refuses("5 of 4 groups", bad);
    bad = good;
    bad.group_top = 3;
    refuses("best 3", bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(mixtral),
                                       cmocka_unit_test(deepseek_v2),
                                       cmocka_unit_test(deepseek_v3_bias),
                                       cmocka_unit_test(groups),
                                       cmocka_unit_test(ties_go_to_the_lowest_id),
                                       cmocka_unit_test(no_numbers_stay_in_range),
                                       cmocka_unit_test(rows_stand_alone),
                                       cmocka_unit_test(refuses_what_cannot_work)};
    int failed = 0;
    EACH_LEVEL(level) {
        compute.kernels = mn_kernels_get((mn_cpu_level)level);
        failed += cmocka_run_group_tests_name(mn_cpu_level_name((mn_cpu_level)level), tests, NULL, NULL);
    }
    mn_arena_release(&scratch);
    return failed;
}
