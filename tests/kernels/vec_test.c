/* The vector kernels of every level this machine has, against double precision: all lengths around the widths,
 * unaligned, nothing written beyond the end; and the conversions of rows, bit for bit against the formats' own.
 */
#include "support/levels.h"
#include "support/support.h"

#include "base/random.h"
#include "kernels/kernels.h"
#include "tensor/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_N = 300, PAD = 20 };

static float a[MAX_N + PAD], b[MAX_N + PAD], c[MAX_N + PAD], got[MAX_N + PAD], want[MAX_N + PAD];

static void fill(mn_random *rng, float *x, int n, double scale) {
    for (int i = 0; i < n; i++) x[i] = (float)(scale * mn_random_normal(rng));
}

static void check_end(const float *x, int n) {
    for (int i = n; i < n + 8; i++) assert_int_equal(mn_f32_bits(x[i]), 0xffffffff);
}

static void for_levels(void (*check)(const mn_vec_kernels *vec, const char *level)) {
    EACH_LEVEL(level) { check(&mn_kernels_get((mn_cpu_level)level)->vec, mn_cpu_level_name((mn_cpu_level)level)); }
}

static void check_arithmetic(const mn_vec_kernels *vec, const char *level) {
    mn_random rng;
    mn_random_seed(&rng, 1, 2);
    for (int n = 0; n <= MAX_N; n = n < 70 ? n + 1 : n + 57) {
        int off = n % 5; /* no alignment is asked for */
        float *x = a + off, *y = b + (n + 1) % 3, *out = got + off;
        fill(&rng, a, MAX_N + PAD, 1);
        fill(&rng, b, MAX_N + PAD, 1);
        fill(&rng, c, MAX_N + PAD, 1);
        double sum = 0, magnitude = 0;
        for (int i = 0; i < n; i++) sum += (double)x[i] * (double)y[i], magnitude += fabs((double)x[i] * (double)y[i]);
        double off_by = fabs((double)vec->dot(x, y, n) - sum);
        if (!(off_by <= 1e-6 * sqrt(n) * magnitude)) fail_msg("%s dot of %d is off by %g", level, n, off_by);

        memset(got, 0xff, sizeof got);
        memcpy(out, c, (size_t)n * sizeof *out);
        vec->axpy(out, x, 0.7f, n);
        for (int i = 0; i < n; i++) want[i] = c[i] + 0.7f * x[i];
        assert_close(out, want, (size_t)n, 1e-7, 3e-7, level);
        check_end(out, n);
        memcpy(out, c, (size_t)n * sizeof *out);
        vec->axpy_relu(out, x, -0.7f, n);
        for (int i = 0; i < n; i++) want[i] = c[i] - 0.7f * (x[i] > 0 ? x[i] : 0);
        assert_close(out, want, (size_t)n, 1e-7, 3e-7, level);
        check_end(out, n);
        vec->scale(out, x, -1.3f, n);
        for (int i = 0; i < n; i++) assert_true(out[i] == -1.3f * x[i]);
        vec->add(out, x, y, n);
        for (int i = 0; i < n; i++) assert_true(out[i] == x[i] + y[i]);
        vec->mul(out, out, y, n);
        for (int i = 0; i < n; i++) assert_true(out[i] == (x[i] + y[i]) * y[i]);
        check_end(out, n);
    }
}

static void arithmetic_is_right_at_every_length(void **state) {
    (void)state;
    for_levels(check_arithmetic);
}

static void check_norms(const mn_vec_kernels *vec, const char *level) {
    mn_random rng;
    mn_random_seed(&rng, 3, 4);
    for (int n = 1; n <= MAX_N; n = n < 70 ? n + 1 : n + 57) {
        fill(&rng, a, n, 2);
        fill(&rng, b, n, 1);
        fill(&rng, c, n, 1);
        double mean = 0, square = 0, variance = 0;
        for (int i = 0; i < n; i++) mean += (double)a[i] / n, square += (double)a[i] * (double)a[i] / n;
        for (int i = 0; i < n; i++) variance += ((double)a[i] - mean) * ((double)a[i] - mean) / n;
        for (int with = 0; with < 2; with++) {
            memset(got, 0xff, sizeof got);
            vec->rms_norm(got, a, with ? b : NULL, 1e-5f, n);
            for (int i = 0; i < n; i++)
                want[i] = (float)((double)a[i] / sqrt(square + 1e-5) * (with ? (double)b[i] : 1));
            assert_close(got, want, (size_t)n, 0, 1e-6, level);
            check_end(got, n);
            vec->layer_norm(got, a, with ? b : NULL, with ? c : NULL, 1e-5f, n);
            for (int i = 0; i < n; i++)
                want[i] = (float)(((double)a[i] - mean) / sqrt(variance + 1e-5) * (with ? (double)b[i] : 1) +
                                  (with ? (double)c[i] : 0));
            assert_close(got, want, (size_t)n, 3e-6, 3e-6, level);
            check_end(got, n);
        }
    }
}

