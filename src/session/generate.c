#include "session/generate.h"

#include "session/engine.h"
#include "session/session.h"

#include <string.h>

/* Bytes at the end of text that are the start of an unfinished UTF-8 character. */
static size_t unfinished_bytes(const char *text, size_t bytes) {
    for (size_t n = 1; n <= 3 && n <= bytes; n++) {
        unsigned char c = (unsigned char)text[bytes - n];
        if ((c & 0xc0) == 0x80) continue;
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return length > n ? n : 0;
    }
    return 0;
}

/* Bytes at the end of text that could become this stop text. */
static size_t begun_bytes(const mn_strbuf *text, const char *stop) {
    size_t length = strlen(stop);
    for (size_t n = text->bytes < length ? text->bytes : length - 1; n > 0; n--)
        if (!memcmp(text->data + text->bytes - n, stop, n)) return n;
    return 0;
}

/* Cuts the held text at the first stop text in it. */
static bool cut_at_stop(mn_generation *g) {
    const char *first = NULL;
    for (const char *const *stop = g->params.stops; stop && *stop; stop++) {
        const char *found = **stop ? memmem(g->held.data, g->held.bytes, *stop, strlen(*stop)) : NULL;
        if (found && (!first || found < first)) first = found;
    }
    if (first) g->held.bytes = (size_t)(first - g->held.data);
    return first != NULL;
}

/* Hands out all but the last `keep` bytes. */
static bool flush(mn_generation *g, size_t keep) {
    size_t ready = g->held.bytes - keep;
    if (ready == 0) return true;
    bool go_on = g->text(g->arg, g->held.data, ready);
    memmove(g->held.data, g->held.data + ready, keep);
    g->held.bytes = keep;
    return go_on;
}

static bool flush_safe(mn_generation *g) {
    size_t keep = unfinished_bytes(g->held.data, g->held.bytes);
    for (const char *const *stop = g->params.stops; stop && *stop; stop++) {
        size_t begun = begun_bytes(&g->held, *stop);
        if (begun > keep) keep = begun;
    }
    return flush(g, keep);
}

void mn_generation_begin(mn_generation *g, mn_session *session, mn_sampler *sampler, const mn_generate_params *params,
                         mn_text_fn *text, void *arg) {
    *g = (mn_generation){.session = session,
                         .sampler = sampler,
                         .params = *params,
                         .text = text,
                         .arg = arg,
                         .held = MN_STRBUF_INIT,
                         .channels = mn_channels_of(mn_session_tokenizer(session)),
                         .result = {.finish = MN_FINISH_LENGTH, .last = -1}};
}

/* Tokens that may still be drawn: by the limit, and the last one is not fed. */
static int64_t tokens_left(const mn_generation *g) {
    int64_t left = mn_session_n_ctx(g->session) - mn_session_n_tokens(g->session) + 1;
    int64_t limit = g->params.n_predict < 0 ? left : g->params.n_predict - g->result.n_tokens;
    return limit < left ? limit : left;
}

static mn_status draw_constrained(mn_generation *g, const float *logits, int32_t *token, mn_error *err) {
    mn_constraint *c = g->params.constraint;
    int64_t left = tokens_left(g);
    if (g->hurries) left = mn_constraint_shortest(c);
    MN_TRY(mn_constraint_set_left(c, left, err));
    MN_TRY(mn_sampler_draw_allowed(g->sampler, logits, mn_constraint_filter(c), token, err));
    return mn_constraint_accept(c, *token, err);
}

