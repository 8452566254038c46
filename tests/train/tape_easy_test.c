/* Small MLPs for easy tokens and their routers on the tape: gradients against differences, the same bits on any number
 * of threads and when activations are made again, and the loss that the model has when it runs. */
#include "support/easy_model.h"
#include "support/support.h"
#include "support/tape_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void open_case(tape_case *f, const char *name, int n_threads) {
    char path[600];
    snprintf(path, sizeof path, "%s", tape_in_f32(data_path(name)));
    tape_open(f, easy_model(path, 2, true), NULL, n_threads);
}

static const char *const names[] = {"golden/tiny-llama.gguf", "golden/tiny-starcoder2.gguf"};
enum { N_NAMES = sizeof names / sizeof *names };

static void gradients_equal_differences(void **state) {
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        tape_case f;
        open_case(&f, names[i], 1);
        f.tape.easy = (mn_easy_mixing){.soft = true};
        tape_check_set(&f, &f.parameters, names[i], 2e-3);
        tape_close(&f);
    }
}

/* The mean loss, and the budgets of all layers. */
static double budgeted_loss(tape_case *f) {
    f->tape.easy.budget_loss = 0;
    double loss = tape_differentiate(f, false);
    assert_true(f->tape.easy.budget_loss > 0.05);
    return loss + f->tape.easy.budget_loss;
}

static void budgets_have_gradients_too(void **state) {
    (void)state;
    tape_case f;
    open_case(&f, names[0], 1);
    f.tape.easy = (mn_easy_mixing){.soft = true, .coefficient = 5, .share = 0.9};
    budgeted_loss(&f);
    tape_check_total(&f, budgeted_loss, "budget", 3e-4, 1e-2);
    tape_close(&f);
}

static char *gradients_of(bool recompute, int n_threads, size_t *bytes) {
    tape_case f;
    open_case(&f, names[0], n_threads);
    f.tape.easy = (mn_easy_mixing){.coefficient = 5, .share = 0.9};
    tape_differentiate(&f, recompute);
    assert_true(f.tape.easy.n_easy > 10 && f.tape.easy.n_easy < f.tape.easy.n_rows - 10);
    *bytes = f.parameters.map.bytes;
    char *copy = malloc(*bytes);
    memcpy(copy, f.parameters.gradients, *bytes);
    tape_close(&f);
    return copy;
}

static void threads_and_recomputing_change_nothing(void **state) {
    (void)state;
    size_t n, m;
    char *once = gradients_of(false, 1, &n);
    for (int i = 0; i < 2; i++) {
        char *again = gradients_of(i == 1, 3, &m);
        assert_int_equal(n, m);
        assert_memory_equal(once, again, n);
        free(again);
    }
    free(once);
}

/* Straight through, the loss is that of the model as it runs: at the ends of the threshold, of one MLP alone. */
static void straight_gates_have_the_loss_of_the_model(void **state) {
    (void)state;
    char path[600], small[600];
    snprintf(path, sizeof path, "%s", tape_in_f32(data_path(names[0])));
    double alone[2], routed[2];
    for (int i = 0; i < 2; i++) {
        tape_case f;
        const char *easy = easy_model(path, 2, true);
        if (i) snprintf(small, sizeof small, "%s", easy_model_small_alone(easy));
        tape_open(&f, i ? small : path, NULL, 1);
        alone[i] = tape_score(&f);
        tape_close(&f);
        tape_open(&f, easy_model(path, 2, true), NULL, 1);
        f.parameters.model.config.easy_threshold = i ? 0 : 1;
        routed[i] = tape_score(&f);
        tape_close(&f);
    }
    assert_true(alone[0] == routed[0]);
    assert_true(alone[1] == routed[1]);
    assert_true(alone[0] != alone[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_equal_differences),
                                       cmocka_unit_test(budgets_have_gradients_too),
                                       cmocka_unit_test(threads_and_recomputing_change_nothing),
                                       cmocka_unit_test(straight_gates_have_the_loss_of_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
