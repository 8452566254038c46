/* attention/flash_backward: against central differences, against the dense masked backward in double precision for
 * every option, head shape and pattern, and bit against bit where a result must not depend on how the work was cut.
 */
#include "support/attend_case.h"
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/flash_backward.h"
#include "attention/patterns/pattern.h"
#include "kernels/kernels.h"

static const double LIMIT = 4e-6;
enum { GAP = 3 };

/* A call, its output's gradient, and what the backward leaves. */
typedef struct back_case {
    attend_case c;
    int64_t q_row, k_row, v_row, n_q, n_k, n_v; /* floats of a row, and of all */
    float *d_out, *lse, *grads;                 /* grads: d_q, d_k, d_v, one after the other */
    mn_attend_grad g;
    bool shared_values;
} back_case;

static back_case create(const attend_spec *spec, uint64_t seed) {
    back_case b = {.c = attend_case_create(spec, seed), .shared_values = spec->shared_values};
    const mn_attend *a = &b.c.call;
    b.q_row = (int64_t)a->n_heads * spec->k_dim + GAP;
    b.k_row = (int64_t)spec->n_kv_heads * spec->k_dim + GAP;
    b.v_row = (int64_t)spec->n_kv_heads * spec->v_dim + GAP;
    b.n_q = spec->n_rows * b.q_row;
    b.n_k = spec->n_tokens * b.k_row;
    b.n_v = spec->n_tokens * b.v_row;
    int64_t n_out = spec->n_rows * a->out_stride;
    b.d_out = malloc((size_t)n_out * sizeof *b.d_out);
    fill_normal(b.d_out, (size_t)n_out, seed + 1);
    b.lse = malloc((size_t)(spec->n_rows * a->n_heads) * sizeof *b.lse);
    b.grads = malloc((size_t)(b.n_q + b.n_k + b.n_v) * sizeof *b.grads);
    b.c.call.lse = b.lse;
    b.g = (mn_attend_grad){.d_out = b.d_out,
                           .d_q = b.grads,
                           .d_k = b.grads + b.n_q,
                           .d_v = spec->shared_values ? NULL : b.grads + b.n_q + b.n_k,
                           .d_out_stride = a->out_stride,
                           .d_q_stride = b.q_row,
                           .d_k_stride = b.k_row,
                           .d_v_stride = b.v_row};
    return b;
}

static void release(back_case *b) {
    attend_case_free(&b->c);
    free(b->d_out);
    free(b->lse);
    free(b->grads);
}

static size_t grads_bytes(const back_case *b) { return (size_t)(b->n_q + b->n_k + b->n_v) * sizeof *b->grads; }

/* Forward and backward; gradients start as zeros. */
static void run(back_case *b, int level, int n_threads, bool exact) {
    mn_error err;
    mn_pool *pool;
    mn_arena scratch = MN_ARENA_INIT;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    mn_compute c = {mn_kernels_get((mn_cpu_level)level), pool, &scratch, exact, NULL};
    memset(b->grads, 0, grads_bytes(b));
    assert_ok(mn_flash(&c, &b->c.call, &err), err);
    assert_ok(mn_flash_backward(&c, &b->c.call, &b->g, &err), err);
    assert_int_equal(scratch.used_bytes, 0);
    mn_pool_destroy(pool);
    mn_arena_release(&scratch);
}

/* The largest difference over the largest value, of rows of n floats row floats apart; between rows nothing is written.
 */
static double error_of(const float *got, int64_t row, const double *want, int64_t n_rows, int64_t n) {
    double worst = 0, largest = 0.1;
    for (int64_t r = 0; r < n_rows; r++) {
        for (int64_t i = 0; i < n; i++) {
            double off = fabs((double)got[r * row + i] - want[r * n + i]);
            if (!(off <= worst)) worst = off;
            largest = fmax(largest, fabs(want[r * n + i]));
        }
        for (int64_t i = n; i < row; i++) assert_true(got[r * row + i] == 0);
    }
    return worst / largest;
}

