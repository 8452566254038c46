/* position: the RoPE family against the golden values of the papers' code, and what must hold at any position. */
#include "support/support.h"

#include <math.h>
#include <string.h>

#include "position/position.h"

static mn_rope_spec llama2(mn_rope_scaling scaling, double factor) {
    return (mn_rope_spec){.scaling = scaling, .n_rot = 128, .freq_base = 1e4, .factor = factor, .original_ctx = 4096};
}

static mn_rope_table table_of(mn_rope_spec spec, int64_t n_ctx) {
    mn_rope_table table;
    mn_error err;
    assert_ok(mn_rope_init(&spec, n_ctx, &table, &err), err);
    return table;
}

/* The golden values are printed with nine digits or more. */
static void assert_near(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 2e-9 * fabs(want))) fail_msg("%s is %.12g, wanted %.12g", what, got, want);
}

typedef struct golden {
    int pair;
    double freq;
} golden;

static void assert_freqs(const mn_rope_table *table, const golden *wanted, int n) {
    for (int i = 0; i < n; i++) {
        char what[32];
        snprintf(what, sizeof what, "pair %d", wanted[i].pair);
        assert_near(table->freq[wanted[i].pair], wanted[i].freq, what);
    }
}
#define ASSERT_FREQS(table, ...)                                                                                       \
    assert_freqs(&(table), (golden[]){__VA_ARGS__}, (int)(sizeof(golden[]){__VA_ARGS__} / sizeof(golden)))

static void plain_frequencies(void **state) {
    (void)state;
    mn_rope_table t = table_of(llama2(MN_ROPE_NONE, 0), 4096);
    assert_int_equal(t.n_pairs, 64);
    assert_true(t.scale == 1 && t.factor == 1 && t.freq[0] == 1);
    ASSERT_FREQS(t, {32, 1e-2}, {16, 1e-1}, {48, 1e-3}, {63, 1.1547819846894582e-4});
}

static void interpolation_divides_positions(void **state) {
    (void)state;
    mn_rope_table plain = table_of(llama2(MN_ROPE_NONE, 0), 4096), pi = table_of(llama2(MN_ROPE_LINEAR, 8), 32768);
    for (int i = 0; i < 64; i++) assert_near(pi.freq[i] * 8, plain.freq[i], "8 theta'");
}

/* b' is read back from the frequency of pair 1, b'^(-2/128). */
static double base_of(const mn_rope_table *t) { return pow(t->freq[1], -64); }

static void ntk_enlarges_the_base(void **state) {
    (void)state;
    const double bases[][2] = {{2, 20221.2617}, {4, 40889.9424}, {8, 82684.6226}, {16, 167198.7392}};
    for (int i = 0; i < 4; i++) {
        mn_rope_table t = table_of(llama2(MN_ROPE_NTK, bases[i][0]), 4096);
        assert_near(base_of(&t), bases[i][1], "the NTK base");
        assert_near(t.freq[63] * bases[i][0], 1.1547819846894582e-4, "the slowest pair times s");
    }
}

static void dynamic_ntk_follows_the_window(void **state) {
    (void)state;
    mn_rope_table one = table_of(llama2(MN_ROPE_DYNAMIC, 0), 8192), two = table_of(llama2(MN_ROPE_DYNAMIC, 2), 8192);
    assert_near(base_of(&one), 20221.2617, "alpha 1");
    assert_near(base_of(&two), 30527.7367, "alpha 2");
    assert_near(two.factor, 3, "the factor");
    mn_rope_table plain = table_of(llama2(MN_ROPE_NONE, 0), 2048), small = table_of(llama2(MN_ROPE_DYNAMIC, 2), 2048);
    assert_memory_equal(plain.freq, small.freq, 64 * sizeof(double));
}

