/* Scaling laws: what loss a language model will reach, before it is trained.
 *
 * Three quantities are tied together: params N (size), tokens D (training text read) and loss L (natural logarithm,
 * nats per token); training costs about C = 6 N D FLOP. Every law here is one formula with six constants,
 *
 *     L(N, D) = (E + A / N^alpha + B / D^beta)^gamma
 *
 * Chinchilla and Besiroglu have gamma = 1; Kaplan's joint law has E = 0 and gamma below 1. What raises the loss is a
 * sum of a part for the size and a part for the text, so that all inverses and the cheapest split of a budget have
 * closed forms. Losses belong to the text and the tokenizer of the paper: compare differences, not absolute values.
 *
 * Kaplan counts non-embedding parameters, the others all; mn_scaling_law.counts says which.
 * Functions without a status compute for any positive arguments (INFINITY included) and read nothing else.
 *
 * Threads: nothing is kept between calls, so any thread may call anything at any time.
 */
#ifndef MNEMO_SCALING_H
#define MNEMO_SCALING_H

#include <mnemo/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mn_scaling_family {
    MN_SCALING_PARAMETRIC, /* the formula above is all there is */
    MN_SCALING_KAPLAN      /* separate fits for N, D and C beside the joint one; see mn_kaplan_* */
} mn_scaling_family;

typedef struct mn_scaling_law {
    char name[64];
    mn_scaling_family family;
    double E, A, B, alpha, beta, gamma;
    const char *counts; /* what params means: "all parameters"; a constant */
} mn_scaling_law;

/* One model to be trained. Loss in nats per token, flops = FLOP of the whole training. */
typedef struct mn_scaling_point {
    double params, tokens, flops, loss;
} mn_scaling_point;

#define MN_PF_DAY_FLOPS 8.64e19 /* 1e15 FLOP/s for a day */

/* ---- laws (law.c) ---- */

/* Names of the built-in laws: kaplan, chinchilla, chinchilla-exact, besiroglu, besiroglu-exact; NULL ends
 * the list. The exact ones have the constants before the paper rounded them. */
extern const char *const mn_scaling_law_names[];

/* A built-in law by name, or else a law file (see mn_scaling_law_read). Errors name the laws there are. */
mn_status mn_scaling_law_find(const char *name_or_path, mn_scaling_law *out, mn_error *err);

/* L(N, D) by the formula above. */
double mn_scaling_loss(const mn_scaling_law *law, double params, double tokens);

/* Loss without limit of text (L(N)) and without limit of size (L(D)). For Kaplan these are the fits of their own, whose
 * constants differ from the joint law's; for the others the limits of the formula. */
double mn_scaling_loss_of_params(const mn_scaling_law *law, double params);
double mn_scaling_loss_of_tokens(const mn_scaling_law *law, double tokens);

/* The inverses: D = (B / (L^(1/gamma) - E - A / N^alpha))^(1/beta), and N likewise. MN_ERR_LIMIT, with the floor in the
 * sentence, where no number reaches the loss. */
mn_status mn_scaling_tokens(const mn_scaling_law *law, double params, double loss, double *tokens, mn_error *err);
mn_status mn_scaling_params(const mn_scaling_law *law, double tokens, double loss, double *params, mn_error *err);

/* The split of a budget of FLOP that gives the lowest loss: N = G (C/6)^(beta/(alpha+beta)) with
 * G = (alpha A / (beta B))^(1/(alpha+beta)), D = C / 6N (Chinchilla eq. 4). Kaplan: mn_kaplan_optimal. */
void mn_scaling_optimal(const mn_scaling_law *law, double flops, mn_scaling_point *out);
/* The cheapest training that reaches a loss; MN_ERR_LIMIT where none does. */
mn_status mn_scaling_cheapest(const mn_scaling_law *law, double loss, mn_scaling_point *out, mn_error *err);
/* The budget for which a model of this size is the best one. */
void mn_scaling_optimal_for_params(const mn_scaling_law *law, double params, mn_scaling_point *out);

/* ---- Kaplan et al. 2020, arXiv 2001.08361 (kaplan.c): N without embeddings ---- */

double mn_kaplan_loss_of_params(double params);       /* L(N), trained to convergence */
double mn_kaplan_loss_of_tokens(double tokens);       /* L(D), stopped early */
double mn_kaplan_loss_of_flops(double flops);         /* L(C), the fixed batch the runs happened to have */
double mn_kaplan_loss_of_flops_min(double flops_min); /* L(C_min), as if the batch had been small */
double mn_kaplan_flops_min_of_loss(double loss);      /* its inverse */
/* L(N, S_min): loss after S_min optimiser steps at a batch far above the critical one. */
double mn_kaplan_loss_of_steps(double params, double steps_min);
/* B_crit(L) = B* / L^(1/alpha_B), tokens: larger batches waste compute, smaller ones time. */
double mn_kaplan_critical_batch(double loss);
/* S_min = S / (1 + B_crit / B) and C_min = C / (1 + B / B_crit) of a training at batch_tokens. */
double mn_kaplan_steps_min(double steps, double batch_tokens, double critical_batch_tokens);
double mn_kaplan_flops_min(double flops, double batch_tokens, double critical_batch_tokens);
/* Least tokens that keep overfitting (below) near 0.02: 5e3 N^0.74. */
double mn_kaplan_enough_tokens(double params);
/* What limited text costs: L(N, D) / L(N, infinity) - 1. */
double mn_kaplan_overfit(double params, double tokens);

typedef struct mn_kaplan_plan {
    double params, batch_tokens, steps_min, tokens, loss;
} mn_kaplan_plan;

