/* What a random model of a family needs beside the keys of all: keys of its own, and the tensors that its files may
 * lack. Which tensors the others are, the family's binding says (mn_weights_list). */
#ifndef MN_MODEL_RANDOM_FAMILY_H
#define MN_MODEL_RANDOM_FAMILY_H

#include "model/gguf_random.h"

typedef struct mn_random_family {
    const char *arch;
    const char *keys;    /* "suffix=value ...": 3 a u32, 0.5f an f32, true a bool, :4 a list with a window in all
                            layers but every fourth, @4+3:kv a list with a number for layer 3 of every four and else
                            0, %0/4/128 a list of these in turn, [pairs] a third of a head's pairs for each of three;
                            names of the shape's numbers (ff, head, heads, kv, embd) stand for them, some with a
                            factor */
    const char *tensors; /* suffixes, separated by spaces, of optional tensors that are made; *.bias: of layers and
                            norms; -SUFFIX: not made, another stands for it */
    const char *ones;    /* "suffix:axis ...": where converters leave an axis of 1 in a tensor's shape */
    bool routed;         /* it has experts, 8 of which 2 are used unless said otherwise */
    bool layer_norm;     /* LayerNorm, whose epsilon has a key of its own */
    bool latent;         /* latent attention, of ranks in proportion to the width */
} mn_random_family;

/* NULL when no random model of this architecture is made this way. */
const mn_random_family *mn_random_family_find(const char *arch);
/* All that init makes: "llama mnemo ...". */
const char *mn_random_archs(void);
/* Whether the family has a key of this suffix of its own. */
bool mn_random_family_has(const mn_random_family *family, const char *suffix);
/* Puts the keys of the family; n_layers for lists. */
void mn_random_family_put(const mn_random_family *family, const mn_random_model *model, mn_gguf_writer *writer);
/* Whether a tensor, "blk.3.attn_q.bias", is made; needed: the binding has no use for a file without. */
bool mn_random_family_wants(const mn_random_family *family, const char *tensor, bool needed);
/* Puts the axes of 1 of its files into a tensor's shape. */
void mn_random_family_shape(const mn_random_family *family, mn_tensor *tensor);

#endif