static void yarn_is_the_one_models_were_trained_with(void **state) {
    (void)state;
    mn_rope_table s32 = table_of(llama2(MN_ROPE_YARN, 32), 131072);
    ASSERT_FREQS(s32, {20, pow(1e4, -20. / 64)}, {30, 8.3665647547e-03}, {32, 5.5288461538e-03}, {40, 8.0577267302e-04},
                 {63, 3.6086937022e-06});
    assert_near(s32.scale, 1.3465735903, "the attention scale");
    mn_rope_table s16 = table_of(llama2(MN_ROPE_YARN, 16), 65536);
    ASSERT_FREQS(s16, {30, 8.5268437730e-03}, {32, 5.6730769231e-03}, {40, 8.8178896293e-04}, {63, 7.2173874043e-06});
    assert_near(s16.scale, 1.2772588722, "the attention scale");
    mn_rope_spec deepseek = llama2(MN_ROPE_YARN, 40);
    deepseek.n_rot = 64;
    mn_rope_table d = table_of(deepseek, 163840);
    ASSERT_FREQS(d, {14, 1.2447955870e-02}, {16, 5.5e-03}, {20, 7.9056941504e-04}, {31, 3.3338035804e-06});
    assert_near(d.scale, 1.3688879454, "the attention scale");
    mn_rope_spec qwen = {.scaling = MN_ROPE_YARN, .n_rot = 128, .freq_base = 1e6, .original_ctx = 32768};
    mn_rope_table q = table_of(qwen, 131072); /* the factor, 4, follows the window */
    ASSERT_FREQS(q, {30, 1.0643609812e-03}, {32, 6.0294117647e-04});
    assert_near(q.scale, 1.1386294361, "the attention scale");
}

static void yarn_takes_its_options(void **state) {
    (void)state;
    mn_rope_table parts = table_of(llama2(MN_ROPE_NTK_PARTS, 32), 131072);
    mn_rope_spec spec = llama2(MN_ROPE_YARN, 32);
    mn_rope_table yarn = table_of(spec, 131072);
    assert_memory_equal(parts.freq, yarn.freq, 64 * sizeof(double));
    assert_true(parts.scale == 1);
    spec.attn_factor = 0.5;
    assert_near(table_of(spec, 131072).scale, 0.5 * yarn.scale, "the scale times attn_factor");
    spec.ext_factor = 0.5; /* half of each frequency's by-parts share: pair 0 between 1 and 1/32 */
    assert_near(table_of(spec, 131072).freq[0], 0.5 + 0.5 / 32, "pair 0 with half the ramp");
    spec = llama2(MN_ROPE_YARN, 32);
    spec.beta_fast = 4096 / (2 * M_PI) * pow(1e4, -0.5 / 64);  /* reached at pair 0.5: the ramp starts at pair 0 */
    spec.beta_slow = 4096 / (2 * M_PI) * pow(1e4, -63.5 / 64); /* and would end at pair 64 */
    assert_near(table_of(spec, 131072).freq[32], 1e-2 * (0.5 + 0.5 / 32), "the middle of the ramp");
}

static void llama3_splits_the_wavelengths(void **state) {
    (void)state;
    mn_rope_spec spec = {.scaling = MN_ROPE_LLAMA3, .n_rot = 128, .freq_base = 5e5, .factor = 8, .original_ctx = 8192};
    mn_rope_table t = table_of(spec, 131072);
    for (int i = 0; i <= 28; i++) assert_near(t.freq[i], pow(5e5, -i / 64.), "an unchanged pair");
    ASSERT_FREQS(t, {28, 3.2114459948e-03}, {29, 2.1665707635e-03}, {30, 1.3718935678e-03}, {31, 8.5675141292e-04},
                 {32, 5.2484616099e-04}, {33, 3.1269375038e-04}, {34, 1.7850781277e-04}, {35, 9.5562123540e-05},
                 {63, 3.0689259889e-07});
}

