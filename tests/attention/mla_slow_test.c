/* Latent attention at long depths. With --bench it prints how fast the two ways are instead, in turn. */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attention.h"
#include "attention/mla.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/kernels.h"

typedef struct shape {
    int n_heads, kv_rank, n_nope, n_rot, v_dim;
    mn_dtype cached, weights;
    int64_t depth, n_rows;
} shape;

typedef struct layer {
    mn_mla mla;
    mn_attend call; /* mla set */
    char *rows;
    const void **pages;
    float *q, *out;
    void *ups[2];
} layer;

static void fill(mn_random *rng, mn_dtype type, void *rows, int64_t n_rows, int n, float deviation) {
    float row[MN_ATTEND_MAX_DIM];
    size_t row_bytes = mn_dtype_row_bytes(type, n);
    for (int64_t r = 0; r < n_rows; r++) {
        for (int i = 0; i < n; i++) row[i] = deviation * (float)mn_random_normal(rng);
        mn_from_f32(type, row, (char *)rows + (size_t)r * row_bytes, n);
    }
}

static mn_tensor make_stack(mn_random *rng, mn_dtype type, int n_in, int n_out, int n, void **memory) {
    mn_tensor t = {.type = type, .n_dims = 3, .ne = {n_in, n_out, n, 1}};
    t.bytes = mn_tensor_row_bytes(&t) * (size_t)n_out * (size_t)n;
    t.data = *memory = malloc(t.bytes);
    fill(rng, type, *memory, (int64_t)n_out * n, n_in, 1 / sqrtf((float)n_in));
    return t;
}

