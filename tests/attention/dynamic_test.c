/* Patterns that choose by queries and keys: executed, against their papers' definitions as dense masks in double
 * precision; and the summaries of keys that they read.
 */
#include "support/attend_case.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/patterns/choice.h"
#include "attention/patterns/kinds.h"
#include "attention/patterns/largest.h"
#include "base/checked.h"
#include "kernels/kernels.h"

enum { N_KV_HEADS = 2, GROUP = 2, N_HEADS = N_KV_HEADS * GROUP, DIM = 32, N_TOKENS = 700, LAYER = 5 };

static attend_case case_of(int64_t first_token, int64_t n_tokens) {
    attend_spec spec = {.k_type = MN_F32,
                        .v_type = MN_F32,
                        .n_kv_heads = N_KV_HEADS,
                        .group = GROUP,
                        .k_dim = DIM,
                        .v_dim = DIM,
                        .n_tokens = n_tokens,
                        .first_token = first_token,
                        .n_rows = n_tokens - first_token};
    return attend_case_create(&spec, 11);
}

static float *cached(const mn_attend *a, bool value, int kv_head, int64_t token) {
    const char *page = (value ? a->kv.v_pages : a->kv.k_pages)[token / MN_PAGE_TOKENS];
    size_t row = (size_t)kv_head * MN_PAGE_TOKENS + (size_t)(token % MN_PAGE_TOKENS);
    return (float *)(void *)(page + row * (value ? a->kv.v_row_bytes : a->kv.k_row_bytes));
}

static const float *query(const mn_attend *a, int64_t row, int head) { return a->q + row * a->q_stride + head * DIM; }

static double product(const float *q, const float *k) {
    double sum = 0;
    for (int d = 0; d < DIM; d++) sum += (double)q[d] * k[d];
    return sum;
}

/* The keys that a row of a head sees, by a paper's definition: seen [N_TOKENS], the future left to the caller. */
typedef void definition(const mn_pattern *p, const mn_attend *a, int64_t row, int head, bool *seen);

static void see_all(bool *seen, bool value) {
    for (int64_t j = 0; j < N_TOKENS; j++) seen[j] = value;
}

/* Of n blocks the k with the highest scores, the lowest first among equals: one after the other, by the book. */
static void see_best(double *scores, int64_t n, int64_t k, int64_t block, bool *seen) {
    for (; k > 0 && n > 0; k--) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++)
            if (scores[i] > scores[best]) best = i;
        if (scores[best] == -INFINITY) return;
        scores[best] = -INFINITY;
        for (int64_t j = best * block; j < MN_MIN((best + 1) * block, (int64_t)N_TOKENS); j++) seen[j] = true;
    }
}

static void quest_definition(const mn_pattern *p, const mn_attend *a, int64_t row, int head, bool *seen) {
    int64_t page = p->args[0], own = (a->first_token + row) / page;
    const float *q = query(a, row, head);
    double scores[N_TOKENS];
    see_all(seen, a->n_rows > 1);
    for (int64_t i = 0; i < own; i++) {
        scores[i] = 0;
        for (int d = 0; d < DIM; d++) {
            double best = -INFINITY;
            for (int64_t j = i * page; j < (i + 1) * page; j++)
                best = MN_MAX(best, (double)q[d] * cached(a, false, head / GROUP, j)[d]);
            scores[i] += best;
        }
    }
    scores[own] = INFINITY;
    see_best(scores, own + 1, MN_MAX(3, (p->args[1] + page - 1) / page), page, seen);
}

static void moba_definition(const mn_pattern *p, const mn_attend *a, int64_t row, int head, bool *seen) {
    int64_t block = p->args[0], own = (a->first_token + row) / block;
    double scores[N_TOKENS];
    see_all(seen, false);
    for (int64_t i = 0; i < own; i++) {
        double mean[DIM] = {0};
        scores[i] = 0;
        for (int64_t j = i * block; j < (i + 1) * block; j++)
            for (int d = 0; d < DIM; d++) mean[d] += (double)cached(a, false, head / GROUP, j)[d] / (double)block;
        for (int d = 0; d < DIM; d++) scores[i] += mean[d] * query(a, row, head)[d];
    }
    scores[own] = INFINITY;
    see_best(scores, own + 1, p->args[1], block, seen);
}

