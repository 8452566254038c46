/* dX = dY W and dW += dY^T X at every level this machine has: against double precision, and bit against bit where a
 * result must not depend on the number of threads.
 */
#include "support/levels.h"
#include "support/support.h"

#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    int n_rows, n_in, n_out;
} shape;

static const shape shapes[] = {{1, 1, 1},      {9, 33, 31},     {3, 5, 7},     {17, 33, 31},
                               {64, 64, 64},   {40, 256, 70},   {70, 300, 65}, {513, 192, 100},
                               {600, 48, 520}, {530, 512, 257}, {1100, 17, 40}};
static const mn_dtype types[] = {MN_F32, MN_F16, MN_BF16, MN_Q8_0, MN_Q4_0, MN_Q4_K, MN_Q6_K};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_TYPES = sizeof types / sizeof *types, GAP = 3 };

static mn_pool *pools[4];

typedef struct operands {
    shape s;
    float *x, *dy, *w; /* w: the values of weights */
    mn_tensor weights;
    int64_t x_stride, dy_stride;
} operands;

static float *random_floats(size_t n, uint64_t seed) {
    float *x = malloc(n * sizeof *x);
    fill_normal(x, n, seed);
    return x;
}

static operands make(shape s, mn_dtype type) {
    operands o = {.s = s, .x_stride = s.n_in + GAP, .dy_stride = s.n_out + GAP};
    o.x = random_floats((size_t)(s.n_rows * o.x_stride), 1);
    o.dy = random_floats((size_t)(s.n_rows * o.dy_stride), 2);
    o.w = random_floats((size_t)s.n_in * (size_t)s.n_out, 3);
    o.weights = (mn_tensor){.type = type, .n_dims = 2, .ne = {s.n_in, s.n_out, 1, 1}};
    size_t row_bytes = mn_tensor_row_bytes(&o.weights);
    char *data = malloc(row_bytes * (size_t)s.n_out);
    for (int i = 0; i < s.n_out; i++) {
        mn_from_f32(type, o.w + (size_t)i * (size_t)s.n_in, data + (size_t)i * row_bytes, s.n_in);
        mn_to_f32(type, data + (size_t)i * row_bytes, o.w + (size_t)i * (size_t)s.n_in, s.n_in);
    }
    o.weights.data = data;
    return o;
}

static void release(operands *o) {
    free(o->x);
    free(o->dy);
    free(o->w);
    free((void *)(uintptr_t)o->weights.data);
}

static void check(const char *what, const mn_compute *c, float got, double want, double magnitude, int n) {
    bool halves = mn_matmul_trains_in_bf16(c);
    double allowed = magnitude * ((n + 8) * 0x1p-24 + (halves ? 0x1p-8 * 1.01 : 0));
    if (!(fabs((double)got - want) <= allowed))
        fail_msg("%s %s %s: %.9g, wanted %.9g (allowed %.3g)", mn_cpu_level_name(c->kernels->level),
                 c->exact ? "exact" : "fast", what, (double)got, want, allowed);
}

static void check_dx(const mn_compute *c, const operands *o, const float *dx, const float *before) {
    for (int r = 0; r < o->s.n_rows; r += 1 + o->s.n_rows / 60)
        for (int i = r % 7; i < o->s.n_in; i += 1 + o->s.n_in / 60) {
            float start = before ? before[r * o->x_stride + i] : 0;
            double sum = (double)start, magnitude = fabs(sum);
            for (int k = 0; k < o->s.n_out; k++) {
                double term = (double)o->dy[r * o->dy_stride + k] * (double)o->w[(size_t)k * (size_t)o->s.n_in + i];
                sum += term;
                magnitude += fabs(term);
            }
            check("dX", c, dx[r * o->x_stride + i], sum, magnitude, o->s.n_out);
        }
}

