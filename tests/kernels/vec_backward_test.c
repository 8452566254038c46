/* The backward of norms, activations, rotations, clamps, biases and embedding at every level this machine has: against
 * central differences of the forward in double precision, at all lengths around the widths of vectors, with one thread
 * and with two.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include "kernels/kernels.h"
#include "kernels/norm_backward.h"
#include "kernels/rows_backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LIMIT = 3e-6;

/* One operation y = f(x, u, w, b) with random operands; the scalar is sum dy y. */
typedef struct operation {
    int n_rows, n_heads, n;
    gradient_operand x, u, w, b, dy;
    float *out;                                                               /* dx, du, dw, db, one after the other */
    float *before;                                                            /* what out held before */
    size_t n_x, n_w, n_out;                                                   /* of x and of weights; of out */
    double (*value)(const struct operation *o, int64_t row, int head, int i); /* of y in double */
    bool layer_norm, has_weights, add, split;
    double eps, limit;
    const float *cos, *sin;
    const int32_t *ids;
} operation;

static double scalar(void *arg) {
    const operation *o = arg;
    double sum = 0;
    size_t at = 0;
    for (int64_t r = 0; r < o->n_rows; r++)
        for (int h = 0; h < o->n_heads; h++)
            for (int i = 0; i < o->n; i++) sum += o->dy.d[at++] * o->value(o, r, h, i);
    return sum;
}

static size_t place(const operation *o, int64_t row, int head, int i) {
    return (size_t)((row * o->n_heads + head) * o->n + i);
}

static operation create(int n_rows, int n_heads, int n) {
    operation o = {.n_rows = n_rows, .n_heads = n_heads, .n = n, .has_weights = true};
    o.n_x = (size_t)(n_rows * n_heads * n);
    o.n_w = (size_t)n;
    o.n_out = 2 * o.n_x + 2 * o.n_w;
    o.x = gradient_operand_create(o.n_x, 1.5, 1);
    o.u = gradient_operand_create(o.n_x, 1, 2);
    o.w = gradient_operand_create(o.n_w, 1, 3);
    o.b = gradient_operand_create(o.n_w, 1, 4);
    o.dy = gradient_operand_create(o.n_x, 1, 5);
    o.out = malloc(o.n_out * sizeof *o.out);
    o.before = malloc(o.n_out * sizeof *o.before);
    fill_normal(o.before, o.n_out, 6);
    return o;
}

static void release(operation *o) {
    gradient_operand *all[] = {&o->x, &o->u, &o->w, &o->b, &o->dy};
    for (int i = 0; i < 5; i++) gradient_operand_free(all[i]);
    free(o->out);
    free(o->before);
}

static void take_away(float *sums, const float *before, size_t n) {
    for (size_t i = 0; i < n; i++) sums[i] -= before[i];
}

/* Norms. */

static double norm_value(const operation *o, int64_t row, int head, int i) {
    const double *x = o->x.d + place(o, row, head, 0);
    double mean = 0, square = 0;
    for (int j = 0; j < o->n && o->layer_norm; j++) mean += x[j] / o->n;
    for (int j = 0; j < o->n; j++) square += (x[j] - mean) * (x[j] - mean) / o->n;
    double y = (x[i] - mean) / sqrt(square + o->eps);
    return o->has_weights ? y * o->w.d[i] + (o->layer_norm ? o->b.d[i] : 0) : y;
}

static void norm_run(const mn_compute *c, void *arg) {
    operation *o = arg;
    mn_error err;
    memcpy(o->out, o->before, o->n_out * sizeof *o->out);
    float *dw = o->out + 2 * o->n_x;
    mn_norm_grad g = {.layer_norm = o->layer_norm,
                      .n_rows = o->n_rows,
                      .x = mn_vectors_of_heads(o->x.f, o->n_heads, o->n),
                      .dy = mn_vectors_of_heads(o->dy.f, o->n_heads, o->n),
                      .dx = mn_vectors_of_heads(o->out, o->n_heads, o->n),
                      .add = o->add,
                      .w = o->has_weights ? o->w.f : NULL,
                      .eps = (float)o->eps,
                      .dw = o->has_weights ? dw : NULL,
                      .db = o->has_weights && o->layer_norm ? dw + o->n_w : NULL};
    assert_ok(mn_norm_backward(c, &g, &err), err);
}

