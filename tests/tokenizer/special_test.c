/* Special tokens, spaces and odd bytes, on a vocabulary small enough to work out by hand. */
#include "support/support.h"
#include "support/vocab_file.h"

#include <stdlib.h>
#include <string.h>

enum { UNK, BOS, EOS, BYTE0, SPACE = BYTE0 + 256, A, B, SPACE_A, AB, SPACE_AB, TURN, NAME, N_TOKENS };

/* SentencePiece: all bytes, "a", "b" and what they merge to, a control token and a user-defined one. */
static mn_tokenizer *open_spm(bool space_prefix) {
    static char byte_names[256][8];
    const char *tokens[N_TOKENS] = {
        [UNK] = "<unk>",  [BOS] = "<s>", [EOS] = "</s>",     [SPACE] = "▁",         [A] = "a",        [B] = "b",
        [SPACE_A] = "▁a", [AB] = "ab",   [SPACE_AB] = "▁ab", [TURN] = "<|im_end|>", [NAME] = "[name]"};
    int32_t types[N_TOKENS] = {2, 3, 3};
    float scores[N_TOKENS] = {0};
    for (int i = 3; i < N_TOKENS; i++) types[i] = 1, scores[i] = (float)-i;
    for (int b = 0; b < 256; b++) {
        snprintf(byte_names[b], sizeof byte_names[b], "<0x%02X>", b);
        tokens[BYTE0 + b] = byte_names[b];
        types[BYTE0 + b] = 6;
    }
    types[NAME] = 4;
    vocab_file file = vocab_file_begin("llama");
    vocab_file_texts(&file, "tokens", tokens, N_TOKENS);
    vocab_file_i32s(&file, "token_type", types, N_TOKENS);
    vocab_file_f32s(&file, "scores", scores, N_TOKENS);
    vocab_file_bool(&file, "add_space_prefix", space_prefix);
    mn_tokenizer *tokenizer;
    mn_error err;
    assert_ok(vocab_file_load(&file, &tokenizer, &err), err);
    return tokenizer;
}

/* Tokenises and compares with the ids wanted, up to -1. */
static void expect_ids(const mn_tokenizer *t, const char *text, bool special, const int32_t *wanted) {
    int32_t *ids;
    size_t n, i;
    mn_error err;
    assert_ok(mn_tokenize(t, text, strlen(text), false, special, &ids, &n, &err), err);
    for (i = 0; wanted[i] >= 0; i++)
        if (i >= n || ids[i] != wanted[i])
            fail_msg("\"%s\", id %zu: %d, wanted %d", text, i, i < n ? ids[i] : -1, wanted[i]);
    assert_int_equal(n, i);
    free(ids);
}
#define IDS(...)                                                                                                       \
    (const int32_t[]) { __VA_ARGS__, -1 }

static void merges_by_score(void **state) {
    (void)state;
    mn_tokenizer *t = open_spm(true);
    expect_ids(t, "a", false, IDS(SPACE_A));
    /* "▁a" has a higher score than "ab", so that "▁ab" is made of "▁a" and "b". */
    expect_ids(t, "ab", false, IDS(SPACE_AB));
    expect_ids(t, "bab", false, IDS(SPACE, B, AB));
    expect_ids(t, " a", false, IDS(SPACE, SPACE_A));
    expect_ids(t, "", false, (const int32_t[]){-1});
    expect_ids(t, "aé", false, IDS(SPACE_A, BYTE0 + 0xc3, BYTE0 + 0xa9));
    mn_tokenizer_destroy(t);
}

static void text_cannot_forge_control_tokens(void **state) {
    (void)state;
    mn_tokenizer *t = open_spm(false);
    expect_ids(t, "a<s>", false, IDS(A, BYTE0 + '<', BYTE0 + 's', BYTE0 + '>'));
    expect_ids(t, "a<s>", true, IDS(A, BOS));
    expect_ids(t, "b<|im_end|>a", true, IDS(B, TURN, A));
    expect_ids(t, "<0x41>", false, IDS(BYTE0 + '<', BYTE0 + '0', BYTE0 + 'x', BYTE0 + '4', BYTE0 + '1', BYTE0 + '>'));
    expect_ids(t, "<0x41>", true, IDS(BYTE0 + '<', BYTE0 + '0', BYTE0 + 'x', BYTE0 + '4', BYTE0 + '1', BYTE0 + '>'));
    int32_t *ids;
    size_t n;
    mn_error err;
    assert_ok(mn_tokenize(t, "<|im_end|>", 10, false, false, &ids, &n, &err), err);
    assert_int_equal(n, 10);
    for (size_t i = 0; i < n; i++) assert_int_not_equal(ids[i], TURN);
    free(ids);
    mn_tokenizer_destroy(t);
}

