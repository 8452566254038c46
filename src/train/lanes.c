#include "train/lanes.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "train/memory_lessons.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LANES = 8, FLOATS_PER_RANGE = 1 << 14 };

static const size_t MAX_BLOCKS_BYTES = (size_t)256 << 20;

/* What one thread needs to take a window through the model. */
struct mn_lane_worker {
    mn_compute compute;
    mn_train_batch batch; /* of one window, borrowed from the step's */
    mn_tape tape;
};

int mn_lanes_count(const mn_train_config *config, const mn_model *model, size_t gradient_bytes) {
    int64_t n = MN_MIN(config->batch * config->accumulate, (int64_t)MAX_LANES);
    if (model->config.moe.router.n_experts || mn_config_has_easy(&model->config) ||
        mn_memory_takes_lessons(config, model) || config->teacher)
        return 1;
    while (n > 1 && (size_t)n * gradient_bytes > MAX_BLOCKS_BYTES) n--;
    return (int)MN_MAX(n, INT64_C(1));
}

static mn_status open_worker(mn_lanes *l, mn_lane_worker *w, const mn_train_config *config, mn_parameters *parameters,
                             mn_parameters *adapters, mn_arena *scratch, size_t activation_bytes, mn_error *err) {
    mn_train_config one = *config;
    one.batch = one.accumulate = 1;
    w->compute = (mn_compute){l->shared->kernels, NULL, scratch, l->shared->exact, NULL};
    MN_TRY(mn_train_batch_open(&one, &parameters->model, &w->batch, err));
    w->batch.n_windows = 1;
    MN_TRY(mn_tape_open(&w->compute, parameters, activation_bytes, &w->tape, err));
    w->tape.adapters = adapters;
    return MN_OK;
}

static mn_status open_blocks(mn_lanes *l, mn_error *err) {
    l->losses = calloc((size_t)l->n_windows, sizeof *l->losses);
    l->statuses = calloc((size_t)l->n_windows, sizeof *l->statuses);
    l->errors = calloc((size_t)l->n_windows, sizeof *l->errors);
    l->workers = calloc((size_t)mn_pool_threads(l->shared->pool), sizeof *l->workers);
    bool held = l->losses && l->statuses && l->errors && l->workers;
    for (int i = 0; i < l->sets.n && held; i++) {
        if (!l->sets.sets[i]->gradients) continue;
        l->blocks[i] = calloc((size_t)l->n - 1, l->sets.sets[i]->map.bytes);
        held = l->blocks[i] != NULL;
    }
    return held ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of %d windows at once.", l->n);
}

mn_status mn_lanes_open(const mn_train_config *config, int n, mn_parameters *parameters, mn_parameters *adapters,
                        const mn_compute *shared, mn_arena *alone, size_t activation_bytes, mn_lanes *out,
                        mn_error *err) {
    *out = (mn_lanes){.n = n, .shared = shared, .sets = {{parameters, adapters}, adapters ? 2 : 1}};
    out->n_windows = MN_MAX(config->batch * config->accumulate, config->batch);
    if (n == 1) return MN_OK;
    mn_status status = open_blocks(out, err);
    for (int i = 0; i < mn_pool_threads(shared->pool) && status == MN_OK; i++)
        status = open_worker(out, &out->workers[i], config, parameters, adapters, &alone[i], activation_bytes, err);
    if (status != MN_OK) mn_lanes_close(out);
    return status;
}

void mn_lanes_close(mn_lanes *l) {
    for (int i = 0; l->workers && i < mn_pool_threads(l->shared->pool); i++) {
        mn_tape_close(&l->workers[i].tape);
        mn_train_batch_close(&l->workers[i].batch);
    }
    free(l->workers);
    free(l->blocks[0]);
    free(l->blocks[1]);
    free(l->losses);
    free(l->statuses);
    free(l->errors);
    *l = (mn_lanes){.n = 1};
}

typedef struct lanes_job {
    mn_lanes *l;
    const mn_train_batch *all;
    const mn_tape *settings;
    bool recompute;
} lanes_job;

