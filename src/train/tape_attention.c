/* Attention on the tape: keys and values, who attends to whose, and the choice of an indexer. */
#include "attention/flash_backward.h"
#include "attention/mla_backward.h"
#include "kernels/kernels.h"
#include "model/backend_cpu_ops.h"
#include "train/tape_ops.h"

#include <math.h>

/* Copies of the layer's keys and values where later layers attend to them. */
static mn_status take_shared(const mn_step *s, int layer, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_layer_shape *l = &c->layers[layer];
    mn_tape_attended *attended = &mn_tape_of(s)->attended[layer];
    bool shared = false;
    *attended = (mn_tape_attended){0};
    for (int later = layer + 1; later < c->n_layers; later++)
        shared |= mn_config_attends(c, later) && c->layers[later].kv_layer == layer;
    if (!shared) return MN_OK;
    MN_TRY(mn_tape_take(s, s->n_rows, l->n_kv_heads, l->head_dim_k, &attended->shared_k, err));
    return mn_tape_take(s, s->n_rows, l->n_kv_heads, l->head_dim_v, &attended->shared_v, err);
}

/* What outlives a layer is taken before the first. */
mn_status mn_tape_prepare(const mn_step *s, mn_error *err) {
    const mn_config *c = &s->model->config;
    mn_step in = mn_tape_inner(s);
    for (int layer = 0; layer < c->n_layers; layer++) {
        MN_TRY(take_shared(s, layer, err));
        if (c->layers[layer].has_indexer)
            MN_TRY(mn_tape_take(s, s->n_rows, 1, 2 * mn_step_words(s), &mn_tape_of(s)->attended[layer].chosen, err));
    }
    return in.backend->prepare(&in, err);
}

void mn_tape_copy(const mn_tape *t, mn_rows to, mn_rows from) {
    if (mn_pool_is_dry(t->compute->pool)) return;
    memcpy(mn_cpu_data(to), mn_cpu_data(from), (size_t)mn_tape_n_floats(to) * sizeof(float));
}

mn_status mn_tape_append(const mn_step *s, int layer, int plane, mn_rows k, mn_rows v, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_tape_attended *attended = &t->attended[layer];
    mn_step in = mn_tape_inner(s);
    if (plane > 0) return mn_tape_refuse("a position map", err);
    MN_TRY(in.backend->append(&in, layer, plane, k, v, err));
    attended->k = k;
    attended->v = v;
    if (!attended->shared_k.buffer) return MN_OK;
    mn_tape_copy(t, attended->shared_k, k);
    mn_tape_copy(t, attended->shared_v, v);
    attended->k = attended->shared_k;
    attended->v = attended->shared_v;
    return mn_tape_record(t, (mn_tape_entry){.kind = MN_TAPE_SHARE, .out = {attended->k, attended->v}, .in = {k, v}},
                          err);
}

mn_status mn_tape_share_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s, (void)err;
    for (int i = 0; i < 2; i++)
        if (mn_tape_has_gradient(t, e->out[i])) mn_tape_pass_on(t, e->in[i], e->out[i]);
    return MN_OK;
}

mn_status mn_tape_attend(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    const mn_tape_attended *attended = &t->attended[s->model->config.layers[layer].kv_layer];
    if (range > 0) return mn_tape_refuse("a position map", err);
    if (!lse.buffer) MN_TRY(mn_tape_take(s, q.n_rows, q.n_heads, 1, &lse, err));
    MN_TRY(in.backend->attend(&in, layer, range, out, lse, q, err));
    return mn_tape_record(
        t,
        (mn_tape_entry){.kind = MN_TAPE_ATTEND, .layer = layer, .out = {out, lse}, .in = {q, attended->k, attended->v}},
        err);
}

/* The choice itself has no gradient: an indexer stays as it was trained, and the model learns over what it chooses. */
mn_status mn_tape_choose(const mn_step *s, int layer, mn_rows chosen, mn_rows q, mn_rows k, mn_rows weights,
                         mn_rows angles, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    (void)chosen; /* one place for all layers, and each layer's choice is asked for again */
    return in.backend->choose(&in, layer, mn_tape_of(s)->attended[layer].chosen, q, k, weights, angles, err);
}

/* What the last indexer up to this layer chose. */
static mn_rows choice_for(const mn_tape *t, const mn_config *c, int layer) {
    while (layer > 0 && !c->layers[layer].has_indexer) layer--;
    return t->attended[layer].chosen;
}

