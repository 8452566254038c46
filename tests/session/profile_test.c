/* Where the time goes: a profile changes no bit, its times add up to what has passed, and what it counts is what
 * formulas say. Pairs of queries and keys are those that masks of single keys have. */
#include "support/easy_model.h"
#include "support/support.h"

#include "attention/visible.h"
#include "base/clock.h"
#include "kernels/attend.h"
#include "session/session.h"

#include <string.h>

enum { N_PROMPT = 70, N_CTX = 512 };

static mn_engine *open_engine(const char *name) {
    mn_engine *engine;
    mn_error err;
    mn_engine_params params = {.n_threads = 2};
    assert_ok(mn_engine_open(data_path(name), &params, &engine, &err), err);
    return engine;
}

static mn_session *open_session(mn_engine *engine, const char *attn) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = N_CTX, .attn = attn, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void extend(mn_session *s, int64_t n) {
    int32_t tokens[N_CTX];
    mn_error err;
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)(i * 7 % s->engine->model.config.n_vocab);
    assert_ok(mn_session_extend(s, tokens, n, NULL, NULL, NULL, NULL, &err), err);
}

/* A prompt and three tokens more; their last logits. */
static void run(mn_engine *engine, const char *attn, mn_profile *profile, float *logits) {
    mn_session *s = open_session(engine, attn);
    mn_engine_profile(engine, profile);
    extend(s, N_PROMPT);
    for (int i = 0; i < 3; i++) extend(s, 1);
    mn_engine_profile(engine, NULL);
    memcpy(logits, mn_session_logits(s), (size_t)engine->model.config.n_vocab * sizeof *logits);
    mn_session_close(s);
}

static double seconds_of(const mn_profile *p) {
    double sum = 0;
    for (int i = 0; i < (p->n_layers + 2) * MN_OP_COUNT; i++) sum += p->costs[i].seconds;
    return sum;
}

static void a_profile_changes_no_bit_and_misses_no_time(void **state) {
    static const char *const names[] = {"golden/tiny-qwen3.gguf",   "golden/tiny-deepseek3.gguf",
                                        "golden/tiny-glm-dsa.gguf", "golden/tiny-deepseek4.gguf",
                                        "golden/tiny-gpt-oss.gguf", "golden/tiny-rwkv7.gguf"};
    static float plain[1 << 18], profiled[1 << 18];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mn_engine *engine = open_engine(names[i]);
        mn_profile *p;
        mn_error err;
        mn_peaks peaks = {1e9, 0, 0, 1e9};
        int n_vocab = engine->model.config.n_vocab;
        assert_true(n_vocab <= 1 << 18);
        assert_ok(mn_profile_create(engine->model.config.n_layers, &peaks, &p, &err), err);
        run(engine, NULL, NULL, plain);
        double started = mn_clock_seconds();
        run(engine, NULL, p, profiled);
        double passed = mn_clock_seconds() - started;
        assert_memory_equal(plain, profiled, (size_t)n_vocab * sizeof *plain);
        assert_true(seconds_of(p) > 0 && seconds_of(p) <= passed);
        double before = seconds_of(p);
        run(engine, NULL, NULL, plain); /* it has stopped */
        assert_true(seconds_of(p) == before);
        for (int place = 0; place < p->n_layers + 2; place++) {
            bool layer = place > 0 && place <= p->n_layers;
            assert_true(!layer || mn_profile_at(p, place, MN_OP_PRODUCTS)->seconds > 0);
            assert_true(!layer || mn_profile_at(p, place, MN_OP_NORMS)->seconds > 0);
        }
        mn_profile_destroy(p);
        mn_engine_close(engine);
    }
}

/* Products of a layer and of the output, and attention of a layer, of a plain model. */
static void work_is_what_formulas_say(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-qwen3.gguf");
    static float logits[1 << 18];
    const mn_config *c = &engine->model.config;
    mn_profile *p;
    mn_error err;
    mn_peaks peaks = {2e9, 0, 0, 1e15};
    assert_ok(mn_profile_create(c->n_layers, &peaks, &p, &err), err);
    run(engine, NULL, p, logits);
    double n_rows = N_PROMPT + 3, pairs = n_rows * (n_rows + 1) / 2;
    const mn_layer_shape *l = &c->layers[0];
    double qkvo = (double)c->n_embd * (l->n_heads * 2.0 + l->n_kv_heads * 2.0) * l->head_dim_k;
    const mn_op_cost *products = mn_profile_at(p, 1, MN_OP_PRODUCTS), *attention = mn_profile_at(p, 1, MN_OP_ATTENTION),
                     *output = mn_profile_at(p, c->n_layers + 1, MN_OP_PRODUCTS), *mlp = mn_profile_at(p, 1, MN_OP_MLP);
    assert_float_equal(products->flops, 2 * n_rows * qkvo, 0.5);
    assert_float_equal(mlp->flops, 2 * n_rows * 3.0 * c->n_embd * l->n_ff, 0.5);
    assert_float_equal(attention->flops, 2.0 * (l->head_dim_k + l->head_dim_v) * l->n_heads * pairs, 0.5);
    assert_float_equal(attention->floor_s, attention->flops / peaks.f32_flops_per_s, 1e-12);
    assert_float_equal(output->flops, 2.0 * 4 * c->n_embd * c->n_vocab, 0.5); /* a row of each step */
    mn_profile_destroy(p);
    mn_engine_close(engine);
}