/* What the gradients should be, without gaps. */
typedef struct oracle {
    double *d_q, *d_k, *d_v;
} oracle;

static oracle oracle_of(const back_case *b) {
    const mn_attend *a = &b->c.call;
    const mn_kv_view *kv = &a->kv;
    int64_t n_k = b->k_row - GAP, n_v = b->v_row - GAP;
    oracle o = {malloc((size_t)(a->n_rows * b->q_row) * sizeof(double)),
                malloc((size_t)(kv->n_tokens * b->k_row) * sizeof(double)),
                malloc((size_t)(kv->n_tokens * b->v_row) * sizeof(double))};
    attend_oracle_backward(a, b->d_out, b->g.d_out_stride, o.d_q, o.d_k, o.d_v);
    for (int64_t t = 0; b->shared_values && t < kv->n_tokens; t++)
        for (int h = 0; h < kv->n_kv_heads; h++)
            for (int i = 0; i < kv->v_dim; i++)
                o.d_k[t * n_k + h * kv->k_dim + i] += o.d_v[t * n_v + h * kv->v_dim + i];
    return o;
}

static void oracle_free(oracle *o) {
    free(o->d_q);
    free(o->d_k);
    free(o->d_v);
}

static void compare(const back_case *b, const oracle *o, int level, const char *what, double limit) {
    const mn_attend *a = &b->c.call;
    double errors[3] = {error_of(b->g.d_q, b->q_row, o->d_q, a->n_rows, b->q_row - GAP),
                        error_of(b->g.d_k, b->k_row, o->d_k, a->kv.n_tokens, b->k_row - GAP),
                        b->shared_values ? 0 : error_of(b->g.d_v, b->v_row, o->d_v, a->kv.n_tokens, b->v_row - GAP)};
    for (int i = 0; i < 3; i++)
        if (!(errors[i] <= limit))
            fail_msg("%s %s: d_%c is off by %g > %g", mn_cpu_level_name((mn_cpu_level)level), what, "qkv"[i], errors[i],
                     limit);
}

/* In exact mode at every level, with the call as it is now. */
static void expect_levels(back_case *b, const char *what) {
    oracle o = oracle_of(b);
    EACH_LEVEL(level) {
        run(b, level, 1, true);
        compare(b, &o, level, what, LIMIT);
    }
    oracle_free(&o);
}

static void expect(const attend_spec *spec, const char *what) {
    back_case b = create(spec, 11);
    expect_levels(&b, what);
    release(&b);
}

/* The forward once more in double, and nothing of the oracle: sum d_out out, as a function of queries and keys. */
enum { SMALL_TOKENS = 9, SMALL_HEADS = 2, SMALL_DIM = 5 };
typedef struct small_case {
    double q[SMALL_TOKENS * SMALL_HEADS * SMALL_DIM], k[SMALL_TOKENS * SMALL_DIM], v[SMALL_TOKENS * SMALL_DIM];
    const float *d_out;
    int64_t d_out_stride;
    double scale, cap;
} small_case;

static double small_value(void *arg) {
    const small_case *s = arg;
    double value = 0;
    for (int t = 0; t < SMALL_TOKENS; t++)
        for (int h = 0; h < SMALL_HEADS; h++) {
            double sum = 0, out[SMALL_DIM] = {0};
            for (int j = 0; j <= t; j++) {
                double x = 0;
                for (int i = 0; i < SMALL_DIM; i++)
                    x += s->q[(t * SMALL_HEADS + h) * SMALL_DIM + i] * s->k[j * SMALL_DIM + i];
                x = exp(s->cap * tanh(s->scale * x / s->cap));
                sum += x;
                for (int i = 0; i < SMALL_DIM; i++) out[i] += x * s->v[j * SMALL_DIM + i];
            }
            for (int i = 0; i < SMALL_DIM; i++)
                value += (double)s->d_out[t * s->d_out_stride + h * SMALL_DIM + i] * out[i] / sum;
        }
    return value;
}

