#include "cli/model_change.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "cli/train_run.h"
#include "convert/heads.h"
#include "eval/perplexity.h"
#include "model/gguf_convert.h"
#include "train/finetune.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Tokens of the calibration text that perplexity is measured on, and of a window of it. */
enum { MEASURED_TOKENS = 1 << 15, MEASURED_WINDOW = 512 };
#define TEACHER_SHARE "0.9"

typedef struct conversion {
    const mn_change *change;
    const mn_change_order *order;
    mn_strbuf converted, healed; /* files on the way */
    mn_change_text text;
    size_t kv_before, kv_after;
    double nats_before, nats_converted;
    bool is_converted; /* the first of the files may be there */
} conversion;

/* ---- calibration text ---- */

static mn_status read_text(conversion *c, const mn_engine *engine, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    size_t n = 0;
    c->text.window = MN_MIN(engine->model.config.n_ctx_train, MEASURED_WINDOW);
    if (!c->order->calibrate) return MN_OK;
    mn_status status = mn_text_read(c->order->calibrate, false, &text, err);
    if (status == MN_OK)
        status =
            mn_tokenize(mn_engine_tokenizer(engine), text.data, text.bytes, false, false, &c->text.tokens, &n, err);
    mn_strbuf_release(&text);
    c->text.n_tokens = (int64_t)n;
    c->text.n_measured = MN_MIN(c->text.n_tokens, MEASURED_TOKENS);
    if (status == MN_OK && n < 2)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "%s: is %zu token%s long, and a calibration text of less than 2 has nothing to predict; give a "
                       "longer one.",
                       c->order->calibrate, n, n == 1 ? "" : "s");
    return status;
}

static bool show(void *arg, int64_t done, int64_t total) {
    (void)total;
    mn_progress_at(arg, done);
    return true;
}

/* Mean loss of the calibration text in a model, nats a token. */
static mn_status measure(conversion *c, const char *path, double *nats, mn_error *err) {
    mn_engine *engine = NULL;
    mn_session *session = NULL;
    mn_progress progress;
    mn_text_loss loss = {0};
    *nats = NAN;
    if (!c->text.tokens) return MN_OK;
    MN_TRY(mn_engine_open(path, &(mn_engine_params){.n_threads = c->order->n_threads, .exact = true}, &engine, err));
    mn_session_params params = {.n_ctx = c->text.window};
    mn_text_loss_params p = {
        .window = c->text.window, .stride = c->text.window, .n_vocab = mn_engine_info(engine).n_vocab, .n_buckets = 1};
    mn_status status = mn_session_open(engine, &params, &session, err);
    if (status == MN_OK) {
        mn_progress_begin(&progress, "scoring", "tokens", c->text.n_measured);
        status = mn_text_loss_add(session, &p, c->text.tokens, c->text.n_measured, show, &progress, &loss, err);
        mn_progress_end(&progress);
    }
    mn_session_close(session);
    mn_engine_close(engine);
    *nats = mn_text_loss_mean(&loss);
    return status;
}

/* ---- changing ---- */

static mn_status write_converted(conversion *c, mn_error *err) {
    mn_engine *engine;
    MN_TRY(mn_engine_open(c->order->in, &(mn_engine_params){.n_threads = c->order->n_threads, .exact = true}, &engine,
                          err));
    c->kv_before = mn_heads_kv_bytes(&engine->model.config);
    mn_status status = mn_gguf_refuse_same_file(engine->model.gguf, c->order->out, err);
    if (status == MN_OK) status = read_text(c, engine, err);
    if (status == MN_OK) status = c->change->write(c->change->arg, engine, &c->text, c->converted.data, err);
    c->is_converted = status == MN_OK;
    mn_engine_close(engine);
    return status;
}

static mn_status read_kv_bytes(const char *path, size_t *out, mn_error *err) {
    mn_gguf *gguf;
    mn_config *config = malloc(sizeof *config);
    if (!config) return mn_fail(err, MN_ERR_MEMORY, "no memory for a model's configuration.");
    mn_status status = mn_gguf_open(path, &gguf, err);
    if (status == MN_OK) {
        status = mn_config_read(gguf, config, err);
        if (status == MN_OK) *out = mn_heads_kv_bytes(config);
        mn_gguf_close(gguf);
    }
    free(config);
    return status;
}

static mn_status say_costs(conversion *c, mn_error *err) {
    MN_TRY(read_kv_bytes(c->converted.data, &c->kv_after, err));
    mn_say("KV cache: %zu bytes a token before, %zu after (%.1f %%), in f16", c->kv_before, c->kv_after,
           100 * (double)c->kv_after / (double)c->kv_before);
    if (!c->text.tokens) {
        mn_say("perplexity: not measured; --calibrate TEXT names what to measure it on");
        return MN_OK;
    }
    MN_TRY(measure(c, c->order->in, &c->nats_before, err));
    MN_TRY(measure(c, c->converted.data, &c->nats_converted, err));
    mn_say("perplexity on %s (%lld tokens): %.4f before, %.4f after", c->order->calibrate,
           (long long)c->text.n_measured, exp(c->nats_before), exp(c->nats_converted));
    return MN_OK;
}

