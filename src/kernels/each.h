/* Pieces of work that depend on nothing of each other, each done by one thread alone.
 *
 * A loop of the pool costs a hand-over, and the wait for its slowest thread, which on a machine with other work may not
 * even run. Where there are many small operations side by side, one loop over them all beats a loop in each.
 */
#ifndef MN_KERNELS_EACH_H
#define MN_KERNELS_EACH_H

#include "kernels/compute.h"

/* Does piece i with c, which has no pool and scratch of its own. */
typedef mn_status mn_each_fn(const mn_compute *c, void *arg, int64_t i, mn_error *err);

/* Does pieces 0 .. n - 1. alone: a scratch arena for each thread of the pool; NULL: the pieces are done one after the
 * other with c itself, that is by all threads together. No result may depend on which way it was. Returns the error of
 * the first piece that has one; those behind it may have been done or not. */
mn_status mn_each(const mn_compute *c, mn_arena *alone, int64_t n, mn_each_fn *fn, void *arg, mn_error *err);

#endif
