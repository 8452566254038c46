#include "model/forward.h"

#include "model/parts.h"

#include <string.h>

/* One layer's work: the step, the table, and the layer's own weights. */
typedef struct layer_run {
    const mn_step *s;
    const mn_ops *ops;
    const mn_config *config;
    const mn_layer *w;
    int layer;
    const mn_batch *batch;
    const mn_parts *parts; /* NULL: every key by its distance */
} layer_run;

/* Rows of n values as one head each. */
static mn_heads rows_of(const float *x, int64_t n) { return (mn_heads){(float *)x, n, n, 1, (int)n}; }

/* Rows of n_heads heads of n values. */
static mn_heads heads_of(const float *x, int n_heads, int n) {
    return (mn_heads){(float *)x, (int64_t)n_heads * n, n, n_heads, n};
}

/* The first or last `n` dimensions of every head. */
static mn_heads sub_heads(mn_heads x, int first, int n) {
    x.data += first;
    x.n = n;
    return x;
}

static const mn_angles *angles_of(const layer_run *r) {
    bool local = r->config->rope_local_base > 0 && mn_config_window(r->config, r->layer) > 0;
    return local ? &r->s->angles_local : &r->s->angles;
}

static mn_status project(const layer_run *r, float *out, const mn_projection *w, const float *x, mn_error *err) {
    return r->ops->project(r->s, &out, &w, 1, x, r->s->n_rows, err);
}

/* y = norm(x), in new scratch. */
static float *normed(const layer_run *r, const float *x, const mn_norm *norm, mn_error *err) {
    float *y = mn_step_floats(r->s, r->s->n_rows, r->config->n_embd);
    if (y)
        r->ops->norm(r->s, rows_of(y, r->config->n_embd), rows_of(x, r->config->n_embd), norm);
    else
        mn_no_scratch(err);
    return y;
}

/* q, k, v for attention with one key and value head per n_heads / n_kv_heads query heads. */
static mn_status make_qkv(const layer_run *r, const float *y, float *q, float *k, float *v, mn_error *err) {
    const mn_config *c = r->config;
    const mn_projection *const ws[] = {&r->w->q, &r->w->k, &r->w->v};
    float *const outs[] = {q, k, v};
    MN_TRY(r->ops->project(r->s, outs, ws, 3, y, r->s->n_rows, err));
    if (c->clamp_qkv > 0) {
        r->ops->clamp(r->s, q, (int64_t)c->n_heads * c->head_dim_k, c->clamp_qkv);
        r->ops->clamp(r->s, k, (int64_t)c->n_kv_heads * c->head_dim_k, c->clamp_qkv);
        r->ops->clamp(r->s, v, (int64_t)c->n_kv_heads * c->head_dim_v, c->clamp_qkv);
    }
    mn_heads q_heads = heads_of(q, c->n_heads, c->head_dim_k), k_heads = heads_of(k, c->n_kv_heads, c->head_dim_k);
    if (r->w->q_norm.w) r->ops->norm(r->s, q_heads, q_heads, &r->w->q_norm);
    if (r->w->k_norm.w) r->ops->norm(r->s, k_heads, k_heads, &r->w->k_norm);
    if (c->n_conv_taps) return r->ops->convolve(r->s, r->layer, q, k, err);
    return MN_OK;
}

static void rotate_qk(const layer_run *r, float *q, float *k) {
    const mn_config *c = r->config;
    if (c->rope_style == MN_ROPE_STYLE_NONE) return;
    r->ops->rotate(r->s, sub_heads(heads_of(q, c->n_heads, c->head_dim_k), 0, c->rope.n_rot), angles_of(r));
    r->ops->rotate(r->s, sub_heads(heads_of(k, c->n_kv_heads, c->head_dim_k), 0, c->rope.n_rot), angles_of(r));
}

