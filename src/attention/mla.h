/* Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, sec. 2.1). A token leaves one KV entry behind for all
 * heads, the latent c [kv_rank] and a rotated key k_R [n_rot], and head h means
 *
 *   k_h = [W_UK,h c ; k_R]     v_h = W_UV,h c     score = scale q_h . k_h,  q_h = [q_nope,h ; q_R,h]
 *
 * Two ways give the same.
 *
 * Absorbed: q'_h = [W_UK,h^T q_nope,h ; q_R,h], attention of all heads over the entries as they are cached, whose first
 * kv_rank elements are the values too, then out_h = W_UV,h sum_t p_t c_t. Products for each pair of a query and a key:
 * 2 kv_rank + n_rot; for each query: kv_rank (n_nope + v_dim).
 *
 * Materialised: k_h and v_h are made from the entries, range by range, and attention is multi-head attention over them.
 * Products for each pair: n_nope + n_rot + v_dim; for each key: kv_rank (n_nope + v_dim).
 *
 * A single query would make every key anew for itself; many queries share what was made, and the pairs are cheaper.
 */
#ifndef MN_ATTENTION_MLA_H
#define MN_ATTENTION_MLA_H

#include "attention/types.h"
#include "base/technique.h"
#include "kernels/compute.h"

/* Up to how many earlier tokens n_rows queries are served with fewer products by materialised keys: the largest D with
 *   D kv_rank (n_nope + v_dim)  <  (n_rows D + n_rows (n_rows + 1) / 2) (2 kv_rank - n_nope - v_dim)
 * (making the n_rows newest keys costs what absorbing n_rows queries does). INT64_MAX: any; -1: none, also for fewer
 * rows than MN_FLASH_MIN_ROWS and for heads longer than attention takes. */
int64_t mn_mla_deepest(const mn_mla *m, int64_t n_rows);

/* Materialised: what mn_attention does when a->mla is set. a->q [n_rows, n_heads, n_nope + n_rot], a->out [n_rows,
 * n_heads, v_dim], a->kv the KV entries (one head, k_dim = kv_rank + n_rot); a->first_key, end_key and sums as for any
 * call. Masks, sinks and block lists (one for all heads, or one for each) hold as they do for keys that were cached.
 * Keys and values are made for MN_MLA_KEYS tokens at a time, so that scratch does not grow with depth but for a list of
 * pages. Made and multiplied in f32 where c->exact, else as the level does it, in bf16 where attention does. A row's
 * result depends neither on the rows that share its call nor on the number of threads. MN_ERR_MEMORY. */
mn_status mn_mla_attend(const mn_compute *c, const mn_attend *a, mn_error *err);
enum { MN_MLA_KEYS = 1024 }; /* whole ranges, MN_RANGE_KEYS */

/* Absorbed, the two steps around attention over a->kv. wide [n_rows, n_heads, kv_rank + n_rot] from a->q; and a->out
 * from latent [n_rows, n_heads, kv_rank]; both without gaps. a as above, with mla set. */
mn_status mn_mla_absorb(const mn_compute *c, const mn_attend *a, float *wide, mn_error *err);
mn_status mn_mla_output(const mn_compute *c, const mn_attend *a, const float *latent, mn_error *err);

/* a as attention over made keys and values sees it: a head of its own for each query head, n_nope + n_rot and v_dim
 * wide; mla is NULL, and pages and types are the caller's to fill in. */
mn_attend mn_mla_made(const mn_attend *a);
extern const mn_technique mn_mla_absorbed_about, mn_mla_materialised_about;

#endif
