/* XAttention, Xu et al. 2025 (arXiv:2503.16428), sec. 2: in a prompt, the sums along antidiagonals, S tokens apart,
 * tell which blocks of 128 keys matter to a block of 128 queries. Tokens are taken S at a time; for a group i of
 * queries and a group j of keys score(i, j) = scale / S * sum_t q[i S + S - 1 - t] . k[j S + t],   softmax over the
 * groups j <= i, and the weights of a block are summed. Each head keeps the fewest blocks that, with block 0 and its
 * own, hold the share `mass` of the weight. All queries of a block choose together: a later one may change which
 * earlier blocks an earlier one sees, and never shows it a later key.
 */
#include "attention/patterns/kinds.h"

#include "attention/patterns/choice.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/profile.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 };

static const char *check(mn_pattern *p) {
    int64_t stride = p->args[0], mass = p->args[1];
    p->block_tokens = BLOCK;
    if (stride < 1 || stride > BLOCK || (stride & (stride - 1)))
        return "the stride is a power of two from 1 to 128 tokens";
    return mass < 1 || mass > MN_PATTERN_WHOLE ? "the mass is a share of the weight, above 0 and at most 1" : NULL;
}

typedef struct weighed {
    double weight;
    int32_t block;
} weighed;

/* Queries and keys in groups, for the query heads of one KV head at a time. Groups are to attention's tiles what rows
 * are, in parts of so many tokens as fit the widest row. */
typedef struct groups {
    const mn_attend *a;
    const mn_compute *c;
    const mn_attend_ops *ops;
    mn_choice *choice;
    int stride, kv_head, heads; /* heads: query heads per KV head */
    double mass;
    bool keep_all;                    /* the mass is 1: rounding must not drop a block */
    int64_t first, n_queries, n_keys; /* groups: the first of queries, and how many */
    int part_tokens, k_pad;           /* tokens of a part, and its dims in packed rows */
    mn_dtype type;                    /* of a part's keys: as they are cached where they follow each other, else f32 */
    size_t key_bytes;                 /* of a token in it */
    char *queries;                    /* [parts, heads * n_queries rounded up to tiles] packed rows */
    float *scores;                    /* [heads, n_queries, n_keys] */
    char *rooms;                      /* [n_threads, room_bytes]: keys of a tile, the same packed, scores */
    size_t room_bytes;
    weighed *blocks; /* [n_threads, blocks] */
} groups;

static size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static int64_t n_rows_of(const groups *g) { return g->heads * g->n_queries; }

static size_t row_bytes_of(const groups *g) { return (size_t)g->k_pad * (size_t)g->ops->operand_bytes; }

/* Operations on packed rows may read up to a whole tile of them. */
static size_t part_bytes(const groups *g) {
    int64_t tile = g->ops->tile_rows;
    return align64((size_t)((n_rows_of(g) + tile - 1) / tile * tile) * row_bytes_of(g));
}

static size_t keys_bytes(const groups *g) { return align64(MN_TILE_KEYS * (size_t)g->part_tokens * g->key_bytes) + 64; }

/* Tokens of a group back to front; those that are not of this call are zeros. */
static void pack_queries(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const groups *g = arg;
    const mn_attend *a = g->a;
    size_t token_bytes = (size_t)a->kv.k_dim * sizeof(float);
    float part[MN_ATTEND_MAX_DIM];
    for (int64_t item = begin; item < end; item++) {
        int64_t head = g->kv_head * g->heads + item / g->n_queries, group = g->first + item % g->n_queries;
        for (int t = 0; t < g->stride; t++) {
            int64_t row = group * g->stride + g->stride - 1 - t - a->first_token;
            float *to = part + t % g->part_tokens * a->kv.k_dim;
            if (row < 0 || row >= a->n_rows)
                memset(to, 0, token_bytes);
            else
                memcpy(to, a->q + row * a->q_stride + head * a->kv.k_dim, token_bytes);
            if ((t + 1) % g->part_tokens) continue;
            g->ops->pack_q(g->queries + (size_t)(t / g->part_tokens) * part_bytes(g) + (size_t)item * row_bytes_of(g),
                           part, g->part_tokens * a->kv.k_dim);
        }
    }
}

/* The keys of n tokens from `token` on, of one group and so of one page. */
static void copy_keys(const groups *g, int64_t token, int n, char *to) {
    const mn_kv_view *kv = &g->a->kv;
    const char *page = token < kv->n_tokens ? kv->k_pages[token / MN_PAGE_TOKENS] : NULL;
    int n_real = page ? (int)MN_MIN(n, kv->n_tokens - token) : 0;
    float key[MN_ATTEND_MAX_DIM];
    size_t first = (size_t)g->kv_head * MN_PAGE_TOKENS + (size_t)(token % MN_PAGE_TOKENS);
    memset(to + (size_t)n_real * g->key_bytes, 0, (size_t)(n - n_real) * g->key_bytes);
    if (n_real > 0 && g->type == kv->k_type && g->key_bytes == kv->k_row_bytes) {
        memcpy(to, page + first * kv->k_row_bytes, (size_t)n_real * g->key_bytes);
        return;
    }
    for (int t = 0; t < n_real; t++) {
        mn_cached_key(g->c, kv, g->kv_head, token + t, key);
        memcpy(to + (size_t)t * g->key_bytes, key, g->key_bytes);
    }
}

