/* What an engine says of its model. */
#include "support/support.h"

#include <mnemo/engine.h>

static const struct {
    const char *file, *positions;
} models[] = {
    {"golden/tiny-llama.gguf", "none"},  {"golden/tiny-llama-yarn.gguf", "yarn"},
    {"golden/tiny-bloom.gguf", "alibi"}, {"golden/tiny-gpt2.gguf", "learned"},
    {"golden/tiny-mamba2.gguf", "nope"}, {"golden/tiny-kimi-linear.gguf", "nope"},
};

static void test_positions(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        mn_engine *e;
        mn_error err;
        const mn_engine_params params = {.n_threads = 1};
        assert_ok(mn_engine_open(data_path(models[i].file), &params, &e, &err), err);
        assert_string_equal(mn_engine_info(e).rope_scaling, models[i].positions);
        mn_engine_close(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_positions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
