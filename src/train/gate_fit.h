/* Fits the write gates of a compressive memory by themselves, with mined negatives (docs/training.md). What decides
 * whether a fact outlives a million tokens is how many of them are written by mistake, and a gate is a logistic
 * regression over [y, k, 1]: convex, so Newton's method finds the best there is (logistic.h).
 *
 * Positives are the values of needles, negatives the other tokens of their documents (answers left out), some prose,
 * and in each round the tokens of prose that the last fit likes best. At the end the gate is shifted so that it still
 * writes `recall` of the positives, and sharpened: a write is all or nothing.
 */
#ifndef MN_TRAIN_GATE_FIT_H
#define MN_TRAIN_GATE_FIT_H

#include "train/batch.h"

/* What came out for one head. */
typedef struct mn_gate_fit_report {
    int layer, kv_head;
    int64_t n_positives, n_negatives, n_prose;
    double recall;             /* share of the positives that are written */
    double writes_per_million; /* of prose, by mistake */
} mn_gate_fit_report;

/* Fits every head whose gate can open, layer by layer, and sets its weights. needles: where positives come from;
 * prose: where negatives do. Both are drawn from their beginning, by seeds of their own. Uses the batch's windows,
 * n_windows at a time. reports [n_layers * n_kv_heads], *n of them are filled. MN_ERR_ARGUMENT when the needles hold
 * too few values. About 25 s for 4 rounds over a million tokens in layer 0 of a model of 2 M parameters. */
mn_status mn_gate_fit(const mn_gate_fit_config *config, const mn_dataset *needles, const mn_dataset *prose,
                      mn_train_batch *b, int n_windows, mn_tape *tape, mn_gate_fit_report *reports, int *n,
                      mn_error *err);

/* What such a fit takes beside the batch, the tape and its scratch, where the sources hold as many rows as it looks
 * for. */
size_t mn_gate_fit_bytes(const mn_gate_fit_config *config, const mn_model *model, int64_t n_ctx, int n_windows);

#endif
