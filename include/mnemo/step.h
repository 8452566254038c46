/* A step of many sessions: their next tokens pass through the model together, so that each weight is fetched from
 * memory once for all of them. Decoding is bound by that memory traffic: eight sessions in one step cost little more
 * than one.
 */
#ifndef MNEMO_STEP_H
#define MNEMO_STEP_H

#include <mnemo/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The next tokens of one session: a slice of a prompt, or the one token that was drawn last. */
typedef struct mn_step_entry {
    mn_session *session;
    const int32_t *tokens;
    int64_t n_tokens;
    const uint8_t *want;  /* [n_tokens] or NULL; non-zero: the logits after tokens[i] go to `logits` */
    mn_logits_fn *logits; /* called in the order of the tokens; may be NULL when want is */
    void *arg;            /* of logits */
    bool without_logits;  /* do not compute the logits after the last token, which mn_session_logits would give: for
                           * slices of a prompt that goes on */
    /* Filled in by the call. */
    int64_t n_done; /* of n_tokens: appended to the session */
    mn_error error; /* status MN_OK: all of them */
} mn_step_entry;

/* Appends each entry's tokens to its session, in passes through the model. A slice is cut as it would be alone, by its
 * session's n_batch; a pass takes every entry that has few tokens left (fewer than 16) and as many long slices as the
 * largest n_batch of the sessions holds. The sessions may differ in everything: patterns, positions, recurrent states,
 * types of KV cache, windows, pages on disk. Cost: 2 * parameters FLOP per token and attention; the weights once per
 * pass.
 *
 * Results: in an exact engine each row of logits is, bit for bit, what mn_session_extend gives for that session alone.
 * In fast arithmetic a row may differ in its last bits with the number of rows beside it, because products of one, few
 * and many rows run different kernels; it is as close to the exact one as alone.
 *
 * Errors: an entry stands for itself. One that cannot run (ids outside the vocabulary, more tokens than fit, a session
 * of another engine or twice in the list) changes nothing in its session and hinders no other entry. If a pass fails
 * (the disk, memory), its entries run again one by one; each that fails keeps the tokens that its session held before
 * that pass, and n_done tells how many of the entry's these are. Where the pass had changed a recurrent state or moved
 * KV entries, they are computed again from a checkpoint; if that fails too, the session holds fewer tokens
 * (mn_session_n_tokens), never half a change. Returns MN_OK if all entries are done, else what the first of the failed
 * ones says, in err as in its entry.
 *
 * Under a pattern that evicts at a prompt's end (SnapKV), the last tokens of a prompt that mn_session_begin announced
 * choose together what stays: an entry that would divide them is MN_ERR_ARGUMENT (mn_session_next_slice).
 *
 * Threads: as any call that computes (mnemo/engine.h). No session of the list may be used by another thread meanwhile.
 */
mn_status mn_engine_step(mn_engine *engine, mn_step_entry *entries, int n_entries, mn_error *err);

/* What mn_session_sync does before it computes: goes back to the longest prefix of tokens[0..n) that can be kept,
 * *n_reused tokens. The caller appends the rest, tokens[*n_reused..n), in slices as he likes (mn_engine_step), and has
 * what mn_session_sync would have given. n > n_ctx is MN_ERR_LIMIT and changes nothing. */
mn_status mn_session_begin(mn_session *session, const int32_t *tokens, int64_t n, int64_t *n_reused, mn_error *err);
/* How many of the tokens that follow, of n_left, to put into the next entry: at most max_tokens, but for SnapKV's last
 * ones, which stay together. */
int64_t mn_session_next_slice(const mn_session *session, int64_t n_left, int64_t max_tokens);

#ifdef __cplusplus
}
#endif
#endif
