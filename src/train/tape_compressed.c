/* Compressed keys on the tape, and attention over two sets of keys that is joined. Every document begins with its first
 * block. */
#include "attention/compressor_backward.h"
#include "attention/flash_backward.h"
#include "kernels/kernels.h"
#include "kernels/norm_backward.h"
#include "kernels/rows_backward.h"
#include "model/backend_cpu_ops.h"
#include "train/tape_ops.h"

static int64_t n_blocks(const mn_step *s, int n_slices, int ratio) {
    int64_t n = 0;
    for (int i = 0; i < n_slices; i++) n += s->slices[i].n_rows / ratio;
    return n;
}

/* An indexer's own keys have no gradient: its choice has none. */
mn_status mn_tape_compress(const mn_step *s, int layer, bool of_indexer, mn_rows u, mn_rows sc, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    const mn_layer_shape *l = &s->model->config.layers[layer];
    int64_t n = n_blocks(s, s->n_slices, l->ratio);
    mn_rows *keys = &t->attended[layer].compressed;
    MN_TRY(in.backend->compress(&in, layer, of_indexer, u, sc, err));
    if (of_indexer) return MN_OK;
    *keys = (mn_rows){0};
    if (n == 0) return MN_OK;
    MN_TRY(mn_tape_take(s, n, 1, l->head_dim_k, keys, err)); /* for the gradient's place */
    return mn_tape_record(t, (mn_tape_entry){.kind = MN_TAPE_COMPRESS, .layer = layer, .out = {*keys}, .in = {u, sc}},
                          err);
}

/* d_keys, of keys normalised and rotated, becomes that of the keys [n, dim] as they were compressed. */
static mn_status unfinish_keys(mn_tape *t, const mn_step *s, const mn_slice *slice, int layer, const float *keys,
                               float *d_keys, int64_t n, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_norm *w = &s->model->weights.layers[layer].compressor.norm;
    int dim = c->layers[layer].head_dim_k, n_pairs = c->rope.n_rot / 2;
    float *cos = mn_tape_floats(t, n * n_pairs), *sin = mn_tape_floats(t, n * n_pairs);
    if (!cos || !sin) return mn_no_scratch(err);
    for (int64_t i = 0; i < n; i++) {
        int64_t position = mn_attn_position(&slice->sequence->attn, i * c->layers[layer].ratio);
        mn_rope_angles(&slice->sequence->rope, &position, 1, cos + i * n_pairs, sin + i * n_pairs);
    }
    mn_vectors d = mn_vectors_of_heads(d_keys, 1, dim), x = mn_vectors_of_heads((float *)(uintptr_t)keys, 1, dim),
               turned = d;
    turned.data += dim - c->rope.n_rot;
    turned.n = c->rope.n_rot;
    mn_rotate_backward(t->compute, turned, cos, sin, n_pairs, n, c->rope_style == MN_ROPE_SPLIT);
    return mn_norm_backward(t->compute,
                            &(mn_norm_grad){.n_rows = n,
                                            .x = x,
                                            .dy = d,
                                            .dx = d,
                                            .w = w->w,
                                            .eps = c->norm_eps,
                                            .dw = mn_tape_weight_gradient(t, w->w)},
                            err);
}

mn_status mn_tape_compress_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_layer *l = &s->model->weights.layers[e->layer];
    mn_compressor x = mn_layer_compressor(&s->model->config, l, e->layer, false);
    mn_rows u = e->in[0], sc = e->in[1];
    float *du = mn_tape_ready(t, u), *ds = mn_tape_ready(t, sc), *d_keys = mn_tape_gradient(t, e->out[0]);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t r = slice->first_row, n = slice->n_rows / x.ratio;
        if (n == 0) continue;
        mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
        float *keys = mn_tape_floats(t, n * x.dim);
        mn_compressor_rows rows = {mn_cpu_row(u, r), mn_cpu_row(sc, r), u.row_stride, sc.row_stride, slice->n_rows, 0};
        if (!keys) return mn_no_scratch(err);
        mn_compress(t->compute, &x, NULL, &rows, keys);
        MN_TRY(unfinish_keys(t, s, slice, e->layer, keys, d_keys, n, err));
        mn_compress_backward(t->compute, &x, &rows,
                             &(mn_compressor_grad){keys, d_keys, du + r * u.row_stride, ds + r * sc.row_stride,
                                                   mn_tape_weight_gradient(t, x.ape)});
        mn_arena_rewind(t->compute->scratch, mark);
        d_keys += n * x.dim;
    }
    return MN_OK;
}

mn_status mn_tape_attend_compressed(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                    mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    const mn_tape_attended *attended = &t->attended[layer];
    mn_rows choice = chosen.buffer ? attended->chosen : chosen;
    MN_TRY(in.backend->attend_compressed(&in, layer, out, lse, q, choice, err));
    if (!attended->compressed.buffer) return MN_OK;
    return mn_tape_record(t,
                          (mn_tape_entry){.kind = MN_TAPE_ATTEND_COMPRESSED,
                                          .layer = layer,
                                          .out = {out, lse},
                                          .in = {q, attended->compressed, choice}},
                          err);
}

mn_status mn_tape_attend_compressed_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_rows q = e->in[0], keys = e->in[1];
    mn_step in = mn_tape_inner(s);
    float *dq = mn_tape_ready(t, q), *d_keys = mn_tape_ready(t, keys);
    int ratio = s->model->config.layers[e->layer].ratio;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        mn_attend call;
        int64_t r = slice->first_row, n = slice->n_rows / ratio;
        if (n == 0) continue;
        mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
        MN_TRY(mn_cpu_compressed_call(&in, slice, e->layer, n, e->out[0], e->out[1], q, e->in[2], &call, err));
        mn_attend_grad g = {.d_out = mn_tape_gradient(t, e->out[0]) + r * e->out[0].row_stride,
                            .d_q = dq + r * q.row_stride,
                            .d_k = d_keys,
                            .d_out_stride = e->out[0].row_stride,
                            .d_q_stride = q.row_stride,
                            .d_k_stride = keys.row_stride};
        MN_TRY(mn_flash_backward(t->compute, &call, &g, err));
        mn_arena_rewind(t->compute->scratch, mark);
        d_keys += n * keys.row_stride;
    }
    return MN_OK;
}

mn_status mn_tape_merge(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y, mn_rows y_lse,
                        mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    if (!s->model->config.shares_k_v) return mn_tape_refuse("a position map", err);
    MN_TRY(in.backend->merge(&in, out, lse, x, x_lse, y, y_lse, err));
    return mn_tape_record(t, (mn_tape_entry){.kind = MN_TAPE_MERGE, .out = {out, lse}, .in = {x, x_lse, y, y_lse}},
                          err);
}

/* Both parts are parts of one softmax. The backward of such a part is that of the whole over the part's keys, with the
 * whole's output and log-sum-exp in the place of the part's own, which nothing else looks at. */
mn_status mn_tape_merge_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s, (void)err;
    for (int part = 0; part < 4; part += 2) {
        for (int i = 0; i < 2; i++) mn_tape_copy(t, e->in[part + i], e->out[i]);
        mn_tape_pass_on(t, e->in[part], e->out[0]);
    }
    return MN_OK;
}
