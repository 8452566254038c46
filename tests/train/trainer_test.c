#include "support/support.h"

#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A model of 64 wide layers, a novel and some needles; steps enough to see a difference. */
static void configure(mn_train_config *c, const char *out, const char *const *more) {
    static char path[700];
    mn_error err;
    const char *const usual[] = {"model.arch=llama",
                                 "model.layers=2",
                                 "model.embd=64",
                                 "model.heads=2",
                                 "model.ff=96",
                                 "train.window=64",
                                 "train.batch=4",
                                 "train.steps=12",
                                 "train.warmup=3",
                                 "train.validate-steps=6",
                                 "train.validation-windows=4",
                                 "train.checkpoint-steps=5",
                                 "train.validation-share=0.1",
                                 "source.keys.needles=key-value",
                                 "source.keys.max-keys=2",
                                 NULL};
    const char *paths = "=" MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt";
    mn_train_config_init(c);
    for (int i = 0; usual[i]; i++) assert_ok(mn_train_config_set(c, usual[i], &err), err);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "source.%s.paths%s", i ? "keys" : "novel", paths);
        assert_ok(mn_train_config_set(c, path, &err), err);
    }
    assert_ok(mn_train_config_set(c, "model.vocab-from=" MNEMO_SOURCE_DIR "/models/default.gguf", &err), err);
    snprintf(path, sizeof path, "train.out=%s", out);
    assert_ok(mn_train_config_set(c, path, &err), err);
    for (int i = 0; more && more[i]; i++) assert_ok(mn_train_config_set(c, more[i], &err), err);
}

static void remove_run(const char *out) {
    static const char *const names[] = {"start.gguf", "checkpoint.gguf", "log.jsonl", "loss.svg", "card.md"};
    char path[800];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s.run/%s", out, names[i]);
        unlink(path);
    }
    unlink(out);
}

/* Trains to the end; stop > 0: leaves without a word after so many steps and opens it again, as a killed process would.
 */
static double train(const char *name, const char *const *more, int64_t stop, char out[600]) {
    mn_train_config c;
    mn_trainer *t;
    mn_error err;
    mn_run_line line = {.loss = NAN};
    snprintf(out, 600, "%s", temp_path(name));
    remove_run(out);
    configure(&c, out, more);
    assert_ok(mn_trainer_open(&c, &t, &err), err);
    while (!mn_trainer_is_done(t)) {
        assert_ok(mn_trainer_step(t, &line, &err), err);
        if (line.step != stop) continue;
        stop = 0;
        mn_trainer_close(t);
        assert_ok(mn_trainer_open(&c, &t, &err), err);
    }
    assert_ok(mn_trainer_finish(t, &err), err);
    mn_trainer_close(t);
    mn_train_config_release(&c);
    return line.loss;
}

static void assert_same_model(const char *a, const char *b) {
    mn_gguf *x, *y;
    mn_error err;
    assert_ok(mn_gguf_open(a, &x, &err), err);
    assert_ok(mn_gguf_open(b, &y, &err), err);
    assert_int_equal(mn_gguf_n_tensors(x), mn_gguf_n_tensors(y));
    for (int64_t i = 0; i < mn_gguf_n_tensors(x); i++)
        assert_memory_equal(mn_gguf_tensor_at(x, i)->data, mn_gguf_tensor_at(y, i)->data,
                            mn_gguf_tensor_at(x, i)->bytes);
    mn_gguf_close(x);
    mn_gguf_close(y);
}

/* Left between checkpoints, with a log that is ahead of them: bit for bit as if never stopped. Threads and recomputing
 * change nothing either. */
