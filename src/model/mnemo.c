/* mnemo: a Llama block with a short causal convolution on q and k before rotation, and optionally a compressive memory
 * behind a local window (Munkhdalai et al. 2024, arXiv:2404.07143, with a write gate and the exact delta rule).
 * Keys and tensors: docs/formats/gguf.md. */
#include "model/family.h"

#include <string.h>

static bool is_text(mn_gguf_string s, const char *text) { return s.bytes == strlen(text) && !memcmp(s.data, text, s.bytes); }

/* Reads a key whose value is one of `names` (ended by NULL); *out is its place in the list. */
static mn_status read_choice(const mn_gguf *g, const char *key, const char *const *names, int *out, mn_error *err) {
    mn_gguf_string value;
    bool found = false;
    MN_TRY(mn_gguf_get_string(g, key, &value, &found, err));
    for (*out = 0; found && names[*out]; ++*out)
        if (is_text(value, names[*out])) return MN_OK;
    if (!found) return mn_fail(err, MN_ERR_FORMAT, "%s: key %s is missing.", mn_gguf_path(g), key);
    return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: %s is \"%.*s\", which is not known here.", mn_gguf_path(g), key,
                   (int)(value.bytes < 64 ? value.bytes : 64), value.data);
}

static mn_status configure_infini(const mn_gguf *g, mn_config *c, mn_error *err) {
    static const char *const rules[] = {"linear", "delta", "delta-exact", NULL};
    static const char *const features[] = {"elu1", "silu-l2", NULL};
    int rule = 0, feature = 0;
    MN_TRY(mn_config_i64(g, c->arch, "infini.segment", false, 1, 1 << 24, &c->infini.segment, err));
    if (c->infini.segment == 0) return MN_OK;
    MN_TRY(read_choice(g, "mnemo.infini.update", rules, &rule, err));
    MN_TRY(read_choice(g, "mnemo.infini.feature", features, &feature, err));
    c->infini.rule = (mn_infini_rule_kind)rule;
    c->infini.feature = (mn_infini_feature_kind)feature;
    return mn_config_float(g, c->arch, "infini.write_threshold", false, &c->infini.write_threshold, err);
}

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    MN_TRY(mn_config_int(gguf, c->arch, "attention.short_conv", false, 0, 64, &c->n_conv_taps, err));
    return configure_infini(gguf, c, err);
}

/* [n_out][n_in] floats of a matrix small enough to be kept as f32. */
static const float *bind_matrix(mn_binder *b, const char *name, int64_t n_in, int64_t n_out) {
    mn_linear matrix = {0};
    mn_bind_linear(b, name, n_in, n_out, &matrix);
    if (b->status != MN_OK) return NULL;
    float *copy = mn_arena_alloc(b->arena, (size_t)(n_in * n_out), sizeof *copy);
    if (!copy) b->status = mn_fail(b->err, MN_ERR_MEMORY, "no memory for tensor %s.", name);
    else mn_to_f32(matrix.w.type, matrix.w.data, copy, n_in * n_out);
    return copy;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_swiglu(b, c, l);
    if (c->n_conv_taps) {
        l->q_conv = bind_matrix(b, "attn_q_conv", c->n_conv_taps, (int64_t)c->n_heads * c->head_dim_k);
        l->k_conv = bind_matrix(b, "attn_k_conv", c->n_conv_taps, (int64_t)c->n_kv_heads * c->head_dim_k);
    }
    if (c->infini.segment == 0) return;
    l->infini_gate = mn_bind_vector(b, "infini_gate.bias", c->n_heads, true);
    mn_bind_linear(b, "infini_write", c->n_embd, c->n_heads, &l->infini_write);
    l->infini_write_k = bind_matrix(b, "infini_write_k", c->head_dim_k, c->n_heads);
}

const mn_family mn_family_mnemo = {"mnemo", configure, bind_layer};
