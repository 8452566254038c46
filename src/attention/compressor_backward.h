/* The backward of compressed keys (compressor.h) of a text that begins with the rows: of a block with weights w, a
 * softmax over its tokens in each channel, key = sum_t w_t u_t:
 *
 *   d_u_t += w_t d_key,  d_s_t += w_t (u_t - key) d_key,  d_ape[t mod ratio] += the same
 */
#ifndef MN_ATTENTION_COMPRESSOR_BACKWARD_H
#define MN_ATTENTION_COMPRESSOR_BACKWARD_H

#include "attention/compressor.h"

typedef struct mn_compressor_grad {
    const float *keys, *d_keys; /* [blocks, dim]: as mn_compress made them, and their gradients */
    float *d_u, *d_s;           /* strides of the rows' u and s; added to */
    float *d_ape;               /* [ratio, width], added to; NULL: not wanted */
} mn_compressor_grad;

/* in->first_token is 0. */
void mn_compress_backward(const mn_compute *c, const mn_compressor *x, const mn_compressor_rows *in,
                          const mn_compressor_grad *g);

#endif
