/* XAttention, Xu et al. 2025 (arXiv:2503.16428), sec. 2: in a prompt, the sums along antidiagonals, S tokens apart,
 * tell which blocks of 128 keys matter to a block of 128 queries. Tokens are taken S at a time; for a group i of
 * queries and a group j of keys
 *
 *   score(i, j) = scale / S * sum_t q[i S + S - 1 - t] . k[j S + t],   softmax over the groups j <= i,
 *
 * and the weights of a block are summed. Each head keeps the fewest blocks that, with block 0 and its
 * own, hold the share `mass` of the weight. All queries of a block choose together: a later one may change which
 * earlier blocks an earlier one sees, and never shows it a later key.
 */
#include "attention/patterns/kinds.h"

#include "attention/patterns/choice.h"
#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/profile.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 128, MAX_PART_DIMS = MN_ATTEND_MAX_DIM };

static const char *check(mn_pattern *p) {
    int64_t stride = p->args[0], mass = p->args[1];
    p->block_tokens = BLOCK;
    if (stride < 1 || stride > BLOCK || (stride & (stride - 1)))
        return "the stride is a power of two from 1 to 128 tokens";
    return mass < 1 || mass > MN_PATTERN_WHOLE ? "the mass is a share of the weight, above 0 and at most 1" : NULL;
}

/* A block and its share of the weight. */
typedef struct weighed {
    double weight;
    int32_t block;
} weighed;

/* Queries and keys in groups, for the query heads of one KV head at a time. Groups are to attention's tiles what tokens
 * are, in parts of so many tokens as fit the widest row. Their values say which block of the tile they belong to, a 1
 * among zeros: so the softmax of a tile gives the weights of its blocks, and scores never leave the caches. */
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
    int tile_blocks, block_tiles;     /* blocks of a tile, or tiles of a block: the smaller is 1 */
    int v_pad;                        /* of tile_blocks as a value row */
    mn_dtype type;                    /* of a part's keys: as they are cached where they follow each other, else f32 */
    size_t key_bytes;                 /* of a token in it */
    char *queries;                    /* [parts, heads * n_queries rounded up to tiles] packed rows */
    char *values;                     /* packed, of any tile */
    float *tops, *sums;               /* [tiles, rows], [tiles, rows, tile_blocks]: of 2^(score - top) over a block */
    char *rooms;                      /* [n_threads, room_bytes] */
    size_t room_bytes;
    weighed *weights; /* [n_threads, 2, n_blocks]: in their order, and as they are chosen from */
    int64_t n_blocks;
} groups;

/* What a thread needs for a tile: keys and the same packed, the scores of all rows and those of a part that is added,
 * running softmaxes. The last two are for tile_rows rows. */
typedef struct room {
    char *keys, *packed;
    float *s, *more;
    mn_softmax_rows sums;
} room;

static size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static int64_t n_rows_of(const groups *g) { return g->heads * g->n_queries; }

static int64_t n_tiles_of(const groups *g) { return (g->n_keys + MN_TILE_KEYS - 1) / MN_TILE_KEYS; }

static size_t row_bytes_of(const groups *g) { return (size_t)g->k_pad * (size_t)g->ops->operand_bytes; }

/* Operations on packed rows may read and write up to a whole tile of them. */
static size_t whole_rows(const groups *g) {
    int64_t tile = g->ops->tile_rows;
    return (size_t)((n_rows_of(g) + tile - 1) / tile * tile);
}

static size_t part_bytes(const groups *g) { return align64(whole_rows(g) * row_bytes_of(g)); }

static size_t keys_bytes(const groups *g) { return align64(MN_TILE_KEYS * (size_t)g->part_tokens * g->key_bytes) + 64; }

static room room_of(const groups *g, char *memory) {
    room r = {.keys = memory, .packed = memory + keys_bytes(g)};
    r.s = (float *)(void *)(r.packed + MN_TILE_KEYS * row_bytes_of(g));
    r.more = r.s + whole_rows(g) * MN_TILE_KEYS;
    r.sums = mn_softmax_view(r.more + g->ops->tile_rows * MN_TILE_KEYS, g->ops->tile_rows, g->v_pad);
    return r;
}

