/* Logits that are no numbers: noticing it, and finding out why. */
#ifndef MN_MODEL_NONFINITE_H
#define MN_MODEL_NONFINITE_H

#include "base/pool.h"
#include "model/forward.h"

/* Whether all n values are numbers: neither NaN nor infinite. Cost: they are read once. */
bool mn_is_finite(const float *x, int64_t n);

/* The index of the first value of a tensor, of any type, that is no number; -1 when all are. Cost: it is read once. */
int64_t mn_find_nonfinite(const mn_tensor *t);

/* For a batch whose logits are not finite, and whose sequences have the length that they had before it. Returns an
 * error whose sentence names the first tensor that holds NaN or infinity (MN_ERR_FORMAT), or else the first layer whose
 * output is not finite (MN_ERR_LIMIT). KV entries behind the sequences' ends and recurrent states are written over.
 * Cost: all weights are read once, and the batch runs once more. */
mn_status mn_nonfinite_explain(const mn_backend *backend, const mn_model *model, mn_pool *pool, const mn_batch *batch,
                               mn_error *err);

#endif
