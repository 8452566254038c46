/* Position maps through a whole model: against scores at the mapped distances in double precision, plain RoPE where
 * nothing is mapped, chunks, causality, and sessions saved and restored. */
#include "support/session_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-qwen3.gguf",
                                          "models/default.gguf"};
static const char *const maps[] = {"self-extend:4,33", "dca:100,30", "string:90,10", "sinks:4,70"};
enum { N_MODELS = sizeof model_names / sizeof *model_names, N_MAPS = sizeof maps / sizeof *maps };

/* "sinks" is a pattern as well, and is asked for as one. */
static mn_session_params params_of(const char *map, int32_t n_batch) {
    mn_session_params params = {.n_batch = n_batch};
    *(strncmp(map, "sinks", 5) ? &params.position.map : &params.attn) = map;
    return params;
}

static session_rows run_with(mn_engine *engine, const char *map, int32_t n_batch, const int32_t *tokens) {
    return rows_run(engine, params_of(map, n_batch), tokens);
}

static void each_model(rows_check *check) { rows_each_model(model_names, N_MODELS, check); }

/* How far query i says key j is, -1 when it does not see it. */
static int64_t distance(const mn_posmap *map, int64_t i, int64_t j) {
    for (int p = 0; p < map->n_ranges; p++) {
        mn_posmap_range range = mn_posmap_at(map, p, i);
        if (range.key_begin <= j && j < range.key_end)
            return range.q_position - mn_posmap_key(map, mn_posmap_plane(map, p), j);
    }
    return -1;
}

/* q.k with q turned by a distance. */
static double turned_product(const mn_sequence *t, const mn_config *c, const float *q, const float *k, int64_t by) {
    double sum = 0;
    int n_rot = c->rope.n_rot;
    for (int i = 0; i < n_rot / 2; i++) {
        int a = c->rope_style == MN_ROPE_SPLIT ? i : 2 * i,
            b = c->rope_style == MN_ROPE_SPLIT ? i + n_rot / 2 : 2 * i + 1;
        double angle = (double)by * t->rope.freq[i], cosine = cos(angle), sine = sin(angle);
        sum += ((q[a] * cosine - q[b] * sine) * k[a] + (q[a] * sine + q[b] * cosine) * k[b]) * t->rope.scale *
               t->rope.scale;
    }
    for (int d = n_rot; d < c->head_dim_k; d++) sum += (double)q[d] * k[d];
    return sum;
}

static void attend_row(const mn_sequence *t, const mn_config *c, int layer, int head, int64_t i, const float *q,
                       float *out) {
    mn_kv_view kv = mn_kvcache_view(t->cache, layer, i + 1);
    int kv_head = head / (c->n_heads / kv.n_kv_heads);
    double scores[ROWS_TOKENS], max = -INFINITY, sums[ROWS_MAX_DIM] = {0}, total = 0;
    for (int64_t j = 0; j <= i; j++) {
        int64_t far = distance(&t->attn.map, i, j);
        const float *k = rows_cached(kv.k_pages, kv.k_row_bytes, kv_head, j);
        scores[j] = far < 0 ? -INFINITY : turned_product(t, c, q, k, far) * t->score_scale;
        max = fmax(max, scores[j]);
    }
    for (int64_t j = 0; j <= i; j++) {
        const float *v = rows_cached(kv.v_pages, kv.v_row_bytes, kv_head, j);
        double weight = exp(scores[j] - max);
        total += weight;
        for (int d = 0; d < kv.v_dim; d++) sums[d] += weight * v[d];
    }
    for (int d = 0; d < kv.v_dim; d++) out[d] = (float)(sums[d] / total);
}

/* The oracle's backend: nothing is rotated when it is cached, range 0 attends to everything, the others to nothing. */
static mn_status turn_nothing(const mn_step *s, mn_rows out, mn_rows x, int64_t first, mn_rows angles, mn_error *err) {
    (void)s, (void)first, (void)angles, (void)err;
    if (out.buffer != x.buffer)
        memcpy(mn_cpu_data(out), mn_cpu_data(x), (size_t)(x.n_rows * x.row_stride) * sizeof(float));
    return MN_OK;
}

