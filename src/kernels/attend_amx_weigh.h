/* A row of scores to weights 2^(factor s - m) in bf16, by 16-bit integers: while tiles are in use one port is left to
 * floating-point instructions of 512 bits, so that eight of them for sixteen weights, as elsewhere, would take longer
 * than the products of keys and of values together.
 *
 * x = factor s - m is rounded to 1/1024 and packed to 16 bits, saturating at -32, where a weight is taken for 0. With
 * x = e + f, 0 <= f < 1, the bits of bf16 are 128 (e + 127 + (2^f - 1)), and 2^f - 1 - f is a cubic of v = f - 1/2. The
 * weights' error is 1.8e-3 rms, that of rounding to bf16 alone 1.7e-3; their sum is taken of the same weights.
 *
 * A score that is not a number weighs 0; scores beyond 2^22, whose whole numbers floats no longer tell apart, mean
 * nothing.
 *
 * m is a whole number: moving it multiplies weights, sums and outputs by powers of two, which is exact, so that weights
 * made before and after may wait together for the values.
 */
#ifndef MN_KERNELS_ATTEND_AMX_WEIGH_H
#define MN_KERNELS_ATTEND_AMX_WEIGH_H

#include "kernels/amx.h"
#include "kernels/attend_avx512.h"

#include <math.h>
#include <stdbool.h>

enum {
    ROWS = MN_AMX_ROWS,
    WEIGHT_ROW_BYTES = MN_TILE_KEYS * 2,
    WEIGHT_BYTES = ROWS * WEIGHT_ROW_BYTES, /* of a key tile */
    ONE = 1024,                             /* x = 1 */
    NOTHING = -32768                        /* x below -32 */
};

/* Sixteen rows. Their weights of some tiles lie one after the other. */
typedef struct group {
    const char *q;
    float *m, *l, *o;                     /* [ROWS], [ROWS], [ROWS, v_pad] */
    const uint64_t *seen[MN_RUN_TILES];   /* [ROWS]; NULL: every key */
    char *weights;                        /* [MN_RUN_TILES][ROWS][MN_TILE_KEYS] bf16 */
    uint8_t n_tiles, tiles[MN_RUN_TILES]; /* that have weights */
} group;

/* Registers that the compiler would otherwise fill again and again, through the port that everything else waits for. */
typedef struct weigh_constants {
    __m512 factor;
    __m512i cubic, square, linear, nothing, base;
} weigh_constants;

/* What does not change, and the group at hand: x = s factor[r] + shift[r], and scores above limit[r] raise m. */
typedef struct weigher {
    weigh_constants constants;
    float factor;
    int v_pad;
    float shift[ROWS], limit[ROWS];
} weigher;

/* The constant terms of the cubic at v = 0 (-88), of rounding (4) and of v (-512) make a multiple of 8 with BIAS. */
enum { BIAS = 509, BASE = 127 * 128 - 74, CUBIC = 80, SQUARE = 351, LINEAR = -20 };

MN_INLINE void start_weigher(weigher *w, float factor, int v_pad) {
    w->constants = (weigh_constants){.factor = _mm512_set1_ps(factor * ONE),
                                     .cubic = _mm512_set1_epi16(CUBIC),
                                     .square = _mm512_set1_epi16(SQUARE),
                                     .linear = _mm512_set1_epi16(LINEAR),
                                     .nothing = _mm512_set1_epi16(NOTHING),
                                     .base = _mm512_set1_epi16(BASE)};
    w->factor = factor;
    w->v_pad = v_pad;
}

/* The same in registers, whose values the compiler does not know. */
MN_INLINE weigh_constants hold_constants(const weigher *w) {
    weigh_constants c = w->constants;
    __asm__("" : "+v"(c.factor), "+v"(c.cubic), "+v"(c.square), "+v"(c.linear), "+v"(c.nothing), "+v"(c.base));
    return c;
}

MN_INLINE void start_group(weigher *w, const float *maxima) {
    __m512 m = _mm512_loadu_ps(maxima);
    __mmask16 unseen = _mm512_cmp_ps_mask(m, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ);
    __m512 top = _mm512_add_ps(m, _mm512_set1_ps(MN_RESCALE_THRESHOLD));
    _mm512_storeu_ps(w->limit, _mm512_div_ps(top, _mm512_set1_ps(w->factor)));
    m = _mm512_mask_mov_ps(m, unseen, _mm512_setzero_ps());
    _mm512_storeu_ps(w->shift, _mm512_fnmadd_ps(m, _mm512_set1_ps(ONE), _mm512_set1_ps(BIAS)));
}