static void norms_are_right_at_every_length(void **state) {
    (void)state;
    for_levels(check_norms);
}

static void check_softmax(const mn_vec_kernels *vec, const char *level) {
    mn_random rng;
    mn_random_seed(&rng, 5, 6);
    for (int n = 1; n <= MAX_N; n = n < 70 ? n + 1 : n + 57) {
        memset(got, 0xff, sizeof got);
        fill(&rng, got, n, 10);
        if (n > 3) got[n / 2] = -INFINITY;
        double max = -INFINITY, min = INFINITY, sum = 0;
        for (int i = 0; i < n; i++) max = fmax(max, (double)got[i]);
        for (int i = 0; i < n; i++) min = isfinite(got[i]) ? fmin(min, (double)got[i]) : min;
        for (int i = 0; i < n; i++) sum += exp((double)got[i] - max);
        for (int i = 0; i < n; i++) want[i] = (float)(exp((double)got[i] - max) / sum);
        vec->softmax(got, n);
        assert_close(got, want, (size_t)n, 1e-37, 1e-6 + (max - min) * 0x1p-24, level);
        check_end(got, n);
        for (int i = 0; i < n; i++) got[i] = -INFINITY;
        vec->softmax(got, n);
        for (int i = 0; i < n; i++) assert_true(got[i] == 0);
    }
    float huge[3] = {3e38f, -3e38f, 3e38f}, half[3] = {0.5f, 0, 0.5f};
    vec->softmax(huge, 3);
    assert_close(huge, half, 3, 0, 1e-6, level);
    float nan[3] = {1, NAN, 2};
    vec->softmax(nan, 3);
    assert_true(isnan(nan[1]));
}

static void softmax_is_right_and_survives_extremes(void **state) {
    (void)state;
    for_levels(check_softmax);
}

/* vec.h: silu within 4 ulp, gelu within 2e-6 of |x|; infinities and NaN as the formula's limits have them. */
static void check_gates(const mn_vec_kernels *vec, const char *level) {
    for (int i = 0; i < MAX_N; i++) a[i] = (float)(i - 150) * 0.71f, b[i] = 1;
    for (int n = 1; n <= MAX_N; n += n < 40 ? 1 : 130) {
        memset(got, 0xff, sizeof got);
        vec->silu_mul(got, a, b, n);
        for (int i = 0; i < n; i++) want[i] = (float)((double)a[i] / (1 + exp(-(double)a[i])));
        assert_close(got, want, (size_t)n, 1e-36, 4.8e-7, level);
        check_end(got, n);
        for (int with = 0; with < 2; with++) {
            vec->gelu_mul(got, a, with ? b : NULL, n);
            for (int i = 0; i < n; i++) {
                double x = (double)a[i], y = sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
                if (!(fabs((double)got[i] - x / 2 * (1 + tanh(y))) <= 2e-6 * fabs(x)))
                    fail_msg("%s gelu(%g) is %g", level, x, (double)got[i]);
            }
            check_end(got, n);
        }
    }
    float x[4] = {INFINITY, NAN, 200, -200}, one[4] = {1, 1, 1, 1}, out[4];
    vec->silu_mul(out, x, one, 4);
    assert_true(out[0] == INFINITY && isnan(out[1]) && out[2] == 200 && fabsf(out[3]) < 1e-30f);
    vec->gelu_mul(out, x, one, 4);
    assert_true(out[0] == INFINITY && isnan(out[1]) && out[2] == 200 && fabsf(out[3]) < 1e-30f);
}

static void gates_are_right_and_survive_extremes(void **state) {
    (void)state;
    for_levels(check_gates);
}

/* vec.h: exact; NaN stays, infinities are ends. */
static void check_clamp(const mn_vec_kernels *vec, const char *level) {
    for (int i = 0; i < MAX_N; i++) a[i] = (float)(i - 150) * 0.71f;
    for (int n = 1; n <= MAX_N; n += n < 40 ? 1 : 130) {
        memset(got, 0xff, sizeof got);
        vec->clamp(got, a, -7, 50, n);
        for (int i = 0; i < n; i++) want[i] = fminf(fmaxf(a[i], -7), 50);
        assert_close(got, want, (size_t)n, 0, 0, level);
        check_end(got, n);
    }
    float x[4] = {INFINITY, NAN, -INFINITY, 3}, out[4];
    vec->clamp(out, x, -INFINITY, 7, 4);
    assert_true(out[0] == 7 && isnan(out[1]) && out[2] == -INFINITY && out[3] == 3);
}

static void clamping_is_exact(void **state) {
    (void)state;
    for_levels(check_clamp);
}

