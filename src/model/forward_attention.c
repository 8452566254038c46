/* Softmax attention of a layer: by heads, and by latents (MLA). */
#include "model/forward_layer.h"

/* Room for a result of x: in its place where that is free. */
static mn_status take_for(const layer_run *r, mn_rows x, bool free, mn_rows *out, mn_error *err) {
    return free ? take_over(r, x, out, err) : take(r, x, x.n_heads, x.n, out, err);
}

static mn_status clamp_over(const layer_run *r, mn_rows *x, float limit, mn_error *err) {
    mn_rows y;
    MN_TRY(take_over(r, *x, &y, err));
    MN_TRY(r->b->clamp(r->s, y, *x, limit, err));
    *x = y;
    return MN_OK;
}

/* q and k through the layer's short convolutions. */
static mn_status convolve(const layer_run *r, mn_rows *q, mn_rows *k, mn_error *err) {
    mn_rows q_out, k_out;
    MN_TRY(take(r, *q, q->n_heads, q->n, &q_out, err));
    MN_TRY(take(r, *k, k->n_heads, k->n, &k_out, err));
    MN_TRY(r->b->convolve(r->s, r->layer, q_out, k_out, *q, *k, err));
    *q = q_out;
    *k = k_out;
    return MN_OK;
}

/* The norm of q or k: of each head, or of all heads as one vector. */
static mn_status norm_heads(const layer_run *r, mn_rows *x, const mn_norm *w, mn_error *err) {
    mn_rows y = *x;
    if (!w->w) return MN_OK;
    if (r->config->norms_whole_qk) {
        y.n *= y.n_heads;
        y.n_heads = 1;
    }
    MN_TRY(norm_over(r, &y, w, err));
    x->buffer = y.buffer;
    x->offset = y.offset;
    return MN_OK;
}

/* v, normalised where the model does that; made of k, not yet normalised, where the layer has no projection for it. */
static mn_status finish_v(const layer_run *r, mn_rows k, mn_rows *v, mn_error *err) {
    if (!r->config->norms_v) return MN_OK;
    if (r->w->v.w.data) return norm_over(r, v, &mn_norm_plain, err);
    return r->b->norm(r->s, *v, k, &mn_norm_plain, err);
}

static mn_status project_qkv(const layer_run *r, mn_rows y, mn_rows *q, mn_rows *k, mn_rows *v, mn_error *err) {
    const mn_layer_shape *l = shape_of(r);
    const mn_projection *const ws[] = {&r->w->q, &r->w->k, &r->w->v};
    MN_TRY(take(r, y, l->n_heads, r->w->gates_attention ? 2 * l->head_dim_k : l->head_dim_k, q, err));
    *k = *v = (mn_rows){0};
    if (!mn_config_has_kv(r->config, r->layer)) return project(r, *q, &r->w->q, y, err);
    MN_TRY(take(r, y, l->n_kv_heads, l->head_dim_k, k, err));
    MN_TRY(take(r, y, l->n_kv_heads, l->head_dim_v, v, err));
    return r->b->project(r->s, (const mn_rows[]){*q, *k, *v}, ws, r->w->v.w.data ? 3 : 2, y, err);
}

/* The norm of q; where a head's query is followed by the gate of its output, both apart. */
static mn_status norm_queries(const layer_run *r, mn_rows *q, mn_rows *gate, mn_error *err) {
    int64_t n = shape_of(r)->head_dim_k;
    *gate = (mn_rows){0};
    if (!r->w->gates_attention) return norm_heads(r, q, &r->w->q_norm, err);
    *gate = mn_rows_part(*q, n, n);
    return norm(r, mn_rows_part(*q, 0, n), &r->w->q_norm, q, err);
}

mn_status mn_forward_qkv(const layer_run *r, mn_rows y, mn_rows *q, mn_rows *k, mn_rows *v, mn_rows *gate,
                         mn_error *err) {
    const mn_config *c = r->config;
    MN_TRY(project_qkv(r, y, q, k, v, err));
    if (c->clamp_qkv > 0) {
        MN_TRY(clamp_over(r, q, c->clamp_qkv, err));
        MN_TRY(clamp_over(r, k, c->clamp_qkv, err));
        MN_TRY(clamp_over(r, v, c->clamp_qkv, err));
    }
    MN_TRY(norm_queries(r, q, gate, err));
    if (!k->buffer) return MN_OK;
    MN_TRY(finish_v(r, *k, v, err));
    MN_TRY(norm_heads(r, k, &r->w->k_norm, err));
    return c->n_conv_taps ? convolve(r, q, k, err) : MN_OK;
}

