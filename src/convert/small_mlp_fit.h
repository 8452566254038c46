/* Inside the making of small MLPs: which units, their W_down, and the routers (small_mlp.h has the formulas). */
#ifndef MN_CONVERT_SMALL_MLP_FIT_H
#define MN_CONVERT_SMALL_MLP_FIT_H

#include "convert/small_mlp.h"

typedef struct mn_small_fit {
    int64_t n;      /* units, set by the caller; 0: this layer gets none */
    int64_t *units; /* [n], ascending */
    float *down;    /* [n_embd][n] */
    float *router;  /* [n_embd + 1], the last the bias */
    double error, easy_error;
} mn_small_fit;

/* Fills all layers. MN_ERR_MEMORY, and a text that is shorter than two tokens. The caller releases them, after a
 * failure too. */
mn_status mn_small_fit_all(const mn_compute *compute, const mn_model *model, const mn_small_wish *wish,
                           mn_small_fit *fits, mn_error *err);
void mn_small_fit_release(mn_small_fit *fits, int n_layers);

#endif
