/* convert/latent: turning keys across heads changes no score; a full rank loses nothing, whatever the model's biases,
 * layout and positions are, in the file that is trained and in the one for other engines; less of it loses little where
 * little was there; what the file says of itself.
 */
#include "support/dressed_model.h"
#include "support/gguf_edit.h"
#include "support/support.h"
#include "support/tape_case.h"

#include "base/random.h"
#include "convert/latent.h"
#include "session/memory_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char from[600], trained[600], to[600];

static int name_files(void **state) {
    (void)state;
    snprintf(from, sizeof from, "%s", temp_path("latent-from.gguf"));
    snprintf(trained, sizeof trained, "%s", temp_path("latent-trained.gguf"));
    snprintf(to, sizeof to, "%s", temp_path("latent-to.gguf"));
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    unlink(from);
    unlink(trained);
    unlink(to);
    return 0;
}

/* ---- the turn ---- */

static double *normal(size_t n, uint64_t seed) {
    mn_random rng;
    double *x = malloc(n * sizeof *x);
    mn_random_seed(&rng, seed, 1);
    for (size_t i = 0; i < n; i++) x[i] = mn_random_normal(&rng);
    return x;
}

/* Positive and symmetric: what moments are. */
static double *moments_of(int64_t n, uint64_t seed) {
    double *x = normal((size_t)(n * n), seed), *m = calloc((size_t)(n * n), sizeof *m);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < n; k++) m[i * n + j] += x[k * n + i] * x[k * n + j] / (double)n;
    free(x);
    return m;
}

/* w h of one row. */
static double at(const double *w, const double *h, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += w[i] * h[i];
    return sum;
}

/* Score of one pair of dimensions, the query at position p and the key at position 0, angle a per token. */
static double turned(double q_re, double q_im, double k_re, double k_im, double angle) {
    return cos(angle) * (q_re * k_re + q_im * k_im) + sin(angle) * (q_re * k_im - q_im * k_re);
}

/* All scores of all heads at some distances, over heads as they were and over components. */
static void scores_stay(void **state) {
    (void)state;
    enum { N = 13, D = 8, HEADS = 6, KV = 3 };
    mn_config *c = calloc(1, sizeof *c);
    c->rope_style = MN_ROPE_SPLIT;
    c->rope.n_rot = D;
    mn_head_weights h = {HEADS, KV, D, D, N, normal(HEADS * D * N, 1), normal(KV * D * N, 2), normal(KV * D * N, 3)};
    double *m = moments_of(N, 4), *x = normal(N, 5), *y = normal(N, 6);
    const mn_latent_method *const methods[] = {&mn_transmla, &mn_mha2mla};
    for (int method = 0; method < 2; method++) {
        mn_component_set sets[D / 2];
        mn_error err;
        assert_ok(mn_latent_components(c, &h, m, methods[method], sets, &err), err);
        for (int head = 0; head < HEADS; head++)
            for (int distance = 0; distance < 1000; distance += 37) {
                double want = 0, got = 0;
                int own = head / (HEADS / KV);
                for (int l = 0; l < D / 2; l++) {
                    mn_pair p = mn_pair_of(c, l);
                    double angle = distance * pow(10000, -2.0 * l / D);
                    double q_re = at(h.q + (head * D + p.re) * N, x, N), q_im = at(h.q + (head * D + p.im) * N, x, N);
                    double k_re[KV], k_im[KV];
                    for (int j = 0; j < KV; j++) {
                        k_re[j] = at(h.k + (j * D + p.re) * N, y, N);
                        k_im[j] = at(h.k + (j * D + p.im) * N, y, N);
                    }
                    want += turned(q_re, q_im, k_re[own], k_im[own], angle);
                    for (int r = 0; r < KV; r++) {
                        const double *u = sets[l].u + r * KV;
                        double re = 0, im = 0;
                        for (int j = 0; j < KV; j++) re += u[j] * k_re[j], im += u[j] * k_im[j];
                        got += turned(u[own] * q_re, u[own] * q_im, re, im, angle);
                    }
                }
                if (!(fabs(got - want) < 1e-9 * (1 + fabs(want))))
                    fail_msg("method %d, head %d, distance %d: %.12g, not %.12g", method, head, distance, got, want);
            }
        for (int l = 0; l < D / 2; l++)
            for (int r = 1; r < KV; r++) assert_true(sets[l].contribution[r] <= sets[l].contribution[r - 1]);
        free(sets[0].u);
    }
    free(h.q), free(h.k), free(h.v);
    free(m), free(x), free(y);
    free(c);
}

