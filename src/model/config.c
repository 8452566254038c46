#include "model/config.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "model/family.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The largest of every layer, for those who need room for any; mixers are counted. */
static void find_most(mn_config *c) {
    c->n_heads = c->n_kv_heads = c->head_dim_k = c->head_dim_v = c->n_ff = 0;
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) {
        l->mixer = l == c->layers ? 0 : l[-1].mixer + l[-1].has_mixer;
        c->n_heads = MN_MAX(c->n_heads, l->n_heads);
        c->n_kv_heads = MN_MAX(c->n_kv_heads, l->n_kv_heads);
        c->head_dim_k = MN_MAX(c->head_dim_k, l->head_dim_k);
        c->head_dim_v = MN_MAX(c->head_dim_v, l->head_dim_v);
        c->n_ff = MN_MAX(c->n_ff, l->n_ff);
    }
}

/* Heads and widths of each layer. Lists may hold 0, which check() leaves to the families that ask for it. */
static mn_status read_layers(const mn_gguf *g, mn_config *c, mn_error *err) {
    int heads[MN_MAX_LAYERS], kv_heads[MN_MAX_LAYERS], n_ff[MN_MAX_LAYERS], k_dim = 0, v_dim = 0;
    MN_TRY(mn_config_ints(g, c, "attention.head_count", true, 0, MN_MAX_HEADS, heads, err));
    memcpy(kv_heads, heads, (size_t)c->n_layers * sizeof *heads);
    MN_TRY(mn_config_ints(g, c, "attention.head_count_kv", false, 0, MN_MAX_HEADS, kv_heads, err));
    MN_TRY(mn_config_ints(g, c, "feed_forward_length", true, 0, 1 << 22, n_ff, err));
    k_dim = v_dim = heads[0] ? c->n_embd / heads[0] : 0;
    MN_TRY(mn_config_int(g, c->arch, "attention.key_length", false, 1, 1 << 14, &k_dim, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.value_length", false, 1, 1 << 14, &v_dim, err));
    if (heads[0] && (k_dim < 1 || v_dim < 1))
        return mn_fail(err, MN_ERR_FORMAT, "%s: %d dimensions do not make %d heads.", mn_gguf_path(g), c->n_embd,
                       heads[0]);
    for (int i = 0; i < c->n_layers; i++)
        c->layers[i] = (mn_layer_shape){.n_heads = heads[i],
                                        .n_kv_heads = kv_heads[i],
                                        .head_dim_k = k_dim,
                                        .head_dim_v = v_dim,
                                        .n_ff = n_ff[i],
                                        .kv_layer = i};
    find_most(c);
    return MN_OK;
}

static mn_status read_sizes(const mn_gguf *g, mn_config *c, mn_error *err) {
    const char *a = c->arch;
    MN_TRY(mn_config_int(g, a, "block_count", true, 1, MN_MAX_LAYERS, &c->n_layers, err));
    MN_TRY(mn_config_int(g, a, "embedding_length", true, 1, 1 << 20, &c->n_embd, err));
    MN_TRY(mn_config_tokens(g, a, "context_length", true, 1, &c->n_ctx_train, err));
    MN_TRY(read_layers(g, c, err));
    c->attention_scale = c->head_dim_k ? 1.0f / sqrtf((float)c->head_dim_k) : 1;
    return MN_OK;
}

/* The table of token embeddings decides n_vocab: a key may be missing or stale. */
static mn_status read_vocabulary_size(const mn_gguf *g, mn_config *c, mn_error *err) {
    const mn_tensor *embedding = mn_gguf_tensor(g, "token_embd.weight");
    int64_t stated;
    if (!embedding)
        return mn_fail(err, MN_ERR_FORMAT, "%s: has no tensor token_embd.weight; it is not a whole model.",
                       mn_gguf_path(g));
    if (embedding->ne[1] < 1 || embedding->ne[1] > 1 << 24)
        return mn_fail(err, MN_ERR_FORMAT, "%s: a vocabulary of %lld tokens is outside 1 to %d.", mn_gguf_path(g),
                       (long long)embedding->ne[1], 1 << 24);
    c->n_vocab = (int)embedding->ne[1];
    return mn_config_i64(g, c->arch, "vocab_size", false, INT64_MIN, INT64_MAX, &stated, err);
}

/* Names of other converters. */
static const char *usual_name(const char *type) {
    if (!strcmp(type, "su")) return "longrope";
    return !strcmp(type, "default") || !*type ? "none" : type;
}

/* Which scaling the file asks for. A file that names none may mean one: the first ones said only the factor, or held
 * only the divisors of LongRoPE. */
static mn_status read_scaling_type(const mn_gguf *g, mn_config *c, mn_error *err) {
    char type[32];
    bool found = false;
    MN_TRY(mn_config_text(g, c->arch, "rope.scaling.type", type, sizeof type, &found, err));
    c->rope.scaling = mn_gguf_tensor(g, "rope_factors_long.weight") ? MN_ROPE_LONGROPE
                      : c->rope.factor > 1                          ? MN_ROPE_LINEAR
                                                                    : MN_ROPE_NONE;
    if (!found) return MN_OK;
    int scaling = mn_rope_scaling_find(usual_name(type));
    if (scaling < 0)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: %s.rope.scaling.type is \"%s\"; known: none linear ntk dynamic ntk-parts yarn longrope "
                       "llama3.",
                       mn_gguf_path(g), c->arch, mn_gguf_show((mn_gguf_string){type, strlen(type)}).text);
    c->rope.scaling = (mn_rope_scaling)scaling;
    return MN_OK;
}

/* YaRN's numbers. An ext_factor of 0 is no ramp and no temperature: position interpolation. */
static mn_status read_yarn(const mn_gguf *g, mn_config *c, mn_error *err) {
    double share = -1, yarn_attn_factor = 0;
    bool found;
    MN_TRY(mn_config_number(g, c->arch, "rope.scaling.yarn_ext_factor", -1, 1, &share, &found, err));
    MN_TRY(mn_config_number(g, c->arch, "rope.scaling.yarn_attn_factor", 0, FLT_MAX, &yarn_attn_factor, &found, err));
    MN_TRY(mn_config_number(g, c->arch, "rope.scaling.yarn_beta_fast", 0, FLT_MAX, &c->rope.beta_fast, &found, err));
    MN_TRY(mn_config_number(g, c->arch, "rope.scaling.yarn_beta_slow", 0, FLT_MAX, &c->rope.beta_slow, &found, err));
    if (share > 0) c->rope.ext_factor = share;
    if (share == 0 && c->rope.scaling == MN_ROPE_YARN) c->rope.scaling = MN_ROPE_LINEAR;
    if (yarn_attn_factor > 0 && c->rope.scaling == MN_ROPE_YARN)
        c->rope.attn_factor = yarn_attn_factor * (c->rope.attn_factor > 0 ? c->rope.attn_factor : 1);
    return MN_OK;
}

static mn_status read_rope_scaling(const mn_gguf *g, mn_config *c, mn_error *err) {
    bool found, finetuned = false;
    MN_TRY(mn_config_number(g, c->arch, "rope.scaling.factor|rope.scale_linear", 0, FLT_MAX, &c->rope.factor, &found,
                            err));
    MN_TRY(mn_config_tokens(g, c->arch, "rope.scaling.original_context_length", false, 1, &c->rope.original_ctx, err));
    MN_TRY(mn_config_number(g, c->arch, "rope.scaling.attn_factor", 0, FLT_MAX, &c->rope.attn_factor, &found, err));
    MN_TRY(mn_config_bool(g, c->arch, "rope.scaling.finetuned", &finetuned, err)); /* changes nothing */
    MN_TRY(read_scaling_type(g, c, err));
    return read_yarn(g, c, err);
}

static mn_status read_rope(const mn_gguf *g, mn_config *c, mn_error *err) {
    bool found;
    c->rope = (mn_rope_spec){.n_rot = c->head_dim_k, .freq_base = 10000, .ext_factor = -1};
    MN_TRY(mn_config_number(g, c->arch, "rope.freq_base", 0, FLT_MAX, &c->rope.freq_base, &found, err));
    MN_TRY(mn_config_int(g, c->arch, "rope.dimension_count", false, 2, 1 << 14, &c->rope.n_rot, err));
    MN_TRY(read_rope_scaling(g, c, err));
    if (c->rope.original_ctx == 0) c->rope.original_ctx = c->n_ctx_train;
    return MN_OK;
}

static mn_status unknown_arch(const mn_gguf *gguf, const char *arch, mn_error *err) {
    mn_strbuf known = MN_STRBUF_INIT;
    for (const mn_family *const *f = mn_family_list(); *f; f++) mn_strbuf_printf(&known, " %s", (*f)->arch);
    mn_status status = mn_fail(err, MN_ERR_UNSUPPORTED, "%s: unknown architecture \"%s\"; known:%s.",
                               mn_gguf_path(gguf), mn_gguf_show((mn_gguf_string){arch, strlen(arch)}).text, known.data);
    mn_strbuf_release(&known);
    return status;
}

static mn_status read_arch(const mn_gguf *gguf, char *arch, mn_error *err) {
    mn_gguf_string name;
    bool found = false;
    MN_TRY(mn_gguf_get_string(gguf, "general.architecture", &name, &found, err));
    if (!found) return mn_fail(err, MN_ERR_FORMAT, "%s: key general.architecture is missing.", mn_gguf_path(gguf));
    size_t n = MN_MIN(name.bytes, (size_t)MN_ARCH_BYTES - 1);
    memcpy(arch, name.data, n);
    arch[n] = 0;
    return MN_OK;
}

static mn_status check_layer(const mn_gguf *g, const mn_config *c, int layer, mn_error *err) {
    const mn_layer_shape *l = &c->layers[layer];
    if (!c->has_empty_layers && (l->n_heads == 0 || l->n_kv_heads == 0 || l->n_ff == 0))
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: layer %d has %d query heads, %d key heads and an MLP of %d; %s models need 1 of each.",
                       mn_gguf_path(g), layer, l->n_heads, l->n_kv_heads, l->n_ff, c->arch);
    if (l->n_kv_heads && l->n_heads % l->n_kv_heads)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %d query heads of layer %d cannot share %d key heads evenly.",
                       mn_gguf_path(g), l->n_heads, layer, l->n_kv_heads);
    int width = c->mla.kv_rank ? c->mla.n_rot : l->head_dim_k;
    int rotated = l->rope == MN_LAYER_ROPE_LOCAL ? c->rope_local.n_rot : l->rope == MN_LAYER_ROPE ? c->rope.n_rot : 0;
    if (c->rope_style != MN_ROPE_STYLE_NONE && l->n_heads && (rotated % 2 || rotated > width))
        return mn_fail(err, MN_ERR_FORMAT, "%s: rope.dimension_count is %d; it must be even and at most %d.",
                       mn_gguf_path(g), rotated, width);
    return MN_OK;
}

