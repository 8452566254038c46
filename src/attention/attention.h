/* Attention over cached keys and values: one call per layer and sequence, computed by whichever way suits it. */
#ifndef MN_ATTENTION_ATTENTION_H
#define MN_ATTENTION_ATTENTION_H

#include "attention/types.h"
#include "kernels/compute.h"

/* Chooses flash (many rows) or split-KV decode (few rows), or mn_mla_attend where keys are to be made. c->exact: f32
 * products, f32 softmax. Scratch from c->scratch; MN_ERR_MEMORY when it ends. */
mn_status mn_attention(const mn_compute *c, const mn_attend *a, mn_error *err);
/* The same for calls of several sequences, each with the result that it has alone: those of few rows are split over the
 * threads together. */
mn_status mn_attention_batch(const mn_compute *c, const mn_attend *calls, int n, mn_error *err);

#endif
