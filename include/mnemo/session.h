/* A session is one sequence of tokens over one engine: hand it the whole sequence, it decides what to reuse.
 *
 * Threads: one session is used by one thread at a time, whatever the call; sessions of one engine may be used by
 * different threads at the same time, and opened and closed by any (mnemo/engine.h).
 */
#ifndef MNEMO_SESSION_H
#define MNEMO_SESSION_H

#include <mnemo/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mn_session mn_session;

/* How positions are scaled; zeroed = as the model file says. */
typedef struct mn_position_params {
    const char *rope_scaling; /* NULL = the file's; "none" "linear" "ntk" "dynamic" "yarn" "longrope" "llama3" */
    double rope_scale;        /* 0 = n_ctx / trained window */
    double rope_freq_base;    /* 0 = the file's */
    int64_t yarn_orig_ctx;    /* 0 = the file's */
    double yarn_ext_factor, yarn_attn_factor, yarn_beta_slow,
        yarn_beta_fast; /* 0 = default; ext_factor < 0 = no ramp: linear */
    const char *map; /* a place for each range of keys: "self-extend:G,W" "dca:C,L" "string:S,W"; NULL = by distance */
    bool beyond;     /* go beyond the window that positions were made for, unscaled: to measure what happens there */
} mn_position_params;

typedef struct mn_session_params {
    int64_t n_ctx;               /* 0 = the window the model was made for */
    int32_t n_batch;             /* rows per step, 0 = 512 */
    const char *type_k, *type_v; /* "f32" "f16" "bf16" "q8_0" "q4_0"; NULL = f16 (f32 in an exact engine) */
    /* KV entries beyond kv_ram_bytes go to a file without a name in this directory; both or neither. Answers stay the
     * same to the bit, and reading the file takes its time for every token. */
    const char *kv_disk;
    int64_t kv_ram_bytes;
    mn_position_params position;
    const char *attn;        /* attention pattern of the layers without a window of their own, "window:4096" (of all
                              * layers, "infini:2048"); NULL = the model's own: causal, or with the memory it brings */
    const char *attn_layers; /* patterns of single layers, over both: "0-3=causal,4-=window:4096"; NULL = none */
    /* Of a model with small MLPs: tokens that their routers give more than this share of 1 take them. 0: all, 1: none;
     * NULL = the model's. */
    const double *router_threshold;
} mn_session_params;

/* Called between steps of a long evaluation, by the thread that called; return false to stop (MN_ERR_CANCELLED, what
 * was done stays). It may use other sessions, not this one. */
typedef bool mn_progress_fn(void *arg, int64_t done_tokens, int64_t total_tokens);
/* Receives the logits [n_vocab] after token `index` of the sequence; borrowed for the call, which is made by the thread
 * that called. The engine waits for it: it must not compute with, open or close any session of the engine. */
typedef void mn_logits_fn(void *arg, int64_t index, const float *logits);

/* Memory grows with use, never past the plan. What the engine's other open sessions may still come to use is theirs:
 * an n_ctx that does not fit into what is free beside their windows (of the machine, or of the engine's memory_bytes)
 * is MN_ERR_MEMORY with figures and remedies; the model's own window (n_ctx 0) is lowered to what fits, see
 * mn_session_note. n_ctx beyond what positions were made for, without scaling that covers it, is an error that names
 * the factor to use. The caller closes it before the engine. */
mn_status mn_session_open(mn_engine *engine, const mn_session_params *params, mn_session **out, mn_error *err);
void mn_session_close(mn_session *session);

/* Makes the session hold exactly tokens[0..n): reuses the longest prefix it has, drops what differs, evaluates the
 * rest. After it mn_session_logits is the distribution after the last token. n > n_ctx is MN_ERR_LIMIT and changes
 * nothing. *n_reused (may be NULL): tokens that were not evaluated again. */
mn_status mn_session_sync(mn_session *session, const int32_t *tokens, int64_t n, mn_progress_fn *progress, void *arg,
                          int64_t *n_reused, mn_error *err);
/* Appends tokens. want[i] non-zero: logits after tokens[i] go to `logits`. want NULL: only the last row is computed,
 * for mn_session_logits. */
mn_status mn_session_extend(mn_session *session, const int32_t *tokens, int64_t n, const uint8_t *want,
                            mn_logits_fn *logits, mn_progress_fn *progress, void *arg, mn_error *err);
/* Forgets all tokens from index n on. */
mn_status mn_session_rewind(mn_session *session, int64_t n, mn_error *err);

const mn_tokenizer *mn_session_tokenizer(const mn_session *session); /* the engine's */
int64_t mn_session_n_tokens(const mn_session *session);
const int32_t *mn_session_tokens(const mn_session *session); /* borrowed until the next change */
int64_t mn_session_n_ctx(const mn_session *session);
/* What to show to the user where the session is not quite what was asked for or what the model was made for (its window
 * did not fit into memory, its attention pattern needs training): the index-th finished sentence, NULL behind the last.
 */
const char *mn_session_note(const mn_session *session, int index);
/* [n_vocab] after the last token; NULL when there is none (empty, or just rewound). */
const float *mn_session_logits(const mn_session *session);
/* Memory taken by KV entries and state. */
size_t mn_session_kv_bytes(const mn_session *session);

/* (query, key) pairs so far, of all layers that attend and the mean over their heads: those that were computed, and
 * those that full causal attention would have computed. */
typedef struct mn_key_figures {
    double read, all;
} mn_key_figures;
mn_key_figures mn_session_keys(const mn_session *session);

/* What kv_disk holds now, and what went through it since the session was opened; zeros without it. */
typedef struct mn_disk_figures {
    uint64_t held_bytes, read_bytes, written_bytes;
    double read_seconds; /* in the calls that read */
} mn_disk_figures;
mn_disk_figures mn_session_disk(const mn_session *session);

/* What a layer's two MLPs did since the session was opened, in steps of many rows of it or of one. */
typedef struct mn_router_figures {
    int64_t n_big, n_small; /* rows that took each */
    double big_s, small_s;  /* seconds that they took there */
    double router_s;        /* of the router, and of gathering rows */
} mn_router_figures;
/* False, and zeros, for a layer that has no small MLP. */
bool mn_session_router(const mn_session *session, int layer, bool decode, mn_router_figures *out);

/* How often each of a layer's experts was chosen since the session was opened, in steps of this session alone:
 * [n_experts], borrowed. NULL for a layer without experts. */
const int64_t *mn_session_expert_visits(const mn_session *session, int layer);

/* The whole state, in one file (docs/formats/session.md). A restored session continues as one never stopped; a file
 * of another model, type or position scheme is refused with the difference named. */
mn_status mn_session_save(const mn_session *session, const char *path, mn_error *err);
/* Whether the session could be saved at path once it holds n_tokens: asked before a long prompt is run. An error names
 * the room that is needed and that there is, or what else stands against it. */
mn_status mn_session_check_save(const mn_session *session, const char *path, int64_t n_tokens, mn_error *err);
mn_status mn_session_restore(mn_session *session, const char *path, mn_error *err);

#ifdef __cplusplus
}
#endif
#endif
