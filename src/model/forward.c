#include "model/forward_layer.h"

#include "base/checked.h"

#include <math.h>

const mn_norm mn_norm_plain;

/* x, a vector of all streams, normalised without weights. */
static mn_status norm_streams(const layer_run *r, mn_rows x, mn_rows *out, mn_error *err) {
    x.n *= x.n_heads;
    x.n_heads = 1;
    MN_TRY(take(r, x, 1, x.n, out, err));
    return r->b->norm(r->s, *out, x, &mn_norm_plain, err);
}

/* What a block takes of the residual stream: the stream; with hyper-connections a sum of the streams, and gates by
 * which its result goes back (none, where w makes none). */
static mn_status read_residual(const layer_run *r, mn_rows x, const mn_hyper_weights *w, mn_rows *out, mn_rows *gates,
                               mn_error *err) {
    mn_rows normed, mixes;
    int n_streams = r->config->hyper.n_streams;
    *out = x;
    *gates = (mn_rows){0};
    if (n_streams == 0) return MN_OK;
    MN_TRY(norm_streams(r, x, &normed, err));
    MN_TRY(take(r, x, 1, w->mixes.w.ne[1], &mixes, err));
    MN_TRY(project(r, mixes, &w->mixes, normed, err));
    MN_TRY(take(r, x, 1, x.n, out, err));
    if (mixes.n > n_streams) MN_TRY(take(r, x, 1, n_streams * (1 + n_streams), gates, err));
    return r->b->merge_streams(r->s, w, *out, *gates, x, mixes, err);
}

/* *x = factor *x */
static mn_status scale_over(const layer_run *r, mn_rows *x, float factor, mn_error *err) {
    mn_rows y;
    if (factor == 1) return MN_OK;
    MN_TRY(take_over(r, *x, &y, err));
    MN_TRY(r->b->scale(r->s, y, *x, factor, err));
    *x = y;
    return MN_OK;
}

/* Each head of *x times the sigmoid of its row of w y. */
static mn_status gate_over(const layer_run *r, mn_rows *x, const mn_projection *w, mn_rows y, mn_error *err) {
    mn_rows g, out;
    if (!w->w.data) return MN_OK;
    MN_TRY(take(r, y, x->n_heads, 1, &g, err));
    MN_TRY(project(r, g, w, y, err));
    MN_TRY(take_over(r, *x, &out, err));
    MN_TRY(r->b->gate_heads(r->s, out, *x, g, err));
    *x = out;
    return MN_OK;
}

/* out = down(activation(gate x) * up x), or without gate down(activation(up x)). The dense MLP, or an expert that
 * always runs. */
static mn_status mlp(const layer_run *r, mn_rows out, mn_rows x, const mn_projection *gate, const mn_projection *up,
                     const mn_projection *down, mn_error *err) {
    int64_t n_ff = up->w.ne[1];
    bool gated = gate->w.data != NULL;
    const mn_projection *const ws[] = {up, gate};
    mn_rows hidden[2] = {{0}}, activated;
    for (int i = 0; i < 1 + gated; i++) MN_TRY(take(r, x, 1, n_ff, &hidden[i], err));
    MN_TRY(r->b->project(r->s, hidden, ws, 1 + gated, x, err));
    MN_TRY(take_over(r, hidden[0], &activated, err));
    mn_mlp_act activation = {r->config->activation, shape_of(r)->limit_dense};
    MN_TRY(r->b->activate(r->s, activation, activated, hidden[1], hidden[0], err));
    return project(r, out, down, activated, err);
}

/* Easy tokens take the layer's small MLP. */
static mn_status mlp_by_difficulty(const layer_run *r, mn_rows out, mn_rows x, mn_error *err) {
    const mn_layer *w = r->w;
    const mn_projection *const mlps[2][3] = {{&w->gate, &w->up, &w->down},
                                             {&w->small_gate, &w->small_up, &w->small_down}};
    mn_split split;
    MN_TRY(r->b->split(r->s, r->layer, &split, x, r->rows, err));
    for (int i = 0; i < 2; i++) {
        mn_rows y;
        if (split.parts[i].n_rows == 0) continue;
        mn_arena_mark mark = r->b->mark(r->s);
        MN_TRY(take(r, split.parts[i], 1, x.n, &y, err));
        MN_TRY(mlp(r, y, split.parts[i], mlps[i][0], mlps[i][1], mlps[i][2], err));
        MN_TRY(r->b->join(r->s, r->layer, &split, i, out, y, err));
        r->b->rewind(r->s, mark);
    }
    return MN_OK;
}