static void norm_check(const mn_compute *c, void *arg) {
    operation *o = arg;
    const char *level = mn_cpu_level_name(c->kernels->level);
    float *dw = o->out + 2 * o->n_x;
    const float *before = o->before + 2 * o->n_x;
    if (o->add) take_away(o->out, o->before, o->n_x);
    gradient_check(level, scalar, o, o->x.d, o->out, o->n_x, 40, LIMIT);
    take_away(dw, before, 2 * o->n_w);
    if (o->has_weights) gradient_check(level, scalar, o, o->w.d, dw, o->n_w, 20, LIMIT);
    if (o->has_weights && o->layer_norm) gradient_check(level, scalar, o, o->b.d, dw + o->n_w, o->n_w, 20, LIMIT);
    memcpy(o->out, o->before, o->n_out * sizeof *o->out);
    norm_run(c, o);
}

static void norms(void **state) {
    (void)state;
    static const int lengths[] = {5, 7, 8, 16, 17, 31, 48, 100};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (int variant = 0; variant < 6; variant++) {
            if (!takes_case(l + (size_t)variant, 4)) continue;
            operation o = create(variant == 3 ? 70 : 3, 1 + variant % 3, lengths[l]);
            o.value = norm_value;
            o.eps = 0.01;
            o.layer_norm = variant % 2;
            o.has_weights = variant < 4;
            o.add = variant == 1 || variant == 2;
            gradient_for_levels(norm_run, &o, o.out, o.n_out * sizeof *o.out, false, norm_check);
            release(&o);
        }
}

/* So many rows that pieces grow. */
static void weights_of_many_rows(void **state) {
    (void)state;
    operation o = create(3000, 1, 9);
    o.value = norm_value;
    o.eps = 0.01;
    gradient_for_levels(norm_run, &o, o.out, o.n_out * sizeof *o.out, false, norm_check);
    release(&o);
}

static void norms_work_in_place(void **state) {
    (void)state;
    operation o = create(4, 2, 33);
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    EACH_LEVEL(level) {
        mn_compute c = {mn_kernels_get((mn_cpu_level)level), NULL, &scratch, true, NULL};
        for (int layer = 0; layer < 2; layer++) {
            o.layer_norm = layer;
            o.eps = 1e-5;
            norm_run(&c, &o);
            memcpy(o.out + o.n_x, o.dy.f, o.n_x * sizeof *o.out);
            mn_vectors place_of_dy = mn_vectors_of_heads(o.out + o.n_x, 2, 33);
            mn_norm_grad g = {.layer_norm = layer,
                              .n_rows = 4,
                              .x = mn_vectors_of_heads(o.x.f, 2, 33),
                              .dy = place_of_dy,
                              .dx = place_of_dy,
                              .w = o.w.f,
                              .eps = 1e-5f};
            assert_ok(mn_norm_backward(&c, &g, &err), err);
            assert_memory_equal(o.out, o.out + o.n_x, o.n_x * sizeof *o.out);
        }
    }
    mn_arena_release(&scratch);
    release(&o);
}

/* Activations. */

static double silu_value(const operation *o, int64_t row, int head, int i) {
    double g = o->x.d[place(o, row, head, i)];
    return g / (1 + exp(-g)) * o->u.d[place(o, row, head, i)];
}

static double gelu_value(const operation *o, int64_t row, int head, int i) {
    double g = o->x.d[place(o, row, head, i)];
    double gelu = 0.5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
    return o->has_weights ? gelu * o->u.d[place(o, row, head, i)] : gelu;
}

static void activation_run(const mn_compute *c, void *arg) {
    operation *o = arg;
    memcpy(o->out, o->before, o->n_out * sizeof *o->out);
    const mn_vec_backward *vec = &c->kernels->vec_backward;
    (o->value == silu_value ? vec->silu_mul : vec->gelu_mul)(o->out, o->out + o->n_x, o->x.f,
                                                             o->has_weights ? o->u.f : NULL, o->dy.f, (int64_t)o->n_x);
}