mn_status mn_tape_attend_latent(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    mn_rows choice = chosen.buffer ? choice_for(t, &s->model->config, layer) : chosen;
    MN_TRY(mn_tape_take(s, q.n_rows, q.n_heads, 1, &lse, err));
    MN_TRY(in.backend->attend_latent(&in, layer, out, lse, q, choice, err));
    return mn_tape_record(
        t,
        (mn_tape_entry){
            .kind = MN_TAPE_ATTEND_LATENT, .layer = layer, .out = {out, lse}, .in = {q, t->attended[layer].k, choice}},
        err);
}

/* The sinks of a layer, heads apart: a row gives its sink the share p = 2^(sink log2 e - lse), whose value is 0, so
 * that d_sink -= p (d_out . out). */
typedef struct sinks_job {
    const mn_tape *t;
    mn_rows out, lse;
    const float *sinks;
    float *d_sinks;
} sinks_job;

static void sinks_back_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const sinks_job *j = arg;
    const float *d_out = mn_tape_gradient(j->t, j->out);
    for (int64_t h = begin; h < end; h++) {
        double sum = 0;
        for (int64_t r = 0; r < j->out.n_rows; r++) {
            int64_t at = r * j->out.row_stride + h * j->out.head_stride;
            float share = exp2f(j->sinks[h] * (float)M_LOG2E - mn_cpu_row(j->lse, r)[h]);
            sum += (double)(share * j->t->compute->kernels->vec.dot(d_out + at, mn_cpu_data(j->out) + at, j->out.n));
        }
        j->d_sinks[h] -= (float)sum;
    }
}

static void sinks_backward(const mn_tape *t, const mn_step *s, const mn_tape_entry *e) {
    const float *sinks = s->model->weights.layers[e->layer].sinks;
    sinks_job job = {t, e->out[0], e->out[1], sinks, sinks ? mn_tape_weight_gradient(t, sinks) : NULL};
    if (job.d_sinks) mn_pool_run(t->compute->pool, e->out[0].n_heads, 1, sinks_back_heads, &job);
}

/* The same call as the forward's for each slice: its pattern's lists are made again, its keys are in the cache. */
mn_status mn_tape_attend_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_rows q = e->in[0], k = e->in[1], v = e->in[2];
    mn_step in = mn_tape_inner(s);
    float *dq = mn_tape_ready(t, q), *dk = mn_tape_ready(t, k);
    float *dv = v.buffer ? mn_tape_ready(t, v) : NULL; /* none: keys are the values too */
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        mn_attend call;
        int64_t r = slice->first_row;
        if (mn_attn_is_linear(&slice->sequence->attn, e->layer)) continue;
        mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
        MN_TRY(mn_cpu_attend_call(&in, slice, e->layer, 0, e->out[0], e->out[1], q, &call, err));
        mn_attend_grad g = {mn_tape_gradient(t, e->out[0]) + r * e->out[0].row_stride,
                            dq + r * q.row_stride,
                            dk + r * k.row_stride,
                            dv ? dv + r * v.row_stride : NULL,
                            e->out[0].row_stride,
                            q.row_stride,
                            k.row_stride,
                            v.row_stride};
        MN_TRY(mn_flash_backward(t->compute, &call, &g, err));
        mn_arena_rewind(t->compute->scratch, mark);
    }
    sinks_backward(t, s, e);
    return MN_OK;
}

/* The same for latent attention, whose forward's LSE is that of either of its ways. */
mn_status mn_tape_attend_latent_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_layer *w = &s->model->weights.layers[e->layer];
    mn_rows q = e->in[0], latents = e->in[1];
    mn_step in = mn_tape_inner(s);
    float *dq = mn_tape_ready(t, q), *d_latents = mn_tape_ready(t, latents);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        mn_attend call;
        int64_t r = slice->first_row;
        mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
        MN_TRY(mn_cpu_attend_call(&in, slice, e->layer, 0, e->out[0], e->out[1], q, &call, err));
        if (e->in[2].buffer) {
            call.chosen = mn_cpu_chosen(e->in[2], r);
            call.chosen_words = e->in[2].row_stride / 2;
        }
        mn_mla_grad g = {.d_out = mn_tape_gradient(t, e->out[0]) + r * e->out[0].row_stride,
                         .d_q = dq + r * q.row_stride,
                         .d_latents = d_latents + r * latents.row_stride,
                         .d_k_up = mn_tape_weight_gradient(t, w->k_b.data),
                         .d_v_up = mn_tape_weight_gradient(t, w->v_b.data),
                         .d_out_stride = e->out[0].row_stride,
                         .d_q_stride = q.row_stride,
                         .d_latents_stride = latents.row_stride};
        MN_TRY(mn_mla_backward(t->compute, &call, &g, err));
        mn_arena_rewind(t->compute->scratch, mark);
    }
    return MN_OK;
}
