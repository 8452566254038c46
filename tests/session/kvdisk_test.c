/* Sessions whose cached rows are four times the memory given: bit for bit the answers of a session all in memory. */
#include "support/support.h"

#include "session/session.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mnemo/session.h>

enum { N_CTX = 4096, N_TOKENS = 4000, N_BATCH = 64 };

/* Grouped heads, absorbed MLA, and layers with windows beside layers without. */
static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-deepseek3.gguf",
                                          "golden/tiny-gemma3.gguf"};
static char dir[4096];
static int32_t tokens[N_CTX];
static const char *cache_type; /* of the sessions opened; NULL: what the engine's arithmetic takes by itself */

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "%s", temp_path("kvdisk"));
    return mkdir(dir, 0700);
}

/* Fails when the directory is not empty. */
static int remove_dir(void **state) {
    (void)state;
    return rmdir(dir);
}

static mn_engine *open_engine(const char *name, bool exact) {
    mn_engine *engine;
    mn_error err;
    assert_ok(mn_engine_open(data_path(name), &(mn_engine_params){.n_threads = 2, .exact = exact}, &engine, &err), err);
    uint32_t x = 11, n_vocab = (uint32_t)mn_engine_info(engine).n_vocab;
    for (int i = 0; i < N_CTX; i++) {
        x = x * 1103515245 + 12345;
        tokens[i] = (int32_t)((x >> 16) % n_vocab);
    }
    return engine;
}

/* kv_ram 0: all in memory. */
static mn_session *open_session(mn_engine *engine, size_t kv_ram) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = N_CTX,
                                .n_batch = N_BATCH,
                                .position.beyond = true,
                                .kv_disk = kv_ram ? dir : NULL,
                                .type_k = cache_type,
                                .type_v = cache_type,
                                .kv_ram_bytes = (int64_t)kv_ram};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void sync_to(mn_session *s, const int32_t *text, int64_t n) {
    mn_error err;
    assert_ok(mn_session_sync(s, text, n, NULL, NULL, NULL, &err), err);
}

static void assert_same(const mn_session *a, const mn_session *b, mn_engine *engine) {
    assert_memory_equal(mn_session_logits(a), mn_session_logits(b),
                        (size_t)mn_engine_info(engine).n_vocab * sizeof(float));
}

static void each_model(void (*check)(mn_engine *engine)) {
    size_t n_models = sizeof model_names / sizeof *model_names;
    static const struct {
        bool exact;
        const char *type;
    } ways[] = {{true, "f32"}, {false, "f16"}, {false, "q8_0"}};
    for (size_t i = 0; i < 3 * n_models; i++) { /* in ordinary arithmetic keys of MLA are made from waves of rows */
        mn_engine *engine = open_engine(model_names[i % n_models], ways[i / n_models].exact);
        cache_type = ways[i / n_models].type;
        check(engine);
        mn_engine_close(engine);
        cache_type = NULL;
    }
}

