/* What one sequence leaves behind in a model: cached rows, and the state of the layers that carry state of fixed size
 * (convolution histories, compressive memories). A forward step reads and extends it.
 */
#ifndef MN_MODEL_TIMELINE_H
#define MN_MODEL_TIMELINE_H

#include "attention/patterns/pattern.h"
#include "kvcache/kvcache.h"
#include "model/config.h"
#include "position/posmap.h"

typedef struct mn_timeline {
    mn_kvcache *cache;
    mn_rope_table rope, rope_local;
    float score_scale; /* of q.k: the model's, times YaRN's temperature where it belongs into the scores */
    const mn_pattern *patterns; /* [n_layers], borrowed; NULL, or kind NULL in a layer: the model's own attention */
    mn_posmap map;       /* scheme NULL: every key by its distance */
    mn_kvcache *grouped; /* keys alone, as the map's second plane has them; NULL without one */
    int64_t n_tokens;
    int64_t n_evicted; /* of these tokens, rows that each head has dropped; the others moved to the front */
    int64_t evict_to;  /* > 0: with the step that runs now each head drops all but so many rows (SnapKV) */
    /* Fixed-size state of all layers in one block, plain memory: zeros at token 0; copied away and back at will. */
    char *state;
    size_t state_bytes, layer_state_bytes;
    size_t k_history_at, infini_at; /* offsets in a layer's state; the q history lies at 0 */
} mn_timeline;

/* rope: positions as the session wants them; n_ctx: its window. The caller releases it. */
mn_status mn_timeline_init(mn_timeline *t, const mn_config *config, const mn_rope_spec *rope, int64_t n_ctx,
                           mn_dtype k_type, mn_dtype v_type, mn_error *err);
void mn_timeline_release(mn_timeline *t);
/* Runs an empty timeline under a position map; n_ctx as above. MN_ERR_UNSUPPORTED for models without rotated heads. */
mn_status mn_timeline_set_map(mn_timeline *t, const mn_config *config, const mn_posmap *map, int64_t n_ctx,
                              mn_error *err);
/* Gives back cached rows from n on; the memory in use. */
void mn_timeline_drop_after(mn_timeline *t, int64_t n);
size_t mn_timeline_bytes(const mn_timeline *t);

/* Bytes of the fixed-size state that a timeline of this model carries. */
mn_status mn_timeline_state_bytes(const mn_config *config, size_t *out, mn_error *err);
/* The shape of the rows a model caches. */
mn_kv_shape mn_timeline_kv_shape(const mn_config *config, mn_dtype k_type, mn_dtype v_type);

/* Rows in the cache: where the next token's goes. */
static inline int64_t mn_timeline_n_rows(const mn_timeline *t) { return t->n_tokens - t->n_evicted; }

static inline float *mn_timeline_q_history(const mn_timeline *t, int layer) {
    return (float *)(void *)(t->state + (size_t)layer * t->layer_state_bytes);
}
static inline float *mn_timeline_k_history(const mn_timeline *t, int layer) {
    return (float *)(void *)(t->state + (size_t)layer * t->layer_state_bytes + t->k_history_at);
}
static inline void *mn_timeline_infini(const mn_timeline *t, int layer) {
    return t->state + (size_t)layer * t->layer_state_bytes + t->infini_at;
}

/* The Infini-attention shape of a config that has one. */
static inline mn_infini mn_config_infini_shape(const mn_config *c) {
    return (mn_infini){c->infini.rule, c->infini.feature, c->n_heads, c->n_kv_heads, c->head_dim_k, c->head_dim_v,
                       c->infini.segment};
}

#endif
