/* Panels of quantised weights for 256-bit registers, and what all tiles over them share: unsigned bytes u transposed to
 * dwords of 8 outputs, beside the scales (and minima) of each block, for many rows of mn_few_x. A file gives the
 * instructions that add a chunk of 256 inputs.
 */
#ifndef MN_KERNELS_MATMUL_PANEL_AVX2_H
#define MN_KERNELS_MATMUL_PANEL_AVX2_H

#include "kernels/matmul_unpack_avx2.h"

enum {
    MN_PANEL_OUTPUTS = 16,
    MN_PANEL_GROUP = 8,
    MN_PANEL_ROWS = 3, /* of a tile */
    MN_PANEL_INPUTS = 512,
    MN_PANEL_CHUNKS = MN_PANEL_INPUTS / MN_FEW_INPUTS,
    MN_PANEL_DWORDS = MN_FEW_INPUTS / 4
};

/* 256 inputs of 16 outputs: u[k] multiplies dword k of mn_few_x.q; scale and min in the order of minus_sum, or of
 * minus_half. */
typedef struct mn_panel_chunk {
    __m256i u[MN_PANEL_DWORDS][2];
    __m256 scale[2 * MN_FEW_BLOCKS][2], min[2 * MN_FEW_BLOCKS][2];
} mn_panel_chunk;

/* Of block b: its place in the orders of mn_few_x, and the first of its dwords. The eight dwords of a block stand in
 * two runs of four, eight apart; each run is a half. */
MN_ALWAYS_INLINE int mn_panel_place(int b) { return b / 2 + b % 2 * 4; }
MN_ALWAYS_INLINE int mn_panel_first(int b) { return b / 2 * 16 + b % 2 * 4; }

/* Dword k of v[o] becomes dword o of to[k]. */
static inline void mn_panel_transpose(const __m256i v[MN_PANEL_GROUP], __m256i (*to)[2]) {
    __m256i w[MN_PANEL_GROUP];
    for (int i = 0; i < MN_PANEL_GROUP; i += 4) {
        __m256i low01 = _mm256_unpacklo_epi32(v[i], v[i + 1]), high01 = _mm256_unpackhi_epi32(v[i], v[i + 1]);
        __m256i low23 = _mm256_unpacklo_epi32(v[i + 2], v[i + 3]), high23 = _mm256_unpackhi_epi32(v[i + 2], v[i + 3]);
        w[i] = _mm256_unpacklo_epi64(low01, low23);
        w[i + 1] = _mm256_unpackhi_epi64(low01, low23);
        w[i + 2] = _mm256_unpacklo_epi64(high01, high23);
        w[i + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
    for (int k = 0; k < 4; k++) {
        to[k][0] = _mm256_permute2x128_si256(w[k], w[k + 4], 0x20);
        to[k + 4][0] = _mm256_permute2x128_si256(w[k], w[k + 4], 0x31);
    }
}

/* v times eight words, first or last ones of `words`, as the dwords of a vector. */
MN_ALWAYS_INLINE __m256i mn_times_words(__m256 v, __m256i words, const int last) {
    __m128i eight = last ? _mm256_extracti128_si256(words, 1) : _mm256_castsi256_si128(words);
    return _mm256_castps_si256(_mm256_mul_ps(v, _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(eight))));
}

/* Scales, and minima, of one chunk of 8 rows. */
MN_ALWAYS_INLINE void mn_panel_pack_scales(const mn_unpack_form f, mn_unpack_scales_fn *scales_of,
                                           const char *const rows[MN_PANEL_GROUP], __m256 (*scales)[2],
                                           __m256 (*minima)[2]) {
    __m256i scale[2][MN_PANEL_GROUP], min[2][MN_PANEL_GROUP];
    for (int o = 0; o < MN_PANEL_GROUP; o++) {
        mn_unpack_scales w;
        scales_of(rows[o], &w);
        for (int k = 0; k < (f.has_halves ? 2 : 1); k++) {
            scale[k][o] = f.has_halves ? mn_times_words(w.scale, w.factors, k) : _mm256_castps_si256(w.scale);
            if (f.has_min) min[k][o] = f.has_halves ? mn_times_words(w.min, w.half, k) : _mm256_castps_si256(w.min);
        }
    }
    for (int k = 0; k < (f.has_halves ? 2 : 1); k++) {
        mn_panel_transpose(scale[k], (__m256i(*)[2])(scales + k * MN_PANEL_GROUP));
        if (f.has_min) mn_panel_transpose(min[k], (__m256i(*)[2])(minima + k * MN_PANEL_GROUP));
    }
}

/* What a panel needs of 8 rows of one chunk, from where they stand; group: which 8 outputs. */
typedef void mn_panel_pack_fn(const char *const rows[MN_PANEL_GROUP], size_t ahead, void *chunk, int group);

/* The panel that follows stands `ahead` bytes further. Memory works on it meanwhile: the processor's own prefetcher
 * does not follow so many rows. */
MN_ALWAYS_INLINE void mn_panel_ask(const mn_unpack_form f, const char *const rows[MN_PANEL_GROUP], size_t ahead,
                                   int i) {
    for (int o = 0; o < MN_PANEL_GROUP && (size_t)i * 64 < f.chunk_bytes; o++)
        _mm_prefetch((const char *)((uintptr_t)rows[o] + ahead + (uintptr_t)i * 64), _MM_HINT_T1);
}

/* As mn_panel_pack_fn. Numbers with a sign are moved up by 128. */
MN_ALWAYS_INLINE void mn_panel_pack_rows(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                         const char *const rows[MN_PANEL_GROUP], size_t ahead, mn_panel_chunk *p,
                                         int group) {
    const __m256i up = _mm256_set1_epi8(f.u_bits == 8 ? -128 : 0);
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++) {
        __m256i v[MN_PANEL_GROUP];
        mn_panel_ask(f, rows, ahead, i);
        for (int o = 0; o < MN_PANEL_GROUP; o++) v[o] = _mm256_xor_si256(u_of(rows[o], i), up);
        mn_panel_transpose(v, (__m256i(*)[2]) & p->u[8 * i][group]);
    }
    mn_panel_pack_scales(f, scales_of, rows, (__m256(*)[2]) & p->scale[0][group], (__m256(*)[2]) & p->min[0][group]);
}

