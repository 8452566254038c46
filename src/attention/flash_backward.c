#include "attention/flash_backward.h"

#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { MAX_BLOCK = 256, MAX_BLOCK_TILES = MAX_BLOCK / MN_TILE_KEYS, SQUARES_WANTED = 8, DELTA_GRAIN = 64 };

static const float LOG2_E = 1.44269504f;

/* A query block and a key block of one KV head. */
typedef struct square {
    int32_t kv_head, query_block, key_block;
} square;

typedef struct backward {
    const mn_compute *c;
    const mn_attend *a;
    const mn_attend_grad *g;
    const mn_attend_back_ops *ops;
    int group, k_pad, v_pad;
    int64_t block_tokens, first_block, n_query_blocks, n_key_blocks; /* query blocks count from first_block */
    float *delta;                                                    /* [n_rows, n_heads] */
    uint64_t *visible; /* [n_kv_heads, n_query_blocks, row_words]: key blocks of which something is seen */
    int64_t row_words;
    square *squares; /* of one distance */
    char *scratch;   /* thread_bytes per thread */
    size_t rows_bytes, keys_bytes, thread_bytes;
} backward;

/* Of some thread: a row tile, the key tiles of a key block, and their gradients. */
typedef struct workspace {
    char *rows, *keys, *room;
    float *d_q, *d_k, *d_v;
    float *lse, *delta, *slope, *offset; /* [MN_BACKWARD_ROWS] */
    uint64_t *seen;
} workspace;

/* One size for all, by the shape alone; smaller where heads are few, so that there are squares enough. */
static int64_t choose_block_tokens(const mn_attend *a) {
    int64_t block = MAX_BLOCK;
    while (block > MN_TILE_KEYS && a->n_rows * a->kv.n_kv_heads < SQUARES_WANTED * block) block /= 2;
    return block;
}

static size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static size_t workspace_bytes(const backward *b) {
    size_t key_floats = (size_t)b->block_tokens * (size_t)(b->k_pad + b->v_pad);
    size_t n_tiles = (size_t)(b->block_tokens / MN_TILE_KEYS);
    return b->rows_bytes + n_tiles * b->keys_bytes + align64(b->ops->room_bytes) +
           (size_t)MN_BACKWARD_ROWS * (size_t)b->k_pad * sizeof(float) + key_floats * sizeof(float) +
           MN_BACKWARD_ROWS * (4 * sizeof(float) + sizeof(uint64_t));
}

static workspace workspace_of(const backward *b, int thread_index) {
    workspace w = {.rows = b->scratch + (size_t)thread_index * b->thread_bytes};
    w.keys = w.rows + b->rows_bytes;
    w.room = w.keys + (size_t)(b->block_tokens / MN_TILE_KEYS) * b->keys_bytes;
    w.d_q = (float *)(void *)(w.room + align64(b->ops->room_bytes));
    w.d_k = w.d_q + MN_BACKWARD_ROWS * b->k_pad;
    w.d_v = w.d_k + b->block_tokens * b->k_pad;
    w.lse = w.d_v + b->block_tokens * b->v_pad;
    w.delta = w.lse + MN_BACKWARD_ROWS;
    w.slope = w.delta + MN_BACKWARD_ROWS;
    w.offset = w.slope + MN_BACKWARD_ROWS;
    w.seen = (uint64_t *)(void *)(w.offset + MN_BACKWARD_ROWS);
    return w;
}

/* delta[r, h] = d_out . out */
static void make_delta(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const backward *b = arg;
    const mn_attend *a = b->a;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = i / a->n_heads, at = i % a->n_heads * a->kv.v_dim;
        b->delta[i] = b->c->kernels->vec.dot(b->g->d_out + r * b->g->d_out_stride + at, a->out + r * a->out_stride + at,
                                             a->kv.v_dim);
    }
}

/* Tokens of a query block that are rows of the call. */
static mn_key_range tokens_of(const backward *b, int64_t query_block) {
    int64_t begin = query_block * b->block_tokens, last = b->a->first_token + b->a->n_rows;
    return (mn_key_range){MN_MAX(begin, b->a->first_token), MN_MIN(begin + b->block_tokens, last)};
}

