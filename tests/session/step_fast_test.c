/* Fast arithmetic in steps of many sessions. */
#include "support/session_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <mnemo/step.h>

enum { N_TEXT = 150, N_ANSWER = 12, MAX_SESSIONS = 20 };

static mn_session *start(mn_engine *engine, int index) {
    mn_session *s;
    mn_error err;
    int32_t tokens[N_TEXT];
    /* Not q8_0: a value that lies between two steps of it moves by one, which hides what products do. */
    const char *type = index % 2 ? "f32" : "f16";
    mn_session_params params = {.n_ctx = 256, .type_k = type, .type_v = type, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    for (int i = 0; i < N_TEXT; i++) tokens[i] = (int32_t)((i * 7919L + index) % engine->model.config.n_vocab);
    assert_ok(mn_session_sync(s, tokens, N_TEXT, NULL, NULL, NULL, &err), err);
    return s;
}

/* Logits [n, n_vocab] after a text and N_ANSWER tokens, these alone or in steps of all sessions. */
static float *answer(mn_engine *engine, int n, bool together) {
    size_t row = (size_t)engine->model.config.n_vocab;
    float *out = malloc((size_t)n * row * sizeof *out);
    mn_session *sessions[MAX_SESSIONS];
    mn_step_entry entries[MAX_SESSIONS];
    int32_t tokens[MAX_SESSIONS];
    mn_error err;
    for (int i = 0; i < n; i++) sessions[i] = start(engine, i);
    for (int t = 0; t < N_ANSWER; t++) {
        for (int i = 0; i < n; i++) {
            tokens[i] = (int32_t)((t * 17L + i) % engine->model.config.n_vocab);
            entries[i] = (mn_step_entry){.session = sessions[i], .tokens = &tokens[i], .n_tokens = 1};
            if (!together) assert_ok(mn_engine_step(engine, &entries[i], 1, &err), err);
        }
        if (together) assert_ok(mn_engine_step(engine, entries, n, &err), err);
    }
    for (int i = 0; i < n; i++) {
        memcpy(out + (size_t)i * row, mn_session_logits(sessions[i]), row * sizeof *out);
        mn_session_close(sessions[i]);
    }
    return out;
}

/* The root mean square of a - b, as a share of b's own deviation. */
static double distance(const float *a, const float *b, size_t n) {
    double sum = 0, squares = 0, difference = 0;
    for (size_t i = 0; i < n; i++) {
        sum += b[i];
        squares += (double)b[i] * b[i];
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    }
    return sqrt(difference / (squares - sum * sum / (double)n));
}

/* One row, few rows and many run different kernels, as far from the exact logits as each other. */
static void fast_rows_beside_others_are_as_close_as_alone(void **state) {
    (void)state;
    static const char *const models[] = {"golden/tiny-llama-yarn.gguf", "models/default.gguf"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (int n = 3; n <= MAX_SESSIONS; n += MAX_SESSIONS - 3) {
            mn_engine *exact = rows_engine(models[m]), *fast;
            mn_error err;
            assert_ok(mn_engine_open(mn_engine_info(exact).path, &(mn_engine_params){.n_threads = 2}, &fast, &err),
                      err);
            float *want = answer(exact, n, false), *alone = answer(fast, n, false), *together = answer(fast, n, true);
            size_t floats = (size_t)n * (size_t)exact->model.config.n_vocab;
            double far = distance(alone, want, floats), beside = distance(together, want, floats);
            if (!(beside < 2 * far + 1e-5 && beside < 0.05))
                fail_msg("%s, %d sessions: off by %.3g together, %.3g alone", models[m], n, beside, far);
            free(want), free(alone), free(together);
            mn_engine_close(exact), mn_engine_close(fast);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_rows_beside_others_are_as_close_as_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