/* Fits to the compute-efficient frontier, C_min in FLOP: N = 1.3e9 P^.73, B = 2.0e6 P^.24, S_min = 5.4e3 P^.03,
 * D = 2e10 P^.27 with P in PF-days. D is what is read at the critical batch, which costs twice C_min, so that
 * 6 N D is not C_min. */
void mn_kaplan_optimal(double flops_min, mn_kaplan_plan *out);

/* ---- Hoffmann et al. 2022, "Chinchilla", arXiv 2203.15556 (chinchilla.c) ---- */

/* The split of a budget by approach 1 (the lower envelope of training curves, N ~ C^.50) or 2 (parabolas at equal FLOP,
 * N ~ C^.49). Approach 3 is the law "chinchilla". Neither predicts a loss: out->loss is NaN. */
void mn_chinchilla_approach(int approach, double flops, mn_scaling_point *out);

/* ---- what to expect of a model that exists (expect.c) ---- */

/* A transformer as the laws see it. Of a mixture of experts only what one token uses is counted; the laws were fitted
 * to dense models, and are silent on the rest. */
typedef struct mn_scaling_model {
    double params, params_embedding; /* used for one token; of these in the token table and the output */
    double output_params;            /* n_embd * n_vocab: the table does not multiply, the output matrix does */
    int64_t n_layers, n_ctx, attention_width; /* width: n_heads * (head_dim_k + head_dim_v) */
} mn_scaling_model;

/* FLOP to train on one token within a full context, three times a forward pass: 6 for each weight that multiplies, and
 * 3 n_layers n_ctx attention_width for scores and values, each token seeing half the context on average. */
double mn_scaling_train_flops_per_token(const mn_scaling_model *model);
/* What a law says of a model of this size, counted as the law counts: the text for which it is the best size, with the
 * loss and the FLOP there. *floor: the loss without limit of text. */
void mn_scaling_expect(const mn_scaling_law *law, const mn_scaling_model *model, mn_scaling_point *best, double *floor);

/* ---- a budget in machines (accelerators.c) ---- */

typedef struct mn_accelerator {
    const char *name, *full_name; /* "h100", "NVIDIA H100 SXM" */
    double bf16_flops;            /* peak FLOP/s, dense (no structured sparsity), as the data sheet states */
    const char *source;
} mn_accelerator;

extern const mn_accelerator mn_accelerators[]; /* ends with a NULL name */
/* NULL where there is none of that name. */
const mn_accelerator *mn_accelerator_find(const char *name);

/* ---- fit a law to one's own runs (runs.c, fit.c) ---- */

typedef struct mn_scaling_run {
    double params, tokens, loss;
} mn_scaling_run;

/* Reads a CSV file whose header names the columns params, tokens and loss, in any order and among others. Values are
 * plain numbers above 0: params to 1e18, tokens to 1e24, loss to 100. MN_ERR_FORMAT names the first bad line.
 * The caller frees *runs. */
mn_status mn_scaling_runs_read(const char *path, mn_scaling_run **runs, size_t *n_runs, mn_error *err);

typedef struct mn_scaling_fit_options {
    int n_threads;   /* 0 = one per core; no result depends on it */
    int n_bootstrap; /* resamples for the standard errors; 0 = none */
    uint64_t seed;   /* of the resampling */
    /* Called now and then from the calling thread; false stops with MN_ERR_CANCELLED. May be NULL. */
    bool (*progress)(void *arg, const char *stage, int64_t done, int64_t total);
    void *progress_arg;
} mn_scaling_fit_options;

typedef struct mn_scaling_fit {
    mn_scaling_law law; /* named "fit" */
    double objective;   /* sum over the runs of Huber(ln predicted - ln measured), delta 1e-3 */
    size_t n_runs;
    int n_bootstrap;   /* 0: no standard errors */
    mn_scaling_law se; /* bootstrap standard errors in the fields E, A, B, alpha and beta */
} mn_scaling_fit;

/* Fits E + A / N^alpha + B / D^beta as Hoffmann et al. did (section 3.3): Huber loss on logarithms, log-sum-exp form,
 * L-BFGS from 4500 starts. Errors: MN_ERR_ARGUMENT where the runs are too few (6) or too alike (3 different values of
 * each) to fix five constants. Cost: about half a million evaluations of every run; some seconds for 240 runs. */
mn_status mn_scaling_fit_runs(const mn_scaling_run *runs, size_t n_runs, const mn_scaling_fit_options *options,
                              mn_scaling_fit *out, mn_error *err);
/* The objective above for any constants, to compare laws on the same runs. */
double mn_scaling_fit_objective(const mn_scaling_law *law, const mn_scaling_run *runs, size_t n_runs);

/* ---- files (law_file.c, picture.c) ---- */

/* The fit as JSON: law, E, A, B, alpha, beta, objective, points, and se. The caller frees it; NULL without memory. */
char *mn_scaling_fit_json(const mn_scaling_fit *fit);
/* Reads E, A, B, alpha, beta and, if there, law (the name) from such a file. */
mn_status mn_scaling_law_read(const char *path, mn_scaling_law *out, mn_error *err);

/* Draws lines of equal loss over size and tokens, the line of best splits, and the points given, with their losses. */
mn_status mn_scaling_draw(const mn_scaling_law *law, const mn_scaling_point *points, size_t n_points, const char *path,
                          mn_error *err);
/* Draws the best size over the budget by every law there is, with a line at flops. */
mn_status mn_scaling_draw_sizes(double flops, const char *path, mn_error *err);
/* Draws how far each run lies from the fitted law, in percent, over its training FLOP. */
mn_status mn_scaling_draw_residuals(const mn_scaling_fit *fit, const mn_scaling_run *runs, const char *path,
                                    mn_error *err);

#ifdef __cplusplus
}
#endif
#endif
