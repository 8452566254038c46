#include "attention/mla_backward.h"

#include "attention/flash_backward.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"

#include <string.h>

enum { GROUP_BYTES = 16 << 20, ROWS_GRAIN = 16 };

/* The heads under way: keys and values in pages as attention reads them, and beside that, token by token, what they are
 * made from and their gradients. */
typedef struct making {
    const mn_compute *c;
    const mn_attend *a; /* over the latents */
    const mn_mla *m;
    const mn_mla_grad *g;
    int first_head, n_heads, most_heads, k_dim;
    int64_t n_tokens, n_pages, row; /* row: floats of a latent row */
    float *latents;                 /* [n_tokens, row] */
    float *k, *v;                   /* [n_tokens, n_heads, n_nope], [n_tokens, n_heads, v_dim] */
    float *d_k, *d_v;               /* [n_tokens, n_heads, k_dim], [n_tokens, n_heads, v_dim] */
    float *k_made, *v_made;         /* [n_pages] pages */
    const void **k_pages, **v_pages;
    float *lse; /* [n_rows, n_heads] */
} making;

static void read_latents(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const making *w = arg;
    const mn_kv_view *kv = &w->a->kv;
    bool quantised = mn_dtype_get(kv->k_type)->quantised;
    float whole[MN_ATTEND_MAX_DIM + 32];
    for (int64_t t = begin; t < end; t++) {
        const char *page = kv->k_pages[t / MN_PAGE_TOKENS];
        float *row = w->latents + t * w->row;
        memset(row, 0, (size_t)w->row * sizeof *row);
        if (!page) continue; /* dropped: nobody looks at it */
        const char *from = page + (size_t)(t % MN_PAGE_TOKENS) * kv->k_row_bytes;
        w->c->kernels->vec.to_f32(kv->k_type, from, whole, quantised ? (w->row + 31) / 32 * 32 : w->row);
        memcpy(row, whole, (size_t)w->row * sizeof *row);
    }
}

/* Keys, with the rotated part that all heads share, and values into their pages. */
static void store_tokens(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const making *w = arg;
    const mn_mla *m = w->m;
    for (int64_t t = begin; t < end; t++)
        for (int h = 0; h < w->n_heads; h++) {
            int64_t page = t / MN_PAGE_TOKENS, at = t * w->n_heads + h;
            int64_t place = (page * w->n_heads + h) * MN_PAGE_TOKENS + t % MN_PAGE_TOKENS;
            float *k = w->k_made + place * w->k_dim;
            memcpy(k, w->k + at * m->n_nope, (size_t)m->n_nope * sizeof *k);
            memcpy(k + m->n_nope, w->latents + t * w->row + m->kv_rank, (size_t)m->n_rot * sizeof *k);
            memcpy(w->v_made + place * m->v_dim, w->v + at * m->v_dim, (size_t)m->v_dim * sizeof *k);
        }
}

static void copy_lse(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const making *w = arg;
    for (int64_t r = begin; r < end; r++)
        memcpy(w->lse + r * w->n_heads, w->a->lse + r * w->a->n_heads + w->first_head,
               (size_t)w->n_heads * sizeof *w->lse);
}

static mn_status make_keys(const making *w, mn_error *err) {
    const mn_mla *m = w->m;
    int64_t k_stride = (int64_t)w->n_heads * m->n_nope, v_stride = (int64_t)w->n_heads * m->v_dim;
    for (int h = 0; h < w->n_heads; h++) {
        mn_tensor k_up = mn_tensor_matrix(&m->k_up, w->first_head + h),
                  v_up = mn_tensor_matrix(&m->v_up, w->first_head + h);
        const mn_tensor *ups[] = {&v_up};
        float *v = w->v + h * m->v_dim;
        MN_TRY(mn_matmul_dx(w->c, w->k + h * m->n_nope, k_stride, false, w->latents, w->row, w->n_tokens, &k_up, err));
        MN_TRY(mn_matmul_training(w->c, &v, &v_stride, w->latents, w->row, w->n_tokens, ups, 1, err));
    }
    mn_pool_run(w->c->pool, w->n_tokens, ROWS_GRAIN, store_tokens, (void *)(uintptr_t)w);
    mn_pool_run(w->c->pool, w->a->n_rows, ROWS_GRAIN, copy_lse, (void *)(uintptr_t)w);
    return MN_OK;
}

