/* Logits that are no numbers: an error that names the first tensor or layer to blame, and sessions as they were. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mnemo/step.h>

#include "base/file.h"
#include "model/nonfinite.h"
#include "session/session.h"
#include "support/gguf_edit.h"

enum { N_TOKENS = 20 };

static char path[4096];
static char *file; /* of the small llama, f32 */
static size_t file_bytes;
static mn_gguf *base; /* over `file` */
static const int32_t tokens[N_TOKENS] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 0};

static int set_up(void **state) {
    (void)state;
    mn_error err;
    mn_gguf *source = gguf_small_llama();
    snprintf(path, sizeof path, "%s", temp_path("nonfinite.gguf"));
    gguf_edit_write(source, path, NULL, NULL, 0);
    mn_gguf_close(source);
    file = read_all(path, &file_bytes);
    assert_ok(mn_gguf_parse("base", file, file_bytes, &base, &err), err);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    mn_gguf_close(base);
    free(file);
    unlink(path);
    return 0;
}

static mn_engine *open_file(void) {
    mn_engine *engine;
    mn_writer writer;
    mn_error err;
    assert_ok(mn_writer_open(path, &writer, &err), err);
    mn_writer_put(&writer, file, file_bytes);
    assert_ok(mn_writer_commit(&writer, &err), err);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2}, &engine, &err), err);
    return engine;
}

static mn_session *open_session(mn_engine *engine, const char *type_v) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = 64, .type_v = type_v};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

/* Fails as it should and leaves the session empty. */
static void assert_fails(mn_engine *engine, mn_status status, const char *says) {
    mn_error err = {0};
    mn_session *s = open_session(engine, NULL);
    mn_status got = mn_session_sync(s, tokens, N_TOKENS, NULL, NULL, NULL, &err);
    if (got != status || !strstr(err.text, says))
        fail_msg("wanted %d \"%s\", got %d \"%s\"", status, says, got, err.text);
    assert_int_equal(mn_session_n_tokens(s), 0);
    assert_null(mn_session_logits(s));
    mn_session_close(s);
}

static void finite_is_neither_nan_nor_infinite(void **state) {
    (void)state;
    float x[100] = {0};
    x[3] = 3e38f, x[4] = -3e38f, x[5] = 1e-45f;
    assert_true(mn_is_finite(x, 100));
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int at = 0; at < 100; at += 9)
        for (int i = 0; i < 3; i++) {
            float old = x[at];
            x[at] = bad[i];
            assert_false(mn_is_finite(x, 100));
            x[at] = old;
        }
    assert_true(mn_is_finite(NULL, 0));
}

/* One value at a time, in every tensor, by turns not a number and infinite. */
static void the_tensor_is_named(void **state) {
    (void)state;
    for (int64_t i = 0; i < mn_gguf_n_tensors(base); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(base, i);
        int layer = -1;
        char says[256];
        float *value = (float *)(void *)((char *)t->data + t->bytes / 2 / sizeof(float) * sizeof(float)), old = *value;
        *value = i % 2 ? NAN : INFINITY;
        mn_engine *engine = open_file();
        sscanf(t->name, "blk.%d.", &layer);
        if (layer >= 0)
            snprintf(says, sizeof says, "tensor %s of layer %d holds NaN or infinity (value %lld of %lld)", t->name,
                     layer, (long long)(t->bytes / 2 / sizeof(float) + 1), (long long)(t->bytes / sizeof(float)));
        else
            snprintf(says, sizeof says, "tensor %s holds NaN or infinity", t->name);
        assert_fails(engine, MN_ERR_FORMAT, says);
        mn_engine_close(engine);
        *value = old;
    }
}

/* Values of layer 1 beyond what f16 holds, and so infinite as they are cached. */
static void the_layer_that_overflows_is_named(void **state) {
    (void)state;
    const mn_tensor *t = mn_gguf_tensor(base, "blk.1.attn_v.weight");
    float *w = (float *)(void *)(uintptr_t)t->data;
    int64_t n = t->ne[0] * t->ne[1];
    float *old = malloc(t->bytes);
    mn_error err;
    memcpy(old, w, t->bytes);
    for (int64_t i = 0; i < n; i++) w[i] *= 1e7f;
    mn_engine *engine = open_file();
    assert_fails(engine, MN_ERR_LIMIT, "layer 1 gives NaN or infinity, though all weights are numbers");
    mn_session *s = open_session(engine, "f32");
    assert_ok(mn_session_sync(s, tokens, N_TOKENS, NULL, NULL, NULL, &err), err);
    mn_session_close(s);
    mn_engine_close(engine);
    memcpy(w, old, t->bytes);
    free(old);
}

/* Token 7's embedding is broken, and stands in one text alone; the output has weights of its own. */
static void others_in_the_step_are_left_alone(void **state) {
    (void)state;
    const mn_tensor *t = mn_gguf_tensor(base, "token_embd.weight");
    assert_non_null(mn_gguf_tensor(base, "output.weight"));
    float *value = (float *)(void *)(uintptr_t)t->data + 7 * t->ne[0], old = *value;
    *value = NAN;
    mn_engine *engine = open_file();
    mn_session *good = open_session(engine, NULL), *bad = open_session(engine, NULL),
               *alone = open_session(engine, NULL);
    mn_error err;
    mn_step_entry entries[] = {{.session = good, .tokens = tokens, .n_tokens = 7},
                               {.session = bad, .tokens = tokens, .n_tokens = 12}};
    assert_int_equal(mn_engine_step(engine, entries, 2, &err), MN_ERR_FORMAT);
    assert_int_equal(entries[0].error.status, MN_OK);
    assert_non_null(strstr(entries[1].error.text, "token_embd.weight"));
    assert_int_equal(mn_session_n_tokens(bad), 0);
    assert_ok(mn_session_sync(alone, tokens, 7, NULL, NULL, NULL, &err), err);
    assert_memory_equal(mn_session_logits(good), mn_session_logits(alone),
                        (size_t)engine->model.config.n_vocab * sizeof(float));
    mn_session_close(good);
    mn_session_close(bad);
    mn_session_close(alone);
    mn_engine_close(engine);
    *value = old;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_is_neither_nan_nor_infinite),
        cmocka_unit_test(the_tensor_is_named),
        cmocka_unit_test(the_layer_that_overflows_is_named),
        cmocka_unit_test(others_in_the_step_are_left_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
