#include "support/support.h"
#include "support/tape_case.h"
#include "support/training.h"

#include "train/checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *make_model(void) {
    static char path[512];
    snprintf(path, sizeof path, "%s", temp_path("start.gguf"));
    return small_mnemo_write(path, 2);
}

static const mn_parameter *find(const mn_parameters *all, const char *name) {
    for (int64_t i = 0; i < all->n_items; i++)
        if (!strcmp(all->items[i].name, name)) return &all->items[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void test_how_each_tensor_is_trained(void **state) {
    (void)state;
    mn_train_config c;
    mn_parameters p;
    mn_error err;
    mn_train_config_init(&c);
    c.optimiser = MN_OPTIMISER_MUON;
    assert_ok(mn_train_config_set(&c, "group.taps.match=*_conv.*", &err), err);
    assert_ok(mn_train_config_set(&c, "group.taps.rate=0.03", &err), err);
    assert_ok(mn_parameters_open(make_model(), &c, &p, &err), err);
    assert_int_equal(find(&p, "blk.0.attn_q.weight")->optimiser, MN_OPTIMISER_MUON);
    assert_true(find(&p, "blk.0.attn_q.weight")->decay == c.decay);
    assert_int_equal(find(&p, "token_embd.weight")->optimiser, MN_OPTIMISER_ADAMW);
    assert_true(find(&p, "token_embd.weight")->decay == c.decay);
    assert_true(find(&p, "blk.1.attn_norm.weight")->decay == 0);
    assert_true(find(&p, "blk.1.attn_k_conv.weight")->rate == 0.03);
    assert_true(find(&p, "blk.1.attn_k_conv.weight")->decay == 0);
    mn_parameters_close(&p);
    assert_ok(mn_train_config_set(&c, "group.none.match=*.nothing", &err), err);
    assert_int_equal(mn_parameters_open(make_model(), &c, &p, &err), MN_ERR_ARGUMENT);
    mn_train_config_release(&c);
}

/* The bound model multiplies with the very numbers that are trained, and each has its place for a gradient. */
static void test_the_model_is_the_weights(void **state) {
    (void)state;
    mn_train_config c;
    mn_parameters p;
    mn_error err;
    mn_train_config_init(&c);
    assert_ok(mn_parameters_open(make_model(), &c, &p, &err), err);
    const mn_layer *l = &p.model.weights.layers[1];
    assert_ptr_equal(l->q.w.data, find(&p, "blk.1.attn_q.weight")->weights);
    assert_ptr_equal(l->ffn_norm.w, find(&p, "blk.1.ffn_norm.weight")->weights);
    assert_ptr_equal(l->k_conv, find(&p, "blk.1.attn_k_conv.weight")->weights);
    assert_ptr_equal(mn_gradient_of(&p, l->q_conv + 5), find(&p, "blk.1.attn_q_conv.weight")->gradients + 5);
    assert_null(mn_gradient_of(&p, p.moments));
    find(&p, "blk.1.ffn_norm.weight")->weights[3] = 42; /* can be written */
    assert_true(l->ffn_norm.w[3] == 42);
    mn_parameters_close(&p);
    mn_train_config_release(&c);
}

static void fill(const mn_parameters *p, uint64_t seed) {
    for (int64_t i = 0; i < p->n_items; i++) {
        const mn_parameter *x = &p->items[i];
        fill_normal(x->weights, (size_t)(x->n_in * x->n_out), seed + (uint64_t)i);
        fill_normal(x->moments[0], (size_t)(x->n_in * x->n_out), seed + 1000 + (uint64_t)i);
        fill_normal(x->moments[1], (size_t)(x->n_in * x->n_out), seed + 2000 + (uint64_t)i);
    }
}

static void test_restored_equals_saved(void **state) {
    (void)state;
    mn_train_config c;
    mn_parameters a, b;
    mn_error err;
    mn_train_state s = {7, 1234567, 3.25, {9, {4, 5}, 17, 1}, 2.5, NULL, 0, 0}, t = {0};
    char *text, path[512];
    mn_train_config_init(&c);
    snprintf(path, sizeof path, "%s", temp_path("checkpoint.gguf"));
    assert_ok(mn_parameters_open(make_model(), &c, &a, &err), err);
    assert_ok(mn_parameters_open(make_model(), &c, &b, &err), err);
    fill(&a, 1);
    assert_ok(mn_checkpoint_save(path, (mn_parameters *[]){&a}, 1, &s, "[train]\nout = x\n", &err), err);
    assert_ok(mn_checkpoint_load(path, (mn_parameters *[]){&b}, 1, &t, &err), err);
    assert_memory_equal(&s, &t, sizeof s);
    assert_memory_equal(a.moments, b.moments, (size_t)a.n_trained * 2 * sizeof(float));
    for (int64_t i = 0; i < a.n_items; i++)
        assert_memory_equal(a.items[i].weights, b.items[i].weights,
                            (size_t)(a.items[i].n_in * a.items[i].n_out) * sizeof(float));
    assert_ok(mn_checkpoint_config(path, &text, &err), err);
    assert_string_equal(text, "[train]\nout = x\n");
    free(text);
    mn_parameters_close(&a);
    mn_parameters_close(&b);
    mn_train_config_release(&c);
}

/* Biases of a choice of experts have no gradient, and the rule that moves them is part of the training. */
static void test_balance_biases_are_kept(void **state) {
    (void)state;
    mn_train_config c;
    mn_parameters a, b;
    mn_error err;
    mn_train_state s = {.cursor.source = -1}, t = {0};
    char path[512], model[600];
    mn_train_config_init(&c);
    c.balance_bias = true;
    snprintf(path, sizeof path, "%s", temp_path("biases.gguf"));
    snprintf(model, sizeof model, "%s", tape_in_f32(data_path("golden/tiny-deepseek3.gguf")));
    assert_ok(mn_parameters_open(model, &c, &a, &err), err);
    assert_ok(mn_parameters_open(model, &c, &b, &err), err);
    int layer = a.model.config.n_layers - 1; /* the first may be dense */
    float *bias = (float *)(uintptr_t)a.model.weights.layers[layer].router_bias;
    const float *restored = b.model.weights.layers[layer].router_bias;
    assert_non_null(bias);
    for (int i = 0; i < a.model.config.moe.router.n_experts; i++) bias[i] = (float)i - 2.5f;
    assert_ok(mn_checkpoint_save(path, (mn_parameters *[]){&a}, 1, &s, "", &err), err);
    assert_ok(mn_checkpoint_load(path, (mn_parameters *[]){&b}, 1, &t, &err), err);
    assert_memory_equal(bias, restored, (size_t)a.model.config.moe.router.n_experts * sizeof *bias);
    mn_parameters_close(&a);
    mn_parameters_close(&b);
    mn_train_config_release(&c);
}

/* What the file counts would be indexes and steps: nothing below nothing, no source that no training has, no token that
 * the vocabulary has not. */
static void test_damaged_counters(void **state) {
    (void)state;
    static int32_t pool[] = {1, 2, 3, 4};
    static const mn_train_state bad[] = {
        {.step = -1, .cursor.source = -1},
        {.n_tokens = INT64_MAX, .cursor.source = -1},
        {.cursor = {.source = MN_MAX_SOURCES}},
        {.cursor = {.source = -2}},
        {.cursor = {.source = 0, .offset = -5}},
        {.cursor = {.source = 0, .n_of_source = {0, -1}}},
        {.cursor.source = -1, .pool = pool, .n_pool = 4, .pool_capacity = 4},
    };
    mn_train_config c;
    mn_parameters p;
    mn_error err;
    int32_t room[4];
    char path[512];
    mn_train_config_init(&c);
    snprintf(path, sizeof path, "%s", temp_path("damaged.gguf"));
    assert_ok(mn_parameters_open(make_model(), &c, &p, &err), err);
    pool[2] = (int32_t)p.model.config.n_vocab;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mn_train_state t = {.pool = room, .pool_capacity = 4};
        assert_ok(mn_checkpoint_save(path, (mn_parameters *[]){&p}, 1, &bad[i], "", &err), err);
        assert_int_equal(mn_checkpoint_load(path, (mn_parameters *[]){&p}, 1, &t, &err), MN_ERR_FORMAT);
    }
    mn_parameters_close(&p);
    mn_train_config_release(&c);
}

/* Cut at any place, or of another model: an error, and no crash. A save that fails leaves the last one. */
static void test_bad_checkpoints(void **state) {
    (void)state;
    mn_train_config c;
    mn_parameters p;
    mn_error err;
    mn_train_state s = {.cursor.source = -1}, t = {0};
    char path[512], cut[512];
    size_t bytes;
    mn_train_config_init(&c);
    snprintf(path, sizeof path, "%s", temp_path("whole.gguf"));
    snprintf(cut, sizeof cut, "%s", temp_path("cut.gguf"));
    assert_ok(mn_parameters_open(make_model(), &c, &p, &err), err);
    assert_ok(mn_checkpoint_save(path, (mn_parameters *[]){&p}, 1, &s, "", &err), err);
    char *whole = read_all(path, &bytes);
    for (int i = 0; i < 20; i++) {
        FILE *f = fopen(cut, "wb");
        assert_non_null(f);
        fwrite(whole, 1, bytes * (size_t)i / 20, f);
        fclose(f);
        assert_true(mn_checkpoint_load(cut, (mn_parameters *[]){&p}, 1, &t, &err) != MN_OK);
    }
    free(whole);
    assert_int_equal(mn_checkpoint_load(make_model(), (mn_parameters *[]){&p}, 1, &t, &err), MN_ERR_FORMAT);
    assert_int_equal(mn_checkpoint_load("/nowhere/c.gguf", (mn_parameters *[]){&p}, 1, &t, &err), MN_ERR_IO);
    assert_int_equal(mn_checkpoint_save("/nowhere/c.gguf", (mn_parameters *[]){&p}, 1, &s, "", &err), MN_ERR_IO);
    assert_ok(mn_checkpoint_load(path, (mn_parameters *[]){&p}, 1, &t, &err), err);
    mn_parameters_close(&p);
    mn_train_config_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_each_tensor_is_trained),
        cmocka_unit_test(test_the_model_is_the_weights),
        cmocka_unit_test(test_restored_equals_saved),
        cmocka_unit_test(test_balance_biases_are_kept),
        cmocka_unit_test(test_bad_checkpoints),
        cmocka_unit_test(test_damaged_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
