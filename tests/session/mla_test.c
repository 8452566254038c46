/* DeepSeek models in ordinary arithmetic, where a prompt's keys and values are materialised: against reference logits
 * and against the absorbed way; which of the two a session takes; and the scratch that the plan counts for both. */
#include "support/golden.h"
#include "support/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "attention/flash.h"
#include "attention/mla.h"
#include "session/session.h"

static const char *const models[] = {"golden/tiny-deepseek2", "golden/tiny-deepseek3"};
enum { N_MODELS = sizeof models / sizeof *models };

typedef struct way {
    bool exact;
    int32_t n_batch; /* below MN_FLASH_MIN_ROWS: absorbed; 0: the whole text at once */
    const char *attn, *cache;
} way;

static float *compute(const golden *g, way w) {
    return golden_compute(
        g, &(mn_engine_params){.n_threads = 2, .exact = w.exact},
        (mn_session_params){.n_batch = w.n_batch, .type_k = w.cache, .type_v = w.cache, .attn = w.attn});
}

static void each_model(golden_check *check) { golden_each(models, N_MODELS, data_path, check); }

static bool same(const golden *g, const float *a, const float *b) {
    return memcmp(a, b, (size_t)(g->n_rows * g->n_vocab) * sizeof *a) == 0;
}

/* These levels multiply in f32 for f32 weights, in ordinary arithmetic too: what is left is the way. */
static void check_f32(const golden *g, const char *name, int level) {
    if (level >= MN_CPU_AVX512BF16) return;
    assert_true(g->n_tokens >= 20);
    float *absorbed = compute(g, (way){.exact = true, .cache = "f32"});
    float *made = compute(g, (way){.cache = "f32"}), *in_parts = compute(g, (way){.n_batch = 17, .cache = "f32"});
    golden_compare(g, made, 1e-3, name);
    golden_compare(g, in_parts, 1e-3, name);
    assert_false(same(g, made, absorbed)); /* or the keys were not made */
    float *exact_parts = compute(g, (way){.exact = true, .n_batch = 17, .cache = "f32"});
    float *patterned = compute(g, (way){.attn = "window:100000", .cache = "f32"});
    assert_true(same(g, exact_parts, absorbed));
    assert_true(same(g, patterned, absorbed)); /* a pattern keeps a session absorbed */
    free(absorbed);
    free(made);
    free(in_parts);
    free(exact_parts);
    free(patterned);
}

static void materialised_meets_the_reference(void **state) {
    (void)state;
    each_model(check_f32);
}

/* The largest difference of two logits, as a share of the deviation. */
static double apart(const golden *g, const float *a, const float *b) {
    double worst = 0;
    for (int64_t i = 0; i < g->n_rows * g->n_vocab; i++) worst = fmax(worst, fabs((double)a[i] - b[i]));
    return worst / g->std;
}

/* Both ways read the same cached rows; a difference in the last bit may fall on the other side when the next layer's
 * rows are rounded to the cache's type. */
static void check_caches(const golden *g, const char *name, int level) {
    if (level >= MN_CPU_AVX512BF16) return;
    static const struct {
        const char *cache;
        double share;
    } ways[] = {{"f32", 2e-5}, {"f16", 1e-3}, {"q8_0", 3e-3}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        float *made = compute(g, (way){.cache = ways[i].cache}),
              *absorbed = compute(g, (way){.exact = true, .cache = ways[i].cache});
        double worst = apart(g, made, absorbed);
        if (!(worst <= ways[i].share))
            fail_msg("%s, cache %s: ways are %g of the deviation apart", name, ways[i].cache, worst);
        free(made);
        free(absorbed);
    }
}