/* ---- healing ---- */

static mn_status set_whole(mn_train_config *t, const char *key, int64_t value, mn_error *err) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return mn_train_config_set_key(t, key, text, err);
}

/* In which type most of the matrices of the healed model are written. */
static const char *healed_type(const conversion *c, const mn_model *before) {
    mn_dtype type = c->order->type == MN_DTYPE_COUNT ? before->weights.layers[0].o.w.type : c->order->type;
    return mn_dtype_get(mn_dtype_get(type)->from_f32 ? type : MN_F16)->name;
}

/* As mnemo finetune sets a training, in the window that the model has, with the model before as its teacher. */
static mn_status configure(const conversion *c, const mn_model *before, mn_train_config *t, mn_error *err) {
    const mn_change_order *o = c->order;
    mn_strbuf data = MN_STRBUF_INIT, run = MN_STRBUF_INIT;
    mn_strbuf_printf(&data, "\"%s\"", o->heal);
    mn_strbuf_printf(&run, "%s.run", o->out);
    mn_status status =
        data.failed || run.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the names of the training.") : MN_OK;
    if (status == MN_OK) status = mn_train_config_set_key(t, "model.from", c->converted.data, err);
    if (status == MN_OK) status = mn_train_config_set_key(t, "train.out", c->healed.data, err);
    if (status == MN_OK) status = mn_train_config_set_key(t, "train.run", run.data, err);
    if (status == MN_OK) status = mn_train_config_set_key(t, "train.type", healed_type(c, before), err);
    if (status == MN_OK) status = set_whole(t, "train.window", before->config.n_ctx_train, err);
    if (status == MN_OK) status = set_whole(t, "train.steps", o->n_steps, err);
    if (status == MN_OK) status = mn_finetune_defaults(&before->config, MN_FINETUNE_ALL, t, err);
    if (status == MN_OK) status = set_whole(t, "train.threads", o->n_threads, err);
    if (status == MN_OK) status = mn_train_config_set_key(t, "loss.teacher", o->in, err);
    if (status == MN_OK) status = mn_train_config_set_key(t, "loss.teacher-share", TEACHER_SHARE, err);
    if (status == MN_OK && c->change->set) status = c->change->set(c->change->arg, t, err);
    if (status == MN_OK) status = mn_finetune_sources(data.data, o->needles, t, err);
    for (int i = 0; i < o->n_settings && status == MN_OK; i++) status = mn_train_config_set(t, o->settings[i], err);
    mn_strbuf_release(&data);
    mn_strbuf_release(&run);
    return status;
}

static mn_status train(conversion *c, mn_error *err) {
    mn_model before;
    mn_train_config config;
    MN_TRY(mn_model_open(c->order->in, &before, err));
    mn_train_config_init(&config);
    mn_status status = configure(c, &before, &config, err);
    if (status == MN_OK) status = mn_train_run(&config, err);
    mn_train_config_release(&config);
    mn_model_close(&before);
    return status;
}

static mn_status heal(conversion *c, mn_error *err) {
    double nats;
    MN_TRY(train(c, err));
    MN_TRY(measure(c, c->healed.data, &nats, err));
    if (c->text.tokens)
        mn_say("perplexity on %s: %.4f before, %.4f after, %.4f healed by %lld steps", c->order->calibrate,
               exp(c->nats_before), exp(c->nats_converted), exp(nats), (long long)c->order->n_steps);
    return MN_OK;
}

/* ---- the whole ---- */

static mn_status finish(const conversion *c, mn_error *err) {
    const char *from = c->order->heal ? c->healed.data : c->converted.data;
    if (c->change->finish) return c->change->finish(c->change->arg, from, c->order->out, err);
    if (rename(from, c->order->out) == 0) return MN_OK;
    return mn_fail(err, MN_ERR_IO, "%s: cannot be written here: %s.", c->order->out, strerror(errno));
}

static mn_status run(conversion *c, mn_error *err) {
    mn_strbuf_printf(&c->converted, "%s.%s.gguf", c->order->out, c->change->name);
    mn_strbuf_printf(&c->healed, "%s.healed", c->order->out);
    if (c->converted.failed || c->healed.failed) return mn_fail(err, MN_ERR_MEMORY, "no memory for names of files.");
    MN_TRY(write_converted(c, err));
    MN_TRY(say_costs(c, err));
    if (c->order->heal) MN_TRY(heal(c, err));
    MN_TRY(finish(c, err));
    mn_say("%s: written", c->order->out);
    return MN_OK;
}

mn_status mn_change_run(const mn_change *change, const mn_change_order *order, mn_error *err) {
    conversion c = {.change = change, .order = order, .converted = MN_STRBUF_INIT, .healed = MN_STRBUF_INIT};
    mn_status status = run(&c, err);
    if (c.is_converted) unlink(c.converted.data);
    if (c.is_converted) unlink(c.healed.data);
    mn_strbuf_release(&c.converted);
    mn_strbuf_release(&c.healed);
    free(c.text.tokens);
    return status;
}
