/* Sessions: reuse, rewind, save, restore, limits. The measure is always a session that was never disturbed. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <mnemo/session.h>

#include "base/file.h"

enum { N_TOKENS = 700, MAX_VOCAB = 2048 };

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-deepseek3.gguf",
                                          "models/default.gguf", "models/infini.gguf"};

typedef struct fixture {
    mn_engine *engine;
    int n_vocab;
    int32_t tokens[N_TOKENS];
} fixture;

static void open_model(const char *name, bool exact, int n_threads, fixture *f) {
    mn_error err;
    mn_engine_params params = {.n_threads = n_threads, .exact = exact};
    assert_ok(mn_engine_open(data_path(name), &params, &f->engine, &err), err);
    f->n_vocab = mn_engine_info(f->engine).n_vocab;
    uint32_t x = 7;
    for (int i = 0; i < N_TOKENS; i++) {
        x = x * 1103515245 + 12345;
        f->tokens[i] = (int32_t)((x >> 16) % (uint32_t)f->n_vocab);
    }
}

static mn_session *open_session(const fixture *f, const char *kv_type) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {
        .n_ctx = 1024, .n_batch = 64, .type_k = kv_type, .type_v = kv_type, .position.beyond = true};
    assert_ok(mn_session_open(f->engine, &params, &s, &err), err);
    return s;
}

static void sync_to(mn_session *s, const int32_t *tokens, int64_t n, int64_t *n_reused) {
    mn_error err;
    assert_ok(mn_session_sync(s, tokens, n, NULL, NULL, n_reused, &err), err);
    assert_int_equal(mn_session_n_tokens(s), n);
}

/* Logits after tokens[0..n), from a session that did nothing else; the caller frees them. */
static float *undisturbed(const fixture *f, const int32_t *tokens, int64_t n) {
    mn_session *s = open_session(f, NULL);
    float *logits = malloc(MAX_VOCAB * sizeof *logits);
    sync_to(s, tokens, n, NULL);
    memcpy(logits, mn_session_logits(s), (size_t)f->n_vocab * sizeof *logits);
    mn_session_close(s);
    return logits;
}

static void assert_logits(const mn_session *s, const float *want, int n_vocab) {
    assert_non_null(mn_session_logits(s));
    assert_memory_equal(mn_session_logits(s), want, (size_t)n_vocab * sizeof *want);
}

static void each_model(void (*check)(fixture *f)) {
    for (size_t i = 0; i < sizeof model_names / sizeof *model_names; i++) {
        static fixture f;
        open_model(model_names[i], true, 2, &f);
        check(&f);
        mn_engine_close(f.engine);
    }
}

static void check_reuse(fixture *f) {
    mn_session *s = open_session(f, NULL);
    int64_t n_reused;
    float *want = undisturbed(f, f->tokens, 600);
    sync_to(s, f->tokens, 300, NULL);
    sync_to(s, f->tokens, 600, &n_reused);
    assert_int_equal(n_reused, 300);
    assert_logits(s, want, f->n_vocab);
    sync_to(s, f->tokens, 600, &n_reused); /* nothing new: nothing runs */
    assert_int_equal(n_reused, 600);
    assert_logits(s, want, f->n_vocab);
    free(want);
    mn_session_close(s);
}

static void reuses_the_longest_prefix(void **state) {
    (void)state;
    each_model(check_reuse);
}

static void check_divergence(fixture *f) {
    mn_session *s = open_session(f, NULL);
    int64_t n_reused;
    sync_to(s, f->tokens, N_TOKENS, NULL);
    int32_t other[N_TOKENS];
    memcpy(other, f->tokens, sizeof other);
    other[601] = (other[601] + 1) % f->n_vocab;
    float *want = undisturbed(f, other, 650);
    sync_to(s, other, 650, &n_reused);
    assert_true(n_reused <= 601);
    assert_true(n_reused >= 512); /* also where state of fixed size has to start from a checkpoint */
    assert_logits(s, want, f->n_vocab);
    free(want);
    want = undisturbed(f, other, 100);
    sync_to(s, other, 100, NULL); /* a shorter text */
    assert_logits(s, want, f->n_vocab);
    free(want);
    mn_session_close(s);
}

static void recomputes_from_where_texts_part(void **state) {
    (void)state;
    each_model(check_divergence);
}

static void check_rewind(fixture *f) {
    mn_session *s = open_session(f, NULL);
    mn_error err;
    float *want = undisturbed(f, f->tokens, 555);
    sync_to(s, f->tokens, N_TOKENS, NULL);
    assert_ok(mn_session_rewind(s, 550, &err), err);
    assert_int_equal(mn_session_n_tokens(s), 550);
    assert_ok(mn_session_extend(s, f->tokens + 550, 5, NULL, NULL, NULL, NULL, &err), err);
    assert_logits(s, want, f->n_vocab);
    assert_int_equal(mn_session_rewind(s, 556, &err), MN_ERR_ARGUMENT);
    free(want);
    mn_session_close(s);
}

static void rewinds(void **state) {
    (void)state;
    each_model(check_rewind);
}

