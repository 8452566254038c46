#include "attention/indexer.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { ROWS = 16, KEYS = 64, MAX_DIM = 1024, DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

/* Some rows on their way. */
typedef struct choice {
    const mn_compute *c;
    const mn_indexer *x;
    int64_t first_row, n_rows, n_keys;
    float *scores; /* [ROWS, n_keys] */
    uint64_t *chosen;
    int64_t words;
} choice;

static void read_key(const choice *w, int64_t token, float *key) {
    const mn_kv_view *kv = &w->x->kv;
    const char *page = kv->k_pages[token / MN_PAGE_TOKENS];
    int n = mn_dtype_get(kv->k_type)->quantised ? (kv->k_dim + 31) / 32 * 32 : kv->k_dim; /* whole blocks */
    if (page)
        w->c->kernels->vec.to_f32(kv->k_type, page + (size_t)(token % MN_PAGE_TOKENS) * kv->k_row_bytes, key, n);
    else
        memset(key, 0, (size_t)kv->k_dim * sizeof *key);
}

/* Items are blocks of KEYS keys. */
static void score_keys(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const choice *w = arg;
    const mn_indexer *x = w->x;
    float key[MAX_DIM + 32];
    for (int64_t j = begin * KEYS; j < MN_MIN(end * KEYS, w->n_keys); j++) {
        read_key(w, j, key);
        for (int64_t r = 0; r < w->n_rows; r++) {
            const float *q = x->q + (w->first_row + r) * x->q_stride,
                        *weights = x->w + (w->first_row + r) * x->w_stride;
            float sum = 0;
            for (int h = 0; h < x->n_heads; h++)
                sum += weights[h] * fmaxf(w->c->kernels->vec.dot(q + (int64_t)h * x->kv.k_dim, key, x->kv.k_dim), 0);
            w->scores[r * w->n_keys + j] = sum;
        }
    }
}

/* Numbers in the order of floats; what is no number comes first. */
static uint32_t rank_of(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    if (isnan(score)) return 0;
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

/* The k-th largest rank of n, and how many of that rank belong to the k largest: digit by digit from the highest. */
static uint32_t find_threshold(const float *scores, int64_t n, int64_t k, int64_t *n_equal) {
    uint32_t prefix = 0, mask = 0;
    for (int shift = 32 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
        int64_t counts[DIGITS] = {0};
        for (int64_t j = 0; j < n; j++) {
            uint32_t rank = rank_of(scores[j]);
            if ((rank & mask) == prefix) counts[rank >> shift & (DIGITS - 1)]++;
        }
        int digit = DIGITS - 1;
        while (counts[digit] < k) k -= counts[digit--];
        prefix |= (uint32_t)digit << shift;
        mask |= (uint32_t)(DIGITS - 1) << shift;
    }
    *n_equal = k;
    return prefix;
}

/* Keys that a row may choose from. */
static int64_t n_seen(const choice *w, int64_t row) {
    int64_t n = w->x->first_token + row + 1;
    return MN_MIN(w->x->ratio ? n / w->x->ratio : n, w->n_keys);
}

static void choose_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const choice *w = arg;
    for (int64_t r = begin; r < end; r++) {
        const float *scores = w->scores + r * w->n_keys;
        uint64_t *bits = w->chosen + (w->first_row + r) * w->words;
        int64_t n = n_seen(w, w->first_row + r), n_equal = 0;
        memset(bits, 0, (size_t)w->words * sizeof *bits);
        bool all = n <= w->x->top_k;
        uint32_t threshold = all ? 0 : find_threshold(scores, n, w->x->top_k, &n_equal);
        for (int64_t j = 0; j < n; j++) {
            uint32_t rank = all ? 1 : rank_of(scores[j]);
            if (rank > threshold || (rank == threshold && n_equal-- > 0)) bits[j / 64] |= UINT64_C(1) << j % 64;
        }
    }
}

mn_status mn_indexer_choose(const mn_compute *c, const mn_indexer *x, uint64_t *chosen, int64_t words, mn_error *err) {
    if (x->kv.k_dim > MAX_DIM || words * 64 < x->kv.n_tokens)
        return mn_fail(err, MN_ERR_ARGUMENT, "an indexer of %d dimensions over %lld keys in %lld words.", x->kv.k_dim,
                       (long long)x->kv.n_tokens, (long long)words);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    choice w = {.c = c, .x = x, .n_keys = x->kv.n_tokens, .chosen = chosen, .words = words};
    w.scores =
        mn_arena_alloc(c->scratch, (size_t)MN_MIN(x->n_rows, (int64_t)ROWS), (size_t)w.n_keys * sizeof *w.scores);
    if (!w.scores) return mn_fail(err, MN_ERR_MEMORY, "no memory for the scores of %lld keys.", (long long)w.n_keys);
    for (w.first_row = 0; w.first_row < x->n_rows; w.first_row += ROWS) {
        w.n_rows = MN_MIN((int64_t)ROWS, x->n_rows - w.first_row);
        if (n_seen(&w, w.first_row + w.n_rows - 1) > x->top_k)
            mn_pool_run(c->pool, (w.n_keys + KEYS - 1) / KEYS, 1, score_keys, &w);
        mn_pool_run(c->pool, w.n_rows, 1, choose_rows, &w);
    }
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

const mn_technique mn_indexer_about = {
    .name = "learned sparse attention (lightning indexer)",
    .paper = "DeepSeek-AI 2025 (arXiv:2512.02556)",
    .file = "src/attention/indexer.c",
    .test = "tests/attention/indexer_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
