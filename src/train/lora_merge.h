/* Adapters folded into the matrices that they adapt. */
#ifndef MN_TRAIN_LORA_MERGE_H
#define MN_TRAIN_LORA_MERGE_H

#include "train/model_file.h"

/* Writes the model with W + scale B A of all attached adapters in the place of each W (added in f32), its tensors in
 * `type` as mn_precision_pick decides, or in their own for MN_DTYPE_COUNT; an adapted matrix whose own is only read
 * here (q5_k) becomes q6_k. Other tensors that keep their type keep their bits. The same at any number of threads.
 * MN_ERR_UNSUPPORTED: an adapter of an output matrix that is the token table. */
mn_status mn_lora_merge(mn_model *model, const char *path, const mn_key_changes *changes, mn_dtype type, mn_pool *pool,
                        mn_error *err);

#endif
