#include "support/training.h"

#include "support/support.h"

#include "model/gguf_random.h"
#include "train/trainer.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static void set_all(mn_train_config *c, const char *const *settings) {
    mn_error err;
    for (int i = 0; settings && settings[i]; i++) assert_ok(mn_train_config_set(c, settings[i], &err), err);
}

void training_configure(mn_train_config *c, const char *out, const char *const *settings, const char *const *more) {
    char text[800];
    mn_error err;
    training_remove(out);
    mn_train_config_init(c);
    snprintf(text, sizeof text, "train.out=%s", out);
    assert_ok(mn_train_config_set(c, text, &err), err);
    set_all(c, settings);
    set_all(c, more);
}

void training_remove(const char *out) {
    static const char *const names[] = {"config.ini", "start.gguf", "adapters.gguf", "checkpoint.gguf",
                                        "log.jsonl",  "loss.svg",   "card.md"};
    char path[800];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s.run/%s", out, names[i]);
        unlink(path);
    }
    unlink(out);
}

double training_run(const mn_train_config *c, int64_t stop) {
    mn_trainer *t;
    mn_error err;
    mn_run_line line = {.loss = NAN};
    assert_ok(mn_trainer_open(c, &t, &err), err);
    while (!mn_trainer_is_done(t)) {
        assert_ok(mn_trainer_step(t, &line, &err), err);
        if (line.step != stop) continue;
        stop = 0;
        mn_trainer_close(t);
        assert_ok(mn_trainer_open(c, &t, &err), err);
    }
    assert_ok(mn_trainer_finish(t, &err), err);
    mn_trainer_close(t);
    return line.loss;
}

double training_train(const char *name, const char *const *settings, const char *const *more, int64_t stop,
                      char out[600]) {
    mn_train_config c;
    snprintf(out, 600, "%s", temp_path(name));
    training_configure(&c, out, settings, more);
    double loss = training_run(&c, stop);
    mn_train_config_release(&c);
    return loss;
}

void assert_same_tensors(const char *a, const char *b) {
    mn_gguf *x, *y;
    mn_error err;
    assert_ok(mn_gguf_open(a, &x, &err), err);
    assert_ok(mn_gguf_open(b, &y, &err), err);
    assert_int_equal(mn_gguf_n_tensors(x), mn_gguf_n_tensors(y));
    for (int64_t i = 0; i < mn_gguf_n_tensors(x); i++) {
        assert_string_equal(mn_gguf_tensor_at(x, i)->name, mn_gguf_tensor_at(y, i)->name);
        assert_memory_equal(mn_gguf_tensor_at(x, i)->data, mn_gguf_tensor_at(y, i)->data,
                            mn_gguf_tensor_at(x, i)->bytes);
    }
    mn_gguf_close(x);
    mn_gguf_close(y);
}

static const char *write_mnemo(const char *path, int n_heads, int n_kv_heads, bool sinks) {
    mn_gguf *vocab;
    mn_error err;
    mn_random_summary summary;
    mn_random_model m = {.arch = "mnemo",
                         .n_layers = 2,
                         .n_embd = 32,
                         .n_heads = n_heads,
                         .n_kv_heads = n_kv_heads,
                         .head_dim = 16,
                         .n_ff = 48,
                         .n_ctx = 64,
                         .rope_base = 1e4,
                         .sinks = sinks,
                         .seed = 3};
    mn_make_params params = {.type = MN_F32};
    assert_ok(mn_gguf_open(MNEMO_SOURCE_DIR "/models/default.gguf", &vocab, &err), err);
    assert_ok(mn_random_model_write(&m, vocab, path, &params, &summary, &err), err);
    mn_gguf_close(vocab);
    return path;
}

const char *small_mnemo_write_heads(const char *path, int n_heads, int n_kv_heads) {
    return write_mnemo(path, n_heads, n_kv_heads, false);
}

const char *small_mnemo_write_sinks(const char *path) { return write_mnemo(path, 4, 2, true); }

const char *small_mnemo_write(const char *path, int n_kv_heads) { return small_mnemo_write_heads(path, 2, n_kv_heads); }