/* The pack of a path. A rest of fewer than 256 inputs is filled up with zeros. */
MN_ALWAYS_INLINE void mn_panel_pack(const mn_unpack_form f, mn_panel_pack_fn *pack_rows, const mn_matmul_part *part,
                                    void *panel, size_t chunk_bytes) {
    char rest[MN_PANEL_GROUP][2 * MN_FEW_INPUTS], *p = panel;
    for (int at = 0; at < part->n_inputs; at += MN_FEW_INPUTS, p += chunk_bytes) {
        const int left = part->n_inputs - at;
        for (int group = 0; group < 2; group++) {
            const char *rows[MN_PANEL_GROUP];
            for (int o = 0; o < MN_PANEL_GROUP; o++) {
                rows[o] =
                    mn_matmul_row(part, group * MN_PANEL_GROUP + o) + (size_t)(at / MN_FEW_INPUTS) * f.chunk_bytes;
                if (left >= MN_FEW_INPUTS) continue;
                memset(rest[o], 0, sizeof rest[o]);
                rows[o] = memcpy(rest[o], rows[o], f.chunk_bytes * (size_t)left / MN_FEW_INPUTS);
            }
            pack_rows(rows, MN_PANEL_OUTPUTS * part->row_bytes, p, group);
        }
    }
}

MN_ALWAYS_INLINE __m256i mn_broadcast_dword(const void *four_bytes) {
    int32_t v;
    memcpy(&v, four_bytes, sizeof v);
    return _mm256_set1_epi32(v);
}

/* -(sum of q) over the block at `place`, or over half h of it, in every lane. */
MN_ALWAYS_INLINE __m256i mn_minus_sum(const mn_unpack_form f, const mn_few_x *x, int place, const int h) {
    return f.has_halves ? _mm256_set1_epi32(x->minus_half[2 * place + h]) : mn_broadcast_dword(&x->minus_sum[place]);
}

/* sum[r] += d (scale dots[r] + min minus_sum) of 16 outputs, for one block or half h of it. */
MN_ALWAYS_INLINE void mn_panel_scale(const int n_rows, const mn_unpack_form f, const __m256i (*dots)[2],
                                     const __m256 scale[2], const __m256 min[2], const char *x, size_t x_row_bytes,
                                     int place, const int h, __m256 (*sum)[2]) {
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) {
        const mn_few_x *row = (const mn_few_x *)(x + (size_t)r * x_row_bytes);
        __m256 d = _mm256_broadcast_ss(&row->d[place]);
#pragma GCC unroll 2
        for (int g = 0; g < 2; g++) {
            __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(dots[r][g]), scale[g]);
            if (f.has_min) term = _mm256_fmadd_ps(_mm256_cvtepi32_ps(mn_minus_sum(f, row, place, h)), min[g], term);
            sum[r][g] = _mm256_fmadd_ps(term, d, sum[r][g]);
        }
    }
}

/* sum[r] += w . x[r] over one chunk of 256 inputs, 16 outputs a row. */
typedef void mn_panel_add_fn(const int n_rows, const void *chunk, const char *x, size_t x_row_bytes, __m256 (*sum)[2]);

/* sums of 16 outputs a row */
MN_ALWAYS_INLINE void mn_panel_tile_rows(const int n_rows, mn_panel_add_fn *add, int n_chunks, const char *p,
                                         size_t chunk_bytes, const char *x, size_t x_row_bytes, size_t x_chunk_bytes,
                                         mn_matmul_sums sums) {
    __m256 sum[MN_PANEL_ROWS][2];
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++)
        for (int g = 0; g < 2; g++)
            sum[r][g] =
                sums.add ? _mm256_loadu_ps(sums.old + r * sums.old_stride + g * MN_PANEL_GROUP) : _mm256_setzero_ps();
    for (; n_chunks > 0; n_chunks--, p += chunk_bytes, x += x_chunk_bytes) add(n_rows, p, x, x_row_bytes, sum);
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++)
        for (int g = 0; g < 2; g++) _mm256_storeu_ps(sums.out + r * sums.out_stride + g * MN_PANEL_GROUP, sum[r][g]);
}

