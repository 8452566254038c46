/* Quantised weights times many rows of 8-bit activations, with the 256-bit dot product of bytes: tiles of up to 3 rows
 * by 16 outputs. A block of 32 inputs is eight dot instructions for each 8 outputs of a row, then one conversion, one
 * product of scales and one multiply-add in f32. Activations are those of few rows, mn_few_x, and a panel stands in
 * their order.
 */
#include "kernels/matmul_unpack_avx2.h"

enum { OUTPUTS = 16, GROUP = 8, ROWS = 3, INPUTS = 512, CHUNKS = INPUTS / MN_FEW_INPUTS, DWORDS = MN_FEW_INPUTS / 4 };
enum { PANEL_WINS = 16 }; /* rows from which a panel is worth its packing (matmul_few_quant_avxvnni.c takes fewer) */

/* 256 inputs of 16 outputs: u[k] multiplies dword k of mn_few_x.q; scale and min in the order of minus_sum, or of
 * minus_half. */
typedef struct panel_chunk {
    __m256i u[DWORDS][2];
    __m256 scale[2 * MN_FEW_BLOCKS][2], min[2 * MN_FEW_BLOCKS][2];
} panel_chunk;

/* What u stands above in a panel, where signed numbers are moved up as well. */
MN_ALWAYS_INLINE int offset_bits_of(const mn_unpack_form f) { return f.u_bits == 8 ? 7 : f.offset_bits; }

/* Dword k of v[o] becomes dword o of to[k]. */
static void transpose(const __m256i v[GROUP], __m256i (*to)[2]) {
    __m256i w[GROUP];
    for (int i = 0; i < GROUP; i += 4) {
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
MN_ALWAYS_INLINE __m256i times_words(__m256 v, __m256i words, const int last) {
    __m128i eight = last ? _mm256_extracti128_si256(words, 1) : _mm256_castsi256_si128(words);
    return _mm256_castps_si256(_mm256_mul_ps(v, _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(eight))));
}

/* Scales, and minima, of one chunk of 8 rows. */
MN_ALWAYS_INLINE void pack_scales(const mn_unpack_form f, mn_unpack_scales_fn *scales_of, const char *const rows[GROUP],
                                  panel_chunk *p, int group) {
    __m256i scale[2][GROUP], min[2][GROUP];
    for (int o = 0; o < GROUP; o++) {
        mn_unpack_scales w;
        scales_of(rows[o], &w);
        for (int k = 0; k < (f.has_halves ? 2 : 1); k++) {
            scale[k][o] = f.has_halves ? times_words(w.scale, w.factors, k) : _mm256_castps_si256(w.scale);
            if (f.has_min) min[k][o] = f.has_halves ? times_words(w.min, w.half, k) : _mm256_castps_si256(w.min);
        }
    }
    for (int k = 0; k < (f.has_halves ? 2 : 1); k++) {
        transpose(scale[k], (__m256i(*)[2]) & p->scale[k * GROUP][group]);
        if (f.has_min) transpose(min[k], (__m256i(*)[2]) & p->min[k * GROUP][group]);
    }
}

/* One chunk of 8 rows, from where they stand. Meanwhile memory works on the panel that follows, `ahead` bytes further:
 * the processor's own prefetcher does not follow so many rows. */
MN_ALWAYS_INLINE void pack_rows(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                const char *const rows[GROUP], size_t ahead, panel_chunk *p, int group) {
    const __m256i up = _mm256_set1_epi8(f.u_bits == 8 ? -128 : 0);
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++) {
        __m256i v[GROUP];
        for (int o = 0; o < GROUP && (size_t)i * 64 < f.chunk_bytes; o++)
            _mm_prefetch((const char *)((uintptr_t)rows[o] + ahead + (uintptr_t)i * 64), _MM_HINT_T1);
        for (int o = 0; o < GROUP; o++) v[o] = _mm256_xor_si256(u_of(rows[o], i), up);
        transpose(v, (__m256i(*)[2]) & p->u[8 * i][group]);
    }
    pack_scales(f, scales_of, rows, p, group);
}

