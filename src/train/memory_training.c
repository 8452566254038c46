#include "train/memory_training.h"

#include "base/checked.h"
#include "recurrent/infini_backward.h"

#include <stdlib.h>

/* The most that one layer's backward takes with the gradient cut after so many segments. */
static size_t backward_bytes(const mn_train_config *c, const mn_model *m, int64_t segments) {
    mn_attn_spec attn = mn_attn_of_model(&m->config);
    size_t most = 0;
    for (int layer = 0; layer < m->config.n_layers; layer++) {
        mn_infini shape = mn_attn_infini_shape(&attn, &m->config, layer);
        most = MN_MAX(most, mn_infini_backward_bytes(&shape, c->window + c->memory.prefix_max, segments));
    }
    return most;
}

int64_t mn_memory_detach(const mn_train_config *c, const mn_model *m, size_t limit_bytes) {
    int64_t segment = m->config.infini.segment;
    if (segment == 0 || c->memory.detach > 0) return segment ? c->memory.detach : 0;
    if (backward_bytes(c, m, 0) <= limit_bytes) return 0;
    int64_t n = c->window / segment;
    while (n > 1 && backward_bytes(c, m, n) > limit_bytes) n /= 2;
    return MN_MAX(n, 1);
}

static mn_status check_fit(const mn_model *m, mn_error *err) {
    if (m->config.infini.segment && m->config.infini.rule == MN_INFINI_DELTA_EXACT) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "gate-fit.when asks for a fit of write gates, and the model has none; memory.segment gives it a "
                   "memory.");
}

static mn_status open_all(mn_memory_training *t, const mn_tokenizer *tokenizer, const mn_chat_template *chat_template,
                          mn_error *err) {
    const mn_model *m = t->batch->model;
    const mn_config *c = &m->config;
    if (t->fits) MN_TRY(check_fit(m, err));
    if (!t->fits && !t->teaches) return MN_OK;
    MN_TRY(mn_dataset_configure_prose(t->config, tokenizer, chat_template, &t->prose, err));
    t->reports = calloc(2 * (size_t)c->n_layers * (size_t)c->n_kv_heads, sizeof *t->reports);
    if (!t->reports) return mn_fail(err, MN_ERR_MEMORY, "no memory for what fits come to.");
    if (!t->teaches) return MN_OK;
    t->tape->memory.hard = t->config->memory.hard;
    return mn_memory_lessons_open(t->config, m, &t->lessons, err);
}

mn_status mn_memory_training_open(const mn_train_config *config, const mn_dataset *data, const mn_tokenizer *tokenizer,
                                  const mn_chat_template *chat_template, mn_train_batch *batch, mn_tape *tape,
                                  mn_memory_training *out, mn_error *err) {
    *out = (mn_memory_training){.config = config,
                                .data = data,
                                .batch = batch,
                                .tape = tape,
                                .teaches = mn_memory_takes_lessons(config, batch->model),
                                .fits = config->gate_fit.when != MN_GATE_FIT_NEVER};
    mn_status status = open_all(out, tokenizer, chat_template, err);
    if (status != MN_OK) mn_memory_training_close(out);
    return status;
}

void mn_memory_training_close(mn_memory_training *t) {
    if (t->batch) t->batch->lessons = NULL;
    mn_dataset_close(&t->prose);
    mn_memory_lessons_close(&t->lessons);
    free(t->reports);
    *t = (mn_memory_training){0};
}

/* A gate that goes on to learn is not sharpened: errors would come out many times as large, and clipping would leave
 * little of all other gradients. */
static mn_status fit(mn_memory_training *t, bool sharpens, mn_error *err) {
    int n = 0;
    mn_gate_fit_config config = t->config->gate_fit;
    if (!sharpens) config.sharpen = 1;
    mn_status status = mn_gate_fit(&config, t->data, &t->prose, t->batch, (int)t->config->batch, t->tape,
                                   t->reports + t->n_reports, &n, err);
    t->n_reports += n;
    return status;
}

mn_status mn_memory_training_before(mn_memory_training *t, int64_t step, mn_error *err) {
    bool at_start = t->config->gate_fit.when == MN_GATE_FIT_START || t->config->gate_fit.when == MN_GATE_FIT_BOTH;
    if (t->fits && at_start && step == 0 && t->n_reports == 0) MN_TRY(fit(t, false, err));
    if (!t->teaches) return MN_OK;
    t->batch->lessons = &t->lessons;
    t->lessons.step = step;
    if (t->config->memory.pool_windows == 0) return MN_OK;
    if (step % t->config->memory.mine_steps != 0 && t->lessons.pool.n > 0) return MN_OK;
    return mn_memory_mine(&t->lessons, &t->prose, t->batch, (int)t->config->batch, t->tape, err);
}

mn_status mn_memory_training_finish(mn_memory_training *t, mn_error *err) {
    bool at_end = t->config->gate_fit.when == MN_GATE_FIT_END || t->config->gate_fit.when == MN_GATE_FIT_BOTH;
    return t->fits && (at_end || t->config->steps == 0) ? fit(t, true, err) : MN_OK;
}
