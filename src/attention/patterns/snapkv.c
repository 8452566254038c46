/* SnapKV, Li et al. 2024 (arXiv:2404.14469): which keys of a prompt an answer will want shows in what its last tokens
 * look at. When a prompt is through, each KV head keeps those keys and drops the others for good; what comes later sees
 * the kept ones, at the positions they had, and what came after. A call of attention sees every key that is still
 * there; the session says when a prompt ends.
 */
#include "attention/patterns/snapkv.h"

#include "attention/patterns/kinds.h"
#include "attention/patterns/largest.h"
#include "base/checked.h"
#include "kernels/kernels.h"

#include <math.h>

enum { POOL_REACH = 2, KEYS_PER_RANGE = 256 };

static const char *check(mn_pattern *p) {
    if (p->args[0] < 1 || p->args[0] > 4096) return "the window is 1 to 4096 tokens";
    return p->args[1] <= p->args[0] ? "the budget is larger than the window, which it includes" : NULL;
}

/* One query head at a time. */
typedef struct election {
    const mn_compute *c;
    const mn_attend *a;
    int head, kv_head;
    int64_t n_keys, n_kept;
    float *weights;        /* [n_rows, n_keys] */
    float *votes, *pooled; /* [n_keys], of the KV head */
    int32_t *kept;         /* [n_kv_heads, n_kept] */
} election;

/* Keys before the observation window. */
static int64_t n_earlier(const election *e) { return e->n_keys - e->a->n_rows; }

static void score_keys(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const election *e = arg;
    const mn_attend *a = e->a;
    float key[MN_ATTEND_MAX_DIM];
    for (int64_t j = begin; j < end; j++) {
        mn_cached_key(e->c, &a->kv, e->kv_head, j, key);
        for (int64_t r = 0; r < a->n_rows; r++) {
            const float *q = a->q + r * a->q_stride + (int64_t)e->head * a->kv.k_dim;
            float s = a->scale * e->c->kernels->vec.dot(q, key, a->kv.k_dim);
            if (a->softcap > 0) s = a->softcap * tanhf(s / a->softcap);
            e->weights[r * e->n_keys + j] = j <= a->first_token + r ? s : -INFINITY;
        }
    }
}

static void weigh_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const election *e = arg;
    for (int64_t r = begin; r < end; r++) e->c->kernels->vec.softmax(e->weights + r * e->n_keys, e->n_keys);
}

static void count_votes(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const election *e = arg;
    for (int64_t r = 0; r < e->a->n_rows; r++)
        for (int64_t j = begin; j < end; j++) e->votes[j] += e->weights[r * e->n_keys + j];
}

/* The mean of the neighbourhood, so that what surrounds a key that is looked at stays with it. */
static void pool_votes(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const election *e = arg;
    int64_t n = n_earlier(e);
    for (int64_t j = begin; j < end; j++) {
        float sum = 0;
        for (int64_t i = MN_MAX(0, j - POOL_REACH); i <= MN_MIN(n - 1, j + POOL_REACH); i++) sum += e->votes[i];
        e->pooled[j] = sum / (2 * POOL_REACH + 1);
    }
}

static void clear_votes(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const election *e = arg;
    for (int64_t j = begin; j < end; j++) e->votes[j] = 0;
}

static void take_elected(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)begin, (void)end, (void)thread_index;
    const election *e = arg;
    int32_t *kept = e->kept + e->kv_head * e->n_kept;
    int64_t n = mn_choose_largest(e->pooled, n_earlier(e), e->n_kept - e->a->n_rows, kept);
    for (int64_t j = n_earlier(e); j < e->n_keys; j++) kept[n++] = (int32_t)j;
}

static void elect(election *e) {
    mn_pool *pool = e->c->pool;
    int group = e->a->n_heads / e->a->kv.n_kv_heads;
    mn_pool_run(pool, e->n_keys, KEYS_PER_RANGE, clear_votes, e);
    for (e->head = e->kv_head * group; e->head < (e->kv_head + 1) * group; e->head++) {
        mn_pool_run(pool, e->n_keys, KEYS_PER_RANGE, score_keys, e);
        mn_pool_run(pool, e->a->n_rows, 1, weigh_rows, e);
        mn_pool_run(pool, e->n_keys, KEYS_PER_RANGE, count_votes, e);
    }
    mn_pool_run(pool, n_earlier(e), KEYS_PER_RANGE, pool_votes, e);
    mn_pool_run(pool, 1, 1, take_elected, e);
}

mn_status mn_snapkv_choose(const mn_compute *c, const mn_attend *a, int64_t n_kept, int32_t *kept, mn_error *err) {
    int64_t n = a->first_token + a->n_rows;
    election e = {.c = c, .a = a, .n_keys = n, .n_kept = n_kept, .kept = kept};
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    e.weights = mn_arena_alloc(c->scratch, (size_t)a->n_rows, (size_t)n * sizeof(float));
    e.votes = mn_arena_alloc(c->scratch, (size_t)n, sizeof(float));
    e.pooled = mn_arena_alloc(c->scratch, (size_t)n, sizeof(float));
    if (!e.weights || !e.votes || !e.pooled)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the votes of %lld rows on %lld keys.", (long long)a->n_rows,
                       (long long)n);
    for (e.kv_head = 0; e.kv_head < a->kv.n_kv_heads; e.kv_head++) elect(&e);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

const mn_pattern_kind mn_pattern_snapkv = {
    .name = "snapkv",
    .usage = "snapkv:window,budget",
    .meaning = "after a prompt, per KV head the keys that its last tokens look at most stay, and these tokens",
    .paper = "Li et al. 2024 (arXiv:2404.14469)",
    .file = "src/attention/patterns/snapkv.c",
    .test = "tests/attention/snapkv_test.c",
    .traits = MN_PATTERN_TRAINING_FREE | MN_PATTERN_EVICTS,
    .max_args = 2,
    .defaults = {32, 1024},
    .check = check,
};
