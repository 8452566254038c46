#include "train/plan.h"

#include "base/checked.h"
#include "base/human.h"
#include "base/ram.h"
#include "train/batch.h"
#include "train/gate_fit.h"
#include "train/lanes.h"
#include "train/memory_lessons.h"
#include "train/memory_training.h"
#include "train/teacher.h"

#include <stdlib.h>
#include <string.h>

/* What is planned. */
typedef struct draft {
    mn_train_config config; /* of what one tape takes at once: with lanes one window */
    mn_parameters *parameters, *adapters;
    mn_teacher teacher; /* without a model: none */
    mn_compute dry;
    mn_arena scratch;
    int64_t n_lesson_rows;
    size_t lessons_cache_bytes; /* that their documents keep */
    mn_train_plan *plan;
} draft;

/* Multiplications with the model's matrices for one token. */
static double products_per_token(const mn_model *m) {
    const mn_config *c = &m->config;
    double products = 0;
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) {
        const mn_tensor *x = mn_gguf_tensor_at(m->gguf, i);
        bool embeds = !strcmp(x->name, "token_embd.weight") || !strcmp(x->name, "position_embd.weight");
        double share = strstr(x->name, "_exps.") ? (double)c->moe.router.n_used / c->moe.router.n_experts : 1;
        if (x->n_dims > 1 && !embeds) products += share * (double)(x->ne[0] * x->ne[1] * x->ne[2]);
    }
    bool tied = m->weights.output.w.data == m->weights.token_embd.data;
    return products + (tied ? (double)c->n_vocab * c->n_embd : 0);
}

/* Of a product of a token's query and the keys before it, 2 operations each, half of the window on average. */
static double attention_flops(const mn_config *c, int64_t window) {
    double flops = 0;
    for (const mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++)
        flops += (double)l->n_heads * (l->head_dim_k + l->head_dim_v) / 2 * (double)window;
    return flops;
}

/* 2 operations a multiplication forward; backward as many for the inputs, and for the weights where they are trained.
 * Attention has 2 products forward and 5 backward. A teacher goes forward alone. */
static double flops_per_token(const draft *d) {
    const mn_parameters *p = d->parameters;
    const mn_model *teacher = &d->teacher.model;
    int64_t window = d->config.window;
    double flops =
        (p->n_trained ? 6 : 4) * products_per_token(&p->model) + 7 * attention_flops(&p->model.config, window);
    if (teacher->gguf) flops += 2 * products_per_token(teacher) + 2 * attention_flops(&teacher->config, window);
    return flops;
}

static int64_t count_params(const mn_gguf *g) {
    int64_t n = 0;
    for (int64_t i = 0; i < mn_gguf_n_tensors(g); i++) {
        const mn_tensor *x = mn_gguf_tensor_at(g, i);
        n += x->ne[0] * x->ne[1] * x->ne[2] * x->ne[3];
    }
    return n;
}

/* Muon leaves its second moments untouched, so that they take no memory. */
static size_t moments_bytes(const mn_parameters *p) {
    size_t floats = 0;
    for (int64_t i = 0; i < p->n_items; i++) {
        const mn_parameter *x = &p->items[i];
        if (!x->frozen) floats += (size_t)(x->n_in * x->n_out) * (x->optimiser == MN_OPTIMISER_MUON ? 1 : 2);
    }
    return floats * sizeof(float);
}

static size_t entries_bytes(const mn_kv_shape *shape, int64_t n_tokens) {
    size_t bytes = 0;
    for (int i = 0; i < shape->n_layers; i++) bytes += (size_t)n_tokens * (mn_kv_page_bytes(shape, i) / MN_PAGE_TOKENS);
    return bytes + mn_kv_list_bytes(shape, n_tokens);
}

