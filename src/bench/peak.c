#include "bench/peak.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { N_RATES = 5, STEPS = 200000, READ_PIECE_BYTES = 1 << 18, AHEAD_BYTES = 1 << 14 };

/* Beyond what the last cache may hold, on large pages where the system has them: the KV cache has such. */
static const size_t MIN_READ_BYTES = (size_t)1 << 28, MAX_READ_BYTES = (size_t)1 << 30,
                    HUGE_PAGE_BYTES = (size_t)1 << 21;

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
    size_t buffer_bytes;
    bool ask_ahead;  /* for what the processor's own prefetcher leaves out */
    bool fits_cache; /* the buffer is put out of the caches before it is read */
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
        if (b->ask_ahead) {
            __builtin_prefetch((const char *)p + AHEAD_BYTES, 0, 2);
            __builtin_prefetch((const char *)p + AHEAD_BYTES + 64, 0, 2);
        }
        for (int k = 0; k < 16; k++) sum[k] ^= p[k];
    }
    for (int k = 1; k < 16; k++) sum[0] ^= sum[k];
    b->sinks[thread_index % 64] = (float)sum[0];
}

/* Elsewhere than on x86 a small buffer stays where it is, and memory looks faster. */
static void flush_pieces(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const burst *b = arg;
    const char *p = (const char *)b->buffer + begin * READ_PIECE_BYTES,
               *last = (const char *)b->buffer + end * READ_PIECE_BYTES;
    for (; p < last; p += 64) {
#if defined(__x86_64__)
        __builtin_ia32_clflush(p);
#endif
    }
}

/* Operations (or bytes) per second of one burst. */
static double burst_rate(burst *b, mn_pool *pool) {
    if (b->fits_cache) mn_pool_run(pool, (int64_t)b->buffer_bytes / READ_PIECE_BYTES, 8, flush_pieces, b);
    double (*now)(void) = mn_pool_threads(pool) > 1 ? mn_clock_seconds : mn_clock_thread_seconds;
    double start = now(), done;
    if (b->fn) {
        float sink = 0;
        mn_pool_run(pool, mn_pool_threads(pool), 1, run_steps, b);
        done = b->fn(1, &sink) * STEPS * mn_pool_threads(pool);
    } else {
        mn_pool_run(pool, (int64_t)b->buffer_bytes / READ_PIECE_BYTES, 8, read_pieces, b);
        done = (double)b->buffer_bytes;
    }
    return done / (now() - start);
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

static size_t choose_read_bytes(void) {
    long cache_bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t wanted = cache_bytes > 0 ? 4 * (size_t)cache_bytes : 0;
    return MN_MIN(MN_MAX(wanted, MIN_READ_BYTES), MAX_READ_BYTES);
}

static uint64_t *create_buffer(size_t max_bytes, size_t *bytes) {
    *bytes = MN_MAX(MN_MIN(choose_read_bytes(), max_bytes) / HUGE_PAGE_BYTES, 1) * HUGE_PAGE_BYTES;
    uint64_t *buffer = aligned_alloc(HUGE_PAGE_BYTES, *bytes);
    if (!buffer) return NULL;
    madvise(buffer, *bytes, MADV_HUGEPAGE);
    memset(buffer, 1, *bytes);
    return buffer;
}

/* The best of many bursts; reading is the buffer's two. */
static void measure(mn_cpu_level level, mn_pool *pool, double seconds, burst reading, mn_peaks *out) {
    burst bursts[N_RATES] = {{.fn = f32_fn(level)}, {.fn = NULL}, {.fn = NULL}, reading, reading};
    bursts[N_RATES - 1].ask_ahead = true;
#if defined(__x86_64__)
    if (level == MN_CPU_AVX2) bursts[2].fn = mn_peak_int8_avx2;
    if (level == MN_CPU_AVXVNNI) bursts[2].fn = mn_peak_int8_avxvnni;
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
    *out = (mn_peaks){best[0], best[1], best[2], MN_MAX(best[3], best[4])};
}

mn_status mn_peaks_measure_within(mn_cpu_level level, mn_pool *pool, double seconds, size_t max_buffer_bytes,
                                  mn_peaks *out, mn_error *err) {
    size_t bytes;
    uint64_t *buffer = create_buffer(max_buffer_bytes, &bytes);
    if (!buffer) return mn_fail(err, MN_ERR_MEMORY, "no memory for the %zu MiB that measure bandwidth.", bytes >> 20);
    bool fits_cache = bytes < choose_read_bytes() / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    measure(level, pool, seconds, (burst){.buffer = buffer, .buffer_bytes = bytes, .fits_cache = fits_cache}, out);
    free(buffer);
    return MN_OK;
}

mn_status mn_peaks_measure_on(mn_cpu_level level, mn_pool *pool, double seconds, const void *data, size_t bytes,
                              mn_peaks *out, mn_error *err) {
    if (bytes < MN_PEAK_MIN_BYTES)
        return mn_fail(err, MN_ERR_ARGUMENT, "%zu bytes are too few to measure bandwidth; use %d.", bytes,
                       MN_PEAK_MIN_BYTES);
    measure(level, pool, seconds, (burst){.buffer = data, .buffer_bytes = bytes}, out);
    return MN_OK;
}

mn_status mn_peaks_measure(mn_cpu_level level, mn_pool *pool, double seconds, mn_peaks *out, mn_error *err) {
    return mn_peaks_measure_within(level, pool, seconds, SIZE_MAX, out, err);
}
