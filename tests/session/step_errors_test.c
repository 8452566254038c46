/* Steps that fail: an entry fails alone, and every session keeps its length and goes on as if nothing had been. */
#include "support/session_rows.h"

#include <stdlib.h>
#include <string.h>

#include <mnemo/step.h>

enum { N_SESSIONS = 5, N_HELD = 150, N_MORE = 8, SLICE = 20 };

static const mn_session_params kinds[N_SESSIONS] = {{.n_ctx = 512},
                                                    {.n_ctx = 512, .attn = "linear"},
                                                    {.n_ctx = 512, .attn = "infini:64"},
                                                    {.n_ctx = 512, .attn = "snapkv:16,60"},
                                                    {.n_ctx = 512, .attn = "window:33", .attn_layers = "1=linear"}};

/* Products that fail: of every step that holds the target's rows, or of any step; from the n-th product of a step on,
 * when its first layers are done. */
static struct {
    const mn_sequence *target;
    int n_before, n_left; /* products that succeed in a step; steps that fail */
    const mn_step *step;
    int n_products;
} fault;

static mn_status (*project_on_cpu)(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws,
                                   mn_rows x, mn_error *err);

static mn_status project(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws, mn_rows x,
                         mn_error *err) {
    bool meant = fault.target == NULL;
    for (int i = 0; i < s->n_slices; i++) meant |= s->slices[i].sequence == fault.target;
    if (ws[0] == &s->model->weights.layers[0].q) fault.n_products = 0;
    if (fault.n_left > 0 && meant && fault.n_products++ == fault.n_before) {
        fault.n_left--;
        return mn_fail(err, MN_ERR_IO, "the disk is full.");
    }
    return project_on_cpu(s, outs, ws, n_ws, x, err);
}

typedef struct fixture {
    mn_engine *engine;
    mn_session *sessions[N_SESSIONS], *others[N_SESSIONS]; /* others never see a fault */
    int32_t tokens[N_HELD + 60];
    size_t row_bytes;
} fixture;

static void open_all(fixture *f, const char *model) {
    mn_error err;
    *f = (fixture){.engine = rows_engine(model)};
    project_on_cpu = f->engine->backend.project;
    f->engine->backend.project = project;
    f->row_bytes = (size_t)f->engine->model.config.n_vocab * sizeof(float);
    memset(&fault, 0, sizeof fault);
    for (int i = 0; i < N_HELD + 60; i++)
        f->tokens[i] = (int32_t)((i * 7919L + (long)i * i) % f->engine->model.config.n_vocab);
    for (int i = 0; i < 2 * N_SESSIONS; i++) {
        mn_session_params params = kinds[i / 2];
        mn_session **s = i % 2 ? &f->others[i / 2] : &f->sessions[i / 2];
        params.position.beyond = true;
        assert_ok(mn_session_open(f->engine, &params, s, &err), err);
        assert_ok(mn_session_extend(*s, f->tokens, N_HELD, NULL, NULL, NULL, NULL, &err), err);
    }
}

static void close_all(fixture *f) {
    for (int i = 0; i < N_SESSIONS; i++) {
        mn_session_close(f->sessions[i]);
        mn_session_close(f->others[i]);
    }
    mn_engine_close(f->engine);
}

static void make_entries(const fixture *f, mn_step_entry *entries, int64_t n) {
    for (int i = 0; i < N_SESSIONS; i++)
        entries[i] = (mn_step_entry){
            .session = f->sessions[i], .tokens = f->tokens + mn_session_n_tokens(f->sessions[i]), .n_tokens = n};
}

/* All sessions that took n tokens stand where the others stand after them. */
static void check_equal(const fixture *f, int i) {
    int64_t have = mn_session_n_tokens(f->others[i]), n = mn_session_n_tokens(f->sessions[i]);
    mn_error err;
    assert_ok(mn_session_extend(f->others[i], f->tokens + have, n - have, NULL, NULL, NULL, NULL, &err), err);
    assert_non_null(mn_session_logits(f->sessions[i]));
    assert_memory_equal(mn_session_logits(f->sessions[i]), mn_session_logits(f->others[i]), f->row_bytes);
}

/* Once, in the middle of the pass: the entries run again one by one. */
static void a_pass_that_fails_once_is_done_all_the_same(void **state) {
    (void)state;
    fixture f;
    mn_step_entry entries[N_SESSIONS];
    mn_error err;
    open_all(&f, "models/default.gguf");
    for (int n_before = 0; n_before < 8; n_before++) {
        make_entries(&f, entries, n_before % 2 ? 1 : 3);
        fault.n_before = n_before;
        fault.n_left = 1;
        assert_ok(mn_engine_step(f.engine, entries, N_SESSIONS, &err), err);
        assert_int_equal(fault.n_left, 0);
        for (int i = 0; i < N_SESSIONS; i++) {
            assert_int_equal(entries[i].n_done, entries[i].n_tokens);
            check_equal(&f, i);
        }
    }
    close_all(&f);
}

/* A session alone keeps its tokens, and what the fault has spoilt is computed again. */
static void a_session_that_fails_keeps_its_length(void **state) {
    (void)state;
    fixture f;
    mn_step_entry entries[N_SESSIONS];
    mn_error err;
    open_all(&f, "models/default.gguf");
    for (int bad = 0; bad < N_SESSIONS; bad++) {
        int64_t held = mn_session_n_tokens(f.sessions[bad]);
        fault.target = &f.sessions[bad]->sequence;
        fault.n_before = 6;
        fault.n_left = 1;
        make_entries(&f, entries, 2);
        mn_step_entry alone = entries[bad];
        assert_int_equal(mn_engine_step(f.engine, &alone, 1, &err), MN_ERR_IO);
        assert_string_equal(err.text, "the disk is full.");
        assert_int_equal(alone.n_done, 0);
        assert_int_equal(mn_session_n_tokens(f.sessions[bad]), held);
        check_equal(&f, bad);
        assert_ok(mn_engine_step(f.engine, entries, N_SESSIONS, &err), err);
        for (int i = 0; i < N_SESSIONS; i++) check_equal(&f, i);
    }
    close_all(&f);
}

