/* attention/indexer: the choice against scores in double precision, and attention over it against a mask. */
#include "support/attend_case.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/indexer.h"
#include "kernels/kernels.h"

enum { HEADS = 3, DIM = 32, TOP = 20 };

/* Every chosen key has at least the score of every other, but for what rounding makes equal; as many as asked for. */
static void check_row(const mn_indexer *x, int64_t row, const uint64_t *bits) {
    int64_t n = x->first_token + row + 1, n_chosen = 0;
    double lowest = INFINITY, highest = -INFINITY;
    for (int64_t j = 0; j < x->kv.n_tokens; j++) {
        const float *key = (const float *)x->kv.k_pages[j / MN_PAGE_TOKENS] + j % MN_PAGE_TOKENS * DIM;
        double score = 0;
        for (int h = 0; h < HEADS; h++) {
            double dot = 0;
            for (int i = 0; i < DIM; i++) dot += (double)x->q[row * x->q_stride + h * DIM + i] * (double)key[i];
            score += (double)x->w[row * x->w_stride + h] * fmax(dot, 0);
        }
        bool chosen = bits[j / 64] >> j % 64 & 1;
        assert_true(!chosen || j < n);
        n_chosen += chosen;
        if (chosen) lowest = fmin(lowest, score);
        if (!chosen && j < n) highest = fmax(highest, score);
    }
    assert_int_equal(n_chosen, n < TOP ? n : TOP);
    assert_true(highest <= lowest + 1e-4);
}

static void chooses_the_largest_scores(void **state) {
    (void)state;
    static const int64_t cases[][2] = {{0, 40}, {300, 33}, {399, 1}}; /* first token, rows */
    mn_arena scratch = MN_ARENA_INIT;
    EACH_LEVEL(level)
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n_rows = cases[i][1], n_tokens = cases[i][0] + n_rows;
        attend_case c = attend_case_create(&(attend_spec){.k_type = MN_F32,
                                                          .v_type = MN_F32,
                                                          .n_kv_heads = 1,
                                                          .group = HEADS,
                                                          .k_dim = DIM,
                                                          .v_dim = DIM,
                                                          .n_tokens = n_tokens,
                                                          .first_token = cases[i][0],
                                                          .n_rows = n_rows},
                                           7);
        float w[40 * HEADS];
        uint64_t bits[40 * 8];
        mn_error err;
        fill_normal(w, 40 * HEADS, 3);
        mn_indexer x = {.q = c.call.q,
                        .w = w,
                        .q_stride = c.call.q_stride,
                        .w_stride = HEADS,
                        .n_rows = n_rows,
                        .first_token = cases[i][0],
                        .n_heads = HEADS,
                        .top_k = TOP,
                        .kv = c.call.kv};
        mn_compute compute = {.kernels = mn_kernels_get((mn_cpu_level)level), .scratch = &scratch, .exact = true};
        assert_ok(mn_indexer_choose(&compute, &x, bits, 8, &err), err);
        for (int64_t r = 0; r < n_rows; r++) check_row(&x, r, bits + r * 8);
        attend_case_free(&c);
    }
    mn_arena_release(&scratch);
}

/* Bits against the same keys by the definition (attend_oracle), many rows and few. */
static void attention_sees_what_was_chosen(void **state) {
    (void)state;
    static const int64_t n_rows[] = {1, 5, 60};
    EACH_LEVEL(level)
    for (int i = 0; i < 3; i++) {
        attend_spec spec = {.k_type = MN_F32,
                            .v_type = MN_F32,
                            .n_kv_heads = 2,
                            .group = 2,
                            .k_dim = 64,
                            .v_dim = 64,
                            .n_tokens = 400,
                            .first_token = 400 - n_rows[i],
                            .n_rows = n_rows[i]};
        attend_case c = attend_case_create(&spec, 5);
        uint64_t bits[60 * 7];
        double want[60 * 4 * 64];
        mn_random rng;
        mn_random_seed(&rng, 9, 9);
        for (int j = 0; j < 60 * 7; j++) bits[j] = j % 3 ? mn_random_u64(&rng) & mn_random_u64(&rng) : 0;
        c.call.chosen = bits;
        c.call.chosen_words = 7;
        attend_oracle(&c.call, want);
        attend_run(&c.call, mn_attention, level, 2, true);
        double error = attend_error(&c.call, want);
        if (!(error <= 1e-6)) fail_msg("%lld rows: error %g", (long long)n_rows[i], error);
        attend_case_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_the_largest_scores),
        cmocka_unit_test(attention_sees_what_was_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
