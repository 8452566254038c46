/* The global norm of a gradient, and how much of it is kept (Pascanu et al., arXiv:1211.5063, alg. 1). */
#ifndef MN_TRAIN_CLIP_H
#define MN_TRAIN_CLIP_H

#include "base/status.h"
#include "kernels/compute.h"

#include <stdint.h>

/* *sum += x_0^2 + ... + x_{n-1}^2, in pieces of fixed size added in order in double precision: the same for any number
 * of threads. MN_ERR_MEMORY when scratch ends (8 bytes for 8192 numbers). */
mn_status mn_sum_squares(const mn_compute *c, const float *x, int64_t n, double *sum, mn_error *err);

/* What a gradient of this norm is multiplied with so that its norm is at most limit; limit 0: any. NaN for a norm that
 * is none: the training has failed. */
double mn_clip_factor(double norm, double limit);

#endif
