/* attention/linear: the state's recurrence equals the quadratic form in double; splits, copies and threads change no
 * bit.
 */
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "recurrent/linear.h"
#include "kernels/kernels.h"

enum { ROWS = 70, HEADS = 4, KV_HEADS = 2, K = 13, V = 9 };

static const mn_linear shape = {HEADS, KV_HEADS, K, V};
static float q[ROWS * HEADS * K], k[ROWS * KV_HEADS * K], v[ROWS * KV_HEADS * V], whole[ROWS * HEADS * V];
static mn_arena scratch = MN_ARENA_INIT;
static mn_compute compute = {.scratch = &scratch, .exact = true};

static void *new_state(void) {
    size_t bytes = mn_linear_state_bytes(&shape);
    return memset(aligned_alloc(64, bytes), 0, bytes);
}

static void step(void *state, float *out, int begin, int end) {
    mn_error err;
    assert_ok(mn_linear_step(&compute, &shape, state, out + begin * HEADS * V, q + begin * HEADS * K,
                             k + begin * KV_HEADS * K, v + begin * KV_HEADS * V, end - begin, &err),
              err);
}

static int setup(void **unused) {
    (void)unused;
    fill_normal(q, ROWS * HEADS * K, 1);
    fill_normal(k, ROWS * KV_HEADS * K, 2);
    fill_normal(v, ROWS * KV_HEADS * V, 3);
    void *state = new_state();
    step(state, whole, 0, ROWS);
    free(state);
    return 0;
}

static double elu1(double x) { return x > 0 ? x + 1 : exp(x); }

/* out_t = sum_{j<=t} (phi q_t . phi k_j) v_j / (sum_{j<=t} phi q_t . phi k_j + 1e-6) */
static void quadratic(float *out, int t, int head) {
    double sums[V] = {0}, total = 0;
    int kv_head = head / (HEADS / KV_HEADS);
    for (int j = 0; j <= t; j++) {
        double weight = 0;
        for (int i = 0; i < K; i++)
            weight += elu1(q[(t * HEADS + head) * K + i]) * elu1(k[(j * KV_HEADS + kv_head) * K + i]);
        for (int i = 0; i < V; i++) sums[i] += weight * v[(j * KV_HEADS + kv_head) * V + i];
        total += weight;
    }
    for (int i = 0; i < V; i++) out[i] = (float)(sums[i] / (total + 1e-6));
}

static void equals_the_quadratic_form(void **unused) {
    (void)unused;
    for (int t = 0; t < ROWS; t++)
        for (int head = 0; head < HEADS; head++) {
            float want[V];
            quadratic(want, t, head);
            assert_close(whole + (t * HEADS + head) * V, want, V, 2e-6, 2e-6, "linear attention");
        }
}

static void splits_change_nothing(void **unused) {
    (void)unused;
    static float out[ROWS * HEADS * V];
    for (int piece = 1; piece < ROWS; piece++) {
        void *state = new_state();
        for (int row = 0; row < ROWS; row += piece) step(state, out, row, row + piece < ROWS ? row + piece : ROWS);
        free(state);
        assert_memory_equal(out, whole, sizeof whole);
    }
}

static void a_copied_state_goes_on(void **unused) {
    (void)unused;
    static float out[ROWS * HEADS * V];
    size_t bytes = mn_linear_state_bytes(&shape);
    for (int stop = 0; stop <= ROWS; stop++) {
        void *state = new_state(), *copy = aligned_alloc(64, bytes);
        step(state, out, 0, stop);
        memcpy(copy, state, bytes);
        memset(state, 0xff, bytes);
        step(copy, out, stop, ROWS);
        assert_memory_equal(out, whole, sizeof whole);
        free(state);
        free(copy);
    }
}

static void threads_change_nothing(void **unused) {
    (void)unused;
    static float out[ROWS * HEADS * V];
    mn_error err;
    assert_ok(mn_pool_create(3, &compute.pool, &err), err);
    void *state = new_state();
    step(state, out, 0, ROWS);
    assert_memory_equal(out, whole, sizeof whole);
    free(state);
    mn_pool_destroy(compute.pool);
    compute.pool = NULL;
}

static void refuses_a_state_that_is_none(void **unused) {
    (void)unused;
    mn_error err;
    void *state = new_state();
    *(int64_t *)state = 1 << 20;
    assert_int_equal(mn_linear_step(&compute, &shape, state, whole, q, k, v, 1, &err), MN_ERR_FORMAT);
    free(state);
    assert_int_equal(mn_linear_state_bytes(&(mn_linear){1, 1, 0, 8}), 0);
    assert_int_equal(mn_linear_state_bytes(&(mn_linear){1, 1 << 30, 1 << 30, 1 << 30}), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_quadratic_form), cmocka_unit_test(splits_change_nothing),
        cmocka_unit_test(a_copied_state_goes_on), cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(refuses_a_state_that_is_none)};
    int failed = 0;
    EACH_LEVEL(level) {
        compute.kernels = mn_kernels_get((mn_cpu_level)level);
        failed += cmocka_run_group_tests_name(mn_cpu_level_name((mn_cpu_level)level), tests, setup, NULL);
    }
    mn_arena_release(&scratch);
    return failed;
}