/* The first component of each frequency holds more of the keys than any head does. */
static void turning_gathers(void **state) {
    (void)state;
    enum { N = 13, D = 8, KV = 3 };
    mn_config *c = calloc(1, sizeof *c);
    mn_component_set turned_sets[D / 2], heads[D / 2];
    mn_error err;
    c->rope_style = MN_ROPE_INTERLEAVED;
    c->rope.n_rot = D;
    /* One query row for all, so that contributions compare energies of keys alone. */
    double *q = normal(KV * D * N, 7);
    for (int i = D * N; i < KV * D * N; i++) q[i] = q[i - D * N];
    mn_head_weights h = {KV, KV, D, D, N, q, normal(KV * D * N, 2), normal(KV * D * N, 3)};
    double *m = moments_of(N, 4);
    assert_ok(mn_latent_components(c, &h, m, &mn_transmla, turned_sets, &err), err);
    assert_ok(mn_latent_components(c, &h, m, &mn_mha2mla, heads, &err), err);
    for (int l = 0; l < D / 2; l++) assert_true(turned_sets[l].contribution[0] > heads[l].contribution[0]);
    free(turned_sets[0].u), free(heads[0].u);
    free(h.q), free(h.k), free(h.v);
    free(m), free(c);
}

/* ---- whole models ---- */

/* Writes both files of a conversion. */
static void convert(int rank, int n_rot, mn_heads_method method, mn_notes *notes) {
    mn_model model;
    mn_moments moments;
    mn_error err;
    mn_heads_wish wish = {.method = method, .rank = rank, .n_rot = n_rot, .type = MN_DTYPE_COUNT, .notes = notes};
    assert_ok(mn_model_open(from, &model, &err), err);
    assert_ok(mn_heads_check(&model, &wish, &err), err);
    assert_ok(mn_moments_of_norms(&model, &moments, &err), err);
    assert_ok(mn_heads_write(&model, &wish, &moments, trained, &err), err);
    assert_ok(mn_latent_finish(trained, to, &err), err);
    mn_moments_release(&moments);
    mn_model_close(&model);
}

static void lossless(const char *what, int rank, int n_rot) {
    for (mn_heads_method method = MN_HEADS_TRANSMLA; method <= MN_HEADS_MHA2MLA; method++) {
        convert(rank, n_rot, method, NULL);
        double first = logits_apart(from, trained), second = logits_apart(from, to);
        if (!(first < 1e-5 && second < 1e-5))
            fail_msg("%s, method %d: logits differ by %g as trained, by %g as written", what, (int)method, first,
                     second);
    }
}

static void edit(const char *path, const gguf_edit *edits, size_t n) {
    mn_gguf *in;
    mn_error err;
    assert_ok(mn_gguf_open(path, &in, &err), err);
    gguf_edit_write(in, from, NULL, edits, n);
    mn_gguf_close(in);
}

