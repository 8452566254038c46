/* The memory plan against what sessions really take. */
#include "support/support.h"

#include "attention/flash.h"
#include "base/checked.h"
#include "base/ram.h"
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-deepseek3.gguf",
                                          "golden/tiny-gemma3.gguf",     "golden/tiny-qwen3.gguf",
                                          "models/infini.gguf",          "golden/tiny-glm-dsa.gguf",
                                          "golden/tiny-gemma4.gguf",     "golden/tiny-deepseek4.gguf"};

static const mn_window windows[] = {{1024, 256, MN_F16, MN_F16, 0, NULL},
                                    {1000, 512, MN_Q8_0, MN_Q4_0, 0, NULL},
                                    {640, 7, MN_F32, MN_BF16, 0, NULL},
                                    {2048, 2048, MN_Q8_0, MN_Q8_0, 0, NULL}};

static mn_engine *open_engine(const char *name, int n_threads) {
    mn_engine *engine;
    mn_error err;
    mn_engine_params params = {.n_threads = n_threads};
    assert_ok(mn_engine_open(data_path(name), &params, &engine, &err), err);
    return engine;
}

static mn_session *open_session(mn_engine *engine, const mn_window *w) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = w->n_ctx,
                                .n_batch = w->n_batch,
                                .type_k = mn_dtype_get(w->k_type)->name,
                                .type_v = mn_dtype_get(w->v_type)->name,
                                .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void extend(mn_session *s, int64_t n) {
    int32_t *tokens = calloc((size_t)n, sizeof *tokens);
    mn_error err;
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)(i * 7 % s->engine->model.config.n_vocab);
    assert_ok(mn_session_extend(s, tokens, n, NULL, NULL, NULL, NULL, &err), err);
    free(tokens);
}

/* A full batch that wants logits, and few rows at the end: both ways through attention at their most. */
static void fill(mn_session *s) {
    int64_t few = MN_MIN(s->n_batch, MN_FLASH_MIN_ROWS - 1);
    extend(s, s->n_batch);
    if (s->n_batch == s->n_ctx) return;
    extend(s, s->n_ctx - s->n_batch - few);
    extend(s, few);
}

static void check_window(mn_engine *engine, const mn_window *w) {
    mn_memory_plan plan;
    mn_error err;
    const mn_config *c = &engine->model.config;
    assert_ok(mn_memory_plan_make(engine, w, &plan, &err), err);
    mn_session *s = open_session(engine, w);
    size_t reserved = engine->scratch.held_bytes;
    fill(s);
    assert_int_equal(engine->scratch.held_bytes, reserved); /* nothing was taken while running */
    /* Routing decides how many rows meet in one expert; the plan takes the most. */
    if (c->moe.router.n_experts)
        assert_true(engine->scratch.most_bytes <= plan.scratch_bytes);
    else
        assert_int_equal(engine->scratch.most_bytes, plan.scratch_bytes);
    if (s->sequence.window) { /* windowed layers drop entries at borders of pages, and keep places to go back to */
        assert_true(mn_session_kv_bytes(s) <= plan.kv_bytes + s->sequence.state_bytes);
    } else if (c->infini.segment) {
        assert_true(mn_kvcache_bytes(s->sequence.cache) <= plan.kv_bytes);
        assert_true((size_t)(1 + s->n_checkpoints) * s->sequence.state_bytes <= plan.state_bytes);
    } else {
        assert_int_equal(mn_session_kv_bytes(s), plan.kv_bytes + s->sequence.state_bytes);
    }
    assert_int_equal(reserved, MN_MAX(plan.scratch_bytes, (size_t)1 << 18)); /* the arena's smallest chunk */
    mn_session_close(s);
}

static void plans_are_what_sessions_take(void **state) {
    (void)state;
    for (size_t m = 0; m < sizeof model_names / sizeof *model_names; m++)
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
            for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
                mn_engine *engine = open_engine(model_names[m], n_threads);
                check_window(engine, &windows[w]);
                mn_engine_close(engine);
            }
}

/* What --attn, --attn-layers and --pos add, for a text that fills the window. */
static const struct {
    const char *attn, *attn_layers, *map;
} ways[] = {{"sinks:4,60", NULL, NULL},
            {"sinks-abs:200,90", NULL, NULL},
            {"window:1100", NULL, NULL},
            {"longformer:60,3,2", NULL, NULL},
            {"bigbird:64,3,2,3", NULL, NULL},
            {"global:70", NULL, NULL},
            {"random:2", NULL, NULL},
            {"quest:16,256", NULL, NULL},
            {"moba:64,3", NULL, NULL},
            {"shifted-sparse:128", NULL, NULL},
            {"xattention:8,1", NULL, NULL},
            {"snapkv:32,256", NULL, NULL},
            {"linear", NULL, NULL},
            {"infini:250", NULL, NULL},
            {"infini:1280,delta-exact,0.3", NULL, NULL},
            {NULL, "0=linear", NULL},
            {NULL, NULL, "self-extend:4,64"},
            {NULL, NULL, "dca:256,64"},
            {NULL, NULL, "string:256,64"}};
