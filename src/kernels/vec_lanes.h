/* Vectors of LANES floats in the compiler's vector types: what the kernels over vectors are written in, once for every
 * width. Who includes this has defined LANES.
 *
 * The last, partial vector of an array goes through a vector of its own, filled up with what does not matter.
 */
#ifndef MN_KERNELS_VEC_LANES_H
#define MN_KERNELS_VEC_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

/* n < LANES floats, the rest `fill`. */
INLINE vf load_some(const float *p, int64_t n, float fill) {
    vf v = (vf){0} + fill;
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

INLINE void store_some(float *p, vf v, int64_t n) { memcpy(p, &v, (size_t)n * sizeof *p); }

INLINE vf pick(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

INLINE vf larger(vf a, vf b) { return pick(a > b, a, b); }

INLINE vf magnitude(vf v) { return (vf)((vi)v & 0x7fffffff); }

/* Halves are added, and halves of those: one order for every array. */
INLINE float sum_lanes(vf v) {
    float lane[LANES];
    memcpy(lane, &v, sizeof v);
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int k = 0; k < width; k++) lane[k] += lane[k + width];
    }
    return lane[0];
}

INLINE float largest_lane(vf v) {
    float best = v[0];
    for (int k = 1; k < LANES; k++) best = v[k] > best ? v[k] : best;
    return best;
}

/* Runs the statement over whole vectors, then once over the rest; it sees i (where), n_left (0: a whole vector). */
#define FOR_VECTORS(n, ...)                                                                                            \
    do {                                                                                                               \
        int64_t i = 0;                                                                                                 \
        for (; i + LANES <= n; i += LANES) {                                                                           \
            const int64_t n_left = 0;                                                                                  \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
        if (i < n) {                                                                                                   \
            const int64_t n_left = n - i;                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    } while (0)
#define LOAD(p) (n_left ? load_some((p) + i, n_left, 0) : load((p) + i))
#define STORE(p, v) (n_left ? store_some((p) + i, v, n_left) : store((p) + i, v))

/* e^x = 2^n e^r, r = x - n ln 2 in [-ln 2 / 2, ln 2 / 2]; e^r by the polynomial of Cephes' expf. 2^n in two factors, so
 * that subnormal results come out rounded and too large ones infinite. NaN stays. */
INLINE vf vec_exp(vf x) {
    const float rounder = 0x1.8p23f;
    x = pick(x > 89, (vf){0} + 89, x);
    x = pick(x < -104, (vf){0} - 104, x);
    vf shifted = x * 1.44269504088896341f + rounder, n = shifted - rounder;
    vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = ((((r * 1.9875691500e-4f + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r +
            1.6666665459e-1f) *
               r +
           5.0000001201e-1f;
    vi k = (vi)shifted - 0x4b400000, half = k >> 1;
    vf first = (vf)((half + 127) << 23), second = (vf)((k - half + 127) << 23);
    return (p * r * r + r + 1) * first * second;
}

#endif
