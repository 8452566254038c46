/* train/adamw, muon, clip, schedule: against the same in double precision, with one thread and with two. */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "train/adamw.h"
#include "train/clip.h"
#include "train/muon.h"
#include "train/schedule.h"

/* Some steps of an optimiser from the same start: weights, two moments. */
enum { MAX_N = 30000, STEPS = 4 };
typedef struct steps {
    int64_t n, n_out, n_in;
    gradient_operand w, g;
    float *state; /* w, m, v */
    double *want; /* the same */
} steps;

static steps create(int64_t n_out, int64_t n_in) {
    int64_t n = n_out * n_in;
    steps s = {n,
               n_out,
               n_in,
               gradient_operand_create((size_t)n, 1, 1),
               gradient_operand_create((size_t)n, 0.1, 2),
               calloc(3 * (size_t)n, sizeof(float)),
               calloc(3 * (size_t)n, sizeof(double))};
    return s;
}

static void release(steps *s) {
    gradient_operand_free(&s->w);
    gradient_operand_free(&s->g);
    free(s->state);
    free(s->want);
}

static void start(steps *s) {
    memset(s->state, 0, 3 * (size_t)s->n * sizeof *s->state);
    memset(s->want, 0, 3 * (size_t)s->n * sizeof *s->want);
    memcpy(s->state, s->w.f, (size_t)s->n * sizeof *s->state);
    memcpy(s->want, s->w.d, (size_t)s->n * sizeof *s->want);
}

static mn_adamw adamw_of(int step) {
    return (mn_adamw){
        .rate = 0.03, .decay = 0.1, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .scale = 0.5, .step = step};
}

static void adamw_run(const mn_compute *c, void *arg) {
    steps *s = arg;
    start(s);
    for (int t = 1; t <= STEPS; t++) {
        mn_adamw a = adamw_of(t);
        mn_adamw_step(c, &a, s->state, s->state + s->n, s->state + 2 * s->n, s->g.f, s->n);
    }
}

static void adamw_check(const mn_compute *c, void *arg) {
    steps *s = arg;
    double *w = s->want, *m = w + s->n, *v = m + s->n;
    for (int t = 1; t <= STEPS; t++)
        for (int64_t i = 0; i < s->n; i++) {
            mn_adamw a = adamw_of(t);
            double g = s->g.d[i] * a.scale;
            m[i] = a.beta1 * m[i] + (1 - a.beta1) * g;
            v[i] = a.beta2 * v[i] + (1 - a.beta2) * g * g;
            w[i] -= a.rate * a.decay * w[i];
            w[i] -= a.rate * (m[i] / (1 - pow(a.beta1, t))) / (sqrt(v[i] / (1 - pow(a.beta2, t))) + a.epsilon);
        }
    for (int64_t i = 0; i < s->n; i++)
        if (!(fabs((double)s->state[i] - w[i]) <= 2e-6 * fmax(1, fabs(w[i]))))
            fail_msg("%s: weight %d is %.9g, wanted %.9g", mn_cpu_level_name(c->kernels->level), (int)i,
                     (double)s->state[i], w[i]);
}

static void adamw(void **state) {
    (void)state;
    static const int lengths[] = {1, 5, 31, 64, 20001};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        steps s = create(1, lengths[i]);
        gradient_for_levels(adamw_run, &s, s.state, 3 * (size_t)s.n * sizeof *s.state, false, adamw_check);
        release(&s);
    }
}

static double *transposed(const double *x, int64_t n_out, int64_t n_in) {
    double *t = malloc((size_t)(n_out * n_in) * sizeof *t);
    for (int64_t i = 0; i < n_out; i++)
        for (int64_t j = 0; j < n_in; j++) t[j * n_out + i] = x[i * n_in + j];
    return t;
}