enum { WAY_TOKENS = 2560, WAY_BATCH = 256 };

/* Rows held are at their most when a step has run and what has left sight is not dropped yet: when logits are handed
 * out. */
typedef struct peak {
    const mn_session *s;
    size_t bytes;
} peak;

static void look(void *arg, int64_t index, const float *logits) {
    (void)index, (void)logits;
    peak *p = arg;
    p->bytes = MN_MAX(p->bytes, mn_session_kv_bytes(p->s) - p->s->sequence.state_bytes);
}

static void extend_looking(mn_session *s, int64_t n, peak *p) {
    int32_t *tokens = calloc((size_t)n, sizeof *tokens);
    uint8_t *want = calloc((size_t)n, 1);
    mn_error err;
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)(i * 7 % s->engine->model.config.n_vocab);
    want[n - 1] = 1;
    assert_ok(mn_session_extend(s, tokens, n, want, look, NULL, p, &err), err);
    free(tokens);
    free(want);
}

/* A prompt at once where its end evicts; else full batches from many places in a page, and in the end the steps that
 * take the most: few rows, one, and once more a full batch, which begins between all borders. */
static void fill_way(mn_session *s, peak *p) {
    int64_t few = MN_FLASH_MIN_ROWS - 1, window;
    mn_error err;
    if (mn_session_budget(s, &window)) {
        static int32_t tokens[WAY_TOKENS];
        assert_ok(mn_session_sync(s, tokens, WAY_TOKENS, NULL, NULL, NULL, &err), err);
        return;
    }
    while (mn_session_n_tokens(s) + WAY_BATCH + 45 + few + 1 <= WAY_TOKENS) {
        extend_looking(s, WAY_BATCH, p);
        extend_looking(s, 45, p);
    }
    while (mn_session_n_tokens(s) + few + 1 < WAY_TOKENS)
        extend_looking(s, MN_MIN((int64_t)WAY_BATCH, WAY_TOKENS - few - 1 - mn_session_n_tokens(s)), p);
    extend_looking(s, few, p);
    extend_looking(s, 1, p);
    assert_ok(mn_session_rewind(s, WAY_TOKENS - 1 - WAY_BATCH, &err), err);
    extend_looking(s, WAY_BATCH, p);
}

static void assert_within_percent(int slack, size_t taken, size_t planned, const char *what, const char *way) {
    if (taken > planned || 100 * taken < (size_t)(100 - slack) * planned)
        fail_msg("%s of %s: %zu bytes taken, %zu planned", what, way, taken, planned);
}

static void check_way(const char *model, size_t i) {
    mn_engine *engine = open_engine(model, 2);
    mn_session *s;
    mn_error err;
    mn_memory_plan plan;
    mn_session_params params = {.n_ctx = WAY_TOKENS,
                                .n_batch = WAY_BATCH,
                                .attn = ways[i].attn,
                                .attn_layers = ways[i].attn_layers,
                                .position = {.map = ways[i].map, .beyond = true}};
    const char *way = ways[i].attn ? ways[i].attn : ways[i].map ? ways[i].map : ways[i].attn_layers;
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    mn_window w = {WAY_TOKENS, WAY_BATCH, MN_F16, MN_F16, 0, &s->attn};
    assert_ok(mn_memory_plan_make(engine, &w, &plan, &err), err);
    peak p = {.s = s};
    int64_t window;
    fill_way(s, &p);
    if (!mn_session_budget(s, &window)) assert_within_percent(2, p.bytes, plan.kv_bytes, "KV entries", way);
    assert_within_percent(2, engine->scratch.most_bytes, plan.scratch_bytes, "scratch", way);
    assert_true((size_t)(1 + s->n_checkpoints) * s->sequence.state_bytes <= plan.state_bytes);
    assert_true(plan.state_bytes <= (1 + MN_MAX_CHECKPOINTS) * s->sequence.state_bytes);
    mn_session_close(s);
    mn_engine_close(engine);
}

static void plans_count_what_flags_add(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) check_way("golden/tiny-llama-yarn.gguf", i);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) check_way("golden/tiny-qwen3.gguf", i);
    /* Latent attention takes no map and no recurrent state. */
    for (size_t i = 1; ways[i].attn && strcmp(ways[i].attn, "linear"); i++) check_way("golden/tiny-deepseek3.gguf", i);
}

