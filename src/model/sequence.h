/* A sequence: what a model keeps of the tokens of one text, its KV cache and its recurrent state (histories of
 * convolutions, linear attention, compressive memories). A forward step extends it.
 */
#ifndef MN_MODEL_SEQUENCE_H
#define MN_MODEL_SEQUENCE_H

#include "kvcache/kvcache.h"
#include "mlp/easy.h"
#include "model/attn_spec.h"

/* (query, key) pairs of all layers, the mean over their query heads: those that were computed, and those that full
 * causal attention would have computed. */
typedef struct mn_key_share {
    double read, all;
} mn_key_share;

enum { MN_MAX_PLACES = 16 };

typedef struct mn_sequence {
    mn_kvcache *cache;
    mn_rope_table rope, rope_local;
    float score_scale; /* of q.k: the model's, times YaRN's temperature where it belongs into the scores */
    mn_attn_spec attn;
    mn_kept_keys kept;  /* KV entries that mn_sequence_drop_unseen leaves; last 0: all */
    int64_t window;     /* > 0: windowed layers see no more entries than these, and drop the others (windows.c) */
    int64_t dropped_to; /* where windowed layers had dropped entries when they last did */
    /* Where a sequence with a recurrent state may go back to, ascending: told by who keeps copies of that state. */
    int64_t places[MN_MAX_PLACES];
    int n_places;
    mn_kvcache *second; /* keys alone: of a position map's second plane, or of indexers; NULL without */
    mn_kvcache *compressed[MN_MAX_RATES]; /* an entry for each rates[i] tokens; NULL without */
    int rates[MN_MAX_RATES];
    mn_easy easy;           /* which tokens take a small MLP */
    int64_t *expert_visits; /* [n_layers, n_experts], of steps that it had alone; NULL without experts */
    int64_t n_tokens;
    mn_segments segments; /* after these tokens, where marks begin segments; else not kept */
    int64_t n_evicted;    /* of these tokens, KV entries that each head has dropped; the others moved to the front */
    mn_key_share keys;    /* so far, whatever was taken back */
    int64_t evict_to;     /* > 0: with the step that runs now each head drops all but so many entries (SnapKV) */
    /* Recurrent state of all layers in one block, plain memory: zeros at token 0; copied away and back at will. */
    char *state;
    size_t state_bytes;
    size_t history_bytes, k_history_at; /* convolutions of a layer, q at 0; those of all layers come first */
    size_t layers_at, layer_bytes;      /* then the layers that have linear attention or a compressive memory */
    size_t mixers_at, mixer_bytes;      /* then those that have a mixer: its matrices, */
    size_t mixer_history_at;            /* and in each, the rows that its convolution looks back to */
    size_t compressors_at;              /* then those that compress keys, see mn_sequence_compressor_state */
} mn_sequence;

/* What a sequence is to be. */
typedef struct mn_sequence_params {
    const mn_rope_spec *rope; /* positions as the session wants them */
    mn_attn_spec attn;
    int64_t n_ctx; /* its window */
    mn_dtype k_type, v_type;
} mn_sequence_params;

/* The caller releases it. MN_ERR_UNSUPPORTED: see mn_attn_check. */
mn_status mn_sequence_init(mn_sequence *t, const mn_config *config, const mn_sequence_params *params, mn_error *err);
void mn_sequence_release(mn_sequence *t);
/* One for a dry step (backend_cpu.h): caches of a page, whose entries are not touched; a state; no positions. */
mn_status mn_sequence_init_dry(mn_sequence *t, const mn_config *config, const mn_attn_spec *attn, mn_dtype k_type,
                               mn_dtype v_type, mn_error *err);
/* Counts n more tokens as held. tokens may be NULL in a dry step. */
void mn_sequence_extend(mn_sequence *t, const int32_t *tokens, int64_t n);
/* Counts n tokens, all there are, as held: after a way back. */
void mn_sequence_resume(mn_sequence *t, const int32_t *tokens, int64_t n);
/* The first token that those behind the ones held may attend to in their segment. */
int64_t mn_sequence_segment_begin(const mn_sequence *t);
/* Gives back KV entries from n on. */
void mn_sequence_drop_after(mn_sequence *t, int64_t n);
/* KV entries out of sight that stay all the same, so that a short way back needs no new start. */
enum { MN_SPARE_TOKENS = 2 * MN_PAGE_TOKENS };
/* Gives back whole KV pages that no token after the n_tokens held can see, but for MN_SPARE_TOKENS. */
void mn_sequence_drop_unseen(mn_sequence *t);
/* Which of the layers that cache KV entries look back no further than a window, beside others that see all, and drop
 * what they do not see by themselves: flags [n] of a cache's layers; returns the widest window, 0: there are none. Not
 * under patterns, compressive memories, or windows of less than twice the model's. */