static size_t room_bytes_of(const groups *g) {
    size_t tile = (size_t)g->ops->tile_rows;
    return keys_bytes(g) + MN_TILE_KEYS * row_bytes_of(g) + (whole_rows(g) + tile) * MN_TILE_KEYS * sizeof(float) +
           align64(mn_softmax_floats((int64_t)tile, g->v_pad) * sizeof(float));
}

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

/* The scores of all queries with a part of a tile of key groups, in units of log2; later parts are added. */
static void score_part(const groups *g, const room *r, int64_t first, int part) {
    int n = (int)MN_MIN((int64_t)MN_TILE_KEYS, g->n_keys - first);
    mn_cached_rows rows = {g->type, r->keys, (size_t)g->part_tokens * g->key_bytes, n, r->keys};
    float factor = g->a->scale * (float)M_LOG2E / (float)g->stride;
    for (int j = 0; j < n; j++)
        copy_keys(g, (first + j) * g->stride + part * g->part_tokens, g->part_tokens,
                  r->keys + (size_t)j * rows.row_bytes);
    g->ops->pack_k(r->packed, &rows, g->part_tokens * g->a->kv.k_dim);
    for (int64_t row = 0; row < n_rows_of(g); row += g->ops->tile_rows) {
        int n_rows = (int)MN_MIN((int64_t)g->ops->tile_rows, n_rows_of(g) - row);
        const char *q = g->queries + (size_t)part * part_bytes(g) + (size_t)row * row_bytes_of(g);
        float *to = r->s + row * MN_TILE_KEYS;
        g->ops->scores(part > 0 ? r->more : to, q, r->packed, factor, n_rows, g->k_pad);
        if (part > 0) g->c->kernels->vec.add(to, to, r->more, n_rows * MN_TILE_KEYS);
    }
}

/* The softmax of each row over the tile's groups up to its own: its largest score, and the sums of its blocks. */
static void weigh_tile(const groups *g, const room *r, int64_t tile) {
    for (int64_t row = 0; row < n_rows_of(g); row += g->ops->tile_rows) {
        int n_rows = (int)MN_MIN((int64_t)g->ops->tile_rows, n_rows_of(g) - row);
        float *s = r->s + row * MN_TILE_KEYS;
        for (int i = 0; i < n_rows; i++) {
            int64_t n_seen = g->first + (row + i) % g->n_queries + 1 - tile * MN_TILE_KEYS;
            for (int64_t j = MN_MAX(0, n_seen); j < MN_TILE_KEYS; j++) s[i * MN_TILE_KEYS + j] = -INFINITY;
        }
        mn_softmax_clear(r->sums, n_rows, g->v_pad);
        g->ops->absorb(r->sums, s, g->values, n_rows, g->v_pad);
        int64_t at = tile * n_rows_of(g) + row;
        memcpy(g->tops + at, r->sums.m, (size_t)n_rows * sizeof *g->tops);
        for (int i = 0; i < n_rows; i++)
            memcpy(g->sums + (at + i) * g->tile_blocks, r->sums.o + i * g->v_pad,
                   (size_t)g->tile_blocks * sizeof *g->sums);
    }
}

/* Items are tiles of key groups. What no query sees is computed too: less than half of the last rows' tiles. */
static void weigh_tiles(void *arg, int64_t begin, int64_t end, int thread_index) {
    const groups *g = arg;
    room r = room_of(g, g->rooms + (size_t)thread_index * g->room_bytes);
    if (g->ops->enter) g->ops->enter();
    for (int64_t tile = begin; tile < end; tile++) {
        for (int part = 0; part * g->part_tokens < g->stride; part++) score_part(g, &r, tile * MN_TILE_KEYS, part);
        weigh_tile(g, &r, tile);
    }
    if (g->ops->leave) g->ops->leave();
}

