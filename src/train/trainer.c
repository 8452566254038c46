#include "train/trainer.h"

#include "base/checked.h"
#include "base/clock.h"
#include "kernels/kernels.h"
#include "mlp/router_backward.h"
#include "model/identity.h"
#include "train/batch.h"
#include "train/lanes.h"
#include "train/lora_merge.h"
#include "train/memory_training.h"
#include "train/model_file.h"
#include "train/optimise.h"
#include "train/plan.h"
#include "train/run_card.h"
#include "train/schedule.h"
#include "train/tape.h"
#include "train/teacher.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4400 };

struct mn_trainer {
    mn_train_config config; /* borrowed texts: the caller's configuration lives longer */
    char folder[PATH_BYTES - 64];
    bool resumes;  /* the folder holds this training, begun earlier */
    char base[40]; /* identity of the model that it began with, in hexadecimal; empty: none, or not known */
    mn_strbuf config_text;
    mn_pool *pool;
    mn_arena scratch, *alone; /* alone: [threads] */
    mn_compute compute;
    mn_parameters parameters, adapters;
    mn_adapter adapter;
    mn_parameter_sets trained; /* the two, as far as they are trained */
    mn_tokenizer *tokenizer;
    mn_chat_template *chat_template;
    mn_dataset data, held_out;
    mn_train_batch batch;
    mn_tape tape;
    mn_lanes lanes;
    mn_memory_training memory;
    mn_teacher teacher;
    mn_train_plan plan;
    mn_train_state state;
    mn_run_log log;
    double begun;      /* clock, less the seconds of earlier runs */
    double peak_flops; /* per second; 0: not known */
};

static const char *path_in(const mn_trainer *t, const char *name, char out[PATH_BYTES]) {
    snprintf(out, PATH_BYTES, "%s/%s", t->folder, name);
    return out;
}

static bool exists(const char *path) {
    struct stat info;
    return !stat(path, &info);
}

static mn_status open_folder(mn_trainer *t, mn_error *err) {
    const mn_train_config *c = &t->config;
    int n = c->run ? snprintf(t->folder, sizeof t->folder, "%s", c->run)
                   : snprintf(t->folder, sizeof t->folder, "%s.run", c->out);
    if (n < 0 || (size_t)n >= sizeof t->folder)
        return mn_fail(err, MN_ERR_LIMIT, "the run's folder has a name of %d bytes; use a shorter one.", n);
    if (mkdir(t->folder, 0777) && errno != EEXIST)
        return mn_fail(err, MN_ERR_IO, "%s: cannot be made: %s.", t->folder, strerror(errno));
    return MN_OK;
}

/* The line of config.ini that says which model lay at model.from: its path does not. */
static const char base_line[] = "# model.from is ";

static void read_base(mn_trainer *t, const char *config_text) {
    const char *line = strstr(config_text, base_line);
    if (line) sscanf(line + sizeof base_line - 1, "%39[0-9a-f]", t->base);
}

/* A folder belongs to a training once all of it has been opened, and its config.ini tells which. Without that, what
 * lies in it may be of another one, and is made again. */
static mn_status check_folder(mn_trainer *t, mn_error *err) {
    enum { MOST = 1 << 24 };
    char path[PATH_BYTES], *text;
    size_t bytes;
    t->resumes = exists(path_in(t, "config.ini", path));
    if (!t->resumes) return MN_OK;
    MN_TRY(mn_file_read(path, MOST, &text, &bytes, err));
    mn_status status = mn_train_config_same(&t->config, text, err);
    read_base(t, text);
    free(text);
    return status == MN_OK ? MN_OK : mn_fail_in(err, status, t->folder);
}

static mn_status keep_config(mn_trainer *t, mn_error *err) {
    char path[PATH_BYTES];
    mn_writer w;
    mn_train_config_write(&t->config, &t->config_text);
    if (t->config_text.failed) return mn_fail(err, MN_ERR_MEMORY, "no memory for the configuration.");
    MN_TRY(mn_writer_open(path_in(t, "config.ini", path), &w, err));
    fputs(t->config_text.data, w.file);
    if (*t->base) fprintf(w.file, "%s%s\n", base_line, t->base);
    return mn_writer_commit(&w, err);
}

