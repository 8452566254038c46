/* train/cross_entropy: loss and gradients against a rewrite in double precision, with labels, weights, a teacher, a
 * soft-cap and a bias; tiles and threads change nothing.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "train/cross_entropy.h"

enum { MAX_ROWS = 7, MAX_VOCAB = 23, MAX_EMBD = 9 };

typedef struct loss_case {
    int n_rows, n_vocab, n_embd;
    gradient_operand x, w, b;
    float teacher[MAX_ROWS * MAX_VOCAB], weights[MAX_ROWS];
    int32_t labels[MAX_ROWS];
    bool has_teacher, has_bias, all_weights;
    double softcap, share, temperature, scale;
    float out[MAX_ROWS * MAX_EMBD + MAX_VOCAB * MAX_EMBD + MAX_VOCAB]; /* d_x, d_w, d_bias */
    mn_loss loss;
} loss_case;

static double log_sum_exp(const double *l, int n) {
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) max = fmax(max, l[i]);
    for (int i = 0; i < n; i++) sum += exp(l[i] - max);
    return max + log(sum);
}

/* The weighted loss of one row, without scale. */
static double row_loss(const loss_case *k, int r) {
    double l[MAX_VOCAB], s[MAX_VOCAB], t[MAX_VOCAB], loss = 0, share = k->has_teacher ? k->share : 0;
    for (int v = 0; v < k->n_vocab; v++) {
        l[v] = k->has_bias ? k->b.d[v] : 0;
        for (int i = 0; i < k->n_embd; i++) l[v] += k->x.d[r * k->n_embd + i] * k->w.d[v * k->n_embd + i];
        if (k->softcap > 0) l[v] = k->softcap * tanh(l[v] / k->softcap);
        s[v] = l[v] / k->temperature;
        t[v] = (double)k->teacher[r * k->n_vocab + v] / k->temperature;
    }
    if (k->labels[r] >= 0) loss += (1 - share) * (log_sum_exp(l, k->n_vocab) - l[k->labels[r]]);
    double log_s = log_sum_exp(s, k->n_vocab), log_t = log_sum_exp(t, k->n_vocab), divergence = 0;
    for (int v = 0; v < k->n_vocab; v++) divergence += exp(t[v] - log_t) * (t[v] - log_t - s[v] + log_s);
    loss += share * k->temperature * k->temperature * divergence;
    return loss * (k->all_weights ? 1 : (double)k->weights[r]);
}

static double value(void *arg) {
    const loss_case *k = arg;
    double sum = 0;
    for (int r = 0; r < k->n_rows; r++) sum += row_loss(k, r);
    return sum * k->scale;
}

static mn_status teach(void *arg, const int64_t *rows, int64_t n, float *logits, mn_error *err) {
    const loss_case *k = arg;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy(logits + i * k->n_vocab, k->teacher + rows[i] * k->n_vocab, (size_t)k->n_vocab * sizeof *logits);
    return MN_OK;
}

static mn_cross_entropy call_of(loss_case *k, const mn_tensor *w) {
    float *d_w = k->out + k->n_rows * k->n_embd;
    return (mn_cross_entropy){.x = k->x.f,
                              .n_rows = k->n_rows,
                              .w = w,
                              .bias = k->has_bias ? k->b.f : NULL,
                              .softcap = (float)k->softcap,
                              .labels = k->labels,
                              .weights = k->all_weights ? NULL : k->weights,
                              .teacher = k->has_teacher ? teach : NULL,
                              .teacher_arg = k,
                              .temperature = (float)k->temperature,
                              .share = (float)k->share,
                              .scale = (float)k->scale,
                              .d_x = k->out,
                              .d_w = d_w,
                              .d_bias = k->has_bias ? d_w + k->n_vocab * k->n_embd : NULL};
}

