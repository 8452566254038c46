#include "session/generate.h"

#include "base/strbuf.h"
#include "sample/repetition.h"

#include <string.h>

/* Text drawn and not handed out yet: it may be the start of a stop text, or of a character. */
typedef struct hold {
    mn_strbuf text;
    const char *const *stops;
} hold;

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
static bool cut_at_stop(hold *h) {
    const char *first = NULL;
    for (const char *const *stop = h->stops; stop && *stop; stop++) {
        const char *found = **stop ? memmem(h->text.data, h->text.bytes, *stop, strlen(*stop)) : NULL;
        if (found && (!first || found < first)) first = found;
    }
    if (first) h->text.bytes = (size_t)(first - h->text.data);
    return first != NULL;
}

/* Hands out all but the last `keep` bytes. */
static bool flush(hold *h, size_t keep, mn_text_fn *text, void *arg) {
    size_t ready = h->text.bytes - keep;
    if (ready == 0) return true;
    bool go_on = text(arg, h->text.data, ready);
    memmove(h->text.data, h->text.data + ready, keep);
    h->text.bytes = keep;
    return go_on;
}

static bool flush_safe(hold *h, mn_text_fn *text, void *arg) {
    size_t keep = unfinished_bytes(h->text.data, h->text.bytes);
    for (const char *const *stop = h->stops; stop && *stop; stop++) {
        size_t begun = begun_bytes(&h->text, *stop);
        if (begun > keep) keep = begun;
    }
    return flush(h, keep, text, arg);
}

static mn_status generate(mn_session *s, mn_sampler *sampler, const mn_tokenizer *tokenizer,
                          const mn_generate_params *params, hold *h, mn_text_fn *text, void *arg, mn_generated *out,
                          mn_error *err) {
    mn_repetition circle = {0};
    while (params->n_predict < 0 || out->n_tokens < params->n_predict) {
        int32_t token;
        size_t bytes;
        MN_TRY(mn_sampler_draw(sampler, mn_session_logits(s), &token, err));
        if (token >= mn_tokenizer_n_vocab(tokenizer))
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "the sampler drew token %d, but the vocabulary has the tokens 0 to %d.", token,
                           mn_tokenizer_n_vocab(tokenizer) - 1);
        mn_sampler_accept(sampler, token);
        out->n_tokens++;
        out->last = token;
        out->finish = MN_FINISH_END;
        if (mn_tokenizer_is_end(tokenizer, token)) return MN_OK;
        const char *piece = mn_token_piece(tokenizer, token, params->special, &bytes);
        mn_strbuf_put(&h->text, piece, bytes);
        out->finish = MN_FINISH_STOP;
        if (cut_at_stop(h)) return MN_OK;
        out->finish = MN_FINISH_CALLER;
        if (!flush_safe(h, text, arg)) return MN_OK;
        out->finish = MN_FINISH_CIRCLE;
        out->period = params->stop_circles ? mn_repetition_next(&circle, token) : 0;
        if (out->period > 0) return MN_OK;
        out->finish = MN_FINISH_LENGTH;
        if (out->n_tokens == params->n_predict) return MN_OK;
        out->finish = MN_FINISH_WINDOW;
        if (mn_session_n_tokens(s) == mn_session_n_ctx(s)) return MN_OK;
        MN_TRY(mn_session_extend(s, &token, 1, NULL, NULL, NULL, NULL, err));
    }
    return MN_OK;
}

mn_status mn_generate(mn_session *session, mn_sampler *sampler, const mn_generate_params *params, mn_text_fn *text,
                      void *arg, mn_generated *out, mn_error *err) {
    hold h = {MN_STRBUF_INIT, params->stops};
    *out = (mn_generated){.finish = MN_FINISH_LENGTH, .last = -1};
    if (!mn_session_logits(session))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "there is nothing to continue: the prompt is empty and this model has no start token.");
    const mn_tokenizer *tokenizer = mn_session_tokenizer(session);
    mn_status status = generate(session, sampler, tokenizer, params, &h, text, arg, out, err);
    if (status == MN_OK) flush(&h, 0, text, arg);
    mn_strbuf_release(&h.text);
    return status;
}
