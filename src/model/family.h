/* A family: the models that share an architecture name in the file. One file each; the registry lists them. */
#ifndef MN_MODEL_FAMILY_H
#define MN_MODEL_FAMILY_H

#include "base/technique.h"
#include "model/config.h"
#include "model/weights.h"

typedef struct mn_family {
    const char *arch;    /* general.architecture */
    const char *summary; /* which models, in a line */
    /* Completes config, whose shared keys are filled and whose defaults are Llama's. */
    mn_status (*configure)(const mn_gguf *gguf, mn_config *config, mn_error *err);
    /* Binds one layer's tensors through the binder (weights.h). */
    void (*bind_layer)(mn_binder *binder, const mn_config *config, int layer, mn_layer *out);
} mn_family;

extern const mn_family mn_family_llama, mn_family_qwen2, mn_family_qwen3, mn_family_qwen3moe, mn_family_gemma2,
    mn_family_gemma3, mn_family_phi3, mn_family_deepseek2, mn_family_gpt2, mn_family_bloom, mn_family_mpt,
    mn_family_mnemo, mn_family_gemma4, mn_family_deepseek32, mn_family_glm_dsa, mn_family_deepseek4, mn_family_gpt_oss,
    mn_family_glm4, mn_family_glm4moe, mn_family_mistral3, mn_family_smollm3, mn_family_olmo2, mn_family_exaone4,
    mn_family_cohere2, mn_family_qwen2moe, mn_family_llama4, mn_family_granite, mn_family_granitemoe,
    mn_family_minimax_m2, mn_family_mimo2, mn_family_step35, mn_family_starcoder2;

/* Granite's multipliers and experts, for the families that share them. */
mn_status mn_granite_configure(const mn_gguf *gguf, mn_config *config, mn_error *err);

extern const mn_family mn_family_qwen3next, mn_family_qwen35, mn_family_qwen35moe, mn_family_mamba2,
    mn_family_falcon_h1, mn_family_nemotron_h, mn_family_nemotron_h_moe, mn_family_granitehybrid, mn_family_lfm2,
    mn_family_lfm2moe, mn_family_kimi_linear, mn_family_rwkv7, mn_family_bert, mn_family_nomic_bert;

/* What encoders have in common (bert.c): LayerNorm after each sum, attention in both directions. */
mn_status mn_encoder_configure(const mn_gguf *gguf, mn_config *config, mn_error *err);
void mn_bind_encoder_norms(mn_binder *b, const mn_config *c, mn_layer *l);

/* NULL when unknown. */
const mn_family *mn_family_find(const char *arch);
/* All of them in order, ended by NULL. */
const mn_family *const *mn_family_list(void);
extern const mn_technique mn_learned_about; /* positions */

#endif
