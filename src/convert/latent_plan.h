/* What latent heads are made of: which components stay rotated, and the matrices of a layer. */
#ifndef MN_CONVERT_LATENT_PLAN_H
#define MN_CONVERT_LATENT_PLAN_H

#include "convert/latent.h"

/* A dimension of a head's unrotated key: of frequency `pair`, or of what the model never rotates (pair -1). */
typedef struct mn_nope_dim {
    int pair, dim; /* dim: of the model's heads */
    bool im;       /* the second of its pair */
} mn_nope_dim;

typedef struct mn_latent_plan {
    const mn_model *model;
    const mn_heads_wish *wish;
    const mn_latent_method *method;
    const mn_moments *moments;
    int n_pairs, n_kept, n_nope;
    int64_t n_unrotated, n_all;   /* rows of S that are keys; all */
    mn_component_set *sets;       /* [n_layers][n_pairs] */
    mn_kept_pair *kept;           /* [n_kept] */
    int *n_kept_of, *first_row;   /* [n_pairs]: components kept of a frequency; where its others begin in S */
    mn_nope_dim *nope;            /* [n_nope] */
    double freq_base, pair_scale; /* pair_scale: YaRN's temperature, squared */
    float *divisors;              /* [n_kept] for rope_freqs.weight; NULL: freq_base says it all */
} mn_latent_plan;

/* The caller releases *out, after a failure too. */
mn_status mn_latent_plan_make(const mn_model *model, const mn_heads_wish *wish, const mn_moments *moments,
                              mn_latent_plan *out, mn_error *err);
void mn_latent_plan_release(mn_latent_plan *p);

/* The matrices of a layer. Rows as in head_weights.h. */
typedef struct mn_latent_layer {
    mn_head_weights heads;
    double *down; /* [rank][n]: c = down h, of size 1 over the calibration */
    double *rot;  /* [2 n_kept][n]: the shared key */
    double *up;   /* [rank][n_all]: S = up^T c */
} mn_latent_layer;

/* The caller releases *out; after a failure it holds nothing. Cost: a decomposition of the layer's keys and values. */
mn_status mn_latent_layer_make(const mn_latent_plan *p, int layer, mn_latent_layer *out, mn_error *err);
void mn_latent_layer_release(mn_latent_layer *l);

#endif
