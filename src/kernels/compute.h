/* What an operation needs to run: kernels, threads, scratch memory. One per step; passed down, never global. */
#ifndef MN_KERNELS_COMPUTE_H
#define MN_KERNELS_COMPUTE_H

#include "base/arena.h"
#include "base/pool.h"

#include <stdbool.h>

typedef struct mn_kernels mn_kernels;
typedef struct mn_profile mn_profile;

typedef struct mn_compute {
    const struct mn_kernels *kernels;
    mn_pool *pool;       /* NULL = this thread only */
    mn_arena *scratch;   /* step lifetime; operations mark and rewind it */
    bool exact;          /* f32 arithmetic throughout: weights expanded to f32, activations never quantised */
    mn_profile *profile; /* where the time goes (profile.h); NULL: nobody asks */
} mn_compute;

#endif
