/* attention/indexer: the choice against scores in double precision, and attention over it against a mask. */
#include "support/attend_case.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/indexer.h"
#include "kernels/kernels.h"

enum { MAX_ROWS = 50, WORDS = 8 };

typedef struct shape {
    int n_heads, dim, ratio, top_k;
    mn_dtype type;
    int64_t n_keys, first_token, n_rows;
} shape;

/* An indexer over random keys, and what it owns. */
typedef struct indexer_case {
    mn_indexer x;
    attend_case keys;
    float *w;
} indexer_case;

static indexer_case create(const shape *s) {
    indexer_case c = {.keys = attend_case_create(&(attend_spec){.k_type = s->type,
                                                                .v_type = MN_F32,
                                                                .n_kv_heads = 1,
                                                                .group = s->n_heads,
                                                                .k_dim = s->dim,
                                                                .v_dim = 16,
                                                                .n_tokens = s->n_keys,
                                                                .first_token = s->n_keys - s->n_rows,
                                                                .n_rows = s->n_rows},
                                                 7),
                      .w = malloc((size_t)(s->n_rows * s->n_heads) * sizeof *c.w)};
    fill_normal(c.w, (size_t)(s->n_rows * s->n_heads), 3);
    c.x = (mn_indexer){.q = c.keys.call.q,
                       .w = c.w,
                       .q_stride = c.keys.call.q_stride,
                       .w_stride = s->n_heads,
                       .n_rows = s->n_rows,
                       .first_token = s->first_token,
                       .n_heads = s->n_heads,
                       .top_k = s->top_k,
                       .ratio = s->ratio,
                       .kv = c.keys.call.kv};
    return c;
}

static void destroy(indexer_case *c) {
    attend_case_free(&c->keys);
    free(c->w);
}

static void choose(const mn_indexer *x, int level, int n_threads, uint64_t *bits) {
    mn_arena scratch = MN_ARENA_INIT;
    mn_pool *pool;
    mn_error err;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    mn_compute c = {.kernels = mn_kernels_get((mn_cpu_level)level), .pool = pool, .scratch = &scratch, .exact = true};
    assert_ok(mn_indexer_choose(&c, x, bits, WORDS, &err), err);
    mn_pool_destroy(pool);
    mn_arena_release(&scratch);
}

/* The score of a key, and the sum of the magnitudes that it is made of. */
static double score_of(const mn_indexer *x, int64_t row, int64_t j, double *magnitude) {
    float key[256];
    double score = 0;
    mn_to_f32(x->kv.k_type,
              (const char *)x->kv.k_pages[j / MN_PAGE_TOKENS] + (size_t)(j % MN_PAGE_TOKENS) * x->kv.k_row_bytes, key,
              (x->kv.k_dim + 31) / 32 * 32);
    *magnitude = 0;
    for (int h = 0; h < x->n_heads; h++) {
        double dot = 0, sum = 0, w = (double)x->w[row * x->w_stride + h];
        for (int i = 0; i < x->kv.k_dim; i++) {
            double product = (double)x->q[row * x->q_stride + h * x->kv.k_dim + i] * (double)key[i];
            dot += product;
            sum += fabs(product);
        }
        score += w * fmax(dot, 0);
        *magnitude += fabs(w) * sum;
    }
    return score;
}

static int64_t n_seen(const mn_indexer *x, int64_t row) {
    return (x->first_token + row + 1) / (x->ratio ? x->ratio : 1);
}

/* Every chosen key has at least the score of every other, but for what rounding makes equal; as many as asked for. */
static void check_row(const mn_indexer *x, int64_t row, const uint64_t *bits) {
    int64_t n = n_seen(x, row), n_chosen = 0;
    double lowest = INFINITY, highest = -INFINITY, most = 0, magnitude;
    for (int64_t j = 0; j < x->kv.n_tokens; j++) {
        double score = score_of(x, row, j, &magnitude);
        bool chosen = bits[j / 64] >> j % 64 & 1;
        assert_true(!chosen || j < n);
        n_chosen += chosen;
        most = fmax(most, magnitude);
        if (chosen) lowest = fmin(lowest, score);
        if (!chosen && j < n) highest = fmax(highest, score);
    }
    assert_int_equal(n_chosen, n < x->top_k ? n : x->top_k);
    if (!(highest <= lowest + 1e-6 * most))
        fail_msg("row %lld: %g left out, %g taken", (long long)row, highest, lowest);
}

