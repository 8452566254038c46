/* The f32 arithmetic of attend.h, written once over a vector type. Each level's file defines, then includes this:
 *   MN_LANES                floats of a vector
 *   MN_PANEL_VECTORS        vectors of keys or values whose sums TILE_ROWS rows keep in registers
 * and, after it, three functions over mn_vf:
 *   mn_vf_fma(a, b, c)      a * b + c
 *   mn_vf_max(a, b)         the larger of each
 *   mn_vf_exp2(x)           2^x for x <= MN_RESCALE_THRESHOLD, -inf included, 1e-7 relative; or exp2_by_bits
 * Before it, two functions may be there that convert and transpose faster, with MN_FAST_ROWS:
 *   mn_row_to_f32           as mn_to_f32
 *   mn_transpose            as in vec.h
 * Packed: q [k_dim], k [k_dim][MN_TILE_KEYS], v [MN_TILE_KEYS][v_dim].
 */
#ifndef MN_KERNELS_ATTEND_F32_H
#define MN_KERNELS_ATTEND_F32_H

#include "kernels/attend.h"
#include "tensor/half.h"

#include <math.h>
#include <string.h>

#ifndef MN_FAST_ROWS
#include "kernels/transpose.h"
static inline void mn_row_to_f32(mn_dtype type, const void *src, float *dst, int64_t n) {
    mn_to_f32(type, src, dst, n);
}
#endif

typedef float mn_vf __attribute__((vector_size(4 * MN_LANES), may_alias));
typedef int32_t mn_vi __attribute__((vector_size(4 * MN_LANES), may_alias));
typedef uint32_t mn_vu __attribute__((vector_size(4 * MN_LANES), may_alias)); /* sums that may wrap */

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c);
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b);
static inline mn_vf mn_vf_exp2(mn_vf x);

enum { TILE_ROWS = 6, CHAINS = 4 };

#define MN_INLINE static inline __attribute__((always_inline))

MN_INLINE mn_vf splat(float x) { return x - (mn_vf){0}; }
MN_INLINE mn_vf load(const float *x) { return *(const mn_vf *)x; }
/* From where nothing is known of the alignment: queries of a caller, KV entries. */
MN_INLINE mn_vf load_any(const void *x) {
    typedef float any_vf __attribute__((vector_size(4 * MN_LANES), may_alias, aligned(1)));
    return *(const any_vf *)x;
}
MN_INLINE void store(float *x, mn_vf v) { *(mn_vf *)x = v; }
MN_INLINE mn_vf choose(mn_vi mask, mn_vf yes, mn_vf no) { return (mn_vf)((mask & (mn_vi)yes) | (~mask & (mn_vi)no)); }

/* 2^f for f in [-1/2, 1/2]: fitted at Chebyshev nodes, 1e-8 before rounding. */
MN_INLINE mn_vf exp2_fraction(mn_vf f) {
    mn_vf p = splat(1.5453163359779865e-4f);
    p = mn_vf_fma(p, f, splat(1.3390863314270973e-3f));
    p = mn_vf_fma(p, f, splat(9.618083015084267e-3f));
    p = mn_vf_fma(p, f, splat(5.5503569543361664e-2f));
    p = mn_vf_fma(p, f, splat(2.4022650718688965e-1f));
    p = mn_vf_fma(p, f, splat(6.931471824645996e-1f));
    return mn_vf_fma(p, f, splat(1.0f));
}

/* Where no instruction scales by powers of two. Adding 1.5 * 2^23 leaves round(x) in the low bits of the sum. Results
 * below the normal range are 0. Scores of keys that are masked later may be anything, NaN too. */
MN_INLINE mn_vf exp2_by_bits(mn_vf x) {
    mn_vi normal = ~(x <= splat(-126.0f)); /* NaN stays NaN */
    x = choose(normal, x, splat(0));
    const mn_vf shift = splat(0x1.8p23f);
    mn_vf shifted = x + shift;
    mn_vf p = exp2_fraction(x - (shifted - shift));
    return choose(normal, (mn_vf)((mn_vu)p + ((mn_vu)shifted << 23)), splat(0));
}

