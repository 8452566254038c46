#include "train/batch.h"

#include "base/checked.h"
#include "model/forward.h"
#include "train/memory_training.h"
#include "train/teacher.h"

#include <stdlib.h>
#include <string.h>

static mn_status no_memory(mn_error *err) { return mn_fail(err, MN_ERR_MEMORY, "no memory for a batch of windows."); }

static mn_status open_windows(mn_train_batch *b, int64_t n_lesson_rows, mn_error *err) {
    size_t n = (size_t)b->capacity * (size_t)b->n_ctx, n_rows = n + (size_t)n_lesson_rows;
    b->tokens = calloc(n, sizeof *b->tokens);
    b->targets = calloc(n, sizeof *b->targets);
    b->documents = calloc(n, sizeof *b->documents);
    b->weights = calloc(n, sizeof *b->weights);
    b->roles = calloc(n, 1);
    b->windows = calloc((size_t)b->capacity, sizeof *b->windows);
    b->row_tokens = calloc(n_rows, sizeof *b->row_tokens);
    b->row_labels = calloc(n_rows, sizeof *b->row_labels);
    b->row_weights = calloc(n_rows, sizeof *b->row_weights);
    b->row_roles = calloc(n_rows, 1);
    if (!b->tokens || !b->targets || !b->documents || !b->weights || !b->roles || !b->windows || !b->row_tokens ||
        !b->row_labels || !b->row_weights || !b->row_roles)
        return no_memory(err);
    for (int w = 0; w < b->capacity; w++) {
        size_t at = (size_t)w * (size_t)b->n_ctx;
        b->windows[w] =
            (mn_train_window){b->tokens + at, b->targets + at, b->weights + at, b->roles + at, b->documents + at, 0};
    }
    return MN_OK;
}

size_t mn_train_batch_bytes(int64_t n_windows, int64_t n_ctx, int64_t n_lesson_rows) {
    const mn_train_batch *b = NULL;
    size_t token =
        sizeof *b->tokens + sizeof *b->targets + sizeof *b->documents + sizeof *b->weights + sizeof *b->roles;
    size_t row = sizeof *b->row_tokens + sizeof *b->row_labels + sizeof *b->row_weights + sizeof *b->row_roles;
    size_t n = (size_t)n_windows * (size_t)n_ctx;
    return n * token + (n + (size_t)n_lesson_rows) * row + (size_t)n_windows * sizeof *b->windows;
}

/* The pattern asked for, in every layer that has no window of its own. */
static mn_status open_patterns(mn_train_batch *b, const char *attn, mn_error *err) {
    const mn_config *c = &b->model->config;
    mn_pattern pattern;
    MN_TRY(mn_pattern_parse(attn, &pattern, err));
    const unsigned unfit = MN_PATTERN_REPOSITIONS | MN_PATTERN_EVICTS | MN_PATTERN_COMPRESSIVE;
    /* A pattern that chooses by queries is taken as it chose; one that was made to be trained with. */
    bool untrained = pattern.kind->choose && !(pattern.kind->traits & MN_PATTERN_NEEDS_TRAINING);
    if (untrained || pattern.kind->traits & unfit)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "positions.attn = %s: training takes patterns whose keys are fixed by their places, as window:W "
                       "or bigbird:B,W,G,R, and moba:B,K.",
                       attn);
    b->patterns = calloc((size_t)c->n_layers, sizeof *b->patterns);
    if (!b->patterns) return no_memory(err);
    for (int layer = 0; layer < c->n_layers; layer++) {
        if (mn_config_sight(c, layer)) continue;
        b->patterns[layer] = pattern;
        b->patterns[layer].seed += layer;
    }
    b->params.attn.patterns = b->patterns;
    return MN_OK;
}

mn_status mn_train_batch_open(const mn_train_config *config, const mn_model *model, mn_train_batch *out,
                              mn_error *err) {
    int64_t capacity = config->batch * config->accumulate;
    *out = (mn_train_batch){.model = model, .n_ctx = config->window};
    if (capacity > 1 << 20)
        return mn_fail(err, MN_ERR_LIMIT, "a step of %lld windows is too large; use at most %d.", (long long)capacity,
                       1 << 20);
    out->capacity = (int)capacity;
    out->params =
        (mn_sequence_params){&model->config.rope, mn_attn_of_model(&model->config), config->window, MN_F32, MN_F32};
    mn_status status = open_windows(out, mn_memory_lesson_rows(config, model), err);
    if (status == MN_OK && config->attn) status = open_patterns(out, config->attn, err);
    if (status == MN_OK) status = mn_attn_check(&out->params.attn, &model->config, err);
    if (status != MN_OK) mn_train_batch_close(out);
    return status;
}