static mn_status open_compute(mn_trainer *t, mn_error *err) {
    mn_cpu_level level;
    MN_TRY(mn_cpu_choose(&level, err));
    MN_TRY(mn_pool_create((int)t->config.threads, &t->pool, err));
    int n_threads = mn_pool_threads(t->pool);
    t->alone = calloc((size_t)n_threads, sizeof *t->alone); /* zeros are empty arenas */
    if (!t->alone) return mn_fail(err, MN_ERR_MEMORY, "no memory for the scratch of %d threads.", n_threads);
    t->compute = (mn_compute){mn_kernels_get(level), t->pool, &t->scratch, t->config.exact, NULL};
    return MN_OK;
}

static mn_status open_adapters(mn_trainer *t, mn_error *err) {
    char path[PATH_BYTES];
    path_in(t, "adapters.gguf", path);
    if (!t->resumes || !exists(path)) MN_TRY(mn_start_adapters_write(&t->config, &t->parameters.model, path, err));
    MN_TRY(mn_parameters_open_adapters(path, &t->config, &t->adapters, err));
    t->trained.sets[t->trained.n++] = &t->adapters;
    return mn_adapter_attach(t->adapters.gguf, 1, &t->parameters.model, &t->adapter, err);
}

/* Another model at the path of the one that this training began with is no reason to go on with the old one unseen;
 * that there is none any more is no reason to stop. */
static mn_status check_base(mn_trainer *t, mn_error *err) {
    const char *path = t->config.from;
    mn_gguf *gguf;
    mn_identity found;
    char text[sizeof t->base];
    if (!path || (t->resumes && !exists(path))) return MN_OK;
    MN_TRY(mn_gguf_open(path, &gguf, err));
    mn_status status = mn_identity_of(gguf, t->pool, &found, err);
    mn_gguf_close(gguf);
    MN_TRY(status);
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)found.high, (unsigned long long)found.low);
    if (t->resumes && *t->base && strcmp(t->base, text))
        return mn_fail(
            err, MN_ERR_ARGUMENT,
            "%s: the training in this folder began with another model than %s is now; give another train.out "
            "or train.run, or put that model back.",
            t->folder, path);
    memcpy(t->base, text, sizeof text);
    return MN_OK;
}

static mn_status open_model(mn_trainer *t, mn_error *err) {
    char path[PATH_BYTES];
    MN_TRY(check_base(t, err));
    path_in(t, "start.gguf", path);
    if (!t->resumes || !exists(path)) MN_TRY(mn_start_model_write(&t->config, path, t->pool, err));
    if (mn_trains_model(&t->config))
        MN_TRY(mn_parameters_open(path, &t->config, &t->parameters, err));
    else
        MN_TRY(mn_parameters_open_frozen(path, &t->parameters, err));
    t->trained.sets[t->trained.n++] = &t->parameters;
    if (t->config.lora_rank) MN_TRY(open_adapters(t, err));
    return mn_tokenizer_create(t->parameters.model.gguf, &t->tokenizer, err);
}

static mn_status open_chat_template(mn_trainer *t, mn_error *err) {
    mn_gguf_string text;
    bool found = false;
    MN_TRY(mn_gguf_get_string(t->parameters.model.gguf, "tokenizer.chat_template", &text, &found, err));
    return found ? mn_chat_template_create(text.data, text.bytes, &t->chat_template, err) : MN_OK;
}

/* A checkpoint is taken up; else the training begins, with a note of how. */
static mn_status take_up(mn_trainer *t, mn_error *err) {
    char path[PATH_BYTES];
    t->state = (mn_train_state){.cursor.source = -1};
    path_in(t, "checkpoint.gguf", path);
    mn_memory_pool *pool = &t->memory.lessons.pool;
    t->state.pool = pool->tokens;
    t->state.pool_capacity = pool->size * pool->context;
    if (exists(path)) MN_TRY(mn_checkpoint_load(path, t->trained.sets, t->trained.n, &t->state, err));
    if (pool->tokens) pool->n = t->state.n_pool / pool->context;
    t->begun = mn_clock_seconds() - t->state.seconds;
    MN_TRY(mn_run_log_open(t->folder, t->state.step, &t->log, err));
    t->log.title = t->config.name ? t->config.name : "Training";
    return MN_OK;
}

