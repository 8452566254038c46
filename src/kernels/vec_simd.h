/* The vector kernels, written once for every width in the compiler's vector types. A level's file defines LANES (floats
 * in a register), the two conversions of f16, mn_transpose and, where that is faster, LOAD_BYTES; it includes this, and
 * has the whole table in vec_init. */
#include "kernels/vec.h"
#include "kernels/vec_lanes.h"
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

typedef uint32_t vu __attribute__((vector_size(LANES * 4)));
typedef uint16_t vh __attribute__((vector_size(LANES * 2)));
typedef int8_t vb __attribute__((vector_size(LANES)));
typedef uint8_t v16 __attribute__((vector_size(16)));

static float vec_dot(const float *x, const float *y, int64_t n) {
    vf sum[4] = {{0}};
    int64_t whole = n / (4 * LANES) * (4 * LANES);
    for (int64_t i = 0; i < whole; i += 4 * LANES) {
        for (int k = 0; k < 4; k++) sum[k] += load(x + i + k * LANES) * load(y + i + k * LANES);
    }
    FOR_VECTORS(n - whole, { sum[0] += LOAD(x + whole) * LOAD(y + whole); });
    return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void vec_axpy(float *out, const float *x, float a, int64_t n) {
    FOR_VECTORS(n, { STORE(out, LOAD(out) + a * LOAD(x)); });
}

static void vec_axpy_relu(float *out, const float *x, float a, int64_t n) {
    FOR_VECTORS(n, { STORE(out, LOAD(out) + a * larger(LOAD(x), (vf){0})); });
}

static void vec_scale(float *out, const float *x, float a, int64_t n) {
    FOR_VECTORS(n, { STORE(out, a * LOAD(x)); });
}

static void vec_add(float *out, const float *x, const float *y, int64_t n) {
    FOR_VECTORS(n, { STORE(out, LOAD(x) + LOAD(y)); });
}

static void vec_mul(float *out, const float *x, const float *y, int64_t n) {
    FOR_VECTORS(n, { STORE(out, LOAD(x) * LOAD(y)); });
}

static void vec_clamp(float *out, const float *x, float low, float high, int64_t n) {
    vf least = (vf){0} + low, most = (vf){0} + high;
    FOR_VECTORS(n, {
        vf v = LOAD(x);
        v = pick(v < least, least, v);
        STORE(out, pick(v > most, most, v));
    });
}

static void vec_rms_norm(float *out, const float *x, const float *w, float eps, int64_t n) {
    vf sum = {0};
    FOR_VECTORS(n, { sum += LOAD(x) * LOAD(x); });
    float scale = 1 / sqrtf(sum_lanes(sum) / (float)n + eps);
    if (!w)
        vec_scale(out, x, scale, n);
    else
        FOR_VECTORS(n, { STORE(out, LOAD(x) * scale * LOAD(w)); });
}

static void vec_layer_norm(float *out, const float *x, const float *w, const float *b, float eps, int64_t n) {
    vf sum = {0}, squares = {0};
    FOR_VECTORS(n, { sum += LOAD(x); });
    float mean = sum_lanes(sum) / (float)n;
    FOR_VECTORS(n, {
        vf off = (n_left ? load_some(x + i, n_left, mean) : load(x + i)) - mean;
        squares += off * off;
    });
    float scale = 1 / sqrtf(sum_lanes(squares) / (float)n + eps);
    FOR_VECTORS(n, {
        vf v = (LOAD(x) - mean) * scale;
        if (w) v *= LOAD(w);
        if (b) v += LOAD(b);
        STORE(out, v);
    });
}

static void vec_softmax(float *x, int64_t n) {
    vf most = (vf){0} - INFINITY, sum = {0};
    FOR_VECTORS(n, { most = larger(n_left ? load_some(x + i, n_left, -INFINITY) : load(x + i), most); });
    float max = largest_lane(most);
    if (max == -INFINITY) max = 0; /* nothing to attend to: every exponential is 0 */
    FOR_VECTORS(n, {
        vf v = n_left ? load_some(x + i, n_left, -INFINITY) : load(x + i);
        vf e = pick(v == -INFINITY, (vf){0}, vec_exp(v - max));
        sum += e;
        STORE(x, e);
    });
    float total = sum_lanes(sum);
    vec_scale(x, x, total > 0 ? 1 / total : total, n); /* a NaN stays */
}

static void vec_silu_mul(float *out, const float *g, const float *u, int64_t n) {
    FOR_VECTORS(n, {
        vf x = LOAD(g);
        STORE(out, x / (1 + vec_exp(-x)) * LOAD(u));
    });
}

/* (1 + tanh y) / 2 = 1 / (1 + e^(-2 y)) */
static void vec_gelu_mul(float *out, const float *g, const float *u, int64_t n) {
    const float minus_2_sqrt_2_over_pi = -1.59576912160573071176f;
    FOR_VECTORS(n, {
        vf x = LOAD(g);
        vf gelu = x / (1 + vec_exp(minus_2_sqrt_2_over_pi * x * (1 + 0.044715f * x * x)));
        STORE(out, u ? gelu * LOAD(u) : gelu);
    });
}

static void rotate_interleaved(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    for (int64_t i = 0; i < n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = a * sin[i] + b * cos[i];
    }
}

static void rotate_split(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    float *y = x + n_pairs;
    FOR_VECTORS(n_pairs, {
        vf a = LOAD(x), b = LOAD(y), c = LOAD(cos), s = LOAD(sin);
        STORE(x, a * c - b * s);
        STORE(y, a * s + b * c);
    });
}

static void bf16_to_f32(const uint16_t *src, float *dst, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vh h;
        memcpy(&h, src + i, sizeof h);
        store(dst + i, (vf)(__builtin_convertvector(h, vu) << 16));
    }
    for (; i < n; i++) dst[i] = mn_bf16_to_f32(src[i]);
}