/* MHA, GQA, MQA: one function, they differ in n_kv_heads. *out: [n_rows, n_heads, head_dim_v] of scratch. */
static mn_status attention_heads(const layer_run *r, float **out, const float *y, mn_error *err) {
    const mn_config *c = r->config;
    int64_t n = r->s->n_rows;
    float *q = mn_step_floats(r->s, n, (int64_t)c->n_heads * c->head_dim_k);
    float *k = mn_step_floats(r->s, n, (int64_t)c->n_kv_heads * c->head_dim_k);
    float *v = mn_step_floats(r->s, n, (int64_t)c->n_kv_heads * c->head_dim_v);
    float *mixed = mn_step_floats(r->s, n, (int64_t)c->n_heads * c->head_dim_v);
    if (!q || !k || !v || !mixed) return mn_no_scratch(err);
    MN_TRY(make_qkv(r, y, q, k, v, err));
    bool remembers = mn_step_has_recurrent(r->s, r->layer);
    float *plain_q = q, *plain_k = k;
    if (remembers) { /* a memory wants q and k without positions */
        plain_q = mn_step_floats(r->s, n, (int64_t)c->n_heads * c->head_dim_k);
        plain_k = mn_step_floats(r->s, n, (int64_t)c->n_kv_heads * c->head_dim_k);
        if (!plain_q || !plain_k) return mn_no_scratch(err);
        memcpy(plain_q, q, (size_t)n * (size_t)c->n_heads * (size_t)c->head_dim_k * sizeof *q);
        memcpy(plain_k, k, (size_t)n * (size_t)c->n_kv_heads * (size_t)c->head_dim_k * sizeof *k);
    }
    if (r->parts) {
        MN_TRY(mn_parts_attend(r->s, r->ops, r->parts, r->layer, mixed, q, k, v, err));
    } else {
        rotate_qk(r, q, k);
        r->ops->append(r->s, r->layer, k, v);
        MN_TRY(r->ops->attend(r->s, r->layer, mixed, q, err));
    }
    if (remembers) MN_TRY(r->ops->remember(r->s, r->layer, mixed, y, plain_q, plain_k, v, err));
    *out = mixed;
    return MN_OK;
}

/* Queries of MLA [n_heads, n_nope + n_rot], compressed or not. */
static mn_status mla_queries(const layer_run *r, float *q, const float *y, mn_error *err) {
    int64_t rank = r->config->mla.q_rank;
    if (rank == 0) return project(r, q, &r->w->q_b, y, err);
    float *latent = mn_step_floats(r->s, r->s->n_rows, rank);
    if (!latent) return mn_no_scratch(err);
    MN_TRY(project(r, latent, &r->w->q_a, y, err));
    r->ops->norm(r->s, rows_of(latent, rank), rows_of(latent, rank), &r->w->q_a_norm);
    return project(r, q, &r->w->q_b, latent, err);
}

/* MLA (DeepSeek-V2, arXiv:2405.04434, sec. 2.1): a token leaves one latent row and one rotated key behind for all
 * heads, [c ; rope(k_rot)], c = norm(W_DKV y); what attention makes of them is in attention/mla.h. */
static mn_status attention_mla(const layer_run *r, float **out, const float *y, mn_error *err) {
    const mn_config *c = r->config;
    const mn_mla_config *m = &c->mla;
    int64_t n = r->s->n_rows, row = m->kv_rank + m->n_rot;
    float *q = mn_step_floats(r->s, n, (int64_t)c->n_heads * (m->n_nope + m->n_rot));
    float *k = mn_step_floats(r->s, n, row);
    float *mixed = mn_step_floats(r->s, n, (int64_t)c->n_heads * m->v_dim);
    if (!q || !k || !mixed) return mn_no_scratch(err);
    MN_TRY(mla_queries(r, q, y, err));
    MN_TRY(project(r, k, &r->w->kv_a, y, err));
    r->ops->norm(r->s, sub_heads(rows_of(k, row), 0, m->kv_rank), sub_heads(rows_of(k, row), 0, m->kv_rank),
                 &r->w->kv_a_norm);
    r->ops->rotate(r->s, sub_heads(heads_of(q, c->n_heads, m->n_nope + m->n_rot), m->n_nope, m->n_rot), angles_of(r));
    r->ops->rotate(r->s, sub_heads(rows_of(k, row), m->kv_rank, m->n_rot), angles_of(r));
    r->ops->append(r->s, r->layer, k, NULL);
    *out = mixed;
    return r->ops->attend_latent(r->s, r->layer, mixed, q, err);
}

/* out = down(activation(gate x) * up x), or without gate down(activation(up x)). */
static mn_status mlp(const layer_run *r, float *out, const float *x, const mn_projection *gate, const mn_projection *up,
                     const mn_projection *down, mn_error *err) {
    int64_t n_ff = up->w.ne[1];
    const mn_projection *const ws[] = {up, gate};
    float *const hidden[] = {mn_step_floats(r->s, r->s->n_rows, n_ff), mn_step_floats(r->s, r->s->n_rows, n_ff)};
    bool gated = gate->w.data != NULL;
    if (!hidden[0] || !hidden[1]) return mn_no_scratch(err);
    MN_TRY(r->ops->project(r->s, hidden, ws, gated ? 2 : 1, x, r->s->n_rows, err));
    r->ops->activate(r->s, hidden[0], gated ? hidden[1] : NULL, n_ff);
    return project(r, out, down, hidden[0], err);
}