/* A rest of fewer than 256 inputs is filled up with zeros. */
MN_ALWAYS_INLINE void pack(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                           const mn_matmul_part *part, panel_chunk *p) {
    char rest[GROUP][2 * MN_FEW_INPUTS];
    for (int at = 0; at < part->n_inputs; at += MN_FEW_INPUTS, p++) {
        const int left = part->n_inputs - at;
        for (int group = 0; group < 2; group++) {
            const char *rows[GROUP];
            for (int o = 0; o < GROUP; o++) {
                rows[o] = mn_matmul_row(part, group * GROUP + o) + (size_t)(at / MN_FEW_INPUTS) * f.chunk_bytes;
                if (left >= MN_FEW_INPUTS) continue;
                memset(rest[o], 0, sizeof rest[o]);
                rows[o] = memcpy(rest[o], rows[o], f.chunk_bytes * (size_t)left / MN_FEW_INPUTS);
            }
            pack_rows(f, u_of, scales_of, rows, OUTPUTS * part->row_bytes, p, group);
        }
    }
}

MN_ALWAYS_INLINE __m256i broadcast(const void *four_bytes) {
    int32_t v;
    memcpy(&v, four_bytes, sizeof v);
    return _mm256_set1_epi32(v);
}

/* -(sum of q) over the block at `place`, or over half h of it, in every lane. */
MN_ALWAYS_INLINE __m256i minus_sum(const mn_unpack_form f, const mn_few_x *x, int place, const int h) {
    return f.has_halves ? _mm256_set1_epi32(x->minus_half[2 * place + h]) : broadcast(&x->minus_sum[place]);
}

/* sum[r] += w . x[r] over one block, or half h of it; dwords of u and q stand in n_runs runs of four, eight apart. */
MN_ALWAYS_INLINE void add_run(const int n_rows, const mn_unpack_form f, const __m256i (*u)[2], const int8_t *q,
                              const __m256 scale[2], const __m256 min[2], const char *x, size_t x_row_bytes, int place,
                              const int h, __m256 (*sum)[2]) {
    __m256i acc[ROWS][2];
    const int n_runs = f.has_halves ? 1 : 2;
    const int offset_bits = offset_bits_of(f);
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) {
        __m256i minus = minus_sum(f, (const mn_few_x *)(x + (size_t)r * x_row_bytes), place, h);
        acc[r][0] = acc[r][1] = offset_bits ? _mm256_slli_epi32(minus, offset_bits) : _mm256_setzero_si256();
    }
#pragma GCC unroll 2
    for (int run = 0; run < n_runs; run++) {
#pragma GCC unroll 4
        for (int k = 8 * run; k < 8 * run + 4; k++) {
            __m256i w0 = u[k][0], w1 = u[k][1];
#pragma GCC unroll 3
            for (int r = 0; r < n_rows; r++) {
                __m256i v = broadcast(q + (size_t)r * x_row_bytes + 4 * k);
                acc[r][0] = _mm256_dpbusd_avx_epi32(acc[r][0], w0, v);
                acc[r][1] = _mm256_dpbusd_avx_epi32(acc[r][1], w1, v);
            }
        }
    }
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) {
        const mn_few_x *row = (const mn_few_x *)(x + (size_t)r * x_row_bytes);
        __m256 d = _mm256_broadcast_ss(&row->d[place]);
#pragma GCC unroll 2
        for (int g = 0; g < 2; g++) {
            __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][g]), scale[g]);
            if (f.has_min) term = _mm256_fmadd_ps(_mm256_cvtepi32_ps(minus_sum(f, row, place, h)), min[g], term);
            sum[r][g] = _mm256_fmadd_ps(term, d, sum[r][g]);
        }
    }
}