static void longrope_chooses_by_the_window(void **state) {
    (void)state;
    float shorts[64], longs[64];
    for (int i = 0; i < 64; i++) shorts[i] = 1 + (float)i / 64, longs[i] = 2 + (float)i;
    mn_rope_spec spec = llama2(MN_ROPE_LONGROPE, 32);
    spec.factors_short = shorts, spec.factors_long = longs;
    mn_rope_table near = table_of(spec, 4096), far = table_of(spec, 4097);
    for (int i = 0; i < 64; i++) {
        assert_near(near.freq[i] * shorts[i], pow(1e4, -i / 64.), "a short pair");
        assert_near(far.freq[i] * longs[i], pow(1e4, -i / 64.), "a long pair");
    }
    assert_near(far.scale, 1.1902380714, "sqrt(1 + ln 32 / ln 4096)");
    spec.factor = 512;
    assert_near(table_of(spec, 2097152).scale, 1.3228756556, "sqrt(1 + ln 512 / ln 4096)");
    spec.attn_factor = 1.19;
    assert_near(table_of(spec, 131072).scale, 1.19, "the file's factor");
}

static void divisors_of_the_file_come_first(void **state) {
    (void)state;
    float divisors[64];
    for (int i = 0; i < 64; i++) divisors[i] = i < 32 ? 1 : 8;
    mn_rope_spec spec = llama2(MN_ROPE_NONE, 0);
    spec.factors = divisors;
    mn_rope_table t = table_of(spec, 131072);
    ASSERT_FREQS(t, {16, 1e-1}, {32, 1e-2 / 8}, {48, 1e-3 / 8});
    spec.scaling = MN_ROPE_LINEAR, spec.factor = 2;
    t = table_of(spec, 131072);
    ASSERT_FREQS(t, {16, 1e-1 / 2}, {32, 1e-2 / 16});
}

static void factor_one_is_plain_to_the_bit(void **state) {
    (void)state;
    for (int base = 0; base < 2; base++)
        for (int scaling = 0; scaling < MN_ROPE_SCALING_COUNT; scaling++) {
            if (scaling == MN_ROPE_LONGROPE) continue; /* its divisors are the model's, at any factor */
            mn_rope_spec spec = llama2(MN_ROPE_NONE, 0);
            spec.freq_base = base ? 5e5 : 1e4;
            mn_rope_table plain = table_of(spec, 4096);
            spec.scaling = (mn_rope_scaling)scaling;
            for (int given = 0; given < 2; given++) {
                spec.factor = given;
                mn_rope_table t = table_of(spec, 4096);
                assert_memory_equal(&t.freq, &plain.freq, 64 * sizeof(double));
                assert_true(t.scale == 1 && t.factor == 1);
            }
        }
}

static void angles_are_exact_at_a_million(void **state) {
    (void)state;
    const int64_t positions[] = {0, 1, 8191, 131071, 1000000, 1048575};
    for (int scaling = 0; scaling < MN_ROPE_SCALING_COUNT; scaling++) {
        if (scaling == MN_ROPE_LONGROPE) continue;
        mn_rope_table t = table_of(llama2((mn_rope_scaling)scaling, 4), 16384);
        float c[6 * 64], s[6 * 64];
        mn_rope_angles(&t, positions, 6, c, s);
        for (int r = 0; r < 6; r++)
            for (int i = 0; i < 64; i++) {
                long double angle = (long double)positions[r] * t.freq[i];
                assert_true(fabsl(c[r * 64 + i] - cosl(angle) * t.scale) < 1e-6L);
                assert_true(fabsl(s[r * 64 + i] - sinl(angle) * t.scale) < 1e-6L);
            }
    }
}

/* Both orders of the same rotation, as the papers write them. */
static void rotate(float *x, const float *c, const float *s, int n_pairs, bool interleaved) {
    for (int i = 0; i < n_pairs; i++) {
        float *a = x + (interleaved ? 2 * i : i), *b = a + (interleaved ? 1 : n_pairs);
        float turned = *a * c[i] - *b * s[i];
        *b = *a * s[i] + *b * c[i], *a = turned;
    }
}

static double score(const float *q, const float *k, int64_t m, int64_t n, bool interleaved) {
    mn_rope_table t = table_of(llama2(MN_ROPE_NONE, 0), 4096);
    float c[128], s[128], a[128], b[128];
    mn_rope_angles(&t, (const int64_t[]){m, n}, 2, c, s);
    memcpy(a, q, sizeof a), memcpy(b, k, sizeof b);
    rotate(a, c, s, 64, interleaved), rotate(b, c + 64, s + 64, 64, interleaved);
    double sum = 0;
    for (int i = 0; i < 128; i++) sum += (double)a[i] * b[i];
    return sum;
}

