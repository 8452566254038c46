/* Experts made of a dense MLP: without noise the model computes what it computed, whatever the router says. */
#include "convert/upcycle.h"
#include "support/gguf_edit.h"
#include "support/session_rows.h"

#include <stdlib.h>
#include <string.h>

static const char *const families[] = {"golden/tiny-llama.gguf", "golden/tiny-qwen3.gguf", "models/default.gguf"};
enum { N_FAMILIES = sizeof families / sizeof *families };

static const char *upcycle_file(const char *path, const char *experts, double noise) {
    static char out[600];
    mn_model model;
    mn_error err;
    mn_upcycle_wish wish = {.noise = noise, .seed = 3, .type = MN_DTYPE_COUNT};
    snprintf(out, sizeof out, "%s", temp_path("experts.gguf"));
    assert_ok(mn_model_open(path, &model, &err), err);
    assert_ok(mn_upcycle_parse(experts, &wish, &err), err);
    assert_ok(mn_upcycle_write(&model, &wish, out, &err), err);
    mn_model_close(&model);
    return out;
}

static const char *upcycle(const char *name, const char *experts, double noise) {
    return upcycle_file(data_path(name), experts, noise);
}

static mn_engine *open_engine(const char *path, bool asks) {
    mn_engine *engine;
    mn_error err;
    mn_engine_params params = {.n_threads = 2, .exact = true, .experts_on_disk = asks};
    assert_ok(mn_engine_open(path, &params, &engine, &err), err);
    return engine;
}

static session_rows run(mn_engine *engine) {
    int32_t tokens[ROWS_TOKENS];
    rows_tokens(engine, tokens);
    session_rows rows = rows_run(engine, (mn_session_params){0}, tokens);
    mn_engine_close(engine);
    return rows;
}

/* The weights of the chosen sum to 1 but for rounding. */
static void without_noise_it_is_the_dense_model(void **state) {
    (void)state;
    static const char *const experts[] = {"4,1", "4,2", "8,3,bias", "5,5"};
    for (int i = 0; i < N_FAMILIES; i++) {
        session_rows dense = run(open_engine(data_path(families[i]), false));
        for (int k = i; k < i + 2; k++) {
            session_rows routed = run(open_engine(upcycle(families[i], experts[k], 0), false));
            rows_close(routed, dense, 2e-5, families[i]);
            free(routed.data);
        }
        free(dense.data);
    }
}

static void noise_makes_experts_differ(void **state) {
    (void)state;
    session_rows dense = run(open_engine(data_path(families[0]), false));
    session_rows routed = run(open_engine(upcycle(families[0], "4,2", 0.002), false));
    rows_close(routed, dense, 0.5, "some noise");
    assert_true(memcmp(routed.data, dense.data, rows_bytes(dense)) != 0);
    free(dense.data);
    free(routed.data);
}

static void asking_ahead_changes_no_bit(void **state) {
    (void)state;
    const char *path = upcycle(families[2], "8,2", 0.1);
    session_rows plain = run(open_engine(path, false)), asked = run(open_engine(path, true));
    assert_memory_equal(plain.data, asked.data, rows_bytes(plain));
    free(plain.data);
    free(asked.data);
}

static void visits_are_counted(void **state) {
    (void)state;
    mn_engine *engine = open_engine(upcycle(families[2], "8,2", 0.1), false);
    mn_session *s;
    mn_error err;
    int32_t tokens[ROWS_TOKENS];
    rows_tokens(engine, tokens);
    assert_ok(mn_session_open(engine, &(mn_session_params){.n_ctx = ROWS_TOKENS}, &s, &err), err);
    assert_ok(mn_session_extend(s, tokens, ROWS_TOKENS, NULL, NULL, NULL, NULL, &err), err);
    for (int layer = 0; layer < mn_engine_info(engine).n_layers; layer++) {
        const int64_t *visits = mn_session_expert_visits(s, layer);
        int64_t sum = 0;
        assert_non_null(visits);
        for (int e = 0; e < 8; e++) sum += visits[e];
        bool last = layer + 1 == mn_engine_info(engine).n_layers; /* its last row alone is wanted */
        assert_int_equal(sum, 2 * (last ? 1 : ROWS_TOKENS));
    }
    mn_session_close(s);
    mn_engine_close(engine);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "8", "0,0", "8,0", "8,9", "8,2,", "8,2,x", "x,2", "8 2", "2000,2"};
    static const char *const models[] = {"golden/tiny-gemma2.gguf", "golden/tiny-mixtral.gguf"};
    mn_upcycle_wish wish = {.type = MN_DTYPE_COUNT};
    mn_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(mn_upcycle_parse(wrong[i], &wish, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_upcycle_parse("8,2", &wish, &err), err);
    for (int i = 0; i < 2; i++) {
        mn_model model;
        assert_ok(mn_model_open(data_path(models[i]), &model, &err), err);
        assert_int_equal(mn_upcycle_write(&model, &wish, temp_path("x.gguf"), &err), MN_ERR_UNSUPPORTED);
        mn_model_close(&model);
    }
}

/* Keys come along whole, however long, and those that a dense model has of experts are said anew. */
static void keys_come_along(void **state) {
    (void)state;
    char key[400], renamed[400], from[600];
    mn_gguf *g;
    mn_error err;
    int64_t value;
    bool found;
    snprintf(key, sizeof key, "qwen3.%0300d.x", 7);
    snprintf(renamed, sizeof renamed, "qwen3moe.%0300d.x", 7);
    snprintf(from, sizeof from, "%s", temp_path("long-key.gguf"));
    assert_ok(mn_gguf_open(data_path("golden/tiny-qwen3.gguf"), &g, &err), err);
    gguf_edit_write(g, from, NULL, (gguf_edit[]){EDIT_U32(key, 41), EDIT_U32("qwen3.expert_count", 0)}, 2);
    mn_gguf_close(g);
    const char *out = upcycle_file(from, "4,2", 0);
    assert_ok(mn_gguf_open(out, &g, &err), err);
    assert_ok(mn_gguf_get_i64(g, renamed, &value, &found, &err), err);
    assert_true(found && value == 41);
    int n_counts = 0;
    for (int64_t i = 0; i < mn_gguf_n_kv(g); i++) {
        mn_gguf_string k = mn_gguf_kv_at(g, i)->key;
        n_counts += k.bytes == strlen("qwen3moe.expert_count") && !memcmp(k.data, "qwen3moe.expert_count", k.bytes);
    }
    assert_int_equal(n_counts, 1);
    mn_gguf_close(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_noise_it_is_the_dense_model), cmocka_unit_test(noise_makes_experts_differ),
        cmocka_unit_test(asking_ahead_changes_no_bit),         cmocka_unit_test(visits_are_counted),
        cmocka_unit_test(what_cannot_be_is_refused),           cmocka_unit_test(keys_come_along)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
