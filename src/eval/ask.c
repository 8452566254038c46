#include "eval/ask.h"

#include "base/clock.h"
#include "base/safe_text.h"
#include "session/generate.h"

#include <stdlib.h>
#include <string.h>

/* Appends the tokens of a text that begins in the middle of a sequence. */
static mn_status append_text(const mn_engine *e, const char *text, mn_tokens *to, mn_error *err) {
    int32_t *ids;
    size_t n;
    MN_TRY(mn_tokenize(mn_engine_tokenizer(e), text, strlen(text), false, false, &ids, &n, err));
    int32_t *grown = reallocarray(to->data, to->n + n + 1, sizeof *grown);
    if (grown) {
        memcpy(grown + to->n, ids, n * sizeof *ids);
        to->data = grown;
        to->n += n;
    }
    free(ids);
    return grown ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a prompt.");
}

static mn_status prefixed_tokens(const mn_engine *e, const mn_task_sample *s, mn_tokens *out, mn_error *err) {
    bool chat = mn_engine_chat_template(e) != NULL;
    mn_strbuf text = MN_STRBUF_INIT;
    mn_strbuf_puts(&text, s->document.data);
    if (!s->worded) mn_strbuf_printf(&text, "\n%s", s->question.data);
    if (!chat) mn_strbuf_printf(&text, "%s%s", s->worded ? "" : " ", s->prefix.data);
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for a prompt.")
                                   : mn_compose_ask(e, NULL, NULL, text.data, !chat, out, err);
    if (status == MN_OK && chat) status = append_text(e, s->prefix.data, out, err);
    mn_strbuf_release(&text);
    return status;
}

mn_status mn_ask_tokens(const mn_engine *e, const mn_task *task, const mn_task_sample *s, mn_tokens *out,
                        mn_error *err) {
    *out = (mn_tokens){0};
    if (!mn_task_is_prefixed(task, s))
        return mn_compose_ask(e, NULL, s->document.data, s->question.data, false, out, err);
    return prefixed_tokens(e, s, out, err);
}

int64_t mn_ask_count(void *engine, const mn_task *task, const mn_task_sample *s) {
    mn_tokens tokens;
    int64_t n = mn_ask_tokens(engine, task, s, &tokens, NULL) == MN_OK ? (int64_t)tokens.n : -1;
    free(tokens.data);
    return n;
}

static bool keep_text(void *arg, const char *text, size_t bytes) {
    mn_strbuf_put(arg, text, bytes);
    return true;
}

static mn_status answer(mn_engine *e, mn_session *session, const mn_task *task, mn_asked *out, mn_error *err) {
    static const char *const line_end[] = {"\n", NULL};
    mn_sampler_params greedy = mn_sampler_defaults();
    mn_sampler *sampler;
    mn_generated made;
    bool one_line = task->asks_plainly && mn_answers_in_one_line(e, "", false);
    mn_generate_params params = {.n_predict = task->n_answer_tokens, .stops = one_line ? line_end : NULL};
    greedy.temperature = 0;
    MN_TRY(mn_sampler_create(&greedy, mn_tokenizer_n_vocab(mn_engine_tokenizer(e)), &sampler, err));
    double begun = mn_clock_seconds();
    mn_status status = mn_generate(session, sampler, &params, keep_text, &out->answer, &made, err);
    out->decode_s = mn_clock_seconds() - begun;
    out->n_answer = made.n_tokens;
    mn_sampler_destroy(sampler);
    return status;
}

static mn_status check_room(const mn_session *session, const mn_task *task, size_t n, mn_error *err) {
    int64_t needed = (int64_t)n + task->n_answer_tokens, window = mn_session_n_ctx(session);
    if (needed <= window) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT, "the sample takes %lld tokens with its answer; the window holds %lld.",
                   (long long)needed, (long long)window);
}

mn_status mn_ask(mn_engine *e, mn_session *session, const mn_task *task, const mn_task_sample *s,
                 mn_progress_fn *progress, void *arg, mn_asked *out, mn_error *err) {
    mn_tokens tokens;
    *out = (mn_asked){.answer = MN_STRBUF_INIT};
    MN_TRY(mn_ask_tokens(e, task, s, &tokens, err));
    mn_status status = check_room(session, task, tokens.n, err);
    double begun = mn_clock_seconds();
    if (status == MN_OK)
        status = mn_session_sync(session, tokens.data, (int64_t)tokens.n, progress, arg, &out->n_reused, err);
    out->prefill_s = mn_clock_seconds() - begun;
    out->n_prompt = (int64_t)tokens.n;
    if (status == MN_OK) status = answer(e, session, task, out, err);
    out->kv_bytes = mn_session_kv_bytes(session);
    out->score = mn_task_score(task, s, out->answer.data, out->answer.bytes);
    if (status == MN_OK && (out->answer.failed || out->score < 0))
        status = mn_fail(err, MN_ERR_MEMORY, "no memory for an answer.");
    mn_text_make_utf8(out->answer.data, out->answer.bytes);
    free(tokens.data);
    return status;
}
