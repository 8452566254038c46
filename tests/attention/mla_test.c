/* attention/mla: keys and values made from latents against the definition in double precision, and against attention
 * that is absorbed. */
#include "support/attend_case.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/mla.h"
#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/kernels.h"

typedef struct mla_spec {
    int n_heads, kv_rank, n_nope, n_rot, v_dim;
    mn_dtype cached, weights;
    int64_t n_tokens, n_rows; /* the last rows of the text ask */
} mla_spec;

/* A call and its up-projections; owns all memory. latents.call is attention over the cached rows, mla not yet set. */
typedef struct mla_case {
    attend_case latents;
    mn_mla mla;
    mn_attend call;
    void *ups[2];
} mla_case;

/* Products of vectors of variance 1 keep variance 1. */
static mn_tensor make_stack(mn_random *rng, mn_dtype type, int n_in, int n_out, int n, void **memory) {
    mn_tensor t = {.type = type, .n_dims = 3, .ne = {n_in, n_out, n, 1}};
    size_t row_bytes = mn_tensor_row_bytes(&t);
    float row[1024];
    t.bytes = row_bytes * (size_t)n_out * (size_t)n;
    t.data = *memory = malloc(t.bytes);
    for (int64_t r = 0; r < (int64_t)n_out * n; r++) {
        for (int i = 0; i < n_in; i++) row[i] = (float)mn_random_normal(rng) / sqrtf((float)n_in);
        mn_from_f32(type, row, (char *)*memory + (size_t)r * row_bytes, n_in);
    }
    return t;
}

static mla_case mla_create(const mla_spec *s, uint64_t seed) {
    attend_spec rows = {s->cached,
                        s->cached,
                        1,
                        s->n_heads,
                        s->kv_rank + s->n_rot,
                        s->kv_rank,
                        s->n_tokens,
                        s->n_tokens - s->n_rows,
                        s->n_rows,
                        .shared_values = true};
    mla_case c = {.latents = attend_case_create(&rows, seed)};
    mn_random rng;
    mn_random_seed(&rng, seed, 9);
    c.mla = (mn_mla){.k_up = make_stack(&rng, s->weights, s->n_nope, s->kv_rank, s->n_heads, &c.ups[0]),
                     .v_up = make_stack(&rng, s->weights, s->kv_rank, s->v_dim, s->n_heads, &c.ups[1]),
                     .kv_rank = s->kv_rank,
                     .n_nope = s->n_nope,
                     .n_rot = s->n_rot,
                     .v_dim = s->v_dim};
    c.call = c.latents.call;
    c.call.scale = 1 / sqrtf((float)(s->n_nope + s->n_rot));
    return c;
}

/* The call, to be made once c lies where it stays: the latents' buffers are wide enough for narrower queries. */
static mn_attend call_of(const mla_case *c) {
    mn_attend a = c->call;
    a.mla = &c->mla;
    return a;
}

static void mla_free(mla_case *c) {
    attend_case_free(&c->latents);
    free(c->ups[0]);
    free(c->ups[1]);
}

