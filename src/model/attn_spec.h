/* How a sequence attends to its text: which keys each layer sees, from which positions, and which recurrent state
 * carries the rest. By default that is the model's own way; a session may choose another
 * (docs/decisions/memory-of-a-sequence.md). Everything that runs, plans or saves a sequence asks here.
 */
#ifndef MN_MODEL_ATTN_SPEC_H
#define MN_MODEL_ATTN_SPEC_H

#include "attention/patterns/pattern.h"
#include "model/config.h"
#include "position/posmap.h"
#include "recurrent/linear.h"

/* The compressive memory behind segments (Infini-attention), in all layers. */
typedef struct mn_infini_spec {
    mn_infini shape;       /* segment 0: there is none; heads: mn_attn_infini_shape */
    float write_threshold; /* see mn_infini_write_gates */
    bool model_writes;     /* delta-exact: the layers' weights make write gates; else every token is written whole */
    bool model_mixes;      /* the layers' weights hold mixing gates; else `share` of every head is the memory's */
    float share;
    mn_segment_mark mark; /* beside every S tokens, what begins a segment */
} mn_infini_spec;

typedef struct mn_attn_spec {
    const mn_pattern *patterns; /* [n_layers], borrowed; NULL, or kind NULL in a layer: the model's own attention */
    bool absorbs;  /* MLA runs absorbed, whatever takes fewer products: patterns look at entries as they are cached */
    mn_posmap map; /* scheme NULL: every key by its distance */
    mn_infini_spec infini;
} mn_attn_spec;

/* What the model file says. */
mn_attn_spec mn_attn_of_model(const mn_config *config);
/* MN_ERR_UNSUPPORTED for what this model's heads or positions cannot do, with one sentence. */
mn_status mn_attn_check(const mn_attn_spec *r, const mn_config *config, mn_error *err);

/* Whether a layer keeps a state of linear attention in the place of KV entries. */
static inline bool mn_attn_is_linear(const mn_attn_spec *r, int layer) {
    const mn_pattern_kind *kind = r->patterns ? r->patterns[layer].kind : NULL;
    return kind && kind->traits & MN_PATTERN_RECURRENT;
}

/* Whether a layer's attention carries a recurrent state, beside the histories of convolutions. */
static inline bool mn_attn_has_state(const mn_attn_spec *r, const mn_config *config, int layer) {
    return mn_config_attends(config, layer) && (r->infini.shape.segment || mn_attn_is_linear(r, layer));
}
/* The position map under which a layer sees its keys; NULL: by distance. Distances within a window were all trained, so
 * that no map changes them. */
static inline const mn_posmap *mn_attn_map(const mn_attn_spec *r, const mn_config *config, int layer) {
    return r->map.scheme && mn_config_is_unbounded(config, layer) ? &r->map : NULL;
}

/* Whether a layer caches KV entries of its own. */
static inline bool mn_attn_caches(const mn_attn_spec *r, const mn_config *config, int layer) {
    return mn_config_has_kv(config, layer) && !mn_attn_is_linear(r, layer);
}
/* The index of the KV entries that a layer attends to in a cache that holds only layers that cache some. */
int mn_attn_kv_layer(const mn_attn_spec *r, const mn_config *config, int layer);
/* Layers that cache KV entries, of all. */
int mn_attn_n_kv_layers(const mn_attn_spec *r, const mn_config *config);

/* The KV entries that later tokens can see in any layer, segments of a compressive memory aside; last 0: all. */
mn_kept_keys mn_attn_kept_keys(const mn_attn_spec *r, const mn_config *config);

/* Whether more than the number of a token decides which segment it lies in. */
static inline bool mn_attn_has_mark(const mn_attn_spec *r) { return r->infini.shape.segment && r->infini.mark.n > 0; }

/* The position that a token is given: where segments restart, its place in the segment. Not where marks begin segments
 * (mn_segments_pass). */
static inline int64_t mn_attn_position(const mn_attn_spec *r, int64_t token) {
    return r->infini.shape.segment ? token % r->infini.shape.segment : token;
}
/* How many positions a text of n_ctx tokens takes. */
static inline int64_t mn_attn_n_positions(const mn_attn_spec *r, int64_t n_ctx) {
    int64_t segment = r->infini.shape.segment;
    return segment && segment < n_ctx ? segment : n_ctx;
}

/* The shape of a layer's compressive memory, and of its state of linear attention: with the layer's own heads. */
mn_infini mn_attn_infini_shape(const mn_attn_spec *r, const mn_config *config, int layer);
mn_linear mn_attn_linear_shape(const mn_config *config, int layer);

/* Bytes of the recurrent state that one layer of one sequence carries beside convolution histories, 0 = none: as
 * many as the layer with the most heads needs, for each that has one. MN_ERR_LIMIT when it overflows. */
mn_status mn_attn_state_bytes(const mn_attn_spec *r, const mn_config *config, size_t *out, mn_error *err);
/* Layers that carry such state, before this one. */
int mn_attn_state_layer(const mn_attn_spec *r, const mn_config *config, int layer);

#endif