void mn_train_batch_close(mn_train_batch *b) {
    for (int i = 0; i < b->n_sequences; i++) mn_sequence_release(&b->sequences[i]);
    free(b->sequences);
    free(b->slices);
    free(b->patterns);
    free(b->tokens);
    free(b->targets);
    free(b->documents);
    free(b->weights);
    free(b->roles);
    free(b->windows);
    free(b->row_tokens);
    free(b->row_labels);
    free(b->row_weights);
    free(b->row_roles);
    *b = (mn_train_batch){0};
}

mn_status mn_train_batch_fill(mn_train_batch *b, const mn_dataset *data, mn_dataset_cursor *cursor, int n,
                              mn_error *err) {
    b->n_windows = MN_MIN(n, b->capacity);
    b->sum_weights = 0;
    b->n_tokens = 0;
    for (int w = 0; w < b->n_windows; w++) {
        MN_TRY(mn_dataset_next(data, cursor, &b->windows[w], err));
        b->n_tokens += b->windows[w].n_tokens;
        for (int64_t i = 0; i < b->windows[w].n_tokens; i++) b->sum_weights += b->windows[w].weights[i];
    }
    return MN_OK;
}

/* A sequence at token 0 for the next document. */
static mn_status next_sequence(mn_train_batch *b, int i, mn_error *err) {
    if (i == b->n_sequences) {
        mn_sequence *grown = reallocarray(b->sequences, (size_t)i + 1, sizeof *grown);
        if (!grown) return no_memory(err);
        b->sequences = grown;
        MN_TRY(mn_sequence_init(&b->sequences[i], &b->model->config, &b->params, err));
        b->n_sequences++;
    }
    mn_sequence *s = &b->sequences[i];
    mn_sequence_resume(s, NULL, 0);
    if (s->state) memset(s->state, 0, s->state_bytes);
    return MN_OK;
}

static mn_status new_slice(mn_train_batch *b, mn_error *err) {
    if (b->n_slices == b->slices_capacity) {
        int capacity = b->slices_capacity ? 2 * b->slices_capacity : 64;
        mn_slice *grown = reallocarray(b->slices, (size_t)capacity, sizeof *grown);
        if (!grown) return no_memory(err);
        b->slices = grown;
        b->slices_capacity = capacity;
    }
    MN_TRY(next_sequence(b, b->n_slices, err));
    b->slices[b->n_slices++] = (mn_slice){NULL, b->n_rows, 0};
    return MN_OK;
}

/* Every slice's, when the list of them has stopped moving. Memory that documents of earlier steps took for their caches
 * and these do not need goes back; the rest is used again. */
static void name_sequences(mn_train_batch *b) {
    for (int i = 0; i < b->n_slices; i++) b->slices[i].sequence = &b->sequences[i];
    for (int i = 0; i < b->n_sequences; i++)
        mn_sequence_drop_after(&b->sequences[i], i < b->n_slices ? b->slices[i].n_rows : 0);
}

/* Rows of windows [first, first + n), padding left out; each document is a slice. */
static mn_status gather_rows(mn_train_batch *b, int first, int n, mn_error *err) {
    b->n_slices = 0;
    b->n_rows = 0;
    for (int w = first; w < first + n; w++) {
        const mn_train_window *x = &b->windows[w];
        for (int64_t i = 0; i < x->n_tokens; i++) {
            if (i == 0 || x->document[i] != x->document[i - 1]) MN_TRY(new_slice(b, err));
            b->slices[b->n_slices - 1].n_rows++;
            b->row_tokens[b->n_rows] = x->tokens[i];
            b->row_labels[b->n_rows] = x->targets[i];
            b->row_roles[b->n_rows] = x->roles[i];
            b->row_weights[b->n_rows++] = x->weights[i];
        }
    }
    name_sequences(b);
    return MN_OK;
}

