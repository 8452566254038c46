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
} mn_batch;

/* Runs the batch on a backend, and extends the sequences by it. Cost: 2 * parameters FLOP per row, and attention. On
 * failure the sequences keep their length. One step at a time on one backend. */
mn_status mn_forward(const mn_backend *backend, const mn_model *model, const mn_batch *batch, mn_error *err);
/* Layouts of heads: what n_kv_heads and latent rows make of one attention; ends with a NULL name. */
extern const mn_technique mn_head_techniques[];

#endif
