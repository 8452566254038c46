/* The published pairs of text and ids, for nine real vocabularies; each text also comes back from its ids. */
#include "support/roundtrip.h"
#include "support/support.h"

#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* One line of ids, which must be what tokenising gives. */
static void check_ids(const mn_tokenizer *tokenizer, const char *name, int number, const char *text, size_t bytes,
                      bool special, const char *line) {
    int32_t *ids;
    size_t n, i = 0;
    mn_error err;
    assert_ok(mn_tokenize(tokenizer, text, bytes, false, special, &ids, &n, &err), err);
    for (char *end; *line; line = end, i++) {
        long id = strtol(line, &end, 10);
        if (end == line) break;
        if (i >= n || ids[i] != id)
            fail_msg("%s, text %d, id %zu: %d, wanted %ld", name, number, i, i < n ? ids[i] : -1, id);
    }
    if (i != n) fail_msg("%s, text %d: %zu ids, wanted %zu", name, number, n, i);
    free(ids);
}

static void check_text(const mn_tokenizer *tokenizer, const char *name, int number, const char *text, size_t bytes,
                       const char *line) {
    check_ids(tokenizer, name, number, text, bytes, false, line);
    if (!strstr(name, "bert")) check_round_trip(tokenizer, name, text, bytes);
}

static void check_vocabulary(const char *name) {
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char file[128];
    snprintf(file, sizeof file, "tokenizers/ggml-vocab-%s.gguf", name);
    mn_tokenizer *tokenizer = open_vocabulary(shared_path(file));
    size_t bytes;
    snprintf(file, sizeof file, "tokenizers/ggml-vocab-%s.gguf.inp", name);
    char *texts = read_all(shared_path(file), &bytes);
    snprintf(file, sizeof file, "tokenizers/ggml-vocab-%s.gguf.out", name);
    char *lines = read_all(shared_path(file), &bytes);
    int number = 0;
    char *text = texts, *line = lines;
    for (char *text_end, *line_end; (line_end = strchr(line, '\n')); line = line_end + 1, number++) {
        *line_end = 0;
        text_end = strstr(text, separator);
        assert_non_null(text_end);
        check_text(tokenizer, name, number, text, (size_t)(text_end - text), line);
        text = text_end + strlen(separator);
    }
    assert_int_equal(number, 46);
    free(texts);
    free(lines);
    mn_tokenizer_destroy(tokenizer);
}

#define VOCABULARY(test, name)                                                                                         \
    static void test(void **state) {                                                                                   \
        (void)state;                                                                                                   \
        check_vocabulary(name);                                                                                        \
    }
VOCABULARY(bert_bge, "bert-bge")
VOCABULARY(deepseek_llm, "deepseek-llm")
VOCABULARY(falcon, "falcon")
VOCABULARY(gpt_2, "gpt-2")
VOCABULARY(llama_bpe, "llama-bpe")
VOCABULARY(llama_spm, "llama-spm")
VOCABULARY(phi_3, "phi-3")
VOCABULARY(qwen2, "qwen2")
VOCABULARY(starcoder, "starcoder")

static void phi_3_special(void **state) {
    (void)state;
    static const struct {
        const char *text, *ids;
    } wanted[] = {{"<|user|>\nHello<|end|>\n<|assistant|>", "32010 15043 32007 32001"},
                  {"<|user|> \n\tHello <|end|>\n<|assistant|>\n", "32010 15043 29871 32007 32001"}};
    mn_tokenizer *t = open_vocabulary(shared_path("tokenizers/ggml-vocab-phi-3.gguf"));
    for (int i = 0; i < 2; i++) check_ids(t, "phi-3", i, wanted[i].text, strlen(wanted[i].text), true, wanted[i].ids);
    mn_tokenizer_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_bge),  cmocka_unit_test(deepseek_llm),  cmocka_unit_test(falcon), cmocka_unit_test(gpt_2),
        cmocka_unit_test(llama_bpe), cmocka_unit_test(llama_spm),     cmocka_unit_test(phi_3),  cmocka_unit_test(qwen2),
        cmocka_unit_test(starcoder), cmocka_unit_test(phi_3_special),
    };
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