/* Small MLPs for easy tokens, which any dense layer may have: docs/formats/gguf.md. */
static mn_status read_small_mlps(const mn_gguf *g, mn_config *c, mn_error *err) {
    int n_ff[MN_MAX_LAYERS] = {0};
    double threshold = 0.5;
    bool found;
    MN_TRY(mn_config_ints(g, c, "small_mlp.feed_forward_length", false, 0, 1 << 22, n_ff, err));
    MN_TRY(mn_config_number(g, c->arch, "small_mlp.threshold", 0, 1, &threshold, &found, err));
    c->easy_threshold = (float)threshold;
    for (int i = 0; i < c->n_layers; i++) {
        mn_layer_shape *l = &c->layers[i];
        l->n_ff_small = n_ff[i];
        if (n_ff[i] && (l->is_moe || n_ff[i] > l->n_ff))
            return mn_fail(err, MN_ERR_FORMAT,
                           "%s: layer %d has a small MLP of %d units beside %s; it goes beside a dense one of as many "
                           "units at least.",
                           mn_gguf_path(g), i, n_ff[i], l->is_moe ? "experts" : "one of fewer");
    }
    return MN_OK;
}

/* What every family promises to the forward pass, whatever the file said. */
static mn_status check(const mn_gguf *g, const mn_config *c, mn_error *err) {
    for (int layer = 0; layer < c->n_layers; layer++) MN_TRY(check_layer(g, c, layer, err));
    if (!(c->norm_eps > 0))
        return mn_fail(err, MN_ERR_FORMAT, "%s: the normalisation epsilon is %g; it must be above 0.", mn_gguf_path(g),
                       (double)c->norm_eps);
    if (c->moe.router.n_experts == 0) return MN_OK;
    mn_status status = mn_router_check(&c->moe.router, err);
    return status == MN_OK ? MN_OK : mn_fail_in(err, status, mn_gguf_path(g));
}

