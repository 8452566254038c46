#include "model/weights.h"

#include "base/checked.h"
#include "model/family.h"

#include <stdio.h>
#include <string.h>

typedef struct tensor_name {
    char text[128];
} tensor_name;

static tensor_name name_of(const mn_binder *b, const char *name, const char *suffix) {
    tensor_name full;
    if (b->layer < 0)
        snprintf(full.text, sizeof full.text, "%s%s", name, suffix);
    else
        snprintf(full.text, sizeof full.text, "blk.%d.%s%s", b->layer, name, suffix);
    return full;
}

static void fail_missing(mn_binder *b, const char *name) {
    b->status = mn_fail(b->err, MN_ERR_FORMAT, "%s: tensor %s is missing.", mn_gguf_path(b->gguf), name);
}

static void fail_shape(mn_binder *b, const mn_tensor *t, const int64_t want[3]) {
    b->status =
        mn_fail(b->err, MN_ERR_FORMAT, "%s: tensor %s is %lld x %lld x %lld; this model needs %lld x %lld x %lld.",
                mn_gguf_path(b->gguf), t->name, (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2],
                (long long)want[0], (long long)want[1], (long long)want[2]);
}

/* Weights are of any type but that of tables, and tables of no other. */
static const mn_tensor *check_type(mn_binder *b, const mn_tensor *t, mn_dtype type) {
    if ((t->type == MN_I32) == (type == MN_I32)) return t;
    b->status = mn_fail(b->err, MN_ERR_FORMAT, "%s: tensor %s is %s; this model needs %s there.", mn_gguf_path(b->gguf),
                        t->name, mn_dtype_get(t->type)->name,
                        type == MN_I32 ? "whole numbers (i32)" : "weights, which are no whole numbers");
    return NULL;
}

/* The tensor of that name and exactly that shape, of weights (F32) or whole numbers (I32); NULL with b->status set, or
 * when missing and not needed. */
static const mn_tensor *find_typed(mn_binder *b, const char *name, mn_dtype type, int64_t ne0, int64_t ne1, int64_t ne2,
                                   bool need) {
    static const mn_tensor listed = {.ne = {1, 1, 1, 1}};
    if (b->status != MN_OK) return NULL;
    if (b->list) {
        b->list(b->list_arg,
                &(mn_tensor){.name = name,
                             .type = type,
                             .n_dims = ne2 > 1   ? 3
                                       : ne1 > 1 ? 2
                                                 : 1,
                             .ne = {ne0, ne1, ne2, 1}},
                need);
        return &listed;
    }
    const mn_tensor *t = mn_gguf_tensor(b->gguf, name);
    const int64_t want[3] = {ne0, ne1, ne2};
    if (!t && need) fail_missing(b, name);
    if (!t) return NULL;
    b->is_bound[t - mn_gguf_tensor_at(b->gguf, 0)] = true;
    if (t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == ne2 && t->ne[3] == 1) return check_type(b, t, type);
    fail_shape(b, t, want);
    return NULL;
}

static const mn_tensor *find(mn_binder *b, const char *name, int64_t ne0, int64_t ne1, int64_t ne2, bool need) {
    return find_typed(b, name, MN_F32, ne0, ne1, ne2, need);
}

/* Whether the dimensions are these two, but for dimensions of 1, which converters add and leave out. */
static bool squeezes_to(const mn_tensor *t, int64_t ne0, int64_t ne1) {
    const int64_t want[2] = {ne0, ne1};
    int at = 0;
    for (int i = 0; i < MN_MAX_DIMS; i++) {
        if (t->ne[i] == 1) continue;
        while (at < 2 && want[at] == 1) at++;
        if (at == 2 || want[at++] != t->ne[i]) return false;
    }
    while (at < 2 && want[at] == 1) at++;
    return at == 2;
}

