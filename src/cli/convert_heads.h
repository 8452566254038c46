/* mnemo convert --heads: heads changed, what that costs measured, healed by distillation from the model before. */
#ifndef MN_CLI_CONVERT_HEADS_H
#define MN_CLI_CONVERT_HEADS_H

#include "cli/options.h"
#include "convert/heads.h"

typedef struct mn_heads_order {
    const char *in, *out;
    const char *heads, *method; /* see mn_heads_parse */
    const char *calibrate;      /* a text; NULL: none */
    const char *heal;           /* what is learnt from; NULL: no healing */
    int64_t n_steps;            /* of healing */
    bool regroup, needles;      /* needles: as in mnemo finetune */
    mn_dtype type;              /* MN_DTYPE_COUNT: as they are */
    int n_threads;
    const char *const *settings; /* of the training, "key=value" */
    int n_settings;
} mn_heads_order;

/* Prints what a token leaves in the KV cache and the perplexity, before and after, then heals, then writes order->out.
 * MN_ERR_CANCELLED: healing was stopped, and the same command goes on; nothing was written. */
mn_status mn_convert_heads(const mn_heads_order *order, mn_error *err);

#endif