static void activation_check(const mn_compute *c, void *arg) {
    operation *o = arg;
    const char *level = mn_cpu_level_name(c->kernels->level);
    gradient_check(level, scalar, o, o->x.d, o->out, o->n_x, 60, LIMIT);
    if (o->has_weights)
        gradient_check(level, scalar, o, o->u.d, o->out + o->n_x, o->n_x, 60, LIMIT);
    else
        assert_memory_equal(o->out + o->n_x, o->before + o->n_x, o->n_x * sizeof *o->out);
}

static void activations(void **state) {
    (void)state;
    for (int n = 1; n < 40; n += 3)
        for (int variant = 0; variant < 3; variant++) {
            operation o = create(2, 1, n);
            for (size_t i = 0; i < o.n_x; i += 3) o.x.d[i] = (double)(o.x.f[i] *= 4);
            o.value = variant == 0 ? silu_value : gelu_value;
            o.has_weights = variant < 2;
            gradient_for_levels(activation_run, &o, o.out, o.n_out * sizeof *o.out, false, activation_check);
            release(&o);
        }
}

/* Far from 0, where exponentials are infinite or nothing. */
static void activations_saturate(void **state) {
    (void)state;
    float gates[] = {-1e30f, -200, -100, 100, 200, 1e30f}, ones[6] = {1, 1, 1, 1, 1, 1}, dg[6], du[6];
    EACH_LEVEL(level) {
        const mn_vec_backward *vec = &mn_kernels_get((mn_cpu_level)level)->vec_backward;
        for (int i = 0; i < 2; i++) {
            (i ? vec->gelu_mul : vec->silu_mul)(dg, du, gates, ones, ones, 6);
            for (int k = 0; k < 3; k++) assert_true(fabsf(dg[k]) <= 1e-30f && fabsf(du[k]) <= 1e-30f);
            for (int k = 3; k < 6; k++) assert_true(dg[k] == 1 && du[k] == gates[k]);
        }
    }
}

/* Softmax. */

static double softmax_value(const operation *o, int64_t row, int head, int i) {
    const double *x = o->x.d + place(o, row, head, 0);
    double sum = 0;
    for (int j = 0; j < o->n; j++) sum += exp(x[j]);
    return exp(x[i]) / sum;
}

static void softmax_run(const mn_compute *c, void *arg) {
    operation *o = arg;
    memcpy(o->out, o->x.f, o->n_x * sizeof *o->out);
    for (int r = 0; r < o->n_rows; r++) {
        float *y = o->out + r * o->n;
        double sum = 0;
        for (int i = 0; i < o->n; i++) sum += exp((double)y[i]);
        double got = c->kernels->vec_backward.log_sum_exp(y, o->n);
        assert_true(fabs(got - log(sum)) <= 1e-6);
        c->kernels->vec_backward.softmax(y, y, o->dy.f + r * o->n, o->n);
    }
}

static void softmax_check(const mn_compute *c, void *arg) {
    operation *o = arg;
    gradient_check(mn_cpu_level_name(c->kernels->level), scalar, o, o->x.d, o->out, o->n_x, 60, LIMIT);
}

static void softmaxes(void **state) {
    (void)state;
    for (int n = 1; n < 70; n += 4) {
        operation o = create(3, 1, n);
        o.value = softmax_value;
        gradient_for_levels(softmax_run, &o, o.out, o.n_x * sizeof *o.out, false, softmax_check);
        release(&o);
    }
}

/* Rotation: the first 2 (n / 3) dimensions of every head. */

static double rotate_value(const operation *o, int64_t row, int head, int i) {
    int n_pairs = o->n / 3, pair = o->split ? i % n_pairs : i / 2;
    const double *x = o->x.d + place(o, row, head, 0);
    if (i >= 2 * n_pairs) return x[i];
    bool second = o->split ? i >= n_pairs : i % 2;
    double a = x[o->split ? pair : 2 * pair], b = x[o->split ? pair + n_pairs : 2 * pair + 1];
    double cos = (double)o->cos[row * n_pairs + pair], sin = (double)o->sin[row * n_pairs + pair];
    return second ? a * sin + b * cos : a * cos - b * sin;
}

