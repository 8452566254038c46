/* Trainings of a compressive memory: resumed equals never stopped with all its lessons; fits of write gates find the
 * needles; what cannot be is refused.
 */
#include "support/support.h"
#include "support/training.h"

#include "train/gate_fit.h"
#include "train/memory_lessons.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOVEL MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt"

static const char *const usual[] = {"model.arch=mnemo",
                                    "model.layers=2",
                                    "model.embd=48",
                                    "model.heads=2",
                                    "model.ff=64",
                                    "model.vocab-from=" MNEMO_SOURCE_DIR "/models/default.gguf",
                                    "train.window=128",
                                    "train.batch=3",
                                    "train.accumulate=2",
                                    "train.steps=9",
                                    "train.warmup=3",
                                    "train.validate-steps=5",
                                    "train.validation-windows=3",
                                    "train.checkpoint-steps=4",
                                    "memory.segment=32",
                                    "memory.heads=0.1",
                                    "memory.pool-windows=10",
                                    "memory.pool-size=60",
                                    "memory.prefix-max=12",
                                    "memory.mine-tokens=4000",
                                    "memory.mine-steps=3",
                                    "gate-fit.positives=200",
                                    "gate-fit.negatives=300",
                                    "gate-fit.prose=200",
                                    "gate-fit.mined=150",
                                    "gate-fit.rounds=2",
                                    "gate-fit.tokens=20000",
                                    "source.keys.needles=passkey",
                                    "source.keys.max-keys=1",
                                    "source.keys.distractors=0",
                                    "source.keys.paths=" NOVEL,
                                    NULL};

static double train(const char *name, const char *const *more, int64_t stop, char out[600]) {
    return training_train(name, usual, more, stop, out);
}

/* Left between searches and between checkpoints, with other threads, recomputed: the same bits. */
static void resumed_equals_never_stopped(void **state) {
    (void)state;
    char whole[600], resumed[600], other[600];
    const char *const one[] = {"threads=1", "gate-fit.when=both", NULL};
    const char *const two[] = {"threads=2", "gate-fit.when=both", "recompute=on", NULL};
    double a = train("m-whole.gguf", one, 0, whole), b = train("m-resumed.gguf", one, 5, resumed),
           c = train("m-other.gguf", two, 2, other);
    assert_true(a == b && a == c && isfinite(a));
    assert_same_tensors(whole, resumed);
    assert_same_tensors(whole, other);
}

/* What is written has a memory at the head that was named, and at no other. */
static void written_model(void **state) {
    (void)state;
    char out[600];
    mn_model m;
    mn_error err;
    const char *const more[] = {"steps=2", "warmup=1", "type=f32", NULL};
    train("m-written.gguf", more, 0, out);
    assert_ok(mn_model_open(out, &m, &err), err);
    assert_int_equal(m.config.infini.segment, 32);
    assert_true(m.weights.layers[0].infini_gate[1] > -5 && m.weights.layers[0].infini_gate[0] < -20);
    assert_true(m.weights.layers[0].infini_write.b[0] < -20 && m.weights.layers[1].infini_write.b[1] < -20);
    mn_model_close(&m);
}

/* A fit alone, of the first layer of a model that has learnt nothing: taps that look at the tokens before and random
 * embeddings tell most pass keys from the novel; a gate that guesses would write 95 % of it. */
static void fit_alone(void **state) {
    (void)state;
    mn_train_config c;
    mn_trainer *t;
    mn_error err;
    int n;
    char out[600];
    const char *const more[] = {
        "steps=0", "gate-fit.when=end", "gate-fit.recall=0.95", "gate-fit.tokens=40000", "gate-fit.positives=600",
        NULL};
    snprintf(out, sizeof out, "%s", temp_path("m-fit.gguf"));
    training_configure(&c, out, usual, more);
    assert_ok(mn_trainer_open(&c, &t, &err), err);
    assert_true(mn_trainer_is_done(t));
    assert_ok(mn_trainer_finish(t, &err), err);
    const mn_gate_fit_report *r = mn_trainer_gate_fits(t, &n);
    assert_int_equal(n, 1);
    assert_true(r->layer == 0 && r->kv_head == 1 && r->n_positives == 600);
    if (!(r->recall >= 0.95 && r->writes_per_million < 100000))
        fail_msg("recall %g, %g writes per million tokens of prose", r->recall, r->writes_per_million);
    mn_trainer_close(t);
    mn_train_config_release(&c);
}

static void refuse(const char *const *more, mn_status status, const char *word) {
    mn_train_config c;
    mn_trainer *t = NULL;
    mn_error err;
    char out[600];
    snprintf(out, sizeof out, "%s", temp_path("m-bad.gguf"));
    training_configure(&c, out, usual, more);
    assert_int_equal(mn_trainer_open(&c, &t, &err), status);
    if (!strstr(err.text, word)) fail_msg("\"%s\" does not name %s", err.text, word);
    mn_train_config_release(&c);
}

static void refusals(void **state) {
    (void)state;
    const char *const no_memory[] = {"memory.segment=0", "gate-fit.when=end", NULL};
    const char *const paper[] = {"memory.update=linear", "gate-fit.when=end", NULL};
    const char *const other[] = {"model.arch=llama", NULL}, *const head[] = {"memory.heads=0.7", NULL};
    const char *const lengths[] = {"memory.prefix-min=20", NULL}, *const prose[] = {"memory.prose=/nowhere", NULL};
    refuse(no_memory, MN_ERR_ARGUMENT, "memory.segment");
    refuse(paper, MN_ERR_ARGUMENT, "gate-fit.when");
    refuse(other, MN_ERR_UNSUPPORTED, "llama");
    refuse(head, MN_ERR_ARGUMENT, "0.7");
    refuse(lengths, MN_ERR_ARGUMENT, "prefix-min");
    refuse(prose, MN_ERR_IO, "nowhere");
}

/* The paper's rules have no gates and take no lessons; they train like any other state. */
static void paper_rules(void **state) {
    (void)state;
    char out[600];
    const char *const linear[] = {"steps=3", "memory.update=linear", "memory.heads=*", NULL};
    const char *const delta[] = {"steps=3", "memory.update=delta", "memory.detach=2", NULL};
    assert_true(isfinite(train("m-linear.gguf", linear, 0, out)));
    assert_true(isfinite(train("m-delta.gguf", delta, 0, out)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumed_equals_never_stopped),
        cmocka_unit_test(written_model),
        cmocka_unit_test(fit_alone),
        cmocka_unit_test(refusals),
        cmocka_unit_test(paper_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
