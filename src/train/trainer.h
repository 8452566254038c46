/* A training: data, model, tape and optimiser, step by step; saved and taken up so that nobody could tell. */
#ifndef MN_TRAIN_TRAINER_H
#define MN_TRAIN_TRAINER_H

#include "train/checkpoint.h"
#include "train/run_log.h"

typedef struct mn_trainer mn_trainer;

/* Makes the run's folder, or takes up what is in it: start.gguf (the f32 model it starts from), checkpoint.gguf,
 * log.jsonl. The configuration is copied. Errors: what the configuration, the model, the data and the disk have to say;
 * a checkpoint of another training. The caller closes it. One thread at a time. */
mn_status mn_trainer_open(const mn_train_config *config, mn_trainer **out, mn_error *err);
void mn_trainer_close(mn_trainer *trainer);

/* What is known before the first step. */
typedef struct mn_train_plan {
    int64_t n_params, n_trained;
    size_t program_bytes; /* what the process held before: the program, its libraries, the vocabulary */
    size_t weights_bytes, optimiser_bytes, cache_bytes, total_bytes; /* weights with their gradients */
    size_t activation_bytes, gradient_bytes, scratch_bytes;          /* of one tape: activations, their gradients */
    size_t teacher_bytes;                                            /* its weights, caches and hidden rows; 0: none */
    size_t fit_bytes;        /* rows that write gates are fitted to, before the first step or after the last; 0: none */
    int64_t detach_segments; /* of a compressive memory that gradients pass; 0: all */
    int n_lanes;             /* see lanes.h */
    int n_tapes;             /* that hold activations at once */
    bool recomputes;         /* activations are made again in the backward pass */
    double flops_per_token;  /* of forward and backward: 6 for each parameter that a token uses, and attention; of a
                                teacher forward alone */
} mn_train_plan;
/* Bytes of activations and their gradients, of all tapes. */
size_t mn_train_plan_activations(const mn_train_plan *plan);
const mn_train_plan *mn_trainer_plan(const mn_trainer *trainer);
/* The plan of a training that is not begun; data is not looked at. The model it starts from is written to a folder of
 * $TMPDIR (/tmp) for as long as the call takes. MN_ERR_MEMORY where the training does not fit, with what it takes and
 * what is free. */
mn_status mn_trainer_plan_only(const mn_train_config *config, mn_train_plan *out, mn_error *err);
const mn_train_state *mn_trainer_state(const mn_trainer *trainer);
const mn_run_log *mn_trainer_log(const mn_trainer *trainer);
/* What fits of write gates came to so far, *n of them. */
const struct mn_gate_fit_report *mn_trainer_gate_fits(const mn_trainer *trainer, int *n);
const char *mn_trainer_folder(const mn_trainer *trainer);

/* One step of the optimiser. *line gets its figures, with the validation loss when one is due; it goes into the log. A
 * loss that is no number stops with the step and the first tensor whose gradient is none named (MN_ERR_FORMAT); the
 * last checkpoint stays. */
mn_status mn_trainer_step(mn_trainer *trainer, mn_run_line *line, mn_error *err);
/* What the machine multiplies at most, so that lines tell the share that is reached. */
void mn_trainer_set_peak(mn_trainer *trainer, double flops_per_s);
/* Whether all steps are done. */
bool mn_trainer_is_done(const mn_trainer *trainer);
/* Writes the checkpoint, and draws the curve. mn_trainer_step does it every checkpoint-steps. */
mn_status mn_trainer_save(mn_trainer *trainer, mn_error *err);
/* Mean loss over the held-out windows; NAN when there are none. */
mn_status mn_trainer_validate(mn_trainer *trainer, double *loss, mn_error *err);
/* Writes the trained model in the type wanted, with keys that tell what was done, and RUN/card.md. */
mn_status mn_trainer_finish(mn_trainer *trainer, mn_error *err);

#endif
