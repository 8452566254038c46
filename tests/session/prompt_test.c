/* The ids of a prompt: begin and end of text, tokens that strip, spellings that occur twice, ids that no text has. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"
#include "session/compose.h"
#include "session/generate.h"

static mn_engine *open_fault(const char *name) {
    char path[4096];
    mn_engine *engine;
    mn_error err;
    snprintf(path, sizeof path, "%s/tests/data/faults/%s.gguf", MNEMO_SOURCE_DIR, name);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 1}, &engine, &err), err);
    return engine;
}

static int count(const mn_tokens *tokens, int32_t id) {
    int n = 0;
    for (size_t i = 0; i < tokens->n; i++) n += tokens->data[i] == id;
    return n;
}

/* The prompt's ids; the caller frees them. */
static mn_tokens ask(mn_engine *engine, const char *prompt, bool raw) {
    mn_tokens tokens;
    mn_error err;
    assert_ok(mn_compose_ask(engine, NULL, NULL, prompt, raw, &tokens, &err), err);
    return tokens;
}

static void assert_text(const mn_engine *engine, const mn_tokens *tokens, const char *want) {
    char *text;
    size_t bytes;
    mn_error err;
    assert_ok(mn_detokenize(mn_engine_tokenizer(engine), tokens->data, tokens->n, true, &text, &bytes, &err), err);
    assert_string_equal(text, want);
    free(text);
}

/* The model's template writes a line's end and then BOS: that is the only one. Text gets one in front, and no other,
 * whatever it spells. */
static void begin_of_text_stands_once(void **state) {
    (void)state;
    mn_engine *engine = open_fault("bos-after-newline");
    int32_t bos = mn_tokenizer_specials(mn_engine_tokenizer(engine))->bos;
    static const char *const prompts[] = {"hi", "<s>", "<s>hi<s>", "\n<s>", ""};
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        for (int raw = 0; raw < 2; raw++) {
            mn_tokens tokens = ask(engine, prompts[i], raw);
            assert_int_equal(count(&tokens, bos), 1);
            if (raw) assert_int_equal(tokens.data[0], bos);
            free(tokens.data);
        }
    }
    mn_engine_close(engine);
}

/* add_eos_token is for texts that are whole, not for one that is to be continued. */
static void end_of_text_is_never_added(void **state) {
    (void)state;
    mn_engine *engine = open_fault("add-eos");
    const mn_special_tokens *special = mn_tokenizer_specials(mn_engine_tokenizer(engine));
    assert_true(special->add_eos);
    for (int raw = 0; raw < 2; raw++) {
        mn_tokens tokens = ask(engine, "hi</s>", raw);
        assert_int_equal(count(&tokens, special->eos), 0);
        assert_int_equal(tokens.data[0], special->bos);
        assert_text(engine, &tokens, raw ? "<s>hi</s>" : "<s>[user]hi</s>[assistant]");
        free(tokens.data);
    }
    mn_engine_close(engine);
}

/* Phi-3's tokens swallow the line ends behind them, so that the word that follows is the one with a space. */
static void special_tokens_strip(void **state) {
    (void)state;
    mn_engine *engine = open_fault("phi3-rstrip");
    mn_tokens tokens = ask(engine, " \n hi", false);
    assert_text(engine, &tokens, "<s><|user|>hi<|end|><|assistant|>");
    free(tokens.data);
    tokens = ask(engine, "<|user|>\n hi", true); /* not the token, so nothing is swallowed */
    assert_text(engine, &tokens, "<s><|user|>\n hi");
    free(tokens.data);
    mn_engine_close(engine);
}

/* Of two ids spelled alike text means the last; both print. */
static void spellings_may_occur_twice(void **state) {
    (void)state;
    mn_engine *engine = open_fault("spelled-twice");
    const mn_tokenizer *t = mn_engine_tokenizer(engine);
    mn_tokens tokens = ask(engine, " t", true);
    assert_int_equal(tokens.n, 1);
    assert_int_equal(tokens.data[0], 500);
    free(tokens.data);
    const mn_tokens both = {(int32_t[]){256, 500}, 2};
    assert_text(engine, &both, " t t");
    size_t bytes;
    mn_token_piece(t, 512, true, &bytes);
    assert_int_equal(bytes, 0);
    mn_token_piece(t, -1, true, &bytes);
    assert_int_equal(bytes, 0);
    mn_engine_close(engine);
}

static void unneeded_ids_are_noted(void **state) {
    (void)state;
    mn_engine *engine = open_fault("bos-out");
    const mn_tokenizer *t = mn_engine_tokenizer(engine);
    assert_string_equal(mn_tokenizer_note(t, 0),
                        "tokenizer.ggml.bos_token_id is 4294967295, but the vocabulary has the "
                        "tokens 0 to 511; it counts as none.");
    assert_null(mn_tokenizer_note(t, 1));
    mn_tokens tokens = ask(engine, "the cat", false);
    assert_text(engine, &tokens, "the cat");
    free(tokens.data);
    mn_engine_close(engine);
}

