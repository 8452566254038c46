/* attention/decode: split keys against a dense softmax in double precision; splits, batches and threads change nothing.
 */
#include "support/attend_case.h"
#include "support/levels.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0};
enum { N_TYPES = 5 };

static bool quantised(mn_dtype type) { return mn_dtype_get(type)->quantised; }

/* Quantised rows are dotted as bytes, with queries and weights rounded to 16 bits, but in AVX-512 without VNNI. */
static double limit_of(const attend_spec *spec, int level, bool exact) {
    bool in_bytes = level >= MN_CPU_AVX2 && level != MN_CPU_AVX512 && !exact;
    return in_bytes && (quantised(spec->k_type) || quantised(spec->v_type)) ? 1e-4 : 1e-6;
}

static void expect(const attend_spec *spec, int level, bool exact) {
    double error = attend_check(spec, 3, attend_decode, level, exact);
    if (!(error <= limit_of(spec, level, exact)))
        fail_msg("%s %s: %s/%s group %d dims %d/%d tokens %lld: error %g", mn_cpu_level_name((mn_cpu_level)level),
                 exact ? "exact" : "fast", mn_dtype_get(spec->k_type)->name, mn_dtype_get(spec->v_type)->name,
                 spec->group, spec->k_dim, spec->v_dim, (long long)spec->n_tokens, error);
}

/* Few rows of a KV head are computed straight from the cache, in f32 on every level. */
static void every_type(void **state) {
    (void)state;
    EACH_LEVEL(level)
    for (int k = 0; k < N_TYPES; k++)
        for (int v = 0; v < N_TYPES; v++)
            for (int exact = 0; takes_case((size_t)(k + v), 4) && exact < 2; exact++)
                expect(&(attend_spec){types[k], types[v], 2, 2, 64, 96, 1100, 1099, 1, .window = 0}, level, exact);
}

static void every_group_and_dim(void **state) {
    (void)state;
    static const int dims[] = {16, 32, 48, 64, 80, 96, 128, 192, 256};
    EACH_LEVEL(level)
    for (int group = 1; group <= 8; group++)
        for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
            if (!takes_case(i + (size_t)group, 4)) continue;
            attend_spec spec = {MN_F16, MN_BF16, 1, group, dims[i], dims[8 - i], 200, 199, 1, .window = 0};
            expect(&spec, level, true);
            expect(&spec, level, false);
            spec.k_type = MN_Q8_0;
            spec.v_type = MN_Q4_0;
            expect(&spec, level, false);
            spec.k_type = MN_Q4_0;
            spec.v_type = MN_Q8_0;
            expect(&spec, level, false);
        }
}

static void every_length(void **state) {
    (void)state;
    EACH_LEVEL(level)
    for (int n = 1; n <= 2100; n += n < 140 || (n > 1020 && n < 1030) ? 1 : 37)
        if (takes_case((size_t)n, 5))
            expect(&(attend_spec){MN_F16, MN_F16, 1, 2, 32, 32, n, n - 1, 1, .window = 0}, level, false);
}

static void masks_and_biases(void **state) {
    (void)state;
    EACH_LEVEL(level)
    for (int exact = 0; exact < 2; exact++) {
        expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 64, 64, 3000, 2997, 3, .window = 1500}, level, exact);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 64, 64, 3000, 2998, 2, .segment = 1010}, level, exact);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 3, 64, 64, 1500, 1499, 1, .softcap = 2}, level, exact);
        expect(&(attend_spec){MN_F32, MN_F32, 2, 4, 64, 64, 1500, 1499, 1, .slopes = true}, level, exact);
        expect(&(attend_spec){MN_F32, MN_F32, 2, 5, 64, 64, 1500, 1499, 1, .sinks = true}, level, exact);
        expect(&(attend_spec){MN_F32, MN_F32, 1, 5, 64, 64, 3000, 2997, 3, .window = 9, .sinks = true}, level, exact);
    }
    EACH_LEVEL(level)
    expect(&(attend_spec){MN_F32, MN_F32, 1, 16, 576, 512, 1100, 1099, 1, .shared_values = true}, level, true);
}