static void only_the_distance_counts(void **state) {
    (void)state;
    float q[128], k[128], q_split[128], k_split[128];
    for (int i = 0; i < 128; i++) q[i] = sinf((float)i * 1.7f) / 8, k[i] = cosf((float)i * i * 0.3f) / 8;
    for (int i = 0; i < 64; i++) {
        q_split[i] = q[2 * i], q_split[i + 64] = q[2 * i + 1];
        k_split[i] = k[2 * i], k_split[i + 64] = k[2 * i + 1];
    }
    const int64_t distances[] = {0, 1, 100, 4095};
    for (int d = 0; d < 4; d++) {
        double near = score(q, k, distances[d], 0, true);
        assert_true(fabs(score(q, k, 1000000, 1000000 - distances[d], true) - near) < 1e-6);
        assert_true(fabs(score(q_split, k_split, distances[d], 0, false) - near) < 1e-6);
    }
    assert_true(fabs(score(q, k, 100, 0, true) - score(q, k, 0, 0, true)) > 1e-3);
}

static void assert_refused(mn_rope_spec spec, int64_t n_ctx, const char *says) {
    mn_rope_table table;
    mn_error err = {0};
    assert_int_not_equal(mn_rope_init(&spec, n_ctx, &table, &err), MN_OK);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void bad_figures_are_refused(void **state) {
    (void)state;
    mn_rope_spec spec = llama2(MN_ROPE_NONE, 0);
    for (int n_rot = -1; n_rot <= 1026; n_rot += n_rot < 1 ? 1 : 1025)
        spec.n_rot = n_rot, assert_refused(spec, 4096, "dimensions");
    spec = llama2(MN_ROPE_NONE, 0), spec.freq_base = 1, assert_refused(spec, 4096, "base of 1 ");
    spec.freq_base = NAN, assert_refused(spec, 4096, "base of nan");
    assert_refused(llama2(MN_ROPE_LINEAR, 0.5), 4096, "factor of 0.5");
    assert_refused(llama2(MN_ROPE_LINEAR, NAN), 4096, "factor of nan");
    assert_refused(llama2(MN_ROPE_LONGROPE, 0), 8192, "long factors");
    spec = llama2(MN_ROPE_YARN, 4), spec.original_ctx = 0, assert_refused(spec, 4096, "has 0; name it");
    spec = llama2(MN_ROPE_LLAMA3, 4), spec.low_freq_factor = 5;
    assert_refused(spec, 4096, "high frequency factor is 4");
    float divisors[64] = {1, 1, -1};
    spec = llama2(MN_ROPE_NONE, 0), spec.factors = divisors, assert_refused(spec, 4096, "rope_freqs.weight[2] is -1");
}

static void names_go_both_ways(void **state) {
    (void)state;
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++)
        assert_int_equal(mn_rope_scaling_find(mn_rope_scaling_name((mn_rope_scaling)i)), i);
    assert_int_equal(mn_rope_scaling_find("yarn"), MN_ROPE_YARN);
    assert_int_equal(mn_rope_scaling_find("warp"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_frequencies),
        cmocka_unit_test(interpolation_divides_positions),
        cmocka_unit_test(ntk_enlarges_the_base),
        cmocka_unit_test(dynamic_ntk_follows_the_window),
        cmocka_unit_test(yarn_is_the_one_models_were_trained_with),
        cmocka_unit_test(yarn_takes_its_options),
        cmocka_unit_test(llama3_splits_the_wavelengths),
        cmocka_unit_test(longrope_chooses_by_the_window),
        cmocka_unit_test(divisors_of_the_file_come_first),
        cmocka_unit_test(factor_one_is_plain_to_the_bit),
        cmocka_unit_test(angles_are_exact_at_a_million),
        cmocka_unit_test(only_the_distance_counts),
        cmocka_unit_test(bad_figures_are_refused),
        cmocka_unit_test(names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
