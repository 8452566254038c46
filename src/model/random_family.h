/* What a random model of a family needs beside the keys of all: keys of its own, and the tensors that its files may
 * lack. Which tensors the others are, the family's binding says (mn_weights_list). */
#ifndef MN_MODEL_RANDOM_FAMILY_H
#define MN_MODEL_RANDOM_FAMILY_H

#include "model/gguf_random.h"

typedef struct mn_random_family {
    const char *arch;
    const char *keys; /* "suffix=value ...": 3 a u32, 0.5f an f32, true a bool, :4 a list with a window in all layers
                         but every fourth, @4+3:kv a list with a number for layer 3 of every four and else 0, %0/4/128
                         a list of these in turn; names of the shape's numbers (ff, head, heads, kv) stand for them,
                         head/2 for half of one, embd/4 for a quarter */
    const char
        *tensors;    /* suffixes of optional tensors that are made, separated by spaces; *.bias: of layers and norms */
    bool routed;     /* it has experts, 8 of which 2 are used unless said otherwise */
    bool layer_norm; /* LayerNorm, whose epsilon has a key of its own */
    bool latent;     /* latent attention, of ranks in proportion to the width */
} mn_random_family;

/* NULL when no random model of this architecture is made this way. */
const mn_random_family *mn_random_family_find(const char *arch);
/* All that init makes: "llama mnemo ...". */
const char *mn_random_archs(void);
/* Whether the family has a key of this suffix of its own. */
bool mn_random_family_has(const mn_random_family *family, const char *suffix);
/* Puts the keys of the family; n_layers for lists. */
void mn_random_family_put(const mn_random_family *family, const mn_random_model *model, mn_gguf_writer *writer);
/* Whether an optional tensor, "blk.3.attn_q.bias", is made. */
bool mn_random_family_wants(const mn_random_family *family, const char *tensor);

#endif
