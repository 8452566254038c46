/* What a training is to be: a file that people write by hand (INI), and overrides of the command line.
 *
 *     [model]                 where it starts: from = MODEL.gguf, or a shape and vocab-from
 *     [positions]             extension of the window: scaling, scale, freq-base
 *     [train]                 window, batch, steps, optimiser, rates, checkpoints
 *     [lora]                  rank > 0: only adapters are trained
 *     [loss]                  what a token weighs, by what it is for; balance of experts
 *     [router]                small MLPs for easy tokens: how they and their routers learn
 *     [memory]                compressive memories: given to a model, and how they learn what to write
 *     [gate-fit]              write gates fitted by themselves, before the first step or behind the last
 *     [group NAME]            tensors that match a pattern get a rate, a decay, an optimiser of their own
 *     [source NAME]           texts, or needles in a haystack of texts, and their share
 *
 * docs/training.md explains every key; mn_train_config_help lists them from the table that reads them.
 */
#ifndef MN_TRAIN_CONFIG_H
#define MN_TRAIN_CONFIG_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "train/dataset.h"

enum { MN_MAX_GROUPS = 16, MN_MAX_PATHS = 32, MN_NAME_BYTES = 64, MN_PATH_BYTES = 4096, MN_KEY_TEXT_BYTES = 512 };

typedef enum mn_optimiser { MN_OPTIMISER_ADAMW, MN_OPTIMISER_MUON } mn_optimiser;
typedef enum mn_decay_kind { MN_DECAY_LINEAR, MN_DECAY_COSINE, MN_DECAY_WSD } mn_decay_kind;
/* What validation-share is of. */
typedef enum mn_validation_split { MN_SPLIT_PIECES, MN_SPLIT_FILES } mn_validation_split;
typedef enum mn_recompute { MN_RECOMPUTE_AUTO, MN_RECOMPUTE_ON, MN_RECOMPUTE_OFF } mn_recompute;

/* Tensors whose name matches `match` (shell wildcards, several with blanks between). The first group that matches
 * counts. */
typedef struct mn_train_group {
    char name[MN_NAME_BYTES];
    const char *match;
    double rate;   /* learning rate; < 0: the training's own */
    double decay;  /* weight decay; < 0: the training's own */
    int optimiser; /* mn_optimiser; -1: the training's own */
    bool freeze;   /* not trained */
} mn_train_group;

typedef struct mn_source_config {
    char name[MN_NAME_BYTES];
    const char *paths;   /* a list: mn_train_next_path */
    const char *needles; /* mn_needle_kind_name; NULL: texts */
    double weight;
    int64_t min_keys, max_keys, min_hops, max_hops, questions, distractors;
    double filler;
    bool digits, usual_wording;
    double role_weights[MN_ROLE_COUNT]; /* < 0: the [loss] section's */
} mn_source_config;

/* [router], see mlp/easy_backward.h. */
typedef enum mn_router_gate { MN_ROUTER_STRAIGHT, MN_ROUTER_SOFT } mn_router_gate;
typedef struct mn_router_config {
    int gate; /* mn_router_gate */
    double share, budget;
    bool only; /* all but routers and small MLPs is frozen */
} mn_router_config;

/* [memory]: shape of a new one, and lessons (memory_lessons.h). */
typedef struct mn_memory_config {
    int64_t segment; /* tokens; 0: the model's own memory, if it has one */
    int64_t taps;    /* of convolutions, with the memory; 0: as many as the model has */
    int update;      /* mn_infini_rule */
    const char *heads, *prose, *mark;
    double mixing_bias, write_bias, threshold;
    bool hard;
    int64_t detach;
    double labels, positive, negative, mined, hardest; /* weights in the loss */
    int64_t hardest_tokens;
    double prefix; /* share of the documents with a question that have one */
    int64_t prefix_min, prefix_max, pool_windows, pool_size, mine_tokens, mine_steps;
} mn_memory_config;

typedef enum mn_gate_fit_when {
    MN_GATE_FIT_NEVER,
    MN_GATE_FIT_START,
    MN_GATE_FIT_END,
    MN_GATE_FIT_BOTH
} mn_gate_fit_when;

