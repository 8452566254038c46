#include "kernels/peak.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { N_RATES = 4, STEPS = 200000, READ_BYTES = 1 << 28, READ_PIECE_BYTES = 1 << 18 };

double mn_peak_f32_generic(int64_t n_steps, float *sink) {
    enum { N = 32 };
    float sum[N] = {0};
    for (int64_t i = 0; i < n_steps; i++) {
        for (int k = 0; k < N; k++) sum[k] = sum[k] * 0.999f + 1;
    }
    for (int k = 0; k < N; k++) *sink += sum[k];
    return 2.0 * N * (double)n_steps;
}

typedef struct burst {
    mn_peak_fn *fn;
    const uint64_t *buffer;
    float sinks[64]; /* threads share them: nobody looks */
} burst;

static void run_steps(void *arg, int64_t begin, int64_t end, int thread_index) {
    burst *b = arg;
    float sink = 0;
    for (int64_t i = begin; i < end; i++) b->fn(STEPS, &sink);
    b->sinks[thread_index % 64] = sink;
}

static void read_pieces(void *arg, int64_t begin, int64_t end, int thread_index) {
    burst *b = arg;
    uint64_t sum[16] = {0};
    const uint64_t *p = b->buffer + begin * (READ_PIECE_BYTES / 8), *last = b->buffer + end * (READ_PIECE_BYTES / 8);
    for (; p < last; p += 16) {
        for (int k = 0; k < 16; k++) sum[k] ^= p[k];
    }
    for (int k = 1; k < 16; k++) sum[0] ^= sum[k];
    b->sinks[thread_index % 64] = (float)sum[0];
}

/* Operations (or bytes) per second of one burst. */
static double burst_rate(burst *b, mn_pool *pool) {
    double start = mn_clock_seconds(), done;
    if (b->fn) {
        float sink = 0;
        mn_pool_run(pool, mn_pool_threads(pool), 1, run_steps, b);
        done = b->fn(1, &sink) * STEPS * mn_pool_threads(pool);
    } else {
        mn_pool_run(pool, READ_BYTES / READ_PIECE_BYTES, 8, read_pieces, b);
        done = READ_BYTES;
    }
    return done / (mn_clock_seconds() - start);
}

static mn_peak_fn *f32_fn(mn_cpu_level level) {
#if defined(__x86_64__)
    if (level >= MN_CPU_AVX512) return mn_peak_f32_avx512;
    if (level >= MN_CPU_AVX2) return mn_peak_f32_avx2;
#else
    (void)level;
#endif
    return mn_peak_f32_generic;
}

mn_status mn_peaks_measure(mn_cpu_level level, mn_pool *pool, double seconds, mn_peaks *out, mn_error *err) {
    uint64_t *buffer = malloc(READ_BYTES);
    if (!buffer) return mn_fail(err, MN_ERR_MEMORY, "no memory for the %d MiB that measure bandwidth.", READ_BYTES >> 20);
    memset(buffer, 1, READ_BYTES);
    burst bursts[N_RATES] = {{.fn = f32_fn(level)}, {.fn = NULL}, {.fn = NULL}, {.buffer = buffer}};
#if defined(__x86_64__)
    if (level >= MN_CPU_AVX512BF16) {
        bursts[1].fn = mn_peak_bf16_avx512bf16;
        bursts[2].fn = mn_peak_int8_avx512bf16;
    }
    if (level >= MN_CPU_AMX) {
        bursts[1].fn = mn_peak_bf16_amx;
        bursts[2].fn = mn_peak_int8_amx;
    }
#endif
    double best[N_RATES] = {0}, end = mn_clock_seconds() + seconds;
    do {
        for (int i = 0; i < N_RATES; i++) {
            if (bursts[i].fn || bursts[i].buffer) best[i] = MN_MAX(best[i], burst_rate(&bursts[i], pool));
        }
    } while (mn_clock_seconds() < end);
    free(buffer);
    *out = (mn_peaks){best[0], best[1], best[2], best[3]};
    return MN_OK;
}
