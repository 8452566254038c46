#include "support/support.h"
#include "support/tape_case.h"

#include "train/model_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_gradients_of(const char *path, const char *name, const char *attn, double width) {
    tape_case f;
    tape_open(&f, tape_in_f32(path), attn, 1);
    tape_check_set(&f, &f.parameters, name, width);
    tape_close(&f);
}

static void check_gradients_by(const char *name, const char *attn, double width) {
    check_gradients_of(data_path(name), name, attn, width);
}

static void check_gradients(const char *name, const char *attn) { check_gradients_by(name, attn, 2e-3); }

/* The choice of experts jumps: steps have to be so small that none does. */
static void check_experts(const char *name) { check_gradients_by(name, NULL, 5e-5); }

static void test_llama(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", NULL);
}
static void test_qwen3(void **state) {
    (void)state;
    check_gradients("golden/tiny-qwen3.gguf", NULL);
}
static void test_gemma3(void **state) {
    (void)state;
    check_gradients("golden/tiny-gemma3.gguf", NULL);
}

static void test_mixtral(void **state) {
    (void)state;
    check_experts("golden/tiny-mixtral.gguf");
}
static void test_qwen3moe(void **state) {
    (void)state;
    check_experts("golden/tiny-qwen3moe.gguf");
}
static void test_qwen2(void **state) {
    (void)state;
    check_gradients("golden/tiny-qwen2.gguf", NULL);
}
static void test_gemma2(void **state) {
    (void)state;
    check_gradients("golden/tiny-gemma2.gguf", NULL);
}
static void test_phi3(void **state) {
    (void)state;
    check_gradients("golden/tiny-phi3.gguf", NULL);
}
static void test_gpt2(void **state) {
    (void)state;
    check_gradients("golden/tiny-gpt2.gguf", NULL);
}
static void test_bloom(void **state) {
    (void)state;
    check_gradients("golden/tiny-bloom.gguf", NULL);
}
static void test_mpt(void **state) {
    (void)state;
    check_gradients("golden/tiny-mpt.gguf", NULL);
}
static void test_mnemo(void **state) {
    (void)state;
    check_gradients_of(tape_make_mnemo(2, 1), "mnemo", NULL, 2e-3);
}
/* The choice of groups and experts jumps, as above; of MLA the gradients of both up-projections are among these. */
static void test_deepseek2(void **state) {
    (void)state;
    check_experts("golden/tiny-deepseek2.gguf");
}
static void test_deepseek3(void **state) {
    (void)state;
    check_experts("golden/tiny-deepseek3.gguf");
}
static void test_linear(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", "linear");
}
static void test_window(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", "window:9");
}
static void test_bigbird(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", "bigbird:16,1,1,1");
}

static void test_shifted_sparse(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", "shifted-sparse:32");
}

/* The mean loss and the balance loss of all layers. */
static double balanced_loss(tape_case *f) {
    f->tape.balance_loss = 0;
    double loss = tape_differentiate(f, false);
    assert_true(f->tape.balance_loss > 0.5 * f->tape.balance);
    return loss + f->tape.balance_loss;
}

static void test_balance(void **state) {
    (void)state;
    tape_case f;
    tape_open(&f, tape_in_f32(data_path("golden/tiny-mixtral.gguf")), NULL, 1);
    f.tape.balance = 2;
    tape_check_total(&f, balanced_loss, "balance", 3e-6, 1e-2);
    tape_close(&f);
}

