/* Answers drawn step by step: many in one batch give the texts that each gives alone. */
#include "support/session_rows.h"

#include <stdlib.h>
#include <string.h>

#include "session/generate.h"
#include <mnemo/step.h>

enum { N_SESSIONS = 6, MAX_TEXT = 4096 };

static const char *const prompts[N_SESSIONS] = {"The sun was low. The secret number of Paris is 77120. He went home.",
                                                "It was a dark night and the wind",
                                                "She said: \"",
                                                "One two three four",
                                                "In the year 1801 I have just returned",
                                                "A"};
static const char *const stops[] = {"qqq", ", ", NULL};

/* How each answer is drawn and ended. */
static const struct {
    mn_generate_params params;
    float temperature;
    int64_t n_ctx;
    int most_pieces; /* the receiver of text stops after so many; 0 = never */
} ways[N_SESSIONS] = {{{.n_predict = 40}, 0, 256, 0},
                      {{.n_predict = 60, .stops = stops}, 1, 256, 0},
                      {{.n_predict = -1}, 1.5f, 60, 0}, /* until the window is full */
                      {{.n_predict = 40, .special = true}, 0.8f, 256, 5},
                      {{.n_predict = 1}, 0, 256, 0},
                      {{.n_predict = 80, .stop_circles = true}, 0, 256, 0}};

typedef struct answer {
    char text[MAX_TEXT];
    size_t bytes;
    int n_pieces, most_pieces;
    mn_generated how;
    mn_session *session;
    mn_sampler *sampler;
} answer;

static bool take(void *arg, const char *text, size_t bytes) {
    answer *a = arg;
    assert_true(a->bytes + bytes <= MAX_TEXT);
    memcpy(a->text + a->bytes, text, bytes);
    a->bytes += bytes;
    return ++a->n_pieces != a->most_pieces;
}

static void begin(mn_engine *engine, int i, answer *a) {
    mn_error err;
    int32_t *ids;
    size_t n;
    mn_sampler_params sampling = mn_sampler_defaults();
    mn_session_params params = {.n_ctx = ways[i].n_ctx};
    sampling.temperature = ways[i].temperature;
    sampling.seed = 5 + (uint64_t)i;
    *a = (answer){.most_pieces = ways[i].most_pieces};
    assert_ok(mn_session_open(engine, &params, &a->session, &err), err);
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(engine);
    assert_ok(mn_sampler_create(&sampling, mn_tokenizer_n_vocab(tokenizer), &a->sampler, &err), err);
    assert_ok(mn_tokenize(tokenizer, prompts[i], strlen(prompts[i]), true, false, &ids, &n, &err), err);
    assert_ok(mn_session_sync(a->session, ids, (int64_t)n, NULL, NULL, NULL, &err), err);
    free(ids);
}

static void end(answer *a) {
    mn_session_close(a->session);
    mn_sampler_destroy(a->sampler);
}

/* Draws for all, feeds those that go on in one step. */
static void run_together(mn_engine *engine, answer *answers) {
    mn_generation generations[N_SESSIONS];
    mn_step_entry entries[N_SESSIONS];
    int32_t tokens[N_SESSIONS];
    mn_error err;
    for (int i = 0; i < N_SESSIONS; i++)
        mn_generation_begin(&generations[i], answers[i].session, answers[i].sampler, &ways[i].params, take,
                            &answers[i]);
    for (int n = 1; n > 0;) {
        n = 0;
        for (int i = 0; i < N_SESSIONS; i++) {
            const float *logits = mn_session_logits(answers[i].session);
            assert_ok(mn_generation_next(&generations[i], logits, &tokens[n], &err), err);
            if (tokens[n] == MN_GENERATION_ENDED) continue;
            entries[n] = (mn_step_entry){.session = answers[i].session, .tokens = &tokens[n], .n_tokens = 1};
            n++;
        }
        assert_ok(mn_engine_step(engine, entries, n, &err), err);
    }
    for (int i = 0; i < N_SESSIONS; i++) answers[i].how = mn_generation_finish(&generations[i]);
}

static void a_batch_of_answers_equals_each_alone(void **state) {
    (void)state;
    static const mn_finish endings[N_SESSIONS] = {MN_FINISH_LENGTH, MN_FINISH_STOP,   MN_FINISH_WINDOW,
                                                  MN_FINISH_CALLER, MN_FINISH_LENGTH, MN_FINISH_LENGTH};
    static answer alone[N_SESSIONS], together[N_SESSIONS];
    mn_engine *engine = rows_engine("models/default.gguf");
    mn_error err;
    for (int i = 0; i < N_SESSIONS; i++) {
        begin(engine, i, &alone[i]);
        begin(engine, i, &together[i]);
        assert_ok(
            mn_generate(alone[i].session, alone[i].sampler, &ways[i].params, take, &alone[i], &alone[i].how, &err),
            err);
    }
    run_together(engine, together);
    for (int i = 0; i < N_SESSIONS; i++) {
        assert_int_equal(alone[i].bytes, together[i].bytes);
        assert_memory_equal(alone[i].text, together[i].text, alone[i].bytes);
        assert_int_equal(alone[i].how.n_tokens, together[i].how.n_tokens);
        assert_int_equal(alone[i].how.last, together[i].how.last);
        assert_int_equal(alone[i].how.finish, together[i].how.finish);
        assert_int_equal(alone[i].how.finish, endings[i]);
        assert_int_equal(mn_session_n_tokens(alone[i].session), mn_session_n_tokens(together[i].session));
        assert_true(alone[i].how.n_tokens > 0);
        end(&alone[i]);
        end(&together[i]);
    }
    mn_engine_close(engine);
}

static void nothing_to_continue_and_nothing_to_draw(void **state) {
    (void)state;
    mn_engine *engine = rows_engine("models/default.gguf");
    answer a;
    mn_generation g;
    mn_error err;
    int32_t token;
    begin(engine, 0, &a);
    mn_generation_begin(&g, a.session, a.sampler, &(mn_generate_params){.n_predict = 5}, take, &a);
    assert_int_equal(mn_generation_next(&g, NULL, &token, &err), MN_ERR_ARGUMENT);
    assert_int_equal(token, MN_GENERATION_ENDED);
    assert_int_equal(mn_generation_finish(&g).n_tokens, 0);
    mn_generation_begin(&g, a.session, a.sampler, &(mn_generate_params){.n_predict = 0}, take, &a);
    assert_ok(mn_generation_next(&g, mn_session_logits(a.session), &token, &err), err);
    assert_int_equal(token, MN_GENERATION_ENDED);
    mn_generated how = mn_generation_finish(&g);
    assert_int_equal(how.finish, MN_FINISH_LENGTH);
    assert_int_equal(how.last, -1);
    assert_int_equal(a.bytes, 0);
    end(&a);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_of_answers_equals_each_alone),
        cmocka_unit_test(nothing_to_continue_and_nothing_to_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
