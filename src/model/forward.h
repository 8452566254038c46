/* The forward pass: the layer loop every family runs through. */
#ifndef MN_MODEL_FORWARD_H
#define MN_MODEL_FORWARD_H

#include "base/technique.h"
#include "model/backend.h"

typedef struct mn_batch {
    const int32_t *tokens; /* [n_rows], each in [0, n_vocab) */
    int64_t n_rows;
    const mn_slice *slices; /* cover the rows in order; every sequence has room for its rows */
    int n_slices;
    const int64_t *wanted; /* rows whose logits are wanted, ascending */
    int64_t n_wanted;
    float *logits; /* [n_wanted, n_vocab] */
    float *states; /* [n_wanted, n_embd]: in the place of logits what they would be made of; NULL = logits */
} mn_batch;

/* Runs the batch on a backend, and extends the sequences by it. Cost: 2 * parameters FLOP per row, and attention. On
 * failure the sequences keep their length. One step at a time on one backend. */
mn_status mn_forward(const mn_backend *backend, const mn_model *model, const mn_batch *batch, mn_error *err);
/* The angles of a step's queries and keys. Under position maps (position/posmap.h) a query sees each range of its keys
 * from another position, and keys are cached once for each plane; else there is one of both. */
typedef struct mn_rotations {
    int n_ranges, n_planes;
    mn_rows queries[MN_POSMAP_RANGES], keys[MN_POSMAP_PLANES]; /* none: nothing is rotated */
} mn_rotations;

/* The same in pieces, for who computes layers again from their inputs: begin, each layer in order, end. The pieces
 * leave the sequences' length alone. */
typedef struct mn_forward_pass {
    mn_step step;
    const mn_batch *batch;
    /* Of tokens; of windowed layers with frequencies of their own; of position maps; of layers without rotation. */
    mn_rotations plain, local, maps, none;
    mn_rows chosen;     /* keys, by the last layer that had an indexer; or none */
    mn_rows layer_embd; /* [n_rows, n_layers, n_embd_layer], or none */
    mn_rows x; /* [n_rows, n_embd], what the next layer begins with; the wanted rows after the last. Of several streams
                  [n_rows, n_streams, n_embd] */
    mn_rows v_first;      /* [n_rows, n_embd]: the first layer's values, of models whose later layers take of them */
    mn_arena_mark layers; /* buffers taken since are a layer's */
} mn_forward_pass;

mn_forward_pass mn_forward_pass_of(const mn_backend *backend, const mn_model *model, const mn_batch *batch);
mn_status mn_forward_begin(mn_forward_pass *pass, mn_error *err);
mn_status mn_forward_layer(mn_forward_pass *pass, int layer, mn_error *err);
mn_status mn_forward_end(mn_forward_pass *pass, mn_error *err);
/* *x, rows that a layer may begin with, as the last norm leaves them: what logits are made of; perhaps in their place.
 */
mn_status mn_forward_states(const mn_forward_pass *pass, mn_rows *x, mn_error *err);
/* The beginning of a layer alone, without MLA: its normed input y and its keys before rotation. Histories of
 * convolutions are advanced. */
mn_status mn_forward_keys(mn_forward_pass *pass, int layer, mn_rows *y, mn_rows *k, mn_error *err);

/* Layouts of heads: what n_kv_heads and latent rows make of one attention; ends with a NULL name. */
extern const mn_technique mn_head_techniques[];

#endif
