/* Compressed keys of a step on the CPU: each slice's tokens go through the state of its own sequence, and its queries
 * meet the keys that this sequence keeps. */
#include "attention/attention.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "model/backend_cpu_ops.h"

#include <string.h>

static mn_kvcache *cache_of(const mn_step *s, const mn_sequence *t, int layer) {
    return t->compressed[mn_config_rate(&s->model->config, layer)];
}

/* Keys of the blocks that a slice completes. */
typedef struct finish_job {
    const mn_step *s;
    const mn_sequence *t;
    const mn_norm *norm;
    float *keys; /* [blocks, dim] */
    int64_t first_block;
    int ratio, dim;
} finish_job;

static void finish_keys(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const finish_job *j = arg;
    const mn_vec_kernels *vec = &mn_cpu_compute(j->s)->kernels->vec;
    const mn_config *c = &j->s->model->config;
    float cos[MN_MAX_ROT_PAIRS], sin[MN_MAX_ROT_PAIRS];
    for (int64_t i = begin; i < end; i++) {
        float *key = j->keys + i * j->dim, *turned = key + j->dim - c->rope.n_rot;
        int64_t position = mn_attn_position(&j->t->attn, (j->first_block + i) * j->ratio);
        vec->rms_norm(key, key, j->norm->w, c->norm_eps, j->dim);
        mn_rope_angles(&j->t->rope, &position, 1, cos, sin);
        (c->rope_style == MN_ROPE_SPLIT ? vec->rotate_split : vec->rotate_interleaved)(turned, cos, sin,
                                                                                       c->rope.n_rot / 2);
    }
}

/* keys: room for those of one block for each `ratio` rows, rounded up. */
static void compress_slice(const mn_step *s, const mn_slice *slice, int layer, bool of_indexer, mn_rows u, mn_rows sc,
                           float *keys) {
    const mn_compute *c = mn_cpu_compute(s);
    const mn_config *config = &s->model->config;
    const mn_layer *l = &s->model->weights.layers[layer];
    const mn_sequence *t = slice->sequence;
    mn_compressor x = mn_layer_compressor(config, l, layer, of_indexer);
    mn_compressor_rows in = {mn_cpu_row(u, slice->first_row),
                             mn_cpu_row(sc, slice->first_row),
                             u.row_stride,
                             sc.row_stride,
                             slice->n_rows,
                             mn_sequence_n_kv(t)};
    float *state = mn_sequence_compressor_state(t, config, layer, of_indexer);
    int64_t first = mn_compressor_blocks(&x, in.first_token);
    int64_t n = mn_compressor_blocks(&x, in.first_token + in.n_rows) - first;
    finish_job job = {s,       t,    of_indexer ? &l->indexer_compressor.norm : &l->compressor.norm, keys, first,
                      x.ratio, x.dim};
    mn_compress(c, &x, state, &in, keys);
    mn_pool_run(c->pool, n, 1, finish_keys, &job);
    if (n > 0)
        mn_kvcache_append(cache_of(s, t, layer), c, mn_sequence_compressed_layer(config, layer, of_indexer), first, n,
                          keys, x.dim, NULL, 0);
    if (!mn_pool_is_dry(c->pool)) mn_compressor_advance(&x, state, &in);
}

mn_status mn_cpu_compress(const mn_step *s, int layer, bool of_indexer, mn_rows u, mn_rows sc, mn_error *err) {
    mn_arena *scratch = mn_cpu_compute(s)->scratch;
    mn_compressor x = mn_layer_compressor(&s->model->config, NULL, layer, of_indexer);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        mn_arena_mark mark = mn_arena_get_mark(scratch);
        float *keys = mn_cpu_floats(s, (slice->n_rows + x.ratio - 1) / x.ratio, x.dim);
        if (!keys) return mn_no_scratch(err);
        compress_slice(s, slice, layer, of_indexer, u, sc, keys);
        mn_arena_rewind(scratch, mark);
    }
    return MN_OK;
}

/* The keys that each row sees: those complete at its token. */
static mn_status end_at_tokens(const mn_step *s, int ratio, mn_attend *a, mn_error *err) {
    int64_t *begin = mn_arena_alloc(mn_cpu_compute(s)->scratch, (size_t)a->n_rows, 2 * sizeof *begin);
    if (!begin) return mn_no_scratch(err);
    int64_t *end = begin + a->n_rows;
    for (int64_t r = 0; r < a->n_rows; r++) {
        begin[r] = 0;
        end[r] = (a->first_token + r + 1) / ratio;
    }
    a->key_begin = begin;
    a->key_end = end;
    return MN_OK;
}

mn_status mn_cpu_compressed_call(const mn_step *s, const mn_slice *slice, int layer, int64_t n, mn_rows out,
                                 mn_rows lse, mn_rows q, mn_rows chosen, mn_attend *a, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_sequence *t = slice->sequence;
    *a = (mn_attend){.q = mn_cpu_row(q, slice->first_row),
                     .out = mn_cpu_row(out, slice->first_row),
                     .q_stride = q.row_stride,
                     .out_stride = out.row_stride,
                     .n_rows = slice->n_rows,
                     .first_token = mn_sequence_n_kv(t),
                     .n_heads = q.n_heads,
                     .scale = t->score_scale,
                     .softcap = c->attention_softcap,
                     .lse = mn_cpu_row(lse, slice->first_row),
                     .kv = mn_kvcache_view(cache_of(s, t, layer), mn_sequence_compressed_layer(c, layer, false), n)};
    if (chosen.buffer) {
        a->chosen = mn_cpu_chosen(chosen, slice->first_row);
        a->chosen_words = chosen.row_stride / 2;
        MN_TRY(mn_cpu_gather_chosen(s, a, err));
    }
    return a->n_rows > 1 ? end_at_tokens(s, c->layers[layer].ratio, a, err) : MN_OK;
}

static void clear_slice(const mn_slice *slice, mn_rows out, mn_rows lse) {
    for (int64_t r = slice->first_row; r < slice->first_row + slice->n_rows; r++)
        memset(mn_cpu_row(out, r), 0, (size_t)(out.n_heads * out.n) * sizeof(float));
    mn_cpu_clear_lse(slice, lse);
}

mn_status mn_cpu_attend_compressed(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                   mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_attend *calls = mn_arena_alloc(c->scratch, (size_t)s->n_slices, sizeof *calls);
    int n_calls = 0, ratio = s->model->config.layers[layer].ratio;
    if (!calls) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t n = (mn_sequence_n_kv(slice->sequence) + slice->n_rows) / ratio;
        if (n == 0) {
            if (!mn_pool_is_dry(c->pool)) clear_slice(slice, out, lse);
            continue;
        }
        MN_TRY(mn_cpu_compressed_call(s, slice, layer, n, out, lse, q, chosen, &calls[n_calls], err));
        mn_cpu_count_call(s, slice, &calls[n_calls++], false);
    }
    MN_TRY(mn_attention_batch(c, calls, n_calls, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
