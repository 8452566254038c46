/* attention/flash: tiles against a dense softmax in double precision, and the equalities that tiling must keep. */
#include "support/attend_case.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/kernels.h"
#include "tensor/half.h"

static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0};
enum { N_TYPES = 5 };

static void expect(const attend_spec *spec, int level, bool exact, double limit) {
    double error = attend_check(spec, 42, mn_flash, level, exact);
    if (!(error <= limit))
        fail_msg("%s %s: %s/%s dims %d/%d tokens %lld rows %lld: error %g > %g", mn_cpu_level_name((mn_cpu_level)level),
                 exact ? "exact" : "fast", mn_dtype_get(spec->k_type)->name, mn_dtype_get(spec->v_type)->name,
                 spec->k_dim, spec->v_dim, (long long)spec->n_tokens, (long long)spec->n_rows, error, limit);
}

static void every_type(void **state) {
    (void)state;
    EACH_LEVEL(level)
    for (int k = 0; k < N_TYPES; k++)
        for (int v = 0; v < N_TYPES; v++)
            if (takes_case((size_t)(k + v), 4))
                expect(&(attend_spec){types[k], types[v], 2, 2, 64, 64, 150, 120, 30, .window = 0}, level, true, 1e-6);
}

static void every_geometry(void **state) {
    (void)state;
    static const int dims[][2] = {{16, 16},   {32, 32},   {48, 48},   {64, 64},   {80, 80}, {96, 96},
                                  {128, 128}, {192, 128}, {256, 256}, {576, 512}, {20, 36}};
    EACH_LEVEL(level)
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int group = 1; group <= 7; group += 3)
            if (takes_case(i, 5))
                expect(&(attend_spec){MN_F16, MN_F32, 1, group, dims[i][0], dims[i][1], 100, 70, 30, .window = 0},
                       level, true, 1e-6);
}

static void masks_and_biases(void **state) {
    (void)state;
    EACH_LEVEL(level) {
        expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 64, 64, 2300, 2200, 100, .window = 1100}, level, true, 1e-6);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 64, 64, 300, 0, 300, .window = 17}, level, true, 1e-6);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 64, 64, 300, 0, 300, .segment = 48}, level, true, 1e-6);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 64, 64, 300, 100, 200, .softcap = 2}, level, true, 1e-6);
        expect(&(attend_spec){MN_F32, MN_F32, 2, 4, 64, 64, 300, 100, 200, .slopes = true}, level, true, 1e-6);
        /* A score's rounding shifts all weights against the sink's, whose score is exact. */
        expect(&(attend_spec){MN_F32, MN_F32, 2, 5, 64, 64, 2300, 2200, 100, .sinks = true}, level, true, 2e-6);
        expect(&(attend_spec){MN_F32, MN_F32, 2, 5, 64, 64, 300, 0, 300, .window = 17, .sinks = true}, level, true,
               2e-6);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 16, 576, 512, 130, 110, 20, .shared_values = true}, level, true, 1e-6);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 1, 64, 64, 100, 90, 30, .window = 0}, level, true, 1e-6);
    }
}

static void every_length(void **state) {
    (void)state;
    EACH_LEVEL(level)
    for (int n = 1; n <= 135; n += n < 20 || n > 60 ? 1 : 9)
        if (takes_case((size_t)n, 4))
            expect(&(attend_spec){MN_F32, MN_BF16, 1, 1, 16, 16, n, 0, n, .window = 0}, level, true, 1e-6);
}

/* FlashAttention-3's test of large entries: scores reach the hundreds, and float's own rounding with them. */
static void outliers(void **state) {
    (void)state;
    EACH_LEVEL(level)
    expect(&(attend_spec){MN_F32, MN_F32, 2, 1, 64, 64, 1500, 1400, 100, .outliers = true}, level, true, 1e-5);
}

/* Of all rows together. */
static double total_error(const mn_attend *a, const double *want) {
    double norm = 0, error = 0;
    int64_t row = a->n_heads * a->kv.v_dim;
    for (int64_t i = 0; i < a->n_rows * row; i++) {
        double difference = (double)a->out[i / row * a->out_stride + i % row] - want[i];
        norm += want[i] * want[i];
        error += difference * difference;
    }
    return sqrt(error / norm);
}