/* The iteration for wide matrices, as it is written down. */
static void orthogonalise(double *x, int64_t n_out, int64_t n_in) {
    double norm = 0, *a = malloc((size_t)(n_out * n_out) * sizeof *a), *p = malloc((size_t)(n_out * n_out) * sizeof *p);
    double *next = malloc((size_t)(n_out * n_in) * sizeof *next);
    for (int64_t i = 0; i < n_out * n_in; i++) norm += x[i] * x[i];
    for (int64_t i = 0; i < n_out * n_in; i++) x[i] /= sqrt(norm) + 1e-7;
    for (int step = 0; step < 5; step++) {
        for (int64_t i = 0; i < n_out; i++)
            for (int64_t j = 0; j < n_out; j++) {
                a[i * n_out + j] = 0;
                for (int64_t k = 0; k < n_in; k++) a[i * n_out + j] += x[i * n_in + k] * x[j * n_in + k];
            }
        for (int64_t i = 0; i < n_out; i++)
            for (int64_t j = 0; j < n_out; j++) {
                p[i * n_out + j] = -4.7750 * a[i * n_out + j];
                for (int64_t k = 0; k < n_out; k++) p[i * n_out + j] += 2.0315 * a[i * n_out + k] * a[k * n_out + j];
            }
        for (int64_t i = 0; i < n_out; i++)
            for (int64_t j = 0; j < n_in; j++) {
                next[i * n_in + j] = 3.4445 * x[i * n_in + j];
                for (int64_t k = 0; k < n_out; k++) next[i * n_in + j] += p[i * n_out + k] * x[k * n_in + j];
            }
        memcpy(x, next, (size_t)(n_out * n_in) * sizeof *x);
    }
    free(a);
    free(p);
    free(next);
}

static void muon_run(const mn_compute *c, void *arg) {
    steps *s = arg;
    mn_error err;
    mn_muon p = {.rate = 0.02, .decay = 0.1, .momentum = 0.95, .scale = 0.5};
    float first = s->g.f[0];
    start(s);
    for (int t = 0; t < 2; t++) {
        s->g.f[0] = t ? 1 : first; /* another gradient in the second step */
        assert_ok(mn_muon_step(c, &p, s->state, s->state + s->n, s->g.f, s->n_out, s->n_in, &err), err);
    }
    s->g.f[0] = first;
}

static void muon_check(const mn_compute *c, void *arg) {
    steps *s = arg;
    double *w = s->want, *m = w + s->n, *u = m + s->n;
    for (int t = 0; t < 2; t++) {
        for (int64_t i = 0; i < s->n; i++) {
            double g = 0.5 * (t && i == 0 ? 1 : s->g.d[i]);
            m[i] = 0.95 * m[i] + 0.05 * g;
            u[i] = 0.95 * m[i] + 0.05 * g;
        }
        bool tall = s->n_out > s->n_in;
        double *wide = tall ? transposed(u, s->n_out, s->n_in) : transposed(u, 1, s->n);
        orthogonalise(wide, MN_MIN(s->n_out, s->n_in), MN_MAX(s->n_out, s->n_in));
        double *x = tall ? transposed(wide, s->n_in, s->n_out) : transposed(wide, 1, s->n);
        for (int64_t i = 0; i < s->n; i++)
            w[i] = (1 - 0.02 * 0.1) * w[i] - 0.02 * sqrt(fmax(1, (double)s->n_out / (double)s->n_in)) * x[i];
        free(wide);
        free(x);
    }
    double limit = !c->exact && mn_matmul_trains_in_bf16(c) ? 2e-3 : 1e-5;
    for (int64_t i = 0; i < s->n; i++)
        if (!(fabs((double)s->state[i] - w[i]) <= limit))
            fail_msg("%s: weight %d is %.9g, wanted %.9g", mn_cpu_level_name(c->kernels->level), (int)i,
                     (double)s->state[i], w[i]);
}

static void muon(void **state) {
    (void)state;
    static const int shapes[][2] = {{1, 1}, {4, 4}, {7, 20}, {40, 11}, {33, 65}, {70, 70}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        steps s = create(shapes[i][0], shapes[i][1]);
        gradient_for_levels(muon_run, &s, s.state, 3 * (size_t)s.n * sizeof *s.state, true, muon_check);
        release(&s);
    }
}

