/* train/plan: what a step is planned to take, against what one takes: activations and scratch to the byte, gradients of
 * activations to the page.
 */
#include "support/support.h"
#include "support/training.h"

#include "kernels/kernels.h"
#include "train/batch.h"
#include "train/plan.h"
#include "train/teacher.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { N_CTX = 300, N_THREADS = 2 };

typedef struct fixture {
    mn_train_config config;
    mn_parameters parameters;
    mn_pool *pool;
    mn_arena scratch;
    mn_compute compute;
    mn_train_plan plan;
    mn_teacher teacher; /* if there is one */
    mn_train_batch batch;
    mn_tape tape;
} fixture;

static void open_fixture(fixture *f, const char *path, const char *const *settings) {
    mn_parameters none = {0};
    mn_error err;
    *f = (fixture){0};
    training_configure(&f->config, "not-written.gguf", settings, NULL);
    f->config.window = N_CTX;
    f->config.batch = f->config.accumulate = 1;
    f->config.optimiser = MN_OPTIMISER_ADAMW; /* whose scratch is below that of a step */
    assert_ok(mn_parameters_open(path, &f->config, &f->parameters, &err), err);
    assert_ok(mn_pool_create(N_THREADS, &f->pool, &err), err);
    f->compute = (mn_compute){mn_kernels_get(mn_cpu_detect()), f->pool, &f->scratch, false, NULL};
    assert_ok(mn_train_plan_make(&f->config, &f->parameters, &none, &f->compute, &f->plan, &err), err);
    assert_ok(mn_train_batch_open(&f->config, &f->parameters.model, &f->batch, &err), err);
    assert_ok(mn_tape_open(&f->compute, &f->parameters, f->plan.activation_bytes, &f->tape, &err), err);
    if (!f->config.teacher) return;
    assert_ok(mn_teacher_open(f->config.teacher, &f->parameters.model, N_CTX, &f->teacher, &err), err);
    f->batch.teacher = &f->teacher;
    f->batch.teacher_share = 0.5f;
    f->batch.temperature = 1;
}

static void close_fixture(fixture *f) {
    mn_tape_close(&f->tape);
    mn_teacher_close(&f->teacher);
    mn_train_batch_close(&f->batch);
    mn_parameters_close(&f->parameters);
    mn_pool_destroy(f->pool);
    mn_arena_release(&f->scratch);
    mn_train_config_release(&f->config);
}

/* A whole window of one document, every token of which counts. */
static void fill(mn_train_batch *b) {
    mn_train_window *x = &b->windows[0];
    b->n_windows = 1;
    b->sum_weights = (double)(x->n_tokens = N_CTX);
    for (int64_t i = 0; i < N_CTX; i++) {
        x->tokens[i] = (int32_t)(5 + 7 * i % 1000);
        x->targets[i] = (int32_t)(9 + 5 * i % 1000);
        x->weights[i] = 1;
    }
}

/* Pages of the tape's gradients that were written. */
static size_t gradients_in_memory(const mn_tape *t) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = t->capacity / page, bytes = 0;
    unsigned char *held = calloc(n, 1);
    assert_int_equal(mincore(t->data + t->capacity, t->capacity, held), 0);
    for (size_t i = 0; i < n; i++) bytes += held[i] & 1 ? page : 0;
    free(held);
    return bytes;
}

