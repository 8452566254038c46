/* mnemo bench --kernels: every kernel that the tests check, timed at every level this machine has, or at that of
 * MNEMO_CPU alone. */
#ifndef MN_BENCH_KERNELS_H
#define MN_BENCH_KERNELS_H

#include "base/status.h"

#include <stdbool.h>

/* Prints a table, or one JSON object. n_threads 0 = one per core. */
mn_status mn_bench_kernels(int n_threads, bool as_json, mn_error *err);

#endif
