/* EXAONE 4: norms after attention and MLP alone, queries and keys normalised. The 32B model, known by its 64 layers,
 * has windows in three of four layers, and the fourth has no positions. (LG AI Research 2025, arXiv:2507.11407.) */
#include "model/family.h"

enum { HYBRID_LAYERS = 64, PERIOD = 4, WINDOW = 4096 };

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    MN_TRY(mn_config_windows(gguf, c, WINDOW, PERIOD, err));
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) {
        if (c->n_layers != HYBRID_LAYERS) l->window = 0;
        if (c->n_layers == HYBRID_LAYERS && l->window == 0) l->rope = MN_LAYER_NOPE;
    }
    return mn_config_drop_nextn(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_family_olmo2.bind_layer(b, c, layer, l);
}

const mn_family mn_family_exaone4 = {"exaone4", "EXAONE 4: windows, and layers without positions", configure,
                                     bind_layer};