static void run(const mn_compute *c, void *arg) {
    loss_case *k = arg;
    mn_error err;
    mn_tensor w = {.type = MN_F32, .n_dims = 2, .ne = {k->n_embd, k->n_vocab, 1, 1}, .data = k->w.f};
    mn_cross_entropy e = call_of(k, &w);
    memset(k->out, 0, sizeof k->out);
    memset(&k->loss, 0, sizeof k->loss);
    assert_ok(mn_cross_entropy_run(c, &e, &k->loss, &err), err);
}

static void check(const mn_compute *c, void *arg) {
    loss_case *k = arg;
    const char *level = mn_cpu_level_name(c->kernels->level);
    double want = value(k) / k->scale;
    if (!(fabs(k->loss.loss - want) <= 2e-6 * fabs(want)))
        fail_msg("%s: loss %g, wanted %g", level, k->loss.loss, want);
    const float *d_w = k->out + k->n_rows * k->n_embd;
    gradient_check("d_x", value, k, k->x.d, k->out, k->x.n, 0, 3e-6);
    gradient_check("d_w", value, k, k->w.d, d_w, k->w.n, 0, 3e-6);
    if (k->has_bias) gradient_check("d_bias", value, k, k->b.d, d_w + k->w.n, k->b.n, 0, 3e-6);
}

static loss_case create(int n_rows, int n_vocab, int n_embd) {
    loss_case k = {.n_rows = n_rows, .n_vocab = n_vocab, .n_embd = n_embd, .temperature = 1, .scale = 3};
    k.x = gradient_operand_create((size_t)(n_rows * n_embd), 1, 1);
    k.w = gradient_operand_create((size_t)(n_vocab * n_embd), 1, 2);
    k.b = gradient_operand_create((size_t)n_vocab, 1, 3);
    fill_normal(k.teacher, (size_t)(n_rows * n_vocab), 4);
    for (int r = 0; r < n_rows; r++) {
        k.labels[r] = (int32_t)(r * 5 % n_vocab);
        k.weights[r] = r == 2 ? 0 : 0.25f * (float)(1 + r % 4);
    }
    return k;
}

static void release(loss_case *k) {
    gradient_operand_free(&k->x);
    gradient_operand_free(&k->w);
    gradient_operand_free(&k->b);
}

static void equals_central_differences(void **state) {
    (void)state;
    for (int variant = 0; variant < 16; variant++) {
        loss_case k = create(MAX_ROWS, variant % 3 ? MAX_VOCAB : 16, MAX_EMBD);
        k.has_teacher = variant & 1;
        k.has_bias = variant & 2;
        k.softcap = variant & 4 ? 2.5 : 0;
        k.all_weights = variant & 8;
        k.temperature = variant & 8 ? 1 : 1.75;
        k.share = variant == 15 ? 1 : 0.375;
        k.labels[4] = MN_NO_LABEL;
        gradient_for_levels(run, &k, k.out, sizeof k.out, false, check);
        release(&k);
    }
}

/* A teacher that says what the student says adds nothing. */
static void a_teacher_of_the_same_mind(void **state) {
    (void)state;
    loss_case k = create(5, 20, 8);
    for (int r = 0; r < k.n_rows; r++)
        for (int v = 0; v < k.n_vocab; v++) {
            double l = 0;
            for (int i = 0; i < k.n_embd; i++) l += k.x.d[r * k.n_embd + i] * k.w.d[v * k.n_embd + i];
            k.teacher[r * k.n_vocab + v] = (float)l;
        }
    k.has_teacher = true;
    k.share = 1;
    k.temperature = 2;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute c = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL};
    run(&c, &k);
    assert_true(fabs(k.loss.loss) <= 1e-5 && k.loss.label == 0);
    for (size_t i = 0; i < k.x.n + k.w.n; i++) assert_true(fabsf(k.out[i]) <= 1e-5f);
    mn_arena_release(&scratch);
    release(&k);
}

/* So many rows and tokens that there are several tiles: rows one by one give the same gradients of x, and together the
 * same loss and the same gradients of w but for rounding. */