mn_status mn_config_read(const mn_gguf *gguf, mn_config *out, mn_error *err) {
    float scale = 0;
    mn_config *c = out;
    *c = (mn_config){.norm = MN_NORM_RMS,
                     .activation = MN_ACT_SILU,
                     .embedding_scale = 1,
                     .residual_scale = 1,
                     .attention_out_scale = 1,
                     .logit_scale = 1,
                     .rope_style = MN_ROPE_INTERLEAVED,
                     .moe.router = {.gating = MN_GATING_SOFTMAX, .scale = 1}};
    MN_TRY(read_arch(gguf, c->arch, err));
    const mn_family *family = mn_family_find(c->arch);
    if (!family) return unknown_arch(gguf, c->arch, err);
    MN_TRY(read_vocabulary_size(gguf, c, err));
    MN_TRY(read_sizes(gguf, c, err));
    MN_TRY(read_rope(gguf, c, err));
    MN_TRY(mn_config_float(gguf, c->arch, "attention.layer_norm_rms_epsilon", false, &c->norm_eps, err));
    MN_TRY(family->configure(gguf, c, err));
    int pooling = c->pooling;
    MN_TRY(mn_config_int(gguf, c->arch, "pooling_type", false, 0, MN_STATES_RANK, &pooling, err));
    c->pooling = (mn_state_pooling)pooling;
    MN_TRY(mn_config_float(gguf, c->arch, "attention.scale", false, &scale, err));
    if (scale > 0) c->attention_scale = scale;
    MN_TRY(read_small_mlps(gguf, c, err));
    find_most(c);
    return check(gguf, c, err);
}

