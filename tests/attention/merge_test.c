/* attention in parts: ranges of keys given row by row, their normalisers, and the merge that makes them one softmax. */
#include "support/attend_case.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>

#include "attention/merge.h"
#include "kernels/kernels.h"

enum { N_ROWS = 100, FIRST = 1200, N_PARTS = 3 };

static const attend_spec spec = {MN_F32, MN_F32, 2, 2, 64, 48, FIRST + N_ROWS, FIRST, N_ROWS, .softcap = 0};

/* Part 0 ends, part 1 begins at a place that moves with the row and leaves the first rows' part 1 empty. */
static void set_ranges(int64_t begin[N_PARTS][N_ROWS], int64_t end[N_PARTS][N_ROWS]) {
    for (int64_t r = 0; r < N_ROWS; r++) {
        begin[0][r] = 0;
        end[0][r] = begin[1][r] = 500 + r;
        end[1][r] = begin[2][r] = r < 10 ? 500 + r : 1100 + r;
        end[2][r] = FIRST + r + 1;
    }
}

static void parts_merge_into_the_whole(void **state) {
    (void)state;
    static int64_t begin[N_PARTS][N_ROWS], end[N_PARTS][N_ROWS];
    attend_case whole = attend_case_create(&spec, 3), part = attend_case_create(&spec, 3);
    size_t n_heads = (size_t)N_ROWS * (size_t)whole.call.n_heads;
    double *want = malloc(n_heads * 48 * sizeof *want);
    float *lse = malloc(2 * n_heads * sizeof *lse);
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC)};
    set_ranges(begin, end);
    whole.call.out_stride = part.call.out_stride = (int64_t)whole.call.n_heads * 48; /* a merge knows no gaps */
    attend_oracle(&whole.call, want);
    for (int decode = 0; decode < 2; decode++) {
        for (int p = 0; p < N_PARTS; p++) {
            mn_attend *a = p ? &part.call : &whole.call;
            a->key_begin = begin[p];
            a->key_end = end[p];
            a->lse = p ? lse + n_heads : lse;
            attend_run(a, decode ? attend_decode : mn_flash, MN_CPU_GENERIC, 2, true);
            if (p == 1) assert_true(a->lse[0] == -INFINITY && a->lse[n_heads - 1] > 0);
            if (p) mn_attend_merge(&compute, whole.out, lse, part.out, lse + n_heads, N_ROWS, a->n_heads, 48);
        }
        double error = attend_error(&whole.call, want);
        if (!(error <= 1e-6)) fail_msg("merged: error %g", error);
    }
    free(want);
    free(lse);
    attend_case_free(&whole);
    attend_case_free(&part);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_merge_into_the_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
