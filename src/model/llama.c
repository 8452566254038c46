/* Llama 1 to 3, Mistral, Mixtral: RMSNorm, rotary pairs side by side, SwiGLU or experts. Llama 3's stretched
 * frequencies lie in the file as rope_freqs.weight. (Touvron et al. 2023, arXiv:2302.13971; Jiang et al. 2024,
 * arXiv:2401.04088.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    MN_TRY(mn_config_windows(gguf, c, 0, 0, err));
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    c->moe.router.normalise = true; /* softmax over the chosen logits only is the softmax over all, made to sum to 1 */
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_llama = {"llama", "Llama 1 to 3, Mistral; Mixtral with its experts", configure, bind_layer};
