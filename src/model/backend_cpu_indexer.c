/* The indexer of learned sparse attention on the CPU: its keys go into each sequence's second cache, and what each row
 * chooses into a bit for each key. */
#include "attention/indexer.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "model/backend_cpu_ops.h"

#include <math.h>
#include <string.h>

static const float norm_eps = 1e-6f; /* of the indexer's keys, in the released code */

typedef struct prepare_job {
    const mn_step *s;
    const mn_layer *w;
    mn_rows q, k, weights, angles;
} prepare_job;

static void rotate(const prepare_job *j, float *x, int64_t row) {
    const mn_vec_kernels *vec = &mn_cpu_compute(j->s)->kernels->vec;
    const float *cos = mn_cpu_row(j->angles, row), *sin = cos + j->angles.head_stride;
    bool split = j->s->model->config.indexer.rope_style == MN_ROPE_SPLIT;
    (split ? vec->rotate_split : vec->rotate_interleaved)(x, cos, sin, j->angles.n);
}

static void prepare_key(const prepare_job *j, int64_t row) {
    float *k = mn_cpu_row(j->k, row);
    const mn_norm *norm = &j->w->indexer_k_norm;
    mn_cpu_compute(j->s)->kernels->vec.layer_norm(k, k, norm->w, norm->b, norm_eps, j->k.n);
    rotate(j, k, row);
}

/* Keys normalised and rotated, queries rotated, weights scaled. */
static void prepare_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const prepare_job *j = arg;
    const mn_vec_kernels *vec = &mn_cpu_compute(j->s)->kernels->vec;
    const mn_indexer_config *x = &j->s->model->config.indexer;
    for (int64_t r = begin; r < end; r++) {
        float *w = mn_cpu_row(j->weights, r);
        if (j->k.buffer) prepare_key(j, r);
        for (int h = 0; h < x->n_heads && j->angles.buffer; h++)
            rotate(j, mn_cpu_row(j->q, r) + h * j->q.head_stride, r);
        vec->scale(w, w, 1 / sqrtf((float)x->n_heads * (float)x->dim), x->n_heads);
    }
}

/* Layers before this one that have an indexer. */
static int indexer_layer(const mn_config *c, int layer) {
    int n = 0;
    for (int i = 0; i < layer; i++) n += c->layers[i].has_indexer;
    return n;
}

/* The indexer's keys once a sequence has n_tokens. */
static mn_kv_view keys_of(const mn_step *s, const mn_sequence *t, int layer, int64_t n_tokens) {
    const mn_config *c = &s->model->config;
    int ratio = c->layers[layer].ratio;
    if (ratio == 0) return mn_kvcache_view(t->second, indexer_layer(c, layer), n_tokens);
    return mn_kvcache_view(t->compressed[mn_config_rate(c, layer)], mn_sequence_compressed_layer(c, layer, true),
                           n_tokens / ratio);
}

/* A copy of rows without gaps, in scratch memory; buffer NULL when it ends. */
static mn_rows copy_of(const mn_step *s, mn_rows x) {
    int64_t n = x.n_heads * x.n;
    mn_rows copy = x;
    if (!x.buffer) return x;
    float *memory = mn_cpu_floats(s, x.n_rows, n);
    copy.buffer = (mn_buffer *)(void *)memory;
    copy.offset = 0;
    copy.row_stride = n;
    for (int64_t r = 0; memory && r < x.n_rows && !mn_pool_is_dry(mn_cpu_compute(s)->pool); r++)
        memcpy(memory + r * n, mn_cpu_row(x, r), (size_t)n * sizeof *memory);
    return copy;
}

mn_status mn_cpu_choose_keys(const mn_step *s, int layer, mn_rows chosen, mn_rows q_in, mn_rows k_in,
                             mn_rows weights_in, mn_rows angles, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    const mn_indexer_config *x = &s->model->config.indexer;
    int index = indexer_layer(&s->model->config, layer);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_rows q = copy_of(s, q_in), k = copy_of(s, k_in), weights = copy_of(s, weights_in);
    if (!q.buffer || (k_in.buffer && !k.buffer) || !weights.buffer) return mn_no_scratch(err);
    prepare_job job = {s, &s->model->weights.layers[layer], q, k, weights, angles};
    mn_pool_run(c->pool, s->n_rows, mn_cpu_grain(q.n_heads * q.n), prepare_rows, &job);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        const mn_sequence *t = slice->sequence;
        int64_t first = mn_sequence_n_kv(t), row = slice->first_row;
        if (k.buffer)
            mn_kvcache_append(t->second, c, index, first, slice->n_rows, mn_cpu_row(k, row), k.row_stride, NULL, 0);
        mn_indexer call = {.q = mn_cpu_row(q, row),
                           .w = mn_cpu_row(weights, row),
                           .q_stride = q.row_stride,
                           .w_stride = weights.row_stride,
                           .n_rows = slice->n_rows,
                           .first_token = first,
                           .n_heads = x->n_heads,
                           .top_k = x->top_k,
                           .ratio = s->model->config.layers[layer].ratio,
                           .kv = keys_of(s, t, layer, first + slice->n_rows)};
        if (call.kv.n_tokens == 0) continue; /* no block is complete: nobody looks at a choice */
        MN_TRY(mn_indexer_choose(c, &call, mn_cpu_chosen(chosen, row), chosen.row_stride / 2, err));
    }
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
