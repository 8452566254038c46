/* LFM2 (Liquid AI 2025, arXiv:2511.23404): most layers have a short convolution between two gates in the place of
 * attention; dense, or with experts. */
#include "model/family.h"

#include "recurrent/causal_conv.h"

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    c->ends_in_embd_norm = !mn_gguf_tensor(g, "output_norm.weight");
    c->mixer = (mn_mixer_config){.kind = MN_MIXER_SHORT_CONV, .n_channels = c->n_embd};
    mn_config_mix_headless(c);
    MN_TRY(mn_config_moe(g, c, MN_GATING_SIGMOID, err));
    c->moe.router.normalise = true;
    return mn_config_int(g, c->arch, "shortconv.l_cache", true, 1, MN_CONV_MAX_TAPS, &c->mixer.n_taps, err);
}

static void bind_convolution(mn_binder *b, const mn_config *c, mn_layer *l) {
    mn_bind_projection(b, "shortconv.in_proj", c->n_embd, 3 * (int64_t)c->n_embd, &l->mixer.in[0]);
    mn_bind_taps(b, c, "shortconv.conv", 0, c->n_embd, l);
    mn_bind_projection(b, "shortconv.out_proj", c->n_embd, c->n_embd, &l->mixer.out);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    if (c->layers[layer].has_mixer) {
        bind_convolution(b, c, l);
    } else {
        mn_bind_attention(b, c, l);
        mn_bind_qk_norms(b, c, l);
    }
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_lfm2 = {"lfm2", "LFM2: gated short convolutions and attention", configure, bind_layer};
const mn_family mn_family_lfm2moe = {"lfm2moe", "LFM2 with experts", configure, bind_layer};