/* What a sequence keeps of a whole window. */
static mn_status sequence_bytes(const mn_config *c, const mn_attn_spec *attn, int64_t n_tokens, size_t *bytes,
                                mn_error *err) {
    mn_kv_shape shape = mn_sequence_kv_shape(c, attn, MN_F32, MN_F32);
    mn_kv_shape second = mn_sequence_second_shape(c, attn, &shape);
    MN_TRY(mn_sequence_state_bytes(c, attn, bytes, err));
    *bytes += entries_bytes(&shape, n_tokens);
    if (second.n_layers) *bytes += entries_bytes(&second, n_tokens);
    return MN_OK;
}

/* Documents of few tokens: what is beyond them in a page is not touched. */
static mn_status lessons_cache_bytes(draft *d, mn_error *err) {
    const mn_model *m = &d->parameters->model;
    const mn_attn_spec attn = mn_attn_of_model(&m->config);
    if (!d->n_lesson_rows) return MN_OK;
    MN_TRY(sequence_bytes(&m->config, &attn, mn_memory_context(m), &d->lessons_cache_bytes, err));
    d->lessons_cache_bytes *= (size_t)(d->n_lesson_rows / mn_memory_context(m));
    return MN_OK;
}

/* A teacher's weights, what it keeps of the window it reads, which may be one document, and what it made of all. */
static mn_status teacher_bytes(const draft *d, size_t *bytes, mn_error *err) {
    const mn_model *m = &d->teacher.model;
    *bytes = 0;
    if (!m->gguf) return MN_OK;
    MN_TRY(sequence_bytes(&m->config, &d->teacher.sequence.attn, d->config.window, bytes, err));
    *bytes += mn_gguf_file_bytes(m->gguf) + (size_t)(d->config.batch * d->config.window + d->n_lesson_rows) *
                                                (size_t)m->config.n_embd * sizeof(float);
    return MN_OK;
}

/* Whole windows of one document each, over the dry pool; with lessons their pool's documents together, as what they
 * take does not depend on their number. Every slice is the same sequence: nothing is kept in it. */
static mn_status run_windows(draft *d, mn_train_batch *b, mn_sequence *sequence, mn_tape *tape, mn_error *err) {
    const mn_train_config *c = &d->config;
    const float any = 0;
    b->n_slices = (int)c->batch + (d->n_lesson_rows > 0);
    b->n_rows = c->batch * c->window + d->n_lesson_rows;
    b->sum_weights = 1;
    b->slices = calloc((size_t)b->n_slices, sizeof *b->slices);
    if (!b->slices) return mn_fail(err, MN_ERR_MEMORY, "no memory for a plan of %d windows.", b->n_slices);
    for (int i = 0; i < b->n_slices; i++)
        b->slices[i] = (mn_slice){sequence, i * c->window, i < c->batch ? c->window : d->n_lesson_rows};
    if (d->n_lesson_rows)
        tape->memory = (mn_tape_memory){
            .hard = c->memory.hard, .labels = &any, .n_hardest = c->memory.hardest_tokens, .hardest_weight = 1};
    tape->memory.detach_segments = d->plan->detach_segments;
    tape->adapters = d->adapters;
    if (d->teacher.model.gguf) b->teacher = &d->teacher;
    MN_TRY(mn_train_batch_differentiate(b, tape, d->plan->recomputes, err));
    d->plan->activation_bytes = tape->most;
    d->plan->gradient_bytes = tape->claimed;
    d->plan->scratch_bytes = d->scratch.most_bytes;
    return sequence_bytes(&b->model->config, &b->params.attn, c->window, &d->plan->cache_bytes, err);
}

