/* A small MLP for easy tokens beside a layer's dense one, and a router that tells which tokens are easy (Duo-LLM,
 * Alizadeh et al. 2024, arXiv:2410.10846; a small MLP made of the large one's most active units: MatFormer, Devvrit et
 * al. 2023, arXiv:2310.07707).
 *
 *   z = w . x + b,   easy = sigmoid(z) > threshold,   y = easy ? small(x) : big(x)
 *
 * x is the MLPs' input. z is computed in f32 for each row by itself, so that a token goes the same way alone and in any
 * batch.
 */
#ifndef MN_MLP_EASY_H
#define MN_MLP_EASY_H

#include "base/technique.h"
#include "kernels/compute.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum { MN_BIG, MN_SMALL }; /* the two MLPs, as indices */

/* Threshold 0: every token is easy; 1: none. A z that is no number is not easy. */
static inline bool mn_is_easy(float z, float threshold) {
    if (threshold <= 0 || threshold >= 1) return threshold <= 0;
    return z > logf(threshold / (1 - threshold));
}

/* z [n_rows] of rows x [n_embd] that begin x_stride floats apart. */
void mn_easy_scores(const mn_compute *c, float *z, const float *x, int64_t x_stride, int64_t n_rows, const float *w,
                    float b, int64_t n_embd);

/* Rows that went through each MLP of a layer, the time that they took there, and that of the router and of gathering.
 */
typedef struct mn_easy_count {
    int64_t n_rows[2]; /* MN_BIG, MN_SMALL */
    double seconds[2], router_seconds;
} mn_easy_count;

enum { MN_EASY_PREFILL, MN_EASY_DECODE };

/* How one sequence's tokens are sent, and what is noted of it. All memory is the owner's. */
typedef struct mn_easy {
    float threshold;
    /* [n_layers][n_choices], for tokens before n_choices: */
    const uint8_t *choices; /* MN_BIG or MN_SMALL, whatever the router says; NULL: the router */
    float *scores;          /* z is written here; NULL: nowhere */
    int64_t n_choices;
    mn_easy_count (*counts)[2]; /* [n_layers], MN_EASY_PREFILL and MN_EASY_DECODE, added to; NULL: not counted */
} mn_easy;

/* The share of rows that took the small MLP; NAN without rows. */
double mn_easy_share(const mn_easy_count *count);
/* What small MLP and router saved of the time that all rows would have taken in the big one, at the big one's mean of
 * these counts; *all gets that time. NAN when no row took the big one. */
double mn_easy_saved(const mn_easy_count *count, double *all);

extern const mn_technique mn_easy_about;

#endif