mn_status mn_train_batch_add_document(mn_train_batch *b, const int32_t *tokens, int64_t n, mn_error *err) {
    MN_TRY(new_slice(b, err));
    b->slices[b->n_slices - 1].n_rows = n;
    for (int64_t i = 0; i < n; i++, b->n_rows++) {
        b->row_tokens[b->n_rows] = b->row_labels[b->n_rows] = tokens[i];
        b->row_roles[b->n_rows] = MN_ROLE_TEXT;
        b->row_weights[b->n_rows] = 0;
    }
    name_sequences(b);
    return MN_OK;
}

static mn_batch batch_of(const mn_train_batch *b) {
    return (mn_batch){.tokens = b->row_tokens,
                      .n_rows = b->n_rows,
                      .slices = b->slices,
                      .n_slices = b->n_slices,
                      .n_wanted = b->n_rows};
}

static void set_target(const mn_train_batch *b, mn_tape *t) {
    t->target.labels = b->row_labels;
    t->target.weights = b->row_weights;
    t->target.scale = (float)(1 / b->sum_weights);
    t->target.teacher = NULL;
    t->target_weights = 0;
    for (int64_t i = 0; i < b->n_rows; i++) t->target_weights += b->row_weights[i];
    mn_tape_clear(t);
}

static void copy_rows(const mn_tape *t, mn_rows to, mn_rows from) {
    if (mn_pool_is_dry(t->compute->pool)) return;
    memcpy(mn_cpu_data(to), mn_cpu_data(from), (size_t)(to.n_rows * to.n_heads * to.n) * sizeof(float));
}

/* A layer whose activations are forgotten: pass->x becomes its output, in the place of its input. */
static mn_status run_layer_over(mn_forward_pass *pass, mn_tape *t, int layer, mn_error *err) {
    size_t used = t->used;
    mn_rows x = pass->x;
    MN_TRY(mn_forward_layer(pass, layer, err));
    copy_rows(t, x, pass->x);
    pass->x = x;
    mn_tape_rewind(t, used);
    return MN_OK;
}

mn_status mn_train_batch_score(mn_train_batch *b, int first, int n, mn_tape *t, mn_error *err) {
    MN_TRY(gather_rows(b, first, n, err));
    mn_memory_lessons_rest(t);
    set_target(b, t);
    t->records = false;
    mn_batch batch = batch_of(b);
    mn_forward_pass pass = mn_forward_pass_of(&t->backend, b->model, &batch);
    MN_TRY(mn_forward_begin(&pass, err));
    for (int layer = 0; layer < b->model->config.n_layers; layer++) MN_TRY(run_layer_over(&pass, t, layer, err));
    return mn_forward_end(&pass, err);
}

mn_status mn_train_batch_visit_keys(mn_train_batch *b, int first, int n, int layer, mn_tape *t, mn_train_key_fn *visit,
                                    void *arg, mn_error *err) {
    mn_rows y, k;
    MN_TRY(gather_rows(b, first, n, err));
    mn_memory_lessons_rest(t);
    mn_tape_clear(t);
    t->records = false;
    mn_batch batch = batch_of(b);
    mn_forward_pass pass = mn_forward_pass_of(&t->backend, b->model, &batch);
    MN_TRY(mn_forward_begin(&pass, err));
    for (int l = 0; l < layer; l++) MN_TRY(run_layer_over(&pass, t, l, err));
    MN_TRY(mn_forward_keys(&pass, layer, &y, &k, err));
    int64_t row = 0;
    for (int w = first; w < first + n; w++)
        for (int64_t i = 0; i < b->windows[w].n_tokens; i++, row++)
            visit(arg, &b->windows[w], i, mn_cpu_row(y, row), mn_cpu_row(k, row));
    return MN_OK;
}

/* All activations kept. */
static mn_status differentiate(const mn_train_batch *b, mn_tape *t, mn_error *err) {
    mn_batch batch = batch_of(b);
    mn_forward_pass pass = mn_forward_pass_of(&t->backend, b->model, &batch);
    t->records = true;
    MN_TRY(mn_forward_begin(&pass, err));
    for (int layer = 0; layer < b->model->config.n_layers; layer++) MN_TRY(mn_forward_layer(&pass, layer, err));
    MN_TRY(mn_forward_end(&pass, err));
    return mn_tape_backward(t, &pass.step, 0, err);
}

