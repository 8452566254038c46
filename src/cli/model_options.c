#include "cli/model_options.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mn_status mn_model_options_engine(const mn_model_options *o, bool exact, mn_engine **engine, mn_error *err) {
    *engine = NULL;
    if (!o->model) return mn_fail(err, MN_ERR_ARGUMENT, "no model was named; use -m FILE.gguf.");
    mn_engine_params params = {.n_threads = (int)o->n_threads, .exact = exact};
    MN_TRY(mn_engine_open(o->model, &params, engine, err));
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(*engine);
    for (int i = 0; mn_tokenizer_note(tokenizer, i); i++)
        fprintf(stderr, "mnemo: %s\n", mn_tokenizer_note(tokenizer, i));
    return MN_OK;
}

/* 0 asks for no ramp at all, which a zeroed params would not say. llama.cpp's -1 is the default. */
static mn_status read_ext_factor(const char *text, double *out, mn_error *err) {
    char *end;
    *out = 0;
    if (!text || !strcmp(text, "-1")) return MN_OK;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= 0 && *out <= 1))
        return mn_fail(err, MN_ERR_ARGUMENT, "--yarn-ext-factor does not take \"%s\" (wanted: 0 to 1).", text);
    if (*out == 0) *out = -1;
    return MN_OK;
}

mn_status mn_model_options_session(const mn_model_options *o, mn_engine *engine, mn_session **session, mn_error *err) {
    *session = NULL;
    int64_t batch = o->n_batch && o->n_ubatch ? MN_MIN(o->n_batch, o->n_ubatch) : MN_MAX(o->n_batch, o->n_ubatch);
    double yarn_ext_factor;
    MN_TRY(read_ext_factor(o->yarn_ext_factor, &yarn_ext_factor, err));
    mn_session_params params = {
        .n_ctx = o->n_ctx,
        .n_batch = (int32_t)batch,
        .type_k = o->type_k,
        .type_v = o->type_v,
        .attn = o->attn,
        .attn_layers = o->attn_layers,
        .kv_disk = o->kv_disk,
        .kv_ram_bytes = o->kv_ram,
        .position = {.rope_scaling = o->rope_scaling,
                     .rope_scale = o->rope_scale > 0        ? o->rope_scale
                                   : o->rope_freq_scale > 0 ? 1 / o->rope_freq_scale
                                                            : 0,
                     .rope_freq_base = o->rope_freq_base,
                     .yarn_orig_ctx = o->yarn_orig_ctx,
                     .yarn_ext_factor = yarn_ext_factor,
                     .yarn_attn_factor = o->yarn_attn_factor,
                     .yarn_beta_slow = o->yarn_beta_slow,
                     .yarn_beta_fast = o->yarn_beta_fast,
                     .map = o->map,
                     .beyond = o->beyond},
    };
    MN_TRY(mn_session_open(engine, &params, session, err));
    for (int i = 0; mn_session_note(*session, i); i++) fprintf(stderr, "mnemo: %s\n", mn_session_note(*session, i));
    return MN_OK;
}

mn_status mn_model_options_open(const mn_model_options *o, bool exact, mn_engine **engine, mn_session **session,
                                mn_error *err) {
    *session = NULL;
    MN_TRY(mn_model_options_engine(o, exact, engine, err));
    return mn_model_options_session(o, *engine, session, err);
}
