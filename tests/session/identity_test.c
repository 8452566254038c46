/* A session file belongs to one model: every key and every byte of the weights that changes what is computed tells two
 * models apart, and nothing else does. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "model/identity.h"
#include "session/session.h"
#include "support/gguf_edit.h"

enum { N_TOKENS = 40 };

static mn_gguf *source;
static char base_path[4096], other_path[4096], session_path[4096];

static mn_engine *open_path(const char *path) {
    mn_engine *engine = NULL;
    mn_error err;
    mn_engine_params params = {.n_threads = 1};
    return mn_engine_open(path, &params, &engine, &err) == MN_OK ? engine : NULL;
}

static mn_session *open_session(mn_engine *engine) {
    mn_session *s = NULL;
    mn_error err;
    mn_session_params params = {.n_ctx = 64};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void save_session(void) {
    int32_t tokens[N_TOKENS];
    mn_error err;
    mn_engine *engine = open_path(base_path);
    assert_non_null(engine);
    mn_session *s = open_session(engine);
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = i % 7;
    assert_ok(mn_session_sync(s, tokens, N_TOKENS, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_save(s, session_path, &err), err);
    mn_session_close(s);
    mn_engine_close(engine);
}

static int set_up(void **state) {
    (void)state;
    snprintf(base_path, sizeof base_path, "%s", temp_path("base.gguf"));
    snprintf(other_path, sizeof other_path, "%s", temp_path("other.gguf"));
    snprintf(session_path, sizeof session_path, "%s", temp_path("base.session"));
    source = gguf_small_llama();
    gguf_edit_write(source, base_path, NULL, NULL, 0);
    save_session();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    mn_gguf_close(source);
    unlink(base_path);
    unlink(other_path);
    unlink(session_path);
    return 0;
}

/* What restoring says with the model at other_path; MN_ERR_FORMAT when that is no model any more. */
static mn_status restore_with_other(mn_error *err) {
    mn_engine *engine = open_path(other_path);
    if (!engine) return mn_fail(err, MN_ERR_FORMAT, "no model");
    mn_session *s = open_session(engine);
    mn_status status = mn_session_restore(s, session_path, err);
    mn_session_close(s);
    mn_engine_close(engine);
    return status;
}

static void assert_refused(const char *what) {
    mn_error err = {0};
    mn_status status = restore_with_other(&err);
    if (status != MN_ERR_ARGUMENT || !strstr(err.text, "another model"))
        fail_msg("%s: status %d, %s", what, status, err.text);
}

/* A model with another value of the i-th key: its last bit but one (of a text its last letter) is turned. */
static void write_with_other_value(int64_t i) {
    const mn_gguf_kv *kv = mn_gguf_kv_at(source, i);
    mn_gguf_kv other = *kv;
    mn_gguf_writer *writer;
    mn_error err;
    char *data = malloc(kv->bytes);
    assert_non_null(data);
    memcpy(data, kv->data, kv->bytes);
    bool text = kv->type == MN_GGUF_STRING || (kv->type == MN_GGUF_ARRAY && kv->item_type == MN_GGUF_STRING);
    data[text ? kv->bytes - 1 : 0] ^= kv->type == MN_GGUF_BOOL || text ? 1 : 2;
    other.data = (const unsigned char *)data;
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t k = 0; k < mn_gguf_n_kv(source); k++)
        mn_gguf_put_kv(writer, k == i ? &other : mn_gguf_kv_at(source, k));
    for (int64_t t = 0; t < mn_gguf_n_tensors(source); t++) mn_gguf_put_tensor(writer, mn_gguf_tensor_at(source, t));
    assert_ok(mn_gguf_write(writer, other_path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(writer);
    free(data);
}

static void every_key_tells_models_apart(void **state) {
    (void)state;
    int n_refused = 0;
    for (int64_t i = 0; i < mn_gguf_n_kv(source); i++) {
        mn_gguf_string key = mn_gguf_kv_at(source, i)->key;
        mn_error err = {0};
        if (key.bytes > 8 && !memcmp(key.data, "general.", 8)) continue;
        write_with_other_value(i);
        mn_status status = restore_with_other(&err);
        n_refused += status == MN_ERR_ARGUMENT && strstr(err.text, "another model");
        if (status == MN_OK) fail_msg("%.*s: another value was taken for the same model", (int)key.bytes, key.data);
    }
    assert_in_range(n_refused, 8, 64); /* the others make no model */
}

static void keys_that_were_not_there_tell_models_apart(void **state) {
    (void)state;
    const gguf_edit edits[] = {EDIT_U32("llama.attention.sliding_window", 16),
                               EDIT_F32("llama.rope.scaling.yarn_beta_fast", 8),
                               EDIT_F32("llama.attention.scale", 0.5f), EDIT_F32("llama.rope.scaling.attn_factor", 2)};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        gguf_edit_write(source, other_path, NULL, &edits[i], 1);
        assert_refused(edits[i].key);
    }
}

