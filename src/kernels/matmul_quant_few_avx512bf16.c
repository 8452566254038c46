/* Quantised weights times a few rows of activations, as when several sequences decode together: memory is the limit,
 * and what unpacks W must keep ahead of it. So there is no panel of 512 inputs: a block of 32 inputs of 16 rows of W
 * stays in registers while all rows of x pass over it, and the processor loads the next block meanwhile.
 *
 * Integers of a block, its scale, the sum over blocks: the arithmetic of a tile in its order, so that a row comes out
 * with the bits that it has alone and among many.
 */
#include "kernels/matmul_f32.h"
#include "kernels/matmul_quant_unpack_avx512bf16.h"

enum {
    SUPER_BLOCKS = MN_SUPER_BLOCK / MN_BLOCK,
    AHEAD_BLOCKS = 128 /* of each row, asked for before they are needed: of 32 rows 136 KiB of Q8_0 */
};

/* How a type's blocks stand for weights (matmul_quant.h), and how they follow each other. */
typedef struct form {
    int sub_blocks; /* of 32 inputs: 1, or 2 with a scale each */
    bool has_min;   /* w = scale u - min, else w = scale (u - 2^offset_bits) */
    int offset_bits;
    int unit_blocks; /* blocks that are unpacked at once: 1, or those of 256 inputs */
    size_t unit_bytes;
} form;

/* Block i of the unit at w, rows stride bytes apart. panel: what a unit leaves for the blocks behind its first. */
typedef void unpack_fn(const char *w, size_t stride, int i, mn_quant_panel *panel, mn_block16 *block);

MN_ALWAYS_INLINE __m512i broadcast(const void *four_bytes) {
    int32_t v;
    memcpy(&v, four_bytes, sizeof v);
    return _mm512_set1_epi32(v);
}

/* sum[h] += block[h] . x, over block b of x; n_halves 1 or 2. Integers of even and odd columns are summed apart: one
 * chain of eight would be waited for. */
MN_ALWAYS_INLINE void add_block(const form f, const int n_halves, const mn_block16 *block, const mn_quant_x *x, int b,
                                __m512 *sum) {
    const int n_columns = 8 / f.sub_blocks;
    __m512 term[2];
#pragma GCC unroll 2
    for (int sub = 0; sub < f.sub_blocks; sub++) {
        __m512i minus = broadcast(f.sub_blocks == 1 ? &x->minus_sum[b] : &x->minus_half[sub][b]), acc[2], odd[2];
        acc[0] = acc[1] = f.has_min ? _mm512_setzero_si512() : _mm512_slli_epi32(minus, (unsigned)f.offset_bits);
        odd[0] = odd[1] = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int k = sub * n_columns; k < (sub + 1) * n_columns; k++) {
            __m512i q = broadcast(x->q + b * MN_BLOCK + 4 * k);
#pragma GCC unroll 2
            for (int h = 0; h < n_halves; h++)
                *(k % 2 ? &odd[h] : &acc[h]) = _mm512_dpbusd_epi32(k % 2 ? odd[h] : acc[h], block[h].u[k], q);
        }
#pragma GCC unroll 2
        for (int h = 0; h < n_halves; h++) {
            __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(acc[h], odd[h]));
            term[h] =
                sub == 0 ? _mm512_mul_ps(dot, block[h].scale[0]) : _mm512_fmadd_ps(dot, block[h].scale[sub], term[h]);
            if (f.has_min) term[h] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(minus), block[h].min[sub], term[h]);
        }
    }
    __m512 d = _mm512_castsi512_ps(broadcast(&x->d[b]));
#pragma GCC unroll 2
    for (int h = 0; h < n_halves; h++) sum[h] = _mm512_fmadd_ps(term[h], d, sum[h]);
}

/* Where memory works ahead: blocks of many rows are taken side by side, but what comes next is asked for row by row,
 * line by line, as memory is fastest. */
typedef struct ahead {
    uintptr_t at, row_end;
    size_t row_bytes, stride; /* of the part of a row; from row to row */
} ahead;