static void bf16_from_f32(const float *src, uint16_t *dst, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vu bits = (vu)load(src + i);
        vu nan = (vu)((bits & 0x7fffffff) > 0x7f800000), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        vh h = __builtin_convertvector((nan & (bits >> 16 | 64)) | (~nan & rounded), vh);
        memcpy(dst + i, &h, sizeof h);
    }
    for (; i < n; i++) dst[i] = mn_bf16_from_f32(src[i]);
}

/* LANES signed bytes as floats. Compilers find the instruction for it on some levels only. */
INLINE vf load_bytes(const int8_t *p) {
#ifdef LOAD_BYTES
    return LOAD_BYTES(p);
#else
    vb b;
    memcpy(&b, p, sizeof b);
    return __builtin_convertvector(__builtin_convertvector(b, vi), vf);
#endif
}

INLINE void store_bytes(int8_t *p, vf v) {
    vb b = __builtin_convertvector(__builtin_convertvector(v, vi), vb);
    memcpy(p, &b, sizeof b);
}

static void q8_0_to_f32(const mn_q8_0 *block, float *dst, int64_t n) {
    for (; n > 0; n -= MN_BLOCK, dst += MN_BLOCK, block++) {
        float d = mn_f16_to_f32(block->d);
        for (int j = 0; j < MN_BLOCK; j += LANES) store(dst + j, load_bytes(block->q + j) * d);
    }
}

static void q4_0_to_f32(const mn_q4_0 *block, float *dst, int64_t n) {
    for (; n > 0; n -= MN_BLOCK, dst += MN_BLOCK, block++) {
        float d = mn_f16_to_f32(block->d);
        int8_t q[MN_BLOCK];
        v16 nibbles, low, high;
        memcpy(&nibbles, block->q, sizeof nibbles);
        low = (nibbles & 15) - 8;
        high = (nibbles >> 4) - 8;
        memcpy(q, &low, sizeof low);
        memcpy(q + sizeof low, &high, sizeof high);
        for (int j = 0; j < MN_BLOCK; j += LANES) store(dst + j, load_bytes(q + j) * d);
    }
}

