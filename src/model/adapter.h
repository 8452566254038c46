/* LoRA adapters (Hu et al. 2021, arXiv:2106.09685) as GGUF, in the layout of llama.cpp: general.type = adapter,
 * adapter.type = lora, adapter.lora.alpha; tensors NAME.lora_a [rank, n_in] and NAME.lora_b [n_out, rank] for the
 * matrix NAME.
 */
#ifndef MN_MODEL_ADAPTER_H
#define MN_MODEL_ADAPTER_H

#include "base/technique.h"
#include "model/model.h"

enum { MN_MAX_LORA_RANK = 4096 };

typedef struct mn_adapter {
    mn_gguf *gguf;
    mn_arena arena;
    float alpha, scale;
    int n_matrices;
} mn_adapter;

/* Opens an adapter and attaches it to the model's projections, beside those attached before: each product W x becomes
 * W x + scale alpha / rank B A x, an alpha of 0 or none counting as the rank. Errors: no adapter, one of another
 * architecture, a matrix that this model has not or that takes no adapter (a fused one), shapes that do not fit, an a
 * without its b, an alpha or values that are no numbers. The model must not compute meanwhile; the adapter is closed
 * after the model. Cost: its values are read once. */
mn_status mn_adapter_open(const char *path, float scale, mn_model *model, mn_adapter *out, mn_error *err);
/* The same for one in memory that the caller keeps. */
mn_status mn_adapter_attach(mn_gguf *gguf, float scale, mn_model *model, mn_adapter *out, mn_error *err);
void mn_adapter_close(mn_adapter *adapter);
extern const mn_technique mn_lora_about;

/* The projection that the tensor NAME ("blk.3.attn_q.weight") is; NULL when there is none that takes an adapter. */
mn_projection *mn_model_projection(mn_model *model, const char *name);

#endif
