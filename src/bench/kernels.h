/* Every kernel that the tests check, timed at every level this machine has, or at that of MNEMO_CPU alone. */
#ifndef MN_BENCH_KERNELS_H
#define MN_BENCH_KERNELS_H

#include "bench/peak.h"

/* What was run, and how it compares with the floor it runs against. Strings are constants, but for kernel, which is
 * borrowed for the call. */
typedef struct mn_kernel_result {
    const char *kernel, *type, *level;
    int64_t n_rows;
    double flops_per_s, bytes_per_s;
    double percent; /* of the floor */
    const char *floor;
} mn_kernel_result;

/* Who is told, as it is measured: the peaks of a level, then each of its kernels. */
typedef struct mn_kernel_report {
    void (*level)(void *arg, const char *level, const mn_peaks *peaks);
    void (*result)(void *arg, const mn_kernel_result *result);
    void *arg;
} mn_kernel_report;

/* n_threads 0 = one per core. Takes about a minute a level. */
mn_status mn_kernels_measure(int n_threads, const mn_kernel_report *report, mn_error *err);

#endif