/* scale / S times the sum along the antidiagonals of one cell of S queries and S keys. */
static double cell(const mn_attend *a, int head, int64_t stride, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t t = 0; t < stride; t++) {
        int64_t row = i * stride + stride - 1 - t - a->first_token, token = j * stride + t;
        if (row >= 0 && row < a->n_rows && token < N_TOKENS)
            sum += product(query(a, row, head), cached(a, false, head / GROUP, token));
    }
    return a->scale * sum / (double)stride;
}

static void xattention_choose(const mn_pattern *p, const mn_attend *a, int head, int64_t own, bool *keeps) {
    int64_t stride = p->args[0], per_block = 128 / stride;
    int64_t begin = MN_MAX(own * per_block, a->first_token / stride);
    int64_t end = MN_MIN((own + 1) * per_block, (N_TOKENS - 1) / stride + 1);
    double weights[N_TOKENS / 128 + 1] = {0}, held = 0;
    for (int64_t i = begin; i < end; i++) {
        double row[N_TOKENS], total = 0;
        for (int64_t j = 0; j <= i; j++) total += row[j] = exp(cell(a, head, stride, i, j));
        for (int64_t j = 0; j <= i; j++) weights[j / per_block] += row[j] / total;
    }
    memset(keeps, 0, (N_TOKENS / 128 + 1) * sizeof *keeps);
    for (int64_t next = 0;; next = -1) {
        if (next < 0 && !keeps[own]) next = own;
        for (int64_t b = 0; next < 0 && b <= own; b++)
            if (!keeps[b]) next = b;
        for (int64_t b = 0; b <= own && keeps[own]; b++)
            if (!keeps[b] && weights[b] > weights[next]) next = b;
        if (next < 0) return;
        bool forced = next == 0 || next == own;
        if (!forced && p->args[1] < MN_PATTERN_WHOLE &&
            held >= (double)p->args[1] / MN_PATTERN_WHOLE * (double)(end - begin))
            return;
        keeps[next] = true;
        held += weights[next];
    }
}

/* Rows come in their order. */
static void xattention_definition(const mn_pattern *p, const mn_attend *a, int64_t row, int head, bool *seen) {
    static bool keeps[N_HEADS][N_TOKENS / 128 + 1]; /* of the query block that the last rows were in */
    int64_t own = (a->first_token + row) / 128;
    if (row == 0 || (a->first_token + row) % 128 == 0) xattention_choose(p, a, head, own, keeps[head]);
    for (int64_t j = 0; j < N_TOKENS; j++) seen[j] = a->n_rows == 1 || (j / 128 <= own && keeps[head][j / 128]);
}

/* softmax(scale q K^T + mask) V for every row and head. */
static void dense(const mn_attend *a, const mn_pattern *p, definition *define, double *out) {
    for (int64_t r = 0; r < a->n_rows; r++)
        for (int h = 0; h < N_HEADS; h++, out += DIM) {
            bool seen[N_TOKENS];
            double total = 0;
            define(p, a, r, h, seen);
            memset(out, 0, DIM * sizeof *out);
            for (int64_t j = 0; j <= a->first_token + r; j++) {
                if (!seen[j]) continue;
                double w = exp(a->scale * product(query(a, r, h), cached(a, false, h / GROUP, j)));
                total += w;
                for (int d = 0; d < DIM; d++) out[d] += w * cached(a, true, h / GROUP, j)[d];
            }
            for (int d = 0; d < DIM; d++) out[d] /= total;
        }
}

static mn_pattern pattern_of(const char *text) {
    mn_pattern p;
    mn_error err;
    assert_ok(mn_pattern_parse(text, &p, &err), err);
    return p;
}

/* The pattern applied and executed. */
static void attend(attend_case *c, const char *text, int n_threads) {
    mn_error err;
    mn_pool *pool;
    mn_arena arena = MN_ARENA_INIT;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    mn_compute compute = {mn_kernels_get(MN_CPU_GENERIC), pool, &arena, true, NULL};
    mn_pattern p = pattern_of(text);
    c->call.blocks = NULL;
    assert_ok(mn_pattern_apply(&p, &compute, LAYER, &c->call, &err), err);
    assert_ok(mn_attention(&compute, &c->call, &err), err);
    c->call.blocks = NULL;
    mn_arena_release(&arena);
    mn_pool_destroy(pool);
}

typedef struct defined {
    const char *text;
    definition *define;
    int64_t together; /* so many queries choose together; 0: each on its own */
} defined;

