/* AdamW (Loshchilov and Hutter, arXiv:1711.05101, alg. 2): Adam with weight decay that does not pass through the
 * moments.
 *
 *   m = beta1 m + (1 - beta1) g       v = beta2 v + (1 - beta2) g^2
 *   w = (1 - rate decay) w - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 */
#ifndef MN_TRAIN_ADAMW_H
#define MN_TRAIN_ADAMW_H

#include "kernels/compute.h"

#include <stdint.h>

typedef struct mn_adamw {
    double rate, decay, beta1, beta2, epsilon;
    double scale; /* of the gradient: what clipping leaves of it (clip.h), over the tokens where they were only added */
    int64_t step; /* t, 1 for the first */
} mn_adamw;

/* One step for n weights w with their moments m and v, zeros before the first. The result does not depend on the number
 * of threads. */
void mn_adamw_step(const mn_compute *c, const mn_adamw *a, float *w, float *m, float *v, const float *gradient,
                   int64_t n);

#endif
