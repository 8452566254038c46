#include "train/lora_merge.h"

#include "base/checked.h"

#include <stdlib.h>

typedef struct merging {
    mn_model *model;
    mn_pool *pool;
    float *rows; /* [n_threads, 2 * longest]: a row of W, and one of A */
    int64_t longest;
} merging;

typedef struct row_job {
    const merging *m;
    const mn_tensor *from, *to;
    const mn_lora *lora;
    char *data;
} row_job;

/* row += scale B[r] A, row by row of A. */
static void add_adapter(const mn_lora *l, int64_t r, float *row, float *a_row) {
    int64_t n = l->a.ne[0], rank = l->a.ne[1];
    float b[MN_MAX_LORA_RANK];
    mn_to_f32(l->b.type, (const char *)l->b.data + (size_t)r * mn_tensor_row_bytes(&l->b), b, rank);
    for (int64_t k = 0; k < rank; k++) {
        mn_to_f32(l->a.type, (const char *)l->a.data + (size_t)k * mn_tensor_row_bytes(&l->a), a_row, n);
        for (int64_t i = 0; i < n; i++) row[i] += l->scale * b[k] * a_row[i];
    }
}

static void merge_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const row_job *j = arg;
    float *row = j->m->rows + thread_index * 2 * j->m->longest;
    size_t from_bytes = mn_tensor_row_bytes(j->from), to_bytes = mn_tensor_row_bytes(j->to);
    for (int64_t r = begin; r < end; r++) {
        mn_to_f32(j->from->type, (const char *)j->from->data + (size_t)r * from_bytes, row, j->from->ne[0]);
        for (const mn_lora *l = j->lora; l; l = l->next) add_adapter(l, r, row, row + j->m->longest);
        mn_from_f32(j->to->type, row, j->data + (size_t)r * to_bytes, j->from->ne[0]);
    }
}

static mn_status fill(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    const merging *m = arg;
    const mn_projection *p = mn_model_projection(m->model, t->name);
    row_job job = {m, mn_gguf_tensor(m->model->gguf, t->name), t, p ? p->lora : NULL, dst};
    (void)err;
    mn_pool_run(m->pool, t->ne[1] * t->ne[2] * t->ne[3], 4, merge_rows, &job);
    return MN_OK;
}

static bool is_adapted(mn_model *model, const mn_tensor *t) {
    const mn_projection *p = mn_model_projection(model, t->name);
    return p && p->lora;
}

static mn_dtype type_of(const mn_tensor *t, mn_dtype type, bool adapted) {
    bool kept = type == MN_DTYPE_COUNT || mn_precision_is_kept(t);
    mn_dtype wanted = kept ? t->type : mn_precision_pick(t, type);
    return adapted && !mn_dtype_get(wanted)->from_f32 ? mn_precision_pick(t, wanted) : wanted;
}

/* What no adapter adds to and keeps its type is copied: rounded once more, it would not be what it was. */
static void put_tensors(merging *m, mn_dtype type, mn_gguf_writer *to) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->model->gguf); i++) {
        mn_tensor t = *mn_gguf_tensor_at(m->model->gguf, i);
        bool adapted = is_adapted(m->model, &t);
        mn_dtype before = t.type;
        t.type = type_of(&t, type, adapted);
        if (adapted || t.type != before) t.data = NULL;
        t.bytes = mn_tensor_row_bytes(&t) * (size_t)(t.ne[1] * t.ne[2] * t.ne[3]);
        m->longest = MN_MAX(m->longest, t.ne[0]);
        mn_gguf_put_tensor(to, &t);
    }
}

/* An output matrix that is the token table has no place of its own in a file. */
static mn_status check_output(const mn_model *model, mn_error *err) {
    if (!model->weights.output.lora || mn_gguf_tensor(model->gguf, "output.weight")) return MN_OK;
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "%s: its output matrix is the token table, and an adapter of output.weight cannot be merged into "
                   "one of the two; run it beside the model.",
                   mn_gguf_path(model->gguf));
}

mn_status mn_lora_merge(mn_model *model, const char *path, const mn_key_changes *changes, mn_dtype type, mn_pool *pool,
                        mn_error *err) {
    merging m = {.model = model, .pool = pool};
    mn_gguf_writer *to;
    size_t n = (size_t)(pool ? mn_pool_threads(pool) : 1);
    MN_TRY(check_output(model, err));
    MN_TRY(mn_gguf_writer_create(&to, err));
    mn_model_file_put_keys(model->gguf, changes, type == MN_DTYPE_COUNT ? MN_TYPES_KEPT : MN_TYPES_PICKED, type, to);
    put_tensors(&m, type, to);
    m.rows = calloc(n * 2 * (size_t)m.longest + 1, sizeof *m.rows);
    mn_status status =
        m.rows ? mn_gguf_write(to, path, fill, &m, err) : mn_fail(err, MN_ERR_MEMORY, "no memory for a row.");
    free(m.rows);
    mn_gguf_writer_destroy(to);
    return status;
}
