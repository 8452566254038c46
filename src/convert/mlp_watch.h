/* What goes through the dense MLPs of a model on a calibration text. */
#ifndef MN_CONVERT_MLP_WATCH_H
#define MN_CONVERT_MLP_WATCH_H

#include "kernels/compute.h"
#include "model/model.h"

/* Rows of one layer's MLP in one window, without gaps, borrowed for the call: its input, its hidden units (what down
 * multiplies), its output. */
typedef struct mn_mlp_rows {
    int layer;
    int64_t first, n;            /* the first one's place among all rows of the text, and how many */
    const float *x, *hidden, *y; /* [n, n_embd], [n, n_ff], [n, n_embd] */
} mn_mlp_rows;

typedef mn_status mn_mlp_rows_fn(void *arg, const mn_mlp_rows *rows, mn_error *err);

/* Runs the tokens through the layers, window by window, each from an empty context. Cost: a prefill. The model has no
 * small MLPs. Errors: what `visit` returns, memory. */
mn_status mn_mlp_watch(const mn_compute *compute, const mn_model *model, const int32_t *tokens, int64_t n_tokens,
                       int64_t window, mn_mlp_rows_fn *visit, void *arg, mn_error *err);

#endif
