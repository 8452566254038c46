#include "model/attn_spec.h"

#include "base/checked.h"

enum { STATE_ALIGN = 64 };

mn_attn_spec mn_attn_of_model(const mn_config *c) {
    mn_infini shape = {c->infini.rule, c->infini.feature, c->n_heads,       c->n_kv_heads,
                       c->head_dim_k,  c->head_dim_v,     c->infini.segment};
    return (mn_attn_spec){.infini = {shape, c->infini.write_threshold, true, true, 0, c->infini.mark}};
}

static int count_kv(const mn_attn_spec *r, const mn_config *c, int n_layers) {
    int n = 0;
    for (int i = 0; i < n_layers; i++) n += mn_attn_caches(r, c, i);
    return n;
}

int mn_attn_kv_layer(const mn_attn_spec *r, const mn_config *c, int layer) {
    return count_kv(r, c, c->layers[layer].kv_layer);
}

int mn_attn_n_kv_layers(const mn_attn_spec *r, const mn_config *c) { return count_kv(r, c, c->n_layers); }

int mn_attn_state_layer(const mn_attn_spec *r, const mn_config *c, int layer) {
    int n = 0;
    for (int i = 0; i < layer; i++) n += mn_attn_has_state(r, c, i);
    return n;
}

static mn_kept_keys layer_keeps(const mn_attn_spec *r, const mn_config *c, int layer) {
    const mn_pattern *p = r->patterns ? &r->patterns[layer] : NULL;
    int64_t window = mn_config_sight(c, layer);
    if (!p || !p->kind) return (mn_kept_keys){0, window < MN_MAX_CTX_TOKENS ? window : 0};
    return p->kind->keeps ? p->kind->keeps(p) : (mn_kept_keys){0, 0};
}

mn_kept_keys mn_attn_kept_keys(const mn_attn_spec *r, const mn_config *c) {
    mn_kept_keys all = {0, 0};
    if (mn_config_compresses(c)) return all; /* compressed keys stay; of the others windows.c drops */
    for (int layer = 0; layer < c->n_layers; layer++) {
        if (mn_attn_is_linear(r, layer) || !mn_config_attends(c, layer)) continue;
        mn_kept_keys k = layer_keeps(r, c, layer);
        if (k.last == 0) return k;
        all = (mn_kept_keys){MN_MAX(all.first, k.first), MN_MAX(all.last, k.last)};
    }
    bool by_other_rules = r->infini.shape.segment || (r->map.scheme && !r->patterns);
    return by_other_rules ? (mn_kept_keys){0, 0} : all;
}

mn_infini mn_attn_infini_shape(const mn_attn_spec *r, const mn_config *c, int layer) {
    const mn_layer_shape *l = &c->layers[layer];
    mn_infini shape = r->infini.shape;
    shape.n_heads = l->n_heads;
    shape.n_kv_heads = l->n_kv_heads;
    shape.k_dim = l->head_dim_k;
    shape.v_dim = l->head_dim_v;
    return shape;
}

mn_linear mn_attn_linear_shape(const mn_config *c, int layer) {
    const mn_layer_shape *l = &c->layers[layer];
    return (mn_linear){l->n_heads, l->n_kv_heads, l->head_dim_k, l->head_dim_v};
}

/* Of one layer; 0 when it overflows. */
static size_t layer_state_bytes(const mn_attn_spec *r, const mn_config *c, int layer) {
    mn_linear linear = mn_attn_linear_shape(c, layer);
    mn_infini infini = mn_attn_infini_shape(r, c, layer);
    return infini.segment ? mn_infini_state_bytes(&infini) : mn_linear_state_bytes(&linear);
}

mn_status mn_attn_state_bytes(const mn_attn_spec *r, const mn_config *c, size_t *out, mn_error *err) {
    size_t most = 0;
    bool fits = true;
    *out = 0;
    if (mn_attn_state_layer(r, c, c->n_layers) == 0) return MN_OK;
    for (int layer = 0; layer < c->n_layers; layer++) {
        if (!mn_attn_has_state(r, c, layer)) continue;
        size_t bytes = layer_state_bytes(r, c, layer);
        fits = fits && bytes > 0;
        most = MN_MAX(most, bytes);
    }
    if (!fits || !mn_align_size(most, STATE_ALIGN, out))
        return mn_fail(err, MN_ERR_LIMIT,
                       "the memory of %d heads of %d x %d overflows the address space; use a smaller model.",
                       c->n_kv_heads, c->head_dim_k, c->head_dim_v);
    return MN_OK;
}

static mn_status check_map(const mn_attn_spec *r, const mn_config *c, mn_error *err) {
    const char *name = r->map.scheme->name;
    if (c->rope_style == MN_ROPE_STYLE_NONE)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s moves rotary positions, and %s models have none; leave it out.",
                       name, c->arch);
    if (c->mla.kv_rank)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s does not run with the latent attention of %s models; leave it out.",
                       name, c->arch);
    if (r->infini.shape.segment)
        return mn_fail(
            err, MN_ERR_UNSUPPORTED,
            "%s does not run with a compressive memory, whose segments count positions of their own; leave it out.",
            name);
    return MN_OK;
}

/* Whether any layer attends to another's KV entries. */
static bool shares_kv(const mn_config *c) {
    for (int layer = 0; layer < c->n_layers; layer++)
        if (c->layers[layer].kv_layer != layer) return true;
    return false;
}

static mn_status fail_shared(const char *what, const mn_config *c, mn_remedies remedies, mn_error *err) {
    return mn_fail_with(err, MN_ERR_UNSUPPORTED, remedies,
                        "%s does not run with %s models, whose keys are values too, and of a long text are compressed; "
                        "leave it out.",
                        what, c->arch);
}

mn_status mn_attn_check(const mn_attn_spec *r, const mn_config *c, mn_error *err) {
    if (c->shares_k_v && r->map.scheme)
        return fail_shared(r->map.scheme->name, c, MN_REMEDIES({MN_REMEDY_NO_MAP, 0}), err);
    if (c->shares_k_v && (r->patterns || r->infini.shape.segment))
        return fail_shared("an attention pattern", c, MN_REMEDIES({MN_REMEDY_NO_ATTN, 0}), err);
    bool recurrent = mn_attn_state_layer(r, c, c->n_layers) > 0;
    if (recurrent && shares_kv(c))
        return mn_fail_with(err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_ATTN, 0}),
                            "a recurrent state needs the keys and values of its own layer, and some layers of this %s "
                            "model use another's; leave the pattern %s out.",
                            c->arch, r->infini.shape.segment ? "infini" : "linear");
    if (recurrent && c->mla.kv_rank)
        return mn_fail_with(
            err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_ATTN, 0}),
            "a recurrent state needs keys and values of each head, and the latent attention of %s models has "
            "none; leave the pattern %s out.",
            c->arch, r->infini.shape.segment ? "infini" : "linear");
    for (int layer = 0; r->infini.shape.segment && layer < c->n_layers; layer++) {
        if (!mn_config_attends(c, layer)) continue;
        mn_infini shape = mn_attn_infini_shape(r, c, layer);
        MN_TRY(mn_infini_check(&shape, err));
    }
    return r->map.scheme ? check_map(r, c, err) : MN_OK;
}
