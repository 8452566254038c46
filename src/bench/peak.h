/* What this machine can do at most: the floors that speeds are compared with, measured in the same run.
 *
 * Each instruction is run on independent accumulators in registers, so that nothing but its own throughput counts.
 */
#ifndef MN_BENCH_PEAK_H
#define MN_BENCH_PEAK_H

#include "base/pool.h"
#include "kernels/cpu.h"
#include "kernels/peaks.h"

#include <stddef.h>
#include <stdint.h>

/* Measures for about `seconds`, the best of several short bursts of each. MN_ERR_MEMORY when there is no room for the
 * buffer. */
mn_status mn_peaks_measure(mn_cpu_level level, mn_pool *pool, double seconds, mn_peaks *out, mn_error *err);
/* The same with a buffer of at most max_buffer_bytes (2 MiB at least), for where memory is short. A small buffer looks
 * faster than memory is, where caches or tables of pages hold more of it: on a virtual machine 64 MiB by half. */
mn_status mn_peaks_measure_within(mn_cpu_level level, mn_pool *pool, double seconds, size_t max_buffer_bytes,
                                  mn_peaks *out, mn_error *err);
/* The same reading `bytes` bytes that are there (MN_PEAK_MIN_BYTES at least), over and over. Takes no memory. */
enum { MN_PEAK_MIN_BYTES = 1 << 21 };
mn_status mn_peaks_measure_on(mn_cpu_level level, mn_pool *pool, double seconds, const void *data, size_t bytes,
                              mn_peaks *out, mn_error *err);

/* One run of n_steps steps on one thread: returns operations done. The sum of what was computed goes to *sink, so that
 * the work is not removed. */
typedef double mn_peak_fn(int64_t n_steps, float *sink);

mn_peak_fn mn_peak_f32_generic, mn_peak_f32_avx2, mn_peak_f32_avx512, mn_peak_int8_avx2, mn_peak_int8_avxvnni,
    mn_peak_bf16_avx512bf16, mn_peak_int8_avx512bf16, mn_peak_bf16_amx, mn_peak_int8_amx;

#endif
