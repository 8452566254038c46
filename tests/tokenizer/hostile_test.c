/* Vocabularies that are wrong: each is a sentence that names what is wrong, never a crash. */
#include "support/support.h"
#include "support/vocab_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_error(vocab_file *file, const char *sentence) {
    mn_tokenizer *tokenizer = NULL;
    mn_error err = {0};
    if (vocab_file_load(file, &tokenizer, &err) == MN_OK) fail_msg("loaded, wanted: %s", sentence);
    assert_null(tokenizer);
    if (!strstr(err.text, sentence)) fail_msg("\"%s\", wanted: %s", err.text, sentence);
}

static vocab_file begin(const char *model, size_t n, const char *const *tokens) {
    vocab_file file = vocab_file_begin(model);
    vocab_file_texts(&file, "tokens", tokens, n);
    return file;
}
#define TOKENS(...)                                                                                                    \
    sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]) { __VA_ARGS__ }

static void missing_keys(void **state) {
    (void)state;
    vocab_file none = {.keys = MN_STRBUF_INIT}, file;
    expect_error(&none, "tokenizer.ggml.model is missing");
    file = vocab_file_begin("t5");
    expect_error(&file, "\"t5\"");
    file = vocab_file_begin("llama");
    expect_error(&file, "tokenizer.ggml.tokens is missing");
    file = vocab_file_begin("llama");
    vocab_file_texts(&file, "tokens", NULL, 0);
    expect_error(&file, "tokenizer.ggml.tokens is empty");
    file = begin("llama", TOKENS("a"));
    expect_error(&file, "tokenizer.ggml.scores is missing");
    file = begin("gpt2", TOKENS("a"));
    expect_error(&file, "tokenizer.ggml.merges is missing");
    file = vocab_file_begin("llama");
    vocab_file_text(&file, "tokens", "a");
    expect_error(&file, "tokenizer.ggml.tokens");
}

static void wrong_scores_and_types(void **state) {
    (void)state;
    vocab_file file = begin("llama", TOKENS("a", "b"));
    vocab_file_f32s(&file, "scores", (float[]){0}, 1);
    expect_error(&file, "tokenizer.ggml.scores has 1 items, but tokenizer.ggml.tokens has 2");
    file = begin("llama", TOKENS("a", "b"));
    vocab_file_f32s(&file, "scores", (float[]){0, NAN}, 2);
    expect_error(&file, "score of token 1 is not a number");
    file = begin("bert", TOKENS("a", "b"));
    vocab_file_i32s(&file, "token_type", (int32_t[]){1, 1, 1}, 3);
    expect_error(&file, "tokenizer.ggml.token_type has 3 items");
    file = begin("bert", TOKENS("a", "b"));
    vocab_file_i32s(&file, "token_type", (int32_t[]){1, 7}, 2);
    expect_error(&file, "Token 1 has type 7");
    file = begin("bert", TOKENS("a", "b"));
    vocab_file_i32s(&file, "token_type", (int32_t[]){1, -1}, 2);
    expect_error(&file, "Token 1 has type -1");
    file = begin("bert", TOKENS("a", "<0xG0>"));
    vocab_file_i32s(&file, "token_type", (int32_t[]){1, 6}, 2);
    expect_error(&file, "Token 1 is a byte token but is spelled \"<0xG0>\"");
}

static void wrong_tokens(void **state) {
    (void)state;
    char *endless = calloc(5001, 1);
    memset(endless, 'x', 5000);
    vocab_file file = begin("bert", TOKENS("a", endless));
    expect_error(&file, "Token 1 is 5000 bytes long; the limit is 4096");
    free(endless);
}

static void wrong_merges(void **state) {
    (void)state;
    static const char *const merges[] = {"ab", "", " ", "a ", " a", "  "};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        vocab_file file = begin("gpt2", TOKENS("a", "b", "ab"));
        vocab_file_texts(&file, "merges", (const char *[]){"a b", merges[i]}, 2);
        expect_error(&file, "Merge 1, \"");
    }
    vocab_file file = begin("gpt2", TOKENS("a", "b", "ab"));
    vocab_file_texts(&file, "merges", (const char *[]){"a b"}, 1);
    vocab_file_text(&file, "pre", "gpt-17");
    expect_error(&file, "\"gpt-17\" is not known here; known are: default gpt-2");
}