static mn_status open_data(mn_trainer *t, mn_error *err) {
    MN_TRY(mn_dataset_configure(&t->config, t->tokenizer, t->chat_template, &t->data, err));
    t->held_out = t->data; /* the same corpora, the other side of the split; closed with t->data */
    t->held_out.validation = true;
    MN_TRY(mn_dataset_check(&t->data, err));
    return t->config.validation_windows ? mn_dataset_check(&t->held_out, err) : MN_OK;
}

static int64_t n_visits(const mn_trainer *t) {
    const mn_config *c = &t->parameters.model.config;
    return (int64_t)c->n_layers * c->moe.router.n_experts;
}

/* DeepSeek-V3's rule needs biases to move; without any it would switch the balance loss off and do nothing. */
static mn_status check_biases(const mn_trainer *t, mn_error *err) {
    const mn_model *m = &t->parameters.model;
    bool found = false;
    for (int layer = 0; layer < m->config.n_layers; layer++) found |= m->weights.layers[layer].router_bias != NULL;
    if (!found || t->config.lora_rank)
        return mn_fail(
            err, MN_ERR_ARGUMENT,
            "loss.balance-bias moves the biases of a choice of experts (exp_probs_b), and %s; loss.balance is "
            "for the others.",
            found ? "adapters leave them alone" : "this model has none");
    return MN_OK;
}

static mn_status open_visits(mn_trainer *t, mn_error *err) {
    if (n_visits(t) == 0) return MN_OK;
    t->tape.visits = calloc((size_t)n_visits(t), sizeof *t->tape.visits);
    return t->tape.visits ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for the visits of experts.");
}

static mn_status open_teacher(mn_trainer *t, mn_error *err) {
    const mn_train_config *c = &t->config;
    if (!c->teacher) return MN_OK;
    MN_TRY(mn_teacher_open(c->teacher, &t->parameters.model, c->window, &t->teacher, err));
    t->batch.teacher = &t->teacher;
    t->batch.teacher_share = (float)c->teacher_share;
    t->batch.temperature = (float)c->temperature;
    return MN_OK;
}

/* How small MLPs learn. */
static mn_easy_mixing easy_of(const mn_train_config *c) {
    return (mn_easy_mixing){
        .soft = c->router.gate == MN_ROUTER_SOFT, .coefficient = c->router.budget, .share = c->router.share};
}

/* In one piece: an arena that grows as it is asked holds more than the plan counts. */
static mn_status reserve_scratch(mn_trainer *t, mn_error *err) {
    for (int i = 0; i < t->plan.n_tapes; i++)
        if (!mn_arena_renew(t->plan.n_lanes > 1 ? &t->alone[i] : &t->scratch, t->plan.scratch_bytes))
            return mn_fail(err, MN_ERR_MEMORY, "no memory for the %zu bytes of a step's scratch.",
                           t->plan.scratch_bytes);
    return MN_OK;
}