static void test_resumed_equals_never_stopped(void **state) {
    (void)state;
    char whole[600], resumed[600], other[600];
    const char *const one[] = {"threads=1", NULL}, *const two[] = {"threads=2", "recompute=on", "optimiser=adamw",
                                                                   NULL};
    const char *const muon[] = {"threads=2", "optimiser=muon", NULL};
    double a = train("whole.gguf", one, 0, whole), b = train("resumed.gguf", one, 7, resumed),
           c = train("other.gguf", two, 3, other);
    assert_true(a == b && a == c);
    assert_same_model(whole, resumed);
    assert_same_model(whole, other);
    assert_true(train("muon.gguf", muon, 0, whole) == train("muon2.gguf", muon, 11, resumed));
    assert_same_model(whole, resumed);
}

/* A stated loss at a stated step; the same on any machine but for rounding. */
static void test_learns(void **state) {
    (void)state;
    char out[600];
    const char *const more[] = {"steps=60", "rate=0.004", "exact=true", NULL};
    double loss = train("learns.gguf", more, 0, out);
    if (!(loss > 4.0 && loss < 5.6))
        fail_msg("the loss after 60 steps is %.4f", loss); /* it begins at log 2048 = 7.6 */
}

/* One page over and over: it is known by heart. */
static void test_overfits_a_page(void **state) {
    (void)state;
    char out[600], page[600], paths[700];
    snprintf(page, sizeof page, "%s", temp_path("page.txt"));
    FILE *f = fopen(page, "w");
    assert_non_null(f);
    fputs(
        "The lamp was lit at seven, and by eight the whole street knew that the captain had come home with a parrot, a "
        "broken clock and no hat.\n",
        f);
    fclose(f);
    mn_train_config c;
    mn_trainer *t;
    mn_error err;
    mn_run_line line;
    snprintf(out, sizeof out, "%s", temp_path("page.gguf"));
    remove_run(out);
    const char *const more[] = {"steps=160",          "rate=0.01",    "decay=0", "batch=1", "validation-windows=0",
                                "validation-share=0", "schedule=wsd", NULL};
    configure(&c, out, more);
    c.sources[0] = c.sources[1]; /* the texts, without needles */
    c.n_sources = 1;
    snprintf(paths, sizeof paths, "source.%s.paths=%s", c.sources[0].name, page);
    assert_ok(mn_train_config_set(&c, paths, &err), err);
    assert_ok(mn_trainer_open(&c, &t, &err), err);
    while (!mn_trainer_is_done(t)) assert_ok(mn_trainer_step(t, &line, &err), err);
    if (!(line.loss < 0.01)) fail_msg("the loss of one page is still %.4f", line.loss);
    mn_trainer_close(t);
    mn_train_config_release(&c);
}

static mn_status try_open(const char *const *more, mn_error *err) {
    mn_train_config c;
    mn_trainer *t = NULL;
    char out[600];
    snprintf(out, sizeof out, "%s", temp_path("bad.gguf"));
    remove_run(out);
    configure(&c, out, more);
    mn_status status = mn_trainer_open(&c, &t, err);
    mn_trainer_close(t);
    mn_train_config_release(&c);
    return status;
}

static void test_refusals(void **state) {
    (void)state;
    mn_error err;
    const char *const no_text[] = {"source.novel.paths=/nowhere", NULL};
    assert_int_equal(try_open(no_text, &err), MN_ERR_IO);
    const char *const too_long[] = {"window=1m", "batch=64", "validation-windows=0", "validation-share=0", NULL};
    assert_int_equal(try_open(too_long, &err), MN_ERR_MEMORY);
    assert_non_null(strstr(err.text, "GiB"));
    const char *const beyond[] = {"model.from=" MNEMO_SOURCE_DIR "/models/default.gguf", "window=16k", "batch=1", NULL};
    assert_int_equal(try_open(beyond, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "32"));
    static const char *const unfit[] = {"attn=linear", "attn=infini:64", "attn=quest:16,64", "attn=sinks:4,60",
                                        "attn=snapkv:8,64"};
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        const char *const more[] = {unfit[i], NULL};
        assert_int_equal(try_open(more, &err), MN_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "fixed by their places"));
    }
    const char *const heads[] = {"model.heads=3", NULL};
    assert_int_equal(try_open(heads, &err), MN_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumed_equals_never_stopped),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_overfits_a_page),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
