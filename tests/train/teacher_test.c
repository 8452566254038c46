/* train/teacher: logits are those of the model alone; a student that says what its teacher says has nothing to learn;
 * one that does not comes nearer; gradients with a share of both against differences of the loss.
 */
#include "support/support.h"
#include "support/tape_case.h"
#include "support/training.h"

#include "kernels/kernels.h"
#include "model/forward.h"
#include "train/teacher.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void open_pair(tape_case *f, mn_teacher *t, const char *student, const char *teacher, float share) {
    mn_error err;
    tape_open(f, student, NULL, 1);
    assert_ok(mn_teacher_open(teacher, &f->parameters.model, TAPE_N_CTX, t, &err), err);
    f->batch.teacher = t;
    f->batch.teacher_share = share;
    f->batch.temperature = 1.5f;
}

static void close_pair(tape_case *f, mn_teacher *t) {
    tape_close(f);
    mn_teacher_close(t);
}

/* Of two architectures with one vocabulary, each the other's teacher. */
static const char *llama(void) {
    static char path[600];
    snprintf(path, sizeof path, "%s", tape_in_f32(data_path("golden/tiny-llama.gguf")));
    return path;
}

/* Soft-cap and scaled embeddings included: the teacher's logits of a document equal a forward pass over it. */
static void logits_are_the_models(void **state) {
    (void)state;
    enum { N = TAPE_N_CTX };
    tape_case f;
    mn_teacher t;
    mn_error err;
    const char *path = tape_in_f32(data_path("golden/tiny-gemma2.gguf"));
    open_pair(&f, &t, path, path, 0.5f);
    tape_differentiate(&f, false); /* the pass stands in the batch */
    const mn_slice *slice = &f.batch.slices[1];
    int64_t n_vocab = t.model.config.n_vocab, rows[N], wanted[N], n = slice->n_rows;
    float *got = malloc((size_t)(n * n_vocab) * sizeof *got), *want = malloc((size_t)(n * n_vocab) * sizeof *want);
    for (int64_t i = 0; i < n; i++) rows[i] = slice->first_row + i, wanted[i] = i;
    assert_ok(mn_teacher_logits(&t, rows, n, got, &err), err);
    mn_backend cpu = mn_backend_cpu(&f.compute);
    mn_sequence s;
    mn_sequence_params params = {&t.model.config.rope, mn_attn_of_model(&t.model.config), N, MN_F32, MN_F32};
    assert_ok(mn_sequence_init(&s, &t.model.config, &params, &err), err);
    mn_slice alone = {&s, 0, n};
    mn_batch batch = {f.batch.row_tokens + slice->first_row, n, &alone, 1, wanted, n, want, NULL};
    assert_ok(mn_forward(&cpu, &t.model, &batch, &err), err);
    assert_memory_equal(got, want, (size_t)(n * n_vocab) * sizeof *got);
    mn_sequence_release(&s);
    free(got);
    free(want);
    close_pair(&f, &t);
}

static void same_mind(void **state) {
    (void)state;
    tape_case f;
    mn_teacher t;
    open_pair(&f, &t, llama(), llama(), 1);
    double loss = tape_differentiate(&f, false);
    if (!(fabs(loss) < 1e-5)) fail_msg("the divergence from itself is %g", loss);
    for (int64_t i = 0; i < f.parameters.n_items; i++) {
        const mn_parameter *p = &f.parameters.items[i];
        for (int64_t k = 0; k < p->n_in * p->n_out; k++) assert_true(fabs((double)p->gradients[k]) < 1e-4);
    }
    close_pair(&f, &t);
}

static double distilled_loss(tape_case *f) { return tape_differentiate(f, false); }

/* The loss that the backward pass adds up, along the gradient of every tensor. */
static void gradients(void **state) {
    (void)state;
    tape_case f;
    mn_teacher t;
    char other[600];
    snprintf(other, sizeof other, "%s", temp_path("teacher.gguf"));
    small_mnemo_write(other, 1);
    open_pair(&f, &t, tape_make_mnemo(2, 2), other, 0.6f);
    tape_check_total(&f, distilled_loss, "distilled", 2e-3, 1e-2);
    close_pair(&f, &t);
}

static double train(const char *name, const char *share, const char *teacher) {
    mn_train_config c;
    char out[600], from[700];
    snprintf(out, sizeof out, "%s", temp_path(name));
    snprintf(from, sizeof from, "loss.teacher=%s", teacher);
    const char *const settings[] = {"model.arch=llama",
                                    "model.layers=1",
                                    "model.embd=32",
                                    "model.heads=2",
                                    "model.ff=48",
                                    "model.vocab-from=" MNEMO_SOURCE_DIR "/models/default.gguf",
                                    "train.window=64",
                                    "train.batch=4",
                                    "train.steps=25",
                                    "train.warmup=2",
                                    "train.rate=0.01",
                                    "train.validation-windows=0",
                                    "source.novel.paths=" MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt",
                                    share,
                                    from,
                                    NULL};
    training_configure(&c, out, settings, NULL);
    double loss = training_run(&c, 0);
    mn_train_config_release(&c);
    return loss;
}

/* A student comes nearer to the model that ships than the two were: about 5 nats apart at first. */
static void a_student_learns(void **state) {
    (void)state;
    double loss = train("student.gguf", "loss.teacher-share=1", MNEMO_SOURCE_DIR "/models/default.gguf");
    if (!(loss > 0.1 && loss < 3.5)) fail_msg("after 25 steps the two are %g nats apart", loss);
}

static void refused(void **state) {
    (void)state;
    tape_case f;
    mn_teacher t;
    mn_error err;
    tape_open(&f, llama(), NULL, 1);
    assert_int_equal(mn_teacher_open(MNEMO_SOURCE_DIR "/models/default.gguf", &f.parameters.model, 8, &t, &err),
                     MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "vocabulary"));
    assert_int_equal(mn_teacher_open(llama(), &f.parameters.model, 1 << 20, &t, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "1048576"));
    tape_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_the_models), cmocka_unit_test(same_mind), cmocka_unit_test(gradients),
        cmocka_unit_test(a_student_learns),      cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