static void user_defined_tokens_always_count(void **state) {
    (void)state;
    mn_tokenizer *t = open_spm(true);
    expect_ids(t, "a[name]b", false, IDS(SPACE_A, NAME, SPACE, B));
    expect_ids(t, "[name]", false, IDS(NAME));
    mn_tokenizer_destroy(t);
}

static void marked_text_stays_text(void **state) {
    (void)state;
    mn_tokenizer *t = open_spm(false);
    const char *text = "<s>a<s><s>b";
    mn_text_range plain[] = {{3, 7}};
    int32_t *ids, wanted[] = {BOS, A, BYTE0 + '<', BYTE0 + 's', BYTE0 + '>', BOS, B};
    size_t n;
    mn_error err;
    assert_ok(mn_tokenize_prompt(t, text, strlen(text), plain, 1, &ids, &n, &err), err);
    assert_int_equal(n, 7);
    assert_memory_equal(ids, wanted, sizeof wanted);
    free(ids);
    mn_tokenizer_destroy(t);
}

/* A small SentencePiece vocabulary of a model called `name`; types: 3 control, 4 user-defined, 1 normal. */
static mn_tokenizer *open_named(const char *name_key, const char *name, const char *const *tokens, const int32_t *types,
                                size_t n) {
    float scores[32] = {0};
    vocab_file file = vocab_file_begin("llama");
    vocab_file_texts(&file, "tokens", tokens, n);
    vocab_file_i32s(&file, "token_type", types, n);
    vocab_file_f32s(&file, "scores", scores, n);
    vocab_file_foreign_text(&file, name_key, name);
    mn_tokenizer *tokenizer;
    mn_error err;
    assert_ok(vocab_file_load(&file, &tokenizer, &err), err);
    return tokenizer;
}

/* Special tokens of Phi-3 swallow white space behind them, but for <s>, <unk> and <|endoftext|>; other models' do not.
 */
static void special_tokens_strip_by_name(void **state) {
    (void)state;
    enum { T_UNK, T_BOS, T_EOS, T_USER, T_TEXT, T_SPACE, T_A, T_SPACE_A, T_LINE };
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<|user|>", "<|endoftext|>", "▁", "a", "▁a", "\n"};
    static const int32_t types[] = {2, 3, 3, 4, 3, 1, 1, 1, 1};
    static const struct {
        const char *key, *name;
        bool strips;
    } models[] = {
        {"general.name", "Phi-3-mini-4k", true},  {"general.name", "my PHI3 tune", true},
        {"general.name", "Phi 3.5 mini", true},   {"general.basename", "Phi-3", true},
        {"general.architecture", "phi3", true},   {"general.name", "Llama 3", false},
        {"general.name", "Dolphin 3", false},     {"general.name", "phi-30", false},
        {"general.architecture", "llama", false},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        mn_tokenizer *t = open_named(models[i].key, models[i].name, tokens, types, 9);
        if (models[i].strips) {
            expect_ids(t, "<|user|>\n a</s> \n<s>a<|user|> \n", true,
                       IDS(T_USER, T_SPACE_A, T_EOS, T_BOS, T_SPACE_A, T_USER));
            expect_ids(t, "<s>\na", true, IDS(T_BOS, T_SPACE, T_LINE, T_A));
            expect_ids(t, "<|endoftext|>\na", true, IDS(T_TEXT, T_SPACE, T_LINE, T_A));
        } else
            expect_ids(t, "<|user|>\na", true, IDS(T_USER, T_SPACE, T_LINE, T_A));
        mn_tokenizer_destroy(t);
    }
}

static void masks_strip_to_their_left(void **state) {
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<mask>", "▁", "a", "▁a"};
    static const int32_t types[] = {2, 3, 3, 3, 1, 1, 1};
    mn_tokenizer *t = open_named("general.architecture", "nomic-bert-moe", tokens, types, 7);
    expect_ids(t, "a \n <mask> a", true, IDS(6, 3, 4, 6));
    mn_tokenizer_destroy(t);
    t = open_named("general.architecture", "llama", tokens, types, 7);
    expect_ids(t, "a <mask>a", true, IDS(6, 4, 3, 6));
    mn_tokenizer_destroy(t);
}

/* Of tokens with one piece text means the last, be they text, special or bytes; all of them print. */
static void the_last_of_equal_pieces_counts(void **state) {
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<x>",    "a",      "▁a",  "<x>",
                                         "a",     " a",  "<s>",  "<0x62>", "<0x62>", "[n]", "[n]"};
    static const int32_t types[] = {2, 3, 3, 3, 1, 1, 3, 1, 1, 3, 6, 6, 4, 4};
    mn_tokenizer *t = open_named("general.name", "twice", tokens, types, 14);
    expect_ids(t, "a", false, IDS(8));
    expect_ids(t, "<x>aab<s>[n]", true, IDS(6, 8, 7, 11, 9, 13));
    char *text;
    size_t bytes;
    mn_error err;
    assert_ok(mn_detokenize(t, IDS(3, 6, 4, 7, 8, 5, 10, 11, 12, 13), 10, true, &text, &bytes, &err), err);
    assert_string_equal(text, "<x><x>aa a abb[n][n]");
    free(text);
    mn_tokenizer_destroy(t);
}

