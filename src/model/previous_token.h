/* Heads that start as "previous token" heads: in layer 0, head h looks h + 1 tokens back, whatever the tokens are. Two
 * layers of attention copy by such a head and an induction head (Olsson et al. 2022, arXiv:2209.11895); finding the
 * first of the two by chance takes a small model most of its training.
 *
 * A query can look at a distance only if queries and keys hold something that all tokens share: channel 0 of the token
 * table is set to one value, and the quickly turning pairs of q and k read that channel. k is a unit vector in each of
 * these pairs, q the same turned back by the angle of the distance, so that after RoPE their product is the sum of
 * cos((distance - h - 1) theta), largest where the distance is h + 1. What these pairs read of other channels
 * is a fifth of what was drawn; all else stays as it is. */
#ifndef MN_MODEL_PREVIOUS_TOKEN_H
#define MN_MODEL_PREVIOUS_TOKEN_H

#include "model/gguf_random.h"

/* Changes row `row` of the tensor `name`, drawn before; rows of other tensors stay. For architectures that rotate
 * neighbouring channels (llama, mnemo). */
void mn_previous_token_row(const mn_random_model *model, const char *name, int64_t row, float *values);

#endif
