#include "cli/answer.h"

#include "cli/answer_grammar.h"
#include "cli/window.h"

#include <stdio.h>

/* Whether the vocabulary has a token that ends a text. */
static bool has_end(const mn_tokenizer *tokenizer) {
    int32_t n = mn_tokenizer_n_vocab(tokenizer), id = 0;
    while (id < n && !mn_tokenizer_is_end(tokenizer, id)) id++;
    return id < n;
}

static int64_t limit_of(const mn_answer_request *r, const mn_sample_options *o) {
    if (o->n_predict != MN_NO_LIMIT_GIVEN) return o->n_predict;
    bool ends = r->has_turns && !r->one_line && !o->ignore_eos && has_end(mn_engine_tokenizer(r->engine));
    return ends ? -1 : MN_ANSWER_TOKENS;
}

static mn_status draw(const mn_answer_request *r, const mn_sample_options *o, mn_sampler *sampler, mn_text_fn *text,
                      void *arg, mn_generated *out, mn_error *err) {
    const char *stops[MN_MAX_TEXTS + 2] = {0};
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(r->engine);
    mn_constraint *constraint;
    int n_stops = 0;
    MN_TRY(mn_answer_grammar_begin(tokenizer, &constraint, err));
    if (r->one_line && !constraint) stops[n_stops++] = "\n";
    for (int i = 0; i < o->stops.n; i++) stops[n_stops++] = o->stops.items[i];
    for (int32_t id = 0; o->ignore_eos && id < mn_tokenizer_n_vocab(tokenizer); id++)
        if (mn_tokenizer_is_end(tokenizer, id)) MN_TRY(mn_sampler_exclude(sampler, id, err));
    for (size_t i = 0; i < r->prompt->n; i++) mn_sampler_accept(sampler, r->prompt->data[i]);
    mn_generate_params params = {.n_predict = limit_of(r, o),
                                 .stops = stops,
                                 .stop_circles = o->n_predict == MN_NO_LIMIT_GIVEN && !o->ignore_eos,
                                 .constraint = constraint};
    return mn_generate(r->session, sampler, &params, text, arg, out, err);
}

mn_status mn_answer(const mn_answer_request *r, const mn_sample_options *o, mn_text_fn *text, void *arg,
                    mn_generated *out, mn_error *err) {
    mn_sampler *sampler;
    int32_t n_vocab = mn_tokenizer_n_vocab(mn_engine_tokenizer(r->engine));
    MN_TRY(mn_sample_options_create(o, r->about_text ? 0 : 0.8, r->seed, n_vocab, &sampler, err));
    mn_status status = draw(r, o, sampler, text, arg, out, err);
    mn_sampler_destroy(sampler);
    return status;
}

const char *mn_answer_ending(const mn_generated *answer, int64_t n_ctx, mn_ending_text buf) {
    if (answer->is_complete && (answer->finish == MN_FINISH_LENGTH || answer->finish == MN_FINISH_WINDOW)) {
        snprintf(buf, sizeof(mn_ending_text), "the answer was completed within %lld tokens; a larger %s gives it more",
                 (long long)answer->n_tokens, answer->finish == MN_FINISH_LENGTH ? "-n" : "-c");
        return buf;
    }
    switch (answer->finish) {
    case MN_FINISH_LENGTH:
        snprintf(buf, sizeof(mn_ending_text), "the answer was cut after %lld tokens; a larger -n lets it go on",
                 (long long)answer->n_tokens);
        return buf;
    case MN_FINISH_WINDOW:
        snprintf(buf, sizeof(mn_ending_text),
                 "the answer was cut: the window of %lld tokens is full; a larger -c holds more", (long long)n_ctx);
        return buf;
    case MN_FINISH_CIRCLE:
        snprintf(buf, sizeof(mn_ending_text),
                 "the answer was stopped: its last %d token%s come over and over; -n N lets it go on", answer->period,
                 answer->period == 1 ? "" : "s");
        return buf;
    default: return NULL;
    }
}

const char *mn_answer_finish_name(mn_finish finish) {
    switch (finish) {
    case MN_FINISH_END: return "end";
    case MN_FINISH_STOP: return "stop";
    case MN_FINISH_LENGTH: return "length";
    case MN_FINISH_WINDOW: return "window";
    case MN_FINISH_CIRCLE: return "circle";
    case MN_FINISH_CALLER: return "interrupted";
    }
    return "";
}

int32_t mn_answer_id(const mn_session *session, int64_t n_prompt, const mn_generated *answer, int64_t index) {
    return index == answer->n_tokens - 1 ? answer->last : mn_session_tokens(session)[n_prompt + index];
}
