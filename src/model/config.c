#include "model/config.h"

#include "base/strbuf.h"
#include "model/family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct key_name {
    char text[128];
} key_name;

static key_name key_of(const char *arch, const char *suffix) {
    key_name key;
    snprintf(key.text, sizeof key.text, "%s.%s", arch, suffix);
    return key;
}

static mn_status missing(const mn_gguf *gguf, const key_name *key, mn_error *err) {
    return mn_fail(err, MN_ERR_FORMAT, "%s: key %s is missing; this architecture needs it.", mn_gguf_path(gguf),
                   key->text);
}

mn_status mn_config_i64(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo, int64_t hi,
                        int64_t *out, mn_error *err) {
    key_name key = key_of(arch, suffix);
    bool found = false;
    int64_t value = 0;
    MN_TRY(mn_gguf_get_i64(gguf, key.text, &value, &found, err));
    if (!found) return need ? missing(gguf, &key, err) : MN_OK;
    if (value < lo || value > hi)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %s is %lld; it must be %lld to %lld.", mn_gguf_path(gguf), key.text,
                       (long long)value, (long long)lo, (long long)hi);
    *out = value;
    return MN_OK;
}

mn_status mn_config_int(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo, int64_t hi,
                        int *out, mn_error *err) {
    int64_t value = *out;
    MN_TRY(mn_config_i64(gguf, arch, suffix, need, lo, hi, &value, err));
    *out = (int)value;
    return MN_OK;
}

mn_status mn_config_float(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, float *out,
                          mn_error *err) {
    key_name key = key_of(arch, suffix);
    bool found = false;
    double value = 0;
    MN_TRY(mn_gguf_get_f64(gguf, key.text, &value, &found, err));
    if (!found) return need ? missing(gguf, &key, err) : MN_OK;
    if (!isfinite(value) || value < 0)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %s is %g; it must be a number from 0 up.", mn_gguf_path(gguf), key.text,
                       value);
    *out = (float)value;
    return MN_OK;
}

mn_status mn_config_bool(const mn_gguf *gguf, const char *arch, const char *suffix, bool *out, mn_error *err) {
    key_name key = key_of(arch, suffix);
    bool found = false;
    return mn_gguf_get_bool(gguf, key.text, out, &found, err);
}

static mn_status read_sizes(const mn_gguf *g, mn_config *c, mn_error *err) {
    const char *a = c->arch;
    MN_TRY(mn_config_int(g, a, "block_count", true, 1, MN_MAX_LAYERS, &c->n_layers, err));
    MN_TRY(mn_config_int(g, a, "embedding_length", true, 1, 1 << 20, &c->n_embd, err));
    MN_TRY(mn_config_int(g, a, "feed_forward_length", true, 1, 1 << 22, &c->n_ff, err));
    MN_TRY(mn_config_i64(g, a, "context_length", true, 1, INT64_C(1) << 40, &c->n_ctx_train, err));
    MN_TRY(mn_config_int(g, a, "attention.head_count", true, 1, MN_MAX_HEADS, &c->n_heads, err));
    c->n_kv_heads = c->n_heads;
    MN_TRY(mn_config_int(g, a, "attention.head_count_kv", false, 1, MN_MAX_HEADS, &c->n_kv_heads, err));
    if (c->n_heads % c->n_kv_heads)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %d query heads cannot share %d key heads evenly.", mn_gguf_path(g),
                       c->n_heads, c->n_kv_heads);
    c->head_dim_k = c->head_dim_v = c->n_embd / c->n_heads;
    MN_TRY(mn_config_int(g, a, "attention.key_length", false, 1, 1 << 14, &c->head_dim_k, err));
    MN_TRY(mn_config_int(g, a, "attention.value_length", false, 1, 1 << 14, &c->head_dim_v, err));
    if (c->head_dim_k < 1 || c->head_dim_v < 1)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %d dimensions do not make %d heads.", mn_gguf_path(g), c->n_embd,
                       c->n_heads);
    c->attention_scale = 1.0f / sqrtf((float)c->head_dim_k);
    return MN_OK;
}

/* The table of token embeddings decides n_vocab: a key may be missing or stale. */
static mn_status read_vocabulary_size(const mn_gguf *g, mn_config *c, mn_error *err) {
    const mn_tensor *embedding = mn_gguf_tensor(g, "token_embd.weight");
    if (!embedding)
        return mn_fail(err, MN_ERR_FORMAT, "%s: has no tensor token_embd.weight; it is not a whole model.",
                       mn_gguf_path(g));
    if (embedding->ne[1] < 1 || embedding->ne[1] > 1 << 24)
        return mn_fail(err, MN_ERR_FORMAT, "%s: a vocabulary of %lld tokens is outside 1 to %d.", mn_gguf_path(g),
                       (long long)embedding->ne[1], 1 << 24);
    c->n_vocab = (int)embedding->ne[1];
    return MN_OK;
}