/* sum: in out, of 16 outputs a row */
MN_ALWAYS_INLINE void tile_rows(const int n_rows, const mn_unpack_form f, int n_chunks, const panel_chunk *p,
                                const char *x, size_t x_row_bytes, float *out, int64_t out_stride) {
    __m256 sum[ROWS][2];
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) {
        sum[r][0] = _mm256_loadu_ps(out + r * out_stride);
        sum[r][1] = _mm256_loadu_ps(out + r * out_stride + GROUP);
    }
    for (; n_chunks > 0; n_chunks--, p++, x += sizeof(mn_few_x)) {
        for (int b = 0; b < MN_FEW_BLOCKS; b++) {
            const int place = b / 2 + b % 2 * 4, first = b / 2 * 16 + b % 2 * 4; /* in d; of the dwords */
            const int8_t *q = ((const mn_few_x *)x)->q + 4 * first;
            if (!f.has_halves) {
                add_run(n_rows, f, p->u + first, q, p->scale[place], p->min[place], x, x_row_bytes, place, 0, sum);
                continue;
            }
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++)
                add_run(n_rows, f, p->u + first + 8 * h, q + 32 * h, p->scale[2 * place + h], p->min[2 * place + h], x,
                        x_row_bytes, place, h, sum);
        }
    }
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) {
        _mm256_storeu_ps(out + r * out_stride, sum[r][0]);
        _mm256_storeu_ps(out + r * out_stride + GROUP, sum[r][1]);
    }
}

MN_ALWAYS_INLINE void tile_some(int n_rows, const mn_unpack_form f, int n_chunks, const panel_chunk *p, const char *x,
                                size_t x_row_bytes, float *out, int64_t out_stride) {
    switch (n_rows) {
    case 3: tile_rows(3, f, n_chunks, p, x, x_row_bytes, out, out_stride); break;
    case 2: tile_rows(2, f, n_chunks, p, x, x_row_bytes, out, out_stride); break;
    default: tile_rows(1, f, n_chunks, p, x, x_row_bytes, out, out_stride); break;
    }
}

MN_ALWAYS_INLINE void tile(const mn_unpack_form f, const mn_matmul_part *part, const void *p, const char *x,
                           size_t x_row_bytes, int64_t n_rows, mn_matmul_sums sums) {
    const int n_chunks = (part->n_inputs + MN_FEW_INPUTS - 1) / MN_FEW_INPUTS;
    const size_t bytes = (size_t)part->n_outputs * sizeof(float);
    x += (size_t)part->first_input / MN_FEW_INPUTS * sizeof(mn_few_x);
    for (int64_t first = 0; first < n_rows; first += ROWS, x += ROWS * x_row_bytes) {
        const int n = n_rows - first < ROWS ? (int)(n_rows - first) : ROWS;
        float sum[ROWS][OUTPUTS] = {{0}};
        for (int r = 0; r < n && sums.add; r++) memcpy(sum[r], sums.old + (first + r) * sums.old_stride, bytes);
        tile_some(n, f, n_chunks, p, x, x_row_bytes, sum[0], OUTPUTS);
        for (int r = 0; r < n; r++) memcpy(sums.out + (first + r) * sums.out_stride, sum[r], bytes);
    }
}

/* Tile and path of a type. */
#define PATH(type, dtype, ...)                                                                                         \
    static void pack_##type(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel) {                      \
        (void)vec;                                                                                                     \
        pack((mn_unpack_form){__VA_ARGS__}, mn_u_of_##type, mn_scales_of_##type, part, panel);                         \
    }                                                                                                                  \
    static void tile_##type(const mn_matmul_part *part, const void *panel, void *next, const char *x,                  \
                            size_t x_row_bytes, int64_t n_rows, mn_matmul_sums sums) {                                 \
        (void)next;                                                                                                    \
        tile((mn_unpack_form){__VA_ARGS__}, part, panel, x, x_row_bytes, n_rows, sums);                                \
    }                                                                                                                  \
    static const mn_matmul_path path_##type = {                                                                        \
        .panel_outputs = OUTPUTS,                                                                                      \
        .block_inputs = INPUTS,                                                                                        \
        .panel_bytes = sizeof(panel_chunk[CHUNKS]),                                                                    \
        .x_row_bytes = mn_few_x_row_bytes,                                                                             \
        .prepare = mn_few_prepare,                                                                                     \
        .pack = pack_##type,                                                                                           \
        .tile = tile_##type,                                                                                           \
    };
MN_UNPACK_TYPES(PATH)

void mn_matmul_init_avxvnni(mn_matmul_kernels *table) {
    mn_matmul_init_few_quant_avxvnni(table);
#define ENTER(type, dtype, ...) table->many[dtype] = &path_##type, table->many_rows[dtype] = PANEL_WINS;
    MN_UNPACK_TYPES(ENTER)
}
