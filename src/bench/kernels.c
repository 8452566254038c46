#include "bench/kernels.h"

#include "bench/attention_case.h"
#include "bench/mixer_case.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_IN = 4096, N_OUT = 4096, N_CALLS = 7 };

typedef struct bench {
    mn_compute c;
    mn_peaks peaks;
    const mn_kernel_report *report;
} bench;

static mn_status bench_matmul(bench *b, mn_dtype type, int64_t n_rows, mn_error *err) {
    enum { N_COPIES = 8 };
    mn_arena_mark mark = mn_arena_get_mark(b->c.scratch);
    size_t bytes = mn_dtype_row_bytes(type, N_IN) * N_OUT;
    char *weights = mn_arena_alloc(b->c.scratch, N_COPIES, bytes);
    float *x = mn_arena_alloc(b->c.scratch, (size_t)n_rows * N_IN, sizeof *x),
          *row = mn_arena_alloc(b->c.scratch, N_IN, sizeof *row);
    float *out = mn_arena_alloc(b->c.scratch, (size_t)n_rows * N_OUT, sizeof *out);
    if (!weights || !x || !row || !out)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for a product of %d by %d.", N_IN, N_OUT);
    mn_random rng;
    mn_random_seed(&rng, 1, 1);
    for (int64_t i = 0; i < n_rows * N_IN; i++) x[i] = (float)(mn_random_double(&rng) - 0.5);
    for (int i = 0; i < N_IN; i++) row[i] = (float)(mn_random_double(&rng) - 0.5);
    mn_from_f32(type, row, weights, N_IN);
    size_t row_bytes = bytes / N_OUT;
    for (int64_t i = 1; i < (int64_t)N_COPIES * N_OUT; i++) memcpy(weights + (size_t)i * row_bytes, weights, row_bytes);
    double best = 1e30;
    for (int call = -1; call < N_CALLS; call++) {
        mn_tensor w = {.type = type,
                       .n_dims = 2,
                       .ne = {N_IN, N_OUT, 1, 1},
                       .bytes = bytes,
                       .data = weights + (size_t)((call + 1) % N_COPIES) * bytes};
        double started = mn_clock_seconds();
        MN_TRY(mn_matmul(&b->c, out, N_OUT, x, N_IN, n_rows, &w, err));
        if (call >= 0) best = MN_MIN(best, mn_clock_seconds() - started);
    }
    const char *floor = "bandwidth";
    double flops = 2.0 * N_IN * N_OUT * (double)n_rows / best,
           peak = n_rows > 1 ? mn_product_peak(b->c.kernels, &b->peaks, type, &floor) : 0;
    mn_kernel_result r = {"matmul",
                          mn_dtype_get(type)->name,
                          mn_cpu_level_name(b->c.kernels->level),
                          n_rows,
                          flops,
                          (double)bytes / best,
                          n_rows > 1 ? 100 * flops / peak : 100 * (double)bytes / best / b->peaks.read_bytes_per_s,
                          floor};
    b->report->result(b->report->arg, &r);
    mn_arena_rewind(b->c.scratch, mark);
    return MN_OK;
}

/* Heads as models have them. MLA's two: as keys and values are made for many rows, and absorbed. */
typedef struct heads {
    int n_heads, n_kv_heads, k_dim, v_dim;
} heads;

static mn_status bench_attention(bench *b, mn_dtype type, heads h, int64_t n_rows, mn_error *err) {
    mn_attend_shape shape = {.k_type = type,
                             .v_type = type,
                             .n_heads = h.n_heads,
                             .n_kv_heads = h.n_kv_heads,
                             .k_dim = h.k_dim,
                             .v_dim = h.v_dim,
                             .depth = 16384,
                             .n_rows = n_rows};
    mn_attend_speed s;
    char name[32];
    MN_TRY(mn_attend_measure(&b->c, &shape, n_rows > 1 ? 3 : 20, &s, err));
    if (h.k_dim == h.v_dim)
        snprintf(name, sizeof name, "attention %d", h.k_dim);
    else
        snprintf(name, sizeof name, "attention %d/%d", h.k_dim, h.v_dim);
    bool wide = b->peaks.bf16_flops_per_s > 0;
    double flops = s.flops / s.seconds, bytes = s.bytes / s.seconds;
    double peak = wide ? b->peaks.bf16_flops_per_s : b->peaks.f32_flops_per_s;
    mn_kernel_result r = {name,
                          mn_dtype_get(type)->name,
                          mn_cpu_level_name(b->c.kernels->level),
                          n_rows,
                          flops,
                          bytes,
                          n_rows > 1 ? 100 * flops / peak : 100 * bytes / b->peaks.read_bytes_per_s,
                          n_rows == 1 ? "bandwidth"
                          : wide      ? "bf16 peak"
                                      : "f32 peak"};
    b->report->result(b->report->arg, &r);
    return MN_OK;
}