/* Text never becomes the begin or end of text that the file names, whatever type it gives them. */
static void text_cannot_forge_the_ends(void **state) {
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<", "s", ">", "/", "▁"};
    static const char *const words[] = {"<unk>", "ab", "</s>", "a", "b", ">", "/", "▁"};
    static const int32_t normal[] = {2, 1, 1, 1, 1, 1, 1, 1}, defined[] = {2, 4, 4, 1, 1, 1, 1, 1};
    for (int i = 0; i < 4; i++) {
        float scores[8] = {0, 9, 9};
        bool spelled_as_word = i >= 2;
        vocab_file file = vocab_file_begin("llama");
        vocab_file_texts(&file, "tokens", spelled_as_word ? words : tokens, 8);
        vocab_file_i32s(&file, "token_type", i % 2 ? defined : normal, 8);
        vocab_file_f32s(&file, "scores", scores, 8);
        vocab_file_u32(&file, "bos_token_id", 1);
        vocab_file_u32(&file, "eos_token_id", 2);
        mn_tokenizer *t;
        mn_error err;
        assert_ok(vocab_file_load(&file, &t, &err), err);
        if (spelled_as_word)
            expect_ids(t, "ab", false, IDS(7, 3, 4));
        else {
            expect_ids(t, "<s></s>", false, IDS(7, 3, 4, 5, 3, 6, 4, 5));
            expect_ids(t, "<s></s>", true, IDS(1, 2));
        }
        mn_tokenizer_destroy(t);
    }
}

/* Where tokens end in the text: blanks that were added, and white space that was swallowed, belong to none. */
static void tokens_have_places(void **state) {
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<|x|>", "▁", "a", "▁a", "b", "ab", "▁ab"};
    static const int32_t types[] = {2, 3, 3, 3, 1, 1, 1, 1, 1, 1};
    static const char text[] = "ab<|x|> \n ab\xff<|x|>a";
    static const struct {
        const char *name;
        size_t n, ends[9];
    } models[] = {
        {"Phi-3", 6, {2, 7, 12, 13, 18, 19}},          /* ab <|x|> ab ? <|x|> a */
        {"other", 9, {2, 7, 7, 8, 9, 12, 13, 18, 19}}, /* ab <|x|> _ _ ? _ab ? <|x|> a; the first blank is added */
    };
    for (size_t m = 0; m < 2; m++) {
        mn_tokenizer *t = open_named("general.name", models[m].name, tokens, types, 10);
        int32_t *ids;
        size_t *ends, n;
        mn_error err;
        assert_ok(mn_tokenize_marked(t, text, sizeof text - 1, NULL, 0, &ids, &ends, &n, &err), err);
        assert_int_equal(n, models[m].n);
        for (size_t i = 0; i < n; i++)
            if (ends[i] != models[m].ends[i]) fail_msg("%s, token %zu ends at %zu", models[m].name, i, ends[i]);
        free(ids);
        free(ends);
        mn_tokenizer_destroy(t);
    }
}

/* RWKV: the longest token at each place, whatever comes of the rest; files spell bytes as Python does. */
static void takes_the_longest_token(void **state) {
    (void)state;
    enum { T_END, T_A, T_AB, T_ABCD, T_B, T_C, T_BLANKS, T_ODD, T_QUOTE, T_BACK, T_PAD };
    static const char *const tokens[] = {"<s>",    "a",          "ab",  "abcd",  "b",    "c",
                                         "\\n\\n", "\\xe4\\xb8", "\\'", "\\\\x", "[PAD]"};
    static const int32_t types[] = {3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5};
    vocab_file file = vocab_file_begin("rwkv");
    vocab_file_texts(&file, "tokens", tokens, 11);
    vocab_file_i32s(&file, "token_type", types, 11);
    vocab_file_u32(&file, "eot_token_id", T_BLANKS);
    mn_tokenizer *t;
    mn_error err;
    assert_ok(vocab_file_load(&file, &t, &err), err);
    expect_ids(t, "abcabcda", false, IDS(T_AB, T_C, T_ABCD, T_A));
    expect_ids(t, "\n\n\xe4\xb8'\\x", false, IDS(T_BLANKS, T_ODD, T_QUOTE, T_BACK));
    expect_ids(t, "a<s>", true, IDS(T_A, T_END));
    assert_true(mn_tokenizer_is_end(t, T_BLANKS));
    int32_t *ids;
    size_t n;
    assert_int_equal(mn_tokenize(t, "a\n", 2, false, false, &ids, &n, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "0x0a"));
    char *text;
    assert_ok(mn_detokenize(t, IDS(T_BACK, T_BLANKS, T_ODD, T_QUOTE), 4, false, &text, &n, &err), err);
    assert_string_equal(text, "\\x\n\n\xe4\xb8'");
    free(text);
    mn_tokenizer_destroy(t);
}

