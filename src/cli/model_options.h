/* Options that every verb which runs a model shares, spelled as llama.cpp's users type them. */
#ifndef MN_CLI_MODEL_OPTIONS_H
#define MN_CLI_MODEL_OPTIONS_H

#include "cli/options.h"

#include <mnemo/session.h>

typedef struct mn_model_options {
    const char *model;
    int64_t n_threads, n_ctx, n_batch, n_ubatch;
    const char *attn, *attn_layers, *map;
    const char *lora;
    const char *type_k, *type_v;
    const char *kv_disk;
    int64_t kv_ram;
    double router_threshold; /* negative: the model's */
    bool experts_on_disk;
    const char *rope_scaling;
    double rope_scale, rope_freq_base, rope_freq_scale;
    int64_t yarn_orig_ctx;
    double yarn_ext_factor; /* negative: the default, so that 0 can be told from it */
    double yarn_attn_factor, yarn_beta_slow, yarn_beta_fast;
    const char *chat_template; /* in the place of the model's: see mn_chat_template_given; NULL = the model's */
    bool beyond;               /* no option: verbs that measure set it, see mn_position_params */
} mn_model_options;

/* What was given to the verb that runs, and the rows for its table: MN_OPTION_GROUP(mn_model_option_rows). */
extern mn_model_options mn_given_model;
extern const mn_option mn_model_option_rows[], mn_position_option_rows[];

/* Opens the engine and a session as the options say. exact: f32 arithmetic. Without a model named, the one that ships
 * with the program. The caller closes both (mn_session_close, mn_engine_close), also after a failure: what was not
 * opened is NULL. */
mn_status mn_model_options_open(mn_model_options *o, bool exact, mn_engine **engine, mn_session **session,
                                mn_error *err);
/* The engine alone. */
mn_status mn_model_options_engine(mn_model_options *o, bool exact, mn_engine **engine, mn_error *err);
/* What a session is opened with. */
mn_session_params mn_model_options_params(const mn_model_options *o);
/* A session on an engine opened before. Its notes go to stderr. */
mn_status mn_model_options_session(const mn_model_options *o, mn_engine *engine, mn_session **session, mn_error *err);

#endif
