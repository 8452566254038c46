/* Decoding allocates nothing: every call into malloc is counted while tokens are fed one by one. */
#include "support/easy_model.h"
#include "support/support.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <mnemo/session.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
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

int main(void) {
    if (!COUNTS) return 77; /* skipped */
    const struct CMUnitTest tests[] = {cmocka_unit_test(decoding_allocates_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