INLINE float largest_magnitude(const float *x) {
    vf most = {0};
    for (int j = 0; j < MN_BLOCK; j += LANES) most = larger(magnitude(load(x + j)), most);
    return largest_lane(most);
}

/* mn_truncate_to, before the conversion: NaN becomes low. */
INLINE vf hold(vf v, float low, float high) {
    v = pick(v > low, v, (vf){0} + low);
    return pick(v < high, v, (vf){0} + high);
}

static void q8_0_from_f32(const float *src, mn_q8_0 *block, int64_t n) {
    const float below_half = 0x1.fffffep-2f; /* truncating v plus this is rounding v, halves away from zero */
    for (; n > 0; n -= MN_BLOCK, src += MN_BLOCK, block++) {
        float d = largest_magnitude(src) / 127, inverse = mn_inverse(d);
        block->d = mn_f16_from_f32(d);
        for (int j = 0; j < MN_BLOCK; j += LANES) {
            vf v = load(src + j) * inverse;
            vf away = (vf)(((vi)v & (int32_t)0x80000000) | (vi)((vf){0} + below_half));
            store_bytes(block->q + j, hold(v + away, -127, 127));
        }
    }
}

static void q4_0_from_f32(const float *src, mn_q4_0 *block, int64_t n) {
    for (; n > 0; n -= MN_BLOCK, src += MN_BLOCK, block++) {
        float most = largest_magnitude(src), max = 0;
        for (int j = 0; max == 0 && most > 0; j++) max = fabsf(src[j]) == most ? src[j] : 0;
        float d = max / -8, inverse = mn_inverse(d);
        int8_t q[MN_BLOCK];
        block->d = mn_f16_from_f32(d);
        for (int j = 0; j < MN_BLOCK; j += LANES) store_bytes(q + j, hold(load(src + j) * inverse + 8.5f, 0, 15));
        for (int j = 0; j < 16; j++) block->q[j] = (uint8_t)(q[j] | q[j + 16] << 4);
    }
}

static void row_to_f32(mn_dtype type, const void *src, float *dst, int64_t n) {
    switch (type) {
    case MN_F16: f16_to_f32(src, dst, n); break;
    case MN_BF16: bf16_to_f32(src, dst, n); break;
    case MN_Q8_0: q8_0_to_f32(src, dst, n); break;
    case MN_Q4_0: q4_0_to_f32(src, dst, n); break;
    default: mn_to_f32(type, src, dst, n);
    }
}

static void row_from_f32(mn_dtype type, const float *src, void *dst, int64_t n) {
    switch (type) {
    case MN_F16: f16_from_f32(src, dst, n); break;
    case MN_BF16: bf16_from_f32(src, dst, n); break;
    case MN_Q8_0: q8_0_from_f32(src, dst, n); break;
    case MN_Q4_0: q4_0_from_f32(src, dst, n); break;
    default: mn_from_f32(type, src, dst, n);
    }
}

static void vec_init(mn_vec_kernels *table) {
    *table = (mn_vec_kernels){
        .dot = vec_dot,
        .axpy = vec_axpy,
        .axpy_relu = vec_axpy_relu,
        .scale = vec_scale,
        .add = vec_add,
        .mul = vec_mul,
        .clamp = vec_clamp,
        .rms_norm = vec_rms_norm,
        .layer_norm = vec_layer_norm,
        .softmax = vec_softmax,
        .silu_mul = vec_silu_mul,
        .gelu_mul = vec_gelu_mul,
        .rotate_interleaved = rotate_interleaved,
        .rotate_split = rotate_split,
        .transpose = mn_transpose,
        .to_f32 = row_to_f32,
        .from_f32 = row_from_f32,
    };
}
