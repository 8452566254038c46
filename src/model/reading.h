/* How a timeline reads its text: which keys each layer looks at, from which positions, and what carries the rest. By
 * default that is the model's own way; a session may choose another (docs/decisions/memory-of-a-timeline.md).
 * Everything that runs, plans or saves a timeline asks here.
 */
#ifndef MN_MODEL_READING_H
#define MN_MODEL_READING_H

#include "attention/patterns/pattern.h"
#include "model/config.h"
#include "position/posmap.h"

/* The compressive memory behind segments (Infini-attention), alike in all layers. */
typedef struct mn_memory {
    mn_infini shape;       /* segment 0: there is none */
    float write_threshold; /* see mn_infini_write_gates */
    bool model_writes;     /* delta-exact: the layers' weights make write gates; else every token is written whole */
    bool model_mixes;      /* the layers' weights hold mixing gates; else `share` of every head is the memory's */
    float share;
} mn_memory;

typedef struct mn_reading {
    const mn_pattern *patterns; /* [n_layers], borrowed; NULL, or kind NULL in a layer: the model's own attention */
    bool absorbs;  /* MLA runs absorbed, whatever takes fewer products: patterns look at rows as they are cached */
    mn_posmap map; /* scheme NULL: every key by its distance */
    mn_memory memory;
} mn_reading;

/* What the model file says. */
mn_reading mn_reading_of_model(const mn_config *config);
/* MN_ERR_UNSUPPORTED for what this model's heads or positions cannot do, with one sentence. */
mn_status mn_reading_check(const mn_reading *r, const mn_config *config, mn_error *err);

/* Whether a layer keeps a state of linear attention in the place of cached rows. */
static inline bool mn_reading_is_linear(const mn_reading *r, int layer) {
    const mn_pattern_kind *kind = r->patterns ? r->patterns[layer].kind : NULL;
    return kind && kind->traits & MN_PATTERN_ROWLESS;
}

/* Layers before this one that cache rows: its index in a cache that holds only those. */
int mn_reading_row_layer(const mn_reading *r, int layer);
/* Layers that cache rows, of all. */
static inline int mn_reading_n_row_layers(const mn_reading *r, const mn_config *config) {
    return mn_reading_row_layer(r, config->n_layers);
}

/* The cached rows that later tokens can see in any layer, segments of a memory aside; last 0: all. */
mn_kept_keys mn_reading_keeps(const mn_reading *r, const mn_config *config);

/* The position that a token is given: where segments restart, its place in the segment. */
static inline int64_t mn_reading_position(const mn_reading *r, int64_t token) {
    return r->memory.shape.segment ? token % r->memory.shape.segment : token;
}
/* How many positions a text of n_ctx tokens takes. */
static inline int64_t mn_reading_n_positions(const mn_reading *r, int64_t n_ctx) {
    int64_t segment = r->memory.shape.segment;
    return segment && segment < n_ctx ? segment : n_ctx;
}

/* Bytes of the fixed state that one layer of one timeline carries beside convolution histories, 0 = none; layers that
 * have one have it alike. MN_ERR_LIMIT when it overflows. */
mn_status mn_reading_memory_bytes(const mn_reading *r, const mn_config *config, size_t *out, mn_error *err);
/* Layers that carry such state, before this one. */
int mn_reading_memory_layer(const mn_reading *r, int layer);

#endif