static const defined patterns[] = {
    {"quest:16,64", quest_definition, 0},
    {"quest:16,1", quest_definition, 0},
    {"quest:32,300", quest_definition, 0},
    {"quest:128,256", quest_definition, 0},
    {"moba:16,1", moba_definition, 0},
    {"moba:16,5", moba_definition, 0},
    {"moba:64,3", moba_definition, 0},
    {"moba:256,2", moba_definition, 0},
    {"xattention:8,0.63", xattention_definition, 128},
    {"xattention:16,0.9", xattention_definition, 128},
    {"xattention:1,0.3", xattention_definition, 128},
    {"xattention:128,0.71", xattention_definition, 128},
};
enum { N_PATTERNS = sizeof patterns / sizeof *patterns };

static void expect_defined(attend_case *c, const defined *d) {
    mn_pattern p = pattern_of(d->text);
    double *want = malloc(sizeof *want * N_TOKENS * N_HEADS * DIM);
    attend(c, d->text, 1);
    dense(&c->call, &p, d->define, want);
    double error = attend_error(&c->call, want);
    /* Few keys, and values that nearly cancel: f32 leaves 1.2e-6 of such a row's norm. A wrong block leaves 1e-2. */
    if (!(error <= 2e-6)) fail_msg("%s from %d: error %g", d->text, (int)c->call.first_token, error);
    free(want);
}

static void equals_a_dense_mask(void **state) {
    (void)state;
    static const int64_t firsts[] = {0, 333, 695, N_TOKENS - 1}; /* a prompt, a part, a few rows, one decoded row */
    for (int i = 0; i < N_PATTERNS; i++)
        for (int f = 0; f < 4; f++) {
            attend_case c = case_of(firsts[f], N_TOKENS);
            expect_defined(&c, &patterns[i]);
            attend_case_free(&c);
        }
}

/* Every key is one of two, so that blocks tie: the lowest index is the paper's choice. */
static void equal_scores_take_the_lowest_block(void **state) {
    (void)state;
    for (int i = 0; i < N_PATTERNS; i++)
        for (int64_t first = 0; first < N_TOKENS; first += N_TOKENS - 1) {
            attend_case c = case_of(first, N_TOKENS);
            for (int h = 0; h < N_KV_HEADS; h++)
                for (int64_t j = 1; j < N_TOKENS; j++)
                    if (j != 300)
                        memcpy(cached(&c.call, false, h, j), cached(&c.call, false, h, 0), DIM * sizeof(float));
            expect_defined(&c, &patterns[i]);
            attend_case_free(&c);
        }
    const float scores[] = {1, 3, 3, 2, 3, 2};
    int32_t chosen[6];
    assert_int_equal(mn_choose_largest(scores, 6, 2, chosen), 2);
    assert_memory_equal(chosen, ((int32_t[]){1, 2}), 2 * sizeof *chosen);
    assert_int_equal(mn_choose_largest(scores, 6, 4, chosen), 4);
    assert_memory_equal(chosen, ((int32_t[]){1, 2, 3, 4}), 4 * sizeof *chosen);
    assert_int_equal(mn_choose_largest(scores, 6, 9, chosen), 6);
}

static void enough_budget_is_full_to_the_bit(void **state) {
    (void)state;
    static const char *const enough[] = {"quest:16,700", "quest:64,704",   "moba:16,44",      "moba:512,2",
                                         "moba:64,1000", "xattention:8,1", "xattention:4,1.0"};
    for (int64_t first = 0; first < N_TOKENS; first += N_TOKENS - 1) {
        attend_case full = case_of(first, N_TOKENS);
        attend(&full, "full", 1);
        for (size_t i = 0; i < sizeof enough / sizeof *enough; i++) {
            attend_case c = case_of(first, N_TOKENS);
            attend(&c, enough[i], 1);
            assert_memory_equal(c.out, full.out, (size_t)(c.call.n_rows * c.call.out_stride) * sizeof *c.out);
            attend_case_free(&c);
        }
        attend_case_free(&full);
    }
}

/* Keys and values from token t on are replaced; rows before it must not notice, in t's own block neither, unless these
 * rows choose together. */