/* A bounded memory is planned for any window, and so is a window that would not fit otherwise. */
static void what_leaves_sight_needs_no_room(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-llama-yarn.gguf", 2);
    mn_session *s;
    mn_error err;
    size_t row = 2 * sizeof(uint16_t) * (size_t)(engine->model.config.n_kv_heads * engine->model.config.head_dim_k) *
                 (size_t)engine->model.config.n_layers;
    int64_t too_long = (int64_t)(2 * mn_ram_free() / row);
    mn_session_params params = {.n_ctx = too_long, .position.beyond = true};
    assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_MEMORY);
    params.n_ctx = 10000000;
    params.attn = "sinks:4,60";
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    mn_memory_plan short_plan, long_plan;
    mn_window w = {4096, 512, MN_F16, MN_F16, 0, &s->attn};
    assert_ok(mn_memory_plan_make(engine, &w, &short_plan, &err), err);
    w.n_ctx = params.n_ctx;
    assert_ok(mn_memory_plan_make(engine, &w, &long_plan, &err), err);
    assert_int_equal(short_plan.kv_bytes, long_plan.kv_bytes);
    assert_true(mn_memory_plan_is_bounded(engine, &w));
    mn_session_close(s);
    mn_engine_close(engine);
}

static bool fits(const mn_engine *engine, const mn_window *w, size_t bytes) {
    mn_memory_plan plan;
    mn_error err;
    assert_ok(mn_memory_plan_make(engine, w, &plan, &err), err);
    return mn_memory_plan_check(engine, w, &plan, &(mn_room){.free_bytes = bytes}, &err) == MN_OK;
}

static void the_largest_window_fits_and_one_page_more_does_not(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-qwen3.gguf", 2);
    if (!engine) return;
    for (size_t bytes = (size_t)1 << 22; bytes <= (size_t)1 << 34; bytes *= 8) {
        mn_window w = {0, 64, MN_F16, MN_Q8_0, 0, NULL};
        mn_error err;
        assert_ok(mn_memory_plan_largest(engine, &w, &(mn_room){.free_bytes = bytes}, &w.n_ctx, &err), err);
        assert_true(w.n_ctx > 0);
        assert_true(fits(engine, &w, bytes));
        w.n_ctx += MN_PAGE_TOKENS;
        assert_false(fits(engine, &w, bytes));
    }
    mn_engine_close(engine);
}

static mn_status check(const mn_engine *engine, const mn_window *w, const mn_memory_plan *plan, size_t bytes,
                       mn_error *err) {
    mn_room room = {.free_bytes = bytes};
    return mn_memory_plan_check(engine, w, plan, &room, err);
}

static void refusals_name_figures_and_remedies(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-qwen3.gguf", 2);
    if (!engine) return;
    mn_window w = {1 << 24, 512, MN_F16, MN_F16, 0, NULL};
    mn_memory_plan plan;
    mn_error err;
    assert_ok(mn_memory_plan_make(engine, &w, &plan, &err), err);
    assert_int_equal(check(engine, &w, &plan, plan.total_bytes - 1, &err), MN_ERR_MEMORY);
    assert_non_null(strstr(err.text, " at 16777216 f16 + work "));
    assert_non_null(strstr(err.text, "Fits: 16777088 tokens, or 16777216 with keys and values in q8_0."));
    assert_int_equal(check(engine, &w, &plan, plan.total_bytes / 4, &err), MN_ERR_MEMORY);
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_WINDOW);
    assert_int_equal(err.remedies[1].kind, MN_REMEDY_Q8_CACHE);
    assert_true(err.remedies[0].value > 0 && err.remedies[1].value > err.remedies[0].value);
    assert_int_equal(check(engine, &w, &plan, plan.weights_bytes, &err), MN_ERR_MEMORY);
    assert_non_null(strstr(err.text, "smaller weights"));
    mn_session *s;
    int64_t too_long = (int64_t)(2 * mn_ram_free() / (plan.kv_bytes / (size_t)w.n_ctx));
    mn_session_params params = {.n_ctx = too_long, .position.beyond = true};
    assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_MEMORY);
    if (!strstr(err.text, "iB free. Fits: ")) fail_msg("%s", err.text);
    params.n_ctx = INT64_C(1) << 39;
    assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_MEMORY);
    if (!strstr(err.text, "use a smaller window or batch.")) fail_msg("%s", err.text);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_what_sessions_take),
        cmocka_unit_test(plans_count_what_flags_add),
        cmocka_unit_test(what_leaves_sight_needs_no_room),
        cmocka_unit_test(the_largest_window_fits_and_one_page_more_does_not),
        cmocka_unit_test(refusals_name_figures_and_remedies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
