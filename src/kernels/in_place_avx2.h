/* Sums of integers that stay in their registers: gcc would move each to another one and back in every turn of a loop,
 * or add products up in a tree, which sixteen registers have no room for. */
#ifndef MN_KERNELS_IN_PLACE_AVX2_H
#define MN_KERNELS_IN_PLACE_AVX2_H

#include <immintrin.h>

static inline __m256i mn_add_words_in_place(__m256i sum, __m256i products) {
    sum = _mm256_add_epi16(sum, products);
    __asm__("" : "+x"(sum));
    return sum;
}

static inline __m256i mn_add_dwords_in_place(__m256i sum, __m256i products) {
    sum = _mm256_add_epi32(sum, products);
    __asm__("" : "+x"(sum));
    return sum;
}

#endif