/* The last n_rows of depth + n_rows tokens ask. */
static layer *create(const shape *s) {
    layer *l = calloc(1, sizeof *l);
    mn_random rng;
    mn_random_seed(&rng, 1, 2);
    int64_t n_tokens = s->depth + s->n_rows, n_pages = (n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    int row = s->kv_rank + s->n_rot, q_row = s->n_heads * (s->n_nope + s->n_rot), out_row = s->n_heads * s->v_dim;
    size_t row_bytes = mn_dtype_row_bytes(s->cached, row);
    l->mla = (mn_mla){.kv_rank = s->kv_rank, .n_nope = s->n_nope, .n_rot = s->n_rot, .v_dim = s->v_dim};
    l->mla.k_up = make_stack(&rng, s->weights, s->n_nope, s->kv_rank, s->n_heads, &l->ups[0]);
    l->mla.v_up = make_stack(&rng, s->weights, s->kv_rank, s->v_dim, s->n_heads, &l->ups[1]);
    l->rows = malloc((size_t)n_pages * MN_PAGE_TOKENS * row_bytes);
    l->pages = malloc((size_t)n_pages * sizeof *l->pages);
    fill(&rng, s->cached, l->rows, n_pages * MN_PAGE_TOKENS, row, 1);
    for (int64_t i = 0; i < n_pages; i++) l->pages[i] = l->rows + (size_t)i * MN_PAGE_TOKENS * row_bytes;
    l->q = malloc((size_t)(s->n_rows * q_row) * sizeof *l->q);
    l->out = malloc((size_t)(s->n_rows * out_row) * sizeof *l->out);
    for (int64_t i = 0; i < s->n_rows * q_row; i++) l->q[i] = (float)mn_random_normal(&rng);
    l->call = (mn_attend){.q = l->q,
                          .out = l->out,
                          .q_stride = q_row,
                          .out_stride = out_row,
                          .n_rows = s->n_rows,
                          .first_token = s->depth,
                          .n_heads = s->n_heads,
                          .scale = 1 / sqrtf((float)(s->n_nope + s->n_rot)),
                          .mla = &l->mla,
                          .kv = {.k_pages = l->pages,
                                 .v_pages = l->pages,
                                 .k_type = s->cached,
                                 .v_type = s->cached,
                                 .k_row_bytes = row_bytes,
                                 .v_row_bytes = row_bytes,
                                 .n_kv_heads = 1,
                                 .k_dim = row,
                                 .v_dim = s->kv_rank,
                                 .n_tokens = n_tokens}};
    return l;
}

static void destroy(layer *l) {
    free(l->rows);
    free(l->pages);
    free(l->q);
    free(l->out);
    free(l->ups[0]);
    free(l->ups[1]);
    free(l);
}

/* Both projections and attention between them. */
static void run_absorbed(const mn_compute *c, const mn_attend *a) {
    mn_error err;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_attend over = *a;
    over.mla = NULL;
    over.q_stride = (int64_t)a->n_heads * a->kv.k_dim;
    over.out_stride = (int64_t)a->n_heads * a->kv.v_dim;
    float *wide = mn_arena_alloc(c->scratch, (size_t)(a->n_rows * over.q_stride), sizeof *wide);
    over.q = wide;
    over.out = mn_arena_alloc(c->scratch, (size_t)(a->n_rows * over.out_stride), sizeof *over.out);
    assert_ok(mn_mla_absorb(c, a, wide, &err), err);
    assert_ok(mn_attention(c, &over, &err), err);
    assert_ok(mn_mla_output(c, a, over.out, &err), err);
    mn_arena_rewind(c->scratch, mark);
}

static void run_materialised(const mn_compute *c, const mn_attend *a) {
    mn_error err;
    assert_ok(mn_attention(c, a, &err), err);
}

static double seconds_of(void (*run)(const mn_compute *c, const mn_attend *a), const mn_compute *c,
                         const mn_attend *a) {
    double start = mn_clock_seconds();
    run(c, a);
    return mn_clock_seconds() - start;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* --bench THREADS, then nine arguments for each shape: HEADS KV_RANK NOPE ROT V_DIM CACHED WEIGHTS DEPTH ROWS. The two
 * ways take turns, after one round that warms up; medians and ranges of the rounds. */
static void bench(int argc, char **argv) {
    enum { ROUNDS = 9, ARGS = 9 };
    mn_pool *pool;
    mn_error err;
    mn_cpu_level level;
    mn_arena scratch = MN_ARENA_INIT;
    assert_true(argc > 2 + ARGS && (argc - 3) % ARGS == 0);
    assert_ok(mn_pool_create(atoi(argv[2]), &pool, &err), err);
    assert_ok(mn_cpu_choose(&level, &err), err);
    mn_compute c = {.kernels = mn_kernels_get(level), .pool = pool, .scratch = &scratch};
    for (char **of = argv + 3; of < argv + argc; of += ARGS) {
        shape s = {atoi(of[0]),
                   atoi(of[1]),
                   atoi(of[2]),
                   atoi(of[3]),
                   atoi(of[4]),
                   (mn_dtype)mn_dtype_find(of[5]),
                   (mn_dtype)mn_dtype_find(of[6]),
                   atol(of[7]),
                   atol(of[8])};
        layer *l = create(&s);
        double made[ROUNDS], absorbed[ROUNDS], ratios[ROUNDS];
        for (int i = -1; i < ROUNDS; i++) {
            double by_keys = seconds_of(run_materialised, &c, &l->call),
                   by_queries = seconds_of(run_absorbed, &c, &l->call);
            if (i < 0) continue;
            made[i] = by_keys * 1e3;
            absorbed[i] = by_queries * 1e3;
            ratios[i] = by_queries / by_keys;
        }
        qsort(made, ROUNDS, sizeof *made, by_size);
        qsort(absorbed, ROUNDS, sizeof *absorbed, by_size);
        qsort(ratios, ROUNDS, sizeof *ratios, by_size);
        int64_t deepest = mn_mla_deepest(&l->mla, s.n_rows);
        for (int i = 0; i < ARGS; i++) printf("%s ", of[i]);
        printf(": materialised %.2f ms (%.2f to %.2f), absorbed %.2f ms (%.2f to %.2f), ratio %.2f (%.2f to %.2f); "
               "taken: %s\n",
               made[ROUNDS / 2], made[0], made[ROUNDS - 1], absorbed[ROUNDS / 2], absorbed[0], absorbed[ROUNDS - 1],
               ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1], s.depth <= deepest ? "materialised" : "absorbed");
        destroy(l);
    }
    mn_arena_release(&scratch);
    mn_pool_destroy(pool);
}

/* Rounding grows with depth in neither way. */
static void long_depths(void **state) {
    (void)state;
    shape s = {2, 512, 128, 64, 128, MN_Q8_0, MN_F32, 40000, 33};
    layer *l = create(&s);
    mn_arena scratch = MN_ARENA_INIT;
    size_t n = (size_t)(s.n_rows * l->call.out_stride);
    float *made = malloc(n * sizeof *made);
    EACH_LEVEL(level) {
        mn_compute c = {.kernels = mn_kernels_get((mn_cpu_level)level), .scratch = &scratch, .exact = true};
        run_materialised(&c, &l->call);
        memcpy(made, l->out, n * sizeof *made);
        run_absorbed(&c, &l->call);
        double norm = 0, error = 0;
        for (size_t i = 0; i < n; i++) {
            norm += (double)l->out[i] * l->out[i];
            error += ((double)made[i] - l->out[i]) * ((double)made[i] - l->out[i]);
        }
        if (!(sqrt(error / norm) <= 1e-5))
            fail_msg("%s: %g apart", mn_cpu_level_name((mn_cpu_level)level), sqrt(error / norm));
    }
    free(made);
    mn_arena_release(&scratch);
    destroy(l);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        bench(argc, argv);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(long_depths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
