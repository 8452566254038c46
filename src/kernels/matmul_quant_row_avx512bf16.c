/* Quantised weights times one row of activations (GEMV), as in decode: memory is the limit, so weights are read as
 * they lie, one row of W after the other, and nothing is expanded into panels.
 *
 * Sixteen blocks of 32 at a time give sixteen terms, one for each block, exactly those that a tile adds up: the sum of
 * a block in integers, times its scale. Then sixteen outputs are summed side by side over their blocks, in the order of
 * a tile. So a row alone comes out with the bits that it has among others.
 */
#include "kernels/matmul_f32.h"
#include "kernels/matmul_quant_unpack_avx512bf16.h"

enum {
    ROW_INPUTS = 8192, /* terms of 16 outputs: 17 KiB, within the first-level cache */
    TERM_STRIDE = ROW_INPUTS / MN_BLOCK + 16,
    AHEAD_BYTES = 8192 /* into the second-level cache: more reads are under way there than the first waits for */
};

_Static_assert(sizeof(float[MN_HALF_OUTPUTS][TERM_STRIDE]) <= sizeof(mn_quant_panel), "terms go where panels would");

/* The terms of 512 inputs of a row of W; lane b is block b. Reads those inputs' bytes and none beyond. */
typedef __m512 terms_fn(const char *w, const mn_quant_x *x);

MN_ALWAYS_INLINE __m512i load_512(const void *p) { return _mm512_loadu_si512(p); }

MN_ALWAYS_INLINE __m512i load_two_256(const char *low, const char *high) {
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low));
    return _mm512_inserti64x4(v, _mm256_loadu_si256((const __m256i *)high), 1);
}

/* Nibbles of every byte: the low ones, and the high ones. */
MN_ALWAYS_INLINE __m512i low_nibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }

MN_ALWAYS_INLINE __m512i high_nibbles(__m512i v) { return low_nibbles(_mm512_srli_epi16(v, 4)); }

/* a and b, each with four dwords in each of four places -> sums of two dwords, those of a and b alternating. */
MN_ALWAYS_INLINE __m512i add_dwords(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

/* Place p of the result: the sums over place p of v[0], v[1], v[2] and v[3]. */
MN_ALWAYS_INLINE __m512i sum_places(const __m512i v[4]) {
    __m512i a = add_dwords(v[0], v[1]), b = add_dwords(v[2], v[3]);
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Vectors k = 0 .. 7 hold blocks first[k], second[k], 8 dwords each; what comes of them is, in places, the first halves
 * of blocks {first 0-3}, {second 0-3}, {first 4-7}, {second 4-7}, and the second halves. */
MN_ALWAYS_INLINE void sum_halves(const __m512i v[8], __m512i half[2]) {
    __m512i a = sum_places(v), b = sum_places(v + 4);
    half[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    half[1] = _mm512_shuffle_i32x4(a, b, 0xdd);
}

/* The order that puts blocks 0 to 15 one after the other when vector k held blocks 2 k and 2 k + 1. */
MN_ALWAYS_INLINE __m512i neighbours(__m512i v) {
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    return _mm512_permutexvar_epi32(order, v);
}

MN_ALWAYS_INLINE __m512 offset_terms(__m512i dots, const mn_quant_x *x, unsigned offset_bits, __m512 scale) {
    __m512i offset = _mm512_slli_epi32(load_512(x->minus_sum), offset_bits);
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(dots, offset)), scale);
}

/* f16 scales, `words` 16-bit words apart, of n blocks (as many as 128 bytes hold), into lanes from `lane`. */
MN_ALWAYS_INLINE __m512i pick_scales(const char *p, int words, int lane, int n) {
    __m256i lanes = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m256i from = _mm256_sub_epi16(lanes, _mm256_set1_epi16((short)lane));
    __m512i order = _mm512_castsi256_si512(_mm256_mullo_epi16(from, _mm256_set1_epi16((short)words)));
    return _mm512_maskz_permutex2var_epi16(((1u << n) - 1) << lane, load_512(p), order, load_512(p + 64));
}

MN_ALWAYS_INLINE __m512 half_floats(__m512i words) { return _mm512_cvtph_ps(_mm512_castsi512_si256(words)); }

MN_ALWAYS_INLINE __m512 terms_q8_0(const char *w, const mn_quant_x *x) {
    enum { BYTES = sizeof(mn_q8_0) };
    __m512i v[8], half[2], scales = _mm512_setzero_si512();
    for (int k = 0; k < 8; k++) {
        const char *q = w + 2 * k * BYTES + offsetof(mn_q8_0, q);
        __m512i u = _mm512_xor_si512(load_two_256(q, q + BYTES), _mm512_set1_epi8(-128));
        v[k] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u, load_512(x->q + 64 * k));
    }
    for (int b = 0; b < 16; b += 4) scales = _mm512_or_si512(scales, pick_scales(w + b * BYTES, BYTES / 2, b, 4));
    sum_halves(v, half);
    return offset_terms(neighbours(_mm512_add_epi32(half[0], half[1])), x, 7, half_floats(scales));
}