/* tanh x = (1 - e) / (1 + e), e = 2^(-2 x log2 e); near 0, where that cancels, its Pade form [5/4]. */
MN_INLINE mn_vf tanh_f32(mn_vf x) {
    mn_vf size = choose(x < splat(0), -x, x), square = x * x;
    mn_vf bounded = choose(size > splat(10.0f), splat(10.0f), size);
    mn_vf inverse = mn_vf_exp2(bounded * splat(-2.885390081777927f));
    mn_vf far = (splat(1) - inverse) / (splat(1) + inverse);
    mn_vf top = mn_vf_fma(mn_vf_fma(square, splat(1), splat(105)), square, splat(945));
    mn_vf bottom = mn_vf_fma(mn_vf_fma(square, splat(15), splat(420)), square, splat(945));
    mn_vf near = size * top / bottom;
    mn_vf result = choose(size < splat(0.5f), near, far);
    return choose(x < splat(0), -result, result);
}

/* Scores as words: what is not seen becomes the word of -INFINITY. */
static void mask_f32(float *s, uint64_t seen) {
    mn_vi lane_bits;
    for (int i = 0; i < MN_LANES; i++) lane_bits[i] = 1 << i;
    for (int j = 0; j < MN_TILE_KEYS; j += MN_LANES, seen >>= MN_LANES) {
        mn_vi bits = lane_bits & (int32_t)(seen & ((1u << MN_LANES) - 1));
        store(s + j, choose(bits != 0, load(s + j), splat(-INFINITY)));
    }
}

static void softcap_f32(float *s, float cap) {
    for (int j = 0; j < MN_TILE_KEYS; j += MN_LANES) store(s + j, splat(cap) * tanh_f32(load(s + j)));
}

static void add_slope_f32(float *s, float slope, float offset) {
    float lanes[MN_LANES] __attribute__((aligned(64)));
    for (int i = 0; i < MN_LANES; i++) lanes[i] = (float)i;
    for (int j = 0; j < MN_TILE_KEYS; j += MN_LANES) {
        mn_vf distance = load(lanes) + splat(offset + (float)j); /* exact: a difference of positions */
        store(s + j, mn_vf_fma(distance, splat(slope), load(s + j)));
    }
}

static void pack_q_f32(void *packed, const float *q, int k_dim) {
    float *out = packed;
    memcpy(out, q, (size_t)k_dim * sizeof *q);
    for (int i = k_dim; i < mn_attend_pad(k_dim); i++) out[i] = 0;
}

/* Elements [first, first + n) of a row, first a multiple of 64. Quantised rows are whole blocks of 32. */
static const float *row_to_f32(float *row, mn_dtype type, const char *src, int first, int n) {
    src += mn_dtype_row_bytes(type, first);
    if (type == MN_F32) return (const float *)(const void *)src;
    mn_row_to_f32(type, src, row, type == MN_Q8_0 || type == MN_Q4_0 ? (n + 31) & ~31 : n);
    return row;
}

/* Dims [first, first + n_dims) of 8 keys or fewer from key j on. */
static void pack_some_k(float *out, const mn_cached_rows *k, int j, int first, int n_dims) {
    enum { KEYS = 8, DIMS = 64 };
    float rows[KEYS * DIMS];
    int n = k->n_keys - j < KEYS ? k->n_keys - j : KEYS;
    for (int i = 0; i < n; i++) {
        float *row = rows + i * DIMS;
        const float *x = row_to_f32(row, k->type, k->rows + (size_t)(j + i) * k->row_bytes, first, n_dims);
        if (x != row) memcpy(row, x, (size_t)n_dims * sizeof *row);
    }
    mn_transpose(out + first * MN_TILE_KEYS + j, MN_TILE_KEYS, rows, DIMS, n, n_dims);
}

/* 64 dims at a time: what is written stays in the first-level cache until all keys are there. */
static void pack_k_f32(void *packed, const mn_cached_rows *k, int k_dim) {
    if (k->n_keys < MN_TILE_KEYS || k_dim % 16)
        memset(packed, 0, (size_t)mn_attend_pad(k_dim) * MN_TILE_KEYS * sizeof(float));
    for (int i = 0; i < k_dim; i += 64)
        for (int j = 0; j < k->n_keys; j += 8) pack_some_k(packed, k, j, i, k_dim - i < 64 ? k_dim - i : 64);
}

static void pack_v_f32(void *packed, const mn_cached_rows *v, int v_dim) {
    float *out = packed, buffer[MN_ATTEND_MAX_DIM];
    int v_pad = mn_attend_pad(v_dim);
    for (int j = 0; j < MN_TILE_KEYS; j++, out += v_pad) {
        int n = j < v->n_keys ? v_dim : 0;
        if (n) memcpy(out, row_to_f32(buffer, v->type, v->rows + (size_t)j * v->row_bytes, 0, n), (size_t)n * 4);
        memset(out + n, 0, (size_t)(v_pad - n) * sizeof *out);
    }
}

