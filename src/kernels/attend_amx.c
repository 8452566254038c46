/* Attention tiles multiplied by tdpbf16ps: 16 query rows by 16 keys (or value elements) by 32 products at a time. Packed as
 * for vdpbf16ps (attend_avx512bf16.c), whose pairs are what the tiles want.
 *
 * Of tiles 0 to 3 each holds 16 columns of sums, 4 and 6 the factors, 5 and 7 factors of half the depth: dims are multiples
 * of 16, and a product takes 32.
 */
#include "kernels/amx.h"
#include "kernels/attend_avx512.h"

enum { ROWS = MN_AMX_ROWS, PANEL = 64, PAIRS = 16, WEIGHT_BYTES = MN_TILE_KEYS * 2 };

static void enter(void) {
    static const mn_amx_shapes shapes = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 32, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 8},
    };
    _tile_loadconfig(&shapes);
}

typedef struct operand {
    const char *data;
    size_t row_bytes; /* from a row to the next */
} operand;

/* c [16, 16 n_vectors] = (or +=) a [16, 2 n_pairs] b. tilezero between products would stall them. */
MN_INLINE void multiply_tiles(float *c, size_t c_row_bytes, operand a, operand b, int n_pairs, int n_vectors, bool add) {
    if (add) {
        _tile_loadd(0, c, c_row_bytes);
        if (n_vectors > 1) _tile_loadd(1, c + 16, c_row_bytes);
        if (n_vectors > 2) _tile_loadd(2, c + 32, c_row_bytes);
        if (n_vectors > 3) _tile_loadd(3, c + 48, c_row_bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
#define COLUMN(i, a_tile, b_tile)                                \
    if (n_vectors > i) {                                         \
        _tile_loadd(b_tile, b.data + 64 * i, b.row_bytes);       \
        _tile_dpbf16ps(i, a_tile, b_tile);                       \
    }
#define STEP(a_tile, b_tile)                       \
    do {                                           \
        _tile_loadd(a_tile, a.data, a.row_bytes);  \
        COLUMN(0, a_tile, b_tile)                  \
        COLUMN(1, a_tile, b_tile)                  \
        COLUMN(2, a_tile, b_tile)                  \
        COLUMN(3, a_tile, b_tile)                  \
    } while (0)
    for (; n_pairs >= PAIRS; n_pairs -= PAIRS, a.data += 4 * PAIRS, b.data += PAIRS * b.row_bytes) {
        STEP(4, 6);
    }
    if (n_pairs > 0) {
        STEP(5, 7);
    }
#undef STEP
#undef COLUMN
    _tile_stored(0, c, c_row_bytes);
    if (n_vectors > 1) _tile_stored(1, c + 16, c_row_bytes);
    if (n_vectors > 2) _tile_stored(2, c + 32, c_row_bytes);
    if (n_vectors > 3) _tile_stored(3, c + 48, c_row_bytes);
}

/* Raw products of 16 rows with the keys of a tile. */
MN_INLINE void multiply_keys(float *s, const void *q, const void *k, int k_pad) {
    multiply_tiles(s, MN_TILE_KEYS * sizeof *s, (operand){q, (size_t)k_pad * 2}, (operand){k, MN_TILE_KEYS * 4}, k_pad / 2,
                   4, false);
}

MN_INLINE void multiply_values(float *o, const void *weights, const char *v, int v_pad) {
    operand a = {weights, WEIGHT_BYTES};
    size_t o_row_bytes = (size_t)v_pad * sizeof *o, v_row_bytes = (size_t)v_pad * 4;
    int i = 0;
    for (; i + PANEL <= v_pad; i += PANEL)
        multiply_tiles(o + i, o_row_bytes, a, (operand){v + 4 * i, v_row_bytes}, MN_TILE_KEYS / 2, 4, true);
    for (; i < v_pad; i += 16)
        multiply_tiles(o + i, o_row_bytes, a, (operand){v + 4 * i, v_row_bytes}, MN_TILE_KEYS / 2, 1, true);
}

/* Turns a row of scores, times factor, into weights, rounded to bf16. Returns sixteen parts of their sum. */
MN_INLINE __m512 weigh_row(char *weights, float *m, float *l, float *o, const float *s, __m512 factor, int v_pad) {
    __m512 x[4];
    for (int i = 0; i < 4; i++) x[i] = _mm512_mul_ps(_mm512_load_ps(s + 16 * i), factor);
    __m512 top = _mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3]));
    if (_mm512_cmp_ps_mask(top, _mm512_set1_ps(*m + MN_RESCALE_THRESHOLD), _CMP_GT_OQ))
        raise_max(m, l, o, _mm512_reduce_max_ps(top), v_pad);
    __m512 shift = _mm512_set1_ps(*m == -INFINITY ? 0 : *m);
    for (int i = 0; i < 4; i++) x[i] = exp2_cubic(_mm512_sub_ps(x[i], shift));
    _mm512_store_si512(weights, (__m512i)_mm512_cvtne2ps_pbh(x[1], x[0]));
    _mm512_store_si512(weights + 64, (__m512i)_mm512_cvtne2ps_pbh(x[3], x[2]));
    return _mm512_add_ps(_mm512_add_ps(x[0], x[1]), _mm512_add_ps(x[2], x[3]));
}