/* The part after blocks [at, at + n) of n_outputs rows of W from `rows` on: their next n blocks, at last the first ones
 * of the rows that follow. */
MN_ALWAYS_INLINE ahead part_after(const form f, const char *rows, size_t stride, int n_outputs, int64_t at, int64_t n,
                                  int64_t n_blocks) {
    int64_t left = n_blocks - at - n;
    uintptr_t row = (uintptr_t)rows;
    row += left > 0 ? (size_t)(at + n) * f.unit_bytes : (size_t)n_outputs * stride;
    size_t row_bytes = (size_t)(left > 0 && left < n ? left : n) * f.unit_bytes;
    return (ahead){row, row + row_bytes, row_bytes, stride};
}

MN_ALWAYS_INLINE void ask_ahead(ahead *a, const int n_lines) {
    uintptr_t at = a->at;
    if (at + 64 * (uintptr_t)n_lines <= a->row_end) {
#pragma GCC unroll 32
        for (int i = 0; i < n_lines; i++) _mm_prefetch((const char *)(at + 64 * (uintptr_t)i), _MM_HINT_T1);
        a->at = at + 64 * (uintptr_t)n_lines;
        return;
    }
    for (int i = 0; i < n_lines; i++, at += 64) {
        if (at >= a->row_end) {
            at = a->row_end - a->row_bytes + a->stride;
            a->row_end += a->stride;
        }
        _mm_prefetch((const char *)at, _MM_HINT_T1);
    }
    a->at = at;
}

/* 16 n_halves outputs, of `rows` and those after it. Types of 256 inputs ask ahead where they unpack. */
MN_ALWAYS_INLINE void few_outputs(const form f, const int n_halves, unpack_fn *unpack, int64_t n_in, const char *rows,
                                  size_t stride, const char *x, size_t x_row_bytes, int n_rows, mn_quant_panel *panel,
                                  float *out, int64_t out_stride, __mmask16 mask) {
    const int n_outputs = n_halves * MN_HALF_OUTPUTS, n_lines = (int)(((size_t)n_outputs * f.unit_bytes + 63) / 64);
    const int64_t n_blocks = n_in / MN_BLOCK, n_parts = (n_blocks + AHEAD_BLOCKS - 1) / AHEAD_BLOCKS;
    const int64_t part = (n_blocks + n_parts - 1) / n_parts;
    __m512 sum[MN_QUANT_FEW_ROWS][2];
    ahead next = {0};
    for (int r = 0; r < n_rows; r++) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int64_t at = 0; at < n_blocks; at += f.unit_blocks) {
        const int b = (int)(at % MN_QUANT_BLOCKS);
        const char *w = rows + (size_t)(at / f.unit_blocks) * f.unit_bytes;
        const char *x_part = x + (size_t)(at / MN_QUANT_BLOCKS) * sizeof(mn_quant_x);
        if (f.unit_blocks == 1) {
            if (at % part == 0) next = part_after(f, rows, stride, n_outputs, at, part, n_blocks);
            ask_ahead(&next, n_lines);
        }
        for (int i = 0; i < f.unit_blocks; i++) {
            mn_block16 block[2];
            const char *row = x_part;
#pragma GCC unroll 2
            for (int h = 0; h < n_halves; h++)
                unpack(w + (size_t)h * MN_HALF_OUTPUTS * stride, stride, i, panel, &block[h]);
            for (int r = 0; r < n_rows; r++, row += x_row_bytes)
                add_block(f, n_halves, block, (const mn_quant_x *)row, b + i, sum[r]);
        }
    }
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 2
        for (int h = 0; h < n_halves; h++)
            _mm512_mask_storeu_ps(out + r * out_stride + h * MN_HALF_OUTPUTS, mask, sum[r][h]);
}

