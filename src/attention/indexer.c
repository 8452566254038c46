#include "attention/indexer.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <string.h>

enum { MAX_ROWS = 16, DIGIT_BITS = 11 };

/* Some rows on their way. Scores are f32 in every arithmetic: a choice is a step, and what rounds more turns it over
 * more often. */
typedef struct choice {
    const mn_compute *c;
    const mn_indexer *x;
    const mn_attend_ops *ops;
    int k_pad;
    int64_t first_row, n_rows, n_keys; /* n_keys: those that the last of them may choose from */
    int64_t stride;
    float *scores;   /* [n_rows, stride] */
    float *q;        /* packed: [n_rows, n_heads, k_pad], and what a tile reads behind it */
    float *rooms;    /* of each thread: a packed key tile and the products of a tile */
    uint32_t *ranks; /* of each thread: [stride] */
    uint64_t *chosen;
    int64_t words;
} choice;

static void pack_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const choice *w = arg;
    const mn_indexer *x = w->x;
    for (int64_t r = begin; r < end; r++) {
        const float *q = x->q + (w->first_row + r) * x->q_stride;
        for (int h = 0; h < x->n_heads; h++)
            w->ops->pack_q(w->q + (r * x->n_heads + h) * w->k_pad, q + (int64_t)h * x->kv.k_dim, x->kv.k_dim);
    }
}

static void pack_keys(const choice *w, int64_t first, int n, float *keys) {
    const mn_kv_view *kv = &w->x->kv;
    const char *page = kv->k_pages[first / MN_PAGE_TOKENS];
    if (!page) {
        memset(keys, 0, (size_t)w->k_pad * MN_TILE_KEYS * sizeof *keys);
        return;
    }
    const char *rows = page + (size_t)(first % MN_PAGE_TOKENS) * kv->k_row_bytes;
    w->ops->pack_k(keys, &(mn_cached_rows){kv->k_type, rows, kv->k_row_bytes, n, rows}, kv->k_dim);
}

/* The scores of keys [first, first + n), packed, for all rows. products: of a tile of queries. */
static void score_tile(const choice *w, const float *keys, float *products, int64_t first, int n) {
    const mn_indexer *x = w->x;
    int64_t n_queries = w->n_rows * x->n_heads;
    for (int64_t r = 0; r < w->n_rows; r++) memset(w->scores + r * w->stride + first, 0, (size_t)n * sizeof(float));
    for (int64_t q = 0; q < n_queries; q += w->ops->tile_rows) {
        int here = (int)MN_MIN((int64_t)w->ops->tile_rows, n_queries - q);
        w->ops->scores(products, w->q + q * w->k_pad, keys, 1, here, w->k_pad);
        for (int i = 0; i < here; i++) {
            int64_t r = (q + i) / x->n_heads, h = (q + i) % x->n_heads;
            w->c->kernels->vec.axpy_relu(w->scores + r * w->stride + first, products + i * MN_TILE_KEYS,
                                         x->w[(w->first_row + r) * x->w_stride + h], n);
        }
    }
}

static size_t room_floats(const choice *w) { return (size_t)(w->k_pad + w->ops->tile_rows) * MN_TILE_KEYS; }

/* Items are tiles of keys. */
static void score_keys(void *arg, int64_t begin, int64_t end, int thread_index) {
    const choice *w = arg;
    float *keys = w->rooms + (size_t)thread_index * room_floats(w);
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t first = tile * MN_TILE_KEYS;
        int n = (int)MN_MIN((int64_t)MN_TILE_KEYS, w->n_keys - first);
        pack_keys(w, first, n, keys);
        score_tile(w, keys, keys + w->k_pad * MN_TILE_KEYS, first, n);
    }
}

/* Numbers in the order of floats; what is no number comes first. */
static inline uint32_t rank_of(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    uint32_t rank = bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
    return score == score ? rank : 0;
}

/* The k-th largest of n ranks, and how many of that rank belong to the k largest: digit by digit from the highest, each
 * time among those left that begin as it does, which are moved together. */
static uint32_t find_threshold(uint32_t *ranks, int64_t n, int64_t k, int64_t *n_equal) {
    uint32_t threshold = 0;
    for (int shift = 32; shift > 0;) {
        int64_t counts[1 << DIGIT_BITS] = {0}, n_left = 0;
        int bits = MN_MIN((int)DIGIT_BITS, shift);
        uint32_t digit = (UINT32_C(1) << bits) - 1, mask = digit;
        shift -= bits;
        for (int64_t j = 0; j < n; j++) counts[ranks[j] >> shift & mask]++;
        while (counts[digit] < k) k -= counts[digit--];
        threshold |= digit << shift;
        for (int64_t j = 0; j < n; j++) {
            uint32_t rank = ranks[j];
            ranks[n_left] = rank;
            n_left += (rank >> shift & mask) == digit;
        }
        n = n_left;
    }
    *n_equal = k;
    return threshold;
}