/* *x += y */
static mn_status add_over(const layer_run *r, mn_rows *x, mn_rows y, mn_error *err) {
    mn_rows sum;
    MN_TRY(take_over(r, *x, &sum, err));
    MN_TRY(r->b->add(r->s, sum, *x, y, err));
    *x = sum;
    return MN_OK;
}

/* The routed experts of x, or of what is projected from it and back. */
static mn_status route(const layer_run *r, mn_rows out, mn_rows x, mn_error *err) {
    mn_rows latent, found;
    int n = r->config->moe.n_latent;
    if (n == 0) return r->b->experts(r->s, r->layer, out, x, x, r->rows, err);
    MN_TRY(take(r, x, 1, n, &latent, err));
    MN_TRY(take(r, x, 1, n, &found, err));
    MN_TRY(project(r, latent, &r->w->latent_down, x, err));
    MN_TRY(r->b->experts(r->s, r->layer, found, latent, x, r->rows, err));
    return project(r, out, &r->w->latent_up, found, err);
}

static mn_status feed_forward(const layer_run *r, mn_rows x, mn_rows *out, mn_error *err) {
    const mn_layer *w = r->w;
    if (w->easy) return mlp_by_difficulty(r, *out, x, err);
    if (!mn_config_is_moe(r->config, r->layer)) return mlp(r, *out, x, &w->gate, &w->up, &w->down, err);
    MN_TRY(route(r, *out, x, err));
    if (!w->shared_down.w.data) return MN_OK;
    mn_rows shared;
    MN_TRY(take(r, x, 1, x.n, &shared, err));
    MN_TRY(mlp(r, shared, x, &w->shared_gate, &w->shared_up, &w->shared_down, err));
    MN_TRY(gate_over(r, &shared, &w->shared_router, x, err));
    return add_over(r, out, shared, err);
}

/* The streams once a block has given y. */
static mn_status spread_over(const layer_run *r, mn_rows *x, mn_rows y, mn_rows gates, mn_error *err) {
    mn_rows streams;
    MN_TRY(take_over(r, *x, &streams, err));
    MN_TRY(r->b->spread_streams(r->s, streams, *x, y, gates, err));
    *x = streams;
    return MN_OK;
}

/* *x += residual_scale post_norm(y), or *x = post_norm(*x + residual_scale y); of several streams by gates. */
static mn_status add_residual(const layer_run *r, mn_rows *x, mn_rows y, mn_rows gates, const mn_norm *post_norm,
                              mn_error *err) {
    bool of_sum = r->config->norms_sums;
    if (post_norm->w && !of_sum) MN_TRY(norm_over(r, &y, post_norm, err));
    MN_TRY(scale_over(r, &y, r->config->residual_scale, err));
    if (gates.buffer) return spread_over(r, x, y, gates, err);
    MN_TRY(add_over(r, x, y, err));
    return of_sum ? norm_over(r, x, post_norm, err) : MN_OK;
}

/* A dense MLP of y and experts of x, with norms of their own on both sides (Gemma 4). */
static mn_status feed_forward_twice(const layer_run *r, mn_rows x, mn_rows y, mn_rows *out, mn_error *err) {
    const mn_layer *w = r->w;
    mn_rows dense, routed, expert_x;
    MN_TRY(take(r, x, 1, x.n, &dense, err));
    MN_TRY(mlp(r, dense, y, &w->gate, &w->up, &w->down, err));
    MN_TRY(norm_over(r, &dense, &w->post_dense_norm, err));
    MN_TRY(norm(r, x, &w->router_norm, &routed, err));
    MN_TRY(scale_over(r, &routed, r->config->moe.router_scale, err));
    MN_TRY(norm(r, x, &w->expert_norm, &expert_x, err));
    MN_TRY(r->b->experts(r->s, r->layer, *out, expert_x, routed, r->rows, err));
    MN_TRY(norm_over(r, out, &w->post_expert_norm, err));
    return add_over(r, out, dense, err);
}