/* Adds a row's softmax over all its groups to the weights of blocks [0, own]. Its tops become factors. */
static void add_row(const groups *g, int64_t row, int64_t group, int64_t own, weighed *weights) {
    int64_t n_rows = n_rows_of(g), n_tiles = group / MN_TILE_KEYS + 1, n_sums = n_tiles * g->tile_blocks;
    float top = -INFINITY;
    double total = 0;
    for (int64_t t = 0; t < n_tiles; t++) top = MN_MAX(top, g->tops[t * n_rows + row]);
    for (int64_t t = 0; t < n_tiles; t++) {
        float *factor = &g->tops[t * n_rows + row];
        const float *sums = g->sums + (t * n_rows + row) * g->tile_blocks;
        *factor = exp2f(*factor - top);
        for (int i = 0; i < g->tile_blocks; i++) total += (double)(*factor * sums[i]);
    }
    for (int64_t i = 0; i < n_sums && i / g->block_tiles <= own; i++) {
        int64_t at = i / g->tile_blocks * n_rows + row;
        weights[i / g->block_tiles].weight +=
            (double)(g->tops[at] * g->sums[at * g->tile_blocks + i % g->tile_blocks]) / total;
    }
}

/* The weights of blocks [0, own] for the rows of one query block. Returns the weight of all. */
static double weigh(const groups *g, int64_t head, int64_t own, weighed *weights) {
    int64_t per_block = BLOCK / g->stride, end = MN_MIN((own + 1) * per_block, g->first + g->n_queries);
    double total = 0;
    for (int64_t b = 0; b <= own; b++) weights[b] = (weighed){0, (int32_t)b};
    for (int64_t group = MN_MAX(own * per_block, g->first); group < end; group++, total++)
        add_row(g, head * g->n_queries + group - g->first, group, own, weights);
    return total;
}

static bool is_heavier(const weighed *a, const weighed *b) {
    return a->weight != b->weight ? a->weight > b->weight : a->block < b->block;
}

static void swap(weighed *a, weighed *b) {
    weighed old = *a;
    *a = *b;
    *b = old;
}

/* Brings what is heavier than the middle one of x [n] before it, and the rest behind it. Returns where it is now, and
 * the weight of what is before it. */
static int64_t split(weighed *x, int64_t n, double *heavier) {
    int64_t at = 0;
    *heavier = 0;
    swap(&x[n / 2], &x[n - 1]);
    for (int64_t i = 0; i < n - 1; i++) {
        if (!is_heavier(&x[i], &x[n - 1])) continue;
        *heavier += x[i].weight;
        swap(&x[i], &x[at++]);
    }
    swap(&x[at], &x[n - 1]);
    return at;
}

/* Brings the fewest heaviest of x [n] that weigh `want` to the front, all of them where they do not. Returns how many.
 * Cost: O(n) on average. */
static int64_t take_heaviest(weighed *x, int64_t n, double want) {
    int64_t taken = 0;
    while (taken < n && want > 0) {
        double heavier;
        int64_t at = taken + split(x + taken, n - taken, &heavier);
        if (heavier >= want) {
            n = at;
            continue;
        }
        want -= heavier + x[at].weight;
        taken = at + 1;
    }
    return taken;
}

/* Block 0 and the query block's own, and the heaviest until they hold the mass; ascending. Returns how many. */
static int64_t keep_mass(const groups *g, weighed *weights, int64_t own, double total, int32_t *chosen) {
    weighed *others = weights + g->n_blocks;
    int64_t n_others = MN_MAX(0, own - 1), n = 0;
    double held = weights[0].weight + (own > 0 ? weights[own].weight : 0);
    memcpy(others, weights + 1, (size_t)n_others * sizeof *others);
    if (!g->keep_all) n_others = take_heaviest(others, n_others, g->mass * total - held);
    for (int64_t i = 0; i < n_others; i++) weights[others[i].block].weight = INFINITY;
    for (int64_t b = 0; b <= own; b++)
        if (b == 0 || b == own || weights[b].weight == INFINITY) chosen[n++] = (int32_t)b;
    return n;
}

