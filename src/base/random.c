#include "base/random.h"

#include <math.h>

uint32_t mn_random_u32(mn_random *rng) {
    uint64_t old = rng->state;
    rng->state = old * 6364136223846793005u + rng->stream;
    uint32_t mixed = (uint32_t)(((old >> 18) ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return mixed >> turn | mixed << (-turn & 31);
}

void mn_random_seed(mn_random *rng, uint64_t seed, uint64_t stream) {
    *rng = (mn_random){.state = 0, .stream = stream << 1 | 1};
    mn_random_u32(rng);
    rng->state += seed;
    mn_random_u32(rng);
}

uint64_t mn_random_u64(mn_random *rng) {
    uint64_t high = mn_random_u32(rng);
    return high << 32 | mn_random_u32(rng);
}

uint32_t mn_random_below(mn_random *rng, uint32_t bound) {
    uint32_t threshold = -bound % bound, r;
    do r = mn_random_u32(rng);
    while (r < threshold);
    return r % bound;
}

double mn_random_double(mn_random *rng) { return (double)(mn_random_u64(rng) >> 11) * 0x1p-53; }

double mn_random_normal(mn_random *rng) {
    double u = 1.0 - mn_random_double(rng), v = mn_random_double(rng);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
