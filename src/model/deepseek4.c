/* DeepSeek V4 (DeepSeek-AI 2026, the technical report and the released code): attention over the keys of a window,
 * which are the values too, and over compressed keys, which an indexer chooses from or which are few; hyper-connections
 * in the place of a residual stream; experts that in the first layers go by a token's id. */
#include "kvcache/kvcache.h"
#include "model/family.h"

#include <stdio.h>

/* Rates that the released models have; the finer one's blocks overlap, and an indexer chooses among them. */
enum { FINE = 4, COARSE = 128 };

static mn_status configure_ratios(const mn_gguf *g, mn_config *c, mn_error *err) {
    int ratios[MN_MAX_LAYERS];
    MN_TRY(mn_config_ints(g, c, "attention.compress_ratios", true, 0, COARSE, ratios, err));
    for (int i = 0; i < c->n_layers; i++) {
        mn_layer_shape *l = &c->layers[i];
        l->ratio = ratios[i];
        l->overlaps = l->has_indexer = ratios[i] == FINE;
        l->rope = ratios[i] ? MN_LAYER_ROPE : MN_LAYER_ROPE_LOCAL;
        if (ratios[i] != 0 && ratios[i] != FINE && ratios[i] != COARSE)
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "%s: layer %d compresses %d keys into one; known are 0 (none), %d and %d.", mn_gguf_path(g),
                           i, ratios[i], FINE, COARSE);
    }
    return MN_OK;
}

static mn_status find_rates(const mn_gguf *g, mn_config *c, mn_error *err) {
    int n = 0, n_fine = 0, n_coarse = 0;
    for (int i = 0; i < c->n_layers; i++) {
        n_fine += c->layers[i].ratio == FINE;
        n_coarse += c->layers[i].ratio == COARSE;
    }
    if (n_fine) c->rates[n++] = FINE;
    if (n_coarse) c->rates[n] = COARSE;
    if (2 * n_fine > MN_KV_MAX_LAYERS)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: %d layers compress %d keys into one; the limit is %d.",
                       mn_gguf_path(g), n_fine, FINE, MN_KV_MAX_LAYERS / 2);
    return MN_OK;
}

/* Layers that see a window alone rotate by frequencies of their own; the others' are scaled, and not their length. */
static mn_status configure_positions(const mn_gguf *g, mn_config *c, mn_error *err) {
    bool found;
    c->rope_local =
        (mn_rope_spec){.n_rot = c->rope.n_rot, .freq_base = c->rope.freq_base, .original_ctx = c->rope.original_ctx};
    c->temperature_in_scores = true;
    c->rope.attn_factor = 0;
    MN_TRY(mn_config_tokens(g, c->arch, "attention.sliding_window", true, 1, &c->window, err));
    for (int i = 0; i < c->n_layers; i++) c->layers[i].window = c->window;
    return mn_config_number(g, c->arch, "attention.compress_rope_freq_base", 0, 1e30, &c->rope.freq_base, &found, err);
}

static mn_status configure_attention(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_out_groups *o = &c->out_groups;
    const mn_layer_shape *l = c->layers;
    c->shares_k_v = true;
    MN_TRY(mn_config_int(g, c->arch, "attention.q_lora_rank", true, 1, 1 << 16, &c->mla.q_rank, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.output_group_count", true, 1, MN_MAX_HEADS, &o->n_groups, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.output_lora_rank", true, 1, 1 << 16, &o->rank, err));
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i].n_kv_heads != 1 || c->layers[i].n_heads != l->n_heads)
            return mn_fail(err, MN_ERR_FORMAT, "%s: layer %d has %d query heads and %d key heads; wanted are %d and 1.",
                           mn_gguf_path(g), i, c->layers[i].n_heads, c->layers[i].n_kv_heads, l->n_heads);
    if (l->head_dim_k != l->head_dim_v || (int64_t)l->n_heads * l->head_dim_v % o->n_groups)
        return mn_fail(
            err, MN_ERR_FORMAT,
            "%s: %d heads with keys of %d and values of %d do not make %d groups of outputs of keys that are values.",
            mn_gguf_path(g), l->n_heads, l->head_dim_k, l->head_dim_v, o->n_groups);
    MN_TRY(configure_positions(g, c, err));
    MN_TRY(configure_ratios(g, c, err));
    bool chooses = false;
    for (int i = 0; i < c->n_layers; i++) chooses |= c->layers[i].has_indexer;
    c->indexer.rope_style = c->rope_style;
    return chooses ? mn_config_indexer(g, c, err) : MN_OK;
}