/* 16 bytes of nibbles in each of 16 blocks, stride bytes apart, eight from q[0] and eight from q[1] on: the dot
 * products of all, in order. levels: what a nibble stands for. */
MN_ALWAYS_INLINE __m512i nibble_dots(const char *const q[2], size_t stride, const mn_quant_x *x,
                                     const __m512i *levels) {
    __m512i v[4];
    for (int k = 0; k < 4; k++) {
        const char *at = q[k / 2] + k % 2 * 4 * stride;
        __m512i bytes = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)at));
        bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128((const __m128i *)(at + stride)), 1);
        bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128((const __m128i *)(at + 2 * stride)), 2);
        bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128((const __m128i *)(at + 3 * stride)), 3);
        __m512i low = low_nibbles(bytes), high = high_nibbles(bytes);
        if (levels) low = _mm512_shuffle_epi8(*levels, low), high = _mm512_shuffle_epi8(*levels, high);
        __m512i x0 = load_512(x->q + 128 * k), x1 = load_512(x->q + 128 * k + 64);
        v[k] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), low, _mm512_shuffle_i32x4(x0, x1, 0x88));
        v[k] = _mm512_dpbusd_epi32(v[k], high, _mm512_shuffle_i32x4(x0, x1, 0xdd));
    }
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, sum_places(v));
}

/* The same of blocks that follow each other, their nibbles at offset `at`. */
MN_ALWAYS_INLINE __m512i block_nibble_dots(const char *w, size_t at, size_t block_bytes, const mn_quant_x *x,
                                           const __m512i *levels) {
    const char *const q[2] = {w + at, w + at + 8 * block_bytes};
    return nibble_dots(q, block_bytes, x, levels);
}

/* Scales of 16 blocks of 18 bytes. */
MN_ALWAYS_INLINE __m512 scales_18(const char *w) {
    return half_floats(_mm512_or_si512(pick_scales(w, 9, 0, 8), pick_scales(w + 8 * 18, 9, 8, 8)));
}

MN_ALWAYS_INLINE __m512 terms_q4_0(const char *w, const mn_quant_x *x) {
    __m512i dots = block_nibble_dots(w, offsetof(mn_q4_0, q), sizeof(mn_q4_0), x, NULL);
    return offset_terms(dots, x, 3, scales_18(w));
}

MN_ALWAYS_INLINE __m512 terms_iq4_nl(const char *w, const mn_quant_x *x) {
    __m512i levels = mn_iq4_levels();
    __m512i dots = block_nibble_dots(w, offsetof(mn_iq4_nl, q), sizeof(mn_iq4_nl), x, &levels);
    return offset_terms(dots, x, 7, scales_18(w));
}

MN_ALWAYS_INLINE __m512 terms_mxfp4(const char *w, const mn_quant_x *x) {
    __m512i levels = mn_mxfp4_levels();
    __m512i dots = block_nibble_dots(w, offsetof(mn_mxfp4, q), sizeof(mn_mxfp4), x, &levels);
    return offset_terms(dots, x, 4, mn_mxfp4_scales(mn_load_bytes(w, sizeof(mn_mxfp4))));
}

/* 8 floats from f16 at a, 8 from f16 at b. */
MN_ALWAYS_INLINE __m512 two_halves(const char *a, const char *b) {
    uint16_t low, high;
    memcpy(&low, a, sizeof low);
    memcpy(&high, b, sizeof high);
    return half_floats(
        _mm512_castsi256_si512(_mm256_set_m128i(_mm_set1_epi16((short)high), _mm_set1_epi16((short)low))));
}

