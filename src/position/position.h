/* The position of a token. The RoPE family differs only in how it fills a table of frequencies (Su et al. 2021,
 * arXiv:2104.09864); ALiBi is a bias per head; sinusoidal and learned positions are added to the embedding.
 * One file per scheme in this room.
 */
#ifndef MN_POSITION_POSITION_H
#define MN_POSITION_POSITION_H

#include "base/status.h"
#include "base/technique.h"

#include <stdint.h>

typedef enum mn_rope_scaling {
    MN_ROPE_NONE,      /* plain RoPE */
    MN_ROPE_LINEAR,    /* PI, Chen et al. 2023 */
    MN_ROPE_NTK,       /* NTK-aware: a larger base */
    MN_ROPE_DYNAMIC,   /* NTK-aware with the factor of the window asked for */
    MN_ROPE_NTK_PARTS, /* NTK-by-parts: YaRN without its attention scale */
    MN_ROPE_YARN,      /* Peng et al. 2023 */
    MN_ROPE_LONGROPE,  /* Ding et al. 2024: a factor per dimension, short and long */
    MN_ROPE_LLAMA3,    /* Llama 3.1's smoothed split of wavelengths */
    MN_ROPE_SCALING_COUNT
} mn_rope_scaling;

/* "none" "linear" "ntk" "dynamic" "ntk-parts" "yarn" "longrope" "llama3"; -1 when unknown */
int mn_rope_scaling_find(const char *name);
const char *mn_rope_scaling_name(mn_rope_scaling scaling);
const mn_technique *mn_rope_scaling_about(mn_rope_scaling scaling);

/* Everything that decides the frequencies. Zeroed fields take the default named. The divisors of the file come first
 * and the scheme works on what they give, so that a model whose file already holds a scaling can be scaled further. */
typedef struct mn_rope_spec {
    mn_rope_scaling scaling;
    int n_rot;            /* dimensions rotated, even */
    double freq_base;     /* b > 1: theta_i = b^(-2i / n_rot) */
    double factor;        /* s >= 1; 0 = n_ctx / original_ctx, at least 1. MN_ROPE_DYNAMIC: its alpha, 0 = 1 */
    int64_t original_ctx; /* the window that was trained */
    double ext_factor;    /* YaRN: share of the by-parts ramp; 0 or less = 1, all of it. No ramp is MN_ROPE_LINEAR */
    double attn_factor;   /* multiplies q and k (cos and sin), on top of YaRN's 0.1 ln s + 1; 0 = 1, and for LongRoPE
                             sqrt(1 + ln s / ln original_ctx) */
    double beta_fast, beta_slow;               /* YaRN: turns within the window; 0 = 32 and 1 */
    double low_freq_factor, high_freq_factor;  /* Llama 3: 0 = 1 and 4 */
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

/* Fills the table for a window of n_ctx tokens. The factor follows this window and never the tokens read so far:
 * one session has one table, so that keys rotated once stay valid in the cache (dynamic NTK and LongRoPE, which the
 * papers let change while a text grows, included). Errors: n_rot odd, < 2 or too large, base <= 1, factor < 1, a
 * divisor that is not a positive number, missing LongRoPE factors, a scheme that needs the trained window without it;
 * each with value, limit, remedy. Cost: O(n_rot), once per session. */
mn_status mn_rope_init(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *out, mn_error *err);

/* Cosines and sines [n_rows, n_pairs] for positions[r], times scale: angles in double, so that position 1,000,000 is as
 * exact as position 1. */
void mn_rope_angles(const mn_rope_table *table, const int64_t *positions, int64_t n_rows, float *cos_out,
                    float *sin_out);

/* ALiBi slopes (Press et al. 2021, arXiv:2108.12409, sec. 3): slopes[h] is subtracted from the score once per token of
 * distance, for head h of n_heads >= 1. With c the largest power of two <= n_heads, the first c heads have
 * 2^(-max_bias (h + 1) / c), the others every other slope of the series for 2c heads. max_bias is 8 in the paper. */
void mn_alibi_slopes(int n_heads, double max_bias, float *slopes);
extern const mn_technique mn_alibi_about;

/* The row that is added to the embedding of a token (Vaswani et al. 2017, arXiv:1706.03762, sec. 3.5):
 * row[2i] = sin(position / 10000^(2i / n_embd)), row[2i + 1] = the same cosine. Angles in double. */
void mn_sinusoidal(int64_t position, int n_embd, float *row);
extern const mn_technique mn_sinusoidal_about;

#endif
