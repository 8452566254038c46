/* Every type against the format's definition: the golden blocks bit for bit, and what quantising loses. */
#include "support/support.h"

#include "base/random.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_golden(mn_dtype type) {
    const mn_dtype_info *info = mn_dtype_get(type);
    char blocks_name[64], floats_name[64];
    size_t blocks_bytes, floats_bytes;
    snprintf(blocks_name, sizeof blocks_name, "golden/quants/%s.blocks", info->name);
    snprintf(floats_name, sizeof floats_name, "golden/quants/%s.f32", info->name);
    char *blocks = read_all(data_path(blocks_name), &blocks_bytes);
    char *floats = read_all(data_path(floats_name), &floats_bytes);
    int64_t n = (int64_t)(floats_bytes / sizeof(float));
    assert_int_equal(blocks_bytes, mn_dtype_row_bytes(type, n));
    float *got = malloc(floats_bytes);
    mn_to_f32(type, blocks, got, n);
    for (int64_t i = 0; i < n; i++) {
        float want;
        memcpy(&want, floats + (size_t)i * sizeof want, sizeof want);
        if (mn_f32_bits(got[i]) != mn_f32_bits(want))
            fail_msg("%s: element %lld is %.9g, wanted %.9g", info->name, (long long)i, got[i], want);
    }
    free(blocks);
    free(floats);
    free(got);
}

static void golden_blocks_expand_bit_for_bit(void **state) {
    (void)state;
    static const mn_dtype types[] = {MN_Q4_0, MN_Q4_1, MN_Q5_0, MN_Q5_1, MN_Q8_0,  MN_Q2_K,
                                     MN_Q3_K, MN_Q4_K, MN_Q5_K, MN_Q6_K, MN_IQ4_NL};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) check_golden(types[i]);
}

/* Root of the mean squared error, as a share of the values' own root mean square, over normal values. */
static double loss(mn_dtype type) {
    enum { N = 64 * 256 };
    static float x[N], back[N];
    static char blocks[N * 4];
    mn_random rng;
    mn_random_seed(&rng, 1, 1);
    for (int i = 0; i < N; i++) x[i] = (float)(0.02 * mn_random_normal(&rng));
    mn_from_f32(type, x, blocks, N);
    mn_to_f32(type, blocks, back, N);
    double error = 0, power = 0;
    for (int i = 0; i < N; i++) {
        error += (double)(back[i] - x[i]) * (double)(back[i] - x[i]);
        power += (double)x[i] * (double)x[i];
    }
    return sqrt(error / power);
}

static void quantising_loses_little(void **state) {
    (void)state;
    static const struct {
        mn_dtype type;
        double at_most;
    } cases[] = {{MN_F32, 0},        {MN_F16, 2.2e-4}, {MN_BF16, 1.8e-3}, {MN_Q8_0, 5.4e-3}, {MN_Q4_0, 0.09},
                 {MN_Q4_1, 0.085},   {MN_Q5_0, 0.045}, {MN_Q5_1, 0.04},   {MN_Q4_K, 0.072},  {MN_Q6_K, 0.018},
                 {MN_IQ4_NL, 0.075}, {MN_Q2_K, 0.33},  {MN_Q3_K, 0.16},   {MN_IQ4_XS, 0.08}, {MN_MXFP4, 0.13}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double got = loss(cases[i].type);
        if (!(got <= cases[i].at_most))
            fail_msg("%s loses %.5f, more than %.5f", mn_dtype_get(cases[i].type)->name, got, cases[i].at_most);
    }
}

/* The two formats without golden blocks, by what OCP's standard and the format's definition say of each element. */
static void elements_are_what_the_formats_say(void **state) {
    (void)state;
    static const double e2m1[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    uint8_t block[136];
    float got[256];
    mn_random rng;
    mn_random_seed(&rng, 3, 1);
    for (int round = 0; round < 64; round++) {
        for (size_t i = 0; i < sizeof block; i++) block[i] = (uint8_t)mn_random_below(&rng, 256);
        block[0] = (uint8_t)(round == 0 ? 0 : round == 1 ? 1 : 100 + round); /* subnormal powers too */
        mn_to_f32(MN_MXFP4, block, got, 32);
        for (int j = 0; j < 32; j++) {
            int q = j < 16 ? block[1 + j] & 15 : block[1 + j - 16] >> 4;
            assert_true((double)got[j] == ldexp(q & 8 ? -e2m1[q & 7] : e2m1[q & 7], block[0] - 127));
        }
        block[1] &= 0x3f; /* a finite scale */
        mn_to_f32(MN_IQ4_XS, block, got, 256);
        uint16_t bits = (uint16_t)(block[0] | block[1] << 8), high = (uint16_t)(block[2] | block[3] << 8);
        for (int j = 0; j < 256; j++) {
            int s = j / 32, nibbles = block[8 + s * 16 + j % 16], q = j % 32 < 16 ? nibbles & 15 : nibbles >> 4;
            int scale = (block[4 + s / 2] >> (s % 2 ? 4 : 0) & 15) | (high >> 2 * s & 3) << 4;
            float d = mn_f16_to_f32(bits) * (float)(scale - 32);
            assert_true(got[j] == d * (float)mn_iq4_nl_values[q]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_blocks_expand_bit_for_bit),
        cmocka_unit_test(quantising_loses_little),
        cmocka_unit_test(elements_are_what_the_formats_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