/* Of two blocks of 256: sixteen scales of six bits. */
MN_ALWAYS_INLINE __m512 iq4_xs_scales(const mn_iq4_xs *a, const mn_iq4_xs *b) {
    int32_t low_bits[2];
    memcpy(&low_bits[0], a->scales_low, 4);
    memcpy(&low_bits[1], b->scales_low, 4);
    __m512i shifts = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
    __m512i low = _mm512_inserti64x4(_mm512_set1_epi32(low_bits[0]), _mm256_set1_epi32(low_bits[1]), 1);
    __m512i high = _mm512_inserti64x4(_mm512_set1_epi32(a->scales_high), _mm256_set1_epi32(b->scales_high), 1);
    low = _mm512_and_si512(_mm512_srlv_epi32(low, _mm512_slli_epi32(shifts, 2)), _mm512_set1_epi32(15));
    high = _mm512_and_si512(_mm512_srlv_epi32(high, _mm512_slli_epi32(shifts, 1)), _mm512_set1_epi32(3));
    __m512i scale = _mm512_sub_epi32(_mm512_or_si512(low, _mm512_slli_epi32(high, 4)), _mm512_set1_epi32(32));
    return _mm512_mul_ps(two_halves((const char *)&a->d, (const char *)&b->d), _mm512_cvtepi32_ps(scale));
}

MN_ALWAYS_INLINE __m512 terms_iq4_xs(const char *w, const mn_quant_x *x) {
    const mn_iq4_xs *blocks = (const mn_iq4_xs *)w;
    const char *const q[2] = {(const char *)blocks[0].q, (const char *)blocks[1].q};
    __m512i levels = mn_iq4_levels();
    return offset_terms(nibble_dots(q, 16, x, &levels), x, 7, iq4_xs_scales(&blocks[0], &blocks[1]));
}

typedef struct k4_scales {
    __m512 scale, min;
} k4_scales;

MN_ALWAYS_INLINE __m512 bytes_to_floats(__m128i v) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v)); }

MN_ALWAYS_INLINE __m256i two_128(const char *a, const char *b) {
    return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)b), _mm_loadu_si128((const __m128i *)a));
}

/* Of two blocks of 256, Q4_K or Q5_K: both begin alike, with d, d_min and three words of scales; see mn_k4_scale. */
MN_ALWAYS_INLINE k4_scales k4_scales_of(const char *a, const char *b) {
    __m256i words = two_128(a, b), nibble = _mm256_set1_epi8(15), top = _mm256_set1_epi8(0x30);
    __m256i first = _mm256_and_si256(words, _mm256_set1_epi8(63)); /* 0 to 3: scales in dword 1, minima in dword 2 */
    __m256i last = _mm256_srlv_epi32(_mm256_shuffle_epi32(words, 0xff), _mm256_setr_epi32(0, 0, 4, 0, 0, 0, 4, 0));
    __m256i high = _mm256_and_si256(_mm256_srli_epi32(words, 2), top);
    last = _mm256_or_si256(_mm256_and_si256(last, nibble), high); /* 4 to 7, likewise */
    __m256i scale = _mm256_unpacklo_epi32(first, last), min = _mm256_unpackhi_epi32(first, last);
    __m128i scales = _mm_unpackhi_epi64(_mm256_castsi256_si128(scale), _mm256_extracti128_si256(scale, 1));
    __m128i mins = _mm_unpacklo_epi64(_mm256_castsi256_si128(min), _mm256_extracti128_si256(min, 1));
    return (k4_scales){_mm512_mul_ps(two_halves(a, b), bytes_to_floats(scales)),
                       _mm512_mul_ps(two_halves(a + sizeof(mn_half), b + sizeof(mn_half)), bytes_to_floats(mins))};
}

MN_ALWAYS_INLINE __m512 min_terms(__m512i dots, const mn_quant_x *x, k4_scales s) {
    __m512 term = _mm512_mul_ps(_mm512_cvtepi32_ps(dots), s.scale);
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(load_512(x->minus_sum)), s.min, term);
}

/* 64 bytes of nibbles: blocks 0 and 2 (low), 1 and 3 (high) of four; fifth: their fifth bits, in place, or zeros. */
MN_ALWAYS_INLINE void four_dots(__m512i bytes, __m512i fifth_low, __m512i fifth_high, const int8_t *q, __m512i *even,
                                __m512i *odd) {
    __m512i x0 = load_512(q), x1 = load_512(q + 64), zero = _mm512_setzero_si512();
    __m512i low = _mm512_or_si512(low_nibbles(bytes), fifth_low);
    __m512i high = _mm512_or_si512(high_nibbles(bytes), fifth_high);
    *even = _mm512_dpbusd_epi32(zero, low, _mm512_shuffle_i64x2(x0, x1, 0x44));
    *odd = _mm512_dpbusd_epi32(zero, high, _mm512_shuffle_i64x2(x0, x1, 0xee));
}