static void equals_central_differences(void **state) {
    (void)state;
    attend_spec spec = {MN_F32,    MN_F32,       1, SMALL_HEADS,  SMALL_DIM,
                        SMALL_DIM, SMALL_TOKENS, 0, SMALL_TOKENS, .softcap = 3};
    back_case b = create(&spec, 3);
    const mn_attend *a = &b.c.call;
    small_case s = {.d_out = b.d_out, .d_out_stride = a->out_stride, .scale = (double)a->scale, .cap = 3};
    enum { ROW = SMALL_HEADS * SMALL_DIM };
    float d_q[SMALL_TOKENS * ROW], d_k[SMALL_TOKENS * SMALL_DIM], d_v[SMALL_TOKENS * SMALL_DIM];
    for (int t = 0; t < SMALL_TOKENS; t++) {
        const float *k = (const float *)(const void *)((const char *)a->kv.k_pages[0] + (size_t)t * a->kv.k_row_bytes);
        const float *v = (const float *)(const void *)((const char *)a->kv.v_pages[0] + (size_t)t * a->kv.v_row_bytes);
        for (int i = 0; i < ROW; i++) s.q[t * ROW + i] = (double)a->q[t * a->q_stride + i];
        for (int i = 0; i < SMALL_DIM; i++) s.k[t * SMALL_DIM + i] = (double)k[i];
        for (int i = 0; i < SMALL_DIM; i++) s.v[t * SMALL_DIM + i] = (double)v[i];
    }
    EACH_LEVEL(level) {
        run(&b, level, 1, true);
        for (int t = 0; t < SMALL_TOKENS; t++) {
            memcpy(d_q + t * ROW, b.g.d_q + t * b.q_row, ROW * sizeof *d_q);
            memcpy(d_k + t * SMALL_DIM, b.g.d_k + t * b.k_row, SMALL_DIM * sizeof *d_k);
            memcpy(d_v + t * SMALL_DIM, b.g.d_v + t * b.v_row, SMALL_DIM * sizeof *d_v);
        }
        gradient_check("d_q", small_value, &s, s.q, d_q, SMALL_TOKENS * ROW, 0, LIMIT);
        gradient_check("d_k", small_value, &s, s.k, d_k, SMALL_TOKENS * SMALL_DIM, 0, LIMIT);
        gradient_check("d_v", small_value, &s, s.v, d_v, SMALL_TOKENS * SMALL_DIM, 0, LIMIT);
    }
    release(&b);
}

static void every_geometry(void **state) {
    (void)state;
    static const int dims[][2] = {{16, 16}, {32, 32}, {48, 48}, {64, 64}, {80, 80}, {128, 128}, {192, 128}, {20, 36}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int group = 1; group <= 7; group += 3) {
            char name[64];
            if (!takes_case(i + (size_t)group, 5)) continue;
            snprintf(name, sizeof name, "heads of %d and %d, groups of %d", dims[i][0], dims[i][1], group);
            expect(&(attend_spec){MN_F32, MN_F32, 2, group, dims[i][0], dims[i][1], 90, 0, 90, .window = 0}, name);
        }
    expect(&(attend_spec){MN_F32, MN_F32, 1, 70, 32, 16, 40, 0, 40, .window = 0}, "more heads than a tile has rows");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 5, 72, 64, 90, 0, 90, .shared_values = true}, "values inside keys");
}

static void every_length(void **state) {
    (void)state;
    for (int n = 1; n <= 135; n += n < 10 || n > 125 ? 1 : 13)
        if (takes_case((size_t)n, 5))
            expect(&(attend_spec){MN_F32, MN_F32, 1, 1, 16, 16, n, 0, n, .window = 0}, "a length");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 1, 16, 16, 700, 0, 700, .window = 0}, "700 tokens");
    if (takes_case(1, 2))
        expect(&(attend_spec){MN_F32, MN_F32, 3, 2, 16, 16, 1100, 0, 1100, .window = 0}, "1100 tokens");
}