/* Merges of pieces that are no tokens go on to one that is, and end in bytes else; unspellable ones do nothing. */
static void merges_through_pieces_without_a_token(void **state) {
    (void)state;
    static const char *const merges[] = {"a b", "b c", "ab c", "c c", "\xff b", "a b c", "abc d"};
    static const int32_t want[] = {4, 2, 2, 0, 1, 3};
    vocab_file file = begin("gpt2", TOKENS("a", "b", "c", "d", "abc"));
    vocab_file_texts(&file, "merges", merges, 7);
    mn_tokenizer *t;
    int32_t *ids;
    size_t n;
    mn_error err;
    assert_ok(vocab_file_load(&file, &t, &err), err);
    assert_ok(mn_tokenize(t, "abccc1abd", 5, false, false, &ids, &n, &err), err);
    assert_int_equal(n, 3); /* abc, then "cc", which no token spells */
    assert_memory_equal(ids, want, 3 * sizeof *want);
    free(ids);
    assert_ok(mn_tokenize(t, "abd", 3, false, false, &ids, &n, &err), err);
    assert_int_equal(n, 3);
    assert_memory_equal(ids, want + 3, 3 * sizeof *want);
    free(ids);
    mn_tokenizer_destroy(t);
}

static void wrong_roles(void **state) {
    (void)state;
    vocab_file file = begin("bert", TOKENS("a", "b"));
    vocab_file_u32(&file, "cls_token_id", 2);
    expect_error(&file, "tokenizer.ggml.cls_token_id names no token of the vocabulary");
    file = begin("gpt2", TOKENS("a", "b"));
    vocab_file_texts(&file, "merges", NULL, 0);
    vocab_file_u32(&file, "bos_token_id", 2);
    vocab_file_bool(&file, "add_bos_token", true);
    expect_error(&file, "tokenizer.ggml.bos_token_id names no token of the vocabulary");
    file = begin("bert", TOKENS("a", "b"));
    vocab_file_bool(&file, "add_bos_token", true);
    expect_error(&file, "tokenizer.ggml.add_bos_token is true");
}

/* Ids outside the vocabulary that nothing needs are none, and a note says so. */
static void unneeded_roles(void **state) {
    (void)state;
    static const char *const keys[] = {"bos_token_id", "eos_token_id",     "eot_token_id",
                                       "eom_token_id", "padding_token_id", "unknown_token_id"};
    vocab_file file = begin("gpt2", TOKENS("a", "b"));
    vocab_file_texts(&file, "merges", NULL, 0);
    for (size_t i = 0; i < 6; i++) vocab_file_u32(&file, keys[i], i % 2 ? 2 : 0xffffffff);
    vocab_file_bool(&file, "add_bos_token", false);
    vocab_file_bool(&file, "add_eos_token", true);
    mn_tokenizer *t;
    mn_error err;
    assert_ok(vocab_file_load(&file, &t, &err), err);
    const mn_special_tokens *roles = mn_tokenizer_specials(t);
    assert_int_equal(roles->bos, -1);
    assert_int_equal(roles->eos, -1);
    assert_int_equal(roles->eot, -1);
    assert_int_equal(roles->padding, -1);
    assert_int_equal(roles->unknown, -1);
    assert_false(roles->add_bos || roles->add_eos);
    assert_string_equal(mn_tokenizer_note(t, 0),
                        "tokenizer.ggml.bos_token_id is 4294967295, but the vocabulary has the "
                        "tokens 0 to 1; it counts as none.");
    assert_non_null(mn_tokenizer_note(t, 5));
    assert_null(mn_tokenizer_note(t, 6));
    assert_null(mn_tokenizer_note(t, -1));
    mn_tokenizer_destroy(t);
}

/* Nothing in the vocabulary spells the text. */
static void unspellable_texts(void **state) {
    (void)state;
    vocab_file file = begin("gpt2", TOKENS("a", "", ""));
    vocab_file_texts(&file, "merges", NULL, 0);
    mn_tokenizer *t;
    int32_t *ids;
    size_t n;
    mn_error err;
    assert_ok(vocab_file_load(&file, &t, &err), err);
    assert_int_equal(mn_tokenize(t, "ab", 2, true, true, &ids, &n, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "byte 0x62"));
    mn_tokenizer_destroy(t);
    file = begin("bert", TOKENS("▁a"));
    assert_ok(vocab_file_load(&file, &t, &err), err);
    assert_int_equal(mn_tokenize(t, "a b", 3, true, true, &ids, &n, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "\"b\""));
    mn_tokenizer_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_keys),   cmocka_unit_test(wrong_scores_and_types),
        cmocka_unit_test(wrong_tokens),   cmocka_unit_test(wrong_merges),
        cmocka_unit_test(wrong_roles),    cmocka_unit_test(merges_through_pieces_without_a_token),
        cmocka_unit_test(unneeded_roles), cmocka_unit_test(unspellable_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
