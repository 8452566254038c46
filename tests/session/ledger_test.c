/* The ledger: sessions of one engine are opened beside what the others were promised, not beside what is free. */
#include "support/session_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static const char model[] = "models/default.gguf";
static const mn_session_params window = {.n_ctx = 2048, .n_batch = 64};

static mn_engine *open_limited(size_t memory_bytes) {
    char path[4096];
    mn_engine *engine;
    mn_error err;
    snprintf(path, sizeof path, "%s/%s", MNEMO_SOURCE_DIR, model);
    mn_engine_params params = {.n_threads = 2, .memory_bytes = memory_bytes};
    assert_ok(mn_engine_open(path, &params, &engine, &err), err);
    return engine;
}

static mn_memory_plan plan_of(const mn_session_params *params) {
    mn_engine *engine = open_limited(0);
    mn_session *s;
    mn_memory_plan plan;
    mn_error err;
    assert_ok(mn_session_open(engine, params, &s, &err), err);
    const mn_kv_shape *kv = mn_kvcache_shape(s->sequence.cache);
    mn_window w = {s->n_ctx, s->n_batch, kv->k_type, kv->v_type, 0, &s->attn};
    assert_ok(mn_memory_plan_make(engine, &w, &plan, &err), err);
    mn_session_close(s);
    mn_engine_close(engine);
    return plan;
}

static size_t own_bytes(const mn_memory_plan *p) { return p->total_bytes - p->weights_bytes - p->scratch_bytes; }

/* Weights, scratch once, and of each of n sessions its own and what few rows of it take in a step of all. */
static size_t bytes_of(const mn_memory_plan *p, size_t n) {
    return p->weights_bytes + p->scratch_bytes + n * (own_bytes(p) + (n > 1 ? p->few_scratch_bytes : 0));
}

static void as_many_as_fit_to_the_byte(void **state) {
    (void)state;
    mn_memory_plan plan = plan_of(&window);
    mn_error err;
    for (size_t n = 1; n <= 4; n++)
        for (size_t missing = 0; missing < 2; missing++) {
            mn_engine *engine = open_limited(bytes_of(&plan, n) - missing);
            mn_session *sessions[5];
            size_t opened = 0;
            mn_status status = MN_OK;
            while (status == MN_OK && opened < 5) {
                status = mn_session_open(engine, &window, &sessions[opened], &err);
                opened += status == MN_OK;
            }
            assert_int_equal(opened, n - missing);
            assert_int_equal(status, MN_ERR_MEMORY);
            assert_true(engine->scratch.held_bytes <= MN_MAX(mn_ledger_scratch(&engine->ledger), (size_t)1 << 18));
            while (opened > 0) mn_session_close(sessions[--opened]);
            assert_null(engine->ledger.first);
            mn_engine_close(engine);
        }
}

static void refusals_tell_who_has_the_memory(void **state) {
    (void)state;
    mn_memory_plan plan = plan_of(&window);
    mn_error err;
    mn_engine *engine = open_limited(bytes_of(&plan, 2) + own_bytes(&plan) / 2);
    mn_session *a, *b, *c;
    assert_ok(mn_session_open(engine, &window, &a, &err), err);
    assert_ok(mn_session_open(engine, &window, &b, &err), err);
    assert_int_equal(mn_session_open(engine, &window, &c, &err), MN_ERR_MEMORY);
    if (!strstr(err.text, "iB free beside 2 open sessions that may take ")) fail_msg("%s", err.text);
    if (!strstr(err.text, "Fits: ")) fail_msg("%s", err.text);
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_WINDOW);
    mn_session_params smaller = window; /* the remedy is true */
    smaller.n_ctx = (int64_t)err.remedies[0].value;
    assert_true(smaller.n_ctx > 0 && smaller.n_ctx < window.n_ctx);
    assert_ok(mn_session_open(engine, &smaller, &c, &err), err);
    mn_session_params one_page_more = window;
    one_page_more.n_ctx = smaller.n_ctx + MN_PAGE_TOKENS;
    mn_session_close(c);
    assert_int_equal(mn_session_open(engine, &one_page_more, &c, &err), MN_ERR_MEMORY);
    mn_session_close(a);
    assert_ok(mn_session_open(engine, &window, &c, &err), err); /* what is closed gives back */
    mn_session_close(b);
    mn_session_close(c);
    mn_engine_close(engine);
}

