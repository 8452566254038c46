/* Portable C: the reference for every level, and the whole table where there is no other. */
#include "kernels/transpose.h"
#include "kernels/vec.h"

#include <math.h>

/* Sums run in LANES partial sums, which the compiler may keep in one vector register, added pairwise at the end. */
enum { LANES = 16 };

static float sum_lanes(const float *lane) {
    float sum[LANES];
    for (int k = 0; k < LANES; k++) sum[k] = lane[k];
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int k = 0; k < width; k++) sum[k] += sum[k + width];
    }
    return sum[0];
}

static float vec_dot(const float *x, const float *y, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) lane[k] += x[i + k] * y[i + k];
    }
    for (int k = 0; i < n; i++, k++) lane[k] += x[i] * y[i];
    return sum_lanes(lane);
}

static void vec_axpy(float *out, const float *x, float a, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] += a * x[i];
}

static void vec_axpy_relu(float *out, const float *x, float a, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] += a * (x[i] > 0 ? x[i] : 0);
}

static void vec_scale(float *out, const float *x, float a, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a * x[i];
}

static void vec_add(float *out, const float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] + y[i];
}

static void vec_mul(float *out, const float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * y[i];
}

static void vec_clamp(float *out, const float *x, float low, float high, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

static float mean(const float *x, int64_t n) {
    float lane[LANES] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % LANES] += x[i];
    return sum_lanes(lane) / (float)n;
}

static float mean_square_from(const float *x, float center, int64_t n) {
    float lane[LANES] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % LANES] += (x[i] - center) * (x[i] - center);
    return sum_lanes(lane) / (float)n;
}

static void vec_rms_norm(float *out, const float *x, const float *w, float eps, int64_t n) {
    float scale = 1 / sqrtf(mean_square_from(x, 0, n) + eps);
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * scale * (w ? w[i] : 1);
}

static void vec_layer_norm(float *out, const float *x, const float *w, const float *b, float eps, int64_t n) {
    float center = mean(x, n), scale = 1 / sqrtf(mean_square_from(x, center, n) + eps);
    for (int64_t i = 0; i < n; i++) out[i] = (x[i] - center) * scale * (w ? w[i] : 1) + (b ? b[i] : 0);
}

static void vec_softmax(float *x, int64_t n) {
    float max = -INFINITY, lane[LANES] = {0};
    for (int64_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
    if (max == -INFINITY) max = 0; /* nothing to attend to: every exponential is 0 */
    for (int64_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        lane[i % LANES] += x[i];
    }
    float sum = sum_lanes(lane), inverse = sum > 0 ? 1 / sum : sum; /* a NaN stays */
    for (int64_t i = 0; i < n; i++) x[i] *= inverse;
}

static void vec_silu_mul(float *out, const float *g, const float *u, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = g[i] / (1 + expf(-g[i])) * u[i];
}

static void vec_gelu_mul(float *out, const float *g, const float *u, int64_t n) {
    const float sqrt_2_over_pi = 0.79788456080286535588f;
    for (int64_t i = 0; i < n; i++) {
        float gelu = 0.5f * g[i] * (1 + tanhf(sqrt_2_over_pi * g[i] * (1 + 0.044715f * g[i] * g[i])));
        out[i] = u ? gelu * u[i] : gelu;
    }
}

static void rotate_interleaved(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    for (int64_t i = 0; i < n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = a * sin[i] + b * cos[i];
    }
}

static void rotate_split(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    for (int64_t i = 0; i < n_pairs; i++) {
        float a = x[i], b = x[i + n_pairs];
        x[i] = a * cos[i] - b * sin[i];
        x[i + n_pairs] = a * sin[i] + b * cos[i];
    }
}

void mn_vec_init_generic(mn_vec_kernels *table) {
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
        .to_f32 = mn_to_f32,
        .from_f32 = mn_from_f32,
    };
}