/* Queries, keys and values that are bf16 already leave only the weights to be rounded. */
static void bf16_operands(void **state) {
    (void)state;
    EACH_LEVEL(level)
    for (int dim = 64; dim <= 128; dim *= 2) {
        if (!takes_case((size_t)dim / 64, 2)) continue;
        attend_spec spec = {MN_BF16, MN_BF16, 2, 3, dim, dim, 1700, 1600, 100, .window = 0};
        attend_case c = attend_case_create(&spec, 5);
        for (int64_t i = 0; i < spec.n_rows * c.call.q_stride; i++) c.q[i] = mn_bf16_to_f32(mn_bf16_from_f32(c.q[i]));
        double *want = malloc((size_t)(spec.n_rows * c.call.n_heads * dim) * sizeof *want);
        attend_oracle(&c.call, want);
        attend_run(&c.call, mn_flash, level, 2, false);
        assert_true(attend_error(&c.call, want) <= 4e-3);
        assert_true(total_error(&c.call, want) <= 2e-3);
        free(want);
        attend_case_free(&c);
    }
}

/* Scores that climb by 2^10 in weight every 16 tokens: the maximum is raised again and again, in the middle of what a
 * level takes at a time. */
static void climbing_scores(void **state) {
    (void)state;
    attend_spec spec = {MN_BF16, MN_BF16, 1, 3, 64, 64, 700, 600, 100, .window = 0};
    attend_case c = attend_case_create(&spec, 5);
    for (int64_t t = 0; t < spec.n_tokens; t++) {
        uint16_t *k = (uint16_t *)(void *)((char *)c.pages[t / MN_PAGE_TOKENS] +
                                           (size_t)(t % MN_PAGE_TOKENS) * c.call.kv.k_row_bytes);
        k[0] = mn_bf16_from_f32((float)(t / 16 % 23) * 6);
    }
    for (int64_t i = 0; i < spec.n_rows * c.call.q_stride; i++) c.q[i] = mn_bf16_to_f32(mn_bf16_from_f32(c.q[i] / 4));
    for (int64_t r = 0; r < spec.n_rows; r++)
        for (int h = 0; h < 3; h++) c.q[r * c.call.q_stride + h * spec.k_dim] = (float)(10 * h);
    double *want = malloc((size_t)(spec.n_rows * c.call.n_heads * 64) * sizeof *want);
    attend_oracle(&c.call, want);
    EACH_LEVEL(level) {
        attend_run(&c.call, mn_flash, level, 2, false);
        assert_true(attend_error(&c.call, want) <= 4e-3);
        assert_true(total_error(&c.call, want) <= 2e-3);
    }
    free(want);
    attend_case_free(&c);
}

static void assert_same_rows(const mn_attend *a, const mn_attend *b, int64_t rows) {
    for (int64_t r = 0; r < rows; r++)
        assert_memory_equal(a->out + r * a->out_stride, b->out + r * b->out_stride,
                            (size_t)(a->n_heads * a->kv.v_dim) * sizeof *a->out);
}

/* All rows at once, and some at a time with no more keys than they need. */
static void expect_chunks_equal(const attend_spec *spec, attend_fn *fn, bool exact, const int *chunks,
                                size_t n_chunks) {
    attend_case whole = attend_case_create(spec, 1), parts = attend_case_create(spec, 1);
    EACH_LEVEL(level) {
        attend_run(&whole.call, fn, level, 2, exact);
        for (size_t i = 0; i < n_chunks; i++) {
            if (!takes_case(i + 1, 4)) continue;
            memset(parts.out, 0, (size_t)(spec->n_rows * parts.call.out_stride) * sizeof *parts.out);
            for (int64_t r = 0; r < spec->n_rows; r += chunks[i]) {
                mn_attend part = parts.call;
                part.q += r * part.q_stride;
                part.out += r * part.out_stride;
                part.first_token += r;
                part.n_rows = MN_MIN((int64_t)chunks[i], spec->n_rows - r);
                part.kv.n_tokens = part.first_token + part.n_rows;
                attend_run(&part, fn, level, 1, exact);
            }
            assert_same_rows(&whole.call, &parts.call, spec->n_rows);
        }
    }
    attend_case_free(&whole);
    attend_case_free(&parts);
}