static void tiles_change_nothing(void **state) {
    (void)state;
    enum { ROWS = 300, VOCAB = 10000, EMBD = 4 };
    gradient_operand x = gradient_operand_create(ROWS * EMBD, 1, 1), w = gradient_operand_create(VOCAB * EMBD, 0.3, 2);
    static int32_t labels[ROWS];
    float *d_x = calloc(2 * ROWS * EMBD, sizeof *d_x), *d_w = calloc(2 * VOCAB * EMBD, sizeof *d_w);
    for (int r = 0; r < ROWS; r++) labels[r] = r % 7 ? r * 61 % VOCAB : MN_NO_LABEL;
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    mn_compute c = {mn_kernels_get(mn_cpu_detect()), NULL, &scratch, true, NULL};
    mn_tensor weights = {.type = MN_F32, .n_dims = 2, .ne = {EMBD, VOCAB, 1, 1}, .data = w.f};
    mn_cross_entropy e = {.x = x.f,
                          .n_rows = ROWS,
                          .w = &weights,
                          .labels = labels,
                          .scale = 1,
                          .temperature = 1,
                          .d_x = d_x,
                          .d_w = d_w};
    mn_loss whole = {0}, parts = {0};
    assert_ok(mn_cross_entropy_run(&c, &e, &whole, &err), err);
    e.d_w = d_w + VOCAB * EMBD;
    e.n_rows = 60;
    for (int r = 0; r < ROWS; r += 60) {
        e.x = x.f + r * EMBD;
        e.labels = labels + r;
        e.d_x = d_x + (ROWS + r) * EMBD;
        assert_ok(mn_cross_entropy_run(&c, &e, &parts, &err), err);
    }
    assert_memory_equal(d_x, d_x + ROWS * EMBD, ROWS * EMBD * sizeof *d_x);
    assert_true(fabs(whole.loss - parts.loss) <= 1e-9 * whole.loss);
    assert_int_equal(whole.n_rows, ROWS - (ROWS + 6) / 7);
    assert_int_equal(parts.n_rows, whole.n_rows);
    for (int i = 0; i < VOCAB * EMBD; i++) assert_true(fabsf(d_w[i] - d_w[VOCAB * EMBD + i]) <= 1e-5f);
    for (int i = 0; i < EMBD; i++) assert_true(d_x[i] == 0); /* row 0 has no label */
    mn_arena_release(&scratch);
    free(d_x);
    free(d_w);
    gradient_operand_free(&x);
    gradient_operand_free(&w);
}

static void odd_calls(void **state) {
    (void)state;
    loss_case k = create(4, 10, 8);
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    mn_compute c = {mn_kernels_get(MN_CPU_GENERIC), NULL, &scratch, true, NULL};
    mn_tensor w = {.type = MN_F32, .n_dims = 2, .ne = {8, 10, 1, 1}, .data = k.w.f};
    mn_cross_entropy e = call_of(&k, &w);
    mn_loss loss = {0}, again = {0};
    k.labels[3] = 10;
    assert_int_equal(mn_cross_entropy_run(&c, &e, &loss, &err), MN_ERR_ARGUMENT);
    k.labels[3] = 9;
    assert_ok(mn_cross_entropy_run(&c, &e, &loss, &err), err);
    e.d_x = e.d_w = NULL; /* validation */
    assert_ok(mn_cross_entropy_run(&c, &e, &again, &err), err);
    assert_true(again.loss == loss.loss && again.n_rows == 3 && again.weights == 0.25 + 0.5 + 1);
    for (int r = 0; r < 4; r++) k.labels[r] = MN_NO_LABEL;
    memset(&loss, 0, sizeof loss);
    assert_ok(mn_cross_entropy_run(&c, &e, &loss, &err), err);
    assert_true(loss.loss == 0 && loss.n_rows == 0);
    assert_int_equal(scratch.used_bytes, 0);
    mn_arena_release(&scratch);
    release(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_central_differences),
        cmocka_unit_test(a_teacher_of_the_same_mind),
        cmocka_unit_test(tiles_change_nothing),
        cmocka_unit_test(odd_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
