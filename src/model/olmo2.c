/* OLMo 2 and 3: norms after attention and MLP alone, and of all heads' queries and keys as one vector (OLMo et al.
 * 2025, arXiv:2501.00656). OLMo 3 has windows in three of four layers, which are rotated by plain frequencies (Olmo et
 * al. 2025, arXiv:2512.13961). */
#include "model/family.h"

enum { PERIOD = 4 };

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    c->norms_whole_qk = true;
    MN_TRY(mn_config_windows(gguf, c, 0, PERIOD, err));
    MN_TRY(mn_config_local_rope(gguf, c, c->rope.freq_base, err));
    c->rope_local.freq_base = c->rope.freq_base; /* the released code has one base, whatever a file states beside it */
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_attention(b, c, l);
    mn_bind_qk_norms(b, c, l);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->post_attn_norm);
    mn_bind_norm(b, "post_ffw_norm", c->n_embd, &l->post_ffn_norm);
    mn_bind_swiglu(b, c, l);
}

const mn_family mn_family_olmo2 = {"olmo2", "OLMo 2, and 3 with its windows", configure, bind_layer};