static mn_status open_all(mn_trainer *t, mn_error *err) {
    MN_TRY(mn_train_config_check(&t->config, err));
    MN_TRY(open_folder(t, err));
    MN_TRY(check_folder(t, err));
    MN_TRY(open_compute(t, err));
    MN_TRY(open_model(t, err));
    MN_TRY(open_chat_template(t, err));
    MN_TRY(open_data(t, err));
    MN_TRY(mn_train_batch_open(&t->config, &t->parameters.model, &t->batch, err));
    MN_TRY(mn_train_plan_make(&t->config, &t->parameters, &t->adapters, &t->compute, &t->plan, err));
    MN_TRY(reserve_scratch(t, err));
    /* Beside lanes the tape only reads: what it does not use takes no memory. */
    size_t bytes = t->plan.activation_bytes * (size_t)(t->plan.n_lanes > 1 ? t->config.batch : 1);
    mn_parameters *adapters = t->config.lora_rank ? &t->adapters : NULL;
    MN_TRY(mn_tape_open(&t->compute, &t->parameters, bytes, &t->tape, err));
    t->tape.adapters = adapters;
    MN_TRY(mn_lanes_open(&t->config, t->plan.n_lanes, &t->parameters, adapters, &t->compute, t->alone,
                         t->plan.activation_bytes, &t->lanes, err));
    t->tape.easy = easy_of(&t->config);
    if (t->config.router.only && !mn_config_has_easy(&t->parameters.model.config))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "router.only trains small MLPs for easy tokens and their routers, and this model has none.");
    if (t->config.balance_bias) MN_TRY(check_biases(t, err));
    MN_TRY(open_visits(t, err));
    MN_TRY(open_teacher(t, err));
    t->tape.memory.detach_segments = t->plan.detach_segments;
    MN_TRY(mn_memory_training_open(&t->config, &t->data, t->tokenizer, t->chat_template, &t->batch, &t->tape,
                                   &t->memory, err));
    MN_TRY(take_up(t, err));
    return keep_config(t, err);
}

mn_status mn_trainer_open(const mn_train_config *config, mn_trainer **out, mn_error *err) {
    mn_trainer *t = calloc(1, sizeof *t);
    if (!t) return mn_fail(err, MN_ERR_MEMORY, "no memory for a trainer.");
    t->config = *config;
    t->config_text = (mn_strbuf)MN_STRBUF_INIT;
    mn_status status = open_all(t, err);
    if (status == MN_OK)
        *out = t;
    else
        mn_trainer_close(t);
    return status;
}

void mn_trainer_close(mn_trainer *t) {
    if (!t) return;
    mn_run_log_close(&t->log);
    free(t->tape.visits);
    mn_memory_training_close(&t->memory);
    mn_lanes_close(&t->lanes);
    mn_teacher_close(&t->teacher);
    mn_tape_close(&t->tape);
    mn_train_batch_close(&t->batch);
    mn_dataset_close(&t->data);
    mn_chat_template_destroy(t->chat_template);
    mn_tokenizer_destroy(t->tokenizer);
    if (t->adapter.gguf) mn_arena_release(&t->adapter.arena); /* its file is the adapters' */
    mn_parameters_close(&t->adapters);
    mn_parameters_close(&t->parameters);
    for (int i = 0; t->alone && i < mn_pool_threads(t->pool); i++) mn_arena_release(&t->alone[i]);
    free(t->alone);
    mn_pool_destroy(t->pool);
    mn_arena_release(&t->scratch);
    mn_strbuf_release(&t->config_text);
    free(t);
}

static mn_status plan_only(mn_trainer *t, mn_error *err) {
    MN_TRY(mn_train_config_check(&t->config, err));
    MN_TRY(open_folder(t, err));
    MN_TRY(open_compute(t, err));
    MN_TRY(open_model(t, err));
    return mn_train_plan_make(&t->config, &t->parameters, &t->adapters, &t->compute, &t->plan, err);
}

mn_status mn_trainer_plan_only(const mn_train_config *config, mn_train_plan *out, mn_error *err) {
    static const char *const files[] = {"start.gguf", "start.gguf.vocab", "adapters.gguf"};
    char folder[PATH_BYTES - 64], path[PATH_BYTES];
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.4000s/mnemo-plan-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) return mn_fail(err, MN_ERR_IO, "%s: cannot be made: %s.", folder, strerror(errno));
    mn_trainer *t = calloc(1, sizeof *t);
    if (!t) return mn_fail(err, MN_ERR_MEMORY, "no memory for a trainer.");
    t->config = *config;
    t->config.run = folder;
    t->config_text = (mn_strbuf)MN_STRBUF_INIT;
    mn_status status = plan_only(t, err);
    *out = t->plan;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(path_in(t, files[i], path));
    rmdir(folder);
    mn_trainer_close(t);
    return status;
}