static void no_future_key_is_seen(void **state) {
    (void)state;
    static const int64_t tokens[] = {1, 100, 257, 643, 698};
    for (int i = 0; i < N_PATTERNS; i++)
        for (int t = 0; t < 5; t++) {
            attend_case before = case_of(0, N_TOKENS), after = case_of(0, N_TOKENS);
            for (int64_t j = tokens[t]; j < N_TOKENS; j++)
                for (int h = 0; h < N_KV_HEADS; h++)
                    for (int d = 0; d < DIM; d++) {
                        cached(&after.call, false, h, j)[d] = (float)(3 * d - j % 7);
                        cached(&after.call, true, h, j)[d] = -5;
                    }
            attend(&before, patterns[i].text, 1);
            attend(&after, patterns[i].text, 1);
            int64_t n_before = tokens[t];
            if (patterns[i].together) n_before -= n_before % patterns[i].together;
            for (int64_t r = 0; r < n_before; r++)
                assert_memory_equal(after.out + r * after.call.out_stride, before.out + r * before.call.out_stride,
                                    N_HEADS * DIM * sizeof *after.out);
            attend_case_free(&before);
            attend_case_free(&after);
        }
}

static void threads_change_nothing(void **state) {
    (void)state;
    for (int i = 0; i < N_PATTERNS; i++)
        for (int64_t first = 0; first < N_TOKENS; first += N_TOKENS - 1) {
            attend_case one = case_of(first, N_TOKENS), three = case_of(first, N_TOKENS);
            attend(&one, patterns[i].text, 1);
            attend(&three, patterns[i].text, 3);
            assert_memory_equal(one.out, three.out, (size_t)(one.call.n_rows * one.call.out_stride) * sizeof *one.out);
            attend_case_free(&one);
            attend_case_free(&three);
        }
}

/* The first layers of Quest see everything. */
static void quest_leaves_the_first_layers_alone(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = &arena, .exact = true};
    mn_pattern p = pattern_of("quest:16,64");
    mn_error err;
    attend_case c = case_of(N_TOKENS - 1, N_TOKENS);
    for (int layer = 0; layer < 4; layer++) {
        c.call.blocks = NULL;
        assert_ok(mn_pattern_apply(&p, &compute, layer, &c.call, &err), err);
        assert_int_equal(c.call.blocks != NULL, layer >= 2);
    }
    mn_arena_release(&arena);
    attend_case_free(&c);
}

static void quest_bounds_every_product_of_its_page(void **state) {
    (void)state;
    static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0};
    mn_arena arena = MN_ARENA_INIT;
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = &arena};
    mn_error err;
    for (int t = 0; t < 5; t++) {
        attend_spec spec = {types[t], MN_F16, N_KV_HEADS, GROUP, DIM, DIM, 333, 300, 33, .outliers = true};
        attend_case c = attend_case_create(&spec, 5);
        mn_key_summary pages = {0};
        float bounds[333 / 16 + 1], key[MN_ATTEND_MAX_DIM];
        assert_ok(mn_key_summary_update(&pages, MN_SUMMARY_BOUNDS, 16, &compute, &c.call.kv, &err), err);
        for (int64_t r = 0; r < 33; r++)
            for (int h = 0; h < N_HEADS; h++) {
                const float *q = query(&c.call, r, h);
                mn_quest_bounds(&compute, &pages, h / GROUP, q, 1, 0, 333 / 16 + 1, bounds, 333 / 16 + 1);
                for (int64_t j = 0; j < 333; j++) {
                    mn_cached_key(&compute, &c.call.kv, h / GROUP, j, key);
                    double size = 0; /* float sums 64 products, each rounded once */
                    for (int d = 0; d < DIM; d++) size += fabs((double)q[d] * key[d]);
                    double slack = 64 * 0x1p-24 * MN_MAX(size, fabs((double)bounds[j / 16]));
                    assert_true(bounds[j / 16] >= product(q, key) - slack);
                }
            }
        mn_key_summary_release(&pages);
        attend_case_free(&c);
    }
    mn_arena_release(&arena);
}

/* What is no number is less than any. */
static float known(float score) { return isnan(score) ? -INFINITY : score; }