/* A layer's MLP apart from its other products: the router for all rows, and the one MLP that they take. */
static void mlps_are_told_apart(void **state) {
    (void)state;
    static const double ends[] = {0, 1};
    char path[600];
    mn_engine *engine;
    mn_error err;
    snprintf(path, sizeof path, "%s", easy_model(data_path("golden/tiny-llama.gguf"), 2, true));
    mn_engine_params params = {.n_threads = 2, .exact = true};
    assert_ok(mn_engine_open(path, &params, &engine, &err), err);
    const mn_config *c = &engine->model.config;
    for (int i = 0; i < 2; i++) {
        mn_session *s;
        mn_profile *p;
        mn_peaks peaks = {2e9, 0, 0, 1e15};
        mn_session_params session = {.n_ctx = N_CTX, .router_threshold = &ends[i]};
        assert_ok(mn_profile_create(c->n_layers, &peaks, &p, &err), err);
        assert_ok(mn_session_open(engine, &session, &s, &err), err);
        mn_engine_profile(engine, p);
        extend(s, N_PROMPT);
        mn_engine_profile(engine, NULL);
        const mn_op_cost *mlp = mn_profile_at(p, 1, MN_OP_MLP);
        double units = i ? c->layers[0].n_ff : c->layers[0].n_ff_small;
        assert_float_equal(mlp->flops, 2.0 * N_PROMPT * c->n_embd * (1 + 3 * units), 0.5);
        assert_true(mlp->seconds > 0);
        mn_session_close(s);
        mn_profile_destroy(p);
    }
    mn_engine_close(engine);
}

static void a_session_counts_the_keys_it_reads(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-qwen3.gguf");
    double n = N_PROMPT + 200, all = (double)engine->model.config.n_layers * n * (n + 1) / 2;
    mn_session *full = open_session(engine, NULL), *window = open_session(engine, "window:64");
    extend(full, N_PROMPT);
    extend(window, N_PROMPT);
    for (int i = 0; i < 200; i++) {
        extend(full, 1);
        extend(window, 1);
    }
    assert_float_equal(mn_session_keys(full).all, all, 0.5);
    assert_float_equal(mn_session_keys(full).read, all, 0.5);
    assert_float_equal(mn_session_keys(window).all, all, 0.5);
    double share = mn_session_keys(window).read / all;
    assert_true(share > 64 / n && share < 0.6);
    mn_session_close(full);
    mn_session_close(window);
    mn_engine_close(engine);
}

/* Bits of mn_visible_keys, where no list is coarser than a row sees. */
static double count_bits(const mn_attend *a, int64_t n_tokens) {
    double n = 0;
    for (int64_t r = 0; r < a->n_rows; r++)
        for (int h = 0; h < a->n_heads; h++)
            for (int64_t tile = 0; tile < n_tokens; tile += MN_TILE_KEYS)
                n += __builtin_popcountll(mn_visible_keys(a, h, a->first_token + r, tile));
    return n / a->n_heads;
}

static void pairs_are_those_of_single_keys(void **state) {
    (void)state;
    enum { N = 300, ROWS = 100 };
    static const int64_t offsets[] = {0, 2, 4, 6, 8, 10, 12, 14, 16};
    static const int32_t blocks[] = {0, 3, 3, 4, 1, 2, 0, 4, 2, 3, 1, 3, 0, 1, 2, 4};
    mn_block_list lists = {.block_tokens = 64,
                           .first_query_block = 3,
                           .n_query_blocks = 2,
                           .n_lists = 4,
                           .offsets = offsets,
                           .blocks = blocks};
    uint64_t chosen[ROWS * 5];
    for (int i = 0; i < ROWS * 5; i++) chosen[i] = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(i + 1);
    mn_attend a = {.n_rows = ROWS, .first_token = N - ROWS, .n_heads = 4};
    a.kv.n_tokens = N;
    a.kv.n_kv_heads = 2;
    mn_attend cases[5] = {a, a, a, a, a};
    cases[1].window = 70;
    cases[2].window = 50;
    cases[2].n_sinks = 4;
    cases[3].blocks = &lists;
    cases[4].chosen = chosen;
    cases[4].chosen_words = 5;
    for (int i = 0; i < 5; i++) {
        mn_pair_count pairs = mn_visible_pairs(&cases[i]);
        mn_attend last = cases[i];
        assert_float_equal(pairs.all, count_bits(&cases[i], N), 1e-6);
        last.first_token = N - 1;
        last.n_rows = 1;
        if (last.chosen) last.chosen += (ROWS - 1) * 5;
        assert_float_equal(pairs.last_row, count_bits(&last, N), 1e-6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_changes_no_bit_and_misses_no_time),
        cmocka_unit_test(work_is_what_formulas_say),
        cmocka_unit_test(mlps_are_told_apart),
        cmocka_unit_test(a_session_counts_the_keys_it_reads),
        cmocka_unit_test(pairs_are_those_of_single_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
