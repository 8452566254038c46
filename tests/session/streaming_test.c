/* StreamingLLM on real prose, seven times as long as what the model saw at once in training (512 tokens, positions not
 * scaled): what each way of attending gives for perplexity beyond the trained window. docs/techniques/patterns.md holds
 * the figures. */
#include "support/session_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRAINED = 512, TEXT_TOKENS = 7 * TRAINED, STEP = TRAINED / 2 };

typedef struct reading {
    const int32_t *tokens;
    int n_vocab;
    double *loss;        /* [TEXT_TOKENS], of each token after those before it */
    int64_t first, skip; /* the session's token 0 in the text; its first losses are not taken */
} reading;

static void take_loss(void *arg, int64_t index, const float *logits) {
    const reading *r = arg;
    int64_t next = r->first + index + 1;
    if (index + 1 < r->skip || next >= TEXT_TOKENS) return;
    double sum = 0, max = -INFINITY;
    for (int i = 0; i < r->n_vocab; i++) max = fmax(max, logits[i]);
    for (int i = 0; i < r->n_vocab; i++) sum += exp(logits[i] - max);
    r->loss[next] = max + log(sum) - logits[r->tokens[next]];
}

static int32_t *read_novel(const mn_engine *engine) {
    size_t bytes, n;
    int32_t *tokens;
    mn_error err;
    char *text = read_all(MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt", &bytes);
    assert_ok(mn_tokenize(mn_engine_tokenizer(engine), text, bytes, true, false, &tokens, &n, &err), err);
    assert_true(n >= TEXT_TOKENS);
    free(text);
    return tokens;
}

static void run(mn_engine *engine, reading *r, const char *attn, int64_t n) {
    uint8_t want[TEXT_TOKENS];
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = n, .attn = attn, .position = {.rope_scaling = "none", .beyond = true}};
    memset(want, 1, sizeof want);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_extend(s, r->tokens + r->first, n, want, take_loss, NULL, r, &err), err);
    mn_session_close(s);
}

static double perplexity(const double *loss, int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; i++) sum += loss[i];
    return exp(sum / (double)(end - begin));
}

/* Every token after at least STEP others and at most TRAINED - 1, by full attention: what the model was trained for. */
static void run_inside_the_window(mn_engine *engine, reading *r) {
    for (r->first = 0; r->first + TRAINED <= TEXT_TOKENS; r->first += STEP) {
        r->skip = r->first ? STEP : 0;
        run(engine, r, NULL, TRAINED);
    }
    r->first = r->skip = 0;
}

static void sinks_stay_where_full_attention_does_not(void **state) {
    (void)state;
    static double inside[TEXT_TOKENS], full[TEXT_TOKENS], window[TEXT_TOKENS], sinks[TEXT_TOKENS];
    mn_engine *engine = rows_engine("models/default.gguf");
    int32_t *tokens = read_novel(engine);
    reading r = {.tokens = tokens, .n_vocab = mn_engine_info(engine).n_vocab, .loss = inside};
    run_inside_the_window(engine, &r);
    r.loss = full, run(engine, &r, NULL, TEXT_TOKENS);
    r.loss = window, run(engine, &r, "window:256", TEXT_TOKENS);
    r.loss = sinks, run(engine, &r, "sinks:4,252", TEXT_TOKENS);
    for (int64_t begin = TRAINED; begin < TEXT_TOKENS; begin += TRAINED) {
        double wanted = perplexity(inside, begin, begin + TRAINED), held = perplexity(sinks, begin, begin + TRAINED);
        double dropped = perplexity(window, begin, begin + TRAINED), lost = perplexity(full, begin, begin + TRAINED);
        printf("tokens %5d on: inside the window %.1f, full %.1f, window %.1f, sinks %.1f\n", (int)begin, wanted, lost,
               dropped, held);
        assert_true(held < 1.1 * wanted);
        assert_true(held < 1.05 * dropped);
        assert_true(lost > 1.4 * held);
    }
    free(tokens);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sinks_stay_where_full_attention_does_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