static void masks_and_biases(void **state) {
    (void)state;
    expect(&(attend_spec){MN_F32, MN_F32, 2, 2, 32, 32, 300, 170, 130, .window = 0}, "earlier tokens");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 32, 32, 300, 0, 300, .window = 17}, "a short window");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 32, 32, 600, 0, 600, .window = 200}, "a window");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 32, 32, 300, 0, 300, .segment = 48}, "segments");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 32, 32, 300, 0, 300, .softcap = 2}, "a soft-cap");
    expect(&(attend_spec){MN_F32, MN_F32, 2, 4, 32, 32, 200, 0, 200, .slopes = true}, "ALiBi");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 4, 32, 32, 200, 0, 200, .window = 50, .softcap = 3, .slopes = true},
           "all");
    expect(&(attend_spec){MN_F16, MN_BF16, 2, 2, 64, 32, 200, 0, 200, .window = 0}, "cached halves");
    expect(&(attend_spec){MN_Q8_0, MN_Q4_0, 1, 2, 64, 32, 200, 0, 200, .window = 0}, "cached bytes");
    expect(&(attend_spec){MN_F32, MN_F32, 1, 2, 32, 32, 100, 90, 30, .window = 0}, "rows beyond the cache");
}

/* Documents of a packed step as key ranges; and a row that sees nothing. */
static void key_ranges(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 2, 2, 32, 32, 300, 0, 300, .window = 0};
    back_case b = create(&spec, 5);
    int64_t begin[300], end[300];
    for (int64_t t = 0; t < 300; t++) {
        begin[t] = t < 71 ? 0 : t < 200 ? 71 : 200;
        end[t] = t < 71 ? 71 : t < 200 ? 200 : 300;
    }
    begin[0] = end[0] = 0;
    b.c.call.key_begin = begin;
    b.c.call.key_end = end;
    expect_levels(&b, "key ranges");
    release(&b);
}

/* Pages that were dropped receive nothing. */
static void dropped_pages(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 1, 2, 32, 32, 500, 0, 500, .window = 0};
    back_case b = create(&spec, 5);
    void *page = b.c.pages[1];
    b.c.pages[1] = NULL;
    expect_levels(&b, "dropped pages");
    b.c.pages[1] = page;
    release(&b);
}

static void apply(back_case *b, const char *text, mn_arena *arena) {
    mn_pattern p;
    mn_error err;
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = arena, .exact = true};
    assert_ok(mn_pattern_parse(text, &p, &err), err);
    assert_ok(mn_pattern_apply(&p, &compute, 0, &b->c.call, &err), err);
}

static void every_pattern(void **state) {
    (void)state;
    const char *patterns[] = {"full",
                              "causal",
                              "window:100",
                              "global:70",
                              "random:1,5",
                              "bigbird:16,3,2,3",
                              "bigbird:64,1,1,0",
                              "longformer:150,0",
                              "longformer:40,30,3",
                              "sinks:4,100",
                              "sinks-abs:70,64",
                              "infini:100",
                              "shifted-sparse:64",
                              "moba:32,3",
                              "moba:64,2",
                              "xattention"};
    attend_spec spec = {MN_F32, MN_F32, 2, 2, 32, 32, 300, 0, 300, .window = 0};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        if (!takes_case(i + 1, 5)) continue;
        mn_arena arena = MN_ARENA_INIT;
        mn_key_summary summary = {0};
        back_case b = create(&spec, 7);
        b.c.call.kv.summary = &summary;
        apply(&b, patterns[i], &arena);
        expect_levels(&b, patterns[i]);
        mn_key_summary_release(&summary);
        release(&b);
        mn_arena_release(&arena);
    }
}

