/* Upcycled experts are used evenly once DeepSeek-V3's rule has had room to move their biases. */
#include "convert/upcycle.h"
#include "support/support.h"
#include "support/training.h"
#include "train/trainer.h"

static const char *upcycled(void) {
    static char out[600];
    mn_model model;
    mn_error err;
    mn_upcycle_wish wish = {.n_experts = 8, .n_used = 2, .biased = true, .noise = 0.01, .seed = 1, .type = MN_F16};
    snprintf(out, sizeof out, "%s", temp_path("upcycled.gguf"));
    assert_ok(mn_model_open(data_path("models/default.gguf"), &model, &err), err);
    assert_ok(mn_upcycle_write(&model, &wish, out, &err), err);
    mn_model_close(&model);
    return out;
}

/* How often the busiest expert is visited, 1 being even: in the first step, and the mean of the last eight. */
static void train(const char *rate, double *first, double *last) {
    enum { N_LAST = 8 };
    char from[700], bias_rate[64], out[600];
    mn_train_config c;
    mn_trainer *t;
    mn_error err;
    mn_run_line line;
    snprintf(from, sizeof from, "model.from=%s", upcycled());
    snprintf(bias_rate, sizeof bias_rate, "loss.balance-bias-rate=%s", rate);
    const char *const settings[] = {from,
                                    bias_rate,
                                    "loss.balance-bias=true",
                                    "train.window=256",
                                    "train.batch=4",
                                    "train.steps=64",
                                    "train.warmup=6",
                                    "train.rate=0.0005",
                                    "train.validation-windows=0",
                                    "source.novel.paths=" MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt",
                                    NULL};
    snprintf(out, sizeof out, "%s", temp_path("balanced.gguf"));
    training_configure(&c, out, settings, NULL);
    assert_ok(mn_trainer_open(&c, &t, &err), err);
    *last = 0;
    while (!mn_trainer_is_done(t)) {
        assert_ok(mn_trainer_step(t, &line, &err), err);
        if (line.step == 1) *first = line.busiest;
        if (line.step > c.steps - N_LAST) *last += line.busiest / N_LAST;
    }
    mn_trainer_close(t);
    mn_train_config_release(&c);
}

/* 64 steps of 0.0002 do not move them by what the scores of a fresh router differ; 64 of 0.008 do. */
static void biases_balance_within_their_reach(void **state) {
    (void)state;
    double first, near, far;
    train("0.0002", &first, &near);
    train("0.008", &first, &far);
    print_message("busiest expert: %.2f times even at first, %.2f by steps of 0.0002, %.2f by 0.008\n", first, near,
                  far);
    assert_true(first > 1.6);
    assert_true(far < 1.25 && far < near - 0.1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(biases_balance_within_their_reach)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