mn_status mn_config_local_rope(const mn_gguf *g, mn_config *c, double base, mn_error *err) {
    mn_rope_spec *local = &c->rope_local;
    bool found;
    *local = (mn_rope_spec){.n_rot = c->rope.n_rot, .freq_base = base, .original_ctx = c->rope.original_ctx};
    MN_TRY(mn_config_number(g, c->arch, "rope.freq_base_swa|rope.local.freq_base", 0, FLT_MAX, &local->freq_base,
                            &found, err));
    MN_TRY(mn_config_int(g, c->arch, "rope.dimension_count_swa", false, 2, 1 << 14, &local->n_rot, err));
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++)
        if (l->window > 0 && local->freq_base > 0) l->rope = MN_LAYER_ROPE_LOCAL;
    return MN_OK;
}

/* How logits become weights; files of before there was a choice say 0, or nothing. */
static mn_status read_gating(const mn_gguf *g, mn_config *c, mn_gating gating, mn_error *err) {
    int stated = 0;
    MN_TRY(mn_config_int(g, c->arch, "expert_gating_func", false, 0, MN_GATING_SQRT_SOFTPLUS, &stated, err));
    c->moe.router.gating = stated ? (mn_gating)stated : gating;
    return MN_OK;
}

mn_status mn_config_moe(const mn_gguf *g, mn_config *c, mn_gating gating, mn_error *err) {
    mn_router *r = &c->moe.router;
    int n_dense = 0;
    MN_TRY(mn_config_int(g, c->arch, "expert_count", false, 0, MN_MAX_EXPERTS, &r->n_experts, err));
    MN_TRY(mn_config_int(g, c->arch, "leading_dense_block_count", false, 0, MN_MAX_LAYERS, &n_dense, err));
    if (r->n_experts == 0) /* files of dense layers alone may say how wide their experts would be */
        return mn_config_int(g, c->arch, "expert_feed_forward_length", false, 0, 1 << 22, &c->moe.n_ff, err);
    MN_TRY(mn_config_int(g, c->arch, "expert_used_count", true, 1, r->n_experts, &r->n_used, err));
    MN_TRY(mn_config_float(g, c->arch, "expert_weights_scale", false, &r->scale, err));
    if (r->scale == 0) r->scale = 1;
    MN_TRY(read_gating(g, c, gating, err));
    for (int i = n_dense; i < c->n_layers; i++) c->layers[i].is_moe = true;
    c->moe.n_ff = c->n_ff;
    return mn_config_int(g, c->arch, "expert_feed_forward_length", false, 1, 1 << 22, &c->moe.n_ff, err);
}

mn_status mn_config_shared_expert(const mn_gguf *g, mn_config *c, int count, mn_error *err) {
    MN_TRY(mn_config_int(g, c->arch, "expert_shared_count", false, 0, MN_MAX_EXPERTS, &count, err));
    int64_t n_ff = (int64_t)count * c->moe.n_ff;
    MN_TRY(mn_config_i64(g, c->arch, "expert_shared_feed_forward_length", false, 0, 1 << 22, &n_ff, err));
    if (n_ff > 1 << 22)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %d shared experts of %d are too wide.", mn_gguf_path(g), count,
                       c->moe.n_ff);
    c->moe.n_ff_shared = (int)n_ff;
    return MN_OK;
}

void mn_config_find_moe(const mn_gguf *g, mn_config *c) {
    char name[64];
    for (int i = 0; i < c->n_layers; i++) {
        snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", i);
        c->layers[i].is_moe = c->moe.router.n_experts > 0 && mn_gguf_tensor(g, name);
    }
}

mn_status mn_config_drop_nextn(const mn_gguf *g, mn_config *c, mn_error *err) {
    int n = 0;
    MN_TRY(mn_config_int(g, c->arch, "nextn_predict_layers", false, 0, c->n_layers - 1, &n, err));
    c->n_layers -= n;
    return MN_OK;
}

mn_status mn_config_yarn_magnitude(const mn_gguf *g, mn_config *c, double unit, mn_error *err) {
    double multiplier = 0;
    bool found;
    MN_TRY(mn_config_number(g, c->arch, "rope.scaling.yarn_log_multiplier", 0, FLT_MAX, &multiplier, &found, err));
    if (multiplier == 0 || c->rope.scaling != MN_ROPE_YARN || c->rope.factor <= 1) return MN_OK;
    double factor = c->rope.attn_factor > 0 ? c->rope.attn_factor : 1;
    c->rope.attn_factor = factor / (1 + 0.1 * unit * multiplier * log(c->rope.factor));
    return MN_OK;
}
