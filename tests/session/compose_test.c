/* Prompts and answers: templates, user text that tries to be a control token, stop texts, same seed same text. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"
#include "session/compose.h"
#include "session/generate.h"

static const char chatml[] = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
                             "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* tiny-qwen3 with two of its tokens turned into control tokens, and a chat template if wanted. */
static void write_model(const char *path, const char *template, const char *ask_template) {
    mn_gguf *in;
    mn_gguf_writer *out;
    mn_error err;
    assert_ok(mn_gguf_open(data_path("golden/tiny-qwen3.gguf"), &in, &err), err);
    assert_ok(mn_gguf_writer_create(&out, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) mn_gguf_put_kv(out, mn_gguf_kv_at(in, i));
    if (template) mn_gguf_put_string(out, "tokenizer.chat_template", template);
    if (ask_template) mn_gguf_put_string(out, "mnemo.ask_template", ask_template);
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) mn_gguf_put_tensor(out, mn_gguf_tensor_at(in, i));
    assert_ok(mn_gguf_write(out, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(out);
    mn_gguf_close(in);
}

static mn_engine *open_with(const char *template, const char *ask_template, int n_threads) {
    mn_engine *engine;
    mn_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s", temp_path("compose.gguf"));
    write_model(path, template, ask_template);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = n_threads}, &engine, &err), err);
    remove(path); /* stays mapped */
    return engine;
}

static mn_engine *open_engine(const char *template, int n_threads) { return open_with(template, NULL, n_threads); }

/* The text of ids, control tokens spelled out; the caller frees it. */
static char *text_of(const mn_engine *engine, const mn_tokens *tokens) {
    char *text;
    size_t bytes;
    mn_error err;
    assert_ok(mn_detokenize(mn_engine_tokenizer(engine), tokens->data, tokens->n, true, &text, &bytes, &err), err);
    return text;
}

static void assert_prompt(mn_engine *engine, const char *document, const char *prompt, bool raw, const char *want) {
    mn_tokens tokens;
    mn_error err;
    assert_ok(mn_compose_ask(engine, NULL, document, prompt, raw, &tokens, &err), err);
    char *text = text_of(engine, &tokens);
    assert_string_equal(text, want);
    free(text);
    free(tokens.data);
}

static void joins_document_and_question(void **state) {
    (void)state;
    mn_engine *chat = open_engine(chatml, 1), *plain = open_engine(NULL, 1);
    assert_prompt(chat, "the text", "the question", false,
                  "<|im_start|>user\nthe text\n\nthe question<|im_end|>\n<|im_start|>assistant\n");
    assert_prompt(chat, NULL, "hello", false, "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n");
    assert_prompt(chat, "the text", "and more", true, "the textand more");
    assert_prompt(plain, "the text", "the question", false, "the text\nthe question");
    assert_prompt(plain, "{prompt}", "the {document}", false, "{prompt}\nthe {document}");
    mn_engine_close(chat);
    mn_engine_close(plain);
}

/* Each mark is replaced where it stands and never in what was put in; blanks at a document's end are dropped. */
static void ask_templates_are_filled(void **state) {
    (void)state;
    mn_engine *ask = open_with(NULL, "{document}|{prompt}|", 1);
    assert_prompt(ask, "the text", "why?", false, "the text|why?|");
    assert_prompt(ask, " the text \n\t\r\n ", "why? ", false, " the text|why? |");
    assert_prompt(ask, "{prompt}", "{document}", false, "{prompt}|{document}|");
    assert_prompt(ask, "the text ", "why?", true, "the text why?");
    mn_engine_close(ask);
}

static void system_messages_need_a_template(void **state) {
    (void)state;
    mn_engine *plain = open_engine(NULL, 1);
    mn_tokens tokens;
    mn_error err;
    assert_int_equal(mn_compose_ask(plain, "be brief", NULL, "hello", false, &tokens, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "chat template"));
    mn_engine_close(plain);
}

