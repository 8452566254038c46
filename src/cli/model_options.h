/* Options that every verb which runs a model shares, spelled as llama.cpp's users type them. */
#ifndef MN_CLI_MODEL_OPTIONS_H
#define MN_CLI_MODEL_OPTIONS_H

#include "cli/options.h"

#include <mnemo/session.h>

typedef struct mn_model_options {
    const char *model;
    int64_t n_threads, n_ctx, n_batch, n_ubatch;
    const char *attn, *attn_layers, *map;
    const char *type_k, *type_v;
    const char *kv_disk;
    int64_t kv_ram;
    const char *rope_scaling;
    double rope_scale, rope_freq_base, rope_freq_scale;
    int64_t yarn_orig_ctx;
    const char *yarn_ext_factor; /* text, so that 0 can be told from nothing */
    double yarn_attn_factor, yarn_beta_slow, yarn_beta_fast;
    bool beyond; /* no option: verbs that measure set it, see mn_position_params */
} mn_model_options;

/* Rows for a table of options; `o` is a mn_model_options with static lifetime. */
#define MN_MODEL_OPTION_ROWS(o)                                                                                        \
    {"model", MN_OPT_HEADING, NULL, NULL, NULL, 0, 0},                                                                 \
        {"m model", MN_OPT_TEXT, &(o).model, "FILE", "model file (GGUF)", 0, 0},                                       \
        {"t threads", MN_OPT_INT, &(o).n_threads, "N", "threads (0: one per core)", 0, 1024},                          \
        {"c ctx-size", MN_OPT_INT, &(o).n_ctx, "N", "window in tokens (0: what the model was made for)", 0, 1e12},     \
        {"b batch-size", MN_OPT_INT, &(o).n_batch, "N", "tokens per step of a long text (512)", 1, 65536},             \
        {"ub ubatch-size", MN_OPT_INT, &(o).n_ubatch, "N", "the same; the smaller of the two counts", 1, 65536},       \
        {"ctk cache-type-k", MN_OPT_TEXT, &(o).type_k, "TYPE", "cached keys: f32 f16 bf16 q8_0 q4_0 (f16)", 0, 0},     \
        {"ctv cache-type-v", MN_OPT_TEXT, &(o).type_v, "TYPE", "cached values, likewise (f16)", 0, 0},                 \
        {"attn", MN_OPT_TEXT, &(o).attn, "PATTERN", "which keys a query sees, as window:4096; mnemo attn list", 0, 0}, \
        {"attn-layers",                                                                                                \
         MN_OPT_TEXT,                                                                                                  \
         &(o).attn_layers,                                                                                             \
         "LIST",                                                                                                       \
         "the same for some layers, as 0-3=causal,4-=window:4096",                                                     \
         0,                                                                                                            \
         0},                                                                                                           \
        {"kv-disk",                                                                                                    \
         MN_OPT_TEXT,                                                                                                  \
         &(o).kv_disk,                                                                                                 \
         "DIR",                                                                                                        \
         "a file here takes the cached rows that --kv-ram has no room for",                                            \
         0,                                                                                                            \
         0},                                                                                                           \
        {"kv-ram", MN_OPT_INT, &(o).kv_ram, "BYTES", "memory for cached rows (k, m, g); the rest goes to --kv-disk",   \
         1,        1e18},                                                                                              \
        {"positions", MN_OPT_HEADING, NULL, NULL, NULL, 0, 0},                                                         \
        {"pos", MN_OPT_TEXT, &(o).map, "MAP", "read further without training: self-extend:G,W dca:C,L string:S,W", 0,  \
         0},                                                                                                           \
        {"rope-scaling",                                                                                               \
         MN_OPT_TEXT,                                                                                                  \
         &(o).rope_scaling,                                                                                            \
         "NAME",                                                                                                       \
         "none linear ntk dynamic ntk-parts yarn longrope llama3 (the model's own)",                                   \
         0,                                                                                                            \
         0},                                                                                                           \
        {"rope-scale", MN_OPT_NUMBER, &(o).rope_scale, "S", "factor (the window asked for / the window trained)", 1,   \
         1e9},                                                                                                         \
        {"rope-freq-base", MN_OPT_NUMBER, &(o).rope_freq_base, "B", "base of the frequencies (the model's)", 1, 1e12}, \
        {"rope-freq-scale", MN_OPT_NUMBER, &(o).rope_freq_scale, "F", "1 / rope-scale", 1e-9, 1},                      \
        {"yarn-orig-ctx", MN_OPT_INT, &(o).yarn_orig_ctx, "N", "window before scaling (the model's)", 1, 1e12},        \
        {"yarn-ext-factor", MN_OPT_TEXT, &(o).yarn_ext_factor, "X", "share of YaRN's ramp (1; 0: as linear)", 0, 0},   \
        {"yarn-attn-factor",                                                                                           \
         MN_OPT_NUMBER,                                                                                                \
         &(o).yarn_attn_factor,                                                                                        \
         "X",                                                                                                          \
         "scale of q and k on top of YaRN's (1)",                                                                      \
         0,                                                                                                            \
         100},                                                                                                         \
        {"yarn-beta-slow", MN_OPT_NUMBER, &(o).yarn_beta_slow, "X", "YaRN's low turn count (1)", 0, 1e6}, {            \
        "yarn-beta-fast", MN_OPT_NUMBER, &(o).yarn_beta_fast, "X", "YaRN's high turn count (32)", 0, 1e6               \
    }

/* Opens the engine and a session as the options say. exact: f32 arithmetic. A missing -m is an error. The caller closes
 * both (mn_session_close, mn_engine_close), also after a failure: what was not opened is NULL. */
mn_status mn_model_options_open(const mn_model_options *o, bool exact, mn_engine **engine, mn_session **session,
                                mn_error *err);
/* The engine alone. */
mn_status mn_model_options_engine(const mn_model_options *o, bool exact, mn_engine **engine, mn_error *err);
/* A session on an engine opened before. Its notes go to stderr. */
mn_status mn_model_options_session(const mn_model_options *o, mn_engine *engine, mn_session **session, mn_error *err);

#endif
