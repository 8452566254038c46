#include "attention/mla.h"

#include "attention/flash.h"
#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/kernels.h"

#include <string.h>

/* Rows of one product: their keys and values of 16 heads of 128, in f32, take 4 MiB. */
enum { PRODUCT_ROWS = 256, COLUMN = 16 };

_Static_assert(MN_MLA_KEYS % MN_RANGE_KEYS == 0, "ranges are not divided");
_Static_assert(MN_MLA_KEYS % PRODUCT_ROWS == 0, "products end where the keys of a call end");

int64_t mn_mla_deepest(const mn_mla *m, int64_t n_rows) {
    int64_t made = (int64_t)m->kv_rank * (m->n_nope + m->v_dim), saved = 2 * (int64_t)m->kv_rank - m->n_nope - m->v_dim;
    bool fits = m->n_nope + m->n_rot <= MN_ATTEND_MAX_DIM && m->v_dim <= MN_ATTEND_MAX_DIM;
    if (n_rows < MN_FLASH_MIN_ROWS || saved <= 0 || !fits) return -1;
    if (made <= n_rows * saved) return INT64_MAX;
    return (n_rows * (n_rows + 1) / 2 * saved - 1) / (made - n_rows * saved);
}

mn_attend mn_mla_made(const mn_attend *a) {
    mn_attend made = *a;
    made.mla = NULL;
    made.kv.n_kv_heads = a->n_heads;
    made.kv.k_dim = a->mla->n_nope + a->mla->n_rot;
    made.kv.v_dim = a->mla->v_dim;
    made.kv.summary = NULL;
    return made;
}

/* One call's work, all of it scratch. */
typedef struct making {
    const mn_compute *c;
    const mn_attend *a; /* the KV entries */
    const mn_mla *m;
    mn_attend call;       /* the keys and values made */
    mn_tensor k_up, v_up; /* [n_heads * n_nope, kv_rank], [n_heads * v_dim, kv_rank] */
    float *rows, *k, *v;  /* of one product: KV entries, W_UK c, W_UV c */
    int64_t row_floats;
    char *k_made, *v_made; /* pages of MN_MLA_KEYS tokens */
    size_t k_page_bytes, v_page_bytes;
    const void **k_pages, **v_pages; /* of all tokens */
    int64_t first_key;               /* of the MN_MLA_KEYS tokens under way */
    int64_t first_row;               /* of the product under way */
} making;

/* W_UK,h from W_UK,h^T, head by head: products want the inputs of an output side by side. */
static void turn_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const making *w = arg;
    const mn_tensor *from = &w->m->k_up;
    size_t from_bytes = mn_tensor_row_bytes(from), element = mn_dtype_row_bytes(w->k_up.type, 1);
    int n_nope = w->m->n_nope;
    float rows[COLUMN][MN_ATTEND_MAX_DIM], column[COLUMN];
    for (int64_t item = begin; item < end; item++) {
        int64_t n_columns = (w->m->kv_rank + COLUMN - 1) / COLUMN, head = item / n_columns,
                first = item % n_columns * COLUMN;
        int n = (int)MN_MIN((int64_t)COLUMN, w->m->kv_rank - first);
        const char *row = (const char *)from->data + (size_t)(head * w->m->kv_rank + first) * from_bytes;
        char *to = (char *)w->k_up.data + (size_t)(head * n_nope * w->m->kv_rank + first) * element;
        for (int r = 0; r < n; r++)
            w->c->kernels->vec.to_f32(from->type, row + (size_t)r * from_bytes, rows[r], n_nope);
        for (int i = 0; i < n_nope; i++, to += (size_t)w->m->kv_rank * element) {
            for (int r = 0; r < n; r++) column[r] = rows[r][i];
            w->c->kernels->vec.from_f32(w->k_up.type, column, to, n);
        }
    }
}

/* KV entries of the product under way, as f32. Dropped ones are zeros: nobody looks at their keys. */
static void read_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const making *w = arg;
    const mn_kv_view *kv = &w->a->kv;
    for (int64_t r = begin; r < end; r++) {
        int64_t token = w->first_row + r;
        const char *page = kv->k_pages[token / MN_PAGE_TOKENS];
        float *row = w->rows + r * w->row_floats;
        if (page)
            w->c->kernels->vec.to_f32(kv->k_type, page + (size_t)(token % MN_PAGE_TOKENS) * kv->k_row_bytes, row,
                                      w->row_floats);
        else
            memset(row, 0, (size_t)w->row_floats * sizeof *row);
    }
}

