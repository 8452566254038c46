/* Ways to choose the tokens for small MLPs, compared: shares are reached, ends are ends, and who has seen the loss does
 * best. */
#include "eval/routers.h"
#include "eval/perplexity.h"
#include "support/easy_model.h"
#include "support/session_rows.h"

#include <math.h>
#include <string.h>

enum { WINDOW = 100, N_WINDOWS = 2 };

static mn_engine *open_engine(void) {
    mn_engine *engine;
    mn_error err;
    const char *path = easy_model(data_path("models/default.gguf"), 8, true);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    return engine;
}

static mn_session *open_session(mn_engine *engine, const double *threshold) {
    mn_session *s;
    mn_error err;
    assert_ok(mn_session_open(engine, &(mn_session_params){.n_ctx = WINDOW, .router_threshold = threshold}, &s, &err),
              err);
    return s;
}

/* The mean loss of the windows in a session of its own. */
static double loss_at(mn_engine *engine, double threshold, const int32_t *tokens) {
    mn_session *s = open_session(engine, &threshold);
    int n_vocab = mn_engine_info(engine).n_vocab;
    double sum = 0;
    mn_error err;
    for (int w = 0; w < N_WINDOWS; w++) {
        assert_ok(mn_session_rewind(s, 0, &err), err);
        for (int t = 0; t + 1 < WINDOW; t++) {
            assert_ok(mn_session_extend(s, tokens + w * WINDOW + t, 1, NULL, NULL, NULL, NULL, &err), err);
            sum += mn_token_loss(mn_session_logits(s), n_vocab, tokens[w * WINDOW + t + 1]);
        }
    }
    mn_session_close(s);
    return sum / (N_WINDOWS * (WINDOW - 1));
}

static void ways_are_what_they_say(void **state) {
    (void)state;
    mn_engine *engine = open_engine();
    mn_session *s = open_session(engine, NULL);
    int32_t tokens[ROWS_TOKENS];
    mn_error err;
    mn_routers_params p = {.window = WINDOW, .n_windows = N_WINDOWS, .shares = {0.5}, .n_shares = 1, .n_repeats = 1};
    mn_routers_result r[7];
    assert_int_equal(mn_routers_n_results(&p), 7);
    rows_tokens(engine, tokens);
    assert_ok(mn_routers_compare(s, &p, tokens, ROWS_TOKENS, NULL, NULL, r, &err), err);
    assert_int_equal(mn_session_n_tokens(s), 0);
    assert_true(r[0].way == MN_WAY_LARGE && r[0].share == 0);
    assert_true(r[1].way == MN_WAY_SMALL && r[1].share == 1);
    assert_true(fabs(r[0].nats - loss_at(engine, 1, tokens)) < 1e-6);
    assert_true(fabs(r[1].nats - loss_at(engine, 0, tokens)) < 1e-6);
    for (int i = 2; i < 7; i++) {
        double wanted = 0.5;
        assert_true(r[i].way == (mn_router_way)(MN_WAY_LEARNED + i - 2) && r[i].wanted == wanted);
        if (fabs(r[i].share - wanted) > (r[i].way == MN_WAY_RANDOM ? 0.06 : 0.02))
            fail_msg("%s: %g, wanted %g", mn_router_way_name(r[i].way), r[i].share, wanted);
        assert_true(r[i].prefill.tokens_per_s > 0 && r[i].decode.mlp_s > 0);
        if (r[i].way == MN_WAY_LEARNED) assert_true(fabs(r[i].nats - loss_at(engine, r[i].threshold, tokens)) < 1e-6);
        if (r[i].way == MN_WAY_ORACLE)
            for (int k = i - 4; k < i; k++) assert_true(r[i].nats < r[k].nats);
    }
    mn_session_close(s);
    mn_engine_close(engine);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    mn_engine *engine = open_engine();
    mn_session *s = open_session(engine, NULL);
    mn_error err;
    int32_t tokens[ROWS_TOKENS] = {0};
    mn_routers_result r[16];
    mn_routers_params p = {.window = WINDOW, .n_windows = 4, .shares = {0.5}, .n_shares = 1};
    assert_int_equal(mn_routers_compare(s, &p, tokens, ROWS_TOKENS, NULL, NULL, r, &err), MN_ERR_ARGUMENT);
    p.n_windows = 1;
    p.window = 64;
    assert_int_equal(mn_routers_compare(s, &p, tokens, ROWS_TOKENS, NULL, NULL, r, &err), MN_ERR_ARGUMENT);
    p.window = WINDOW;
    p.shares[0] = 1;
    assert_int_equal(mn_routers_compare(s, &p, tokens, ROWS_TOKENS, NULL, NULL, r, &err), MN_ERR_ARGUMENT);
    mn_session_close(s);
    mn_engine_close(engine);
    engine = rows_engine("golden/tiny-llama.gguf");
    s = open_session(engine, NULL);
    assert_int_equal(mn_routers_compare(s, &p, tokens, ROWS_TOKENS, NULL, NULL, r, &err), MN_ERR_UNSUPPORTED);
    mn_session_close(s);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ways_are_what_they_say),
                                       cmocka_unit_test(what_cannot_be_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
