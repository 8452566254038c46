/* Random numbers that are the same on every machine: PCG32 (O'Neill 2014, XSH-RR). Not for secrets. */
#ifndef MN_BASE_RANDOM_H
#define MN_BASE_RANDOM_H

#include <stdint.h>

typedef struct mn_random {
    uint64_t state, stream;
} mn_random;

void mn_random_seed(mn_random *rng, uint64_t seed, uint64_t stream);
uint32_t mn_random_u32(mn_random *rng);
uint64_t mn_random_u64(mn_random *rng);
/* Uniform in [0, bound), without bias; bound >= 1. */
uint32_t mn_random_below(mn_random *rng, uint32_t bound);
/* Uniform in [0, 1), 53 bits. */
double mn_random_double(mn_random *rng);
/* Normal, mean 0, variance 1 (Box-Muller, one of the pair: no hidden state). */
double mn_random_normal(mn_random *rng);

#endif
