#include "cli/terminal.h"
#include "cli/model_options.h"

#include "base/checked.h"
#include "cli/model_file.h"
#include "cli/prompt_options.h"

#include <stdio.h>
#include <stdlib.h>

mn_model_options mn_given_model = {.router_threshold = -1};

#define o mn_given_model
const mn_option mn_model_option_rows[] = {
    MN_OPTION_HEADING("model"),
    MN_OPTION_TEXT("m model", &o.model, "FILE", NULL, "model file (GGUF); the one that ships with mnemo otherwise"),
    MN_OPTION_INT("t threads", &o.n_threads, "N", "0", 0, 1024, "threads; 0: one per core"),
    MN_OPTION_INT("c ctx-size", &o.n_ctx, "N", "0", 0, 1e12, "window in tokens; 0: what the model was made for"),
    MN_OPTION_INT("b batch-size", &o.n_batch, "N", NULL, 1, 65536, "tokens per step of a prompt (512)"),
    MN_OPTION_INT("ub ubatch-size", &o.n_ubatch, "N", NULL, 1, 65536, "the same; the smaller of the two counts"),
    MN_OPTION_TEXT("ctk cache-type-k", &o.type_k, "TYPE", NULL, "cached keys: f32 f16 bf16 q8_0 q4_0 (f16)"),
    MN_OPTION_TEXT("ctv cache-type-v", &o.type_v, "TYPE", NULL, "cached values, likewise (f16)"),
    MN_OPTION_TEXT("attn", &o.attn, "PATTERN", NULL, "which keys a query sees, as window:4096; mnemo attn list"),
    MN_OPTION_TEXT("attn-layers", &o.attn_layers, "LIST", NULL,
                   "the same for some layers, as 0-3=causal,4-=window:4096"),
    MN_OPTION_TEXT("lora", &o.lora, "FILES", NULL, "LoRA adapters to add (GGUF), as FILE or FILE=SCALE,FILE=SCALE"),
    MN_OPTION_TEXT("kv-disk", &o.kv_disk, "DIR", NULL,
                   "a file here takes the KV entries that --kv-ram has no room for"),
    MN_OPTION_INT("kv-ram", &o.kv_ram, "BYTES", NULL, 1, 1e18,
                  "memory for KV entries (k, m, g); the rest goes to --kv-disk"),
    MN_OPTION_NUMBER("router-threshold", &o.router_threshold, "T", "-1", -1, 1,
                     "tokens easier than this take small MLPs: 0 all, 1 none (-1: the model's)"),
    MN_OPTION_FLAG("experts-on-disk", &o.experts_on_disk,
                   "leave the weights of experts on disk, and ask for those chosen ahead"),
    MN_OPTIONS_END,
};

const mn_option mn_position_option_rows[] = {
    MN_OPTION_HEADING("positions"),
    MN_OPTION_TEXT("pos", &o.map, "MAP", NULL, "read further without training: self-extend:G,W dca:C,L string:S,W"),
    MN_OPTION_TEXT("rope-scaling", &o.rope_scaling, "NAME", NULL,
                   "none linear ntk dynamic ntk-parts yarn longrope llama3 (the model's own)"),
    MN_OPTION_NUMBER("rope-scale", &o.rope_scale, "S", NULL, 1, 1e9,
                     "factor (the window asked for / the window trained)"),
    MN_OPTION_NUMBER("rope-freq-base", &o.rope_freq_base, "B", NULL, 1, 1e12, "base of the frequencies (the model's)"),
    MN_OPTION_NUMBER("rope-freq-scale", &o.rope_freq_scale, "F", NULL, 1e-9, 1, "1 / rope-scale"),
    MN_OPTION_INT("yarn-orig-ctx", &o.yarn_orig_ctx, "N", NULL, 1, 1e12, "window before scaling (the model's)"),
    MN_OPTION_NUMBER("yarn-ext-factor", &o.yarn_ext_factor, "X", "-1", -1, 1,
                     "share of YaRN's ramp; 0: as linear, -1: the model's, else 1"),
    MN_OPTION_NUMBER("yarn-attn-factor", &o.yarn_attn_factor, "X", NULL, 0, 100,
                     "scale of q and k on top of YaRN's (1)"),
    MN_OPTION_NUMBER("yarn-beta-slow", &o.yarn_beta_slow, "X", NULL, 0, 1e6, "YaRN's low turn count (1)"),
    MN_OPTION_NUMBER("yarn-beta-fast", &o.yarn_beta_fast, "X", NULL, 0, 1e6, "YaRN's high turn count (32)"),
    MN_OPTIONS_END,
};
#undef o

