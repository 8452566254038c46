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

static void leave(void) { _tile_release(); }

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

/* Turns a row of scores, times factor, into weights, rounded to bf16. */
MN_INLINE void weigh_row(char *weights, float *m, float *l, float *o, const float *s, __m512 factor, int v_pad) {
    __m512 x[4];
    for (int i = 0; i < 4; i++) x[i] = _mm512_mul_ps(_mm512_load_ps(s + 16 * i), factor);
    __m512 top = _mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3]));
    if (_mm512_cmp_ps_mask(top, _mm512_set1_ps(*m + MN_RESCALE_THRESHOLD), _CMP_GT_OQ))
        raise_max(m, l, o, _mm512_reduce_max_ps(top), v_pad);
    __m512 shift = _mm512_set1_ps(*m == -INFINITY ? 0 : *m);
    for (int i = 0; i < 4; i++) x[i] = exp2_cubic(_mm512_sub_ps(x[i], shift));
    _mm512_store_si512(weights, (__m512i)_mm512_cvtne2ps_pbh(x[1], x[0]));
    _mm512_store_si512(weights + 64, (__m512i)_mm512_cvtne2ps_pbh(x[3], x[2]));
    *l += _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(x[0], x[1]), _mm512_add_ps(x[2], x[3])));
}

static void scores_amx(float *s, const void *q, const void *k, float factor, int n_rows, int k_pad) {
    multiply_keys(s, q, k, k_pad);
    for (int i = 0; i < n_rows * MN_TILE_KEYS; i += 16)
        _mm512_store_ps(s + i, _mm512_mul_ps(_mm512_load_ps(s + i), _mm512_set1_ps(factor)));
}

MN_INLINE void weigh_rows_amx(char *weights, mn_softmax_rows rows, const float *s, float factor, int n_rows, int v_pad) {
    for (int r = 0; r < n_rows; r++)
        weigh_row(weights + r * WEIGHT_BYTES, &rows.m[r], &rows.l[r], rows.o + (size_t)r * (size_t)v_pad,
                  s + r * MN_TILE_KEYS, _mm512_set1_ps(factor), v_pad);
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
    weigh_rows_amx(weights, rows, s, 1, n_rows, v_pad);
    if (n_rows == ROWS) {
        multiply_values(rows.o, weights, v, v_pad);
        return;
    }
    memset(weights + n_rows * WEIGHT_BYTES, 0, (size_t)(ROWS - n_rows) * WEIGHT_BYTES);
    multiply_few_values(rows.o, weights, v, n_rows, v_pad);
}

/* While the rows of one group are weighed, the tiles multiply the next group's keys and the last one's values. */
static void attend_amx(mn_softmax_rows rows, const void *q, const void *k, const void *v, float factor, int n_rows,
                       int k_pad, int v_pad) {
    float s[2][ROWS * MN_TILE_KEYS] __attribute__((aligned(64)));
    char weights[2][ROWS * WEIGHT_BYTES] __attribute__((aligned(64)));
    const char *queries = q;
    size_t group_bytes = (size_t)ROWS * (size_t)k_pad * 2;
    int n_groups = n_rows / ROWS;
    if (n_groups > 0) multiply_keys(s[0], queries, k, k_pad);
    for (int g = 0; g < n_groups; g++) {
        mn_softmax_rows at = {rows.m + g * ROWS, rows.l + g * ROWS, rows.o + (size_t)g * ROWS * (size_t)v_pad};
        if (g + 1 < n_groups) multiply_keys(s[(g + 1) % 2], queries + (size_t)(g + 1) * group_bytes, k, k_pad);
        weigh_rows_amx(weights[g % 2], at, s[g % 2], factor, ROWS, v_pad);
        if (g > 0) multiply_values(at.o - (size_t)ROWS * (size_t)v_pad, weights[(g + 1) % 2], v, v_pad);
    }
    if (n_groups > 0)
        multiply_values(rows.o + (size_t)(n_groups - 1) * ROWS * (size_t)v_pad, weights[(n_groups + 1) % 2], v, v_pad);
    int done = n_groups * ROWS;
    if (done == n_rows) return;
    scores_amx(s[0], queries + (size_t)n_groups * group_bytes, k, factor, n_rows - done, k_pad);
    absorb_amx((mn_softmax_rows){rows.m + done, rows.l + done, rows.o + (size_t)done * (size_t)v_pad}, s[0], v,
               n_rows - done, v_pad);
}

void mn_attend_init_amx(mn_attend_kernels *table) {
    mn_attend_ops *ops = &table->fast;
    ops->tile_rows = ROWS;
    ops->enter = enter;
    ops->leave = leave;
    ops->scores = scores_amx;
    ops->absorb = absorb_amx;
    ops->attend = attend_amx;
}
