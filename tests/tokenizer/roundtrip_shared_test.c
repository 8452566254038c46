/* A real vocabulary of 128 thousand tokens: what is tokenised comes back, in linear time. */
#include "support/roundtrip.h"
#include "support/support.h"

#include <stdlib.h>

static mn_tokenizer *vocabulary(void) { return open_vocabulary(shared_path("tokenizers/ggml-vocab-llama-bpe.gguf")); }

static void prose_comes_back(void **state) {
    (void)state;
    size_t bytes;
    mn_tokenizer *t = vocabulary();
    char *text = read_all(shared_path("corpora/small/tinyshakespeare.txt"), &bytes);
    check_round_trip(t, "tinyshakespeare", text, bytes);
    free(text);
    mn_tokenizer_destroy(t);
}

static void megabytes_of_one_thing(void **state) {
    (void)state;
    mn_tokenizer *t = vocabulary();
    check_megabytes(t, "llama-bpe");
    mn_tokenizer_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(prose_comes_back), cmocka_unit_test(megabytes_of_one_thing)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
