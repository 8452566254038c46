/* Nomic's BERT: rotated positions in the place of learned ones, and SwiGLU. (Nussbaum et al. 2024,
 * arXiv:2402.01613.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    return mn_encoder_configure(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_encoder_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_swiglu(b, c, l);
}

const mn_family mn_family_nomic_bert = {"nomic-bert", "Nomic Embed: an encoder with RoPE", configure, bind_layer};