/* A teacher's weights, what it made of the window, and what it keeps of it, which comes in whole pages. */
static void check_teacher(const fixture *f) {
    const mn_teacher *t = &f->teacher;
    size_t weights = mn_gguf_file_bytes(t->model.gguf);
    size_t hidden = (size_t)(t->capacity * t->model.config.n_embd) * sizeof(float);
    size_t taken = weights + hidden + mn_sequence_bytes(&t->sequence);
    assert_int_equal(t->capacity, N_CTX);
    assert_in_range(f->plan.teacher_bytes, weights + hidden + 1, taken);
    int64_t paged = (N_CTX + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS * MN_PAGE_TOKENS;
    double of_page = (double)(paged - N_CTX) / (double)paged; /* that the last page has no token for */
    assert_true((double)(taken - f->plan.teacher_bytes) <= of_page * (double)mn_sequence_bytes(&t->sequence));
}

/* A step under these settings, as it was planned. */
static void check_step(const char *path, const char *const *settings) {
    fixture f;
    mn_error err;
    open_fixture(&f, path, settings);
    fill(&f.batch);
    assert_int_equal(gradients_in_memory(&f.tape), 0);
    assert_ok(mn_train_batch_run(&f.batch, 0, 1, &f.tape, f.plan.recomputes, &err), err);
    assert_int_equal(f.tape.most, f.plan.activation_bytes);
    assert_int_equal(f.scratch.most_bytes, f.plan.scratch_bytes);
    assert_int_equal(gradients_in_memory(&f.tape), f.plan.gradient_bytes);
    assert_true(f.plan.gradient_bytes < f.plan.activation_bytes);
    if (f.config.teacher)
        check_teacher(&f);
    else
        assert_int_equal(f.plan.teacher_bytes, 0);
    close_fixture(&f);
}

static void activations_kept_and_made_again(void **state) {
    (void)state;
    const char *path = small_mnemo_write(temp_path("plan.gguf"), 1);
    check_step(path, (const char *const[]){"train.recompute=off", NULL});
    check_step(path, (const char *const[]){"train.recompute=on", NULL});
}

static void patterns_with_their_lists(void **state) {
    (void)state;
    const char *path = small_mnemo_write(temp_path("plan.gguf"), 2);
    static const char *const patterns[] = {"window:100", "bigbird:16,3,2,3", "moba:32,3", "linear"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char attn[64];
        snprintf(attn, sizeof attn, "positions.attn=%s", patterns[i]);
        check_step(path, (const char *const[]){attn, "train.recompute=off", NULL});
        check_step(path, (const char *const[]){attn, "train.recompute=on", NULL});
    }
}

static void sinks(void **state) {
    (void)state;
    const char *path = small_mnemo_write_sinks(temp_path("plan.gguf"));
    check_step(path, (const char *const[]){"train.recompute=off", NULL});
}

/* Larger than its student, so that a step's scratch is what it takes. */
static void a_teacher(void **state) {
    (void)state;
    const char *path = small_mnemo_write(temp_path("plan.gguf"), 1);
    const char *teacher = "loss.teacher=" MNEMO_SOURCE_DIR "/models/default.gguf";
    check_step(path, (const char *const[]){teacher, "train.recompute=off", NULL});
    check_step(path, (const char *const[]){teacher, "train.recompute=on", NULL});
}

/* Rows of the windows and the optimisers' scratch come on top. */
static void the_sum(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, small_mnemo_write(temp_path("plan.gguf"), 1), NULL);
    const mn_train_plan *p = &f.plan;
    assert_true(p->program_bytes > 1 << 20);
    assert_true(p->total_bytes > p->program_bytes + p->weights_bytes + p->optimiser_bytes + p->cache_bytes +
                                     mn_train_plan_activations(p) + p->scratch_bytes);
    assert_int_equal(mn_train_plan_activations(p), p->activation_bytes + p->gradient_bytes);
    size_t alone = p->total_bytes - p->program_bytes;
    double flops = p->flops_per_token;
    close_fixture(&f);
    const char *teacher = "loss.teacher=" MNEMO_SOURCE_DIR "/models/default.gguf";
    open_fixture(&f, small_mnemo_write(temp_path("plan.gguf"), 1), (const char *const[]){teacher, NULL});
    assert_true(p->total_bytes - p->program_bytes >= alone + p->teacher_bytes);
    assert_true(p->flops_per_token > flops + 2 * 2e6); /* of its two million parameters */
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_kept_and_made_again),
        cmocka_unit_test(patterns_with_their_lists),
        cmocka_unit_test(sinks),
        cmocka_unit_test(a_teacher),
        cmocka_unit_test(the_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