static const mn_tensor *find_squeezed(mn_binder *b, const char *name, int64_t ne0, int64_t ne1, bool need) {
    if (b->status != MN_OK) return NULL;
    if (b->list) return ne0 == 1 ? find(b, name, ne1, 1, 1, need) : find(b, name, ne0, ne1, 1, need);
    const mn_tensor *t = mn_gguf_tensor(b->gguf, name);
    const int64_t want[3] = {ne0, ne1, 1};
    if (!t && need) fail_missing(b, name);
    if (!t) return NULL;
    b->is_bound[t - mn_gguf_tensor_at(b->gguf, 0)] = true;
    if (squeezes_to(t, ne0, ne1)) return check_type(b, t, MN_F32);
    fail_shape(b, t, want);
    return NULL;
}

/* The floats of a tensor of any type: those of the file where they can be used as they are, else a copy. */
static const float *floats_of(mn_binder *b, const mn_tensor *t) {
    if (!t || !t->data) return NULL;
    if (t->type == MN_F32 && (uintptr_t)t->data % sizeof(float) == 0) return t->data;
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    float *copy = mn_arena_alloc(b->arena, (size_t)n, sizeof *copy);
    if (!copy) {
        b->status = mn_fail(b->err, MN_ERR_MEMORY, "no memory for %lld values of tensor %s.", (long long)n, t->name);
        return NULL;
    }
    mn_to_f32(t->type, t->data, copy, n);
    return copy;
}

const float *mn_bind_vector(mn_binder *b, const char *name, int64_t n, bool need) {
    return floats_of(b, find(b, name_of(b, name, "").text, n, 1, 1, need));
}

const float *mn_bind_values(mn_binder *b, const char *name, int64_t n0, int64_t n1, bool need) {
    return floats_of(b, find_squeezed(b, name_of(b, name, "").text, n0, n1, need));
}

const float *mn_bind_matrix(mn_binder *b, const char *name, int64_t n_in, int64_t n_out) {
    return floats_of(b, find(b, name_of(b, name, ".weight").text, n_in, n_out, 1, true));
}

/* n_ids is at most MN_MAX_EXPERTS. */
static mn_status check_ids(const mn_tensor *t, const int32_t *ids, int64_t n_ids, mn_error *err) {
    int64_t last_row[MN_MAX_EXPERTS] = {0}; /* that named the id, counted from 1 */
    for (int64_t i = 0; i < t->ne[0] * t->ne[1]; i++) {
        int64_t row = i / t->ne[0];
        bool inside = ids[i] >= 0 && ids[i] < n_ids;
        if (!inside || last_row[ids[i]] == row + 1)
            return mn_fail(err, MN_ERR_FORMAT,
                           "tensor %s names %d%s in row %lld; wanted are different numbers from 0 to %lld.", t->name,
                           ids[i], inside ? " twice" : "", (long long)row, (long long)n_ids - 1);
        last_row[ids[i]] = row + 1;
    }
    return MN_OK;
}

const int32_t *mn_bind_table(mn_binder *b, const char *name, int64_t n, int64_t n_rows, int64_t n_ids) {
    const mn_tensor *t = find_typed(b, name_of(b, name, ".weight").text, MN_I32, n, n_rows, 1, true);
    if (!t || !t->data) return NULL;
    int32_t *ids = mn_arena_alloc(b->arena, (size_t)(n * n_rows), sizeof *ids);
    b->status =
        ids ? MN_OK
            : mn_fail(b->err, MN_ERR_MEMORY, "no memory for %lld numbers of %s.", (long long)(n * n_rows), t->name);
    if (ids) memcpy(ids, t->data, (size_t)(n * n_rows) * sizeof *ids);
    if (ids) b->status = check_ids(t, ids, n_ids, b->err);
    if (ids && b->status != MN_OK) mn_fail_in(b->err, b->status, mn_gguf_path(b->gguf));
    return b->status == MN_OK ? ids : NULL;
}

static void bind_projection(mn_binder *b, const char *name, int64_t n_in, int64_t n_out, bool need,
                            mn_projection *out) {
    *out = (mn_projection){0};
    const mn_tensor *w = find(b, name_of(b, name, ".weight").text, n_in, n_out, 1, need);
    if (!w) return;
    out->w = *w;
    out->b = floats_of(b, find(b, name_of(b, name, ".bias").text, n_out, 1, 1, false));
}

