/* Attention straight from cached rows, by the kernels of every level this machine has: every 16-bit float read as what
 * it is, rows that do not depend on each other, short tiles, NaN. tests/attention compares whole calls with a softmax.
 */
#include "support/levels.h"
#include "support/support.h"

#include "base/random.h"
#include "kernels/kernels.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0};
enum { N_TYPES = 5, MAX_DIM = 576, MAX_ROWS = 64 };

static char cached[MN_TILE_KEYS * MAX_DIM * 4];
static float s[MAX_ROWS * MN_TILE_KEYS] __attribute__((aligned(64)));
static char packed[MAX_ROWS * MAX_DIM * 4] __attribute__((aligned(64)));

static bool quantised(mn_dtype type) { return mn_dtype_get(type)->quantised; }

/* Those levels and types whose rows are taken as they are cached. */
static void for_direct(void (*check)(const mn_direct_ops *ops, mn_dtype type, const char *what)) {
    EACH_LEVEL(level)
    for (int i = 0; i < N_TYPES; i++) {
        char what[64];
        const char *name = mn_cpu_level_name((mn_cpu_level)level);
        snprintf(what, sizeof what, "%s %s", name, mn_dtype_get(types[i])->name);
        const mn_direct_ops *ops = &mn_kernels_get((mn_cpu_level)level)->attend.direct[types[i]];
        if (ops->max_rows) check(ops, types[i], what);
    }
}

/* n_keys random rows; those behind them hold what nothing may come of. */
static mn_cached_rows make_rows(mn_dtype type, int dim, int n_keys, uint64_t seed) {
    int whole = quantised(type) ? (dim + 31) & ~31 : dim;
    mn_cached_rows rows = {type, cached, mn_dtype_row_bytes(type, whole), n_keys, cached};
    memset(cached, 0xff, sizeof cached);
    for (int j = 0; j < n_keys; j++) {
        float row[MAX_DIM] = {0};
        fill_normal(row, (size_t)dim, seed + (uint64_t)j);
        mn_from_f32(type, row, cached + (size_t)j * rows.row_bytes, whole);
    }
    return rows;
}

static void pack_queries(const mn_direct_ops *ops, int dim, int n_rows) {
    for (int r = 0; r < n_rows; r++) {
        float q[MAX_DIM];
        fill_normal(q, (size_t)dim, 1000 + (uint64_t)r);
        ops->pack_q(packed + (size_t)r * mn_direct_q_bytes(dim), q, dim);
    }
}

static void check_scores_alone(const mn_direct_ops *ops, mn_dtype type, int dim, int n_keys, int n_rows,
                               const char *what) {
    static float alone[MN_TILE_KEYS] __attribute__((aligned(64)));
    mn_cached_rows keys = make_rows(type, dim, n_keys, 1);
    pack_queries(ops, dim, n_rows);
    ops->scores(s, packed, &keys, 0.3f, n_rows, dim);
    for (int r = 0; r < n_rows; r++) {
        ops->scores(alone, packed + (size_t)r * mn_direct_q_bytes(dim), &keys, 0.3f, 1, dim);
        if (memcmp(alone, s + r * MN_TILE_KEYS, (size_t)n_keys * sizeof *alone) != 0)
            fail_msg("%s: row %d of %d, dim %d, %d keys: scores are others alone", what, r, n_rows, dim, n_keys);
    }
}

/* m, l and o of rows that have seen something already. */
typedef struct sums {
    float m[MAX_ROWS], l[MAX_ROWS], o[MAX_ROWS * MAX_DIM] __attribute__((aligned(64)));
} sums;

static mn_softmax_rows view(sums *of, int row, int dim) {
    return (mn_softmax_rows){of->m + row, of->l + row, of->o + row * dim};
}

static void start(sums *of, int n_rows, int dim) {
    fill_normal(of->o, (size_t)(n_rows * dim), 5);
    for (int r = 0; r < n_rows; r++) {
        of->m[r] = r % 3 ? -INFINITY : 0.5f;
        of->l[r] = r % 3 ? 0 : 2;
    }
}