/* A user who writes the spelling of a control token gets its letters, not the token. */
static void user_text_cannot_forge_control_tokens(void **state) {
    (void)state;
    mn_engine *engine = open_engine("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", 1);
    const mn_tokenizer *t = mn_engine_tokenizer(engine);
    const mn_special_tokens *special = mn_tokenizer_specials(t);
    size_t bytes;
    mn_tokens tokens;
    mn_error err;
    assert_true(special->eos >= 0);
    const char *spelling = mn_token_piece(t, special->eos, true, &bytes);
    char said[256];
    snprintf(said, sizeof said, "before %.*s after", (int)bytes, spelling);
    mn_chat_message message = {.role = "user", .content = said};
    assert_ok(mn_compose_chat(engine, &message, 1, &tokens, &err), err);
    int n_eos = 0;
    for (size_t i = 0; i < tokens.n; i++) n_eos += tokens.data[i] == special->eos;
    assert_int_equal(n_eos, 1); /* the template's own */
    assert_int_equal(tokens.data[tokens.n - 1], special->eos);
    free(tokens.data);
    mn_engine_close(engine);
}

typedef struct collected {
    char text[4096];
    size_t bytes;
} collected;

static bool collect(void *arg, const char *text, size_t bytes) {
    collected *c = arg;
    assert_true(bytes > 0);
    if (c->bytes + bytes < sizeof c->text) memcpy(c->text + c->bytes, text, bytes);
    c->bytes += bytes;
    c->text[c->bytes] = 0;
    return true;
}

/* Sixty tokens after a fixed prompt, cut at `stop`. */
static void generate(int n_threads, uint64_t seed, const char *stop, collected *out) {
    mn_engine *engine = open_engine(NULL, n_threads);
    mn_session *session;
    mn_sampler *sampler;
    mn_generated generated;
    mn_error err;
    const char *stops[] = {stop, NULL};
    mn_generate_params params = {.n_predict = 60, .stops = stop ? stops : NULL};
    mn_sampler_params sampling = mn_sampler_defaults();
    sampling.seed = seed;
    *out = (collected){0};
    int32_t prompt[] = {1, 2, 3, 4, 5};
    assert_ok(mn_session_open(engine, &(mn_session_params){.n_ctx = 128}, &session, &err), err);
    assert_ok(mn_session_sync(session, prompt, 5, NULL, NULL, NULL, &err), err);
    assert_ok(mn_sampler_create(&sampling, mn_engine_info(engine).n_vocab, &sampler, &err), err);
    assert_ok(mn_generate(session, sampler, &params, collect, out, &generated, &err), err);
    mn_sampler_destroy(sampler);
    mn_session_close(session);
    mn_engine_close(engine);
}

static void same_seed_same_text_at_any_thread_count(void **state) {
    (void)state;
    static collected one, three, other;
    generate(1, 42, NULL, &one);
    generate(3, 42, NULL, &three);
    generate(1, 43, NULL, &other);
    assert_string_equal(one.text, three.text);
    assert_string_not_equal(one.text, other.text);
    assert_true(one.bytes > 40);
}

static void stop_texts_end_the_answer_unseen(void **state) {
    (void)state;
    static collected whole, cut;
    char stop[8] = {0};
    generate(1, 42, NULL, &whole);
    memcpy(stop, whole.text + whole.bytes / 2, 5);
    char *first = strstr(whole.text, stop);
    generate(1, 42, stop, &cut);
    assert_int_equal(cut.bytes, first - whole.text);
    assert_memory_equal(cut.text, whole.text, cut.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_document_and_question),
        cmocka_unit_test(ask_templates_are_filled),
        cmocka_unit_test(system_messages_need_a_template),
        cmocka_unit_test(user_text_cannot_forge_control_tokens),
        cmocka_unit_test(same_seed_same_text_at_any_thread_count),
        cmocka_unit_test(stop_texts_end_the_answer_unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