void mn_bind_projection(mn_binder *b, const char *name, int64_t n_in, int64_t n_out, mn_projection *out) {
    bind_projection(b, name, n_in, n_out, true, out);
}

void mn_bind_projection_if(mn_binder *b, const char *name, int64_t n_in, int64_t n_out, mn_projection *out) {
    bind_projection(b, name, n_in, n_out, false, out);
}

int64_t mn_bind_n_out(const mn_binder *b, const char *name) {
    enum { LISTED = 32 };
    const mn_tensor *t = mn_gguf_tensor(b->gguf, name_of(b, name, ".weight").text);
    return t ? t->ne[1] : b->list ? LISTED : 0;
}

void mn_bind_stack(mn_binder *b, const char *name, int64_t n_in, int64_t n_out, int64_t n, mn_tensor *out) {
    *out = (mn_tensor){0};
    const mn_tensor *t = find(b, name_of(b, name, ".weight").text, n_in, n_out, n, true);
    if (t) *out = *t;
}

static void bind_norm(mn_binder *b, const char *name, int64_t n, bool need, mn_norm *out) {
    out->w = floats_of(b, find(b, name_of(b, name, ".weight").text, n, 1, 1, need));
    out->b = floats_of(b, find(b, name_of(b, name, ".bias").text, n, 1, 1, false));
}

void mn_bind_norm(mn_binder *b, const char *name, int64_t n, mn_norm *out) { bind_norm(b, name, n, true, out); }

void mn_bind_norm_if(mn_binder *b, const char *name, int64_t n, mn_norm *out) { bind_norm(b, name, n, false, out); }

mn_projection mn_projection_rows(const mn_projection *whole, int64_t first, int64_t n) {
    mn_projection part = *whole;
    size_t row_bytes = mn_tensor_row_bytes(&whole->w);
    if (!whole->w.data) return part;
    part.w.ne[1] = n;
    part.w.bytes = row_bytes * (size_t)n;
    part.w.data = (const char *)whole->w.data + row_bytes * (size_t)first;
    if (whole->b) part.b = whole->b + first;
    return part;
}

void mn_bind_norms(mn_binder *b, const mn_config *c, mn_layer *l) {
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    mn_bind_norm(b, "ffn_norm", c->n_embd, &l->ffn_norm);
}

static bool has(const mn_binder *b, const char *name) {
    return b->status == MN_OK && mn_gguf_tensor(b->gguf, name_of(b, name, ".weight").text) != NULL;
}

void mn_bind_attention(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_layer_shape *s = &c->layers[b->layer];
    if (has(b, "attn_qkv")) {
        mn_bind_fused_attention(b, c, l);
        return;
    }
    mn_bind_projection(b, "attn_q", c->n_embd, (int64_t)s->n_heads * s->head_dim_k, &l->q);
    mn_bind_projection(b, "attn_k", c->n_embd, (int64_t)s->n_kv_heads * s->head_dim_k, &l->k);
    mn_bind_projection(b, "attn_v", c->n_embd, (int64_t)s->n_kv_heads * s->head_dim_v, &l->v);
    mn_bind_projection(b, "attn_output", (int64_t)s->n_heads * s->head_dim_v, c->n_embd, &l->o);
}

void mn_bind_fused_attention(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_layer_shape *s = &c->layers[b->layer];
    int64_t q = (int64_t)s->n_heads * s->head_dim_k, k = (int64_t)s->n_kv_heads * s->head_dim_k;
    int64_t v = (int64_t)s->n_kv_heads * s->head_dim_v;
    mn_projection qkv;
    mn_bind_projection(b, "attn_qkv", c->n_embd, q + k + v, &qkv);
    l->q = mn_projection_rows(&qkv, 0, q);
    l->k = mn_projection_rows(&qkv, q, k);
    l->v = mn_projection_rows(&qkv, q + k, v);
    mn_bind_projection(b, "attn_output", (int64_t)s->n_heads * s->head_dim_v, c->n_embd, &l->o);
}