const mn_train_plan *mn_trainer_plan(const mn_trainer *t) { return &t->plan; }
const mn_train_state *mn_trainer_state(const mn_trainer *t) { return &t->state; }
const mn_run_log *mn_trainer_log(const mn_trainer *t) { return &t->log; }
const mn_gate_fit_report *mn_trainer_gate_fits(const mn_trainer *t, int *n) {
    *n = t->memory.n_reports;
    return t->memory.reports;
}
const char *mn_trainer_folder(const mn_trainer *t) { return t->folder; }
bool mn_trainer_is_done(const mn_trainer *t) { return t->state.step >= t->config.steps; }
void mn_trainer_set_peak(mn_trainer *t, double flops_per_s) { t->peak_flops = flops_per_s; }

/* DeepSeek-V3's rule: after a step, biases of the choice move towards even use; factor: of the schedule. A step of the
 * same size to the end would throw the tokens to and fro between experts whose scores are closer than that. */
static void balance_experts(mn_trainer *t, double factor) {
    const mn_config *c = &t->parameters.model.config;
    for (int layer = 0; t->config.balance_bias && layer < c->n_layers; layer++) {
        float *bias = (float *)(uintptr_t)t->parameters.model.weights.layers[layer].router_bias;
        if (bias) /* a weight of the private mapping, which the optimiser leaves alone */
            mn_balance_bias(bias, t->tape.visits + layer * c->moe.router.n_experts, c->moe.router.n_experts,
                            (float)(t->config.balance_bias_rate * factor));
    }
}

/* All threads at each operation. */
static mn_status differentiate_together(mn_trainer *t, mn_error *err) {
    int n = (int)t->config.batch;
    for (int i = 0; i < t->trained.n; i++) mn_parameters_clear_gradients(t->trained.sets[i]);
    for (int i = 0; i < (int)t->config.accumulate; i++)
        MN_TRY(mn_train_batch_run(&t->batch, i * n, n, &t->tape, t->plan.recomputes, err));
    return MN_OK;
}

/* Forward and backward of all batches of a step; gradients are those of the mean loss over all their weights. */
static mn_status differentiate(mn_trainer *t, double *loss, mn_error *err) {
    mn_train_batch *b = &t->batch;
    MN_TRY(mn_train_batch_fill(b, &t->data, &t->state.cursor, (int)(t->config.batch * t->config.accumulate), err));
    if (!(b->sum_weights > 0))
        return mn_fail(err, MN_ERR_ARGUMENT, "step %lld holds no token that counts: all weights of its loss are 0.",
                       (long long)t->state.step + 1);
    t->tape.loss = (mn_loss){0};
    t->tape.memory.loss = 0;
    t->tape.balance = t->config.balance_bias ? 0 : t->config.balance;
    t->tape.easy = easy_of(&t->config);
    if (t->tape.visits) memset(t->tape.visits, 0, (size_t)n_visits(t) * sizeof *t->tape.visits);
    if (t->lanes.n > 1)
        MN_TRY(mn_lanes_run(&t->lanes, b, &t->tape, t->plan.recomputes, err));
    else
        MN_TRY(differentiate_together(t, err));
    *loss = t->tape.loss.loss / b->sum_weights;
    return MN_OK;
}

