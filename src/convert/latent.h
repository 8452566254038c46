/* Latent heads (MLA, arXiv:2405.04434) made of ordinary ones, as a file of the architecture deepseek2 with dense
 * layers.
 *
 * All key heads j together, rotated for each frequency l by an orthogonal U_l across heads (the same for both
 * dimensions of a pair, so that it commutes with RoPE), are components (m, l); a query of head j meets component m with
 * U_l[m][j].
 *
 *   k'_(m,l) = sum_j U_l[m][j] k_(j,l)      q'_(m,l) = U_l[m][j(i)] q_(i,l)      q . k = sum_(m,l) q'_(m,l) . k'_(m,l)
 *
 * n_rot / 2 components stay rotated by position: they are the one key that all heads share. The others lose their
 * rotation (the approximation of partial RoPE), and with the values v they are S = [alpha k'; v], of which the latent
 * c = Q S keeps the `rank` rows Q with most of its energy; W_UK and W_UV are the parts of Q^T. With rank = rows of S
 * nothing is lost by Q. What transmla.c and mha2mla.c choose is U, alpha, and what energy is.
 *
 * Scale: deepseek2 divides scores by sqrt(d_nope + n_rot), the model by something else (usually sqrt(d)); the ratio
 * goes into the queries, as does the temperature that YaRN puts into cos and sin.
 *
 * Norm: deepseek2 normalises c, and nothing here may. The latent is made so small that the norm's epsilon outweighs it:
 * s c / sqrt(mean(s c)^2 + eps) times sqrt(eps) / s is c (1 - mean(s c)^2 / 2 eps), with mean (s c)^2 near 2.5e-7 eps.
 * While it is trained the same function has latents of size 1 and a norm with the epsilon eps / s^2, the key
 * attention.kv_a_norm_epsilon, which only this engine reads: optimisers do not like weights of 1e-5.
 *
 * Frequencies: other engines know base^(-2i / n_rot). Where the model's own are a geometric series and n_rot at most
 * what one head rotates, every t-th of them from the first on is kept, t by the energy kept, which is that series with
 * another base. Else they are written as divisors (rope_freqs.weight), which only this engine reads in this
 * architecture: others refuse the file, and a note says so; as it does for biases.
 */
#ifndef MN_CONVERT_LATENT_H
#define MN_CONVERT_LATENT_H

#include "convert/head_weights.h"
#include "convert/heads.h"

/* What differs from method to method. */
typedef struct mn_latent_method {
    /* Fills U [n_kv_heads][n_kv_heads] of one frequency; likeness: E[k_i . k_j] of the pairs of that frequency. */
    mn_status (*rotate)(const double *likeness, int n, double *u, mn_error *err);
    bool balances; /* alpha = |v| / |k'| over the calibration; else 1 */
    bool weights;  /* energy is that of the weights, not of what comes out over the calibration */
} mn_latent_method;

extern const mn_latent_method mn_transmla, mn_mha2mla;

/* A rotated component: of frequency `pair` the `rank`-th by contribution, in each layer another m. */
typedef struct mn_kept_pair {
    int pair, rank;
} mn_kept_pair;

/* Frequency `pair` of one layer. */
typedef struct mn_component_set {
    double *u;            /* [n_kv_heads][n_kv_heads], components by contribution */
    double *contribution; /* [n_kv_heads]: sum over query heads of sqrt(E|q'|^2 E|k'|^2) */
} mn_component_set;

/* U and contributions of all n_rot / 2 frequencies of a layer. out: room for n_rot / 2; the caller frees out[0].u. */
mn_status mn_latent_components(const mn_config *config, const mn_head_weights *h, const double *moments,
                               const mn_latent_method *method, mn_component_set *out, mn_error *err);

mn_status mn_latent_write(const mn_model *model, const mn_heads_wish *wish, const mn_moments *moments, const char *path,
                          mn_error *err);

/* Rows of S: the largest rank. */
int64_t mn_latent_full_rank(const mn_config *config, int n_rot);

/* Writes what mn_latent_write wrote, or a training of it, with small latents in the place of the key
 * attention.kv_a_norm_epsilon: the file for all engines. Tensors keep their types. */
mn_status mn_latent_finish(const char *in, const char *out, mn_error *err);

#endif