void mn_bind_qk_norms(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_layer_shape *s = &c->layers[b->layer];
    bool whole = c->norms_whole_qk;
    mn_bind_norm(b, "attn_q_norm", (int64_t)s->head_dim_k * (whole ? s->n_heads : 1), &l->q_norm);
    mn_bind_norm(b, "attn_k_norm", (int64_t)s->head_dim_k * (whole ? s->n_kv_heads : 1), &l->k_norm);
}

void mn_bind_fused_swiglu(mn_binder *b, const mn_config *c, mn_layer *l) {
    mn_projection gate_up;
    int n_ff = c->layers[b->layer].n_ff;
    mn_bind_projection(b, "ffn_up", c->n_embd, 2 * (int64_t)n_ff, &gate_up);
    l->gate = mn_projection_rows(&gate_up, 0, n_ff);
    l->up = mn_projection_rows(&gate_up, n_ff, n_ff);
    mn_bind_projection(b, "ffn_down", n_ff, c->n_embd, &l->down);
}

void mn_bind_mlp(mn_binder *b, const mn_config *c, mn_layer *l) {
    if (mn_config_is_moe(c, b->layer)) mn_bind_experts(b, c, l);
    if (!mn_config_is_moe(c, b->layer) || c->moe.beside_dense) mn_bind_swiglu(b, c, l);
}

void mn_bind_swiglu(mn_binder *b, const mn_config *c, mn_layer *l) {
    int n_ff = c->layers[b->layer].n_ff;
    mn_bind_projection(b, "ffn_gate", c->n_embd, n_ff, &l->gate);
    mn_bind_projection(b, "ffn_up", c->n_embd, n_ff, &l->up);
    mn_bind_projection(b, "ffn_down", n_ff, c->n_embd, &l->down);
}

/* Rows [first, first + n) of each matrix of a stack. */
static mn_tensor stack_rows(const mn_tensor *stack, int64_t first, int64_t n) {
    mn_tensor part = *stack;
    size_t row_bytes = mn_tensor_row_bytes(stack);
    if (!stack->data) return part;
    part.matrix_bytes = row_bytes * (size_t)stack->ne[1];
    part.ne[1] = n;
    part.bytes = row_bytes * (size_t)n * (size_t)stack->ne[2]; /* its own: it ends before the stack does */
    part.data = (const char *)stack->data + row_bytes * (size_t)first;
    return part;
}

/* n0 * n1 floats of a small matrix under exactly this name, NULL when missing. */
static const float *bind_floats(mn_binder *b, const char *name, int64_t n0, int64_t n1) {
    return floats_of(b, find(b, name_of(b, name, "").text, n0, n1, 1, false));
}

static void bind_expert_vectors(mn_binder *b, const mn_config *c, mn_layer *l) {
    int64_t n = c->moe.router.n_experts;
    l->expert_gate_b = bind_floats(b, "ffn_gate_exps.bias", c->moe.n_ff, n);
    l->expert_up_b = bind_floats(b, "ffn_up_exps.bias", c->moe.n_ff, n);
    l->expert_down_b = bind_floats(b, "ffn_down_exps.bias", c->n_embd, n);
    l->expert_scale = bind_floats(b, "ffn_down_exps.scale", n, 1);
}

static void bind_shared_expert(mn_binder *b, const mn_config *c, mn_layer *l) {
    int64_t n_ff = c->moe.n_ff_shared;
    if (n_ff == 0) return;
    if (c->activation != MN_ACT_RELU2) mn_bind_projection(b, "ffn_gate_shexp", c->n_embd, n_ff, &l->shared_gate);
    mn_bind_projection(b, "ffn_up_shexp", c->n_embd, n_ff, &l->shared_up);
    mn_bind_projection(b, "ffn_down_shexp", n_ff, c->n_embd, &l->shared_down);
    mn_bind_projection_if(b, "ffn_gate_inp_shexp", c->n_embd, 1, &l->shared_router);
}