/* A byte in the middle of every tensor, and the last of all. */
static void every_byte_of_the_weights_counts(void **state) {
    (void)state;
    size_t bytes;
    mn_gguf *base;
    mn_error err;
    char *file = read_all(base_path, &bytes);
    assert_ok(mn_gguf_parse("base", file, bytes, &base, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_tensors(base); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(base, i);
        size_t at = (size_t)((const char *)t->data - file) + (i % 2 ? t->bytes - 1 : t->bytes / 2);
        mn_writer writer;
        file[at] ^= 1;
        assert_ok(mn_writer_open(other_path, &writer, &err), err);
        mn_writer_put(&writer, file, bytes);
        assert_ok(mn_writer_commit(&writer, &err), err);
        assert_refused(t->name);
        file[at] ^= 1;
    }
    mn_gguf_close(base);
    free(file);
}

static void names_do_not_count(void **state) {
    (void)state;
    const gguf_edit edits[] = {EDIT_TEXT("general.name", "the same under another name"),
                               EDIT_TEXT("tokenizer.chat_template", "{{ messages[0].content }}"),
                               EDIT_TEXT("general.license", "free")};
    mn_error err;
    gguf_edit_write(source, other_path, NULL, edits, 3);
    assert_ok(restore_with_other(&err), err);
}

static void no_result_depends_on_threads(void **state) {
    (void)state;
    mn_identity one, three;
    mn_pool *pool;
    mn_error err;
    assert_ok(mn_pool_create(3, &pool, &err), err);
    assert_ok(mn_identity_of(source, NULL, &one, &err), err);
    assert_ok(mn_identity_of(source, pool, &three, &err), err);
    assert_true(one.low == three.low && one.high == three.high);
    mn_pool_destroy(pool);
}

static void files_of_other_versions_are_refused(void **state) {
    (void)state;
    size_t bytes;
    mn_error err;
    mn_writer writer;
    char *file = read_all(session_path, &bytes);
    file[8] = 3; /* the version */
    char old[4096];
    snprintf(old, sizeof old, "%s", temp_path("old.session"));
    assert_ok(mn_writer_open(old, &writer, &err), err);
    mn_writer_put(&writer, file, bytes);
    assert_ok(mn_writer_commit(&writer, &err), err);
    free(file);
    mn_engine *engine = open_path(base_path);
    mn_session *s = open_session(engine);
    assert_int_equal(mn_session_restore(s, old, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "session format 3, this one reads 4"));
    mn_session_close(s);
    mn_engine_close(engine);
    unlink(old);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_tells_models_apart),
        cmocka_unit_test(keys_that_were_not_there_tell_models_apart),
        cmocka_unit_test(every_byte_of_the_weights_counts),
        cmocka_unit_test(names_do_not_count),
        cmocka_unit_test(no_result_depends_on_threads),
        cmocka_unit_test(files_of_other_versions_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
