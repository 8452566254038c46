/* SmolLM3: Llama with every fourth layer without positions. (Hugging Face 2025; NoPE: Yang et al. 2025,
 * arXiv:2501.18795.) */
#include "model/family.h"

enum { NOPE_PERIOD = 4 };

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    (void)gguf, (void)err;
    for (int i = NOPE_PERIOD - 1; i < c->n_layers; i += NOPE_PERIOD) c->layers[i].rope = MN_LAYER_NOPE;
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_family_llama.bind_layer(b, c, layer, l);
}

const mn_family mn_family_smollm3 = {"smollm3", "SmolLM3: every fourth layer without positions", configure, bind_layer};