static void bind_expert_stacks(mn_binder *b, const mn_config *c, int64_t n_in, mn_layer *l) {
    int64_t n = c->moe.router.n_experts, n_ff = c->moe.n_ff;
    if (has(b, "ffn_gate_up_exps")) {
        mn_tensor both;
        mn_bind_stack(b, "ffn_gate_up_exps", n_in, 2 * n_ff, n, &both);
        l->expert_gate = stack_rows(&both, 0, n_ff);
        l->expert_up = stack_rows(&both, n_ff, n_ff);
    } else {
        if (c->activation != MN_ACT_RELU2) mn_bind_stack(b, "ffn_gate_exps", n_in, n_ff, n, &l->expert_gate);
        mn_bind_stack(b, "ffn_up_exps", n_in, n_ff, n, &l->expert_up);
    }
    mn_bind_stack(b, "ffn_down_exps", n_ff, n_in, n, &l->expert_down);
}

void mn_bind_experts(mn_binder *b, const mn_config *c, mn_layer *l) {
    int64_t n = c->moe.router.n_experts, n_in = c->moe.n_latent ? c->moe.n_latent : c->n_embd;
    mn_bind_projection(b, "ffn_gate_inp", c->n_embd, n, &l->router);
    if (c->moe.n_latent) {
        mn_bind_projection(b, "ffn_latent_down", c->n_embd, n_in, &l->latent_down);
        mn_bind_projection(b, "ffn_latent_up", n_in, c->n_embd, &l->latent_up);
    }
    bind_expert_stacks(b, c, n_in, l);
    if (c->layers[b->layer].is_hashed)
        l->experts_of_token = mn_bind_table(b, "ffn_gate_tid2eid", c->moe.router.n_used, c->n_vocab, n);
    else
        l->router_bias = mn_bind_vector(b, "exp_probs_b.bias", n, false);
    bind_expert_vectors(b, c, l);
    bind_shared_expert(b, c, l);
}

/* Of the token types the first: one text has no second part. */
static const float *bind_token_type(mn_binder *b, const mn_config *c) {
    enum { LISTED = 2 };
    const mn_tensor *t = mn_gguf_tensor(b->gguf, "token_types.weight");
    if (!c->is_encoder) return NULL;
    return floats_of(b, find(b, "token_types.weight", c->n_embd, t ? t->ne[1] : LISTED, 1, false));
}

static void bind_output(mn_binder *b, const mn_config *c, mn_weights *w) {
    if (c->is_encoder) return;
    mn_bind_norm(b, c->ends_in_embd_norm ? "token_embd_norm" : "output_norm", c->n_embd, &w->output_norm);
    mn_bind_projection_if(b, "output", c->n_embd, c->n_vocab, &w->output);
    if (c->hyper.n_streams) mn_bind_hyper(b, c, "output_hc", c->hyper.n_streams, 1, &w->hyper);
}

void mn_bind_hyper(mn_binder *b, const mn_config *c, const char *name, int64_t n_mixes, int64_t n_scales,
                   mn_hyper_weights *out) {
    char part[64];
    snprintf(part, sizeof part, "%s_fn", name);
    mn_bind_projection(b, part, (int64_t)c->hyper.n_streams * c->n_embd, n_mixes, &out->mixes);
    snprintf(part, sizeof part, "%s_base.weight", name);
    out->base = mn_bind_vector(b, part, n_mixes, true);
    snprintf(part, sizeof part, "%s_scale.weight", name);
    out->scale = mn_bind_vector(b, part, n_scales, true);
}

/* The small MLP for easy tokens, with a gate where the layer's own has one. */
static void bind_small_mlp(mn_binder *b, const mn_config *c, mn_layer *l) {
    int64_t n_ff = c->layers[b->layer].n_ff_small;
    if (n_ff == 0 || b->status != MN_OK) return;
    if (l->gate.w.data) mn_bind_projection(b, "ffn_small_gate", c->n_embd, n_ff, &l->small_gate);
    mn_bind_projection(b, "ffn_small_up", c->n_embd, n_ff, &l->small_up);
    mn_bind_projection(b, "ffn_small_down", n_ff, c->n_embd, &l->small_down);
    l->easy = mn_bind_vector(b, "ffn_small_router.weight", c->n_embd, true);
    l->easy_b = mn_bind_vector(b, "ffn_small_router.bias", 1, true);
}