/* Recurrent state of a layer as it was before the step: documents begin at token 0. */
static void reset_layer(const mn_train_batch *b, int layer) {
    for (int i = 0; i < b->n_slices; i++) {
        mn_sequence *s = b->slices[i].sequence;
        if (!s->state) continue;
        if (s->history_bytes) memset(s->state + (size_t)layer * s->history_bytes, 0, s->history_bytes);
        if (s->layer_bytes && mn_attn_has_state(&s->attn, &b->model->config, layer))
            memset(mn_sequence_recurrent_state(s, &b->model->config, layer), 0, s->layer_bytes);
        if (b->model->config.layers[layer].has_mixer)
            memset(mn_sequence_mixer_state(s, &b->model->config, layer), 0, s->mixer_bytes);
    }
}

/* The gradient of a layer's output, given to what the layer made of it when it ran again. */
static void hand_down(mn_tape *t, mn_rows to, mn_rows from) {
    mn_tape_claim(t, to);
    if (mn_pool_is_dry(t->compute->pool)) return;
    memcpy(mn_tape_gradient(t, to), mn_tape_gradient(t, from), (size_t)(to.n_rows * to.n_heads * to.n) * sizeof(float));
}

/* One layer again, recorded this time, from its input, and back from the gradient of its output. */
static mn_status differentiate_layer(const mn_train_batch *b, mn_forward_pass *pass, mn_tape *t, int layer,
                                     const mn_rows *borders, mn_error *err) {
    size_t used = t->used;
    int64_t first = t->n_entries;
    reset_layer(b, layer);
    pass->x = borders[layer];
    MN_TRY(mn_forward_layer(pass, layer, err));
    hand_down(t, pass->x, borders[layer + 1]);
    MN_TRY(mn_tape_backward(t, &pass->step, first, err));
    mn_tape_rewind(t, used);
    return MN_OK;
}

/* Activations are kept at the layers' borders alone (Chen et al. 2016, arXiv:1604.06174). */
static mn_status differentiate_again(const mn_train_batch *b, mn_tape *t, mn_error *err) {
    int n_layers = b->model->config.n_layers;
    mn_batch batch = batch_of(b);
    mn_forward_pass pass = mn_forward_pass_of(&t->backend, b->model, &batch);
    mn_rows *borders = mn_arena_alloc(t->compute->scratch, (size_t)n_layers + 1, sizeof *borders);
    if (!borders) return mn_no_scratch(err);
    t->records = true;
    MN_TRY(mn_forward_begin(&pass, err));
    t->records = false;
    borders[0] = pass.x;
    for (int layer = 0; layer < n_layers; layer++) {
        MN_TRY(t->backend.take(&pass.step, b->n_rows, pass.x.n_heads, pass.x.n, &borders[layer + 1], err));
        copy_rows(t, borders[layer + 1], borders[layer]);
        pass.x = borders[layer + 1];
        MN_TRY(run_layer_over(&pass, t, layer, err));
    }
    t->records = true;
    size_t used = t->used;
    int64_t first = t->n_entries;
    MN_TRY(mn_forward_end(&pass, err));
    MN_TRY(mn_tape_backward(t, &pass.step, first, err));
    mn_tape_rewind(t, used);
    for (int layer = n_layers - 1; layer >= 0; layer--) MN_TRY(differentiate_layer(b, &pass, t, layer, borders, err));
    return mn_tape_backward(t, &pass.step, 0, err);
}

static mn_status ask_teacher(const mn_train_batch *b, mn_tape *t, mn_error *err) {
    t->target.teacher = mn_teacher_logits;
    t->target.teacher_arg = b->teacher;
    t->target.temperature = b->temperature;
    t->target.share = b->teacher_share;
    return mn_teacher_read(b->teacher, t->compute, b, err);
}

mn_status mn_train_batch_differentiate(const mn_train_batch *b, mn_tape *t, bool recompute, mn_error *err) {
    if (b->teacher) MN_TRY(ask_teacher(b, t, err));
    return recompute ? differentiate_again(b, t, err) : differentiate(b, t, err);
}

mn_status mn_train_batch_run(mn_train_batch *b, int first, int n, mn_tape *t, bool recompute, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
    MN_TRY(gather_rows(b, first, n, err));
    if (b->lessons) MN_TRY(mn_memory_lessons_give(b->lessons, b, first, n, t, err));
    set_target(b, t);
    mn_status status = mn_train_batch_differentiate(b, t, recompute, err);
    mn_arena_rewind(t->compute->scratch, mark);
    return status;
}
