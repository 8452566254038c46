#include "bench/training_step.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "train/batch.h"
#include "train/model_file.h"
#include "train/optimise.h"
#include "train/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All that a step needs; zeros can be closed. */
typedef struct bench {
    mn_train_config config;
    mn_pool *pool;
    mn_arena scratch, *alone;
    mn_compute compute;
    mn_parameters parameters;
    mn_train_plan plan;
    mn_train_batch batch;
    mn_tape tape;
} bench;

static mn_status configure(mn_train_config *c, const char *path, int64_t n_tokens, mn_error *err) {
    char text[4400];
    mn_train_config_init(c);
    snprintf(text, sizeof text, "model.from=%.4300s", path);
    MN_TRY(mn_train_config_set(c, text, err));
    c->window = n_tokens;
    c->batch = c->accumulate = 1;
    c->optimiser = MN_OPTIMISER_ADAMW;
    return MN_OK;
}

/* The weights in f32, in memory: their file is gone as soon as it is mapped. */
static mn_status open_parameters(bench *b, mn_error *err) {
    char path[4096];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%.4000s/mnemo-bench-XXXXXX", folder ? folder : "/tmp");
    int file = mkstemp(path);
    if (file < 0) return mn_fail(err, MN_ERR_IO, "%s: cannot be made.", path);
    close(file);
    mn_status status = mn_start_model_write(&b->config, path, b->pool, err);
    if (status == MN_OK) status = mn_parameters_open(path, &b->config, &b->parameters, err);
    unlink(path);
    return status;
}

static void fill(mn_train_batch *b, int64_t n_tokens, int64_t n_vocab) {
    mn_train_window *x = &b->windows[0];
    mn_random random;
    mn_random_seed(&random, 1, 0);
    b->n_windows = 1;
    b->n_tokens = x->n_tokens = n_tokens;
    b->sum_weights = (double)n_tokens;
    for (int64_t i = 0; i < n_tokens; i++) {
        x->tokens[i] = (int32_t)mn_random_below(&random, (uint32_t)n_vocab);
        x->targets[i] = (int32_t)mn_random_below(&random, (uint32_t)n_vocab);
        x->weights[i] = 1;
    }
}

static mn_status open_bench(bench *b, const char *path, int64_t n_tokens, int n_threads, mn_error *err) {
    mn_cpu_level level;
    mn_parameters none = {0};
    MN_TRY(configure(&b->config, path, n_tokens, err));
    MN_TRY(mn_cpu_choose(&level, err));
    MN_TRY(mn_pool_create(n_threads, &b->pool, err));
    b->alone = calloc((size_t)mn_pool_threads(b->pool), sizeof *b->alone); /* zeros are empty arenas */
    if (!b->alone) return mn_fail(err, MN_ERR_MEMORY, "no memory for the scratch of threads.");
    b->compute = (mn_compute){mn_kernels_get(level), b->pool, &b->scratch, false, NULL};
    MN_TRY(open_parameters(b, err));
    MN_TRY(mn_train_batch_open(&b->config, &b->parameters.model, &b->batch, err));
    MN_TRY(mn_train_plan_make(&b->config, &b->parameters, &none, &b->compute, &b->plan, err));
    MN_TRY(mn_tape_open(&b->compute, &b->parameters, b->plan.activation_bytes, &b->tape, err));
    b->tape.memory.detach_segments = b->plan.detach_segments;
    fill(&b->batch, n_tokens, b->parameters.model.config.n_vocab);
    return MN_OK;
}

static void close_bench(bench *b) {
    mn_tape_close(&b->tape);
    mn_train_batch_close(&b->batch);
    mn_parameters_close(&b->parameters);
    for (int i = 0; b->alone && i < mn_pool_threads(b->pool); i++) mn_arena_release(&b->alone[i]);
    free(b->alone);
    mn_pool_destroy(b->pool);
    mn_arena_release(&b->scratch);
    mn_train_config_release(&b->config);
}

static mn_status run_step(bench *b, int64_t step, mn_training_step *out, mn_error *err) {
    mn_parameter_sets sets = {{&b->parameters}, 1};
    double begin = mn_clock_seconds(), norm;
    memset(b->tape.seconds, 0, sizeof b->tape.seconds);
    mn_parameters_clear_gradients(&b->parameters);
    MN_TRY(mn_train_batch_run(&b->batch, 0, 1, &b->tape, b->plan.recomputes, err));
    double middle = mn_clock_seconds();
    MN_TRY(mn_gradient_norm(&b->compute, b->alone, &sets, &norm, err));
    MN_TRY(mn_optimise(&b->compute, b->alone, &b->config, &sets, 1e-3, norm, step, err));
    double end = mn_clock_seconds();
    if (step == 1 || end - begin >= out->seconds) return MN_OK; /* the first touches memory that is new */
    out->seconds = end - begin;
    out->optimiser_seconds = end - middle;
    memcpy(out->forward_seconds, b->tape.seconds[0], sizeof out->forward_seconds);
    memcpy(out->backward_seconds, b->tape.seconds[1], sizeof out->backward_seconds);
    return MN_OK;
}

mn_status mn_training_step_measure(const char *path, int64_t n_tokens, int n_threads, int64_t n_steps,
                                   mn_training_step *out, mn_error *err) {
    bench b = {0};
    *out = (mn_training_step){.n_tokens = n_tokens, .seconds = 1e300};
    mn_status status = open_bench(&b, path, n_tokens, n_threads, err);
    if (status == MN_OK) {
        out->n_params = b.plan.n_params;
        out->flops = b.plan.flops_per_token * (double)n_tokens;
        out->planned_bytes = b.plan.total_bytes;
        out->in_bf16 = mn_matmul_trains_in_bf16(&b.compute);
    }
    for (int64_t step = 1; step <= n_steps + 1 && status == MN_OK; step++) status = run_step(&b, step, out, err);
    close_bench(&b);
    return status;
}