static void check_values_alone(const mn_direct_ops *ops, mn_dtype type, int dim, int n_keys, int n_rows,
                               const char *what) {
    static sums together, alone;
    static float row[MN_TILE_KEYS] __attribute__((aligned(64))), scores[MAX_ROWS * MN_TILE_KEYS];
    mn_cached_rows values = make_rows(type, dim, n_keys, 2);
    fill_normal(scores, (size_t)(n_rows * MN_TILE_KEYS), 3);
    for (int i = 0; i < n_rows * MN_TILE_KEYS; i++) scores[i] = i % MN_TILE_KEYS < n_keys ? 10 * scores[i] : -INFINITY;
    memcpy(s, scores, sizeof s);
    start(&together, n_rows, dim);
    start(&alone, n_rows, dim);
    ops->absorb(view(&together, 0, dim), s, &values, n_rows, dim);
    for (int r = 0; r < n_rows; r++) {
        memcpy(row, scores + r * MN_TILE_KEYS, sizeof row);
        ops->absorb(view(&alone, r, dim), row, &values, 1, dim);
        if (together.m[r] != alone.m[r] || together.l[r] != alone.l[r] ||
            memcmp(together.o + r * dim, alone.o + r * dim, (size_t)dim * sizeof(float)) != 0)
            fail_msg("%s: row %d of %d, dim %d, %d keys: another sum alone", what, r, n_rows, dim, n_keys);
        for (int i = 0; i < dim; i++) assert_true(isfinite(together.o[r * dim + i]));
    }
}

static void check_rows(const mn_direct_ops *ops, mn_dtype type, const char *what) {
    static const int dims[] = {16, 32, 48, 64, 80, 128, 576};
    assert_true(ops->max_rows <= MAX_ROWS);
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (int n_rows = 1; takes_case(d, 4) && n_rows <= ops->max_rows; n_rows += n_rows < 9 ? 1 : 13)
            for (int n_keys = MN_TILE_KEYS; n_keys > 0; n_keys -= n_rows == 2 ? 1 : 21) {
                check_scores_alone(ops, type, dims[d], n_keys, n_rows, what);
                check_values_alone(ops, type, dims[d], n_keys, n_rows, what);
            }
}

static void rows_do_not_depend_on_each_other(void **state) {
    (void)state;
    for_direct(check_rows);
}

/* A row of zeros but for one element, times 1, is that element. */
static void check_conversion(const mn_direct_ops *ops, mn_dtype type, const char *what) {
    enum { DIM = 32 };
    static float o[DIM] __attribute__((aligned(64)));
    if (type != MN_F16 && type != MN_BF16) return;
    float ones[DIM];
    for (int i = 0; i < DIM; i++) ones[i] = 1;
    ops->pack_q(packed, ones, DIM);
    for (uint32_t bits = 0; bits < 0x10000; bits += MN_TILE_KEYS) {
        mn_cached_rows rows = {type, cached, DIM * sizeof(uint16_t), MN_TILE_KEYS, cached};
        memset(cached, 0, sizeof cached);
        float want[MN_TILE_KEYS];
        for (uint32_t j = 0; j < MN_TILE_KEYS; j++) {
            uint16_t half = (uint16_t)(bits + j);
            memcpy(cached + (size_t)j * rows.row_bytes + j % DIM * sizeof half, &half, sizeof half);
            want[j] = type == MN_F16 ? mn_f16_to_f32(half) : mn_bf16_to_f32(half);
        }
        ops->scores(s, packed, &rows, 1, 1, DIM);
        for (int j = 0; j < MN_TILE_KEYS; j++)
            if (s[j] != want[j] && !(isnan(s[j]) && isnan(want[j])))
                fail_msg("%s: bits %x are scored as %g, not %g", what, bits + (unsigned)j, (double)s[j],
                         (double)want[j]);
        for (int j = 0; j < MN_TILE_KEYS; j++) {
            float m = 0, l = 0, p[MN_TILE_KEYS] __attribute__((aligned(64)));
            for (int k = 0; k < MN_TILE_KEYS; k++) p[k] = -INFINITY;
            p[0] = 0;
            memset(o, 0, sizeof o);
            mn_cached_rows one = {type, cached + (size_t)j * rows.row_bytes, rows.row_bytes, 1, cached};
            ops->absorb((mn_softmax_rows){&m, &l, o}, p, &one, 1, DIM);
            float got = o[j % DIM];
            if (got != want[j] && !(isnan(got) && isnan(want[j])))
                fail_msg("%s: bits %x are added as %g, not %g", what, bits + (unsigned)j, (double)got, (double)want[j]);
        }
    }
}

static void every_half(void **state) {
    (void)state;
    for_direct(check_conversion);
}