static void bind_globals(mn_binder *b, mn_config *c, mn_weights *w) {
    mn_projection embedding, position;
    mn_bind_projection(b, "token_embd", c->n_embd, c->n_vocab, &embedding);
    mn_bind_projection_if(b, "position_embd", c->n_embd, c->n_ctx_train, &position);
    w->token_embd = embedding.w;
    w->position_embd = position.w;
    if (!c->ends_in_embd_norm) mn_bind_norm_if(b, "token_embd_norm", c->n_embd, &w->token_embd_norm);
    w->token_type = bind_token_type(b, c);
    bind_output(b, c, w);
    if (!w->output.w.data) w->output.w = w->token_embd;
    if (c->n_embd_layer) {
        int64_t n = (int64_t)c->n_layers * c->n_embd_layer;
        mn_projection table;
        mn_bind_projection(b, "per_layer_token_embd", n, c->n_vocab, &table);
        w->layer_embd = table.w;
        mn_bind_projection(b, "per_layer_model_proj", c->n_embd, n, &w->layer_proj);
        mn_bind_norm(b, "per_layer_proj_norm", c->n_embd_layer, &w->layer_proj_norm);
    }
    int64_t n_pairs = c->rope.n_rot / 2;
    /* A layer that rotates a part of what others do uses the first of their divisors. */
    const mn_tensor *factors = b->status == MN_OK ? mn_gguf_tensor(b->gguf, "rope_freqs.weight") : NULL;
    int64_t n_factors = factors ? MN_MAX(factors->ne[0], n_pairs) : n_pairs;
    c->rope.factors = mn_bind_vector(b, "rope_freqs.weight", n_factors, false);
    c->rope.factors_long = mn_bind_vector(b, "rope_factors_long.weight", n_pairs, false);
    c->rope.factors_short = mn_bind_vector(b, "rope_factors_short.weight", n_pairs, false);
}

static mn_status bind_all(mn_binder *b, mn_config *config, mn_weights *out) {
    const mn_family *family = mn_family_find(config->arch);
    bind_globals(b, config, out);
    for (b->layer = 0; b->layer < config->n_layers && b->status == MN_OK; b->layer++) {
        out->layers[b->layer].output_scale = 1;
        family->bind_layer(b, config, b->layer, &out->layers[b->layer]);
        bind_small_mlp(b, config, &out->layers[b->layer]);
    }
    return b->status;
}

mn_status mn_weights_list(const mn_gguf *gguf, mn_config *config, mn_arena *arena,
                          void (*list)(void *arg, const mn_tensor *shape, bool needed), void *arg, mn_error *err) {
    mn_weights w = {.layers = mn_arena_zalloc(arena, (size_t)config->n_layers, sizeof(mn_layer))};
    if (!w.layers) return mn_fail(err, MN_ERR_MEMORY, "no memory for the list of %d layers.", config->n_layers);
    mn_binder b = {.gguf = gguf, .arena = arena, .layer = -1, .err = err, .list = list, .list_arg = arg};
    return bind_all(&b, config, &w);
}

mn_status mn_weights_bind(const mn_gguf *gguf, mn_config *config, mn_arena *arena, mn_weights *out, mn_error *err) {
    *out = (mn_weights){.layers = mn_arena_zalloc(arena, (size_t)config->n_layers, sizeof(mn_layer)),
                        .is_bound = mn_arena_zalloc(arena, (size_t)mn_gguf_n_tensors(gguf), sizeof(bool))};
    if (!out->layers || !out->is_bound)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the list of %d layers.", config->n_layers);
    mn_binder b = {.gguf = gguf, .arena = arena, .is_bound = out->is_bound, .layer = -1, .err = err};
    return bind_all(&b, config, out);
}
