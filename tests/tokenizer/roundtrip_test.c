/* What is tokenised comes back byte for byte, and no text takes more than linear time. */
#include "support/roundtrip.h"
#include "support/support.h"

#include <stdlib.h>

static const char *const models[] = {"golden/tiny-gpt2.gguf", "golden/tiny-phi3.gguf"};
enum { N_MODELS = sizeof models / sizeof *models };

static void prose_comes_back(void **state) {
    (void)state;
    size_t bytes;
    char *text = read_all(data_path("models/demo/pride-and-prejudice.txt"), &bytes);
    for (int m = 0; m < N_MODELS; m++) {
        mn_tokenizer *t = open_vocabulary(data_path(models[m]));
        check_round_trip(t, "a novel", text, bytes);
        mn_tokenizer_destroy(t);
    }
    free(text);
}

static void megabytes_of_one_thing(void **state) {
    (void)state;
    for (int m = 0; m < N_MODELS; m++) {
        mn_tokenizer *t = open_vocabulary(data_path(models[m]));
        check_megabytes(t, models[m]);
        mn_tokenizer_destroy(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(prose_comes_back), cmocka_unit_test(megabytes_of_one_thing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
