/* The backward of RMSNorm (Zhang and Sennrich, arXiv:1910.07467) and layer norm (Ba et al., arXiv:1607.06450), of whole
 * rows or of each head's vector (q/k norm): the formulas are in vec_backward.h.
 */
#ifndef MN_KERNELS_NORM_BACKWARD_H
#define MN_KERNELS_NORM_BACKWARD_H

#include "base/status.h"
#include "kernels/compute.h"
#include "kernels/vectors.h"

#include <stdbool.h>

typedef struct mn_norm_grad {
    bool layer_norm; /* else RMSNorm */
    int64_t n_rows;
    mn_vectors x;      /* what was normalised: forwards that do it in place keep a copy */
    mn_vectors dy, dx; /* of the same shape; dx may be dy */
    bool add;          /* dx += instead of = */
    const float *w;    /* [n], shared by all heads; NULL = 1 */
    float eps;
    float *dw, *db; /* [n], added to; NULL: not wanted. RMSNorm has no db */
} mn_norm_grad;

/* Scratch: 2 n floats for each of at most 64 pieces of rows, where dw or db is wanted. MN_ERR_MEMORY when it ends. */
mn_status mn_norm_backward(const mn_compute *c, const mn_norm_grad *g, mn_error *err);

#endif
