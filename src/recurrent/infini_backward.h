/* The backward of Infini-attention's memory (infini.h), through time: what a token reads depends on what all earlier
 * tokens wrote. A token's gradient flows back across segments until it is cut (detach_segments), as truncated
 * backpropagation through time does; within that stretch it is exact.
 *
 * linear, delta: the matrices that the segments read are made once more and kept, one a segment; the way back then
 * visits segment after segment, the gradient of the next one's matrix in hand. delta-exact: matrices are kept every
 * MN_INFINI_CHUNK tokens; between two of them reads and writes are products of the chunk's features with each other
 * (the chunked form of the delta rule), so that no matrix is taken apart by subtraction.
 */
#ifndef MN_RECURRENT_INFINI_BACKWARD_H
#define MN_RECURRENT_INFINI_BACKWARD_H

#include "recurrent/infini.h"

enum { MN_INFINI_CHUNK = 64 };

typedef struct mn_infini_grad {
    const float *q, *k, *v, *write_gates; /* of the forward's call */
    const float *mem, *d_mem;             /* what it gave, and its gradient */
    const void *state;                    /* before the first row: constants. NULL: zeros */
    int64_t n_rows, first_token;
    int64_t detach_segments; /* no gradient passes the beginning of a segment that is a multiple of it; 0: all passes */
    float *d_q, *d_k, *d_v;  /* shaped as q, k, v, added to */
    float *d_gates; /* [n_rows, n_kv_heads], written, 0 where a gate is 0; delta-exact only. NULL: not wanted, as
                     * with hard writes, whose gates are learnt from labels (infini_gates_backward.h) */
} mn_infini_grad;

/* Bytes of scratch that the backward takes: what decides how many segments fit. */
size_t mn_infini_backward_bytes(const mn_infini *shape, int64_t n_rows, int64_t detach_segments);

/* About 5 k_dim v_dim products per read, 6 per write, and in delta-exact the chunk's own. No result depends on the
 * number of threads, which share out KV heads. MN_ERR_FORMAT when the state cannot be one, MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_infini_backward(const mn_compute *c, const mn_infini *shape, const mn_infini_grad *g, mn_error *err);

#endif