/* The k largest of scores with many equal ones, few, none, and some that are no numbers: by the book. */
static void the_largest_are_those_of_a_plain_search(void **state) {
    (void)state;
    enum { MOST = 20000 };
    static float scores[MOST];
    static int32_t chosen[MOST];
    static bool taken[MOST];
    static const int counts[] = {1, 2, 100, 129, 500, 2047, 2048, 2063, MOST};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int kind = 0; kind < 6; kind++) {
            int n = counts[c];
            uint32_t x = 7;
            for (int i = 0; i < n; i++) {
                x = x * 1664525 + 1013904223;
                scores[i] = kind == 0      ? (float)(x >> 8) / 0x1p20f - 8
                            : kind == 1    ? (float)(x >> 29)
                            : kind == 2    ? 3
                            : kind == 3    ? (i % 7 ? -1e30f : (float)(x >> 8))
                            : kind == 4    ? (i % 50 ? (float)(x >> 8) : INFINITY)
                            : (x >> 8) % 3 ? -(float)(x >> 8)
                                           : NAN;
            }
            for (int k = 0; k <= n; k = k < 3 ? k + 1 : k * 4 + n / 300) {
                int64_t found = mn_choose_largest(scores, n, k, chosen);
                assert_int_equal(found, k);
                memset(taken, 0, sizeof taken);
                for (int i = 0; i < k; i++) {
                    assert_true(chosen[i] > (i ? chosen[i - 1] : -1) && chosen[i] < n);
                    taken[chosen[i]] = true;
                }
                float least = INFINITY;
                int last = -1; /* of those as small as that, the one behind all others */
                for (int i = 0; i < n; i++)
                    if (taken[i] && known(scores[i]) <= least) {
                        least = known(scores[i]);
                        last = i;
                    }
                for (int i = 0; k > 0 && i < n; i++)
                    if (!taken[i]) assert_true(known(scores[i]) < least || (known(scores[i]) == least && i > last));
            }
        }
}

/* Tiles of pages for all heads at once: what single products in double precision give, at each level. */
static void quest_bounds_are_those_of_its_formula(void **state) {
    (void)state;
    static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0};
    mn_arena arena = MN_ARENA_INIT;
    mn_error err;
    for (mn_cpu_level level = MN_CPU_GENERIC; level <= mn_cpu_detect(); level++) {
        mn_compute compute = {.kernels = mn_kernels_get(level), .scratch = &arena};
        for (int t = 0; t < 4 && mn_cpu_supports(level); t++) {
            enum { N = 16 * 100 + 3, PAGES = N / 16 };
            attend_spec spec = {types[t], MN_F16, N_KV_HEADS, GROUP, DIM, DIM, N, N - 1, 1, .outliers = true};
            attend_case c = attend_case_create(&spec, 6);
            mn_key_summary pages = {0};
            float bounds[GROUP][PAGES], key[MN_ATTEND_MAX_DIM];
            assert_ok(mn_key_summary_update(&pages, MN_SUMMARY_BOUNDS, 16, &compute, &c.call.kv, &err), err);
            for (int kv_head = 0; kv_head < N_KV_HEADS; kv_head++) {
                for (int64_t first = 0; first < PAGES; first += MN_SUMMARY_TILE)
                    mn_quest_bounds(&compute, &pages, kv_head, query(&c.call, 0, kv_head * GROUP), GROUP, first,
                                    MN_MIN(PAGES - first, MN_SUMMARY_TILE), bounds[0] + first, PAGES);
                for (int page = 0; page < PAGES; page++) {
                    double low[DIM], high[DIM];
                    for (int j = 0; j < 16; j++) {
                        mn_cached_key(&compute, &c.call.kv, kv_head, page * 16 + j, key);
                        for (int d = 0; d < DIM; d++) {
                            low[d] = j ? MN_MIN(low[d], key[d]) : key[d];
                            high[d] = j ? MN_MAX(high[d], key[d]) : key[d];
                        }
                    }
                    for (int i = 0; i < GROUP; i++) {
                        const float *q = query(&c.call, 0, kv_head * GROUP + i);
                        double bound = 0, size = 0;
                        for (int d = 0; d < DIM; d++) {
                            double product_d = MN_MAX(q[d] * low[d], q[d] * high[d]);
                            bound += product_d;
                            size += fabs(product_d);
                        }
                        assert_true(fabs((double)bounds[i][page] - bound) <= 1e-6 * size + 1e-12);
                    }
                }
            }
            mn_key_summary_release(&pages);
            attend_case_free(&c);
        }
    }
    mn_arena_release(&arena);
}

/* The block lists of XAttention at a level, in f32. Memory is the arena's. */
static mn_block_list xattention_lists(const char *text, attend_case *c, mn_cpu_level level, mn_arena *arena) {
    mn_error err;
    mn_compute compute = {.kernels = mn_kernels_get(level), .scratch = arena, .exact = true};
    mn_pattern p = pattern_of(text);
    c->call.blocks = NULL;
    assert_ok(mn_pattern_apply(&p, &compute, LAYER, &c->call, &err), err);
    mn_block_list lists = *c->call.blocks;
    c->call.blocks = NULL;
    return lists;
}

