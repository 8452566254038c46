/* Personalised PageRank, and a store's graph as its links. */
#include "graph/pagerank.h"

#include "base/checked.h"
#include "graph/inside.h"
#include "graph/postings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 100, HUB_SHARE = 10 };

void mn_link_matrix_release(mn_link_matrix *links) {
    free(links->first);
    free(links->to);
    free(links->weight);
    *links = (mn_link_matrix){0};
}

/* ---- ranks ---- */

/* What each node's links sum to. */
static void sum_weights(const mn_link_matrix *links, double *sums) {
    for (uint32_t i = 0; i < links->n; i++) {
        sums[i] = 0;
        for (size_t k = links->first[i]; k < links->first[i + 1]; k++) sums[i] += (double)links->weight[k];
    }
}

/* One step from r to next; how much changed. */
static double walk_once(const mn_link_matrix *links, const double *sums, const double *start, double damping,
                        const double *r, double *next) {
    double stuck = 0, change = 0;
    for (uint32_t i = 0; i < links->n; i++) {
        next[i] = 0;
        if (sums[i] <= 0) stuck += r[i];
    }
    for (uint32_t i = 0; i < links->n; i++) {
        if (sums[i] <= 0) continue;
        double share = damping * r[i] / sums[i];
        for (size_t k = links->first[i]; k < links->first[i + 1]; k++)
            next[links->to[k]] += share * (double)links->weight[k];
    }
    for (uint32_t i = 0; i < links->n; i++) {
        next[i] += (1 - damping + damping * stuck) * start[i];
        change += fabs(next[i] - r[i]);
    }
    return change;
}

mn_status mn_pagerank(const mn_link_matrix *links, const float *start, float damping, float least, float *ranks,
                      mn_error *err) {
    size_t n = links->n, bytes;
    double total = 0;
    for (size_t i = 0; i < n; i++) total += (double)start[i];
    if (!(total > 0)) return mn_fail(err, MN_ERR_ARGUMENT, "A walk needs a place to begin at.");
    double *memory = mn_mul_size(n, 4 * sizeof *memory, &bytes) ? malloc(bytes) : NULL;
    if (!memory) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the ranks of %zu nodes.", n);
    double *sums = memory, *begin = sums + n, *r = begin + n, *next = r + n;
    sum_weights(links, sums);
    for (size_t i = 0; i < n; i++) r[i] = begin[i] = (double)start[i] / total;
    for (int step = 0; step < MAX_STEPS; step++) {
        double change = walk_once(links, sums, begin, (double)damping, r, next);
        double *swap = r;
        r = next;
        next = swap;
        if (change < (double)least) break;
    }
    for (size_t i = 0; i < n; i++) ranks[i] = (float)r[i];
    free(memory);
    return MN_OK;
}

/* ---- a store's graph ---- */

/* Pairs of a passage and a key that is in it, while they are gathered. */
typedef struct pair_list {
    uint32_t *passages, *keys;
    size_t n, capacity;
} pair_list;

static bool add_pair(pair_list *pairs, uint32_t passage, uint32_t key) {
    if (pairs->n == pairs->capacity) {
        size_t capacity = MN_MAX(2 * pairs->capacity, (size_t)4096);
        uint32_t *passages = realloc(pairs->passages, capacity * sizeof *passages);
        if (passages) pairs->passages = passages;
        uint32_t *keys = realloc(pairs->keys, capacity * sizeof *keys);
        if (keys) pairs->keys = keys;
        if (!passages || !keys) return false;
        pairs->capacity = capacity;
    }
    pairs->passages[pairs->n] = passage;
    pairs->keys[pairs->n++] = key;
    return true;
}

/* The passages of a key, whose facts rise; none where the key says too little, or nothing beyond one passage. */
static bool add_key(const mn_graph *g, uint32_t key, const void *facts, size_t bytes, pair_list *pairs) {
    size_t before = pairs->n;
    uint32_t fact, last = UINT32_MAX;
    mn_packed_walk walk = mn_packed_begin(facts, bytes, g->n_units);
    while (mn_packed_next(&walk, &fact)) {
        if (g->passage_of[fact] == last) continue;
        last = g->passage_of[fact];
        if (!add_pair(pairs, last, key)) return false;
    }
    size_t n = pairs->n - before;
    if (n < 2 || n > MN_MAX(g->n_passages / HUB_SHARE, 2U)) pairs->n = before;
    return true;
}

static mn_status gather(mn_graph *g, pair_list *pairs, uint32_t *n_keys, mn_error *err) {
    mn_rows *rows;
    mn_status status;
    *n_keys = 0;
    MN_TRY(mn_store_query(g->store, &rows, err, "SELECT n, facts FROM derived_key ORDER BY n", ""));
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        int64_t key = mn_rows_int(rows, 0);
        const void *facts = mn_rows_blob(rows, 1, &bytes);
        if (key < 0 || key >= UINT32_MAX / 2 - g->n_passages) continue;
        *n_keys = (uint32_t)key + 1;
        if (!add_key(g, (uint32_t)key, facts, bytes, pairs)) {
            status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for the links of %u keys.", *n_keys);
            break;
        }
    }
    mn_rows_done(rows);
    return status;
}

static void put_link(mn_link_matrix *links, size_t *ends, uint32_t from, uint32_t to, float weight) {
    links->to[ends[from]] = to;
    links->weight[ends[from]++] = weight;
}

/* Counting sort of the pairs, once from each side. */
static mn_status link_pairs(const mn_graph *g, const pair_list *pairs, mn_link_matrix *out, mn_error *err) {
    uint32_t n_passages = g->n_passages;
    size_t *ends = calloc(out->n + (size_t)1, sizeof *ends);
    out->first = calloc(out->n + (size_t)2, sizeof *out->first);
    out->to = calloc(2 * pairs->n + 1, sizeof *out->to);
    out->weight = calloc(2 * pairs->n + 1, sizeof *out->weight);
    if (!ends || !out->first || !out->to || !out->weight) {
        free(ends);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %zu links.", 2 * pairs->n);
    }
    for (size_t i = 0; i < pairs->n; i++) {
        out->first[pairs->passages[i] + 1]++;
        out->first[n_passages + pairs->keys[i] + 1]++;
    }
    for (uint32_t i = 0; i < out->n; i++) out->first[i + 1] += out->first[i];
    memcpy(ends, out->first, out->n * sizeof *ends);
    for (size_t i = 0; i < pairs->n; i++) {
        uint32_t key = n_passages + pairs->keys[i];
        float weight = logf(1.0F + (float)n_passages / (float)(out->first[key + 1] - out->first[key]));
        put_link(out, ends, pairs->passages[i], key, weight);
        put_link(out, ends, key, pairs->passages[i], weight);
    }
    free(ends);
    return MN_OK;
}

mn_status mn_graph_links(mn_graph *g, mn_link_matrix *out, mn_error *err) {
    pair_list pairs = {0};
    uint32_t n_keys;
    *out = (mn_link_matrix){0};
    mn_status status = gather(g, &pairs, &n_keys, err);
    out->n = g->n_passages + (status == MN_OK ? n_keys : 0);
    if (status == MN_OK) status = link_pairs(g, &pairs, out, err);
    if (status != MN_OK) mn_link_matrix_release(out);
    free(pairs.passages);
    free(pairs.keys);
    return status;
}