static void full_rank_loses_nothing(void **state) {
    (void)state;
    char plain[600];
    snprintf(plain, sizeof plain, "%s", temp_path("latent-plain.gguf"));
    dressed_model_write("llama", from, 0, NULL);
    lossless("llama", 64, 64);
    dressed_model_write("llama", from, 1, NULL);
    lossless("a llama of one key head", 16, 16);
    dressed_model_write("qwen2", from, 0, NULL);
    lossless("qwen2, with biases", 64, 64);
    dressed_model_write("phi3", from, 0, NULL);
    lossless("phi3, fused", 64, 64);
    dressed_model_write("llama", plain, 0, NULL);
    edit(plain, &EDIT_U32("llama.rope.dimension_count", 8), 1);
    lossless("a llama that rotates half of a head", 96, 32);
    const gguf_edit yarn[] = {EDIT_TEXT("llama.rope.scaling.type", "yarn"), EDIT_F32("llama.rope.scaling.factor", 4),
                              EDIT_U32("llama.rope.scaling.original_context_length", 32)};
    edit(plain, yarn, 3);
    lossless("a llama with YaRN", 64, 64);
    edit(plain, &EDIT_F32("llama.attention.scale", 0.4f), 1);
    lossless("a llama of another scale", 64, 64);
    dressed_model_write("mnemo", plain, 0, NULL);
    edit(plain, &EDIT_U32("mnemo.attention.short_conv", 0), 1);
    lossless("mnemo without convolution", 64, 64);
    unlink(plain);
}

/* Keys and values of four heads that are copies of two: half of the rank, and half of what is rotated, is all there is.
 */
static void what_is_twice_there_is_kept_once(void **state) {
    (void)state;
    static const int twin[] = {0, 1, 1, 0};
    dressed_model_write("llama", from, 0, twin);
    convert(32, 32, MN_HEADS_TRANSMLA, NULL);
    assert_true(logits_apart(from, to) < 1e-5);
    convert(32, 32, MN_HEADS_MHA2MLA, NULL);
    assert_true(logits_apart(from, to) > 1e-3);
}

static void less_is_worse(void **state) {
    (void)state;
    double last = 1e-5;
    dressed_model_write("llama", from, 1, NULL);
    for (int rank = 12; rank >= 4; rank -= 4) {
        convert(rank, 16, MN_HEADS_TRANSMLA, NULL);
        double off = logits_apart(from, to);
        assert_true(off > last);
        last = off;
    }
}

/* The norm's own epsilon, far from the model's, counts in the backward pass too. */
static void latents_are_trained(void **state) {
    (void)state;
    tape_case f;
    dressed_model_write("llama", from, 0, NULL);
    convert(24, 8, MN_HEADS_TRANSMLA, NULL);
    tape_open(&f, trained, NULL, 1);
    assert_true(f.parameters.model.config.mla.norm_eps > 1e5f);
    tape_check_set(&f, &f.parameters, "latent", 2e-3);
    tape_close(&f);
}

/* ---- the file ---- */

static void keys_and_tensors(void **state) {
    (void)state;
    mn_gguf *g;
    mn_error err;
    mn_notes notes = {0};
    dressed_model_write("llama", from, 0, NULL);
    convert(48, 8, MN_HEADS_TRANSMLA, &notes);
    assert_null(mn_notes_at(&notes, 0));
    assert_ok(mn_gguf_open(to, &g, &err), err);
    static const struct {
        const char *key;
        int64_t value;
    } want[] = {{"block_count", 2},           {"leading_dense_block_count", 2},
                {"attention.head_count", 8},  {"attention.head_count_kv", 1},
                {"attention.q_lora_rank", 0}, {"attention.kv_lora_rank", 48},
                {"attention.key_length", 56}, {"attention.value_length", 48},
                {"rope.dimension_count", 8},  {"attention.key_length_mla", 24},
                {"context_length", 128},      {"attention.value_length_mla", 16},
                {"embedding_length", 64},     {"feed_forward_length", 96},
                {"expert_shared_count", 0},   {"expert_feed_forward_length", 96}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char key[96];
        int64_t value = -1;
        bool found;
        snprintf(key, sizeof key, "deepseek2.%s", want[i].key);
        assert_ok(mn_gguf_get_i64(g, key, &value, &found, &err), err);
        if (value != want[i].value) fail_msg("%s is %lld", key, (long long)value);
    }
    /* Every tensor that other engines ask for, in their shapes, and no other. */
    static const struct {
        const char *name;
        int64_t ne[3];
    } shapes[] = {{"attn_norm.weight", {64, 1, 1}},      {"attn_q.weight", {64, 8 * 24, 1}},
                  {"attn_kv_a_mqa.weight", {64, 56, 1}}, {"attn_kv_a_norm.weight", {48, 1, 1}},
                  {"attn_k_b.weight", {16, 48, 8}},      {"attn_v_b.weight", {48, 16, 8}},
                  {"attn_output.weight", {128, 64, 1}},  {"ffn_norm.weight", {64, 1, 1}},
                  {"ffn_gate.weight", {64, 96, 1}},      {"ffn_up.weight", {64, 96, 1}},
                  {"ffn_down.weight", {96, 64, 1}}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.1.%s", shapes[i].name);
        const mn_tensor *t = mn_gguf_tensor(g, name);
        if (!t || memcmp(t->ne, shapes[i].ne, sizeof shapes[i].ne)) fail_msg("%s is missing or of another shape", name);
    }
    assert_int_equal(mn_gguf_n_tensors(g), 2 * 11 + 2); /* the token table and the last norm */
    assert_null(mn_gguf_find(g, "llama.block_count"));
    assert_null(mn_gguf_find(g, "deepseek2.attention.kv_a_norm_epsilon"));
    mn_gguf_close(g);
    mn_error again;
    assert_int_equal(mn_latent_finish(to, trained, &again), MN_ERR_ARGUMENT);
}