static void check_dw(const mn_compute *c, const operands *o, const float *dw, const float *before) {
    for (int k = 0; k < o->s.n_out; k += 1 + o->s.n_out / 60)
        for (int i = k % 7; i < o->s.n_in; i += 1 + o->s.n_in / 60) {
            int64_t at = (int64_t)k * o->s.n_in + i;
            double sum = (double)before[at], magnitude = fabs(sum);
            for (int r = 0; r < o->s.n_rows; r++) {
                double term = (double)o->dy[r * o->dy_stride + k] * (double)o->x[r * o->x_stride + i];
                sum += term;
                magnitude += fabs(term);
            }
            check("dW", c, dw[at], sum, magnitude, o->s.n_rows);
        }
}

/* Runs fn at every level, exact and fast, with 1, 2 and 3 threads. */
static void for_computes(const operands *o, void (*fn)(const mn_compute *c, const operands *o)) {
    mn_arena scratch = MN_ARENA_INIT;
    EACH_LEVEL(level) {
        for (int exact = 0; exact < 2; exact++)
            fn(&(mn_compute){mn_kernels_get((mn_cpu_level)level), NULL, &scratch, exact, NULL}, o);
    }
    assert_int_equal(scratch.used_bytes, 0);
    mn_arena_release(&scratch);
}

static void run_dx(const mn_compute *c, const operands *o) {
    size_t n = (size_t)(o->s.n_rows * o->x_stride);
    float *before = random_floats(n, 9), *dx = malloc(n * sizeof *dx), *other = malloc(n * sizeof *other);
    mn_error err;
    for (int add = 0; add < 2; add++) {
        memcpy(dx, before, n * sizeof *dx);
        assert_ok(mn_matmul_dx(c, dx, o->x_stride, add, o->dy, o->dy_stride, o->s.n_rows, &o->weights, &err), err);
        check_dx(c, o, dx, add ? before : NULL);
        for (int r = 0; r < o->s.n_rows; r++)
            assert_memory_equal(dx + r * o->x_stride + o->s.n_in, before + r * o->x_stride + o->s.n_in,
                                GAP * sizeof *dx);
        for (int n_threads = 2; n_threads < 4; n_threads++) {
            mn_compute many = *c;
            many.pool = pools[n_threads];
            memcpy(other, before, n * sizeof *dx);
            assert_ok(mn_matmul_dx(&many, other, o->x_stride, add, o->dy, o->dy_stride, o->s.n_rows, &o->weights, &err),
                      err);
            assert_memory_equal(other, dx, n * sizeof *dx);
        }
    }
    free(before);
    free(dx);
    free(other);
}

static void run_dw(const mn_compute *c, const operands *o) {
    size_t n = (size_t)o->s.n_in * (size_t)o->s.n_out;
    float *before = random_floats(n, 9), *dw = malloc(n * sizeof *dw), *other = malloc(n * sizeof *other);
    mn_error err;
    memcpy(dw, before, n * sizeof *dw);
    assert_ok(mn_matmul_dw(c, dw, o->dy, o->dy_stride, o->s.n_out, o->x, o->x_stride, o->s.n_in, o->s.n_rows, &err),
              err);
    check_dw(c, o, dw, before);
    for (int n_threads = 2; n_threads < 4; n_threads++) {
        mn_compute many = *c;
        many.pool = pools[n_threads];
        memcpy(other, before, n * sizeof *dw);
        assert_ok(mn_matmul_dw(&many, other, o->dy, o->dy_stride, o->s.n_out, o->x, o->x_stride, o->s.n_in, o->s.n_rows,
                               &err),
                  err);
        assert_memory_equal(other, dw, n * sizeof *dw);
    }
    free(before);
    free(dw);
    free(other);
}