/* The scores of all queries with a part of a tile of key groups; later parts are added. */
static void score_part(const groups *g, int64_t first, int part, char *room) {
    char *keys = room, *packed = keys + keys_bytes(g);
    float *s = (float *)(void *)(packed + MN_TILE_KEYS * row_bytes_of(g));
    int n = (int)MN_MIN((int64_t)MN_TILE_KEYS, g->n_keys - first);
    mn_cached_rows rows = {g->type, keys, (size_t)g->part_tokens * g->key_bytes, n, keys};
    for (int j = 0; j < n; j++)
        copy_keys(g, (first + j) * g->stride + part * g->part_tokens, g->part_tokens,
                  keys + (size_t)j * rows.row_bytes);
    g->ops->pack_k(packed, &rows, g->part_tokens * g->a->kv.k_dim);
    for (int64_t row = 0; row < n_rows_of(g); row += g->ops->tile_rows) {
        int n_rows = (int)MN_MIN((int64_t)g->ops->tile_rows, n_rows_of(g) - row);
        const char *q = g->queries + (size_t)part * part_bytes(g) + (size_t)row * row_bytes_of(g);
        g->ops->scores(s, q, packed, g->a->scale / (float)g->stride, n_rows, g->k_pad);
        for (int r = 0; r < n_rows; r++) {
            float *to = g->scores + (row + r) * g->n_keys + first;
            if (part > 0)
                g->c->kernels->vec.add(to, to, s + r * MN_TILE_KEYS, n);
            else
                memcpy(to, s + r * MN_TILE_KEYS, (size_t)n * sizeof *to);
        }
    }
}

/* Items are tiles of key groups. What no query sees is computed too: less than half of the last rows' tiles. */
static void score_tiles(void *arg, int64_t begin, int64_t end, int thread_index) {
    const groups *g = arg;
    char *room = g->rooms + (size_t)thread_index * g->room_bytes;
    if (g->ops->enter) g->ops->enter();
    for (int64_t tile = begin; tile < end; tile++)
        for (int part = 0; part * g->part_tokens < g->stride; part++) score_part(g, tile * MN_TILE_KEYS, part, room);
    if (g->ops->leave) g->ops->leave();
}

/* All scores of one KV head's queries. */
static void score(groups *g) {
    mn_pool_run(g->c->pool, n_rows_of(g), 8, pack_queries, g);
    mn_pool_run(g->c->pool, (g->n_keys + MN_TILE_KEYS - 1) / MN_TILE_KEYS, 1, score_tiles, g);
}

static int heaviest_first(const void *a, const void *b) {
    const weighed *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return (x->block > y->block) - (x->block < y->block);
}