static mn_status feed_forward(const layer_run *r, float *out, const float *x, mn_error *err) {
    const mn_layer *w = r->w;
    if (!mn_config_is_moe(r->config, r->layer)) return mlp(r, out, x, &w->gate, &w->up, &w->down, err);
    MN_TRY(r->ops->experts(r->s, r->layer, out, x, err));
    if (r->config->moe.n_shared == 0) return MN_OK;
    float *shared = mn_step_floats(r->s, r->s->n_rows, r->config->n_embd);
    if (!shared) return mn_no_scratch(err);
    MN_TRY(mlp(r, shared, x, &w->shared_gate, &w->shared_up, &w->shared_down, err));
    r->ops->add(r->s, out, shared, r->config->n_embd);
    return MN_OK;
}

/* x += post_norm(out) */
static void add_residual(const layer_run *r, float *x, float *out, const mn_norm *post_norm) {
    int64_t n = r->config->n_embd;
    if (post_norm->w) r->ops->norm(r->s, rows_of(out, n), rows_of(out, n), post_norm);
    r->ops->add(r->s, x, out, n);
}

/* Moves the rows whose logits are wanted to the front. */
static void keep_wanted(const mn_batch *batch, float *x, int64_t n) {
    for (int64_t i = 0; i < batch->n_wanted; i++) memmove(x + i * n, x + batch->wanted[i] * n, (size_t)n * sizeof *x);
}

/* x += project(mixed); x += mlp(norm(x)) */
static mn_status finish_layer(const layer_run *r, float *x, const float *mixed, mn_error *err) {
    float *out = mn_step_floats(r->s, r->s->n_rows, r->config->n_embd);
    if (!out) return mn_no_scratch(err);
    MN_TRY(project(r, out, &r->w->o, mixed, err));
    add_residual(r, x, out, &r->w->post_attn_norm);
    float *y = normed(r, x, &r->w->ffn_norm, err);
    if (!y) return MN_ERR_MEMORY;
    MN_TRY(feed_forward(r, out, y, err));
    add_residual(r, x, out, &r->w->post_ffn_norm);
    return MN_OK;
}

/* x += attention(norm(x)); x += mlp(norm(x)). The last layer goes on with the wanted rows alone, moved to the front: of
 * the others only keys and values are needed, by later tokens. */
static mn_status run_layer(const layer_run *r, float *x, mn_error *err) {
    const mn_config *c = r->config;
    float *mixed = NULL, *y = normed(r, x, &r->w->attn_norm, err);
    if (!y) return MN_ERR_MEMORY;
    if (c->mla.kv_rank)
        MN_TRY(attention_mla(r, &mixed, y, err));
    else
        MN_TRY(attention_heads(r, &mixed, y, err));
    if (r->layer < c->n_layers - 1) return finish_layer(r, x, mixed, err);
    mn_step wanted = *r->s;
    layer_run rest = *r;
    wanted.n_rows = r->batch->n_wanted;
    rest.s = &wanted;
    keep_wanted(r->batch, x, c->n_embd);
    keep_wanted(r->batch, mixed, (int64_t)c->n_heads * c->head_dim_v);
    return wanted.n_rows ? finish_layer(&rest, x, mixed, err) : MN_OK;
}

/* Positions of all rows as angles. Where a memory carries the past, positions restart with each segment. */
static mn_status make_angles(mn_step *s, mn_error *err) {
    const mn_config *c = &s->model->config;
    if (c->rope_style == MN_ROPE_STYLE_NONE) return MN_OK;
    int64_t n_pairs = c->rope.n_rot / 2;
    int64_t *positions = mn_arena_alloc(s->c->scratch, (size_t)s->n_rows, sizeof *positions);
    mn_angles *all[] = {&s->angles, c->rope_local_base > 0 ? &s->angles_local : NULL};
    for (int i = 0; i < 2 && all[i]; i++) {
        all[i]->cos = mn_step_floats(s, s->n_rows, n_pairs);
        all[i]->sin = mn_step_floats(s, s->n_rows, n_pairs);
        if (!positions || !all[i]->cos || !all[i]->sin) return mn_no_scratch(err);
    }
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        const mn_sequence *t = slice->sequence;
        int64_t at = slice->first_row * n_pairs;
        for (int64_t i = 0; i < slice->n_rows; i++) positions[i] = mn_attn_position(&t->attn, t->n_tokens + i);
        mn_rope_angles(&t->rope, positions, slice->n_rows, s->angles.cos + at, s->angles.sin + at);
        if (all[1])
            mn_rope_angles(&t->rope_local, positions, slice->n_rows, s->angles_local.cos + at,
                           s->angles_local.sin + at);
    }
    return MN_OK;
}

