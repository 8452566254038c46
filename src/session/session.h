/* Inside a session. */
#ifndef MN_SESSION_SESSION_H
#define MN_SESSION_SESSION_H

#include "session/memory_plan.h"

#include <mnemo/session.h>

/* The fixed-size state as it was after n_tokens tokens: where a rewind of a model with such state can start. */
typedef struct mn_checkpoint {
    int64_t n_tokens;
    char *state;
} mn_checkpoint;

struct mn_session {
    mn_engine *engine;
    mn_sequence sequence;
    mn_rope_spec rope; /* as it was decided for this window */
    mn_attn_spec attn; /* and how it is read; the sequence holds a copy */
    int64_t n_ctx;
    int32_t n_batch;
    int32_t *tokens; /* [n_ctx], sequence.n_tokens of them held */
    float *logits;   /* [n_vocab], valid when has_logits */
    bool has_logits;
    int64_t prompt_tokens; /* > 0: when it holds so many, a prompt ends, and what its pattern evicts goes */
    int64_t
        prompt_end; /* tokens held when KV entries were evicted: before it there is no way back but from the start */
    mn_checkpoint checkpoints[MN_MAX_CHECKPOINTS];
    int n_checkpoints;
    int64_t checkpoint_interval; /* tokens, at least, between the last checkpoint and the next */
    mn_pattern *patterns;        /* [n_layers] when any was asked for; attn and the sequence borrow them */
    mn_notes notes;
    mn_account account; /* in the engine's ledger */
};

/* Forgets everything. */
void mn_session_clear(mn_session *s);
/* Goes back to n tokens, n_tokens at most, or, where KV entries are gone or recurrent state cannot be undone, to fewer,
 * from where it can go on. Recurrent state comes from a checkpoint, whatever it was. */
void mn_session_retreat(mn_session *s, int64_t n);
/* Tells the engine's ledger what memory the session has taken. */
void mn_session_tell_ledger(mn_session *s);
/* Copies the recurrent state, if it is time. */
void mn_session_take_checkpoint(mn_session *s);
/* MN_ERR_ARGUMENT for an id that the model lacks. */
mn_status mn_session_check_tokens(const mn_session *s, const int32_t *tokens, int64_t n, mn_error *err);

/* The rows that stay after a prompt and how many of its last ones choose them, when the patterns evict; else 0. */
int64_t mn_session_budget(const mn_session *s, int64_t *window);
/* Decides from the parameters everything that a session is before it takes memory: n_ctx, n_batch, rope, attn and
 * patterns, with notes. *out, which a plan is made from, borrows s->attn. s is zeroed but for its engine. */
mn_status mn_session_resolve(mn_session *s, const mn_session_params *params, mn_window *out, mn_error *err);
/* Resolves params->attn and attn_layers into s->patterns, with notes; the caller frees them. */
mn_status mn_session_patterns(mn_session *s, const mn_session_params *params, mn_error *err);
/* The compressive memory under these patterns, with notes where it is not as the model was trained. */
void mn_session_memory(mn_session *s);

/* The position map asked for, by position.map or by an attn of "sinks:S,W"; scheme NULL = none. */
mn_status mn_session_map(const mn_model *model, const mn_session_params *params, mn_posmap *out, mn_error *err);

/* Decides positions for a window of *n_ctx tokens (0 = the model's own, which is filled in). The rules of
 * mn_position_params and the error for windows that neither scaling nor a map nor a memory covers; a scheme that was
 * chosen and covers less than the model was made for gives a note (notes may be NULL). */
mn_status mn_session_positions(const mn_model *model, const mn_position_params *params, const mn_attn_spec *attn,
                               int64_t *n_ctx, mn_rope_spec *out, mn_notes *notes, mn_error *err);
/* The largest window that positions cover, so that mn_session_positions accepts it without a note. */
int64_t mn_session_reach(const mn_model *model, const mn_position_params *params, const mn_attn_spec *attn);
/* A note where patterns that were not trained leave most of a window's text out of sight. */
void mn_session_note_unseen(mn_session *s);
/* Tells the sequence where its checkpoints are, whenever that changes. */
void mn_session_tell_places(mn_session *s);

#endif
