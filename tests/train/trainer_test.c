#include "support/support.h"
#include "support/training.h"

#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char novel[] = "source.novel.paths=" MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt";

/* A model of 64 wide layers, a novel and some needles; steps enough to see a difference. */
static const char *const usual[] = {"model.arch=llama",
                                    "model.layers=2",
                                    "model.embd=64",
                                    "model.heads=2",
                                    "model.ff=96",
                                    "model.vocab-from=" MNEMO_SOURCE_DIR "/models/default.gguf",
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
                                    "source.keys.paths=" MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt",
                                    novel,
                                    NULL};

static double train(const char *name, const char *const *more, int64_t stop, char out[600]) {
    return training_train(name, usual, more, stop, out);
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
    assert_same_tensors(whole, resumed);
    assert_same_tensors(whole, other);
    assert_true(train("muon.gguf", muon, 0, whole) == train("muon2.gguf", muon, 11, resumed));
    assert_same_tensors(whole, resumed);
}

/* A stated loss at a stated step; the same on any machine but for rounding, and with any number of threads to the bit.
 */
static void test_learns(void **state) {
    (void)state;
    char out[600], other[600];
    const char *const one[] = {"steps=60", "rate=0.004", "exact=true", "threads=1", NULL};
    const char *const two[] = {"steps=60", "rate=0.004", "exact=true", "threads=2", NULL};
    double loss = train("learns.gguf", one, 0, out); /* it begins at log 2048 = 7.6 */
    if (!(fabs(loss - 4.848) < 0.02)) fail_msg("the loss after 60 steps is %.4f", loss);
    assert_true(loss == train("learns-2.gguf", two, 0, other));
    assert_same_tensors(out, other);
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
    snprintf(paths, sizeof paths, "source.page.paths=%s", page);
    snprintf(out, sizeof out, "%s", temp_path("page.gguf"));
    const char *const more[] = {"steps=160",          "rate=0.01",    "decay=0", "batch=1", "validation-windows=0",
                                "validation-share=0", "schedule=wsd", paths,     NULL};
    training_configure(&c, out, usual, more);
    c.sources[0] = c.sources[2]; /* the page alone */
    c.n_sources = 1;
    double loss = training_run(&c, 0);
    if (!(loss < 0.01)) fail_msg("the loss of one page is still %.4f", loss);
    mn_train_config_release(&c);
}

static mn_status try_open(const char *const *more, mn_error *err) {
    mn_train_config c;
    mn_trainer *t = NULL;
    char out[600];
    snprintf(out, sizeof out, "%s", temp_path("bad.gguf"));
    training_configure(&c, out, usual, more);
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
    assert_non_null(strstr(err.text, "iB are free"));
    const char *const beyond[] = {"model.from=" MNEMO_SOURCE_DIR "/models/default.gguf", "window=16k", "batch=1", NULL};
    assert_int_equal(try_open(beyond, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "32"));
    static const char *const unfit[] = {"attn=infini:64", "attn=quest:16,64", "attn=sinks:4,60", "attn=snapkv:8,64"};
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        const char *const more[] = {unfit[i], NULL};
        assert_int_equal(try_open(more, &err), MN_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "fixed by their places"));
    }
    const char *const biases[] = {"loss.balance-bias=true", "model.experts=4", NULL};
    assert_int_equal(try_open(biases, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "exp_probs_b"));
    const char *const heads[] = {"model.heads=3", NULL};
    assert_int_equal(try_open(heads, &err), MN_ERR_ARGUMENT);
}

/* A folder belongs to one training; one that was refused leaves nothing behind that binds the next. */
static void test_a_folder_holds_one_training(void **state) {
    (void)state;
    mn_train_config c;
    mn_trainer *t = NULL;
    mn_error err;
    char out[600];
    snprintf(out, sizeof out, "%s", temp_path("folder.gguf"));
    const char *const few[] = {"steps=2", "warmup=0", "validation-windows=0", NULL};
    training_configure(&c, out, usual, few);
    assert_ok(mn_train_config_set(&c, "source.keys.weight=0", &err), err);
    assert_int_equal(mn_trainer_open(&c, &t, &err), MN_ERR_ARGUMENT); /* start.gguf was written before */
    assert_ok(mn_train_config_set(&c, "source.keys.weight=1", &err), err);
    assert_ok(mn_train_config_set(&c, "window=96", &err), err);
    training_run(&c, 0);
    mn_gguf *g;
    int64_t n_ctx = 0;
    bool found;
    assert_ok(mn_gguf_open(out, &g, &err), err);
    assert_ok(mn_gguf_get_i64(g, "llama.context_length", &n_ctx, &found, &err), err);
    assert_int_equal(n_ctx, 96);
    mn_gguf_close(g);
    assert_ok(mn_train_config_set(&c, "steps=3", &err), err);
    training_run(&c, 0);
    assert_ok(mn_train_config_set(&c, "model.embd=32", &err), err);
    assert_int_equal(mn_trainer_open(&c, &t, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "embd = 64"));
    assert_non_null(strstr(err.text, "embd = 32"));
    mn_train_config_release(&c);
}

/* A path says nothing of what lies there: another model is refused, the same one in other clothes and none are not. */
static void test_a_folder_knows_its_base(void **state) {
    (void)state;
    mn_train_config c;
    mn_trainer *t = NULL;
    mn_error err;
    char base[600], from[640], out[600];
    snprintf(base, sizeof base, "%s", small_mnemo_write(temp_path("knows-base.gguf"), 1));
    snprintf(from, sizeof from, "model.from=%s", base);
    snprintf(out, sizeof out, "%s", temp_path("knows.gguf"));
    training_configure(&c, out, (const char *const[]){from, novel, "validation-windows=0", NULL},
                       (const char *const[]){"steps=2", "warmup=0", "window=64", NULL});
    training_run(&c, 1);
    small_mnemo_write(base, 2);
    assert_int_equal(mn_trainer_open(&c, &t, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "began with another model than "));
    small_mnemo_write(base, 1);
    assert_ok(mn_train_config_set(&c, "steps=3", &err), err);
    training_run(&c, 0);
    assert_int_equal(remove(base), 0);
    assert_ok(mn_train_config_set(&c, "steps=4", &err), err);
    training_run(&c, 0);
    mn_train_config_release(&c);
}

/* The ask template with its line ends, and a sentence on what was done. */
static void test_what_the_file_says(void **state) {
    (void)state;
    char out[600];
    mn_gguf *g;
    mn_error err;
    mn_gguf_string text;
    bool found;
    const char *const more[] = {
        "steps=2", "warmup=0", "ask-template={document}\\nQ: {prompt}\\nA:", "validation-windows=0", "name=Says", NULL};
    train("says.gguf", more, 0, out);
    assert_ok(mn_gguf_open(out, &g, &err), err);
    assert_ok(mn_gguf_get_string(g, "mnemo.ask_template", &text, &found, &err), err);
    assert_true(found && text.bytes == 25 && !memcmp(text.data, "{document}\nQ: {prompt}\nA:", 25));
    assert_ok(mn_gguf_get_string(g, "general.description", &text, &found, &err), err);
    assert_true(found && !strncmp(text.data, "trained: 2 steps, ", 18));
    mn_gguf_close(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumed_equals_never_stopped),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_overfits_a_page),
        cmocka_unit_test(test_a_folder_holds_one_training),
        cmocka_unit_test(test_a_folder_knows_its_base),
        cmocka_unit_test(test_what_the_file_says),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
