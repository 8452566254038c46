/* A model changed: what that costs is measured and printed, healed by distillation from the model before, and only then
 * the new file is written. What the change is (other heads, small MLPs, experts) is its caller's.
 */
#ifndef MN_CLI_MODEL_CHANGE_H
#define MN_CLI_MODEL_CHANGE_H

#include "session/engine.h"
#include "train/config.h"

typedef struct mn_change_order {
    const char *in, *out;
    const char *calibrate; /* a text; NULL: none */
    const char *heal;      /* what is learnt from; NULL: no healing */
    int64_t n_steps;       /* of healing */
    bool needles;          /* as in mnemo finetune */
    mn_dtype type;         /* MN_DTYPE_COUNT: as they are */
    int n_threads;
    const char *const *settings; /* of the training, "key=value" */
    int n_settings;
} mn_change_order;

/* The calibration text, all of it, and what perplexity is measured on: its first tokens, in windows. */
typedef struct mn_change_text {
    int32_t *tokens; /* NULL: none was named */
    int64_t n_tokens, n_measured, window;
} mn_change_text;

typedef struct mn_change {
    const char *name; /* as "mla:64-mha2mla": in the names of files on the way, so that no training is gone on with
                         from a model that was changed otherwise */
    void *arg;
    /* Writes the changed model to `path`, and prints what is to be said of it. engine: of the model before, in exact
     * arithmetic. */
    mn_status (*write)(void *arg, mn_engine *engine, const mn_change_text *text, const char *path, mn_error *err);
    /* Settings of healing beyond the ordinary ones; NULL: none. */
    mn_status (*set)(void *arg, mn_train_config *config, mn_error *err);
    /* Makes the last file, `to`, of what was written or healed; NULL: it is that file. */
    mn_status (*finish)(void *arg, const char *from, const char *to, mn_error *err);
} mn_change;

/* Prints the bytes that a token leaves in the KV cache and the perplexity of the calibration text, before and after,
 * heals, prints the perplexity again, then writes order->out. Files on the way stand beside it, and are removed.
 * MN_ERR_CANCELLED: healing was stopped, and the same command goes on; nothing was written. */
mn_status mn_change_run(const mn_change *change, const mn_change_order *order, mn_error *err);

#endif
