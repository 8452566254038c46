/* Infini-attention (Munkhdalai et al., arXiv:2404.07143): causal attention inside segments of S tokens, and beside it a
 * memory of fixed size per head that carries what earlier segments said.
 *
 *   out = (1 - g) local + g mem,   g = sigmoid(gate of the head)
 *
 * This file is mem. `local` is mn_attention with mn_attend.segment = S; queries and keys come here without position
 * encoding. sigma is the feature map, M [k_dim, v_dim] and z [k_dim] the memory, all zeros at first.
 *
 * linear, delta (the paper, sections 2.1.2 and 2.1.3; sigma = elu + 1): a token reads what the segments before its own
 * wrote, and a segment is written as a whole:
 *   mem = M^T sigma(q) / (z . sigma(q))
 *   M += sum_t sigma(k_t) u_t^T, z += sum_t sigma(k_t)
 *   linear: u_t = v_t             delta: u_t = v_t - M^T sigma(k_t) / (z . sigma(k_t))
 * Nothing stored yet reads as 0 (the paper is silent about 0 / 0).
 *
 * delta-exact (keys of length 1, sigma = silu-l2; one write gate b per token; no normaliser): every token reads all
 * tokens up to itself. With |sigma(k)| = 1 and b = 1, reading what was just written gives v back exactly.
 *   u = b (v - M^T sigma(k)),  M += sigma(k) u^T,  mem = M^T sigma(q)
 */
#ifndef MN_RECURRENT_INFINI_H
#define MN_RECURRENT_INFINI_H

#include "kernels/compute.h"

#include <stddef.h>
#include <stdint.h>

typedef enum mn_infini_rule { MN_INFINI_LINEAR, MN_INFINI_DELTA, MN_INFINI_DELTA_EXACT } mn_infini_rule;
typedef enum mn_infini_feature { MN_INFINI_ELU1, MN_INFINI_SILU_L2 } mn_infini_feature;

/* One memory per KV head; query heads [g * h, g * (h + 1)), g = n_heads / n_kv_heads, read that of KV head h. */
typedef struct mn_infini {
    mn_infini_rule rule;
    mn_infini_feature feature;
    int n_heads, n_kv_heads, k_dim, v_dim;
    int64_t segment; /* S, tokens */
} mn_infini;

/* GGUF's names (mnemo.infini.update, mnemo.infini.feature), or -1: "linear" "delta" "delta-exact"; "elu1" "silu-l2". */
int mn_infini_find_rule(const char *name);
int mn_infini_find_feature(const char *name);
const char *mn_infini_rule_name(mn_infini_rule rule);
/* The features that a rule works on. */
mn_infini_feature mn_infini_feature_of(mn_infini_rule rule);
/* Refuses sizes that are not positive, heads that do not divide, and features that the rule cannot use: the normaliser
 * of linear and delta needs positive ones, delta-exact diverges with keys longer than 1. */
mn_status mn_infini_check(const mn_infini *shape, mn_error *err);

/* Bytes of the memory of one sequence in one layer, whatever the length: plain memory, zeros = the start of a text, to
 * be copied away and back freely. The caller owns it, aligned to 64 bytes. 0 when the size overflows. */
size_t mn_infini_state_bytes(const mn_infini *shape);

/* Reads and writes the memory for n_rows more tokens, the first at index first_token of the text.
 * mem [n_rows, n_heads, v_dim], q [n_rows, n_heads, k_dim], k [n_rows, n_kv_heads, k_dim], v [n_rows, n_kv_heads,
 * v_dim], write_gates [n_rows, n_kv_heads] for delta-exact (a token with gate 0 is not written and costs only its
 * read), not looked at by the other rules. Any split of a text into calls gives the same bits. k_dim v_dim products
 * per read and as many per write. MN_ERR_FORMAT when the state cannot be one, MN_ERR_MEMORY when scratch ends. */
mn_status mn_infini_step(const mn_compute *c, const mn_infini *shape, void *state, float *mem, const float *q,
                         const float *k, const float *v, const float *write_gates, int64_t n_rows, int64_t first_token,
                         mn_error *err);

/* Write gates of delta-exact. gates [n_rows, n_kv_heads] holds w_write . y, y the layer's normed input, and becomes
 *   b = sigmoid(gates + bias + w_key . k), 0 where b <= threshold
 * bias [n_kv_heads] (NULL = 0), w_key [n_kv_heads, k_dim], k as in mn_infini_step. */
void mn_infini_write_gates(const mn_compute *c, const mn_infini *shape, float *gates, const float *bias,
                           const float *w_key, const float *k, float threshold, int64_t n_rows);

/* Write gates that write every token whole: 1. */
void mn_infini_open_gates(const mn_compute *c, const mn_infini *shape, float *gates, int64_t n_rows);

/* out = (1 - sigmoid(gate)) local + sigmoid(gate) mem; out, local and mem [n_rows, n_heads, v_dim], gate [n_heads]; out
 * may be local. gate NULL: `share` in the place of every head's sigmoid(gate); a share of 0 leaves every bit of
 * local. */
void mn_infini_mix(const mn_compute *c, const mn_infini *shape, float *out, const float *local, const float *mem,
                   const float *gate, float share, int64_t n_rows);

#endif
