#include "support/support.h"
#include "support/training.h"

#include "kernels/kernels.h"
#include "train/lanes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_CTX = 24, N_WINDOWS = 5, N_THREADS = 3 };

typedef struct fixture {
    mn_train_config config;
    mn_parameters parameters;
    mn_pool *pool;
    mn_arena scratch, alone[N_THREADS];
    mn_compute compute;
    mn_train_batch batch;
    mn_tape tape;
} fixture;

static void open_fixture(fixture *f) {
    mn_error err;
    *f = (fixture){0};
    mn_train_config_init(&f->config);
    f->config.window = N_CTX;
    f->config.batch = N_WINDOWS;
    const char *path = small_mnemo_write(temp_path("lanes.gguf"), 1);
    assert_ok(mn_parameters_open(path, &f->config, &f->parameters, &err), err);
    assert_ok(mn_pool_create(N_THREADS, &f->pool, &err), err);
    f->compute = (mn_compute){mn_kernels_get(mn_cpu_detect()), f->pool, &f->scratch, true, NULL};
    assert_ok(mn_train_batch_open(&f->config, &f->parameters.model, &f->batch, &err), err);
    assert_ok(mn_tape_open(&f->compute, &f->parameters, 64 << 20, &f->tape, &err), err);
}

static void close_fixture(fixture *f) {
    mn_tape_close(&f->tape);
    mn_train_batch_close(&f->batch);
    mn_parameters_close(&f->parameters);
    mn_pool_destroy(f->pool);
    for (int i = 0; i < N_THREADS; i++) mn_arena_release(&f->alone[i]);
    mn_arena_release(&f->scratch);
    mn_train_config_release(&f->config);
}

/* Windows of different lengths, each of two documents. */
static void fill(mn_train_batch *b) {
    b->n_windows = N_WINDOWS;
    for (int w = 0; w < N_WINDOWS; w++) {
        mn_train_window *x = &b->windows[w];
        x->n_tokens = N_CTX - 3 * w;
        for (int64_t i = 0; i < x->n_tokens; i++) {
            x->tokens[i] = (int32_t)(5 + 31 * w + 7 * i);
            x->targets[i] = (int32_t)(9 + 13 * w + 11 * i);
            x->weights[i] = 1.0f / (float)(1 + i % 3);
            x->document[i] = i >= 9;
            b->sum_weights += (double)x->weights[i];
        }
    }
}

static float *gradients_of(const fixture *f) {
    float *copy = malloc(f->parameters.map.bytes);
    assert_non_null(copy);
    memcpy(copy, f->parameters.gradients, f->parameters.map.bytes);
    return copy;
}

/* Each window by a thread alone gives the gradient of all threads at all windows, but for the order of sums. */
static void test_lanes_equal_the_whole_batch(void **state) {
    (void)state;
    fixture f;
    mn_lanes lanes;
    mn_error err;
    open_fixture(&f);
    fill(&f.batch);
    assert_ok(mn_train_batch_run(&f.batch, 0, N_WINDOWS, &f.tape, false, &err), err);
    float *together = gradients_of(&f);
    mn_loss loss = f.tape.loss;
    int n = mn_lanes_count(&f.config, &f.parameters.model, f.parameters.map.bytes);
    assert_int_equal(n, N_WINDOWS);
    for (n = 2; n <= N_WINDOWS; n++) { /* the sets' gradients hold something: it is not added to */
        assert_ok(mn_lanes_open(&f.config, n, &f.parameters, NULL, &f.compute, f.alone, 16 << 20, &lanes, &err), err);
        f.tape.loss = (mn_loss){0};
        assert_ok(mn_lanes_run(&lanes, &f.batch, &f.tape, n % 2, &err), err);
        assert_float_equal(f.tape.loss.loss, loss.loss, 1e-5 * loss.loss);
        assert_int_equal(f.tape.loss.n_rows, loss.n_rows);
        for (int64_t i = 0; i < f.parameters.n_items; i++) {
            const mn_parameter *p = &f.parameters.items[i];
            const float *expected = together + (p->gradients - (float *)(void *)f.parameters.gradients);
            double error = 0, size = 0;
            for (int64_t k = 0; k < p->n_in * p->n_out; k++) {
                error += pow((double)p->gradients[k] - (double)expected[k], 2);
                size += pow((double)expected[k], 2);
            }
            if (!(sqrt(error) <= 1e-5 * sqrt(size))) fail_msg("%s: %g of %g", p->name, sqrt(error), sqrt(size));
        }
        f.tape.loss = (mn_loss){0};
        assert_ok(mn_lanes_score(&lanes, &f.batch, &f.tape, &err), err);
        assert_float_equal(f.tape.loss.loss, loss.loss, 1e-5 * loss.loss);
        mn_lanes_close(&lanes);
    }
    free(together);
    close_fixture(&f);
}

/* An error of any window comes out, with its sentence. */
static void test_tells_of_a_failed_window(void **state) {
    (void)state;
    fixture f;
    mn_lanes lanes;
    mn_error err;
    open_fixture(&f);
    fill(&f.batch);
    f.batch.windows[3].targets[0] = 1 << 30;
    assert_ok(mn_lanes_open(&f.config, 4, &f.parameters, NULL, &f.compute, f.alone, 16 << 20, &lanes, &err), err);
    assert_int_equal(mn_lanes_run(&lanes, &f.batch, &f.tape, false, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "outside the vocabulary"));
    mn_lanes_close(&lanes);
    close_fixture(&f);
}

/* One window, or gradients too large to have several times: all threads at each operation. */
static void test_counts_lanes(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    const mn_model *m = &f.parameters.model;
    assert_int_equal(mn_lanes_count(&f.config, m, (size_t)100 << 20), 2);
    assert_int_equal(mn_lanes_count(&f.config, m, (size_t)200 << 20), 1);
    f.config.batch = 100;
    assert_int_equal(mn_lanes_count(&f.config, m, 1 << 20), 8);
    f.config.batch = 1;
    assert_int_equal(mn_lanes_count(&f.config, m, 1 << 20), 1);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_equal_the_whole_batch),
        cmocka_unit_test(test_tells_of_a_failed_window),
        cmocka_unit_test(test_counts_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