/* Vectors of blocks (0, 2), (1, 3), (4, 6), (5, 7), and the same of the second eight. */
MN_ALWAYS_INLINE __m512i k4_order(const __m512i v[8]) {
    const __m512i order = _mm512_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    __m512i half[2];
    sum_halves(v, half);
    return _mm512_permutexvar_epi32(order, _mm512_add_epi32(half[0], half[1]));
}

MN_ALWAYS_INLINE __m512 terms_q4_k(const char *w, const mn_quant_x *x) {
    const __m512i zero = _mm512_setzero_si512();
    const char *blocks[2] = {w, w + sizeof(mn_q4_k)};
    __m512i v[8];
    for (int k = 0; k < 4; k++)
        four_dots(load_512(blocks[k / 2] + offsetof(mn_q4_k, q) + k % 2 * 64), zero, zero, x->q + 128 * k, &v[2 * k],
                  &v[2 * k + 1]);
    return min_terms(k4_order(v), x, k4_scales_of(blocks[0], blocks[1]));
}

/* Bit `bit` of the low 32 bytes, bit + 2 of the high ones, moved to bit 4: the fifth bits of two blocks. */
MN_ALWAYS_INLINE __m512i fifth_bits(__m512i high, int bit) {
    const __m512i shifts = _mm512_set_epi64(bit + 2, bit + 2, bit + 2, bit + 2, bit, bit, bit, bit);
    return _mm512_slli_epi16(_mm512_and_si512(_mm512_srlv_epi64(high, shifts), _mm512_set1_epi8(1)), 4);
}

MN_ALWAYS_INLINE __m512 terms_q5_k(const char *w, const mn_quant_x *x) {
    const char *blocks[2] = {w, w + sizeof(mn_q5_k)};
    __m512i v[8];
    for (int k = 0; k < 4; k++) {
        const char *block = blocks[k / 2];
        __m512i high = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(block + offsetof(mn_q5_k, high))));
        four_dots(load_512(block + offsetof(mn_q5_k, q) + k % 2 * 64), fifth_bits(high, k % 2 * 4),
                  fifth_bits(high, k % 2 * 4 + 1), x->q + 128 * k, &v[2 * k], &v[2 * k + 1]);
    }
    return min_terms(k4_order(v), x, k4_scales_of(blocks[0], blocks[1]));
}

/* Two 6-bit numbers come together from nibbles and from two bits of `high`, moved to bits 4 and 5. */
MN_ALWAYS_INLINE __m512i six_bits(__m512i nibbles, __m512i high) {
    return _mm512_or_si512(nibbles, _mm512_and_si512(high, _mm512_set1_epi8(0x30)));
}

/* Half of a Q6_K block, 128 elements: the dots of blocks 0, 1 and of blocks 2, 3. */
MN_ALWAYS_INLINE void q6_k_dots(const char *low, const char *high, const int8_t *q, __m512i v[2]) {
    const __m512i left = _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4), right = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
    __m512i nibbles = load_512(low), upper = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)high));
    __m512i u0 = six_bits(low_nibbles(nibbles), _mm512_sllv_epi64(upper, left));
    __m512i u1 = six_bits(high_nibbles(nibbles), _mm512_srlv_epi64(upper, right));
    v[0] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u0, load_512(q));
    v[1] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u1, load_512(q + 64));
}

MN_ALWAYS_INLINE __m512 terms_q6_k(const char *w, const mn_quant_x *x) {
    const char *blocks[2] = {w, w + sizeof(mn_q6_k)};
    __m512i v[8], dots[2];
    for (int k = 0; k < 4; k++) {
        const char *low = blocks[k / 2] + offsetof(mn_q6_k, low), *high = blocks[k / 2] + offsetof(mn_q6_k, high);
        q6_k_dots(low + k % 2 * 64, high + k % 2 * 32, x->q + 128 * k, v + 2 * k);
    }
    sum_halves(v, dots);
    const size_t at = offsetof(mn_q6_k, scales), d_at = offsetof(mn_q6_k, d);
    __m512i pairs = _mm512_cvtepi8_epi16(two_128(blocks[0] + at, blocks[1] + at));
    __m512i scale[2] = {_mm512_srai_epi32(_mm512_slli_epi32(pairs, 16), 16), _mm512_srai_epi32(pairs, 16)};
    __m512 d = two_halves(blocks[0] + d_at, blocks[1] + d_at), part[2], s[2];
    for (int h = 0; h < 2; h++) {
        __m512i offset = _mm512_slli_epi32(load_512(x->minus_half[h]), 5);
        part[h] = _mm512_cvtepi32_ps(_mm512_add_epi32(neighbours(dots[h]), offset));
        s[h] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale[h]));
    }
    return _mm512_fmadd_ps(part[1], s[1], _mm512_mul_ps(part[0], s[0]));
}