/* A worker at window w of the step. */
static void stand_at(const lanes_job *job, mn_lane_worker *w, int64_t window) {
    w->batch.windows[0] = job->all->windows[window];
    w->batch.sum_weights = job->all->sum_weights;
    w->tape.loss = (mn_loss){0};
    w->tape.memory = job->settings->memory;
}

static char *block_of(const mn_lanes *l, int set, int64_t lane) {
    const mn_parameters *p = l->sets.sets[set];
    return lane == 0 || !p->gradients ? p->gradients : l->blocks[set] + (size_t)(lane - 1) * p->map.bytes;
}

static void run_lanes(void *arg, int64_t begin, int64_t end, int thread_index) {
    const lanes_job *job = arg;
    mn_lanes *l = job->l;
    mn_lane_worker *w = &l->workers[thread_index];
    for (int64_t lane = begin; lane < end; lane++) {
        for (int set = 0; set < l->sets.n; set++) {
            w->tape.gradients[set] = block_of(l, set, lane);
            if (w->tape.gradients[set]) memset(w->tape.gradients[set], 0, l->sets.sets[set]->map.bytes);
        }
        for (int64_t i = lane; i < job->all->n_windows; i += l->n) {
            stand_at(job, w, i);
            l->statuses[i] = mn_train_batch_run(&w->batch, 0, 1, &w->tape, job->recompute, &l->errors[i]);
            l->losses[i] = w->tape.loss;
        }
    }
}

static void score_windows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const lanes_job *job = arg;
    mn_lanes *l = job->l;
    mn_lane_worker *w = &l->workers[thread_index];
    for (int64_t i = begin; i < end; i++) {
        stand_at(job, w, i);
        mn_arena_mark mark = mn_arena_get_mark(w->compute.scratch);
        l->statuses[i] = mn_train_batch_score(&w->batch, 0, 1, &w->tape, &l->errors[i]);
        mn_arena_rewind(w->compute.scratch, mark);
        l->losses[i] = w->tape.loss;
    }
}

typedef struct sum_job {
    const mn_lanes *l;
    int set;
} sum_job;

static void sum_blocks(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const sum_job *job = arg;
    float *sum = (float *)(void *)block_of(job->l, job->set, 0) + begin;
    for (int lane = 1; lane < job->l->n; lane++)
        job->l->shared->kernels->vec.add(sum, sum, (float *)(void *)block_of(job->l, job->set, lane) + begin,
                                         end - begin);
}

/* Losses of all windows in order, or the first error. */
static mn_status collect(const mn_lanes *l, int64_t n, mn_loss *loss, mn_error *err) {
    for (int64_t i = 0; i < n; i++) {
        if (l->statuses[i] != MN_OK) {
            if (err) *err = l->errors[i];
            return l->statuses[i];
        }
        loss->loss += l->losses[i].loss;
        loss->label += l->losses[i].label;
        loss->weights += l->losses[i].weights;
        loss->n_rows += l->losses[i].n_rows;
    }
    return MN_OK;
}

mn_status mn_lanes_run(mn_lanes *l, const mn_train_batch *all, mn_tape *tape, bool recompute, mn_error *err) {
    lanes_job job = {l, all, tape, recompute};
    mn_pool_run(l->shared->pool, l->n, 1, run_lanes, &job);
    MN_TRY(collect(l, all->n_windows, &tape->loss, err));
    for (int set = 0; set < l->sets.n; set++) {
        if (!l->sets.sets[set]->gradients) continue;
        sum_job sum = {l, set};
        mn_pool_run(l->shared->pool, (int64_t)(l->sets.sets[set]->map.bytes / sizeof(float)), FLOATS_PER_RANGE,
                    sum_blocks, &sum);
    }
    return MN_OK;
}

mn_status mn_lanes_score(mn_lanes *l, const mn_train_batch *all, mn_tape *tape, mn_error *err) {
    lanes_job job = {l, all, tape, false};
    mn_pool_run(l->shared->pool, all->n_windows, 1, score_windows, &job);
    return collect(l, all->n_windows, &tape->loss, err);
}
