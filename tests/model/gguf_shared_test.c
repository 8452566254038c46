/* Files that other programs wrote. */
#include "support/support.h"

#include "model/gguf.h"

static void check_file(const char *name, int version, int64_t n_kv, int64_t n_tensors) {
    mn_gguf *gguf;
    mn_error err;
    assert_ok(mn_gguf_open(shared_path(name), &gguf, &err), err);
    assert_int_equal(mn_gguf_version(gguf), version);
    assert_int_equal(mn_gguf_n_kv(gguf), n_kv);
    assert_int_equal(mn_gguf_n_tensors(gguf), n_tensors);
    mn_gguf_close(gguf);
}

static void version_1(void **state) {
    (void)state;
    check_file("weights/stories260K-f32.gguf", 1, 18, 48);
}

static void version_3_without_tensors(void **state) {
    (void)state;
    check_file("tokenizers/ggml-vocab-llama-bpe.gguf", 3, 20, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(version_1), cmocka_unit_test(version_3_without_tensors)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
