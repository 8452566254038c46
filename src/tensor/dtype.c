#include "tensor/dtype.h"

#include "base/checked.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

#include <strings.h>

static void f32_copy(const void *src, float *dst, int64_t n) { memcpy(dst, src, (size_t)n * sizeof *dst); }

static void f32_store(const float *src, void *dst, int64_t n) { memcpy(dst, src, (size_t)n * sizeof *src); }

static void f16_to_f32(const void *src, float *dst, int64_t n) {
    const uint16_t *half = src;
    for (int64_t i = 0; i < n; i++) dst[i] = mn_f16_to_f32(half[i]);
}

static void f16_from_f32(const float *src, void *dst, int64_t n) {
    uint16_t *half = dst;
    for (int64_t i = 0; i < n; i++) half[i] = mn_f16_from_f32(src[i]);
}

static void bf16_to_f32(const void *src, float *dst, int64_t n) {
    const uint16_t *half = src;
    for (int64_t i = 0; i < n; i++) dst[i] = mn_bf16_to_f32(half[i]);
}

static void bf16_from_f32(const float *src, void *dst, int64_t n) {
    uint16_t *half = dst;
    for (int64_t i = 0; i < n; i++) half[i] = mn_bf16_from_f32(src[i]);
}

static void i32_to_f32(const void *src, float *dst, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int32_t number;
        memcpy(&number, (const char *)src + (size_t)i * sizeof number, sizeof number);
        dst[i] = (float)number;
    }
}

static const mn_dtype_info table[MN_DTYPE_COUNT] = {
    [MN_F32] = {"f32", 1, 4, false, f32_copy, f32_store},
    [MN_F16] = {"f16", 1, 2, false, f16_to_f32, f16_from_f32},
    [MN_BF16] = {"bf16", 1, 2, false, bf16_to_f32, bf16_from_f32},
    [MN_Q4_0] = {"q4_0", MN_BLOCK, sizeof(mn_q4_0), true, mn_q4_0_to_f32, mn_q4_0_from_f32},
    [MN_Q4_1] = {"q4_1", MN_BLOCK, sizeof(mn_q4_1), true, mn_q4_1_to_f32, mn_q4_1_from_f32},
    [MN_Q5_0] = {"q5_0", MN_BLOCK, sizeof(mn_q5_0), true, mn_q5_0_to_f32, mn_q5_0_from_f32},
    [MN_Q5_1] = {"q5_1", MN_BLOCK, sizeof(mn_q5_1), true, mn_q5_1_to_f32, mn_q5_1_from_f32},
    [MN_Q8_0] = {"q8_0", MN_BLOCK, sizeof(mn_q8_0), true, mn_q8_0_to_f32, mn_q8_0_from_f32},
    [MN_Q2_K] = {"q2_k", MN_SUPER_BLOCK, sizeof(mn_q2_k), true, mn_q2_k_to_f32, mn_q2_k_from_f32},
    [MN_Q3_K] = {"q3_k", MN_SUPER_BLOCK, sizeof(mn_q3_k), true, mn_q3_k_to_f32, mn_q3_k_from_f32},
    [MN_Q4_K] = {"q4_k", MN_SUPER_BLOCK, sizeof(mn_q4_k), true, mn_q4_k_to_f32, mn_q4_k_from_f32},
    [MN_Q5_K] = {"q5_k", MN_SUPER_BLOCK, sizeof(mn_q5_k), true, mn_q5_k_to_f32, NULL},
    [MN_Q6_K] = {"q6_k", MN_SUPER_BLOCK, sizeof(mn_q6_k), true, mn_q6_k_to_f32, mn_q6_k_from_f32},
    [MN_IQ4_NL] = {"iq4_nl", MN_BLOCK, sizeof(mn_iq4_nl), true, mn_iq4_nl_to_f32, mn_iq4_nl_from_f32},
    [MN_IQ4_XS] = {"iq4_xs", MN_SUPER_BLOCK, sizeof(mn_iq4_xs), true, mn_iq4_xs_to_f32, mn_iq4_xs_from_f32},
    [MN_I32] = {"i32", 1, 4, false, i32_to_f32, NULL},
    [MN_MXFP4] = {"mxfp4", MN_BLOCK, sizeof(mn_mxfp4), true, mn_mxfp4_to_f32, mn_mxfp4_from_f32},
};

_Static_assert(sizeof(mn_q4_0) == 18 && sizeof(mn_q4_1) == 20 && sizeof(mn_q5_0) == 22 && sizeof(mn_q5_1) == 24 &&
                   sizeof(mn_q8_0) == 34 && sizeof(mn_iq4_nl) == 18 && sizeof(mn_mxfp4) == 17,
               "blocks of 32 have the sizes that GGUF fixes");
_Static_assert(sizeof(mn_q2_k) == 84 && sizeof(mn_q3_k) == 110 && sizeof(mn_q4_k) == 144 && sizeof(mn_q5_k) == 176 &&
                   sizeof(mn_q6_k) == 210 && sizeof(mn_iq4_xs) == 136,
               "super-blocks have the sizes that GGUF fixes");

const mn_dtype_info *mn_dtype_get(int type) {
    return type >= 0 && type < MN_DTYPE_COUNT && table[type].name ? &table[type] : NULL;
}

int mn_dtype_find(const char *name) {
    for (int type = 0; type < MN_DTYPE_COUNT; type++) {
        if (table[type].name && strcasecmp(table[type].name, name) == 0) return type;
    }
    return -1;
}

size_t mn_dtype_row_bytes(mn_dtype type, int64_t n) {
    const mn_dtype_info *info = &table[type];
    size_t bytes;
    if (n < 0 || n % info->block_elems) return 0;
    return mn_mul_size((size_t)(n / info->block_elems), (size_t)info->block_bytes, &bytes) ? bytes : 0;
}

void mn_to_f32(mn_dtype type, const void *src, float *dst, int64_t n) {
    table[type].to_f32(src, dst, n / table[type].block_elems);
}

void mn_from_f32(mn_dtype type, const float *src, void *dst, int64_t n) {
    table[type].from_f32(src, dst, n / table[type].block_elems);
}
