/* The associative memory of one head, which linear attention and Infini-attention share: values are stored under keys
 * in one matrix of fixed size, and come back weighted by how much the query agrees with their key.
 *
 *   store(k, u):  M += k u^T            recall(q):  M^T q
 *
 * A store is kept aside and put into M together with MN_ASSOCIATIVE_PENDING - 1 others: M, the large part, is then
 * written once per chunk of stores, and
 *
 *   recall(q) = M^T q + sum_j (q . key_j) value_j          over the stores kept aside
 *
 * is the chunked form of the recurrence. When the chunk ends depends on the stores alone, so how a text is split into
 * calls changes no bit.
 */
#ifndef MN_RECURRENT_ASSOCIATIVE_H
#define MN_RECURRENT_ASSOCIATIVE_H

#include "kernels/kernels.h"

#include <stddef.h>
#include <stdint.h>

enum { MN_ASSOCIATIVE_PENDING = 16 };

/* A view of one memory's state: plain bytes that may be copied away and back. All zeros = empty. */
typedef struct mn_associative {
    int k_dim, v_dim;
    int64_t *n_pending; /* stores kept aside, fewer than MN_ASSOCIATIVE_PENDING */
    float *matrix;      /* [k_dim, v_dim] */
    float *z;           /* [k_dim], sum of the keys stored: the normaliser, for who uses one */
    float *keys;        /* [MN_ASSOCIATIVE_PENDING, k_dim] */
    float *values;      /* [MN_ASSOCIATIVE_PENDING, v_dim] */
} mn_associative;

/* Bytes of one state, a multiple of 64; 0 when that overflows or a dimension is not positive. */
size_t mn_associative_bytes(int k_dim, int v_dim);
/* state: 64-byte aligned, mn_associative_bytes(k_dim, v_dim) long. */
mn_associative mn_associative_view(void *state, int k_dim, int v_dim);
/* MN_ERR_FORMAT when one of n_states states in a row, perhaps read from a file, would lead outside itself. */
mn_status mn_associative_check(const void *states, int n_states, int k_dim, int v_dim, mn_error *err);

/* out [v_dim] = recall(q), q [k_dim]. */
void mn_associative_recall(const mn_kernels *kernels, const mn_associative *m, float *out, const float *q);
/* Stores value under key; z += key. */
void mn_associative_store(const mn_kernels *kernels, mn_associative *m, const float *key, const float *value);
/* into += from, from = empty. What `from` keeps aside goes in too. */
void mn_associative_move(const mn_kernels *kernels, mn_associative *into, mn_associative *from);

/* Heads to give a thread at a time, for n_rows tokens: all of them when the work is too small to wake another. */
int64_t mn_associative_grain(int64_t n_rows, int n_heads, int n_kv_heads, int k_dim, int v_dim);

/* Feature maps phi of keys and queries, out [n] from x [n]. */
typedef void mn_feature_fn(const mn_kernels *kernels, float *out, const float *x, int n);
/* elu(x) + 1 = x + 1 for x > 0, else e^x: always positive (Katharopoulos et al., arXiv:2006.16236, section 3.2.1). */
mn_feature_fn mn_feature_elu1;
/* silu(x) / max(|silu(x)|, 1e-12): unit length (Gated DeltaNet, arXiv:2412.06464, section 3.4). */
mn_feature_fn mn_feature_silu_l2;

#endif
