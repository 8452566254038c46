/* Granite 4 (IBM 2025): the Granite of before, most of whose layers have a Mamba-2 mixer in the place of attention. */
#include "model/family.h"

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    MN_TRY(mn_granite_configure(g, c, err));
    mn_config_mix_headless(c);
    return mn_config_mamba2(g, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    (c->layers[layer].has_mixer ? mn_bind_mamba2 : mn_bind_attention)(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_granitehybrid = {"granitehybrid", "Granite 4: Mamba-2 and attention, dense or with experts",
                                           configure, bind_layer};