mn_status mn_model_options_engine(mn_model_options *o, bool exact, mn_engine **engine, mn_error *err) {
    *engine = NULL;
    MN_TRY(mn_model_file_find(&o->model, err));
    char *template;
    MN_TRY(mn_chat_template_given(o->chat_template, &template, err));
    mn_engine_params params = {.n_threads = (int)o->n_threads,
                               .exact = exact,
                               .chat_template = template,
                               .lora = o->lora,
                               .experts_on_disk = o->experts_on_disk};
    mn_status status = mn_engine_open(o->model, &params, engine, err);
    free(template);
    MN_TRY(status);
    for (int i = 0; mn_engine_note(*engine, i); i++) mn_say("mnemo: %s", mn_engine_note(*engine, i));
    return MN_OK;
}

/* In the parameters 0 asks for the default and a negative number for no ramp at all; llama.cpp's flag has it the other
 * way round. */
static double ext_factor(double given) { return given < 0 ? 0 : given == 0 ? -1 : given; }

mn_session_params mn_model_options_params(const mn_model_options *o) {
    int64_t batch = o->n_batch && o->n_ubatch ? MN_MIN(o->n_batch, o->n_ubatch) : MN_MAX(o->n_batch, o->n_ubatch);
    return (mn_session_params){
        .n_ctx = o->n_ctx,
        .n_batch = (int32_t)batch,
        .type_k = o->type_k,
        .type_v = o->type_v,
        .attn = o->attn,
        .attn_layers = o->attn_layers,
        .kv_disk = o->kv_disk,
        .kv_ram_bytes = o->kv_ram,
        .router_threshold = o->router_threshold < 0 ? NULL : &o->router_threshold,
        .position = {.rope_scaling = o->rope_scaling,
                     .rope_scale = o->rope_scale > 0        ? o->rope_scale
                                   : o->rope_freq_scale > 0 ? 1 / o->rope_freq_scale
                                                            : 0,
                     .rope_freq_base = o->rope_freq_base,
                     .yarn_orig_ctx = o->yarn_orig_ctx,
                     .yarn_ext_factor = ext_factor(o->yarn_ext_factor),
                     .yarn_attn_factor = o->yarn_attn_factor,
                     .yarn_beta_slow = o->yarn_beta_slow,
                     .yarn_beta_fast = o->yarn_beta_fast,
                     .map = o->map,
                     .beyond = o->beyond},
    };
}

mn_status mn_model_options_session(const mn_model_options *o, mn_engine *engine, mn_session **session, mn_error *err) {
    mn_session_params params = mn_model_options_params(o);
    *session = NULL;
    MN_TRY(mn_session_open(engine, &params, session, err));
    for (int i = 0; mn_session_note(*session, i); i++) mn_say("mnemo: %s", mn_session_note(*session, i));
    return MN_OK;
}

mn_status mn_model_options_open(mn_model_options *o, bool exact, mn_engine **engine, mn_session **session,
                                mn_error *err) {
    *session = NULL;
    MN_TRY(mn_model_options_engine(o, exact, engine, err));
    return mn_model_options_session(o, *engine, session, err);
}