/* Absorbed latents have as many rows as the model has heads; AVX2 takes 48 straight from the cache. */
static void many_rows(void **state) {
    (void)state;
    for (int group = 16; group <= 48; group += 16)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            if (!takes_case(i + (size_t)group / 16, 5)) continue;
            attend_spec spec = {types[i], types[i], 1, group, 576, 512, 300, 299, 1, .shared_values = true};
            if (covers_level(MN_CPU_GENERIC)) expect(&spec, MN_CPU_GENERIC, true);
            if (covers_level(MN_CPU_AVX2)) expect(&spec, MN_CPU_AVX2, false);
        }
    attend_spec spec = {MN_F16, MN_F16, 1, 7, 64, 64, 300, 293, 7, .window = 0};
    if (covers_level(MN_CPU_AVX2)) expect(&spec, MN_CPU_AVX2, false);
}

static void batches_and_threads_change_nothing(void **state) {
    (void)state;
    enum { N = 4 };
    static const int64_t lengths[N] = {1, 700, 2500, 1024};
    attend_case alone[N], together[N];
    mn_attend batch[N];
    mn_error err;
    for (int i = 0; i < N; i++) {
        attend_spec spec = {MN_F16, MN_Q8_0, 1 + i, 2, 64, 64, lengths[i], lengths[i] - 1, 1, .window = 0};
        alone[i] = attend_case_create(&spec, (uint64_t)i);
        together[i] = attend_case_create(&spec, (uint64_t)i);
        batch[i] = together[i].call;
    }
    EACH_LEVEL(level)
    for (int threads = 1; threads <= 4; threads++)
        for (int exact = 0; exact < 2; exact++) {
            if (!takes_case((size_t)threads, 2)) continue;
            mn_pool *pool;
            mn_arena scratch = MN_ARENA_INIT;
            assert_ok(mn_pool_create(threads, &pool, &err), err);
            mn_compute compute = {mn_kernels_get((mn_cpu_level)level), pool, &scratch, exact, NULL};
            assert_ok(mn_decode(&compute, batch, N, &err), err);
            size_t held = scratch.held_bytes;
            assert_ok(mn_decode(&compute, batch, N, &err), err);
            assert_int_equal(scratch.held_bytes, held); /* warmed up: nothing more is taken */
            for (int i = 0; i < N; i++) {
                attend_run(&alone[i].call, attend_decode, level, 1, exact);
                assert_memory_equal(alone[i].out, together[i].out,
                                    (size_t)(alone[i].call.n_heads * 64) * sizeof(float));
            }
            mn_pool_destroy(pool);
            mn_arena_release(&scratch);
        }
    for (int i = 0; i < N; i++) {
        attend_case_free(&alone[i]);
        attend_case_free(&together[i]);
    }
}

/* Pages that were dropped are not read; what they held is not seen. */
static void dropped_pages(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 1, 2, 32, 32, 1000, 999, 1, .window = 0};
    attend_case c = attend_case_create(&spec, 1);
    double want[2 * 32];
    for (int page = 1; page < 7; page += 2) {
        free(c.pages[page]);
        c.pages[page] = NULL;
    }
    attend_oracle(&c.call, want);
    EACH_LEVEL(level) {
        attend_run(&c.call, attend_decode, level, 2, true);
        assert_true(attend_error(&c.call, want) <= 1e-6);
    }
    attend_case_free(&c);
}

/* Lists of small blocks, each listed by one chance in `every`, the query's own always; every 1: all of them. */
static mn_block_list list_blocks(const mn_attend *a, int block_tokens, int n_lists, uint32_t every, int64_t *offsets,
                                 int32_t *blocks) {
    int64_t own = (a->kv.n_tokens - 1) / block_tokens, first = a->first_token / block_tokens,
            n_queries = own - first + 1;
    uint32_t x = 3;
    offsets[0] = 0;
    for (int64_t list = 0; list < n_lists * n_queries; list++) {
        int64_t n = offsets[list];
        for (int64_t block = 0; block <= first + list % n_queries; block++) {
            x = x * 1664525 + 1013904223;
            if ((x >> 16) % every == 0 || block == first + list % n_queries) blocks[n++] = (int32_t)block;
        }
        offsets[list + 1] = n;
    }
    return (mn_block_list){.block_tokens = block_tokens,
                           .first_query_block = first,
                           .n_query_blocks = n_queries,
                           .n_lists = n_lists,
                           .offsets = offsets,
                           .blocks = blocks};
}

/* Keys of blocks that are smaller than a tile are put together: as the definition says; and where all are listed, to
 * the bit what no list gives. */