/* *x += norm(proj (gelu(gate *x) * e)), e the layer's own embedding of the tokens (Gemma 3n). */
static mn_status add_layer_embedding(const layer_run *r, mn_rows *x, mn_rows e, mn_error *err) {
    mn_rows gate, gated, y;
    MN_TRY(take(r, *x, 1, e.n, &gate, err));
    MN_TRY(take(r, *x, 1, e.n, &gated, err));
    MN_TRY(take(r, *x, 1, x->n, &y, err));
    MN_TRY(project(r, gate, &r->w->layer_gate, *x, err));
    MN_TRY(r->b->activate(r->s, (mn_mlp_act){MN_ACT_GELU, 0}, gated, gate, e, err));
    MN_TRY(project(r, y, &r->w->layer_proj, gated, err));
    MN_TRY(norm_over(r, &y, &r->w->layer_norm, err));
    return add_over(r, x, y, err);
}

/* What mixes the tokens of a layer: its result, and what projects that. */
typedef struct mixed_rows {
    mn_rows rows;
    const mn_projection *out;
    float scale;
} mixed_rows;

/* *x += the sum of what was mixed, projected */
static mn_status add_mixed(const layer_run *r, mn_rows *x, const mixed_rows *mixed, int n, mn_rows gates,
                           mn_error *err) {
    mn_rows sum, part;
    for (int i = 0; i < n; i++) {
        MN_TRY(take(r, *x, 1, x->n, &part, err));
        MN_TRY(project(r, part, mixed[i].out, mixed[i].rows, err));
        MN_TRY(scale_over(r, &part, mixed[i].scale, err));
        if (i > 0) MN_TRY(add_over(r, &sum, part, err));
        if (i == 0) sum = part;
    }
    return n ? add_residual(r, x, sum, gates, &r->w->post_attn_norm, err) : MN_OK;
}

/* Whether a layer's MLP looks at the token before. */
static bool looks_back(const mn_layer *w) { return w->mixer.mixes[1] != NULL; }

/* *x += what was mixed; *x += mlp(norm(*x)), or in parallel mlp(y), y the input of attention */
static mn_status finish_layer(const layer_run *r, mn_rows *x, mn_rows y, const mixed_rows *mixed, int n, mn_rows gates,
                              mn_error *err) {
    mn_rows out, in;
    MN_TRY(add_mixed(r, x, mixed, n, gates, err));
    if (!mn_layer_has_mlp(r->w)) return MN_OK;
    MN_TRY(read_residual(r, *x, &r->w->hyper_ffn, &in, &gates, err));
    if (!r->config->parallel) MN_TRY(norm(r, in, &r->w->ffn_norm, &y, err));
    if (looks_back(r->w)) {
        mn_rows now = y;
        MN_TRY(take(r, now, 1, now.n, &y, err));
        MN_TRY(r->b->mix_shifted(r->s, r->layer, true, y, now, err));
    }
    MN_TRY(take(r, *x, 1, x->n, &out, err));
    if (mn_config_is_moe(r->config, r->layer) && r->config->moe.beside_dense)
        MN_TRY(feed_forward_twice(r, in, y, &out, err));
    else
        MN_TRY(feed_forward(r, y, &out, err));
    return add_residual(r, x, out, gates, &r->w->post_ffn_norm, err);
}

/* The rows whose logits are wanted. */
static mn_status keep_wanted(const layer_run *r, const mn_batch *batch, mn_rows *x, mn_error *err) {
    mn_rows all = *x;
    if (batch->n_wanted == all.n_rows) return MN_OK;
    MN_TRY(r->b->take(r->s, batch->n_wanted, all.n_heads, all.n, x, err));
    return r->b->gather(r->s, *x, all, batch->wanted, err);
}