static void run_y(const mn_compute *c, const operands *o) {
    size_t n = (size_t)(o->s.n_rows * o->dy_stride);
    float *y = malloc(n * sizeof *y), *other = malloc(n * sizeof *other);
    const mn_tensor *w = &o->weights;
    mn_error err;
    assert_ok(mn_matmul_training(c, &y, &o->dy_stride, o->x, o->x_stride, o->s.n_rows, &w, 1, &err), err);
    for (int r = 0; r < o->s.n_rows; r += 1 + o->s.n_rows / 60)
        for (int k = r % 7; k < o->s.n_out; k += 1 + o->s.n_out / 60) {
            double sum = 0, magnitude = 0;
            for (int i = 0; i < o->s.n_in; i++) {
                double term = (double)o->x[r * o->x_stride + i] * (double)o->w[(size_t)k * (size_t)o->s.n_in + i];
                sum += term;
                magnitude += fabs(term);
            }
            check("Y", c, y[r * o->dy_stride + k], sum, magnitude, o->s.n_in);
        }
    mn_compute many = *c;
    many.pool = pools[2];
    assert_ok(mn_matmul_training(&many, &other, &o->dy_stride, o->x, o->x_stride, o->s.n_rows, &w, 1, &err), err);
    for (int r = 0; r < o->s.n_rows; r++)
        assert_memory_equal(y + r * o->dy_stride, other + r * o->dy_stride, (size_t)o->s.n_out * sizeof *y);
    free(y);
    free(other);
}

static void outputs_of_f32_weights(void **state) {
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        if (!takes_case((size_t)i, 3)) continue;
        operands o = make(shapes[i], MN_F32);
        for_computes(&o, run_y);
        release(&o);
    }
}

static void inputs_receive_dy_w(void **state) {
    (void)state;
    for (int t = 0; t < N_TYPES; t++)
        for (int i = 0; i < N_SHAPES; i++) {
            if (shapes[i].n_in % mn_dtype_get(types[t])->block_elems || !mn_dtype_get(types[t])->from_f32) continue;
            if (!takes_case((size_t)(i + t), 6)) continue;
            operands o = make(shapes[i], types[t]);
            for_computes(&o, run_dx);
            release(&o);
        }
}

/* So many outputs that columns are dequantised in several strips. */
static void wide_weights_go_in_strips(void **state) {
    (void)state;
    operands o = make((shape){9, 1024, 5000}, MN_Q8_0);
    for_computes(&o, run_dx);
    release(&o);
}

static void weights_receive_dy_x(void **state) {
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        if (!takes_case((size_t)i, 3)) continue;
        operands o = make(shapes[i], MN_F32);
        for_computes(&o, run_dw);
        release(&o);
    }
}

/* So many tokens that dY is transposed in several chunks. */
static void long_texts_go_in_chunks(void **state) {
    (void)state;
    operands o = make((shape){1300, 20, 3000}, MN_F32);
    for_computes(&o, run_dw);
    release(&o);
}

static void no_tokens_change_nothing(void **state) {
    (void)state;
    float dw[6] = {1, 2, 3, 4, 5, 6}, x = 0;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL};
    mn_error err;
    assert_ok(mn_matmul_dw(&c, dw, &x, 2, 2, &x, 3, 3, 0, &err), err);
    for (int i = 0; i < 6; i++) assert_true(dw[i] == (float)(i + 1));
}

static int make_pools(void **state) {
    (void)state;
    mn_error err;
    for (int n = 2; n < 4; n++) assert_ok(mn_pool_create(n, &pools[n], &err), err);
    return 0;
}

static int destroy_pools(void **state) {
    (void)state;
    for (int n = 2; n < 4; n++) mn_pool_destroy(pools[n]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_of_f32_weights),    cmocka_unit_test(inputs_receive_dy_w),
        cmocka_unit_test(wide_weights_go_in_strips), cmocka_unit_test(weights_receive_dy_x),
        cmocka_unit_test(long_texts_go_in_chunks),   cmocka_unit_test(no_tokens_change_nothing),
    };
    return cmocka_run_group_tests(tests, make_pools, destroy_pools);
}