/* out[r, panel] += sum_i a[r, i] b[i, panel], n_rows and n_vectors constant after inlining: a[r, i] stands at r * a_row
 * + i * a_step. The sum over i starts from zero and is added to out once: rounding grows with the tile, not with the
 * context. */
MN_INLINE void multiply_panel(float *out, int out_stride, const float *a, int a_row, int a_step, const float *b,
                              int b_stride, int n, int n_rows, int n_vectors) {
    mn_vf sums[TILE_ROWS][MN_PANEL_VECTORS];
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) sums[r][w] = splat(0);
    for (int i = 0; i < n; i++)
        for (int r = 0; r < n_rows; r++) {
            mn_vf x = splat(a[r * a_row + i * a_step]);
            for (int w = 0; w < n_vectors; w++)
                sums[r][w] = mn_vf_fma(x, load(b + i * b_stride + w * MN_LANES), sums[r][w]);
        }
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) {
            float *cell = out + r * out_stride + w * MN_LANES;
            store(cell, load(cell) + sums[r][w]);
        }
}

MN_INLINE void multiply_rows(float *out, const float *a, int a_row, int a_step, const float *b, int n, int width,
                             int n_rows) {
    int j = 0;
    for (; j + MN_PANEL_VECTORS * MN_LANES <= width; j += MN_PANEL_VECTORS * MN_LANES)
        multiply_panel(out + j, width, a, a_row, a_step, b + j, width, n, n_rows, MN_PANEL_VECTORS);
    for (; j < width; j += MN_LANES) multiply_panel(out + j, width, a, a_row, a_step, b + j, width, n, n_rows, 1);
}

MN_INLINE void multiply_any(float *out, const float *a, int a_row, int a_step, const float *b, int n, int width,
                            int n_rows) {
    switch (n_rows) {
    case 1: multiply_rows(out, a, a_row, a_step, b, n, width, 1); break;
    case 2: multiply_rows(out, a, a_row, a_step, b, n, width, 2); break;
    case 3: multiply_rows(out, a, a_row, a_step, b, n, width, 3); break;
    case 4: multiply_rows(out, a, a_row, a_step, b, n, width, 4); break;
    case 5: multiply_rows(out, a, a_row, a_step, b, n, width, 5); break;
    default: multiply_rows(out, a, a_row, a_step, b, n, width, 6); break;
    }
}

/* out [n_rows, width] += a [n_rows, n] b [n, width] */
static void multiply(float *out, const float *a, int a_stride, const float *b, int n, int width, int n_rows) {
    multiply_any(out, a, a_stride, 1, b, n, width, n_rows);
}

/* Long rows are summed 64 dims at a time, for the same reason. */
static void scores_f32(float *s, const void *q, const void *k, float factor, int n_rows, int k_pad) {
    const float *queries = q, *keys = k;
    memset(s, 0, (size_t)n_rows * MN_TILE_KEYS * sizeof *s);
    for (int i = 0; i < k_pad; i += 64) {
        int n = k_pad - i < 64 ? k_pad - i : 64;
        multiply(s, queries + i, k_pad, keys + i * MN_TILE_KEYS, n, MN_TILE_KEYS, n_rows);
    }
    for (int j = 0; j < n_rows * MN_TILE_KEYS; j += MN_LANES) store(s + j, splat(factor) * load(s + j));
}

/* Lane i receives lane i + by, around the end. by is a constant: with a variable, indices would be put together lane by
 * lane in each call. */
#define MN_LANE(i, by) (((i) + (by)) % MN_LANES)
#define MN_FOUR_LANES(by) MN_LANE(0, by), MN_LANE(1, by), MN_LANE(2, by), MN_LANE(3, by)
#if MN_LANES == 4
#define MN_TURNED(by) MN_FOUR_LANES(by)
#elif MN_LANES == 8
#define MN_TURNED(by) MN_FOUR_LANES(by), MN_FOUR_LANES((by) + 4)
#else
#define MN_TURNED(by) MN_FOUR_LANES(by), MN_FOUR_LANES((by) + 4), MN_FOUR_LANES((by) + 8), MN_FOUR_LANES((by) + 12)
#endif
#ifdef __clang__
#define MN_TURN(v, by) __builtin_shufflevector(v, v, MN_TURNED(by))
#else
#define MN_TURN(v, by) __builtin_shuffle(v, (mn_vi){MN_TURNED(by)})
#endif