/* Lane r: the sum over x[r], every row's in the same order. */
MN_INLINE __m512 sum_rows(__m512 x[ROWS]) {
    __m512 pairs[8], fours[4], halves[2];
    for (int i = 0; i < 8; i++) {
        __m512 a = x[i], b = x[i + 8];
        pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); /* a b a b in each place */
    }
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(pairs[i]), b = _mm512_castps_pd(pairs[i + 4]);
        fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    for (int i = 0; i < 2; i++)
        halves[i] = _mm512_add_ps(_mm512_shuffle_f32x4(fours[i], fours[i + 2], 0x88),
                                  _mm512_shuffle_f32x4(fours[i], fours[i + 2], 0xdd));
    __m512 sums = _mm512_add_ps(_mm512_shuffle_f32x4(halves[0], halves[1], 0x88),
                                _mm512_shuffle_f32x4(halves[0], halves[1], 0xdd));
    /* lane i holds row 0, 8, 4, 12, ... : the bits of i in another order, which is its own inverse */
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), sums);
}

/* n_rows rows of a group; meanwhile their outputs, which are wanted next, come closer. */
MN_INLINE void weigh_group(char *weights, mn_softmax_rows rows, const float *s, float factor, int n_rows, int v_pad) {
    __m512 parts[ROWS];
    for (int r = 0; r < n_rows; r++) {
        float *o = rows.o + (size_t)r * (size_t)v_pad;
        for (int i = 0; i < v_pad; i += 16) _mm_prefetch((const char *)(o + i), _MM_HINT_T0);
        parts[r] = weigh_row(weights + r * WEIGHT_BYTES, &rows.m[r], &rows.l[r], o, s + r * MN_TILE_KEYS,
                             _mm512_set1_ps(factor), v_pad);
    }
    for (int r = n_rows; r < ROWS; r++) parts[r] = _mm512_setzero_ps();
    __mmask16 mask = (__mmask16)((1u << n_rows) - 1);
    _mm512_mask_storeu_ps(rows.l, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, rows.l), sum_rows(parts)));
}

static void scores_amx(float *s, const void *q, const void *k, float factor, int n_rows, int k_pad) {
    multiply_keys(s, q, k, k_pad);
    for (int i = 0; i < n_rows * MN_TILE_KEYS; i += 16)
        _mm512_store_ps(s + i, _mm512_mul_ps(_mm512_load_ps(s + i), _mm512_set1_ps(factor)));
}

/* Tiles have 16 rows: fewer are copied, a panel at a time. */
static void multiply_few_values(float *o, const void *weights, const char *v, int n_rows, int v_pad) {
    float copy[ROWS * 16] __attribute__((aligned(64))) = {0};
    for (int i = 0; i < v_pad; i += 16) {
        for (int r = 0; r < n_rows; r++) _mm512_store_ps(copy + 16 * r, _mm512_load_ps(o + (size_t)r * (size_t)v_pad + i));
        multiply_tiles(copy, 64, (operand){weights, WEIGHT_BYTES}, (operand){v + 4 * i, (size_t)v_pad * 4}, MN_TILE_KEYS / 2, 1,
                       true);
        for (int r = 0; r < n_rows; r++) _mm512_store_ps(o + (size_t)r * (size_t)v_pad + i, _mm512_load_ps(copy + 16 * r));
    }
}

static void absorb_amx(mn_softmax_rows rows, float *s, const void *v, int n_rows, int v_pad) {
    char weights[ROWS * WEIGHT_BYTES] __attribute__((aligned(64)));
    weigh_group(weights, rows, s, 1, n_rows, v_pad);
    if (n_rows == ROWS) {
        multiply_values(rows.o, weights, v, v_pad);
        return;
    }
    memset(weights + n_rows * WEIGHT_BYTES, 0, (size_t)(ROWS - n_rows) * WEIGHT_BYTES);
    multiply_few_values(rows.o, weights, v, n_rows, v_pad);
}

/* Group by group, so that scores, weights and outputs of one are in the first-level cache. */
static void attend_amx(mn_softmax_rows rows, const void *q, const void *k, const void *v, float factor, int n_rows,
                       int k_pad, int v_pad) {
    float s[ROWS * MN_TILE_KEYS] __attribute__((aligned(64)));
    char weights[ROWS * WEIGHT_BYTES] __attribute__((aligned(64)));
    const char *queries = q;
    for (; n_rows >= ROWS; n_rows -= ROWS, queries += (size_t)ROWS * (size_t)k_pad * 2) {
        multiply_keys(s, queries, k, k_pad);
        weigh_group(weights, rows, s, factor, ROWS, v_pad);
        multiply_values(rows.o, weights, v, v_pad);
        rows = (mn_softmax_rows){rows.m + ROWS, rows.l + ROWS, rows.o + (size_t)ROWS * (size_t)v_pad};
    }
    if (n_rows == 0) return;
    scores_amx(s, queries, k, factor, n_rows, k_pad);
    absorb_amx(rows, s, v, n_rows, v_pad);
}

void mn_attend_init_amx(mn_attend_kernels *table) {
    mn_attend_ops *ops = &table->fast;
    ops->tile_rows = ROWS;
    ops->enter = enter;
    ops->leave = mn_amx_leave;
    ops->scores = scores_amx;
    ops->absorb = absorb_amx;
    ops->attend = attend_amx;
}