static void roles_are_known(void **state) {
    (void)state;
    mn_tokenizer *t = open_spm(true);
    const mn_special_tokens *roles = mn_tokenizer_specials(t);
    assert_int_equal(roles->bos, BOS);
    assert_int_equal(roles->eos, EOS);
    assert_int_equal(roles->eot, TURN);
    assert_int_equal(roles->padding, -1);
    assert_true(roles->add_bos && !roles->add_eos);
    assert_true(mn_tokenizer_is_end(t, EOS) && mn_tokenizer_is_end(t, TURN) && !mn_tokenizer_is_end(t, BOS));
    assert_int_equal(mn_tokenizer_find_special(t, "<s>", 3), BOS);
    assert_int_equal(mn_tokenizer_find_special(t, "<s>x", 4), -1);
    assert_int_equal(mn_tokenizer_find_special(t, "a", 1), -1);
    mn_tokenizer_destroy(t);
}

/* The marks that add_special puts are left out of the text again, and pieces show the middle of a text. */
static void pieces_and_text(void **state) {
    (void)state;
    mn_tokenizer *t = open_spm(true);
    int32_t ids[] = {BOS, SPACE_A, SPACE_A, TURN, SPACE_A, BYTE0};
    char *text;
    size_t bytes;
    mn_error err;
    assert_ok(mn_detokenize(t, ids, 6, false, &text, &bytes, &err), err);
    assert_int_equal(bytes, 5);
    assert_memory_equal(text, "a aa\0", 6);
    free(text);
    assert_ok(mn_detokenize(t, ids, 5, true, &text, &bytes, &err), err);
    assert_string_equal(text, "<s>a a<|im_end|>a");
    free(text);
    assert_memory_equal(mn_token_piece(t, SPACE_A, false, &bytes), " a", 2);
    assert_int_equal(bytes, 2);
    mn_token_piece(t, BOS, false, &bytes);
    assert_int_equal(bytes, 0);
    ids[4] = N_TOKENS;
    assert_int_equal(mn_detokenize(t, ids, 6, false, &text, &bytes, &err), MN_ERR_ARGUMENT);
    assert_string_equal(err.text, "Token 4 has the id 267; this model has the ids 0 to 266.");
    mn_tokenizer_destroy(t);
}

static void odd_texts_come_back(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } texts[] = {
        {" ", 1},
        {"  a", 3},
        {"a  ", 3},
        {"\0", 1},
        {"a\0b", 3},
        {"\r\n\t a", 5},
        {"▁", 3},
        {"▁a ▁", 8},
        {"\xff", 1},
        {"a\xc3", 2},
        {"\xe2\x96", 2},
        {"\xed\xa0\x80", 3},
        {"\xf4\x90\x80\x80", 4},
        {"[name] a", 8},
        {" [name]", 7},
        {"<s> a", 5},
        {"🦙", 4},
    };
    for (int prefix = 0; prefix < 2; prefix++) {
        mn_tokenizer *t = open_spm(prefix);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            for (int special = 0; special < 2; special++) {
                int32_t *ids;
                char *back;
                size_t n, bytes;
                mn_error err;
                assert_ok(mn_tokenize(t, texts[i].text, texts[i].bytes, false, special, &ids, &n, &err), err);
                assert_ok(mn_detokenize(t, ids, n, special, &back, &bytes, &err), err);
                if (bytes != texts[i].bytes || memcmp(back, texts[i].text, bytes))
                    fail_msg("text %zu comes back as \"%s\"", i, back);
                free(ids);
                free(back);
            }
        }
        mn_tokenizer_destroy(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_by_score),
        cmocka_unit_test(text_cannot_forge_control_tokens),
        cmocka_unit_test(user_defined_tokens_always_count),
        cmocka_unit_test(marked_text_stays_text),
        cmocka_unit_test(special_tokens_strip_by_name),
        cmocka_unit_test(masks_strip_to_their_left),
        cmocka_unit_test(takes_the_longest_token),
        cmocka_unit_test(the_last_of_equal_pieces_counts),
        cmocka_unit_test(text_cannot_forge_the_ends),
        cmocka_unit_test(tokens_have_places),
        cmocka_unit_test(roles_are_known),
        cmocka_unit_test(pieces_and_text),
        cmocka_unit_test(odd_texts_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