/* [gate-fit], see gate_fit.h. */
typedef struct mn_gate_fit_config {
    int when;
    int64_t positives, negatives, prose, mined, rounds, tokens;
    double weight, l2, sharpen, recall;
} mn_gate_fit_config;

typedef struct mn_train_config {
    /* [model] */
    const char *from, *vocab_from, *arch, *name, *ask_template;
    int64_t layers, embd, heads, kv_heads, head_dim, ff, experts, experts_used, previous_token_heads;
    double rope_base;
    bool sinks, untied;
    /* [positions] */
    const char *rope_scaling;
    double rope_scale, rope_freq_base;
    int64_t rope_orig_ctx;
    const char *attn; /* pattern while training; NULL: the model's */
    /* [train] */
    const char *out, *run, *type;
    int64_t window, batch, accumulate, steps, warmup, seed, threads, checkpoint_steps, validate_steps,
        validation_windows;
    double rate, muon_rate, min_rate, decay, beta1, beta2, epsilon, momentum, clip, decay_share, validation_share;
    double max_minutes;
    int optimiser, schedule, recompute, validation_split;
    bool exact; /* f32 products throughout */
    /* [lora] */
    int64_t lora_rank;
    double lora_alpha;
    const char *lora_targets;
    bool lora_norms, lora_embeddings, lora_merge;
    /* [loss] */
    double role_weights[MN_ROLE_COUNT];
    double balance;
    bool balance_bias; /* DeepSeek-V3's rule instead of a loss */
    double balance_bias_rate;
    const char *teacher;
    double teacher_share, temperature;
    mn_router_config router;
    mn_memory_config memory;
    mn_gate_fit_config gate_fit;
    /* [group ...], [source ...] */
    mn_train_group groups[MN_MAX_GROUPS];
    int n_groups;
    mn_source_config sources[MN_MAX_SOURCES];
    int n_sources;
    mn_arena arena; /* texts */
} mn_train_config;

/* Every key at its default. */
void mn_train_config_init(mn_train_config *config);
/* Reads a file over what is there. Errors name the file, the line, the key, and the nearest key that there is. Unless
 * a path is absolute it is relative to the current folder. The caller releases the config, after a failure too. */
mn_status mn_train_config_read(mn_train_config *config, const char *path, mn_error *err);
/* The next of a list of paths that are separated by blanks, or stand in "...": copied to out, *list moved on; false
 * behind the last. */
bool mn_train_next_path(const char **list, char *out, size_t bytes);
/* One "section.key=value" of the command line, or "key=value" where one section alone has that key. */
mn_status mn_train_config_set(mn_train_config *config, const char *assignment, mn_error *err);
/* The same of a "section.key" and its value; NULL: the key stays as it is. */
mn_status mn_train_config_set_key(mn_train_config *config, const char *key, const char *value, mn_error *err);
/* What does not depend on the model: ranges, keys that need each other. */
mn_status mn_train_config_check(const mn_train_config *config, mn_error *err);
/* Whether `text`, which mn_train_config_write made, is of the same training: the same model, positions, window,
 * adapters and optimiser. What is else may change from run to run. MN_ERR_ARGUMENT names the first key that differs,
 * and both values. */
mn_status mn_train_config_same(const mn_train_config *config, const char *text, mn_error *err);
/* The whole configuration as a file that reads back to the same: what a run keeps beside its checkpoint. */
void mn_train_config_write(const mn_train_config *config, mn_strbuf *out);
/* Opens the sources that the configuration names. The tokenizer and template are borrowed. The caller closes *out. */
mn_status mn_dataset_configure(const mn_train_config *config, const mn_tokenizer *tokenizer,
                               const mn_chat_template *chat_template, mn_dataset *out, mn_error *err);
/* The texts that compressive memories should not write: memory.prose, or those of the first source; as a data set of
 * that source alone, windows of the same length. */
mn_status mn_dataset_configure_prose(const mn_train_config *config, const mn_tokenizer *tokenizer,
                                     const mn_chat_template *chat_template, mn_dataset *out, mn_error *err);
/* Keys, defaults and what they mean, as text for --help. */
void mn_train_config_help(mn_strbuf *out);
void mn_train_config_release(mn_train_config *config);

#endif