static mn_status make_angles(const mn_step *s, mn_place place, int index, mn_rows *out, mn_error *err) {
    const mn_config *c = &s->model->config;
    if (c->rope_style == MN_ROPE_STYLE_NONE) return MN_OK;
    int n_rot = place == MN_PLACE_TOKEN_LOCAL ? c->rope_local.n_rot : c->rope.n_rot;
    MN_TRY(s->backend->take(s, s->n_rows, 2, n_rot / 2, out, err));
    return s->backend->angles(s, *out, place, index, err);
}

static mn_status rotations_of_tokens(const mn_step *s, mn_place place, mn_rotations *out, mn_error *err) {
    *out = (mn_rotations){.n_ranges = 1, .n_planes = 1};
    MN_TRY(make_angles(s, place, 0, &out->queries[0], err));
    out->keys[0] = out->queries[0];
    return MN_OK;
}

/* n_ranges 0: no sequence of the step has a position map. */
static mn_status rotations_of_maps(const mn_step *s, mn_rotations *out, mn_error *err) {
    *out = (mn_rotations){0};
    for (int i = 0; i < s->n_slices; i++) {
        const mn_posmap *map = &s->slices[i].sequence->attn.map;
        out->n_ranges = MN_MAX(out->n_ranges, map->n_ranges);
        out->n_planes = MN_MAX(out->n_planes, map->n_planes);
    }
    for (int i = 0; i < out->n_ranges; i++) MN_TRY(make_angles(s, MN_PLACE_QUERY, i, &out->queries[i], err));
    for (int i = 0; i < out->n_planes; i++) MN_TRY(make_angles(s, MN_PLACE_KEY, i, &out->keys[i], err));
    return MN_OK;
}

/* What each layer gets of a token beside the residual stream: (norm(W x / sqrt n_embd) + embedding) / sqrt 2. */
static mn_status make_layer_embeddings(mn_forward_pass *p, const layer_run *r, mn_error *err) {
    const mn_config *c = r->config;
    const mn_weights *w = &p->step.model->weights;
    mn_rows own;
    if (c->n_embd_layer == 0) return MN_OK;
    MN_TRY(take(r, p->x, c->n_layers, c->n_embd_layer, &p->layer_embd, err));
    MN_TRY(take(r, p->x, c->n_layers, c->n_embd_layer, &own, err));
    MN_TRY(project(r, p->layer_embd, &w->layer_proj, p->x, err));
    MN_TRY(scale_over(r, &p->layer_embd, 1 / sqrtf((float)c->n_embd), err));
    MN_TRY(norm_over(r, &p->layer_embd, &w->layer_proj_norm, err));
    MN_TRY(r->b->embed_layers(r->s, own, err));
    p->layer_embd.n *= c->n_layers; /* one long vector, for the sum */
    own.n *= c->n_layers;
    p->layer_embd.n_heads = own.n_heads = 1;
    MN_TRY(add_over(r, &p->layer_embd, own, err));
    return scale_over(r, &p->layer_embd, (float)M_SQRT1_2, err);
}

/* The part of a layer. */
static mn_rows layer_embedding(const mn_forward_pass *p, const mn_config *c, int layer) {
    return mn_rows_part(p->layer_embd, (int64_t)layer * c->n_embd_layer, c->n_embd_layer);
}

/* The embedding of each token, in each of the residual streams. */
static mn_status begin_streams(mn_forward_pass *p, const layer_run *r, mn_error *err) {
    int n_streams = MN_MAX(r->config->hyper.n_streams, 1);
    MN_TRY(r->b->take(r->s, r->s->n_rows, n_streams, r->config->n_embd, &p->x, err));
    mn_rows first = p->x;
    first.n_heads = 1;
    MN_TRY(r->b->embed(r->s, first, err));
    for (int i = 1; i < n_streams; i++) {
        mn_rows other = first;
        other.offset += i * p->x.head_stride;
        MN_TRY(r->b->scale(r->s, other, first, 1, err));
    }
    return MN_OK;
}

