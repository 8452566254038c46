/* A chunk of tokens of one RWKV-7 head at once: the chunked form of the generalised delta rule (Peng et al. 2025,
 * arXiv:2503.14456, app. H; Yang et al. 2024, arXiv:2406.06484, sec. 3).
 *
 * With u_t = M_{t-1}^T kk_t, what stands under the key that is taken away from, every token writes k_t v_t^T - b_t
 * u_t^T (b = kk a) into a state that fades. With F_i the product of the chunk's decays up to row i, [..] over rows j:
 *
 *   u_i = (F_{i-1} kk_i)^T M + sum_{j < i} (kk_i F_{i-1} / F_j k_j) v_j - (kk_i F_{i-1} / F_j b_j) u_j
 *   out_i = (F_i r_i)^T M + sum_{j <= i} (r_i F_i / F_j k_j) v_j - (r_i F_i / F_j b_j) u_j
 *   M = F_n (M + sum_j (k_j / F_j) v_j^T - (b_j / F_j) u_j^T)
 *
 * u by forward substitution; all else are small products of matrices. A decay is at least e^(-e^(-1/2)) = 0.545, so
 * that 1 / F_j stays below 6e33 in MN_RWKV7_MAX_CHUNK rows, and each ratio of two is as exact as their products.
 */
#ifndef MN_RECURRENT_RWKV7_CHUNK_H
#define MN_RECURRENT_RWKV7_CHUNK_H

#include "kernels/kernels.h"

#include <stddef.h>

typedef struct mn_rwkv7_chunk {
    float *m;           /* [dim, dim] */
    int dim, n_rows;    /* n_rows up to MN_RWKV7_MAX_CHUNK */
    const float *decay; /* [n_rows, dim], as those below */
    const float *r;     /* rows r_stride apart */
    int64_t r_stride;
    const float *kk, *back, *k, *v; /* back: b */
    float *out;                     /* rows out_stride apart */
    int64_t out_stride;
} mn_rwkv7_chunk;

/* The scratch of a chunk, which holds this when it has been taken; rows of pairs are 2 n_rows wide, those of k and v
 * first, then those of -b and u. */
typedef struct mn_rwkv7_parts {
    float *fade;       /* F_n: [dim] */
    float *reads, *kk; /* F_i r_i, F_{i-1} kk_i: [n_rows, dim] */
    float *writes;     /* k_j / F_j, then -b_j / F_j: [2 n_rows, dim] */
    float *columns;    /* the same, transposed: [dim, 2 n_rows] */
    float *w;          /* v, then u: [2 n_rows, dim] */
    float *a, *p;      /* pairs of kk, and of r, zeros for rows that are not seen: [n_rows, 2 n_rows] */
} mn_rwkv7_parts;

/* Floats of scratch for chunks of up to n_rows, and what is where in it. */
size_t mn_rwkv7_chunk_floats(int dim, int n_rows);
mn_rwkv7_parts mn_rwkv7_parts_of(const mn_rwkv7_chunk *chunk, float *scratch);
/* Makes out and moves m on. */
void mn_rwkv7_take_chunk(const mn_kernels *kernels, const mn_rwkv7_chunk *chunk, float *scratch);

#endif