static void every_cache_meets_the_absorbed_way(void **state) {
    (void)state;
    each_model(check_caches);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median over the rows of their root mean square difference, as a share of the deviation. A row in which rounding
 * made the router choose another expert is far off whichever way attention went, and so no measure of the way. */
static double typical(const golden *g, const float *a, const float *b) {
    double rows[64];
    assert_in_range(g->n_rows, 4, 64);
    for (int64_t r = 0; r < g->n_rows; r++) {
        double squares = 0;
        for (int64_t i = r * g->n_vocab; i < (r + 1) * g->n_vocab; i++)
            squares += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        rows[r] = sqrt(squares / (double)g->n_vocab) / g->std;
    }
    qsort(rows, (size_t)g->n_rows, sizeof *rows, by_size);
    return rows[g->n_rows / 2];
}

/* With bf16 products, which bf16 weights have, both ways are as far from f32. */
static void check_bf16(const golden *f32, const char *name, int level) {
    if (level < MN_CPU_AVX512BF16) return;
    golden bf16 = golden_convert(f32, MN_BF16), *g = &bf16;
    static const char *const caches[] = {"f32", "f16", "q8_0"};
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) {
        float *want = compute(g, (way){.exact = true, .cache = caches[i]}),
              *made = compute(g, (way){.cache = caches[i]});
        float *absorbed = compute(g, (way){.n_batch = MN_FLASH_MIN_ROWS - 1, .cache = caches[i]});
        double off = typical(g, made, want), absorbed_off = typical(g, absorbed, want);
        if (!(off <= 3e-2 && off <= 2 * absorbed_off))
            fail_msg("%s, cache %s: off by %g, absorbed %g", name, caches[i], off, absorbed_off);
        free(want);
        free(made);
        free(absorbed);
    }
    unlink(bf16.model_path);
}

static void bf16_rounds_both_ways_alike(void **state) {
    (void)state;
    each_model(check_bf16);
}

/* Bytes of scratch that attention of n_rows after depth takes on this pool. */
static size_t scratch_of(const mn_session *s, mn_pool *pool, mn_sequence t, int64_t depth, int64_t n_rows) {
    const mn_config *c = &s->engine->model.config;
    mn_arena arena = MN_ARENA_INIT;
    mn_compute compute = s->engine->compute;
    mn_error err;
    compute.scratch = &arena;
    compute.pool = pool;
    t.n_tokens = depth;
    mn_backend cpu = mn_backend_cpu(&compute);
    mn_slice slice = {&t, 0, n_rows};
    mn_step step = {&cpu, &s->engine->model, NULL, n_rows, &slice, 1};
    mn_rows q, out;
    assert_ok(cpu.take(&step, n_rows, c->n_heads, c->head_dim_k, &q, &err), err);
    assert_ok(cpu.take(&step, n_rows, c->n_heads, c->head_dim_v, &out, &err), err);
    if (!mn_pool_is_dry(pool)) memset(mn_cpu_data(q), 0, (size_t)(n_rows * q.row_stride) * sizeof(float));
    assert_ok(cpu.attend_latent(&step, 0, out, (mn_rows){0}, q, (mn_rows){0}, &err), err);
    size_t bytes = arena.most_bytes;
    mn_arena_release(&arena);
    return bytes;
}

/* A dry step takes what the step takes, in both ways, and nothing of a cache. */
static void a_dry_step_takes_the_same_scratch(void **state) {
    (void)state;
    golden g = golden_load("golden/tiny-deepseek3", data_path);
    mn_engine *engine;
    mn_session *s;
    mn_pool *dry;
    mn_sequence nothing;
    mn_error err;
    static const char *const types[] = {"f32", "q8_0"};
    for (int exact = 0; exact < 2; exact++)
        for (int type = 0; type < 2; type++) {
            assert_ok(mn_engine_open(g.model_path, &(mn_engine_params){.n_threads = 3, .exact = exact}, &engine, &err),
                      err);
            mn_session_params params = {
                .n_ctx = 6000, .type_k = types[type], .type_v = types[type], .position.beyond = true};
            mn_dtype cache = type ? MN_Q8_0 : MN_F32;
            assert_ok(mn_session_open(engine, &params, &s, &err), err);
            assert_ok(mn_pool_create_dry(3, &dry, &err), err);
            assert_ok(mn_sequence_init_dry(&nothing, &engine->model.config, &s->attn, cache, cache, &err), err);
            static const int64_t rows[] = {1, 15, 16, 40, 53, 54, 300, 900}, depths[] = {0, 1, 130, 1000, 3000, 5000};
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                for (size_t j = 0; j < sizeof depths / sizeof *depths; j++)
                    assert_int_equal(scratch_of(s, dry, nothing, depths[j], rows[i]),
                                     scratch_of(s, engine->pool, s->sequence, depths[j], rows[i]));
            mn_sequence_release(&nothing);
            mn_pool_destroy(dry);
            mn_session_close(s);
            mn_engine_close(engine);
        }
    golden_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(materialised_meets_the_reference),
        cmocka_unit_test(every_cache_meets_the_absorbed_way),
        cmocka_unit_test(bf16_rounds_both_ways_alike),
        cmocka_unit_test(a_dry_step_takes_the_same_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
