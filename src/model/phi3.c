/* Phi-3 and 3.5: q, k, v in one matrix, gate and up in another, LongRoPE factors per dimension. (Abdin et al. 2024,
 * arXiv:2404.14219; Ding et al. 2024, arXiv:2402.13753.) */
#include "model/family.h"

/* The first files of the 4k models do not state their window (arXiv:2404.14219, sec. 2: blocks see 2047 tokens). */
enum { PHI3_MINI_LAYERS = 32, PHI3_MEDIUM_LAYERS = 40, PHI3_4K_CTX = 4096, PHI3_4K_WINDOW = 2047 };

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    bool is_4k =
        c->n_ctx_train == PHI3_4K_CTX && (c->n_layers == PHI3_MINI_LAYERS || c->n_layers == PHI3_MEDIUM_LAYERS);
    return mn_config_windows(gguf, c, is_4k ? PHI3_4K_WINDOW : 0, 0, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_fused_attention(b, c, l);
    mn_bind_fused_swiglu(b, c, l);
}

const mn_family mn_family_phi3 = {"phi3", "Phi-3 and 3.5, with LongRoPE", configure, bind_layer};
