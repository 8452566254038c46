/* Loss of a text, overall and by position in the window. */
#ifndef MN_EVAL_PERPLEXITY_H
#define MN_EVAL_PERPLEXITY_H

#include "base/status.h"

#include <mnemo/session.h>

enum { MN_TEXT_LOSS_BUCKETS = 32 };

typedef struct mn_text_loss_params {
    int64_t window; /* tokens of a window; the session's n_ctx is at least that */
    /* Tokens from one window's start to the next: window = non-overlapping, each token scored once with what its window
     * holds before it; smaller = sliding, each token scored once with at least window - stride tokens before it (Press
     * et al. 2021, arXiv:2108.12409, appendix B). */
    int64_t stride;
    int64_t n_vocab;     /* of the model (mn_engine_info) */
    int n_buckets;       /* of positions, equal parts of the window; 1 to MN_TEXT_LOSS_BUCKETS */
    int64_t max_windows; /* of a text; 0: all */
} mn_text_loss_params;

/* Sums over groups of tokens whose losses are alike: of s, the loss of a group, and n, its tokens. */
typedef struct mn_loss_groups {
    int64_t n_groups;
    double s_s, s_n, n_n;
} mn_loss_groups;

/* Sums that can be added up over texts. */
typedef struct mn_text_loss {
    double nats;               /* of the loss of each token */
    int64_t n_tokens, n_bytes; /* scored; bytes of text that they spell */
    mn_loss_groups windows, texts;
    double bucket_nats[MN_TEXT_LOSS_BUCKETS];
    int64_t bucket_tokens[MN_TEXT_LOSS_BUCKETS]; /* tokens scored at a position of the bucket */
} mn_text_loss;

/* Adds a text's loss to *loss. tokens [n]: the text without BOS; each window begins with one where the model has one.
 * The first token of the text is scored only behind a BOS. progress as in mn_session_extend, over all tokens evaluated.
 * Cost: a prefill of n * window / stride tokens with logits of each. Errors: a window of less than 2 tokens or more
 * than n_ctx, a stride outside 1 to window; a text of fewer than 2 tokens. */
mn_status mn_text_loss_add(mn_session *session, const mn_text_loss_params *params, const int32_t *tokens, int64_t n,
                           mn_progress_fn *progress, void *arg, mn_text_loss *loss, mn_error *err);

/* -log softmax(logits)[id], in double. */
double mn_token_loss(const float *logits, int64_t n_vocab, int32_t id);

/* Mean nats a token, its standard error, and bits a byte. NAN without tokens. Tokens of a window are no samples of
 * their own, nor are windows of a text: the error is the larger one of those of a ratio of sums over windows and over
 * texts (Cochran 1977, section 2.11); NAN of a single window. */
double mn_text_loss_mean(const mn_text_loss *loss);
double mn_text_loss_error(const mn_text_loss *loss);
double mn_text_loss_bits_per_byte(const mn_text_loss *loss);

#endif
