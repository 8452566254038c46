/* What is tokenised comes back byte for byte, and no text takes more than linear time. */
#include "support/roundtrip.h"
#include "support/support.h"

#include "base/strbuf.h"

#include <stdlib.h>

static const char *const models[] = {"golden/tiny-gpt2.gguf", "golden/tiny-phi3.gguf",
                                     "tokenizers/ggml-vocab-llama-bpe.gguf"};
enum { N_MODELS = sizeof models / sizeof *models, MEGABYTE = 1 << 20 };

static void prose_comes_back(void **state) {
    (void)state;
    for (int m = 0; m < N_MODELS; m++) {
        const char *path = data_path("corpora/small/tinyshakespeare.txt");
        size_t bytes;
        char *text = path ? read_all(path, &bytes) : NULL;
        mn_tokenizer *t = text ? open_vocabulary(models[m]) : NULL;
        if (!text) leave_out("a play through this vocabulary and back", models[m]);
        if (t) check_round_trip(t, "tinyshakespeare", text, bytes);
        mn_tokenizer_destroy(t);
        free(text);
    }
}

/* `unit` over and over, then `last`. */
static mn_strbuf repeat(const char *unit, const char *last) {
    mn_strbuf text = MN_STRBUF_INIT;
    while (text.bytes < MEGABYTE) mn_strbuf_puts(&text, unit);
    mn_strbuf_puts(&text, last);
    return text;
}

/* Quadratic work on a megabyte would take hours; ten seconds leave room for any machine and sanitizer. */
static void megabytes_of_one_thing(void **state) {
    (void)state;
    static const struct {
        const char *unit, *last;
    } texts[] = {
        {"a", ""},  {" ", ""}, {" ", "x"}, {" ", "中"},       {"🦙", ""},
        {"\n", ""}, {"7", ""}, {"'", ""},  {"<|im_end|", ""},
    };
    for (int m = 0; m < N_MODELS; m++) {
        mn_tokenizer *t = open_vocabulary(models[m]);
        for (size_t i = 0; t && i < sizeof texts / sizeof *texts; i++) {
            mn_strbuf text = repeat(texts[i].unit, texts[i].last);
            double seconds = check_round_trip(t, texts[i].unit, text.data, text.bytes);
            if (seconds > 10) fail_msg("%s: a megabyte of \"%s\" took %.1f s", models[m], texts[i].unit, seconds);
            mn_strbuf_release(&text);
        }
        mn_tokenizer_destroy(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(prose_comes_back), cmocka_unit_test(megabytes_of_one_thing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