/* q or k as it meets the other: rotated, then normalised where the layer does that; in the place of x where `last` says
 * that nobody else needs it. */
static mn_status rotate(const layer_run *r, mn_rows x, mn_rows angles, bool last, mn_rows *out, mn_error *err) {
    *out = x;
    if (angles.buffer) {
        MN_TRY(take_for(r, x, last, out, err));
        MN_TRY(r->b->rotate(r->s, *out, x, 0, angles, err));
    }
    if (!shape_of(r)->norms_rotated) return MN_OK;
    mn_rows turned = *out;
    MN_TRY(take_for(r, turned, last || angles.buffer, out, err));
    return r->b->norm(r->s, *out, turned, &mn_norm_plain, err);
}

/* Caches k and v, where the layer has its own. */
static mn_status append(const layer_run *r, mn_rows k, mn_rows v, bool last, mn_error *err) {
    if (!k.buffer) return MN_OK;
    for (int plane = 0; plane < r->turns->n_planes; plane++) {
        mn_rows turned;
        bool last_plane = plane + 1 == r->turns->n_planes;
        MN_TRY(rotate(r, k, r->turns->keys[plane], last && last_plane, &turned, err));
        MN_TRY(r->b->append(r->s, r->layer, plane, turned, plane == 0 ? v : (mn_rows){0}, err));
    }
    return MN_OK;
}

/* One range of keys. */
static mn_status attend_range(const layer_run *r, int range, mn_rows q, bool last, mn_rows out, mn_rows lse,
                              mn_error *err) {
    mn_rows turned, tempered;
    bool untouched = !r->turns->queries[range].buffer && !shape_of(r)->norms_rotated;
    MN_TRY(rotate(r, q, r->turns->queries[range], last, &turned, err));
    if (shape_of(r)->is_tempered) {
        MN_TRY(take_for(r, turned, last || !untouched, &tempered, err));
        MN_TRY(r->b->temper(r->s, tempered, turned, err));
        turned = tempered;
    }
    return r->b->attend(r->s, r->layer, range, out, lse, turned, err);
}

/* *out and *lse joined with attention over one more range. */
static mn_status merge_range(const layer_run *r, int range, mn_rows q, bool last, mn_rows *out, mn_rows *lse,
                             mn_error *err) {
    mn_rows more, more_lse, all, all_lse;
    mn_arena_mark mark = r->b->mark(r->s);
    MN_TRY(take(r, *out, out->n_heads, out->n, &more, err));
    MN_TRY(take(r, *lse, lse->n_heads, lse->n, &more_lse, err));
    MN_TRY(attend_range(r, range, q, last, more, more_lse, err));
    MN_TRY(take_over(r, *out, &all, err));
    MN_TRY(take_over(r, *lse, &all_lse, err));
    MN_TRY(r->b->merge(r->s, all, all_lse, *out, *lse, more, more_lse, err));
    r->b->rewind(r->s, mark);
    *out = all;
    *lse = all_lse;
    return MN_OK;
}

/* Softmax attention over what is cached, range after range, joined by log-sum-exp. */
static mn_status attend(const layer_run *r, mn_rows q, bool last, mn_rows *out, mn_error *err) {
    mn_rows lse = {0};
    int n_ranges = r->turns->n_ranges;
    MN_TRY(take(r, q, q.n_heads, shape_of(r)->head_dim_v, out, err));
    if (n_ranges > 1) MN_TRY(take(r, q, q.n_heads, 1, &lse, err));
    MN_TRY(attend_range(r, 0, q, last && n_ranges == 1, *out, lse, err));
    for (int range = 1; range < n_ranges; range++)
        MN_TRY(merge_range(r, range, q, last && range + 1 == n_ranges, out, &lse, err));
    return MN_OK;
}

