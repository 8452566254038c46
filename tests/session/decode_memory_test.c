/* Decoding allocates nothing: every call into malloc is counted while tokens are fed one by one. */
#include "support/easy_model.h"
#include "support/support.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/json_schema.h"
#include "session/generate.h"

#include <mnemo/session.h>

#ifdef MNEMO_SANITIZED
enum { COUNTS = 0 }; /* the sanitizer has put its own malloc there */
static _Atomic long n_calls;
#else
enum { COUNTS = 1 };
static _Atomic long n_calls;

/* Stand in for the C library's: count, and pass on. */
#define PASS_ON(type, name, parameters, arguments)                                                                     \
    type name parameters;                                                                                              \
    type name parameters {                                                                                             \
        static type(*real) parameters;                                                                                 \
        if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, #name);                                                        \
        atomic_fetch_add(&n_calls, 1);                                                                                 \
        return real arguments;                                                                                         \
    }
PASS_ON(void *, malloc, (size_t bytes), (bytes))
PASS_ON(void *, realloc, (void *block, size_t bytes), (block, bytes))
PASS_ON(void *, aligned_alloc, (size_t align, size_t bytes), (align, bytes))
#endif

enum { N_PROMPT = 100, N_DECODED = 300 };

static void decode(const char *path, const char *kv_type) {
    mn_engine *engine;
    mn_session *session;
    mn_error err;
    mn_session_params params = {.n_ctx = 1024, .type_k = kv_type, .type_v = kv_type};
    int32_t tokens[N_PROMPT + N_DECODED];
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2}, &engine, &err), err);
    assert_ok(mn_session_open(engine, &params, &session, &err), err);
    for (int i = 0; i < N_PROMPT + N_DECODED; i++) tokens[i] = (i * 37 + 11) % 500;
    assert_ok(mn_session_sync(session, tokens, N_PROMPT, NULL, NULL, NULL, &err), err);
    long before = atomic_load(&n_calls);
    for (int i = 0; i < N_DECODED; i++)
        assert_ok(mn_session_extend(session, tokens + N_PROMPT + i, 1, NULL, NULL, NULL, NULL, &err), err);
    assert_int_equal(atomic_load(&n_calls) - before, 0);
    mn_session_close(session);
    mn_engine_close(engine);
}

static void decoding_allocates_nothing(void **state) {
    (void)state;
    static const char *const models[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-deepseek3.gguf",
                                         "golden/tiny-gemma3.gguf"};
    static const char *const types[] = {"f16", "q8_0", "f32"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) decode(data_path(models[m]), types[t]);
    decode(easy_model(data_path("models/default.gguf"), 4, true), "f16");
    assert_true(atomic_load(&n_calls) > 0); /* the counter does count */
}

static bool count_text(void *arg, const char *text, size_t bytes) {
    (void)text;
    *(size_t *)arg += bytes;
    return true;
}

/* An answer under a grammar is drawn without memory too, but for the few bytes of text that are held. */
static void drawing_under_a_schema_allocates_nothing(void **state) {
    (void)state;
    static const char schema[] = "{\"type\":\"array\",\"minItems\":9,\"items\":{\"type\":\"string\",\"maxLength\":30}}";
    mn_engine *engine;
    mn_session *session;
    mn_grammar *grammar;
    mn_token_trie *tokens;
    mn_constraint *constraint;
    mn_sampler *sampler;
    mn_generated generated;
    mn_error err;
    size_t n_bytes = 0;
    const int32_t prompt[] = {1, 50, 60};
    const mn_sampler_params draw = mn_sampler_defaults();
    assert_ok(mn_engine_open(data_path("golden/tiny-llama.gguf"), &(mn_engine_params){.n_threads = 2}, &engine, &err),
              err);
    assert_ok(mn_session_open(engine, &(mn_session_params){.n_ctx = 256}, &session, &err), err);
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(engine);
    assert_ok(mn_json_schema_parse(schema, strlen(schema), MN_JSON_BLANKS_ONE, &grammar, &err), err);
    assert_ok(mn_token_trie_of(tokenizer, &tokens, &err), err);
    assert_ok(mn_constraint_create(grammar, tokens, 0, &constraint, &err), err);
    assert_ok(mn_sampler_create(&draw, mn_tokenizer_n_vocab(tokenizer), &sampler, &err), err);
    assert_ok(mn_session_sync(session, prompt, 3, NULL, NULL, NULL, &err), err);
    const mn_generate_params params = {.n_predict = 150, .constraint = constraint};
    long before = atomic_load(&n_calls);
    assert_ok(mn_generate(session, sampler, &params, count_text, &n_bytes, &generated, &err), err);
    assert_true(generated.n_tokens > 20 && n_bytes > 20 && generated.is_complete);
    assert_true(atomic_load(&n_calls) - before <= 2); /* the held text, once or twice larger */
    mn_sampler_destroy(sampler);
    mn_constraint_destroy(constraint);
    mn_token_trie_destroy(tokens);
    mn_grammar_destroy(grammar);
    mn_session_close(session);
    mn_engine_close(engine);
}

int main(void) {
    if (!COUNTS) return 77; /* skipped */
    const struct CMUnitTest tests[] = {cmocka_unit_test(decoding_allocates_nothing),
                                       cmocka_unit_test(drawing_under_a_schema_allocates_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
