/* Gives a model small MLPs for easy tokens, and routers to them (mlp/easy.h).
 *
 * A small MLP is the n_ff / divisor hidden units of the layer's own that weigh most over a calibration text, each by
 * sum_t h_t^2 |column of W_down|^2 (the parts of MatFormer, arXiv:2310.07707, are prefixes of units that were trained
 * in this order; here the order is found). Its W_down is then fitted to what the whole MLP gives:
 *
 *   minimise  sum_t |y_t - W h_t|^2 + l |W - W_0|^2,   W_0 the units' own columns, l = 0.01 mean of sum_t h_t^2
 *
 * and the router is a logistic regression on the MLP's input that tells tokens which the small MLP serves well (error
 * |y_t - W h_t|^2 among the smallest `share`) from the others, its bias moved so that at the threshold 0.5 `share` of
 * the calibration's tokens are easy. Without a text units weigh |gate row| |up row| |down column|, nothing is fitted,
 * and no token is easy until the router has been trained.
 */
#ifndef MN_CONVERT_SMALL_MLP_H
#define MN_CONVERT_SMALL_MLP_H

#include "kernels/compute.h"
#include "model/model.h"

typedef struct mn_small_wish {
    double divisor;          /* 1 or more */
    const uint8_t *in_layer; /* [n_layers]: which get one */
    double share;            /* of tokens that are to be easy, above 0 and below 1 */
    const int32_t *tokens;   /* the calibration text */
    int64_t n_tokens;        /* 0: none */
    int64_t window;          /* tokens of it at once */
} mn_small_wish;

typedef struct mn_small_report {
    int n_layers, n_ff; /* that got one; its units, of the last of them */
    double error;       /* mean over these layers of sum |y - small|^2 / sum |y|^2; NAN without a text */
    double easy_error;  /* the same over the tokens that the routers find easy */
} mn_small_report;

/* "8", "1.5", or "8,0-3,7": the divisor and layers, all without any. in_layer [n_layers]. MN_ERR_ARGUMENT. */
mn_status mn_small_parse(const char *text, int n_layers, double *divisor, uint8_t *in_layer, mn_error *err);

/* Writes the model to `path` with small MLPs of the types that the large ones have. Units are counted up to a multiple
 * of 32; a small MLP of all units is a copy. Cost: three prefills of the text, and n_ff / divisor squared for each
 * token and layer; memory: the text's rows of every layer. Errors: a layer without dense MLP, a model that has small
 * MLPs. */
mn_status mn_small_write(const mn_compute *compute, const mn_model *model, const mn_small_wish *wish, const char *path,
                         mn_small_report *out, mn_error *err);

#endif
