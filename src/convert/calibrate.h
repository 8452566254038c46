/* What a model's attention layers are fed, over a calibration text: second moments of their inputs, from which those of
 * any linear function of them follow (of queries, keys and values: W M W^T).
 */
#ifndef MN_CONVERT_CALIBRATE_H
#define MN_CONVERT_CALIBRATE_H

#include "kernels/compute.h"
#include "model/model.h"

/* Mean of h h^T over tokens, h = [normed input of the layer; 1], so that biases are a column like any other. */
typedef struct mn_moments {
    int n_layers;
    int64_t n;        /* n_embd + 1 */
    int64_t n_tokens; /* measured; 0: made from the norms alone */
    double *values;   /* [n_layers][n][n] */
} mn_moments;

static inline const double *mn_moments_of(const mn_moments *m, int layer) {
    return m->values + (int64_t)layer * m->n * m->n;
}

/* Without a text: inputs are taken to be independent, of the size that their norm gives them, and of mean 0. The caller
 * releases *out. */
mn_status mn_moments_of_norms(const mn_model *model, mn_moments *out, mn_error *err);

/* Runs the tokens through the model, window by window, each from an empty context behind `bos` (< 0: none). Cost: a
 * prefill, and 2 n^2 operations for each token and layer. Memory: 8 n^2 bytes for each layer. One thread at a time on
 * one `compute`. Errors: no tokens; activations that are not finite. The caller releases *out. */
mn_status mn_moments_measure(const mn_compute *compute, const mn_model *model, const int32_t *tokens, int64_t n_tokens,
                             int64_t window, int32_t bos, mn_moments *out, mn_error *err);
void mn_moments_release(mn_moments *m);

#endif