static void check_restore(fixture *f) {
    char path[4096];
    mn_error err;
    int64_t n_reused;
    snprintf(path, sizeof path, "%s", temp_path("session"));
    mn_session *saved = open_session(f, NULL), *restored = open_session(f, NULL);
    sync_to(saved, f->tokens, 600, NULL);
    assert_ok(mn_session_save(saved, path, &err), err);
    sync_to(restored, f->tokens + 50, 90, NULL); /* what it held before is forgotten */
    assert_ok(mn_session_restore(restored, path, &err), err);
    assert_int_equal(mn_session_n_tokens(restored), 600);
    assert_logits(restored, mn_session_logits(saved), f->n_vocab);
    assert_ok(mn_session_extend(saved, f->tokens + 600, 50, NULL, NULL, NULL, NULL, &err), err);
    sync_to(restored, f->tokens, 650, &n_reused);
    assert_int_equal(n_reused, 600);
    assert_logits(restored, mn_session_logits(saved), f->n_vocab);
    sync_to(restored, f->tokens, 560, &n_reused); /* its checkpoints came back too */
    assert_true(n_reused >= 512);
    mn_session_close(saved);
    mn_session_close(restored);
    remove(path);
}

static void restored_equals_never_stopped(void **state) {
    (void)state;
    each_model(check_restore);
}

/* Writes the bytes and returns what restoring them says. */
static mn_status restore_bytes(mn_session *s, const char *path, const char *data, size_t bytes, mn_error *err) {
    FILE *file = fopen(path, "wb");
    fwrite(data, 1, bytes, file);
    fclose(file);
    return mn_session_restore(s, path, err);
}

static void refuses_damaged_and_foreign_files(void **state) {
    (void)state;
    static fixture f, other;
    open_model(model_names[0], true, 1, &f);
    open_model("models/default.gguf", true, 1, &other);
    char path[4096];
    mn_error err;
    size_t bytes;
    snprintf(path, sizeof path, "%s", temp_path("damaged"));
    mn_session *s = open_session(&f, NULL), *foreign = open_session(&other, NULL), *half = open_session(&f, "f16");
    sync_to(s, f.tokens, 200, NULL);
    assert_ok(mn_session_save(s, path, &err), err);
    assert_int_equal(mn_session_restore(foreign, path, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "another model"));
    assert_int_equal(mn_session_restore(half, path, &err), MN_ERR_ARGUMENT);
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_CACHE_TYPES);
    char *data = read_all(path, &bytes);
    for (size_t cut = 0; cut < bytes; cut += bytes / 37)
        assert_int_not_equal(restore_bytes(s, path, data, cut, &err), MN_OK);
    for (size_t at = 0; at < bytes; at += bytes / 211 + 1) {
        data[at] ^= 0x20;
        assert_int_not_equal(restore_bytes(s, path, data, bytes, &err), MN_OK);
        data[at] ^= 0x20;
    }
    assert_int_equal(mn_session_n_tokens(s), 200); /* a refused file changes nothing */
    assert_ok(restore_bytes(s, path, data, bytes, &err), err);
    assert_int_not_equal(mn_session_save(s, "/nowhere/at/all", &err), MN_OK);
    free(data);
    remove(path);
    mn_session_close(s);
    mn_session_close(half);
    mn_session_close(foreign);
    mn_engine_close(f.engine);
    mn_engine_close(other.engine);
}

/* Rows that saw less are other rows: a session goes on with the pattern it was saved with. */
static void refuses_another_pattern(void **state) {
    (void)state;
    static fixture f;
    mn_error err;
    char path[4096];
    open_model(model_names[0], true, 1, &f);
    snprintf(path, sizeof path, "%s", temp_path("pattern"));
    mn_session_params window = {.n_ctx = 1024, .attn = "window:32"}, causal = {.n_ctx = 1024, .attn = "causal"};
    mn_session *narrow, *same, *full, *plain = open_session(&f, NULL);
    assert_ok(mn_session_open(f.engine, &window, &narrow, &err), err);
    assert_ok(mn_session_open(f.engine, &window, &same, &err), err);
    assert_ok(mn_session_open(f.engine, &causal, &full, &err), err);
    sync_to(narrow, f.tokens, 200, NULL);
    assert_ok(mn_session_save(narrow, path, &err), err);
    assert_ok(mn_session_restore(same, path, &err), err);
    assert_int_equal(mn_session_restore(plain, path, &err), MN_ERR_ARGUMENT);
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_SAME_READING);
    sync_to(plain, f.tokens, 200, NULL);
    assert_ok(mn_session_save(plain, path, &err), err);
    assert_int_equal(mn_session_restore(narrow, path, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_session_restore(full, path, &err), err); /* causal is what the model does anyway */
    remove(path);
    mn_session *all[] = {narrow, same, full, plain};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mn_session_close(all[i]);
    mn_engine_close(f.engine);
}

static bool stop_at_128(void *arg, int64_t done, int64_t total) {
    (void)arg, (void)total;
    return done < 128;
}