/* The call over made keys, of the heads under way alone. */
static mn_attend made_call(const making *w) {
    mn_attend call = mn_mla_made(w->a);
    call.n_heads = call.kv.n_kv_heads = w->n_heads;
    call.q += (int64_t)w->first_head * w->k_dim;
    call.out += (int64_t)w->first_head * w->m->v_dim;
    call.lse = w->lse;
    if (call.slopes) call.slopes += w->first_head;
    call.kv.k_type = call.kv.v_type = MN_F32;
    call.kv.k_row_bytes = (size_t)w->k_dim * sizeof(float);
    call.kv.v_row_bytes = (size_t)w->m->v_dim * sizeof(float);
    call.kv.k_pages = w->k_pages;
    call.kv.v_pages = w->v_pages;
    return call;
}

/* Lists of the heads under way, where every head has its own. */
static mn_block_list lists_of(const making *w) {
    mn_block_list lists = *w->a->blocks;
    if (lists.n_lists == 1) return lists;
    lists.n_lists = w->n_heads;
    lists.offsets += w->first_head * lists.n_query_blocks;
    return lists;
}

static mn_status back_attention(const making *w, mn_error *err) {
    mn_attend call = made_call(w);
    mn_block_list lists;
    if (call.blocks) {
        lists = lists_of(w);
        call.blocks = &lists;
    }
    int64_t k_row = (int64_t)w->n_heads * w->k_dim, v_row = (int64_t)w->n_heads * w->m->v_dim;
    memset(w->d_k, 0, (size_t)(w->n_tokens * k_row) * sizeof *w->d_k);
    memset(w->d_v, 0, (size_t)(w->n_tokens * v_row) * sizeof *w->d_v);
    mn_attend_grad g = {.d_out = w->g->d_out + (int64_t)w->first_head * w->m->v_dim,
                        .d_q = w->g->d_q + (int64_t)w->first_head * w->k_dim,
                        .d_k = w->d_k,
                        .d_v = w->d_v,
                        .d_out_stride = w->g->d_out_stride,
                        .d_q_stride = w->g->d_q_stride,
                        .d_k_stride = k_row,
                        .d_v_stride = v_row};
    return mn_flash_backward(w->c, &call, &g, err);
}

/* d_latents += products of W_UK that stand in w->k's place, [n_tokens, kv_rank], and rotated parts. */
typedef struct adding {
    const making *w;
    const float *products, *d_k; /* d_k: of one head */
} adding;

static void add_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const adding *job = arg;
    const making *w = job->w;
    const mn_mla *m = w->m;
    const mn_vec_kernels *vec = &w->c->kernels->vec;
    for (int64_t t = begin; t < end; t++) {
        float *d = w->g->d_latents + t * w->g->d_latents_stride;
        vec->add(d, d, job->products + t * m->kv_rank, m->kv_rank);
        vec->add(d + m->kv_rank, d + m->kv_rank, job->d_k + t * w->n_heads * w->k_dim + m->n_nope, m->n_rot);
    }
}

static mn_status back_head(const making *w, int h, float *products, mn_error *err) {
    const mn_mla *m = w->m;
    const mn_mla_grad *g = w->g;
    int64_t head = w->first_head + h, k_row = (int64_t)w->n_heads * w->k_dim, v_row = (int64_t)w->n_heads * m->v_dim;
    int64_t rank = m->kv_rank;
    mn_tensor k_up = mn_tensor_matrix(&m->k_up, head), v_up = mn_tensor_matrix(&m->v_up, head);
    const mn_tensor *ups[] = {&k_up};
    const float *d_k = w->d_k + (int64_t)h * w->k_dim, *d_v = w->d_v + (int64_t)h * m->v_dim;
    MN_TRY(mn_matmul_training(w->c, &products, &rank, d_k, k_row, w->n_tokens, ups, 1, err));
    adding job = {w, products, d_k};
    mn_pool_run(w->c->pool, w->n_tokens, ROWS_GRAIN, add_rows, &job);
    MN_TRY(mn_matmul_dx(w->c, g->d_latents, g->d_latents_stride, true, d_v, v_row, w->n_tokens, &v_up, err));
    if (g->d_k_up)
        MN_TRY(mn_matmul_dw(w->c, g->d_k_up + head * rank * m->n_nope, w->latents, w->row, rank, d_k, k_row, m->n_nope,
                            w->n_tokens, err));
    if (g->d_v_up)
        MN_TRY(mn_matmul_dw(w->c, g->d_v_up + head * rank * m->v_dim, d_v, v_row, m->v_dim, w->latents, w->row, rank,
                            w->n_tokens, err));
    return MN_OK;
}