/* Adapters on all matrices of a model that is trained too, or frozen. B is drawn, since at zero A has no gradient. */
static void check_adapters(bool trains_model) {
    tape_case f;
    mn_error err;
    char path[600];
    snprintf(path, sizeof path, "%s", temp_path("adapters.gguf"));
    tape_open(&f, tape_in_f32(data_path("golden/tiny-llama-yarn.gguf")), NULL, 1);
    f.config.lora_rank = 3;
    assert_ok(mn_train_config_set(&f.config, "lora.targets=q k v o gate up down", &err), err);
    assert_ok(mn_start_adapters_write(&f.config, &f.parameters.model, path, &err), err);
    assert_ok(mn_parameters_open_adapters(path, &f.config, &f.adapters, &err), err);
    assert_ok(mn_adapter_attach(f.adapters.gguf, 0.5F, &f.parameters.model, &f.adapter, &err), err);
    assert_int_equal(f.adapters.n_items, 14 * f.parameters.model.config.n_layers);
    double without = tape_score(&f);
    for (int64_t i = 0; i < f.adapters.n_items; i++) {
        const mn_parameter *p = &f.adapters.items[i];
        float *w = p->weights;
        if (!strstr(p->name, ".lora_b")) continue;
        fill_normal(w, (size_t)(p->n_in * p->n_out), 9 + (uint64_t)i);
        for (int64_t k = 0; k < p->n_in * p->n_out; k++) w[k] *= 0.05F;
    }
    f.tape.adapters = &f.adapters;
    assert_true(fabs(tape_score(&f) - without) > 1e-4);
    tape_check_set(&f, &f.adapters, "adapters", 2e-3);
    if (trains_model) tape_check_set(&f, &f.parameters, "below adapters", 2e-3);
    tape_close(&f);
}

static void test_lora(void **state) {
    (void)state;
    check_adapters(false);
    check_adapters(true);
}

/* Activations made again, and any number of threads: the same bits. */
static void test_recomputed_equals_kept(void **state) {
    (void)state;
    tape_case a, b;
    const char *path = tape_in_f32(data_path("golden/tiny-gemma3.gguf"));
    tape_open(&a, path, NULL, 1);
    tape_open(&b, path, NULL, 2);
    double loss = tape_differentiate(&a, false), again = tape_differentiate(&b, true);
    assert_true(loss == again);
    for (int64_t i = 0; i < a.parameters.n_items; i++) {
        const mn_parameter *p = &a.parameters.items[i];
        if (!p->frozen)
            assert_memory_equal(p->gradients, b.parameters.items[i].gradients,
                                (size_t)(p->n_in * p->n_out) * sizeof(float));
    }
    tape_close(&a);
    tape_close(&b);
}

/* A window's gradient is that of its documents apart. */
static void test_documents_are_apart(void **state) {
    (void)state;
    tape_case f;
    mn_error err;
    tape_open(&f, tape_in_f32(data_path("golden/tiny-llama-yarn.gguf")), NULL, 1);
    tape_differentiate(&f, false);
    int64_t n = f.parameters.items[2].n_in * f.parameters.items[2].n_out;
    float *together = malloc((size_t)n * sizeof *together);
    memcpy(together, f.parameters.items[2].gradients, (size_t)n * sizeof *together);
    mn_parameters_clear_gradients(&f.parameters);
    for (int w = 0; w < TAPE_N_WINDOWS; w++) assert_ok(mn_train_batch_run(&f.batch, w, 1, &f.tape, false, &err), err);
    assert_close(f.parameters.items[2].gradients, together, (size_t)n, 1e-6, 1e-4, "gradients of windows apart");
    free(together);
    tape_close(&f);
}

/* Attention sinks as numbers that are learnt, under full attention and in a window. */
static void test_sinks(void **state) {
    (void)state;
    const char *path = tape_make_sinks();
    tape_case f;
    int n_moved = 0;
    check_gradients_of(path, "mnemo with sinks", NULL, 2e-3);
    check_gradients_of(path, "mnemo with sinks", "window:8", 2e-3);
    tape_open(&f, path, NULL, 1);
    tape_differentiate(&f, false);
    for (int64_t i = 0; i < f.parameters.n_items; i++) {
        const mn_parameter *p = &f.parameters.items[i];
        if (!strstr(p->name, "attn_sinks")) continue;
        assert_int_equal(p->n_in, 4);
        for (int h = 0; h < 4; h++) n_moved += p->gradients[h] != 0;
    }
    assert_int_equal(n_moved, 8);
    tape_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_qwen3),
        cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_mixtral),
        cmocka_unit_test(test_qwen3moe),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_gemma2),
        cmocka_unit_test(test_phi3),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_bloom),
        cmocka_unit_test(test_mpt),
        cmocka_unit_test(test_mnemo),
        cmocka_unit_test(test_sinks),
        cmocka_unit_test(test_deepseek2),
        cmocka_unit_test(test_deepseek3),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_lora),
        cmocka_unit_test(test_bigbird),
        cmocka_unit_test(test_shifted_sparse),
        cmocka_unit_test(test_recomputed_equals_kept),
        cmocka_unit_test(test_documents_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
