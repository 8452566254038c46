/* Gradients of the attention families of 2024 to 2026 against differences of the loss (support/tape_case.h), and an
 * error for what has no backward. */
#include "support/gguf_edit.h"
#include "support/support.h"
#include "support/tape_case.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(const char *name, double width) {
    tape_case f;
    char path[256];
    snprintf(path, sizeof path, "golden/tiny-%s.gguf", name);
    tape_open(&f, tape_in_f32(data_path(path)), NULL, 1);
    tape_check_set(&f, &f.parameters, name, width);
    tape_close(&f);
}

static void dense_families(void **state) {
    (void)state;
    static const char *const names[] = {"smollm3", "olmo3",      "cohere2",  "granite",
                                        "glm4",    "starcoder2", "mistral3", "exaone4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], 2e-3);
}

/* Deltas of short vectors that are made long bend much: there the steps are smaller. With all experts in use: the
 * choice jumps, and these models are so small that any step would meet a jump. */
static void routed_families(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double width;
    } models[] = {{"qwen2moe", 2e-3},  {"mimo2", 2e-3},         {"glm4moe", 2e-3},
                  {"qwen3next", 5e-4}, {"granitehybrid", 2e-3}, {"kimi-linear", 5e-4}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const char *name = models[i].name;
        tape_case f;
        mn_gguf *in;
        mn_error err;
        char path[256], all[4096], key[64];
        snprintf(path, sizeof path, "golden/tiny-%s.gguf", name);
        snprintf(all, sizeof all, "%s", temp_path("all-experts.gguf"));
        snprintf(key, sizeof key, "%s.expert_used_count", name);
        assert_ok(mn_gguf_open(data_path(path), &in, &err), err);
        gguf_edit_write(in, all, NULL, &EDIT_U32(key, 8), 1);
        mn_gguf_close(in);
        tape_open(&f, tape_in_f32(all), NULL, 1);
        tape_check_set(&f, &f.parameters, name, models[i].width);
        tape_close(&f);
        unlink(all);
    }
}

/* Recurrent mixers, of documents whose states begin with zeros. */
static void recurrent_families(void **state) {
    (void)state;
    static const char *const names[] = {"qwen35", "mamba2", "falcon-h1", "lfm2", "nemotron-h"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], 2e-3);
    check("rwkv7", 5e-4);
}

/* Layers run again from their borders, and two threads, give the same bits. */
static void recurrent_gradients_have_one_value(void **state) {
    (void)state;
    static const char *const names[] = {"qwen35", "mamba2", "falcon-h1", "lfm2", "rwkv7"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        char *want = NULL;
        snprintf(path, sizeof path, "golden/tiny-%s.gguf", names[i]);
        for (int way = 0; way < 4; way++) {
            tape_case f;
            tape_open(&f, tape_in_f32(data_path(path)), NULL, 1 + way / 2);
            tape_differentiate(&f, way % 2);
            size_t bytes = f.parameters.map.bytes;
            if (!want) want = memcpy(malloc(bytes), f.parameters.gradients, bytes);
            if (memcmp(want, f.parameters.gradients, bytes)) fail_msg("%s: way %d gives other bits", names[i], way);
            tape_close(&f);
        }
        free(want);
    }
}

static void the_rest_is_refused(void **state) {
    (void)state;
    static const char *const names[] = {"golden/tiny-gpt-oss.gguf", "golden/tiny-gemma4.gguf",
                                        "golden/tiny-llama4.gguf", "golden/tiny-step35.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tape_case f;
        mn_error err;
        tape_open(&f, tape_in_f32(data_path(names[i])), NULL, 1);
        assert_int_equal(mn_train_batch_run(&f.batch, 0, 1, &f.tape, false, &err), MN_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "cannot be trained through"));
        tape_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_families),      cmocka_unit_test(routed_families),
        cmocka_unit_test(recurrent_families),  cmocka_unit_test(recurrent_gradients_have_one_value),
        cmocka_unit_test(the_rest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
