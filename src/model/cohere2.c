/* Command R7B and A: attention and MLP in parallel on one norm; windows with rotary positions in three of four layers,
 * the fourth sees all and has no positions. (Cohere 2025, arXiv:2504.00698; NoPE: Yang et al. 2025, arXiv:2501.18795.)
 */
#include "model/family.h"

enum { PERIOD = 4, WINDOW = 4096 };

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->norm = MN_NORM_LAYER;
    c->parallel = true;
    MN_TRY(mn_config_windows(gguf, c, WINDOW, PERIOD, err));
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++)
        if (l->window == 0) l->rope = MN_LAYER_NOPE;
    MN_TRY(mn_config_float(gguf, c->arch, "logit_scale", false, &c->logit_scale, err));
    return mn_config_float(gguf, c->arch, "attention.layer_norm_epsilon", true, &c->norm_eps, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    mn_bind_attention(b, c, l);
    mn_bind_swiglu(b, c, l);
}

const mn_family mn_family_cohere2 = {"cohere2", "Command R7B and A: parallel blocks, windows, layers without positions",
                                     configure, bind_layer};
