/* Where each scheme cuts; worked out by hand from its regular expressions. */
#include "support/support.h"

#include "base/strbuf.h"
#include "tokenizer/pretokenize.h"

#include <string.h>

static mn_status put_word(void *arg, const char *word, size_t bytes, mn_error *err) {
    (void)err;
    mn_strbuf *out = arg;
    if (out->bytes) mn_strbuf_putc(out, '|');
    mn_strbuf_put(out, word, bytes);
    return MN_OK;
}

static void expect(const char *names, const char *text, const char *wanted) {
    for (const char *name = names; *name;) {
        size_t n = strcspn(name, " ");
        mn_pretokenizer *pre;
        mn_strbuf words = MN_STRBUF_INIT;
        mn_error err;
        assert_ok(mn_pretokenizer_create(name, n, &pre, &err), err);
        assert_ok(mn_pretokenize(pre, text, strlen(text), put_word, &words, &err), err);
        assert_string_equal(words.data, wanted);
        mn_strbuf_release(&words);
        mn_pretokenizer_destroy(pre);
        name += n + (name[n] == ' ');
    }
}

static const char sample[] = "I'll pay  $12345, OK?\n\nÜber 'RE  ";

static void gpt2_family(void **state) {
    (void)state;
    expect("gpt-2 phi-2 mpt olmo jais jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code gigachat "
           "roberta-bpe exaone4 a.x-4.0 mellum trillion granite-docling",
           sample, "I|'ll| pay| | $|12345|,| OK|?|\n|\n|Über| '|RE|  ");
    expect("starcoder refact command-r smollm codeshell exaone minerva-7b", sample,
           "I|'ll| pay| | $|1|2|3|4|5|,| OK|?|\n|\n|Über| '|RE|  ");
    expect("falcon", sample, "I|'|ll| pay|  |$|123|45|,| OK|?|\n|\n|Über| |'|RE|  ");
    expect("default", sample, "I|'|ll| pay|  |$|123|45|,| OK|?|\n|\n|Über| |'|RE|  ");
    expect("bloom poro-chat gpt3-finnish", sample, "I'll| pay| | $12345|,| OK|?\n\n|Über| 'RE|  ");
    expect("viking", sample, "I'll| pay| | $|1|2|3|4|5|,| OK|?\n\n|Über| 'RE|  ");
}

static void llama3_family(void **state) {
    (void)state;
    expect("llama-bpe llama3 llama-v3 falcon3 falcon-h1 lfm2 pixtral midm-2.0 dbrx smaug-bpe chatglm-bpe glm4", sample,
           "I|'ll| pay| | $|123|45|,| OK|?\n\n|Über| '|RE|  ");
    expect("qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan solar-open grok-2", sample,
           "I|'ll| pay| | $|1|2|3|4|5|,| OK|?\n\n|Über| '|RE|  ");
    expect("llama-bpe", "it'S \n \n x", "it|'S| \n \n| x");
    expect("qwen2", "(word)\r\n", "(word|)\r\n");
}

static void cased_family(void **state) {
    (void)state;
    expect("gpt-4o llama4 kanana2 minimax-m2", sample, "I'll| pay| | $|123|45|,| OK|?\n\n|Über| '|RE|  ");
    expect("tekken", sample, "I|'ll| pay| | $|1|2|3|4|5|,| OK|?\n\n|Über| '|RE|  ");
    expect("gpt-4o tekken", "HelloWorld camelCase", "Hello|World| camel|Case");
    expect("superbpe", "a 12345 b 123", "a |12|345| b |123");
    expect("gemma4", "a b\n\nc", "a b|\n\n|c");
}

static void deepseek_family(void **state) {
    (void)state;
    expect("deepseek-llm", "Say 中文ok, 123!\n  ", "Say| |中文|ok|,| |123|!|\n|  ");
    expect("deepseek-coder", "Say 中文ok, 12!\n  ", "Say| |中文|ok|,| |1|2|!|\n|  ");
    expect("deepseek-v3 hunyuan-dense joyai-llm", "Say 中文かな ok, 12345 ~é\n  x",
           "Say| |中文かな| ok|,| |123|45| ~|é|\n| | x");
}

/* White space is what Unicode says; U+180E, which PCRE2's own class adds, is not. */
static void unicode_spaces(void **state) {
    (void)state;
    expect("gpt-2", "a\u00a0\u3000b", "a|\u00a0|\u3000|b");
    expect("gpt-2", "a\u180e\u180eb", "a|\u180e\u180e|b");
    expect("gpt-2",
           "a\xc2\x85"
           "b",
           "a|\xc2\x85|b");
}

/* Qwen 3.5 keeps marks with their letters; Kimi keeps Chinese apart, and capitals with the small letters behind them.
 */
static void hybrids_cut_words(void **state) {
    (void)state;
    expect("qwen35", "I'LL pay 123 e\u0301te\u0301!\n\n x", "I|'LL| pay| |1|2|3| e\u0301te\u0301|!\n\n| x");
    expect("kimi-k2", "iPhoneX's \u4e2d\u6587abc 1234 ok?", "i|Phone|X's| |\u4e2d\u6587|abc| |123|4| ok|?");
    expect("lfm2", "Don't 12345", "Don|'t| |123|45");
}

static void unknown_names(void **state) {
    (void)state;
    mn_pretokenizer *pre = NULL;
    mn_error err;
    assert_int_equal(mn_pretokenizer_create("gpt-", 4, &pre, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "\"gpt-\" is not known here; known are: default gpt-2"));
    assert_non_null(strstr(err.text, " deepseek-v3. Some of these have other names too.")); /* whole: none is cut off */
    assert_int_equal(mn_pretokenizer_create("", 0, &pre, &err), MN_ERR_UNSUPPORTED);
    assert_null(pre);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_family),     cmocka_unit_test(llama3_family),  cmocka_unit_test(cased_family),
        cmocka_unit_test(deepseek_family), cmocka_unit_test(unicode_spaces), cmocka_unit_test(hybrids_cut_words),
        cmocka_unit_test(unknown_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