static mn_status draw(mn_generation *g, const float *logits, mn_error *err) {
    int32_t token, n_vocab = mn_tokenizer_n_vocab(mn_session_tokenizer(g->session));
    if (!logits)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "there is nothing to continue: the prompt is empty and this model has no start token.");
    mn_profile *profile = g->session->engine->compute.profile;
    if (profile) mn_profile_move(profile, 1 + profile->n_layers);
    mn_op_kind before = mn_profile_enter(profile, MN_OP_SAMPLING);
    mn_status status = g->params.constraint ? draw_constrained(g, logits, &token, err)
                                            : mn_sampler_draw(g->sampler, logits, &token, err);
    mn_profile_enter(profile, before);
    MN_TRY(status);
    if (token >= n_vocab)
        return mn_fail(err, MN_ERR_ARGUMENT, "the sampler drew token %d, but the vocabulary has the tokens 0 to %d.",
                       token, n_vocab - 1);
    mn_sampler_accept(g->sampler, token);
    g->result.n_tokens++;
    g->result.last = token;
    return MN_OK;
}

/* A constrained answer is completed first; whether it is complete then ends it. */
static bool ends_by_circle(mn_generation *g) {
    mn_constraint *c = g->params.constraint;
    g->result.finish = MN_FINISH_CIRCLE;
    if (!g->params.stop_circles) return false;
    if (!g->hurries) {
        g->result.period = mn_repetition_next(&g->circle, g->result.last);
        if (g->result.period == 0) return false;
    }
    g->hurries = c != NULL;
    return !c || mn_constraint_is_complete(c);
}

/* Whether the answer ends with the token drawn last, and why. */
static bool ends(mn_generation *g) {
    const mn_tokenizer *tokenizer = mn_session_tokenizer(g->session);
    mn_generated *r = &g->result;
    size_t bytes;
    r->finish = MN_FINISH_END;
    if (mn_tokenizer_is_end(tokenizer, r->last)) return true;
    const char *piece = mn_token_piece(tokenizer, r->last, g->params.special, &bytes);
    if (mn_channels_take(&g->channels, r->last, piece, bytes) || g->params.special)
        mn_strbuf_put(&g->held, piece, bytes);
    r->finish = MN_FINISH_STOP;
    if (cut_at_stop(g)) return true;
    r->finish = MN_FINISH_CALLER;
    if (!flush_safe(g)) return true;
    r->finish = g->hurries ? MN_FINISH_CIRCLE : MN_FINISH_END;
    if (g->params.constraint && mn_constraint_has_ended(g->params.constraint)) return true;
    if (ends_by_circle(g)) return true;
    r->finish = MN_FINISH_LENGTH;
    if (r->n_tokens == g->params.n_predict) return true;
    r->finish = MN_FINISH_WINDOW;
    return mn_session_n_tokens(g->session) == mn_session_n_ctx(g->session);
}

mn_status mn_generation_next(mn_generation *g, const float *logits, int32_t *token, mn_error *err) {
    *token = MN_GENERATION_ENDED;
    if (g->ended || g->params.n_predict == 0) return MN_OK;
    mn_status status = draw(g, logits, err);
    g->failed = status != MN_OK;
    g->ended = g->failed || ends(g);
    if (!g->ended) *token = g->result.last;
    return status;
}

mn_generated mn_generation_finish(mn_generation *g) {
    if (!g->failed) flush(g, 0);
    g->result.is_complete = g->params.constraint && mn_constraint_is_complete(g->params.constraint);
    mn_strbuf_release(&g->held);
    return g->result;
}

mn_status mn_generate(mn_session *session, mn_sampler *sampler, const mn_generate_params *params, mn_text_fn *text,
                      void *arg, mn_generated *out, mn_error *err) {
    mn_generation g;
    int32_t token = MN_GENERATION_ENDED;
    mn_generation_begin(&g, session, sampler, params, text, arg);
    mn_status status = mn_generation_next(&g, mn_session_logits(session), &token, err);
    while (status == MN_OK && token != MN_GENERATION_ENDED) {
        status = mn_session_extend(session, &token, 1, NULL, NULL, NULL, NULL, err);
        g.failed = status != MN_OK;
        if (status == MN_OK) status = mn_generation_next(&g, mn_session_logits(session), &token, err);
    }
    *out = mn_generation_finish(&g);
    return status;
}
