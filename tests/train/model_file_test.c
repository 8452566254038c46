/* train/model_file: which windows and scalings of positions a training is given, by how its model knows positions. */
#include "support/support.h"

#include "model/gguf.h"
#include "train/finetune.h"
#include "train/model_file.h"

#include <string.h>

/* What a training of the file in a window four times its own, scaled or not, is told. */
static mn_status change(const char *name, const char *scaling, mn_key_changes *out, mn_error *err) {
    mn_gguf *g;
    mn_train_config c;
    mn_config model;
    *out = (mn_key_changes){0};
    assert_ok(mn_gguf_open(data_path(name), &g, err), *err);
    assert_ok(mn_config_read(g, &model, err), *err);
    mn_train_config_init(&c);
    c.rope_scaling = scaling;
    c.window = 4 * model.n_ctx_train;
    mn_status status = mn_positions_changes(&c, &model, out, err);
    mn_train_config_release(&c);
    mn_gguf_close(g);
    return status;
}

static const char *const unrotated[] = {"golden/tiny-bloom.gguf", "golden/tiny-mamba2.gguf", "golden/tiny-rwkv7.gguf",
                                        "golden/tiny-kimi-linear.gguf"};

/* Nothing that these models do depends on how far positions were trained, and there is nothing to scale. */
static void test_models_without_rotation(void **state) {
    (void)state;
    mn_key_changes changes;
    mn_error err;
    for (size_t i = 0; i < sizeof unrotated / sizeof *unrotated; i++) {
        assert_ok(change(unrotated[i], NULL, &changes, &err), err);
        assert_int_equal(changes.n, 1);
        assert_non_null(strstr(changes.items[0].key, ".context_length"));
        assert_int_equal(change(unrotated[i], "yarn", &changes, &err), MN_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "rotates no positions"));
    }
}

static void test_models_with_rotation(void **state) {
    (void)state;
    mn_key_changes changes;
    mn_error err;
    assert_int_equal(change("golden/tiny-llama.gguf", NULL, &changes, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "scale them by 4 (yarn)"));
    assert_ok(change("golden/tiny-llama.gguf", "yarn", &changes, &err), err);
    assert_int_equal(changes.n, 4);
}

/* YaRN by itself is for models that rotate. */
static void test_defaults(void **state) {
    (void)state;
    static const char *const files[] = {"golden/tiny-llama.gguf", "golden/tiny-bloom.gguf"};
    for (int i = 0; i < 2; i++) {
        mn_gguf *g;
        mn_train_config c;
        mn_config model;
        mn_error err;
        assert_ok(mn_gguf_open(data_path(files[i]), &g, &err), err);
        assert_ok(mn_config_read(g, &model, &err), err);
        mn_train_config_init(&c);
        c.window = 4 * model.n_ctx_train;
        assert_ok(mn_finetune_defaults(&model, MN_FINETUNE_ALL, &c, &err), err);
        assert_int_equal(c.rope_scaling != NULL, i == 0);
        mn_train_config_release(&c);
        mn_gguf_close(g);
    }
}

static void test_learned_positions_end(void **state) {
    (void)state;
    char path[600];
    mn_train_config c;
    mn_error err;
    snprintf(path, sizeof path, "%s", temp_path("start.gguf"));
    mn_train_config_init(&c);
    c.from = data_path("golden/tiny-gpt2.gguf");
    c.window = 1 << 20;
    assert_int_equal(mn_start_model_write(&c, path, NULL, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "has learned"));
    mn_train_config_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_without_rotation),
        cmocka_unit_test(test_models_with_rotation),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_learned_positions_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