/* Recurrent states, in f32 at every level. */
static mn_status bench_mixer(bench *b, const char *name, mn_mixer_rule rule, heads h, int64_t n_rows, mn_error *err) {
    mn_mixer_speed s;
    MN_TRY(mn_mixer_measure(&b->c, rule, h.n_heads, h.k_dim, h.v_dim, n_rows, n_rows > 1 ? 5 : 200, &s, err));
    double flops = s.flops / s.seconds, bytes = s.bytes / s.seconds;
    double percent = n_rows > 1 ? 100 * flops / b->peaks.f32_flops_per_s : 100 * bytes / b->peaks.read_bytes_per_s;
    mn_kernel_result r = {name,  "f32",   mn_cpu_level_name(b->c.kernels->level), n_rows, flops,
                          bytes, percent, n_rows == 1 ? "bandwidth" : "f32 peak"};
    b->report->result(b->report->arg, &r);
    return MN_OK;
}

static mn_status bench_mixers(bench *b, int64_t many, mn_error *err) {
    static const struct {
        const char *name;
        mn_mixer_rule rule;
        heads h;
    } mixers[] = {{"gated delta 128", MN_RULE_GATED_DELTA, {16, 16, 128, 128}},
                  {"KDA 128", MN_RULE_KDA, {16, 16, 128, 128}},
                  {"mamba2 128/64", MN_RULE_MAMBA2, {32, 1, 128, 64}},
                  {"rwkv7 64", MN_RULE_RWKV7, {32, 32, 64, 64}}};
    for (size_t i = 0; i < sizeof mixers / sizeof *mixers; i++) {
        MN_TRY(bench_mixer(b, mixers[i].name, mixers[i].rule, mixers[i].h, 1, err));
        MN_TRY(bench_mixer(b, mixers[i].name, mixers[i].rule, mixers[i].h, 4 * many, err));
    }
    return MN_OK;
}

static mn_status bench_level(bench *b, mn_error *err) {
    static const mn_dtype weights[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0, MN_Q4_K, MN_Q6_K};
    static const mn_dtype caches[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0};
    static const heads common[] = {{16, 8, 64, 64}, {16, 8, 128, 128}};
    static const heads others[] = {{16, 8, 32, 32},   {16, 8, 80, 80},    {16, 8, 96, 96},
                                   {16, 8, 256, 256}, {16, 16, 192, 128}, {16, 1, 576, 512}};
    int64_t many = b->c.kernels->level == MN_CPU_GENERIC ? 16 : 512;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        MN_TRY(bench_matmul(b, weights[i], 1, err));
        MN_TRY(bench_matmul(b, weights[i], many, err));
    }
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++)
        for (size_t h = 0; h < sizeof common / sizeof *common; h++) {
            MN_TRY(bench_attention(b, caches[i], common[h], 1, err));
            MN_TRY(bench_attention(b, caches[i], common[h], many, err));
        }
    for (size_t h = 0; h < sizeof others / sizeof *others; h++) {
        MN_TRY(bench_attention(b, MN_F16, others[h], 1, err));
        MN_TRY(bench_attention(b, MN_F16, others[h], many, err));
    }
    return bench_mixers(b, many, err);
}

static mn_status bench_all(bench *b, mn_error *err) {
    mn_cpu_level chosen;
    MN_TRY(mn_cpu_choose(&chosen, err));
    bool only = getenv("MNEMO_CPU") != NULL;
    for (mn_cpu_level level = only ? chosen : MN_CPU_GENERIC; level <= chosen; level++) {
        if (!mn_cpu_supports(level)) continue;
        b->c.kernels = mn_kernels_get(level);
        MN_TRY(mn_peaks_measure(level, b->c.pool, 0.5, &b->peaks, err));
        b->report->level(b->report->arg, mn_cpu_level_name(level), &b->peaks);
        MN_TRY(bench_level(b, err));
    }
    return MN_OK;
}

mn_status mn_kernels_measure(int n_threads, const mn_kernel_report *report, mn_error *err) {
    mn_arena scratch = MN_ARENA_INIT;
    bench b = {.c = {.scratch = &scratch}, .report = report};
    mn_status status = mn_pool_create(n_threads, &b.c.pool, err);
    if (status == MN_OK) status = bench_all(&b, err);
    mn_pool_destroy(b.c.pool);
    mn_arena_release(&scratch);
    return status;
}
