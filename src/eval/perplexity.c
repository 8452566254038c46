#include "eval/perplexity.h"

#include "base/checked.h"

#include <mnemo/tokenizer.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

double mn_token_loss(const float *logits, int64_t n_vocab, int32_t id) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n_vocab; i++) most = fmax(most, logits[i]);
    for (int64_t i = 0; i < n_vocab; i++) sum += exp(logits[i] - most);
    return most + log(sum) - logits[id];
}

double mn_text_loss_mean(const mn_text_loss *l) { return l->n_tokens ? l->nats / (double)l->n_tokens : NAN; }

static void add_group(mn_loss_groups *g, double nats, int64_t n_tokens) {
    double n = (double)n_tokens;
    if (n_tokens == 0) return;
    g->n_groups++;
    g->s_s += nats * nats;
    g->s_n += nats * n;
    g->n_n += n * n;
}

/* The root of k / (k - 1) sum (s - mean n)^2, over all tokens; NAN for k < 2. */
static double error_by(const mn_loss_groups *g, double mean, double n_tokens) {
    double k = (double)g->n_groups, squares = g->s_s - 2 * mean * g->s_n + mean * mean * g->n_n;
    return g->n_groups > 1 ? sqrt(fmax(0, squares) * k / (k - 1)) / n_tokens : NAN;
}

double mn_text_loss_error(const mn_text_loss *l) {
    double mean = mn_text_loss_mean(l), n = (double)l->n_tokens;
    return fmax(error_by(&l->windows, mean, n), error_by(&l->texts, mean, n)); /* a number, where one of them is */
}

double mn_text_loss_bits_per_byte(const mn_text_loss *l) {
    return l->n_bytes ? l->nats / log(2) / (double)l->n_bytes : NAN;
}

/* One window under way: its tokens, BOS first where there is one, and which of them are scored. */
typedef struct scoring {
    const mn_text_loss_params *p;
    const mn_tokenizer *tokenizer;
    const int32_t *tokens; /* of the window */
    int64_t n;
    int64_t n_vocab;
    mn_text_loss *loss;
    mn_progress_fn *progress;
    void *progress_arg;
    int64_t n_before, n_total; /* tokens of the text behind which the window's scored ones stand, and of the text */
} scoring;

static bool report(void *arg, int64_t done, int64_t total) {
    const scoring *s = arg;
    (void)total;
    return !s->progress || s->progress(s->progress_arg, MN_MIN(s->n_before + done, s->n_total), s->n_total);
}

static void score(void *arg, int64_t index, const float *logits) {
    const scoring *s = arg;
    if (index + 1 >= s->n) return;
    int32_t id = s->tokens[index + 1];
    size_t bytes;
    double nats = mn_token_loss(logits, s->n_vocab, id);
    int64_t bucket = (index + 1) * s->p->n_buckets / s->p->window;
    bucket = MN_MIN(bucket, s->p->n_buckets - 1);
    mn_token_piece(s->tokenizer, id, false, &bytes);
    s->loss->nats += nats;
    s->loss->n_tokens++;
    s->loss->n_bytes += (int64_t)bytes;
    s->loss->bucket_nats[bucket] += nats;
    s->loss->bucket_tokens[bucket]++;
}

static mn_status check(mn_session *session, const mn_text_loss_params *p, int64_t n, mn_error *err) {
    if (p->window < 2 || p->window > mn_session_n_ctx(session))
        return mn_fail(err, MN_ERR_ARGUMENT, "a window of %lld tokens is outside 2 to the session's %lld.",
                       (long long)p->window, (long long)mn_session_n_ctx(session));
    if (p->stride < 1 || p->stride > p->window)
        return mn_fail(err, MN_ERR_ARGUMENT, "a stride of %lld is outside 1 to the window of %lld.",
                       (long long)p->stride, (long long)p->window);
    if (p->n_buckets < 1 || p->n_buckets > MN_TEXT_LOSS_BUCKETS)
        return mn_fail(err, MN_ERR_ARGUMENT, "%d buckets are outside 1 to %d.", p->n_buckets, MN_TEXT_LOSS_BUCKETS);
    if (n < 2) return mn_fail(err, MN_ERR_ARGUMENT, "a text of %lld tokens has nothing to predict.", (long long)n);
    return MN_OK;
}

/* Tokens [begin, begin + n) of the text behind a BOS, if any; those before `first_scored` are context alone. */
static mn_status run_window(mn_session *session, scoring *s, int32_t *window, uint8_t *want, const int32_t *tokens,
                            int64_t n, int64_t first_scored, mn_error *err) {
    const mn_special_tokens *special = mn_tokenizer_specials(s->tokenizer);
    bool bos = special->add_bos && special->bos >= 0;
    if (bos) window[0] = special->bos;
    memcpy(window + bos, tokens, (size_t)n * sizeof *tokens);
    s->tokens = window;
    s->n = n + bos;
    /* the logits after token i score token i + 1 */
    for (int64_t i = 0; i < s->n; i++) want[i] = i + 1 < s->n && i + 1 >= first_scored + bos;
    MN_TRY(mn_session_rewind(session, 0, err));
    return mn_session_extend(session, window, s->n, want, score, report, s, err);
}

mn_status mn_text_loss_add(mn_session *session, const mn_text_loss_params *p, const int32_t *tokens, int64_t n,
                           mn_progress_fn *progress, void *arg, mn_text_loss *loss, mn_error *err) {
    MN_TRY(check(session, p, n, err));
    const mn_tokenizer *t = mn_session_tokenizer(session);
    const mn_special_tokens *special = mn_tokenizer_specials(t);
    int64_t room = p->window - (special->add_bos && special->bos >= 0), done = 0;
    int32_t *window = malloc((size_t)p->window * sizeof *window);
    uint8_t *want = malloc((size_t)p->window);
    scoring s = {.p = p,
                 .tokenizer = t,
                 .n_vocab = p->n_vocab,
                 .loss = loss,
                 .progress = progress,
                 .progress_arg = arg,
                 .n_total = n};
    mn_status status = window && want ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a window.");
    int64_t stride = MN_MIN(p->stride, room), first_token = loss->n_tokens;
    double first_nats = loss->nats;
    for (int64_t i = 0; status == MN_OK && done < n && (p->max_windows == 0 || i < p->max_windows); i++) {
        int64_t end = MN_MIN(i == 0 ? room : done + stride, n), begin = MN_MAX(end - room, 0);
        double nats = loss->nats;
        int64_t n_tokens = loss->n_tokens;
        s.n_before = done;
        status = run_window(session, &s, window, want, tokens + begin, end - begin, done - begin, err);
        add_group(&loss->windows, loss->nats - nats, loss->n_tokens - n_tokens);
        done = end;
    }
    add_group(&loss->texts, loss->nats - first_nats, loss->n_tokens - first_token);
    free(window);
    free(want);
    return status;
}