static void rotate_run(const mn_compute *c, void *arg) {
    operation *o = arg;
    memcpy(o->out, o->dy.f, o->n_x * sizeof *o->out);
    mn_vectors dx = mn_vectors_of_heads(o->out, o->n_heads, o->n);
    dx.n = 2 * (o->n / 3);
    mn_rotate_backward(c, dx, o->cos, o->sin, o->n / 3, o->n_rows, o->split);
}

static void rotations(void **state) {
    (void)state;
    for (int n = 3; n < 80; n += 11)
        for (int split = 0; split < 2; split++) {
            operation o = create(5, 2, n);
            float angles[5 * 2 * 30];
            for (int i = 0; i < 5 * (n / 3); i++) {
                angles[i] = cosf((float)i);
                angles[150 + i] = sinf((float)i);
            }
            o.cos = angles;
            o.sin = angles + 150;
            o.split = split;
            o.value = rotate_value;
            gradient_for_levels(rotate_run, &o, o.out, o.n_x * sizeof *o.out, false, softmax_check);
            release(&o);
        }
}

/* Clamp and soft-cap: from what the forward left. */

static double limit_value(const operation *o, int64_t row, int head, int i) {
    double x = o->x.d[place(o, row, head, i)];
    return o->split ? o->limit * tanh(x / o->limit) : fmin(fmax(x, -o->limit), o->limit);
}

static void limit_run(const mn_compute *c, void *arg) {
    operation *o = arg;
    float *y = o->out + o->n_x;
    for (int64_t r = 0; r < o->n_rows; r++)
        for (int i = 0; i < o->n; i++) y[r * o->n + i] = (float)limit_value(o, r, 0, i);
    (o->split ? mn_softcap_backward : mn_clamp_backward)(c, o->out, y, o->dy.f, (int64_t)o->n_x, (float)o->limit);
}

static void clamps_and_caps(void **state) {
    (void)state;
    for (int split = 0; split < 2; split++) {
        operation o = create(7, 1, 45);
        o.limit = 1.25;
        o.split = split;
        o.value = limit_value;
        gradient_for_levels(limit_run, &o, o.out, o.n_x * sizeof *o.out, false, softmax_check);
        release(&o);
    }
}

/* Bias: the gradient of b in y = x + b; embedding: of a table of six rows in y = 0.5 table[ids]. */

static void bias_and_embedding(void **state) {
    (void)state;
    enum { ROWS = 800, N = 70, IDS = 6 };
    gradient_operand dy = gradient_operand_create(ROWS * N, 1, 3);
    static int32_t ids[ROWS];
    static float db[N], table[IDS * N], other[IDS * N];
    static double want[IDS * N];
    mn_arena scratch = MN_ARENA_INIT;
    mn_pool *pool;
    mn_error err;
    for (int r = 0; r < ROWS; r++) ids[r] = (int32_t)((unsigned)r * r % 7 % IDS);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < N; i++) want[ids[r] * N + i] += 0.5 * dy.d[r * N + i];
    assert_ok(mn_pool_create(2, &pool, &err), err);
    mn_compute one = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL}, two = one;
    two.pool = pool;
    memset(db, 0, sizeof db);
    assert_ok(mn_bias_backward(&one, db, dy.f, N, ROWS, &err), err);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int r = 0; r < ROWS; r++) sum += dy.d[r * N + i];
        assert_true(fabs((double)db[i] - sum) <= 1e-4);
    }
    float again[N] = {0};
    assert_ok(mn_bias_backward(&two, again, dy.f, N, ROWS, &err), err);
    assert_memory_equal(again, db, sizeof db);
    mn_embed_backward(&one, table, ids, dy.f, N, ROWS, 0.5f);
    mn_embed_backward(&two, other, ids, dy.f, N, ROWS, 0.5f);
    for (int i = 0; i < IDS * N; i++) assert_true(fabs((double)table[i] - want[i]) <= 1e-4);
    assert_memory_equal(table, other, sizeof table);
    mn_pool_destroy(pool);
    mn_arena_release(&scratch);
    gradient_operand_free(&dy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms),       cmocka_unit_test(weights_of_many_rows), cmocka_unit_test(norms_work_in_place),
        cmocka_unit_test(activations), cmocka_unit_test(activations_saturate), cmocka_unit_test(softmaxes),
        cmocka_unit_test(rotations),   cmocka_unit_test(clamps_and_caps),      cmocka_unit_test(bias_and_embedding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
