/* attention at long depths. With --bench it prints speeds beside the machine's peaks of the same run instead. */
#include "support/attend_case.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/attention_case.h"
#include "base/clock.h"
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

static _Atomic float sink;

/* 24 independent sums, all in registers: the rate of the instruction itself. */
#define EACH_SUM(X)                                                                                                    \
    X(0)                                                                                                               \
    X(1)                                                                                                               \
    X(2)                                                                                                               \
    X(3)                                                                                                               \
    X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#define DECLARE(i) __m512 sum##i = _mm512_setzero_ps();
#define DOT(i)                                                                                                         \
    sum##i = _mm512_dpbf16_ps(sum##i, x, x);                                                                           \
    __asm__ volatile("" : "+v"(sum##i));
#define USE(i) sink = _mm512_cvtss_f32(sum##i);

__attribute__((target("avx512f,avx512bf16"))) static void multiply_bf16(void *arg, int64_t begin, int64_t end, int t) {
    (void)arg;
    (void)t;
    EACH_SUM(DECLARE)
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    for (int64_t n = begin; n < end; n++)
        for (int j = 0; j < 10000; j++) {
            EACH_SUM(DOT)
        }
    EACH_SUM(USE)
}
enum { STREAM_BYTES = 1 << 28, STREAM_ITEM = 1 << 18 };

__attribute__((target("avx512f"))) static void read_stream(void *arg, int64_t begin, int64_t end, int t) {
    (void)t;
    const char *data = arg;
    __m512i sum = _mm512_setzero_si512();
    for (const char *p = data + begin * STREAM_ITEM; p < data + end * STREAM_ITEM; p += 256) {
        sum = _mm512_xor_si512(sum, _mm512_load_si512(p));
        sum = _mm512_xor_si512(sum, _mm512_load_si512(p + 64));
        sum = _mm512_xor_si512(sum, _mm512_load_si512(p + 128));
        sum = _mm512_xor_si512(sum, _mm512_load_si512(p + 192));
        _mm_prefetch(p + 4096, _MM_HINT_T0);
        _mm_prefetch(p + 4096 + 64, _MM_HINT_T0);
        _mm_prefetch(p + 4096 + 128, _MM_HINT_T0);
        _mm_prefetch(p + 4096 + 192, _MM_HINT_T0);
    }
    sink = (float)_mm512_reduce_add_epi32(sum);
}

static void keep_best(double *best, mn_pool *pool, int64_t n, mn_pool_fn *fn, void *arg) {
    double start = mn_clock_seconds();
    mn_pool_run(pool, n, 1, fn, arg);
    *best = fmin(*best, mn_clock_seconds() - start);
}

/* --bench THREADS, then seven arguments for each shape. Peaks and shapes take turns, and the best of each counts: what
 * else the machine does is then as far out of the ratios as it can be. */
static void bench(int argc, char **argv) {
    enum { ROUNDS = 7, MAX_SHAPES = 16 };
    mn_pool *pool;
    mn_error err;
    assert_ok(mn_pool_create(argc > 2 ? atoi(argv[2]) : 0, &pool, &err), err);
    mn_arena scratch = MN_ARENA_INIT;
    mn_cpu_level level;
    assert_ok(mn_cpu_choose(&level, &err), err);
    mn_compute c = {.kernels = mn_kernels_get(level), .pool = pool, .scratch = &scratch};
    mn_attend_speed best[MAX_SHAPES];
    int n_shapes = argc > 9 ? (argc - 3) / 7 : 0;
    assert_in_range(n_shapes, 1, MAX_SHAPES);
    double dot_seconds = 1e9, read_seconds = 1e9;
    char *data = aligned_alloc(2 << 20, STREAM_BYTES);
    madvise(data, STREAM_BYTES, MADV_HUGEPAGE);
    memset(data, 1, STREAM_BYTES);
    for (int round = 0; round < ROUNDS; round++) {
        keep_best(&dot_seconds, pool, 100, multiply_bf16, NULL);
        keep_best(&read_seconds, pool, STREAM_BYTES / STREAM_ITEM, read_stream, data);
        for (int i = 0; i < n_shapes; i++) {
            char **of = argv + 3 + 7 * i;
            mn_dtype type = (mn_dtype)mn_dtype_find(of[0]);
            mn_attend_shape s = {.k_type = type,
                                 .v_type = type,
                                 .n_heads = atoi(of[1]),
                                 .n_kv_heads = atoi(of[2]),
                                 .k_dim = atoi(of[3]),
                                 .v_dim = atoi(of[4]),
                                 .depth = atol(of[5]),
                                 .n_rows = atol(of[6])};
            mn_attend_speed speed;
            assert_ok(mn_attend_measure(&c, &s, 5, &speed, &err), err);
            if (round == 0 || speed.seconds < best[i].seconds) best[i] = speed;
        }
    }
    double flop_peak = 100 * 10000.0 * 24 * 64 / dot_seconds, byte_peak = STREAM_BYTES / read_seconds;
    printf("peaks: %.0f GFLOP/s %.1f GB/s\n", flop_peak / 1e9, byte_peak / 1e9);
    for (int i = 0; i < n_shapes; i++) {
        for (int word = 0; word < 7; word++) printf("%s ", argv[3 + 7 * i + word]);
        double flops = best[i].flops / best[i].seconds, bytes = best[i].bytes / best[i].seconds;
        printf(": %.3f ms, %.0f GFLOP/s (%.0f %%), %.1f GB/s (%.0f %%)\n", best[i].seconds * 1e3, flops / 1e9,
               100 * flops / flop_peak, bytes / 1e9, 100 * bytes / byte_peak);
    }
    free(data);
    mn_arena_release(&scratch);
    mn_pool_destroy(pool);
}

#else
static void bench(int argc, char **argv) {
    (void)argv;
    fprintf(stderr, "no peaks to compare %d shapes with: this bench is for x86-64.\n", (argc - 2) / 7);
}
#endif

/* Rounding must not grow with depth: the same limit as for short contexts. */
static void long_depths(void **state) {
    (void)state;
    EACH_LEVEL(level) {
        attend_spec few = {MN_F16, MN_F16, 1, 2, 64, 64, 70000, 69997, 3, .window = 0};
        attend_spec many = {MN_Q8_0, MN_F16, 1, 1, 32, 32, 40000, 39980, 20, .window = 0};
        assert_true(attend_check(&few, 1, attend_decode, level, true) <= 1e-6);
        assert_true(attend_check(&many, 1, mn_flash, level, true) <= 1e-6);
        if (level >= MN_CPU_AVX512) assert_true(attend_check(&few, 1, attend_decode, level, false) <= 1e-6);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) {
        bench(argc, argv);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(long_depths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
