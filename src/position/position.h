/* Where a token says it is. The RoPE family differs only in how it fills a table of frequencies (Su et al. 2021,
 * arXiv:2104.09864); ALiBi is a bias per head; sinusoidal and learned positions are added to the embedding.
 * One file per scheme in this room.
 */
#ifndef MN_POSITION_POSITION_H
#define MN_POSITION_POSITION_H

#include "base/status.h"

#include <stdint.h>

typedef enum mn_rope_scaling {
    MN_ROPE_NONE,     /* plain RoPE */
    MN_ROPE_LINEAR,   /* PI, Chen et al. 2023 */
    MN_ROPE_NTK,      /* NTK-aware: a larger base */
    MN_ROPE_DYNAMIC,  /* NTK-aware with the factor of the window asked for */
    MN_ROPE_NTK_PARTS,/* NTK-by-parts: YaRN without its attention scale */
    MN_ROPE_YARN,     /* Peng et al. 2023 */
    MN_ROPE_LONGROPE, /* Ding et al. 2024: a factor per dimension, short and long */
    MN_ROPE_LLAMA3,   /* Llama 3.1's smoothed split of wavelengths */
    MN_ROPE_SCALING_COUNT
} mn_rope_scaling;

/* "none" "linear" "ntk" "dynamic" "ntk-parts" "yarn" "longrope" "llama3"; -1 when unknown */
int mn_rope_scaling_find(const char *name);
const char *mn_rope_scaling_name(mn_rope_scaling scaling);

/* Everything that decides the frequencies. Zeroed fields take the default named. */
typedef struct mn_rope_spec {
    mn_rope_scaling scaling;
    int n_rot;            /* dimensions rotated, even */
    double freq_base;     /* b: theta_i = b^(-2i / n_rot) */
    double factor;        /* s >= 1; 0 = n_ctx / original_ctx, at least 1 */
    int64_t original_ctx; /* the window that was trained */
    double ext_factor;    /* YaRN: share of the by-parts ramp, 1 = all; < 0 = 1 */
    double attn_factor;   /* multiplies q and k (cos and sin), on top of YaRN's 0.1 ln s + 1; 0 = 1 */
    double beta_fast, beta_slow; /* YaRN: 0 = 32 and 1 */
    double low_freq_factor, high_freq_factor; /* Llama 3: 0 = 1 and 4 */
    const float *factors_long, *factors_short; /* LongRoPE: [n_rot / 2], borrowed, may be NULL */
    const float *factors; /* divisors stored in the file (rope_freqs.weight): [n_rot / 2], borrowed, may be NULL */
} mn_rope_spec;

enum { MN_MAX_ROT_PAIRS = 512 };

/* The frequencies of one model window. */
typedef struct mn_rope_table {
    int n_pairs;
    double freq[MN_MAX_ROT_PAIRS]; /* radians per token */
    double scale;                  /* multiplied into cos and sin */
    double factor;                 /* the s that was used */
} mn_rope_table;

/* Fills the table for a window of n_ctx tokens. Errors: n_rot odd, < 2 or too large, base <= 0, factor < 1, missing
 * LongRoPE factors, each with value, limit, remedy. Cost: O(n_rot), once per session. */
mn_status mn_rope_init(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *out, mn_error *err);

/* cos and sin [n_rows, n_pairs] for positions[r], times scale: angles in double, so that position 1,000,000 is as
 * exact as position 1. */
void mn_rope_angles(const mn_rope_table *table, const int64_t *positions, int64_t n_rows, float *cos, float *sin);

/* ALiBi slopes (Press et al. 2021, sec. 3): head h of n, also when n is no power of two. max_bias 8 in the paper. */
void mn_alibi_slopes(int n_heads, double max_bias, float *slopes);

#endif
