/* Muon (Jordan et al. 2024, github.com/KellerJordan/Muon): momentum, made orthogonal by a Newton-Schulz iteration, for
 * the matrices of hidden layers.
 *
 *   m = momentum m + (1 - momentum) g          u = momentum m + (1 - momentum) g      (Nesterov)
 *   X = u / |u|;  five times  A = X X^T,  X = 3.4445 X + (-4.7750 A + 2.0315 A A) X
 *   w = (1 - rate decay) w - rate sqrt(max(1, n_out / n_in)) X
 *
 * The polynomial brings all singular values near 1 (0.7 to 1.2) without a decomposition; |u| is the Frobenius norm. Of
 * matrices with more rows than columns A = X^T X is made and multiplied from the right: the small side either way.
 */
#ifndef MN_TRAIN_MUON_H
#define MN_TRAIN_MUON_H

#include "base/status.h"
#include "kernels/compute.h"

#include <stdint.h>

typedef struct mn_muon {
    double rate, decay, momentum;
    double scale; /* of the gradient, see mn_adamw */
} mn_muon;

/* One step for a matrix w [n_out, n_in] and its momentum m, zeros before the first: a stack of experts is taken one by
 * one. A gradient and a momentum of zeros leave only the decay. Products as of training (matmul_backward.h): with s the
 * small side and l the large one, 5 (4 s^2 l + 2 s^3) operations. Scratch: 2 s l + 2 s^2 floats. MN_ERR_MEMORY. */
mn_status mn_muon_step(const mn_compute *c, const mn_muon *p, float *w, float *m, const float *gradient, int64_t n_out,
                       int64_t n_in, mn_error *err);

/* x [n_out, n_in] becomes what the iteration makes of it. */
mn_status mn_newton_schulz(const mn_compute *c, float *x, int64_t n_out, int64_t n_in, mn_error *err);

#endif