/* Every second frequency is the series of another base; what is none is said. */
static void frequencies(void **state) {
    (void)state;
    mn_model model;
    mn_error err;
    mn_notes notes = {0};
    dressed_model_write("llama", from, 1, NULL);
    convert(16, 8, MN_HEADS_TRANSMLA, &notes);
    assert_ok(mn_model_open(to, &model, &err), err);
    double base = model.config.rope.freq_base;
    assert_true(fabs(base / 100 - 1) < 1e-6 || fabs(base / 10000 - 1) < 1e-6); /* 10000^(1 8 / 16), 10000^(2 8 / 16) */
    assert_null(model.config.rope.factors);
    assert_null(mn_notes_at(&notes, 0));
    mn_model_close(&model);
    dressed_model_write("qwen2", from, 0, NULL);
    convert(16, 32, MN_HEADS_TRANSMLA, &notes);
    assert_non_null(strstr(mn_notes_at(&notes, 0), "rope_freqs.weight"));
    assert_non_null(strstr(mn_notes_at(&notes, 1), "biases"));
    assert_ok(mn_model_open(to, &model, &err), err);
    assert_non_null(model.config.rope.factors);
    mn_model_close(&model);
    mn_notes_release(&notes);
}

/* What a plan counts for both is what the conversion says it saves. */
static void plans_agree(void **state) {
    (void)state;
    const char *const paths[] = {from, to};
    size_t planned[2], said[2];
    dressed_model_write("llama", from, 0, NULL);
    convert(24, 8, MN_HEADS_MHA2MLA, NULL);
    for (int i = 0; i < 2; i++) {
        mn_engine *engine;
        mn_memory_plan plan;
        mn_error err;
        assert_ok(mn_engine_open(paths[i], NULL, &engine, &err), err);
        mn_window window = {.n_ctx = 1024, .n_batch = 64, .k_type = MN_F16, .v_type = MN_F16};
        assert_ok(mn_memory_plan_make(engine, &window, &plan, &err), err);
        planned[i] = plan.kv_bytes;
        said[i] = mn_heads_kv_bytes(&engine->model.config);
        mn_engine_close(engine);
    }
    assert_int_equal(planned[0], 1024 * said[0]);
    assert_int_equal(planned[1], 1024 * said[1]);
    assert_int_equal(said[0], 2 * 2 * (4 * 16 + 4 * 16));
    assert_int_equal(said[1], 2 * 2 * (24 + 8));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_stay),
        cmocka_unit_test(turning_gathers),
        cmocka_unit_test(full_rank_loses_nothing),
        cmocka_unit_test(what_is_twice_there_is_kept_once),
        cmocka_unit_test(less_is_worse),
        cmocka_unit_test(latents_are_trained),
        cmocka_unit_test(keys_and_tensors),
        cmocka_unit_test(frequencies),
        cmocka_unit_test(plans_agree),
    };
    return cmocka_run_group_tests(tests, name_files, remove_files);
}