static void chunks_equal_one_shot(void **state) {
    (void)state;
    static const int chunks[] = {1, 7, 64, 100};
    attend_spec spec = {MN_F16, MN_Q8_0, 2, 3, 64, 48, 1300, 1000, 300, .window = 600};
    expect_chunks_equal(&spec, mn_attention, true, chunks, sizeof chunks / sizeof *chunks);
}

/* In fast mode as well, as long as rows are packed: other rows, other tiles at a time, the same bits. */
static void fast_chunks_equal_one_shot(void **state) {
    (void)state;
    static const int chunks[] = {3, 16, 37, 100};
    attend_spec spec = {MN_F16, MN_F16, 2, 3, 64, 48, 1300, 1000, 300, .window = 600, .outliers = true};
    expect_chunks_equal(&spec, mn_flash, false, chunks, sizeof chunks / sizeof *chunks);
}

static void threads_change_nothing(void **state) {
    (void)state;
    attend_spec spec = {MN_F16, MN_F16, 3, 2, 64, 64, 1300, 1100, 200, .window = 0};
    attend_case one = attend_case_create(&spec, 1), many = attend_case_create(&spec, 1);
    EACH_LEVEL(level)
    for (int exact = 0; exact < 2; exact++) {
        attend_run(&one.call, mn_flash, level, 1, exact);
        for (int n = 2; n <= 5; n++) {
            if (!takes_case((size_t)n, 4)) continue;
            attend_run(&many.call, mn_flash, level, n, exact);
            assert_same_rows(&one.call, &many.call, spec.n_rows);
        }
    }
    attend_case_free(&one);
    attend_case_free(&many);
}

/* How large a cache is decides how many rows share a tile, and no bit. */
static void caches_change_nothing(void **state) {
    (void)state;
    attend_spec spec = {MN_F16, MN_F16, 3, 2, 64, 64, 700, 500, 200, .window = 0};
    attend_case usual = attend_case_create(&spec, 1), small = attend_case_create(&spec, 1);
    EACH_LEVEL(level) {
        mn_kernels kernels = *mn_kernels_get((mn_cpu_level)level);
        mn_arena scratch = MN_ARENA_INIT;
        mn_compute c = {.kernels = &kernels, .scratch = &scratch};
        mn_error err;
        attend_run(&usual.call, mn_flash, level, 1, false);
        for (kernels.l2_bytes = 1 << 14; kernels.l2_bytes <= 1 << 22; kernels.l2_bytes *= 4) {
            assert_ok(mn_flash(&c, &small.call, &err), err);
            assert_same_rows(&usual.call, &small.call, spec.n_rows);
        }
        mn_arena_release(&scratch);
    }
    attend_case_free(&usual);
    attend_case_free(&small);
}

static void later_keys_change_nothing(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 1, 2, 64, 64, 200, 0, 200, .window = 0};
    attend_case before = attend_case_create(&spec, 1), after = attend_case_create(&spec, 1);
    for (int64_t t = 97; t < spec.n_tokens; t++)
        for (int i = 0; i < 2; i++) {
            char *page = after.pages[i * after.n_pages + t / MN_PAGE_TOKENS];
            memset(page + (size_t)(t % MN_PAGE_TOKENS) * after.call.kv.k_row_bytes, 0x41, after.call.kv.k_row_bytes);
        }
    EACH_LEVEL(level)
    for (int exact = 0; exact < 2; exact++) {
        attend_run(&before.call, mn_flash, level, 1, exact);
        attend_run(&after.call, mn_flash, level, 1, exact);
        assert_same_rows(&before.call, &after.call, 97);
    }
    attend_case_free(&before);
    attend_case_free(&after);
}

/* Lists for n_lists heads over all query blocks of the call; keep(list, query block, key block) chooses. */
typedef struct lists {
    mn_block_list list;
    int64_t offsets[2 * 128 + 1];
    int32_t blocks[2 * 128 * 128];
} lists;

static bool keep_all(int list, int64_t query, int64_t key) { return list >= 0 && key <= query; }
static bool keep_some(int list, int64_t query, int64_t key) { return (query * 7 + key * 5 + list * 3) % 4 == 0; }
static bool keep_last(int list, int64_t query, int64_t key) { return list == 0 && key == query; }

