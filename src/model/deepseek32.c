/* DeepSeek V3.2 and GLM-5: DeepSeek V3 with an indexer that chooses the keys of each query (DeepSeek-AI 2025,
 * arXiv:2512.02556). GLM-5 pairs the indexer's rotated dimensions otherwise, and some of its layers use the choice of
 * an earlier one. (Zhipu AI 2026, arXiv:2602.15763.) */
#include "model/family.h"

#include <math.h>
#include <stdio.h>

mn_status mn_config_indexer(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_indexer_config *x = &c->indexer;
    MN_TRY(mn_config_int(g, c->arch, "attention.indexer.head_count", true, 1, MN_MAX_HEADS, &x->n_heads, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.indexer.key_length", true, 2, 1024, &x->dim, err));
    MN_TRY(mn_config_tokens(g, c->arch, "attention.indexer.top_k", true, 1, &x->top_k, err));
    if (c->rope.n_rot > x->dim || c->mla.q_rank == 0)
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: an indexer of %d dimensions, from queries of rank %d, cannot rotate %d of them.",
                       mn_gguf_path(g), x->dim, c->mla.q_rank, c->rope.n_rot);
    return MN_OK;
}

/* Which layers choose: those that the key names, else those that have an indexer in the file. */
static mn_status find_indexers(const mn_gguf *g, mn_config *c, mn_error *err) {
    int types[MN_MAX_LAYERS];
    char name[64];
    for (int i = 0; i < c->n_layers; i++) {
        snprintf(name, sizeof name, "blk.%d.indexer.attn_k.weight", i);
        types[i] = mn_gguf_tensor(g, name) != NULL || i == 0;
    }
    MN_TRY(mn_config_ints(g, c, "attention.indexer.types", false, 0, 1, types, err));
    for (int i = 0; i < c->n_layers; i++) c->layers[i].has_indexer = types[i];
    if (types[0]) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT, "%s: layer 0 has no indexer, and no earlier layer whose choice it could use.",
                   mn_gguf_path(g));
}

/* cos and sin are multiplied by what V2 leaves to the scores, and these by the square of 1 + 0.1 ln s, whatever m is.
 */
static mn_status configure_temperature(const mn_gguf *g, mn_config *c, mn_error *err) {
    c->temperature_in_scores = false;
    if (c->rope.scaling != MN_ROPE_YARN || c->rope.factor <= 1) return MN_OK;
    double magnitude = 1 + 0.1 * log(c->rope.factor);
    c->attention_scale *= (float)(magnitude * magnitude);
    return mn_config_yarn_magnitude(g, c, 10, err); /* files hold 0.1 m */
}

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    MN_TRY(mn_family_deepseek2.configure(g, c, err));
    MN_TRY(configure_temperature(g, c, err));
    c->indexer.rope_style = MN_ROPE_SPLIT;
    MN_TRY(mn_config_indexer(g, c, err));
    MN_TRY(find_indexers(g, c, err));
    return mn_config_drop_nextn(g, c, err);
}

static mn_status configure_glm(const mn_gguf *g, mn_config *c, mn_error *err) {
    MN_TRY(configure(g, c, err));
    c->indexer.rope_style = MN_ROPE_INTERLEAVED;
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    const mn_indexer_config *x = &c->indexer;
    mn_family_deepseek2.bind_layer(b, c, layer, l);
    if (!c->layers[layer].has_indexer) return;
    mn_bind_projection(b, "indexer.attn_q_b", c->mla.q_rank, (int64_t)x->n_heads * x->dim, &l->indexer_q);
    mn_bind_projection(b, "indexer.attn_k", c->n_embd, x->dim, &l->indexer_k);
    mn_bind_projection(b, "indexer.proj", c->n_embd, x->n_heads, &l->indexer_w);
    mn_bind_norm(b, "indexer.k_norm", x->dim, &l->indexer_k_norm);
}

const mn_family mn_family_deepseek32 = {"deepseek32", "DeepSeek V3.2: an indexer chooses the keys", configure,
                                        bind_layer};
const mn_family mn_family_glm_dsa = {"glm-dsa", "GLM-5: as DeepSeek V3.2, layers share a choice", configure_glm,
                                     bind_layer};
