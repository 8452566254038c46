/* Attention over two disjoint sets of keys, joined. */
#ifndef MN_ATTENTION_MERGE_H
#define MN_ATTENTION_MERGE_H

#include "kernels/compute.h"

#include <stdint.h>

/* Joins attention over two disjoint sets of keys into attention over both: out and lse += part and part_lse, weighted
 * by their exp2(lse). out, part [n_rows, n_heads, v_dim] without gaps. What saw nothing changes no bit. */
void mn_attend_merge(const mn_compute *c, float *out, float *lse, const float *part, const float *part_lse,
                     int64_t n_rows, int n_heads, int v_dim);

#endif
