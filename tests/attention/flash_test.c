/* attention/flash: tiles against a dense softmax in double precision. */
#include "support/attend_case.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/kernels.h"

typedef mn_status attend_fn(const mn_compute *c, const mn_attend *a, mn_error *err);

static mn_status decode_one(const mn_compute *c, const mn_attend *a, mn_error *err) { return mn_decode(c, a, 1, err); }

static double run(const attend_spec *spec, mn_cpu_level level, bool exact, attend_fn *fn) {
    attend_case c = attend_case_create(spec, 42);
    double *want = malloc((size_t)(spec->n_rows * c.call.n_heads * spec->v_dim) * sizeof *want + 1);
    attend_oracle(&c.call, want);
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute compute = {.kernels = mn_kernels_get(level), .scratch = &scratch, .exact = exact};
    mn_error err;
    assert_ok(fn(&compute, &c.call, &err), err);
    double error = attend_error(&c.call, want);
    mn_arena_release(&scratch);
    free(want);
    attend_case_free(&c);
    return error;
}

static void agrees(void **state) {
    (void)state;
    for (int level = 0; level < MN_CPU_LEVEL_COUNT; level++) {
        if (!mn_cpu_supports((mn_cpu_level)level)) continue;
        attend_spec specs[] = {
            {MN_F32, MN_F32, 2, 2, 64, 64, 300, 200, 100, .window = 0},
            {MN_F16, MN_Q8_0, 1, 3, 128, 128, 1500, 1490, 7, .window = 0},
            {MN_F16, MN_BF16, 1, 3, 128, 80, 1500, 1490, 2, .window = 1000},
            {MN_Q4_0, MN_BF16, 1, 1, 80, 48, 2500, 2400, 100, .window = 1300},
            {MN_F32, MN_F32, 1, 16, 576, 512, 130, 120, 10, .shared_values = true},
            {MN_F32, MN_F32, 1, 4, 192, 128, 130, 0, 130, .segment = 48},
            {MN_F32, MN_F32, 2, 2, 256, 256, 130, 0, 130, .softcap = 5},
            {MN_F32, MN_F32, 2, 2, 16, 32, 3300, 3100, 130, .slopes = true},
        };
        for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
            assert_true(run(&specs[i], (mn_cpu_level)level, true, mn_flash) <= 1e-6);
            assert_true(run(&specs[i], (mn_cpu_level)level, true, decode_one) <= 1e-6);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