/* Of the session's entries with those that windowed layers drop, which they do not where pages go to a file. */
static size_t quarter_of(const mn_session *s) {
    const mn_kv_shape *shape = mn_kvcache_shape(s->sequence.cache);
    size_t all = mn_kv_slab_bytes(shape) * ((N_TOKENS + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS);
    return (s->sequence.window ? all : mn_session_kv_bytes(s)) / 4;
}

static void check_answers(mn_engine *engine) {
    char path[4096];
    mn_error err;
    snprintf(path, sizeof path, "%s", temp_path("kvdisk-session"));
    mn_session *ram = open_session(engine, 0);
    sync_to(ram, tokens, N_TOKENS);
    size_t quarter = quarter_of(ram);
    mn_session *disk = open_session(engine, quarter), *other = open_session(engine, quarter);
    sync_to(disk, tokens, N_TOKENS);
    assert_same(disk, ram, engine);
    assert_true(mn_session_kv_bytes(disk) <= quarter);
    mn_disk_figures figures = mn_session_disk(disk);
    assert_true(figures.held_bytes > 2 * quarter && figures.read_bytes > figures.held_bytes);
    assert_int_equal(figures.written_bytes, figures.held_bytes);
    for (int64_t n = N_TOKENS + 1; n < N_TOKENS + 10; n++) {
        sync_to(ram, tokens, n);
        sync_to(disk, tokens, n);
        assert_same(disk, ram, engine);
    }
    assert_ok(mn_session_save(disk, path, &err), err);
    assert_ok(mn_session_restore(other, path, &err), err);
    assert_same(other, ram, engine);
    tokens[2501] ^= 1; /* from here on another text: pages on disk are written anew */
    sync_to(ram, tokens, N_TOKENS);
    sync_to(disk, tokens, N_TOKENS);
    sync_to(other, tokens, N_TOKENS);
    assert_same(disk, ram, engine);
    assert_same(other, ram, engine);
    tokens[2501] ^= 1;
    remove(path);
    mn_session_close(ram);
    mn_session_close(disk);
    mn_session_close(other);
}

static void answers_are_the_same_to_the_bit(void **state) {
    (void)state;
    each_model(check_answers);
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void goes_on_after_a_full_disk(void **state) {
    (void)state;
    mn_engine *engine = open_engine(model_names[0], true);
    mn_error err;
    mn_session *ram = open_session(engine, 0);
    sync_to(ram, tokens, N_TOKENS);
    mn_session *disk = open_session(engine, quarter_of(ram));
    limit_files(100000);
    assert_int_equal(mn_session_sync(disk, tokens, N_TOKENS, NULL, NULL, NULL, &err), MN_ERR_IO);
    limit_files(RLIM_INFINITY);
    assert_non_null(strstr(err.text, dir));
    assert_true(mn_session_n_tokens(disk) > 0 && mn_session_n_tokens(disk) < N_TOKENS);
    sync_to(disk, tokens, N_TOKENS);
    assert_same(disk, ram, engine);
    mn_session_close(ram);
    mn_session_close(disk);
    mn_engine_close(engine);
}

static mn_status try_open(mn_engine *engine, const char *where, int64_t kv_ram, const char *attn, mn_error *err) {
    mn_session *s = NULL;
    mn_session_params params = {
        .n_ctx = N_CTX, .position.beyond = true, .kv_disk = where, .kv_ram_bytes = kv_ram, .attn = attn};
    mn_status status = mn_session_open(engine, &params, &s, err);
    mn_session_close(s);
    return status;
}

static void refuses_what_makes_no_sense(void **state) {
    (void)state;
    mn_engine *engine = open_engine(model_names[0], true), *infini = open_engine("models/infini.gguf", true);
    mn_error err;
    assert_int_equal(try_open(engine, dir, 0, NULL, &err), MN_ERR_ARGUMENT);
    assert_int_equal(try_open(engine, dir, -1, NULL, &err), MN_ERR_ARGUMENT);
    assert_int_equal(try_open(engine, NULL, 1 << 20, NULL, &err), MN_ERR_ARGUMENT);
    assert_int_equal(try_open(engine, dir, 1000, NULL, &err), MN_ERR_LIMIT);
    assert_int_equal(try_open(engine, dir, 1 << 30, "quest", &err), MN_ERR_UNSUPPORTED);
    assert_int_equal(try_open(engine, dir, 1 << 30, "snapkv", &err), MN_ERR_UNSUPPORTED);
    assert_ok(try_open(engine, dir, 1 << 30, "window:64", &err), err);
    assert_int_equal(try_open(engine, "/nowhere", 1 << 30, NULL, &err), MN_ERR_IO);
    assert_int_equal(try_open(infini, dir, 1 << 30, NULL, &err), MN_ERR_UNSUPPORTED);
    mn_engine_close(engine);
    mn_engine_close(infini);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_to_the_bit),
        cmocka_unit_test(goes_on_after_a_full_disk),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
