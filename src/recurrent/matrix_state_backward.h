/* The backward of a state that fades, with and without the delta rule (matrix_state.h), in chunks
 * (matrix_chunk_backward.h): the gradient of what the recurrence computes too.
 */
#ifndef MN_RECURRENT_MATRIX_STATE_BACKWARD_H
#define MN_RECURRENT_MATRIX_STATE_BACKWARD_H

#include "recurrent/matrix_state.h"

typedef struct mn_matrix_grad {
    const float *d_out;   /* [n_rows, n_heads, v_dim] */
    float *d_q, *d_k;     /* [n_rows, n_k_heads, k_dim] as q and k, added to */
    float *d_v;           /* [n_rows, n_heads, v_dim], added to */
    float *d_log_decay;   /* of the decays' logarithms, as decay, written */
    float *d_beta;        /* as beta, written */
    int64_t d_out_stride; /* those of d_q, d_k and d_v are the rows' */
} mn_matrix_grad;

/* Of rows from a state of zeros on; rows->out is not looked at. chunk: rows of a chunk (MN_MATRIX_CHUNK is a good
 * number). About 9 k_dim v_dim products per token and head. Scratch: for each thread the states before each chunk, and
 * d_q and d_k of every head. No result depends on the number of threads. MN_ERR_MEMORY when scratch ends. */
mn_status mn_matrix_state_backward(const mn_compute *c, const mn_matrix_state *shape, const mn_matrix_rows *rows,
                                   const mn_matrix_grad *g, int chunk, mn_error *err);

#endif
