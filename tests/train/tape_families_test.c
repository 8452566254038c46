/* Gradients of the attention families of 2024 to 2026 against differences of the loss (support/tape_case.h), and an
 * error for what has no backward. */
#include "support/support.h"
#include "support/tape_case.h"

#include <stdlib.h>
#include <string.h>

static void check_by(const char *name, const char *attn, double width) {
    tape_case f;
    char path[256];
    snprintf(path, sizeof path, "golden/tiny-%s.gguf", name);
    tape_open(&f, tape_in_f32(data_path(path)), attn, 1);
    tape_check_set(&f, &f.parameters, name, width);
    tape_close(&f);
}

static void check(const char *name, double width) { check_by(name, NULL, width); }

static void dense_families(void **state) {
    (void)state;
    static const char *const names[] = {"smollm3", "olmo2",      "olmo3",    "cohere2", "granite",
                                        "glm4",    "starcoder2", "mistral3", "exaone4", "phi4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], 2e-3);
    check("gemma4", 5e-4);
}

/* MoBA: what is chosen by queries and keys stays chosen for a step so small. */
static void chosen_blocks(void **state) {
    (void)state;
    check_by("smollm3", "moba:16,2", 5e-5);
}

/* Recurrent mixers, of documents whose states begin with zeros. */
static void recurrent_families(void **state) {
    (void)state;
    static const char *const names[] = {"qwen35", "mamba2", "falcon-h1", "lfm2", "nemotron-h"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], 2e-3);
    check("rwkv7", 5e-4);
}

/* Layers run again from their borders, and two threads, give the same bits. */
static void gradients_have_one_value(void **state) {
    (void)state;
    static const char *const names[] = {"qwen35", "mamba2",  "falcon-h1", "lfm2",     "rwkv7",
                                        "gemma4", "glm-dsa", "gpt-oss",   "gemma4moe"};
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

/* The first files of Qwen3-Next have one matrix of which parts are copied out. */
static void copied_matrices_are_refused(void **state) {
    (void)state;
    tape_case f;
    mn_error err;
    tape_open(&f, tape_in_f32(data_path("golden/tiny-qwen3next.gguf")), NULL, 1);
    static float copy[64];
    mn_layer *first = &f.parameters.model.weights.layers[0];
    const void *kept = first->mixer.in[0].w.data;
    first->mixer.in[0].w.data = copy;
    assert_int_equal(mn_train_batch_run(&f.batch, 0, 1, &f.tape, false, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "ssm_in"));
    first->mixer.in[0].w.data = kept;
    tape_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_families),

        cmocka_unit_test(recurrent_families), cmocka_unit_test(gradients_have_one_value),

        cmocka_unit_test(chosen_blocks),      cmocka_unit_test(copied_matrices_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