static void stops_when_asked_and_keeps_what_was_done(void **state) {
    (void)state;
    static fixture f;
    mn_error err;
    int64_t n_reused;
    open_model(model_names[0], true, 1, &f);
    mn_session *s = open_session(&f, NULL);
    assert_int_equal(mn_session_sync(s, f.tokens, 500, stop_at_128, NULL, NULL, &err), MN_ERR_CANCELLED);
    assert_int_equal(mn_session_n_tokens(s), 128);
    sync_to(s, f.tokens, 500, &n_reused);
    assert_int_equal(n_reused, 128);
    mn_session_close(s);
    mn_engine_close(f.engine);
}

static void refuses_what_does_not_fit(void **state) {
    (void)state;
    static fixture f;
    mn_error err;
    mn_session *s;
    open_model(model_names[0], true, 1, &f);
    mn_session_params small = {.n_ctx = 100}, wide = {.n_ctx = 1 << 20}, odd = {.type_k = "q4_k"},
                      unknown = {.type_v = "q9"};
    assert_ok(mn_session_open(f.engine, &small, &s, &err), err);
    assert_int_equal(mn_session_sync(s, f.tokens, 101, NULL, NULL, NULL, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "101 tokens"));
    assert_int_equal(mn_session_n_tokens(s), 0);
    f.tokens[3] = f.n_vocab;
    assert_int_equal(mn_session_sync(s, f.tokens, 10, NULL, NULL, NULL, &err), MN_ERR_ARGUMENT);
    f.tokens[3] = -1;
    assert_int_equal(mn_session_extend(s, f.tokens, 10, NULL, NULL, NULL, NULL, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "token 3"));
    mn_session_close(s);
    assert_int_equal(mn_session_open(f.engine, &wide, &s, &err), MN_ERR_LIMIT);
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_YARN);
    assert_int_not_equal(mn_session_open(f.engine, &odd, &s, &err), MN_OK);
    assert_int_not_equal(mn_session_open(f.engine, &unknown, &s, &err), MN_OK);
    mn_engine_close(f.engine);
}

/* Root mean square of the difference, as a share of the deviation of `want`. */
static double distance(const float *got, const float *want, int n) {
    double mean = 0, spread = 0, difference = 0;
    for (int i = 0; i < n; i++) mean += want[i] / (double)n;
    for (int i = 0; i < n; i++) {
        spread += (want[i] - mean) * (want[i] - mean);
        difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
    }
    return sqrt(difference / spread);
}

/* A real text would be kinder: these tokens are noise, and every error in a row counts. */
static void rows_of_fewer_bits_stay_close(void **state) {
    (void)state;
    static const struct {
        const char *type;
        double limit;
    } types[] = {{"f16", 0.003}, {"bf16", 0.03}, {"q8_0", 0.03}, {"q4_0", 0.5}};
    static fixture f;
    open_model("golden/tiny-qwen3.gguf", true, 2, &f);
    mn_session *full = open_session(&f, "f32");
    sync_to(full, f.tokens, 600, NULL);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        mn_session *s = open_session(&f, types[t].type);
        sync_to(s, f.tokens, 600, NULL);
        double share = distance(mn_session_logits(s), mn_session_logits(full), f.n_vocab);
        if (!(share > 0 && share < types[t].limit))
            fail_msg("%s rows: error %.3g, limit %.3g", types[t].type, share, types[t].limit);
        assert_true(mn_session_kv_bytes(s) < mn_session_kv_bytes(full));
        mn_session_close(s);
    }
    mn_session_close(full);
    mn_engine_close(f.engine);
}

typedef struct last_rows {
    float rows[N_TOKENS][8];
} last_rows;

static void keep_some(void *arg, int64_t index, const float *logits) {
    last_rows *kept = arg;
    memcpy(kept->rows[index], logits, sizeof kept->rows[index]);
}

static void check_causality(fixture *f) {
    static last_rows before, after;
    static uint8_t want[N_TOKENS];
    mn_error err;
    memset(want, 1, sizeof want);
    for (int k = 0; k < 2; k++) {
        mn_session *s = open_session(f, NULL);
        if (k) f->tokens[400] = (f->tokens[400] + 5) % f->n_vocab;
        assert_ok(mn_session_extend(s, f->tokens, N_TOKENS, want, keep_some, NULL, k ? &after : &before, &err), err);
        mn_session_close(s);
    }
    assert_memory_equal(before.rows, after.rows, 400 * sizeof before.rows[0]);
    assert_memory_not_equal(before.rows[400], after.rows[400], sizeof before.rows[0]);
}

static void a_later_token_never_changes_an_earlier_answer(void **state) {
    (void)state;
    each_model(check_causality);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reuses_the_longest_prefix),
        cmocka_unit_test(recomputes_from_where_texts_part),
        cmocka_unit_test(rewinds),
        cmocka_unit_test(restored_equals_never_stopped),
        cmocka_unit_test(refuses_damaged_and_foreign_files),
        cmocka_unit_test(refuses_another_pattern),
        cmocka_unit_test(stops_when_asked_and_keeps_what_was_done),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(rows_of_fewer_bits_stay_close),
        cmocka_unit_test(a_later_token_never_changes_an_earlier_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
