/* Llama 4: three of four layers attend within chunks of 8192 tokens and normalise what they have rotated; the fourth
 * sees all, without positions, at a temperature that grows with them. Experts beside one that always runs, chosen one
 * token's input at a time. (Meta 2025, the released code; temperature: Nakanishi 2025, arXiv:2501.19399.) */
#include "model/family.h"

enum { PERIOD = 4, CHUNK = 8192, UNNORMED_EXPERTS = 128 };

/* Files state a window, whose size no code looks at; 0 says that there are no chunks. */
static mn_status configure_chunks(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    int64_t window = CHUNK;
    MN_TRY(mn_config_tokens(gguf, c->arch, "attention.sliding_window", false, 0, &window, err));
    if (window == 0) return MN_OK;
    c->temper = (mn_temper){0.1, CHUNK, 1};
    for (int i = 0; i < c->n_layers; i++) {
        mn_layer_shape *l = &c->layers[i];
        bool sees_all = i % PERIOD == PERIOD - 1;
        l->chunk = sees_all ? 0 : CHUNK;
        l->rope = sees_all ? MN_LAYER_NOPE : MN_LAYER_ROPE;
        l->is_tempered = sees_all;
    }
    return MN_OK;
}

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    int step = 1;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SIGMOID, err));
    MN_TRY(mn_config_shared_expert(gguf, c, 1, err));
    MN_TRY(mn_config_int(gguf, c->arch, "interleave_moe_layer_step", false, 0, MN_MAX_LAYERS, &step, err));
    c->moe.weighs_input = true;
    MN_TRY(configure_chunks(gguf, c, err));
    for (int i = 0; i < c->n_layers; i++) {
        mn_layer_shape *l = &c->layers[i];
        l->is_moe = l->is_moe && step > 0 && (i + 1) % step == 0;
        l->norms_rotated = l->rope == MN_LAYER_ROPE && c->moe.router.n_experts != UNNORMED_EXPERTS;
    }
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_family_llama.bind_layer(b, c, layer, l);
}

const mn_family mn_family_llama4 = {"llama4", "Llama 4: attention in chunks, layers without positions", configure,
                                    bind_layer};
