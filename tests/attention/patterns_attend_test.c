/* attention/patterns executed: mn_attention under each pattern against a dense mask in double precision. */
#include "support/attend_case.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/patterns/pattern.h"
#include "kernels/kernels.h"

enum { N_KV_HEADS = 2, GROUP = 2, DIM = 32, N_TOKENS = 600 };

static const float *row_of(const void *const *pages, size_t row_bytes, int head, int64_t token) {
    const char *page = pages[token / MN_PAGE_TOKENS];
    return (const float *)(const void *)(page + ((size_t)head * MN_PAGE_TOKENS + (size_t)(token % MN_PAGE_TOKENS)) *
                                                    row_bytes);
}

/* softmax(scale q K^T + mask) V for every row and head, the mask by the pattern's definition. */
static void dense(const mn_attend *a, const mn_pattern *p, double *out) {
    static double weights[N_TOKENS];
    int group = a->n_heads / a->kv.n_kv_heads;
    for (int64_t r = 0; r < a->n_rows; r++)
        for (int h = 0; h < a->n_heads; h++, out += DIM) {
            mn_pattern half = *p;
            half.shifted = h >= a->n_heads / 2;
            const float *q = a->q + r * a->q_stride + h * DIM;
            double total = 0;
            for (int64_t j = 0; j < N_TOKENS; j++) {
                const float *k = row_of(a->kv.k_pages, a->kv.k_row_bytes, h / group, j);
                double s = 0;
                for (int d = 0; d < DIM; d++) s += (double)q[d] * k[d];
                weights[j] = mn_pattern_sees(&half, N_TOKENS, a->first_token + r, j) ? exp(a->scale * s) : 0;
                total += weights[j];
            }
            for (int d = 0; d < DIM; d++) {
                out[d] = 0;
                for (int64_t j = 0; j < N_TOKENS; j++)
                    out[d] +=
                        total > 0 ? weights[j] / total * row_of(a->kv.v_pages, a->kv.v_row_bytes, h / group, j)[d] : 0;
            }
        }
}

/* heads of keys: N_KV_HEADS, each for GROUP of queries; or one, for all of them. */
static attend_case case_of(int64_t first_token, int n_kv_heads) {
    attend_spec spec = {.k_type = MN_F32,
                        .v_type = MN_F32,
                        .n_kv_heads = n_kv_heads,
                        .group = N_KV_HEADS * GROUP / n_kv_heads,
                        .k_dim = DIM,
                        .v_dim = DIM,
                        .n_tokens = N_TOKENS,
                        .first_token = first_token,
                        .n_rows = N_TOKENS - first_token};
    return attend_case_create(&spec, 7);
}

static void attend(attend_case *c, const char *pattern_text, mn_pattern *p) {
    mn_arena arena = MN_ARENA_INIT;
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = &arena, .exact = true};
    mn_error err;
    assert_ok(mn_pattern_parse(pattern_text, p, &err), err);
    assert_ok(mn_pattern_apply(p, &compute, 0, &c->call, &err), err);
    assert_ok(mn_attention(&compute, &c->call, &err), err);
    mn_arena_release(&arena);
}

static void check_dense(const char *pattern, int64_t first, int n_kv_heads) {
    static double want[N_TOKENS * N_KV_HEADS * GROUP * DIM];
    attend_case c = case_of(first, n_kv_heads);
    mn_pattern p;
    attend(&c, pattern, &p);
    dense(&c.call, &p, want);
    double error = attend_error(&c.call, want);
    if (!(error <= 1e-6)) fail_msg("%s from %d: error %g", pattern, (int)first, error);
    attend_case_free(&c);
}

static void equals_a_dense_mask(void **state) {
    (void)state;
    const char *patterns[] = {"full",
                              "causal",
                              "window:1",
                              "window:100",
                              "global:70",
                              "random:1,5",
                              "random:4,5",
                              "bigbird:16,3,2,3",
                              "bigbird:64,1,1,0",
                              "longformer:150,0",
                              "longformer:40,30,3",
                              "longformer:0,100",
                              "sinks:4,100",
                              "sinks-abs:70,64",
                              "sinks:129,1",
                              "shifted-sparse:64",
                              "shifted-sparse:96",
                              "shifted-sparse:256",
                              "infini:100"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        for (int64_t first = 0; first < N_TOKENS; first += 599) /* a whole prompt, and one decoded token */
            check_dense(patterns[i], first, N_KV_HEADS);
}

/* One head of keys: its group of queries falls into halves. */
static void halves_of_a_group_differ(void **state) {
    (void)state;
    check_dense("shifted-sparse:96", 0, 1);
    check_dense("shifted-sparse:96", N_TOKENS - 1, 1);
}

static void enough_budget_is_full_to_the_bit(void **state) {
    (void)state;
    const char *patterns[] = {"causal",
                              "window:600",
                              "global:600",
                              "random:64,1",
                              "bigbird:64,21,0,0",
                              "longformer:1200,0",
                              "sinks:300,300",
                              "sinks:600,1",
                              "longformer:2,600,9",
                              "shifted-sparse:1216",
                              "infini:600"};
    for (int64_t first = 0; first < N_TOKENS; first += 599) {
        attend_case full = case_of(first, N_KV_HEADS);
        mn_pattern p;
        attend(&full, "full", &p);
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            attend_case c = case_of(first, N_KV_HEADS);
            attend(&c, patterns[i], &p);
            assert_memory_equal(c.out, full.out, (size_t)(c.call.n_rows * c.call.out_stride) * sizeof *c.out);
            attend_case_free(&c);
        }
        attend_case_free(&full);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_dense_mask),
        cmocka_unit_test(halves_of_a_group_differ),
        cmocka_unit_test(enough_budget_is_full_to_the_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