static bool all_finite(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* Names what went wrong first. */
static mn_status refuse_nan(const mn_trainer *t, double loss, mn_error *err) {
    for (int set = 0; set < t->trained.n; set++)
        for (int64_t i = 0; i < t->trained.sets[set]->n_items; i++) {
            const mn_parameter *p = &t->trained.sets[set]->items[i];
            bool weights = all_finite(p->weights, p->n_in * p->n_out);
            if (weights && all_finite(p->gradients, p->n_in * p->n_out)) continue;
            return mn_fail(
                err, MN_ERR_FORMAT,
                "step %lld: the loss is %g, and tensor %s has a %s that is no number; use a lower rate, or go back to "
                "the last checkpoint.",
                (long long)t->state.step + 1, loss, p->name, weights ? "gradient" : "weight");
        }
    return mn_fail(err, MN_ERR_FORMAT, "step %lld: the loss is %g; use a lower rate.", (long long)t->state.step + 1,
                   loss);
}

mn_status mn_trainer_validate(mn_trainer *t, double *loss, mn_error *err) {
    mn_dataset_cursor cursor = {.source = -1};
    double sum = 0, weights = 0;
    *loss = NAN;
    for (int64_t done = 0; done < t->config.validation_windows; done += t->config.batch) {
        int n = (int)MN_MIN(t->config.batch, t->config.validation_windows - done);
        MN_TRY(mn_train_batch_fill(&t->batch, &t->held_out, &cursor, n, err));
        t->tape.loss = (mn_loss){0};
        MN_TRY(t->lanes.n > 1 ? mn_lanes_score(&t->lanes, &t->batch, &t->tape, err)
                              : mn_train_batch_score(&t->batch, 0, n, &t->tape, err));
        sum += t->tape.loss.loss;
        weights += t->batch.sum_weights;
    }
    if (weights > 0) *loss = sum / weights;
    return MN_OK;
}

/* Validation, log and checkpoint, where they are due. */
static mn_status finish_step(mn_trainer *t, mn_run_line *line, mn_error *err) {
    const mn_train_config *c = &t->config;
    bool last = mn_trainer_is_done(t);
    if (c->validation_windows && (t->state.step % c->validate_steps == 0 || last)) {
        MN_TRY(mn_trainer_validate(t, &line->validation, err));
        if (t->state.best_validation == 0 || line->validation < t->state.best_validation)
            t->state.best_validation = line->validation;
    }
    line->seconds = t->state.seconds = mn_clock_seconds() - t->begun;
    MN_TRY(mn_run_log_add(&t->log, line, err));
    return t->state.step % c->checkpoint_steps == 0 || last ? mn_trainer_save(t, err) : MN_OK;
}

/* Of the last step's visits of a layer's experts. */
typedef struct load {
    int64_t least, most, sum;
} load;

static load load_of(const mn_trainer *t, int layer) {
    int n = t->parameters.model.config.moe.router.n_experts;
    const int64_t *visits = t->tape.visits + (int64_t)layer * n;
    load l = {.least = INT64_MAX};
    for (int e = 0; e < n; e++) {
        l.least = MN_MIN(l.least, visits[e]);
        l.most = MN_MAX(l.most, visits[e]);
        l.sum += visits[e];
    }
    return l;
}

/* 1 when all experts are used alike: 1 + MaxVio of Wang et al. (arXiv:2408.15664, eq. 4), the mean of the layers. */
static double busiest_expert(const mn_trainer *t) {
    const mn_config *c = &t->parameters.model.config;
    double sum = 0;
    int n = 0;
    for (int layer = 0; layer < c->n_layers; layer++) {
        load l = load_of(t, layer);
        if (l.sum == 0) continue;
        sum += (double)l.most * c->moe.router.n_experts / (double)l.sum;
        n++;
    }
    return n ? sum / n : NAN;
}

mn_status mn_trainer_step(mn_trainer *t, mn_run_line *line, mn_error *err) {
    const mn_train_config *c = &t->config;
    mn_schedule schedule = {(mn_decay_kind)c->schedule, c->steps, c->warmup, c->decay_share, c->min_rate};
    double started = mn_clock_seconds(), factor = mn_schedule_factor(&schedule, t->state.step);
    *line = (mn_run_line){.loss = NAN,
                          .gates = NAN,
                          .easy = NAN,
                          .busiest = NAN,
                          .validation = NAN,
                          .rate = factor,
                          .norm = NAN,
                          .peak_share = NAN};
    mn_dataset_cursor before = t->state.cursor;
    MN_TRY(mn_memory_training_before(&t->memory, t->state.step, err));
    mn_status status = differentiate(t, &line->loss, err);
    if (status == MN_OK) status = mn_gradient_norm(&t->compute, t->alone, &t->trained, &line->norm, err);
    if (status == MN_OK && !(isfinite(line->loss) && isfinite(line->norm))) status = refuse_nan(t, line->loss, err);
    if (status != MN_OK) {
        t->state.cursor = before;
        return status;
    }
    MN_TRY(mn_optimise(&t->compute, t->alone, c, &t->trained, factor, line->norm, t->state.step + 1, err));
    balance_experts(t, factor);
    double seconds = mn_clock_seconds() - started;
    t->state.step++;
    t->state.n_tokens += t->batch.n_tokens;
    line->step = t->state.step;
    if (t->memory.teaches) line->gates = t->tape.memory.loss;
    if (t->tape.easy.n_rows > 0) line->easy = t->tape.easy.n_easy / t->tape.easy.n_rows;
    if (t->tape.visits) line->busiest = busiest_expert(t);
    line->n_tokens = t->state.n_tokens;
    line->tokens_per_s = (double)t->batch.n_tokens / seconds;
    if (t->peak_flops > 0) line->peak_share = line->tokens_per_s * t->plan.flops_per_token / t->peak_flops;
    return finish_step(t, line, err);
}

mn_status mn_trainer_save(mn_trainer *t, mn_error *err) {
    char path[PATH_BYTES];
    t->state.seconds = mn_clock_seconds() - t->begun;
    t->state.n_pool = t->memory.lessons.pool.n * t->memory.lessons.pool.context;
    MN_TRY(mn_checkpoint_save(path_in(t, "checkpoint.gguf", path), t->trained.sets, t->trained.n, &t->state,
                              t->config_text.data, err));
    return mn_run_log_draw(&t->log, err);
}

/* MN_DTYPE_COUNT: tensors keep the types that the model has. */
static mn_status type_of_output(const mn_train_config *c, mn_dtype *out, mn_error *err) {
    bool kept = !c->type && c->lora_rank && !mn_trains_model(c);
    *out = MN_DTYPE_COUNT;
    return kept ? MN_OK : mn_precision_find(c->type ? c->type : "f16", out, err);
}

/* How evenly experts were used in the last step: "9-17 11-14" are the percent of a layer's visits that the least and
 * the most used of them got. Layers that do not fit a key's text are left out. */
static void put_expert_load(const mn_trainer *t, mn_key_changes *changes) {
    mn_strbuf text = MN_STRBUF_INIT;
    text.max_bytes = MN_KEY_TEXT_BYTES - 1;
    for (int layer = 0; t->tape.visits && layer < t->parameters.model.config.n_layers && !text.failed; layer++) {
        load l = load_of(t, layer);
        if (l.sum)
            mn_strbuf_printf(&text, "%s%.0f-%.0f", text.bytes ? " " : "", 100 * (double)l.least / (double)l.sum,
                             100 * (double)l.most / (double)l.sum);
    }
    if (text.bytes) mn_change_string(changes, "training.expert_load", text.data);
    mn_strbuf_release(&text);
}

mn_status mn_trainer_finish(mn_trainer *t, mn_error *err) {
    mn_key_changes changes = {0};
    mn_dtype type;
    char path[PATH_BYTES];
    MN_TRY(mn_memory_training_finish(&t->memory, err));
    MN_TRY(type_of_output(&t->config, &type, err));
    mn_run_card_keys(&t->config, &t->parameters.model, &t->state, &changes);
    put_expert_load(t, &changes);
    if (!t->config.lora_rank)
        MN_TRY(mn_model_file_write(t->parameters.model.gguf, t->config.out, &changes, MN_TYPES_PICKED, type, t->pool,
                                   err));
    else if (!mn_trains_model(&t->config) && !t->config.lora_merge) /* for the model that stands as start.gguf */
        MN_TRY(mn_model_file_write(t->adapters.gguf, t->config.out, &changes, MN_TYPES_KEPT, type, t->pool, err));
    else /* norms and embeddings have no place in an adapter's file: one model of all */
        MN_TRY(mn_lora_merge(&t->parameters.model, t->config.out, &changes, type, t->pool, err));
    return mn_run_card_write(path_in(t, "card.md", path), &t->config, &t->plan, &t->state, &t->log, t->config_text.data,
                             err);
}