static mn_status attend_dense(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q,
                              mn_error *err) {
    (void)range, (void)lse, (void)err;
    rows_attend(s, layer, out, q, attend_row);
    return MN_OK;
}

static mn_status merge_nothing(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y,
                               mn_rows y_lse, mn_error *err) {
    (void)s, (void)out, (void)lse, (void)x, (void)x_lse, (void)y, (void)y_lse, (void)err;
    return MN_OK;
}

static void check_distances(mn_engine *engine, const int32_t *tokens) {
    mn_backend cpu = engine->backend, dense = cpu;
    dense.rotate = turn_nothing;
    dense.attend = attend_dense;
    dense.merge = merge_nothing;
    session_rows plain = rows_run(engine, (mn_session_params){0}, tokens);
    for (int i = 0; i < N_MAPS; i++) {
        session_rows got = run_with(engine, maps[i], 0, tokens);
        engine->backend = dense;
        session_rows want = run_with(engine, maps[i], 64, tokens);
        engine->backend = cpu;
        rows_close(got, want, 1e-3, maps[i]);
        assert_memory_not_equal(got.data, plain.data, rows_bytes(plain));
        free(got.data);
        free(want.data);
    }
    free(plain.data);
}

static void scores_follow_the_mapped_distances(void **state) {
    (void)state;
    each_model(check_distances);
}

static void check_plain(mn_engine *engine, const int32_t *tokens) {
    static const struct {
        const char *map;
        double share;
    } same[] = {{"self-extend:1,33", 1e-4},
                {"self-extend:4,300", 0},
                {"dca:400,40", 0},
                {"string:300,10", 0},
                {"sinks:4,296", 1e-4}};
    session_rows plain = rows_run(engine, (mn_session_params){0}, tokens);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        session_rows got = run_with(engine, same[i].map, 0, tokens);
        rows_close(got, plain, same[i].share, same[i].map);
        free(got.data);
    }
    free(plain.data);
}

/* Bit for bit where all keys are in one range; else but for the rounding of the merge, 1e-6 a layer, as it grows on its
 * way to the logits. */
static void plain_where_nothing_is_far(void **state) {
    (void)state;
    each_model(check_plain);
}

static void check_chunks(mn_engine *engine, const int32_t *tokens) {
    static const int32_t sizes[] = {7, 97, 0};
    for (int i = 0; i < N_MAPS; i++) rows_same_in_steps(engine, params_of(maps[i], 0), sizes, tokens);
}

static void chunks_change_no_bit(void **state) {
    (void)state;
    each_model(check_chunks);
}

static void check_causality(mn_engine *engine, const int32_t *tokens) {
    for (int i = 0; i < N_MAPS; i++) rows_look_back_only(engine, params_of(maps[i], 0), tokens);
}

static void a_later_token_never_changes_an_earlier_answer(void **state) {
    (void)state;
    each_model(check_causality);
}