/* Distances in a layer with a window of its own never leave what was trained: no map changes them. */
static mn_status run_layers(const mn_step *s, const mn_ops *ops, const mn_batch *batch, float *x, mn_error *err) {
    const mn_model *m = s->model;
    mn_parts parts;
    MN_TRY(mn_parts_make(s, &parts, err));
    for (int layer = 0; layer < m->config.n_layers; layer++) {
        layer_run run = {s, ops, &m->config, &m->weights.layers[layer], layer, batch, NULL};
        if (parts.n_parts > 0 && mn_config_window(&m->config, layer) == 0) run.parts = &parts;
        mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
        MN_TRY(run_layer(&run, x, err));
        mn_arena_rewind(s->c->scratch, mark);
    }
    return MN_OK;
}

/* Logits of the first n_wanted rows of x, which is overwritten. */
static mn_status make_logits(const mn_step *s, const mn_ops *ops, const mn_batch *batch, float *x, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_projection *output = &s->model->weights.output;
    mn_step wanted = *s;
    float *logits = batch->logits;
    wanted.n_rows = batch->n_wanted;
    if (wanted.n_rows == 0) return MN_OK;
    ops->norm(&wanted, rows_of(x, c->n_embd), rows_of(x, c->n_embd), &s->model->weights.output_norm);
    MN_TRY(ops->project(&wanted, &logits, &output, 1, x, wanted.n_rows, err));
    if (c->final_softcap > 0) ops->cap(&wanted, logits, wanted.n_rows, c->final_softcap);
    return MN_OK;
}

static mn_status run(mn_step *s, const mn_ops *ops, const mn_batch *batch, mn_error *err) {
    const mn_weights *w = &s->model->weights;
    int64_t n_embd = s->model->config.n_embd;
    float *x = mn_step_floats(s, s->n_rows, n_embd);
    if (!x) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++)
        MN_TRY(mn_kvcache_prepare(slice->sequence->cache, mn_sequence_n_kv(slice->sequence), slice->n_rows, err));
    MN_TRY(ops->embed(s, x, err));
    if (w->token_embd_norm.w) ops->norm(s, rows_of(x, n_embd), rows_of(x, n_embd), &w->token_embd_norm);
    MN_TRY(make_angles(s, err));
    MN_TRY(run_layers(s, ops, batch, x, err));
    return make_logits(s, ops, batch, x, err);
}

mn_status mn_forward(const mn_compute *c, const mn_ops *ops, const mn_model *model, const mn_batch *batch,
                     mn_error *err) {
    mn_step s = {.c = c,
                 .model = model,
                 .tokens = batch->tokens,
                 .n_rows = batch->n_rows,
                 .slices = batch->slices,
                 .n_slices = batch->n_slices};
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = run(&s, ops, batch, err);
    mn_arena_rewind(c->scratch, mark);
    if (status != MN_OK) return status;
    for (int i = 0; i < batch->n_slices; i++) batch->slices[i].sequence->n_tokens += batch->slices[i].n_rows;
    return MN_OK;
}

const mn_technique mn_head_techniques[] = {
    {"multi-head attention (MHA)", "Vaswani et al. 2017 (arXiv:1706.03762)", NULL, "src/model/forward.c",
     "tests/session/golden_test.c", true, MN_TRAINING_DONE},
    {"grouped-query attention (GQA)", "Ainslie et al. 2023 (arXiv:2305.13245)", NULL, "src/model/forward.c",
     "tests/session/golden_test.c", true, MN_TRAINING_DONE},
    {"multi-query attention (MQA)", "Shazeer 2019 (arXiv:1911.02150)", NULL, "src/model/forward.c",
     "tests/attention/decode_test.c", true, MN_TRAINING_DONE},
    {0},
};