static bool overlaps(int64_t begin, int64_t end, int64_t first, int64_t last) { return begin < last && first < end; }

/* Items are query blocks of KV heads. */
static void find_visible(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const backward *b = arg;
    for (int64_t i = begin; i < end; i++) {
        mn_key_range tokens = tokens_of(b, b->first_block + i % b->n_query_blocks);
        uint64_t *bits = b->visible + i * b->row_words;
        mn_visible_blocks(b->a, (int)(i / b->n_query_blocks), tokens.begin, tokens.end - 1, (int)b->block_tokens,
                          b->n_key_blocks, bits);
        int64_t low = mn_visible_range(b->a, tokens.begin).begin, high = mn_visible_range(b->a, tokens.end - 1).end;
        for (int64_t block = 0; block < b->n_key_blocks; block++) {
            int64_t first = block * b->block_tokens, last = first + b->block_tokens;
            if (!overlaps(first, last, low, high) && first >= MN_MIN(b->a->n_sinks, high))
                bits[block / 64] &= ~(UINT64_C(1) << block % 64);
        }
    }
}

/* Packs the key tiles of a key block; returns in *held which of them have not been dropped. */
static void pack_keys(const backward *b, const workspace *w, const square *s, unsigned *held) {
    const mn_kv_view *kv = &b->a->kv;
    *held = 0;
    for (int i = 0; i < (int)(b->block_tokens / MN_TILE_KEYS); i++) {
        int64_t tile_begin = s->key_block * b->block_tokens + i * MN_TILE_KEYS;
        if (tile_begin >= kv->n_tokens) break;
        mn_cached_rows k = mn_tile_rows(kv, s->kv_head, false, tile_begin),
                       v = mn_tile_rows(kv, s->kv_head, true, tile_begin);
        if (!k.rows || !v.rows) continue;
        *held |= 1u << i;
        b->ops->pack_keys(w->keys + (size_t)i * b->keys_bytes, &k, &v, kv->k_dim, kv->v_dim);
    }
    memset(w->d_k, 0, (size_t)b->block_tokens * (size_t)(b->k_pad + b->v_pad) * sizeof(float));
}

/* Rows [first, first + n_rows) of a query block: a row is a (token, query head) pair, tokens slowest. */
typedef struct row_range {
    int64_t token; /* of the block's row 0 */
    int first, n_rows;
} row_range;

static int64_t row_token(const backward *b, const row_range *r, int row) {
    return r->token + (r->first + row) / b->group;
}

static int row_head(const backward *b, const square *s, const row_range *r, int row) {
    return s->kv_head * b->group + (r->first + row) % b->group;
}

static void pack_rows(const backward *b, const workspace *w, const square *s, const row_range *r) {
    const mn_attend *a = b->a;
    const float *q[MN_BACKWARD_ROWS], *d_out[MN_BACKWARD_ROWS];
    for (int i = 0; i < r->n_rows; i++) {
        int64_t row = row_token(b, r, i) - a->first_token;
        int head = row_head(b, s, r, i);
        q[i] = a->q + row * a->q_stride + (int64_t)head * a->kv.k_dim;
        d_out[i] = b->g->d_out + row * b->g->d_out_stride + (int64_t)head * a->kv.v_dim;
        w->lse[i] = a->lse[row * a->n_heads + head];
        w->delta[i] = b->delta[row * a->n_heads + head];
        w->slope[i] = a->slopes ? a->slopes[head] * LOG2_E : 0;
    }
    b->ops->pack_rows(w->rows, q, d_out, r->n_rows, a->kv.k_dim, a->kv.v_dim);
    memset(w->d_q, 0, (size_t)r->n_rows * (size_t)b->k_pad * sizeof *w->d_q);
}