static void small_blocks_are_put_together(void **state) {
    (void)state;
    static int64_t offsets[64];
    static int32_t blocks[1 << 14];
    static float whole[3 * 4 * 64];
    static const mn_dtype kinds[] = {MN_F16, MN_F32, MN_Q8_0, MN_Q4_0};
    for (int i = 0; i < 4 * 2 * 2 * 3; i++) {
        if (!takes_case((size_t)i, 5)) continue; /* each type and each of the other choices among them */
        int block_tokens = i / 4 % 2 ? 32 : 16, n_rows = i / 8 % 2 ? 3 : 1;
        attend_spec spec = {kinds[i % 4], kinds[i % 4], 2, 2, 64, 64, 2205, 2205 - n_rows, n_rows, .window = 0};
        if (i / 16 == 2) spec.window = 1300;
        attend_case c = attend_case_create(&spec, (uint64_t)i);
        double want[3 * 4 * 64];
        mn_block_list lists;
        EACH_LEVEL(level) {
            c.call.blocks = NULL;
            attend_run(&c.call, attend_decode, level, 1, false);
            memcpy(whole, c.out, (size_t)(n_rows * 4 * 64) * sizeof *whole);
            lists = list_blocks(&c.call, block_tokens, 4, 1, offsets, blocks);
            c.call.blocks = &lists;
            attend_run(&c.call, attend_decode, level, 2, false);
            if (!spec.window) assert_memory_equal(whole, c.out, (size_t)(n_rows * 4 * 64) * sizeof *whole);
            lists = list_blocks(&c.call, block_tokens, i / 16 ? 4 : 1, 9, offsets, blocks);
            attend_oracle(&c.call, want);
            attend_run(&c.call, attend_decode, level, 1, false);
            memcpy(whole, c.out, (size_t)(n_rows * 4 * 64) * sizeof *whole);
            assert_true(attend_error(&c.call, want) <= (n_rows > 1 ? 1e-2 : i % 4 < 2 ? 2e-6 : 2e-4));
            attend_run(&c.call, attend_decode, level, 3, false);
            assert_memory_equal(whole, c.out, (size_t)(n_rows * 4 * 64) * sizeof *whole);
        }
        attend_case_free(&c);
    }
}

/* Each head of a decoded row walks a list of its own: as the definition says, to the bit what no list gives where all
 * is listed, whatever the other heads' lists and the number of threads. */
static void heads_walk_their_lists(void **state) {
    (void)state;
    enum { N_HEADS = 4, N_TOKENS = 4205, ROW = N_HEADS * 64 };
    static int64_t offsets[N_HEADS + 1];
    static int32_t blocks[N_HEADS * (N_TOKENS / 16 + 1)];
    static const mn_dtype kinds[] = {MN_F16, MN_F32, MN_Q8_0, MN_Q4_0};
    static const int sizes[] = {16, 32, 64, 256, 2048};
    static float whole[ROW];
    for (int i = 0; i < 4 * 5; i++) {
        if (!takes_case((size_t)i, 3)) continue;
        mn_dtype type = kinds[i % 4];
        attend_spec spec = {type, type, 2, 2, 64, 64, N_TOKENS, N_TOKENS - 1, 1, .window = 0};
        attend_case c = attend_case_create(&spec, (uint64_t)i);
        double want[ROW];
        mn_block_list lists;
        EACH_LEVEL(level) {
            c.call.blocks = NULL;
            attend_run(&c.call, attend_decode, level, 1, false);
            memcpy(whole, c.out, sizeof whole);
            c.call.blocks = &lists;
            lists = list_blocks(&c.call, sizes[i / 4], N_HEADS, 1, offsets, blocks);
            lists.by_content = true;
            attend_run(&c.call, attend_decode, level, 2, false);
            assert_memory_equal(whole, c.out, sizeof whole);
            lists = list_blocks(&c.call, sizes[i / 4], N_HEADS, 3, offsets, blocks);
            lists.by_content = true;
            attend_oracle(&c.call, want);
            attend_run(&c.call, attend_decode, level, 1, false);
            memcpy(whole, c.out, sizeof whole);
            assert_true(attend_error(&c.call, want) <= (i % 4 < 2 ? 2e-6 : 2e-4));
            offsets[0] = offsets[1] - 1; /* the first head sees its own block alone */
            attend_run(&c.call, attend_decode, level, 3, false);
            assert_memory_equal(whole + 64, c.out + 64, sizeof whole - 64 * sizeof *whole);
        }
        attend_case_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(every_group_and_dim),
        cmocka_unit_test(every_length),
        cmocka_unit_test(masks_and_biases),
        cmocka_unit_test(many_rows),
        cmocka_unit_test(batches_and_threads_change_nothing),
        cmocka_unit_test(dropped_pages),
        cmocka_unit_test(small_blocks_are_put_together),
        cmocka_unit_test(heads_walk_their_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