/* Keys that a row may choose from. */
static int64_t n_seen(const choice *w, int64_t row) {
    int64_t n = w->x->first_token + row + 1;
    return MN_MIN(w->x->ratio ? n / w->x->ratio : n, w->x->kv.n_tokens);
}

/* The bits of the keys above the threshold, and of the first n_equal that reach it. */
static void mark_keys(const float *scores, int64_t n, uint32_t threshold, int64_t n_equal, uint64_t *bits) {
    for (int64_t first = 0; first < n; first += 64) {
        int64_t here = MN_MIN((int64_t)64, n - first);
        uint64_t above = 0, equal = 0;
        for (int64_t j = 0; j < here; j++) {
            uint32_t rank = rank_of(scores[first + j]);
            above |= (uint64_t)(rank > threshold) << j;
            equal |= (uint64_t)(rank == threshold) << j;
        }
        for (; equal && n_equal > 0; equal &= equal - 1, n_equal--) above |= equal & -equal;
        bits[first / 64] = above;
    }
}

static void mark_all(int64_t n, uint64_t *bits) {
    for (int64_t first = 0; first < n; first += 64)
        bits[first / 64] = n - first < 64 ? (UINT64_C(1) << (n - first)) - 1 : UINT64_MAX;
}

static void choose_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const choice *w = arg;
    uint32_t *ranks = w->ranks + thread_index * w->stride;
    for (int64_t r = begin; r < end; r++) {
        const float *scores = w->scores + r * w->stride;
        uint64_t *bits = w->chosen + (w->first_row + r) * w->words;
        int64_t n = n_seen(w, w->first_row + r), n_equal = 0;
        memset(bits, 0, (size_t)w->words * sizeof *bits);
        if (n <= w->x->top_k) {
            mark_all(n, bits);
            continue;
        }
        for (int64_t j = 0; j < n; j++) ranks[j] = rank_of(scores[j]);
        uint32_t threshold = find_threshold(ranks, n, w->x->top_k, &n_equal);
        mark_keys(scores, n, threshold, n_equal, bits);
    }
}

static bool take_room(choice *w, int64_t rows) {
    mn_arena *scratch = w->c->scratch;
    size_t n_threads = (size_t)mn_pool_threads(w->c->pool), keys = (size_t)w->stride;
    size_t n_queries = (size_t)rows * (size_t)w->x->n_heads + (size_t)w->ops->tile_rows;
    w->scores = mn_arena_alloc(scratch, (size_t)rows, keys * sizeof *w->scores);
    w->q = mn_arena_alloc(scratch, n_queries, (size_t)w->k_pad * sizeof *w->q);
    w->rooms = mn_arena_alloc(scratch, n_threads, room_floats(w) * sizeof *w->rooms);
    w->ranks = mn_arena_alloc(scratch, n_threads, keys * sizeof *w->ranks);
    return w->scores && w->q && w->rooms && w->ranks;
}

/* As many rows as fit half of the second-level cache with their heads. */
static int64_t rows_at_once(const choice *w) {
    size_t row_bytes = (size_t)w->x->n_heads * (size_t)w->k_pad * sizeof(float);
    int64_t fit = (int64_t)(MN_MIN(w->ops->row_tile_bytes, w->c->kernels->l2_bytes) / 2 / row_bytes);
    return MN_MIN(MN_MAX(fit, 1), MN_MIN((int64_t)MAX_ROWS, w->x->n_rows));
}

mn_status mn_indexer_choose(const mn_compute *c, const mn_indexer *x, uint64_t *chosen, int64_t words, mn_error *err) {
    if (x->kv.k_dim > MN_ATTEND_MAX_DIM || words * 64 < x->kv.n_tokens)
        return mn_fail(err, MN_ERR_ARGUMENT, "an indexer of %d dimensions over %lld keys in %lld words.", x->kv.k_dim,
                       (long long)x->kv.n_tokens, (long long)words);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    const mn_attend_ops *ops = &c->kernels->attend.f32;
    choice w = {.c = c, .x = x, .ops = ops, .stride = x->kv.n_tokens, .chosen = chosen, .words = words};
    w.k_pad = (x->kv.k_dim + ops->k_dims - 1) / ops->k_dims * ops->k_dims;
    int64_t rows = rows_at_once(&w);
    if (!take_room(&w, rows))
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the scores of %lld keys.", (long long)x->kv.n_tokens);
    for (w.first_row = 0; w.first_row < x->n_rows; w.first_row += rows) {
        w.n_rows = MN_MIN(rows, x->n_rows - w.first_row);
        w.n_keys = n_seen(&w, w.first_row + w.n_rows - 1);
        if (w.n_keys > x->top_k) {
            mn_pool_run(c->pool, w.n_rows, 1, pack_rows, &w);
            mn_pool_run(c->pool, (w.n_keys + MN_TILE_KEYS - 1) / MN_TILE_KEYS, 1, score_keys, &w);
        }
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
