#include "kvcache/key_summary.h"

#include "base/checked.h"
#include "base/huge.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void mn_cached_key(const mn_compute *c, const mn_kv_view *kv, int kv_head, int64_t token, float *row) {
    const char *page = kv->k_pages[token / MN_PAGE_TOKENS];
    int64_t block = mn_dtype_get(kv->k_type)->block_elems, n = (kv->k_dim + block - 1) / block * block;
    size_t slot = (size_t)kv_head * MN_PAGE_TOKENS + (size_t)(token % MN_PAGE_TOKENS);
    if (page)
        c->kernels->vec.to_f32(kv->k_type, page + slot * kv->k_row_bytes, row, n);
    else
        memset(row, 0, (size_t)n * sizeof *row);
}

typedef struct update {
    mn_key_summary *s;
    const mn_compute *c;
    const mn_kv_view *kv;
    int64_t first_block; /* begun anew from here on */
} update;

/* What is stored of keys of this type. */
static mn_dtype stored_type(mn_summary_kind kind, mn_dtype k_type) {
    return kind == MN_SUMMARY_BOUNDS && !mn_dtype_get(k_type)->quantised ? k_type : MN_F32;
}

static void clear(const mn_key_summary *s, float *block) {
    bool bounds = s->kind == MN_SUMMARY_BOUNDS;
    for (int i = 0; i < s->k_dim; i++) block[i] = bounds ? INFINITY : 0;
    for (int i = 0; bounds && i < s->k_dim; i++) block[s->k_dim + i] = -INFINITY;
}

static void add_key(const mn_key_summary *s, float *restrict block, const float *restrict key) {
    if (s->kind == MN_SUMMARY_SUM) {
        for (int i = 0; i < s->k_dim; i++) block[i] += key[i];
        return;
    }
    float *low = block, *high = block + s->k_dim;
    for (int i = 0; i < s->k_dim; i++) {
        low[i] = MN_MIN(low[i], key[i]);
        high[i] = MN_MAX(high[i], key[i]);
    }
}

/* Items are blocks of KV heads. A block begun earlier goes on where it stopped: the order of its sum never changes. */
static void update_blocks(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const update *job = arg;
    const mn_key_summary *s = job->s;
    float key[MN_ATTEND_MAX_DIM], at[2 * MN_ATTEND_MAX_DIM];
    int64_t width = mn_key_summary_width(s);
    for (int64_t item = begin; item < end; item++) {
        int64_t block = job->first_block + item / s->n_kv_heads, first = block * s->block_tokens;
        int kv_head = (int)(item % s->n_kv_heads);
        void *stored = mn_key_summary_at(s, block, kv_head);
        if (first >= s->n_tokens)
            clear(s, at);
        else
            job->c->kernels->vec.to_f32(s->type, stored, at, width);
        int64_t last = MN_MIN(first + s->block_tokens, job->kv->n_tokens);
        for (int64_t token = MN_MAX(first, s->n_tokens); token < last; token++) {
            mn_cached_key(job->c, job->kv, kv_head, token, key);
            add_key(s, at, key);
        }
        job->c->kernels->vec.from_f32(s->type, at, stored, width);
    }
}

size_t mn_key_summary_bytes(mn_summary_kind kind, mn_dtype k_type, int block_tokens, int n_kv_heads, int k_dim,
                            int64_t n_tokens) {
    mn_key_summary s = {.kind = kind, .type = stored_type(kind, k_type), .k_dim = k_dim};
    size_t n_blocks = (size_t)((n_tokens + block_tokens - 1) / block_tokens), bytes;
    n_blocks = (n_blocks + MN_SUMMARY_TILE - 1) / MN_SUMMARY_TILE * MN_SUMMARY_TILE;
    return mn_mul_size(n_blocks, (size_t)n_kv_heads * mn_key_summary_row_bytes(&s), &bytes) ? bytes : 0;
}

static mn_status grow(mn_key_summary *s, int64_t n_tokens, mn_error *err) {
    size_t need = mn_key_summary_bytes(s->kind, s->type, s->block_tokens, s->n_kv_heads, s->k_dim, n_tokens);
    if (need <= s->bytes) return MN_OK;
    int64_t max_tokens = MN_MAX(n_tokens, s->max_tokens);
    size_t bytes = mn_key_summary_bytes(s->kind, s->type, s->block_tokens, s->n_kv_heads, s->k_dim, max_tokens);
    char *blocks = bytes ? mn_huge_alloc((bytes + 63) & ~(size_t)63) : NULL;
    if (!blocks)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu bytes that summarise cached keys; use larger blocks.",
                       bytes);
    if (s->blocks) memcpy(blocks, s->blocks, s->bytes);
    free(s->blocks);
    s->blocks = blocks;
    s->bytes = bytes;
    return MN_OK;
}

mn_status mn_key_summary_update(mn_key_summary *s, mn_summary_kind kind, int block_tokens, const mn_compute *c,
                                const mn_kv_view *kv, mn_error *err) {
    mn_dtype type = stored_type(kind, kv->k_type);
    if (s->kind != kind || s->type != type || s->block_tokens != block_tokens || s->n_kv_heads != kv->n_kv_heads ||
        s->k_dim != kv->k_dim)
        s->n_tokens = 0;
    s->kind = kind;
    s->type = type;
    s->block_tokens = block_tokens;
    s->n_kv_heads = kv->n_kv_heads;
    s->k_dim = kv->k_dim;
    if (s->n_tokens >= kv->n_tokens) return MN_OK;
    if (mn_pool_is_dry(c->pool)) return MN_OK; /* a plan counts summaries by mn_key_summary_bytes */
    int64_t n_blocks = (kv->n_tokens + block_tokens - 1) / block_tokens;
    MN_TRY(grow(s, kv->n_tokens, err));
    update job = {s, c, kv, s->n_tokens / block_tokens};
    mn_pool_run(c->pool, (n_blocks - job.first_block) * s->n_kv_heads, 1, update_blocks, &job);
    s->n_tokens = kv->n_tokens;
    return MN_OK;
}

/* Neither bounds nor a rounded sum can be taken back: the block that the cut goes through starts again. */
void mn_key_summary_truncate(mn_key_summary *s, int64_t n_tokens) {
    if (n_tokens < s->n_tokens) s->n_tokens = n_tokens / s->block_tokens * s->block_tokens;
}

void mn_key_summary_release(mn_key_summary *s) {
    free(s->blocks);
    *s = (mn_key_summary){0};
}
