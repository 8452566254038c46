/* The table of kernels: what runs on one thread, over contiguous memory, as fast as the instructions allow.
 *
 * Portable C fills the whole table; each higher level overrides what it does better (mn_kernels_get). A kernel takes
 * no locks, allocates nothing and keeps no state. The tables of the rooms' own kernels stand in vec.h (vectors and
 * rows), vec_backward.h (their backward), matmul.h (weights times activations), attend.h (attention tiles) and
 * recurrent.h (recurrent mixers); the drivers that split work over threads are mn_matmul (matmul.h) and attention/.
 */
#ifndef MN_KERNELS_KERNELS_H
#define MN_KERNELS_KERNELS_H

#include "kernels/attend.h"
#include "kernels/compute.h"
#include "kernels/cpu.h"
#include "kernels/matmul.h"
#include "kernels/recurrent.h"
#include "kernels/vec.h"
#include "kernels/vec_backward.h"

struct mn_kernels {
    mn_cpu_level level;
    size_t l2_bytes; /* of the second-level cache, which operands are cut to fit; no result depends on it */
    mn_vec_kernels vec;
    mn_vec_backward vec_backward;
    mn_matmul_kernels matmul;
    mn_attend_kernels attend;
    mn_recurrent_kernels recurrent;
};

/* The table of one level; constant, shared by all threads. The level must be supported here (mn_cpu_supports). */
const mn_kernels *mn_kernels_get(mn_cpu_level level);

/* That table for a model whose layers' weights have this type: attention computes in f32, at levels that have bf16 for
 * it, where the level's products of many such weights do. */
const mn_kernels *mn_kernels_for(mn_cpu_level level, mn_dtype weights);

#endif
