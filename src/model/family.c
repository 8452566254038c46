#include "model/family.h"

#include <string.h>

static const mn_family *const families[] = {
    &mn_family_llama,
    &mn_family_qwen2,
    &mn_family_qwen3,
    &mn_family_qwen3moe,
    &mn_family_gemma2,
    &mn_family_gemma3,
    &mn_family_phi3,
    &mn_family_deepseek2,
    &mn_family_deepseek32,
    &mn_family_glm_dsa,
    &mn_family_deepseek4,
    &mn_family_gpt2,
    &mn_family_bloom,
    &mn_family_mpt,
    &mn_family_gemma4,
    &mn_family_gpt_oss,
    &mn_family_glm4,
    &mn_family_glm4moe,
    &mn_family_mistral3,
    &mn_family_smollm3,
    &mn_family_olmo2,
    &mn_family_exaone4,
    &mn_family_cohere2,
    &mn_family_qwen2moe,
    &mn_family_llama4,
    &mn_family_granite,
    &mn_family_granitemoe,
    &mn_family_minimax_m2,
    &mn_family_mimo2,
    &mn_family_step35,
    &mn_family_starcoder2,
    &mn_family_qwen35,
    &mn_family_qwen35moe,
    &mn_family_qwen3next,
    &mn_family_mamba2,
    &mn_family_falcon_h1,
    &mn_family_nemotron_h,
    &mn_family_nemotron_h_moe,
    &mn_family_granitehybrid,
    &mn_family_lfm2,
    &mn_family_lfm2moe,
    &mn_family_kimi_linear,
    &mn_family_rwkv7,
    &mn_family_mnemo,
    &mn_family_bert,
    &mn_family_nomic_bert,
    NULL,
};

const mn_family *mn_family_find(const char *arch) {
    for (const mn_family *const *f = families; *f; f++)
        if (!strcmp((*f)->arch, arch)) return *f;
    return NULL;
}

const mn_family *const *mn_family_list(void) { return families; }
