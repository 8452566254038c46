/* A random order of n items without a table: item i of the order is computed when it is asked for. */
#ifndef MN_TRAIN_PERMUTATION_H
#define MN_TRAIN_PERMUTATION_H

#include <stdint.h>

/* The place of item i, in [0, n), in the order that `seed` draws: for a fixed seed and n a bijection of [0, n). A
 * Feistel network of four rounds over the next even power of two, walked until the value lies below n. n >= 1,
 * 0 <= i < n. Cost: about four hashes; at most four walks are expected. */
uint64_t mn_permute(uint64_t i, uint64_t n, uint64_t seed);

#endif
