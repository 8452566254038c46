/* f16 and bf16 to and from f32, round to nearest even, NaN and infinities kept. */
#ifndef MN_TENSOR_HALF_H
#define MN_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

static inline float mn_f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t mn_f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float mn_bf16_to_f32(uint16_t h) { return mn_f32_from_bits((uint32_t)h << 16); }

static inline uint16_t mn_bf16_from_f32(float value) {
    uint32_t bits = mn_f32_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 64); /* NaN stays NaN, made quiet */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float mn_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) return mn_f32_from_bits(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    /* 0x1p112 moves the exponent bias from 15 to 127; subnormals come out right because the product is exact */
    float value = mn_f32_from_bits(magnitude << 13) * 0x1p112f;
    return mn_f32_from_bits(mn_f32_bits(value) | sign);
}

static inline uint16_t mn_f16_from_f32(float value) {
    uint32_t bits = mn_f32_bits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* rounds to 65536 or more */
    if (magnitude < 0x38800000) {                                  /* subnormal: let the FPU round at 2^-24 */
        float shifted = mn_f32_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (mn_f32_bits(shifted) - 0x3f000000));
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

#endif