static const shape shapes[] = {{3, 32, 0, 20, MN_F32, 40, 0, 40},      {3, 32, 0, 20, MN_F16, 333, 300, 33},
                               {3, 32, 0, 20, MN_F32, 400, 399, 1},    {1, 20, 0, 7, MN_F32, 200, 150, 50},
                               {5, 64, 4, 30, MN_F16, 130, 500, 22},   {64, 128, 0, 100, MN_F16, 300, 289, 11},
                               {7, 192, 4, 64, MN_BF16, 129, 470, 49}, {2, 64, 0, 3, MN_Q8_0, 65, 15, 50}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void chooses_the_largest_scores(void **state) {
    (void)state;
    EACH_LEVEL(level)
    for (size_t i = 0; i < N_SHAPES; i++) {
        if (!takes_case(i, 4)) continue;
        indexer_case c = create(&shapes[i]);
        uint64_t bits[MAX_ROWS * WORDS];
        choose(&c.x, level, 1, bits);
        for (int64_t r = 0; r < c.x.n_rows; r++) check_row(&c.x, r, bits + r * WORDS);
        destroy(&c);
    }
}

/* Rows from `first` on as a call of their own, which knows the keys up to the last of them. */
static mn_indexer part_of(const mn_indexer *x, int64_t first, int64_t n_rows) {
    mn_indexer part = *x;
    part.q += first * x->q_stride;
    part.w += first * x->w_stride;
    part.first_token += first;
    part.n_rows = n_rows;
    part.kv.n_tokens = n_seen(&part, n_rows - 1);
    return part;
}

static void rows_choose_alike_however_they_come(void **state) {
    (void)state;
    static const int64_t steps[] = {1, 7, 17};
    EACH_LEVEL(level)
    for (size_t i = 0; i < N_SHAPES; i++) {
        if (!takes_case(i, 4)) continue;
        indexer_case c = create(&shapes[i]);
        uint64_t whole[MAX_ROWS * WORDS], bits[MAX_ROWS * WORDS];
        choose(&c.x, level, 1, whole);
        choose(&c.x, level, 3, bits);
        assert_memory_equal(bits, whole, (size_t)c.x.n_rows * WORDS * sizeof *bits);
        for (int k = 0; k < 3; k++) {
            for (int64_t r = 0; r < c.x.n_rows; r += steps[k]) {
                mn_indexer part = part_of(&c.x, r, r + steps[k] > c.x.n_rows ? c.x.n_rows - r : steps[k]);
                choose(&part, level, 2, bits + r * WORDS);
            }
            assert_memory_equal(bits, whole, (size_t)c.x.n_rows * WORDS * sizeof *bits);
        }
        destroy(&c);
    }
}

/* Keys of three kinds: of the kind that the budget ends in, the first are taken. */
static void of_equal_keys_the_first_are_chosen(void **state) {
    (void)state;
    EACH_LEVEL(level) {
        indexer_case c = create(&(shape){2, 32, 0, 150, MN_F32, 300, 290, 10});
        for (int64_t j = 3; j < 300; j++) {
            char *page = (char *)(uintptr_t)c.x.kv.k_pages[j / MN_PAGE_TOKENS];
            memcpy(page + (size_t)(j % MN_PAGE_TOKENS) * c.x.kv.k_row_bytes,
                   (const char *)c.x.kv.k_pages[0] + (size_t)(j % 3) * c.x.kv.k_row_bytes, 32 * sizeof(float));
        }
        for (int h = 0; h < 2; h++) c.w[h] = 0; /* the first row likes all keys alike */
        for (int h = 2; h < 4; h++) c.w[h] = NAN;
        uint64_t bits[MAX_ROWS * WORDS];
        choose(&c.x, level, 2, bits);
        for (int64_t r = 0; r < 10; r++) {
            double magnitude, score[3];
            int64_t n = n_seen(&c.x, r);
            for (int64_t j = 0; j < 3; j++) score[j] = r < 2 ? 0 : score_of(&c.x, r, j, &magnitude);
            for (int64_t j = 0; j < n; j++) {
                int64_t better = 0;
                for (int64_t i = 0; i < n; i++)
                    better += score[i % 3] > score[j % 3] || (score[i % 3] == score[j % 3] && i < j);
                assert_int_equal(bits[r * WORDS + j / 64] >> j % 64 & 1, better < 150);
            }
        }
        destroy(&c);
    }
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
        cmocka_unit_test(rows_choose_alike_however_they_come),
        cmocka_unit_test(of_equal_keys_the_first_are_chosen),
        cmocka_unit_test(attention_sees_what_was_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
