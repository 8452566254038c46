/* Fewer key and value heads (GQA, Ainslie et al. 2023, arXiv:2305.13245): each group of KV heads becomes one, the mean
 * of its members' projections or the first of them, biases and convolution taps included.
 *
 * Which heads make a group is free: KV heads may be put into any order when their query heads and the columns of the
 * output projection go with them, and no logit changes. With `regroup` heads whose keys are alike stand together: the
 * sum of cosines E[k_i . k_j] / sqrt(E|k_i|^2 E|k_j|^2) within groups is made large, greedily and then by swaps.
 */
#ifndef MN_CONVERT_GROUPED_HEADS_H
#define MN_CONVERT_GROUPED_HEADS_H

#include "convert/head_weights.h"
#include "convert/heads.h"

/* Order of n KV heads, of which `size` neighbours make a group: those with high likeness [n][n] together, groups and
 * the heads in them by their lowest number. */
void mn_grouped_heads_order(const double *likeness, int n, int size, int *order);
/* likeness [n_kv_heads][n_kv_heads] of the layer's keys, see above. */
mn_status mn_grouped_heads_likeness(const mn_head_weights *h, const double *moments, double *likeness, mn_error *err);

/* Writes PATH: the model with wish->n_kv_heads heads in each layer, whose keys the moments are of. */
mn_status mn_grouped_heads_write(const mn_model *model, const mn_heads_wish *wish, const mn_moments *moments,
                                 const char *path, mn_error *err);

#endif
