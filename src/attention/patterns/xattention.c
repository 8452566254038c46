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

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128, KEY_GROUPS_AT_ONCE = 4096 };

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

/* Queries and keys in groups, for the query heads of one KV head at a time. */
typedef struct groups {
    const mn_attend *a;
    const mn_compute *c;
    mn_choice *choice;
    int stride, kv_head, heads; /* heads: query heads per KV head */
    double mass;
    bool keep_all;                    /* the mass is 1: rounding must not drop a block */
    int64_t first, n_queries, n_keys; /* groups: the first of queries, and how many */
    int64_t width;                    /* of a group: stride * k_dim */
    float *queries, *keys;            /* [heads, n_queries, width], [KEY_GROUPS_AT_ONCE, width] */
    float *scores;                    /* [heads, n_queries, n_keys] */
    int64_t first_key;                /* the group in keys[0] */
    weighed *blocks;                  /* [n_threads, blocks] */
} groups;

/* Tokens of a group back to front; those that are not of this call are zeros. */
static void pack_queries(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const groups *g = arg;
    const mn_attend *a = g->a;
    size_t row_bytes = (size_t)a->kv.k_dim * sizeof(float);
    for (int64_t item = begin; item < end; item++) {
        int64_t head = g->kv_head * g->heads + item / g->n_queries, group = g->first + item % g->n_queries;
        for (int t = 0; t < g->stride; t++) {
            int64_t row = group * g->stride + g->stride - 1 - t - a->first_token;
            float *to = g->queries + item * g->width + (int64_t)t * a->kv.k_dim;
            if (row < 0 || row >= a->n_rows)
                memset(to, 0, row_bytes);
            else
                memcpy(to, a->q + row * a->q_stride + head * a->kv.k_dim, row_bytes);
        }
    }
}

static void pack_keys(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const groups *g = arg;
    int k_dim = g->a->kv.k_dim;
    float key[MN_ATTEND_MAX_DIM];
    for (int64_t item = begin; item < end; item++)
        for (int t = 0; t < g->stride; t++) {
            int64_t token = (g->first_key + item) * g->stride + t;
            float *to = g->keys + item * g->width + (int64_t)t * k_dim;
            if (token < g->a->kv.n_tokens)
                mn_cached_key(g->c, &g->a->kv, g->kv_head, token, key);
            else
                memset(key, 0, sizeof key);
            memcpy(to, key, (size_t)k_dim * sizeof *to);
        }
}

/* All scores of one KV head's queries: matrix products, a range of keys at a time. */
static mn_status score(groups *g, mn_error *err) {
    int64_t n_rows = g->heads * g->n_queries;
    mn_pool_run(g->c->pool, n_rows, 8, pack_queries, g);
    for (g->first_key = 0; g->first_key < g->n_keys; g->first_key += KEY_GROUPS_AT_ONCE) {
        int64_t n = MN_MIN((int64_t)KEY_GROUPS_AT_ONCE, g->n_keys - g->first_key);
        mn_pool_run(g->c->pool, n, 8, pack_keys, g);
        mn_tensor keys = {.type = MN_F32, .n_dims = 2, .ne = {g->width, n, 1, 1}, .data = g->keys};
        keys.bytes = (size_t)(g->width * n) * sizeof(float);
        MN_TRY(mn_matmul(g->c, g->scores + g->first_key, g->n_keys, g->queries, g->width, n_rows, &keys, err));
    }
    return MN_OK;
}

static int heaviest_first(const void *a, const void *b) {
    const weighed *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return (x->block > y->block) - (x->block < y->block);
}

/* Sums the softmax of the rows of one query block into blocks [own + 1], and returns the weight of all. */
static double weigh(const groups *g, int64_t head, int64_t own, weighed *blocks) {
    int64_t per_block = BLOCK / g->stride, end = MN_MIN((own + 1) * per_block, g->first + g->n_queries);
    double total = 0;
    for (int64_t b = 0; b <= own; b++) blocks[b] = (weighed){0, (int32_t)b};
    for (int64_t group = MN_MAX(own * per_block, g->first); group < end; group++) {
        float *row = g->scores + (head * g->n_queries + group - g->first) * g->n_keys;
        g->c->kernels->vec.scale(row, row, g->a->scale / (float)g->stride, group + 1);
        g->c->kernels->vec.softmax(row, group + 1);
        for (int64_t j = 0; j <= group; j++) blocks[j / per_block].weight += (double)row[j];
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
    groups g = {.a = a, .c = c, .choice = choice, .stride = (int)p->args[0], .heads = a->n_heads / a->kv.n_kv_heads};
    g.mass = (double)p->args[1] / MN_PATTERN_WHOLE;
    g.keep_all = p->args[1] == MN_PATTERN_WHOLE;
    g.first = a->first_token / g.stride;
    g.n_keys = (a->first_token + a->n_rows - 1) / g.stride + 1;
    g.n_queries = g.n_keys - g.first;
    g.width = (int64_t)g.stride * a->kv.k_dim;
    return g;
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
    g.queries = mn_arena_alloc(c->scratch, (size_t)(g.heads * g.n_queries * g.width), sizeof *g.queries);
    g.keys = mn_arena_alloc(c->scratch, (size_t)(MN_MIN(g.n_keys, KEY_GROUPS_AT_ONCE) * g.width), sizeof *g.keys);
    g.scores = mn_arena_alloc(c->scratch, (size_t)(g.heads * g.n_queries * g.n_keys), sizeof *g.scores);
    g.blocks = mn_arena_alloc(c->scratch, (size_t)(mn_pool_threads(c->pool) * end), sizeof *g.blocks);
    if (!g.queries || !g.keys || !g.scores || !g.blocks)
        return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
                            "no memory to weigh %lld blocks; use a smaller batch.", (long long)end);
    for (g.kv_head = 0; g.kv_head < a->kv.n_kv_heads; g.kv_head++) {
        MN_TRY(score(&g, err));
        mn_pool_run(c->pool, g.heads * lists.n_query_blocks, 1, choose_blocks, &g);
    }
    mn_arena_rewind(c->scratch, mark);
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
