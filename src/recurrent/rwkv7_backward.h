/* The backward of RWKV-7 (rwkv7.h): the state in chunks (rwkv7_chunk_backward.h), and for each row the norm, the part
 * of v that passes the state by, and what made keys, gates and values of the projections.
 */
#ifndef MN_RECURRENT_RWKV7_BACKWARD_H
#define MN_RECURRENT_RWKV7_BACKWARD_H

#include "recurrent/rwkv7.h"

typedef struct mn_rwkv7_grad {
    const float *d_out;
    int64_t d_out_stride;
    float *d_r, *d_decay, *d_k, *d_v, *d_a; /* as the rows' members, strides included; added to */
    float *d_v_mix, *d_v_first;             /* NULL where the rows have none */
    float *d_k_k, *d_k_a, *d_r_k;           /* as the layer's, added to; NULL: frozen */
    float *d_norm_w, *d_norm_b;
} mn_rwkv7_grad;

/* Of rows from a state of zeros on; rows->out is not looked at. chunk: rows of a chunk, 1 to MN_RWKV7_MAX_CHUNK. About
 * 16 dim^2 products per token and head. Scratch: for each thread the states before each chunk. No result depends on the
 * number of threads, which share out heads. MN_ERR_MEMORY when scratch ends. */
mn_status mn_rwkv7_backward(const mn_compute *c, const mn_rwkv7 *layer, const mn_rwkv7_rows *rows,
                            const mn_rwkv7_grad *g, int chunk, mn_error *err);

#endif