static mn_status read_rope_scaling(const mn_gguf *g, mn_config *c, mn_error *err) {
    float factor = 0, attn_factor = 0;
    mn_gguf_string type = {0};
    bool found = false;
    key_name key = key_of(c->arch, "rope.scaling.type");
    MN_TRY(mn_gguf_get_string(g, key.text, &type, &found, err));
    MN_TRY(mn_config_float(g, c->arch, "rope.scaling.factor", false, &factor, err));
    if (factor == 0) MN_TRY(mn_config_float(g, c->arch, "rope.scale_linear", false, &factor, err));
    MN_TRY(mn_config_i64(g, c->arch, "rope.scaling.original_context_length", false, 1, INT64_C(1) << 40,
                         &c->rope.original_ctx, err));
    MN_TRY(mn_config_float(g, c->arch, "rope.scaling.attn_factor", false, &attn_factor, err));
    c->rope.attn_factor = attn_factor;
    c->rope.factor = factor;
    c->rope.scaling = factor > 1 ? MN_ROPE_LINEAR : MN_ROPE_NONE; /* an old file says only the factor */
    if (!found) return MN_OK;
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)(type.bytes < sizeof name ? type.bytes : sizeof name - 1), type.data);
    int scaling = mn_rope_scaling_find(name);
    if (scaling < 0)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: %s is \"%s\"; known: none linear ntk dynamic ntk-parts yarn longrope llama3.",
                       mn_gguf_path(g), key.text, name);
    c->rope.scaling = (mn_rope_scaling)scaling;
    return MN_OK;
}

static mn_status read_rope(const mn_gguf *g, mn_config *c, mn_error *err) {
    float base = 10000;
    c->rope.n_rot = c->head_dim_k;
    c->rope.original_ctx = 0;
    c->rope.ext_factor = -1;
    MN_TRY(mn_config_float(g, c->arch, "rope.freq_base", false, &base, err));
    MN_TRY(mn_config_int(g, c->arch, "rope.dimension_count", false, 2, 1 << 14, &c->rope.n_rot, err));
    c->rope.freq_base = base;
    MN_TRY(read_rope_scaling(g, c, err));
    if (c->rope.original_ctx == 0) c->rope.original_ctx = c->n_ctx_train;
    return MN_OK;
}

static mn_status unknown_arch(const mn_gguf *gguf, const char *arch, mn_error *err) {
    mn_strbuf known = MN_STRBUF_INIT;
    for (const mn_family *const *f = mn_family_list(); *f; f++) mn_strbuf_printf(&known, " %s", (*f)->arch);
    mn_status status = mn_fail(err, MN_ERR_UNSUPPORTED, "%s: unknown architecture \"%s\"; known:%s.",
                               mn_gguf_path(gguf), arch, known.data);
    mn_strbuf_release(&known);
    return status;
}

static mn_status read_arch(const mn_gguf *gguf, char *arch, mn_error *err) {
    mn_gguf_string name;
    bool found = false;
    MN_TRY(mn_gguf_get_string(gguf, "general.architecture", &name, &found, err));
    if (!found) return mn_fail(err, MN_ERR_FORMAT, "%s: key general.architecture is missing.", mn_gguf_path(gguf));
    size_t n = name.bytes < MN_ARCH_BYTES ? name.bytes : MN_ARCH_BYTES - 1;
    memcpy(arch, name.data, n);
    arch[n] = 0;
    return MN_OK;
}

/* What every family promises to the forward pass, whatever the file said. */
static mn_status check(const mn_gguf *g, const mn_config *c, mn_error *err) {
    int rotated = c->mla.kv_rank ? c->mla.n_rot : c->head_dim_k;
    if (c->rope_style != MN_ROPE_STYLE_NONE && (c->rope.n_rot % 2 || c->rope.n_rot > rotated))
        return mn_fail(err, MN_ERR_FORMAT, "%s: rope.dimension_count is %d; it must be even and at most %d.",
                       mn_gguf_path(g), c->rope.n_rot, rotated);
    if (!(c->norm_eps > 0))
        return mn_fail(err, MN_ERR_FORMAT, "%s: the normalisation epsilon is %g; it must be above 0.", mn_gguf_path(g),
                       (double)c->norm_eps);
    if (c->moe.router.n_experts == 0) return MN_OK;
    mn_status status = mn_router_check(&c->moe.router, err);
    return status == MN_OK ? MN_OK : mn_fail_in(err, status, mn_gguf_path(g));
}

mn_status mn_config_read(const mn_gguf *gguf, mn_config *out, mn_error *err) {
    mn_config c = {.norm = MN_NORM_RMS,
                   .activation = MN_ACT_SILU,
                   .embedding_scale = 1,
                   .rope_style = MN_ROPE_INTERLEAVED,
                   .window_period = 1,
                   .moe.router = {.gating = MN_GATING_SOFTMAX, .scale = 1}};
    MN_TRY(read_arch(gguf, c.arch, err));
    const mn_family *family = mn_family_find(c.arch);
    if (!family) return unknown_arch(gguf, c.arch, err);
    MN_TRY(read_vocabulary_size(gguf, &c, err));
    MN_TRY(read_sizes(gguf, &c, err));
    MN_TRY(read_rope(gguf, &c, err));
    MN_TRY(mn_config_float(gguf, c.arch, "attention.layer_norm_rms_epsilon", false, &c.norm_eps, err));
    MN_TRY(family->configure(gguf, &c, err));
    MN_TRY(check(gguf, &c, err));
    *out = c;
    return MN_OK;
}

mn_status mn_config_moe(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_router *r = &c->moe.router;
    MN_TRY(mn_config_int(g, c->arch, "expert_count", false, 0, MN_MAX_EXPERTS, &r->n_experts, err));
    if (r->n_experts == 0) return MN_OK;
    MN_TRY(mn_config_int(g, c->arch, "expert_used_count", true, 1, r->n_experts, &r->n_used, err));
    c->moe.n_ff = c->n_ff;
    return mn_config_int(g, c->arch, "expert_feed_forward_length", false, 1, 1 << 22, &c->moe.n_ff, err);
}
