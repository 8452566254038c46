#include "train/permutation.h"

enum { ROUNDS = 4 };

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Bits of each half: the network permutes [0, 4^bits), which holds n values. */
static int half_bits(uint64_t n) {
    int bits = 1;
    while (bits < 32 && n > UINT64_C(1) << (2 * bits)) bits++;
    return bits;
}

static uint64_t encrypt(uint64_t x, int bits, uint64_t seed) {
    uint64_t mask = (UINT64_C(1) << bits) - 1, left = x >> bits, right = x & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t next = left ^ (mix(right + mix(seed + round)) & mask);
        left = right;
        right = next;
    }
    return left << bits | right;
}

uint64_t mn_permute(uint64_t i, uint64_t n, uint64_t seed) {
    int bits = half_bits(n);
    do i = encrypt(i, bits, seed);
    while (i >= n);
    return i;
}
