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
    uint8_t *row_roles;
    int64_t n_rows;
    struct mn_teacher *teacher; /* or NULL; borrowed, as the lessons are */
    float teacher_share, temperature;
    struct mn_memory_lessons *lessons; /* what compressive memories learn beside, or NULL; borrowed */
} mn_train_batch;

/* Room for a step of config->batch * accumulate windows (and of the validation's). The caller closes it. */
mn_status mn_train_batch_open(const mn_train_config *config, const mn_model *model, mn_train_batch *out, mn_error *err);
void mn_train_batch_close(mn_train_batch *b);
/* What room for so many windows takes, without sequences. */
size_t mn_train_batch_bytes(int64_t n_windows, int64_t n_ctx, int64_t n_lesson_rows);

/* Draws the next n windows. */
mn_status mn_train_batch_fill(mn_train_batch *b, const mn_dataset *data, mn_dataset_cursor *cursor, int n,
                              mn_error *err);
/* Forward and backward of windows [first, first + n): gradients of sum(weight * loss) / sum_weights are added to,
 * tape->loss too. recompute: activations are kept at the layers' borders alone, and made again; the same bits. */
mn_status mn_train_batch_run(mn_train_batch *b, int first, int n, mn_tape *tape, bool recompute, mn_error *err);
/* The same of a pass whose rows, slices and targets stand: for a plan, over a dry pool. */
mn_status mn_train_batch_differentiate(const mn_train_batch *b, mn_tape *tape, bool recompute, mn_error *err);
/* The loss alone. */
mn_status mn_train_batch_score(mn_train_batch *b, int first, int n, mn_tape *tape, mn_error *err);

/* Appends a document to the pass under way, which is not learnt from: rows of weight 0. For the lessons, which are
 * asked when the windows' rows stand. */
mn_status mn_train_batch_add_document(mn_train_batch *b, const int32_t *tokens, int64_t n, mn_error *err);

/* Calls visit for every token of windows [first, first + n) in order: y [n_embd] is the layer's normed input, k
 * [n_kv_heads, head_dim] its keys before rotation. */
typedef void mn_train_key_fn(void *arg, const mn_train_window *window, int64_t i, const float *y, const float *k);
mn_status mn_train_batch_visit_keys(mn_train_batch *b, int first, int n, int layer, mn_tape *tape,
                                    mn_train_key_fn *visit, void *arg, mn_error *err);

#endif