int64_t mn_sequence_windows(const mn_config *config, const mn_attn_spec *attn, int64_t n_ctx, bool *flags);
/* Pages that they hold at most at once in a window of n_ctx tokens; n_places: of the places that the sequence is told,
 * which has a recurrent state, else negative. */
int64_t mn_sequence_window_pages(int64_t window, int64_t n_ctx, int64_t n_batch, int64_t n_places);
/* Drops what windowed layers do not see after the n_tokens held, but for MN_SPARE_TOKENS and for what the ways back to
 * places before need: with a recurrent state t->places; else, at a distance d from the end, one place every d / 4 to
 * d / 2 tokens, from 512 up. */
void mn_sequence_drop_windows(mn_sequence *t);
/* The most tokens, at most n, whose last ones windowed layers still hold. */
int64_t mn_sequence_windows_held(const mn_sequence *t, int64_t n);
/* The most tokens, at most n, from which the sequence can go on with the KV entries that it still has. */
int64_t mn_sequence_resumable(const mn_sequence *t, int64_t n);
/* Memory in use. */
size_t mn_sequence_bytes(const mn_sequence *t);

/* Bytes of the recurrent state of a sequence of this model. */
mn_status mn_sequence_state_bytes(const mn_config *config, const mn_attn_spec *attn, size_t *out, mn_error *err);
/* The shape of a KV cache of all layers of a model. */
mn_kv_shape mn_sequence_kv_shape_all(const mn_config *config, mn_dtype k_type, mn_dtype v_type);
/* Of the layers that cache something; of one where none does, and nothing is ever written. */
mn_kv_shape mn_sequence_kv_shape(const mn_config *config, const mn_attn_spec *attn, mn_dtype k_type, mn_dtype v_type);
/* Of the second cache beside such a one, of keys alone: a position map's second plane, or what indexers keep. n_layers
 * 0: there is none. */
mn_kv_shape mn_sequence_second_shape(const mn_config *config, const mn_attn_spec *attn, const mn_kv_shape *shape);

/* Of the cache of compressed keys at rate i: for each layer at that rate its keys, and behind them those of its indexer
 * if it has one. */
mn_kv_shape mn_sequence_compressed_shape(const mn_config *config, int i, const mn_kv_shape *shape);
/* Tokens that this cache is for, in a window of n_ctx: 1 at least. */
static inline int64_t mn_sequence_compressed_tokens(const mn_config *config, int i, int64_t n_ctx) {
    return n_ctx < config->rates[i] ? 1 : n_ctx / config->rates[i];
}
/* A layer's place in it. */
int mn_sequence_compressed_layer(const mn_config *config, int layer, bool of_indexer);
/* What compressor.h calls the state, of a layer's keys or its indexer's. */
float *mn_sequence_compressor_state(const mn_sequence *t, const mn_config *config, int layer, bool of_indexer);

/* Entries in the cache: where the next token's goes. */
static inline int64_t mn_sequence_n_kv(const mn_sequence *t) { return t->n_tokens - t->n_evicted; }

static inline float *mn_sequence_q_history(const mn_sequence *t, int layer) {
    return (float *)(void *)(t->state + (size_t)layer * t->history_bytes);
}
static inline float *mn_sequence_k_history(const mn_sequence *t, int layer) {
    return (float *)(void *)(t->state + (size_t)layer * t->history_bytes + t->k_history_at);
}
/* Of a layer that has one (mn_attn_has_state): what linear.h or infini.h call its state. */
static inline void *mn_sequence_recurrent_state(const mn_sequence *t, const mn_config *config, int layer) {
    return t->state + t->layers_at + (size_t)mn_attn_state_layer(&t->attn, config, layer) * t->layer_bytes;
}
/* Of a layer that has a mixer: its states [n_heads, k_dim, v_dim], and the rows [n_taps - 1, n_channels] before the
 * next token that its convolution looks back to, oldest first. */
static inline float *mn_sequence_mixer_state(const mn_sequence *t, const mn_config *config, int layer) {
    return (float *)(void *)(t->state + t->mixers_at + (size_t)config->layers[layer].mixer * t->mixer_bytes);
}
static inline float *mn_sequence_mixer_history(const mn_sequence *t, const mn_config *config, int layer) {
    return mn_sequence_mixer_state(t, config, layer) + t->mixer_history_at / sizeof(float);
}

#endif