static void check_rotations(const mn_vec_kernels *vec, const char *level) {
    for (int n = 1; n <= MAX_N / 2; n += n < 40 ? 1 : 27) {
        mn_random rng;
        mn_random_seed(&rng, 7, (uint64_t)n);
        float x[2][MAX_N + PAD], cosine[MAX_N], sine[MAX_N];
        memset(x, 0xff, sizeof x);
        fill(&rng, x[0], 2 * n, 1);
        memcpy(want, x[0], sizeof x[0]);
        for (int i = 0; i < n; i++) cosine[i] = cosf((float)i), sine[i] = sinf((float)i);
        for (int i = 0; i < n; i++) x[1][i] = x[0][2 * i], x[1][n + i] = x[0][2 * i + 1];
        vec->rotate_interleaved(x[0], cosine, sine, n);
        vec->rotate_split(x[1], cosine, sine, n);
        for (int i = 0; i < n; i++) {
            double p = (double)want[2 * i], q = (double)want[2 * i + 1];
            float first = (float)(p * (double)cosine[i] - q * (double)sine[i]);
            float second = (float)(p * (double)sine[i] + q * (double)cosine[i]);
            float pair[2] = {first, second}, split[2] = {x[1][i], x[1][n + i]};
            assert_close(&x[0][2 * i], pair, 2, 3e-7, 3e-7, level);
            assert_close(split, pair, 2, 3e-7, 3e-7, level);
        }
        check_end(x[0], 2 * n);
        check_end(x[1], 2 * n);
    }
}

static void rotations_agree_in_both_layouts(void **state) {
    (void)state;
    for_levels(check_rotations);
}

/* All bits that a NaN may keep are let go: any NaN is a NaN. */
static void check_row(const mn_vec_kernels *vec, mn_dtype type, const float *x, int n, const char *level) {
    unsigned char blocks[4 * MAX_N + 64], other[4 * MAX_N + 64];
    size_t bytes = mn_dtype_row_bytes(type, n);
    memset(blocks, 0xa5, sizeof blocks);
    memset(other, 0xa5, sizeof other);
    mn_from_f32(type, x, blocks + 2, n);
    vec->from_f32(type, x, other + 2, n);
    if (memcmp(blocks, other, bytes + 32))
        fail_msg("%s %s: %d elements written differently", level, mn_dtype_get(type)->name, n);
    memset(got, 0xff, sizeof got);
    mn_to_f32(type, blocks + 2, want, n);
    vec->to_f32(type, blocks + 2, got, n);
    for (int i = 0; i < n; i++) {
        if (mn_f32_bits(got[i]) != mn_f32_bits(want[i]) && !(isnan(got[i]) && isnan(want[i])))
            fail_msg("%s %s: element %d of %d reads %g, not %g", level, mn_dtype_get(type)->name, i, n, (double)got[i],
                     (double)want[i]);
    }
    check_end(got, n);
}

static void check_rows(const mn_vec_kernels *vec, const char *level) {
    static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0, MN_Q5_1, MN_IQ4_NL};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        mn_random rng;
        mn_random_seed(&rng, 11, t);
        int step = mn_dtype_get(types[t])->block_elems;
        for (int round = 0; round < 300; round++) {
            int n = step * (int)(1 + mn_random_below(&rng, (uint32_t)(MAX_N / step)));
            float *x = a + round % 3;
            fill(&rng, x, n, pow(10, (double)mn_random_below(&rng, 12) - 8));
            if (round % 4 == 0) /* halves, where rounding modes differ, and ties for the largest magnitude */
                for (int i = 0; i < n; i++) x[i] = (float)((int)mn_random_below(&rng, 255) - 127) * 0.5f;
            if (round % 16 == 1) memset(x, 0, (size_t)n * sizeof *x);
            if (round % 16 == 2) x[n / 2] = (float)(round % 32 == 2 ? INFINITY : 1e-42);
            if (round % 16 == 3) x[n / 3] = NAN;
            check_row(vec, types[t], x, n, level);
        }
    }
}

static void rows_convert_as_the_formats_say(void **state) {
    (void)state;
    for_levels(check_rows);
}

/* Every f16 and every bf16 comes through f32 unchanged, at every level. */
static void check_halves(const mn_vec_kernels *vec, const char *level) {
    (void)level;
    static uint16_t half[65536], back[65536];
    static float x[65536];
    for (int i = 0; i < 65536; i++) half[i] = (uint16_t)i;
    for (int type = MN_F16; type <= MN_BF16; type += MN_BF16 - MN_F16) {
        vec->to_f32((mn_dtype)type, half, x, 65536);
        vec->from_f32((mn_dtype)type, x, back, 65536);
        for (int i = 0; i < 65536; i++) assert_true(isnan(x[i]) || back[i] == i);
    }
}

static void halves_come_back(void **state) {
    (void)state;
    for_levels(check_halves);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_is_right_at_every_length),
        cmocka_unit_test(norms_are_right_at_every_length),
        cmocka_unit_test(softmax_is_right_and_survives_extremes),
        cmocka_unit_test(gates_are_right_and_survive_extremes),
        cmocka_unit_test(clamping_is_exact),
        cmocka_unit_test(rotations_agree_in_both_layouts),
        cmocka_unit_test(rows_convert_as_the_formats_say),
        cmocka_unit_test(halves_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
