/* Routers to small MLPs, and how they learn, against the formulas in double precision. */
#include "support/support.h"

#include "kernels/kernels.h"
#include "mlp/easy_backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROWS = 37, N = 48 };

static void thresholds_cut_where_they_say(void **state) {
    (void)state;
    static const float zs[] = {-INFINITY, -90, -1.5f, 0, 1e-6f, 2, 90, INFINITY};
    for (size_t i = 0; i < sizeof zs / sizeof *zs; i++) {
        assert_true(mn_is_easy(zs[i], 0));
        assert_false(mn_is_easy(zs[i], 1));
        assert_true(mn_is_easy(zs[i], 0.5f) == (zs[i] > 0));
        assert_true(mn_is_easy(zs[i], 0.9f) == (zs[i] > 2.19722462f));
    }
    assert_true(mn_is_easy(NAN, 0));
    assert_false(mn_is_easy(NAN, 0.5f));
    assert_false(mn_is_easy(NAN, 1));
}

static void savings_are_against_the_large_one(void **state) {
    (void)state;
    double all;
    mn_easy_count c = {{10, 30}, {1.0, 0.6}, 0.1};
    assert_true(fabs(mn_easy_saved(&c, &all) - (3.0 - 0.6 - 0.1)) < 1e-12 && fabs(all - 4) < 1e-12);
    assert_true(fabs(mn_easy_share(&c) - 0.75) < 1e-12);
    assert_true(isnan(mn_easy_saved(&(mn_easy_count){{0, 3}, {0, 1}, 0}, &all)));
    assert_true(isnan(mn_easy_share(&(mn_easy_count){0})));
}

typedef struct data {
    float big[N_ROWS * N], small[N_ROWS * N], dy[N_ROWS * N], z[N_ROWS], out[N_ROWS * N];
    float d_big[N_ROWS * N], d_small[N_ROWS * N], d_z[N_ROWS];
} data;

static data *make(void) {
    data *d = calloc(1, sizeof *d);
    fill_normal(d->big, N_ROWS * N, 1);
    fill_normal(d->small, N_ROWS * N, 2);
    fill_normal(d->dy, N_ROWS * N, 3);
    fill_normal(d->z, N_ROWS, 4);
    fill_normal(d->d_big, N_ROWS * N, 5);
    memcpy(d->d_small, d->d_big, sizeof d->d_big);
    return d;
}

static void run(data *d, mn_easy_mixing *m, double scale, int n_threads) {
    mn_pool *pool;
    mn_error err;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    mn_compute c = {.kernels = mn_kernels_get(mn_cpu_detect()), .pool = pool};
    mn_easy_mix(&c, m, d->out, d->big, d->small, d->z, N_ROWS, N);
    mn_easy_grad g = {d->dy, d->big, d->small, d->z, d->d_big, d->d_small, d->d_z};
    mn_easy_mix_backward(&c, m, scale, &g, N_ROWS, N);
    mn_pool_destroy(pool);
}

static void check(bool soft) {
    enum { SCALE = 3 };
    data *d = make(), *before = make(), *other = make();
    mn_easy_mixing m = {.soft = soft, .threshold = 0.6f, .coefficient = 2, .share = 0.3}, again = m;
    double mean = 0, loss;
    run(d, &m, SCALE, 1);
    run(other, &again, SCALE, 3);
    assert_memory_equal(d, other, sizeof *d);
    for (int r = 0; r < N_ROWS; r++) {
        double g = 1 / (1 + exp(-(double)before->z[r]));
        mean += (soft ? g : g > 0.6) / N_ROWS;
    }
    loss = 2 * (mean - 0.3) * (mean - 0.3);
    assert_true(fabs(m.budget_loss - loss) < 1e-6 && fabs(m.n_easy - mean * N_ROWS) < 1e-4);
    for (int r = 0; r < N_ROWS; r++) {
        double g = 1 / (1 + exp(-(double)before->z[r])), a = soft ? g : g > 0.6, gain = 0;
        for (int i = r * N; i < (r + 1) * N; i++) {
            double big = before->big[i], small = before->small[i], dy = before->dy[i];
            gain += dy * (small - big);
            assert_true(fabs(d->out[i] - (big + a * (small - big))) < 1e-5);
            assert_true(fabs(d->d_big[i] - (before->d_big[i] + (1 - a) * dy)) < 1e-5);
            assert_true(fabs(d->d_small[i] - (before->d_small[i] + a * dy)) < 1e-5);
        }
        double wanted = g * (1 - g) * (gain + SCALE * 4 * (mean - 0.3) / N_ROWS);
        if (fabs(d->d_z[r] - wanted) > 1e-5 * (1 + fabs(wanted)))
            fail_msg("row %d: %g, wanted %g", r, (double)d->d_z[r], wanted);
    }
    free(d);
    free(before);
    free(other);
}

static void soft_gates_mix(void **state) {
    (void)state;
    check(true);
}

static void straight_gates_choose_and_learn_as_soft_ones(void **state) {
    (void)state;
    check(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_cut_where_they_say), cmocka_unit_test(savings_are_against_the_large_one),
        cmocka_unit_test(soft_gates_mix), cmocka_unit_test(straight_gates_choose_and_learn_as_soft_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