static float sum_of(const float *x, int64_t n) {
    float sums[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) sums[k] += x[i + k];
    for (; i < n; i++) sums[0] += x[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Sums the softmax of the rows of one query block into blocks [own + 1], and returns the weight of all. */
static double weigh(const groups *g, int64_t head, int64_t own, weighed *blocks) {
    int64_t per_block = BLOCK / g->stride, end = MN_MIN((own + 1) * per_block, g->first + g->n_queries);
    double total = 0;
    for (int64_t b = 0; b <= own; b++) blocks[b] = (weighed){0, (int32_t)b};
    for (int64_t group = MN_MAX(own * per_block, g->first); group < end; group++) {
        float *row = g->scores + (head * g->n_queries + group - g->first) * g->n_keys;
        g->c->kernels->vec.softmax(row, group + 1);
        for (int64_t b = 0; b <= own; b++)
            blocks[b].weight += (double)sum_of(row + b * per_block, MN_MIN(per_block, group + 1 - b * per_block));
        total++;
    }
    return total;
}

/* Block 0 and the query block's own, then the heaviest until they hold the mass. Returns how many. */
static int64_t keep_mass(const groups *g, weighed *blocks, int64_t own, double total, int32_t *chosen) {
    double held = blocks[0].weight + (own > 0 ? blocks[own].weight : 0);
    int64_t n = 0;
    chosen[n++] = 0;
    if (own > 0) chosen[n++] = (int32_t)own;
    if (own > 1) qsort(blocks + 1, (size_t)own - 1, sizeof *blocks, heaviest_first);
    for (int64_t i = 1; i < own && (g->keep_all || held < g->mass * total); i++) {
        held += blocks[i].weight;
        chosen[n++] = blocks[i].block;
    }
    return n;
}

/* Items are query blocks of the query heads that share the KV head. */
static void choose_blocks(void *arg, int64_t begin, int64_t end, int thread_index) {
    const groups *g = arg;
    const mn_block_list *lists = &g->choice->lists;
    weighed *blocks = g->blocks + thread_index * g->choice->capacity;
    for (int64_t item = begin; item < end; item++) {
        int64_t own = lists->first_query_block + item % lists->n_query_blocks;
        int64_t list = g->kv_head * g->heads * lists->n_query_blocks + item;
        double total = weigh(g, item / lists->n_query_blocks, own, blocks);
        mn_choice_close(g->choice, list, keep_mass(g, blocks, own, total, mn_choice_at(g->choice, list)));
    }
}

static groups groups_of(const mn_pattern *p, const mn_compute *c, const mn_attend *a, mn_choice *choice) {
    const mn_kv_view *kv = &a->kv;
    groups g = {.a = a, .c = c, .choice = choice, .stride = (int)p->args[0], .heads = a->n_heads / kv->n_kv_heads};
    bool follows = kv->k_row_bytes == mn_dtype_row_bytes(kv->k_type, kv->k_dim);
    g.ops = c->exact ? &c->kernels->attend.f32 : &c->kernels->attend.fast;
    g.mass = (double)p->args[1] / MN_PATTERN_WHOLE;
    g.keep_all = p->args[1] == MN_PATTERN_WHOLE;
    g.first = a->first_token / g.stride;
    g.n_keys = (a->first_token + a->n_rows - 1) / g.stride + 1;
    g.n_queries = g.n_keys - g.first;
    g.part_tokens = g.stride;
    while (g.part_tokens * kv->k_dim > MN_ATTEND_MAX_DIM) g.part_tokens /= 2;
    g.k_pad = (g.part_tokens * kv->k_dim + g.ops->k_dims - 1) / g.ops->k_dims * g.ops->k_dims;
    g.type = follows ? kv->k_type : MN_F32;
    g.key_bytes = follows ? kv->k_row_bytes : (size_t)kv->k_dim * sizeof(float);
    g.room_bytes =
        keys_bytes(&g) + MN_TILE_KEYS * row_bytes_of(&g) + (size_t)g.ops->tile_rows * MN_TILE_KEYS * sizeof(float);
    return g;
}

static mn_status take_memory(groups *g, int64_t n_blocks, mn_error *err) {
    mn_arena *scratch = g->c->scratch;
    size_t n_threads = (size_t)mn_pool_threads(g->c->pool);
    g->queries = mn_arena_alloc(scratch, (size_t)(g->stride / g->part_tokens), part_bytes(g));
    g->scores = mn_arena_alloc(scratch, (size_t)(n_rows_of(g) * g->n_keys), sizeof *g->scores);
    g->rooms = mn_arena_alloc(scratch, n_threads, g->room_bytes);
    g->blocks = mn_arena_alloc(scratch, n_threads * (size_t)n_blocks, sizeof *g->blocks);
    if (g->queries && g->scores && g->rooms && g->blocks) return MN_OK;
    return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
                        "no memory to weigh %lld blocks; use a smaller batch.", (long long)n_blocks);
}

static void count_work(const groups *g) {
    mn_profile *p = g->c->profile;
    double rows = (double)g->n_queries * g->a->n_heads, keys = (double)g->n_keys;
    if (!p) return;
    mn_profile_count(p, MN_OP_CHOICE, 2 * rows * keys * g->stride * g->a->kv.k_dim,
                     keys * g->stride * (double)g->a->kv.k_row_bytes * g->a->kv.n_kv_heads,
                     MN_MAX(p->peaks.f32_flops_per_s, g->c->exact ? 0 : p->peaks.bf16_flops_per_s));
}

static mn_status choose(const mn_pattern *p, const mn_compute *c, int layer, const mn_attend *a, mn_key_summary *keys,
                        mn_block_list *out, mn_error *err) {
    (void)layer, (void)keys;
    if (a->n_rows == 1) return MN_OK;
    mn_choice choice;
    int64_t first = a->first_token / BLOCK, end = (a->first_token + a->n_rows - 1) / BLOCK + 1;
    mn_block_list lists = {
        .block_tokens = BLOCK, .first_query_block = first, .n_query_blocks = end - first, .n_lists = a->n_heads};
    MN_TRY(mn_choice_init(&choice, lists, end, c->scratch, err));
    groups g = groups_of(p, c, a, &choice);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    MN_TRY(take_memory(&g, end, err));
    for (g.kv_head = 0; g.kv_head < a->kv.n_kv_heads; g.kv_head++) {
        score(&g);
        mn_pool_run(c->pool, g.heads * lists.n_query_blocks, 1, choose_blocks, &g);
    }
    mn_arena_rewind(c->scratch, mark);
    count_work(&g);
    *out = mn_choice_finish(&choice);
    return MN_OK;
}

const mn_pattern_kind mn_pattern_xattention = {
    .name = "xattention",
    .usage = "xattention:stride,mass",
    .takes = "a whole number and a share from 0 to 1",
    .meaning = "in a prompt, per head the fewest blocks of 128 keys that hold this share of the weight",
    .paper = "Xu et al. 2025 (arXiv:2503.16428)",
    .file = "src/attention/patterns/xattention.c",
    .test = "tests/attention/dynamic_test.c",
    .traits = MN_PATTERN_TRAINING_FREE | MN_PATTERN_PREFILL_ONLY,
    .max_args = 2,
    .defaults = {8, 900000},
    .is_share = {false, true},
    .check = check,
    .choose = choose,
};