static mn_status configure_experts(const mn_gguf *g, mn_config *c, mn_error *err) {
    int n_hashed = 0;
    MN_TRY(mn_config_moe(g, c, MN_GATING_SQRT_SOFTPLUS, err));
    MN_TRY(mn_config_shared_expert(g, c, 0, err));
    MN_TRY(mn_config_bool(g, c->arch, "expert_weights_norm", &c->moe.router.normalise, err));
    MN_TRY(mn_config_int(g, c->arch, "hash_layer_count", false, 0, c->n_layers, &n_hashed, err));
    for (int i = 0; i < n_hashed; i++) c->layers[i].is_hashed = c->layers[i].is_moe;
    c->activation = MN_ACT_CAP_THEN_SILU;
    return mn_config_limits(g, c, err);
}

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_hyper_config *h = &c->hyper;
    MN_TRY(mn_config_int(g, c->arch, "hyper_connection.count", true, 1, MN_MAX_STREAMS, &h->n_streams, err));
    MN_TRY(mn_config_int(g, c->arch, "hyper_connection.sinkhorn_iterations", true, 1, MN_MAX_HYPER_ROUNDS, &h->n_rounds,
                         err));
    MN_TRY(mn_config_float(g, c->arch, "hyper_connection.epsilon", true, &h->eps, err));
    MN_TRY(configure_attention(g, c, err));
    MN_TRY(configure_experts(g, c, err));
    MN_TRY(mn_config_drop_nextn(g, c, err));
    return find_rates(g, c, err);
}

static void bind_compressor(mn_binder *b, const mn_config *c, int layer, const char *name, bool of_indexer,
                            mn_compressor_weights *out) {
    mn_compressor x = mn_layer_compressor(c, NULL, layer, of_indexer);
    int64_t width = mn_compressor_width(&x);
    char part[64];
    snprintf(part, sizeof part, "%s_kv", name);
    mn_bind_projection(b, part, c->n_embd, width, &out->u);
    snprintf(part, sizeof part, "%s_gate", name);
    mn_bind_projection(b, part, c->n_embd, width, &out->s);
    snprintf(part, sizeof part, "%s_ape", name);
    out->ape = mn_bind_matrix(b, part, width, x.ratio);
    snprintf(part, sizeof part, "%s_norm", name);
    mn_bind_norm(b, part, x.dim, &out->norm);
}

static void bind_output(mn_binder *b, const mn_config *c, const mn_layer_shape *s, mn_layer *l) {
    const mn_out_groups *o = &c->out_groups;
    mn_projection all;
    mn_bind_projection(b, "attn_output_a", (int64_t)s->n_heads * s->head_dim_v / o->n_groups,
                       (int64_t)o->n_groups * o->rank, &all);
    mn_bind_projection(b, "attn_output_b", (int64_t)o->n_groups * o->rank, c->n_embd, &l->o);
    l->o_groups = b->status == MN_OK ? mn_arena_zalloc(b->arena, (size_t)o->n_groups, sizeof *l->o_groups) : NULL;
    if (!l->o_groups && b->status == MN_OK)
        b->status = mn_fail(b->err, MN_ERR_MEMORY, "no memory for %d groups of outputs.", o->n_groups);
    for (int i = 0; i < o->n_groups && l->o_groups; i++)
        l->o_groups[i] = mn_projection_rows(&all, (int64_t)i * o->rank, o->rank);
}

static void bind_attention(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    const mn_layer_shape *s = &c->layers[layer];
    const mn_indexer_config *x = &c->indexer;
    int q_rank = c->mla.q_rank;
    l->sinks = mn_bind_vector(b, "attn_sinks.weight", s->n_heads, true);
    mn_bind_projection(b, "attn_q_a", c->n_embd, q_rank, &l->q_a);
    mn_bind_norm(b, "attn_q_a_norm", q_rank, &l->q_a_norm);
    mn_bind_projection(b, "attn_q_b", q_rank, (int64_t)s->n_heads * s->head_dim_k, &l->q_b);
    mn_bind_projection(b, "attn_kv", c->n_embd, s->head_dim_k, &l->kv_a);
    mn_bind_norm(b, "attn_kv_a_norm", s->head_dim_k, &l->kv_a_norm);
    bind_output(b, c, s, l);
    if (s->ratio) bind_compressor(b, c, layer, "attn_compressor", false, &l->compressor);
    if (!s->has_indexer) return;
    bind_compressor(b, c, layer, "indexer_compressor", true, &l->indexer_compressor);
    mn_bind_projection(b, "indexer.attn_q_b", q_rank, (int64_t)x->n_heads * x->dim, &l->indexer_q);
    mn_bind_projection(b, "indexer.proj", c->n_embd, x->n_heads, &l->indexer_w);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    bind_attention(b, c, layer, l);
    mn_bind_hyper(b, c, "hc_attn", mn_hyper_mixes(&c->hyper), 3, &l->hyper_attn);
    mn_bind_hyper(b, c, "hc_ffn", mn_hyper_mixes(&c->hyper), 3, &l->hyper_ffn);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_deepseek4 = {"deepseek4", "DeepSeek V4: compressed keys, hyper-connections, hashed experts",
                                       configure, bind_layer};