/* A step as the plan's recomputes has it. */
static mn_status measure(draft *d, mn_error *err) {
    const mn_model *model = &d->parameters->model;
    mn_train_batch batch;
    mn_sequence sequence;
    mn_tape tape;
    mn_arena_release(&d->scratch);
    MN_TRY(mn_train_batch_open(&d->config, model, &batch, err));
    mn_status status = mn_sequence_init_dry(&sequence, &model->config, &batch.params.attn, MN_F32, MN_F32, err);
    if (status == MN_OK) {
        status = mn_tape_open(&d->dry, d->parameters, (size_t)1 << 44, &tape, err);
        if (status == MN_OK) status = run_windows(d, &batch, &sequence, &tape, err);
        mn_tape_close(&tape);
        mn_sequence_release(&sequence);
    }
    mn_train_batch_close(&batch);
    return status;
}

static mn_status refuse(size_t bytes, size_t free_bytes, bool recomputes, mn_error *err) {
    mn_human taken, there;
    return mn_fail(
        err, MN_ERR_MEMORY, "training takes %s, and %s are free; use a smaller batch%s, or a smaller window.",
        mn_human_bytes(taken, bytes), mn_human_bytes(there, free_bytes), recomputes ? "" : ", recompute = on");
}

/* The borders of layers alone, before anything is measured. */
static mn_status check_least(const draft *d, size_t free_bytes, mn_error *err) {
    const mn_config *c = &d->parameters->model.config;
    size_t least = SIZE_MAX;
    if (mn_mul_size((size_t)(d->config.batch * d->config.window), (size_t)c->n_embd * 2 * sizeof(float), &least) &&
        mn_mul_size(least, (size_t)c->n_layers + 1, &least) && least <= free_bytes)
        return MN_OK;
    return refuse(least, free_bytes, true, err);
}

/* Weights, gradients and moments, and what does not depend on whether activations are made again. */
static void count_parameters(draft *d) {
    mn_train_plan *plan = d->plan;
    const mn_parameters *p = d->parameters, *a = d->adapters;
    size_t bytes = p->map.bytes + a->map.bytes;
    plan->n_params = count_params(p->model.gguf);
    plan->n_trained = p->n_trained + a->n_trained;
    plan->flops_per_token = flops_per_token(d);
    plan->weights_bytes = (size_t)(1 + plan->n_lanes) * bytes + (p->map.bytes ? 0 : mn_gguf_file_bytes(p->model.gguf));
    plan->optimiser_bytes = moments_bytes(p) + moments_bytes(a);
}

/* The most scratch that the optimisers take of one arena. */
static mn_status measure_optimisers(draft *d, size_t *bytes, mn_error *err) {
    double norm;
    mn_parameter_sets sets = {{d->parameters, d->adapters}, 2};
    mn_arena_release(&d->scratch);
    MN_TRY(mn_gradient_norm(&d->dry, NULL, &sets, &norm, err));
    MN_TRY(mn_optimise(&d->dry, NULL, &d->config, &sets, 1, 1, 1, err));
    *bytes = d->scratch.most_bytes;
    return MN_OK;
}

size_t mn_train_plan_activations(const mn_train_plan *p) {
    return (size_t)p->n_tapes * (p->activation_bytes + p->gradient_bytes);
}

/* Beside steps that take so much: a fit before the first step is over when they take it. */
static size_t fit_beside(const mn_train_plan *p, const mn_train_config *c, size_t steps_bytes) {
    if (c->gate_fit.when != MN_GATE_FIT_START) return p->fit_bytes;
    return p->fit_bytes > steps_bytes ? p->fit_bytes - steps_bytes : 0;
}

/* All that a step holds at once: each tape has an arena; the optimisers use these, and one of every thread. */
static void add_up(draft *d, const mn_train_config *config, int n_threads, size_t optimisers_bytes) {
    mn_train_plan *p = d->plan;
    bool lanes = p->n_lanes > 1;
    size_t n_tapes = (size_t)p->n_tapes, n_arenas = 1 + (size_t)(lanes || n_threads > 1 ? n_threads : 0);
    p->scratch_bytes = MN_MAX(p->scratch_bytes, optimisers_bytes);
    size_t scratch = n_tapes * p->scratch_bytes + (n_arenas - n_tapes) * optimisers_bytes;
    size_t windows = mn_train_batch_bytes(config->batch * config->accumulate, config->window, d->n_lesson_rows) +
                     (lanes ? (size_t)n_threads * mn_train_batch_bytes(1, config->window, 0) : 0);
    p->cache_bytes = p->cache_bytes * n_tapes * (size_t)d->config.batch + d->lessons_cache_bytes;
    size_t steps = p->cache_bytes + scratch + mn_train_plan_activations(p);
    p->total_bytes = p->program_bytes + p->weights_bytes + p->optimiser_bytes + p->teacher_bytes + windows + steps +
                     fit_beside(p, config, steps);
}