mn_status mn_forward_begin(mn_forward_pass *p, mn_error *err) {
    const mn_step *s = &p->step;
    const mn_weights *w = &s->model->weights;
    layer_run r = {.b = s->backend, .s = s, .config = &s->model->config};
    MN_TRY(r.b->prepare(s, err));
    MN_TRY(begin_streams(p, &r, err));
    if (w->token_embd_norm.w) MN_TRY(norm_over(&r, &p->x, &w->token_embd_norm, err));
    MN_TRY(make_layer_embeddings(p, &r, err));
    if (r.config->indexer.top_k) MN_TRY(take(&r, p->x, 1, 2 * mn_step_words(s), &p->chosen, err));
    MN_TRY(rotations_of_tokens(s, MN_PLACE_TOKEN, &p->plain, err));
    if (r.config->rope_local.freq_base > 0) MN_TRY(rotations_of_tokens(s, MN_PLACE_TOKEN_LOCAL, &p->local, err));
    MN_TRY(rotations_of_maps(s, &p->maps, err));
    p->none = (mn_rotations){.n_ranges = 1, .n_planes = 1};
    if (r.config->mixer.kind == MN_MIXER_RWKV7)
        MN_TRY(r.b->take(s, s->n_rows, r.config->mixer.n_heads, r.config->mixer.v_dim, &p->v_first, err));
    p->layers = r.b->mark(s);
    return MN_OK;
}

/* By what a layer rotates: distances within a window or a chunk were all trained, so that no map changes them. */
static const mn_rotations *rotations_of(const mn_forward_pass *p, const mn_config *c, int layer) {
    mn_layer_rope rope = c->layers[layer].rope;
    if (rope == MN_LAYER_NOPE) return &p->none;
    if (p->maps.n_ranges > 0 && mn_config_is_unbounded(c, layer)) return &p->maps;
    return rope == MN_LAYER_ROPE_LOCAL ? &p->local : &p->plain;
}

static layer_run run_of(const mn_forward_pass *p, int layer, const mn_rotations *turns) {
    const mn_model *m = p->step.model;
    return (layer_run){.b = p->step.backend,
                       .s = &p->step,
                       .config = &m->config,
                       .w = &m->weights.layers[layer],
                       .layer = layer,
                       .turns = turns,
                       .chosen = p->chosen,
                       .v_first = p->v_first};
}

/* What the layer mixes tokens by: attention, a recurrent mixer, both or neither. */
static mn_status mix_tokens(const layer_run *r, mn_rows y, mixed_rows *mixed, int *n, mn_error *err) {
    if (mn_config_attends(r->config, r->layer)) {
        mixed_rows *attended = &mixed[(*n)++];
        *attended = (mixed_rows){.out = &r->w->o, .scale = r->config->attention_out_scale};
        MN_TRY((r->config->mla.kv_rank  ? mn_forward_mla
                : r->config->shares_k_v ? mn_forward_compressed
                                        : mn_forward_heads)(r, y, &attended->rows, err));
        MN_TRY(gate_over(r, &attended->rows, &r->w->attn_gate, y, err));
    }
    if (shape_of(r)->has_mixer) {
        mixed[*n] = (mixed_rows){.out = &r->w->mixer.out, .scale = 1};
        MN_TRY(mn_forward_mixer(r, y, &mixed[(*n)++].rows, err));
    }
    return MN_OK;
}

/* x += mixed(norm(x)); x += mlp(norm(x)). The last layer goes on with the wanted rows alone: of the others only
 * keys, values and recurrent states are needed, by later tokens. */