mn_status mn_forward_heads(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err) {
    mn_rows q, k, v, gate, softmax;
    bool recurrent = mn_step_has_recurrent(r->s, r->layer); /* recurrent states want q and k without positions */
    MN_TRY(mn_forward_qkv(r, y, &q, &k, &v, &gate, err));
    MN_TRY(append(r, k, v, !recurrent, err));
    MN_TRY(attend(r, q, !recurrent, &softmax, err));
    *out = softmax;
    if (recurrent) {
        MN_TRY(take_over(r, softmax, out, err));
        MN_TRY(r->b->mix_recurrent(r->s, r->layer, *out, softmax, y, q, k, v, err));
    }
    if (!gate.buffer) return MN_OK;
    mn_rows open = *out;
    MN_TRY(take_over(r, open, out, err));
    return r->b->gate(r->s, MN_GATE_SIGMOID, *out, open, gate, err);
}

/* Lets the layer's indexer choose keys, by the latent of its queries and its input (DeepSeek-V3.2, arXiv:2512.02556).
 */
static mn_status choose_keys(const layer_run *r, mn_rows y, mn_rows latent, mn_error *err) {
    const mn_indexer_config *x = &r->config->indexer;
    mn_rows q, k, weights;
    if (!shape_of(r)->has_indexer) return MN_OK;
    MN_TRY(take(r, y, x->n_heads, x->dim, &q, err));
    MN_TRY(take(r, y, 1, x->dim, &k, err));
    MN_TRY(take(r, y, 1, x->n_heads, &weights, err));
    MN_TRY(project(r, q, &r->w->indexer_q, latent, err));
    MN_TRY(project(r, k, &r->w->indexer_k, y, err));
    MN_TRY(project(r, weights, &r->w->indexer_w, y, err));
    return r->b->choose(r->s, r->layer, r->chosen, q, k, weights, r->turns->queries[0], err);
}

/* Queries of MLA, compressed or not. */
static mn_status mla_queries(const layer_run *r, mn_rows y, mn_rows q, mn_error *err) {
    mn_rows latent;
    int64_t rank = r->config->mla.q_rank;
    if (rank == 0) return project(r, q, &r->w->q_b, y, err);
    MN_TRY(take(r, y, 1, rank, &latent, err));
    MN_TRY(project(r, latent, &r->w->q_a, y, err));
    MN_TRY(norm_over(r, &latent, &r->w->q_a_norm, err));
    MN_TRY(choose_keys(r, y, latent, err));
    return project(r, q, &r->w->q_b, latent, err);
}

mn_status mn_forward_mla(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err) {
    const mn_mla_config *m = &r->config->mla;
    mn_rows q, k, q_turned, k_turned, angles = r->turns->queries[0];
    MN_TRY(take(r, y, shape_of(r)->n_heads, m->n_nope + m->n_rot, &q, err));
    MN_TRY(take(r, y, 1, m->kv_rank + m->n_rot, &k, err));
    MN_TRY(mla_queries(r, y, q, err));
    MN_TRY(project(r, k, &r->w->kv_a, y, err));
    MN_TRY(take_over(r, k, &k_turned, err));
    MN_TRY(
        r->b->norm(r->s, mn_rows_part(k_turned, 0, m->kv_rank), mn_rows_part(k, 0, m->kv_rank), &r->w->kv_a_norm, err));
    MN_TRY(r->b->rotate(r->s, mn_rows_part(k_turned, m->kv_rank, m->n_rot), mn_rows_part(k, m->kv_rank, m->n_rot), 0,
                        angles, err));
    MN_TRY(take_over(r, q, &q_turned, err));
    MN_TRY(r->b->rotate(r->s, q_turned, q, m->n_nope, angles, err));
    MN_TRY(r->b->append(r->s, r->layer, 0, k_turned, (mn_rows){0}, err));
    MN_TRY(take(r, y, q.n_heads, m->v_dim, out, err));
    return r->b->attend_latent(r->s, r->layer, *out, (mn_rows){0}, q_turned, r->chosen, err);
}

const mn_technique mn_head_techniques[] = {
    {"multi-head attention (MHA)", "Vaswani et al. 2017 (arXiv:1706.03762)", NULL, "src/model/forward_attention.c",
     "tests/session/golden_test.c", true, MN_TRAINING_DONE},
    {"grouped-query attention (GQA)", "Ainslie et al. 2023 (arXiv:2305.13245)", NULL, "src/model/forward_attention.c",
     "tests/session/golden_test.c", true, MN_TRAINING_DONE},
    {"multi-query attention (MQA)", "Shazeer 2019 (arXiv:1911.02150)", NULL, "src/model/forward_attention.c",
     "tests/attention/decode_test.c", true, MN_TRAINING_DONE},
    {0},
};
