/* Which heads of a model have a compressive memory that is alive. A head is dead when its gates were shut for good:
 * weights of 0 and a bias of MN_SHUT_BIAS or less, which no gradient moves.
 */
#ifndef MN_TRAIN_MEMORY_HEADS_H
#define MN_TRAIN_MEMORY_HEADS_H

#include "model/model.h"

#define MN_SHUT_BIAS (-20.0f)

/* Whether the write gate of a KV head can ever open. */
bool mn_memory_writes(const mn_model *model, int layer, int kv_head);
/* Whether anything of a layer's memories reaches its output: a write gate that can open, or a mixing gate that is not
 * shut. A layer of which this is false computes softmax attention alone, bit for bit. */
bool mn_memory_layer_is_alive(const mn_model *model, int layer);

#endif