/* Items are query blocks of the query heads that share the KV head. */
static void choose_blocks(void *arg, int64_t begin, int64_t end, int thread_index) {
    const groups *g = arg;
    const mn_block_list *lists = &g->choice->lists;
    weighed *weights = g->weights + thread_index * 2 * g->n_blocks;
    for (int64_t item = begin; item < end; item++) {
        int64_t own = lists->first_query_block + item % lists->n_query_blocks;
        int64_t list = g->kv_head * g->heads * lists->n_query_blocks + item;
        double total = weigh(g, item / lists->n_query_blocks, own, weights);
        mn_choice_close(g->choice, list, keep_mass(g, weights, own, total, mn_choice_at(g->choice, list)));
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
    while (g.part_tokens * kv->k_dim > MAX_PART_DIMS && g.part_tokens > 1) g.part_tokens /= 2;
    g.k_pad = (g.part_tokens * kv->k_dim + g.ops->k_dims - 1) / g.ops->k_dims * g.ops->k_dims;
    g.tile_blocks = MN_MAX(1, MN_TILE_KEYS * g.stride / BLOCK);
    g.block_tiles = MN_MAX(1, BLOCK / (MN_TILE_KEYS * g.stride));
    g.v_pad = mn_attend_pad(g.tile_blocks);
    g.type = follows ? kv->k_type : MN_F32;
    g.key_bytes = follows ? kv->k_row_bytes : (size_t)kv->k_dim * sizeof(float);
    g.room_bytes = room_bytes_of(&g);
    g.n_blocks = (a->first_token + a->n_rows - 1) / BLOCK + 1;
    return g;
}

static mn_status take_memory(groups *g, mn_error *err) {
    mn_arena *scratch = g->c->scratch;
    size_t n_threads = (size_t)mn_pool_threads(g->c->pool), n_sums = (size_t)(n_tiles_of(g) * n_rows_of(g));
    g->queries = mn_arena_alloc(scratch, (size_t)(g->stride / g->part_tokens), part_bytes(g));
    g->values = mn_arena_alloc(scratch, (size_t)(MN_TILE_KEYS * g->v_pad), (size_t)g->ops->operand_bytes);
    g->tops = mn_arena_alloc(scratch, n_sums, sizeof *g->tops);
    g->sums = mn_arena_alloc(scratch, n_sums, (size_t)g->tile_blocks * sizeof *g->sums);
    g->rooms = mn_arena_alloc(scratch, n_threads, g->room_bytes);
    g->weights = mn_arena_alloc(scratch, n_threads * 2, (size_t)g->n_blocks * sizeof *g->weights);
    if (g->queries && g->values && g->tops && g->sums && g->rooms && g->weights) return MN_OK;
    return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
                        "no memory to weigh %lld blocks; use a smaller batch.", (long long)g->n_blocks);
}

/* Row j of the values of a tile: 1 in the column of the block that group j is in. */
static void pack_values(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)begin, (void)end, (void)thread_index;
    const groups *g = arg;
    float rows[MN_TILE_KEYS * MN_TILE_KEYS] = {0};
    size_t row_bytes = (size_t)g->tile_blocks * sizeof *rows;
    for (int j = 0; j < MN_TILE_KEYS; j++) rows[j * g->tile_blocks + j * g->tile_blocks / MN_TILE_KEYS] = 1;
    g->ops->pack_v(g->values, &(mn_cached_rows){MN_F32, (char *)rows, row_bytes, MN_TILE_KEYS, (char *)rows},
                   g->tile_blocks);
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
    MN_TRY(take_memory(&g, err));
    mn_pool_run(c->pool, 1, 1, pack_values, &g);
    for (g.kv_head = 0; g.kv_head < a->kv.n_kv_heads; g.kv_head++) {
        mn_pool_run(c->pool, n_rows_of(&g), 8, pack_queries, &g);
        mn_pool_run(c->pool, n_tiles_of(&g), 1, weigh_tiles, &g);
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
