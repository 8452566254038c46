/* mnemo: a Llama block, of experts where the file has some, with a short causal convolution on q and k before rotation,
 * and optionally a score in each head's softmax that has no value (an attention sink), and a compressive memory behind
 * a local window (Munkhdalai et al. 2024, arXiv:2404.07143, with a write gate and the exact delta rule). Keys and
 * tensors: docs/formats/gguf.md. */
#include "model/attn_spec.h"
#include "model/family.h"

#include <stdio.h>
#include <stdlib.h>

typedef int find_fn(const char *name);

/* Reads a key that names one of a list. */
static mn_status read_choice(const mn_gguf *g, const char *key, find_fn *find, int *out, mn_error *err) {
    mn_gguf_string value;
    char name[32];
    bool found = false;
    MN_TRY(mn_gguf_get_string(g, key, &value, &found, err));
    if (!found) return mn_fail(err, MN_ERR_FORMAT, "%s: key %s is missing.", mn_gguf_path(g), key);
    snprintf(name, sizeof name, "%.*s", (int)(value.bytes < sizeof name ? value.bytes : sizeof name - 1), value.data);
    *out = find(name);
    if (*out >= 0) return MN_OK;
    return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: %s is \"%s\", which is not known here.", mn_gguf_path(g), key, name);
}

/* The tokens that begin a segment. The paper's rules write whole segments, which training takes to be of one length. */
static mn_status read_mark(const mn_gguf *g, mn_config *c, mn_error *err) {
    static const char key[] = "mnemo.infini.segment_mark";
    mn_segment_mark *mark = &c->infini.mark;
    int32_t *ids;
    size_t n;
    bool found;
    MN_TRY(mn_gguf_get_i32s(g, key, &ids, &n, &found, err));
    if (!found) return MN_OK;
    bool fits = n >= 1 && n <= MN_MAX_MARK;
    for (size_t i = 0; i < n && fits; i++) mark->ids[i] = ids[i];
    free(ids);
    if (!fits)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %s has %zu tokens; a mark has 1 to %d.", mn_gguf_path(g), key, n,
                       MN_MAX_MARK);
    if (c->infini.rule != MN_INFINI_DELTA_EXACT)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: %s goes with the update delta-exact alone.", mn_gguf_path(g), key);
    mark->n = (int)n;
    return MN_OK;
}

static mn_status configure_infini(const mn_gguf *g, mn_config *c, mn_error *err) {
    int rule = 0, feature = 0;
    MN_TRY(mn_config_i64(g, c->arch, "infini.segment", false, 1, 1 << 24, &c->infini.segment, err));
    if (c->infini.segment == 0) return MN_OK;
    MN_TRY(read_choice(g, "mnemo.infini.update", mn_infini_find_rule, &rule, err));
    MN_TRY(read_choice(g, "mnemo.infini.feature", mn_infini_find_feature, &feature, err));
    c->infini.rule = (mn_infini_rule)rule;
    c->infini.feature = (mn_infini_feature)feature;
    MN_TRY(mn_config_float(g, c->arch, "infini.write_threshold", false, &c->infini.write_threshold, err));
    MN_TRY(read_mark(g, c, err));
    mn_attn_spec spec = mn_attn_of_model(c);
    return mn_attn_check(&spec, c, err);
}

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    MN_TRY(mn_config_int(gguf, c->arch, "attention.short_conv", false, 0, 64, &c->n_conv_taps, err));
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    c->moe.router.normalise = true;
    return configure_infini(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    const mn_layer_shape *s = &c->layers[layer];
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_mlp(b, c, l);
    if (c->n_conv_taps) {
        l->q_conv = mn_bind_matrix(b, "attn_q_conv", c->n_conv_taps, (int64_t)s->n_heads * s->head_dim_k);
        l->k_conv = mn_bind_matrix(b, "attn_k_conv", c->n_conv_taps, (int64_t)s->n_kv_heads * s->head_dim_k);
    }
    l->sinks = mn_bind_vector(b, "attn_sinks.weight", s->n_heads, false);
    if (c->infini.segment == 0) return;
    l->infini_gate = mn_bind_vector(b, "infini_gate.bias", s->n_heads, true);
    mn_bind_projection(b, "infini_write", c->n_embd, s->n_kv_heads, &l->infini_write);
    l->infini_write_k = mn_bind_matrix(b, "infini_write_k", s->head_dim_k, s->n_kv_heads);
}

const mn_family mn_family_mnemo = {
    "mnemo", "Llama with a short convolution on q and k, and optionally a compressive memory", configure, bind_layer};
