/* Logistic regression with weighted rows, by Newton's method (iteratively reweighted least squares):
 *
 *   minimise  sum_i s_i (log(1 + e^z_i) - t_i z_i) + l2 / 2 |w|^2,   z_i = w . x_i
 *
 * The last feature is 1 and its weight, the bias, has no penalty. Against first-order methods: the write gates of a
 * memory, fitted by 240 steps of Adam, were nearly 100 times worse than by ten of Newton.
 */
#ifndef MN_TRAIN_LOGISTIC_H
#define MN_TRAIN_LOGISTIC_H

#include "kernels/compute.h"

#include <stdint.h>

typedef struct mn_logistic {
    int64_t n_rows, n;              /* n: features, with the 1 */
    const float *x;                 /* [n_rows, n] */
    const float *targets, *weights; /* [n_rows]: 0 or 1; s */
    double l2;
} mn_logistic;

/* w [n]: where it begins and what it finds. n^2 n_rows products a round, at most 60 rounds. The Hessian is summed in
 * f32 over 4096 rows at a time, which changes how fast it goes and not where to. MN_ERR_MEMORY. */
mn_status mn_logistic_fit(const mn_compute *c, const mn_logistic *d, double *w, mn_error *err);

/* The objective and, unless NULL, its gradient [n]. */
double mn_logistic_objective(const mn_logistic *d, const double *w, double *gradient);

#endif
