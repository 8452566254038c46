/* The memory plan against what sessions really take. */
#include "support/support.h"

#include "base/checked.h"
#include "base/ram.h"
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-deepseek3.gguf",
                                          "golden/tiny-gemma3.gguf", "golden/tiny-qwen3.gguf", "models/infini.gguf"};

static const mn_window windows[] = {{1024, 256, MN_F16, MN_F16, 0, NULL},
                                    {1000, 512, MN_Q8_0, MN_Q4_0, 0, NULL},
                                    {640, 7, MN_F32, MN_BF16, 0, NULL},
                                    {2048, 2048, MN_Q8_0, MN_Q8_0, 0, NULL}};

static mn_engine *open_engine(const char *name, int n_threads) {
    const char *path = data_path(name);
    mn_engine *engine;
    mn_error err;
    if (!path) {
        leave_out("memory plans", name);
        return NULL;
    }
    mn_engine_params params = {.n_threads = n_threads};
    assert_ok(mn_engine_open(path, &params, &engine, &err), err);
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
    if (c->infini.segment) {
        assert_true(mn_kvcache_bytes(s->timeline.cache) <= plan.kv_bytes);
        assert_true((size_t)(1 + s->n_checkpoints) * s->timeline.state_bytes <= plan.state_bytes);
    } else {
        assert_int_equal(mn_session_kv_bytes(s), plan.kv_bytes + s->timeline.state_bytes);
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
                if (!engine) continue;
                check_window(engine, &windows[w]);
                mn_engine_close(engine);
            }
}

static bool fits(const mn_engine *engine, const mn_window *w, size_t bytes) {
    mn_memory_plan plan;
    mn_error err;
    assert_ok(mn_memory_plan_make(engine, w, &plan, &err), err);
    return mn_memory_plan_check(engine, w, &plan, bytes, &err) == MN_OK;
}

static void the_largest_window_fits_and_one_page_more_does_not(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-qwen3.gguf", 2);
    if (!engine) return;
    for (size_t bytes = (size_t)1 << 22; bytes <= (size_t)1 << 34; bytes *= 8) {
        mn_window w = {0, 64, MN_F16, MN_Q8_0, 0, NULL};
        mn_error err;
        assert_ok(mn_memory_plan_fit(engine, &w, bytes, &w.n_ctx, &err), err);
        assert_true(w.n_ctx > 0);
        assert_true(fits(engine, &w, bytes));
        w.n_ctx += MN_PAGE_TOKENS;
        assert_false(fits(engine, &w, bytes));
    }
    mn_engine_close(engine);
}

static void refusals_name_figures_and_remedies(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-qwen3.gguf", 2);
    if (!engine) return;
    mn_window w = {1 << 24, 512, MN_F16, MN_F16, 0, NULL};
    mn_memory_plan plan;
    mn_error err;
    assert_ok(mn_memory_plan_make(engine, &w, &plan, &err), err);
    assert_int_equal(mn_memory_plan_check(engine, &w, &plan, plan.total_bytes - 1, &err), MN_ERR_MEMORY);
    assert_non_null(strstr(err.text, " at 16777216 f16 + work "));
    assert_non_null(strstr(err.text, "Fits: -c 16777088, or -ctk q8_0 -ctv q8_0."));
    assert_int_equal(mn_memory_plan_check(engine, &w, &plan, plan.total_bytes / 4, &err), MN_ERR_MEMORY);
    assert_non_null(strstr(err.text, ", or -c "));
    assert_int_equal(mn_memory_plan_check(engine, &w, &plan, plan.weights_bytes, &err), MN_ERR_MEMORY);
    assert_non_null(strstr(err.text, "smaller weights"));
    mn_session *s;
    int64_t too_long = (int64_t)(2 * mn_ram_free() / (plan.kv_bytes / (size_t)w.n_ctx));
    mn_session_params params = {.n_ctx = too_long, .position.beyond = true};
    assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_MEMORY);
    if (!strstr(err.text, "GiB free. Fits: -c ")) fail_msg("%s", err.text);
    params.n_ctx = INT64_C(1) << 39;
    assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_MEMORY);
    if (!strstr(err.text, "lower -c or -b.")) fail_msg("%s", err.text);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_what_sessions_take),
        cmocka_unit_test(the_largest_window_fits_and_one_page_more_does_not),
        cmocka_unit_test(refusals_name_figures_and_remedies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