/* What a template does not reach does not matter; an index may stand behind a dot. */
static void templates_of_real_models_work(void **state) {
    (void)state;
    mn_engine *engine = open_fault("template-append");
    mn_tokens tokens = ask(engine, "hi", false);
    assert_text(engine, &tokens, "[user]hi");
    free(tokens.data);
    mn_chat_message call = {.role = "assistant", .fields_json = "{\"tool_calls\": [1], \"id\": 7}"};
    mn_error err;
    assert_int_equal(mn_compose_chat(engine, &call, 1, &tokens, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "\"append\""));
    mn_engine_close(engine);
    engine = open_fault("template-dotted");
    tokens = ask(engine, "hi", false);
    assert_text(engine, &tokens, "[user]hi");
    free(tokens.data);
    mn_chat_message parts = {.role = "user", .fields_json = "{\"content\": [{\"type\": \"text\", \"text\": \"ho\"}]}"};
    assert_ok(mn_compose_chat(engine, &parts, 1, &tokens, &err), err);
    assert_text(engine, &tokens, "ho");
    free(tokens.data);
    mn_engine_close(engine);
}

/* Writes a copy of a model whose vocabulary lacks the last n_cut tokens: the output has more rows than there is text.
 */
static void write_with_spare_rows(const char *path, uint64_t n_cut) {
    mn_gguf *in;
    mn_gguf_writer *out;
    mn_error err;
    assert_ok(mn_gguf_open(MNEMO_SOURCE_DIR "/tests/data/faults/add-eos.gguf", &in, &err), err);
    assert_ok(mn_gguf_writer_create(&out, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) {
        mn_gguf_kv kv = *mn_gguf_kv_at(in, i);
        if (kv.type == MN_GGUF_ARRAY) {
            const unsigned char *end = kv.data;
            kv.n_items -= n_cut;
            if (kv.item_type == MN_GGUF_STRING) {
                for (uint64_t k = 0; k < kv.n_items; k++) mn_gguf_next_string(&end, kv.length_bytes);
                kv.bytes = (size_t)(end - kv.data);
            } else
                kv.bytes = kv.n_items * mn_gguf_type_bytes(kv.item_type);
        }
        mn_gguf_put_kv(out, &kv);
    }
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) mn_gguf_put_tensor(out, mn_gguf_tensor_at(in, i));
    assert_ok(mn_gguf_write(out, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(out);
    mn_gguf_close(in);
}

static bool ignore_text(void *arg, const char *text, size_t bytes) {
    (void)arg, (void)text, (void)bytes;
    return true;
}

static mn_status draw(mn_session *session, int32_t n_tokens, float temperature, mn_error *err) {
    mn_sampler *sampler;
    mn_generated generated;
    mn_sampler_params params = mn_sampler_defaults();
    params.temperature = temperature;
    params.top_k = 0;
    params.top_p = 1;
    params.min_p = 0;
    assert_ok(mn_sampler_create(&params, n_tokens, &sampler, err), *err);
    mn_status status =
        mn_generate(session, sampler, &(mn_generate_params){.n_predict = 60}, ignore_text, NULL, &generated, err);
    mn_sampler_destroy(sampler);
    return status;
}

/* Rows of the output without a token are never drawn; whoever draws them all the same is told, not shown the heap. */
static void ids_without_text_are_never_drawn(void **state) {
    (void)state;
    enum { SPARE = 200 };
    char path[4096];
    mn_engine *engine;
    mn_session *session;
    mn_error err;
    snprintf(path, sizeof path, "%s", temp_path("spare-rows.gguf"));
    write_with_spare_rows(path, SPARE);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 1}, &engine, &err), err);
    remove(path);
    assert_int_equal(mn_engine_info(engine).n_vocab, 512);
    int32_t n_tokens = mn_tokenizer_n_vocab(mn_engine_tokenizer(engine)), prompt[] = {1, 2, 3};
    assert_int_equal(n_tokens, 512 - SPARE);
    assert_ok(mn_session_open(engine, &(mn_session_params){.n_ctx = 128}, &session, &err), err);
    assert_ok(mn_session_sync(session, prompt, 3, NULL, NULL, NULL, &err), err);
    assert_ok(draw(session, n_tokens, 100, &err), err);
    assert_ok(mn_session_sync(session, prompt, 3, NULL, NULL, NULL, &err), err);
    assert_int_equal(draw(session, 512, 100, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "but the vocabulary has the tokens 0 to 311"));
    mn_session_close(session);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begin_of_text_stands_once),
        cmocka_unit_test(end_of_text_is_never_added),
        cmocka_unit_test(special_tokens_strip),
        cmocka_unit_test(spellings_may_occur_twice),
        cmocka_unit_test(unneeded_ids_are_noted),
        cmocka_unit_test(templates_of_real_models_work),

        cmocka_unit_test(ids_without_text_are_never_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