mn_status mn_forward_layer(mn_forward_pass *p, int layer, mn_error *err) {
    const mn_model *m = p->step.model;
    layer_run r = run_of(p, layer, rotations_of(p, &m->config, layer));
    mn_rows y = p->x, own = layer_embedding(p, &m->config, layer), gates = {0};
    mixed_rows mixed[2];
    int n = 0;
    r.b->rewind(r.s, p->layers);
    if (mn_config_attends(r.config, layer) || shape_of(&r)->has_mixer) {
        MN_TRY(read_residual(&r, p->x, &r.w->hyper_attn, &y, &gates, err));
        MN_TRY(norm(&r, y, &r.w->attn_norm, &y, err));
        MN_TRY(mix_tokens(&r, y, mixed, &n, err));
    }
    bool last = layer == m->config.n_layers - 1;
    if (last && !looks_back(r.w)) {
        if (p->batch->n_wanted == 0) return MN_OK;
        MN_TRY(keep_wanted(&r, p->batch, &p->x, err));
        for (int i = 0; i < n; i++) MN_TRY(keep_wanted(&r, p->batch, &mixed[i].rows, err));
        if (m->config.parallel) MN_TRY(keep_wanted(&r, p->batch, &y, err));
        if (own.buffer) MN_TRY(keep_wanted(&r, p->batch, &own, err));
        if (gates.buffer) MN_TRY(keep_wanted(&r, p->batch, &gates, err));
        if (p->batch->n_wanted < p->batch->n_rows) r.rows = p->batch->wanted;
    }
    MN_TRY(finish_layer(&r, &p->x, y, mixed, n, gates, err));
    if (last && looks_back(r.w)) return p->batch->n_wanted ? keep_wanted(&r, p->batch, &p->x, err) : MN_OK;
    if (own.buffer) MN_TRY(add_layer_embedding(&r, &p->x, own, err));
    return scale_over(&r, &p->x, r.w->output_scale, err);
}

mn_status mn_forward_keys(mn_forward_pass *p, int layer, mn_rows *y, mn_rows *k, mn_error *err) {
    layer_run r = run_of(p, layer, &p->plain);
    mn_rows q, v, gate;
    MN_TRY(norm(&r, p->x, &r.w->attn_norm, y, err));
    return mn_forward_qkv(&r, *y, &q, k, &v, &gate, err);
}

mn_status mn_forward_states(const mn_forward_pass *p, mn_rows *x, mn_error *err) {
    const mn_model *m = p->step.model;
    layer_run r = {.b = p->step.backend, .s = &p->step, .config = &m->config};
    mn_rows gates;
    MN_TRY(read_residual(&r, *x, &m->weights.hyper, x, &gates, err));
    return m->weights.output_norm.w ? norm_over(&r, x, &m->weights.output_norm, err) : MN_OK;
}

mn_status mn_forward_end(mn_forward_pass *p, mn_error *err) {
    const mn_model *m = p->step.model;
    layer_run r = {.b = p->step.backend, .s = &p->step, .config = &m->config};
    if (p->batch->n_wanted == 0) return MN_OK;
    MN_TRY(mn_forward_states(p, &p->x, err));
    if (p->batch->states) return r.b->states(r.s, p->batch->states, p->x, err);
    MN_TRY(scale_over(&r, &p->x, m->config.logit_scale, err));
    return r.b->logits(r.s, p->batch->logits, p->x, err);
}

mn_forward_pass mn_forward_pass_of(const mn_backend *backend, const mn_model *model, const mn_batch *batch) {
    return (mn_forward_pass){.step = {backend, model, batch->tokens, batch->n_rows, batch->slices, batch->n_slices},
                             .batch = batch};
}

mn_status mn_forward(const mn_backend *backend, const mn_model *model, const mn_batch *batch, mn_error *err) {
    mn_forward_pass p = mn_forward_pass_of(backend, model, batch);
    mn_arena_mark mark = backend->mark(&p.step);
    mn_status status = mn_forward_begin(&p, err);
    for (int layer = 0; status == MN_OK && layer < model->config.n_layers; layer++)
        status = mn_forward_layer(&p, layer, err);
    if (status == MN_OK) status = mn_forward_end(&p, err);
    backend->rewind(&p.step, mark);
    if (status != MN_OK) return status;
    for (const mn_slice *slice = batch->slices; slice < batch->slices + batch->n_slices; slice++)
        mn_sequence_extend(slice->sequence, batch->tokens ? batch->tokens + slice->first_row : NULL, slice->n_rows);
    return MN_OK;
}
