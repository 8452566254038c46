/* How routers and small MLPs learn (easy.h). Both MLPs run on all rows, and their results are mixed:
 *
 *   y = big + a (small - big),   g = sigmoid(z)
 *   soft:              a = g
 *   straight through:  a = 1 where the token is easy, else 0, as the model runs; its gradient is that of g
 *                      (Bengio et al. 2013, arXiv:1308.3432)
 *
 *   d_big = (1 - a) dy,   d_small = a dy,   d_z = g (1 - g) (dy . (small - big) + d_a)
 *
 * and a budget holds the share of easy tokens: loss += coefficient (mean of a over the rows - share)^2, whose gradient
 * is the same d_a for every row.
 */
#ifndef MN_MLP_EASY_BACKWARD_H
#define MN_MLP_EASY_BACKWARD_H

#include "base/status.h"
#include "mlp/easy.h"

typedef struct mn_easy_mixing {
    bool soft;
    float threshold;           /* of the model; straight through */
    double coefficient, share; /* of the budget; coefficient 0: none */
    double budget_loss;        /* added to */
    double n_easy, n_rows;     /* sum of a, and rows: added to by the backward */
} mn_easy_mixing;

/* out [n_rows, n] may be neither of the others. */
void mn_easy_mix(const mn_compute *c, const mn_easy_mixing *m, float *out, const float *big, const float *small,
                 const float *z, int64_t n_rows, int64_t n);

typedef struct mn_easy_grad {
    const float *dy, *big, *small, *z;
    float *d_big, *d_small; /* [n_rows, n], added to */
    float *d_z;             /* [n_rows], written */
} mn_easy_grad;

/* scale: of the budget's gradient, see mn_balance_loss. */
void mn_easy_mix_backward(const mn_compute *c, mn_easy_mixing *m, double scale, const mn_easy_grad *g, int64_t n_rows,
                          int64_t n);

#endif