/* Keys of every type, widths that are no whole vectors, groups in one part and in several: each level
 * chooses the blocks that portable C chooses, which equals_a_dense_mask holds to the formula. */
static void xattention_chooses_alike_at_each_level(void **state) {
    (void)state;
    static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0};
    static const int dims[] = {32, 72, 128};
    static const char *const texts[] = {"xattention:8,0.63", "xattention:16,0.9", "xattention:1,0.3",
                                        "xattention:128,0.71"};
    for (int t = 0; t < 5; t++)
        for (int d = 0; d < 3; d++)
            for (int i = 0; i < 4; i++) {
                attend_spec spec = {.k_type = types[t],
                                    .v_type = MN_F16,
                                    .n_kv_heads = N_KV_HEADS,
                                    .group = GROUP,
                                    .k_dim = dims[d],
                                    .v_dim = DIM,
                                    .n_tokens = N_TOKENS,
                                    .first_token = 333,
                                    .n_rows = N_TOKENS - 333};
                attend_case c = attend_case_create(&spec, 7);
                mn_arena arena = MN_ARENA_INIT;
                mn_block_list want = xattention_lists(texts[i], &c, MN_CPU_GENERIC, &arena);
                int64_t n = want.n_lists * want.n_query_blocks;
                for (mn_cpu_level level = MN_CPU_GENERIC + 1; level <= mn_cpu_detect(); level++) {
                    if (!mn_cpu_supports(level)) continue;
                    mn_block_list got = xattention_lists(texts[i], &c, level, &arena);
                    assert_memory_equal(got.offsets, want.offsets, (size_t)(n + 1) * sizeof *got.offsets);
                    assert_memory_equal(got.blocks, want.blocks, (size_t)want.offsets[n] * sizeof *got.blocks);
                }
                mn_arena_release(&arena);
                attend_case_free(&c);
            }
}

static void assert_same_summary(const mn_key_summary *a, const mn_key_summary *b) {
    int64_t n_blocks = (a->n_tokens + a->block_tokens - 1) / a->block_tokens;
    assert_int_equal(a->n_tokens, b->n_tokens);
    for (int64_t block = 0; block < n_blocks; block++)
        for (int h = 0; h < a->n_kv_heads; h++)
            assert_memory_equal(mn_key_summary_at(a, block, h), mn_key_summary_at(b, block, h),
                                mn_key_summary_row_bytes(a));
}

/* Rows come one by one and in chunks, some are taken back and replaced: the summary is always the one of the rows. */
static void summaries_follow_the_rows(void **state) {
    (void)state;
    static const int64_t lengths[] = {5, 6, 7, 64, 65, 300, 299, 310, 48, 70, 700, 1, 17};
    mn_arena arena = MN_ARENA_INIT;
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = &arena};
    mn_error err;
    for (int kind = MN_SUMMARY_BOUNDS; kind <= MN_SUMMARY_SUM; kind++)
        for (int block = 16; block <= 64; block *= 2) {
            attend_case c = case_of(0, N_TOKENS);
            mn_key_summary grown = {0};
            for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
                mn_key_summary fresh = {0};
                if (i > 0 && lengths[i] < lengths[i - 1]) {
                    mn_key_summary_truncate(&grown, lengths[i] - 1);
                    for (int64_t j = lengths[i] - 1; j < N_TOKENS; j++) cached(&c.call, false, 1, j)[3] += 9;
                }
                c.call.kv.n_tokens = lengths[i];
                assert_ok(mn_key_summary_update(&grown, (mn_summary_kind)kind, block, &compute, &c.call.kv, &err), err);
                assert_ok(mn_key_summary_update(&fresh, (mn_summary_kind)kind, block, &compute, &c.call.kv, &err), err);
                assert_same_summary(&grown, &fresh);
                mn_key_summary_release(&fresh);
            }
            mn_key_summary_release(&grown);
            attend_case_free(&c);
        }
    mn_arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_dense_mask),
        cmocka_unit_test(equal_scores_take_the_lowest_block),
        cmocka_unit_test(enough_budget_is_full_to_the_bit),
        cmocka_unit_test(no_future_key_is_seen),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(quest_leaves_the_first_layers_alone),
        cmocka_unit_test(quest_bounds_every_product_of_its_page),
        cmocka_unit_test(summaries_follow_the_rows),
        cmocka_unit_test(the_largest_are_those_of_a_plain_search),
        cmocka_unit_test(quest_bounds_are_those_of_its_formula),
        cmocka_unit_test(xattention_chooses_alike_at_each_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
