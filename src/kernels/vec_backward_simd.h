/* The kernels of vec_backward.h, written once for every width. A level's file defines LANES, includes this, and has the
 * whole table in vec_backward_init. */
#include "kernels/vec_backward.h"
#include "kernels/vec_lanes.h"

INLINE vf load_fill(const float *p, int64_t i, int64_t n_left, float fill) {
    return n_left ? load_some(p + i, n_left, fill) : load(p + i);
}

/* w dy, w NULL = 1 */
INLINE vf weighted(const float *dy, const float *w, int64_t i, int64_t n_left) {
    vf v = load_fill(dy, i, n_left, 0);
    return w ? v * load_fill(w, i, n_left, 0) : v;
}

static void back_rms_norm(float *dx, bool add, float *dw, const float *x, const float *dy, const float *w, float eps,
                          int64_t n) {
    vf squares = {0}, products = {0};
    FOR_VECTORS(n, {
        vf v = LOAD(x);
        squares += v * v;
        products += v * weighted(dy, w, i, n_left);
    });
    float s = 1 / sqrtf(sum_lanes(squares) / (float)n + eps), c = sum_lanes(products) / (float)n * s * s;
    FOR_VECTORS(n, {
        vf v = LOAD(x), g = LOAD(dy), d = s * (weighted(dy, w, i, n_left) - c * v);
        if (dw) STORE(dw, LOAD(dw) + s * v * g);
        if (add) d += LOAD(dx);
        STORE(dx, d);
    });
}

static void back_layer_norm(float *dx, bool add, float *dw, float *db, const float *x, const float *dy, const float *w,
                            float eps, int64_t n) {
    vf sum = {0}, squares = {0}, gradients = {0}, products = {0};
    FOR_VECTORS(n, { sum += LOAD(x); });
    float mean = sum_lanes(sum) / (float)n;
    FOR_VECTORS(n, {
        vf off = load_fill(x, i, n_left, mean) - mean, g = weighted(dy, w, i, n_left);
        squares += off * off;
        gradients += g;
        products += off * g;
    });
    float s = 1 / sqrtf(sum_lanes(squares) / (float)n + eps);
    float mean_g = sum_lanes(gradients) / (float)n, mean_gz = sum_lanes(products) / (float)n * s;
    FOR_VECTORS(n, {
        vf z = (load_fill(x, i, n_left, mean) - mean) * s, g = LOAD(dy);
        vf d = s * (weighted(dy, w, i, n_left) - mean_g - z * mean_gz);
        if (dw) STORE(dw, LOAD(dw) + z * g);
        if (db) STORE(db, LOAD(db) + g);
        if (add) d += LOAD(dx);
        STORE(dx, d);
    });
}

static void back_silu_mul(float *dg, float *du, const float *g, const float *u, const float *dy, int64_t n) {
    FOR_VECTORS(n, {
        vf x = LOAD(g), d = LOAD(dy), up = LOAD(u), sigmoid = 1 / (1 + vec_exp(-x));
        STORE(dg, d * up * sigmoid * (1 + x * (1 - sigmoid)));
        STORE(du, d * x * sigmoid);
    });
}

/* gelu(x) = x p, p = 1 / (1 + e^-z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3):  gelu' = p + x p (1 - p) z', which is 0 or
 * 1 long before x^3 overflows. */
static void back_gelu_mul(float *dg, float *du, const float *g, const float *u, const float *dy, int64_t n) {
    const float a = 1.59576912160573071176f;
    FOR_VECTORS(n, {
        vf whole = LOAD(g), d = LOAD(dy), x = pick(whole > 30, (vf){0} + 30, larger(whole, (vf){0} - 30));
        vf square = x * x, p = 1 / (1 + vec_exp(-a * x * (1 + 0.044715f * square)));
        vf slope = p + x * p * (1 - p) * (a + 3 * 0.044715f * a * square);
        if (u) {
            vf up = LOAD(u);
            STORE(du, d * whole * p);
            STORE(dg, d * up * slope);
        } else {
            STORE(dg, d * slope);
        }
    });
}

static void vec_mul_add(float *out, const float *x, const float *y, int64_t n) {
    FOR_VECTORS(n, { STORE(out, LOAD(out) + LOAD(x) * LOAD(y)); });
}

static void back_softmax(float *dx, const float *y, const float *dy, int64_t n) {
    vf products = {0};
    FOR_VECTORS(n, { products += LOAD(y) * LOAD(dy); });
    float sum = sum_lanes(products);
    FOR_VECTORS(n, { STORE(dx, LOAD(y) * (LOAD(dy) - sum)); });
}

static void back_rotate_interleaved(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    for (int64_t i = 0; i < n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] + b * sin[i];
        x[2 * i + 1] = b * cos[i] - a * sin[i];
    }
}

static void back_rotate_split(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    float *y = x + n_pairs;
    FOR_VECTORS(n_pairs, {
        vf a = LOAD(x), b = LOAD(y), c = LOAD(cos), s = LOAD(sin);
        STORE(x, a * c + b * s);
        STORE(y, b * c - a * s);
    });
}

static double log_sum_exp(float *x, int64_t n) {
    vf most = (vf){0} - INFINITY, sum = {0};
    FOR_VECTORS(n, { most = larger(load_fill(x, i, n_left, -INFINITY), most); });
    float max = largest_lane(most);
    if (max == -INFINITY) max = 0; /* every exponential is 0 */
    FOR_VECTORS(n, {
        vf v = load_fill(x, i, n_left, -INFINITY), e = pick(v == -INFINITY, (vf){0}, vec_exp(v - max));
        sum += e;
        STORE(x, e);
    });
    float total = sum_lanes(sum), inverse = total > 0 ? 1 / total : total; /* a NaN stays */
    FOR_VECTORS(n, { STORE(x, inverse * LOAD(x)); });
    return (double)max + log((double)total);
}

INLINE vf vec_sqrt(vf v) {
    float lane[LANES];
    memcpy(lane, &v, sizeof v);
    for (int k = 0; k < LANES; k++) lane[k] = sqrtf(lane[k]);
    memcpy(&v, lane, sizeof v);
    return v;
}

static void adam(float *w, float *m, float *v, const float *gradient, const mn_adam *step, int64_t n) {
    const mn_adam s = *step;
    FOR_VECTORS(n, {
        vf g = s.scale * LOAD(gradient);
        vf first = s.beta1 * LOAD(m) + (1 - s.beta1) * g, second = s.beta2 * LOAD(v) + (1 - s.beta2) * g * g;
        STORE(m, first);
        STORE(v, second);
        STORE(w, s.keep * LOAD(w) - s.rate * first / (vec_sqrt(second) * s.inverse_root + s.eps));
    });
}

static void vec_backward_init(mn_vec_backward *table) {
    *table = (mn_vec_backward){
        .rms_norm = back_rms_norm,
        .layer_norm = back_layer_norm,
        .silu_mul = back_silu_mul,
        .gelu_mul = back_gelu_mul,
        .mul_add = vec_mul_add,
        .softmax = back_softmax,
        .rotate_interleaved = back_rotate_interleaved,
        .rotate_split = back_rotate_split,
        .log_sum_exp = log_sum_exp,
        .adam = adam,
    };
}