/* The tile of a path. The last panel of a matrix goes through a buffer of full width. */
MN_ALWAYS_INLINE void mn_panel_tile(mn_panel_add_fn *add, const mn_matmul_part *part, const void *p, size_t chunk_bytes,
                                    const char *x, size_t x_row_bytes, size_t x_chunk_bytes, int64_t n_rows,
                                    mn_matmul_sums sums) {
    const int n_chunks = (part->n_inputs + MN_FEW_INPUTS - 1) / MN_FEW_INPUTS;
    const size_t bytes = (size_t)part->n_outputs * sizeof(float);
    const bool whole = part->n_outputs == MN_PANEL_OUTPUTS;
    x += (size_t)part->first_input / MN_FEW_INPUTS * x_chunk_bytes;
    for (int64_t first = 0; first < n_rows; first += MN_PANEL_ROWS, x += MN_PANEL_ROWS * x_row_bytes) {
        const int n = n_rows - first < MN_PANEL_ROWS ? (int)(n_rows - first) : MN_PANEL_ROWS;
        float buffer[MN_PANEL_ROWS][MN_PANEL_OUTPUTS];
        mn_matmul_sums at = {sums.add, false, buffer[0], MN_PANEL_OUTPUTS, buffer[0], MN_PANEL_OUTPUTS};
        if (whole) {
            at.old = sums.old + first * sums.old_stride, at.old_stride = sums.old_stride;
            at.out = sums.out + first * sums.out_stride, at.out_stride = sums.out_stride;
        } else {
            memset(buffer, 0, sizeof buffer);
            for (int r = 0; r < n && sums.add; r++) memcpy(buffer[r], sums.old + (first + r) * sums.old_stride, bytes);
        }
        switch (n) {
        case 3: mn_panel_tile_rows(3, add, n_chunks, p, chunk_bytes, x, x_row_bytes, x_chunk_bytes, at); break;
        case 2: mn_panel_tile_rows(2, add, n_chunks, p, chunk_bytes, x, x_row_bytes, x_chunk_bytes, at); break;
        default: mn_panel_tile_rows(1, add, n_chunks, p, chunk_bytes, x, x_row_bytes, x_chunk_bytes, at); break;
        }
        for (int r = 0; r < n && !whole; r++) memcpy(sums.out + (first + r) * sums.out_stride, buffer[r], bytes);
    }
}

/* path_TYPE, for rows of x of form_x, which form_prepare makes. The file has pack_rows(form, u_of, scales_of, rows,
 * ahead, chunk, group) and add_chunk(n_rows, form, chunk, x, x_row_bytes, sum) for chunks of chunk_type. */
#define MN_PANEL_PATH(chunk_type, form, pack_rows, add_chunk, type, ...)                                               \
    MN_ALWAYS_INLINE void pack_rows_##type(const char *const rows[MN_PANEL_GROUP], size_t ahead, void *chunk,          \
                                           int group) {                                                                \
        pack_rows((mn_unpack_form){__VA_ARGS__}, mn_u_of_##type, mn_scales_of_##type, rows, ahead, chunk, group);      \
    }                                                                                                                  \
    static void pack_##type(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel) {                      \
        (void)vec;                                                                                                     \
        mn_panel_pack((mn_unpack_form){__VA_ARGS__}, pack_rows_##type, part, panel, sizeof(chunk_type));               \
    }                                                                                                                  \
    MN_ALWAYS_INLINE void add_##type(const int n_rows, const void *chunk, const char *x, size_t x_row_bytes,           \
                                     __m256(*sum)[2]) {                                                                \
        add_chunk(n_rows, (mn_unpack_form){__VA_ARGS__}, chunk, x, x_row_bytes, sum);                                  \
    }                                                                                                                  \
    static void tile_##type(const mn_matmul_part *part, const void *panel, void *next, const char *x,                  \
                            size_t x_row_bytes, int64_t n_rows, mn_matmul_sums sums) {                                 \
        (void)next;                                                                                                    \
        mn_panel_tile(add_##type, part, panel, sizeof(chunk_type), x, x_row_bytes, sizeof(form##_x), n_rows, sums);    \
    }                                                                                                                  \
    static const mn_matmul_path path_##type = {                                                                        \
        .panel_outputs = MN_PANEL_OUTPUTS,                                                                             \
        .block_inputs = MN_PANEL_INPUTS,                                                                               \
        .panel_bytes = sizeof(chunk_type[MN_PANEL_CHUNKS]),                                                            \
        .x_row_bytes = form##_x_row_bytes,                                                                             \
        .prepare = form##_prepare,                                                                                     \
        .pack = pack_##type,                                                                                           \
        .tile = tile_##type,                                                                                           \
    };

#endif