static lists *make_lists(const attend_spec *spec, int block_tokens, int n_lists, bool (*keep)(int, int64_t, int64_t)) {
    lists *l = calloc(1, sizeof *l);
    int64_t first = spec->first_token / block_tokens, end = (spec->first_token + spec->n_rows - 1) / block_tokens + 1,
            n = 0;
    l->list = (mn_block_list){block_tokens, first, end - first, n_lists, l->offsets, l->blocks, 0, false};
    for (int i = 0; i < n_lists; i++)
        for (int64_t query = first; query < end; query++) {
            for (int64_t key = 0; key <= query; key++)
                if (keep(i, query, key)) l->blocks[n++] = (int32_t)key;
            l->offsets[i * (end - first) + query - first + 1] = n;
        }
    return l;
}

static void all_blocks_equal_none(void **state) {
    (void)state;
    attend_spec spec = {MN_F16, MN_F16, 2, 2, 64, 64, 1300, 1200, 100, .window = 0};
    attend_case full = attend_case_create(&spec, 1), listed = attend_case_create(&spec, 1);
    EACH_LEVEL(level)
    for (int block = 16; block <= 256; block *= 2) {
        if (!takes_case((size_t)block / 16, 16)) continue;
        lists *l = make_lists(&spec, block, 1, keep_all);
        listed.call.blocks = &l->list;
        for (int exact = 0; exact < 2; exact++) {
            attend_run(&full.call, mn_flash, level, 2, exact);
            attend_run(&listed.call, mn_flash, level, 2, exact);
            assert_same_rows(&full.call, &listed.call, spec.n_rows);
        }
        free(l);
    }
    attend_case_free(&full);
    attend_case_free(&listed);
}

/* keep_last leaves the rows of the second list without any key. */
static void listed_blocks(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 2, 2, 32, 32, 400, 300, 100, .window = 0};
    attend_case c = attend_case_create(&spec, 1);
    double *want = malloc((size_t)(spec.n_rows * c.call.n_heads * spec.v_dim) * sizeof *want);
    EACH_LEVEL(level)
    for (int block = 16; block <= 128; block *= 2)
        for (int pattern = 0; pattern < 2; pattern++) {
            lists *l = make_lists(&spec, block, 2, pattern ? keep_last : keep_some);
            c.call.blocks = &l->list;
            attend_oracle(&c.call, want);
            attend_run(&c.call, mn_flash, level, 1, true);
            assert_true(attend_error(&c.call, want) <= 1e-6);
            attend_run(&c.call, attend_decode, level, 1, true);
            assert_true(attend_error(&c.call, want) <= 1e-6);
            free(l);
        }
    free(want);
    attend_case_free(&c);
}

static void refuses(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 2, 2, 16, 16, 40, 20, 20, .window = 0};
    attend_case c = attend_case_create(&spec, 1);
    lists *l = make_lists(&spec, 16, 1, keep_all);
    mn_error err;
    mn_attend bad = c.call;
    bad.n_heads = 3;
    assert_int_equal(mn_attend_check(&bad, &err), MN_ERR_ARGUMENT);
    bad = c.call;
    bad.kv.k_dim = MN_ATTEND_MAX_DIM + 1;
    assert_int_equal(mn_attend_check(&bad, &err), MN_ERR_UNSUPPORTED);
    bad = c.call;
    bad.kv.v_type = MN_Q6_K;
    assert_int_equal(mn_attend_check(&bad, &err), MN_ERR_UNSUPPORTED);
    bad = c.call;
    bad.blocks = &l->list;
    bad.first_token = 0;
    assert_int_equal(mn_attend_check(&bad, &err), MN_ERR_ARGUMENT);
    l->list.block_tokens = 24;
    bad.first_token = c.call.first_token;
    assert_int_equal(mn_attend_check(&bad, &err), MN_ERR_ARGUMENT);
    free(l);
    attend_case_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(every_geometry),
        cmocka_unit_test(masks_and_biases),
        cmocka_unit_test(every_length),
        cmocka_unit_test(outliers),
        cmocka_unit_test(bf16_operands),
        cmocka_unit_test(climbing_scores),
        cmocka_unit_test(chunks_equal_one_shot),
        cmocka_unit_test(fast_chunks_equal_one_shot),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(caches_change_nothing),
        cmocka_unit_test(later_keys_change_nothing),
        cmocka_unit_test(all_blocks_equal_none),
        cmocka_unit_test(listed_blocks),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