/* 2^-steps of what row r of a group has so far; bf16 by its exponent, to 0 where that ends. */
static void shrink_row(group *g, int r, float steps, int v_pad) {
    __m512 scale = _mm512_scalef_ps(_mm512_set1_ps(1), _mm512_set1_ps(-steps));
    g->l[r] *= _mm512_cvtss_f32(scale);
    float *o = g->o + (size_t)r * (size_t)v_pad;
    for (int i = 0; i < v_pad; i += 16) _mm512_storeu_ps(o + i, _mm512_mul_ps(_mm512_loadu_ps(o + i), scale));
    __m512i exponents = _mm512_set1_epi16(steps < 255 ? (short)((int)steps * 128) : (short)(255 * 128));
    for (int t = 0; t < g->n_tiles; t++) {
        __m512i *row = (__m512i *)(void *)(g->weights + t * WEIGHT_BYTES + r * WEIGHT_ROW_BYTES);
        for (int i = 0; i < 2; i++) row[i] = _mm512_subs_epu16(row[i], exponents);
    }
}

static __attribute__((noinline)) void raise_row(weigher *w, group *g, int r, float top) {
    float m = ceilf(top * w->factor);
    if (g->m[r] != -INFINITY) shrink_row(g, r, m - g->m[r], w->v_pad);
    g->m[r] = m;
    w->shift[r] = BIAS - ONE * m;
    w->limit[r] = (m + MN_RESCALE_THRESHOLD) / w->factor;
}

/* 1/1024 of x and BIAS, to the bits of bf16 */
MN_INLINE __m512i power_of_two(__m512i x, const weigh_constants *c) {
    __m512i v = _mm512_slli_epi16(x, 6);
    __m512i slope = _mm512_add_epi16(_mm512_mulhi_epi16(v, c->cubic), c->square);
    slope = _mm512_add_epi16(_mm512_mulhi_epi16(v, slope), c->linear);
    __m512i bits = _mm512_srai_epi16(_mm512_add_epi16(x, _mm512_mulhi_epi16(v, slope)), 3);
    return _mm512_maskz_add_epi16(_mm512_cmpneq_epi16_mask(x, c->nothing), bits, c->base);
}

MN_INLINE __m512i round_to_16(__m512 low, __m512 high, __m512 shift, const weigh_constants *c) {
    return _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_fmadd_ps(low, c->factor, shift)),
                              _mm512_cvtps_epi32(_mm512_fmadd_ps(high, c->factor, shift)));
}

/* Row r of s [ROWS, MN_TILE_KEYS] into weights. Their order is that of packing, not of keys: pair 4 i + 2 h + j of each
 * half holds keys 16 h + 4 i + 2 j and the next. */
MN_INLINE void weigh_row(weigher *w, group *g, char *weights, const float *s, int r, const uint64_t *seen,
                         const weigh_constants *c) {
    __m512 x[4], none = _mm512_set1_ps(-INFINITY);
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_load_ps(s + r * MN_TILE_KEYS + 16 * i);
        if (seen) x[i] = _mm512_mask_mov_ps(none, (__mmask16)(seen[r] >> 16 * i), x[i]);
    }
    __m512 limit = _mm512_set1_ps(w->limit[r]);
    __mmask16 low = _mm512_cmp_ps_mask(x[0], limit, _CMP_NGT_UQ);
    for (int i = 1; i < 4; i++) low = _mm512_mask_cmp_ps_mask(low, x[i], limit, _CMP_NGT_UQ);
    if (__builtin_expect(low != 0xffff, 0))
        raise_row(w, g, r, _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3]))));
    __m512 shift = _mm512_set1_ps(w->shift[r]);
    char *row = weights + r * WEIGHT_ROW_BYTES;
    _mm512_store_si512(row, power_of_two(round_to_16(x[0], x[1], shift, c), c));
    _mm512_store_si512(row + 64, power_of_two(round_to_16(x[2], x[3], shift, c), c));
}

#endif