/* What a row tile and key tile i of the block do to each other. */
static void run_tile(const backward *b, const workspace *w, const square *s, const row_range *r, int i) {
    const mn_attend *a = b->a;
    int64_t tile_begin = s->key_block * b->block_tokens + i * MN_TILE_KEYS;
    mn_sight sight = mn_look(a, s->kv_head, row_token(b, r, 0), row_token(b, r, r->n_rows - 1), tile_begin);
    if (sight == MN_SEES_NONE) return;
    for (int row = 0; row < r->n_rows; row++) {
        int64_t token = row_token(b, r, row);
        if (sight == MN_SEES_SOME) w->seen[row] = mn_visible_keys(a, row_head(b, s, r, row), token, tile_begin);
        w->offset[row] = (float)(tile_begin - token);
    }
    mn_attend_back tile = {.rows = w->rows,
                           .keys = w->keys + (size_t)i * b->keys_bytes,
                           .n_rows = r->n_rows,
                           .k_pad = b->k_pad,
                           .v_pad = b->v_pad,
                           .factor = a->softcap > 0 ? a->scale / a->softcap : a->scale * LOG2_E,
                           .cap = a->softcap > 0 ? a->softcap * LOG2_E : 0,
                           .lse = w->lse,
                           .delta = w->delta,
                           .slope = a->slopes ? w->slope : NULL,
                           .offset = w->offset,
                           .seen = sight == MN_SEES_SOME ? w->seen : NULL,
                           .d_q = w->d_q,
                           .d_k = w->d_k + (int64_t)i * MN_TILE_KEYS * b->k_pad,
                           .d_v = w->d_v + (int64_t)i * MN_TILE_KEYS * b->v_pad,
                           .room = w->room};
    b->ops->tile(&tile);
}

static void write_rows(const backward *b, const workspace *w, const square *s, const row_range *r) {
    const mn_attend *a = b->a;
    for (int i = 0; i < r->n_rows; i++) {
        int64_t row = row_token(b, r, i) - a->first_token;
        float *d_q = b->g->d_q + row * b->g->d_q_stride + (int64_t)row_head(b, s, r, i) * a->kv.k_dim;
        b->c->kernels->vec.axpy(d_q, w->d_q + i * b->k_pad, a->scale, a->kv.k_dim);
    }
}

static void write_keys(const backward *b, const workspace *w, const square *s) {
    const mn_vec_kernels *vec = &b->c->kernels->vec;
    const mn_kv_view *kv = &b->a->kv;
    const mn_attend_grad *g = b->g;
    int64_t first = s->key_block * b->block_tokens, n = MN_MIN(b->block_tokens, kv->n_tokens - first);
    for (int64_t j = 0; j < n; j++) {
        float *d_k = g->d_k + (first + j) * g->d_k_stride + (int64_t)s->kv_head * kv->k_dim;
        float *d_v = g->d_v ? g->d_v + (first + j) * g->d_v_stride + (int64_t)s->kv_head * kv->v_dim : d_k;
        vec->axpy(d_k, w->d_k + j * b->k_pad, b->a->scale, kv->k_dim);
        vec->add(d_v, d_v, w->d_v + j * b->v_pad, kv->v_dim);
    }
}

static void run_square(const backward *b, const workspace *w, const square *s) {
    unsigned held;
    mn_key_range tokens = tokens_of(b, s->query_block);
    int n_all = (int)(tokens.end - tokens.begin) * b->group, n_tiles = (int)(b->block_tokens / MN_TILE_KEYS);
    pack_keys(b, w, s, &held);
    for (int first = 0; first < n_all; first += MN_BACKWARD_ROWS) {
        row_range rows = {tokens.begin, first, MN_MIN((int)MN_BACKWARD_ROWS, n_all - first)};
        pack_rows(b, w, s, &rows);
        for (int i = 0; i < n_tiles; i++)
            if (held >> i & 1) run_tile(b, w, s, &rows, i);
        write_rows(b, w, s, &rows);
    }
    write_keys(b, w, s);
}

static void run_squares(void *arg, int64_t begin, int64_t end, int thread_index) {
    const backward *b = arg;
    workspace w = workspace_of(b, thread_index);
    for (int64_t i = begin; i < end; i++) run_square(b, &w, &b->squares[i]);
}