static void list_pages(making *w) {
    for (int64_t i = 0; i < w->n_pages; i++) {
        bool held = w->a->kv.k_pages[i] != NULL;
        int64_t rows = i * w->n_heads * MN_PAGE_TOKENS;
        w->k_pages[i] = held ? w->k_made + rows * w->k_dim : NULL;
        w->v_pages[i] = held ? w->v_made + rows * w->m->v_dim : NULL;
    }
}

static mn_status take_scratch(making *w, mn_error *err) {
    mn_arena *scratch = w->c->scratch;
    size_t n = (size_t)w->n_tokens * (size_t)w->most_heads, pages = (size_t)w->n_pages,
           made = pages * MN_PAGE_TOKENS * (size_t)w->most_heads;
    w->latents = mn_arena_alloc(scratch, (size_t)(w->n_tokens * w->row), sizeof(float));
    w->k = mn_arena_alloc(scratch, n * (size_t)(w->m->n_nope + w->m->v_dim), sizeof(float));
    w->d_k = mn_arena_alloc(scratch, n * (size_t)(w->k_dim + w->m->v_dim), sizeof(float));
    w->k_made = mn_arena_alloc(scratch, made * (size_t)(w->k_dim + w->m->v_dim), sizeof(float));
    w->k_pages = mn_arena_alloc(scratch, 2 * pages, sizeof *w->k_pages);
    w->lse = mn_arena_alloc(scratch, (size_t)w->a->n_rows * (size_t)w->most_heads, sizeof(float));
    if (!w->latents || !w->k || !w->d_k || !w->k_made || !w->k_pages || !w->lse)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for keys and values of %d heads over %lld tokens.", w->most_heads,
                       (long long)w->n_tokens);
    w->v = w->k + n * (size_t)w->m->n_nope;
    w->d_v = w->d_k + n * (size_t)w->k_dim;
    w->v_made = w->k_made + made * (size_t)w->k_dim;
    w->v_pages = w->k_pages + pages;
    return MN_OK;
}

static mn_status run(making *w, mn_error *err) {
    MN_TRY(take_scratch(w, err));
    float *products = mn_arena_alloc(w->c->scratch, (size_t)w->n_tokens * (size_t)w->m->kv_rank, sizeof(float));
    if (!products) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of latents.");
    mn_pool_run(w->c->pool, w->n_tokens, ROWS_GRAIN, read_latents, w);
    for (w->first_head = 0; w->first_head < w->a->n_heads; w->first_head += w->most_heads) {
        w->n_heads = MN_MIN(w->most_heads, w->a->n_heads - w->first_head);
        list_pages(w);
        MN_TRY(make_keys(w, err));
        MN_TRY(back_attention(w, err));
        for (int h = 0; h < w->n_heads; h++) MN_TRY(back_head(w, h, products, err));
    }
    return MN_OK;
}

mn_status mn_mla_backward(const mn_compute *c, const mn_attend *a, const mn_mla_grad *g, mn_error *err) {
    MN_TRY(mn_attend_check(a, err));
    if (!a->lse) return mn_fail(err, MN_ERR_ARGUMENT, "the backward of attention needs the forward's log-sum-exp.");
    if (a->n_rows == 0 || a->kv.n_tokens == 0) return MN_OK;
    making w = {.c = c, .a = a, .m = a->mla, .g = g, .n_tokens = a->kv.n_tokens};
    w.k_dim = w.m->n_nope + w.m->n_rot;
    w.row = w.m->kv_rank + w.m->n_rot;
    w.n_pages = (w.n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    int64_t head_bytes = w.n_tokens * (w.k_dim + w.m->v_dim) * (int64_t)sizeof(float);
    w.most_heads = (int)MN_MAX(INT64_C(1), MN_MIN((int64_t)a->n_heads, GROUP_BYTES / head_bytes));
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = run(&w, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