/* The product's keys, with the rotated part that all heads share, and values: into their pages. */
static void store_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const making *w = arg;
    const mn_mla *m = w->m;
    const mn_kv_view *made = &w->call.kv;
    for (int64_t r = begin; r < end; r++) {
        int64_t at = w->first_row + r - w->first_key;
        const float *rotated = w->rows + r * w->row_floats + m->kv_rank;
        char *k = w->k_made + (size_t)(at / MN_PAGE_TOKENS) * w->k_page_bytes +
                  (size_t)(at % MN_PAGE_TOKENS) * made->k_row_bytes;
        char *v = w->v_made + (size_t)(at / MN_PAGE_TOKENS) * w->v_page_bytes +
                  (size_t)(at % MN_PAGE_TOKENS) * made->v_row_bytes;
        for (int64_t head = r * made->n_kv_heads; head < (r + 1) * made->n_kv_heads; head++) {
            w->c->kernels->vec.from_f32(made->k_type, w->k + head * m->n_nope, k, m->n_nope);
            w->c->kernels->vec.from_f32(made->k_type, rotated, k + mn_dtype_row_bytes(made->k_type, m->n_nope),
                                        m->n_rot);
            w->c->kernels->vec.from_f32(made->v_type, w->v + head * m->v_dim, v, m->v_dim);
            k += MN_PAGE_TOKENS * made->k_row_bytes;
            v += MN_PAGE_TOKENS * made->v_row_bytes;
        }
    }
}

/* Where the pages of the tokens under way are; those that were dropped stay so. */
static void list_pages(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const making *w = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t page = w->first_key / MN_PAGE_TOKENS + i;
        bool held = w->a->kv.k_pages[page] != NULL;
        w->k_pages[page] = held ? w->k_made + (size_t)i * w->k_page_bytes : NULL;
        w->v_pages[page] = held ? w->v_made + (size_t)i * w->v_page_bytes : NULL;
    }
}