/* Squares of which something is seen, `distance` blocks below the diagonal. */
static int64_t collect_squares(const backward *b, int64_t distance) {
    int64_t n = 0;
    for (int h = 0; h < b->a->kv.n_kv_heads; h++)
        for (int64_t i = 0; i < b->n_query_blocks; i++) {
            int64_t key_block = b->first_block + i - distance;
            if (key_block < 0 || key_block >= b->n_key_blocks) continue;
            const uint64_t *bits = b->visible + (h * b->n_query_blocks + i) * b->row_words;
            if (bits[key_block / 64] >> key_block % 64 & 1)
                b->squares[n++] = (square){h, (int32_t)(b->first_block + i), (int32_t)key_block};
        }
    return n;
}

static mn_status take_scratch(backward *b, mn_error *err) {
    mn_arena *scratch = b->c->scratch;
    size_t n_items = (size_t)b->a->kv.n_kv_heads * (size_t)b->n_query_blocks;
    b->rows_bytes = align64(b->ops->rows_bytes(b->k_pad, b->v_pad));
    b->keys_bytes = align64(b->ops->keys_bytes(b->k_pad, b->v_pad));
    b->thread_bytes = align64(workspace_bytes(b));
    b->delta = mn_arena_alloc(scratch, (size_t)b->a->n_rows * (size_t)b->a->n_heads, sizeof *b->delta);
    b->visible = mn_arena_zalloc(scratch, n_items * (size_t)b->row_words, sizeof *b->visible);
    b->squares = mn_arena_alloc(scratch, n_items, sizeof *b->squares);
    b->scratch = mn_arena_alloc(scratch, (size_t)mn_pool_threads(b->c->pool), b->thread_bytes);
    if (!b->delta || !b->visible || !b->squares || !b->scratch)
        return mn_fail(err, MN_ERR_MEMORY,
                       "the backward of attention needs %zu bytes for each of %d threads, and memory has ended.",
                       b->thread_bytes, mn_pool_threads(b->c->pool));
    return MN_OK;
}

static mn_status check(const mn_attend *a, mn_error *err) {
    MN_TRY(mn_attend_check(a, err));
    if (a->mla) return mn_fail(err, MN_ERR_UNSUPPORTED, "latent attention has a backward of its own.");
    if (a->sums || a->first_key || a->end_key)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "attention in several parts has no backward; keep all keys in memory.");
    if (!a->lse) return mn_fail(err, MN_ERR_ARGUMENT, "the backward of attention needs the forward's log-sum-exp.");
    return MN_OK;
}

mn_status mn_flash_backward(const mn_compute *c, const mn_attend *a, const mn_attend_grad *g, mn_error *err) {
    MN_TRY(check(a, err));
    if (a->n_rows == 0 || a->kv.n_tokens == 0) return MN_OK;
    backward b = {.c = c, .a = a, .g = g, .group = a->n_heads / a->kv.n_kv_heads};
    b.ops = c->exact ? &c->kernels->attend.back_f32 : &c->kernels->attend.back_fast;
    b.k_pad = mn_attend_pad(a->kv.k_dim);
    b.v_pad = mn_attend_pad(a->kv.v_dim);
    b.block_tokens = choose_block_tokens(a);
    b.first_block = a->first_token / b.block_tokens;
    b.n_query_blocks = (a->first_token + a->n_rows - 1) / b.block_tokens - b.first_block + 1;
    b.n_key_blocks = (a->kv.n_tokens - 1) / b.block_tokens + 1;
    b.row_words = (b.n_key_blocks + 63) / 64;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = take_scratch(&b, err);
    if (status == MN_OK) {
        mn_pool_run(c->pool, a->n_rows * a->n_heads, DELTA_GRAIN, make_delta, &b);
        mn_pool_run(c->pool, a->kv.n_kv_heads * b.n_query_blocks, 1, find_visible, &b);
        for (int64_t distance = 0; distance < b.first_block + b.n_query_blocks; distance++)
            mn_pool_run(c->pool, collect_squares(&b, distance), 1, run_squares, &b);
    }
    mn_arena_rewind(c->scratch, mark);
    return status;
}

const mn_technique mn_flash_backward_about = {
    .name = "flash attention, backward (training)",
    .paper = "Dao 2023 (arXiv:2307.08691)",
    .flag = "mnemo train",
    .file = "src/attention/flash_backward.c",
    .test = "tests/attention/flash_backward_test.c",
    .exact = true,
};