/* Where fewer than sixteen outputs are left, those before them are computed again and not stored. */
MN_ALWAYS_INLINE void few(const form f, unpack_fn *unpack, const mn_matmul_part *part, const char *x,
                          size_t x_row_bytes, int n_rows, mn_quant_panel *panel, float *out, int64_t out_stride) {
    const size_t stride = part->row_bytes;
    if (f.unit_blocks == 1 && part->n_outputs == MN_PANEL_OUTPUTS) {
        few_outputs(f, 2, unpack, part->w->ne[0], mn_matmul_row(part, 0), stride, x, x_row_bytes, n_rows, panel, out,
                    out_stride, 0xffff);
        return;
    }
    for (int first = 0; first < part->n_outputs; first += MN_HALF_OUTPUTS) {
        const int left = part->n_outputs - first, back = left < MN_HALF_OUTPUTS ? MN_HALF_OUTPUTS - left : 0;
        const char *w = mn_matmul_row(part, first) - (size_t)back * stride;
        few_outputs(f, 1, unpack, part->w->ne[0], w, stride, x, x_row_bytes, n_rows, panel, out + first - back,
                    out_stride, (__mmask16)(0xffff << back));
    }
}

#define FEW(type, ...)                                                                                                 \
    void mn_quant_few_##type(const mn_matmul_part *part, const void *x, size_t x_row_bytes, int64_t n_rows,            \
                             void *panel, float *out, int64_t out_stride) {                                            \
        few((form){__VA_ARGS__}, unpack_##type, part, x, x_row_bytes, (int)n_rows, panel, out, out_stride);            \
    }

/* Types of single blocks. */
#define SINGLE(type, ...)                                                                                              \
    MN_ALWAYS_INLINE void unpack_##type(const char *w, size_t stride, int i, mn_quant_panel *panel,                    \
                                        mn_block16 *block) {                                                           \
        (void)i, (void)panel;                                                                                          \
        mn_unpack_##type(w, stride, block);                                                                            \
    }                                                                                                                  \
    FEW(type, .sub_blocks = 1, .unit_blocks = 1, .unit_bytes = sizeof(mn_##type), __VA_ARGS__)
SINGLE(q8_0, .offset_bits = 7)
SINGLE(q4_0, .offset_bits = 3)
SINGLE(q4_1, .has_min = true)
SINGLE(q5_0, .offset_bits = 4)
SINGLE(q5_1, .has_min = true)
SINGLE(iq4_nl, .offset_bits = 7)
SINGLE(mxfp4, .offset_bits = 4)

/* Types of 256 inputs, whose scales are taken apart together: packed like a panel's, a unit at a time. */
MN_ALWAYS_INLINE void unpack_super(mn_quant_pack_fn *pack, int sub_blocks, const char *w, size_t stride, int i,
                                   mn_quant_panel *panel, mn_block16 *block) {
    if (i == 0) pack(w, stride, MN_SUPER_BLOCK, panel, 0);
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) block->u[k] = panel->column[8 * i + k].half[0];
#pragma GCC unroll 2
    for (int sub = 0; sub < sub_blocks; sub++) {
        block->scale[sub] = panel->scale[sub_blocks * i + sub][0];
        block->min[sub] = panel->min[sub_blocks * i + sub][0];
    }
}

#define SUPER(type, sub_blocks_, ...)                                                                                  \
    MN_ALWAYS_INLINE void unpack_##type(const char *w, size_t stride, int i, mn_quant_panel *panel,                    \
                                        mn_block16 *block) {                                                           \
        unpack_super(mn_quant_pack_##type, sub_blocks_, w, stride, i, panel, block);                                   \
    }                                                                                                                  \
    FEW(type, .sub_blocks = sub_blocks_, .unit_blocks = SUPER_BLOCKS, .unit_bytes = sizeof(mn_##type), __VA_ARGS__)
SUPER(iq4_xs, 1, .offset_bits = 7)
SUPER(q2_k, 2, .has_min = true)
SUPER(q3_k, 2, .offset_bits = 2)
SUPER(q4_k, 1, .has_min = true)
SUPER(q5_k, 1, .has_min = true)
SUPER(q6_k, 2, .offset_bits = 5)