/* Makes keys and values of tokens [first_key, end). */
static mn_status make_keys(making *w, int64_t end, mn_error *err) {
    const mn_tensor *const ups[] = {&w->k_up, &w->v_up};
    float *const outs[] = {w->k, w->v};
    const int64_t strides[] = {w->k_up.ne[1], w->v_up.ne[1]};
    int64_t n_pages = (MN_MAX(end - w->first_key, 0) + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    mn_pool_run(w->c->pool, n_pages, 16, list_pages, w);
    for (w->first_row = w->first_key; w->first_row < end; w->first_row += PRODUCT_ROWS) {
        int64_t n = MN_MIN((int64_t)PRODUCT_ROWS, end - w->first_row);
        mn_pool_run(w->c->pool, n, 16, read_rows, w);
        MN_TRY(mn_matmul_many(w->c, outs, strides, w->rows, w->row_floats, n, ups, 2, err));
        mn_pool_run(w->c->pool, n, 8, store_rows, w);
    }
    return MN_OK;
}

static mn_tensor flat(const mn_tensor *stack) {
    mn_tensor matrix = *stack;
    matrix.n_dims = 2;
    matrix.ne[1] *= matrix.ne[2];
    matrix.ne[2] = 1;
    return matrix;
}

/* Values are rounded once, to what attention multiplies: bf16 where it does, else nothing is. */
static void lay_out(making *w) {
    mn_kv_view *kv = &w->call.kv;
    bool bf16 = !w->c->exact && w->c->kernels->attend.fast.operand_bytes == 2;
    kv->k_type = kv->v_type = bf16 ? MN_BF16 : MN_F32;
    kv->k_row_bytes = mn_dtype_row_bytes(kv->k_type, kv->k_dim);
    kv->v_row_bytes = mn_dtype_row_bytes(kv->v_type, kv->v_dim);
    w->k_page_bytes = kv->k_row_bytes * (size_t)kv->n_kv_heads * MN_PAGE_TOKENS;
    w->v_page_bytes = kv->v_row_bytes * (size_t)kv->n_kv_heads * MN_PAGE_TOKENS;
    w->v_up = flat(&w->m->v_up);
    w->k_up = (mn_tensor){
        .type = kv->k_type, .n_dims = 2, .ne = {w->m->kv_rank, (int64_t)kv->n_kv_heads * w->m->n_nope, 1, 1}};
    w->k_up.bytes = mn_tensor_row_bytes(&w->k_up) * (size_t)w->k_up.ne[1];
    /* Quantised rows are padded to whole blocks. */
    const mn_dtype_info *cached = mn_dtype_get(w->a->kv.k_type);
    w->row_floats = (int64_t)(w->a->kv.k_row_bytes / mn_dtype_row_bytes(w->a->kv.k_type, cached->block_elems)) *
                    cached->block_elems;
}

/* Fewer tokens than a call makes at a time need fewer pages. */
static mn_status take_scratch(making *w, mn_error *err) {
    mn_arena *scratch = w->c->scratch;
    size_t n_all = (size_t)(w->a->kv.n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    size_t n_pages = MN_MIN(n_all, (size_t)MN_MLA_KEYS / MN_PAGE_TOKENS),
           n_rows = MN_MIN(n_pages * MN_PAGE_TOKENS, (size_t)PRODUCT_ROWS);
    w->k_up.data = mn_arena_alloc(scratch, 1, w->k_up.bytes);
    w->rows = mn_arena_alloc(scratch, n_rows, (size_t)w->row_floats * sizeof *w->rows);
    w->k = mn_arena_alloc(scratch, n_rows, (size_t)w->k_up.ne[1] * sizeof *w->k);
    w->v = mn_arena_alloc(scratch, n_rows, (size_t)w->v_up.ne[1] * sizeof *w->v);
    w->k_made = mn_arena_alloc(scratch, n_pages, w->k_page_bytes);
    w->v_made = mn_arena_alloc(scratch, n_pages, w->v_page_bytes);
    w->k_pages = mn_arena_zalloc(scratch, n_all, sizeof *w->k_pages);
    w->v_pages = mn_arena_zalloc(scratch, n_all, sizeof *w->v_pages);
    if (!w->call.sums) w->call.sums = mn_attend_sums(scratch, &w->call);
    if (!w->k_up.data || !w->rows || !w->k || !w->v || !w->k_made || !w->v_made || !w->k_pages || !w->v_pages ||
        !w->call.sums)
        return mn_fail_with(
            err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
            "no memory for the keys of %d tokens, %zu bytes each, beside a step's work; use a smaller batch.",
            (int)(n_pages * MN_PAGE_TOKENS), (w->k_page_bytes + w->v_page_bytes) / MN_PAGE_TOKENS);
    w->call.kv.k_pages = w->k_pages;
    w->call.kv.v_pages = w->v_pages;
    return MN_OK;
}

/* At least one call of attention, which writes the rows out, even where none of these keys is seen. */
static mn_status run(making *w, mn_error *err) {
    lay_out(w);
    MN_TRY(take_scratch(w, err));
    int64_t n_columns = (w->m->kv_rank + COLUMN - 1) / COLUMN;
    mn_pool_run(w->c->pool, w->a->n_heads * n_columns, MN_MAX(n_columns / 4, 1), turn_heads, w);
    mn_key_range keys = mn_row_tile_range(w->a, 0, w->a->n_rows);
    w->first_key = keys.begin / MN_RANGE_KEYS * MN_RANGE_KEYS;
    do {
        MN_TRY(make_keys(w, MN_MIN(w->first_key + MN_MLA_KEYS, keys.end), err));
        w->call.first_key = w->first_key;
        w->call.end_key = w->first_key + MN_MLA_KEYS;
        MN_TRY(mn_flash(w->c, &w->call, err));
        w->first_key += MN_MLA_KEYS;
    } while (w->first_key < keys.end && !mn_pool_is_dry(w->c->pool)); /* each takes the scratch that the first took */
    return MN_OK;
}

mn_status mn_mla_attend(const mn_compute *c, const mn_attend *a, mn_error *err) {
    MN_TRY(mn_attend_check(a, err));
    if (a->n_rows == 0) return MN_OK;
    making w = {.c = c, .a = a, .m = a->mla, .call = mn_mla_made(a)};
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = run(&w, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

typedef struct copy_job {
    const mn_attend *a;
    float *wide;
} copy_job;

/* The rotated part of every query stays as it is. */
static void copy_rotated(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const copy_job *job = arg;
    const mn_mla *m = job->a->mla;
    int64_t q_dim = m->n_nope + m->n_rot, row = m->kv_rank + m->n_rot;
    for (int64_t r = begin; r < end; r++)
        for (int64_t h = 0; h < job->a->n_heads; h++)
            memcpy(job->wide + (r * job->a->n_heads + h) * row + m->kv_rank,
                   job->a->q + r * job->a->q_stride + h * q_dim + m->n_nope, (size_t)m->n_rot * sizeof *job->wide);
}

mn_status mn_mla_absorb(const mn_compute *c, const mn_attend *a, float *wide, mn_error *err) {
    const mn_mla *m = a->mla;
    int64_t row = m->kv_rank + m->n_rot;
    for (int h = 0; h < a->n_heads; h++) {
        mn_tensor up = mn_tensor_matrix(&m->k_up, h);
        const float *q = a->q + (int64_t)h * (m->n_nope + m->n_rot);
        MN_TRY(mn_matmul(c, wide + h * row, a->n_heads * row, q, a->q_stride, a->n_rows, &up, err));
    }
    copy_job job = {a, wide};
    mn_pool_run(c->pool, a->n_rows, 16, copy_rotated, &job);
    return MN_OK;
}

mn_status mn_mla_output(const mn_compute *c, const mn_attend *a, const float *latent, mn_error *err) {
    const mn_mla *m = a->mla;
    for (int64_t h = 0; h < a->n_heads; h++) {
        mn_tensor up = mn_tensor_matrix(&m->v_up, h);
        MN_TRY(mn_matmul(c, a->out + h * m->v_dim, a->out_stride, latent + h * m->kv_rank,
                         (int64_t)a->n_heads * m->kv_rank, a->n_rows, &up, err));
    }
    return MN_OK;
}

const mn_technique mn_mla_absorbed_about = {
    .name = "multi-head latent attention (MLA), absorbed (decode)",
    .paper = "DeepSeek-AI 2024 (arXiv:2405.04434)",
    .file = "src/attention/mla.c",
    .test = "tests/session/golden_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
const mn_technique mn_mla_materialised_about = {
    .name = "multi-head latent attention (MLA), materialised (prefill)",
    .paper = "DeepSeek-AI 2024 (arXiv:2405.04434)",
    .file = "src/attention/mla.c",
    .test = "tests/attention/mla_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