/* The terms of n inputs of one row of W, `chunk_bytes` for each 512. A rest is read with what follows it, the next row,
 * and gives terms that nobody adds; at the end of W it is filled up with zeros. */
MN_ALWAYS_INLINE void row_terms(terms_fn *terms_of, size_t chunk_bytes, const char *w, const char *end,
                                const mn_quant_x *x, int n, float *terms) {
    for (; n >= MN_QUANT_INPUTS; n -= MN_QUANT_INPUTS, w += chunk_bytes, x++, terms += MN_QUANT_BLOCKS) {
        for (size_t at = 0; at < chunk_bytes; at += 64) _mm_prefetch(w + AHEAD_BYTES + at, _MM_HINT_T1);
        _mm512_storeu_ps(terms, terms_of(w, x));
    }
    if (n == 0) return;
    const size_t rest_bytes = chunk_bytes * (size_t)n / MN_QUANT_INPUTS;
    char rest[2 * MN_QUANT_INPUTS];
    for (size_t at = 0; at < rest_bytes; at += 64) _mm_prefetch(w + AHEAD_BYTES + at, _MM_HINT_T1);
    if ((size_t)(end - w) < chunk_bytes) {
        memset(rest, 0, sizeof rest);
        w = memcpy(rest, w, rest_bytes);
    }
    _mm512_storeu_ps(terms, terms_of(w, x));
}

/* sum[o] += term[o][b] d[b] over n blocks, one after the other. Meanwhile memory works on, at `next`. */
static __m512 add_terms(const float (*term)[TERM_STRIDE], const mn_quant_x *x, int n, const char *next, __m512 sum) {
    for (int b = 0; b < n; b += 4) {
        __m512i v[4];
        for (int line = 0; line < 4; line++) _mm_prefetch(next + 64 * (b + line), _MM_HINT_T1);
        mn_load_dwords((const char *)&term[0][b], sizeof *term, v);
        const float *d = &x[b / MN_QUANT_BLOCKS].d[b % MN_QUANT_BLOCKS];
        for (int k = 0; k < 4 && b + k < n; k++)
            sum = _mm512_fmadd_ps(_mm512_castsi512_ps(v[k]), _mm512_set1_ps(d[k]), sum);
    }
    return sum;
}

/* Up to 16 outputs. */
MN_ALWAYS_INLINE void half_row(terms_fn *terms_of, const mn_matmul_part *part, int half, const mn_quant_x *x,
                               float (*term)[TERM_STRIDE], float *out) {
    int first = half * MN_HALF_OUTPUTS, n_outputs = part->n_outputs - first;
    size_t stride = mn_tensor_row_bytes(part->w), chunk_bytes = mn_dtype_row_bytes(part->w->type, MN_QUANT_INPUTS);
    const char *w = mn_matmul_row(part, first), *end = mn_matmul_end(part);
    __m512 sum = _mm512_setzero_ps();
    int n;
    for (int64_t left = part->w->ne[0]; left > 0; left -= n, x += n / MN_QUANT_INPUTS) {
        n = left < ROW_INPUTS ? (int)left : ROW_INPUTS;
        for (int o = 0; o < MN_HALF_OUTPUTS && o < n_outputs; o++)
            row_terms(terms_of, chunk_bytes, w + (size_t)o * stride, end, x, n, term[o]);
        const char *next = w + MN_HALF_OUTPUTS * stride + AHEAD_BYTES;
        sum = add_terms((const float(*)[TERM_STRIDE])term, x, n / MN_BLOCK, next, sum);
        w += (size_t)(n / MN_QUANT_INPUTS) * chunk_bytes;
    }
    _mm512_mask_storeu_ps(out + first, mn_half_mask(part->n_outputs, half), sum);
}

#define ROW(type)                                                                                                      \
    void mn_quant_row_##type(const mn_matmul_part *part, const void *x, void *panel, float *out) {                     \
        for (int half = 0; half * MN_HALF_OUTPUTS < part->n_outputs; half++)                                           \
            half_row(terms_##type, part, half, x, panel, out);                                                         \
    }
ROW(q8_0)
ROW(q4_0)
ROW(iq4_nl)
ROW(iq4_xs)
ROW(mxfp4)
ROW(q4_k)
ROW(q5_k)
ROW(q6_k)
