/* The windows of a step as a batch of documents: forward and backward through the tape. */
#ifndef MN_TRAIN_BATCH_H
#define MN_TRAIN_BATCH_H

#include "train/tape.h"
#include "train/trainer.h"

typedef struct mn_train_batch {
    const mn_model *model;
    int64_t n_ctx;
    int n_windows, capacity;               /* windows held */
    int32_t *tokens, *targets, *documents; /* [capacity, n_ctx] */
    float *weights;
    uint8_t *roles;
    mn_train_window *windows; /* [capacity], their n_tokens */
    double sum_weights;       /* of all windows held */
    int64_t n_tokens;         /* of all windows held, without padding */
    mn_sequence *sequences;   /* one for each document of a pass */
    int n_sequences;
    mn_sequence_params params;
    mn_pattern *patterns; /* [n_layers] of config->attn, or NULL */
    /* Of the pass under way. */
    mn_slice *slices;
    int n_slices, slices_capacity;
    int32_t *row_tokens, *row_labels;
    float *row_weights;
    int64_t n_rows;
} mn_train_batch;

/* Room for a step of config->batch * accumulate windows (and of the validation's). The caller closes it. */
mn_status mn_train_batch_open(const mn_train_config *config, const mn_model *model, mn_train_batch *out, mn_error *err);
void mn_train_batch_close(mn_train_batch *b);

/* Draws the next n windows. */
mn_status mn_train_batch_fill(mn_train_batch *b, const mn_dataset *data, mn_dataset_cursor *cursor, int n,
                              mn_error *err);
/* Forward and backward of windows [first, first + n): gradients of sum(weight * loss) / sum_weights are added to,
 * tape->loss too. recompute: activations are kept at the layers' borders alone, and made again; the same bits. */
mn_status mn_train_batch_run(mn_train_batch *b, int first, int n, mn_tape *tape, bool recompute, mn_error *err);
/* The loss alone. */
mn_status mn_train_batch_score(mn_train_batch *b, int first, int n, mn_tape *tape, mn_error *err);

/* Decides whether to recompute, and counts what a step of this configuration takes, by running one over a dry pool. */
mn_status mn_train_plan_make(const mn_train_config *config, const mn_parameters *parameters,
                             const mn_parameters *adapters, const mn_compute *compute, mn_train_plan *out,
                             mn_error *err);

#endif