/* A NaN makes its own row or key NaN, and no other. */
static void check_nan(const mn_direct_ops *ops, mn_dtype type, const char *what) {
    enum { DIM = 64, ROWS = 5, NAN_KEY = 37, NAN_ROW = 2 };
    mn_cached_rows keys = make_rows(type, DIM, MN_TILE_KEYS, 1);
    float row[DIM];
    pack_queries(ops, DIM, ROWS);
    fill_normal(row, DIM, 9);
    row[11] = NAN;
    ops->pack_q(packed + NAN_ROW * mn_direct_q_bytes(DIM), row, DIM);
    if (!quantised(type))
        mn_from_f32(type, row, cached + NAN_KEY * keys.row_bytes, DIM);
    else
        memset(cached + NAN_KEY * keys.row_bytes, 0xff, 2); /* the scale */
    ops->scores(s, packed, &keys, 1, ROWS, DIM);
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < MN_TILE_KEYS; j++)
            if (isnan(s[r * MN_TILE_KEYS + j]) != (r == NAN_ROW || j == NAN_KEY))
                fail_msg("%s: the score of row %d and key %d is %g", what, r, j, (double)s[r * MN_TILE_KEYS + j]);
}

static void nan_stays_where_it_is(void **state) {
    (void)state;
    for_direct(check_nan);
}

/* Blocks of 32 with a scale of 1 or -1, all bytes alike: the largest elements that there are, and 0xff and 0x0f. */
static void fill_extremes(char *rows, mn_dtype type, size_t row_bytes, int dim) {
    static const unsigned char patterns[] = {0x80, 0x7f, 0x00, 0xff, 0x81, 0x0f, 0xf0, 0x88};
    size_t bytes = (size_t)mn_dtype_get(type)->block_bytes;
    for (int j = 0; j < MN_TILE_KEYS; j++)
        for (int b = 0; b < dim / 32; b++) {
            const mn_half d = (j / 8 + b) % 3 ? 0x3c00 : 0xbc00;
            char *block = rows + (size_t)j * row_bytes + (size_t)b * bytes;
            memset(block, patterns[(size_t)(j < 32 ? 0 : j) % sizeof patterns], bytes);
            memcpy(block, &d, sizeof d);
        }
}

static void expect_sum(const char *what, float got, double want, double size) {
    if (!(fabs((double)got - want) <= 1e-6 * size)) fail_msg("%s: %g, not %g", what, (double)got, want);
}

/* All products of a row as large as they can be, and of one sign: integers of few bits must hold their sums. Queries of
 * 1 and -1 and weights of 1 are not rounded. */
static void check_extremes(const mn_direct_ops *ops, mn_dtype type, const char *what) {
    enum { DIM = 64, ROWS = 4 };
    float q[ROWS][DIM], m[ROWS] = {0}, l[ROWS] = {0}, x[MN_TILE_KEYS][DIM];
    static float o[ROWS * DIM] __attribute__((aligned(64)));
    if (!quantised(type)) return;
    mn_cached_rows rows = make_rows(type, DIM, MN_TILE_KEYS, 1);
    fill_extremes(cached, type, rows.row_bytes, DIM);
    for (int j = 0; j < MN_TILE_KEYS; j++) mn_to_f32(type, cached + (size_t)j * rows.row_bytes, x[j], DIM);
    for (int n_rows = 1; n_rows <= ROWS; n_rows++) {
        for (int r = 0; r < n_rows; r++) {
            for (int i = 0; i < DIM; i++) q[r][i] = r < 2 ? (float)(1 - 2 * r) : i / (r - 1) % 2 ? 1.0f : -1.0f;
            ops->pack_q(packed + (size_t)r * mn_direct_q_bytes(DIM), q[r], DIM);
        }
        ops->scores(s, packed, &rows, 1, n_rows, DIM);
        for (int r = 0; r < n_rows; r++)
            for (int j = 0; j < MN_TILE_KEYS; j++) {
                double sum = 0, size = 0;
                for (int i = 0; i < DIM; i++) sum += (double)(q[r][i] * x[j][i]), size += fabs((double)x[j][i]);
                expect_sum(what, s[r * MN_TILE_KEYS + j], sum, size);
            }
        memset(o, 0, sizeof o);
        memset(s, 0, sizeof s);
        ops->absorb((mn_softmax_rows){m, l, o}, s, &rows, n_rows, DIM);
        for (int r = 0; r < n_rows; r++)
            for (int i = 0; i < DIM; i++) {
                double sum = 0, size = 0;
                for (int j = 0; j < MN_TILE_KEYS; j++) sum += (double)x[j][i], size += fabs((double)x[j][i]);
                expect_sum(what, o[r * DIM + i], sum, size);
            }
    }
}

static void extremes_fit(void **state) {
    (void)state;
    for_direct(check_extremes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_depend_on_each_other),
        cmocka_unit_test(every_half),
        cmocka_unit_test(nan_stays_where_it_is),
        cmocka_unit_test(extremes_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