static void nothing_fits_beside_what_takes_all(void **state) {
    (void)state;
    mn_memory_plan plan = plan_of(&window);
    mn_error err;
    mn_engine *engine = open_limited(bytes_of(&plan, 1) + (1 << 12));
    mn_session *a, *b;
    assert_ok(mn_session_open(engine, &window, &a, &err), err);
    assert_int_equal(mn_session_open(engine, &window, &b, &err), MN_ERR_MEMORY);
    if (!strstr(err.text, "beside 1 open session that may take ") || !strstr(err.text, "close a session first"))
        fail_msg("%s", err.text);
    mn_session_close(a);
    mn_engine_close(engine);
}

/* Nobody asked for a number: the model's own window becomes what is left. */
static void the_default_window_is_what_is_left(void **state) {
    (void)state;
    mn_session_params own = {.n_batch = 64};
    mn_memory_plan plan = plan_of(&own);
    mn_error err;
    mn_engine *engine = open_limited(bytes_of(&plan, 1) + own_bytes(&plan) * 3 / 4 + 2 * plan.few_scratch_bytes);
    mn_session *a, *b;
    assert_ok(mn_session_open(engine, &own, &a, &err), err);
    assert_null(mn_session_note(a, 0));
    assert_ok(mn_session_open(engine, &own, &b, &err), err);
    assert_non_null(mn_session_note(b, 0));
    assert_non_null(strstr(mn_session_note(b, 0), "beside 1 open session"));
    assert_true(mn_session_n_ctx(b) < mn_session_n_ctx(a) && mn_session_n_ctx(b) >= 2048);
    mn_session_close(a);
    mn_session_close(b);
    mn_engine_close(engine);
}

/* What a session has taken is no longer free on the machine, and no second time promised. */
static void what_was_taken_is_counted_once(void **state) {
    (void)state;
    mn_ledger ledger;
    mn_account a = {.own_bytes = 1000, .scratch_bytes = 70, .few_scratch_bytes = 5},
               b = {.own_bytes = 300, .scratch_bytes = 90, .few_scratch_bytes = 8};
    mn_ledger_init(&ledger, 0);
    mn_ledger_enter(&ledger, &a);
    mn_ledger_enter(&ledger, &b);
    mn_room before = mn_ledger_room(&ledger, 5000, 0);
    mn_account_take(&a, 600);
    mn_account_take(&b, 400); /* never more than was promised */
    mn_room after = mn_ledger_room(&ledger, 5000 - 600 - 300 - 20, 20);
    assert_int_equal(before.free_bytes, after.free_bytes);
    assert_int_equal(after.promised_bytes, 1300);
    assert_int_equal(after.n_sessions, 2);
    assert_int_equal(mn_ledger_scratch(&ledger), 90 + 5 + 8);
    mn_ledger_leave(&ledger, &b);
    assert_int_equal(mn_ledger_scratch(&ledger), 70);
    assert_int_equal(mn_ledger_room(&ledger, 100, 0).free_bytes, 700);
    ledger.limit_bytes = 650;
    assert_int_equal(mn_ledger_room(&ledger, 100, 0).free_bytes, 650);
    mn_ledger_leave(&ledger, &b); /* not there any more */
    mn_ledger_leave(&ledger, &a);
    mn_ledger_destroy(&ledger);
}

static void a_session_takes_no_more_than_its_promise(void **state) {
    (void)state;
    static const mn_session_params kinds[] = {{.n_ctx = 1024, .n_batch = 64},
                                              {.n_ctx = 1024, .n_batch = 64, .attn = "window:100"},
                                              {.n_ctx = 1024, .n_batch = 64, .attn = "infini:128"},
                                              {.n_ctx = 1024, .n_batch = 64, .attn = "quest:16,64"}};
    mn_engine *engine = open_limited(0);
    mn_error err;
    int32_t tokens[1024];
    for (int i = 0; i < 1024; i++) tokens[i] = 3 + i * 7 % 500;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        mn_session *s;
        mn_session_params params = kinds[i];
        params.position.beyond = true;
        assert_ok(mn_session_open(engine, &params, &s, &err), err);
        size_t empty = s->account.taken_bytes;
        assert_ok(mn_session_extend(s, tokens, 1024, NULL, NULL, NULL, NULL, &err), err);
        assert_true(s->account.taken_bytes > empty);
        assert_true(mn_session_kv_bytes(s) <= s->account.own_bytes);
        assert_ok(mn_session_rewind(s, 10, &err), err);
        assert_true(s->account.taken_bytes < s->account.own_bytes);
        mn_session_close(s);
    }
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_fit_to_the_byte),
        cmocka_unit_test(refusals_tell_who_has_the_memory),
        cmocka_unit_test(nothing_fits_beside_what_takes_all),
        cmocka_unit_test(the_default_window_is_what_is_left),
        cmocka_unit_test(what_was_taken_is_counted_once),
        cmocka_unit_test(a_session_takes_no_more_than_its_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