static mn_session *open_session(mn_engine *engine, const char *map) {
    mn_session *s;
    mn_error err;
    mn_session_params params = params_of(map, 64);
    params.n_ctx = ROWS_TOKENS;
    params.position.beyond = true;
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void restored_equals_never_stopped(void **state) {
    (void)state;
    int32_t tokens[ROWS_TOKENS];
    char path[4096];
    mn_error err;
    mn_engine *engine = rows_engine("golden/tiny-qwen3.gguf");
    size_t row_bytes = (size_t)mn_engine_info(engine).n_vocab * sizeof(float);
    rows_tokens(engine, tokens);
    snprintf(path, sizeof path, "%s", temp_path("posmap"));
    for (int i = 0; i < N_MAPS; i++) {
        mn_session *saved = open_session(engine, maps[i]), *restored = open_session(engine, maps[i]);
        mn_session *other = open_session(engine, maps[(i + 1) % N_MAPS]);
        assert_ok(mn_session_sync(saved, tokens, 260, NULL, NULL, NULL, &err), err);
        assert_ok(mn_session_save(saved, path, &err), err);
        assert_ok(mn_session_restore(restored, path, &err), err);
        assert_int_equal(mn_session_kv_bytes(restored), mn_session_kv_bytes(saved));
        assert_ok(mn_session_sync(saved, tokens, ROWS_TOKENS, NULL, NULL, NULL, &err), err);
        assert_ok(mn_session_sync(restored, tokens, ROWS_TOKENS, NULL, NULL, NULL, &err), err);
        assert_memory_equal(mn_session_logits(restored), mn_session_logits(saved), row_bytes);
        assert_ok(mn_session_rewind(restored, 200, &err), err); /* and back again over a page's border */
        assert_ok(mn_session_sync(restored, tokens, ROWS_TOKENS, NULL, NULL, NULL, &err), err);
        assert_memory_equal(mn_session_logits(restored), mn_session_logits(saved), row_bytes);
        assert_int_equal(mn_session_restore(other, path, &err), MN_ERR_ARGUMENT);
        assert_non_null(strstr(err.text, "other positions"));
        mn_session_close(saved);
        mn_session_close(restored);
        mn_session_close(other);
    }
    remove(path);
    mn_engine_close(engine);
}

static void a_second_plane_of_keys_is_counted(void **state) {
    (void)state;
    int32_t tokens[ROWS_TOKENS];
    mn_error err;
    mn_engine *engine = rows_engine("golden/tiny-qwen3.gguf");
    rows_tokens(engine, tokens);
    mn_session *one = open_session(engine, "dca:100,30"), *two = open_session(engine, "self-extend:4,33");
    assert_ok(mn_session_sync(one, tokens, 200, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_sync(two, tokens, 200, NULL, NULL, NULL, &err), err);
    assert_true(mn_session_kv_bytes(two) > mn_session_kv_bytes(one));
    mn_session_close(one);
    mn_session_close(two);
    mn_engine_close(engine);
}

static void refuse(const char *model, mn_session_params params, const char *says) {
    mn_session *s;
    mn_error err;
    mn_engine *engine = rows_engine(model);
    assert_int_not_equal(mn_session_open(engine, &params, &s, &err), MN_OK);
    if (!strstr(err.text, says)) fail_msg("wanted \"%s\" in: %s", says, err.text);
    mn_engine_close(engine);
}

static void refuses(void **state) {
    (void)state;
    const char *model = "models/default.gguf"; /* made for 4096 */
    refuse(model, (mn_session_params){.position.map = "dca:4"}, "dca:C,L");
    refuse(model, (mn_session_params){.position.map = "dca", .attn = "window:9"}, "the pattern window:9");
    refuse(model, (mn_session_params){.position.map = "dca", .attn_layers = "0=full"}, "single layers");
    refuse(model, (mn_session_params){.attn_layers = "0=sinks:4,60"}, "sinks-abs");
    refuse(model, (mn_session_params){.n_ctx = 20000, .position.map = "self-extend:2,1000"}, "7192");
    refuse(model, (mn_session_params){.n_ctx = 20000, .position.map = "string:100,90"}, "4106");
    refuse(model, (mn_session_params){.n_ctx = 20000, .attn = "sinks:4,4096"}, "4096");
    refuse("golden/tiny-deepseek3.gguf", (mn_session_params){.position.map = "dca"}, "latent attention");
    refuse("golden/tiny-bloom.gguf", (mn_session_params){.position.map = "dca"}, "rotary");
    refuse("models/infini.gguf", (mn_session_params){.position.map = "dca"}, "compressive memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_follow_the_mapped_distances),
        cmocka_unit_test(plain_where_nothing_is_far),
        cmocka_unit_test(chunks_change_no_bit),
        cmocka_unit_test(a_later_token_never_changes_an_earlier_answer),
        cmocka_unit_test(restored_equals_never_stopped),
        cmocka_unit_test(a_second_plane_of_keys_is_counted),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
