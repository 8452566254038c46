/* Sums over the rows of a step, as the gradient of every weight that all rows share: out[i] += sum_r f(r, i).
 *
 * Rows are cut into pieces whose number depends on n_rows alone; a piece is summed by one thread, and the sums of
 * pieces are added in order. So the result does not depend on the number of threads, and rounding grows with a piece.
 */
#ifndef MN_KERNELS_ROW_SUMS_H
#define MN_KERNELS_ROW_SUMS_H

#include "base/status.h"
#include "kernels/compute.h"

#include <stdint.h>

/* Adds rows [begin, end) to sums [n], and may write what belongs to these rows alone. */
typedef void mn_row_sums_fn(const void *job, int64_t begin, int64_t end, float *sums);

/* out [n] += the sums of all pieces. Scratch: n floats for each of at most 64 pieces. MN_ERR_MEMORY when it ends. */
mn_status mn_row_sums(const mn_compute *c, float *out, int64_t n, int64_t n_rows, mn_row_sums_fn *fn, const void *job,
                      mn_error *err);

#endif