/* q'_h = W_UK^T q, attention over what is cached, W_UV of what comes out. */
static mn_status absorbed(const mn_compute *c, const mn_attend *a, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_attend over = *a;
    over.mla = NULL;
    over.q_stride = (int64_t)a->n_heads * a->kv.k_dim;
    over.out_stride = (int64_t)a->n_heads * a->kv.v_dim;
    float *wide = mn_arena_alloc(c->scratch, (size_t)(a->n_rows * over.q_stride), sizeof *wide);
    over.q = wide;
    over.out = mn_arena_alloc(c->scratch, (size_t)(a->n_rows * over.out_stride), sizeof *over.out);
    MN_TRY(mn_mla_absorb(c, a, wide, err));
    MN_TRY(mn_attention(c, &over, err));
    MN_TRY(mn_mla_output(c, a, over.out, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

/* Rows of out without gaps. */
static float *run_call(const mn_attend *a, attend_fn *fn, int level, int n_threads, bool exact) {
    size_t row = (size_t)a->n_heads * (size_t)a->mla->v_dim;
    float *rows = malloc((size_t)a->n_rows * row * sizeof *rows);
    attend_run(a, fn, level, n_threads, exact);
    for (int64_t r = 0; r < a->n_rows; r++)
        memcpy(rows + (size_t)r * row, a->out + r * a->out_stride, row * sizeof *rows);
    return rows;
}

/* The largest error of a head's output in a row, relative to its norm. */
static double difference(const mn_attend *a, const float *got, const float *want) {
    double worst = 0;
    for (int64_t r = 0; r < a->n_rows * a->n_heads; r++) {
        double norm = 0, error = 0;
        for (int i = 0; i < a->mla->v_dim; i++, got++, want++) {
            norm += (double)*want * *want;
            error += ((double)*got - *want) * ((double)*got - *want);
        }
        double relative = error == 0 ? 0 : sqrt(error / norm);
        if (!(relative <= worst)) worst = relative;
    }
    return worst;
}

static double ways_differ(const mn_attend *a, int level, bool exact) {
    float *made = run_call(a, mn_attention, level, 2, exact), *want = run_call(a, absorbed, level, 1, exact);
    double worst = difference(a, made, want);
    free(made);
    free(want);
    return worst;
}

/* f32 on both ways: they differ by rounding alone. */
static void agrees_with_absorbed(void **state) {
    (void)state;
    static const mla_spec specs[] = {
        {2, 512, 128, 64, 128, MN_F32, MN_F32, 40, 20},    {2, 512, 128, 64, 128, MN_Q8_0, MN_F32, 150, 33},
        {1, 512, 128, 64, 128, MN_F32, MN_Q8_0, 1100, 17}, {3, 64, 32, 16, 24, MN_F32, MN_F32, 2500, 70},
        {3, 64, 32, 16, 24, MN_Q8_0, MN_Q8_0, 1025, 1025}, {2, 40, 20, 6, 10, MN_F16, MN_F32, 300, 300},
        {4, 64, 32, 16, 24, MN_BF16, MN_F16, 1024, 64},    {4, 40, 20, 6, 10, MN_Q4_0, MN_BF16, 2049, 16},
    };
    EACH_LEVEL(level)
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        if (!takes_case(i, 5)) continue;
        mla_case c = mla_create(&specs[i], 3 + i);
        mn_attend a = call_of(&c);
        double worst = ways_differ(&a, level, true);
        if (!(worst <= 1e-5)) fail_msg("%s, case %zu: %g apart", mn_cpu_level_name((mn_cpu_level)level), i, worst);
        mla_free(&c);
    }
}

/* Depths around every edge of pages, ranges and the tokens whose keys are made together, and chunks of any size. */
static void every_depth_and_chunk(void **state) {
    (void)state;
    static const int64_t depths[] = {1,   2,   15,  16,   17,   63,   64,   65,   127,  128, 129,
                                     255, 257, 511, 1000, 1023, 1024, 1025, 2047, 2049, 3100};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        for (int64_t n_rows = 1; n_rows <= depths[i] && n_rows <= 200; n_rows = 3 * n_rows + 1) {
            if (!takes_case(i, 6)) continue;
            mla_spec s = {2, 32, 16, 8, 16, i % 2 ? MN_Q8_0 : MN_F32, MN_F32, depths[i], n_rows};
            mla_case c = mla_create(&s, 40 + i);
            mn_attend a = call_of(&c);
            double worst = ways_differ(&a, 0, true);
            if (!(worst <= 1e-5))
                fail_msg("%lld rows of %lld: %g apart", (long long)n_rows, (long long)depths[i], worst);
            mla_free(&c);
        }
}

/* Keys and values of every head made in double precision, then dense attention over these. */
static void oracle(const mn_attend *a, float *out) {
    const mn_mla *m = a->mla;
    int64_t n = a->kv.n_tokens, k_dim = m->n_nope + m->n_rot;
    attend_spec spec = {MN_F32,   MN_F32, a->n_heads,     1,         (int)k_dim,
                        m->v_dim, n,      a->first_token, a->n_rows, .window = a->window};
    attend_case made = attend_case_create(&spec, 1);
    float row[2048], up[1024];
    for (int64_t t = 0; t < n; t++) {
        const char *page = a->kv.k_pages[t / MN_PAGE_TOKENS];
        const mn_dtype_info *type = mn_dtype_get(a->kv.k_type);
        int64_t padded = (a->kv.k_dim + type->block_elems - 1) / type->block_elems * type->block_elems;
        mn_to_f32(a->kv.k_type, page + (size_t)(t % MN_PAGE_TOKENS) * a->kv.k_row_bytes, row, padded);
        for (int h = 0; h < a->n_heads; h++) {
            size_t at = (size_t)(h * MN_PAGE_TOKENS + t % MN_PAGE_TOKENS);
            float *k = (float *)(void *)((char *)made.pages[t / MN_PAGE_TOKENS] + at * made.call.kv.k_row_bytes);
            float *v = (float *)(void *)((char *)made.pages[made.n_pages + t / MN_PAGE_TOKENS] +
                                         at * made.call.kv.v_row_bytes);
            mn_tensor k_up = mn_tensor_matrix(&m->k_up, h), v_up = mn_tensor_matrix(&m->v_up, h);
            double sums[1024] = {0};
            for (int r = 0; r < m->kv_rank; r++) {
                mn_to_f32(k_up.type, (const char *)k_up.data + (size_t)r * mn_tensor_row_bytes(&k_up), up, m->n_nope);
                for (int i = 0; i < m->n_nope; i++) sums[i] += (double)up[i] * row[r];
            }
            for (int i = 0; i < m->n_nope; i++) k[i] = (float)sums[i];
            memcpy(k + m->n_nope, row + m->kv_rank, (size_t)m->n_rot * sizeof *k);
            for (int i = 0; i < m->v_dim; i++) {
                double sum = 0;
                mn_to_f32(v_up.type, (const char *)v_up.data + (size_t)i * mn_tensor_row_bytes(&v_up), up, m->kv_rank);
                for (int r = 0; r < m->kv_rank; r++) sum += (double)up[r] * row[r];
                v[i] = (float)sum;
            }
        }
    }
    mn_attend dense = made.call;
    dense.q = a->q;
    dense.q_stride = a->q_stride;
    dense.blocks = a->blocks;
    dense.n_sinks = a->n_sinks;
    double *want = malloc((size_t)(a->n_rows * a->n_heads * m->v_dim) * sizeof *want);
    attend_oracle(&dense, want);
    for (int64_t i = 0; i < a->n_rows * a->n_heads * m->v_dim; i++) out[i] = (float)want[i];
    free(want);
    attend_case_free(&made);
}

static void expect_definition(const mn_attend *a, double limit, bool exact, const char *what) {
    float *want = malloc((size_t)(a->n_rows * a->n_heads * a->mla->v_dim) * sizeof *want);
    oracle(a, want);
    EACH_LEVEL(level) {
        float *got = run_call(a, mn_attention, level, 2, exact);
        double worst = difference(a, got, want);
        if (!(worst <= limit)) fail_msg("%s, %s: off by %g", what, mn_cpu_level_name((mn_cpu_level)level), worst);
        free(got);
    }
    free(want);
}

static void is_the_definition(void **state) {
    (void)state;
    static const mla_spec specs[] = {{2, 512, 128, 64, 128, MN_F32, MN_F32, 60, 30},
                                     {3, 40, 20, 6, 10, MN_Q8_0, MN_F32, 1300, 40}};
    for (int i = 0; i < 2; i++) {
        mla_case c = mla_create(&specs[i], 70);
        mn_attend a = call_of(&c);
        expect_definition(&a, 2e-6, true, "f32");
        mla_free(&c);
    }
}

/* Ordinary arithmetic rounds keys, values and queries to bf16 where the level multiplies so, and latents to 8 bits for
 * quantised weights: as far from the definition as the absorbed way is. */
static void ordinary_arithmetic_rounds_no_more(void **state) {
    (void)state;
    static const mn_dtype weights[] = {MN_F32, MN_BF16, MN_Q8_0, MN_Q4_K};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        if (!takes_case(i + 2, 4)) continue;
        mla_spec s = {2, 512, 256, 64, 128, MN_F16, weights[i], 1200, 40};
        mla_case c = mla_create(&s, 80 + i);
        mn_attend a = call_of(&c);
        float *want = malloc((size_t)(a.n_rows * a.n_heads * a.mla->v_dim) * sizeof *want);
        oracle(&a, want);
        EACH_LEVEL(level) {
            float *made = run_call(&a, mn_attention, level, 2, false),
                  *by_queries = run_call(&a, absorbed, level, 2, false);
            double off = difference(&a, made, want), absorbed_off = difference(&a, by_queries, want);
            if (!(off <= 3e-2 && off <= 2 * absorbed_off + 1e-5))
                fail_msg("%s %s: %g, absorbed %g", mn_cpu_level_name((mn_cpu_level)level),
                         mn_dtype_get(weights[i])->name, off, absorbed_off);
            free(made);
            free(by_queries);
        }
        free(want);
        mla_free(&c);
    }
}

static void masks_hold(void **state) {
    (void)state;
    mla_spec s = {2, 32, 16, 8, 16, MN_F32, MN_F32, 2600, 90};
    mla_case c = mla_create(&s, 5);
    mn_attend a = call_of(&c);
    a.window = 1200;
    expect_definition(&a, 2e-6, true, "window");
    a.window = 50;
    expect_definition(&a, 2e-6, true, "short window");
    a.n_sinks = 3;
    expect_definition(&a, 2e-6, true, "sinks");
    a.window = a.n_sinks = 0;
    int64_t offsets[] = {0, 2, 5, 5, 7}; /* two lists of two blocks of queries; in between, one that sees nothing */
    int32_t blocks[] = {0, 19, 3, 19, 20, 7, 20};
    mn_block_list lists = {.block_tokens = 128,
                           .first_query_block = 19,
                           .n_query_blocks = 2,
                           .n_lists = 2,
                           .offsets = offsets,
                           .blocks = blocks};
    a.blocks = &lists;
    expect_definition(&a, 2e-6, true, "lists for each head");
    lists.n_lists = 1;
    expect_definition(&a, 2e-6, true, "one list");
    mla_free(&c);
}

/* Keys that come in several calls, as they do from disk: the same bits. */
static mn_status in_waves(const mn_compute *c, const mn_attend *a, mn_error *err) {
    static const int64_t ends[] = {2048, 3072, 6144};
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_attend part = *a;
    part.sums = mn_attend_sums(c->scratch, a);
    for (int i = 0; i < 3; i++) {
        part.end_key = ends[i];
        MN_TRY(mn_attention(c, &part, err));
        part.first_key = ends[i];
    }
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

static void bits_depend_on_nothing_else(void **state) {
    (void)state;
    mla_spec s = {3, 64, 32, 16, 24, MN_F16, MN_Q8_0, 5000, 100};
    mla_case c = mla_create(&s, 6);
    mn_attend a = call_of(&c), few = a;
    size_t bytes = (size_t)(a.n_rows * a.n_heads * a.mla->v_dim) * sizeof(float);
    int64_t skip = 61;
    few.q += skip * few.q_stride;
    few.first_token += skip;
    few.n_rows -= skip;
    EACH_LEVEL(level)
    for (int exact = 0; exact < 2; exact++) {
        float *one = run_call(&a, mn_attention, level, 1, exact), *many = run_call(&a, mn_attention, level, 5, exact);
        float *waves = run_call(&a, in_waves, level, 2, exact), *rows = run_call(&few, mn_attention, level, 2, exact);
        assert_memory_equal(one, many, bytes);
        assert_memory_equal(one, waves, bytes);
        assert_memory_equal(one + skip * a.n_heads * a.mla->v_dim, rows, bytes / (size_t)a.n_rows * (size_t)few.n_rows);
        free(one);
        free(many);
        free(waves);
        free(rows);
    }
    mla_free(&c);
}

static bool pays(const mn_mla *m, int64_t n_rows, int64_t depth) {
    int64_t made = (int64_t)m->kv_rank * (m->n_nope + m->v_dim);
    int64_t pairs = n_rows * depth + n_rows * (n_rows + 1) / 2;
    int64_t by_keys = made * (depth + n_rows) + pairs * (m->n_nope + m->n_rot + m->v_dim);
    int64_t by_queries = made * n_rows + pairs * (2 * m->kv_rank + m->n_rot);
    return n_rows >= MN_FLASH_MIN_ROWS && by_keys < by_queries;
}

/* The bound is where counting all products changes its mind. */
static void the_cheaper_way_is_taken(void **state) {
    (void)state;
    static const mn_mla shapes[] = {{.kv_rank = 512, .n_nope = 128, .n_rot = 64, .v_dim = 128},
                                    {.kv_rank = 64, .n_nope = 32, .n_rot = 16, .v_dim = 24},
                                    {.kv_rank = 32, .n_nope = 64, .n_rot = 16, .v_dim = 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int64_t n_rows = 1; n_rows < 300; n_rows++) {
            int64_t deepest = mn_mla_deepest(&shapes[i], n_rows);
            for (int64_t depth = 0; depth < 40000; depth = depth + 1 + depth / 9)
                assert_int_equal(pays(&shapes[i], n_rows, depth), depth <= deepest);
            if (deepest >= 0 && deepest < INT64_MAX) {
                assert_true(pays(&shapes[i], n_rows, deepest));
                assert_false(pays(&shapes[i], n_rows, deepest + 1));
            }
        }
    assert_int_equal(mn_mla_deepest(&shapes[0], 170), 21802);
    assert_int_equal(mn_mla_deepest(&shapes[0], 171), INT64_MAX);
    assert_int_equal(mn_mla_deepest(&shapes[2], 299), -1);
    mn_mla wide = {.kv_rank = 960, .n_nope = 1000, .n_rot = 64, .v_dim = 128};
    assert_int_equal(mn_mla_deepest(&wide, 512), -1); /* no kernel takes heads of 1064 */
}

static void errors_name_the_row(void **state) {
    (void)state;
    mla_spec s = {2, 32, 16, 8, 16, MN_F32, MN_F32, 20, 20};
    mla_case c = mla_create(&s, 5);
    mn_attend a = call_of(&c);
    mn_error err;
    mn_compute compute = {.kernels = mn_kernels_get(0)};
    a.kv.k_dim = 41;
    assert_int_equal(mn_attention(&compute, &a, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "one row of 40 elements"));
    mla_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_absorbed),
        cmocka_unit_test(every_depth_and_chunk),
        cmocka_unit_test(is_the_definition),
        cmocka_unit_test(ordinary_arithmetic_rounds_no_more),
        cmocka_unit_test(masks_hold),
        cmocka_unit_test(bits_depend_on_nothing_else),
        cmocka_unit_test(the_cheaper_way_is_taken),
        cmocka_unit_test(errors_name_the_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