/* Beyond what is held already. */
static size_t wanted_bytes(const mn_train_plan *p) { return p->total_bytes - p->program_bytes; }

static mn_status make(draft *d, const mn_train_config *config, int n_threads, mn_error *err) {
    mn_train_plan *p = d->plan;
    size_t free_bytes = mn_ram_free(), optimisers_bytes;
    const char *teacher = config->teacher;
    MN_TRY(check_least(d, free_bytes, err));
    if (teacher) MN_TRY(mn_teacher_open_dry(teacher, &d->parameters->model, config->window, &d->teacher, err));
    MN_TRY(teacher_bytes(d, &p->teacher_bytes, err));
    MN_TRY(lessons_cache_bytes(d, err));
    count_parameters(d);
    if (config->gate_fit.when != MN_GATE_FIT_NEVER)
        p->fit_bytes = mn_gate_fit_bytes(&config->gate_fit, &d->parameters->model, config->window, (int)config->batch);
    p->detach_segments = mn_memory_detach(config, &d->parameters->model, free_bytes / 4);
    MN_TRY(measure_optimisers(d, &optimisers_bytes, err));
    p->recomputes = config->recompute == MN_RECOMPUTE_ON;
    MN_TRY(measure(d, err));
    add_up(d, config, n_threads, optimisers_bytes);
    if (config->recompute == MN_RECOMPUTE_AUTO && wanted_bytes(p) > free_bytes / 2) {
        p->recomputes = true;
        MN_TRY(measure(d, err));
        add_up(d, config, n_threads, optimisers_bytes);
    }
    return wanted_bytes(p) > free_bytes ? refuse(wanted_bytes(p), free_bytes, p->recomputes, err) : MN_OK;
}

/* What the process takes beside its arenas as a training goes on: code that was not read before, what its log, pictures
 * and checkpoints are written from, and what the allocator keeps. Measured on the toy of `make demo-train`. */
enum { LATER_BYTES = 3 << 19 };

mn_status mn_train_plan_make(const mn_train_config *config, mn_parameters *parameters, mn_parameters *adapters,
                             const mn_compute *compute, mn_train_plan *out, mn_error *err) {
    int n_threads = mn_pool_threads(compute->pool);
    int n_lanes = mn_lanes_count(config, &parameters->model, parameters->map.bytes + adapters->map.bytes);
    draft d = {.config = *config, .parameters = parameters, .adapters = adapters, .dry = *compute, .plan = out};
    *out = (mn_train_plan){.program_bytes = mn_ram_held() + LATER_BYTES,
                           .n_lanes = n_lanes,
                           .n_tapes = n_lanes > 1 ? MN_MIN(n_lanes, n_threads) : 1};
    d.config.accumulate = 1;
    if (n_lanes > 1) d.config.batch = 1;
    d.n_lesson_rows = mn_memory_lesson_rows(config, &parameters->model);
    d.dry.scratch = &d.scratch;
    MN_TRY(mn_pool_create_dry(n_lanes > 1 ? 1 : n_threads, &d.dry.pool, err));
    mn_status status = make(&d, config, n_threads, err);
    mn_teacher_close(&d.teacher);
    mn_pool_destroy(d.dry.pool);
    mn_arena_release(&d.scratch);
    return status;
}