/* Rows of the result are orthogonal to each other, and of length near 1. */
static void newton_schulz_makes_orthogonal_rows(void **state) {
    (void)state;
    enum { ROWS = 24, COLUMNS = 90 };
    float x[ROWS * COLUMNS];
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    mn_compute c = {mn_kernels_get(mn_cpu_detect()), NULL, &scratch, true, NULL};
    fill_normal(x, ROWS * COLUMNS, 4);
    assert_ok(mn_newton_schulz(&c, x, ROWS, COLUMNS, &err), err);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j <= i; j++) {
            double product = 0;
            for (int k = 0; k < COLUMNS; k++) product += (double)x[i * COLUMNS + k] * (double)x[j * COLUMNS + k];
            if (i == j)
                assert_true(product > 0.4 && product < 1.5);
            else
                assert_true(fabs(product) < 0.3);
        }
    memset(x, 0, sizeof x);
    assert_ok(mn_newton_schulz(&c, x, ROWS, COLUMNS, &err), err);
    for (int i = 0; i < ROWS * COLUMNS; i++) assert_true(x[i] == 0);
    mn_arena_release(&scratch);
}

static void norms_and_clipping(void **state) {
    (void)state;
    static float x[MAX_N];
    mn_arena scratch = MN_ARENA_INIT;
    mn_pool *pool;
    mn_error err;
    assert_ok(mn_pool_create(2, &pool, &err), err);
    fill_normal(x, MAX_N, 3);
    double want = 0, first = 0, second = 0;
    for (int i = 0; i < MAX_N; i++) want += (double)x[i] * (double)x[i];
    mn_compute c = {mn_kernels_get(mn_cpu_detect()), NULL, &scratch, true, NULL};
    assert_ok(mn_sum_squares(&c, x, MAX_N, &first, &err), err);
    c.pool = pool;
    assert_ok(mn_sum_squares(&c, x, MAX_N, &second, &err), err);
    assert_true(first == second && fabs(first - want) <= 1e-7 * want);
    assert_ok(mn_sum_squares(&c, x, 0, &second, &err), err);
    assert_true(first == second);
    assert_true(mn_clip_factor(2, 1) == 0.5 && mn_clip_factor(0.5, 1) == 1 && mn_clip_factor(5, 0) == 1);
    assert_true(mn_clip_factor(0, 1) == 1 && isnan(mn_clip_factor(NAN, 1)) && isnan(mn_clip_factor(INFINITY, 1)));
    mn_pool_destroy(pool);
    mn_arena_release(&scratch);
}

static void near(double got, double want) { assert_true(fabs(got - want) <= 1e-12); }

static void schedules(void **state) {
    (void)state;
    mn_schedule s = {MN_DECAY_LINEAR, 100, 10, 0.3, 0.1};
    near(mn_schedule_factor(&s, 0), 0.1);
    near(mn_schedule_factor(&s, 9), 1);
    near(mn_schedule_factor(&s, 10), 1);
    near(mn_schedule_factor(&s, 55), 0.55);
    near(mn_schedule_factor(&s, 100), 0.1);
    near(mn_schedule_factor(&s, 1000), 0.1);
    s.kind = MN_DECAY_COSINE;
    near(mn_schedule_factor(&s, 10), 1);
    near(mn_schedule_factor(&s, 55), 0.55);
    near(mn_schedule_factor(&s, 25), 1 - 0.9 * (1 - cos(M_PI / 6)) / 2);
    s.kind = MN_DECAY_WSD;
    near(mn_schedule_factor(&s, 69), 1);
    near(mn_schedule_factor(&s, 70), 1);
    near(mn_schedule_factor(&s, 85), 0.55);
    s.n_warmup = 0;
    near(mn_schedule_factor(&s, 0), 1);
    s.n_warmup = 100; /* nothing but warm-up */
    near(mn_schedule_factor(&s, 99), 1);
    near(mn_schedule_factor(&s, 100), 0.1);
    s = (mn_schedule){MN_DECAY_WSD, 10, 0, 0, 0};
    near(mn_schedule_factor(&s, 9), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw),
        cmocka_unit_test(muon),
        cmocka_unit_test(newton_schulz_makes_orthogonal_rows),
        cmocka_unit_test(norms_and_clipping),
        cmocka_unit_test(schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