static void all_blocks_equal_full(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 2, 2, 32, 32, 420, 0, 420, .window = 0};
    EACH_LEVEL(level) {
        mn_arena arena = MN_ARENA_INIT;
        back_case full = create(&spec, 7), listed = create(&spec, 7);
        apply(&listed, "random:64,1", &arena);
        assert_non_null(listed.c.call.blocks);
        for (int exact = 0; exact < 2; exact++) {
            run(&full, level, 1, exact);
            run(&listed, level, 1, exact);
            assert_memory_equal(full.grads, listed.grads, grads_bytes(&full));
        }
        release(&full);
        release(&listed);
        mn_arena_release(&arena);
    }
}

static void threads_change_nothing(void **state) {
    (void)state;
    int64_t n = takes_case(1, 2) ? 900 : 200;
    attend_spec spec = {MN_F32, MN_F32, 3, 2, 32, 48, n, 0, n, .window = 0};
    back_case one = create(&spec, 1), many = create(&spec, 1);
    EACH_LEVEL(level)
    for (int exact = 0; exact < 2; exact++) {
        run(&one, level, 1, exact);
        for (int threads = 2; threads <= 5; threads++) {
            if (!takes_case((size_t)threads, 5)) continue;
            run(&many, level, threads, exact);
            assert_memory_equal(one.grads, many.grads, grads_bytes(&one));
        }
    }
    release(&one);
    release(&many);
}

/* Gradients are added to what is there: twice the same, from ones. */
static void adds_to_what_is_there(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 1, 2, 16, 16, 50, 0, 50, .window = 0};
    back_case b = create(&spec, 1);
    mn_error err;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL};
    run(&b, MN_CPU_GENERIC, 1, true);
    float *once = malloc(grads_bytes(&b));
    memcpy(once, b.grads, grads_bytes(&b));
    int64_t n = (int64_t)(grads_bytes(&b) / sizeof *once);
    for (int64_t i = 0; i < n; i++) b.grads[i] = 1;
    assert_ok(mn_flash_backward(&c, &b.c.call, &b.g, &err), err);
    for (int64_t i = 0; i < n; i++) assert_true(fabsf(b.grads[i] - 1 - once[i]) <= 1e-5f);
    mn_arena_release(&scratch);
    free(once);
    release(&b);
}

/* In fast mode operands may be rounded to bf16. */
static void fast_is_near(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 2, 3, 64, 64, 500, 0, 500, .window = 0};
    back_case b = create(&spec, 9);
    oracle o = oracle_of(&b);
    EACH_LEVEL(level) {
        run(&b, level, 1, false);
        compare(&b, &o, level, "fast", level == MN_CPU_AVX512BF16 ? 2e-2 : level == MN_CPU_AMX ? 1e-2 : LIMIT);
    }
    oracle_free(&o);
    release(&b);
}

static void refuses(void **state) {
    (void)state;
    attend_spec spec = {MN_F32, MN_F32, 2, 2, 16, 16, 40, 0, 40, .window = 0};
    back_case b = create(&spec, 1);
    mn_error err;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL};
    mn_attend bad = b.c.call;
    bad.lse = NULL;
    assert_int_equal(mn_flash_backward(&c, &bad, &b.g, &err), MN_ERR_ARGUMENT);
    bad = b.c.call;
    bad.sums = b.grads;
    assert_int_equal(mn_flash_backward(&c, &bad, &b.g, &err), MN_ERR_UNSUPPORTED);
    bad = b.c.call;
    bad.n_heads = 3;
    assert_int_equal(mn_flash_backward(&c, &bad, &b.g, &err), MN_ERR_ARGUMENT);
    release(&b);
    mn_arena_release(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_central_differences),
        cmocka_unit_test(every_geometry),
        cmocka_unit_test(every_length),
        cmocka_unit_test(masks_and_biases),
        cmocka_unit_test(key_ranges),
        cmocka_unit_test(dropped_pages),
        cmocka_unit_test(every_pattern),
        cmocka_unit_test(all_blocks_equal_full),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(adds_to_what_is_there),
        cmocka_unit_test(fast_is_near),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
