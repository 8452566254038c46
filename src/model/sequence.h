/* What one sequence leaves behind in a model: cached rows, and the state of the layers that carry state of fixed size
 * (convolution histories, compressive memories). A forward step reads and extends it.
 */
#ifndef MN_MODEL_SEQUENCE_H
#define MN_MODEL_SEQUENCE_H

#include "kvcache/kvcache.h"
#include "model/attn_spec.h"

typedef struct mn_sequence {
    mn_kvcache *cache;
    mn_rope_table rope, rope_local;
    float score_scale; /* of q.k: the model's, times YaRN's temperature where it belongs into the scores */
    mn_attn_spec attn;
    mn_kept_keys kept;   /* rows that stay when mn_sequence_drop_unseen is asked; last 0: all */
    mn_kvcache *grouped; /* keys alone, as a position map's second plane has them; NULL without one */
    int64_t n_tokens;
    int64_t n_evicted; /* of these tokens, rows that each head has dropped; the others moved to the front */
    int64_t evict_to;  /* > 0: with the step that runs now each head drops all but so many rows (SnapKV) */
    /* Fixed-size state of all layers in one block, plain memory: zeros at token 0; copied away and back at will. */
    char *state;
    size_t state_bytes;
    size_t history_bytes, k_history_at; /* of a layer; its q history lies at 0. Those of all layers come first */
    size_t memories_at, memory_bytes;   /* then the memories of the layers that have one */
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
/* Gives back cached rows from n on; the memory in use. */
void mn_sequence_drop_after(mn_sequence *t, int64_t n);
/* Rows out of sight that stay all the same, so that a short way back needs no new start. */
enum { MN_SPARE_TOKENS = 2 * MN_PAGE_TOKENS };
/* Gives back whole pages of rows that no token after the n_tokens held can see, but for MN_SPARE_TOKENS of them. */
void mn_sequence_drop_unseen(mn_sequence *t);
/* The most tokens, at most n, from which the sequence can go on with the rows that it still has. */
int64_t mn_sequence_resumable(const mn_sequence *t, int64_t n);
size_t mn_sequence_bytes(const mn_sequence *t);

/* Bytes of the fixed-size state that a sequence of this model carries. */
mn_status mn_sequence_state_bytes(const mn_config *config, const mn_attn_spec *attn, size_t *out, mn_error *err);
/* The shape of the rows a model caches, of all its layers. */
mn_kv_shape mn_sequence_kv_shape_all(const mn_config *config, mn_dtype k_type, mn_dtype v_type);
/* The same of the layers that cache rows; of one where none does, and nothing is ever written. */
mn_kv_shape mn_sequence_kv_shape(const mn_config *config, const mn_attn_spec *attn, mn_dtype k_type, mn_dtype v_type);
/* Of a second plane of keys. */
mn_kv_shape mn_sequence_plane_shape(const mn_kv_shape *rows);

/* Rows in the cache: where the next token's goes. */
static inline int64_t mn_sequence_n_kv(const mn_sequence *t) { return t->n_tokens - t->n_evicted; }

static inline float *mn_sequence_q_history(const mn_sequence *t, int layer) {
    return (float *)(void *)(t->state + (size_t)layer * t->history_bytes);
}
static inline float *mn_sequence_k_history(const mn_sequence *t, int layer) {
    return (float *)(void *)(t->state + (size_t)layer * t->history_bytes + t->k_history_at);
}
/* Of a layer that has one: what linear.h or infini.h call its state. */
static inline void *mn_sequence_recurrent_state(const mn_sequence *t, int layer) {
    return t->state + t->memories_at + (size_t)mn_attn_state_layer(&t->attn, layer) * t->memory_bytes;
}

#endif
