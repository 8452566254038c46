/* Memory layout of the quantised blocks, as the GGUF format fixes it, and their conversions to and from f32.
 *
 * The types of 32 elements hold one scale d (and one offset m). The K types are super-blocks of 256: sub-blocks of 16
 * or 32 elements have small integer scales, which a 16-bit float multiplies. In every formula the products are
 * rounded in the order written here; that is what bit-exact means for a quantised type.
 *
 * Blocks are 2-byte aligned, but for those of MXFP4, which are bytes.
 */
#ifndef MN_TENSOR_BLOCKS_H
#define MN_TENSOR_BLOCKS_H

#include <stdint.h>

enum { MN_BLOCK = 32, MN_SUPER_BLOCK = 256 };

typedef uint16_t mn_half; /* bits of an f16 */

/* x_j = d (q_j - 8); byte j holds element j (low nibble) and element j + 16 (high nibble), in all 4-bit types of 32 */
typedef struct mn_q4_0 {
    mn_half d;
    uint8_t q[16];
} mn_q4_0;

/* x_j = d q_j + m */
typedef struct mn_q4_1 {
    mn_half d, m;
    uint8_t q[16];
} mn_q4_1;

/* x_j = d (q_j - 16); bit j of high is bit 4 of q_j */
typedef struct mn_q5_0 {
    mn_half d;
    uint8_t high[4];
    uint8_t q[16];
} mn_q5_0;

/* x_j = d q_j + m */
typedef struct mn_q5_1 {
    mn_half d, m;
    uint8_t high[4];
    uint8_t q[16];
} mn_q5_1;

/* x_j = d q_j */
typedef struct mn_q8_0 {
    mn_half d;
    int8_t q[32];
} mn_q8_0;

/* x_j = d mn_iq4_nl_values[q_j] */
typedef struct mn_iq4_nl {
    mn_half d;
    uint8_t q[16];
} mn_iq4_nl;

/* x_j = 2^(e - 128) mn_mxfp4_values[q_j], 0 1 2 3 4 6 8 12 and their negatives: E2M1 with a sign under a power of two
 */
typedef struct mn_mxfp4 {
    uint8_t e;
    uint8_t q[16];
} mn_mxfp4;

/* Sub-blocks of 32: x = (d * (scale - 32)) mn_iq4_nl_values[q_j]; four bits of a scale are in low, two in high */
typedef struct mn_iq4_xs {
    mn_half d;
    uint16_t scales_high;
    uint8_t scales_low[4];
    uint8_t q[128];
} mn_iq4_xs;

/* Sub-blocks of 16: x = (d * scale) q - (d_min * min), scale and min the low and high nibble of scales[sub-block].
 * Of each half (128 elements, 32 bytes of q), byte l holds elements l, l + 32, l + 64, l + 96, two bits each. */
typedef struct mn_q2_k {
    uint8_t scales[16];
    uint8_t q[64];
    mn_half d, d_min;
} mn_q2_k;

/* Sub-blocks of 16: x = (d * (scale - 32)) (q - 4 where the high bit is clear); q in the order of Q2_K. Bit 4 h + k
 * of high[l] belongs to element 128 h + 32 k + l. scales: sixteen of 6 bits, see mn_q3_k_scale. */
typedef struct mn_q3_k {
    uint8_t high[32];
    uint8_t q[64];
    uint8_t scales[12];
    mn_half d;
} mn_q3_k;

/* Sub-blocks of 32: x = (d * scale) q - (d_min * min). Byte l of each 32 bytes of q holds elements l and l + 32 of a
 * quarter. scales: eight scales and eight minima of 6 bits, see mn_k4_scale. */
typedef struct mn_q4_k {
    mn_half d, d_min;
    uint8_t scales[12];
    uint8_t q[128];
} mn_q4_k;

/* As Q4_K; bit s of high[l] is bit 4 of element l of sub-block s. */
typedef struct mn_q5_k {
    mn_half d, d_min;
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t q[128];
} mn_q5_k;

/* Sub-blocks of 16: x = (d * scale) (q - 32). Of each half (128 elements): bytes l and l + 32 of 64 in low hold the low
 * nibbles of elements l, l + 32 and, in their high nibble, l + 64, l + 96; byte l of 32 in high their upper two bits.
 */
typedef struct mn_q6_k {
    uint8_t low[128];
    uint8_t high[64];
    int8_t scales[16];
    mn_half d;
} mn_q6_k;

extern const int8_t mn_iq4_nl_values[16];
extern const int8_t mn_mxfp4_values[16];

/* Scale s (of 16), in 0..63, of a Q3_K block. */
static inline int mn_q3_k_scale(const uint8_t scales[12], int s) {
    int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
    return low | (scales[8 + s % 4] >> 2 * (s / 4) & 3) << 4;
}

/* Scale and minimum s (of 8), in 0..63, of a Q4_K or Q5_K block. */
static inline void mn_k4_scale(const uint8_t scales[12], int s, int *scale, int *min) {
    if (s < 4) {
        *scale = scales[s] & 63;
        *min = scales[s + 4] & 63;
    } else {
        *scale = (scales[s + 4] & 15) | scales[s - 4] >> 6 << 4;
        *min = scales[s + 4] >> 4 | scales[s] >> 6 << 4;
    }
}

/* src, dst: n blocks. What the entries of mn_dtype_info point to. */
void mn_q4_0_to_f32(const void *src, float *dst, int64_t n);
void mn_q4_1_to_f32(const void *src, float *dst, int64_t n);
void mn_q5_0_to_f32(const void *src, float *dst, int64_t n);
void mn_q5_1_to_f32(const void *src, float *dst, int64_t n);
void mn_q8_0_to_f32(const void *src, float *dst, int64_t n);
void mn_iq4_nl_to_f32(const void *src, float *dst, int64_t n);
void mn_iq4_xs_to_f32(const void *src, float *dst, int64_t n);
void mn_mxfp4_to_f32(const void *src, float *dst, int64_t n);
void mn_q2_k_to_f32(const void *src, float *dst, int64_t n);
void mn_q3_k_to_f32(const void *src, float *dst, int64_t n);
void mn_q4_k_to_f32(const void *src, float *dst, int64_t n);
void mn_q5_k_to_f32(const void *src, float *dst, int64_t n);
void mn_q6_k_to_f32(const void *src, float *dst, int64_t n);

/* A block with infinities or NaN comes out with a scale that says so; its elements mean nothing. */
void mn_q4_0_from_f32(const float *src, void *dst, int64_t n);
void mn_q4_1_from_f32(const float *src, void *dst, int64_t n);
void mn_q5_0_from_f32(const float *src, void *dst, int64_t n);
void mn_q5_1_from_f32(const float *src, void *dst, int64_t n);
void mn_q8_0_from_f32(const float *src, void *dst, int64_t n);
void mn_iq4_nl_from_f32(const float *src, void *dst, int64_t n);
void mn_iq4_xs_from_f32(const float *src, void *dst, int64_t n);
void mn_mxfp4_from_f32(const float *src, void *dst, int64_t n);
void mn_q2_k_from_f32(const float *src, void *dst, int64_t n);
void mn_q3_k_from_f32(const float *src, void *dst, int64_t n);
void mn_q4_k_from_f32(const float *src, void *dst, int64_t n);
void mn_q6_k_from_f32(const float *src, void *dst, int64_t n);

#endif
