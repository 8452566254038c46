/* train/logistic and train/top_rows: minima are minima; the best are those that a sort finds. */
#include "support/support.h"

#include "base/random.h"
#include "kernels/kernels.h"
#include "train/logistic.h"
#include "train/top_rows.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 5000, N = 23 };

static float x[ROWS * N], targets[ROWS], weights[ROWS];

static mn_compute compute_of(mn_pool *pool, mn_arena *scratch) {
    return (mn_compute){mn_kernels_get(mn_cpu_detect()), pool, scratch, false, NULL};
}

/* Rows of correlated features, classes that overlap; separable where `gap` is large. */
static mn_logistic draw(double gap) {
    mn_random rng;
    mn_random_seed(&rng, 4, 9);
    fill_normal(x, ROWS * N, 3);
    for (int r = 0; r < ROWS; r++) {
        double z = -2;
        for (int i = 1; i < N - 1; i++) x[r * N + i] += 0.8f * x[r * N + i - 1];
        for (int i = 0; i < N - 1; i++) z += gap * (i % 3 - 1) * (double)x[r * N + i];
        x[r * N + N - 1] = 1;
        targets[r] = mn_random_double(&rng) < 1 / (1 + exp(-z));
        weights[r] = targets[r] > 0 ? 2 : (float)(r % 3);
    }
    return (mn_logistic){ROWS, N, x, targets, weights, 0.3};
}

static void fit(const mn_logistic *d, double *w, int n_threads) {
    mn_error err;
    mn_pool *pool;
    mn_arena scratch = MN_ARENA_INIT;
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    mn_compute c = compute_of(pool, &scratch);
    assert_ok(mn_logistic_fit(&c, d, w, &err), err);
    mn_pool_destroy(pool);
    mn_arena_release(&scratch);
}

/* No gradient is left, whatever the classes are like; two threads find the same bits. */
static void minimum(void **state) {
    (void)state;
    static const double gaps[] = {0, 0.5, 20};
    for (int i = 0; i < 3; i++) {
        mn_logistic d = draw(gaps[i]);
        double w[N] = {0}, again[N] = {0}, gradient[N], start = mn_logistic_objective(&d, w, NULL);
        fit(&d, w, 1);
        fit(&d, again, 2);
        assert_memory_equal(w, again, sizeof w);
        double found = mn_logistic_objective(&d, w, gradient), scale = 1e-4 * start;
        assert_true(found < start);
        for (int k = 0; k < N; k++)
            if (fabs(gradient[k]) > scale) fail_msg("gap %g: gradient %d is %g", gaps[i], k, gradient[k]);
    }
}

/* Of the bias alone the minimum is known. */
static void bias_alone(void **state) {
    (void)state;
    static const float ones[] = {1, 1, 1, 1}, classes[] = {1, 0, 0, 1}, sizes[] = {2, 3, 4, 1};
    mn_logistic d = {4, 1, ones, classes, sizes, 5};
    double w = 0;
    fit(&d, &w, 1);
    assert_true(fabs(w - log(3.0 / 7)) < 1e-6);
}

/* The gradient against central differences. */
static void gradient(void **state) {
    (void)state;
    mn_logistic d = draw(0.5);
    double w[N], g[N];
    for (int i = 0; i < N; i++) w[i] = 0.1 * (i % 5 - 2);
    mn_logistic_objective(&d, w, g);
    for (int i = 0; i < N; i++) {
        double at[2], kept = w[i];
        for (int side = 0; side < 2; side++) {
            w[i] = kept + (side ? 1e-5 : -1e-5);
            at[side] = mn_logistic_objective(&d, w, NULL);
        }
        w[i] = kept;
        assert_true(fabs((at[1] - at[0]) / 2e-5 - g[i]) < 1e-6 * (1 + fabs(g[i])));
    }
}

static int by_score(const void *a, const void *b) {
    const mn_top_row *p = a, *q = b;
    return p->score != q->score ? (p->score < q->score ? 1 : -1) : (p->id > q->id ? 1 : -1);
}

/* Scores with many ties; what a slot holds belongs to the row that has it. */
static void best_rows(void **state) {
    (void)state;
    enum { STREAM = 3000 };
    static mn_top_row all[STREAM];
    int64_t capacities[] = {0, 1, 7, 500, STREAM + 5}, held[STREAM + 5];
    mn_random rng;
    mn_error err;
    mn_random_seed(&rng, 8, 8);
    for (int i = 0; i < STREAM; i++) all[i] = (mn_top_row){(float)mn_random_below(&rng, 400), i, 0};
    for (int c = 0; c < 5; c++) {
        mn_top_rows t;
        assert_ok(mn_top_rows_open(capacities[c], &t, &err), err);
        for (int i = 0; i < STREAM; i++) {
            int64_t slot = mn_top_rows_offer(&t, all[i].score, i);
            if (slot >= 0) held[slot] = i;
        }
        static mn_top_row sorted[STREAM];
        for (int i = 0; i < STREAM; i++) sorted[i] = all[i];
        qsort(sorted, STREAM, sizeof *sorted, by_score);
        qsort(t.rows, (size_t)t.n, sizeof *t.rows, by_score);
        assert_int_equal(t.n, capacities[c] < STREAM ? capacities[c] : STREAM);
        for (int64_t i = 0; i < t.n; i++) {
            assert_int_equal(t.rows[i].id, sorted[i].id);
            assert_int_equal(held[t.rows[i].slot], t.rows[i].id);
        }
        mn_top_rows_close(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minimum),
        cmocka_unit_test(bias_alone),
        cmocka_unit_test(gradient),
        cmocka_unit_test(best_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