MN_INLINE float reduce_max(mn_vf v) {
    if (MN_LANES > 8) v = mn_vf_max(MN_TURN(v, 8), v);
    if (MN_LANES > 4) v = mn_vf_max(MN_TURN(v, 4), v);
    v = mn_vf_max(MN_TURN(v, 2), v);
    return mn_vf_max(MN_TURN(v, 1), v)[0];
}

MN_INLINE float reduce_sum(mn_vf v) {
    if (MN_LANES > 8) v += MN_TURN(v, 8);
    if (MN_LANES > 4) v += MN_TURN(v, 4);
    v += MN_TURN(v, 2);
    v += MN_TURN(v, 1);
    return v[0];
}

/* Moves a row's maximum to that of the new scores when it is too far below them; returns the maximum to subtract. */
MN_INLINE float raise_max(float *m, float *l, float *o, float tile_max, int v_pad) {
    if (!(tile_max > *m + MN_RESCALE_THRESHOLD)) return *m == -INFINITY ? 0 : *m;
    float factor = mn_vf_exp2(splat(*m - tile_max))[0];
    *m = tile_max;
    *l *= factor;
    for (int i = 0; i < v_pad; i += MN_LANES) store(o + i, splat(factor) * load(o + i));
    return tile_max;
}

/* Scores to weights: the first half of absorb. Maxima and sums in chains, which need not wait for each other. */
static void weigh_f32(mn_softmax_rows rows, float *s, int n_rows, int v_pad) {
    for (int r = 0; r < n_rows; r++) {
        float *row = s + r * MN_TILE_KEYS;
        mn_vf top[CHAINS], sum[CHAINS];
        for (int c = 0; c < CHAINS; c++) top[c] = load(row + c * MN_LANES);
        for (int j = CHAINS * MN_LANES; j < MN_TILE_KEYS; j += CHAINS * MN_LANES)
            for (int c = 0; c < CHAINS; c++) top[c] = mn_vf_max(load(row + j + c * MN_LANES), top[c]);
        float tile_max = reduce_max(mn_vf_max(mn_vf_max(top[0], top[1]), mn_vf_max(top[2], top[3])));
        mn_vf m = splat(raise_max(&rows.m[r], &rows.l[r], rows.o + (size_t)r * v_pad, tile_max, v_pad));
        for (int c = 0; c < CHAINS; c++) sum[c] = splat(0);
        for (int j = 0; j < MN_TILE_KEYS; j += CHAINS * MN_LANES)
            for (int c = 0; c < CHAINS; c++) {
                mn_vf p = mn_vf_exp2(load(row + j + c * MN_LANES) - m);
                store(row + j + c * MN_LANES, p);
                sum[c] += p;
            }
        rows.l[r] += reduce_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

static void absorb_f32(mn_softmax_rows rows, float *s, const void *v, int n_rows, int v_pad) {
    weigh_f32(rows, s, n_rows, v_pad);
    multiply(rows.o, s, MN_TILE_KEYS, v, MN_TILE_KEYS, v_pad, n_rows);
}

/* 2^(m - top), which is often 1 */
MN_INLINE float scale_to(float top, float m) { return m == top ? 1 : mn_vf_exp2(splat(m - top))[0]; }

static void merge_f32(mn_softmax_rows total, mn_softmax_rows part, int64_t n_rows, int v_pad) {
    for (int64_t r = 0; r < n_rows; r++, total.o += v_pad, part.o += v_pad) {
        if (part.l[r] == 0) continue;
        float top = total.m[r] > part.m[r] ? total.m[r] : part.m[r];
        float keep = scale_to(top, total.m[r]), add = scale_to(top, part.m[r]);
        total.m[r] = top;
        total.l[r] = total.l[r] * keep + part.l[r] * add;
        for (int i = 0; i < v_pad; i += MN_LANES)
            store(total.o + i, mn_vf_fma(load(total.o + i), splat(keep), load(part.o + i) * splat(add)));
    }
}

static const mn_attend_ops ops_f32 = {.operand_bytes = sizeof(float),
                                      .k_dims = 16,
                                      .tile_rows = TILE_ROWS,
                                      .row_tile_bytes = MN_ROW_TILE_BYTES,
                                      .pack_q = pack_q_f32,
                                      .pack_k = pack_k_f32,
                                      .pack_v = pack_v_f32,
                                      .scores = scores_f32,
                                      .absorb = absorb_f32,
                                      .merge = merge_f32,
                                      .mask = mask_f32,
                                      .softcap = softcap_f32,
                                      .add_slope = add_slope_f32};

__attribute__((unused)) static void use_f32(mn_attend_kernels *table) {
    table->f32 = ops_f32;
    table->fast = ops_f32;
}

#endif