/* A fault that stays: what cannot be computed again is gone, whole tokens of it, and comes back with the text. */
static void a_lasting_fault_leaves_whole_sessions(void **state) {
    (void)state;
    fixture f;
    mn_step_entry entries[N_SESSIONS];
    mn_error err;
    open_all(&f, "models/default.gguf");
    for (int bad = 0; bad < N_SESSIONS; bad++) {
        int64_t held = mn_session_n_tokens(f.sessions[bad]);
        make_entries(&f, entries, 2);
        fault.target = &f.sessions[bad]->sequence;
        fault.n_before = 6;
        fault.n_left = 1000;
        assert_int_equal(mn_engine_step(f.engine, entries, N_SESSIONS, &err), MN_ERR_IO);
        fault.n_left = 0;
        for (int i = 0; i < N_SESSIONS; i++) {
            assert_int_equal(entries[i].error.status, i == bad ? MN_ERR_IO : MN_OK);
            assert_int_equal(entries[i].n_done, i == bad ? 0 : 2);
        }
        bool has_state = f.sessions[bad]->sequence.state_bytes > 0;
        assert_true(mn_session_n_tokens(f.sessions[bad]) == held || has_state);
        assert_ok(mn_session_sync(f.sessions[bad], f.tokens, held + 2, NULL, NULL, NULL, &err), err);
        for (int i = 0; i < N_SESSIONS; i++) check_equal(&f, i);
    }
    close_all(&f);
}

/* KV entries of some layers have moved when the step fails: they are computed again, and then evicted as they should.
 */
static void an_eviction_that_fails(void **state) {
    (void)state;
    fixture f;
    mn_error err;
    int64_t n_reused, n_slice;
    open_all(&f, "models/default.gguf");
    mn_session *s = f.sessions[3];
    assert_ok(mn_session_sync(f.others[3], f.tokens, N_HELD + 30, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_begin(s, f.tokens, N_HELD + 30, &n_reused, &err), err);
    assert_int_equal(n_reused, N_HELD);
    assert_int_equal(mn_session_next_slice(s, 30, 25), 14); /* 16 choose */
    mn_step_entry entry = {.session = s, .tokens = f.tokens + N_HELD, .n_tokens = 20};
    assert_int_equal(mn_engine_step(f.engine, &entry, 1, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "choose together"));
    entry.n_tokens = n_slice = 14;
    assert_ok(mn_engine_step(f.engine, &entry, 1, &err), err);
    assert_int_equal(mn_session_next_slice(s, 16, 5), 16);
    entry.tokens += n_slice;
    entry.n_tokens = 16;
    fault.n_before = 6;
    fault.n_left = 1;
    assert_int_equal(mn_engine_step(f.engine, &entry, 1, &err), MN_ERR_IO);
    assert_int_equal(mn_session_n_tokens(s), N_HELD + n_slice);
    assert_ok(mn_engine_step(f.engine, &entry, 1, &err), err);
    assert_int_equal(s->sequence.n_evicted, N_HELD + 30 - 60);
    check_equal(&f, 3);
    close_all(&f);
}

static void what_is_wrong_is_told_and_hinders_nobody(void **state) {
    (void)state;
    fixture f;
    mn_error err;
    open_all(&f, "models/default.gguf");
    mn_engine *stranger = rows_engine("models/default.gguf");
    mn_session *foreign;
    mn_session_params params = {.n_ctx = 64};
    assert_ok(mn_session_open(stranger, &params, &foreign, &err), err);
    int32_t bad[3] = {1, 2, -7};
    const int32_t *next = f.tokens + N_HELD;
    mn_step_entry entries[] = {{.session = f.sessions[0], .tokens = next, .n_tokens = 2},
                               {.session = f.sessions[1], .tokens = bad, .n_tokens = 3},
                               {.session = f.sessions[0], .tokens = next, .n_tokens = 1},
                               {.session = foreign, .tokens = next, .n_tokens = 1},
                               {.session = f.sessions[2], .tokens = next, .n_tokens = 500},
                               {.session = f.sessions[3], .tokens = next, .n_tokens = -1},
                               {.session = f.sessions[4], .tokens = next, .n_tokens = 2}};
    static const char *const sentences[] = {"",           "has id -7", "same session", "another engine", "do not fit",
                                            "do not fit", ""};
    assert_int_equal(mn_engine_step(f.engine, entries, 7, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "token 2 of the text has id -7"));
    for (int i = 0; i < 7; i++) {
        assert_int_equal(entries[i].n_done, i == 0 || i == 6 ? 2 : 0);
        assert_int_equal(entries[i].error.status == MN_OK, i == 0 || i == 6);
        assert_non_null(strstr(entries[i].error.text, sentences[i]));
    }
    assert_int_equal(mn_session_n_tokens(f.sessions[1]), N_HELD);
    for (int i = 0; i < N_SESSIONS; i++) check_equal(&f, i);
    assert_ok(mn_engine_step(f.engine, NULL, 0, &err), err);
    mn_session_close(foreign);
    mn_engine_close(stranger);
    close_all(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_that_fails_once_is_done_all_the_same),
        cmocka_unit_test(a_session_that_fails_keeps_its_length),
        cmocka_unit_test(a_lasting_fault_leaves_whole_sessions),
        cmocka_unit_test(an_eviction_that_fails),
        cmocka_unit_test(what_is_wrong_is_told_and_hinders_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
